"""`SignInNotices`: what sign-ins tell the owner: one mail, and none that a stranger can make a flood of."""

from __future__ import annotations

from collections.abc import Sequence

from portalsec._encoding import length_prefixed
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, Mac, ThrottleStore
from portalsec.auth.throttle import Lane
from portalsec.clock import Clock
from portalsec.errors import StoreError
from portalsec.events import Source

__all__ = ["SignInNotices"]

_NOBODY = "-"


class SignInNotices:
    """`portalsec.auth.ports.SignInWatch`.

    ==============================  ==========================================================================
    what happened                   mail
    ==============================  ==========================================================================
    full sign-in, new device        at once
    full sign-in, known device      none; it is listed among the account's activity
    right password, nothing after   five minutes later; none where the sign-in is completed by then
    a name's budget is used up      one a day
    ==============================  ==========================================================================

    Safe for concurrent use. Each kind of mail has its own budget for each account: beyond it a notice is listed and
    not mailed. Where the counters cannot be asked, mail goes out: an owner who is told twice is better off than one who
    is not told.
    """

    def __init__(
        self, *, notices: Notices, budgets: ThrottleStore, policy: NoticePolicy, mac: Mac, clock: Clock
    ) -> None:
        self._notices = notices
        self._budgets = budgets
        self._mac = mac
        self._clock = clock
        self.policy = policy

    def pending(self, account: Account, *, source: Source) -> str | None:
        """A right password, from a browser that is no known device: due unless the sign-in is completed."""
        mail = self._may_mail(NoticeKind.UNFINISHED_SIGN_IN, account.id, self.policy.sign_in_mails)
        notice = self._notices.tell(
            account.id,
            NoticeKind.UNFINISHED_SIGN_IN,
            source=source,
            mail=mail,
            delay=self.policy.unfinished_after,
        )
        return notice.id

    def completed(
        self,
        account: Account,
        *,
        source: Source,
        new_device: bool,
        notice: str | None,
        folded: Sequence[str] = (),
    ) -> None:
        """A session was opened: the notices of its password are withdrawn, and only those of this browser."""
        for own in (*folded, notice):
            if own is not None:
                self._notices.withdraw(own)
        if new_device:
            mail = self._may_mail(NoticeKind.NEW_DEVICE, account.id, self.policy.sign_in_mails)
            self._notices.tell(account.id, NoticeKind.NEW_DEVICE, source=source, mail=mail)
        else:
            self._notices.tell(account.id, NoticeKind.SIGNED_IN, source=source, mail=False)

    def locked(self, account: Account | None, *, source: Source) -> None:
        """A name's budget was used up. For a name of nobody the same reads and writes, to no effect."""
        account_id = _NOBODY if account is None else account.id
        mail = self._may_mail(NoticeKind.LOCKED, account_id, self.policy.locked_mails)
        if account is None:
            self._notices.request(NoticeKind.LOCKED, source=source, details={}, known=False)
        else:
            self._notices.tell(account_id, NoticeKind.LOCKED, source=source, mail=mail)

    def _may_mail(self, kind: NoticeKind, account_id: str, lane: Lane) -> bool:
        parts = ("notice", kind.value, lane.name, str(int(lane.window.total_seconds())), account_id)
        key = self._mac("throttle", length_prefixed(*(part.encode("utf-8") for part in parts))).hex()
        try:
            return self._budgets.take(key, limit=lane.limit, window=lane.window, now=self._clock()).ok
        except StoreError:
            return True
