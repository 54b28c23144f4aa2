"""How likely a guess is before the hard cap (SP 800-63B-4 section 3.2.2): arithmetic, held to a simulation.

The true space and larger counts are in ``tests/soak/test_totp_guessing.py``.
"""

from __future__ import annotations

from math import sqrt

import pytest

from portalsec.auth.totp_codes import weight_of_a_try
from tests.auth.guessing import ATTACKS, CAP, RIGHT, attacked, chance, scaled

SPACE, WORLDS = 1000, 120


@pytest.mark.parametrize("name", ATTACKS)
def test_atk_09_as_many_guesses_hit_as_three_codes_in_a_hundred_tries_make(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scaled(monkeypatch, SPACE)
    outcomes = [attacked(name, seed, space=SPACE) for seed in range(WORLDS)]
    assert {each.tested for each in outcomes if not each.hit} == {CAP}
    assert all(each.tested <= CAP for each in outcomes)
    hits, p = sum(each.hit for each in outcomes), chance(SPACE, name=name)
    assert abs(hits - WORLDS * p) <= 4 * sqrt(WORLDS * p * (1 - p)), (hits, WORLDS * p)


def test_atk_09_several_authenticators_are_no_more_to_guess_at_than_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scaled(monkeypatch, SPACE)
    outcomes = [attacked("month", seed, space=SPACE, devices=5) for seed in range(WORLDS)]
    assert {each.tested for each in outcomes if not each.hit} == {CAP // 5}, (
        "each of five has a fifth of the tries"
    )
    hits, p = sum(each.hit for each in outcomes), chance(SPACE)
    assert hits <= WORLDS * p + 4 * sqrt(WORLDS * p * (1 - p)), (hits, WORLDS * p)


@pytest.mark.parametrize("authenticators", range(1, 21))
def test_atk_09_tries_times_authenticators_are_never_more_than_the_cap(authenticators: int) -> None:
    for cap in range(1, 101):
        tries = -(-cap // weight_of_a_try(cap, authenticators))
        assert tries * authenticators <= cap or tries == 1
        assert tries * authenticators * RIGHT / 10**6 <= 3e-4
    assert weight_of_a_try(100, 1) == 1


@pytest.mark.parametrize("name", ATTACKS)
def test_atk_09_in_the_true_space_that_is_three_in_ten_thousand_at_most(name: str) -> None:
    assert 2.99e-4 < chance(10**6, name=name) <= 3e-4
    # 2^31 is no multiple of 10^6: the likeliest codes come 2148 times, not 2147.48.
    likeliest = -(-(2**31) // 10**6) / 2**31
    assert RIGHT * CAP * likeliest < 3e-4 * 1.0003
    assert not any(attacked(name, seed).hit for seed in range(3))
