"""How much of an evaluation stack a frame owns while it calls C, for CPython up to 3.13.

There a frame does not say how deep its stack is while a C function runs that it has called. But the depth at
each instruction follows from the code. An instruction that is under way may have used up what it works on,
so that does not count, but for those that are known to keep it until they are over.
"""

import dis
import sys
from itertools import pairwise
from types import CodeType

_cache: dict[CodeType, dict[int, tuple[int, int]]] = {}

# Calls, for which the newest frame keeps function and arguments until the called function has returned.
_CALLS = {"PRECALL": 2, "CALL": 2, "CALL_KW": 3}
# What the others work on, of those that call C code which may park.
_OPERANDS = {
    "FOR_ITER": 1,
    "BEFORE_WITH": 1,
    "GET_ITER": 1,
    "LOAD_ATTR": 1,
    "LOAD_METHOD": 1,
    "UNARY_NOT": 1,
    "BINARY_OP": 2,
    "BINARY_SUBSCR": 2,
    "COMPARE_OP": 2,
    "CONTAINS_OP": 2,
    "STORE_ATTR": 2,
    "STORE_SUBSCR": 3,
}
_ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
_JUMPS = {"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"}


def _effect(instruction: dis.Instruction, jump: bool) -> int:
    if sys.version_info < (3, 12):  # there the two halves of a call are not told apart
        if instruction.opname == "PRECALL":
            return 0
        if instruction.opname == "CALL":
            return -1 - (instruction.arg or 0)
    return dis.stack_effect(instruction.opcode, instruction.arg, jump=jump)


def _walk(code: CodeType) -> dict[int, int] | None:
    """The depth before each instruction, by offset. None: the code is not understood."""
    instructions = list(dis.get_instructions(code))
    after = {each.offset: following.offset for each, following in pairwise(instructions)}
    by_offset = {each.offset: each for each in instructions}
    handlers = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    depths: dict[int, int] = {}
    todo = [(0, 0)] + [(each.target, each.depth + each.lasti + 1) for each in handlers]
    while todo:
        offset, depth = todo.pop()
        if offset in depths:
            if depths[offset] != depth:
                return None
            continue
        depths[offset] = depth
        instruction = by_offset[offset]
        name = instruction.opname
        if not 0 <= depth <= code.co_stacksize or (name == "RETURN_VALUE" and depth != 1):
            return None
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            todo.append((instruction.argval, depth + _effect(instruction, jump=True)))
        if name not in _ENDS and name not in _JUMPS:
            todo.append((after[offset], depth + _effect(instruction, jump=False)))
    return depths


def _owned(instruction: dis.Instruction, depth: int) -> tuple[int, int]:
    name = instruction.opname
    if name in _CALLS:
        return depth, depth - _CALLS[name] - (instruction.arg or 0)
    if name == "FOR_ITER":
        return depth, depth - 1
    below = depth - _OPERANDS[name] if name in _OPERANDS else 0
    return below, below


def enters(code: CodeType, offset: int) -> bool:
    """Does the instruction at offset call a context manager's __enter__?"""
    return code.co_code[offset] == dis.opmap["BEFORE_WITH"]


def owned(code: CodeType, offset: int, newest: bool) -> int:
    """How many entries of its stack a frame of this code owns for sure, in a call of C that the instruction
    at offset makes. newest: no other frame of Python's has come of that call."""
    known = _cache.get(code)
    if known is None:
        depths = None if code.co_flags & (0x20 | 0x80 | 0x200) else _walk(code)
        known = {}
        if depths is not None:
            for each in dis.get_instructions(code):
                if each.offset in depths:
                    known[each.offset] = _owned(each, depths[each.offset])
        _cache[code] = known
    return max(known.get(offset, (0, 0))[0 if newest else 1], 0)
