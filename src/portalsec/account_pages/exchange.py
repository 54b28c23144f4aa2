"""What an adapter hands to an account page and what it gets back: values, no framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import urlencode

from portalsec.account_pages.views import masked
from portalsec.auth.disavowal import Disavowed
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.sessions import NewSession
from portalsec.auth.signin import Step
from portalsec.auth.words import say
from portalsec.errors import Denied
from portalsec.events import Source
from portalsec.secret import Secret
from portalsec.web import (
    DEVICE_COOKIE,
    DEVICE_COOKIE_AGE,
    LINK_COOKIE,
    PENDING_COOKIE,
    SESSION_COOKIE,
    clear_cookie,
    retry_after_seconds,
    set_cookie,
    status_of,
)

__all__ = [
    "CHOOSE_WAY",
    "PRIVATE",
    "Asked",
    "Lane",
    "Operation",
    "Reply",
    "Route",
    "Trouble",
    "disavowed",
    "language_of",
    "link_cookie",
    "others_of",
    "refused",
    "step_cookies",
    "step_page",
    "trouble",
    "troubles_of",
    "way_page",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as far as a page needs to know it.

    Attributes:
        form: the fields of a POST, or of a GET's query; of a route that asks for JSON, the members of its object.
        source: where it came from.
        session, pending, passkey, device, link: the values of five cookies (`portalsec.web`), or None.
        staff: of the sixth, `STAFF_COOKIE`, as the browser sent it; an empty text where another one was tossed in.
        language: "en" or "es", from `language_of` among `AccountPages.languages`.
    """

    form: Mapping[str, str] = field(repr=False)
    source: Source
    session: str | None = field(default=None, repr=False)
    pending: str | None = field(default=None, repr=False)
    passkey: str | None = field(default=None, repr=False)
    device: str | None = field(default=None, repr=False)
    link: str | None = field(default=None, repr=False)
    staff: str | None = field(default=None, repr=False)
    language: str = "en"

    def text(self, name: str) -> str:
        """A field, or an empty text."""
        return self.form.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing to mend on a form: the field it is about ("" for none), an id for translations, a sentence."""

    field: str
    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to answer.

    Attributes:
        status: of the page; with ``redirect`` it is 303 and this is not used.
        page: which page to show (see `portalsec.account_pages`); "" with a redirect or ``json``.
        values: what that page shows.
        redirect: a path of this portal.
        cookies: whole Set-Cookie values, in order.
        session: the one that a cookie of `SESSION_COOKIE` among them gives out, for an adapter that keeps more with it.
        acting: that one is another's, in which staff acts: what is kept with their own stays.
        back: a token that the browser had before and has again, since staff returns to their own session.
        headers: further headers. Put them over the defaults of `portalsec.web.security_headers`.
        json: of a route that asks for JSON, of `/session/left` and of `/.well-known/webauthn`: the answer's object instead
            of a page.
    """

    status: int = 200
    page: str = ""
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    redirect: str | None = None
    cookies: tuple[str, ...] = field(default=(), repr=False)
    session: NewSession | None = field(default=None, repr=False)
    acting: bool = False
    back: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    json: Mapping[str, object] | None = field(default=None, repr=False)


class Lane(Enum):
    """Which threads an operation may take."""

    HASHING = "hashing"  # hashes a password: its own lane, or sign-ins make everybody wait
    CHOOSING = "choosing"  # takes a new password, and may wait for a service that knows leaked ones
    STORES = "stores"


Operation: TypeAlias = Callable[[Asked], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One address: ``operation`` answers it. It raises `Denied` and `StoreError` where no page of its own says so."""

    method: str
    path: str
    operation: Operation
    lane: Lane = Lane.STORES
    asks_json: bool = False  # the body is one flat JSON object of texts, not a form


def leads_to(form: str, session: Callable[[Asked], object] | None = None) -> Operation:
    """GET of an address that a form is posted to and that shows a page: to where it begins. A browser comes there after its
    session was resumed, or asks for the page anew. ``session``, of an owner's page, raises where there is none."""

    def operation(asked: Asked) -> Reply:
        if session is not None:
            session(asked)
        return Reply(redirect=form)

    return operation


def language_of(accept_language: str | None, *, known: tuple[str, ...] = ("en", "es")) -> str:
    """The first of ``known`` that an Accept-Language header (RFC 9110 section 12.5.4) ranks highest; else the first."""
    best, weight = known[0], 0.0
    for part in (accept_language or "")[:256].split(","):
        tag, _, quality = part.partition(";")
        language = tag.strip().partition("-")[0].lower()
        name, _, number = quality.strip().partition("=")
        try:
            rank = float(number) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if language in known and weight < rank <= 1:
            best, weight = language, rank
    return best


def refused(denied: Denied, page: str, **values: object) -> Reply:
    """A form once more, with the status of the refusal and how long to wait."""
    wait = retry_after_seconds(denied.retry_after)
    return Reply(
        status=status_of(denied),
        page=page,
        values={**values, "wait": int(wait) if wait else None},
        headers={"Retry-After": wait} if wait else {},
    )


PRIVATE: Mapping[str, str] = MappingProxyType({"Referrer-Policy": "no-referrer"})
"""Of a page whose address holds a token: the address is sent nowhere, not even to this portal."""

_LINK_AGE = timedelta(minutes=15)  # how long the browser keeps it; the store's own limit decides


def link_cookie(link: Secret[str]) -> str:
    """What a mailed link was exchanged for."""
    return set_cookie(LINK_COOKIE, link.reveal(), max_age=_LINK_AGE)


def disavowed(done: Disavowed) -> Reply:
    """After "this wasn't me": everything has ended, and this browser may choose a new password."""
    link = (clear_cookie(LINK_COOKIE),) if done.browser is None else (link_cookie(done.browser),)
    values = {
        "choose": done.browser is not None,
        "removed": tuple(masked(contact) for contact in done.removed),
        "kept": tuple(masked(contact) for contact in done.kept),
    }
    return Reply(
        page="disavowed", values=values, cookies=(*link, clear_cookie(SESSION_COOKIE)), headers=PRIVATE
    )


def step_cookies(step: Step) -> tuple[str, ...]:
    """A step's outcome as cookies: the pending one while something is missing, the session's and the device's at the end."""
    if step.session is not None:
        cookies = [set_cookie(SESSION_COOKIE, step.session.token.reveal()), clear_cookie(PENDING_COOKIE)]
        if step.device is not None:
            cookies.append(set_cookie(DEVICE_COOKIE, step.device.reveal(), max_age=DEVICE_COOKIE_AGE))
        return tuple(cookies)
    return () if step.pending is None else (set_cookie(PENDING_COOKIE, step.pending.reveal()),)


CHOOSE_WAY = "/sign-in/other"

# The strongest first: whoever has a passkey is asked for it, and finds the others from its page.
_PAGE_OF = {
    "passkey": "/sign-in/passkey",
    "totp": "/sign-in/code",
    "email_code": CHOOSE_WAY,  # where a button sends one
    "sms_code": CHOOSE_WAY,
    "recovery_code": "/sign-in/recovery-code",
    "totp_enrolment": "/sign-in/set-up",
    "passkey_enrolment": "/sign-in/passkey/set-up",
    "new_password": "/sign-in/new-password",
}


def step_page(step: Step, *, next: str = "/") -> str:
    """Where a sign-in goes on: a path, "/" for one that is complete.

    Its query says ``next`` (a `safe_next`), and in ``or`` what would do instead, for links of that page: words of a
    closed list, which whoever gave the first factor may know.
    """
    if step.session is not None:
        return "/"
    kind = _first(step.next)
    if _PAGE_OF.get(kind) == CHOOSE_WAY:
        return way_page("", next=next, others=step.next)
    others = [name for name in step.next if name != kind]
    return way_page(kind, next=next, others=others)


def way_page(kind: str, *, next: str = "/", others: Sequence[str] = ()) -> str:
    """The page of one way on, or with "" the choice among ``others``, with the query that `step_page` tells of."""
    query = {"next": next} if next != "/" else {}
    if others:
        query["or"] = " ".join(others)
    page = CHOOSE_WAY if not kind else _PAGE_OF.get(kind, "/sign-in")
    return page + (f"?{urlencode(query, safe='/?=:')}" if query else "")


def _first(names: Sequence[str]) -> str:
    """The first that has a page; "password" where nothing else leads on, which is asked for at the beginning."""
    return next((name for name in _PAGE_OF if name in names), "password")


def others_of(text: str) -> tuple[str, ...]:
    """What ``or`` of a page's query says, as far as it is known: it only chooses links."""
    return tuple(name for name in text.split(" ")[:8] if name in _KNOWN)


_KNOWN = frozenset(
    {
        "totp",
        "recovery_code",
        "email_code",
        "sms_code",
        "password",
        "passkey",
        "totp_enrolment",
        "passkey_enrolment",
    }
)


def troubles_of(denied: Denied, language: str, *, field: str = "password") -> tuple[Trouble, ...]:
    """What is wrong with a new password, in the visitor's language; one sentence for what has no list."""
    if isinstance(denied, PasswordRefused):
        return tuple(Trouble(field=field, id=p.id, text=say(p, language)) for p in denied.problems)
    return (trouble(field, "refused", language),)


def trouble(field: str, id: str, language: str) -> Trouble:
    """A sentence of the catalogue below."""
    english, spanish = _SENTENCES[id]
    return Trouble(field=field, id=id, text=spanish if language == "es" else english)


_SENTENCES = {
    "missing_name": (
        "Enter your user name or your e-mail address.",
        "Escriba su nombre de usuario o su correo electrónico.",
    ),
    "missing_email": ("Enter an e-mail address.", "Escriba un correo electrónico."),
    "missing_password": ("Choose a password.", "Elija una contraseña."),
    "missing_login": ("Choose a user name.", "Elija un nombre de usuario."),
    "missing_current": ("Enter your present password.", "Escriba su contraseña actual."),
    "wrong_current": (
        "This is not your present password. Please check it.",
        "Esta no es su contraseña actual. Compruébela, por favor.",
    ),
    "email_refused": (
        "Enter one e-mail address, such as robin@mail.example.",
        "Escriba un solo correo electrónico, como robin@mail.example.",
    ),
    "login_not_yours": (
        "A user name with an @ can only be the e-mail address that your link was sent to. Choose another one.",
        "Un nombre de usuario con @ solo puede ser el correo al que se envió su enlace. Elija otro.",
    ),
    "login_taken": (
        "Choose another user name: this one is taken.",
        "Elija otro nombre de usuario: este ya existe.",
    ),
    "login_refused": (
        "Use 3 to 254 letters, digits or signs for the user name.",
        "Use de 3 a 254 letras, cifras o signos para el nombre de usuario.",
    ),
    "address_kept": (
        "This is the only confirmed address. Add another one first, so that we can still reach you.",
        "Es la única dirección confirmada. Añada otra antes, para que podamos avisarle.",
    ),
    "refused": (
        "This could not be accepted. Please check it and try again.",
        "No se pudo aceptar. Compruébelo e inténtelo de nuevo.",
    ),
    "wrong_code": (
        "That code was not accepted. Check the six digits, or wait for the next code.",
        "Ese código no se ha aceptado. Compruebe las seis cifras o espere al siguiente.",
    ),
    "no_such_factor": (
        "This is not on your list any more. Nothing was changed.",
        "Esto ya no está en su lista. No se ha cambiado nada.",
    ),
    "factor_required": (
        "This is your only second key, and your account needs one. Add another one first.",
        "Es su única segunda llave y su cuenta necesita una. Añada otra antes.",
    ),
    "factor_limit": (
        "You have as many of these as there can be. Remove one first.",
        "Tiene tantas como se permiten. Quite una antes.",
    ),
    "missing_label": (
        "Give it a name that tells you which one it is.",
        "Póngale un nombre que le diga cuál es.",
    ),
    "passkey_refused": (
        "This passkey was not accepted. Try again, or sign in another way.",
        "Esta clave de acceso no se ha aceptado. Inténtelo de nuevo o inicie sesión de otra forma.",
    ),
    "passkey_taken": (
        "This passkey belongs to an account already.",
        "Esta clave de acceso ya pertenece a una cuenta.",
    ),
    "wait": (
        "Too many tries. Please wait a while and try again.",
        "Demasiados intentos. Espere un momento e inténtelo de nuevo.",
    ),
    "missing_code": ("Enter the code.", "Escriba el código."),
    "wrong_sent_code": (
        "That code was not accepted. Type the newest one that was sent to you.",
        "Ese código no se ha aceptado. Escriba el último que se le envió.",
    ),
    "sent_code_over": (
        "That code is not good any more. Have another one sent to you.",
        "Ese código ya no sirve. Pida que se le envíe otro.",
    ),
    "wrong_recovery_code": (
        "That recovery code was not accepted. Check it letter by letter; each one works once.",
        "Ese código de recuperación no se ha aceptado. Compruébelo letra por letra; cada uno sirve una vez.",
    ),
    "way_not_yours": (
        "This way is not open to your account now. Please choose another one.",
        "Esta vía no está disponible ahora para su cuenta. Elija otra, por favor.",
    ),
    "missing_factor": (
        "Enter your password or a code.",
        "Escriba su contraseña o un código.",
    ),
    "begin_again": (
        "That took too long, or had too many tries. Please begin again.",
        "Ha tardado demasiado o ha habido demasiados intentos. Empiece de nuevo.",
    ),
    "factor_there": (
        "Your account has an authenticator already, so another one was not added.",
        "Su cuenta ya tiene un autenticador, así que no se ha añadido otro.",
    ),
    "too_long": ("That is too long.", "Es demasiado largo."),
    "missing_target": (
        "Enter the user name of the account.",
        "Escriba el nombre de usuario de la cuenta.",
    ),
    "not_for_you": (
        "You may not act for this account, or there is none of this name.",
        "No puede actuar por esta cuenta, o no hay ninguna con este nombre.",
    ),
    "that_is_you": (
        "This is your own account. Enter the one that you act for.",
        "Esta es su propia cuenta. Escriba la de la persona por la que actúa.",
    ),
    "no_reference": (
        "Enter the number of the case, such as ticket-4711: 3 to 64 letters, digits and - _ . / : # without spaces.",
        "Escriba el número del caso, como ticket-4711: de 3 a 64 letras, cifras y - _ . / : # sin espacios.",
    ),
    "no_such_limit": (
        "Choose one of the times on the list.",
        "Elija uno de los tiempos de la lista.",
    ),
    "too_weak": (
        "Show a second key first: what you have shown since you signed in is not enough to act for this account.",
        "Muestre antes una segunda llave: lo que ha mostrado desde que entró no basta para actuar por esta cuenta.",
    ),
}
