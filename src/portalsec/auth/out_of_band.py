"""`OutOfBand`: codes by mail and by SMS, as second factor of those who have nothing better. Off by default.

A code proves that somebody reads a mailbox, or messages to a number. It is not bound to the site that asks for it: who
types it into another site has given it away (SP 800-63B-4 sections 3.1.3 and 3.2.5), and `portalsec.auth.assurance`
counts it as such; e-mail proves no possession of anything (section 3.1.3.1).

So it is bounded from all sides: it goes to what the account has verified and to nothing that a visitor typed; it is 6 to
8 digits of the operating system's randomness, kept as a keyed hash; it lives for ten minutes at most, takes a few tries,
works once, and only in the browser whose sign-in asked for it. Each place has one code of either sort: a new one voids
the one before. A hundred wrong ones in a row, over whatever time, and no code that goes there is looked at any more
(section 3.2.2). A few go out until one comes back; what is over looks like somebody who has the password and waits for
the owner to give in, and is recorded as that.

There is nothing here to be approved: whoever holds the telephone has to type what another screen waits for.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from portalsec._encoding import length_prefixed
from portalsec.auth._input import MAX_LOGIN_CHARACTERS
from portalsec.auth._pending import open_data, seal_data
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.notices import Letter, NoticeKind, Notices
from portalsec.auth.ports import (
    Account,
    CodeSender,
    Contact,
    ContactStore,
    Flow,
    FlowStore,
    Mac,
    Notice,
    Phone,
)
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.throttle import Attempt, Throttle, Units
from portalsec.auth.totp import normalise_code
from portalsec.clock import Clock, from_unix_microseconds, unix_microseconds
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

__all__ = ["OutOfBand", "OutOfBandPolicy", "Sent"]

_PURPOSE = "sign-in.code"
_SENT = (Factor.EMAIL_CODE, Factor.SMS_CODE)
# The last line is for the browser (W3C "Origin-bound one-time codes"): it offers the code at this host and no other.
_SMS = {
    "en": "{portal}: {code} is your code to sign in. Tell it to nobody.\n\n@{host} #{code}",
    "es": "{portal}: {code} es su código para iniciar sesión. No se lo diga a nadie.\n\n@{host} #{code}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfBandPolicy:
    """Which codes are sent, and how much they are trusted with.

    Attributes:
        factors: of EMAIL_CODE and SMS_CODE those that are sent; none by default.
        digits: 6 to 8.
        lifetime: ten minutes at most (SP 800-63B-4 section 3.1.3.2).
        attempts: tries at one code; how many codes are sent is `ThrottlePolicy.code_sent`.
    """

    factors: frozenset[Factor] = frozenset()
    digits: int = 6
    lifetime: timedelta = timedelta(minutes=10)
    attempts: int = 3

    def __post_init__(self) -> None:
        if not self.factors <= set(_SENT):
            raise ConfigurationError("OutOfBandPolicy: factors are of EMAIL_CODE and SMS_CODE")
        if not 6 <= self.digits <= 8:
            raise ConfigurationError("OutOfBandPolicy: digits goes from 6 to 8")
        if not timedelta(minutes=1) <= self.lifetime <= timedelta(minutes=10):
            raise ConfigurationError("OutOfBandPolicy: lifetime goes from one to ten minutes")
        if not 1 <= self.attempts <= 5:
            raise ConfigurationError("OutOfBandPolicy: attempts goes from 1 to 5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What a page may say of a code that is on its way.

    Attributes:
        factor: EMAIL_CODE or SMS_CODE.
        to: where it goes, as its owner knows it again and nobody else can use it.
        until: from when on it opens nothing.
    """

    factor: Factor
    to: str = field(repr=False)
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is kept of a code: nothing that tells it."""

    factor: Factor
    to: str
    tag: bytes = field(repr=False)
    units: Units

    def encode(self) -> bytes:
        kept = {"v": 1, "factor": self.factor, "to": self.to, "tag": self.tag.hex(), "units": self.units}
        return json.dumps(kept, separators=(",", ":")).encode("utf-8")

    @classmethod
    def decode(cls, data: bytes) -> _State:
        try:
            kept = json.loads(data)
            if kept["v"] != 1:
                raise ValueError("version")
            units = tuple((str(unit), str(key), int(window)) for unit, key, window in kept["units"])
            factor, tag = Factor(kept["factor"]), bytes.fromhex(kept["tag"])
            return cls(factor=factor, to=str(kept["to"]), tag=tag, units=units)
        except (ValueError, TypeError, KeyError):
            pass
        raise Tampered("a code that was sent is damaged")


class OutOfBand:
    """Sends codes and verifies them.

    Safe for concurrent use: of any number of uses of one code at most one gets evidence (one does where they are no more
    than its tries: the try past them voids the code), and no more tries than the policy has are looked at.

    Args:
        sender: of SMS; needed where the policy has SMS_CODE.
        flows: codes under way; may be short-lived.
        notices: hands mail to the courier, whose ``requests`` must have `letters` of this.
        throttle: bounds how many are sent. Tries at codes are the door's to bound besides.
        base_url: the portal's one origin, for the line that binds an SMS to it.
    """

    def __init__(
        self,
        *,
        contacts: ContactStore,
        sender: CodeSender | None,
        flows: FlowStore,
        notices: Notices,
        throttle: Throttle,
        mac: Mac,
        policy: OutOfBandPolicy,
        portal: str,
        base_url: str,
        emit: Emit,
        clock: Clock,
    ) -> None:
        if Factor.SMS_CODE in policy.factors and sender is None:
            raise ConfigurationError(
                "OutOfBand: the policy sends codes by SMS and there is no CodeSender: "
                "pass one, or take SMS_CODE out of factors"
            )
        self._contacts = contacts
        self._sender = sender
        self._flows = flows
        self._notices = notices
        self._throttle = throttle
        self._mac = mac
        self._portal = portal
        self._host = urlsplit(base_url).hostname or ""
        self._emit = emit
        self._clock = clock
        self.policy = policy

    def offered(self, account_id: str) -> frozenset[Factor]:
        """Which sorts of code this account could get now: allowed, and with something verified to send it to."""
        return frozenset(each for each in self.policy.factors if self._destination(account_id, each))

    def send(
        self, place: bytes, account: Account, factor: Factor, *, source: Source, language: str | None = None
    ) -> Sent:
        """Make a code and send it; call it after a right first factor and never before.

        Args:
            place: digest of the pending sign-in's token, or of the session's: the code works there and nowhere else.
            factor: EMAIL_CODE or SMS_CODE.
            language: of an SMS; mail asks the courier.

        Raises:
            Denied: FACTOR_NOT_ENROLLED (not allowed, or nothing verified to send it to), THROTTLED (a few were sent and
                none came back).
            StoreError: it could not be sent or recorded; there is no code then, and none was counted.
        """
        to = self._destination(account.id, factor) if factor in self.policy.factors else None
        if to is None:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        attempts = self._admitted(account.id, to, source)
        number = secrets.randbelow(10**self.policy.digits)
        code, until = f"{number:0{self.policy.digits}}", self._clock() + self.policy.lifetime
        digest = _digest(place)
        try:
            self._record(Event.AUTH_CODE_SENT, account.id, source, {"factor": factor.value, "to": to.id})
            self._keep(digest, account.id, factor, to.id, code, until, attempts)
            self._hand_over(account, factor, to, code, until, source, language)
        except StoreError:
            with suppress(StoreError):
                self._flows.consume(digest, _PURPOSE, now=self._clock())
            for attempt in attempts:
                with suppress(StoreError):
                    attempt.not_tested()
            raise
        for attempt in attempts:
            attempt.failed()  # it stays counted until a code comes back
        return Sent(factor=factor, to=_hint(to), until=until)

    def verify(self, place: bytes, account_id: str, code: object) -> Evidence:
        """Accept the code that was sent for this place, once.

        Raises:
            Denied: MALFORMED, FLOW_UNKNOWN (none was sent for this place and account, or it is too old, used, or had
                its tries), WRONG_CODE, FACTOR_DISABLED (100 wrong ones in a row were tested of those that go to this
                mailbox or number, whatever the time between them: none is from here on, until it was confirmed anew).
            Tampered: what was kept is not what was written.
        """
        typed = normalise_code(code)
        digest, now = _digest(place), self._clock()
        flow = self._flows.attempt(digest, _PURPOSE, limit=self.policy.attempts, now=now)
        if flow is None or flow.account_id != account_id:
            raise Denied(Reason.FLOW_UNKNOWN)
        state = _State.decode(open_data(self._mac, flow))
        tried = self._throttle.reserve("code_tried", account=f"{account_id} {state.to}", address=None)
        if tried.locked is not None:
            raise Denied(Reason.FACTOR_DISABLED)
        tags = self._mac.all(_PURPOSE, _bound(digest, account_id, state.factor, state.to, typed))
        if not any(hmac.compare_digest(state.tag, each) for each in tags):
            tried.failed()
            raise Denied(Reason.WRONG_CODE)
        if state.factor not in self.policy.factors:
            raise Denied(Reason.FLOW_UNKNOWN)  # switched off since it was sent
        used = self._flows.consume(digest, _PURPOSE, now=now)
        if used is None or used.data != flow.data:
            tried.succeeded()
            raise Denied(Reason.FLOW_UNKNOWN)  # somebody was faster with it, or asked for another one
        with suppress(StoreError):  # the code is used: its sign-in goes on
            self._throttle.complete(state.units + tried.hold())
        return mint(Proof(factor=state.factor, at=now, authenticator=state.to), account_id)

    def abort(self, place: bytes) -> None:
        """Void the code of a place, if there is one: its sign-in is over."""
        self._flows.consume(_digest(place), _PURPOSE, now=self._clock())

    def letters(self, request: Notice) -> Sequence[Letter]:
        """The mail of one code; for the courier. None where it would come too late, or the address is gone."""
        details = dict(self._notices.details(request))
        code, until = details.pop("one_time"), from_unix_microseconds(int(details.pop("until")))
        account_id, wanted = details.pop("account_id"), details.pop("contact")
        if self._clock() >= until:
            return ()
        held = self._contacts.of_account(account_id)
        contact = next((each for each in held if each.id == wanted and each.verified_at is not None), None)
        if contact is None:
            return ()
        return (
            Letter(
                contact=contact,
                kind=NoticeKind.REQUEST_CODE,
                token=None,
                one_time=Secret(code),
                at=request.at,
                code=request.code,
                details=details,
            ),
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _destination(self, account_id: str, factor: Factor) -> Contact | Phone | None:
        """The oldest verified one: what a thief adds later is not where codes go."""
        held: Sequence[Contact | Phone] = ()
        if factor is Factor.EMAIL_CODE:
            held = self._contacts.of_account(account_id)
        elif factor is Factor.SMS_CODE and self._sender is not None:
            held = self._sender.phones(account_id)
        verified = [each for each in held if each.verified_at is not None and each.account_id == account_id]
        return min(verified, key=lambda each: (each.verified_at, each.id), default=None)

    def _admitted(self, account_id: str, to: Contact | Phone, source: Source) -> list[Attempt]:
        """Units of the account's and the mailbox's or number's budget, which accounts may share."""
        taken: list[Attempt] = []
        refusal: Denied | None = None
        for subject in (account_id, f"to {_where(to)}"):
            try:
                taken.append(self._throttle.reserve("code_sent", account=subject, address=source.address))
            except Denied as denied:
                refusal = denied
                break
            except StoreError:
                _give_back(taken)
                raise
        if refusal is None:
            return taken
        _give_back(taken)
        self._record(
            Event.AUTH_ATTACK_SUSPECTED,
            account_id,
            source,
            {"pattern": "mfa_fatigue"},
            refused=refusal.reason,
        )
        raise Denied(refusal.reason, retry_after=refusal.retry_after)

    def _keep(  # noqa: PLR0917
        self,
        digest: bytes,
        account_id: str,
        factor: Factor,
        to: str,
        code: str,
        until: datetime,
        attempts: Sequence[Attempt],
    ) -> None:
        units = tuple(unit for attempt in attempts for unit in attempt.units)
        tag = self._mac(_PURPOSE, _bound(digest, account_id, factor, to, code))
        state = _State(factor=factor, to=to, tag=tag, units=units)
        self._flows.consume(digest, _PURPOSE, now=self._clock())
        kept = self._flows.put(
            Flow(
                digest=digest,
                purpose=_PURPOSE,
                account_id=account_id,
                data=seal_data(
                    self._mac, state.encode(), digest=digest, purpose=_PURPOSE, account_id=account_id
                ),
                expires_at=until,
            )
        )
        if not kept:
            raise StoreError("a code could not be stored: another one was asked for at the same moment")

    def _hand_over(  # noqa: PLR0917
        self,
        account: Account,
        factor: Factor,
        to: Contact | Phone,
        code: str,
        until: datetime,
        source: Source,
        language: str | None,
    ) -> None:
        if isinstance(to, Contact):
            details = {
                "account_id": account.id,
                "contact": to.id,
                "one_time": code,  # sealed at rest, and gone with the request once its mail was handed over
                "until": str(unix_microseconds(until)),
            }
            self._notices.request(NoticeKind.REQUEST_CODE, source=source, details=details)
        elif self._sender is not None:
            words = _SMS["es" if (language or "").startswith("es") else "en"]
            self._sender.send(to, words.format(portal=self._portal, code=code, host=self._host))

    def _record(
        self,
        name: Event,
        account_id: str,
        source: Source,
        details: dict[str, str],
        refused: Reason | None = None,
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.SUCCESS if refused is None else Outcome.DENIED,
                actor=Actor(type="user", id=account_id) if refused is None else SYSTEM,
                resource=ResourceRef(type="account", id=account_id),
                reason=refused,
                source=source,
                details=details,
            )
        )


def _digest(place: bytes) -> bytes:
    return hashlib.sha256(b"code:" + place).digest()


def _bound(digest: bytes, account_id: str, factor: Factor, to: str, code: str) -> bytes:
    return length_prefixed(digest, *(each.encode("utf-8") for each in (account_id, factor.value, to, code)))


def _where(to: Contact | Phone) -> str:
    if isinstance(to, Phone):
        return to.number
    # Most servers deliver ``name+anything`` to ``name``.
    local, _, domain = to.address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"[:MAX_LOGIN_CHARACTERS]


def _hint(to: Contact | Phone) -> str:
    if isinstance(to, Phone):
        return f"…{to.number[-2:]}"
    name, _, domain = to.address.rpartition("@")
    return f"{name[:1]}…@{domain}"


def _give_back(taken: Sequence[Attempt]) -> None:
    for attempt in taken:
        with suppress(StoreError):
            attempt.not_tested()
