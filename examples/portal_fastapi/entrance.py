"""The doors: the first page, signing up with an activation code, one's own account, and the page after the end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portalsec.account_pages import language_of, step_page, way_back
from portalsec.auth.account import SignUp
from portalsec.auth.browsers import browser_words
from portalsec.auth.endings import Why
from portalsec.auth.factors import WITHIN
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.words import say
from portalsec.errors import Denied, Reason
from portalsec.events import SYSTEM, Actor
from portalsec.fastapi import Portalsec, finish_step, read_form
from portalsec.web import SESSION_COOKIE, clear_cookie, logout_headers, status_of

from .directory import Directory
from .pages import Errors, Pages, Viewer, duration, viewer, wait
from .ties import Ties

__all__ = ["entrance_router"]

_CARDS = {
    "/record": ("My record", "What the clinic keeps about you."),
    "/record/seen": ("Who has seen my record", "Every look at it: when, who, and why."),
    "/family": ("People I care for", "The records of those whose guardian you are."),
    "/patients": ("My patients", "The people in whose care team you are."),
    "/desk": ("Front desk", "Find a patient and hand out an activation code."),
    "/audit": ("Audit log", "What happened here, and whether the log is whole."),
    "/erase": ("Erase a person", "Destroy for good what the clinic keeps about somebody."),
    "/act-as": (
        "Act for a patient",
        "See the portal as they do, while they ask you something. They are told.",
    ),
    "/support": ("Lost second key", "Two of you take a lost authenticator off an account."),
    "/incidents": ("Incidents", "Accounts whose owner said: this was not me."),
    "/account": ("My account", "Your password, your devices, and what happened."),
}

_OWN = (
    ("/account/secure", "Secure my account", "Something looks wrong? Four steps, a few minutes."),
    ("/account/activity", "What happened to it", "Sign-ins and changes, newest first."),
    ("/account/messages", "Messages we sent you", "Is a mail really from us? Compare its code."),
    ("/account/password", "Change your password", "With a meter that says how good the new one is."),
    ("/account/email", "E-mail addresses", "Where we write when something happens."),
    (
        "/account/factors",
        "Your second keys",
        "What you show besides your password, and codes for a lost phone.",
    ),
    ("/account/devices", "Your devices", "Browsers in which you have signed in."),
)


@dataclass(frozen=True, slots=True)
class _Session:
    browser: str
    address: str | None
    since: datetime
    last: datetime
    here: bool


def entrance_router(ps: Portalsec, ties: Ties, directory: Directory, pages: Pages) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    portal = ps.portal

    def view(session: ActiveSession) -> Viewer:
        return viewer(directory, session.account_id, portal.guard.subject(session).roles)

    @router.get("/")
    async def home(request: Request) -> Response:
        try:
            session = await ps.optional_session(request)
        except Denied:
            if way_back(portal, session=await ps.session_token(request), staff=await ps.staff_token(request)):
                raise  # the page about the end of acting in another's name
            session = None  # an old cookie is no reason to keep somebody from the first page
        if session is None:
            return pages.render(request, "home.html")
        seen = await ps.lanes.offload(lambda: view(session))
        cards = [(address, *_CARDS[address]) for address, _ in seen.menu if address in _CARDS]
        return pages.render(request, "home.html", viewer=seen, cards=cards)

    # -- sign-up ----------------------------------------------------------------------------------------------------

    def activate_page(
        request: Request, *, invitation: str = "", login: str = "", errors: Errors = ()
    ) -> Response:
        policy = portal.policies.passwords
        least = (
            policy.min_length_with_second_factor
            if portal.policies.sign_in.second_factor == "required"
            else policy.min_length
        )
        return pages.render(
            request,
            "activate.html",
            invitation=invitation,
            login=login,
            errors=errors,
            password_hint=f"At least {least} characters. A few words that do not belong together work well.",
        )

    @router.get("/activate")
    async def activate(request: Request) -> Response:
        return activate_page(request)

    @router.post("/activate")
    async def sign_up(request: Request) -> Response:
        form, source = await read_form(request), ps.source(request)
        invitation, login, password = (form.get(name, "") for name in ("invitation", "login", "password"))
        missing = [
            (name, text)
            for name, text, value in (
                ("invitation", "Enter your activation code.", invitation),
                ("login", "Choose a user name.", login),
                ("password", "Choose a password.", password),
            )
            if not value.strip()
        ]
        if missing:
            response = activate_page(request, invitation=invitation, login=login, errors=missing)
            response.status_code = 400
            return response

        def operation() -> SignUp:
            made = portal.accounts.sign_up(
                invitation=invitation, login=login, password=password, source=source
            )
            ties.link(made.account_id, made.reference)
            portal.roles.grant(made.account_id, "patient", actor=SYSTEM, source=source)
            return made

        try:
            made = await ps.lanes.choosing(operation)
        except Denied as denied:
            language = language_of(request.headers.get("accept-language"), known=("en",))  # as the templates
            response = activate_page(
                request, invitation=invitation[:64], login=login[:254], errors=_what_to_mend(denied, language)
            )
            response.status_code = status_of(denied)
            return response
        return finish_step(RedirectResponse(step_page(made.step), status_code=303), made.step)

    # -- account ----------------------------------------------------------------------------------------------------

    @router.get("/account")
    def account(request: Request, session: Annotated[ActiveSession, Depends(ps.session)]) -> Response:
        session.require_owner()  # not for support that acts in the owner's name
        policy = portal.policies.sessions
        return pages.render(
            request,
            "account.html",
            viewer=view(session),
            own=_OWN,
            idle=duration(policy.idle),
            absolute=duration(policy.absolute),
            sessions=[
                _Session(
                    browser=browser_words(record.user_agent) or "A browser",
                    address=record.address,
                    since=record.created_at,
                    last=record.last_seen_at,
                    here=record.digest == session.digest,
                )
                for record in portal.sessions.of_account(session.account_id)
            ],
        )

    # Whoever copied a session's cookie must not throw its owner out: a factor is asked for, unless one was shown lately.
    lately = ps.require_factor(within=WITHIN, explicit=False)

    @router.post("/account/sign-out-everywhere")
    def sign_out_everywhere(request: Request, session: Annotated[ActiveSession, Depends(lately)]) -> Response:
        session.require_owner()
        actor = Actor(type="user", id=session.account_id)
        portal.endings.apply(
            session.account_id, Why.SIGNED_OUT_EVERYWHERE, actor=actor, source=ps.source(request)
        )
        response = pages.signed_out(request)
        response.headers.update(logout_headers())
        response.headers.append("Set-Cookie", clear_cookie(SESSION_COOKIE))
        return response

    return router


def _what_to_mend(denied: Denied, language: str) -> Errors:
    if isinstance(denied, PasswordRefused):
        return [("password", say(problem, language)) for problem in denied.problems]
    if denied.reason is Reason.LOGIN_TAKEN:
        return [("login", "Choose another user name: this one is taken.")]
    if denied.reason is Reason.ADDRESS_REFUSED:
        return [("login", "Choose a user name without an @.")]
    if denied.reason is Reason.MALFORMED:
        return [
            ("login", "Use 3 to 254 letters, digits or signs for the user name."),
            ("password", "Use at most 256 characters for the password."),
        ]
    if denied.reason is Reason.THROTTLED:
        return [("", wait(denied) or "Too many tries. Please wait a while.")]
    return [
        (
            "invitation",
            "This code opens nothing. Check it letter by letter, or ask the front desk for a new one.",
        )
    ]
