"""`current_totp`: what an authenticator app would show."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from portalsec.auth.otpauth import ImportRefused
from portalsec.auth.totp import Totp, TotpParameters
from portalsec.secret import Secret
from portalsec.stores.memory import MemoryTotp
from portalsec.testing import FrozenClock, SequentialIds, current_totp
from tests.stores.support import TestingSealer

SEED = base64.b32encode(b"12345678901234567890").decode()
NOW = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=1111111109)


def test_the_vectors_of_rfc_6238() -> None:
    eight = TotpParameters(digits=8)
    assert current_totp(SEED, NOW, parameters=eight) == "07081804"
    assert current_totp(Secret(SEED.lower()), NOW, steps=1, parameters=eight) == "14050471"
    assert current_totp(SEED, NOW) == "081804"
    uri = f"otpauth://totp/a?secret={SEED}&digits=8"
    assert current_totp(uri, NOW) == current_totp(Secret(uri), NOW) == "07081804"


def test_what_begin_gave_has_the_portals_parameters() -> None:
    clock = FrozenClock()
    totp = Totp(
        store=MemoryTotp(),
        sealer=TestingSealer(),
        issuer="Hill",
        clock=clock,
        new_id=SequentialIds(),
        parameters=TotpParameters(digits=8, algorithm="SHA512", period=60),
    )
    enrolment = totp.begin("robin", "robin")
    totp.confirm("robin", enrolment.device_id, current_totp(enrolment, clock()))
    clock.advance(timedelta(minutes=1))
    totp.verify("robin", current_totp(enrolment, clock()))


def test_without_a_moment_it_is_now() -> None:
    now = datetime.now(UTC)
    assert current_totp(SEED) in {pyotp.TOTP(SEED).at(now, counter_offset=off) for off in (0, 1)}


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ImportRefused):
        current_totp("otpauth://hotp/a?secret=" + SEED, NOW)
    with pytest.raises(ValueError, match=r"(?i)base32|incorrect|non-"):
        current_totp("1" * 16, NOW)
