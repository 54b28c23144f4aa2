"""Tokens of a notice's links: a keyed tag over its id, for which nothing is stored.

Looking at such a link writes nothing anywhere, however often a mail scanner opens it; the same notice has the same link
in every mail; and nothing that a thief does to the account makes it stop.
"""

from __future__ import annotations

import hmac
from uuid import UUID

from portalsec._encoding import b64url, unb64url
from portalsec.auth._input import token_text
from portalsec.auth.ports import Mac
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

__all__ = ["notice_of", "notice_token"]

_TAG = 16  # with 16 bytes of id it is 32 bytes: a token of the usual shape, and 128 bits to guess


def notice_token(mac: Mac, purpose: str, notice_id: str) -> Secret[str]:
    """The token; one of another purpose is unrelated.

    Raises:
        ConfigurationError: the portal's ids are no UUIDs.
    """
    raw = _id_bytes(notice_id)
    if raw is None:
        raise ConfigurationError("new_id makes no UUIDs, which notices need: use portalsec's, or UUIDv7 text")
    return Secret(b64url(raw + mac(purpose, raw)[:_TAG]))


def notice_of(mac: Mac, purpose: str, token: object) -> str | None:
    """The id of the notice that a token is of; None where we did not make it, under any key that is read."""
    text = token_text(token)
    try:
        data = b"" if text is None else unb64url(text)
    except ValueError:
        return None
    raw, tag = data[:16], data[16:]
    if len(tag) != _TAG or not any(hmac.compare_digest(tag, each[:_TAG]) for each in mac.all(purpose, raw)):
        return None
    return str(UUID(bytes=raw))


def _id_bytes(notice_id: str) -> bytes | None:
    try:
        parsed = UUID(notice_id)
    except ValueError:
        return None
    return parsed.bytes if str(parsed) == notice_id else None
