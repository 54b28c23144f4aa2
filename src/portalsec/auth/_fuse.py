"""A binary fuse filter: a set of 64-bit keys in little more than its fingerprints, made and never changed.

The construction is the published one, three cells a key: T. M. Graf, D. Lemire, "Binary Fuse Filters: Fast and Smaller
Than Xor Filters", Journal of Experimental Algorithmics 27 (2022), https://doi.org/10.1145/3510449 (arXiv:2201.01174),
with the segment length, size factor, mixing and seeds of its authors' reference code. Each key has a cell in each of
three neighbouring segments, and the three cells together give the key's fingerprint. A key of the set is always
found; another one is found with a probability of 2**-bits, whatever the number of keys.

Pure functions. Making one for n keys takes about 300 bytes of memory a key for as long as it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, log

__all__ = ["MASK", "MAX_KEYS", "WIDTHS", "Fuse", "cells_of", "found", "make_fuse", "mixed"]

MASK = (1 << 64) - 1
WIDTHS = (8, 16, 24, 32)  # bits of a fingerprint
MAX_KEYS = 1 << 20  # of one filter: what bounds the memory of making it

_ARITY = 3
_MOST_SEGMENT = 18  # log2
_TRIES = 100
_INDEX = 32  # bits of a cell, while it is made, that hold indices; the count of keys stands above them


@dataclass(frozen=True, slots=True)
class Fuse:
    """A filter.

    Attributes:
        seed: of the mixing.
        segments: how many segments a first cell may be in; there are two more.
        segment_log2: of the cells in a segment.
        cells: the fingerprints, little-endian, ``bits // 8`` bytes each.
        keys: how many keys it was made of.
    """

    seed: int
    segments: int
    segment_log2: int
    cells: bytes = field(repr=False)
    keys: int


def mixed(key: int, seed: int) -> int:
    """64 bits that depend on every bit of ``key + seed`` (the finaliser of MurmurHash3)."""
    h = (key + seed) & MASK
    h = ((h ^ h >> 33) * 0xFF51AFD7ED558CCD) & MASK
    h = ((h ^ h >> 33) * 0xC4CEB9FE1A85EC53) & MASK
    return h ^ h >> 33


def cells_of(segments: int, segment_log2: int) -> int:
    """How many cells there are; none where the set is empty."""
    return (segments + _ARITY - 1) << segment_log2 if segments else 0


def make_fuse(keys: Sequence[int], bits: int) -> Fuse:
    """The filter of ``keys``: distinct, each below 2**64. The same keys in the same order give the same bytes.

    Raises:
        ValueError: too many keys, a width that is not one, or keys that are not distinct.
    """
    if bits not in WIDTHS or len(keys) > MAX_KEYS:
        raise ValueError(f"a filter has at most {MAX_KEYS} keys and fingerprints of {WIDTHS} bits")
    if not keys:
        return Fuse(seed=0, segments=0, segment_log2=0, cells=b"", keys=0)
    segments, segment_log2 = _shape(len(keys))
    counter = 0x726B2B9D438B9D4D
    for _ in range(_TRIES):
        counter, seed = _splitmix64(counter)
        cells = _filled(keys, seed, segments, segment_log2, bits)
        if cells is not None:
            return Fuse(seed=seed, segments=segments, segment_log2=segment_log2, cells=cells, keys=len(keys))
    raise ValueError("the keys of a filter must be distinct")


def found(fuse: Fuse, key: int, bits: int) -> bool:
    """Whether ``key`` is of the set: certain where it says no. (`BreachFile` does the same in its own mapped file.)"""
    if not fuse.segments:
        return False
    h = mixed(key, fuse.seed)
    size, mask, width = 1 << fuse.segment_log2, (1 << fuse.segment_log2) - 1, bits // 8
    a = h * (fuse.segments << fuse.segment_log2) >> 64
    three = a, (a + size) ^ (h >> 18 & mask), (a + 2 * size) ^ (h & mask)
    left = (h ^ h >> 32) & ((1 << bits) - 1)
    for cell in three:
        left ^= int.from_bytes(fuse.cells[cell * width : cell * width + width], "little")
    return left == 0


def _shape(keys: int) -> tuple[int, int]:
    """Segments and log2 of their length, from the paper's formulas."""
    segment_log2 = min(floor(log(keys) / log(3.33) + 2.25), _MOST_SEGMENT)
    factor = max(1.125, 0.875 + 0.25 * log(1_000_000) / log(keys)) if keys > 1 else 0.0
    size = 1 << segment_log2
    wanted = -(-round(keys * factor) // size)
    return max(wanted - (_ARITY - 1), 1), segment_log2


def _splitmix64(counter: int) -> tuple[int, int]:
    counter = (counter + 0x9E3779B97F4A7C15) & MASK
    z = ((counter ^ counter >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return counter, z ^ z >> 31


def _filled(keys: Sequence[int], seed: int, segments: int, segment_log2: int, bits: int) -> bytes | None:
    """The cells, or None where this seed leaves keys that block each other."""
    size, mask, span = 1 << segment_log2, (1 << segment_log2) - 1, segments << segment_log2
    count = cells_of(segments, segment_log2)
    hashes = [mixed(key, seed) for key in keys]
    first = [h * span >> 64 for h in hashes]
    second = [(a + size) ^ (h >> 18 & mask) for a, h in zip(first, hashes, strict=True)]
    third = [(a + 2 * size) ^ (h & mask) for a, h in zip(first, hashes, strict=True)]

    # A cell holds how many keys want it (above) and the sum of their indices (below): with one key left in it, the
    # sum is that key.
    one = 1 << _INDEX
    cells = [0] * count
    for value, a, b, c in zip(range(one, one + len(keys)), first, second, third, strict=True):
        cells[a] += value
        cells[b] += value
        cells[c] += value

    alone = [cell for cell, value in enumerate(cells) if value >> _INDEX == 1]
    order: list[int] = []
    places: list[int] = []
    while alone:
        place = alone.pop()
        value = cells[place]
        if value >> _INDEX != 1:
            continue
        index = value - one
        order.append(index)
        places.append(place)
        for cell in (first[index], second[index], third[index]):
            left = cells[cell] - value
            cells[cell] = left
            if left >> _INDEX == 1:
                alone.append(cell)
    if len(order) != len(keys):
        return None

    # Backwards: whoever was taken out last has a cell that nobody filled yet.
    table = [0] * count
    fingerprint = (1 << bits) - 1
    for index, place in zip(reversed(order), reversed(places), strict=True):
        h = hashes[index]
        table[place] = (
            (h ^ h >> 32) & fingerprint ^ table[first[index]] ^ table[second[index]] ^ table[third[index]]
        )
    width = bits // 8
    return bytes(table) if width == 1 else b"".join([value.to_bytes(width, "little") for value in table])
