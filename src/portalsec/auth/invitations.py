"""`Invitations`: an activation code for a person whom the practice knows, and the account that it becomes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NoReturn

from portalsec.auth._creating import Creating
from portalsec.auth._door import DOOR
from portalsec.auth._email import address_or_none, canonical_email
from portalsec.auth._input import canonical_login, password_text
from portalsec.auth._pending import open_data, seal_data
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Flow, FlowStore, Mac
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn, Step, login_reference
from portalsec.auth.throttle import Attempt, Throttle
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["INVITATION_LIFETIME", "Invitations", "SignUp"]

_INVITATION = "invitation"
INVITATION_LIFETIME = timedelta(days=14)
_INVITATION_ATTEMPTS = 50  # sign-ups tried with one right code; each refused password is one
_TAKEN_COSTS = 10  # ... and a taken name so many: an invitation finds out about four other people at most
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base32: no I, L, O, U
_CODE_LENGTH = 20  # 100 bits: past any guessing, so that a plain SHA-256 of it may be stored
_GROUP = 4
_GIVEN = b"\0"  # before a tag of an address, and then the reference
_TAG = 16
_MAX_TYPED = 64
_LOOK_ALIKE = str.maketrans({"I": "1", "L": "1", "O": "0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUp:
    """A new account and where its first sign-in stands."""

    account_id: str
    reference: str
    step: Step


class Invitations:
    """Makes codes and turns them into accounts.

    Safe for concurrent use: of several sign-ups with one invitation, or with one sign-in name, one wins.
    """

    def __init__(
        self,
        *,
        store: FlowStore,
        creating: Creating,
        throttle: Throttle,
        sign_in: SignIn,
        sessions: Sessions,
        emit: Emit,
        clock: Clock,
        mac: Mac,
    ) -> None:
        self._invitations = store
        self._creating = creating
        self._throttle = throttle
        self._sign_in = sign_in
        self._sessions = sessions
        self._emit = emit
        self._clock = clock
        self._mac = mac

    def invite(self, reference: str, *, actor: Actor, source: Source, address: object = None) -> Secret[str]:
        """Make an activation code for the person whom ``reference`` names in the application's own data.

        The code has 100 bits, works once, and for 14 days. The store keeps its hash.

        Args:
            address: an e-mail address that staff know to be this person's: the one address that they may choose as
                their sign-in name. It is kept as a keyed hash, and does not become a contact.

        Raises:
            Denied: ADDRESS_REFUSED.
        """
        given = b"" if address is None else self._tag(canonical_email(address))
        if not reference or reference[0] == "\0" or len(reference.encode("utf-8")) > 1024:
            raise ConfigurationError("invite: reference is the person's id in your data, 1 to 1024 bytes")
        code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH))
        digest = _code_digest(code)
        stored = self._invitations.put(
            Flow(
                digest=digest,
                purpose=_INVITATION,
                account_id=None,
                data=seal_data(
                    self._mac,
                    (_GIVEN + given if given else b"") + reference.encode("utf-8"),
                    digest=digest,
                    purpose=_INVITATION,
                    account_id=None,
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
        source: Source,
    ) -> SignUp:
        """Turn an invitation into an account.

        Args:
            invitation: the code as typed: case, spaces and dashes do not matter, I and L read as 1, O as 0.
            login, password: as chosen.

        Raises:
            Denied: MALFORMED, THROTTLED, INVITATION_INVALID, LOGIN_TAKEN (the invitation stays usable, for
                five names in all), ADDRESS_REFUSED (a name with an ``@`` that is not the address that the
                invitation was made with).
            PasswordRefused: with its problems; the invitation stays usable.
        """
        try:
            if not isinstance(invitation, str) or len(invitation) > _MAX_TYPED:
                raise Denied(Reason.MALFORMED)
            name = canonical_login(login)
            password_text(password)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source, {})
        self._sign_in.read_posture(source)
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
        reference, given = self._opened(flow)
        if "@" in name and not self._is(given, name):
            attempt.succeeded()  # the code was right, and nothing was asked about anybody
            self._refuse(Event.ACCOUNT_CREATE_REFUSED, Reason.ADDRESS_REFUSED, source, details)
        try:
            # The same hash for a name that is taken and for one that is free.
            account = self._creating.prepare(name, password, reference=reference, source=source)
        except PasswordRefused as refusal:
            attempt.succeeded()  # the code was right; this was no guess
            self._emit_refusal(refusal.reason, source, details, subjects=(reference,))
            raise
        # Out of the store, nobody else can ask by it, and what it was charged with since our look is on it.
        used = self._invitations.consume(flow.digest, _INVITATION, now=self._clock())
        if used is None or used.attempts > _INVITATION_ATTEMPTS:
            attempt.failed()
            self._refuse(Event.ACCOUNT_CREATE_REFUSED, Reason.INVITATION_INVALID, source, details)
        try:
            epoch = self._sessions.epoch(account.id)
            at = self._clock()
            self._creating.create(account, Actor(type="user", id=account.id), source)
        except BaseException as error:
            # No account, whatever the cause: the person must be able to try again.
            taken = isinstance(error, Denied)
            charged = used.attempts + (_TAKEN_COSTS - 1 if taken else 0)
            self._invitations.put(replace(flow, attempts=charged))
            if isinstance(error, Denied):
                # The unit stays taken: an invitation must not buy unbounded questions about who has an account.
                attempt.failed()
                self._emit_refusal(error.reason, source, details)
            raise
        attempt.succeeded()
        step = self._sign_in.after_password(DOOR, account, epoch=epoch, at=at, source=source)
        return SignUp(account_id=account.id, reference=reference, step=step)

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

    def _opened(self, flow: Flow) -> tuple[str, bytes | None]:
        """The reference, and the tag of the address that the invitation was made with."""
        data = open_data(self._mac, flow)
        if not data.startswith(_GIVEN):
            return data.decode("utf-8"), None
        return data[1 + _TAG :].decode("utf-8"), data[1 : 1 + _TAG]

    def _tag(self, address: str) -> bytes:
        return self._mac("invitation-address", address.encode("utf-8"))[:_TAG]

    def _is(self, given: bytes | None, login: str) -> bool:
        address = address_or_none(login)
        if given is None or address is None:
            return False
        tags = self._mac.all("invitation-address", address.encode("utf-8"))
        return any(hmac.compare_digest(given, tag[:_TAG]) for tag in tags)

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
