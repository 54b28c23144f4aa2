"""The page on second factors says what the code does (ASVS 5.0, V6.1.3: every way in and how strong it is)."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from portalsec.auth.assurance import count, level, phishing_resistant
from portalsec.auth.budgets import ThrottlePolicy
from portalsec.auth.factors import WITHIN
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.totp import TotpPolicy
from tests.support import ROOT

PAGE = (ROOT / "docs" / "explanation" / "second-factors.md").read_text("utf-8")
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def table(first: str) -> list[list[str]]:
    """Cells of the table whose first column has this heading."""
    found = re.search(rf"^\| {first} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert found, first
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def shown(cell: str) -> list[Proof]:
    """``passkey`` (verified, attested)."""
    proofs = []
    for name, flags in re.findall(r"`(\w+)`(?: \(([\w, -]+)\))?", cell):
        words = {word.strip() for word in flags.split(",")} - {""}
        assert words <= {"verified", "device-bound", "attested"}
        proofs.append(
            Proof(
                factor=Factor(name),
                at=NOW,
                user_verified="verified" in words,
                device_bound="device-bound" in words,
                attested="attested" in words,
            )
        )
    return proofs


def test_v6_1_3_every_set_is_worth_what_the_page_says() -> None:
    rows = table("shown")
    for cell, factors, reached, resistant in rows:
        proofs = shown(cell)
        worth = (str(count(proofs)), str(level(proofs)), "yes" if phishing_resistant(proofs) else "no")
        assert worth == (factors, reached, resistant), cell
    assert {proof.factor for row in rows for proof in shown(row[0])} == set(Factor)


def test_every_factor_is_on_the_page_and_only_a_passkey_is_bound_to_its_site() -> None:
    rows = {row[0].strip("`"): row for row in table("factor")}
    assert set(rows) == {factor.value for factor in Factor}
    for name, row in rows.items():
        bound = phishing_resistant([Proof(factor=Factor(name), at=NOW)])
        assert row[3] == ("yes" if bound else "no"), name


def test_3_2_2_the_hard_caps_are_written_down_as_they_are() -> None:
    throttle, codes = ThrottlePolicy(), OutOfBandPolicy()
    strangers = throttle.cap - throttle.cap_devices - throttle.cap_step_up
    assert (throttle.cap, TotpPolicy().cap, throttle.cap_devices) == (100, 100, 20)
    assert f"{strangers} of strangers, {throttle.cap_devices} from known devices" in PAGE
    assert f"{throttle.cap_step_up} of step-ups" in PAGE
    assert (codes.attempts, throttle.code_sent.limit) == (3, 3)
    assert "has three tries. Three are sent" in PAGE
    assert (throttle.second_factor.limit, throttle.second_factor_long.limit) == (5, 50)
    assert "5 in a quarter of an hour and 50 a day" in PAGE
    assert WITHIN.total_seconds() == 300
    assert "no older than five minutes" in PAGE
