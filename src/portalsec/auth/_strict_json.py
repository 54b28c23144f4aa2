"""JSON that a stranger sends, read in one way only: no member twice, no NaN, bounded in depth and in number of parts.

So no two readers can see two different messages in one text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

__all__ = ["Malformed", "depth", "strict_json"]

_MAX_DEPTH: Final = 32
_MAX_MARKS: Final = 2000  # brackets, commas and quotation marks; an honest message has some 60
# A string, ended or not, so that every quotation mark is looked at once; or a bracket.
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)


class Malformed(Exception):
    """The text is no such JSON."""


def strict_json(text: str | bytes) -> Any:
    """What the text says; bytes are UTF-8. Its length is for the caller to bound. Raises `Malformed`."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        elif text.isascii() is False:
            text.encode("utf-8")  # lone surrogates
        # Counted before anything is built of it: 64 KiB of brackets would take 50 ms.
        brackets = text.count("[") + text.count("{")
        if brackets + text.count(",") + text.count('"') > _MAX_MARKS:
            raise Malformed
        if brackets > _MAX_DEPTH and depth(text) > _MAX_DEPTH:
            raise Malformed
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        pass
    raise Malformed


def depth(text: str) -> int:
    """How deep the brackets outside strings go."""
    deepest = level = 0
    for token in _BRACKETS.finditer(text):
        first = token[0][0]
        if first in "[{":
            level += 1
            deepest = max(deepest, level)
        elif first in "]}":
            level -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed
    return members


def _no_constant(_: str) -> NoReturn:
    raise Malformed


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
