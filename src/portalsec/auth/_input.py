"""What a visitor typed, bounded before any work is done on it.

Every function takes ``object``, since JSON brings numbers, lists and null, and raises ``Denied(MALFORMED)``: a
refusal, never a 500.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress

from portalsec.errors import Denied, Reason

__all__ = ["canonical_login", "fold_login", "password_text", "token_text"]

MAX_PASSWORD_BYTES = 1024
MAX_LOGIN_CHARACTERS = (
    254  # RFC 5321 4.5.3.1.3 leaves 254 for an e-mail address, the longest common sign-in name
)
_MIN_LOGIN_CHARACTERS = 3
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)


def password_text(password: object) -> str:
    """The password in NFC (SP 800-63B-4 3.1.1.2), so that one password typed on two systems is one password.

    Raises:
        Denied: MALFORMED where it is not text, is empty, is no valid Unicode, or is longer than 1024 bytes of UTF-8.
    """
    # The length comes before everything else: NFC of 40,000 alternating combining marks takes seconds, and a
    # code point is at least a byte, so that this first test needs no encoding of 10 MB.
    if not isinstance(password, str) or not password or len(password) > MAX_PASSWORD_BYTES:
        raise Denied(Reason.MALFORMED)
    size = MAX_PASSWORD_BYTES + 1
    # Lone surrogates raise, and that error holds the password: it is no refusal's context.
    with suppress(UnicodeEncodeError):
        size = len(password.encode("utf-8"))
    if size > MAX_PASSWORD_BYTES:
        raise Denied(Reason.MALFORMED)
    return unicodedata.normalize("NFC", password)


def canonical_login(text: object) -> str:
    """The one spelling of a sign-in name: NFKC, case folded, stripped; 3 to 254 characters.

    `Admin`, ``admin `` and full-width letters come out equal, so they are one account and one throttle budget.
    Idempotent.

    Raises:
        Denied: MALFORMED where it is not text, too short, too long, without any letter or digit, or holds control,
            format (bidi, zero-width) or unassigned characters, which would let two names look alike or break a log
            line.
    """
    if not isinstance(text, str) or len(text) > MAX_LOGIN_CHARACTERS:
        raise Denied(Reason.MALFORMED)
    folded = fold_login(text)
    if not _MIN_LOGIN_CHARACTERS <= len(folded) <= MAX_LOGIN_CHARACTERS:
        raise Denied(Reason.MALFORMED)
    if any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"} for char in folded):
        raise Denied(Reason.MALFORMED)
    if not any(unicodedata.category(char)[0] in "LN" for char in folded):
        raise Denied(Reason.MALFORMED)  # accents over nothing: nobody can read it out or tell it from another
    return folded


def fold_login(text: str) -> str:
    """NFKC, case folded, stripped, without a look at what comes out: see `canonical_login`."""
    folded = text
    for _ in range(
        2
    ):  # case folding can undo NFKC and NFKC can bring back capitals; the second round is stable
        folded = unicodedata.normalize("NFKC", folded).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


def token_text(token: object) -> str | None:
    """The token where it has the shape of `portalsec._encoding.new_token` (43 characters of base64url), else None."""
    return token if isinstance(token, str) and _TOKEN.match(token) else None
