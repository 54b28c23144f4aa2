"""`StepUp`: an open session shows a factor once more before something that matters.

The session keeps which factor was shown when. `StepUp.require` looks at that and at nothing else: neither a visit nor a
page that was opened makes a proof younger, and a session without one is never let through.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn, Protocol

from portalsec.auth._current import CurrentPassword
from portalsec.auth._dead_factor import telling_of_the_dead
from portalsec.auth._door import DOOR
from portalsec.auth._door_kit import PasskeyService, RecoveryCodeService, settled
from portalsec.auth._hardware import HOW
from portalsec.auth._standing import Standing
from portalsec.auth.demands import SECOND, Demand, Facts, best_of, leading_on, meets
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.holder import Holder
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import Account, AccountStore, PasskeyStore
from portalsec.auth.posture import posture_said
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.recovery_codes import FEW_LEFT
from portalsec.auth.sessions import ActiveSession, NewSession, Sessions
from portalsec.auth.throttle import Throttle
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

if TYPE_CHECKING:
    from portalsec.auth.passkeys.options import PasskeyOptions
    from portalsec.auth.totp import Totp

__all__ = ["StepUp", "StepUpRequired"]

_PURPOSE = "passkey.step-up"


class StepUpRequired(Denied):
    """The session must show a factor first.

    Attributes:
        next: kinds that would do ("totp", "passkey", ...), for the page that asks; () where the account has none of
            them: there is nothing to show, only something to set up.
        set_up: then, kinds to set up; () where none of those would do either, or the account has nothing left to confirm
            that by: only a new sign-in leads on.
    """

    def __init__(self, next: tuple[str, ...] = (), set_up: tuple[str, ...] = ()) -> None:
        super().__init__(Reason.STEP_UP_REQUIRED)
        self.next = next
        self.set_up = set_up
        self.args = (next, set_up)  # what a copy or a pickle is rebuilt from


class AskedHere(Protocol):
    """`SignIn.asked_here`."""

    def __call__(self, session: ActiveSession, *, source: Source) -> Demand: ...


class StepUp:
    """Says whether a session showed enough lately, and takes what it shows now.

    Safe for concurrent use: a session that shows a factor goes on under another id, and of several requests one gets it.
    Tries have a budget of their own (``step_up``), which a stolen session cannot stretch by signing in.

    Args:
        passkeys, passkey_store, recovery_codes: None where the portal has none.
        facts_of: as at `SignIn`.
        notices: where the owner is told that a recovery code was used; None in a portal without.
        asked_here: `SignIn.asked_here`: what the policy asks because of the request that shows the factor; nothing in a
            portal without.
        hardware: whether a new passkey can prove its make, as level 3 asks.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        current: CurrentPassword,
        totp: Totp,
        sessions: Sessions,
        throttle: Throttle,
        emit: Emit,
        clock: Clock,
        passkeys: PasskeyService | None = None,
        passkey_store: PasskeyStore | None = None,
        recovery_codes: RecoveryCodeService | None = None,
        facts_of: Callable[[str], Facts] | None = None,
        notices: Notices | None = None,
        asked_here: AskedHere | None = None,
        hardware: bool = True,
    ) -> None:
        self._accounts = accounts
        self._current = current
        self._totp = totp
        self._sessions = sessions
        self._throttle = throttle
        self._emit = emit
        self._clock = clock
        self._passkeys = passkeys
        self._passkey_store = passkey_store
        self._codes = recovery_codes
        self._facts_of = facts_of
        self._notices = notices
        self._asked_here = asked_here
        self._hardware = hardware

    # -- asking -------------------------------------------------------------------------------------------------------

    def require(
        self,
        session: ActiveSession,
        *,
        within: timedelta,
        factors: Iterable[Factor] | None = None,
        level: int | None = None,
        phishing_resistant: bool = False,
        explicit: bool = True,
    ) -> None:
        """Return where the session showed enough, so recently; raise otherwise.

        Args:
            within: how old a proof may be, counted from when it was shown.
            factors: kinds of which one must be among them. None: a second factor where the account has one, since the
                password alone may be a thief's; else the password. As at the door, one that died of wrong codes or may
                have been copied is one still: else whoever has a session and the password could guess it to death, and
                then change all that guards the account.
            level: assurance level that the fresh proofs must reach by themselves.
            phishing_resistant: one of them must be a passkey.
            explicit: only what was shown because somebody asked counts, and not what was shown on the way in. False also
                takes a sign-in that is as fresh.

        Raises:
            StepUpRequired: with what would do.
            Denied: IMPERSONATED: nobody steps up in another's name.
        """
        asked = FactorDemand(
            within=within,
            factors=None if factors is None else frozenset(factors),
            level=level or 1,
            phishing_resistant=phishing_resistant,
            explicit=explicit,
        )
        self.ask(session, asked)

    def require_second(self, session: ActiveSession, *, within: timedelta) -> None:
        """Return where a second factor was shown so lately, on the way in or since, and where the account has none: for
        what takes the password too, and asks for that itself.

        Raises:
            StepUpRequired: with what would do.
            Denied: IMPERSONATED.
        """
        session.require_owner()
        if self._has(session.account_id)[1]:
            self.require(session, within=within, explicit=False)

    def require_reachable(self, asked: FactorDemand) -> None:
        """Raises `ConfigurationError` where nobody could ever set up in this portal what is asked."""
        if asked.level == 3 and not self._hardware:
            raise ConfigurationError(f"require_factor: {HOW}")

    def ask(self, session: ActiveSession, asked: FactorDemand) -> None:
        """`require` of what was written down before. Raises as that does.

        Raises:
            ConfigurationError: nothing that the account has leads to level 3, and nothing that it could set up: the page
                would send its owner round in a circle.
        """
        session.require_owner()
        best, second = self._best(session.account_id)
        usual = SECOND if second else frozenset({Factor.PASSWORD})
        demand = Demand(
            level=asked.level or 1,
            phishing_resistant=asked.phishing_resistant,
            factors=(asked.factors or usual,),
        )
        fresh = self._fresh(session, asked.within, asked.explicit)
        if meets(fresh, demand):
            return
        ways = leading_on(fresh, best, demand)
        if not ways:
            self.require_reachable(asked)
        # Setting up takes a step-up itself, by the usual kinds: without one of those the link would lead in a circle.
        new = (
            frozenset() if ways else self._to_set_up(fresh, best, demand, confirmed=bool(usual & best.keys()))
        )
        raise StepUpRequired(_names(ways), _names(new))

    def ways(self, session: ActiveSession, *, source: Source | None = None) -> tuple[str, ...]:
        """Kinds that the account of this session could show now, for a page; of a session that suddenly came from
        elsewhere, those that settle that. ``source``: of the page's request; then only those that do from there. None where
        support acts in the owner's name, to whom this says nothing of the owner."""
        if session.impersonator is not None:
            return ()
        has, second = self._has(session.account_id)
        if source is not None:
            has = self._would(session, has, source)
        if self.strange(session):
            has &= self._settling(session, has, second=second)
        return _names(has)

    def strange(self, session: ActiveSession) -> bool:
        """Whether it suddenly came from elsewhere, and its owner must show a factor for that."""
        return session.impersonator is None and self._sessions.policy.anomalies.asks(session.record.anomaly)

    # -- showing ------------------------------------------------------------------------------------------------------

    def submit_password(self, session: ActiveSession, password: object, *, source: Source) -> NewSession:
        """Show the current password. Refusals are those of `CurrentPassword.verify`.

        Returns:
            The session under another id; the old one is dead.

        Raises:
            StepUpRequired: the session suddenly came from elsewhere, and the account has a factor that says more, or
                showed more on the way in.
        """
        if session.impersonator is None:  # else it is refused, and recorded as support's, below
            self._refuse_too_little(session, Factor.PASSWORD, source)
        at = self._clock()
        account = self._current.verify(session, password, source=source)
        [proof] = Standing.weighed(account, [Proof(factor=Factor.PASSWORD, at=at)])
        return self._stepped_up(session, mint(proof, account.id), source)

    def submit_totp(self, session: ActiveSession, code: object, *, source: Source) -> NewSession:
        """Show a code of an authenticator.

        Raises:
            Denied: IMPERSONATED, MALFORMED, THROTTLED, ACCOUNT_LOCKED, ACCOUNT_DISABLED, FACTOR_NOT_ENROLLED, WRONG_CODE,
                CODE_REPLAYED, FACTOR_DISABLED, SESSION_UNKNOWN.
        """
        return self._submit(
            session,
            Factor.TOTP,
            lambda account: telling_of_the_dead(
                lambda: self._totp.verify(account.id, code),
                account.id,
                emit=self._emit,
                notices=self._notices,
                source=source,
            ),
            source,
        )

    def submit_recovery_code(self, session: ActiveSession, code: object, *, source: Source) -> NewSession:
        """Show a recovery code, which is spent by it. Refusals as at `submit_totp`."""
        codes = self._codes
        if codes is None:
            self._refuse(session, Reason.FACTOR_NOT_ENROLLED, source)
        new = self._submit(
            session,
            Factor.RECOVERY_CODE,
            lambda account: codes.verify(account.id, code, source=source),
            source,
            unspent=lambda: codes.unspend(session.account_id, code),
        )
        if self._notices is not None:
            with suppress(StoreError):  # the new id must reach the browser; the log has it
                self._notices.tell(session.account_id, NoticeKind.RECOVERY_CODE_USED, source=source)
                if codes.left(session.account_id) <= FEW_LEFT:
                    self._notices.tell(session.account_id, NoticeKind.RECOVERY_CODES_FEW, source=source)
        return new

    def begin_passkey(self, session: ActiveSession, *, source: Source) -> PasskeyOptions:
        """Ask the browser for a passkey of this account; the challenge is this session's alone.

        Raises:
            Denied: IMPERSONATED, ACCOUNT_DISABLED, FACTOR_NOT_ENROLLED.
        """
        session.require_owner()
        if self._passkeys is None:
            self._refuse(session, Reason.FACTOR_NOT_ENROLLED, source)
        account = self._account(session, source)
        return self._passkeys.begin_sign_in(session.digest, login=None, account=account, purpose=_PURPOSE)

    def submit_passkey(
        self,
        session: ActiveSession,
        response: object,
        *,
        source: Source,
        require_user_verification: bool = False,
    ) -> NewSession:
        """Show that passkey. Refusals as at `submit_totp`, and FLOW_UNKNOWN, PASSKEY_REFUSED."""
        service = self._passkeys
        if service is None:
            self._refuse(session, Reason.FACTOR_NOT_ENROLLED, source)
        return self._submit(
            session,
            Factor.PASSKEY,
            lambda account: service.complete_sign_in(
                session.digest,
                _PURPOSE,
                response,
                account_id=account.id,
                require_user_verification=require_user_verification,
                source=source,
            ),
            source,
        )

    def by_new_factor(self, new: NewSession, proven: Evidence, *, source: Source) -> NewSession:
        """Keep the proof of a factor that was just set up in this session; for `portalsec.auth` alone.

        Returns:
            The session under another id; the old one is dead.

        Raises:
            Denied: it ended meanwhile. StoreError: it goes on as it was, or not at all.
        """
        # The key, if the session has one, was proven when this request came in.
        holder = None if new.jkt is None else Holder(new.jkt, spend=lambda: None)
        session = self._sessions.check(new.token.reveal(), source=source, stepping_up=True, holder=holder)
        # A factor that is a moment old says nothing of who was there before it: it settles nothing strange.
        return self._stepped_up(session, proven, source, settles=False)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _submit(
        self,
        session: ActiveSession,
        factor: Factor,
        verify: Callable[[Account], Evidence],
        source: Source,
        *,
        unspent: Callable[[], None] | None = None,
    ) -> NewSession:
        session.require_owner()
        self._refuse_too_little(session, factor, source)
        refused: Denied | None = None
        try:
            attempt = self._throttle.reserve("step_up", account=session.account_id, address=source.address)
        except Denied as refusal:
            refused = refusal
        if refused is not None:
            self._record(session, refused.reason, source, name=Event.AUTH_THROTTLED)
            raise refused
        if attempt.locked is not None:
            attempt.failed()
            self._refuse(session, attempt.locked, source)
        account = self._account(session, source)
        proven = settled(lambda: verify(account), attempt)
        if isinstance(proven, Reason):
            self._refuse(session, proven, source)
        try:
            attempt.succeeded()
            return self._stepped_up(session, proven, source)
        except (StoreError, Denied):
            if (
                unspent is not None
            ):  # plumbing failed, or the session ended meanwhile: the owner has few of them
                with suppress(StoreError):
                    unspent()
            raise

    def _stepped_up(
        self, session: ActiveSession, proven: Evidence, source: Source, *, settles: bool | None = None
    ) -> NewSession:
        if proven.account_id != session.account_id:
            self._refuse(session, Reason.EVIDENCE_MIXED, source)
        posture = None
        if settles is None:  # else the factor is there already, and the new id must reach the browser
            self._refuse_less_than_here(session, [*session.proofs, proven.proof], source)
            posture = posture_said(source, now=self._clock())
        facts = Facts() if self._facts_of is None else self._facts_of(session.account_id)
        if settles is None and session.record.anomaly:
            has, second = self._has(session.account_id)
            settles = proven.factor in self._settling(session, has, second=second)
        # Recorded first: no session is stepped up that the log does not know of.
        record = self._event(session, source, factor=proven.factor)
        self._emit(record)
        try:
            return self._sessions.rotate_through(
                DOOR,
                session,
                proofs=(replace(proven.proof, explicit=True),),
                source=source,
                roles=facts.roles,
                settles=settles is not False,
                posture=posture,
            )
        except BaseException:
            with suppress(StoreError):  # a second record, which says that the first came to nothing
                self._emit(replace(record, outcome=Outcome.ERROR))
            raise

    @staticmethod
    def _settling(session: ActiveSession, has: frozenset[Factor], *, second: bool) -> frozenset[Factor]:
        """Kinds of which one settles that a session suddenly came from elsewhere.

        Who copied its cookie may have the password too, so that is enough only where the account has nothing else, and
        nothing else was shown on the way in: where that was a code by mail or SMS, only a new sign-in says as much. Of a
        session that was opened with a passkey, a passkey, as long as there is one: a code can be phished with the cookie.
        """
        if session.record.phishing_resistant and Factor.PASSKEY in has:
            return frozenset({Factor.PASSKEY})
        if second:
            return SECOND
        alone = all(proof.factor is Factor.PASSWORD for proof in session.record.proofs)
        return frozenset({Factor.PASSWORD}) if alone else frozenset()

    def _refuse_too_little(self, session: ActiveSession, factor: Factor, source: Source) -> None:
        """Before it is looked at: whoever copied a cookie must not get another id for it, or test passwords, by this."""
        self._refuse_less_than_here(session, [*session.proofs, best_of(factor)], source)
        if not self.strange(session):
            return
        has, second = self._has(session.account_id)
        wanted = self._settling(session, has, second=second)
        if factor not in wanted:
            self._record(session, Reason.STEP_UP_REQUIRED, source)
            raise StepUpRequired(_names(has & wanted))

    def _refuse_less_than_here(self, session: ActiveSession, proofs: Sequence[Proof], source: Source) -> None:
        """Else a session that was opened where less is asked would be the way round: carried here, and made this place's
        own by a factor that opens nothing at the door from here."""
        if self._asked_here is None or meets(proofs, self._asked_here(session, source=source)):
            return
        self._record(session, Reason.STEP_UP_REQUIRED, source)
        would = self._would(session, self._has(session.account_id)[0], source)
        raise StepUpRequired(_names(would))

    def _would(self, session: ActiveSession, has: frozenset[Factor], source: Source) -> frozenset[Factor]:
        """Those kinds of which one would do from here."""
        if self._asked_here is None:
            return has
        demand = self._asked_here(session, source=source)
        return frozenset(each for each in has if meets([*session.proofs, best_of(each)], demand))

    def _fresh(self, session: ActiveSession, within: timedelta, explicit: bool) -> list[Proof]:
        now, tolerance = self._clock(), self._sessions.policy.clock_tolerance
        return [
            proof
            for proof in session.record.proofs
            if -tolerance <= now - proof.at < within and (proof.explicit or not explicit)
        ]

    def _has(self, account_id: str) -> tuple[frozenset[Factor], bool]:
        """What the account can show in an open session, and whether it has a second factor, usable or not."""
        best, second = self._best(account_id)
        return frozenset(best), second

    def _best(self, account_id: str) -> tuple[dict[Factor, Proof], bool]:
        """The same, with what each kind could prove at most."""
        account, best = self._accounts.get(account_id), {}
        if account is None or account.disabled:
            return {}, False
        if account.password_hash is not None:
            [best[Factor.PASSWORD]] = Standing.weighed(account, [best_of(Factor.PASSWORD)])
        devices = self._totp.devices(account_id)
        if any(not each.dead for each in devices):
            best[Factor.TOTP] = best_of(Factor.TOTP)
        passkeys = () if self._passkey_store is None else self._passkey_store.of_account(account_id)
        if usable := [each for each in passkeys if each.disabled_at is None]:
            # Of a synced one no page must say that it reaches what only one of known make does.
            hardware = any(each.attested and not each.backup_eligible for each in usable)
            best[Factor.PASSKEY] = replace(best_of(Factor.PASSKEY), device_bound=hardware, attested=hardware)
        if self._codes is not None and self._codes.left(account_id):
            best[Factor.RECOVERY_CODE] = best_of(Factor.RECOVERY_CODE)
        return best, bool(devices or passkeys or Factor.RECOVERY_CODE in best)

    def _to_set_up(
        self, fresh: Sequence[Proof], best: Mapping[Factor, Proof], demand: Demand, *, confirmed: bool
    ) -> frozenset[Factor]:
        """Kinds of which a new one would lead on. A password is chosen by mail, which takes no step-up."""
        new = {Factor.PASSWORD} - best.keys()
        if confirmed:
            new |= {Factor.TOTP} - best.keys()
            if self._passkeys is not None:
                new.add(Factor.PASSKEY)  # another one may be what those at hand are not
            if self._codes is not None and not SECOND.isdisjoint(best):
                new |= {Factor.RECOVERY_CODE} - best.keys()
        return frozenset(
            each for each in new if each in leading_on(fresh, {**best, each: best_of(each)}, demand)
        )

    def _account(self, session: ActiveSession, source: Source) -> Account:
        account = self._accounts.get(session.account_id)
        if account is None or account.disabled:
            self._refuse(session, Reason.ACCOUNT_DISABLED, source)
        return account

    def _refuse(self, session: ActiveSession, reason: Reason, source: Source) -> NoReturn:
        self._record(session, reason, source)
        raise Denied(reason)

    def _record(
        self, session: ActiveSession, reason: Reason, source: Source, *, name: Event = Event.AUTH_STEP_UP
    ) -> None:
        self._emit(
            replace(
                self._event(session, source),
                name=name,
                outcome=Outcome.DENIED,
                reason=reason,
                details={"kind": "step_up"},
            )
        )

    @staticmethod
    def _event(session: ActiveSession, source: Source, factor: Factor | None = None) -> SecurityEvent:
        return SecurityEvent(
            name=Event.AUTH_STEP_UP,
            actor=Actor(type="user", id=session.account_id),
            resource=ResourceRef(type="account", id=session.account_id),
            source=source,
            session=session.reference,
            details={} if factor is None else {"factor": factor.value},
        )


def _names(factors: Collection[Factor]) -> tuple[str, ...]:
    return tuple(factor.value for factor in Factor if factor in factors)
