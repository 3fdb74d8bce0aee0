"""Tickers: the same moment again and again, until it is stopped."""

from gopy import Chan, default, go, recv, select, send, time


def main() -> None:
    heartbeat = time.Ticker(5 * time.Millisecond)
    done: Chan[bool] = Chan()
    beats: Chan[int] = Chan()

    @go
    def _() -> None:
        count = 0
        while True:
            match select(recv(heartbeat.c), recv(done)):
                case (0, _, _):
                    count += 1
                    beats.send(count)
                case (1, _, _):
                    print("no more beats")
                    done.send(True)
                    return

    for _ in range(4):
        print("beat", beats.recv())
    heartbeat.stop()
    # One beat may be under way still.
    stopped = False
    while not stopped:
        match select(recv(beats), send(done, True)):
            case (1, _, _):
                done.recv()
                stopped = True

    # Who is too slow loses ticks, not the ticker: its channel holds one.
    quick = time.Ticker(time.Millisecond)
    time.sleep(50 * time.Millisecond)
    quick.c.recv()
    quick.stop()
    match select(recv(quick.c), default):
        case (0, _, _):
            print("a stopped ticker ticks")
        case (1, _, _):
            print("what was missed is gone")


if __name__ == "__main__":
    main()
