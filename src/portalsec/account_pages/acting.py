"""Support acts in an owner's name: the page where it begins, what ends it, and what says so on every page.

The browser keeps a way back meanwhile: see `portalsec.account_pages.way_back`. "End" goes back to the staff's own session.
**Sign-out ends both**: who presses that means to leave the computer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from portalsec.account_pages.exchange import Asked, Reply, Route, Trouble, leads_to, trouble
from portalsec.account_pages.resume import resume_page
from portalsec.account_pages.step_up import step_up_page
from portalsec.account_pages.way_back import ACT_OVER, staff_cookie, way_back
from portalsec.auth._input import canonical_login
from portalsec.auth.impersonation import ImpersonationPolicy
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.portal import Portal
from portalsec.web import (
    PENDING_COOKIE,
    SESSION_COOKIE,
    STAFF_COOKIE,
    clear_cookie,
    safe_next,
    set_cookie,
)

__all__ = ["ACT_AS", "ACT_END", "ActingPages", "ActingView", "acting_view"]

ACT_AS: Final = "/act-as"
ACT_END: Final = "/act-as/end"

_MINUTE = timedelta(minutes=1)
_CHOICES = (5, 10, 15, 30, 60, 120, 240)

# One face: which of them it was would say whether there is such an account.
_NOT_FOR_YOU = frozenset({Reason.NO_GRANT, Reason.UNKNOWN_ACCOUNT, Reason.ACCOUNT_DISABLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActingView:
    """For the banner: somebody acts here in another's name.

    Attributes:
        account_id: whose.
        name: theirs, as staff knows them.
        until: when it ends by itself at the latest (UTC).
        end: the path that a form posts to, without fields (``next``: where to go then), which ends it.
    """

    account_id: str
    name: str
    until: datetime
    end: str = ACT_END


def acting_view(portal: Portal, session: ActiveSession, *, name: str = "") -> ActingView | None:
    """What a page must say in a session in which support acts; None in anybody's own.

    Args:
        name: whose record it is, in words; else their user name.
    """
    if session.impersonator is None:
        return None
    if not name:
        account = portal.stores.accounts.get(session.account_id)
        name = account.login if account else ""
    until = portal.clock() + session.absolute_left
    return ActingView(account_id=session.account_id, name=name, until=until)


class ActingPages:
    """Operations of staff. There are none where the portal has no `may_impersonate`. Safe for concurrent use."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self.minutes = _choices(portal.policies.impersonation)

    def routes(self) -> tuple[Route, ...]:
        if not self._portal.impersonation.offered:
            return ()
        return (
            Route(method="GET", path=ACT_AS, operation=self.page),
            Route(method="POST", path=ACT_AS, operation=self.start),
            Route(method="POST", path=ACT_END, operation=self.end),
            Route(method="GET", path=ACT_END, operation=leads_to(ACT_OVER)),
            Route(method="GET", path=ACT_OVER, operation=self.over),
        )

    # -- the beginning ----------------------------------------------------------------------------------------------

    def page(self, asked: Asked) -> Reply:
        """``login`` or ``account`` (an account's id, which the application's own link knows), ``next``. Shows: login,
        account, reason, minutes (choices), chosen, next, stronger, ended."""
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()
        return self._form(asked, session)

    def start(self, asked: Asked) -> Reply:
        """``login`` or ``account``, ``reason`` (a reference of the case), ``minutes`` (one of the choices), ``next``.

        Where the present sign-in is too weak, ``stronger`` is the page that mends that. All else that forbids it has one
        face: it tells no more of an account than `MayImpersonate` does.
        """
        session = self._portal.guard.session(asked.session, source=asked.source)
        login, given = asked.text("login").strip(), asked.text("account").strip()
        if not login and not given:
            return self._form(asked, session, errors=(trouble("login", "missing_target", asked.language),))
        minutes = asked.text("minutes")
        if minutes not in map(str, self.minutes):
            return self._form(asked, session, errors=(trouble("minutes", "no_such_limit", asked.language),))
        try:
            new = self._portal.impersonation.start(
                session,
                given or self._named(login),
                reason=asked.text("reason").strip(),
                source=asked.source,
                lasting=int(minutes) * _MINUTE,
            )
        except Denied as denied:
            refusal = denied
        else:
            return self._began(asked, new)
        session.require_owner()  # nobody acts from within another's session, which is recorded by now
        return self._not_begun(asked, session, refusal)

    # -- the end ----------------------------------------------------------------------------------------------------

    def end(self, asked: Asked) -> Reply:
        """Ends it, if it goes on still, and leads back to the staff's own session; ``next``: where to go there.

        Without the cookie of the way back, or with one that does not fit, the browser is signed out.
        """
        own = way_back(self._portal, session=asked.session, staff=asked.staff)
        session = self._alive(asked)
        if session is not None and session.impersonator is None:
            # Another tab was first: this browser is back already.
            return Reply(redirect=self._after(asked), cookies=(clear_cookie(STAFF_COOKIE),))
        if session is not None:
            if own is None:
                self._portal.impersonation.leave(session, source=asked.source)
            else:
                self._portal.impersonation.stop(session, source=asked.source)
        return self._signed_out() if own is None else self._back(asked, own)

    def over(self, asked: Asked) -> Reply:
        """Where whoever was refused is sent, since their session in another's name is over. Shows: lives (it does, and
        may be ended), back (there is a way back; else one signs in anew), next."""
        session = self._alive(asked)
        if session is not None and session.impersonator is None:
            return Reply(redirect=self._after(asked), cookies=(clear_cookie(STAFF_COOKIE),))
        own = way_back(self._portal, session=asked.session, staff=asked.staff)
        back = False
        if own is not None:
            try:
                self._portal.sessions.check(own, source=asked.source, passive=True, stepping_up=True)
                back = True
            except Denied as denied:
                back = denied.reason is Reason.SESSION_IDLE and self._rests(own, asked.source)
        values = {"lives": session is not None, "back": back, "next": self._next(asked), "errors": ()}
        return Reply(page="act_over", values=values)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _named(self, login: str) -> str | None:
        try:
            account = self._portal.stores.accounts.by_login(canonical_login(login))
        except Denied:
            return None
        return None if account is None else account.id

    def _began(self, asked: Asked, new: NewSession) -> Reply:
        cookies = (
            set_cookie(SESSION_COOKIE, new.token.reveal()),
            staff_cookie(self._portal, new, asked.session or ""),
        )
        return Reply(redirect=self._next(asked), cookies=cookies, session=new, acting=True)

    def _not_begun(self, asked: Asked, session: ActiveSession, denied: Denied) -> Reply:
        language, stronger, status = asked.language, "", 403
        if denied.reason is Reason.MALFORMED:
            errors, status = (trouble("reason", "no_reference", language),), 400
        elif denied.reason is Reason.IMPERSONATED:
            errors, status = (trouble("login", "that_is_you", language),), 400
        elif denied.reason is Reason.EVIDENCE_MISSING:
            errors, stronger = (trouble("", "too_weak", language),), step_up_page(ACT_AS)
        elif denied.reason in _NOT_FOR_YOU:
            errors = (trouble("login", "not_for_you", language),)
        else:
            raise denied
        return self._form(asked, session, errors=errors, status=status, stronger=stronger)

    def _form(
        self,
        asked: Asked,
        session: ActiveSession,
        *,
        errors: tuple[Trouble, ...] = (),
        status: int | None = None,
        stronger: str = "",
    ) -> Reply:
        session.require_owner()
        chosen = asked.text("minutes")
        values = {
            "session": session,
            "login": asked.text("login")[:254],
            "account": asked.text("account")[:64],
            "reason": asked.text("reason")[:64],
            "minutes": self.minutes,
            "chosen": int(chosen) if chosen in map(str, self.minutes) else self.minutes[-1],
            "next": self._next(asked),
            "stronger": stronger,
            "ended": asked.text("ended") == "yes",
            "errors": errors,
        }
        return Reply(status=status or (400 if errors else 200), page="act_as", values=values)

    def _back(self, asked: Asked, own: str) -> Reply:
        go = self._after(asked)
        try:
            self._portal.sessions.check(own, source=asked.source, stepping_up=True)
        except Denied as denied:
            if denied.reason is not Reason.SESSION_IDLE or not self._rests(own, asked.source):
                return self._signed_out()
            go = resume_page(go)  # nobody was there: one factor, as after every idle end
        cookies = (set_cookie(SESSION_COOKIE, own), clear_cookie(STAFF_COOKIE))
        return Reply(redirect=go, cookies=cookies, back=own)

    def _rests(self, token: str, source: Source) -> bool:
        try:
            self._portal.sessions.resumable(token, source=source)
        except Denied:
            return False
        return True

    @staticmethod
    def _signed_out() -> Reply:
        names = (SESSION_COOKIE, STAFF_COOKIE, PENDING_COOKIE)
        return Reply(redirect=ACT_OVER, cookies=tuple(map(clear_cookie, names)))

    def _alive(self, asked: Asked) -> ActiveSession | None:
        try:
            return self._portal.sessions.check(
                asked.session, source=asked.source, passive=True, stepping_up=True
            )
        except Denied:
            return None

    @staticmethod
    def _next(asked: Asked) -> str:
        return safe_next(asked.form.get("next"))

    @staticmethod
    def _after(asked: Asked) -> str:
        return safe_next(asked.form.get("next"), default=f"{ACT_AS}?ended=yes")


def _choices(policy: ImpersonationPolicy) -> tuple[int, ...]:
    """Minutes to choose from: what is usual, up to the policy's own."""
    most = policy.lasting // _MINUTE
    return (*(each for each in _CHOICES if each < most), most)
