"""Worker pools: a few goroutines share the work, whoever is free takes the next piece."""

from typing import NamedTuple

from gopy import Chan, RecvChan, SendChan, go, time


class Result(NamedTuple):
    job: int
    divisors: int


def worker(jobs: RecvChan[int], results: SendChan[Result]) -> None:
    """Count divisors until there are no more jobs."""
    for job in jobs:
        time.sleep(5 * time.Millisecond)  # as if it were more work than it is
        count = 0
        for d in range(1, job + 1):
            if job % d == 0:
                count += 1
        results.send(Result(job, count))


def main() -> None:
    workers, last = 4, 12
    jobs: Chan[int] = Chan(last)
    results: Chan[Result] = Chan(last)

    start = time.now()
    for _ in range(workers):
        go(worker, jobs, results)
    for job in range(1, last + 1):
        jobs.send(job)
    jobs.close()

    # Results come as they are ready; the table puts them in order.
    divisors = [0] * (last + 1)
    for _ in range(last):
        r = results.recv()
        divisors[r.job] = r.divisors
    if time.now() - start >= last / workers * 5 * time.Millisecond:
        print(last, "jobs, a few at a time")
    for job in range(1, last + 1):
        print(job, "has", divisors[job], "divisors")


if __name__ == "__main__":
    main()
