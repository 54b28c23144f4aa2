"""`Factors`: the owner's authenticators, and what their owner does with them in an open session.

Every change asks for a step-up that is a few minutes old at most and was made for this: a session that was left open, or
stolen, neither adds a way in nor takes one away. Every change is recorded, ends all other sessions, which know less than
the account now asks for, and is told to the owner with a link that takes it back for a day (`portalsec.auth.undo`).

An id of another account's authenticator is answered as one that does not exist.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol

from portalsec.auth._importing import ImportShelf, label_of
from portalsec.auth._last_factor import LastFactor
from portalsec.auth._pending import is_password, open_data, password_digest, seal_data
from portalsec.auth.authenticators import Authenticators, Held
from portalsec.auth.endings import Endings, Why
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.notices import OLD_NAME, NoticeKind, Notices
from portalsec.auth.otpauth import ImportedSeed, read
from portalsec.auth.passkeys.labels import label_text
from portalsec.auth.ports import Account, AccountStore, Flow, FlowStore, KnownDevice, Mac, Sealer
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.recovery_codes import FEW_LEFT, RecoveryCodes, RecoveryCodeSet
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.throttle import Attempt, Throttle
from portalsec.auth.totp import Enrolment, Totp, normalise_code
from portalsec.auth.trust import Trust
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:
    from portalsec.auth.passkeys import Passkeys
    from portalsec.auth.passkeys.options import PasskeyOptions

__all__ = ["WITHIN", "Added", "Factors", "Overview", "Removed", "StepUpGate"]

WITHIN = timedelta(minutes=5)
"""How old a step-up may be that changes factors."""

_PURPOSE = "factors.totp"
_LIFETIME = timedelta(minutes=10)
_ATTEMPTS = 5


class StepUpGate(Protocol):
    """`portalsec.auth.step_up.StepUp`."""

    def require(self, session: ActiveSession, *, within: timedelta, explicit: bool = True) -> None:
        """Return where a factor was shown for this, so recently; raise `Denied` (STEP_UP_REQUIRED) else."""
        ...

    def by_new_factor(self, new: NewSession, proven: Evidence, *, source: Source) -> NewSession:
        """The session with the proof of a factor that was set up in it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What an owner's page shows.

    Attributes:
        held: authenticators, oldest first.
        removed: those that can be put back still.
        codes_left: recovery codes that are unspent.
        codes_made_at: when they were made; None where there are none.
        few_codes: whether new ones should be made.
        trusted: browsers that are trusted now.
    """

    held: tuple[Held, ...]
    removed: tuple[Held, ...]
    codes_left: int
    codes_made_at: datetime | None
    few_codes: bool
    trusted: tuple[KnownDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What came of adding one.

    Attributes:
        session: the present one under its new id: its token belongs into the browser's cookie now.
        authenticator_id: of the new one.
        codes: recovery codes, where the account had none left: to be shown now, and never again.
    """

    session: NewSession
    authenticator_id: str
    codes: RecoveryCodeSet | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What came of removing one.

    Attributes:
        session: as of `Added`. None after the last one of an account with a password: this session ended with the others,
            and the sign-in that follows sees whether the password is long enough to stand alone.
        last: it was the last one: recovery codes and trusted browsers went with it, and a password that is too short to
            stand alone is replaced at the next sign-in.
    """

    session: NewSession | None
    last: bool


class Factors:
    """Lists, adds, renames, removes and puts back authenticators, and makes recovery codes, for the holder of a session.

    Safe for concurrent use: of several equal changes at once one wins, and two that would each leave one authenticator
    leave none only where the account may have none.

    Args:
        flows: enrolments and imports under way; may be short-lived.
        sealer: seals the seeds of an import under way.
        last: what goes with the last authenticator, and whether the account may be without one.
        passkeys: None where the portal has none.
    """

    def __init__(
        self,
        *,
        authenticators: Authenticators,
        totp: Totp,
        passkeys: Passkeys | None,
        codes: RecoveryCodes,
        trust: Trust,
        last: LastFactor,
        accounts: AccountStore,
        flows: FlowStore,
        step_up: StepUpGate,
        throttle: Throttle,
        endings: Endings,
        notices: Notices,
        sealer: Sealer,
        mac: Mac,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._authenticators = authenticators
        self._totp = totp
        self._passkeys = passkeys
        self._codes = codes
        self._trust = trust
        self._last = last
        self._accounts = accounts
        self._flows = flows
        self._step_up = step_up
        self._throttle = throttle
        self._endings = endings
        self._notices = notices
        self._mac = mac
        self._shelf = ImportShelf(flows=flows, sealer=sealer, mac=mac, clock=clock)
        self._emit = emit
        self._clock = clock

    def overview(self, session: ActiveSession) -> Overview:
        """All of an account's, for its holder's page; no step-up is asked for to look."""
        session.require_owner()  # support that acts in the owner's name sees no factors
        account = self._accounts.get(session.account_id)
        if account is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        held, left = self._authenticators.of_account(account.id), self._codes.left(account.id)
        return Overview(
            held=held,
            removed=self._authenticators.removed(account.id, now=self._clock()),
            codes_left=left,
            codes_made_at=self._codes.made_at(account.id),
            few_codes=bool(held) and left <= FEW_LEFT,
            trusted=tuple(self._trust.of_account(account)),
        )

    # -- adding -----------------------------------------------------------------------------------------------------

    def begin_totp(
        self, session: ActiveSession, *, label: str = "Authenticator app", source: Source
    ) -> Enrolment:
        """Make a seed. Show it once, in the answer to a POST; it counts for nothing until `confirm_totp`.

        The enrolment is this session's, and dies with it; beginning again voids the one before.

        Raises:
            Denied: STEP_UP_REQUIRED, FACTOR_LIMIT, MALFORMED (the label), ACCOUNT_DISABLED.
        """
        account = self._may(session, Event.AUTH_MFA_ENROLLED, source)
        enrolment = self._totp.begin(account.id, account.login, label)
        self._begun(session, account, enrolment.device_id)
        return enrolment

    def import_totp(
        self, session: ActiveSession, uri: object, *, label: str = "Authenticator app", source: Source
    ) -> Enrolment:
        """The same with the seed of an authenticator that the owner has already: see `Totp.import_`.

        Raises:
            portalsec.auth.otpauth.ImportRefused: its `problem` has the sentence for whoever tried.
            Denied: as `begin_totp`, and FACTOR_ALREADY_ENROLLED.
        """
        account = self._may(session, Event.AUTH_MFA_ENROLLED, source)
        enrolment = self._totp.import_(account.id, uri, label)
        self._begun(session, account, enrolment.device_id)
        return enrolment

    def confirm_totp(self, session: ActiveSession, code: object, *, source: Source) -> Added:
        """Accept the first code of what this session began.

        Raises:
            Denied: MALFORMED, WRONG_CODE, THROTTLED; FLOW_UNKNOWN (nothing was begun here, it is too old, had its tries, or
                the password is another one by now), FACTOR_NOT_ENROLLED, FACTOR_ALREADY_ENROLLED, FACTOR_LIMIT,
                FACTOR_DISABLED: begin again. SESSION_REVOKED: somebody ended the session meanwhile, and it is void.
            StoreError: something failed; the authenticator is void, and sessions may have ended.
        """
        device_id, attempt = self._under_way(session, code, source)
        refused: Reason | None = None
        try:
            proven = self._totp.confirm(session.account_id, device_id, code)
        except Denied as denied:
            refused = denied.reason
        except StoreError:
            attempt.not_tested()
            raise
        if refused is not None:
            attempt.failed()
            self._refuse(session, Event.AUTH_MFA_CHALLENGE_FAILED, refused, source, {"factor": "totp"})
        added = self._added(session, device_id, proven, source)
        with suppress(StoreError):  # the new id must reach the browser
            self._flows.consume(_place(session), _PURPOSE, now=self._clock())
            self._throttle.complete(attempt.hold())
        return added

    def begin_import(self, session: ActiveSession, pasted: object, *, source: Source) -> tuple[str, ...]:
        """Read an ``otpauth`` URI or a migration payload, of one authenticator or several; each counts for nothing until
        `confirm_import` sees a code of it. They wait for ten minutes, for this session alone; pasting again voids them.

        Returns: their names, as `waiting_imports`.

        Raises:
            portalsec.auth.otpauth.ImportRefused: its `problem` has the sentence for whoever tried.
            Denied: as `begin_totp`, but for the label.
        """
        account = self._may(session, Event.AUTH_MFA_ENROLLED, source)
        seeds = read(pasted)
        if len(self._totp.devices(account.id)) >= self._totp.policy.max_devices:
            self._refuse(session, Event.AUTH_MFA_ENROLLED, Reason.FACTOR_LIMIT, source)
        self._shelf.put(session.digest, session.record.epoch, account, seeds)
        return tuple(map(_import_label, seeds))

    def waiting_imports(self, session: ActiveSession, *, source: Source) -> tuple[str, ...]:
        """Names of what this session pasted and has not confirmed, in the payload's order; "Authenticator app" for one
        without a name. They are the export's words, for display only. No seed leaves this class again."""
        session.require_owner()
        account = self._account(session, Event.AUTH_MFA_ENROLLED, source)
        waiting = self._shelf.look(session, account)
        return () if waiting is None else tuple(map(_import_label, waiting.seeds))

    def drop_imports(self, session: ActiveSession) -> None:
        """Forget what this session pasted and did not confirm."""
        session.require_owner()
        self._shelf.drop(session)

    def confirm_import(self, session: ActiveSession, entry: int, code: object, *, source: Source) -> Added:
        """Accept a current code of one that waits, by its place among `waiting_imports`. Those that are left wait on for
        the session under its new id.

        Raises:
            Denied: MALFORMED, WRONG_CODE, THROTTLED; FACTOR_ALREADY_ENROLLED (this account has that seed), FACTOR_LIMIT;
                FACTOR_NOT_ENROLLED (none has this place); FLOW_UNKNOWN (nothing waits here, it is too old, had five wrong
                codes, or the password is another one by now: paste again). SESSION_REVOKED as `confirm_totp`.
            StoreError: as `confirm_totp`.
        """
        session.require_owner()
        event = Event.AUTH_MFA_CHALLENGE_FAILED
        self._well_formed(session, code, source)
        account = self._account(session, event, source)
        waiting = self._shelf.tried(session, account)
        if waiting is None:
            self._refuse(session, event, Reason.FLOW_UNKNOWN, source)
        if not 0 <= entry < len(waiting.seeds):
            self._refuse(session, event, Reason.FACTOR_NOT_ENROLLED, source)
        seed, attempt = waiting.seeds[entry], self._reserve(session, account, source)
        refused: Reason | None = None
        try:
            proven = self._totp.confirm_import(account.id, seed, _import_label(seed), code)
        except Denied as denied:
            refused = denied.reason
        except StoreError:
            attempt.not_tested()
            raise
        if refused is not None:
            if refused is Reason.WRONG_CODE:
                attempt.failed()
            else:
                attempt.not_tested()
            self._refuse(session, event, refused, source, {"factor": "totp"})
        added = self._added(session, proven.proof.authenticator or "", proven, source)
        rest = [each for place, each in enumerate(waiting.seeds) if place != entry]
        with suppress(StoreError):  # the new id must reach the browser; what waited can be pasted again
            # Whatever ended the other sessions dropped what waited: the rest is this session's again, for no longer.
            epoch = session.record.epoch + 1
            self._shelf.put(added.session.digest, epoch, account, rest, until=waiting.until)
            self._throttle.complete(attempt.hold())
        return added

    def begin_passkey(self, session: ActiveSession, *, source: Source) -> PasskeyOptions:
        """Ask for a new passkey: options for the browser. The challenge is this session's.

        Raises:
            Denied: STEP_UP_REQUIRED, PASSKEY_REFUSED (as many as there may be), ACCOUNT_DISABLED, FACTOR_NOT_ENROLLED (the
                portal has no passkeys).
        """
        account = self._may(session, Event.AUTH_MFA_ENROLLED, source)
        return self._of_passkeys(session, source).begin_registration(session.digest, account)

    def confirm_passkey(
        self,
        session: ActiveSession,
        response: object,
        *,
        label: object = "",
        with_codes: bool = True,
        source: Source,
    ) -> Added:
        """Verify and keep the passkey that the browser made.

        Args:
            response: as of `Passkeys.complete_registration`.
            with_codes: whether recovery codes come with it, where there are none left; False where the answer cannot show
                them (a script's).

        Raises:
            Denied: FLOW_UNKNOWN, MALFORMED, PASSKEY_REFUSED, PASSKEY_TAKEN, SESSION_REVOKED.
        """
        session.require_owner()
        passkey = self._of_passkeys(session, source).complete_registration(
            session.digest, session.account_id, response, label=label, source=source
        )
        proof = Proof(
            factor=Factor.PASSKEY,
            at=self._clock(),
            authenticator=passkey.id,
            user_verified=passkey.user_verified,
            device_bound=not passkey.backup_eligible,
            attested=passkey.attested,
        )
        proven = mint(proof, session.account_id)
        return self._added(session, passkey.id, proven, source, with_codes=with_codes)

    # -- changing ---------------------------------------------------------------------------------------------------

    def rename(
        self, session: ActiveSession, authenticator_id: object, label: object, *, source: Source
    ) -> None:
        """Give one another name, and tell its owner, who can take that back for a day.

        Raises:
            Denied: STEP_UP_REQUIRED; MALFORMED (no name); FACTOR_NOT_ENROLLED (none of this account's).
            StoreError: its owner could not be told, or it not be renamed.
        """
        account = self._may(session, Event.AUTH_MFA_RENAMED, source)
        if not isinstance(label, str) or not any(char.isprintable() and not char.isspace() for char in label):
            self._refuse(session, Event.AUTH_MFA_RENAMED, Reason.MALFORMED, source)
        held = self._authenticators.of_account(account.id)
        found = next((each for each in held if each.id == authenticator_id), None)
        details = {"device": str(authenticator_id)[:64]}
        if found is not None:
            details |= {
                "factor": found.factor.value,
                OLD_NAME: found.label,
            }  # sealed, and in no mail: for the undo
        told = self._notices.tell(account.id, NoticeKind.FACTOR_RENAMED, source=source, details=details).id
        if not self._authenticators.rename(account.id, authenticator_id, label_text(label)):
            self._notices.withdraw(told)
            self._refuse(session, Event.AUTH_MFA_RENAMED, Reason.FACTOR_NOT_ENROLLED, source)
        self._record(session, Event.AUTH_MFA_RENAMED, source, {"device": str(authenticator_id)})

    def remove(self, session: ActiveSession, authenticator_id: object, *, source: Source) -> Removed:
        """Remove one; for a day its owner can put it back. Other sessions end, and with the last one this session too.

        Raises:
            Denied: STEP_UP_REQUIRED; FACTOR_NOT_ENROLLED (none of this account's); FACTOR_REQUIRED (it is the last one of
                an account that must have one: add another first); SESSION_REVOKED.
            StoreError: something failed; it is a factor still, or (where only the last step failed) not any more.
        """
        event = Event.AUTH_MFA_REMOVED
        account = self._may(session, event, source)
        held = self._authenticators.of_account(account.id)
        found = next((each for each in held if each.id == authenticator_id), None)
        if found is None:
            self._refuse(session, event, Reason.FACTOR_NOT_ENROLLED, source)
        details = {"factor": found.factor.value, "device": found.id}
        last = len(held) == 1
        # A dead one lets nobody in: beside it the last that works is the last.
        useless = all(each.dead for each in held if each.id != found.id)
        if useless and (last or not found.dead) and self._last.required(account.id):
            self._refuse(session, event, Reason.FACTOR_REQUIRED, source, details)
        self._record(session, event, source, details, changed=("factor",))
        kept: NewSession | None = self._end_others(session, Why.FACTOR_REMOVED, event, source)
        told = self._notices.tell(account.id, NoticeKind.FACTOR_REMOVED, source=source, details=details).id
        if last:
            # First: where something fails after this, an authenticator without codes is left, and never the reverse.
            self._last.went(account.id, source=source)
            kept = self._unless_alone(account, kept, source)
        else:
            # Without it the set-up may be one that a browser was trusted under before it was added.
            self._last.distrust(account.id, source=source)
        now = self._clock()
        removed = self._authenticators.remove(account.id, found.id, at=now)
        if not removed:
            self._notices.withdraw(told)  # another request of the owner's was faster, and tells of it
        elif not last and not self._authenticators.of_account(account.id):
            # Two at once, each of which left one.
            if self._last.required(account.id):
                self._authenticators.restore(account.id, found.id, now=now)
                self._notices.withdraw(told)
                self._refuse(session, event, Reason.FACTOR_REQUIRED, source, details)
            self._last.went(account.id, source=source)
            kept = self._unless_alone(account, kept, source)
            last = True
        if removed:
            # After it, once more: whoever signed in with it meanwhile is out too.
            kept = self._endings.apply(
                account.id,
                Why.FACTOR_REMOVED,
                actor=Actor(type="user", id=account.id),
                source=source,
                keep=None if kept is None else kept.digest,
            )
        return Removed(session=kept, last=last)

    def restore(self, session: ActiveSession, authenticator_id: object, *, source: Source) -> NewSession:
        """Put back one that was removed less than a day ago.

        Raises:
            Denied: STEP_UP_REQUIRED; FACTOR_NOT_ENROLLED (none of this account's, too long ago, or there are as many as
                there may be); SESSION_REVOKED.
        """
        event = Event.AUTH_MFA_RESTORED
        account, now = self._may(session, event, source), self._clock()
        gone = self._authenticators.removed(account.id, now=now)
        found = next((each for each in gone if each.id == authenticator_id), None)
        if found is None:
            self._refuse(session, event, Reason.FACTOR_NOT_ENROLLED, source)
        details = {"factor": found.factor.value, "device": found.id}
        told = self._notices.tell(account.id, NoticeKind.FACTOR_RESTORED, source=source, details=details).id
        self._last.distrust(account.id, source=source)  # before it counts again: see `LastFactor.distrust`
        if not self._authenticators.restore(account.id, found.id, now=now):
            self._notices.withdraw(told)
            self._refuse(session, event, Reason.FACTOR_NOT_ENROLLED, source, details)
        try:
            # After the change: the log says of nothing that it was done which found no room.
            self._record(session, event, source, details, changed=("factor",))
        except BaseException:
            with suppress(StoreError):
                self._authenticators.remove(account.id, found.id, at=found.removed_at)
                self._notices.withdraw(told)
            raise
        return self._end_others(session, Why.FACTOR_ADDED, event, source)

    def new_recovery_codes(self, session: ActiveSession, *, source: Source) -> RecoveryCodeSet:
        """Ten new ones in the place of all that there are. Show them now: they cannot be read again.

        Raises:
            Denied: STEP_UP_REQUIRED; FACTOR_NOT_ENROLLED (there is nothing that they could stand in for).
            StoreError: those before may be void; make them again.
        """
        account = self._may(session, Event.AUTH_RECOVERY_CODES_MADE, source)
        if not self._authenticators.of_account(account.id):
            self._refuse(session, Event.AUTH_RECOVERY_CODES_MADE, Reason.FACTOR_NOT_ENROLLED, source)
        # Told first: no codes are made that the owner does not hear of.
        self._notices.tell(account.id, NoticeKind.RECOVERY_CODES_MADE, source=source)
        return self._codes.make(account.id, source=source, session=session.reference)

    def distrust(self, session: ActiveSession, device_id: object, *, source: Source) -> None:
        """Trust a browser no longer, or "all" of them. It takes something away that only convenience gains by, so no
        step-up is asked for.

        Raises:
            Denied: TOKEN_INVALID: none of this account's.
        """
        session.require_owner()
        if device_id == "all":
            self._trust.revoke_all(session.account_id, source=source)
        else:
            self._trust.revoke(session.account_id, str(device_id)[:128], source=source)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _may(self, session: ActiveSession, event: Event, source: Source) -> Account:
        self._step_up.require(session, within=WITHIN, explicit=True)
        return self._account(session, event, source)

    def _account(self, session: ActiveSession, event: Event, source: Source) -> Account:
        account = self._accounts.get(session.account_id)
        if account is None or account.disabled:
            self._refuse(session, event, Reason.ACCOUNT_DISABLED, source)
        return account

    def _of_passkeys(self, session: ActiveSession, source: Source) -> Passkeys:
        if self._passkeys is None:
            self._refuse(session, Event.AUTH_MFA_ENROLLED, Reason.FACTOR_NOT_ENROLLED, source)
        return self._passkeys

    def _begun(self, session: ActiveSession, account: Account, device_id: str) -> None:
        """Bind what was begun to this session, and to the password that it was begun under."""
        digest = _place(session)
        state = {
            "v": 1,
            "device": device_id,
            "password": password_digest(self._mac, account.password_hash),
            "epoch": session.record.epoch,
        }
        data = json.dumps(state, separators=(",", ":")).encode("utf-8")
        self._flows.consume(digest, _PURPOSE, now=self._clock())
        stored = self._flows.put(
            Flow(
                digest=digest,
                purpose=_PURPOSE,
                account_id=account.id,
                data=seal_data(self._mac, data, digest=digest, purpose=_PURPOSE, account_id=account.id),
                expires_at=self._clock() + _LIFETIME,
            )
        )
        if not stored:
            raise StoreError("an enrolment could not be stored: another one was begun at the same moment")

    def _under_way(self, session: ActiveSession, code: object, source: Source) -> tuple[str, Attempt]:
        """The device that this session is setting up, and the units of one try."""
        session.require_owner()
        event = Event.AUTH_MFA_CHALLENGE_FAILED
        self._well_formed(session, code, source)
        flow = self._flows.attempt(_place(session), _PURPOSE, limit=_ATTEMPTS, now=self._clock())
        if flow is None or flow.account_id != session.account_id:
            self._refuse(session, event, Reason.FLOW_UNKNOWN, source)
        account = self._account(session, event, source)
        state = _state(open_data(self._mac, flow))
        same = is_password(self._mac, str(state["password"]), account.password_hash)
        if not same or state["epoch"] != session.record.epoch:
            self._refuse(session, event, Reason.FLOW_UNKNOWN, source)
        return str(state["device"]), self._reserve(session, account, source)

    def _well_formed(self, session: ActiveSession, code: object, source: Source) -> None:
        malformed: Denied | None = None
        try:
            normalise_code(code)
        except Denied as denied:
            malformed = denied
        if malformed is not None:
            self._refuse(session, Event.AUTH_MFA_CHALLENGE_FAILED, malformed.reason, source)

    def _reserve(self, session: ActiveSession, account: Account, source: Source) -> Attempt:
        """The units of one try. Raises `Denied`: THROTTLED."""
        refusal: Denied | None = None
        try:
            return self._throttle.reserve("enrolment", account=account.id, address=source.address)
        except Denied as denied:
            refusal = denied
        self._record(
            session,
            Event.AUTH_THROTTLED,
            source,
            {"kind": "enrolment"},
            outcome=Outcome.DENIED,
            reason=refusal.reason,
        )
        raise Denied(refusal.reason, retry_after=refusal.retry_after)

    def _added(
        self,
        session: ActiveSession,
        authenticator_id: str,
        proven: Evidence,
        source: Source,
        *,
        with_codes: bool = True,
    ) -> Added:
        """Record a new one, tell of it, end other sessions; where one of these fails, it is void."""
        details, kept, told = {"factor": proven.factor.value, "device": authenticator_id}, None, None
        try:
            self._record(session, Event.AUTH_MFA_ENROLLED, source, details, changed=("factor",))
            told = self._notices.tell(
                session.account_id, NoticeKind.FACTOR_ADDED, source=source, details=details
            ).id
            kept = self._end_others(session, Why.FACTOR_ADDED, Event.AUTH_MFA_ENROLLED, source)
        finally:
            if kept is None:
                # Whoever ended this session meanwhile (the owner, say, of a stolen one) did not want this factor.
                self._authenticators.remove(session.account_id, authenticator_id)
                if told is not None:
                    self._notices.withdraw(told)
        codes = None
        with suppress(StoreError, Denied):  # the new id must reach the browser; it can be shown again
            if len(self._authenticators.of_account(session.account_id)) == 1:
                # The first one: from here on the account asks for it, and this session has just shown it.
                kept = self._step_up.by_new_factor(kept, proven, source=source)
        with suppress(StoreError):  # the new id must reach the browser; codes can be made later
            if with_codes and not self._codes.left(session.account_id):
                codes = self._codes.make(session.account_id, source=source, session=kept.reference)
        return Added(session=kept, authenticator_id=authenticator_id, codes=codes)

    def _end_others(self, session: ActiveSession, why: Why, event: Event, source: Source) -> NewSession:
        owner = Actor(type="user", id=session.account_id)
        kept = self._endings.apply(session.account_id, why, actor=owner, source=source, keep=session.digest)
        if kept is None:
            self._refuse(session, event, Reason.SESSION_REVOKED, source)
        return kept

    def _unless_alone(self, account: Account, kept: NewSession | None, source: Source) -> NewSession | None:
        """The session, or None and it ended: where a password is left alone, only the door sees how long it is."""
        if account.password_hash is None:
            return kept
        owner = Actor(type="user", id=account.id)
        return self._endings.apply(account.id, Why.FACTOR_REMOVED, actor=owner, source=source)

    def _record(
        self,
        session: ActiveSession,
        event: Event,
        source: Source,
        details: Mapping[str, str],
        *,
        changed: tuple[str, ...] = (),
        outcome: Outcome = Outcome.SUCCESS,
        reason: Reason | None = None,
    ) -> None:
        self._emit(
            SecurityEvent(
                name=event,
                outcome=outcome,
                actor=Actor(type="user", id=session.account_id),
                resource=ResourceRef(type="account", id=session.account_id),
                reason=reason,
                source=source,
                session=session.reference,
                changed=changed,
                details=details,
            )
        )

    def _refuse(
        self,
        session: ActiveSession,
        event: Event,
        reason: Reason,
        source: Source,
        details: Mapping[str, str] | None = None,
    ) -> NoReturn:
        self._record(session, event, source, details or {}, outcome=Outcome.DENIED, reason=reason)
        raise Denied(reason)


def _import_label(seed: ImportedSeed) -> str:
    return label_of(seed) or "Authenticator app"


def _place(session: ActiveSession) -> bytes:
    return hashlib.sha256(b"factors:" + session.digest).digest()


def _state(data: bytes) -> Mapping[str, object]:
    try:
        state = json.loads(data)
        if isinstance(state, dict) and state["v"] == 1 and {"device", "password", "epoch"} <= state.keys():
            return state
    except (ValueError, KeyError):
        pass
    raise Tampered("an enrolment is damaged")
