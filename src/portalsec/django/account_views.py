"""The pages of `portalsec.account_pages` as views. What they look like is ``templates/portalsec/account``: override any.

Django's CSRF token is asked for wherever a browser can send it. It cannot where the page's own address holds a mailed
token: such a page is to send no Referer, its form then says ``Origin: null``, and Django refuses that before it looks
for the token. There, and where a script asks, the browser's own word on where it comes from decides (`require_same_site`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
)
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from portalsec.account_pages import AccountPages, Asked, Reply, Trouble, language_of, script
from portalsec.account_pages.acting import ACT_AS, ACT_END
from portalsec.account_pages.resume import RESUME
from portalsec.account_pages.step_up import STEP_UP
from portalsec.account_pages.way_back import ACT_OVER
from portalsec.django.conf import get_portal, page_languages
from portalsec.django.doors import View, act_session, door, go_back, open_session, resume_session
from portalsec.django.request import (
    device_token,
    forget,
    link_token,
    live_session,
    passkey_token,
    pending_token,
    require_same_site,
    session_token,
    source_of,
    staff_token,
)
from portalsec.errors import Denied, Reason
from portalsec.web import SESSION_COOKIE, clear_cookie

__all__ = ["ADDRESSES", "account_view", "script_view"]

ADDRESSES: Mapping[str, str] = MappingProxyType(
    {
        "forgot": "/password/forgot",
        "reset-link": "/password/link",
        "new-password": "/password/new",
        "strength": "/password/strength",
        "forced-password": "/sign-in/new-password",
        "related-origins": "/.well-known/webauthn",
        "passkey": "/sign-in/passkey",
        "passkey-begin": "/sign-in/passkey/begin",
        "passkey-set-up": "/sign-in/passkey/set-up",
        "passkey-set-up-begin": "/sign-in/passkey/set-up/begin",
        "other-ways": "/sign-in/other",
        "sent-code": "/sign-in/sent-code",
        "recovery-code": "/sign-in/recovery-code",
        "resume": "/sign-in/resume",
        "resume-begin": "/sign-in/resume/begin",
        "resume-passkey": "/sign-in/resume/passkey",
        "mail-link": "/sign-in/mail",
        "sign-in-link": "/sign-in/link",
        "unlock": "/unlock",
        "unlock-link": "/unlock/link",
        "not-me": "/not-me",
        "register": "/register",
        "register-link": "/register/link",
        "register-account": "/register/new",
        "email-link": "/account/email/link",
        "password": "/account/password",
        "email": "/account/email",
        "messages": "/account/messages",
        "activity": "/account/activity",
        "disavow": "/account/not-me",
        "incident": "/account/incident",
        "devices": "/account/devices",
        "sessions": "/account/sessions",
        "signed-out": "/signed-out",
        "secure": "/account/secure",
        "step-up": "/account/step-up",
        "step-up-begin": "/account/step-up/begin",
        "step-up-passkey": "/account/step-up/passkey",
        "passkeys-begin": "/account/passkeys/begin",
        "passkeys-add": "/account/passkeys/add",
        "factor": "/account/factor",
        "confirm-factor": "/account/factor/confirm",
        "factors": "/account/factors",
        "new-totp": "/account/factors/totp",
        "confirm-totp": "/account/factors/totp/confirm",
        "import-totp": "/account/factors/import",
        "confirm-import": "/account/factors/import/confirm",
        "new-passkey": "/account/factors/passkey",
        "recovery-codes": "/account/factors/codes",
        "undo": "/undo",
        "close": "/account/close",
        "act-as": ACT_AS,
        "act-end": ACT_END,
        "act-over": ACT_OVER,
    }
)
"""The name of each address in `portalsec.django.urls`, and the address. Mailed links and redirects use these as they are."""

_JSON = frozenset(
    {
        "strength",
        "passkey-begin",
        "passkey",
        "passkey-set-up-begin",
        "passkey-set-up",
        "resume-begin",
        "resume-passkey",
        "step-up-begin",
        "step-up-passkey",
        "passkeys-begin",
        "passkeys-add",
    }
)  # posted by scripts, which have no token of Django's
_MAILED = frozenset(
    {"reset-link", "unlock-link", "register-link", "email-link", "not-me", "undo", "sign-in-link"}
)
_OWN = "/account/"
_SESSION_OVER = clear_cookie(SESSION_COOKIE)


def account_view(name: str) -> View:
    """The view of one address: whichever of the portal's routes has it answers."""
    address, asks_json, mailed = ADDRESSES[name], name in _JSON, name in _MAILED
    owners = (address.startswith(_OWN) and not mailed) or address == ACT_AS
    stepping_up = address.startswith(STEP_UP)

    @door("GET", "HEAD", "POST")
    @sensitive_variables()
    def view(request: HttpRequest) -> HttpResponse:
        posted, pages = request.method == "POST", AccountPages(get_portal(), languages=page_languages())
        routes = {route.method: route for route in pages.routes() if route.path == address}
        if not routes:
            raise Http404  # registration, say, where the portal has none
        route = routes.get("POST" if posted else "GET")
        if route is None:
            return HttpResponseNotAllowed(sorted(routes))
        if posted and (mailed or asks_json):
            require_same_site(request)
        if owners:
            # Django's side of it too: a user who was switched off, a password changed elsewhere.
            live_session(request, stepping_up=stepping_up)
        form = (_json if asks_json else _form)(request) if posted else _query(request)
        if mailed:
            _forget_query(request)
        reply = route.operation(
            Asked(
                form=form,
                source=source_of(request),
                session=session_token(request),
                pending=pending_token(request),
                passkey=passkey_token(request),
                device=device_token(request),
                link=link_token(request),
                staff=staff_token(request),
                language=language_of(request.headers.get("accept-language"), known=pages.languages),
            )
        )
        if reply.session is not None and address.startswith(RESUME):
            resume_session(request, reply.session)
        else:
            _keep_session(request, reply, goes_on=address.startswith(_OWN))
        return _response(request, reply)

    view.portalsec_stepping_up = stepping_up  # type: ignore[attr-defined]
    return csrf_exempt(view) if mailed or asks_json else view


def script_view(name: str) -> View:
    """The view of one of portalsec's scripts."""

    @door("GET", "HEAD")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(script(name), content_type="text/javascript")

    return view


# -- what a request says --------------------------------------------------------------------------------------------


def _form(request: HttpRequest) -> Mapping[str, str]:
    if request.FILES or (request.encoding or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Denied(Reason.MALFORMED)
    return _strict(request.POST)


def _query(request: HttpRequest) -> Mapping[str, str]:
    return _strict(request.GET)


def _strict(fields: QueryDict) -> Mapping[str, str]:
    """Each name once, since two readers could take different ones; no NUL, and no bytes that were not UTF-8."""
    for name, values in fields.lists():
        if len(values) != 1 or any(bad in text for text in (name, *values) for bad in ("\0", "\ufffd")):
            raise Denied(Reason.MALFORMED)
    return fields.dict()  # type: ignore[return-value]  # texts, as they were no lists


def _json(request: HttpRequest) -> Mapping[str, str]:
    """One flat JSON object of texts, as the meter's script sends it."""
    try:
        pairs = (
            json.loads(request.body, object_pairs_hook=list)
            if request.content_type == "application/json"
            else None
        )
    except (ValueError, RecursionError):
        pairs = None
    # An object, since only its pairs are tuples; each name once, as in a form.
    if not isinstance(pairs, list) or not all(
        isinstance(pair, tuple) and isinstance(pair[1], str) for pair in pairs
    ):
        raise Denied(Reason.MALFORMED)
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Denied(Reason.MALFORMED)
    return fields


def _forget_query(request: HttpRequest) -> None:
    """A mailed token is in no error report, and in no link that a template makes of the present address."""
    request.META["QUERY_STRING"] = ""
    for servers_own in ("RAW_URI", "REQUEST_URI"):  # gunicorn's and uWSGI's
        request.META.pop(servers_own, None)
    request.GET = QueryDict()


# -- what it gets ---------------------------------------------------------------------------------------------------


def _keep_session(request: HttpRequest, reply: Reply, *, goes_on: bool) -> None:
    """The session's cookie is Django's to set: its engine keeps the data that goes with it."""
    if reply.back is not None:
        go_back(request, reply.back)
    elif reply.session is not None and reply.acting:
        act_session(request, reply.session)
    elif reply.session is not None:
        open_session(request, reply.session, goes_on=goes_on)
    elif _SESSION_OVER in reply.cookies:
        request.session.flush()
        forget(request)


def _response(request: HttpRequest, reply: Reply) -> HttpResponse:
    response: HttpResponse
    if reply.redirect is not None:
        response = HttpResponseRedirect(reply.redirect)
        response.status_code = 303
    elif reply.json is not None:
        response = JsonResponse(dict(reply.json), status=reply.status)
    else:
        response = _page(request, reply)
    for name, value in reply.headers.items():
        response[name] = value
    for cookie in reply.cookies:
        # A session that stayed behind has not changed, so Django would not send its cookie.
        if reply.back is not None or not cookie.startswith(f"{SESSION_COOKIE}="):
            response.cookies.load(cookie)
    return response


def _page(request: HttpRequest, reply: Reply) -> HttpResponse:
    values: dict[str, Any] = dict(reply.values)
    errors: tuple[Trouble, ...] = tuple(values.pop("errors", ()))
    if values.get("wait") is not None:
        errors = ()  # nothing on the form is wrong
    wrong: dict[str, list[str]] = {}
    for error in errors:
        wrong.setdefault(error.field, []).append(error.text)
    if "least" in values:
        values["password_hint"] = (
            f"At least {values['least']} characters. A few words that do not belong together work well."
        )
    shown = {"portal_name": get_portal().name, **values, "errors": errors, "wrong": wrong}
    return render(request, f"portalsec/account/{reply.page}.html", shown, status=reply.status)
