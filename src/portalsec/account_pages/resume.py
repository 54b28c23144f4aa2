"""Going on with a session that idleness ended, by one factor (SP 800-63B-4 section 2.2.3): a page and what passkeys.js asks."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

from portalsec.account_pages.exchange import Asked, Lane, Reply, Route, Trouble, refused, trouble
from portalsec.account_pages.passkeys import passkey_options, passkey_refused
from portalsec.auth.sessions import NewSession
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import SESSION_COOKIE, safe_next, set_cookie

__all__ = ["RESUME", "ResumePages", "resume_page"]

RESUME = "/sign-in/resume"
_MISTAKES = frozenset(
    {
        Reason.WRONG_PASSWORD,
        Reason.MALFORMED,
        Reason.THROTTLED,
        Reason.ACCOUNT_LOCKED,
        Reason.FACTOR_NOT_ENROLLED,
    }
)
_OF_A_PASSKEY = _MISTAKES | {Reason.PASSKEY_REFUSED}


def resume_page(path: object) -> str:
    """Where an adapter sends whoever was refused with SESSION_IDLE; from there they come back to ``path``."""
    return _to(RESUME, safe_next(path))


class ResumePages:
    """Operations of whoever holds the id of a session that rests.

    Its cookie is what says so: an adapter leaves it in the browser when it answers 401. Where nothing can be resumed
    (the absolute limit, a shared computer, a request from elsewhere, a stricter policy) they lead to ``/sign-in``, and
    where the session lives, since another tab resumed it, to where the visitor was going.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        own = (
            Route(method="GET", path=RESUME, operation=self.page),
            Route(method="POST", path=RESUME, operation=self.submit, lane=Lane.HASHING),
        )
        if self._portal.passkeys is None:
            return own
        return (
            *own,
            Route(method="POST", path=f"{RESUME}/begin", operation=self.begin, asks_json=True),
            Route(method="POST", path=f"{RESUME}/passkey", operation=self.submit_passkey, asks_json=True),
        )

    def page(self, asked: Asked) -> Reply:
        """``next``. Shows: next, ways ("password", "passkey": what the account could show)."""
        try:
            return self._page(asked)
        except Denied as denied:
            return Reply(redirect=_onward(denied, asked))

    def submit(self, asked: Asked) -> Reply:
        """``current`` (the password), ``next``. The session goes on under a new id."""
        if not asked.text("current"):
            return self._again(asked, None, "missing_current")
        try:
            new = self._portal.sign_in.resume(asked.session, asked.text("current"), source=asked.source)
        except Denied as denied:
            if denied.reason not in _MISTAKES:
                return Reply(redirect=_onward(denied, asked))
            mistake = denied
        else:
            return replace(_resumed(new), redirect=_next(asked))
        return self._again(asked, mistake, "wrong_current")

    def begin(self, asked: Asked) -> Reply:
        """Options for a passkey of this account that verifies its user; ``next``."""
        try:
            return passkey_options(
                self._portal.sign_in.begin_resume_passkey(asked.session, source=asked.source)
            )
        except Denied as denied:
            return _told(denied, asked)

    def submit_passkey(self, asked: Asked) -> Reply:
        """``response``, ``next``."""
        try:
            new = self._portal.sign_in.resume_passkey(
                asked.session, asked.form.get("response"), source=asked.source
            )
        except Denied as denied:
            return _told(denied, asked)
        return replace(_resumed(new), json={"go": _next(asked)})

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _again(self, asked: Asked, denied: Denied | None, words: str) -> Reply:
        try:
            return self._page(asked, denied, errors=(trouble("current", words, asked.language),))
        except Denied as gone:  # meanwhile, by another tab perhaps
            return Reply(redirect=_onward(gone, asked))

    def _page(self, asked: Asked, denied: Denied | None = None, errors: tuple[Trouble, ...] = ()) -> Reply:
        ways = tuple(
            factor.value for factor in self._portal.sign_in.resume_ways(asked.session, source=asked.source)
        )
        if not ways:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        values = {"next": _next(asked), "ways": ways, "errors": errors}
        if denied is None:
            return Reply(status=400 if errors else 200, page="resume", values=values)
        return refused(denied, "resume", **values)


def _resumed(new: NewSession) -> Reply:
    return Reply(cookies=(set_cookie(SESSION_COOKIE, new.token.reveal()),), session=new)


def _next(asked: Asked) -> str:
    return safe_next(asked.form.get("next"))


def _onward(denied: Denied, asked: Asked) -> str:
    next = _next(asked)
    # Never back to this page by itself: the address is anybody's to make.
    lives = denied.reason is Reason.FLOW_UNKNOWN and next.partition("?")[0] != RESUME
    return next if lives else _to("/sign-in", next)


def _told(denied: Denied, asked: Asked) -> Reply:
    reply = passkey_refused(denied, asked.language)
    if denied.reason in _OF_A_PASSKEY or reply.json is None:
        return reply
    return replace(reply, json={**reply.json, "go": _onward(denied, asked)}, cookies=())


def _to(page: str, next: str) -> str:
    # The query goes along whole, so that one's ``&`` is not taken for this address's.
    return page if next == "/" else f"{page}?{urlencode({'next': next}, safe='/?=:')}"
