"""The filter itself: nothing of the set is ever missed, and the rest is found as rarely as it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth import _fuse
from portalsec.auth._fuse import WIDTHS, cells_of, found, make_fuse

KEYS = st.sets(st.integers(0, 2**64 - 1), max_size=300)


@given(KEYS, st.sampled_from(WIDTHS))
def test_every_key_of_the_set_is_found(keys: set[int], bits: int) -> None:
    fuse = make_fuse(sorted(keys), bits)
    assert fuse.keys == len(keys)
    assert len(fuse.cells) == cells_of(fuse.segments, fuse.segment_log2) * bits // 8
    assert all(found(fuse, key, bits) for key in keys)


@given(KEYS)
def test_the_same_keys_give_the_same_filter(keys: set[int]) -> None:
    assert make_fuse(sorted(keys), 8) == make_fuse(sorted(keys), 8)


def test_neighbouring_keys_are_no_harder_than_random_ones() -> None:
    keys = range(2**63, 2**63 + 20_000)
    fuse = make_fuse(keys, 8)
    assert all(found(fuse, key, 8) for key in keys)


@pytest.mark.parametrize(("bits", "asked"), [(8, 100_000), (16, 400_000)])
def test_others_are_found_as_rarely_as_the_width_says(bits: int, asked: int) -> None:
    choose = random.Random(20_240_807)
    keys = sorted({choose.getrandbits(64) for _ in range(20_000)})
    fuse = make_fuse(keys, bits)
    wrong = sum(found(fuse, choose.getrandbits(64), bits) for _ in range(asked))
    expected = asked / 2**bits
    # Five standard deviations of a count whose mean and variance are nearly the same.
    assert abs(wrong - expected) < 5 * expected**0.5


def test_a_large_filter_takes_a_byte_and_a_fifth_a_key() -> None:
    choose = random.Random(1)
    fuse = make_fuse(sorted({choose.getrandbits(64) for _ in range(40_000)}), 8)
    assert len(fuse.cells) <= 1.24 * 40_000


def test_nothing_is_in_an_empty_filter() -> None:
    fuse = make_fuse([], 8)
    assert fuse.cells == b""
    assert not found(fuse, 0, 8)


def test_keys_that_repeat_are_refused_and_do_not_run_for_ever() -> None:
    with pytest.raises(ValueError, match="distinct"):
        make_fuse([7, 7], 8)


def test_what_bounds_the_memory_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fuse, "MAX_KEYS", 2)
    with pytest.raises(ValueError, match="at most 2"):
        make_fuse([1, 2, 3], 8)
    with pytest.raises(ValueError, match="fingerprints"):
        make_fuse([1], 12)


def test_a_seed_that_fails_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seeds = _fuse._filled, []

    def failing_once(keys: object, seed: int, *rest: int) -> bytes | None:
        seeds.append(seed)
        return None if len(seeds) == 1 else real(keys, seed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(_fuse, "_filled", failing_once)
    fuse = make_fuse([1, 2, 3], 8)
    assert len(set(seeds)) == 2
    assert fuse.seed == seeds[1]
    assert all(found(fuse, key, 8) for key in (1, 2, 3))


def test_the_mixing_is_the_published_one() -> None:
    # MurmurHash3's fmix64 of 1, and the first seed of splitmix64, as the authors' reference code has them.
    assert _fuse.mixed(1, 0) == 0xB456BCFC34C2CB2C
    assert _fuse.mixed(0, 1) == _fuse.mixed(1, 0)
    assert _fuse._splitmix64(0)[1] == 0xE220A8397B1DCDAF
