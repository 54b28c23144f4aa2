"""Whether stored data may be a ciphertext, however damaged: what `Plaintext` never takes for a value.

The question is asked of the data alone, and not whether they still begin as a cell of ours does: the byte that was
changed may be the first. A ciphertext is noise, and what people write is not. So everything is refused that is as long
as a ciphertext and either no text, or text without words: letters of both cases and digits mixed as no word has them,
which is what base64 looks like, or hexadecimal digits. Data that are noise and were meant, keys and tokens and pictures,
look the same and are refused as well: an error that is listed, where a value that is lost would not be.
"""

from __future__ import annotations

import re

__all__ = ["may_be_sealed"]

# What is shorter is no ciphertext, and no piece of one that holds any of the value: 5 bytes of prefix and 12 of nonce.
_FEWEST_BYTES = 17
_FEWEST_CHARACTERS = 32
_FEWEST_HEX = 48

_UUID = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32})(?![0-9A-Za-z])"
)
_QUOTED = re.compile(r"b?(['\"])(.*)\1", re.DOTALL)
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd]")
_HIGH = re.compile("[\xa1-\xff]")  # bytes that somebody read as Latin-1
_OUTSIDE = re.compile(r"[^A-Za-z0-9+/_=-]")
_NO_HEX = re.compile(r"[^0-9a-fA-F]")
_BETWEEN = re.compile(r"[\s:-]")
# Neighbours of two kinds, but for a word's own capital: in base64 every other, in words very few.
_CHANGE = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[0-9]|(?<=[A-Z0-9][A-Z])[a-z]|(?<=[0-9])[A-Za-z]")
_NEIGHBOURS = re.compile(r"(?<=[A-Za-z0-9])[A-Za-z0-9]")
_MIXED = 0.25
_ODD = 0.11  # of base64 whose case was folded; words have no digits inside
_MOST = 65536


def may_be_sealed(data: bytes | str) -> bool:
    """Whether these bytes, or this text, may be a ciphertext; linear in their length, and no longer than for 64 KiB."""
    data = data[:_MOST]  # noise is noise everywhere
    if isinstance(data, bytes):
        if len(data) < _FEWEST_BYTES:
            return False
        try:
            text = data.decode() if len(data) < _MOST else data.decode(errors="ignore")
        except UnicodeDecodeError:
            return True
    else:
        text = data
    if _NO_TEXT.search(text) or len(_HIGH.findall(text)) > max(5, 0.3 * len(text)):
        return True
    return _is_encoded(_UUID.sub("", _unwrapped(_unquoted(text))))


def _unquoted(text: str) -> str:
    """Without the white space around it, and without the quotes of a `repr` or of JSON."""
    text = text.strip()
    match = _QUOTED.fullmatch(text)
    return match[2].strip() if match else text


def _unwrapped(text: str) -> str:
    """Without the line breaks of a long run of characters that was wrapped; those of prose stay."""
    lines = text.split()
    return "".join(lines) if lines[1:] and min(map(len, lines[:-1])) >= _FEWEST_CHARACTERS else text


def _is_encoded(text: str) -> bool:
    digits = _BETWEEN.sub("", text.removeprefix("\\x").removeprefix("0x"))
    strangers = len(_NO_HEX.findall(digits))
    if len(digits) >= _FEWEST_HEX and strangers <= 1 + len(digits) // 20 and not digits.isdecimal():
        return True  # a long number is a number
    strangers = len(_OUTSIDE.findall(text))
    if len(text) < _FEWEST_CHARACTERS or strangers > 2 + len(text) // 16:
        return False
    one_case = text in (text.lower(), text.upper())
    as_a_cell = not strangers and text[0] == "A" and text[1] in _SECOND
    most = _ODD if as_a_cell or one_case else _MIXED
    return len(_CHANGE.findall(text)) > max(4, most * len(_NEIGHBOURS.findall(text)))


# What base64 makes, behind "A", of a first byte 0x00 or 0x01: what the outputs of Tink's keys begin with.
_SECOND = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef")
