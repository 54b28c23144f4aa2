"""`Secret`: bytes or text that never shows itself."""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar

__all__ = ["Secret"]

T = TypeVar("T", str, bytes)


class Secret(Generic[T]):
    """Wraps a value that must not reach a log, a traceback, a pickle or a template by accident.

    `reveal` is the one way to the value, so that ``grep reveal`` lists every place where a secret is used.
    Equality is constant-time and only against another `Secret`.
    """

    __slots__ = ("__value",)

    def __init__(self, value: T) -> None:
        self.__value: T = value

    def reveal(self) -> T:
        """The value itself."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_as_bytes(self.reveal()), _as_bytes(other.reveal()))

    def __hash__(self) -> NoReturn:
        # A hash in a dict lets timing and iteration order speak about the value.
        raise TypeError("a Secret is not hashable")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied; pass it by reference")

    def __bool__(self) -> bool:
        return bool(self.__value)


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
