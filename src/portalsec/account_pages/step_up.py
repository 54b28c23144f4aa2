"""Showing a factor again in an open session, and adding a passkey to one's account: pages and what passkeys.js asks."""

from __future__ import annotations

from dataclasses import replace

from portalsec.account_pages.exchange import Asked, Lane, Reply, Route, Trouble, refused, trouble
from portalsec.account_pages.passkeys import passkey_options, passkey_refused
from portalsec.account_pages.shortfall import STEP_UP, kinds_of, step_up_page
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import SESSION_COOKIE, safe_next, set_cookie

__all__ = ["STEP_UP", "StepUpPages", "step_up_page"]

CODES = "/account/factors/codes"
_SECOND = frozenset({"totp", "passkey"})
_MISTAKES = frozenset(
    {
        Reason.WRONG_PASSWORD,
        Reason.WRONG_CODE,
        Reason.CODE_REPLAYED,
        Reason.MALFORMED,
        Reason.THROTTLED,
        Reason.ACCOUNT_LOCKED,
        Reason.FACTOR_NOT_ENROLLED,
        Reason.FACTOR_DISABLED,
    }
)


class StepUpPages:
    """Operations of a live session, also of one that must show a factor before anything else."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        own = (
            Route(method="GET", path=STEP_UP, operation=self.page),
            Route(method="POST", path=STEP_UP, operation=self.submit, lane=Lane.HASHING),
        )
        if self._portal.passkeys is None:
            return own
        return (
            *own,
            Route(method="POST", path=f"{STEP_UP}/begin", operation=self.begin, asks_json=True),
            Route(method="POST", path=f"{STEP_UP}/passkey", operation=self.submit_passkey, asks_json=True),
            Route(method="POST", path="/account/passkeys/begin", operation=self.begin_new, asks_json=True),
            Route(method="POST", path="/account/passkeys/add", operation=self.confirm_new, asks_json=True),
        )

    # -- by form ----------------------------------------------------------------------------------------------------

    def page(self, asked: Asked) -> Reply:
        """``next``, ``or`` and ``set-up``, as `step_up_page` makes them. Shows: next, ways ("password", "totp", "passkey",
        "recovery_code": what the account could show of what would do), only (of ``or``, for a hidden field of that name),
        set_up (where there are no ways: of "totp", "passkey", "recovery_code", "password", what to set up; without these a
        new sign-in leads on)."""
        return self._page(asked, self._session(asked))

    def submit(self, asked: Asked) -> Reply:
        """``current`` (the password), ``code`` or ``recovery_code``; ``next``, ``or``. The session goes on under a new id."""
        session, step_up = self._session(asked), self._portal.step_up
        field = next(
            (name for name in ("current", "code", "recovery_code") if asked.text(name).strip()), None
        )
        if field is None:
            return self._page(asked, session, errors=(trouble("", "missing_factor", asked.language),))
        verify = {
            "current": step_up.submit_password,
            "code": step_up.submit_totp,
            "recovery_code": step_up.submit_recovery_code,
        }[field]
        try:
            new = verify(session, asked.text(field), source=asked.source)
        except StepUpRequired as denied:
            # Of a session that came from elsewhere it is too little, whatever the form offered.
            told = (trouble("", "refused", asked.language),)
            return replace(self._page(asked, session, errors=told, only=denied.next), status=403)
        except Denied as denied:
            if denied.reason not in _MISTAKES:
                raise
            words = {"current": "wrong_current", "code": "wrong_code", "recovery_code": "refused"}[field]
            return self._page(asked, session, denied, errors=(trouble(field, words, asked.language),))
        return replace(_under_new_id(new), redirect=safe_next(asked.form.get("next")))

    # -- by script --------------------------------------------------------------------------------------------------

    def begin(self, asked: Asked) -> Reply:
        """Options for a passkey of this account."""
        try:
            return passkey_options(
                self._portal.step_up.begin_passkey(self._session(asked), source=asked.source)
            )
        except Denied as denied:
            return passkey_refused(denied, asked.language)

    def submit_passkey(self, asked: Asked) -> Reply:
        """``response``, ``next``."""
        try:
            new = self._portal.step_up.submit_passkey(
                self._session(asked), asked.form.get("response"), source=asked.source
            )
        except Denied as denied:
            return _wrong_passkey(denied, asked.language)
        return replace(_under_new_id(new), json={"go": safe_next(asked.form.get("next"))})

    def begin_new(self, asked: Asked) -> Reply:
        """Options for a new passkey of this account; ``next`` is the page to come back to after a step-up."""
        try:
            session = self._portal.guard.session(asked.session, source=asked.source)
            return passkey_options(self._portal.factors.begin_passkey(session, source=asked.source))
        except Denied as denied:
            return self._refused(asked, denied)

    def confirm_new(self, asked: Asked) -> Reply:
        """``response``, ``label``, ``next``. Every other session ends; this one goes on under a new id.

        Where the account has no recovery codes, it leads to the page that makes them and shows them once: an answer to a
        script has none.
        """
        try:
            session = self._portal.guard.session(asked.session, source=asked.source)
            added = self._portal.factors.confirm_passkey(
                session,
                asked.form.get("response"),
                label=asked.text("label"),
                with_codes=False,
                source=asked.source,
            )
        except Denied as denied:
            return self._refused(asked, denied)
        go = safe_next(asked.form.get("next"), default="/account/secure?done=factor")
        if not self._portal.recovery_codes.left(added.session.account_id):
            go = CODES
        return replace(_under_new_id(added.session), json={"go": go})

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.sessions.check(asked.session, source=asked.source, stepping_up=True)
        session.require_owner()  # support that acts in the owner's name is not told what they could show
        return session

    def _refused(self, asked: Asked, denied: Denied) -> Reply:
        reply = _wrong_passkey(denied, asked.language)
        if denied.reason is not Reason.STEP_UP_REQUIRED or reply.json is None:
            return reply
        back = safe_next(asked.text("page"), default="/account/secure")
        return replace(reply, json={**reply.json, "go": step_up_page(back, denied)})

    def _page(
        self,
        asked: Asked,
        session: ActiveSession,
        denied: Denied | None = None,
        errors: tuple[Trouble, ...] = (),
        *,
        only: tuple[str, ...] | None = None,
    ) -> Reply:
        has = self._portal.step_up.ways(session, source=asked.source)
        strange = self._portal.step_up.strange(session)  # that comes first, and says itself what settles it
        if only is None and "or" in asked.form and not strange:
            only = kinds_of(asked.text("or"))
        if only is None:
            # Nobody said what would do. A password does not where there is more: it may be a thief's.
            alone = _SECOND.isdisjoint(has)
            ways = tuple(each for each in has if alone or each != "password")
        else:
            ways = tuple(each for each in has if each in only)
        values = {
            "session": session,
            "next": safe_next(asked.form.get("next")),
            "ways": ways,
            "only": ",".join(only or ()),
            "set_up": () if ways or strange else kinds_of(asked.text("set-up")),
            "errors": errors,
        }
        if denied is None:
            return Reply(status=400 if errors else 200, page="step_up", values=values)
        reply = refused(denied, "step_up", **values)
        # A wrong password or code of somebody who is signed in is a mistake on a form, and no missing session (401).
        return replace(reply, status=400) if reply.status == 401 else reply


def _wrong_passkey(denied: Denied, language: str) -> Reply:
    """A wrong passkey of somebody who is signed in is a mistake, too, and no missing session."""
    reply = passkey_refused(denied, language)
    return replace(reply, status=400) if denied.reason is Reason.PASSKEY_REFUSED else reply


def _under_new_id(new: NewSession) -> Reply:
    return Reply(cookies=(set_cookie(SESSION_COOKIE, new.token.reveal()),), session=new)
