"""Accounts from invitation to disabling."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from portalsec.auth._door import DOOR
from portalsec.auth._input import canonical_login, password_text
from portalsec.auth._pending import open_data, seal_data
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account, AccountStore, Flow, FlowStore, Mac
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn, Step, login_reference
from portalsec.auth.throttle import Attempt, Throttle
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit, NewId

__all__ = ["INVITATION_LIFETIME", "Accounts", "SignUp", "canonical_login"]

_INVITATION = "invitation"
INVITATION_LIFETIME = timedelta(days=14)
_INVITATION_ATTEMPTS = 50  # sign-ups tried with one right code: refused passwords and taken names count here
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
_CODE_LENGTH = 20  # 100 bits: past any guessing, so that a plain SHA-256 of it may be stored
_GROUP = 4
_MAX_TYPED = 64
_LOOK_ALIKE = str.maketrans({"I": "1", "L": "1", "O": "0"})
_NOWHERE = Source()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A new account and where its first sign-in stands."""

    account_id: str
    reference: str
    step: Step


class Accounts:
    """Invites, signs up, creates, disables and enables.

    Safe for concurrent use: of several sign-ups with one invitation, or with one sign-in name, one wins.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        flows: FlowStore,
        invitations: FlowStore,
        new_passwords: NewPasswords,
        throttle: Throttle,
        sign_in: SignIn,
        sessions: Sessions,
        emit: Emit,
        clock: Clock,
        new_id: NewId,
        mac: Mac,
    ) -> None:
        self._accounts = accounts
        self._flows = flows
        self._invitations = invitations
        self._new_passwords = new_passwords
        self._throttle = throttle
        self._sign_in = sign_in
        self._sessions = sessions
        self._emit = emit
        self._clock = clock
        self._new_id = new_id
        self._mac = mac

    def invite(self, reference: str, *, actor: Actor, source: Source) -> Secret[str]:
        """Make an activation code for the person whom ``reference`` names in the application's own data.

        The code has 100 bits, works once, and for 14 days. The store keeps its hash.
        """
        if not reference or len(reference.encode("utf-8")) > 1024:
            raise ConfigurationError("invite: reference is the person's id in your data, 1 to 1024 bytes")
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
        digest = _code_digest(code)
        stored = self._invitations.put(
            Flow(
                digest=digest,
                purpose=_INVITATION,
                account_id=None,
                data=seal_data(
                    self._mac, reference.encode("utf-8"), digest=digest, purpose=_INVITATION, account_id=None
                ),
                expires_at=self._clock() + INVITATION_LIFETIME,
            )
        )
        if not stored:
            raise StoreError("an invitation could not be stored")
        try:
            self._emit(
                SecurityEvent(name=Event.ACCOUNT_INVITED, actor=actor, subjects=(reference,), source=source)
            )
        except BaseException:
            self._invitations.consume(digest, _INVITATION, now=self._clock())
            raise
        groups = (code[start : start + _GROUP] for start in range(0, _CODE_LENGTH, _GROUP))
        return Secret("-".join(groups))

    def sign_up(
        self,
        *,
        invitation: object,
        login: object,
        password: object,
        about: Callable[[str], Sequence[str]] | None = None,
        source: Source,
    ) -> SignUp:
        """Turn an invitation into an account.

        Args:
            invitation: the code as typed: case, spaces and dashes do not matter, I and L read as 1, O as 0.
            login, password: as chosen.
            about: given the invitation's reference, returns that person's own words (name, birth date), which make
                a password easy to guess. It is asked only where the invitation is right.

        Raises:
            Denied: MALFORMED, THROTTLED, INVITATION_INVALID, LOGIN_TAKEN (the invitation stays usable).
            PasswordRefused: with its problems; the invitation stays usable.
        """
        try:
            if not isinstance(invitation, str) or len(invitation) > _MAX_TYPED:
                raise Denied(Reason.MALFORMED)
            name = canonical_login(login)
            password_text(password)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source, {})
        details = {"login": login_reference(self._mac, name)}
        try:
            attempt = self._throttle.reserve("invitation", account=None, address=source.address)
        except Denied as refusal:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_THROTTLED,
                    outcome=Outcome.DENIED,
                    reason=refusal.reason,
                    source=source,
                    details={"kind": "invitation"},
                )
            )
            raise
        flow = self._invitation(invitation, attempt, source)
        reference = open_data(self._mac, flow).decode("utf-8")
        account_id = self._new_id()
        try:
            hashed = self._prepare(account_id, password, (name, *(about(reference) if about else ())), source)
        except PasswordRefused as refusal:
            attempt.succeeded()  # the code was right; this was no guess
            self._emit_refusal(refusal.reason, source, details, subjects=(reference,))
            raise
        if self._invitations.consume(flow.digest, _INVITATION, now=self._clock()) is None:
            attempt.failed()
            self._refuse(Event.ACCOUNT_CREATE_REFUSED, Reason.INVITATION_INVALID, source, details)
        account = Account(id=account_id, login=name, password_hash=hashed, reference=reference)
        try:
            epoch = self._sessions.epoch(account.id)
            at = self._clock()
            self._record_and_create(account, Actor(type="user", id=account.id), source)
        except BaseException as error:
            # No account, whatever the cause: the person must be able to try again.
            self._invitations.put(flow)
            if isinstance(error, Denied):
                # The unit stays taken: an invitation must not buy unbounded questions about who has an account.
                attempt.failed()
                self._emit_refusal(error.reason, source, details)
            raise
        attempt.succeeded()
        step = self._sign_in.after_password(DOOR, account, epoch=epoch, at=at, source=source)
        return SignUp(account_id=account.id, reference=reference, step=step)

    def create(
        self,
        *,
        login: object,
        password: object,
        reference: str | None = None,
        actor: Actor = SYSTEM,
        source: Source = _NOWHERE,
    ) -> Account:
        """Create an account without an invitation: seeding and administration. It enrols its factor at first sign-in.

        Raises:
            Denied: MALFORMED, LOGIN_TAKEN.
            PasswordRefused: administration follows the same policy.
        """
        name = canonical_login(login)
        account_id = self._new_id()
        hashed = self._prepare(account_id, password, (name,), source)
        account = Account(id=account_id, login=name, password_hash=hashed, reference=reference)
        self._record_and_create(account, actor, source)
        return account

    def disable(self, account_id: str, *, actor: Actor, source: Source) -> None:
        """Disable an account and end its sessions and half-finished sign-ins; repeat it safely after a failure.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        self._known(account_id)
        # Disabled first: a sign-in that passes the door's check before this is ended by the epoch after it.
        changed = self._accounts.set_disabled(account_id, True)
        self._sessions.end_all(account_id, source=source, actor=actor)
        self._flows.drop_account(account_id)
        self._switched(Event.ACCOUNT_DISABLED, account_id, changed, actor, source)

    def enable(self, account_id: str, *, actor: Actor, source: Source) -> None:
        """Enable an account again; nothing that was ended comes back.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
        """
        self._known(account_id)
        changed = self._accounts.set_disabled(account_id, False)
        self._switched(Event.ACCOUNT_ENABLED, account_id, changed, actor, source)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _invitation(self, typed: str, attempt: Attempt, source: Source) -> Flow:
        code = _canonical_code(typed)
        flow = code and self._invitations.attempt(
            _code_digest(code), _INVITATION, limit=_INVITATION_ATTEMPTS, now=self._clock()
        )
        if not flow:
            attempt.failed()
            self._refuse(Event.ACCOUNT_CREATE_REFUSED, Reason.INVITATION_INVALID, source, {})
        return flow

    def _prepare(self, account_id: str, password: object, about: Sequence[str], source: Source) -> str:
        return self._new_passwords.prepare(
            account_id,
            password,
            about=about,
            # Only where every sign-in asks for a second factor may a short password do.
            with_second_factor=self._sign_in.policy.second_factor == "required",
            current=None,
            source=source,
        )

    def _known(self, account_id: str) -> None:
        if self._accounts.get(account_id) is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)

    def _record_and_create(self, account: Account, actor: Actor, source: Source) -> None:
        """Record first, then create: an account without a record could sign in and nobody would know of it.

        The log may so name an account that came to nothing: the store failed, or another took the sign-in name
        between the look and the write. A second record says that, with the same account id.

        Raises:
            Denied: LOGIN_TAKEN.
            AuditUnavailable: nothing was created.
        """
        if self._accounts.by_login(account.login) is not None:
            raise Denied(Reason.LOGIN_TAKEN)
        event = SecurityEvent(
            name=Event.ACCOUNT_CREATED,
            actor=actor,
            subjects=(account.reference,) if account.reference else (),
            resource=ResourceRef(type="account", id=account.id),
            source=source,
        )
        self._emit(event)
        try:
            created = self._accounts.create(account, now=self._clock())
        except BaseException:
            self._emit(replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.ERROR))
            raise
        if not created:
            taken = Reason.LOGIN_TAKEN
            self._emit(
                replace(event, name=Event.ACCOUNT_CREATE_REFUSED, outcome=Outcome.DENIED, reason=taken)
            )
            raise Denied(taken)

    def _switched(self, name: str, account_id: str, changed: bool, actor: Actor, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                changed=("disabled",) if changed else (),
            )
        )

    def _emit_refusal(
        self,
        reason: Reason,
        source: Source,
        details: Mapping[str, str],
        *,
        name: str = Event.ACCOUNT_CREATE_REFUSED,
        subjects: tuple[str, ...] = (),
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                subjects=subjects,
                reason=reason,
                source=source,
                details=details,
            )
        )

    def _refuse(self, name: str, reason: Reason, source: Source, details: Mapping[str, str]) -> NoReturn:
        self._emit_refusal(reason, source, details, name=name)
        raise Denied(reason)


def _canonical_code(typed: str) -> str | None:
    """The code's 20 characters, or None where it cannot be one."""
    code = re.sub(r"[\s-]", "", typed).upper().translate(_LOOK_ALIKE)
    return code if len(code) == _CODE_LENGTH and set(code) <= set(_ALPHABET) else None


def _code_digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("ascii")).digest()
