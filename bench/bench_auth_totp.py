"""The row of one-time codes: what is around the HMACs of the three steps that are looked at."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime

from bench.harness import Row
from portalsec.auth.totp_codes import TotpParameters, matching_step

SEED = b"12345678901234567890"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def rows() -> Iterator[Row]:
    yield totp_verify()


def totp_verify() -> Row:
    """Steps, truncation, digits and comparison in constant time, over three bare HMAC-SHA-1 of eight bytes."""
    parameters = TotpParameters()
    step = int(NOW.timestamp()) // parameters.period
    messages = [(step + off).to_bytes(8, "big") for off in (-1, 0, 1)]

    def bare() -> None:
        for message in messages:
            hmac.digest(SEED, message, "sha1")

    return Row(
        "auth.totp.verify",
        lambda: matching_step(SEED, "123456", NOW, parameters),
        bare,
        150,
    )
