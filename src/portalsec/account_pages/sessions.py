"""What is left of a session, its end, and the list of an account's sessions."""

from __future__ import annotations

import base64
from datetime import timedelta

from portalsec.account_pages._lately import require_lately
from portalsec.account_pages.exchange import Asked, Reply, Route
from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.step_up import STEP_UP
from portalsec.account_pages.way_back import ACT_OVER, sign_off, way_back
from portalsec.auth.sessions import ActiveSession
from portalsec.crypto import KeyedHash
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from portalsec.portal import Portal
from portalsec.web import (
    PASSKEY_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    STAFF_COOKIE,
    clear_cookie,
    logout_headers,
    safe_next,
    set_cookie,
    status_of,
)

__all__ = ["SessionPages", "who"]

_LIMIT_WARNING = timedelta(minutes=5)
_SECOND = timedelta(seconds=1)


def who(portal: Portal, account_id: str) -> str:
    """Names the account in a page's ``data-who`` for session.js and guard.js; nothing can be found or opened with it.

    Of the account and not of the session: a step-up in another tab gives the session a new id, and the tabs are still
    the same person's. When somebody else signs in in the same browser, a page that is not theirs clears itself.
    """
    return KeyedHash(portal.keys.mac)("page", account_id.encode())[:16].hex()


class SessionPages:
    """Operations on sessions. Safe for concurrent use."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(method="GET", path="/account/sessions", operation=self.sessions),
            Route(method="POST", path="/account/sessions", operation=self.end_session),
            Route(method="GET", path="/signed-out", operation=self.ended),
        )

    # -- what is left -----------------------------------------------------------------------------------------------

    def left(self, asked: Asked) -> Reply:
        """``GET /session/left``, JSON. Asking is no activity, so a page that is left open keeps nothing alive.

        ``left``, ``idle`` and ``absolute`` are seconds; ``warn`` and ``warn_absolute`` say how long before either end
        the page warns; ``who`` is `who`; ``shared`` that others use the computer. ``key`` (base64, 32 bytes, the same
        for every session of the account, absent on a shared computer) seals what kept.js keeps in the browser; with a
        new key for keyed hashes it is another, and what was kept is lost.

        401 where there is none. 403 with ``step_up``, a path, where the session is asked for a factor before anything else.
        """
        return self._left(asked, passive=True)

    def stay(self, asked: Asked) -> Reply:
        """``POST /session/stay``: activity, because somebody pressed the button. JSON as `left`."""
        return self._left(asked, passive=False)

    def _left(self, asked: Asked, *, passive: bool) -> Reply:
        try:
            session = self._portal.guard.session(asked.session, source=asked.source, passive=passive)
        except Denied as denied:
            return self.not_told(denied)
        return self.told(session)

    def not_told(self, denied: Denied) -> Reply:
        """The answer of `left` for a refusal: of a session that lives and is asked for a factor, with where to go."""
        if denied.reason is Reason.STEP_UP_REQUIRED:
            return Reply(status=status_of(denied), json={"signed_in": True, "step_up": STEP_UP})
        return Reply(status=status_of(denied), json={"signed_in": False})

    def told(self, session: ActiveSession) -> Reply:
        """The answer of `left` for a session that the adapter has checked itself."""
        idle, absolute = session.idle_left, session.absolute_left
        warn, shared = self._portal.policies.sessions.warn_before, session.record.shared
        early = max(warn, _LIMIT_WARNING if warn else warn)
        answer: dict[str, object] = {
            "signed_in": True,
            "who": who(self._portal, session.account_id),
            "left": min(idle, absolute) / _SECOND,
            "idle": idle / _SECOND,
            "absolute": absolute / _SECOND,
            # Near the absolute limit staying does not help, and the page should not offer it.
            "can_stay": absolute > idle,
            "warn": warn / _SECOND,
            # Earlier, since nothing lengthens it and there may be much to finish.
            # Who acts in another's name chose few minutes, and the banner has the time.
            "warn_absolute": (early if session.impersonator is None else warn) / _SECOND,
            "shared": shared,
        }
        if not shared:
            key = KeyedHash(self._portal.keys.mac)("kept text", session.account_id.encode())
            answer["key"] = base64.b64encode(key).decode("ascii")
        return Reply(json=answer)

    # -- the end ----------------------------------------------------------------------------------------------------

    def sign_out(self, asked: Asked) -> Reply:
        """``POST /sign-out``. Ends the session and a sign-in that is under way; the browser is told to keep nothing.

        Where staff acts in an owner's name, their own session ends too: "end" of the banner leads back to it.
        """
        sign_off(
            self._portal,
            session=asked.session,
            staff=asked.staff,
            source=asked.source,
            pending=asked.pending,
        )
        return Reply(
            page="signed_out",
            cookies=tuple(map(clear_cookie, (SESSION_COOKIE, PENDING_COOKIE, PASSKEY_COOKIE, STAFF_COOKIE))),
            headers=logout_headers(known_device=asked.device is not None),
        )

    def ended(self, asked: Asked) -> Reply:
        """``GET /signed-out``, where session.js goes. ``next``: the page that was open. Shows: again (where one goes on).

        Whoever acted in an owner's name finds their way back instead.
        """
        if way_back(self._portal, session=asked.session, staff=asked.staff) is not None:
            return Reply(redirect=ACT_OVER)
        return Reply(
            page="session_ended", values={"again": resume_page(safe_next(asked.text("next"))), "errors": ()}
        )

    # -- the list ---------------------------------------------------------------------------------------------------

    def sessions(self, asked: Asked) -> Reply:
        """Where the owner is signed in. Shows: sessions (`ListedSession`, this one first), ended."""
        session, done = self._session(asked), asked.text("ended")
        values = {
            "session": session,
            "sessions": self._portal.sessions.listed(session.account_id, current=session),
            "ended": done if done in ("one", "others") else "",
            "errors": (),
        }
        return Reply(page="sessions", values=values)

    def end_session(self, asked: Asked) -> Reply:
        """``session``: a reference of the page, or "others", after which this one has a new id. Its own is a sign-out.

        Ending another one takes a factor that was shown lately, on the way in or since (ASVS 5.0, V7.5.2): whoever finds
        an open session must not sign its owner out elsewhere. Without one: `Denied`, STEP_UP_REQUIRED.
        """
        session, which = self._session(asked), asked.text("session")
        owner = Actor(type="user", id=session.account_id)
        if which == session.reference:
            return self.sign_out(asked)
        require_lately(self._portal, session)
        if which == "others":
            new = self._portal.sessions.end_others(
                session.account_id, keep=session.digest, source=asked.source, actor=owner
            )
            if new is None:
                raise Denied(Reason.SESSION_REVOKED)
            cookie = set_cookie(SESSION_COOKIE, new.token.reveal())
            return Reply(redirect="/account/sessions?ended=others", cookies=(cookie,), session=new)
        # One that has ended already, or is another's: nothing happens, and the page shows what is left.
        self._portal.sessions.end_one(session.account_id, which, source=asked.source, actor=owner)
        return Reply(redirect="/account/sessions?ended=one")

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()  # support that acts in the owner's name sees and ends none of the owner's sessions
        return session
