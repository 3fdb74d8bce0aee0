"""Power series: series without end as channels of their coefficients.

After M. Douglas McIlroy's "Squinting at Power Series" and Rob Pike's programs for it. A series is a channel
on which its coefficients come, each when somebody asks for it. Operations are goroutines that read series and
are series; an equation like exp' = exp is a loop of channels.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import count

from gopy import Chan, RecvChan, SendChan, go, nilchan, recv, select, send

Series = RecvChan[Fraction]


def start(body: Callable[[SendChan[Fraction]], None]) -> Series:
    """Make a series of what body sends."""
    out: Chan[Fraction] = Chan()
    go(body, out)
    return out


def forward(f: Series, out: SendChan[Fraction]) -> None:
    for c in f:
        out.send(c)


def constant(c: Fraction) -> Series:
    """c, and then zeros for ever."""

    @start
    def series(out: SendChan[Fraction]) -> None:
        out.send(c)
        while True:
            out.send(Fraction(0))

    return series


def tee(f: Series) -> tuple[Series, Series]:
    """Two series of one. Each keeps for the slower reader what the faster one has had."""
    sides: tuple[Chan[Fraction], Chan[Fraction]] = (Chan(), Chan())

    @go
    def _() -> None:
        left: list[Fraction] = []
        right: list[Fraction] = []
        while True:
            # The nil channel is never ready: the cases that must not run are out.
            source: Series = nilchan
            a = b = nilchan
            first_left = first_right = Fraction(0)
            if left:
                a, first_left = sides[0], left[0]
            if right:
                b, first_right = sides[1], right[0]
            if a == nilchan or b == nilchan:
                source = f
            match select(recv(source), send(a, first_left), send(b, first_right)):
                case (0, c, _):
                    left.append(c)
                    right.append(c)
                case (1, _, _):
                    del left[0]
                case (2, _, _):
                    del right[0]

    return sides


def loop(body: Callable[[Series], Series]) -> Series:
    """The series that body defines in terms of itself."""
    circle: Chan[Fraction] = Chan()
    out, back = tee(circle)
    go(forward, body(back), circle)
    return out


def add(f: Series, g: Series) -> Series:
    @start
    def series(out: SendChan[Fraction]) -> None:
        while True:
            out.send(f.recv() + g.recv())

    return series


def scale(factor: Fraction, f: Series) -> Series:
    @start
    def series(out: SendChan[Fraction]) -> None:
        for c in f:
            out.send(factor * c)

    return series


def shift(c: Fraction, f: Series) -> Series:
    """c + x f."""

    @start
    def series(out: SendChan[Fraction]) -> None:
        out.send(c)
        forward(f, out)

    return series


def multiply(f: Series, g: Series) -> Series:
    """(f0 + x F)(g0 + x G) = f0 g0 + x (f0 G + g0 F + x F G)."""

    @start
    def series(out: SendChan[Fraction]) -> None:
        f0, g0 = f.recv(), g.recv()
        out.send(f0 * g0)
        fa, fb = tee(f)
        ga, gb = tee(g)
        forward(add(add(scale(f0, ga), scale(g0, fa)), shift(Fraction(0), multiply(fb, gb))), out)

    return series


def derive(f: Series) -> Series:
    @start
    def series(out: SendChan[Fraction]) -> None:
        f.recv()
        for n in count(1):
            out.send(n * f.recv())

    return series


def integrate(c: Fraction, f: Series) -> Series:
    """The integral of f whose constant is c, which comes before anything is asked of f."""

    @start
    def series(out: SendChan[Fraction]) -> None:
        out.send(c)
        for n in count(1):
            out.send(f.recv() / n)

    return series


def reciprocal(f: Series) -> Series:
    """1/f = 1/f0 - x (1/f0) F (1/f), where f = f0 + x F."""

    @loop
    def series(r: Series) -> Series:
        @start
        def series(out: SendChan[Fraction]) -> None:
            r0 = 1 / f.recv()
            out.send(r0)
            forward(scale(-r0, multiply(f, r)), out)

        return series

    return series


def exponential(f: Series) -> Series:
    """The one whose derivative is itself times f'."""
    return loop(lambda e: integrate(Fraction(1), multiply(e, derive(f))))


def sine_and_cosine() -> tuple[Series, Series]:
    """Each other's derivatives, but for the sign."""
    cosine: Series

    @loop
    def sine(s: Series) -> Series:
        nonlocal cosine
        minus = add(constant(Fraction(1)), scale(Fraction(-1), integrate(Fraction(0), s)))
        cosine, back = tee(minus)
        return integrate(Fraction(0), back)

    return sine, cosine


def show(name: str, f: Series) -> None:
    print(name, end=":")
    for _ in range(10):
        print("", f.recv(), end="")
    print()


def x() -> Series:
    return shift(Fraction(0), constant(Fraction(1)))


def main() -> None:
    def one_minus_x() -> Series:
        return add(constant(Fraction(1)), scale(Fraction(-1), x()))

    show("1/(1-x)", reciprocal(one_minus_x()))
    show("1/(1-x)^2", reciprocal(multiply(one_minus_x(), one_minus_x())))
    show("log 1/(1-x)", integrate(Fraction(0), reciprocal(one_minus_x())))
    show("exp x", exponential(x()))

    sine, cosine = sine_and_cosine()
    sine, s = tee(sine)
    cosine, c = tee(cosine)
    show("sin x", s)
    show("cos x", c)
    show("tan x", multiply(sine, reciprocal(cosine)))

    sine, cosine = sine_and_cosine()
    sa, sb = tee(sine)
    ca, cb = tee(cosine)
    show("sin^2 + cos^2", add(multiply(sa, sb), multiply(ca, cb)))
    sine, _ = sine_and_cosine()
    show("exp sin x", exponential(sine))


if __name__ == "__main__":
    main()
