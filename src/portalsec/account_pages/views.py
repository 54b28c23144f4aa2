"""What account pages show, as frozen values without tokens, hashes or keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from portalsec.auth.notice_words import CATALOGUES, catalogue
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Incident, Notice
from portalsec.errors import Tampered
from portalsec.portal import Portal

__all__ = [
    "ContactView",
    "DeviceView",
    "IncidentView",
    "NoticeView",
    "incident_view",
    "incident_views",
    "notice_title",
    "notice_view",
    "notice_views",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeView:
    """Something that happened to an account.

    Attributes:
        kind: see `NoticeKind`.
        title, text: as the mail says it, in the visitor's language.
        at: when it happened.
        code: names it in the mail too.
        browser, place: of whoever did it; "" where that is not known.
        mailed_at: when mail of it was handed on, or None.
        waiting: mail of it is due still.
        disavowed: the owner said that it was not them.
    """

    kind: str
    title: str
    text: str
    at: datetime
    code: str
    browser: str
    place: str
    mailed_at: datetime | None
    waiting: bool
    disavowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactView:
    """An e-mail address of the account."""

    id: str
    address: str = field(repr=False)
    verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """A known device; ``here`` where it is the browser that asks."""

    id: str
    label: str
    address: str | None
    used_at: datetime
    here: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """What the owner disavowed, and what was done in their name since: ``seen`` as lines of the application."""

    id: str
    title: str
    since: datetime
    opened_at: datetime
    closed_at: datetime | None
    seen: tuple[object, ...]


def notice_title(kind: str, portal_name: str, language: str) -> tuple[str, str]:
    """What a kind of notice is called, and the sentence of its mail."""
    _, words = catalogue(CATALOGUES, language, "en")
    title, text = words.letters[NoticeKind(kind)]
    return title.format_map({"portal": portal_name}), text.format_map({"portal": portal_name})


def notice_view(portal: Portal, notice: Notice, language: str) -> NoticeView:
    """One notice. A damaged row shows what the store says by itself, so that one bad row hides no other."""
    try:
        details = portal.notices.details(notice)
    except Tampered:
        details = {}
    title, text = notice_title(notice.kind, portal.name, language)
    return NoticeView(
        kind=notice.kind,
        title=title,
        text=text,
        at=notice.at,
        code=notice.code,
        browser=details.get("browser", ""),
        place=details.get("place", ""),
        mailed_at=notice.mailed_at,
        waiting=notice.due_at is not None,
        disavowed=notice.disavowed_at is not None,
    )


def notice_views(portal: Portal, notices: Iterable[Notice], language: str) -> tuple[NoticeView, ...]:
    """Several."""
    return tuple(notice_view(portal, notice, language) for notice in notices)


def incident_views(portal: Portal, account_id: str, language: str) -> tuple[IncidentView, ...]:
    """What the owner of an account said was not them, newest first, each with what was seen since."""
    return tuple(
        incident_view(portal, incident, language) for incident in portal.incidents.of_account(account_id)
    )


def incident_view(portal: Portal, incident: Incident, language: str) -> IncidentView:
    """One incident; its title is that of the notice it began with."""
    notice = portal.stores.notices.get(incident.notice_id) if incident.notice_id else None
    return IncidentView(
        id=incident.id,
        title="" if notice is None else notice_title(notice.kind, portal.name, language)[0],
        since=incident.since,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
        seen=tuple(portal.incidents.seen(incident)),
    )
