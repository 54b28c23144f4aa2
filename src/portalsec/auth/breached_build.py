"""Makes a breach file out of any number of keys in bounded memory.

Keys are first spread over temporary files by their leading bits, each of these is put in order without repetitions,
and then the file is written shard by shard: about 300 MiB of memory at any size, and 16 bytes of temporary disk a key at
most. The same set of keys gives the same bytes, in whatever order and however often each came.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from portalsec.auth._breach_format import MAX_SHARD_BITS, Header, Shard, pack, shard_of, size_of_front
from portalsec.auth._fuse import MAX_KEYS, make_fuse
from portalsec.errors import ConfigurationError

__all__ = ["Built", "build_breach_file"]

_SHARD = 1 << 18  # keys of a shard, at most on average
_SPILL = 1 << 21  # keys held before they go to disk
_SORT = 1 << 21  # distinct keys that are put in order at a time
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What was written: ``entries`` distinct keys, of ``given`` in all, in ``size`` bytes."""

    entries: int
    given: int
    size: int


def build_breach_file(
    blocks: Iterable[array[int]],
    out: Path,
    *,
    bits: int = 8,
    folded: bool = False,
    min_count: int = 0,
    label: str = "",
    temp: Path | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Write a breach file, wholly or not at all; what was there before is replaced at the end by a rename.

    Args:
        blocks: arrays of typecode "Q": the first 64 bits of SHA-1s, in any order, with repetitions.
        out: the file.
        bits: of a fingerprint, 8, 16, 24 or 32; the rate of false answers is ``2**-bits``.
        folded, min_count, label: said in the file's header.
        temp: folder for temporary files; that of ``out`` by default.
        tick: called with entries written and entries in all after each shard.

    Raises:
        ConfigurationError: nothing to write, more keys with the same leading bits than SHA-1 gives, or it cannot be
            written; names the file.
    """
    problem = None
    try:
        with contextlib.ExitStack() as stack:
            folder = _Folder(stack, temp or out.parent)
            spool = _Spool(folder, shift=56)
            for block in blocks:
                spool.add(block)
            ordered = _Ordered(folder)
            for part in spool.in_order():
                ordered.add(part)
            if not ordered.entries:
                problem = "would be empty: the lists hold nothing, or nothing that is common enough"
            else:
                header = Header(
                    bits=bits,
                    shard_bits=_shard_bits(ordered.entries),
                    folded=folded,
                    entries=ordered.entries,
                    min_count=min_count,
                    label=label,
                )
                size = _write(out, header, ordered, tick)
                return Built(entries=ordered.entries, given=spool.given, size=size)
    except OSError as error:
        problem = f"cannot be written ({error.strerror}): choose a folder you may write, with room in it"
    except OverflowError:
        problem = (
            "cannot be made: far too many of the hashes begin alike, so that they are no SHA-1 of passwords"
        )
    raise ConfigurationError(f"breach file {out} {problem}")


class _Folder:
    """A temporary folder that is made when it is first needed, readable by its owner alone."""

    def __init__(self, stack: contextlib.ExitStack, parent: Path) -> None:
        self._stack, self._parent = stack, parent
        self._made: Path | None = None
        self._count = 0

    def new_path(self) -> Path:
        if self._made is None:
            made = tempfile.TemporaryDirectory(prefix=".portalsec-", dir=self._parent)
            self._made = Path(self._stack.enter_context(made))
        self._count += 1
        return self._made / str(self._count)


class _Spool:
    """Keys by eight of their bits, in memory as long as they are few, then on disk."""

    def __init__(self, folder: _Folder, *, shift: int) -> None:
        self._folder, self._shift = folder, shift
        self._parts = [array("Q") for _ in range(256)]
        self._files: list[Path | None] = [None] * 256
        self._held = 0
        self.given = 0

    def add(self, keys: array[int]) -> None:
        parts, shift = self._parts, self._shift
        for key in keys:
            parts[key >> shift & 255].append(key)
        self.given += len(keys)
        self._held += len(keys)
        if self._held >= _SPILL:
            self._spill()

    def _spill(self) -> None:
        for number, part in enumerate(self._parts):
            if part:
                path = self._files[number] = self._files[number] or self._folder.new_path()
                with path.open("ab") as file:
                    part.tofile(file)
                self._parts[number] = array("Q")
        self._held = 0

    def in_order(self) -> Iterator[array[int]]:
        """Every key once, in order. Empties the spool."""
        for number in range(256):
            distinct: set[int] = set()
            for chunk in self._chunks(number):
                distinct.update(chunk)
                if len(distinct) > _SORT:
                    break
            if len(distinct) > _SORT and self._shift:
                del distinct
                finer = _Spool(self._folder, shift=self._shift - 8)
                for chunk in self._chunks(number):
                    finer.add(chunk)
                self._forget(number)
                yield from finer.in_order()
            elif distinct:
                self._forget(number)
                yield array("Q", sorted(distinct))

    def _chunks(self, number: int) -> Iterator[array[int]]:
        path = self._files[number]
        if path is not None:
            yield from _read(path)
        yield self._parts[number]

    def _forget(self, number: int) -> None:
        self._parts[number] = array("Q")
        path = self._files[number]
        if path is not None:
            path.unlink()


class _Ordered:
    """All keys in order: the arrays as they come while they are few, then one file."""

    def __init__(self, folder: _Folder) -> None:
        self._folder = folder
        self._parts: list[array[int]] = []
        self._held = 0
        self._path: Path | None = None
        self.entries = 0

    def add(self, part: array[int]) -> None:
        self._parts.append(part)
        self.entries += len(part)
        self._held += len(part)
        if self._held >= _SPILL:
            self._path = self._path or self._folder.new_path()
            with self._path.open("ab") as file:
                for each in self._parts:
                    each.tofile(file)
            self._parts, self._held = [], 0

    def by_shard(self, shard_bits: int) -> Iterator[list[int]]:
        """The keys of each shard, the empty ones too."""
        shift = 64 - shard_bits
        current, held = 0, list[int]()
        for chunk in self._chunks():
            start = 0
            while start < len(chunk):
                number = chunk[start] >> shift
                end = bisect_left(chunk, (number + 1) << shift, start)
                while current < number:
                    yield held
                    current, held = current + 1, []
                held.extend(chunk[start:end])
                if len(held) > MAX_KEYS:
                    raise OverflowError
                start = end
        while current < 1 << shard_bits:
            yield held
            current, held = current + 1, []

    def _chunks(self) -> Iterator[array[int]]:
        if self._path is not None:
            yield from _read(self._path)
        yield from self._parts


def _read(path: Path) -> Iterator[array[int]]:
    with path.open("rb") as file:
        while data := file.read(_CHUNK * 8):
            yield array("Q", data)


def _shard_bits(entries: int) -> int:
    bits = 0
    while bits < MAX_SHARD_BITS and entries > _SHARD << bits:
        bits += 1
    return bits


def _write(out: Path, header: Header, ordered: _Ordered, tick: Callable[[int, int], None]) -> int:
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            size = _write_shards(file, header, ordered, tick)
            file.flush()
            if os.name == "posix":
                os.fchmod(file.fileno(), 0o644)  # no secret: every worker reads it
            os.fsync(file.fileno())
        Path(name).replace(out)
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()
    if os.name == "posix":
        folder = os.open(out.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, survives a loss of power
        finally:
            os.close(folder)
    return size


def _write_shards(file: BinaryIO, header: Header, ordered: _Ordered, tick: Callable[[int, int], None]) -> int:
    offset = size_of_front(header.shard_bits)
    file.write(bytes(offset))
    shards: list[Shard] = []
    done = 0
    for keys in ordered.by_shard(header.shard_bits):
        fuse = make_fuse(keys, header.bits)
        shards.append(shard_of(fuse, offset))
        file.write(fuse.cells)
        offset += len(fuse.cells)
        done += fuse.keys
        tick(done, ordered.entries)
    file.seek(0)
    file.write(pack(header, shards))
    return offset
