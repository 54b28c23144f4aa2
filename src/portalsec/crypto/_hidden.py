"""`Hidden`: what every object that holds a key inherits."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Hidden"]


class Hidden:
    """Shows its class name only, and refuses to be pickled or copied.

    A pickle is how a key reaches a cache, a task queue or a crash report; a second copy is one more place that
    nobody remembers. Such objects are passed by reference.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} holds a key and cannot be pickled or copied; pass it by reference"
        )
