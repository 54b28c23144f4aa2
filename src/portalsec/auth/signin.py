"""`SignIn`: the one door to a session.

==================  ==============================  ===========================================================
state               the visitor holds               what leads on
==================  ==============================  ===========================================================
start               nothing                         ``start``: right password -> totp, totp_enrolment or signed in
totp                a pending token                 ``submit_totp``: right code -> signed in
totp_enrolment      a pending token                 ``begin_totp_enrolment``, ``confirm_totp_enrolment`` -> signed in
new_password        a pending token                 ``PasswordChange.submit_forced`` -> signed in
signed in           a session token                 ``logout`` -> start
==================  ==============================  ===========================================================

``new_password`` comes after all factors, where the account must choose another password before it gets a session.
A pending token is good for one sign-in: it dies when it is used, aborted, too old, out of attempts, or when the
account is disabled or gets another password. Every way ends in `SignIn.login`, which alone can open a session and asks for everything again.
Each refusal is one `portalsec.errors.Denied` with one face; its reason is for the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, NoReturn

from portalsec._encoding import new_token
from portalsec.auth._door import DOOR, require_door
from portalsec.auth._input import canonical_login, password_text, token_text
from portalsec.auth._pending import Browser, Pending, is_password, open_data, password_digest, seal_data
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings, Why
from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.ports import Account, AccountStore, Flow, FlowStore, KnownDevice, Mac, SignInWatch
from portalsec.auth.sessions import ActiveSession, NewSession, Sessions
from portalsec.auth.throttle import Attempt, Throttle, Units
from portalsec.clock import Clock, from_unix_microseconds, unix_microseconds
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import ANONYMOUS, SYSTEM, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret
from portalsec.typing import Emit

if TYPE_CHECKING:  # argon2 and pyotp load with their own modules, not with the door
    from portalsec.auth.notices import Notices
    from portalsec.auth.passwords import Passwords, Verified
    from portalsec.auth.totp import Enrolment, Totp

__all__ = ["SignIn", "SignInPolicy", "Step", "login_reference"]

_TOTP = "sign-in.totp"
_ENROLMENT = "sign-in.totp-enrolment"
_NEW_PASSWORD = "sign-in.new-password"  # noqa: S105 - a flow's purpose
_WITHIN = "session.totp-enrolment"
_LOOK = "sign-in.new-password.look"
_LOOKS = 1_000_000
_NEW_PASSWORD_TRIES = 100  # new passwords that one sign-in may offer; each refused one is told why
EXPIRED = "expired"
BREACHED = "breached"
TOO_SHORT = "too_short"
_MAX_BEGUN = 10
_MAX_FOLDED = 10  # notices of sign-ins that were left for another; older ones are mailed
_NOBODY = "-"  # what unknown names are looked up as, so that they cost the same reads; no account has this id


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPolicy:
    """What a session asks for.

    Attributes:
        second_factor: "required" (accounts without one enrol at the door) or "optional" (asked of those who have one).
        pending_lifetime: time from the password to the last code.
        pending_attempts: codes that one pending sign-in may try.
        evidence_lifetime: how old evidence may be when the session opens; as ``pending_lifetime`` where None.
    """

    second_factor: Literal["required", "optional"] = "required"
    pending_lifetime: timedelta = timedelta(minutes=10)
    pending_attempts: int = 5
    evidence_lifetime: timedelta | None = None

    def __post_init__(self) -> None:
        if self.second_factor not in ("required", "optional"):
            raise ConfigurationError('SignInPolicy: second_factor is "required" or "optional"')
        if not timedelta(seconds=30) <= self.pending_lifetime <= timedelta(hours=1):
            raise ConfigurationError("SignInPolicy: pending_lifetime goes from 30 seconds to one hour")
        if self.pending_attempts < 1:
            raise ConfigurationError("SignInPolicy: pending_attempts must be at least 1")
        if self.evidence_lifetime is not None and self.evidence_lifetime < timedelta(seconds=30):
            raise ConfigurationError("SignInPolicy: evidence_lifetime must be 30 seconds or longer")

    @property
    def required_factors(self) -> frozenset[str]:
        """Kinds of factor that every session must have proven; `Sessions` measures by it what is open already."""
        kinds = [Factor.PASSWORD, Factor.TOTP] if self.second_factor == "required" else [Factor.PASSWORD]
        return frozenset(kind.value for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a sign-in stands: it has a pending token and something to do next, or a session and nothing.

    Attributes:
        next: kinds that lead on: ("totp",), ("totp_enrolment",), ("new_password",) or ().
        pending: for a short-lived cookie of its own; it is no session and opens nothing by itself.
        session: the opened session.
        device: with a session, the text for a cookie that outlives it: the next sign-in of this browser has its own
            budget. It is no factor. None where the browser's cookie stays as it is.
    """

    next: tuple[str, ...]
    pending: Secret[str] | None = None
    session: NewSession | None = None
    device: Secret[str] | None = None

    def __post_init__(self) -> None:
        if (self.pending is None) == (self.session is None) or bool(self.next) == (self.session is not None):
            raise ConfigurationError("Step: either pending with something next, or a session with nothing")


def login_reference(mac: Mac, login: str) -> str:
    """How a sign-in name appears in events: keyed, so that the log tells tries at one name apart without showing it.

    People type passwords into the name's field.
    """
    return mac("login", login.encode("utf-8"))[:16].hex()


class SignIn:
    """Collects evidence and opens sessions.

    Safe for concurrent use: every decision that counts (a budget's unit, an attempt, a code's step, the use of a
    pending token, the account's epoch) is one atomic verb of a store. Where a store or the audit log fails, the error
    is raised and no session is left behind.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        passwords: Passwords,
        totp: Totp,
        throttle: Throttle,
        sessions: Sessions,
        flows: FlowStore,
        endings: Endings,
        devices: KnownDevices,
        watch: SignInWatch,
        notices: Notices,
        policy: SignInPolicy,
        emit: Emit,
        clock: Clock,
        mac: Mac,
        max_age: timedelta | None = None,
        listed: Callable[[str, str, Source], bool] | None = None,
        min_length: int = 0,
    ) -> None:
        """``listed``: whether attackers have a password that was right here (`NewPasswords.listed_here`).

        ``max_age``: how old a password may be (`PasswordPolicy.max_age`).

        ``min_length``: how long one must be that opens a session alone (`PasswordPolicy.min_length`).
        """
        self._accounts = accounts
        self._passwords = passwords
        self._totp = totp
        self._throttle = throttle
        self._sessions = sessions
        self._flows = flows
        self._endings = endings
        self._devices = devices
        self._watch = watch
        self._notices = notices
        self._max_age = max_age
        self._listed = listed
        self._min_length = min_length
        self._emit = emit
        self._clock = clock
        self._mac = mac
        self.policy = policy

    # -- first factor -----------------------------------------------------------------------------------------------

    def start(
        self,
        login: object,
        password: object,
        *,
        source: Source,
        replaces: object = None,
        device: object = None,
        shared: bool = False,
    ) -> Step:
        """Look at a name and a password.

        Guards in order: shape, the visitor's own budget, account, the name's budgets, password, disabled. A name that
        is unknown, disabled, locked or without a password costs the same reads and writes and the same hash as a known
        one, and gets the same refusal.

        Args:
            login, password: as typed.
            source: where the request came from.
            replaces: the pending token that the browser held before, if any; it dies now, whatever happens, so that
                nothing of another person's half-finished sign-in carries over. Where it was this account's, this
                sign-in takes its place: its owner is not told of both.
            device: the text of the known devices' cookie that the browser showed, if any. The owner of a device in it
                has a budget apart from strangers'; for every other account it means nothing.
            shared: the visitor said that others use this computer: it is not remembered.

        Raises:
            Denied: MALFORMED, THROTTLED (the address's budget, with ``retry_after``), UNKNOWN_ACCOUNT, WRONG_PASSWORD,
                ACCOUNT_LOCKED and PASSWORD_SPRAYED (a budget of the name or the password is used up, so that the
                password was not looked at), FACTOR_NOT_ENROLLED (an account without a password, or with a stored hash
                that is damaged, which is recorded), ACCOUNT_DISABLED.
            StoreError: plumbing; nobody was let in.
        """
        left = self._abort(replaces)
        try:
            name = canonical_login(login)
            typed = password_text(password)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source=source)
        details = {"login": login_reference(self._mac, name)}
        full: Denied | None = None
        try:
            admitted = self._throttle.admit("password", account=name, address=source.address)
        except Denied as refusal:
            if not self._devices.well_formed(device):
                self._throttled("password", name, refusal.reason, source)
                raise
            full = refusal
            admitted = self._throttle.beyond_the_address(address=source.address)
        try:
            found = self._accounts.by_login(name)
            account_id = _NOBODY if found is None else found.id
            # The epoch before the hash: a password that is changed between the two reads raises the epoch, and the
            # session that the old password would have opened is refused.
            epoch = self._sessions.epoch(account_id)
            account = self._accounts.get(account_id)
            if found is None:
                account = None
            owner = None if account is None else account.id
            known = self._devices.find(
                device, owner, source=source, reused=lambda copied: self._device_copied(copied, source)
            )
            if full is None or known is not None:
                attempt = self._throttle.narrow(
                    admitted, account=name, account_id=owner, device=known, candidate=typed
                )
        except StoreError:
            admitted.not_tested()
            raise
        if full is not None and known is None:
            self._throttled("password", name, full.reason, source)
            raise full
        # Of a locked name the password is not looked at, at the cost of a look.
        stored = None if account is None or attempt.locked else account.password_hash
        at, refused, control = self._clock(), attempt.locked, None
        rehash_due = False
        try:
            rehash_due = self._looked_at(attempt, stored, password, owner).rehash_due
        except Denied as refusal:
            no_password = account is not None and account.password_hash is None
            refused = refused or (Reason.FACTOR_NOT_ENROLLED if no_password else refusal.reason)
        except Tampered:
            # At the cost of ever, and the log knows that somebody must look at the account. It is one record, as every
            # refusal is: a second one would be a second write, which takes time.
            with suppress(Denied):
                self._looked_at(attempt, None, password, owner)
            refused, control = Reason.FACTOR_NOT_ENROLLED, "password_hash"
        if refused is None and (account is None or account.disabled):
            # After the hash, so that a disabled account costs what any other does.
            refused = Reason.ACCOUNT_DISABLED
        if refused is not None or account is None:
            self._wrong_password(
                attempt,
                account,
                refused or Reason.UNKNOWN_ACCOUNT,
                source,
                details,
                control=control,
                known=known,
            )
        if rehash_due:
            try:
                account = self._rehash(account, password, source)
            except StoreError:
                attempt.not_tested()
                raise
        units = attempt.hold()  # a right password is not yet a sign-in: its units come back at the door
        # Asked for every right password alike, also where another one must be chosen already.
        if self._listed is not None and self._listed(typed, account.id, source):
            account = self._marked(account, source)
        browser = Browser(
            device=None if known is None else known.digest.hex(),
            family=None if known is None else self._devices.family(device, known),
            shared=shared,
            folded=tuple(notice for whose, notice in left if whose == account.id),
        )
        return self.after_password(
            DOOR,
            account,
            epoch=epoch,
            at=at,
            source=source,
            units=units,
            browser=browser,
            short=len(typed) < self._min_length,
            device=device,
        )

    def after_password(
        self,
        door: object,
        account: Account,
        *,
        epoch: int,
        at: datetime,
        source: Source,
        units: Units = (),
        browser: Browser | None = None,
        short: bool = False,
        device: object = None,
    ) -> Step:
        """What follows a right (or just chosen) password; for `portalsec.auth` alone.

        Args:
            account: as it was when the password was right, with the hash that it was right for.
            units: of the password's budgets, taken and held.
            browser: what is known of the browser; nothing where None.
            short: it is shorter than one that stands alone may be.
            device: as at `submit_totp`.
        """
        require_door(door, "a pending sign-in")
        password = password_digest(self._mac, account.password_hash)
        browser = browser or Browser()
        if self._totp.enrolled(account.id):
            purpose, then = _TOTP, "totp"
        elif self.policy.second_factor == "required":
            purpose, then = _ENROLMENT, "totp_enrolment"
        else:
            if short and account.must_change is None:
                # Accepted as one of two factors, and now it is the only one (SP 800-63B-4 section 3.1.1.2).
                self._accounts.require_change(account.id, TOO_SHORT)
                account = replace(account, must_change=TOO_SHORT)
            evidence = mint(Factor.PASSWORD, account.id, at, epoch=epoch)
            return self._complete(
                account,
                (evidence,),
                source=source,
                password=password,
                units=units,
                browser=browser,
                device=device,
            )
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_VERIFIED,
                actor=ANONYMOUS,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
            )
        )
        # Before the pending token exists: from here on the owner is told, unless the sign-in is completed.
        browser = replace(browser, notice=self._watch.pending(account, source=source))
        token = new_token()
        pending = Pending(
            epoch=epoch,
            password_at=unix_microseconds(at),
            password=password,
            units=units,
            browser=browser,
        )
        self._put(
            _digest(token),
            purpose,
            account.id,
            pending,
            expires_at=at + self.policy.pending_lifetime,
            attempts=0,
        )
        return Step(next=(then,), pending=Secret(token))

    # -- second factor ----------------------------------------------------------------------------------------------

    def submit_totp(self, pending: object, code: object, *, source: Source, device: object = None) -> Step:
        """Finish a pending sign-in with a code.

        Args:
            device: the text of the known devices' cookie, as the browser shows it now. `Step.device` carries on the
                devices of the others who use this browser, who would be strangers without.

        Raises:
            Denied: MALFORMED (no attempt was counted), FLOW_UNKNOWN, THROTTLED, WRONG_CODE, CODE_REPLAYED,
                FLOW_EXHAUSTED (that was the last attempt: start again), ACCOUNT_DISABLED, SESSION_REVOKED.
        """
        typed = self._code(code, source)
        flow, state = self._attempt(pending, _TOTP, source)
        account = self._holder(flow, state, source)
        attempt = self._reserve("second_factor", account, source)
        if attempt.locked is not None:
            # So many wrong codes in a row were tested: none is from here on, and the answer is a wrong code's.
            attempt.failed()
            self._totp.enrolled(account.id)
            self._wrong_code(flow, Reason.WRONG_CODE, source, recorded=attempt.locked)
        try:
            proven = self._totp.verify(account.id, typed)
        except Denied as refusal:
            attempt.failed()
            self._wrong_code(flow, refusal.reason, source)
        except StoreError:
            attempt.not_tested()
            raise
        self._consume(flow, source)
        return self._finish(account, state, proven, attempt, source, device)

    def begin_totp_enrolment(self, pending: object, *, source: Source) -> Enrolment:
        """Make a seed for an account that has no second factor yet. Show it once, in the answer to a POST.

        Calling it again makes a new seed and voids the one before.

        Raises:
            Denied: FLOW_UNKNOWN, FLOW_EXHAUSTED, FACTOR_ALREADY_ENROLLED, ACCOUNT_DISABLED.
        """
        digest = _token_digest(pending)
        flow = digest and self._flows.consume(digest, _ENROLMENT, now=self._clock())
        if not flow:
            self._refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        # The flow is out of the store until it is put back below: whatever fails in between ends this sign-in.
        state = Pending.decode(open_data(self._mac, flow))
        account = self._holder(flow, state, source)
        if state.begun >= _MAX_BEGUN:
            self._refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_EXHAUSTED, source=source, account_id=account.id
            )
        self._not_enrolled(account, source)
        enrolment = self._totp.begin(account.id, account_name=account.login)
        state = replace(state, device_id=enrolment.device_id, begun=state.begun + 1)
        self._put(
            flow.digest, _ENROLMENT, account.id, state, expires_at=flow.expires_at, attempts=flow.attempts
        )
        return enrolment

    def confirm_totp_enrolment(
        self, pending: object, code: object, *, source: Source, device: object = None
    ) -> Step:
        """Finish a pending sign-in with the first code of the authenticator that it enrolled.

        Other sign-ins and sessions of the account, which knew no second factor, end. ``device`` as at `submit_totp`.

        Raises:
            Denied: as `submit_totp`, and FACTOR_NOT_ENROLLED (nothing begun), FACTOR_ALREADY_ENROLLED.
            AuditUnavailable: it could not be recorded, so the authenticator is void; begin again.
        """
        typed = self._code(code, source)
        flow, state = self._attempt(pending, _ENROLMENT, source)
        account = self._holder(flow, state, source)
        self._not_enrolled(account, source)
        proven, attempt, told = self._enrolled(account, flow, state, typed, source)
        owner, epoch, wanted = Actor(type="user", id=account.id), 0, state.epoch + 1
        try:
            self._consume(flow, source)
            self._endings.apply(account.id, Why.FACTOR_ADDED, actor=owner, source=source)
            epoch = self._sessions.epoch(account.id)
        finally:
            if epoch != wanted:
                # Someone else ended this sign-in, or all of the account's, since the password was proven, and wants no
                # factor of it either; where a store failed, nobody knows, and the owner begins again.
                self._totp.undo(account.id, state.device_id or "")
                self._notices.withdraw(told)
        if epoch != wanted:
            self._refuse(
                Event.AUTH_LOGIN_FAILED, Reason.SESSION_REVOKED, source=source, account_id=account.id
            )
        return self._finish(account, replace(state, epoch=epoch), proven, attempt, source, device)

    # -- a second factor, from inside a session ---------------------------------------------------------------------

    def begin_totp_within(
        self, door: object, session: ActiveSession, account: Account, *, source: Source
    ) -> Enrolment:
        """Make a seed for the holder of a session, who has just shown the password; for `portalsec.auth` alone.

        The enrolment is bound to this session and dies with it; beginning again voids the one before.

        Args:
            account: the session's, with the hash that the password was right for.

        Raises:
            Denied: FACTOR_ALREADY_ENROLLED.
            StoreError: nothing was begun.
        """
        require_door(door, "an enrolment")
        self._not_enrolled(account, source, session.reference)
        epoch, now = session.record.epoch, self._clock()
        enrolment = self._totp.begin(account.id, account_name=account.login)
        pending = Pending(
            epoch=epoch,
            password_at=unix_microseconds(now),
            password=password_digest(self._mac, account.password_hash),
            device_id=enrolment.device_id,
        )
        digest = _within(session)
        self._flows.consume(digest, _WITHIN, now=now)
        expires_at = now + self.policy.pending_lifetime
        self._put(digest, _WITHIN, account.id, pending, expires_at=expires_at, attempts=0)
        return enrolment

    def confirm_totp_within(
        self, door: object, session: ActiveSession, code: object, *, source: Source
    ) -> NewSession:
        """Accept the first code of the authenticator that this session began; for `portalsec.auth` alone.

        Every other session of the account ends; this one goes on under the id that is returned.

        Raises:
            Denied: MALFORMED, FLOW_UNKNOWN (nothing begun here, too old, or the password is another one by now),
                FLOW_EXHAUSTED, FACTOR_ALREADY_ENROLLED, THROTTLED, WRONG_CODE, FACTOR_NOT_ENROLLED, ACCOUNT_DISABLED,
                SESSION_REVOKED (somebody ended the session meanwhile, so the authenticator is void).
            StoreError: something failed: the authenticator is void, and sessions may have ended.
        """
        require_door(door, "an enrolment")
        typed = self._code(code, source)
        flow, state = self._tried(_within(session), _WITHIN, source, self.policy.pending_attempts)
        account = self._holder(flow, state, source)
        if account.id != session.account_id:
            self._refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        self._not_enrolled(account, source, session.reference)
        _, attempt, told = self._enrolled(account, flow, state, typed, source, session.reference)
        owner, kept = Actor(type="user", id=account.id), None
        try:
            # Whether it was there still is no matter: the store of factors let one confirmation through.
            self._flows.consume(flow.digest, flow.purpose, now=self._clock())
            kept = self._endings.apply(
                account.id, Why.FACTOR_ADDED, actor=owner, source=source, keep=session.digest
            )
        finally:
            if kept is None:
                # Whoever ended this session meanwhile (the owner, say, of a stolen one) did not want this factor.
                self._totp.undo(account.id, state.device_id or "")
                self._notices.withdraw(told)
        if kept is None:
            self._refuse(
                Event.AUTH_MFA_ENROLLED,
                Reason.SESSION_REVOKED,
                source=source,
                account_id=account.id,
                session=session.reference,
            )
        with suppress(StoreError):  # the new id must reach the browser, or its owner is signed out
            self._throttle.complete(attempt.hold())
        return kept

    def abort(self, pending: object) -> None:
        """Drop a pending sign-in; an unknown one is no error."""
        self._abort(pending)

    def _abort(self, pending: object) -> list[tuple[str | None, str]]:
        """`abort`; whose it was, with each notice that is due unless it, or what takes its place, is completed."""
        digest, now = _token_digest(pending), self._clock()
        found: list[tuple[str | None, str]] = []
        if digest is None:
            return found
        for purpose in (_TOTP, _ENROLMENT, _NEW_PASSWORD):
            flow = self._flows.consume(digest, purpose, now=now)
            if flow is None:
                continue
            with suppress(Tampered):  # it is gone, whatever was in it
                browser = Pending.decode(open_data(self._mac, flow)).browser
                notices = [*browser.folded, *([] if browser.notice is None else [browser.notice])]
                found += [(flow.account_id, notice) for notice in notices[-_MAX_FOLDED:]]
        return found

    # -- a new password, where one must be chosen -------------------------------------------------------------------

    def must_change(self, account: Account) -> str | None:
        """Why this account must choose a new password before its next session, or None."""
        if account.must_change is not None:
            return account.must_change
        if self._max_age is None or account.password_hash is None:
            return None
        changed = account.password_changed_at or account.created_at
        return EXPIRED if changed is None or self._clock() - changed >= self._max_age else None

    def change_under_way(
        self, door: object, pending: object, *, source: Source
    ) -> tuple[Flow, Pending, Account]:
        """The sign-in that waits for a new password, counted as tried once; for `portalsec.auth` alone.

        Raises:
            Denied: FLOW_UNKNOWN, ACCOUNT_DISABLED.
        """
        require_door(door, "a pending sign-in")
        flow, state = self._attempt(pending, _NEW_PASSWORD, source, limit=_NEW_PASSWORD_TRIES)
        return flow, state, self._holder(flow, state, source)

    def chooser(self, pending: object) -> Account | None:
        """Whose sign-in waits for a new password, costing none of its tries; None for any other token."""
        text = token_text(pending)
        flow = text and self._flows.attempt(_look_digest(text), _LOOK, limit=_LOOKS, now=self._clock())
        if not flow:
            return None
        state = Pending.decode(open_data(self._mac, flow))
        account = self._accounts.get(flow.account_id or _NOBODY)
        if account is None or account.disabled or not self._still(account, state.password):
            return None
        return account

    def take_change(self, door: object, flow: Flow, *, source: Source) -> None:
        """Use that sign-in up: one of several requests gets past this."""
        require_door(door, "a pending sign-in")
        self._consume(flow, source)

    def after_change(
        self,
        door: object,
        account: Account,
        state: Pending,
        *,
        epoch: int,
        at: datetime,
        source: Source,
        device: object = None,
    ) -> Step:
        """Open the session of a sign-in whose new password was chosen.

        Args:
            account: with its new hash.
            epoch: the epoch that the change led to, as counted from the one that the sign-in began with, so that
                whatever else ended the account's sessions meanwhile ends this one too.
            at: when the new password was chosen.
            device: as at `submit_totp`.
        """
        require_door(door, "a session")
        evidence = tuple(
            mint(
                Factor(factor),
                account.id,
                at if factor == Factor.PASSWORD else from_unix_microseconds(proven),
                epoch=epoch,
            )
            for factor, proven in state.proven
        )
        password = password_digest(self._mac, account.password_hash)
        return self._complete(
            account,
            evidence,
            source=source,
            password=password,
            units=state.units,
            browser=state.browser,
            device=device,
        )

    # -- the door ---------------------------------------------------------------------------------------------------

    def login(self, account_id: str, evidence: Sequence[Evidence], *, source: Source) -> NewSession:
        """Open a session, if the evidence is what the policy asks for.

        Raises:
            Denied: EVIDENCE_MIXED (of two accounts, or one kind twice), EVIDENCE_STALE, EVIDENCE_MISSING,
                UNKNOWN_ACCOUNT, ACCOUNT_DISABLED, CHANGE_REQUIRED (a new password must be chosen first),
                SESSION_REVOKED (the account's sessions were ended since the first evidence was collected).
            AuditUnavailable: the sign-in could not be recorded, so it did not happen.
        """
        return self._open(account_id, evidence, source=source, browser=Browser(shared=True))[0]

    def _open(
        self,
        account_id: str,
        evidence: Sequence[Evidence],
        *,
        source: Source,
        browser: Browser,
        password: str | None = None,
        units: Units = (),
        device: object = None,
    ) -> tuple[NewSession, Secret[str] | None]:
        """`login`, and what a sign-in of several steps carries along: password's digest, budgets' units, browser.

        Returns:
            The session, and the known devices' new cookie where the browser is to be known.
        """
        account = self._accounts.get(account_id)
        reason = self._shortfall(account_id, account, evidence)
        if reason is None and account is not None and not self._still(account, password):
            reason = Reason.EVIDENCE_STALE  # the password was changed after it was proven
        if reason is not None or account is None:
            self._refuse(
                Event.AUTH_LOGIN_FAILED,
                reason or Reason.UNKNOWN_ACCOUNT,
                source=source,
                account_id=account_id,
            )
        epoch = min(piece.epoch for piece in evidence if piece.epoch is not None)
        try:
            session = self._sessions.open_through(
                DOOR,
                account_id=account.id,
                epoch=epoch,
                proofs=tuple(piece.proof for piece in evidence),
                source=source,
                shared=browser.shared,
            )
        except Denied as refusal:
            self._refuse(Event.AUTH_LOGIN_FAILED, refusal.reason, source=source, account_id=account_id)
        opened = SecurityEvent(
            name=Event.AUTH_LOGIN,
            actor=Actor(type="user", id=account.id),
            resource=ResourceRef(type="account", id=account.id),
            source=source,
            session=session.reference,
            details={"factors": "+".join(piece.factor.value for piece in evidence)},
        )
        recorded = False
        try:
            self._emit(opened)
            recorded = True
            self._throttle.complete(units)
            self._accounts.signed_in(account.id, at=self._clock())
            cookie, new = self._remember(account, browser, source, device, epoch=epoch)
            self._watch.completed(
                account, source=source, new_device=new, notice=browser.notice, folded=browser.folded
            )
        except BaseException:
            # Not recorded means not signed in. The token was given to nobody yet, so even if this fails it is dead.
            try:
                self._sessions.discard(session)
            finally:
                if recorded:  # a second record, which says that the first came to nothing
                    with suppress(StoreError):
                        self._emit(replace(opened, name=Event.AUTH_LOGIN_FAILED, outcome=Outcome.ERROR))
            raise
        return session, cookie

    def logout(self, token: object, *, source: Source, pending: object = None) -> None:
        """End a session because its holder asked, and drop a half-finished sign-in of the same browser.

        Unknown tokens are no error.
        """
        self.abort(pending)
        self._sessions.logout(token, source=source)

    def _shortfall(
        self, account_id: str, account: Account | None, evidence: Sequence[Evidence]
    ) -> Reason | None:
        kinds = [piece.factor for piece in evidence]
        if not all(type(piece) is Evidence for piece in evidence):
            raise TypeError("login takes Evidence as portalsec.auth made it")
        if any(piece.account_id != account_id for piece in evidence) or len(set(kinds)) != len(kinds):
            return Reason.EVIDENCE_MIXED
        now = self._clock()
        lifetime = self.policy.evidence_lifetime or self.policy.pending_lifetime
        tolerance = self._sessions.policy.clock_tolerance
        if not all(-tolerance <= now - piece.at < lifetime for piece in evidence):
            return Reason.EVIDENCE_STALE
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if account.disabled:
            return Reason.ACCOUNT_DISABLED
        if self.must_change(account) is not None:
            return Reason.CHANGE_REQUIRED
        wanted = set(self.policy.required_factors)
        # Asked anew of the store: what was true when the password was looked at may be old by now.
        if Factor.TOTP.value not in wanted and self._totp.enrolled(account_id):
            wanted.add(Factor.TOTP.value)
        if not wanted <= {kind.value for kind in kinds} or all(piece.epoch is None for piece in evidence):
            return Reason.EVIDENCE_MISSING
        return None

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _finish(  # noqa: PLR0917
        self,
        account: Account,
        state: Pending,
        proven: Evidence,
        attempt: Attempt,
        source: Source,
        device: object,
    ) -> Step:
        password = mint(
            Factor.PASSWORD, account.id, from_unix_microseconds(state.password_at), epoch=state.epoch
        )
        units = state.units + attempt.hold()
        return self._complete(
            account,
            (password, proven),
            source=source,
            password=state.password,
            units=units,
            browser=state.browser,
            device=device,
        )

    def _complete(
        self,
        account: Account,
        evidence: Sequence[Evidence],
        *,
        source: Source,
        password: str,
        units: Units,
        browser: Browser,
        device: object,
    ) -> Step:
        """All factors are proven: a session, or first a new password."""
        reason = self.must_change(account)
        if reason is None:
            session, cookie = self._open(
                account.id,
                evidence,
                source=source,
                browser=browser,
                password=password,
                units=units,
                device=device,
            )
            return Step(next=(), session=session, device=cookie)
        epoch = min(piece.epoch for piece in evidence if piece.epoch is not None)
        token, now = new_token(), self._clock()
        pending = Pending(
            epoch=epoch,
            password_at=unix_microseconds(evidence[0].at),
            password=password,
            units=units,
            browser=browser,
            proven=tuple((piece.factor.value, unix_microseconds(piece.at)) for piece in evidence),
        )
        expires_at = now + self.policy.pending_lifetime
        self._put(_digest(token), _NEW_PASSWORD, account.id, pending, expires_at=expires_at, attempts=0)
        # A flow has one count, and what the meter asks while somebody types is no try.
        self._put(_look_digest(token), _LOOK, account.id, pending, expires_at=expires_at, attempts=0)
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGE_REQUIRED,
                actor=Actor(type="user", id=account.id),
                resource=ResourceRef(type="account", id=account.id),
                source=source,
                details={"why": reason},
            )
        )
        return Step(next=("new_password",), pending=Secret(token))

    def _enrolled(  # noqa: PLR0917
        self,
        account: Account,
        flow: Flow,
        state: Pending,
        typed: str,
        source: Source,
        session: str | None = None,
    ) -> tuple[Evidence, Attempt, str]:
        """Confirm the authenticator of a flow, recorded and told: what it proves, its budget's unit, the notice's id."""
        device_id = state.device_id or ""
        attempt = self._reserve("enrolment", account, source)
        try:
            # Only the device that this flow began: not one that another browser is enrolling.
            proven = self._totp.confirm(account.id, device_id, typed)
        except Denied as refusal:
            attempt.failed()
            self._wrong_code(flow, refusal.reason, source)
        except StoreError:
            attempt.not_tested()
            raise
        try:
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_MFA_ENROLLED,
                    actor=Actor(type="user", id=account.id),
                    resource=ResourceRef(type="account", id=account.id),
                    source=source,
                    session=session,
                    details={"factor": Factor.TOTP.value},
                )
            )
            told = self._tell_of_factor(account, device_id, source)
        except BaseException:
            # Only the store knows whether the code confirmed it, so the record comes second; without one it is void.
            self._totp.undo(account.id, device_id)
            raise
        return proven, attempt, told

    def _tell_of_factor(self, account: Account, device_id: str, source: Source) -> str:
        from portalsec.auth.notices import NoticeKind  # imported by whoever built the notices

        return self._notices.tell(
            account.id,
            NoticeKind.FACTOR_ADDED,
            source=source,
            details={"factor": Factor.TOTP.value, "device": device_id},
        ).id

    def _reserve(self, kind: str, whose: str | Account, source: Source) -> Attempt:
        """``whose``: for a password the canonical name, for a code the account."""
        name, subject = (whose, whose) if isinstance(whose, str) else (whose.login, whose.id)
        try:
            return self._throttle.admit(kind, account=subject, address=source.address)
        except Denied as refusal:
            self._throttled(kind, name, refusal.reason, source)
            raise

    def _throttled(self, kind: str, name: str, reason: Reason, source: Source) -> None:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_THROTTLED,
                outcome=Outcome.DENIED,
                reason=reason,
                source=source,
                details={"login": login_reference(self._mac, name), "kind": kind},
            )
        )

    def _device_copied(self, device: KnownDevice, source: Source) -> None:
        from portalsec.auth.notices import NoticeKind

        self._notices.tell(device.account_id, NoticeKind.DEVICE_REUSED, source=source)

    def _forget(self, account: Account, device: KnownDevice, source: Source) -> None:
        """A device that guessed until its own budget was used up: one copy of it must not take all devices' share."""
        from portalsec.auth.notices import NoticeKind

        with suppress(Denied):  # it is gone already
            self._devices.revoke(account.id, device.id, actor=SYSTEM, source=source)
            self._notices.tell(account.id, NoticeKind.DEVICE_REMOVED, source=source)

    def _marked(self, account: Account, source: Source) -> Account:
        """The account, which must choose another password: this one was right, and attackers have it in their lists."""
        if account.must_change is not None:
            return account
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGE_REQUIRED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
                details={"why": BREACHED},
            )
        )
        if not self._accounts.require_change(account.id, BREACHED):
            raise StoreError("an account vanished while it signed in")
        return replace(account, must_change=BREACHED)

    def _looked_at(
        self, attempt: Attempt, stored: str | None, password: object, account_id: str | None
    ) -> Verified:
        """`Passwords.verify`; where it could not hash, it is not the visitor's failure."""
        try:
            return self._passwords.verify(stored, password, account_id=account_id)
        except StoreError:
            attempt.not_tested()
            raise

    def _rehash(self, account: Account, password: object, source: Source) -> Account:
        """The account with its new hash; as it was where somebody changed the password meanwhile."""
        new_hash = self._passwords.hash(password, account_id=account.id)
        # Compare and set: a password that was changed meanwhile must not be overwritten by the old one.
        if not self._accounts.set_password(account.id, new_hash, expected=account.password_hash):
            return account
        self._emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_REHASHED,
                actor=SYSTEM,
                resource=ResourceRef(type="account", id=account.id),
                source=source,
            )
        )
        return replace(account, password_hash=new_hash)

    def _wrong_password(
        self,
        attempt: Attempt,
        account: Account | None,
        reason: Reason,
        source: Source,
        details: Mapping[str, str],
        *,
        control: str | None,
        known: KnownDevice | None,
    ) -> NoReturn:
        """Refuse; one record, whatever the reason. ``control`` is what failed, where somebody must see to it."""
        attempt.failed(source=source)
        shown = None if account is None else account.id
        self._emit(
            SecurityEvent(
                name=Event.AUTH_LOGIN_FAILED if control is None else Event.SYSTEM_CONTROL_FAILED,
                outcome=Outcome.DENIED if control is None else Outcome.ERROR,
                actor=ANONYMOUS if control is None else SYSTEM,
                resource=None if shown is None else ResourceRef(type="account", id=shown),
                reason=reason,
                source=source,
                details=dict(details) if control is None else {**details, "control": control},
            )
        )
        if attempt.device_used_up and account is not None and known is not None:
            self._forget(account, known, source)
        if attempt.used_up:
            self._watch.locked(None if account is None or account.disabled else account, source=source)
        raise Denied(reason)

    def _remember(
        self, account: Account, browser: Browser, source: Source, cookie: object, *, epoch: int
    ) -> tuple[Secret[str] | None, bool]:
        """The known devices' new cookie, and whether the owner is to be told of a new one.

        Whoever says that a computer is shared is not remembered, and the owner is told all the same.
        """
        if browser.shared:
            return None, True
        shown = None if browser.device is None else bytes.fromhex(browser.device)
        remembered = self._devices.remember(
            account.id, shown, source=source, cookie=cookie, family=browser.family
        )
        if self._sessions.epoch(account.id) != epoch:
            # The account's sessions were ended meanwhile, its devices perhaps before this one was there.
            with suppress(Denied):
                owner = Actor(type="user", id=account.id)
                self._devices.revoke(account.id, remembered.device.id, actor=owner, source=source)
            return None, remembered.new
        return remembered.cookie, remembered.new

    def _code(self, code: object, source: Source) -> str:
        from portalsec.auth.totp import normalise_code  # a Totp was handed in, so this is loaded already

        try:
            return normalise_code(code)
        except Denied as refusal:
            self._refuse(Event.SYSTEM_REQUEST_REFUSED, refusal.reason, source=source)

    def _attempt(
        self, pending: object, purpose: str, source: Source, *, limit: int | None = None
    ) -> tuple[Flow, Pending]:
        return self._tried(_token_digest(pending), purpose, source, limit or self.policy.pending_attempts)

    def _tried(self, digest: bytes | None, purpose: str, source: Source, limit: int) -> tuple[Flow, Pending]:
        """A flow that stands in the store, with this try counted."""
        flow = digest and self._flows.attempt(digest, purpose, limit=limit, now=self._clock())
        if not flow:
            self._refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        return flow, Pending.decode(open_data(self._mac, flow))

    def _holder(self, flow: Flow, state: Pending, source: Source) -> Account:
        """The account of a pending sign-in, which ends here if the account is disabled or has another password now.

        A password can be changed past portalsec (an administration page, a script); the store's hash is what tells.
        """
        account = self._accounts.get(flow.account_id or _NOBODY)
        if account is None or account.disabled or not self._still(account, state.password):
            self._flows.consume(flow.digest, flow.purpose, now=self._clock())
            gone = account is None or account.disabled
            self._refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.ACCOUNT_DISABLED if gone else Reason.FLOW_UNKNOWN,
                source=source,
                account_id=flow.account_id,
                details={} if gone else {"ended_by": "password_changed"},
            )
        return account

    def _still(self, account: Account, password: str | None) -> bool:
        """Whether the account's password is the one that was proven; None where no password was looked at here."""
        return password is None or is_password(self._mac, password, account.password_hash)

    def _not_enrolled(self, account: Account, source: Source, session: str | None = None) -> None:
        # A password alone must never add an authenticator beside one that the owner has: the sign-in may have been
        # started before the owner enrolled theirs.
        if self._totp.enrolled(account.id):
            self._refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FACTOR_ALREADY_ENROLLED,
                source=source,
                account_id=account.id,
                session=session,
            )

    def _wrong_code(
        self, flow: Flow, reason: Reason, source: Source, *, recorded: Reason | None = None
    ) -> NoReturn:
        """``recorded``: why the code was not even looked at, which the log says and the answer does not."""
        cause = recorded or reason
        if flow.attempts >= self.policy.pending_attempts:
            # The last attempt takes the pending sign-in with it: a guesser must find the password again.
            self._flows.consume(flow.digest, flow.purpose, now=self._clock())
            self._refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FLOW_EXHAUSTED,
                source=source,
                account_id=flow.account_id,
                details={"last": cause.value},
            )
        self._refuse(
            Event.AUTH_MFA_CHALLENGE_FAILED,
            cause,
            source=source,
            account_id=flow.account_id,
            shown=reason,
        )

    def _consume(self, flow: Flow, source: Source) -> None:
        if self._flows.consume(flow.digest, flow.purpose, now=self._clock()) is None:
            # Another request used, aborted or outlived it between our attempt and now.
            self._refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FLOW_UNKNOWN,
                source=source,
                account_id=flow.account_id,
            )

    def _put(
        self,
        digest: bytes,
        purpose: str,
        account_id: str,
        pending: Pending,
        *,
        expires_at: datetime,
        attempts: int,
    ) -> None:
        stored = self._flows.put(
            Flow(
                digest=digest,
                purpose=purpose,
                account_id=account_id,
                data=seal_data(
                    self._mac, pending.encode(), digest=digest, purpose=purpose, account_id=account_id
                ),
                expires_at=expires_at,
                attempts=attempts,
            )
        )
        if not stored:
            raise StoreError("a pending sign-in could not be stored")

    def _refuse(
        self,
        name: str,
        reason: Reason,
        *,
        source: Source,
        account_id: str | None = None,
        session: str | None = None,
        details: Mapping[str, str] | None = None,
        shown: Reason | None = None,
    ) -> NoReturn:
        self._emit(
            SecurityEvent(
                name=name,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS if session is None else Actor(type="user", id=account_id),
                resource=None if account_id is None else ResourceRef(type="account", id=account_id),
                reason=reason,
                source=source,
                session=session,
                details=dict(details or {}),
            )
        )
        raise Denied(shown or reason)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _look_digest(token: str) -> bytes:
    return hashlib.sha256(b"look:" + token.encode("ascii")).digest()


def _token_digest(token: object) -> bytes | None:
    text = token_text(token)
    return None if text is None else _digest(text)


def _within(session: ActiveSession) -> bytes:
    """Where the enrolment of a session lies: found by whoever holds that session's id, and by nobody else."""
    return hashlib.sha256(b"enrolment:" + session.digest).digest()
