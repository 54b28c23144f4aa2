"""The address of a request in one spelling (RFC 3986 sections 6.2.2 and 6.2.3), so that two can be compared as text."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["normalised"]

_MAX: Final = 2048
_PARTS = re.compile(
    r"(https?)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?((?:/[a-z0-9._~!$&'()*+,;=:@/%-]*)?)\Z",
    re.ASCII | re.IGNORECASE,
)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})?", re.ASCII)
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def normalised(uri: str) -> str | None:
    """``uri`` without its query and fragment (RFC 9449 section 4.3), in the one spelling; None for what is no such URI.

    In: an absolute http(s) URI, at most 2048 characters. Scheme and host become lower case, the scheme's own port goes,
    escapes of what a segment may hold as it is (section 3.3) are undone and others written in capitals, dot segments are
    resolved, an empty path becomes ``/``. Whoever names a user in it names no address of ours.

    Section 2.2 lets ``%3D`` and ``=`` be two addresses. Here they are one: servers hand a path on decoded, so nobody can
    tell afterwards which of them a client wrote, and clients write both. ``%2F`` and ``/`` stay two.
    """
    if len(uri) > _MAX or not uri.isascii():
        return None
    parts = _PARTS.match(uri.partition("#")[0].partition("?")[0])
    if parts is None:
        return None
    scheme, host, port, path = parts[1].lower(), parts[2].lower(), parts[3], parts[4]
    if any(escape[1] is None for escape in _ENCODED.finditer(path)):
        return None
    path = _without_dots(_ENCODED.sub(_escape, path)) if "%" in path or "/." in path else path or "/"
    shown = "" if not port or port == _DEFAULT_PORTS[scheme] else f":{port}"
    return f"{scheme}://{host}{shown}{path}"


def _escape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _PLAIN else found[0].upper()


def _without_dots(path: str) -> str:
    """Section 5.2.4, of a path that begins with a slash."""
    kept: list[str] = []
    *segments, last = path.split("/")[1:]
    for segment in (*segments, last):
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if last in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
