"""Select: wait for several channels at once, and take what comes first."""

from gopy import Chan, RecvChan, go, nilchan, recv, select, time


def meter(every: float, *readings: int) -> RecvChan[int]:
    """Send the readings, one every so often, and close the channel after the last."""
    out: Chan[int] = Chan()

    @go
    def _() -> None:
        for reading in readings:
            time.sleep(every)
            out.send(reading)
        out.close()

    return out


def main() -> None:
    water = meter(2 * time.Millisecond, 7, 3, 9, 4)
    power = meter(3 * time.Millisecond, 110, 90, 140)

    litres = watts = 0
    while water != nilchan or power != nilchan:
        match select(recv(water), recv(power)):
            case (0, _, False):
                print("litres in all:", litres)
                water = nilchan  # the nil channel is never ready: its case is out
            case (0, reading, True):
                litres += reading
            case (1, _, False):
                power = nilchan
            case (1, reading, True):
                watts += reading
    print("watts in all:", watts)


if __name__ == "__main__":
    main()
