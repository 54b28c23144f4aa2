"""Ids that a test can predict."""

from __future__ import annotations

import itertools

__all__ = ["SequentialIds"]

_MILLIS = 0x019C_0000_0000


class SequentialIds:
    """A `portalsec.typing.NewId`: UUIDv7-shaped text (RFC 9562 section 5.7) that sorts in the order of the calls.

    The n-th call gives the same id in every run; ``start`` keeps two generators of one test apart. Calls from
    several threads never give one id twice.
    """

    def __init__(self, start: int = 1) -> None:
        self._numbers = itertools.count(start)

    def __call__(self) -> str:
        number = next(self._numbers)
        value = (_MILLIS + number) << 80 | 0x7 << 76 | 0b10 << 62 | number
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
