"""`seen_in_log`: what an incident is about, read from the audit log: auth asks for it, audit has it."""

from __future__ import annotations

from datetime import datetime, timedelta

from portalsec.audit.log import AuditLog
from portalsec.audit.reports import AccessLine, recent
from portalsec.auth.incidents import Seen, SeenLine, SeenPage
from portalsec.auth.ports import AccountStore

__all__ = ["seen_in_log"]

_PAGE = 1000
_PAGES = 20  # entries of the log that one page of lines reads at most: 20,000
_DISORDER = timedelta(
    minutes=10
)  # events of several workers are placed nearly, not exactly, in the order of time


def seen_in_log(log: AuditLog, accounts: AccountStore) -> Seen:
    """What an account did, and what was done to it or to its owner's record, since a moment.

    The log has no index by actor, so it is read backwards, a bounded number of entries each time; `SeenPage.before`
    goes on from there. Raises `portalsec.errors.Tampered` where an entry is not what was written.
    """

    def seen(account_id: str, since: datetime, limit: int, before: int | None) -> SeenPage:
        account = accounts.get(account_id)
        reference = None if account is None else account.reference
        pseudonyms = frozenset(log.vault.pseudonyms(reference)) if reference else frozenset()
        lines: list[SeenLine] = []
        for _ in range(_PAGES):
            page = recent(log, limit=_PAGE, before=before)
            for line in page:
                if line.at < since - _DISORDER:
                    return SeenPage(lines=lines, before=None)
                before = line.index
                if line.at >= since and _concerns(line, account_id, pseudonyms):
                    lines.append(_seen(line, account_id))
                    if len(lines) == limit:
                        return SeenPage(lines=lines, before=before)
            if len(page) < _PAGE:
                return SeenPage(lines=lines, before=None)
        return SeenPage(lines=lines, before=before)

    return seen


def _concerns(line: AccessLine, account_id: str, pseudonyms: frozenset[str]) -> bool:
    if line.actor.id == account_id or not pseudonyms.isdisjoint(line.subjects):
        return True
    return line.resource is not None and (line.resource.type, line.resource.id) == ("account", account_id)


def _seen(line: AccessLine, account_id: str) -> SeenLine:
    resource = line.resource
    return SeenLine(
        index=line.index,
        at=line.at,
        action=line.action,
        outcome=line.outcome.value,
        purpose=line.purpose,
        by_account=line.actor.id == account_id,
        actor=line.actor.id,
        resource_type=None if resource is None else resource.type,
        resource_id=None if resource is None else resource.id,
        count=None if resource is None else resource.count,
    )
