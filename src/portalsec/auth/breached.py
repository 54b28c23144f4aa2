"""Passwords that leaked or that everybody uses, asked of a file on this machine: `BreachFile` and `Bundled`.

A file is made by ``portalsec breached build`` (`portalsec.auth.breached_build`) and mapped into memory: it opens in
milliseconds at any size, its pages are shared between processes, and what is looked up most stays warm. Both satisfy
`portalsec.auth.ports.BreachSource` and are safe to use from any number of threads.

Replace a file by renaming another over it, as the builder does: a process that has it open goes on with the old one.
Writing into a file that is open, or cutting it, ends the process (SIGBUS).
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from portalsec.auth._breach_format import Header, Unreadable, check_of, fold, unpack
from portalsec.errors import BreachSourceUnavailable, ConfigurationError

__all__ = ["BreachFile", "Bundled", "repeated_unit", "shorter"]

_LITTLE = "0123456789!?.,*@#$%&+-_ "
_MOST_LITTLE = 4
_sha1 = hashlib.sha1
_Ready = tuple[
    int, int, int, int, int
]  # offset, seed, first cells to choose from, cells of a segment, its mask


class BreachFile:
    """A file of leaked passwords.

    A password of the file is always found; another one is found with the probability ``false_positive_rate``.

    Attributes:
        name: how events and messages call it: the file's name.
        local: True: asking costs no request, so a live meter may.
        entries: how many passwords it was made of.
        false_positive_rate: as the file states it: 1/256, or 1/16,777,216 of the bundled one.
        folded: case does not matter; otherwise it does, as in the lists that are published.
        min_count: how often a password had to have leaked, or 0 where the list had no counts.
        label: where the file says that it comes from.
    """

    local = True

    def __init__(self, path: Path | str, *, name: str | None = None) -> None:
        """Open it: header and directory are read and checked, each shard when it is first used.

        Raises:
            ConfigurationError: it is missing, unreadable, cut, damaged, or no such file; names the file and the remedy.
        """
        self._path = Path(path)
        self.name = name or self._path.name
        problem = None
        try:
            self._map = _mapped(self._path)
            with memoryview(self._map) as view:
                header, shards = unpack(view)
        except FileNotFoundError:
            problem = "is missing: make it with  portalsec breached build, or name another"
        except OSError as error:
            problem = f"cannot be read ({error.strerror}): name a file that this process may read"
        except (Unreadable, ValueError) as error:
            problem = str(error)
        if problem is not None:
            raise ConfigurationError(f"breach file {self._path} {problem}")
        self._shards = shards
        self._read_header(header)
        # What a look-up needs of each shard; None until its bytes were checked.
        self._ready: list[_Ready | None] = [None] * len(shards)

    def _read_header(self, header: Header) -> None:
        self.entries = header.entries
        self.false_positive_rate = 2.0**-header.bits
        self.folded = header.folded
        self.min_count = header.min_count
        self.label = header.label
        self._shift = 64 - header.shard_bits
        self._width = header.bits // 8
        self._fingerprint = (1 << header.bits) - 1

    def contains(self, password: str) -> bool:
        """Whether the password is in the file, as `NFC` and, where the file is `folded`, in any case.

        Raises:
            BreachSourceUnavailable: the part of the file that would say so is damaged, which names file and remedy, or
                the file was closed.
        """
        text = password if password.isascii() else unicodedata.normalize("NFC", password)
        if self.folded:
            text = fold(text)
        digest = _sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
        try:
            return self.contains_key(int.from_bytes(digest[:8], "big"))
        except ValueError:  # the map is closed
            pass
        raise BreachSourceUnavailable(f"breach file {self._path} was closed")

    def contains_key(self, key: int) -> bool:
        """The same of the first 64 bits of a SHA-1."""
        number = key >> self._shift
        offset, seed, span, size, mask = self._ready[number] or self._check(number)
        if not span:
            return False
        # `portalsec.auth._fuse.found`, in the mapped file and without a call or a global name: a look-up's whole cost.
        h = (key + seed) & 0xFFFFFFFFFFFFFFFF
        h = ((h ^ h >> 33) * 0xFF51AFD7ED558CCD) & 0xFFFFFFFFFFFFFFFF
        h = ((h ^ h >> 33) * 0xC4CEB9FE1A85EC53) & 0xFFFFFFFFFFFFFFFF
        h ^= h >> 33
        a = h * span >> 64
        b = (a + size) ^ (h >> 18 & mask)
        c = (a + 2 * size) ^ (h & mask)
        cells, width = self._map, self._width
        if width == 1:
            return cells[offset + a] ^ cells[offset + b] ^ cells[offset + c] == (h ^ h >> 32) & 255
        a, b, c = offset + a * width, offset + b * width, offset + c * width
        three = (
            int.from_bytes(cells[a : a + width], "little")
            ^ int.from_bytes(cells[b : b + width], "little")
            ^ int.from_bytes(cells[c : c + width], "little")
        )
        return three == (h ^ h >> 32) & self._fingerprint

    def verify(self) -> Self:
        """Check every byte; of a large file, this reads it all. Returns the file itself.

        Raises:
            ConfigurationError: it is damaged; names the file and the remedy.
        """
        problem = None
        for number in range(len(self._shards)):
            try:
                self._check(number)
            except BreachSourceUnavailable as error:
                problem = str(error)
                break
        if problem is not None:
            raise ConfigurationError(problem)
        return self

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self._map)

    def close(self) -> None:
        """Let go of the file; nothing can be looked up afterwards."""
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, entries={self.entries})"

    def _check(self, number: int) -> _Ready:
        """Once a shard: two threads that come at the same time both check it, which harms nothing."""
        shard = self._shards[number]
        with memoryview(self._map) as view, view[shard.offset : shard.offset + shard.size] as part:
            right = check_of(part) == shard.check
        if not right:
            raise BreachSourceUnavailable(f"breach file {self._path} is damaged: build or copy it again")
        size = 1 << shard.segment_log2
        ready = shard.offset, shard.seed, shard.segments << shard.segment_log2, size, size - 1
        self._ready[number] = ready
        return ready


class Bundled(BreachFile):
    """The list that comes with portalsec: the passwords that are tried first, in any case.

    zxcvbn's and Django's lists of common passwords, and what people make of them where more characters are asked for
    (`portalsec.auth.candidates`). At every minimum length from 8 to 20 it holds at least 3,000 (OWASP ASVS 6.2.4).

    What only makes one of them longer counts for nothing: one digit or sign over and over at its end, and the same
    again, whole or cut off, with up to four digits or signs behind ("Monday2024!!!!!", "welcome1welcome1wel").
    """

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent / "data" / "common.breach", name="bundled")

    def contains(self, password: str) -> bool:
        """Whether the password is in the list, or is one of the list made longer, in any case.

        Raises:
            BreachSourceUnavailable: see `BreachFile.contains`.
        """
        found = super().contains
        return found(password) or any(map(found, shorter(fold(unicodedata.normalize("NFC", password)))))


def shorter(text: str) -> Iterator[str]:
    """What a folded text was, where it was only made longer. Some may come twice."""
    core = _core(text)
    if core != text:
        yield core
    for whole in {text: None, core: None}:
        unit = repeated_unit(whole)
        if unit == whole:
            # A word twice or more, with something little behind it.
            rest = whole.rstrip(_LITTLE)
            if len(whole) - len(rest) <= _MOST_LITTLE and 2 * len(repeated_unit(rest)) <= len(rest):
                unit = repeated_unit(rest)
        if unit != whole:
            yield unit
            yield _core(unit)


def _core(text: str) -> str:
    """Without the digit or sign that stands at its end, however often; never empty."""
    return text if text[-1:].isalpha() else text.rstrip(text[-1:]) or text


def repeated_unit(text: str) -> str:
    """What the text repeats, whole or cut off; the text itself where it does not. Linear in its length."""
    if text.find(text[:1], 1) < 0:
        return text
    # The longest beginning that is an end too, of every beginning (Knuth, Morris and Pratt).
    ends, size = [0], 0
    for char in text[1:]:
        while size and text[size] != char:
            size = ends[size - 1]
        size += text[size] == char
        ends.append(size)
    return text[: len(text) - size]


def _mapped(path: Path) -> mmap.mmap:
    # Not blocking: a pipe in the file's place would wait for a writer.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unreadable("is not a file: name the breach file itself")
        if os.fstat(handle).st_size == 0:
            raise Unreadable("is empty: build or copy it again")
        return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(handle)
