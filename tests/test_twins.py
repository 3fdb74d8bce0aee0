"""Every call that may wait has a twin for those who await, which takes the same arguments."""

import inspect
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
    "NetFD": "read read_into read_full write accept retry",
    "Conn": "read read_into read_full write accept retry start_tls close close_write",
    "TLSConn": "read read_into read_full write accept retry start_tls close close_write handshake",
    "Listener": "accept",
    "PacketConn": "read_from write_to",
    "net": "dial listen listen_packet lookup_host",
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


@pytest.mark.parametrize(("owner", "name"), PAIRS, ids=ids(PAIRS))
def test_a_twin_takes_the_same_arguments(owner, name):
    call, other = getattr(owner, name), getattr(owner, twin(name))
    assert parameters(call) == parameters(other)
    assert other.__doc__
