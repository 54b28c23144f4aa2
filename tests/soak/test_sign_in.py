"""Statistics of the door, at full cost and full count. Work is asserted, and of time what no median may tell."""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Any

import pytest

from portalsec.auth import passwords as passwords_module
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.auth.passwords import Argon2Parameters
from portalsec.auth.ports import Account
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from tests.auth.guessing import CAP
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, tight, token
from tests.measured import Measure

PAIRS = 2000
DAYS = 30
LEGACY = LegacyCost(
    "pbkdf2_sha256", (10_000,)
)  # what another system took before: still twice the bound below
BOUND, BOUND_SECONDS = 0.05, 0.001  # of the known account's median, or seconds: whichever is more


def same_distribution(one: Sequence[float], other: Sequence[float]) -> float:
    """p of the two-sample Kolmogorov-Smirnov test, by its asymptotic series; small where they differ."""
    both = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    seen, widest = [0, 0], 0.0
    for _, whose in both:
        seen[whose] += 1
        widest = max(widest, abs(seen[0] / len(one) - seen[1] / len(other)))
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    x = (size + 0.12 + 0.11 / size) * widest
    return min(1.0, 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101)))


def _of_another_system(password: str) -> str:
    """A hash as Django writes it, of the cost that is listed."""
    salt, (rounds,) = "saltofanothersystem", LEGACY.parameters
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), rounds)
    return f"pbkdf2_sha256${rounds}${salt}${base64.b64encode(digest).decode()}"


def test_atk_17_every_refusal_costs_what_a_known_account_costs(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(
        parameters=Argon2Parameters.OWASP_2025,
        older=(LEGACY,),
        lanes=tight(account=1000, address=100 * PAIRS),
    )
    ids = {name: world.person(name).id for name in ("known", "disabled", "locked")}
    world.accounts.disable(ids["disabled"], actor=Actor(type="system"), source=SOURCE)
    world.account_store.create(Account(id="p", login="passkey-only", password_hash=None), now=world.clock())
    legacy = world.passwords.wrap(_of_another_system(PASSWORD), account_id="l")
    world.account_store.create(Account(id="l", login="legacy", password_hash=legacy), now=world.clock())
    ids |= {"passkey-only": "p", "legacy": "l"}
    for number in range(80):  # the hard cap: it ends by no waiting
        with pytest.raises(Denied):
            world.sign_in.start("locked", f"{OTHER_PASSWORD} {number}", source=SOURCE)
    names = ("known", "unknown", "disabled", "locked", "passkey-only", "legacy")

    hashes: Counter[str] = Counter()
    inner: Counter[str] = Counter()
    current = ""
    real = passwords_module.low_level.hash_secret_raw

    def counted(*args: Any, **kwargs: Any) -> bytes:
        hashes[current] += 1
        return real(*args, **kwargs)

    monkeypatch.setattr(passwords_module.low_level, "hash_secret_raw", counted)
    real_inner = hashlib.pbkdf2_hmac

    def counted_inner(*args: Any, **kwargs: Any) -> bytes:
        inner[current] += 1
        return real_inner(*args, **kwargs)

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", counted_inner)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    verbs: dict[str, set[tuple[str, ...]]] = {name: set() for name in names}
    for turn in range(PAIRS):
        for current in names if turn % 2 else reversed(names):
            if current in ids and current != "locked":  # not timed: the others stay what they are
                world.throttle.clear_account(login=current, account_id=ids[current])
            # Another unknown name each time: the hard cap of one that nobody has is cleared by nothing.
            typed = current if current in ids else f"{current}-{turn}"
            world.calls.clear()
            began = time.perf_counter()
            with pytest.raises(Denied) as refusal:
                world.sign_in.start(typed, f"{OTHER_PASSWORD} {turn}", source=SOURCE)
            seconds[current].append(time.perf_counter() - began)
            assert (refusal.value.reason is Reason.ACCOUNT_LOCKED) == (current == "locked")
            verbs[current].add(tuple(world.calls))
        world.clock.advance(timedelta(minutes=15))

    assert hashes == inner == dict.fromkeys(names, PAIRS)
    assert len(set.union(*verbs.values())) == 1
    measure(
        "refused sign-in, known account, median (argon2id OWASP_2025)", 1000 * median(seconds["known"]), "ms"
    )
    for name in names[1:]:
        ratio = median(a / b for a, b in zip(seconds[name], seconds["known"], strict=True))
        measure(f"time of a refusal: {name} over known, median of {PAIRS} interleaved pairs", ratio, "")
        p = same_distribution(seconds[name], seconds["known"])
        apart = abs(median(seconds[name]) - median(seconds["known"]))
        assert apart <= max(BOUND * median(seconds["known"]), BOUND_SECONDS), (name, apart)
        measure(f"two-sample Kolmogorov-Smirnov test of {name} against known", p, "p")


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
            dead = denied.reason is Reason.EVIDENCE_MISSING and tested == CAP
            assert dead or denied.reason in {Reason.THROTTLED, Reason.ACCOUNT_LOCKED}
            refused += 1
            world.clock.advance(denied.retry_after or timedelta(hours=1))

    assert tested == CAP, "the authenticator is dead from then on, whatever the budgets would let through"
    assert refused > DAYS
    measure(f"codes that {DAYS} days of guessing with the right password can test", tested, "codes")
    # Three steps of 10^6 codes are open at a time.
    measure(f"chance that one of them is right, within {DAYS} days", 100 * (1 - (1 - 3e-6) ** tested), "%")
