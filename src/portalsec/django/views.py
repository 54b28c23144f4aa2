"""The way to a session and out of it, as views. What they look like is ``templates/portalsec``: override any of them.

None of them runs inside the request's transaction (ATOMIC_REQUESTS): what they count and create stays, and a password
that is being hashed holds no database open.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import mark_safe
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from portalsec.account_pages import (
    Asked,
    SessionPages,
    other_page,
    others_of,
    sign_off,
    step_page,
    trust_offered,
)
from portalsec.auth.qr import qr_svg
from portalsec.auth.signin import Step
from portalsec.auth.totp import Enrolment
from portalsec.django.conf import get_portal
from portalsec.django.decorators import passive
from portalsec.django.doors import door, open_session
from portalsec.django.request import (
    device_token,
    forget,
    live_session,
    pending_token,
    require_same_site,
    session_token,
    source_of,
    staff_token,
)
from portalsec.django.sessions import SessionStore
from portalsec.errors import Denied, Reason
from portalsec.web import (
    DEVICE_COOKIE,
    DEVICE_COOKIE_AGE,
    PENDING_COOKIE,
    STAFF_COOKIE,
    clear_cookie,
    retry_after_seconds,
    safe_next,
    status_of,
)

__all__ = [
    "code",
    "confirm_set_up",
    "finish_step",
    "session_left",
    "session_stay",
    "set_up",
    "sign_in",
    "sign_out",
]

# The last two: all factors were right, and something ended the account's sign-ins in that moment.
_START_AGAIN = frozenset(
    {Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED, Reason.SESSION_REVOKED, Reason.EVIDENCE_STALE}
)


def finish_step(request: HttpRequest, response: HttpResponse, step: Step) -> HttpResponse:
    """Put a step's outcome into cookies: the pending one while factors are missing, the session's at the end."""
    if step.session is not None:
        over = _staff_over(request)
        open_session(request, step.session)
        _clear_pending(response)
        _load(response, over)
        if step.device is not None:
            age = int(DEVICE_COOKIE_AGE.total_seconds())
            response.set_cookie(
                DEVICE_COOKIE,
                step.device.reveal(),
                max_age=age,
                secure=True,
                httponly=True,
                samesite="Lax",
            )
    elif step.pending is not None:
        response.set_cookie(PENDING_COOKIE, step.pending.reveal(), secure=True, httponly=True, samesite="Lax")
    return response


@door("GET", "HEAD", "POST")
@sensitive_variables()
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, "sign_in", next=_next(request.GET))
    form, portal = _form(request), get_portal()
    login, next = form["login"], safe_next(form["next"])
    try:
        step = portal.sign_in.start(
            login,
            form["password"],
            source=source_of(request),
            replaces=pending_token(request),
            device=device_token(request),
            shared="shared" in request.POST,
            trust="trust" in request.POST and "shared" not in request.POST,
        )
    except Denied as denied:
        return _refused(request, "sign_in", denied, next=next, login=login[:254])
    # Somebody signs in over a session: the older one ends, also on a shared computer.
    over = _end_session(request)
    return _load(_onward(request, step, next), over)


@door("GET", "HEAD", "POST")
@sensitive_variables()
def code(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _pending_page(request, "code", **_others(request.GET))
    form = _form(request)
    next = safe_next(form["next"])
    try:
        step = get_portal().sign_in.submit_totp(
            pending_token(request), form["code"], source=source_of(request), device=device_token(request)
        )
    except Denied as denied:
        return _refused(request, "code", denied, next=next, **_others(request.POST))
    return _onward(request, step, next)


@door("GET", "HEAD", "POST")
@sensitive_variables()
def set_up(request: HttpRequest) -> HttpResponse:
    # The secret is the answer to a POST only: a GET could be prefetched, cached or found in the history.
    if request.method != "POST":
        return _pending_page(request, "set_up", **_others(request.GET, "totp_enrolment"))
    next = safe_next(_form(request)["next"])
    try:
        enrolment = get_portal().sign_in.begin_totp_enrolment(
            pending_token(request), source=source_of(request)
        )
    except Denied as denied:
        return _refused(request, "set_up", denied, next=next, **_others(request.POST, "totp_enrolment"))
    return _page(request, "set_up_code", next=next, **_shown(enrolment))


@door("GET", "HEAD", "POST")
@sensitive_variables()
def confirm_set_up(request: HttpRequest) -> HttpResponse:
    if (
        request.method != "POST"
    ):  # a browser that asks for the page anew: the secret is shown once, so it begins again
        return redirect(_with_next("portalsec:set-up", _next(request.GET)))
    form = _form(request)
    next = safe_next(form["next"])
    try:
        step = get_portal().sign_in.confirm_totp_enrolment(
            pending_token(request), form["code"], source=source_of(request), device=device_token(request)
        )
    except Denied as denied:
        return _refused(request, "set_up_code", denied, next=next)
    return _onward(request, step, next)


# Without Django's token check: from a page that is to send no Referer (a mailed link's), browsers say "Origin: null",
# which that check refuses. The browser's own word on where it comes from decides.
@csrf_exempt
@door("GET", "HEAD", "POST")
def sign_out(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":  # a link or a typed address signs nobody out
        return redirect("/")
    require_same_site(request)
    asked = Asked(
        form={},
        source=source_of(request),
        session=session_token(request),
        pending=pending_token(request),
        device=device_token(request),
        staff=staff_token(request),
    )
    reply = SessionPages(get_portal()).sign_out(asked)
    request.session.flush()
    if asked.session is not None:
        SessionStore(asked.session).discard()  # of one that rested, which is not this request's
    forget(request)
    response = _page(request, "signed_out")
    for name, value in reply.headers.items():
        response[name] = value
    for cookie in reply.cookies:
        response.cookies.load(cookie)
    return response


@passive
@door("GET", "HEAD")
def session_left(request: HttpRequest) -> HttpResponse:
    """How long is left, for the page's warning. Asking is not activity."""
    return _left(request, stays=False)


@csrf_exempt  # a script asks, without Django's token; the browser's own word on where it comes from decides
@door("POST")
def session_stay(request: HttpRequest) -> HttpResponse:
    """Activity, because somebody pressed the button."""
    require_same_site(request)
    return _left(request, stays=True)


# -- parts of the above ---------------------------------------------------------------------------------------------


def _left(request: HttpRequest, *, stays: bool) -> HttpResponse:
    try:
        active = live_session(request, passive=not stays)
    except Denied as denied:
        reply = SessionPages(get_portal()).not_told(denied)
    else:
        reply = SessionPages(get_portal()).told(active)
    return JsonResponse(dict(reply.json or {}), status=reply.status)


def _form(request: HttpRequest) -> dict[str, str]:
    """The fields of the form; one that is absent reads as empty.

    Raises:
        Denied: MALFORMED for a name that comes twice (two readers could take different ones).
    """
    for _, values in request.POST.lists():
        if len(values) > 1:
            raise Denied(Reason.MALFORMED)
    return {name: request.POST.get(name, "") for name in ("login", "password", "code", "next")}


def _next(fields: QueryDict) -> str:
    return safe_next(fields.get("next"))


def _page(request: HttpRequest, name: str, **context: object) -> HttpResponse:
    # The visitor of these pages is whoever sits there: no template needs a user.
    portal = get_portal()
    shown = {
        "portal_name": portal.name,
        "passkeys": portal.passkeys is not None,
        "trust_for": trust_offered(portal),
        "mail_link": portal.sign_in_links.offered,
        **context,
    }
    return render(request, f"portalsec/{name}.html", shown)


def _others(fields: QueryDict, kind: str = "totp") -> dict[str, object]:
    """What would do instead of a code, or of an authenticator that is set up, and the page where one chooses."""
    others = others_of(fields.get("or") or "")
    return {"ors": " ".join(others), "other": other_page(kind, others, _next(fields))}


def _pending_page(request: HttpRequest, name: str, **context: object) -> HttpResponse:
    next = _next(request.GET)
    if pending_token(request) is None:
        return redirect(_with_next("portalsec:sign-in", next))
    return _page(request, name, next=next, **context)


def _refused(request: HttpRequest, name: str, denied: Denied, **context: object) -> HttpResponse:
    """The page once more, with the status of the refusal; a dead pending sign-in starts over."""
    wait = retry_after_seconds(denied.retry_after)
    again = denied.reason in _START_AGAIN
    response = _page(
        request, "sign_in" if again else name, refused=True, start_again=again, retry_after=wait, **context
    )
    response.status_code = status_of(denied)
    if again:
        _clear_pending(response)
    if wait is not None:
        response["Retry-After"] = wait
    return response


def _onward(request: HttpRequest, step: Step, onward: str) -> HttpResponse:
    if step.session is not None:
        response: HttpResponse = redirect(onward)
    else:
        response = redirect(step_page(step, next=onward))
    response.status_code = 303
    return finish_step(request, response, step)


def _staff_over(request: HttpRequest) -> tuple[str, ...]:
    """Support that acted in an owner's name: both of their sessions end, and the cookie between them."""
    staff = staff_token(request)
    if staff is None:
        return ()
    sign_off(get_portal(), session=session_token(request), staff=staff, source=source_of(request))
    return (clear_cookie(STAFF_COOKIE),)


def _load(response: HttpResponse, cookies: tuple[str, ...]) -> HttpResponse:
    for cookie in cookies:
        response.cookies.load(cookie)
    return response


def _end_session(request: HttpRequest) -> tuple[str, ...]:
    """Returns: the cookies to clear; the session's own is Django's to set."""
    over = _staff_over(request)
    try:
        live_session(request)
    except Denied as denied:
        # One that rests is over too: whoever sits here now is somebody else, or has just shown everything anew.
        token = session_token(request)
        if token is not None and denied.reason is Reason.SESSION_IDLE:
            get_portal().sign_in.logout(token, source=source_of(request))
            SessionStore(token).discard()
        return over
    request.session.flush()
    forget(request)
    return over


def _shown(enrolment: Enrolment) -> dict[str, object]:
    secret = enrolment.secret.reveal()
    return {
        "secret": " ".join(secret[start : start + 4] for start in range(0, len(secret), 4)),
        "qr": mark_safe(qr_svg(enrolment.uri)),  # noqa: S308 - drawn here, from our own URI, without script
    }


def _clear_pending(response: HttpResponse) -> None:
    response.set_cookie(PENDING_COOKIE, "", max_age=0, secure=True, httponly=True, samesite="Lax")


def _with_next(name: str, next: str) -> str:
    return reverse(name) + ("" if next == "/" else "?" + urlencode({"next": next}))
