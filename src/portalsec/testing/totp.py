"""`current_totp`: the code that an authenticator app would show, for tests of sign-ins."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING

from portalsec.auth.totp_codes import TotpParameters, code_at
from portalsec.clock import system_clock, unix_seconds
from portalsec.secret import Secret

if TYPE_CHECKING:
    from portalsec.auth.totp import Enrolment

__all__ = ["current_totp"]


def current_totp(
    seed: Enrolment | Secret[str] | str,
    at: datetime | None = None,
    *,
    steps: int = 0,
    parameters: TotpParameters | None = None,
) -> str:
    """The code of an authenticator at a moment.

    ::

        enrolment = portal.totp.begin(account.id, "robin")
        portal.totp.confirm(account.id, enrolment.device_id, current_totp(enrolment, clock()))
        clock.advance(timedelta(seconds=30))  # a code is good once
        code = current_totp(enrolment, clock())

    Args:
        seed: what `Totp.begin` gave; or an ``otpauth`` URI, whose parameters count; or a seed in base32.
        at: aware UTC; the present moment where there is none. Give the same clock that the portal has.
        steps: so many codes later, or earlier where it is below zero.
        parameters: of a seed in base32; RFC 6238's usual ones where there are none.

    Raises:
        portalsec.auth.otpauth.ImportRefused: the URI cannot be read.
        ValueError: the seed is no base32.
    """
    from portalsec.auth import otpauth

    text = seed if isinstance(seed, str) else (seed if isinstance(seed, Secret) else seed.uri).reveal()
    if "://" in text:
        found = otpauth.one_of(text)
        secret, parameters = found.seed.reveal(), found.parameters
    else:
        compact = text.replace(" ", "").rstrip("=").upper()
        secret = base64.b32decode(compact + "=" * (-len(compact) % 8))
    parameters = parameters or TotpParameters()
    return code_at(secret, unix_seconds(at or system_clock()) // parameters.period + steps, parameters)
