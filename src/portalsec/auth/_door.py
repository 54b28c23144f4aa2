"""The token that opens the one door.

`Evidence` is minted, and a session opened, only by code that presents `DOOR`; a test holds the list of modules that
import it. It stops accidents and shortcuts (a view that builds its own evidence); it does not pretend to stop
hostile code inside the process, which nothing in Python can.
"""

from __future__ import annotations

from typing import Final

__all__ = ["DOOR", "require_door"]

DOOR: Final = object()


def require_door(door: object, what: str) -> None:
    """Raise `TypeError` unless ``door`` is the token."""
    if door is not DOOR:
        raise TypeError(f"{what} is made by portalsec.auth alone: sign in through SignIn")
