"""Timers: one moment in the future, which may still be called off or put off."""

from gopy import Chan, time


def main() -> None:
    start = time.now()
    egg = time.Timer(30 * time.Millisecond)
    egg.c.recv()
    if time.now() - start >= 30 * time.Millisecond:
        print("the egg is done")

    # A timer, other than a sleep, can be stopped before it fires.
    alarm = time.Timer(time.Hour)
    if alarm.stop():
        print("the alarm was stopped in time")
    if not alarm.stop():
        print("stopping it again does nothing")

    # Or be given another time.
    bus = time.Timer(time.Hour)
    if bus.reset(10 * time.Millisecond):
        print("the bus comes earlier than planned")
    bus.c.recv()
    print("the bus is here")

    # A function that runs in a goroutine of its own when the time has come.
    rang: Chan[str] = Chan()
    time.after_func(10 * time.Millisecond, rang.send, "ding dong")
    print(rang.recv())


if __name__ == "__main__":
    main()
