"""``manage.py portalsec_wrap_passwords``: puts argon2id around every hash that one of Django's hashers made.

So those accounts are as hard to guess at as any other, sign in with the password they have, and get a hash of their own at
that sign-in. Until it has run they are accounts without a password. Beside the running application: a password that changes
meanwhile is kept. It can be stopped at any time and run again: what is done is recognised.

Whoever had a password of portalsec's, and whose column was then written by other means (``user.set_password``, the admin),
has one that nobody asked anything of. Those are listed and left, unless ``--set-elsewhere`` takes them too.

Exit codes: 0 done, 1 some hashes are of no known kind or were set elsewhere (they are listed), 2 could not, 130 stopped by
Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portalsec.auth.hash_costs import cost_text
from portalsec.auth.passwords import HashInfo
from portalsec.django.conf import get_portal
from portalsec.django.stores.accounts import DjangoAccounts, account_id_of, set_elsewhere
from portalsec.errors import PortalsecError, Tampered
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent
from portalsec.portal import Portal

_LEFT, _COULD_NOT, _STOPPED = 1, 2, 130
_PAGE, _SHOWN = 64, 20
_SET_ELSEWHERE = (
    "were set past the portal (user.set_password, the admin) and verify for nobody: send those people to the page for "
    "forgotten passwords, or take over what was set with --set-elsewhere:"
)


class Command(BaseCommand):
    help = "Wrap the hashes of Django's hashers; exit code 0: done, 1: some were left, 2: could not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--status", action="store_true", help="write nothing: count the hashes of every kind"
        )
        parser.add_argument(
            "--form",
            choices=["raw", "nfc", "nfkc"],
            default="raw",
            help="what was done to a password before hashing it; Django takes it raw",
        )
        parser.add_argument("--scheme", help="what does not say what it is: md5, sha1, nthash or werkzeug")
        parser.add_argument(
            "--set-elsewhere",
            action="store_true",
            help="also those that Django set after portalsec had given the account a password",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            portal, users = get_portal(), DjangoAccounts()
            if options["status"]:
                self._status(portal, users, options["scheme"])
                return
            self._elsewhere = bool(options["set_elsewhere"])
            total = self._due(portal, users, options["scheme"])
            unknown, elsewhere = self._wrap_all(portal, users, total, options["form"], options["scheme"])
        except PortalsecError as error:
            raise CommandError(str(error), returncode=_COULD_NOT) from error
        except KeyboardInterrupt:
            self.stderr.write("\nStopped. The same command goes on: what is done is recognised.")
            sys.exit(_STOPPED)
        if unknown:
            self._list(f"{len(unknown)} hashes are of no known kind, and verify for nobody:", unknown)
        if elsewhere:
            self._list(f"{len(elsewhere)} passwords {_SET_ELSEWHERE}", elsewhere)
        if unknown or elsewhere:
            sys.exit(_LEFT)

    def _list(self, sentence: str, account_ids: list[str]) -> None:
        self.stderr.write(sentence)
        for account_id in account_ids[:_SHOWN]:
            self.stderr.write(f"  account {account_id}")

    def _wanted(self, user: Any) -> bool:
        return self._elsewhere or not set_elsewhere(user)

    def _due(self, portal: Portal, users: DjangoAccounts, scheme: str | None) -> int:
        """How many there are; a cost that the portal does not list stops it here, before the first is written."""
        listed = {cost_text(cost) for cost in portal.passwords.older}
        costs: Counter[str] = Counter()
        for user in _foreign(users):
            info = _described(portal, user.password, scheme)
            if info.scheme != "unknown" and self._wanted(user):
                costs[_cost(info)] += 1
        if missing := sorted(costs.keys() - listed):
            named = ", ".join(f'"{text}"' for text in missing)
            raise CommandError(
                "hashes cost what [passwords] older does not list, so that their age would show: add "
                f"{named} to it, restart the portal, and run this again",
                returncode=_COULD_NOT,
            )
        return costs.total()

    def _wrap_all(
        self, portal: Portal, users: DjangoAccounts, total: int, form: Any, scheme: str | None
    ) -> tuple[list[str], list[str]]:
        unknown: list[str] = []
        elsewhere: list[str] = []
        wrapped = changed = 0
        began = time.monotonic()

        def work(user: Any) -> str | None:
            described = portal.passwords.describe(user.password, scheme=scheme)
            bare = scheme if described.scheme != "unknown" else None
            try:
                return portal.passwords.wrap(
                    user.password, account_id=account_id_of(user), form=form, scheme=bare
                )
            except Tampered:
                return None

        with ThreadPoolExecutor(portal.passwords.concurrency) as threads:
            for found in _pages(users):
                page = [user for user in found if self._wanted(user)]
                elsewhere += (account_id_of(user) for user in found if not self._wanted(user))
                for user, new in zip(page, threads.map(work, page), strict=True):
                    account_id = account_id_of(user)
                    if new is None:
                        unknown.append(account_id)
                    # Only where it still is what was read: a password that was set meanwhile stays.
                    elif not users.replace_column(account_id, user.password, new):
                        changed += 1
                    else:
                        wrapped += 1
                        _record(portal, account_id, new)
                self._progress(wrapped + changed, total, time.monotonic() - began)
        if self.stdout.isatty():
            self.stdout.write("")
        self.stdout.write(f"{wrapped} of {total} hashes were wrapped, {changed} changed meanwhile.")
        return unknown, elsewhere

    def _progress(self, done: int, total: int, seconds: float) -> None:
        if not (self.stdout.isatty() and done):
            return
        left = (total - done) * seconds / done
        self.stdout.write(
            f"\r{100 * done // max(total, 1):3}%  {done}/{total}, {left:.0f} s left   ", ending=""
        )
        self.stdout.flush()

    def _status(self, portal: Portal, users: DjangoAccounts, scheme: str | None) -> None:
        kinds: Counter[str] = Counter()
        for account in _accounts(users):
            if account.password_hash is not None:
                kinds[_kind(portal.passwords.describe(account.password_hash))] += 1
        raw: Counter[str] = Counter(
            _kind(_described(portal, user.password, scheme)) for user in _foreign(users)
        )
        for kind, count in sorted(kinds.items()):
            self.stdout.write(f"{count} {kind}")
        for kind, count in sorted(raw.items()):
            self.stdout.write(f"{count} {kind}: not wrapped, verifies for nobody")
        if raw:
            if elsewhere := [account_id_of(user) for user in _foreign(users) if set_elsewhere(user)]:
                self._list(f"{len(elsewhere)} passwords {_SET_ELSEWHERE}", elsewhere)
            self.stderr.write(f"{raw.total() - len(elsewhere)} hashes are to be wrapped.")
            sys.exit(_LEFT)


def _pages(users: DjangoAccounts) -> Iterator[list[Any]]:
    after: Any = None
    while page := list(users.foreign(after=after, limit=_PAGE)):
        yield page
        after = page[-1].pk


def _foreign(users: DjangoAccounts) -> Iterator[Any]:
    for page in _pages(users):
        yield from page


def _accounts(users: DjangoAccounts) -> Iterator[Any]:
    after: str | None = None
    while page := users.page(after=after, limit=1000):
        yield from page
        after = page[-1].id


def _described(portal: Portal, column: str, scheme: str | None) -> HashInfo:
    info = portal.passwords.describe(column, scheme=scheme)
    return info if info.scheme != "unknown" else portal.passwords.describe(column)


def _kind(info: HashInfo) -> str:
    text = _cost(info) + (" (wrapped)" if info.wrapped else "")
    if info.current or not info.verifies:
        return text
    return f"{text}: made anew at the next sign-in" + (
        "" if info.listed else f'; its age shows: add "{_cost(info)}" to [passwords] older'
    )


def _cost(info: HashInfo) -> str:
    """As ``[passwords] older`` has it."""
    return f"{info.scheme}:{info.parameters}" if info.parameters else info.scheme


def _record(portal: Portal, account_id: str, new: str) -> None:
    portal.emit(
        SecurityEvent(
            name=Event.AUTH_PASSWORD_REHASHED,
            actor=SYSTEM,
            resource=ResourceRef(type="account", id=account_id),
            details={"wrapped": portal.passwords.describe(new).scheme},
        )
    )
