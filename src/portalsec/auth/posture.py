"""`DevicePosture`: what a mobile app says about the device it runs on.

A claim, and no more than that: the app's own checks made it, and whoever controls the device controls the app. It can
tell an honest user that the phone is too old; it can't keep a liar out. So it may make a policy stricter, and never
stands in for a factor (see docs/explanation/sessions.md).

An app sends it as the header `POSTURE_HEADER`, a flat JSON object in ASCII of at most 512 characters::

    Portalsec-Device-Posture: {"platform": "android", "os_version": "15", "app_version": "3.2.0", "rooted": false}

A header, since a sign-in has many steps (forms, a passkey's JSON, the page of a mailed link, a step-up) and an app's HTTP
client has one place that puts a header on all of them, where it puts its User-Agent. JSON, since every telephone's
platform writes it. A page of another site cannot send it: a header of one's own takes the server's leave (CORS).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.errors import ConfigurationError, Denied, Reason, Tampered
from portalsec.events import Source

__all__ = [
    "POSTURE_HEADER",
    "DevicePosture",
    "claim_text",
    "posture_from",
    "posture_of",
    "posture_said",
    "posture_text",
]

POSTURE_HEADER = "Portalsec-Device-Posture"

_MAX_CLAIM = 512
_MAX_TEXT = 64
_MAX_PARTS = 4
_TEXTS = ("platform", "os_version", "app_version")
_FLAGS = ("attested", "rooted", "screen_lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePosture:
    """A device as its app reported it. Advisory: nothing here is proven to the server.

    Attributes:
        at: when it was reported, by the server's clock.
        platform: "ios", "android" or whatever the app says, in lower case; at most 64 characters, as the others.
        os_version, app_version: dotted numbers ("17.4.1"), or None.
        attested: the platform vouched for the app to the app's own server (App Attest, Play Integrity); None: not told.
        rooted: the app found signs that the device's protections are off; None: not told.
        screen_lock: a code or finger opens the device; None: not told.
    """

    at: datetime
    platform: str
    os_version: str | None = None
    app_version: str | None = None
    attested: bool | None = None
    rooted: bool | None = None
    screen_lock: bool | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            text = getattr(self, name)
            if text is None and name != "platform":
                continue
            if not isinstance(text, str) or not 1 <= len(text) <= _MAX_TEXT or not text.isprintable():
                raise ConfigurationError(
                    f"DevicePosture: {name} is printable text of 1 to {_MAX_TEXT} characters"
                )

    def attributes(self) -> Mapping[str, object]:
        """For conditions of the access policy: hand them to `Guard` as attributes ``device_platform`` and so on.

        What was not told is left out, so that a condition on it fails and denies. A version is a number that compares
        ("17.4.1" is 17004001000), since texts of versions do not.
        """
        told: dict[str, object] = {"device_platform": self.platform}
        for name in ("os_version", "app_version"):
            number = version_number(getattr(self, name))
            if number is not None:
                told[f"device_{name}"] = number
        told.update(
            {f"device_{name}": getattr(self, name) for name in _FLAGS if getattr(self, name) is not None}
        )
        return told


def version_number(text: str | None) -> int | None:
    """Up to four dotted numbers, each below 1000, as one that compares; None for anything else."""
    parts = (text or "").split(".")
    if len(parts) > _MAX_PARTS or not all(
        part.isascii() and part.isdigit() and len(part) <= 3 for part in parts
    ):
        return None
    number = 0
    for part in (*parts, *("0",) * (_MAX_PARTS - len(parts))):
        number = number * 1000 + int(part)
    return number


def posture_from(claim: object, *, now: datetime) -> DevicePosture | None:
    """What an app sent, as a mapping with the attributes' names; None for None.

    Raises:
        Denied: MALFORMED, where it has other members or values of other types.
    """
    if claim is None:
        return None
    if not isinstance(claim, Mapping) or not set(claim) <= {*_TEXTS, *_FLAGS} or "platform" not in claim:
        raise Denied(Reason.MALFORMED)
    fits = all(claim[name] is None or isinstance(claim[name], bool) for name in _FLAGS if name in claim)
    made = None
    if fits:
        try:
            made = DevicePosture(at=now, **dict(claim))
        except ConfigurationError:
            made = None
    if made is None:
        raise Denied(Reason.MALFORMED)
    return made


def claim_text(header: str | None) -> str | None:
    """What an adapter puts into `Source.posture`: the header's text, no longer than shows that it is too long."""
    return header[: _MAX_CLAIM + 1] if header else None


def posture_said(source: Source, *, now: datetime) -> DevicePosture | None:
    """What the request's header says of the device it comes from; None without one.

    Raises:
        Denied: MALFORMED, where it is anything but one flat JSON object, in ASCII, of at most 512 characters.
    """
    text, claim = source.posture, None
    if text is None:
        return None
    # The length first; brackets within brackets would be 256 deep at most, and a posture has none.
    if len(text) <= _MAX_CLAIM and text.isascii() and text.count("{") == 1 and "[" not in text:
        try:
            claim = json.loads(text, object_pairs_hook=_once)
        except ValueError:
            claim = None
    if claim is None:
        raise Denied(Reason.MALFORMED)
    return posture_from(claim, now=now)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object that has no member twice: two readers could see two devices in it."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def posture_text(posture: DevicePosture | None) -> str | None:
    """One line of JSON for a store."""
    if posture is None:
        return None
    fields = [unix_microseconds(posture.at), *(getattr(posture, name) for name in (*_TEXTS, *_FLAGS))]
    return json.dumps(fields, separators=(",", ":"))


def posture_of(text: str | None) -> DevicePosture | None:
    """The inverse of `posture_text`; `Tampered` for anything else."""
    if text is None:
        return None
    made = None
    try:
        at, *values = json.loads(text)
        made = DevicePosture(
            at=from_unix_microseconds(int(at)), **dict(zip((*_TEXTS, *_FLAGS), values, strict=True))
        )
    except (ValueError, TypeError, OverflowError, ConfigurationError):
        made = None
    if made is None:
        raise Tampered("a stored session's device posture is not what portalsec wrote")
    return made
