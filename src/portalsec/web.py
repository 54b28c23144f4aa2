"""Facts of HTTP that both adapters share, as pure functions: cookies, headers, origins, addresses, redirects."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = [
    "DEVICE_COOKIE",
    "DEVICE_COOKIE_AGE",
    "LINK_COOKIE",
    "PASSKEY_COOKIE",
    "PENDING_COOKIE",
    "SESSION_COOKIE",
    "STAFF_COOKIE",
    "check_same_site",
    "clear_cookie",
    "client_address",
    "cookie_value",
    "logout_headers",
    "origin_of",
    "retry_after_seconds",
    "safe_next",
    "security_headers",
    "set_cookie",
    "status_of",
    "wants_json",
]

# The __Host- prefix (RFC 6265bis section 4.1.3.2): the browser takes such a cookie only with Secure, Path=/ and
# without Domain, so a sibling sub-domain cannot set one of that name. `cookie_value` refuses names that look alike.
SESSION_COOKIE = "__Host-portalsec"
PENDING_COOKIE = "__Host-portalsec-pending"
DEVICE_COOKIE = "__Host-portalsec-device"  # a known device's budget; never a factor
DEVICE_COOKIE_AGE = timedelta(days=400)  # the longest that browsers keep a cookie (RFC 6265bis section 5.5)
PASSKEY_COOKIE = (
    "__Host-portalsec-passkey"  # a question for a passkey that comes first; another tab may be further
)
LINK_COOKIE = "__Host-portalsec-link"  # what a mailed link was exchanged for
STAFF_COOKIE = "__Host-portalsec-staff"  # while support acts in an owner's name: the way back (`portalsec.account_pages`)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})

_AUTHENTICATE = frozenset(
    {
        Reason.SESSION_MISSING,
        Reason.SESSION_UNKNOWN,
        Reason.SESSION_DUPLICATE_COOKIE,
        Reason.SESSION_IDLE,
        Reason.SESSION_EXPIRED,
        Reason.SESSION_CLOCK,
        Reason.SESSION_REVOKED,
        Reason.DPOP_REFUSED,
        Reason.UNKNOWN_ACCOUNT,
        Reason.WRONG_PASSWORD,
        Reason.ACCOUNT_DISABLED,
        Reason.ACCOUNT_LOCKED,
        Reason.PASSWORD_SPRAYED,
        Reason.WRONG_CODE,
        Reason.CODE_REPLAYED,
        Reason.PASSKEY_REFUSED,
        Reason.FACTOR_DISABLED,
        Reason.FACTOR_NOT_ENROLLED,
        Reason.EVIDENCE_MISSING,
        Reason.EVIDENCE_MIXED,
        Reason.EVIDENCE_STALE,
        Reason.FLOW_UNKNOWN,
        Reason.FLOW_EXHAUSTED,
    }
)
_BAD_REQUEST = frozenset(
    {
        Reason.MALFORMED,
        Reason.PASSWORD_REFUSED,
        Reason.INVITATION_INVALID,
        Reason.LOGIN_TAKEN,
        Reason.TOKEN_INVALID,
        Reason.ADDRESS_REFUSED,
    }
)


def status_of(denied: Denied) -> int:
    """The HTTP status that a refusal gets: one for all sign-in failures, so that the status tells no more."""
    if denied.reason is Reason.THROTTLED:
        return 429
    if denied.reason in _BAD_REQUEST:
        return 400
    return 401 if denied.reason in _AUTHENTICATE else 403


def retry_after_seconds(delay: timedelta | None) -> str | None:
    """The value of a Retry-After header (RFC 9110 section 10.2.3): whole seconds, rounded up, at least 1."""
    if delay is None:
        return None
    return str(max(1, -(-delay // timedelta(seconds=1))))


def cookie_value(header: str | None, name: str) -> str | None:
    """The one value of ``name`` in a Cookie header; None where it is absent.

    Only the space and the tab around a name are no part of it (RFC 6265bis section 5.6). A browser sees no `__Host-`
    prefix in ``<no-break space>__Host-x``, nor an older one in ``__host-x``, and lets a sibling sub-domain set it; a
    reader that strips what Unicode calls white space would take it for ours.

    Args:
        header: as the server gave it, whether it read the bytes as Latin-1 or as UTF-8.

    Raises:
        Denied: the name comes twice, or one that only looks like it comes at all. A browser sends one `__Host-`
            cookie; anything else means that somebody tossed one in.
    """
    found: str | None = None
    for part in (header or "").split(";"):
        key, equals, value = part.partition("=")
        key = key.strip(" \t")
        if not equals or (key != name and _visible(key) != name.lower()):
            continue
        if found is not None or key != name:
            raise Denied(Reason.SESSION_DUPLICATE_COOKIE)
        found = value.strip(" \t")
    return found


def _visible(name: str) -> str:
    """What is left of a name for a reader that drops or replaces anything but visible ASCII, and ignores case."""
    if (
        not name.isascii() or not name.isprintable() or " " in name
    ):  # none of most cookies, which come with every request
        name = "".join(c for c in name if "!" <= c <= "~")
    return name.lower()


def set_cookie(name: str, value: str, *, max_age: timedelta | None = None) -> str:
    """A Set-Cookie value for a token made by portalsec; a cookie of the browser session unless ``max_age`` is given."""
    if not value or any(not (0x21 <= ord(c) <= 0x7E) or c in '",;\\' for c in value):
        raise ConfigurationError(f"cookie {name}: the value is not a token of visible ASCII characters")
    age = "" if max_age is None else f"; Max-Age={max_age // timedelta(seconds=1)}"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}"


def clear_cookie(name: str) -> str:
    """A Set-Cookie value that removes the cookie."""
    return f"{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def security_headers(*, https: bool) -> dict[str, str]:
    """The headers of every page.

    Scripts and styles come only from the portal's own files, nothing may frame the portal, nothing is cached
    (a shared computer's back button shows no record), and other sites learn no address of a page.
    """
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Not no-referrer: under that policy a form's own POST says Origin: null, and the check below needs it.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
    if https:
        headers["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"
    return headers


def logout_headers(*, known_device: bool = False) -> dict[str, str]:
    """What a sign-out sends besides the cleared cookies, so that the shared computer keeps nothing.

    ``known_device``: the browser holds `DEVICE_COOKIE`, which its owner did not want on a shared computer; clearing all
    cookies would make every sign-in one from a new device.
    """
    kinds = '"cache", "storage"' if known_device else '"cache", "cookies", "storage"'
    return {"Clear-Site-Data": kinds, "Cache-Control": "no-store"}


def origin_of(url: str) -> str:
    """``scheme://host[:port]`` of an absolute http(s) URL, lower case, without a default port.

    Raises:
        ConfigurationError: not such a URL.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"base_url {url!r}: write https://portal.example (http only for localhost)")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")


def check_same_site(method: str, headers: Mapping[str, str], *, base_url: str) -> None:
    """Refuse a state-changing request that another site caused (CSRF, login CSRF).

    ``headers`` has lower-case names. ``Sec-Fetch-Site``, which a page cannot set, decides where it is sent; else
    ``Origin`` must be the portal's own. A request with neither is refused: every browser of today sends one. Only an API
    client's is not, which has a ``DPoP`` header and no cookie: no page can have another site's browser send that header
    without asking this one first, and what such a request may do is decided by its proof alone.

    Raises:
        Denied: CROSS_SITE.
    """
    if method.upper() in _SAFE_METHODS:
        return
    site = headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise Denied(Reason.CROSS_SITE)
        return
    origin = headers.get("origin")
    if origin is None and "dpop" in headers and not headers.get("cookie"):
        return
    try:
        same = origin is not None and origin_of(origin) == origin_of(base_url)
    except ConfigurationError:
        same = False
    if not same:
        raise Denied(Reason.CROSS_SITE)


def wants_json(headers: Mapping[str, str]) -> bool:
    """Whether a script sent this, which reads JSON and no page.

    ``headers`` has lower-case names. Whoever takes HTML gets a page, and so does a browser that goes somewhere
    (``Sec-Fetch-Mode: navigate``): it would show the JSON to its visitor. Else it is asked for by ``Accept``, sent by
    ``Content-Type``, or fetched, or an API client's, which has a ``DPoP`` header.
    """
    accept, mode = headers.get("accept", "").lower(), headers.get("sec-fetch-mode")
    if mode == "navigate" or "text/html" in accept:
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "json" in accept or kind.endswith("json") or mode is not None or "dpop" in headers


def safe_next(target: object, *, default: str = "/") -> str:
    """``target`` if it is a path of this portal, else ``default``.

    Browsers read ``\\`` as ``/`` and drop tabs and newlines, so ``//evil``, ``/\\evil`` and ``/<tab>/evil`` all
    leave the site: anything but a plain path that starts with exactly one slash is not followed.
    """
    if not isinstance(target, str) or not 1 <= len(target) <= 2048:
        return default
    if target[0] != "/" or target[1:2] in ("/", "\\"):
        return default
    if "\\" in target or any(not (0x21 <= ord(c) <= 0x7E) for c in target):
        return default
    return target


def client_address(peer: str | None, forwarded_for: str | None, *, hops: int) -> str | None:
    """The visitor's address; no header is believed without a stated number of proxies.

    Args:
        peer: the address of the TCP peer.
        forwarded_for: the X-Forwarded-For header, all its lines joined with commas.
        hops: how many trusted proxies stand before the portal; each appended the address it saw.

    Returns:
        The canonical textual address; None where there is none (its own, shared throttle lane).
    """
    chain = [part.strip() for part in forwarded_for.split(",")] if hops and forwarded_for else []
    chain.append(peer or "")
    if len(chain) <= hops:
        return None  # fewer entries than proxies: somebody reached the portal another way
    return _canonical(chain[-1 - hops])


_LONGEST_ADDRESS = 45  # of IPv6, with IPv4 at its end


def _canonical(text: str) -> str | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=1024)
def _parsed(text: str) -> str | None:
    """Kept, since a browser asks for many things from one address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
