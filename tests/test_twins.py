"""Every call that may wait has a twin for those who await, which takes the same arguments."""

import inspect
import re
import types

import pytest
from kinds import twin

import gopy
from gopy import _core, sync
from gopy.net._tls import TLSConn

FUNCTIONS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
)

# What no module's __all__ names.
MORE = [type(sync.RWMutex().rlocker()), _core.NetFD, TLSConn]

# Those that wait. A module or a class has each of these calls, and its twin.
PAIRED = {
    "gopy": "blocking select",
    "runtime": "gosched wait_read wait_write",
    "time": "sleep",
    "Goroutine": "join",
    "SendChan": "send",
    "RecvChan": "recv recv_ok",
    "Chan": "send recv recv_ok",
    "Mutex": "lock",
    "RWMutex": "lock rlock",
    "_RLocker": "lock",
    "WaitGroup": "wait",
    "Cond": "wait",
    "Once": "do",
    "sync": "once_func once_value",
    "Group": "go wait do",  # errgroup's and singleflight's
    "Weighted": "acquire",
    "NetFD": "read read_into read_full write accept retry",
    "Conn": "read read_into read_full write accept retry start_tls close close_write",
    "TLSConn": "read read_into read_full write accept retry start_tls close close_write handshake",
    "Listener": "accept",
    "PacketConn": "read_from write_to",
    "net": "dial listen listen_packet lookup_host",
}


# Calls whose documentation speaks of waiting, and which do not wait, or have no use for a twin.
WITHOUT = {
    "go": "says that a goroutine need not wait for it",
    "with_timeout": "does not wait",
    "with_timeout_cause": "does not wait",
    "dump_on": "happens while goroutines are parked",
    "leaked": "tells of those that wait",
    "goexit": "tells of deferred calls",
    "preempt": "does not wait",
    "notify": "never blocks",
    "stack": "shows who is parked",
    "control": "its function must not block",
    "makefile": "its file's calls wait",
    "try_lock": "does not wait",
    "try_rlock": "does not wait",
    "close": "of what is no connection: ends the waits of others",
    "set_deadline": "ends the waits of others",
    "set_read_deadline": "ends the waits of others",
    "set_write_deadline": "ends the waits of others",
    "serve": "waits for the listener's end: go(listener.serve, handler)",
}


def name_of(owner):
    return owner.__name__.removeprefix("gopy.")


def owners():
    """The modules and classes whose calls are public."""
    modules = [getattr(gopy, name) for name in gopy.__all__]
    modules = [gopy, *(module for module in modules if inspect.ismodule(module))]
    found = [getattr(module, name) for module in modules for name in module.__all__]
    return dict.fromkeys([*modules, *(each for each in found if inspect.isclass(each)), *MORE])


def names_in(cls):
    """What a class has of its own, and from classes of ours."""
    ours = [each for each in cls.__mro__ if each.__module__.startswith("gopy")]
    return {name for each in ours for name in vars(each) if name[0] != "_"}


def calls_of(owner):
    """The public ones: {name: function}."""
    names = sorted(owner.__all__ if inspect.ismodule(owner) else names_in(owner))
    found = {name: getattr(owner, name) for name in names}
    return {name: call for name, call in found.items() if isinstance(call, FUNCTIONS)}


CALLS = [(owner, name) for owner in owners() for name in calls_of(owner)]
PAIRS = [(owner, name) for owner, name in CALLS if twin(name) in calls_of(owner)]


def ids(pairs):
    return [f"{name_of(owner)}.{name}" for owner, name in pairs]


def test_those_that_wait_have_twins():
    found = {}
    for owner, name in PAIRS:
        found.setdefault(name_of(owner), set()).add(name)
    assert found == {owner: set(names.split()) for owner, names in PAIRED.items()}


def parameters(call):
    """Names, kinds and defaults, without annotations. What `self` is differs between C and Python."""
    found = inspect.signature(call).parameters.values()
    return [each.replace(annotation=each.empty) for each in found if each.name != "self"]


def may_wait(call):
    """By what is written about it."""
    doc = re.sub(r"\s+", " ", call.__doc__ or "")
    return "timeout" in inspect.signature(call).parameters or bool(re.search(r"\b([Pp]ark|[Bb]lock)", doc))


@pytest.mark.parametrize(("owner", "name"), CALLS, ids=ids(CALLS))
def test_what_may_wait_has_a_twin(owner, name):
    calls = calls_of(owner)
    is_twin = any(twin(other) == name for other in calls)
    if name not in WITHOUT and not is_twin and may_wait(calls[name]):
        assert twin(name) in calls


@pytest.mark.parametrize(("owner", "name"), PAIRS, ids=ids(PAIRS))
def test_a_twin_takes_the_same_arguments(owner, name):
    call, other = getattr(owner, name), getattr(owner, twin(name))
    assert parameters(call) == parameters(other)
    assert other.__doc__
