"""A factor that is set up on the way in, and a first authenticator from inside a session.

What is set up counts for nothing until its first code or its signature is there. Then the account's other sign-ins and
sessions, which knew nothing of it, end; where that cannot be done or recorded, the factor is void.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from portalsec.auth._door import require_door
from portalsec.auth._door_kit import Kit, PasskeyService, settled
from portalsec.auth._opening import Opening
from portalsec.auth._pending import Browser, Pending, password_digest
from portalsec.auth._pending_flows import ENROLMENT, PendingSignIns, token_digest
from portalsec.auth._second_factor import typed_code
from portalsec.auth._standing import Standing
from portalsec.auth.endings import Why
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account, Flow
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.step import Step
from portalsec.auth.throttle import Attempt
from portalsec.errors import Reason, StoreError
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source

if TYPE_CHECKING:
    from portalsec.auth.passkeys.options import PasskeyOptions
    from portalsec.auth.totp import Enrolment

__all__ = ["Enrolling"]

_WITHIN = "session.totp-enrolment"
_MAX_BEGUN = 10


class Enrolling:
    """Safe for concurrent use: of several confirmations one wins, and the account's epoch decides whether it counts."""

    def __init__(self, kit: Kit, pending: PendingSignIns, standing: Standing, opening: Opening) -> None:
        self._kit = kit
        self._pending = pending
        self._standing = standing
        self._opening = opening

    # -- an authenticator, at the door --------------------------------------------------------------------------------

    def begin_totp(self, pending: object, *, source: Source) -> Enrolment:
        """`SignIn.begin_totp_enrolment`."""
        flow, state, account = self._pending.begun(pending, ENROLMENT, source, most=_MAX_BEGUN)
        self._due(account, state, Factor.TOTP, source)
        enrolment = self._kit.totp.begin(account.id, account_name=account.login)
        self._pending.put_back(flow, replace(state, device_id=enrolment.device_id, begun=state.begun + 1))
        return enrolment

    def confirm_totp(self, pending: object, code: object, *, source: Source, device: object) -> Step:
        """`SignIn.confirm_totp_enrolment`."""
        typed = typed_code(self._kit, code, source)
        flow, state = self._pending.tried(token_digest(pending), ENROLMENT, source)
        account = self._pending.holder(flow, state, source)
        self._due(account, state, Factor.TOTP, source)
        proven, attempt = self._first_code(account, flow, state, typed, source)
        return self._add(
            flow,
            state,
            account,
            proven,
            attempt,
            undo=lambda: self._kit.totp.undo(account.id, state.device_id or ""),
            source=source,
            device=device,
        )

    # -- a passkey, at the door ---------------------------------------------------------------------------------------

    def begin_passkey(self, pending: object, *, source: Source) -> PasskeyOptions:
        """`SignIn.begin_passkey_enrolment`."""
        service = self._service(source)
        flow, state, account = self._pending.begun(pending, ENROLMENT, source, most=_MAX_BEGUN)
        self._due(account, state, Factor.PASSKEY, source)
        options = service.begin_registration(flow.digest, account, user_verification="preferred")
        self._pending.put_back(flow, replace(state, begun=state.begun + 1))
        return options

    def confirm_passkey(
        self, pending: object, response: object, label: object, *, source: Source, device: object
    ) -> Step:
        """`SignIn.confirm_passkey_enrolment`."""
        kit, service = self._kit, self._service(source)
        flow, state = self._pending.tried(token_digest(pending), ENROLMENT, source)
        account = self._pending.holder(flow, state, source)
        self._due(account, state, Factor.PASSKEY, source)
        attempt = kit.reserve("enrolment", account, source)

        def register() -> Evidence:
            passkey = service.complete_registration(
                flow.digest, account.id, response, label=label, source=source
            )
            proof = Proof(
                factor=Factor.PASSKEY,
                at=kit.clock(),
                authenticator=passkey.id,
                user_verified=passkey.user_verified,
                device_bound=not passkey.backup_eligible,
                attested=passkey.attested,
            )
            return mint(proof, account.id)

        proven = settled(register, attempt)
        if isinstance(proven, Reason):
            self._pending.failed(flow, proven, source)
        return self._add(
            flow,
            state,
            account,
            proven,
            attempt,
            undo=lambda: self._drop_passkey(account, proven.proof.authenticator or ""),
            source=source,
            device=device,
        )

    # -- an authenticator, from inside a session ------------------------------------------------------------------------

    def begin_totp_within(
        self, door: object, session: ActiveSession, account: Account, *, source: Source
    ) -> Enrolment:
        """`SignIn.begin_totp_within`."""
        require_door(door, "an enrolment")
        kit = self._kit
        self._standing.refuse_unless_bare(account, source, session.reference)
        epoch, now = session.record.epoch, kit.clock()
        enrolment = kit.totp.begin(account.id, account_name=account.login)
        pending = Pending(
            epoch=epoch,
            proofs=(),
            password=password_digest(kit.mac, account.password_hash),
            device_id=enrolment.device_id,
            browser=Browser(jkt=source.jkt),
        )
        digest = _within(session)
        kit.flows.consume(digest, _WITHIN, now=now)
        expires_at = now + kit.policy.pending_lifetime
        self._pending.put(digest, _WITHIN, account.id, pending, expires_at=expires_at)
        return enrolment

    def confirm_totp_within(
        self, door: object, session: ActiveSession, code: object, *, source: Source
    ) -> NewSession:
        """`SignIn.confirm_totp_within`."""
        require_door(door, "an enrolment")
        kit, typed = self._kit, typed_code(self._kit, code, source)
        flow, state = self._pending.tried(_within(session), _WITHIN, source)
        account = self._pending.holder(flow, state, source)
        if account.id != session.account_id:
            kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        self._standing.refuse_unless_bare(account, source, session.reference)
        device_id = state.device_id or ""
        proven, attempt = self._first_code(account, flow, state, typed, source)

        def undo() -> None:
            kit.totp.undo(account.id, device_id)

        told = self._recorded(account, proven, source, undo, session.reference)
        owner, kept = Actor(type="user", id=account.id), None
        try:
            # Whether it was there still is no matter: the store of factors let one confirmation through.
            kit.flows.consume(flow.digest, flow.purpose, now=kit.clock())
            kept = kit.endings.apply(
                account.id, Why.FACTOR_ADDED, actor=owner, source=source, keep=session.digest
            )
        finally:
            if kept is None:
                # Whoever ended this session meanwhile (the owner, say, of a stolen one) did not want this factor.
                undo()
                kit.notices.withdraw(told)
        if kept is None:
            kit.refuse(
                Event.AUTH_MFA_ENROLLED,
                Reason.SESSION_REVOKED,
                source=source,
                account_id=account.id,
                session=session.reference,
            )
        with suppress(StoreError):  # the new id must reach the browser, or its owner is signed out
            kit.throttle.complete(attempt.hold())
        return kept

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _due(self, account: Account, state: Pending, factor: Factor, source: Source) -> None:
        """Whether this sign-in is to set up this kind, as of now: the owner may have set up one of theirs meanwhile."""
        where = self._standing.next(account, state.proofs, source=source, browser=state.browser)
        if factor not in where.enrol:
            self._standing.refuse_enrolment(account, source)

    def _first_code(
        self, account: Account, flow: Flow, state: Pending, typed: str, source: Source
    ) -> tuple[Evidence, Attempt]:
        attempt = self._kit.reserve("enrolment", account, source)
        # Only the device that this flow began: not one that another browser is enrolling.
        proven = settled(lambda: self._kit.totp.confirm(account.id, state.device_id or "", typed), attempt)
        if isinstance(proven, Reason):
            self._pending.failed(flow, proven, source)
        return proven, attempt

    def _add(
        self,
        flow: Flow,
        state: Pending,
        account: Account,
        proven: Evidence,
        attempt: Attempt,
        *,
        undo: Callable[[], None],
        source: Source,
        device: object,
    ) -> Step:
        """Make a new factor count: recorded, told, everything else of the account ended, and this sign-in goes on."""
        kit = self._kit
        told = self._recorded(account, proven, source, undo)
        owner, epoch, wanted = Actor(type="user", id=account.id), 0, state.epoch + 1
        try:
            self._pending.consume(flow, source)
            kit.endings.apply(account.id, Why.FACTOR_ADDED, actor=owner, source=source)
            epoch = kit.sessions.epoch(account.id)
        finally:
            if epoch != wanted:
                # Someone else ended this sign-in, or all of the account's, since the first factor was shown, and wants
                # no factor of it either; where a store failed, nobody knows, and the owner begins again.
                undo()
                kit.notices.withdraw(told)
        if epoch != wanted:
            kit.refuse(Event.AUTH_LOGIN_FAILED, Reason.SESSION_REVOKED, source=source, account_id=account.id)
        return self._opening.after_factor(
            account,
            replace(state, epoch=epoch),
            proven,
            attempt.hold(),
            source=source,
            device=device,
            expires_at=flow.expires_at,
        )

    def _recorded(
        self,
        account: Account,
        proven: Evidence,
        source: Source,
        undo: Callable[[], None],
        session: str | None = None,
    ) -> str:
        """Record a new factor and tell its owner: the notice's id."""
        from portalsec.auth.notices import NoticeKind  # imported by whoever built the notices

        details = {"factor": proven.factor.value}
        try:
            self._kit.emit(
                SecurityEvent(
                    name=Event.AUTH_MFA_ENROLLED,
                    actor=Actor(type="user", id=account.id),
                    resource=ResourceRef(type="account", id=account.id),
                    source=source,
                    session=session,
                    details=details,
                )
            )
            return self._kit.notices.tell(
                account.id,
                NoticeKind.FACTOR_ADDED,
                source=source,
                details={**details, "device": proven.proof.authenticator or ""},
            ).id
        except BaseException:
            # Only the store knows whether the code confirmed it, so the record comes second; without one it is void.
            undo()
            raise

    def _drop_passkey(self, account: Account, passkey_id: str) -> None:
        if self._kit.passkey_store is not None:
            self._kit.passkey_store.remove(account.id, passkey_id)

    def _service(self, source: Source) -> PasskeyService:
        if self._kit.passkeys is None:
            self._kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FACTOR_NOT_ENROLLED, source=source)
        return self._kit.passkeys


def _within(session: ActiveSession) -> bytes:
    """Where the enrolment of a session lies: found by whoever holds that session's id, and by nobody else."""
    return hashlib.sha256(b"enrolment:" + session.digest).digest()
