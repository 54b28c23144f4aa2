"""A value in every form that only a page of this very session can have, put in and asked for by the adapter itself.

Sec-Fetch-Site and Origin already keep other sites' requests out (`portalsec.web.check_same_site`). This is the second
thing that must be right, and it is tied to the session (SP 800-63B-4 section 5.1): ``HMAC-SHA256(key = the cookie's token,
"portalsec form" || salt)`` behind its salt, so that a value is good for one session, says nothing of its id, and is another
one in each page (what compresses a page learns nothing of it). Before a session it is tied to the sign-in that is under
way, or to the mailed link that was followed.

`PortalsecMiddleware` puts a hidden field into each form of a page that posts to this portal; `read_form` refuses a form
without. Where the browser itself vouches for the page (the session has another id since, by a step-up in another tab), the
form is shown once more in place of an error. A visitor who holds none of the three cookies has nothing that a forged form could use, and needs none. JSON
needs none either: no other site's page can send it without asking first, and Sec-Fetch-Site answers for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

from portalsec._encoding import b64url, unb64url
from portalsec.errors import Denied
from portalsec.web import LINK_COOKIE, PENDING_COOKIE, SESSION_COOKIE, cookie_value

__all__ = ["CHECK", "FORM_FIELD", "FORM_HEADER", "FormRefused", "fits", "form_token", "held", "with_tokens"]

FORM_FIELD = "form_token"
"""The hidden field."""

FORM_HEADER = "x-form-token"
"""The same for a script that posts a form."""

CHECK = "portalsec.forms"
"""Where the middleware leaves in the scope what `read_form` asks."""

_COOKIES = (SESSION_COOKIE, PENDING_COOKIE, LINK_COOKIE)
_LABEL = b"portalsec form"
_SALT, _TAG = 16, 32
_MAX_COOKIE = 256
# A start tag of HTML: attribute values may hold a ">" (the standard's "start tag state" and its attribute states).
_FORM = re.compile(rb"""<form(?=[\s>/])(?:[^>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_POSTS = re.compile(rb"""\smethod\s*=\s*["']?post\b""", re.IGNORECASE)
_ACTION = re.compile(rb"""\saction\s*=\s*["']?\s*([^\s"'>]*)""", re.IGNORECASE)
_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*:|[/\\]{2}", re.IGNORECASE)


class FormRefused(Denied):
    """CROSS_SITE: no form of this session. Of a browser whose session got another id in another tab, say."""


def form_token(secret: str) -> str:
    """A new value for a page of whoever holds this cookie: 64 characters of base64url."""
    salt = secrets.token_bytes(_SALT)
    return b64url(salt + _tag(secret, salt))


def fits(given: object, held: Iterable[str]) -> bool:
    """Whether a value was made for one of these cookies."""
    if not isinstance(given, str) or len(given) != 64:
        return False
    try:
        raw = unb64url(given)
    except ValueError:
        return False
    salt, tag = raw[:_SALT], raw[_SALT:]
    return any(hmac.compare_digest(tag, _tag(secret, salt)) for secret in held)


def held(cookie_header: str | None, set_cookies: Iterable[str] = ()) -> list[str]:
    """The cookies that a value can be tied to, the session's first, as the browser has them after this answer."""
    found: dict[str, str] = {}
    for name in _COOKIES:
        try:
            value = cookie_value(cookie_header, name)
        except Denied:
            value = None  # tossed in: whatever reads it refuses the request
        if value:
            found[name] = value
    for line in set_cookies:
        name, _, rest = line.partition("=")
        if name in _COOKIES:
            found[name] = rest.partition(";")[0]
    return [found[name] for name in _COOKIES if found.get(name) and len(found[name]) <= _MAX_COOKIE]


def with_tokens(page: bytes, secret: str, *, base_url: str) -> bytes:
    """A page of HTML whose forms that post to the portal at ``base_url`` have the field."""
    field = f'<input type="hidden" name="{FORM_FIELD}" value="{form_token(secret)}">'.encode("ascii")
    here = base_url.encode("ascii", "replace") + b"/"

    def put(form: re.Match[bytes]) -> bytes:
        tag = form[0]
        action = _ACTION.search(tag)
        to = b"" if action is None else action[1]
        elsewhere = _ABSOLUTE.match(to) and not (to + b"/").startswith(here)
        return tag + field if _POSTS.search(tag) and not elsewhere else tag

    return _FORM.sub(put, page)


def _tag(secret: str, salt: bytes) -> bytes:
    return hmac.new(secret.encode("utf-8", "replace"), _LABEL + salt, hashlib.sha256).digest()[:_TAG]
