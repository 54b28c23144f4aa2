"""A session that idleness ended goes on where it was, after one factor (SP 800-63B-4 section 2.2.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from portalsec.auth._door import DOOR
from portalsec.auth._door_kit import Kit, PasskeyService, settled
from portalsec.auth._input import password_text
from portalsec.auth._pending import Browser
from portalsec.auth._standing import Standing
from portalsec.auth.demands import Demand
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account, SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.errors import Denied, Reason, Tampered
from portalsec.events import Event, Source

if TYPE_CHECKING:
    from portalsec.auth.passkeys.options import PasskeyOptions

__all__ = ["Resuming"]

_PURPOSE = "passkey.sign-in"  # its options ask the authenticator to verify its user


class Resuming:
    """The factor adds to what the session has proven, and stands in for nothing: the policy is asked anew.

    Tries count into the account's ``step_up`` budget: whoever gets here holds the session's secret. Safe for concurrent
    use; the store of sessions lets one request through.
    """

    def __init__(self, kit: Kit, standing: Standing) -> None:
        self._kit = kit
        self._standing = standing

    def with_password(self, token: object, password: object, *, source: Source) -> NewSession:
        """`SignIn.resume`."""
        kit, malformed = self._kit, False
        record = kit.sessions.resumable(token, source=source)
        try:
            password_text(password)
        except Denied:
            malformed = True
        if malformed:
            kit.refuse(Event.SYSTEM_REQUEST_REFUSED, Reason.MALFORMED, source=source)
        kit.posture(source)
        account = self._account(record, source)

        def verify() -> Evidence:
            at, damaged = kit.clock(), False
            try:
                kit.passwords.verify(account.password_hash, password, account_id=account.id)
            except Tampered:
                damaged = True
            if damaged or account.password_hash is None:
                raise Denied(Reason.FACTOR_NOT_ENROLLED)
            [proof] = self._standing.weighed(account, [Proof(factor=Factor.PASSWORD, at=at)])
            return mint(proof, account.id)

        return self._resume(record, account, verify, source)

    def ways(self, token: object, *, source: Source) -> tuple[Factor, ...]:
        """`SignIn.resume_ways`."""
        record = self._kit.sessions.resumable(token, source=source)
        usable = self._standing.enrolled(self._account(record, source)).usable
        known = (Factor.PASSWORD,) if self._kit.passkeys is None else (Factor.PASSKEY, Factor.PASSWORD)
        return tuple(factor for factor in known if factor in usable)

    def begin_passkey(self, token: object, *, source: Source) -> PasskeyOptions:
        """`SignIn.begin_resume_passkey`."""
        record, service = self._kit.sessions.resumable(token, source=source), self._service(source)
        account = self._account(record, source)
        return service.begin_sign_in(record.digest, login=None, account=account, purpose=_PURPOSE)

    def with_passkey(self, token: object, response: object, *, source: Source) -> NewSession:
        """`SignIn.resume_passkey`."""
        self._kit.posture(source)
        record, service = self._kit.sessions.resumable(token, source=source), self._service(source)
        account = self._account(record, source)
        return self._resume(
            record,
            account,
            lambda: service.complete_sign_in(
                record.digest,
                _PURPOSE,
                response,
                account_id=account.id,
                require_user_verification=True,
                source=source,
            ),
            source,
        )

    def asked_here(self, session: ActiveSession, *, source: Source) -> Demand:
        """`SignIn.asked_here`."""
        kit, record = self._kit, session.record
        if not kit.policy.asks_attempt:
            kit.posture(source)
            return Demand(level=0)
        browser = Browser(posture=record.posture)
        account = self._account(record, source)
        facts = self._standing.facts_here(account, source=source, browser=browser, signed_in=True)
        return kit.policy.of_attempt(facts, kit.clock())

    def _resume(
        self, record: SessionRecord, account: Account, verify: Callable[[], Evidence], source: Source
    ) -> NewSession:
        kit = self._kit
        attempt = kit.reserve("step_up", account, source)
        if attempt.locked is not None:
            attempt.failed()
            self._refuse(record, attempt.locked, source)
        proven = settled(verify, attempt)
        if isinstance(proven, Reason):
            self._refuse(record, proven, source)
        attempt.succeeded()
        if proven.account_id != account.id:
            self._refuse(record, Reason.EVIDENCE_MIXED, source)
        if self._standing.must_change(account) is not None:
            self._refuse(record, Reason.CHANGE_REQUIRED, source)
        # What the session had proven must be enough by now without the new proof, which only says who is back.
        posture = kit.posture(source) or record.posture
        enough = self._standing.next(
            account, record.proofs, source=source, browser=Browser(posture=posture), signed_in=True
        ).done
        if not (enough and self._standing.still_there(account, record.proofs)):
            self._refuse(record, Reason.EVIDENCE_MISSING, source)
        roles = self._standing.facts(account.id).roles
        return kit.sessions.resume_through(
            DOOR, record, proofs=(proven.proof,), source=source, roles=roles, posture=posture
        )

    def _account(self, record: SessionRecord, source: Source) -> Account:
        account = self._kit.accounts.get(record.account_id)
        if account is None or account.disabled:
            self._refuse(record, Reason.ACCOUNT_DISABLED, source)
        return account

    def _refuse(self, record: SessionRecord, reason: Reason, source: Source) -> NoReturn:
        self._kit.refuse(Event.AUTH_LOGIN_FAILED, reason, source=source, account_id=record.account_id)

    def _service(self, source: Source) -> PasskeyService:
        if self._kit.passkeys is None:
            self._kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FACTOR_NOT_ENROLLED, source=source)
        return self._kit.passkeys
