"""What account pages show, as frozen values without tokens, hashes or keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from portalsec.auth.disavowal import Disavowable
from portalsec.auth.notice_words import CATALOGUES, catalogue
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Contact, Incident, Notice
from portalsec.auth.undo import Undoable
from portalsec.errors import Tampered
from portalsec.portal import Portal

__all__ = [
    "ContactView",
    "DeviceView",
    "Drawing",
    "IncidentView",
    "NoticeView",
    "disavowable_view",
    "incident_view",
    "masked",
    "notice_view",
    "notice_views",
    "undoable_view",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeView:
    """Something that happened to an account.

    Attributes:
        id: for the button "this wasn't me" of the signed-in page; "" on a mailed link's page.
        kind: see `NoticeKind`.
        title, text: as the mail says it, in the visitor's language.
        at: when it happened.
        code: names it in the mail too.
        browser, place: of whoever did it; "" where that is not known.
        mailed_at: when mail of it was handed on, or None.
        waiting: mail of it is due still.
        disavowed: the owner said that it was not them.
    """

    id: str
    kind: str
    title: str
    text: str
    at: datetime
    code: str
    browser: str
    place: str
    mailed_at: datetime | None = None
    waiting: bool = False
    disavowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactView:
    """An e-mail address of the account."""

    id: str
    address: str = field(repr=False)
    verified: bool


def masked(contact: Contact) -> ContactView:
    """An address as its owner knows it again and nobody else can use it: r…@mail.example."""
    name, _, domain = contact.address.rpartition("@")
    return ContactView(
        id=contact.id, address=f"{name[:1]}…@{domain}", verified=contact.verified_at is not None
    )


class Drawing(str):
    """Markup that was made here of nothing that anybody typed: templates (Jinja, Django) print it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """A known device; ``here`` where it is the browser that asks, ``trusted_until`` where it is trusted."""

    id: str
    label: str
    address: str | None
    used_at: datetime
    here: bool
    trusted_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """What the owner disavowed: its title and code as in the mail, and since when a stranger may have been in."""

    id: str
    account_id: str
    title: str
    code: str
    since: datetime
    opened_at: datetime
    closed_at: datetime | None


def _words(kind: str, portal: Portal, language: str) -> tuple[str, str]:
    _, words = catalogue(CATALOGUES, language, "en")
    values = {"portal": portal.name}
    title, text = (part.format_map(values) for part in words.letters[NoticeKind(kind)])
    return title, text


def _view(
    portal: Portal, of: Notice, details: Mapping[str, str], language: str, *, id: str = ""
) -> NoticeView:
    title, text = _words(of.kind, portal, language)
    return NoticeView(
        id=id,
        kind=str(of.kind),
        title=title,
        text=text,
        at=of.at,
        code=of.code,
        browser=details.get("browser", ""),
        place=details.get("place", ""),
    )


def disavowable_view(portal: Portal, found: Disavowable, language: str) -> NoticeView:
    """What a mailed link's page shows before anybody confirms."""
    return _view(portal, found.notice, found.details, language)


def undoable_view(portal: Portal, found: Undoable, language: str) -> NoticeView:
    """The same of a link that takes back one change."""
    return _view(portal, found.notice, found.details, language)


def notice_view(portal: Portal, notice: Notice, language: str) -> NoticeView:
    """One notice. A damaged row shows what the store says by itself, so that one bad row hides no other."""
    try:
        details = portal.notices.details(notice)
    except Tampered:
        details = {}
    return replace(
        _view(portal, notice, details, language, id=notice.id),
        mailed_at=notice.mailed_at,
        waiting=notice.due_at is not None,
        disavowed=notice.disavowed_at is not None,
    )


def notice_views(portal: Portal, notices: Iterable[Notice], language: str) -> tuple[NoticeView, ...]:
    """Several."""
    return tuple(notice_view(portal, notice, language) for notice in notices)


def incident_view(portal: Portal, incident: Incident, language: str) -> IncidentView:
    """One incident; of a damaged row without what it began with."""
    try:
        summary = portal.incidents.summary(incident)
    except Tampered:
        summary = {}
    return IncidentView(
        id=incident.id,
        account_id=incident.account_id,
        title=_words(summary["kind"], portal, language)[0] if "kind" in summary else "",
        code=summary.get("code", ""),
        since=incident.since,
        opened_at=incident.opened_at,
        closed_at=incident.closed_at,
    )
