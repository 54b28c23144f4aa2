"""Guessers of one-time codes who know the password, and what they come to before the hard cap ends them.

Each attack runs against the real service and a fresh authenticator. In the true space of 10^6 codes a hit is too rare to
count in a short run; `scaled` makes the space smaller and leaves everything else as it is, so that the same arithmetic can
be held to what happens: three codes are right at a time, and a hundred are tested.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

from portalsec.auth import totp_codes
from portalsec.auth.ports import TotpDevice
from portalsec.auth.totp import CodeRefused, Totp
from portalsec.errors import Denied, Reason
from portalsec.stores.memory import MemoryTotp
from portalsec.testing import FrozenClock, SequentialIds

__all__ = ["ATTACKS", "CAP", "RIGHT", "Outcome", "attacked", "chance", "scaled"]

CAP, RIGHT = 100, 3
Guess = tuple[timedelta, int]
"""How long to wait, and the code to send then."""


def _month(rng: random.Random, space: int) -> Iterator[Guess]:
    """Any code, every seven hours."""
    while True:
        yield timedelta(hours=7), rng.randrange(space)


def _constant(rng: random.Random, space: int) -> Iterator[Guess]:
    """The same code every seven hours: a low one, which the division by 10^6 makes a little more likely."""
    while True:
        yield timedelta(hours=7), 1


def _burst(rng: random.Random, space: int) -> Iterator[Guess]:
    """Never the same twice, all within one step."""
    for code in rng.sample(range(space), min(space, 10 * CAP)):
        yield timedelta(0), code


def _sweep(rng: random.Random, space: int) -> Iterator[Guess]:
    """Never the same twice, a few in each step, so that every code is tried against all windows that it may be in."""
    for number, code in enumerate(rng.sample(range(space), min(space, 10 * CAP))):
        yield timedelta(seconds=30 if number % 3 == 0 else 0), code


ATTACKS: Mapping[str, object] = {"month": _month, "constant": _constant, "burst": _burst, "sweep": _sweep}


@dataclass(frozen=True)
class Outcome:
    hit: bool
    tested: int


class _InTheClear:
    def seal(self, plaintext: bytes, *, table: str, column: str, row: str) -> bytes:
        return plaintext

    def open(self, ciphertext: bytes, *, table: str, column: str, row: str) -> bytes:
        return ciphertext


def attacked(name: str, seed: int, *, space: int = 10**6, devices: int = 1) -> Outcome:
    """One guesser against an account with so many authenticators, until a hit or until nothing is tested any more. Deterministic."""
    rng = random.Random(f"{name} {seed}")
    store, clock = MemoryTotp(), FrozenClock()
    totp = Totp(store=store, sealer=_InTheClear(), issuer="Hill", clock=clock, new_id=SequentialIds())
    for number in range(devices):
        store.add(
            TotpDevice(
                id=f"device-{number}",
                account_id="robin",
                label="phone",
                sealed_secret=rng.randbytes(20),
                confirmed=False,
                last_step=-1,
                created_at=clock(),
            )
        )
        assert store.confirm("robin", f"device-{number}", 0)
    tested = 0
    for wait, code in ATTACKS[name](rng, space):  # type: ignore[operator]
        clock.advance(wait)
        try:
            totp.verify("robin", f"{code:06d}")
        except CodeRefused as refused:
            assert refused.reason is Reason.WRONG_CODE
            tested += 1
        except Denied as dead:
            assert dead.reason is Reason.FACTOR_DISABLED
            return Outcome(hit=False, tested=tested)
        else:
            return Outcome(hit=True, tested=tested + 1)
    raise AssertionError("the guesser ran out of codes before the authenticator died")


def chance(space: int, *, name: str = "month") -> float:
    """Of a hit before the cap, where every code is as likely as any other."""
    if name == "burst":
        return 1 - (1 - CAP / space) ** RIGHT
    return 1 - (1 - RIGHT / space) ** CAP


def scaled(monkeypatch: pytest.MonkeyPatch, space: int) -> None:
    """Codes of six characters, of which there are only so many."""
    monkeypatch.setitem(totp_codes._FORMATS, 6, (space, b"%06d"))
