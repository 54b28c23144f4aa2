"""`SignIn`: the one door to a session.

==================  ==============================  ===========================================================
state               the visitor holds               what leads on
==================  ==============================  ===========================================================
start               nothing                         ``start`` (a password); ``begin_passkey`` -> passkey first
passkey first       a pending token                 ``submit_passkey``, once
link asked for      a pending token                 ``SignInLinks.follow``, once
factor              a pending token                 one of `Step.next`: ``submit_totp``, ``begin_passkey`` and
                                                    ``submit_passkey``, ``submit_recovery_code``, ``send_code`` and
                                                    ``submit_sent_code``
enrolment           a pending token                 ``begin_totp_enrolment``, ``confirm_totp_enrolment``;
                                                    ``begin_passkey_enrolment``, ``confirm_passkey_enrolment``
new_password        a pending token                 ``PasswordChange.submit_forced``
signed in           a session token                 ``logout`` -> start
resting             a session token                 ``resume``, ``begin_resume_passkey`` and ``resume_passkey``
==================  ==============================  ===========================================================

What leads where is `portalsec.auth.demands.missing`, asked at each step of what the account has and the policy wants by
then; `new_password` comes after all factors. A pending token is good for one step of one sign-in, and each step gives
another: it dies when it is used, aborted, too old, out of attempts, or when the account is disabled or gets another
password. Every way ends in `SignIn.login`, which alone can open a session and asks for everything again. Each refusal is
one `portalsec.errors.Denied` with one face; its reason is for the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from portalsec.auth._door import require_door
from portalsec.auth._door_kit import (
    NOBODY,
    Kit,
    PasskeyService,
    RecoveryCodeService,
    SentCodeService,
    TrustService,
    login_reference,
)
from portalsec.auth._enrolment import Enrolling
from portalsec.auth._first_factor import BREACHED, PasswordFirst
from portalsec.auth._link_first import LinkFirst
from portalsec.auth._opening import TOO_SHORT, Opening
from portalsec.auth._passkey_factor import PasskeyFactor
from portalsec.auth._pending import Browser, Pending, password_digest
from portalsec.auth._pending_flows import NEW_PASSWORD, PendingSignIns, token_digest
from portalsec.auth._resuming import Resuming
from portalsec.auth._second_factor import Codes
from portalsec.auth._standing import EXPIRED, Standing
from portalsec.auth.attempt import RiskOf
from portalsec.auth.demands import Demand, Facts
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings
from portalsec.auth.evidence import Evidence
from portalsec.auth.ports import Account, AccountStore, Flow, FlowStore, Mac, PasskeyStore, SignInWatch
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession, Sessions
from portalsec.auth.signin_policy import SignInPolicy
from portalsec.auth.step import Step
from portalsec.auth.throttle import Throttle, Units
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError
from portalsec.events import Source
from portalsec.secret import Secret
from portalsec.typing import Emit

if TYPE_CHECKING:  # argon2 and pyotp load with their own modules, not with the door
    from portalsec.auth.notices import Notices
    from portalsec.auth.out_of_band import Sent
    from portalsec.auth.passkeys.options import PasskeyOptions
    from portalsec.auth.passwords import Passwords
    from portalsec.auth.totp import Enrolment, Totp

__all__ = ["BREACHED", "EXPIRED", "TOO_SHORT", "SignIn", "SignInPolicy", "Step", "login_reference"]

_NEW_PASSWORD_TRIES = 100  # new passwords that one sign-in may offer; each refused one is told why


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
        passkeys: PasskeyService | None = None,
        passkey_store: PasskeyStore | None = None,
        recovery_codes: RecoveryCodeService | None = None,
        sent_codes: SentCodeService | None = None,
        trust: TrustService | None = None,
        facts_of: Callable[[str], Facts] | None = None,
        risk_of: RiskOf | None = None,
    ) -> None:
        """``listed``: whether attackers have a password that was right here (`NewPasswords.listed_here`).

        ``max_age``: how old a password may be (`PasswordPolicy.max_age`).

        ``min_length``: how long one must be that opens a session alone (`PasswordPolicy.min_length`).

        ``passkeys`` with their store, ``recovery_codes``, ``sent_codes``, ``trust``: None where the portal has none; what
        they look at is then never offered, asked for or taken.

        ``facts_of``: what `SignInPolicy.rules` are measured against, by account id. Where it raises, nobody is let in.

        ``risk_of``: labels of this very sign-in, for rules that name some. Where it raises, nobody is let in.
        """
        if policy.asks_who and facts_of is None:
            raise ConfigurationError(
                "SignInPolicy.rules go by role, permission, tenant or risk, and nobody tells who has which: hand over "
                "facts_of"
            )
        if policy.asks_risk and risk_of is None:
            raise ConfigurationError(
                "SignInPolicy.rules go by labels of a sign-in, and nobody gives any: hand over risk_of"
            )
        self._kit = Kit(
            accounts=accounts,
            passwords=passwords,
            totp=totp,
            throttle=throttle,
            sessions=sessions,
            flows=flows,
            endings=endings,
            devices=devices,
            watch=watch,
            notices=notices,
            policy=policy,
            emit=emit,
            clock=clock,
            mac=mac,
            max_age=max_age,
            listed=listed,
            min_length=min_length,
            passkeys=passkeys,
            passkey_store=passkey_store,
            recovery_codes=recovery_codes,
            sent_codes=sent_codes,
            trust=trust,
            facts_of=facts_of,
            risk_of=risk_of,
        )
        self._watch = watch
        self._pending = PendingSignIns(self._kit)
        self._standing = Standing(self._kit)
        self._opening = Opening(self._kit, self._pending, self._standing)
        self._password = PasswordFirst(self._kit, self._pending, self._opening)
        self._link = LinkFirst(self._kit, self._pending, self._standing, self._opening)
        self._codes = Codes(self._kit, self._pending, self._standing, self._opening)
        self._passkey = PasskeyFactor(self._kit, self._pending, self._standing, self._opening)
        self._enrolling = Enrolling(self._kit, self._pending, self._standing, self._opening)
        self._resuming = Resuming(self._kit, self._standing)
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
        trust: bool = False,
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
            trust: the visitor asks to be spared the second factor in this browser, where the policy leaves that open.

        Raises:
            Denied: MALFORMED, THROTTLED (the address's budget, with ``retry_after``), UNKNOWN_ACCOUNT, WRONG_PASSWORD,
                ACCOUNT_LOCKED and PASSWORD_SPRAYED (a budget of the name or the password is used up, so that the
                password was not looked at), FACTOR_NOT_ENROLLED (an account without a password, or with a stored hash
                that is damaged, which is recorded), ACCOUNT_DISABLED, EVIDENCE_MISSING (right, and the account has
                nothing left that could lead on).
            StoreError: plumbing; nobody was let in.
        """
        return self._password.start(
            login,
            password,
            source=source,
            replaces=replaces,
            device=device,
            shared=shared,
            trust=trust,
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
        through: Factor | None = None,
    ) -> Step:
        """What follows a password that was just chosen; for `portalsec.auth` alone.

        Args:
            account: as it was when the password was chosen, with its hash.
            units: of the password's budgets, taken and held.
            browser: what is known of the browser; nothing where None.
            short: it is shorter than one that stands alone may be.
            device: as at `submit_totp`.
            through: by which factor it was chosen: a mailed link is `Factor.EMAIL_CODE`, and beside a mailed code such
                a password proves nothing more.
        """
        require_door(door, "a pending sign-in")
        state = Pending(
            epoch=epoch,
            proofs=(Proof(factor=Factor.PASSWORD, at=at, through=through),),
            password=password_digest(self._kit.mac, account.password_hash),
            units=units,
            short=short,
            browser=replace(browser or Browser(), jkt=source.jkt),
        )
        return self._opening.go_on(account, state, source=source, device=device)

    def begin_link(
        self, door: object, *, source: Source, replaces: object, shared: bool, trust: bool
    ) -> tuple[Secret[str], bytes]:
        """A pending token for a browser that asks for a link by mail, and its digest; for `portalsec.auth` alone."""
        require_door(door, "a pending sign-in")
        return self._link.begin(source=source, replaces=replaces, shared=shared, trust=trust)

    def after_link(
        self,
        door: object,
        pending: object,
        account: Account,
        proven: Evidence,
        *,
        source: Source,
        device: object = None,
    ) -> Step:
        """What follows a mailed link that was followed in the browser that asked; for `portalsec.auth` alone.

        Args:
            pending: of `begin_link`; it is used up.
            account: as it was when the link was used.
            proven: with the account's epoch from before that.
            device: as at `submit_totp`.
        """
        require_door(door, "a pending sign-in")
        return self._link.after(pending, account, proven, source=source, device=device)

    # -- passkeys -----------------------------------------------------------------------------------------------------

    def begin_passkey(
        self,
        pending: object = None,
        *,
        source: Source,
        login: object = None,
        replaces: object = None,
        shared: bool = False,
        trust: bool = False,
    ) -> tuple[PasskeyOptions, Secret[str]]:
        """Ask the browser for a passkey.

        Args:
            pending: of a sign-in whose next step takes a passkey; None where the passkey comes first.
            login: as typed, or None: then any discoverable passkey of this portal may answer, also from a form's
                autofill. A name that is unknown, disabled or without passkeys gets options that look and cost the same.
            replaces, shared, trust: as at `start`, where the passkey comes first.

        Returns:
            What goes to the browser, and the pending token to hand in with its answer.

        Raises:
            Denied: MALFORMED, THROTTLED, FLOW_UNKNOWN, FLOW_EXHAUSTED, FACTOR_NOT_ENROLLED (it would lead nowhere, or the
                portal has no passkeys), ACCOUNT_DISABLED.
        """
        if pending is None:
            return self._passkey.begin_first(
                login, source=source, replaces=replaces, shared=shared, trust=trust
            )
        return self._passkey.begin_second(pending, source=source)

    def submit_passkey(
        self,
        pending: object,
        response: object,
        *,
        source: Source,
        device: object = None,
        replaces: object = None,
    ) -> Step:
        """Show a passkey. As the first factor its authenticator must have verified its user.

        Args:
            response: the JSON of ``credential.toJSON()``, best as its text.
            device: the text of the known devices' cookie.
            replaces: of a passkey that comes first: the pending token that the browser held beside it, if any. It dies
                once this passkey was right. Where it was this account's, its owner is not told of both.

        Raises:
            Denied: MALFORMED, THROTTLED, FLOW_UNKNOWN, FLOW_EXHAUSTED, PASSKEY_REFUSED, FACTOR_NOT_ENROLLED,
                ACCOUNT_DISABLED, EVIDENCE_MISSING, SESSION_REVOKED. A first passkey's token is dead after each of them.
        """
        with self._pending.ended_by_errors(pending):
            return self._passkey.submit(pending, response, source=source, device=device, replaces=replaces)

    def begin_passkey_enrolment(self, pending: object, *, source: Source) -> PasskeyOptions:
        """Ask the browser to make a passkey, where `Step.next` has "passkey_enrolment".

        Raises:
            Denied: FLOW_UNKNOWN, FLOW_EXHAUSTED, FACTOR_ALREADY_ENROLLED, ACCOUNT_DISABLED.
        """
        return self._enrolling.begin_passkey(pending, source=source)

    def confirm_passkey_enrolment(
        self, pending: object, response: object, label: object = "", *, source: Source, device: object = None
    ) -> Step:
        """Take the passkey that the browser made, and go on. Other sign-ins and sessions of the account end.

        Raises:
            Denied: MALFORMED, PASSKEY_REFUSED, PASSKEY_TAKEN, and as `confirm_totp_enrolment`.
            AuditUnavailable: it could not be recorded, so the passkey is void, and the sign-in over.
        """
        with self._pending.ended_by_errors(pending):
            return self._enrolling.confirm_passkey(pending, response, label, source=source, device=device)

    # -- codes --------------------------------------------------------------------------------------------------------

    def submit_totp(self, pending: object, code: object, *, source: Source, device: object = None) -> Step:
        """Show a code of an authenticator.

        Args:
            device: the text of the known devices' cookie, as the browser shows it now. `Step.device` carries on the
                devices of the others who use this browser, who would be strangers without.

        Raises:
            Denied: MALFORMED (no attempt was counted), FLOW_UNKNOWN, THROTTLED, WRONG_CODE, CODE_REPLAYED,
                FACTOR_NOT_ENROLLED (a code would lead nowhere), FACTOR_DISABLED, FLOW_EXHAUSTED (that was the last
                attempt: start again), ACCOUNT_DISABLED, EVIDENCE_MISSING, SESSION_REVOKED.
        """
        with self._pending.ended_by_errors(pending):
            return self._codes.totp(pending, code, source=source, device=device)

    def submit_recovery_code(
        self, pending: object, code: object, *, source: Source, device: object = None
    ) -> Step:
        """Show a recovery code, which is spent by it. Refusals as at `submit_totp`."""
        with self._pending.ended_by_errors(pending):
            return self._codes.recovery_code(pending, code, source=source, device=device)

    def send_code(
        self, pending: object, factor: Factor, *, source: Source, language: str | None = None
    ) -> Sent:
        """Mail or text a code, where `Step.next` has that kind, and say to whom it went. At most three times a step.

        Args:
            language: a tag such as "es", of an SMS; mail asks the courier.

        Raises:
            Denied: FLOW_UNKNOWN, FLOW_EXHAUSTED, FACTOR_NOT_ENROLLED, ACCOUNT_DISABLED, THROTTLED.
        """
        return self._codes.send(pending, factor, source=source, language=language)

    def submit_sent_code(
        self, pending: object, code: object, *, source: Source, device: object = None
    ) -> Step:
        """Show a code that was mailed or texted for this very step. Refusals as at `submit_totp`."""
        with self._pending.ended_by_errors(pending):
            return self._codes.sent_code(pending, code, source=source, device=device)

    # -- an authenticator that is set up on the way -------------------------------------------------------------------

    def begin_totp_enrolment(self, pending: object, *, source: Source) -> Enrolment:
        """Make a seed, where `Step.next` has "totp_enrolment". Show it once, in the answer to a POST.

        Calling it again makes a new seed and voids the one before.

        Raises:
            Denied: FLOW_UNKNOWN, FLOW_EXHAUSTED, FACTOR_ALREADY_ENROLLED, ACCOUNT_DISABLED.
        """
        return self._enrolling.begin_totp(pending, source=source)

    def confirm_totp_enrolment(
        self, pending: object, code: object, *, source: Source, device: object = None
    ) -> Step:
        """Take the first code of the authenticator that this sign-in set up, and go on.

        Other sign-ins and sessions of the account, which knew nothing of it, end. ``device`` as at `submit_totp`.

        Raises:
            Denied: as `submit_totp`, and FACTOR_NOT_ENROLLED (nothing begun), FACTOR_ALREADY_ENROLLED.
            AuditUnavailable: it could not be recorded, so the authenticator is void, and the sign-in over.
        """
        with self._pending.ended_by_errors(pending):
            return self._enrolling.confirm_totp(pending, code, source=source, device=device)

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
        return self._enrolling.begin_totp_within(door, session, account, source=source)

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
        return self._enrolling.confirm_totp_within(door, session, code, source=source)

    # -- a new password, where one must be chosen -------------------------------------------------------------------

    def must_change(self, account: Account) -> str | None:
        """Why this account must choose a new password before its next session, or None."""
        return self._standing.must_change(account)

    def change_under_way(
        self, door: object, pending: object, *, source: Source
    ) -> tuple[Flow, Pending, Account]:
        """The sign-in that waits for a new password, counted as tried once; for `portalsec.auth` alone.

        Raises:
            Denied: FLOW_UNKNOWN, ACCOUNT_DISABLED.
        """
        require_door(door, "a pending sign-in")
        flow, state = self._pending.tried(
            token_digest(pending), NEW_PASSWORD, source, limit=_NEW_PASSWORD_TRIES
        )
        return flow, state, self._pending.holder(flow, state, source)

    def chooser(self, pending: object) -> Account | None:
        """Whose sign-in waits for a new password, costing none of its tries; None for any other token."""
        found = self._pending.looked_at(pending)
        if found is None:
            return None
        flow, state = found
        account = self._kit.accounts.get(flow.account_id or NOBODY)
        if account is None or account.disabled or not self._pending.still(account, state.password):
            return None
        return account

    def ended_by_errors(self, door: object, pending: object) -> AbstractContextManager[None]:
        """A step outside of this class, for `portalsec.auth` alone: whatever fails in it but for a refusal ends that sign-in."""
        require_door(door, "a pending sign-in")
        return self._pending.ended_by_errors(pending)

    def take_change(self, door: object, flow: Flow, *, source: Source) -> None:
        """Use that sign-in up: one of several requests gets past this."""
        require_door(door, "a pending sign-in")
        self._pending.consume(flow, source)

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

        Another password is another set-up, so a browser that was trusted is none now: its owner goes on to the factor
        that they were spared, as does whoever is asked for more since.

        Args:
            account: with its new hash.
            epoch: the epoch that the change led to, as counted from the one that the sign-in began with, so that
                whatever else ended the account's sessions meanwhile ends this one too.
            at: when the new password was chosen.
            device: as at `submit_totp`.
        """
        require_door(door, "a session")
        proofs = tuple(
            replace(proof, at=at) if proof.factor is Factor.PASSWORD else proof for proof in state.proofs
        )
        password = password_digest(self._kit.mac, account.password_hash)
        state = replace(state, proofs=proofs, password=password, epoch=epoch, short=False)
        return self._opening.go_on(
            account,
            state,
            source=source,
            device=device,
            expires_at=at + self._kit.policy.pending_lifetime,
        )

    # -- the door ---------------------------------------------------------------------------------------------------

    def login(self, account_id: str, evidence: Sequence[Evidence], *, source: Source) -> NewSession:
        """Open a session, if the evidence is what the policy asks for.

        Raises:
            Denied: EVIDENCE_MIXED (of two accounts, or one factor twice), EVIDENCE_STALE (too old, or a passkey that was
                removed since), EVIDENCE_MISSING, UNKNOWN_ACCOUNT, ACCOUNT_DISABLED, CHANGE_REQUIRED (a new password
                must be chosen first), SESSION_REVOKED (the account's sessions were ended since the first evidence was
                collected).
            AuditUnavailable: the sign-in could not be recorded, so it did not happen.
        """
        # No cookie can be handed over here, so the browser is not remembered; nobody said that it is shared.
        return self._opening.open(account_id, evidence, source=source, browser=Browser(), remember=False)[0]

    # -- after an idle end ----------------------------------------------------------------------------------------------

    def resume(self, token: object, password: object, *, source: Source) -> NewSession:
        """Go on with a session that idleness ended, by its account's password (SP 800-63B-4 section 2.2.3).

        Within the absolute limit, never on a shared computer, and only where the session has proven all that the policy
        asks by now.

        Raises:
            Denied: what `Sessions.resumable` raises; MALFORMED, THROTTLED, WRONG_PASSWORD, FACTOR_NOT_ENROLLED,
                ACCOUNT_LOCKED, ACCOUNT_DISABLED, CHANGE_REQUIRED, EVIDENCE_MISSING.
        """
        return self._resuming.with_password(token, password, source=source)

    def resume_ways(self, token: object, *, source: Source) -> tuple[Factor, ...]:
        """Which factors of its account could resume this session, for a page. Refusals: what `Sessions.resumable` raises."""
        return self._resuming.ways(token, source=source)

    def begin_resume_passkey(self, token: object, *, source: Source) -> PasskeyOptions:
        """The same by a passkey that verifies its user.

        Raises:
            Denied: what `Sessions.resumable` raises; FACTOR_NOT_ENROLLED.
        """
        return self._resuming.begin_passkey(token, source=source)

    def resume_passkey(self, token: object, response: object, *, source: Source) -> NewSession:
        """Finish what `begin_resume_passkey` began. Refusals as at `resume`, and PASSKEY_REFUSED."""
        return self._resuming.with_passkey(token, response, source=source)

    def asked_here(self, session: ActiveSession, *, source: Source) -> Demand:
        """What the policy asks of an open session's owner because of this very request: its labels, and what its app says
        of the device. For `StepUp`: what would not do at the door must not do there.

        Raises:
            Denied: MALFORMED, ACCOUNT_DISABLED.
        """
        return self._resuming.asked_here(session, source=source)

    def read_posture(self, source: Source) -> DevicePosture | None:
        """What the request's app says of its device. For ways in that use something up before they come here.

        Raises:
            Denied: MALFORMED, recorded.
        """
        return self._kit.posture(source)

    def abort(self, pending: object) -> None:
        """Drop a pending sign-in; an unknown one is no error."""
        self._pending.abort(pending)

    def logout(
        self, token: object, *, source: Source, pending: object = None, jkt: str | None = None
    ) -> None:
        """End a session because its holder asked, and drop a half-finished sign-in of the same browser.

        Unknown tokens are no error.

        Args:
            jkt: thumbprint of the key that the request proved; of a session that is bound to another, nothing ends.
        """
        try:
            self.abort(pending)
        finally:  # the session ends, also where the store of half-finished sign-ins is down
            self._kit.sessions.logout(token, source=source, jkt=jkt)
