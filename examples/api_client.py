"""An API client: calls to a slow service at a bounded rate, each with a deadline, all in a larger one."""

from gopy import Chan, Defer, context, default, deferring, go, recv, select, send, sync, time


class Limiter:
    """Lets a burst through at once, and then one call every so often."""

    def __init__(self, every: float, burst: int) -> None:
        ctx, self.stop = context.with_cancel(context.background())
        self.tokens: Chan[None] = Chan(burst)
        for _ in range(burst):
            self.tokens.send(None)

        @go
        @deferring
        def _(defer: Defer) -> None:
            ticker = time.Ticker(every)
            defer(ticker.stop)
            while True:
                match select(recv(ticker.c), recv(ctx.done())):
                    case (0, _, _):
                        select(send(self.tokens, None), default)  # as many as may be saved up
                    case (1, _, _):
                        return

    def wait(self, ctx: context.Context) -> None:
        match select(recv(self.tokens), recv(ctx.done())):
            case (1, _, _):
                ctx.raise_if_done()


CALLER = object()


class NotFound(Exception):
    pass


LATENCY = {
    "/users": time.Millisecond,
    "/orders": 2 * time.Millisecond,
    "/report": time.Hour,  # hangs
}


def get(ctx: context.Context, path: str) -> str:
    """The service: it answers when it is ready, unless nobody waits any longer."""
    takes = LATENCY.get(path)
    if takes is None:
        raise NotFound("not found")
    match select(recv(time.after(takes)), recv(ctx.done())):
        case (1, _, _):
            ctx.raise_if_done()
    return f"{path} for {ctx.value(CALLER)}"


@deferring
def call(defer: Defer, ctx: context.Context, limiter: Limiter, path: str, timeout: float) -> str:
    """Ask the service once, when its turn comes, and wait for no longer than timeout."""
    limiter.wait(ctx)
    ctx, cancel = context.with_timeout(ctx, timeout)
    defer(cancel)
    return get(ctx, path)


@deferring
def main(defer: Defer) -> None:
    ctx = context.with_value(context.background(), CALLER, "ada")
    ctx, cancel = context.with_cancel_cause(ctx)
    start = time.now()
    limiter = Limiter(5 * time.Millisecond, 2)
    defer(limiter.stop)

    paths = ["/users", "/orders", "/nowhere", "/users", "/orders"]
    answers = [""] * len(paths)

    def ask(i: int, path: str) -> None:
        try:
            answer = call(ctx, limiter, path, 10 * time.Second)
        except Exception as err:
            answer = f"error: {err}"
        answers[i] = answer

    wg = sync.WaitGroup()
    for i, path in enumerate(paths):
        wg.go(ask, i, path)
    wg.wait()
    for i, path in enumerate(paths):
        print(path, "->", answers[i])
    if time.now() - start >= 3 * 5 * time.Millisecond:
        print("two at once, the other three one by one")

    # One that hangs is given up after its own deadline.
    try:
        call(ctx, limiter, "/report", 20 * time.Millisecond)
    except context.DeadlineExceeded as err:
        print("/report ->", err)
        if ctx.err() is None:
            print("which is no concern of the others")

    # When the whole is called off, calls that wait give up, too, and those to come do not even start.
    failed: Chan[Exception] = Chan()

    @go
    def _() -> None:
        try:
            call(ctx, limiter, "/report", time.Hour)
        except context.Canceled as err:
            failed.send(err)

    cancel(Exception("ada went home"))
    if isinstance(failed.recv(), context.Canceled):
        print("the call under way was given up")
    ctx.done().recv()
    print(ctx.err(), "because", context.cause(ctx))
    try:
        get(ctx, "/report")
    except context.Canceled as err:
        print("/report ->", err)


if __name__ == "__main__":
    main()
