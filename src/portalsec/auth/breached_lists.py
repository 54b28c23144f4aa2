"""Lists of leaked passwords as they are published, read as keys for `portalsec.auth.breached_build`.

A list is lines of ``SHA-1:count`` or bare SHA-1 in any case, ordered or not, with either kind of line end; or plain
text, a password a line. Compressed by gzip or not. However long a file or one of its lines is, a mebibyte or so of it
is in memory. No message ever quotes a line: it may be somebody's password.
"""

from __future__ import annotations

import codecs
import gzip
import re
import sys
import unicodedata
import zlib
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from portalsec.auth._breach_format import fold, key_of
from portalsec.errors import ConfigurationError

__all__ = ["Form", "ListCounts", "open_list", "read_list"]

Form = Literal["hashes", "plain"]

_BLOCK = 1 << 20
_LONGEST_LINE = 4096  # bytes; nothing that is longer can be a password here
_LONGEST_PASSWORD = 1024  # bytes: what a new password may have at most
_HASH_LINE = re.compile(
    rb"^[ \t]*([0-9A-Fa-f]{16})[0-9A-Fa-f]{24}(?:[ \t]*:[ \t]*([0-9]{1,18}))?[ \t]*\r?$", re.MULTILINE
)
_LOOKED_AT = 100  # lines that tell which form a list has


@dataclass(slots=True)
class ListCounts:
    """What was found in one list. ``form`` is None while nothing was read.

    Attributes:
        taken: entries handed on, repetitions included.
        rare: entries left out because they leaked less often than was asked for.
        unusable: lines of a plain list that are no password: not UTF-8, or longer than 1024 bytes.
    """

    form: Form | None = None
    detected: bool = False
    taken: int = 0
    rare: int = 0
    unusable: int = 0


def read_list(
    file: BinaryIO,
    name: str,
    counts: ListCounts,
    *,
    form: Form | None = None,
    min_count: int = 0,
    folded: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[array[int]]:
    """The keys of a list, a block at a time, not ordered and with repetitions.

    Args:
        file: opened for bytes, at its beginning.
        name: for messages.
        counts: filled while it is read.
        form: of the list; None finds it out from its first lines.
        min_count: leave out hashes that leaked less often; a line without a count counts once.
        folded: case-fold each password before it is hashed; only of plain lists.
        tick: called after each block, for a progress bar.

    Raises:
        ConfigurationError: a line is not of the list's form, a count is missing or asked of a plain list, the file is
            cut or unreadable; names the file, the line and the remedy.
    """
    problem = None
    line = 1
    try:
        with closing(_blocks(_unzipped(file))) as blocks:
            for block in blocks:
                if counts.form is None:
                    counts.form, counts.detected = form or _form_of(block), form is None
                    problem = _unfit(counts.form, min_count=min_count, folded=folded)
                    if problem is not None:
                        break
                if counts.form == "plain":
                    keys = _plain_keys(block, counts, folded=folded)
                else:
                    found = _HASH_LINE.findall(block)
                    if len(found) != block.count(b"\n") and len(found) != _lines_of(block):
                        problem = _first_other_line(block, line)
                        break
                    keys = _hash_keys(found, counts, min_count)
                    line += block.count(b"\n")
                counts.taken += len(keys)
                tick()
                yield keys
    except (OSError, EOFError, zlib.error) as error:
        problem = f"cannot be read to its end ({type(error).__name__}): it may be cut; fetch or copy it again"
    if problem is not None:
        raise ConfigurationError(f"list {name} {problem}")


def open_list(path: Path) -> BinaryIO:
    """A list for reading. Raises `ConfigurationError`."""
    problem = None
    try:
        if path.is_dir():
            problem = "is a folder: name the file itself"
        else:
            return path.open("rb")
    except FileNotFoundError:
        problem = "is missing: check the name"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    raise ConfigurationError(f"list {path} {problem}")


def _unfit(form: Form, *, min_count: int, folded: bool) -> str | None:
    if form == "hashes" and folded:
        return "is of hashes, whose case cannot be folded any more: leave out --ignore-case"
    if form == "plain" and min_count > 1:
        return "is plain text and has no counts: leave out --min-count"
    return None


def _unzipped(file: BinaryIO) -> BinaryIO:
    # Standard input cannot seek, so that the two bytes are looked at where they lie.
    peek = getattr(file, "peek", None)
    if peek is None:
        start = file.read(2)
        file.seek(0)
    else:
        start = peek(2)[:2]
    return gzip.GzipFile(fileobj=file, mode="rb") if start == b"\x1f\x8b" else file  # type: ignore[return-value]


def _blocks(file: BinaryIO) -> Generator[bytes, None, None]:
    """Whole lines, a mebibyte or so at a time. What is left of a line that is far too long stands for the line."""
    rest = b""
    skipping, first = False, True
    while data := file.read(_BLOCK):
        if first:
            data, first = data.removeprefix(codecs.BOM_UTF8), False
        if skipping:
            end = data.find(b"\n")
            if end < 0:
                continue
            data, skipping = data[end:], False
        data = rest + data
        cut = data.rfind(b"\n") + 1
        data, rest = data[:cut], data[cut:]
        if len(rest) > _LONGEST_LINE:
            rest, skipping = rest[: _LONGEST_LINE + 1], True
        if data:
            yield data
    if rest:
        yield rest


def _lines_of(block: bytes) -> int:
    """How many lines are not blank."""
    return len([line for line in block.split(b"\n") if line and not line.isspace()])


def _form_of(block: bytes) -> Form:
    lines = [line for line in block[: _BLOCK // 4].splitlines() if line.strip()][:_LOOKED_AT]
    if len(lines) > 1 and not block.endswith(b"\n") and len(block) > _BLOCK // 4:
        lines.pop()
    hashes = sum(bool(_HASH_LINE.fullmatch(line)) for line in lines)
    # One line in a hundred of a list of passwords may look like a hash, since people do such things.
    return "hashes" if lines and hashes * 2 > len(lines) else "plain"


def _first_other_line(block: bytes, line: int) -> str:
    for number, text in enumerate(block.split(b"\n"), line):
        if text.strip() and not _HASH_LINE.fullmatch(text):
            return (
                f"has something else than a SHA-1 or SHA-1:count in line {number}: "
                "take the line out, or say --plain where it is a list of passwords"
            )
    return "has something else than hashes"  # pragma: no cover


def _hash_keys(found: list[tuple[bytes, bytes]], counts: ListCounts, min_count: int) -> array[int]:
    if min_count > 1:
        kept = [digest for digest, count in found if int(count or b"1") >= min_count]
        counts.rare += len(found) - len(kept)
    else:
        kept = [digest for digest, _ in found]
    keys = array("Q", bytes.fromhex(b"".join(kept).decode("ascii")))
    if sys.byteorder == "little":
        keys.byteswap()
    return keys


def _plain_keys(block: bytes, counts: ListCounts, *, folded: bool) -> array[int]:
    keys = array("Q")
    for line in block.split(b"\n"):
        password = line.removesuffix(b"\r")
        if not password:
            continue
        text = _text(password)
        if text is None:
            counts.unusable += 1
        else:
            keys.append(key_of(fold(text) if folded else text))
    return keys


def _text(line: bytes) -> str | None:
    if len(line) > _LONGEST_PASSWORD:
        return None
    try:
        return unicodedata.normalize("NFC", line.decode("utf-8"))
    except UnicodeDecodeError:
        return None
