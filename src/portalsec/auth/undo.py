"""`Undo`: the link in a notice of an added, removed or renamed authenticator that takes back just that, for a day.

Weaker than "this wasn't me" (`portalsec.auth.disavowal`), which ends everything and asks for a new password: this is for
the owner's own mistake, and the first thing to press for whoever sees a change that they did not make. Both are in the
mail. Either way all sessions end, the stranger's included.

The link is a keyed tag over the notice's id (`portalsec.auth._notice_tokens`), so that no change to the account makes it
stop, and works once: a thief who reads the mailbox later must not take a factor away again that the owner put back. Only
what was done uses it up: what a failing store, a dying process or a stranger kept from being done can be pressed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from portalsec.auth._disowned_factors import DisownedFactors
from portalsec.auth._last_factor import LastFactor
from portalsec.auth._link_uses import LinkUses
from portalsec.auth._notice_tokens import notice_of, notice_token
from portalsec.auth.authenticators import RESTORABLE, Authenticators, Held
from portalsec.auth.endings import Endings, Why
from portalsec.auth.notices import ADDING, NO_UNDO, OLD_NAME, NoticeKind, Notices
from portalsec.auth.ports import AccountStore, FlowStore, Incident, Mac, Notice, NoticeStore
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["Undo", "Undoable"]

_PURPOSE = "undo"
_TIMES = 2  # as many authenticators, in usual numbers, as there is room for where one is put back
_KEPT = RESTORABLE + timedelta(days=1)  # how long it is known what became of a link: past its end
_KINDS = ADDING | {NoticeKind.FACTOR_REMOVED, NoticeKind.FACTOR_RENAMED}
_EVENTS = {
    NoticeKind.FACTOR_ADDED: Event.AUTH_MFA_REMOVED,
    NoticeKind.FACTOR_RESTORED: Event.AUTH_MFA_REMOVED,
    NoticeKind.FACTOR_REMOVED: Event.AUTH_MFA_RESTORED,
    NoticeKind.FACTOR_RENAMED: Event.AUTH_MFA_RENAMED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoable:
    """What the page of the link shows before anybody confirms.

    Attributes:
        notice: with its kind, moment and code, as in the mail.
        details: its browser and place.
        adds: whether undoing puts an authenticator back; it takes one away, or gives one its old name back, else.
        renames: whether it gives one its old name back.
    """

    notice: Notice
    details: Mapping[str, str]
    adds: bool
    renames: bool


class Undo:
    """Makes links, looks at them, and takes changes back.

    Safe for concurrent use: of any number of confirmations of one notice, one wins. One that could not be done can be
    confirmed again at once, and one whose process died two minutes later.

    Args:
        used: a durable store, which remembers the links that were used and those that are being used.
        last: what goes with the last authenticator. Where the account must have one, undoing takes it away all the same:
            the next sign-in sets one up, as before the change.
        codes: recovery codes go where their making is disavowed, and with an authenticator that they were made after.
        disavowed: the incidents of an account. What was disavowed ends the links of what happened before it, but for those of one that was added.
    """

    def __init__(
        self,
        *,
        store: NoticeStore,
        notices: Notices,
        accounts: AccountStore,
        authenticators: Authenticators,
        codes: RecoveryCodes,
        last: LastFactor,
        used: FlowStore,
        endings: Endings,
        disavowed: Callable[[str], Sequence[Incident]],
        mac: Mac,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._notices = notices
        self._accounts = accounts
        self._authenticators = authenticators
        self._codes = codes
        self._last = last
        self._uses = LinkUses(flows=used, clock=clock)
        self._endings = endings
        self._disavowed = disavowed
        self._mac = mac
        self._emit = emit
        self._clock = clock
        self._disowned = DisownedFactors(
            notices=notices,
            authenticators=authenticators,
            codes=codes,
            last=last,
            emit=emit,
            clock=clock,
        )

    def token(self, notice: Notice, details: Mapping[str, str]) -> Secret[str] | None:
        """The token of a notice's link, for the courier; None where there is nothing that could be taken back."""
        if notice.kind not in _KINDS or not _takes_back(notice, details):
            return None
        return notice_token(self._mac, _PURPOSE, notice.id)

    def look(self, token: object, *, source: Source) -> Undoable:
        """What this link is about. Nothing changes by it: mail scanners open links before people do.

        Raises:
            Denied: TOKEN_INVALID: not ours, too old, or used. Recorded.
        """
        notice, details = self._found(token, source)
        shown = {key: details[key] for key in ("browser", "place") if key in details}
        return _undoable(notice, shown)

    def confirm(self, token: object, *, source: Source) -> Undoable:
        """Take it back, on a POST. Every session of the account ends.

        What was removed comes back though the list is full: whoever removed it may have filled it.

        Raises:
            Denied: TOKEN_INVALID; also where there is nothing to take back now, or another confirmation is under way: the
                link works still.
            StoreError: something failed; the link works still. What was changed was told, and pressing it again does what is
                left to do.
        """
        notice, details = self._found(token, source)
        with self._uses.turn(notice.id) as free:
            if not free:
                self._refuse(source, notice)
            if notice.kind == NoticeKind.FACTOR_RENAMED:
                self._name_back(notice, details, source)
            else:
                self._take_back(notice, details, source)
        return _undoable(notice, {})

    def disavowed(
        self, notice: Notice, *, source: Source | None = None, since: bool = True, proven: bool = False
    ) -> None:
        """The owner says that this was not them; for `Disavowal`, which ends and tells all else.

        What a stranger added goes, with all that was added after it in the last 24 hours, what a stranger removed comes back while it can,
        and recovery codes go that were made from then on in that time: a stranger may have a sheet of them. Safe to repeat.

        Args:
            since: False leaves what was added later, but for what the notice itself tells.
            proven: whether a factor was shown with it: then the notice may be older than 24 hours.

        Raises:
            StoreError: something failed; do it again.
        """
        self._disowned.take_back(notice, source=source or Source(), since=since, proven=proven)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _take_back(self, notice: Notice, details: Mapping[str, str], source: Source) -> None:
        account_id, now = notice.account_id or "", self._clock()
        adds, owner = notice.kind == NoticeKind.FACTOR_REMOVED, Actor(type="user", id=account_id)
        why = Why.FACTOR_ADDED if adds else Why.FACTOR_REMOVED
        if self._uses.changed(notice.id):
            # Its owner may have changed it again since: that stays.
            self._again(notice, details, why, source)
            return
        held = self._authenticators.of_account(account_id)
        gone = self._authenticators.removed(account_id, now=now)
        found = _one_of(gone if adds else held, details["device"])
        if found is None:
            if not self._uses.begun(notice.id) or _one_of(held if adds else gone, details["device"]) is None:
                self._record(notice, details, source, Outcome.FAILURE, Reason.FACTOR_NOT_ENROLLED)
                raise Denied(Reason.TOKEN_INVALID)
            self._again(notice, details, why, source)
            return
        # Before the change, and once more after it: whoever made it is out, whatever fails in between.
        with self._failing(notice, details, source):
            self._endings.apply(account_id, why, actor=owner, source=source)
            self._last.distrust(account_id, source=source)
        codes_of = self._codes.made_at(account_id)
        self._uses.begin(notice.id, until=notice.at + _KEPT)
        # Told first: whatever fails later, no change is one that the owner does not hear of.
        kind = NoticeKind.FACTOR_RESTORED if adds else NoticeKind.FACTOR_REMOVED
        about = {"factor": details.get("factor", ""), "device": found.id, NO_UNDO: "yes"}
        told = self._notices.tell(account_id, kind, source=source, details=about).id
        try:
            with self._failing(notice, details, source):
                if adds:
                    done = self._authenticators.restore(account_id, found.id, now=now, times=_TIMES)
                else:
                    if len(held) == 1:
                        self._last.went(account_id, source=source)
                    done = self._authenticators.remove(account_id, found.id, at=now)
            if done:
                try:
                    # After the change, so that the log says of nothing that it was done which was not.
                    self._record(notice, details, source)
                except BaseException:
                    with suppress(StoreError):
                        self._reverse(account_id, found)
                        self._uses.forget(notice.id)
                    raise
        except BaseException:
            # Recovery codes that went with the last one do not come back: that stays told.
            with suppress(StoreError):
                if self._codes.made_at(account_id) == codes_of and self._as_before(account_id, found):
                    self._notices.withdraw(told)
            raise
        if not done:
            # Taken back or removed by somebody else a moment ago, or as many as there can be at all.
            with suppress(StoreError):
                self._notices.withdraw(told)
                self._uses.forget(notice.id)
            reason = Reason.FACTOR_LIMIT if adds else Reason.FACTOR_NOT_ENROLLED
            self._record(notice, details, source, Outcome.FAILURE, reason)
            raise Denied(Reason.TOKEN_INVALID)
        self._uses.change(notice.id, until=notice.at + _KEPT)
        self._finish(notice, why, source)

    def _again(self, notice: Notice, details: Mapping[str, str], why: Why, source: Source) -> None:
        """A confirmation before this one made the change, has told its owner, and was cut short."""
        self._record(notice, details, source, changed=())
        self._finish(notice, why, source)

    def _name_back(self, notice: Notice, details: Mapping[str, str], source: Source) -> None:
        """All of it is safe to repeat, so the link is used up last."""
        account_id, device = notice.account_id or "", details["device"]
        owner = Actor(type="user", id=account_id)
        if _one_of(self._authenticators.of_account(account_id), device) is None:
            self._record(notice, details, source, Outcome.FAILURE, Reason.FACTOR_NOT_ENROLLED)
            raise Denied(Reason.TOKEN_INVALID)
        with self._failing(notice, details, source):
            self._endings.apply(account_id, Why.FACTOR_NAMED_BACK, actor=owner, source=source)
            about = {"factor": details.get("factor", ""), "device": device, NO_UNDO: "yes"}
            self._notices.tell(account_id, NoticeKind.FACTOR_RENAMED, source=source, details=about)
            self._authenticators.rename(account_id, device, details[OLD_NAME])
        self._record(notice, details, source, changed=("label",))
        self._uses.mark(notice.id, until=notice.at + _KEPT)

    def _finish(self, notice: Notice, why: Why, source: Source) -> None:
        """What follows the change. Safe to repeat, so the link is used up last: where this fails, it can be pressed again."""
        account_id = notice.account_id or ""
        if why is Why.FACTOR_REMOVED:
            self._disowned.take_codes(
                notice, source=source, by="undo"
            )  # also of two at once, each of which left one
        self._last.distrust(account_id, source=source)
        self._endings.apply(account_id, why, actor=Actor(type="user", id=account_id), source=source)
        self._uses.mark(notice.id, until=notice.at + _KEPT)

    @contextmanager
    def _failing(self, notice: Notice, details: Mapping[str, str], source: Source) -> Iterator[None]:
        """A store that fails here is in the log, where that can be written."""
        try:
            yield
        except StoreError:
            with suppress(StoreError):
                self._record(notice, details, source, Outcome.ERROR)
            raise

    def _reverse(self, account_id: str, found: Held) -> None:
        """What could not be recorded is as it was: it can be taken back for as long as before."""
        if found.removed_at is None:
            self._authenticators.restore(account_id, found.id, now=self._clock(), times=None)
        else:
            self._authenticators.remove(account_id, found.id, at=found.removed_at)

    def _as_before(self, account_id: str, found: Held) -> bool:
        """Whether nothing was done to it: a store that fails may have done it, and lost its answer."""
        if found.removed_at is None:
            return _one_of(self._authenticators.of_account(account_id), found.id) is not None
        return _one_of(self._authenticators.removed(account_id, now=self._clock()), found.id) is not None

    def _found(self, token: object, source: Source) -> tuple[Notice, Mapping[str, str]]:
        notice_id = notice_of(self._mac, _PURPOSE, token)
        notice = None if notice_id is None else self._store.get(notice_id)
        if notice is None or notice.account_id is None or notice.kind not in _KINDS:
            self._refuse(source)
        if self._clock() - notice.at >= RESTORABLE or notice.disavowed_at is not None or self._over(notice):
            self._refuse(source, notice)
        account = self._accounts.get(notice.account_id)
        if account is None or account.disabled:
            self._refuse(source, notice)
        if self._uses.used(notice.id):
            self._refuse(source, notice)
        details = self._notices.details(notice)
        if not _takes_back(notice, details):
            self._refuse(source, notice)
        return notice, details

    def _over(self, notice: Notice) -> bool:
        """Whether the owner, or the desk for them, began anew since: nobody's older mail brings back what was removed."""
        account_id = notice.account_id or ""
        if notice.kind not in ADDING and any(
            incident.opened_at >= notice.at for incident in self._disavowed(account_id)
        ):
            return True
        since = self._notices.since(account_id, notice.at)
        return any(each.kind == NoticeKind.FACTOR_RESET_BY_SUPPORT for each in since)

    def _record(
        self,
        notice: Notice,
        details: Mapping[str, str],
        source: Source,
        outcome: Outcome = Outcome.SUCCESS,
        reason: Reason | None = None,
        *,
        changed: tuple[str, ...] = ("factor",),
    ) -> None:
        account_id = notice.account_id or ""
        told = {"factor": details.get("factor", ""), "device": details["device"]}
        self._emit(
            SecurityEvent(
                name=_EVENTS[NoticeKind(notice.kind)],
                outcome=outcome,
                actor=Actor(type="user", id=account_id),
                resource=ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
                changed=changed if outcome is Outcome.SUCCESS else (),
                details={**told, "notice": notice.id, "by": "undo"},
            )
        )

    def _refuse(self, source: Source, notice: Notice | None = None) -> NoReturn:
        account_id = None if notice is None else notice.account_id
        self._emit(
            SecurityEvent(
                name=Event.AUTH_MFA_RESTORED,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=Reason.TOKEN_INVALID,
                source=source,
            )
        )
        raise Denied(Reason.TOKEN_INVALID)


def _one_of(held: Sequence[Held], device: str) -> Held | None:
    return next((each for each in held if each.id == device), None)


def _takes_back(notice: Notice, details: Mapping[str, str]) -> bool:
    """Whether its details say what there is to take back."""
    named = notice.kind != NoticeKind.FACTOR_RENAMED or bool(details.get(OLD_NAME))
    return bool(details.get("device")) and NO_UNDO not in details and named


def _undoable(notice: Notice, details: Mapping[str, str]) -> Undoable:
    return Undoable(
        notice=notice,
        details=details,
        adds=notice.kind == NoticeKind.FACTOR_REMOVED,
        renames=notice.kind == NoticeKind.FACTOR_RENAMED,
    )
