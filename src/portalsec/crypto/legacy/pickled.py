"""One scalar out of a pickle, without the unpickler.

`pickle` imports and calls whatever a pickle names. This reads the opcodes instead, and knows only those that a str,
bytes, bool, int, float, date, datetime, time zone of fixed offset, Decimal or UUID is made of. A class is a name on a
fixed list, never an import; anything else is refused. No containers, so nothing can refer to itself or grow.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

__all__ = ["PickleRefused", "scalar"]

_MOST_BYTES = 1 << 20
_MOST_STEPS = 200  # an aware datetime takes about forty


class PickleRefused(ValueError):
    """The pickle is not one scalar of a known type; the text never has any of it."""


class _Class:
    """A name on the list, standing on the stack."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[tuple[Any, ...]], object]) -> None:
        self.make = make


class _Uuid:
    """``UUID.__new__(UUID)``, waiting for its state."""

    __slots__ = ()


def scalar(data: bytes) -> object:
    """The value.

    Raises:
        PickleRefused: anything else than one value of a known type, None among it; longer than 1 MiB.
    """
    if len(data) > _MOST_BYTES:
        raise PickleRefused("it is longer than 1 MiB")
    problem = "it is no pickle"
    try:
        return _run(data)
    except PickleRefused:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, ArithmeticError, AttributeError):
        pass
    raise PickleRefused(problem)


def _run(data: bytes) -> object:
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    argument: Any
    for step, (opcode, argument, at) in enumerate(pickletools.genops(data)):
        if step > _MOST_STEPS:
            raise PickleRefused("it has more steps than a scalar")
        name = opcode.name
        if name == "STOP":
            if len(stack) != 1 or at != len(data) - 1:
                raise PickleRefused("it is more than one value")
            return _value(stack[0])
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _IGNORED:
            continue
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(module, attribute))
        elif name in _TUPLES:
            size = _TUPLES[name]
            if len(stack) < size:
                _refused()
            stack[-size:] = [tuple(stack[-size:])]
        elif name == "REDUCE":
            arguments, made = stack.pop(), stack.pop()
            stack.append(_called(made, arguments))
        elif name == "NEWOBJ":
            arguments, made = stack.pop(), stack.pop()
            if made is not _KNOWN["uuid", "UUID"] or arguments != ():
                _refused()
            stack.append(_Uuid())
        elif name == "EMPTY_DICT":
            # Only as the state of a UUID that stands before it.
            if not stack or not isinstance(stack[-1], _Uuid):
                _refused()
            stack.append({})
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            if not isinstance(stack[-1], dict) or key != "int" or type(value) is not int or stack[-1]:
                _refused()
            stack[-1]["int"] = value
        elif name == "BUILD":
            state, made = stack.pop(), stack.pop()
            if not isinstance(made, _Uuid) or not isinstance(state, dict):
                _refused()
            stack.append(UUID(int=state["int"]))
        else:
            _refused()
    raise PickleRefused("it has no end")


def _value(value: object) -> object:
    if type(value) in _SCALARS:
        return value
    return _refused()


def _named(module: object, attribute: object) -> _Class:
    found = _KNOWN.get((module, attribute))  # type: ignore[arg-type]
    return found if found is not None else _refused()


def _called(made: object, arguments: object) -> object:
    if not isinstance(made, _Class) or not isinstance(arguments, tuple):
        _refused()
    return made.make(arguments)


# -- the list: each takes the arguments that pickle writes, and no others ------------------------------------------


def _date(arguments: tuple[Any, ...]) -> date:
    (packed,) = arguments
    if type(packed) is not bytes or len(packed) != 4:
        _refused()
    return date(packed[0] << 8 | packed[1], packed[2], packed[3])


def _datetime(arguments: tuple[Any, ...]) -> datetime:
    packed, zone = arguments if len(arguments) == 2 else (*arguments, None)
    if type(packed) is not bytes or len(packed) != 10 or not (zone is None or type(zone) is timezone):
        _refused()
    fold, month = packed[2] >> 7, packed[2] & 0x7F
    microsecond = int.from_bytes(packed[7:10], "big")
    year = packed[0] << 8 | packed[1]
    day, hour, minute, second = packed[3:7]
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone, fold=fold)


def _timedelta(arguments: tuple[Any, ...]) -> timedelta:
    if len(arguments) != 3 or any(type(part) is not int for part in arguments):
        _refused()
    return timedelta(*arguments)


def _timezone(arguments: tuple[Any, ...]) -> timezone:
    (offset,) = arguments
    if type(offset) is not timedelta:
        _refused()
    return timezone(offset) if offset else UTC


def _decimal(arguments: tuple[Any, ...]) -> Decimal:
    (text,) = arguments
    if type(text) is not str or len(text) > 4000:
        _refused()
    try:
        return Decimal(text)
    except InvalidOperation:
        pass
    return _refused()


def _no_call(arguments: tuple[Any, ...]) -> NoReturn:
    _refused()


def _refused() -> NoReturn:
    raise PickleRefused("it holds something that is not on the list")


_KNOWN: Mapping[tuple[str, str], _Class] = MappingProxyType(
    {
        ("datetime", "date"): _Class(_date),
        ("datetime", "datetime"): _Class(_datetime),
        ("datetime", "timedelta"): _Class(_timedelta),
        ("datetime", "timezone"): _Class(_timezone),
        ("decimal", "Decimal"): _Class(_decimal),
        ("uuid", "UUID"): _Class(_no_call),
    }
)
_SCALARS = frozenset({str, bytes, bool, int, float, date, datetime, Decimal, UUID})
_CONSTANTS: Mapping[str, Any] = MappingProxyType(
    {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
)
_LITERALS = frozenset(
    {
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
    }
    | {"SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
)
_IGNORED = frozenset({"PROTO", "FRAME"})
_TUPLES = MappingProxyType({"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3})
