"""The relying party's id and its origins, checked when a portal is built.

A passkey belongs to an RP id (WebAuthn Level 3 section 4): a domain, with every page under it. An id that is too wide gives
passkeys to strangers, an origin that is too loosely written lets a page in that is not the portal's. Both are refused here,
in one sentence each, rather than found out at sign-in.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from portalsec.auth.passkeys.public_suffix import public_suffix
from portalsec.errors import ConfigurationError

__all__ = ["MOST_RELATED_LABELS", "check_origins", "check_rp_id", "related_origins_document"]

MOST_RELATED_LABELS = 5
"""How many different names clients are sure to follow in a document of related origins (section 5.11)."""

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_ANDROID = re.compile(r"android:apk-key-hash:[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]\Z")
_IOS = re.compile(r"ios:bundle-id:[A-Za-z0-9][A-Za-z0-9.-]{0,154}\Z")


def check_rp_id(rp_id: str, *, place: str = "rp_id") -> None:
    """Refuse what is no domain of one owner.

    Args:
        rp_id: as it goes to the browser: a domain in lower-case A-labels, without scheme, port or final dot.
        place: of the value in the configuration, for the error.

    Raises:
        ConfigurationError: an address, a name that is no domain, or a public suffix. ``localhost`` and names under it pass.
    """
    if _is_address(rp_id):
        raise ConfigurationError(
            f"{place}: browsers have no passkeys for addresses ({rp_id}): use a domain name"
        )
    if not _DOMAIN.match(rp_id):
        raise ConfigurationError(
            f"{place}: {rp_id!r} is not a domain: write it in lower case (xn--... for other scripts), "
            "without https://, port, path or final dot"
        )
    if rp_id != "localhost" and public_suffix(rp_id) == rp_id:
        raise ConfigurationError(
            f"{place}: {rp_id} is a public suffix: anybody may have a name under it, and would share your passkeys; "
            "use a domain of your own"
        )


def check_origins(
    rp_id: str, origins: Sequence[str], *, related: Sequence[str] = (), place: str = "origins"
) -> None:
    """Refuse origins that could never match, or that are not the RP id's.

    Args:
        rp_id: checked before.
        origins: as browsers and apps send them, character by character: ``https://host[:port]`` on the RP id or under it,
            ``http://localhost[:port]``, ``android:apk-key-hash:...`` (SHA-256 of the signing certificate, base64url), or
            ``ios:bundle-id:...``. (An iOS app with associated domains sends ``https://`` and the RP id.)
        related: https origins of other domains that may use this RP id too (section 5.11); see `related_origins_document`.
        place: of the value in the configuration, for the error.

    Raises:
        ConfigurationError: in one sentence, with the origin.
    """
    if isinstance(origins, str) or isinstance(related, str):
        raise ConfigurationError(
            f'{place}: several are expected: write ("https://{rp_id}",) and no bare text'
        )
    if not origins:
        raise ConfigurationError(f"{place}: name at least one origin, such as https://{rp_id}")
    for origin in origins:
        if _ANDROID.match(origin) or _IOS.match(origin):
            continue
        host = _host(origin, place=place)
        if host != rp_id and not host.endswith(f".{rp_id}"):
            raise ConfigurationError(
                f"{place}: {origin} is not on {rp_id} or under it: name it among the related origins, or correct it"
            )
    labels = set()
    for origin in related:
        host = _host(origin, place=place)
        if host == rp_id or host.endswith(f".{rp_id}"):
            raise ConfigurationError(
                f"{place}: {origin} is under {rp_id} and needs no entry among related origins"
            )
        check_rp_id(host, place=place)
        labels.add(host.removesuffix("." + public_suffix(host)).rpartition(".")[2])
    if len(labels) > MOST_RELATED_LABELS:
        raise ConfigurationError(
            f"{place}: related origins of {len(labels)} different names: browsers stop after {MOST_RELATED_LABELS}"
        )


def related_origins_document(related: Sequence[str]) -> str:
    """What ``https://<rp id>/.well-known/webauthn`` answers, as ``application/json`` (section 5.11.1).

    Args:
        related: checked by `check_origins`. Only those of other domains: an origin of the RP id itself needs no entry.
    """
    return json.dumps({"origins": list(related)}, separators=(",", ":"))


def _host(origin: str, *, place: str) -> str:
    """The host of a web origin in exactly the spelling that browsers send (HTML, "serialization of an origin")."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    local = host == "localhost" or host.endswith(".localhost")
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    exact = f"{parts.scheme}://{host}" + (f":{port}" if port is not None and port != usual else "")
    if not _DOMAIN.match(host) or origin != exact or _is_address(host):
        raise ConfigurationError(
            f"{place}: {origin!r} is not an origin as browsers send it: https://host or https://host:port in lower case, "
            "nothing after it, no usual port"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ConfigurationError(f"{place}: {origin} is not https, without which browsers have no passkeys")
    return host


def _is_address(host: str) -> bool:
    """Whether browsers take it for one: any name whose last label is a number (URL Standard, "ends in a number checker")."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return bool(re.fullmatch(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", host))
    return True
