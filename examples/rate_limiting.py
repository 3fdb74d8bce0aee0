"""Rate limiting: no more than so many requests in so much time."""

from gopy import Chan, RecvChan, go, time


def serve(tokens: RecvChan[float]) -> None:
    """Handle five requests, each of which waits for a token first."""
    requests: Chan[int] = Chan(5)
    for i in range(1, 6):
        requests.send(i)
    requests.close()

    for request in requests:
        tokens.recv()
        print("request", request)


def main() -> None:
    every = 10 * time.Millisecond

    # A ticker hands out one token every so often.
    start = time.now()
    steady = time.Ticker(every)
    serve(steady.c)
    steady.stop()
    if time.now() - start >= 5 * every:
        print("steady: at most one every 10 milliseconds")

    # Tokens saved up in a buffer let a burst of three through at once.
    start = time.now()
    bursty: Chan[float] = Chan(3)
    for _ in range(3):
        bursty.send(time.now())

    @go
    def _() -> None:
        for tick in time.tick(every):
            bursty.send(tick)

    serve(bursty)
    if time.now() - start >= 2 * every:
        print("bursty: three at once, then one every 10 milliseconds")


if __name__ == "__main__":
    main()
