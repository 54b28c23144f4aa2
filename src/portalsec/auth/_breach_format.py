"""The layout of a breach file: a header, a directory of shards, the shards. See docs/reference/breach-file.md.

Bytes to values and back, nothing else. What it reads may be anybody's: every number is held against the length of the
file before it is used, and nothing is allocated by a number that was read.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from portalsec.auth._fuse import WIDTHS, Fuse, cells_of

__all__ = [
    "HEADER_SIZE",
    "MAX_SHARD_BITS",
    "Header",
    "Shard",
    "Unreadable",
    "check_of",
    "fold",
    "key_of",
    "pack",
    "shard_of",
    "size_of_front",
    "unpack",
]

MAGIC = b"psbreach"
VERSION = 1
BINARY_FUSE = 1
SHA1_UTF8 = 1
MAX_SHARD_BITS = 16
LABEL_SIZE = 56

_FRONT = struct.Struct(f"<8sHBBBBBBQQQ{LABEL_SIZE}s")
_ENTRY = struct.Struct("<QQIIII8s")
_CHECK_SIZE = 32
HEADER_SIZE = _FRONT.size + _CHECK_SIZE
_MAX_SEGMENT_LOG2 = 18


class Unreadable(Exception):
    """What is wrong with the bytes, as the end of a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of itself.

    Attributes:
        bits: of a fingerprint; the stated rate of false answers is ``2**-bits``.
        shard_bits: how many leading bits of the SHA-1 name the shard.
        folded: entries were case-folded before they were hashed, and so is what is looked up.
        entries: how many there are.
        min_count: the least number of occurrences an entry was taken for; 0 where there were no counts.
        label: where it comes from, up to 56 bytes of UTF-8.
    """

    bits: int
    shard_bits: int
    folded: bool
    entries: int
    min_count: int
    label: str


@dataclass(frozen=True, slots=True)
class Shard:
    """One line of the directory: where a filter is and what it looks like. ``check`` is of its bytes."""

    offset: int
    seed: int
    entries: int
    segments: int
    segment_log2: int
    size: int
    check: bytes


def fold(text: str) -> str:
    """As entries of a case-folded list are written: case-folded and in NFC."""
    return unicodedata.normalize("NFC", text.casefold())


def key_of(text: str) -> int:
    """The first 64 bits of the SHA-1 of the text in UTF-8, as a number."""
    # Not for security: it is the hash that lists of leaked passwords are published in.
    digest = hashlib.sha1(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big")


def check_of(data: bytes | memoryview) -> bytes:
    """The first 8 bytes of the SHA-256: against damage, not against an attacker, who could write a new one."""
    return hashlib.sha256(data).digest()[:8]


def size_of_front(shard_bits: int) -> int:
    """Bytes of header and directory."""
    return HEADER_SIZE + (_ENTRY.size << shard_bits)


def shard_of(fuse: Fuse, offset: int) -> Shard:
    """The directory's line of a filter that is written at ``offset``."""
    return Shard(
        offset, fuse.seed, fuse.keys, fuse.segments, fuse.segment_log2, len(fuse.cells), check_of(fuse.cells)
    )


def pack(header: Header, shards: Sequence[Shard]) -> bytes:
    """Header and directory."""
    label = header.label.encode("utf-8")
    if len(label) > LABEL_SIZE:
        raise ValueError(f"a label has at most {LABEL_SIZE} bytes")
    size = size_of_front(header.shard_bits) + sum(each.size for each in shards)
    front = _FRONT.pack(
        MAGIC,
        VERSION,
        BINARY_FUSE,
        header.bits,
        header.shard_bits,
        int(header.folded),
        SHA1_UTF8,
        0,
        header.entries,
        header.min_count,
        size,
        label,
    )
    directory = b"".join(
        _ENTRY.pack(each.offset, each.seed, each.entries, each.segments, each.segment_log2, 0, each.check)
        for each in shards
    )
    return front + hashlib.sha256(front + directory).digest() + directory


def unpack(view: memoryview) -> tuple[Header, list[Shard]]:
    """Read header and directory of a whole file.

    Raises:
        Unreadable: it is something else, of a later version, cut, longer than it was, or damaged.
    """
    if len(view) < len(MAGIC) or view[: len(MAGIC)] != MAGIC:
        raise Unreadable("is no breach file: make one with  portalsec breached build")
    if len(view) < HEADER_SIZE:
        raise Unreadable("is cut off in its header: build or copy it again")
    (_, version, kind, bits, shard_bits, folded, digest, zero, entries, min_count, size, label) = (
        _FRONT.unpack_from(view)
    )
    if version != VERSION:
        raise Unreadable(
            f"is of version {version}, and this portalsec reads version {VERSION}: build it again"
        )
    front = size_of_front(shard_bits) if shard_bits <= MAX_SHARD_BITS else 0
    damaged = Unreadable("is damaged in its header: build or copy it again")
    if not front:
        raise damaged
    if len(view) != size or front > size:
        raise Unreadable(
            f"has {len(view)} bytes where its header says {size}: it was cut or added to; build or copy it again"
        )
    directory = view[HEADER_SIZE:front]
    check = hashlib.sha256(view[: _FRONT.size])
    check.update(directory)
    if check.digest() != view[_FRONT.size : HEADER_SIZE]:
        raise damaged
    # From here on only somebody who made the check anew could have written what does not fit.
    if (kind, digest, zero) != (BINARY_FUSE, SHA1_UTF8, 0) or bits not in WIDTHS or folded > 1:
        raise damaged
    shards = []
    offset, total, text = front, 0, None
    for start, seed, count, segments, segment_log2, reserved, shard_check in _ENTRY.iter_unpack(directory):
        if start != offset or reserved or segment_log2 > _MAX_SEGMENT_LOG2 or (count == 0) != (segments == 0):
            raise damaged
        length = cells_of(segments, segment_log2) * bits // 8
        offset += length
        total += count
        if offset > size:
            raise damaged
        shards.append(Shard(start, seed, count, segments, segment_log2, length, shard_check))
    if offset != size or total != entries:
        raise damaged
    try:
        text = label.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is None or not text.isprintable():
        raise damaged
    return (
        Header(
            bits=bits,
            shard_bits=shard_bits,
            folded=bool(folded),
            entries=entries,
            min_count=min_count,
            label=text,
        ),
        shards,
    )
