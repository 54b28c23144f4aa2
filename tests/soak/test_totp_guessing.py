"""Guessing one-time codes at full count: the service in a smaller space, the kernel in the true one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from math import sqrt

import pytest

from portalsec.auth.totp_codes import TotpParameters, code_at, matching_step
from tests.auth.guessing import ATTACKS, CAP, RIGHT, attacked, chance, scaled
from tests.measured import Measure

WORLDS = 2_000
AUTHENTICATORS = 1_000_000  # each with the hundred guesses of one moment
MONTHS = 10_000  # each with a hundred guesses of a hundred moments
SIGMAS = 4


@pytest.mark.parametrize("name", ATTACKS)
def test_atk_09_guessers_of_a_thousand_codes(
    monkeypatch: pytest.MonkeyPatch, measure: Measure, name: str
) -> None:
    space = 1000
    scaled(monkeypatch, space)
    outcomes = [attacked(name, seed, space=space) for seed in range(WORLDS)]
    assert {each.tested for each in outcomes if not each.hit} == {CAP}
    hits, p = sum(each.hit for each in outcomes), chance(space, name=name)
    assert abs(hits - WORLDS * p) <= SIGMAS * sqrt(WORLDS * p * (1 - p))
    measure(f"guessing 1 of 1,000 codes before the cap ({name}): seen / computed", hits / WORLDS / p, "")


def test_atk_09_guessers_at_five_authenticators(monkeypatch: pytest.MonkeyPatch, measure: Measure) -> None:
    space = 1000
    scaled(monkeypatch, space)
    outcomes = [attacked("month", seed, space=space, devices=5) for seed in range(WORLDS)]
    hits, p = sum(each.hit for each in outcomes), chance(space)
    assert hits <= WORLDS * p + SIGMAS * sqrt(WORLDS * p * (1 - p))
    measure(
        "guessing 1 of 1,000 codes of five authenticators: seen / of one, computed", hits / WORLDS / p, ""
    )


def test_atk_09_a_hundred_guesses_of_one_moment_in_the_true_space(measure: Measure) -> None:
    rng, parameters, hits = random.Random(9), TotpParameters(), 0
    for _ in range(AUTHENTICATORS):
        seed, step = rng.randbytes(20), rng.randrange(2**26)
        first = rng.randrange(10**6)  # a hundred codes in a row are as good as any other hundred
        hits += any(
            (int(code_at(seed, step + off, parameters)) - first) % 10**6 < CAP for off in range(RIGHT)
        )
    expected = AUTHENTICATORS * chance(10**6, name="burst")
    assert abs(hits - expected) <= SIGMAS * sqrt(expected)
    measure("chance to guess a TOTP before the hard cap, 100 codes at one moment", hits / AUTHENTICATORS, "")


def test_atk_09_a_hundred_guesses_over_a_month_in_the_true_space(measure: Measure) -> None:
    rng, parameters, hits = random.Random(32), TotpParameters(), 0
    for _ in range(MONTHS):
        seed, start = rng.randbytes(20), rng.randrange(2**30)
        for number in range(CAP):
            now = datetime.fromtimestamp(start + number * 25_920, UTC)
            if matching_step(seed, f"{rng.randrange(10**6):06d}", now, parameters) is not None:
                hits += 1
                break
    expected = MONTHS * chance(10**6)
    assert hits <= expected + SIGMAS * sqrt(expected)
    measure("chance to guess a TOTP before the hard cap, 100 codes over a month", hits / MONTHS, "")
