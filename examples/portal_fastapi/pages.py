"""The pages: Jinja templates with autoescape, and the words that errors and dates get."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from portalsec.account_pages import ActingView
from portalsec.auth.incidents import SeenLine
from portalsec.auth.qr import qr_svg
from portalsec.auth.totp import Enrolment
from portalsec.errors import Denied, Reason
from portalsec.fastapi import Refusal
from portalsec.web import retry_after_seconds

from .directory import ROLE_WORDS, Directory
from .domain import Patient, age_on
from .words import ACTION_WORDS, PURPOSE_WORDS, REASON_WORDS

__all__ = ["Pages", "Viewer", "viewer"]

Errors = Sequence[tuple[str, str]]  # (id of the input or "", what to do)

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who looks at a page: for the greeting and the menu, never for a decision. ``who``: for the scripts that clear a
    page which is another's (`portalsec.account_pages.who`)."""

    name: str
    role_words: str
    who: str
    menu: tuple[tuple[str, str], ...]


_MENU = {
    "patient": (("/record", "My record"), ("/record/seen", "Who has seen it")),
    "proxy": (("/family", "People I care for"),),
    "clinician": (("/patients", "My patients"),),
    "front_desk": (("/desk", "Front desk"), ("/support", "Lost second key")),
    "patient_support": (("/act-as", "Act for a patient"),),
    "privacy_officer": (("/audit", "Audit log"), ("/incidents", "Incidents"), ("/erase", "Erase a person")),
}


def viewer(directory: Directory, account_id: str, roles: frozenset[str]) -> Viewer:
    person = directory.person(account_id)
    known = [role for role in _MENU if role in roles]
    entries = tuple(entry for role in known for entry in _MENU[role])
    return Viewer(
        name=person.name if person else "",
        who=directory.who(account_id),
        role_words=" and ".join(ROLE_WORDS[role] for role in known) or "This account has no role yet.",
        menu=(*entries, ("/account", "My account")),
    )


class Pages:
    """Renders templates. Satisfies `portalsec.fastapi.SignInPages`."""

    def __init__(
        self,
        *,
        portal_name: str,
        acting: Callable[[Request], ActingView | None] = lambda _: None,
        trust_for: Callable[[], timedelta | None] = lambda: None,
        mail_link: bool = False,
        today: date | None = None,
    ) -> None:
        self._today = today
        self._acting = acting
        self._trust_for = trust_for
        self._mail_link = mail_link
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"day": day, "moment": moment, "told": told, "described": self._described}
        self._templates.filters["scalable"] = lambda drawing: Markup(_scalable(drawing))  # noqa: S704 - a `Drawing`
        self._templates.filters["duration"] = duration
        self._templates.filters["hour"] = hour
        self._templates.filters["factor_words"] = lambda factor: _FACTOR_WORDS.get(factor, factor)
        self._templates.globals |= {
            "portal": portal_name,
            "purpose_words": PURPOSE_WORDS,
            "reason_words": REASON_WORDS,
        }

    def render(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        viewer: Viewer | None = None,
        errors: Errors = (),
        **values: object,
    ) -> Response:
        page = self._templates.get_template(template)
        shown = {"acting": self._acting(request), "errors_title": "", **values}
        text = page.render(request=request, viewer=viewer, errors=errors, **shown)
        return HTMLResponse(text, status_code=status)

    # -- sign-in ----------------------------------------------------------------------------------------------------

    def sign_in(self, request: Request, *, login: str, next: str, denied: Denied | None) -> Response:
        text = ""
        if denied:
            dead = denied.reason in {Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED}
            text = wait(denied) or (
                "This sign-in took too long or had too many tries. Please start again."
                if dead
                else "The user name and password do not match an account. Please check both."
            )
        return self.render(
            request,
            "sign_in.html",
            login=login,
            next=next,
            trust_for=self._trust_for(),
            mail_link=self._mail_link,
            errors=[("", text)] if text else (),
        )

    def code(
        self, request: Request, *, next: str, others: tuple[str, ...], other: str, denied: Denied | None
    ) -> Response:
        errors = self._code_errors(denied)
        return self.render(request, "code.html", next=next, ors=" ".join(others), other=other, errors=errors)

    def set_up(self, request: Request, *, next: str, others: tuple[str, ...], other: str) -> Response:
        return self.render(request, "set_up.html", next=next, ors=" ".join(others), other=other)

    def set_up_code(
        self, request: Request, *, next: str, enrolment: Enrolment | None, denied: Denied | None
    ) -> Response:
        qr = Markup(_scalable(qr_svg(enrolment.uri))) if enrolment else ""  # noqa: S704 - segno's, of our own URI
        key = " ".join(re.findall(".{1,4}", enrolment.secret.reveal())) if enrolment else ""
        return self.render(
            request, "set_up_code.html", next=next, qr=qr, key=key, errors=self._code_errors(denied)
        )

    def signed_out(self, request: Request) -> Response:
        return self.message(
            request,
            heading="You are signed out",
            texts=("Nothing of your record is kept in this browser.",),
            links=(("/sign-in", "Sign in"), ("/", "Home")),
        )

    @staticmethod
    def _code_errors(denied: Denied | None) -> Errors:
        if denied is None:
            return ()
        text = "That code was not accepted. Check the six digits, or wait for the next code."
        return [("code", wait(denied) or text)]

    # -- errors -----------------------------------------------------------------------------------------------------

    def refusal(self, request: Request, refusal: Refusal) -> Response:
        """The page of a status; it says nothing of what the portal knows and the visitor does not."""
        heading, *texts = _REFUSALS.get(refusal.status, _REFUSALS[500])
        links = ((refusal.sign_in, "Sign in"), ("/", "Home")) if refusal.status == 401 else (("/", "Home"),)
        if refusal.status == 429 and refusal.retry_after:
            texts = [f"Please wait {seconds_in_words(int(refusal.retry_after))} and try again."]
        return self.message(
            request,
            status=refusal.status,
            heading=heading,
            texts=texts,
            links=links,
            request_id=refusal.request_id if refusal.status not in {401, 404} else None,
        )

    def message(
        self,
        request: Request,
        *,
        heading: str,
        texts: Sequence[str],
        links: Sequence[tuple[str, str]],
        status: int = 200,
        request_id: str | None = None,
    ) -> Response:
        return self.render(
            request,
            "message.html",
            status=status,
            heading=heading,
            texts=texts,
            links=links,
            request_id=request_id,
        )

    def _described(self, patient: Patient) -> str:
        if patient.erased:
            return "Nothing is kept about them any more."
        parts = [day(patient.birth_date.isoformat())] if patient.birth_date else []
        if patient.birth_date and not patient.deceased:
            parts.append(f"{age_on(patient.birth_date, self._today or datetime.now(UTC).date())} years")
        parts += [patient.sex] if patient.sex else []
        return " · ".join(parts) or "no details recorded"


_FACTOR_WORDS = {
    "password": "a password",
    "totp": "a code",
    "passkey": "a passkey",
    "recovery_code": "a recovery code",
    "email_code": "a mailed code",
    "sms_code": "a code by SMS",
}

_REFUSALS = {
    400: ("That did not arrive in one piece", "Please go back and try again."),
    401: (
        "Please sign in",
        "If you were signed in, that session has ended: they do, to protect what they show.",
    ),
    403: (
        "This is not yours to open",
        "Your account has no access to this page. If you think that it should, ask the clinic.",
        "That you tried was noted, as every access is.",
    ),
    404: ("There is no such page", "The address may be mistyped, or the page may have moved."),
    405: ("That cannot be done here", "Please go back and use the buttons of the page."),
    410: ("This is gone", "The person asked for it to be erased, and it was."),
    413: ("That is too much at once", "Please go back and send less."),
    421: ("This is not the address of the portal", "Please open the portal at its own address."),
    429: ("Too many tries", "Please wait a while and try again."),
    503: (
        "Not right now",
        "The portal cannot do this safely at the moment, so it does nothing. Please try again in a minute.",
    ),
    500: ("Something went wrong", "This is our fault and not yours. Nothing was changed."),
}


def _scalable(svg: str) -> str:
    """The drawing without a size of its own, so that the style sheet may give it one."""
    return re.sub(r'width="(\d+)" height="(\d+)"', r'viewBox="0 0 \1 \2"', svg, count=1)


def wait(denied: Denied) -> str:
    """What to do where waiting helps, else nothing."""
    seconds = retry_after_seconds(denied.retry_after)
    return f"Too many tries. Please wait {seconds_in_words(int(seconds))} and try again." if seconds else ""


def seconds_in_words(seconds: int) -> str:
    if seconds <= 90:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    minutes = -(-seconds // 60)
    if minutes <= 90:
        return f"{minutes} minutes"
    hours = -(-minutes // 60)
    return f"{hours} hours" if hours < 48 else f"{-(-hours // 24)} days"


def duration(value: timedelta) -> str:
    return seconds_in_words(value // timedelta(seconds=1))


def hour(value: datetime) -> str:
    return f"{value:%H:%M} UTC"


def day(iso: str) -> str:
    """``1968-03-14`` as ``14 Mar 1968``; a year or a month alone stays what it is."""
    try:
        moment_ = date.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{moment_.day} {moment_:%b %Y}"


def moment(value: datetime) -> str:
    return f"{value.day} {value:%b %Y, %H:%M:%S} UTC"


def told(line: SeenLine) -> str:
    """A line of the log in words, for an incident."""
    words = ACTION_WORDS.get(line.action, line.action)
    people = line.count if line.action.startswith("record.") else None
    return f"{words} ({people} people)" if people else words
