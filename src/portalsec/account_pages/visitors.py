"""Pages for people who are not signed in: forgotten passwords, locked accounts, registration, "this wasn't me"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from portalsec.account_pages.exchange import (
    PRIVATE,
    Asked,
    Lane,
    Reply,
    Route,
    disavowed,
    link_cookie,
    refused,
    step_cookies,
    step_page,
    trouble,
    troubles_of,
)
from portalsec.account_pages.views import disavowable_view
from portalsec.account_pages.way_back import signed_over
from portalsec.auth.contacts import NotConfirmed
from portalsec.auth.password_change import SignInAgain
from portalsec.auth.password_policy import Problem
from portalsec.auth.words import say
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.secret import Secret
from portalsec.web import (
    LINK_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    clear_cookie,
    safe_next,
    set_cookie,
)

__all__ = ["VisitorPages"]

_MENDABLE = frozenset({Reason.MALFORMED, Reason.PASSWORD_REFUSED, Reason.THROTTLED})


class VisitorPages:
    """Operations without a session. Known and unknown names get the same answer, byte for byte."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        required = portal.policies.sign_in.second_factor == "required"
        policy = portal.policies.passwords
        self.least = policy.min_length_with_second_factor if required else policy.min_length

    def routes(self) -> tuple[Route, ...]:
        get, post, choosing = "GET", "POST", Lane.CHOOSING
        register = (
            Route(method=get, path="/register", operation=self.register),
            Route(method=post, path="/register", operation=self.ask_registration),
            Route(method=get, path="/register/link", operation=self.register_link),
            Route(method=post, path="/register/link", operation=self.exchange_registration),
            Route(method=get, path="/register/new", operation=self.register_account),
            Route(method=post, path="/register/new", operation=self.complete_registration, lane=choosing),
        )
        return (
            *(register if self._portal.registration.open else ()),
            Route(method=get, path="/password/forgot", operation=self.forgot),
            Route(method=post, path="/password/forgot", operation=self.ask_reset),
            Route(method=get, path="/password/link", operation=self.reset_link),
            Route(method=post, path="/password/link", operation=self.exchange_reset),
            Route(method=get, path="/password/new", operation=self.new_password),
            Route(method=post, path="/password/new", operation=self.choose_password, lane=choosing),
            Route(method=post, path="/password/strength", operation=self.strength, asks_json=True),
            Route(method=get, path="/sign-in/new-password", operation=self.forced_password),
            Route(method=post, path="/sign-in/new-password", operation=self.submit_forced, lane=choosing),
            Route(method=get, path="/unlock", operation=self.unlock),
            Route(method=post, path="/unlock", operation=self.ask_unlock),
            Route(method=get, path="/unlock/link", operation=self.unlock_link),
            Route(method=post, path="/unlock/link", operation=self.confirm_unlock),
            Route(method=get, path="/not-me", operation=self.not_me),
            Route(method=post, path="/not-me", operation=self.disavow),
            Route(method=get, path="/account/email/link", operation=self.email_link),
            Route(method=post, path="/account/email/link", operation=self.confirm_email),
        )

    # -- a forgotten password ---------------------------------------------------------------------------------------

    def forgot(self, asked: Asked) -> Reply:
        """The form. Shows: typed, errors."""
        return Reply(page="forgot", values={"typed": "", "errors": ()})

    def ask_reset(self, asked: Asked) -> Reply:
        """``name``. The same answer for everybody. Shows, when it is done: lives."""
        lives = self._portal.policies.recovery.reset
        return self._ask(
            asked, "forgot", "name", partial(self._portal.reset.request, device=asked.device), lives=lives
        )

    def reset_link(self, asked: Asked) -> Reply:
        """``token``, from a mail. Asks for a press of a button: opening it alone changes nothing."""
        return _press(asked, "reset_link")

    def exchange_reset(self, asked: Asked) -> Reply:
        """``token``; it is used up, and its holder gets a short-lived cookie instead."""
        return self._exchange(asked, "reset", self._portal.reset.exchange, "/password/new")

    def new_password(self, asked: Asked) -> Reply:
        """The form that a link leads to. Shows: least, errors."""
        if asked.link is None:
            return _dead("reset")
        return Reply(page="new_password", values={"least": self.least, "errors": ()})

    def choose_password(self, asked: Asked) -> Reply:
        """``password``. Then the second factor is asked for, as at any sign-in."""
        try:
            step = self._portal.reset.choose(
                asked.link, asked.text("password"), source=asked.source, device=asked.device
            )
        except Denied as denied:
            return self._not_chosen(asked, denied, "new_password", "reset")
        over = signed_over(self._portal, asked)  # now: the page of a second factor does not do it
        cookies = (clear_cookie(LINK_COOKIE), *over, *step_cookies(step))
        return Reply(redirect=step_page(step), cookies=cookies, session=step.session)

    # -- a new password that the next sign-in asks for --------------------------------------------------------------

    def forced_password(self, asked: Asked) -> Reply:
        """The last step of a sign-in. Shows: next, least, errors, changed (False)."""
        if asked.pending is None:
            return Reply(redirect="/sign-in")
        return self._forced(asked, safe_next(asked.form.get("next")))

    def submit_forced(self, asked: Asked) -> Reply:
        """``password``, ``next``. Shows, where that took too long to be signed in by it: changed."""
        next = safe_next(asked.form.get("next"))
        try:
            step = self._portal.password_change.submit_forced(
                asked.pending, asked.text("password"), source=asked.source, device=asked.device
            )
        except SignInAgain:
            return replace(self._forced(asked, next, changed=True), cookies=(clear_cookie(PENDING_COOKIE),))
        except Denied as denied:
            if denied.reason in (Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED):
                return Reply(redirect="/sign-in", cookies=(clear_cookie(PENDING_COOKIE),))
            return self._not_chosen(asked, denied, "forced_password", "reset", next=next, changed=False)
        onward = next if step.session else step_page(step, next=next)
        over = signed_over(self._portal, asked)
        return Reply(redirect=onward, cookies=(*over, *step_cookies(step)), session=step.session)

    def _forced(self, asked: Asked, next: str, *, changed: bool = False) -> Reply:
        values = {"next": next, "least": self.least, "errors": (), "changed": changed}
        return Reply(page="forced_password", values=values)

    # -- the meter --------------------------------------------------------------------------------------------------

    def strength(self, asked: Asked) -> Reply:
        """JSON ``{"password": ...}``: what a page may say while somebody types. Nothing of it is kept or recorded.

        ``page`` is the path of the form: whose password it will be is taken from the cookie that the form goes by.
        ``login``, ``email`` and ``name`` are what a form says where no cookie does.

        Answers ``score`` (0 to 4), ``words``, ``problems`` and ``advice``: sentences in the visitor's language.
        """
        try:
            report = self._portal.meter.report(
                asked.form.get("password"),
                source=asked.source,
                login=asked.text("login")[:254],
                typed=tuple(text[:254] for name in ("email", "name") if (text := asked.text(name))),
                **_held_for(asked),
            )
        except Denied as denied:
            return replace(
                refused(denied, ""), json={"score": None, "words": "", "problems": [], "advice": []}
            )
        return Reply(
            json={
                "score": report.score,
                "words": say(Problem(f"score_{report.score}"), asked.language),
                "problems": [say(problem, asked.language) for problem in report.problems],
                "advice": [say(problem, asked.language) for problem in report.advice],
            }
        )

    # -- a locked account -------------------------------------------------------------------------------------------

    def unlock(self, asked: Asked) -> Reply:
        """The form. Shows: typed, errors."""
        return Reply(page="unlock", values={"typed": "", "errors": ()})

    def ask_unlock(self, asked: Asked) -> Reply:
        """``name``. The same answer for everybody. Shows, when it is done: lives."""
        lives = self._portal.policies.recovery.unlock
        return self._ask(
            asked, "unlock", "name", partial(self._portal.unlock.request, device=asked.device), lives=lives
        )

    def unlock_link(self, asked: Asked) -> Reply:
        """``token``, from a mail; shows a button."""
        return _press(asked, "unlock_link")

    def confirm_unlock(self, asked: Asked) -> Reply:
        """``token``."""
        try:
            self._portal.unlock.confirm(asked.form.get("token"), source=asked.source)
        except Denied as denied:
            return _dead_or_wait(denied, "unlock")
        return Reply(page="unlocked")

    # -- "this wasn't me" -------------------------------------------------------------------------------------------

    def not_me(self, asked: Asked) -> Reply:
        """``token``, from a mail. Shows: notice (`NoticeView`), token. Nothing changes until the button is pressed."""
        token = asked.text("token")
        try:
            found = self._portal.disavowal.look(token, source=asked.source)
        except Denied as denied:
            return _dead_or_wait(denied, "not_me")
        view = disavowable_view(self._portal, found, asked.language)
        return Reply(page="not_me", values={"token": token, "notice": view}, headers=PRIVATE)

    def disavow(self, asked: Asked) -> Reply:
        """``token``. Ends everything, opens an incident, and lets whoever pressed choose a new password."""
        try:
            done = self._portal.disavowal.confirm(asked.form.get("token"), source=asked.source)
        except Denied as denied:
            return _dead_or_wait(denied, "not_me")
        reply = disavowed(done)
        return replace(reply, cookies=(*reply.cookies, *signed_over(self._portal, asked)))

    # -- registration -----------------------------------------------------------------------------------------------

    def register(self, asked: Asked) -> Reply:
        """The form. Shows: typed, errors."""
        return Reply(page="register", values={"typed": "", "errors": ()})

    def ask_registration(self, asked: Asked) -> Reply:
        """``email``. The same answer for everybody. Shows, when it is done: lives."""
        lives = self._portal.policies.recovery.registration
        return self._ask(asked, "register", "email", self._portal.registration.request, lives=lives)

    def register_link(self, asked: Asked) -> Reply:
        """``token``, from a mail; shows a button."""
        return _press(asked, "register_link")

    def exchange_registration(self, asked: Asked) -> Reply:
        """``token``."""
        return self._exchange(asked, "register", self._portal.registration.exchange, "/register/new")

    def register_account(self, asked: Asked) -> Reply:
        """Shows: login, least, errors."""
        if asked.link is None:
            return _dead("register")
        return Reply(page="register_account", values={"login": "", "least": self.least, "errors": ()})

    def complete_registration(self, asked: Asked) -> Reply:
        """``login``, ``password``."""
        login = asked.text("login").strip()
        missing = tuple(
            trouble(field, f"missing_{field}", asked.language)
            for field, value in (("login", login), ("password", asked.text("password")))
            if not value
        )
        shown = {"login": login[:254], "least": self.least}
        if missing:
            return Reply(status=400, page="register_account", values={**shown, "errors": missing})
        try:
            made = self._portal.registration.complete(
                asked.link,
                login=login,
                password=asked.text("password"),
                source=asked.source,
                device=asked.device,
            )
        except Denied as denied:
            if denied.reason is Reason.LOGIN_TAKEN:
                errors = (trouble("login", "login_taken", asked.language),)
                return refused(denied, "register_account", **shown, errors=errors)
            if denied.reason is Reason.ADDRESS_REFUSED:
                errors = (trouble("login", "login_not_yours", asked.language),)
                return refused(denied, "register_account", **shown, errors=errors)
            return self._not_chosen(asked, denied, "register_account", "register", login=login[:254])
        over = signed_over(self._portal, asked)
        cookies = (clear_cookie(LINK_COOKIE), *over, *step_cookies(made.step))
        return Reply(redirect=step_page(made.step), cookies=cookies, session=made.step.session)

    # -- an address -------------------------------------------------------------------------------------------------

    def email_link(self, asked: Asked) -> Reply:
        """``token``, from a mail; shows a button."""
        return _press(asked, "email_link")

    def confirm_email(self, asked: Asked) -> Reply:
        """``token``. A session of this browser goes on under a new id; all others of the account end."""
        try:
            session = (
                self._portal.guard.session(asked.session, source=asked.source) if asked.session else None
            )
        except Denied:
            session = None
        try:
            kept = self._portal.contacts.confirm(
                asked.form.get("token"), source=asked.source, session=session
            )
        except Denied as denied:
            kept = denied.session if isinstance(denied, NotConfirmed) else None
            reply = _dead_or_wait(denied, "email")
        else:
            reply = Reply(page="email_confirmed", headers=PRIVATE)
        # Whatever came of the address: the session of this browser goes on under that id alone.
        cookies = () if kept is None else (set_cookie(SESSION_COOKIE, kept.token.reveal()),)
        return replace(reply, cookies=(*reply.cookies, *cookies), session=kept)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _ask(
        self, asked: Asked, page: str, field: str, request: Callable[..., object], *, lives: timedelta
    ) -> Reply:
        """A request for mail. Only what the visitor can see by themselves is answered differently."""
        typed = asked.text(field).strip()
        if not typed:
            errors = (trouble(field, f"missing_{field}", asked.language),)
            return Reply(status=400, page=page, values={"typed": "", "errors": errors})
        try:
            request(typed, source=asked.source)
        except Denied as denied:
            known = "email_refused" if denied.reason is Reason.ADDRESS_REFUSED else "refused"
            errors = (trouble(field, known, asked.language),)
            return refused(denied, page, typed=typed[:254], errors=errors)
        return Reply(page=f"{page}_sent", values={"lives": lives})

    def _exchange(self, asked: Asked, what: str, exchange: Callable[..., Secret[str]], onward: str) -> Reply:
        try:
            link = exchange(asked.form.get("token"), source=asked.source)
        except Denied as denied:
            return _dead_or_wait(denied, what)
        return Reply(redirect=onward, cookies=(link_cookie(link),), headers=PRIVATE)

    def _not_chosen(self, asked: Asked, denied: Denied, page: str, what: str, **values: object) -> Reply:
        if denied.reason not in _MENDABLE:
            return _dead_or_wait(denied, what)
        errors = troubles_of(denied, asked.language)
        return refused(denied, page, **values, least=self.least, errors=errors)


def _press(asked: Asked, page: str) -> Reply:
    """Programs that check mail open its links: the page of one reads and writes nothing, and has a button."""
    return Reply(page=page, values={"token": asked.text("token")[:256]}, headers=PRIVATE)


def _dead(what: str) -> Reply:
    return Reply(status=400, page="link_dead", values={"what": what}, headers=PRIVATE)


def _dead_or_wait(denied: Denied, what: str) -> Reply:
    reply = _dead(what)
    if denied.retry_after is None:
        return reply
    return replace(
        refused(denied, "link_dead", what=what), headers={**PRIVATE, **refused(denied, "").headers}
    )


_HELD = {
    "/password/new": "link",
    "/register/new": "link",
    "/sign-in/new-password": "pending",
    "/account/password": "session",
}


def _held_for(asked: Asked) -> dict[str, str | None]:
    """The one cookie that the form of this page goes by; of a page that is not ours, all of them.

    A browser may hold several: whoever follows a link of their child's may be signed in themselves.
    """
    held = {"session": asked.session, "link": asked.link, "pending": asked.pending}
    page = asked.text("page").rstrip("/")
    known = next((name for path, name in _HELD.items() if page.endswith(path)), None)
    return held if known is None else {known: held[known]}
