"""What people ask of the log: who has seen this record, and what happened lately.

Names of people are not in the log: a line gives ids, which the application turns into names when it shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from portalsec.audit.log import AuditLog
from portalsec.audit.merkle import leaf_hash
from portalsec.audit.ports import StoredEntry
from portalsec.audit.record import Record, decode
from portalsec.errors import ConfigurationError, Tampered
from portalsec.events import Actor, Outcome, ResourceRef

__all__ = ["AccessLine", "recent", "who_has_seen"]

_MAX_LINES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One line of a report.

    Attributes:
        index: the entry's place in the log; the next page is ``before=`` the last line's index.
        at: when it was recorded, UTC.
        actor: who, by id and role; ``on_behalf_of`` is a pseudonym.
        action: the event's name.
        purpose, reason: codes of `Purpose` and `Reason`; a newer version may have others.
        resource: what it was done to. An id that is the subject's own is a pseudonym, except in the subject's own
            report, where it is the id again.
        subjects: pseudonyms of the people whose data it was.
    """

    index: int
    id: str
    at: datetime
    actor: Actor
    action: str
    outcome: Outcome
    purpose: str | None
    reason: str | None
    resource: ResourceRef | None
    subjects: tuple[str, ...]

    @property
    def actor_id(self) -> str | None:
        return self.actor.id

    @property
    def actor_role(self) -> str | None:
        return self.actor.role


def who_has_seen(
    log: AuditLog, subject_id: str, *, limit: int = 100, before: int | None = None
) -> list[AccessLine]:
    """Everything that was recorded about one person, newest first, refusals included.

    Which entries are about a person is looked up in the store's index of subjects, for no other way is fast. Whoever
    takes rows out of that index makes this report shorter without leaving a mark in it; `portalsec.audit.verify` is
    what finds that, since it builds the index again from the entries. So verify before a report is relied upon.

    Args:
        subject_id: the id under which the application names the person in its events.
        limit: lines at most, 1 to 1000.
        before: only entries below this index.

    Raises:
        Tampered: an entry is not what was written, or is not this person's. No line is shown in doubt.
        StoreError: the log cannot be read.
    """
    pseudonyms = log.vault.pseudonyms(subject_id)
    log.integrate()  # so that the newest event is in its place
    lines = {}
    for (
        pseudonym
    ) in pseudonyms:  # more than one where the key was rotated: the newest of each, and of those the newest
        for entry in log.store.of_subject(pseudonym, limit=_limited(limit), before=before):
            record = _read(entry)
            if pseudonym not in record.subjects:
                raise Tampered(f"Audit entry {entry.index} is filed under a person whom it does not name.")
            line = _line(entry, record)
            if line.resource is not None and line.resource.id in pseudonyms:
                line = replace(line, resource=replace(line.resource, id=subject_id))
            lines[entry.index] = line
    return [lines[index] for index in sorted(lines, reverse=True)[:limit]]


def recent(log: AuditLog, *, limit: int = 100, before: int | None = None) -> list[AccessLine]:
    """The newest entries of the whole log, newest first. Arguments and errors as `who_has_seen`."""
    log.integrate()
    return lines_of(log.store.newest(limit=_limited(limit), before=before))


def lines_of(entries: Sequence[StoredEntry]) -> list[AccessLine]:
    """Stored entries as lines. Raises `Tampered` for an entry that is not what was written."""
    return [_line(entry, _read(entry)) for entry in entries]


def _limited(limit: int) -> int:
    if not 1 <= limit <= _MAX_LINES:
        raise ConfigurationError(
            f"a report has from 1 to {_MAX_LINES} lines a page: ask for the next page with before="
        )
    return limit


def _read(entry: StoredEntry) -> Record:
    if entry.index < 0:
        raise Tampered(f"Audit entry {entry.index} lies before the first: it was never part of the log.")
    if leaf_hash(entry.body) != entry.leaf:
        raise Tampered(f"Audit entry {entry.index} was changed: its bytes and its hash differ.")
    return decode(entry.body)


def _line(entry: StoredEntry, record: Record) -> AccessLine:
    return AccessLine(
        index=entry.index,
        id=record.id,
        at=record.at,
        actor=record.actor,
        action=record.name,
        outcome=record.outcome,
        purpose=record.purpose,
        reason=record.reason,
        resource=record.resource,
        subjects=record.subjects,
    )
