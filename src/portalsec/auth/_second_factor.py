"""Codes as a second factor: of an authenticator, of a recovery sheet, of a mail or a message."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from portalsec.auth._dead_factor import telling_of_the_dead
from portalsec.auth._door_kit import Kit, SentCodeService, settled
from portalsec.auth._opening import Opening
from portalsec.auth._pending import Pending
from portalsec.auth._pending_flows import FACTOR, PendingSignIns, token_digest
from portalsec.auth._standing import Standing
from portalsec.auth.evidence import Evidence
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.step import Step
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Event, Source

if TYPE_CHECKING:
    from portalsec.auth.out_of_band import Sent

__all__ = ["Codes", "typed_code"]

_MAX_SENT = 3
_FEW_LEFT = 3  # as `portalsec.auth.recovery_codes.FEW_LEFT`


class Codes:
    """Each try is counted twice: at the pending sign-in, which dies with its last, and in a budget of the account's own
    for this kind of code. Nobody gets here without a right first factor."""

    def __init__(self, kit: Kit, pending: PendingSignIns, standing: Standing, opening: Opening) -> None:
        self._kit = kit
        self._pending = pending
        self._standing = standing
        self._opening = opening

    def totp(self, pending: object, code: object, *, source: Source, device: object) -> Step:
        """`SignIn.submit_totp`."""
        typed = typed_code(self._kit, code, source)
        return self._submit(
            pending,
            Factor.TOTP,
            "second_factor",
            lambda account, _: self._totp_verified(account, typed, source),
            source=source,
            device=device,
        )

    def recovery_code(self, pending: object, code: object, *, source: Source, device: object) -> Step:
        """`SignIn.submit_recovery_code`."""
        service = self._kit.recovery_codes or self._unknown(source)
        return self._submit(
            pending,
            Factor.RECOVERY_CODE,
            "recovery_code",
            lambda account, _: service.verify(account.id, code, source=source),
            source=source,
            device=device,
            spent=lambda account: self._code_used(account, source),
            unspent=lambda account: service.unspend(account.id, code),
        )

    def send(self, pending: object, factor: Factor, *, source: Source, language: str | None = None) -> Sent:
        """`SignIn.send_code`."""
        service = self._sent(source)
        # Apart from passkeys: a dialog that was cancelled a few times must not leave a person without a code.
        flow, state, account = self._pending.begun(
            pending, FACTOR, source, most=_MAX_SENT, of=lambda state: state.sent
        )
        self._pending.put_back(flow, replace(state, sent=state.sent + 1))
        self._offered(account, state, factor, source)
        return service.send(flow.digest, account, factor, source=source, language=language)

    def sent_code(self, pending: object, code: object, *, source: Source, device: object) -> Step:
        """`SignIn.submit_sent_code`."""
        service, typed = self._sent(source), typed_code(self._kit, code, source)
        return self._submit(
            pending,
            None,
            "second_factor",
            lambda account, place: service.verify(place, account.id, typed),
            source=source,
            device=device,
        )

    def _submit(
        self,
        pending: object,
        factor: Factor | None,
        budget: str,
        verify: Callable[[Account, bytes], Evidence],
        *,
        source: Source,
        device: object,
        spent: Callable[[Account], None] | None = None,
        unspent: Callable[[Account], None] | None = None,
    ) -> Step:
        kit = self._kit
        flow, state = self._pending.tried(token_digest(pending), FACTOR, source)
        account = self._pending.holder(flow, state, source)
        if factor is not None:
            self._offered(account, state, factor, source)
        attempt = kit.reserve(budget, account, source)
        if attempt.locked is not None:
            # So many wrong codes in a row were tested: none is from here on, and the answer is a wrong code's.
            attempt.failed()
            self._pending.failed(flow, Reason.WRONG_CODE, source, recorded=attempt.locked)
        proven = settled(lambda: verify(account, flow.digest), attempt)
        if isinstance(proven, Reason):
            self._pending.failed(flow, proven, source)
        try:
            self._pending.consume(flow, source)
            if spent is not None:
                spent(account)
            return self._opening.after_factor(
                account,
                state,
                proven,
                attempt.hold(),
                source=source,
                device=device,
                expires_at=flow.expires_at,
            )
        except (StoreError, Denied):
            if (
                unspent is not None
            ):  # plumbing failed, or the sign-in ended meanwhile: the owner has few of them
                with suppress(StoreError):
                    unspent(account)
            raise

    def _code_used(self, account: Account, source: Source) -> None:
        """Tell the owner that a recovery code was used, and that few are left."""
        from portalsec.auth.notices import NoticeKind  # imported by whoever built the notices

        kit, left = (
            self._kit,
            0 if self._kit.recovery_codes is None else self._kit.recovery_codes.left(account.id),
        )
        kit.notices.tell(account.id, NoticeKind.RECOVERY_CODE_USED, source=source)
        if left <= _FEW_LEFT:
            kit.notices.tell(account.id, NoticeKind.RECOVERY_CODES_FEW, source=source)

    def _totp_verified(self, account: Account, typed: str, source: Source) -> Evidence:
        kit = self._kit
        return telling_of_the_dead(
            lambda: kit.totp.verify(account.id, typed),
            account.id,
            emit=kit.emit,
            notices=kit.notices,
            source=source,
        )

    def _offered(self, account: Account, state: Pending, factor: Factor, source: Source) -> None:
        """Refuse a kind that would lead nowhere: it is not tested, and nothing of it is spent."""
        where = self._standing.next(account, state.proofs, source=source, browser=state.browser)
        if factor not in where.show:
            self._kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FACTOR_NOT_ENROLLED,
                source=source,
                account_id=account.id,
            )

    def _sent(self, source: Source) -> SentCodeService:
        return self._kit.sent_codes or self._unknown(source)

    def _unknown(self, source: Source) -> NoReturn:
        self._kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FACTOR_NOT_ENROLLED, source=source)


def typed_code(kit: Kit, code: object, source: Source) -> str:
    """The digits of a typed code; MALFORMED, recorded, before anything is counted."""
    from portalsec.auth.totp import normalise_code  # a Totp was handed in, so this is loaded already

    try:
        return normalise_code(code)
    except Denied as refusal:
        reason = refusal.reason
    return kit.refuse(Event.SYSTEM_REQUEST_REFUSED, reason, source=source)
