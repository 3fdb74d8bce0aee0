"""One exception that several goroutines are to raise."""

from types import GetSetDescriptorType, MemberDescriptorType, TracebackType

from gopy._core import FREE_THREADED


class Failure:
    """An exception that has ended what several wait for.

    With a GIL each of them raises the exception itself. On a free-threaded Python raising one object on two
    threads at once crashes the interpreter (3.13's frees the traceback twice), so there the first one raises
    it and each of the others a copy. Its traceback and context are read here, before anybody raises it.
    """

    __slots__ = ("_cause", "_context", "_exc", "_handed_out", "_suppress", "_traceback")

    def __init__(self, exc: BaseException, traceback: TracebackType | None) -> None:
        self._exc = exc
        self._traceback = traceback
        self._cause = exc.__cause__
        self._context = exc.__context__
        self._suppress = exc.__suppress_context__
        self._handed_out: dict[str, object] = {}

    def to_raise(self) -> BaseException:
        """The caller's own exception, with the traceback that it had first: raising it again and again would
        make that longer and longer."""
        me = object()
        if not FREE_THREADED or self._handed_out.setdefault("to", me) is me:
            return self._exc.with_traceback(self._traceback)
        exc = copy_of(self._exc)
        exc.__cause__, exc.__context__, exc.__suppress_context__ = self._cause, self._context, self._suppress
        return exc.with_traceback(self._traceback)


def without_frames(exc: BaseException) -> BaseException:
    """A copy of exc, its causes and contexts; none has a traceback, which would keep what has failed."""
    copies: dict[int, BaseException] = {}

    def copy(exc: BaseException | None) -> BaseException | None:
        if exc is None or id(exc) in copies:
            return exc and copies[id(exc)]
        made = copies[id(exc)] = copy_of(exc)
        suppress = exc.__suppress_context__
        made.__cause__, made.__context__ = copy(exc.__cause__), copy(exc.__context__)
        made.__suppress_context__ = suppress
        return made.with_traceback(None)

    return copy(exc) or exc


def copy_of(exc: BaseException) -> BaseException:
    """A copy made without __init__, whose arguments nobody knows."""
    cls = type(exc)
    try:
        made = cls.__new__(cls, *exc.args)
    except Exception:  # a __new__ of its own
        made = BaseException.__new__(cls, *exc.args)
    if type(made) is not cls:
        return exc
    for base in cls.__mro__:
        if base is BaseException:
            break
        for name, member in vars(base).items():
            if isinstance(member, (MemberDescriptorType, GetSetDescriptorType)) and name != "__dict__":
                try:
                    value = getattr(exc, name)
                    if value is not None:  # also what None stands for that nobody has set
                        setattr(made, name, value)
                except (AttributeError, TypeError):  # one that is unset, or only to be read
                    pass
    made.args = exc.args
    made.__dict__.update(exc.__dict__)
    return made
