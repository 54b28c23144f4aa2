"""A reader of DER (X.690), just enough for the extensions of attestation certificates.

Definite lengths in their shortest form only; nothing is read past what holds it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = [
    "CONTEXT",
    "ENUMERATED",
    "INTEGER",
    "OCTETS",
    "SEQUENCE",
    "SET",
    "Element",
    "MalformedDer",
    "elements",
    "one",
]

INTEGER, OCTETS, ENUMERATED, SEQUENCE, SET = 2, 4, 10, 16, 17
CONTEXT: Final = 2 << 30
"""Added to a tag's number for the context-specific class: ``CONTEXT | 702``."""

_MOST: Final = 200


class MalformedDer(Exception):
    """Not what this reader takes."""


class Element(NamedTuple):
    """One element: its class and tag number in one, and its content."""

    tag: int
    content: bytes

    def expect(self, tag: int) -> bytes:
        """The content, where the tag is this one; otherwise `MalformedDer`."""
        if self.tag != tag:
            raise MalformedDer
        return self.content

    def number(self, tag: int = INTEGER) -> int:
        """A whole number below 2**63; `MalformedDer` for another tag or length."""
        content = self.expect(tag)
        if not 1 <= len(content) <= 8:
            raise MalformedDer
        return int.from_bytes(content, "big", signed=True)


def elements(data: bytes) -> list[Element]:
    """The elements that ``data`` is made of. Raises `MalformedDer`."""
    found: list[Element] = []
    at = 0
    while at < len(data):
        if len(found) == _MOST:
            raise MalformedDer
        element, at = _element(data, at)
        found.append(element)
    return found


def one(data: bytes) -> Element:
    """The one element that ``data`` is. Raises `MalformedDer`."""
    element, end = _element(data, 0)
    if end != len(data):
        raise MalformedDer
    return element


def _element(data: bytes, at: int) -> tuple[Element, int]:
    try:
        first, at = data[at], at + 1
        number = first & 0x1F
        if number == 0x1F:  # more than 30: seven bits a byte (Android's 600 and 702)
            number = 0
            for _ in range(3):
                number, more, at = number << 7 | data[at] & 0x7F, data[at] & 0x80, at + 1
                if not more:
                    break
            else:
                raise MalformedDer
        length, at = data[at], at + 1
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(data[at : at + size], "big")
            if not 1 <= size <= 3 or length < (0x80 if size == 1 else 1 << 8 * (size - 1)):
                raise MalformedDer
            at += size
    except IndexError:
        raise MalformedDer from None
    if at + length > len(data):
        raise MalformedDer
    return Element((first >> 6) << 30 | number, data[at : at + length]), at + length
