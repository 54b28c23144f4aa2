"""`DisownedFactors`: what "this wasn't me" does to authenticators and recovery codes.

A stranger who got in can add as many authenticators as an account may have: none that came after it stays, or the owner's
own would find no room, and the stranger's would go on to count.

But links of mails work for weeks, and who has the mailbox alone must not get rid of what was set up in all that time, or the
account would be the mailbox for as long: by a mail only what is as young as the undo links reach goes, of what the mail
itself tells too. After that it takes a factor in a session, or the desk.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from portalsec.auth._last_factor import LastFactor
from portalsec.auth.authenticators import RESTORABLE, Authenticators, Held
from portalsec.auth.notices import ADDING, NO_LINK, NO_UNDO, OLD_NAME, TO_NOBODY, NoticeKind, Notices
from portalsec.auth.ports import Notice
from portalsec.auth.proof import Factor
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.clock import Clock
from portalsec.errors import Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["DisownedFactors"]

_MOMENT = timedelta(minutes=1)  # a notice of codes comes before they are made


class DisownedFactors:
    """Takes back what was done to factors from a moment on. Safe for concurrent use, and safe to repeat.

    What cannot be recorded is not done, or is put back; only the one authenticator that the owner disowned by name is gone
    all the same, and whoever calls this records that notice.
    """

    def __init__(
        self,
        *,
        notices: Notices,
        authenticators: Authenticators,
        codes: RecoveryCodes,
        last: LastFactor,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._notices = notices
        self._authenticators = authenticators
        self._codes = codes
        self._last = last
        self._emit = emit
        self._clock = clock

    def take_back(self, notice: Notice, *, source: Source, since: bool, proven: bool) -> None:
        """As `portalsec.auth.undo.Undo.disavowed`.

        Raises:
            StoreError: something failed; do it again.
        """
        account_id = notice.account_id or ""
        details = self._notices.details(notice)
        device, removal = details.get("device"), notice.kind == NoticeKind.FACTOR_REMOVED
        young = proven or self._clock() - notice.at < RESTORABLE
        added = device if notice.kind in ADDING and young else None
        if added and self._authenticators.remove(account_id, added):
            self._record(notice, added, details.get("factor", ""), source, Event.AUTH_MFA_REMOVED)
        if since:
            # Before one is put back: there is room for it then.
            self._remove_newer(notice, source, but=device if removal else None)
        if removal and device:
            self._restore(notice, device, details.get("factor", ""), source)
        if device and young and notice.kind == NoticeKind.FACTOR_RENAMED and details.get(OLD_NAME):
            self._authenticators.rename(account_id, device, details[OLD_NAME])
            self._record(notice, device, details.get("factor", ""), source, Event.AUTH_MFA_RENAMED)
        self.take_codes(notice, source=source, by="disavowal", since=since, young=young)

    def take_codes(
        self, notice: Notice, *, source: Source, by: str, since: bool = False, young: bool = True
    ) -> None:
        """Recovery codes that the notice tells, that were made since a stranger's authenticator was added, or that stand in
        for nothing any more. Their owner is told. Safe to repeat."""
        account_id = notice.account_id or ""
        made_at = self._codes.made_at(account_id)
        alone = not self._authenticators.of_account(account_id)
        if made_at is not None and (alone or self._goes(made_at, notice, since=since, young=young)):
            # Told first: their owner may have made and printed them, and must not count on what opens nothing.
            self._notices.tell(
                account_id, NoticeKind.RECOVERY_CODES_REMOVED, source=source, details={NO_LINK: TO_NOBODY}
            )
            factor = Factor.RECOVERY_CODE.value
            self._record(notice, "", factor, source, Event.AUTH_MFA_REMOVED, by=by)
            self._codes.remove(account_id)
        if alone:
            self._last.went(account_id, source=source)

    def _goes(self, made_at: datetime, notice: Notice, *, since: bool, young: bool) -> bool:
        """Those of before are the owner's, and may be all that is left beside a mailbox."""
        if notice.kind == NoticeKind.RECOVERY_CODES_MADE and notice.at <= made_at <= notice.at + _MOMENT:
            return True
        if notice.kind in ADDING and young and made_at >= notice.at:
            return True  # shown to whoever added it
        return since and made_at >= max(notice.at, self._clock() - RESTORABLE)

    def _remove_newer(self, notice: Notice, source: Source, *, but: str | None) -> None:
        """Whatever was added later, a day ago at most. One of them may be the owner's own: they are told, and have a day
        to put it back in a session."""
        account_id, now = notice.account_id or "", self._clock()
        after = max(notice.at, now - RESTORABLE)
        confirmed = self._confirmed(account_id, after)
        newer = [
            each
            for each in self._authenticators.of_account(account_id)
            if (each.created_at > after or each.id in confirmed) and each.id != but
        ]
        if not newer:
            return
        # One for all of them, and without a link that would bring one back: a stranger may have filled the list. Nor with
        # a "this wasn't me", which is over: the incident that is opened below covers it.
        about = {NO_UNDO: "yes", NO_LINK: TO_NOBODY}
        self._notices.tell(account_id, NoticeKind.FACTOR_REMOVED, source=source, details=about)
        for each in newer:
            if not self._authenticators.remove(account_id, each.id, at=now):
                continue
            try:
                self._record(notice, each.id, each.factor.value, source, Event.AUTH_MFA_REMOVED)
            except BaseException:
                with suppress(StoreError):
                    self._authenticators.restore(account_id, each.id, now=now, times=None)
                raise

    def _confirmed(self, account_id: str, after: datetime) -> frozenset[str]:
        """Ids of what was told as added later: one that was begun before, and confirmed after, is as new."""
        found = set()
        for each in self._notices.since(account_id, after):
            if each.kind in ADDING and each.at > after:
                with suppress(Tampered):  # a damaged row must not keep the owner from this
                    found.add(self._notices.details(each).get("device", ""))
        return frozenset(found)

    def _restore(self, notice: Notice, device: str, factor: str, source: Source) -> None:
        account_id, now = notice.account_id or "", self._clock()
        gone = self._one_of(self._authenticators.removed(account_id, now=now), device)
        # However many there are: there is no other way back once this notice is disavowed.
        if self._authenticators.restore(account_id, device, now=now, times=None):
            try:
                self._record(notice, device, factor, source, Event.AUTH_MFA_RESTORED)
            except BaseException:
                with suppress(StoreError):
                    at = now if gone is None else gone.removed_at
                    self._authenticators.remove(account_id, device, at=at)
                raise
        elif self._one_of(self._authenticators.of_account(account_id), device) is None:
            self._record(
                notice, device, factor, source, Event.AUTH_MFA_RESTORED, refused=Reason.FACTOR_NOT_ENROLLED
            )

    def _one_of(self, held: tuple[Held, ...], device: str) -> Held | None:
        return next((each for each in held if each.id == device), None)

    def _record(
        self,
        notice: Notice,
        device: str,
        factor: str,
        source: Source,
        name: str,
        *,
        refused: Reason | None = None,
        by: str = "disavowal",
    ) -> None:
        account_id = notice.account_id or ""
        self._emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.SUCCESS if refused is None else Outcome.FAILURE,
                actor=Actor(type="user", id=account_id),
                resource=ResourceRef(type="account", id=account_id),
                reason=refused,
                source=source,
                changed=() if refused else ("label" if name == Event.AUTH_MFA_RENAMED else "factor",),
                details={"factor": factor, "device": device, "notice": notice.id, "by": by},
            )
        )
