"""`Dormancy`: accounts that nobody uses: their owners are written to, and some weeks later they are disabled.

An account that nobody looks at is one whose theft nobody sees. Nothing is disabled whose owner was not told in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from portalsec.auth.endings import Endings, Why
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore, Notice
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Dormancy", "DormancyPolicy", "Found", "State"]

_PAGE = 500
_LOOK_BACK = 100
_NOWHERE = Source()


@dataclass(frozen=True, slots=True, kw_only=True)
class DormancyPolicy:
    """When an account is dormant.

    Attributes:
        after: an account that nobody signed in to for this long is disabled.
        notice: how long before that its owner is told, and the least time between the mail and the disabling.
    """

    after: timedelta = timedelta(days=365)
    notice: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if not timedelta(days=1) <= self.notice < self.after:
            raise ConfigurationError("DormancyPolicy: notice is a day or longer, and shorter than after")


class State(StrEnum):
    """Where an account stands."""

    ACTIVE = "active"
    NOTIFY = "notify"  # its owner is told now
    WAITING = "waiting"  # was told; the time is not up
    DISABLE = "disable"  # was told in time and did not come
    DISABLED = "disabled"  # already
    UNKNOWN = "unknown"  # no moment of use or creation is known: somebody must look


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One account of a run and what was done, or would be; ``last`` is its last known use."""

    account_id: str
    state: State
    last: datetime | None


class Dormancy:
    """Finds dormant accounts. Safe to run as often as wanted, and in two places at once."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        notices: Notices,
        endings: Endings,
        emit: Emit,
        clock: Clock,
        policy: DormancyPolicy | None = None,
    ) -> None:
        self._accounts = accounts
        self._notices = notices
        self._endings = endings
        self._emit = emit
        self._clock = clock
        self.policy = policy or DormancyPolicy()

    def run(
        self, *, dry_run: bool = False, exempt: Callable[[Account], bool] | None = None
    ) -> Iterator[Found]:
        """Go through all accounts and do what is due; yields each as it is done, so that progress can be shown.

        Args:
            dry_run: only say what would be done.
            exempt: accounts that are left alone (a break-glass account that is meant to lie unused, say).

        Raises:
            StoreError: run it again; it goes on where things stand.
        """
        after: str | None = None
        while page := self._accounts.page(after=after, limit=_PAGE):
            for account in page:
                if exempt is not None and exempt(account):
                    continue
                found = self._look(account)
                if not dry_run:
                    self._act(found)
                yield found
            after = page[-1].id

    def _look(self, account: Account) -> Found:
        moments = (account.signed_in_at, account.password_changed_at, account.created_at)
        last = max((moment for moment in moments if moment is not None), default=None)
        return Found(account_id=account.id, state=self._state(account, last), last=last)

    def _state(self, account: Account, last: datetime | None) -> State:
        if account.disabled:
            return State.DISABLED
        if last is None:
            return State.UNKNOWN
        now = self._clock()
        if now - last < self.policy.after - self.policy.notice:
            return State.ACTIVE
        told = self._told(account.id, last)
        if told is None:
            return State.NOTIFY
        waited = now - told.at >= self.policy.notice
        return State.DISABLE if waited and now - last >= self.policy.after else State.WAITING

    def _told(self, account_id: str, last: datetime) -> Notice | None:
        """The mail of this absence; one of an earlier absence does not count."""
        for notice in self._notices.of_account(account_id, limit=_LOOK_BACK):
            if notice.kind == NoticeKind.DORMANT and notice.at > last:
                return notice
        return None

    def _act(self, found: Found) -> None:
        if found.state is State.NOTIFY:
            self._record(Event.ACCOUNT_DORMANT, found.account_id)
            self._notices.tell(found.account_id, NoticeKind.DORMANT, source=_NOWHERE)
        elif found.state is State.DISABLE:
            account = self._accounts.get(found.account_id)
            if account is None or self._look(account).state is not State.DISABLE:
                return  # its owner came back while this ran
            self._record(Event.ACCOUNT_DISABLED, found.account_id)
            # Disabled first: a sign-in that is under way ends with the rest.
            self._accounts.set_disabled(found.account_id, True)
            self._endings.apply(found.account_id, Why.DISABLED, actor=SYSTEM, source=_NOWHERE)
            self._notices.tell(found.account_id, NoticeKind.ACCOUNT_DISABLED, source=_NOWHERE)

    def _record(self, name: str, account_id: str) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account_id),
                details={"why": "dormant"},
            )
        )
