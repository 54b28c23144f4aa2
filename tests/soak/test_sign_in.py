"""Statistics of the door, at full cost and full count. Work is asserted; time is only reported."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta
from statistics import median
from typing import Any

import pytest

from portalsec.auth import passwords as passwords_module
from portalsec.auth.passwords import Argon2Parameters
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, tight, token
from tests.measured import Measure

ROUNDS = 100
DAYS = 30


def test_unknown_disabled_and_known_accounts_cost_the_same(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(
        parameters=Argon2Parameters.OWASP_2025,
        lanes=tight(account=10 * ROUNDS, address=10 * ROUNDS),
    )
    world.person("robin")
    world.accounts.disable(world.person("wren").id, actor=Actor(type="system"), source=SOURCE)

    hashes: Counter[str] = Counter()
    current = ""
    real = passwords_module.low_level.hash_secret_raw

    def counted(*args: Any, **kwargs: Any) -> bytes:
        hashes[current] += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(passwords_module.low_level, "hash_secret_raw", counted)
    seconds: dict[str, list[float]] = {"robin": [], "wren": [], "nobody": []}
    verbs: dict[str, set[tuple[str, ...]]] = {name: set() for name in seconds}
    for _ in range(ROUNDS):
        for current, spent in seconds.items():
            world.calls.clear()
            began = time.perf_counter()
            with pytest.raises(Denied):
                world.sign_in.start(current, OTHER_PASSWORD, source=SOURCE)
            spent.append(time.perf_counter() - began)
            verbs[current].add(tuple(world.calls))

    assert hashes == {"robin": ROUNDS, "wren": ROUNDS, "nobody": ROUNDS}
    assert verbs["robin"] == verbs["wren"] == verbs["nobody"]
    assert len(verbs["robin"]) == 1
    measure(
        "refused sign-in, known account, median (argon2id OWASP_2025)", 1000 * median(seconds["robin"]), "ms"
    )
    for name, what in (("nobody", "an unknown"), ("wren", "a disabled")):
        ratio = median(a / b for a, b in zip(seconds[name], seconds["robin"], strict=True))
        measure(f"time of a refusal: {what} account over a known one, median of {ROUNDS} pairs", ratio, "")


def test_a_month_of_guessing_codes_with_the_right_password(measure: Measure) -> None:
    world = World()
    account = world.person("robin")
    end = world.clock() + timedelta(days=DAYS)
    tested = refused = 0
    while world.clock() < end:
        try:
            pending = token(world.sign_in.start("robin", PASSWORD, source=SOURCE).pending)
            while True:
                with pytest.raises(Denied) as caught:
                    world.sign_in.submit_totp(pending, world.wrong_code(account), source=SOURCE)
                if caught.value.reason not in {Reason.WRONG_CODE, Reason.FLOW_EXHAUSTED}:
                    raise caught.value
                tested += 1
                if caught.value.reason is Reason.FLOW_EXHAUSTED:
                    break
        except Denied as denied:
            assert denied.reason is Reason.THROTTLED
            assert denied.retry_after is not None
            refused += 1
            world.clock.advance(denied.retry_after)

    lane = world.lanes.second_factor_long
    windows = timedelta(days=DAYS) / lane.window
    assert tested <= lane.limit * (windows + 1)
    assert refused >= windows - 1, "the budgets were what slowed the guessing"
    measure(f"codes that {DAYS} days of guessing with the right password can test", tested, "codes")
    # Three steps of 10^6 codes are open at a time.
    measure(f"chance that one of them is right, within {DAYS} days", 100 * (1 - (1 - 3e-6) ** tested), "%")
