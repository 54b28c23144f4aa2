"""Time-based one-time passwords (RFC 6238) as pure functions: parameters, typed codes, the step that a code belongs to."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from hmac import digest as hmac_digest
from struct import Struct

from portalsec.clock import unix_seconds
from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = [
    "HASHES",
    "TotpParameters",
    "code_at",
    "matching_step",
    "next_drift",
    "normalise_code",
    "weight_of_a_try",
]

HASHES = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256, "SHA512": hashlib.sha512}
# hmac.digest knows these by name in one call of OpenSSL's.
_NAMES = {"SHA1": "sha1", "SHA256": "sha256", "SHA512": "sha512"}
_MAX_TYPED = 64
_FORMATS = {6: (10**6, b"%06d"), 7: (10**7, b"%07d"), 8: (10**8, b"%08d")}
_read_word = Struct(">I").unpack_from


@dataclass(frozen=True, slots=True, kw_only=True)
class TotpParameters:
    """How codes are made.

    Attributes:
        digits: 6 to 8.
        period: seconds of one step, 15 to 120 (SP 800-63B-4 section 3.1.4.1: at least every two minutes a new code).
        algorithm: "SHA1" (the one that every authenticator app knows), "SHA256" or "SHA512".
        drift: steps before and after the expected one that are accepted too: 0 or 1 (RFC 6238 section 5.2 advises
            one). With 1, three codes are right at any moment.
    """

    digits: int = 6
    period: int = 30
    algorithm: str = "SHA1"
    drift: int = 1

    def __post_init__(self) -> None:
        if self.digits not in _FORMATS:
            raise ConfigurationError("TotpParameters: digits goes from 6 to 8 (RFC 4226 section 5.3)")
        if not 15 <= self.period <= 120:
            raise ConfigurationError(
                "TotpParameters: period goes from 15 to 120 seconds (SP 800-63B-4, 3.1.4.1)"
            )
        if self.algorithm not in HASHES:
            raise ConfigurationError(f"TotpParameters: algorithm is one of {', '.join(HASHES)}")
        if not 0 <= self.drift <= 1:
            # Each step more is one code more that a guesser may hit: with two each way, a hundred guesses would be
            # right with 5e-4 instead of 3e-4. A clock that is further off is met by the remembered drift instead.
            raise ConfigurationError("TotpParameters: drift is 0 or 1 step each way")


def weight_of_a_try(cap: int, authenticators: int) -> int:
    """How many wrong codes one counts for that is tested against so many of an account's authenticators, each of which is
    dead at ``cap``.

    A guess at five hits five times as often as at one. So its weight is such that the tries times the authenticators are
    ``cap`` at most, and the chance of a hit before the cap is what it is for one.
    """
    tries = max(1, cap // max(1, authenticators))
    return -(-cap // tries)


def normalise_code(code: object) -> str:
    """The digits of a typed code: spaces and dashes dropped, digits of any script (full-width, Arabic-Indic) as ASCII.

    All spellings of one code come out equal, so that a used code stays used however it is typed.

    Raises:
        Denied: MALFORMED where it is not text, over 64 characters, holds anything else, or has not 6 to 8 digits
            (a code without its leading zeros is refused, not padded).
    """
    if not isinstance(code, str) or len(code) > _MAX_TYPED:
        raise Denied(Reason.MALFORMED)
    digits: list[str] = []
    for char in code:
        if char.isspace() or unicodedata.category(char) == "Pd":
            continue
        value = unicodedata.decimal(char, None)
        if value is None:
            raise Denied(Reason.MALFORMED)
        digits.append(str(value))
    if not 6 <= len(digits) <= 8:
        raise Denied(Reason.MALFORMED)
    return "".join(digits)


def matching_step(
    secret: bytes, code: str, now: datetime, parameters: TotpParameters, *, ahead: int = 0
) -> int | None:
    """The newest acceptable time step whose code this is, or None. Pure.

    Every acceptable step is computed and compared in constant time, with no early end, so that time does not tell
    which step matched (RFC 6238 section 5.2, RFC 4226 section 5.3).

    Args:
        code: from `normalise_code`.
        ahead: steps that the authenticator's clock is known to be before ours (behind: below zero); the acceptable
            steps lie around it. They are no more for it.
    """
    expected = unix_seconds(now) // parameters.period + ahead
    name, (modulus, form) = _NAMES[parameters.algorithm], _FORMATS[parameters.digits]
    typed = code.encode("ascii", "replace")
    found: int | None = None
    for step in range(expected - parameters.drift, expected + parameters.drift + 1):
        # A step before 1970 is computed as another, so that it costs the same, and never matches.
        digest = hmac_digest(secret, (step if step > 0 else 0).to_bytes(8, "big"), name)
        number = _read_word(digest, digest[-1] & 0x0F)[0] & 0x7FFF_FFFF  # RFC 4226 section 5.3
        if compare_digest(form % (number % modulus), typed) and step >= 0:
            found = step
    return found


def code_at(secret: bytes, step: int, parameters: TotpParameters) -> str:
    """The code of one step (RFC 4226 section 5.3, dynamic truncation)."""
    digest = hmac_digest(secret, step.to_bytes(8, "big"), _NAMES[parameters.algorithm])
    number: int = _read_word(digest, digest[-1] & 0x0F)[0] & 0x7FFF_FFFF
    modulus, form = _FORMATS[parameters.digits]
    return (form % (number % modulus)).decode("ascii")


def next_drift(remembered: int, seen: int, seen_before: int | None, *, most: int) -> int:
    """How far an authenticator's clock is ahead, in steps, after a code was accepted (RFC 6238 section 6). Pure.

    A code that comes early proves a clock that is ahead. One that comes late may come from a clock that is behind, or
    from somebody who typed slowly; taking every late code for the clock's would move the window away from the next one
    that is typed at once. So the clock counts as behind only by what two codes in a row agree on.

    Args:
        remembered: as it was.
        seen: steps between the accepted code's and the present one; below zero where it came late.
        seen_before: the same of the code that was accepted before it; None where that is not known.
        most: what is remembered at most, each way.
    """
    before = remembered if seen_before is None else seen_before
    drift = seen if seen >= remembered else min(remembered, max(seen, before))
    return max(-most, min(most, drift))
