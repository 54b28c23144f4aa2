"""The way back of staff who act in an owner's name: a second cookie that fits one session, and what ends with it.

The browser then holds two cookies: the usual one with the session in which staff acts, and `STAFF_COOKIE` with the token of
their own, which stays alive behind it. That one is not only the token: a keyed hash ties it to the very session that it
stands behind. So the way back leads from that session to that one and nowhere else, also when the first has ended and
nothing is known of it any more; one that somebody planted, kept from another time, or took to another browser fits nothing,
and whoever comes with it is signed out. Keeping it in the server's record instead would need an id that opens a session for
whoever names it; keeping no way back would have support sign in anew after each case, which teaches them to leave it open.
"""

from __future__ import annotations

import hmac
from typing import Final

from portalsec._encoding import b64url, unb64url
from portalsec.account_pages.exchange import Asked
from portalsec.auth._input import token_text
from portalsec.auth.sessions import NewSession
from portalsec.crypto import KeyedHash
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.portal import Portal
from portalsec.web import STAFF_COOKIE, clear_cookie, set_cookie

__all__ = ["ACT_OVER", "acted_here", "sign_off", "signed_over", "staff_cookie", "way_back"]

ACT_OVER: Final = "/act-as/over"
_PURPOSE = "way back"

# After these the session in which staff acted is no more, or goes on only if its owner shows a factor.
_OVER = frozenset(
    {
        Reason.SESSION_UNKNOWN,
        Reason.SESSION_IDLE,
        Reason.SESSION_EXPIRED,
        Reason.SESSION_CLOCK,
        Reason.SESSION_REVOKED,
        Reason.EVIDENCE_MISSING,
        Reason.STEP_UP_REQUIRED,
    }
)


def staff_cookie(portal: Portal, acting: NewSession, own: str) -> str:
    """The Set-Cookie value that keeps the staff's own token ``own`` behind the session in which they act."""
    token = acting.token.reveal()
    tag = KeyedHash(portal.keys.mac)(_PURPOSE, f"{token}.{own}".encode("ascii"))
    return set_cookie(STAFF_COOKIE, f"{own}.{b64url(tag)}")


def way_back(portal: Portal, *, session: str | None, staff: str | None) -> str | None:
    """The token of the staff's own session, where the two cookies belong together; else None.

    Asks no store, so it says nothing of whether either of them is alive.
    """
    acting, (own, _, tag) = token_text(session), (staff or "").partition(".")
    if not portal.impersonation.offered or acting is None or token_text(own) is None:
        return None
    try:
        given = unb64url(tag)
    except ValueError:
        return None
    known = KeyedHash(portal.keys.mac).all(_PURPOSE, f"{acting}.{own}".encode("ascii"))
    return own if any(hmac.compare_digest(given, each) for each in known) else None


def acted_here(portal: Portal, denied: Denied, *, session: str | None, staff: str | None) -> bool:
    """Whether this refusal means that the session in which staff acts in this browser is over: `ACT_OVER` says so, and
    has the way back, which an adapter's page of a 401 has not."""
    return denied.reason in _OVER and way_back(portal, session=session, staff=staff) is not None


def sign_off(
    portal: Portal, *, session: str | None, staff: str | None, source: Source, pending: str | None = None
) -> None:
    """Sign this browser out: of its session, and where staff acts in it, of their own behind it too.

    What stands behind is known by the session's record. The staff's cookie says it where that session is gone, and need
    not fit then: it leads nowhere here, and whoever holds a token may end its session.
    """
    try:
        portal.sign_in.logout(session, source=source, pending=pending)
    finally:
        own = (staff or "").partition(".")[0]
        if own:
            portal.sign_in.logout(own, source=source)


def signed_over(portal: Portal, asked: Asked) -> tuple[str, ...]:
    """Somebody signs in over a session: the older one ends, also on a shared computer, and with it what is behind it.

    Returns:
        The cookie that goes with them, cleared where one came. The session's own has its successor.
    """
    if asked.session is None and asked.staff is None:
        return ()
    sign_off(portal, session=asked.session, staff=asked.staff, source=asked.source)
    return () if asked.staff is None else (clear_cookie(STAFF_COOKIE),)
