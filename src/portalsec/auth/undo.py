"""`Undo`: the link in a notice of an added or removed authenticator that takes back just that, for a day.

Weaker than "this wasn't me" (`portalsec.auth.disavowal`), which ends everything and asks for a new password: this is for
the owner's own mistake, and the first thing to press for whoever sees a change that they did not make. Both are in the
mail. Either way all sessions end, the stranger's included.

The link is a keyed tag over the notice's id (`portalsec.auth._notice_tokens`), so that no change to the account makes it
stop, and works once: a thief who reads the mailbox later must not take a factor away again that the owner put back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from portalsec.auth._last_factor import LastFactor
from portalsec.auth._notice_tokens import notice_of, notice_token
from portalsec.auth.authenticators import RESTORABLE, Authenticators
from portalsec.auth.endings import Endings, Why
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import AccountStore, Flow, FlowStore, Mac, Notice, NoticeStore
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["Undo", "Undoable"]

_PURPOSE = "undo"
_USED = "factors.undone"
_FINAL = "no_undo"  # a detail of notices that an undo itself brings about
_KINDS = frozenset({NoticeKind.FACTOR_ADDED, NoticeKind.FACTOR_REMOVED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoable:
    """What the page of the link shows before anybody confirms.

    Attributes:
        notice: with its kind, moment and code, as in the mail.
        details: its browser and place.
        adds: whether undoing puts an authenticator back; it takes one away else.
    """

    notice: Notice
    details: Mapping[str, str]
    adds: bool


class Undo:
    """Makes links, looks at them, and takes changes back.

    Safe for concurrent use: of any number of confirmations of one notice, one wins.

    Args:
        used: a durable store, which remembers the links that were used.
        last: what goes with the last authenticator. Where the account must have one, undoing takes it away all the same:
            the next sign-in sets one up, as before the change.
        codes: recovery codes go where their making is disavowed.
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
        self._used = used
        self._endings = endings
        self._mac = mac
        self._emit = emit
        self._clock = clock

    def token(self, notice: Notice, details: Mapping[str, str]) -> Secret[str] | None:
        """The token of a notice's link, for the courier; None where there is nothing that could be taken back."""
        if notice.kind not in _KINDS or not details.get("device") or _FINAL in details:
            return None
        return notice_token(self._mac, _PURPOSE, notice.id)

    def look(self, token: object, *, source: Source) -> Undoable:
        """What this link is about. Nothing changes by it: mail scanners open links before people do.

        Raises:
            Denied: TOKEN_INVALID: not ours, too old, or used. Recorded.
        """
        notice, details = self._found(token, source)
        shown = {key: details[key] for key in ("browser", "place") if key in details}
        return Undoable(notice=notice, details=shown, adds=notice.kind == NoticeKind.FACTOR_REMOVED)

    def confirm(self, token: object, *, source: Source) -> Undoable:
        """Take it back, on a POST. Every session of the account ends.

        Raises:
            Denied: TOKEN_INVALID; also where there is nothing left to take back, or no room to put it.
            StoreError: something failed; the link still works.
        """
        notice, details = self._found(token, source)
        marker = self._marker(notice)
        if not self._used.put(marker):
            self._refuse(source, notice)
        done = False
        try:
            done = self._take_back(notice, details, source)
        except StoreError:
            self._used.consume(marker.digest, _USED, now=self._clock())
            raise
        if not done:
            self._refuse(source, notice)
        return Undoable(notice=notice, details={}, adds=notice.kind == NoticeKind.FACTOR_REMOVED)

    def disavowed(self, notice: Notice) -> None:
        """The owner says that this was not them; for `Disavowal`, which ends and tells all else.

        What a stranger added goes, what a stranger removed comes back while it can, and so do no recovery codes that were
        made from then on: a stranger may have a sheet of them.
        """
        account_id = notice.account_id or ""
        details = self._notices.details(notice)
        device, now = details.get("device"), self._clock()
        if notice.kind == NoticeKind.FACTOR_ADDED and device:
            self._authenticators.remove(account_id, device)
        elif notice.kind == NoticeKind.FACTOR_REMOVED and device:
            self._authenticators.restore(account_id, device, now=now)
        made_at = self._codes.made_at(account_id)
        if made_at is not None and made_at >= notice.at:
            self._codes.remove(account_id)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _take_back(self, notice: Notice, details: Mapping[str, str], source: Source) -> bool:
        account_id, device, now = notice.account_id or "", details["device"], self._clock()
        adds = notice.kind == NoticeKind.FACTOR_REMOVED
        owner = Actor(type="user", id=account_id)
        told = {"factor": details.get("factor", ""), "device": device, _FINAL: "yes"}
        gone = self._authenticators.removed(account_id, now=now)
        held = self._authenticators.of_account(account_id)
        if not any(each.id == device for each in (gone if adds else held)):
            return False
        self._emit(
            SecurityEvent(
                name=Event.AUTH_MFA_RESTORED if adds else Event.AUTH_MFA_REMOVED,
                actor=owner,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                changed=("factor",),
                details={"factor": told["factor"], "device": device, "notice": notice.id, "by": "undo"},
            )
        )
        # Before the change, and once more after it: whoever made it is out, whatever fails in between.
        why = Why.FACTOR_ADDED if adds else Why.FACTOR_REMOVED
        self._endings.apply(account_id, why, actor=owner, source=source)
        if adds:
            done = self._authenticators.restore(account_id, device, now=now)
        else:
            if len(held) == 1:
                self._last.went(account_id, source=source)
            done = self._authenticators.remove(account_id, device, at=now)
            if done and len(held) > 1 and not self._authenticators.of_account(account_id):
                self._last.went(account_id, source=source)  # two at once, each of which left one
        if done:
            self._last.distrust(account_id, source=source)
            self._endings.apply(account_id, why, actor=owner, source=source)
            kind = NoticeKind.FACTOR_RESTORED if adds else NoticeKind.FACTOR_REMOVED
            self._notices.tell(account_id, kind, source=source, details=told)
        return done

    def _found(self, token: object, source: Source) -> tuple[Notice, Mapping[str, str]]:
        notice_id = notice_of(self._mac, _PURPOSE, token)
        notice = None if notice_id is None else self._store.get(notice_id)
        if notice is None or notice.account_id is None or notice.kind not in _KINDS:
            self._refuse(source)
        if self._clock() - notice.at >= RESTORABLE or notice.disavowed_at is not None:
            self._refuse(source, notice)
        account = self._accounts.get(notice.account_id)
        if account is None or account.disabled:
            self._refuse(source, notice)
        marker = self._marker(notice)
        if self._used.attempt(marker.digest, _USED, limit=2**31 - 1, now=self._clock()) is not None:
            self._refuse(source, notice)
        details = self._notices.details(notice)
        if not details.get("device") or _FINAL in details:
            self._refuse(source, notice)
        return notice, details

    def _marker(self, notice: Notice) -> Flow:
        """That a link was used. It is no account's, so that nothing which ends an account's flows makes the link new."""
        digest = hashlib.sha256(b"undo:" + notice.id.encode("utf-8")).digest()
        expires_at = notice.at + RESTORABLE + timedelta(days=1)
        return Flow(digest=digest, purpose=_USED, account_id=None, data=b"", expires_at=expires_at)

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
