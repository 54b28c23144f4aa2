"""The door itself: from proofs to the next step, and from enough proofs to a session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from portalsec.auth._door import DOOR
from portalsec.auth._door_kit import Kit
from portalsec.auth._pending import Browser, Pending
from portalsec.auth._pending_flows import ENROLMENT, FACTOR, NEW_PASSWORD, PendingSignIns
from portalsec.auth._standing import Standing
from portalsec.auth.assurance import count
from portalsec.auth.demands import Facts
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import NewSession
from portalsec.auth.step import NEW_PASSWORD as CHOOSE
from portalsec.auth.step import Step, names_of
from portalsec.auth.throttle import Units
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import ANONYMOUS, Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.secret import Secret

__all__ = ["TOO_SHORT", "Opening"]

TOO_SHORT = "too_short"


class Opening:
    """Asks the policy what is missing and opens the session when nothing is. Safe for concurrent use."""

    def __init__(self, kit: Kit, pending: PendingSignIns, standing: Standing) -> None:
        self._kit = kit
        self._pending = pending
        self._standing = standing

    def go_on(
        self,
        account: Account,
        state: Pending,
        *,
        source: Source,
        device: object = None,
        expires_at: datetime | None = None,
    ) -> Step:
        """What follows when one more factor was shown; ``state`` has all that were.

        Args:
            account: as it was when the newest factor was looked at.
            device: the text of the known devices' cookie, as the browser shows it now.
            expires_at: when a sign-in that is under way ends; None where this was its first factor.

        Raises:
            Denied: EVIDENCE_MISSING (the account has nothing that could lead on), and what `login` raises.
        """
        kit = self._kit
        if (posture := kit.posture(source)) is not None:
            state = replace(state, browser=replace(state.browser, posture=posture))
        where = self._standing.next(
            account, state.proofs, source=source, browser=state.browser, trusting=True
        )
        if where.done:
            return self.complete(self._lengthened(account, state), state, source=source, device=device)
        if expires_at is None and any(proof.factor is Factor.PASSWORD for proof in state.proofs):
            kit.emit(
                SecurityEvent(
                    name=Event.AUTH_PASSWORD_VERIFIED,
                    actor=ANONYMOUS,
                    resource=ResourceRef(type="account", id=account.id),
                    source=source,
                )
            )
            # Before the pending token exists: from here on the owner is told, unless the sign-in is completed.
            notice = kit.watch.pending(account, source=source)
            state = replace(state, browser=replace(state.browser, notice=notice))
        if not (where.show or where.enrol):
            kit.refuse(Event.AUTH_LOGIN_FAILED, Reason.EVIDENCE_MISSING, source=source, account_id=account.id)
        token = self._pending.open(
            FACTOR if where.show else ENROLMENT,
            account.id,
            replace(state, device_id=None, begun=0, sent=0),
            expires_at=expires_at or state.proofs[0].at + kit.policy.pending_lifetime,
        )
        return Step(next=names_of(where), pending=token)

    def after_factor(
        self,
        account: Account,
        state: Pending,
        proven: Evidence,
        units: Units,
        *,
        source: Source,
        device: object,
        expires_at: datetime,
    ) -> Step:
        """`go_on` with one factor more, which a verifier vouched for."""
        if proven.account_id != account.id:
            # Never by this way; were a verifier ever wrong about whose a factor is, it ends here.
            self._kit.refuse(
                Event.AUTH_LOGIN_FAILED, Reason.EVIDENCE_MIXED, source=source, account_id=account.id
            )
        state = replace(state, proofs=(*state.proofs, proven.proof), units=state.units + units)
        return self.go_on(account, state, source=source, device=device, expires_at=expires_at)

    def open(
        self,
        account_id: str,
        evidence: Sequence[Evidence],
        *,
        source: Source,
        browser: Browser,
        password: str | None = None,
        units: Units = (),
        device: object = None,
        remember: bool = True,
    ) -> tuple[NewSession, Secret[str] | None]:
        """`SignIn.login`, and what a sign-in of several steps carries along: password's digest, budgets' units, browser.

        Args:
            remember: whether the browser becomes a known device, unless its user said that it is shared.

        Returns:
            The session, and the known devices' new cookie where the browser is to be known.
        """
        kit = self._kit
        posture = kit.posture(source) or browser.posture
        account = kit.accounts.get(account_id)
        facts = self._standing.facts(account_id)  # before they are measured by: see below
        reason = self._shortfall(account_id, account, evidence, source, browser)
        if reason is None and account is not None and not self._pending.still(account, password):
            reason = Reason.EVIDENCE_STALE  # the password was changed after it was proven
        if reason is not None or account is None:
            kit.refuse(
                Event.AUTH_LOGIN_FAILED,
                reason or Reason.UNKNOWN_ACCOUNT,
                source=source,
                account_id=account_id,
            )
        epoch = min(piece.epoch for piece in evidence if piece.epoch is not None)
        proofs = self._standing.weighed(account, [piece.proof for piece in evidence])
        two = count(proofs) == 2
        refused: Reason | None = None
        try:
            session = kit.sessions.open_through(
                DOOR,
                account_id=account.id,
                epoch=epoch,
                proofs=proofs,
                source=source,
                shared=browser.shared,
                roles=facts.roles,
                posture=posture,
            )
        except Denied as refusal:
            refused = refusal.reason
        if refused is not None:
            kit.refuse(Event.AUTH_LOGIN_FAILED, refused, source=source, account_id=account_id)
        opened = SecurityEvent(
            name=Event.AUTH_LOGIN,
            actor=Actor(type="user", id=account.id),
            resource=ResourceRef(type="account", id=account.id),
            source=source,
            session=session.reference,
            details={"factors": "+".join(proof.factor.value for proof in proofs)},
        )
        recorded = False
        try:
            if self._overtaken(account, facts):
                kit.refuse(
                    Event.AUTH_LOGIN_FAILED, Reason.EVIDENCE_STALE, source=source, account_id=account_id
                )
            kit.emit(opened)
            recorded = True
            kit.throttle.complete(units)
            kit.accounts.signed_in(account.id, at=kit.clock())
            if two and account.password_mailed:
                self._proven(account, proofs)
            cookie, new = None, True  # who is not remembered is told of every sign-in
            if remember and not browser.shared:
                cookie, new = self._remember(account, browser, source, device, epoch=epoch, two=two)
            kit.watch.completed(
                account, source=source, new_device=new, notice=browser.notice, folded=browser.folded
            )
        except BaseException:
            # Not recorded means not signed in. The token was given to nobody yet, so even if this fails it is dead.
            try:
                kit.sessions.discard(session)
            finally:
                if recorded:  # a second record, which says that the first came to nothing
                    with suppress(StoreError):
                        kit.emit(replace(opened, name=Event.AUTH_LOGIN_FAILED, outcome=Outcome.ERROR))
            raise
        return session, cookie

    def complete(self, account: Account, state: Pending, *, source: Source, device: object) -> Step:
        """All factors are proven: a session, or first a new password."""
        kit, reason = self._kit, self._standing.must_change(account)
        if reason is None:
            session, cookie = self.open(
                account.id,
                [mint(proof, account.id, epoch=state.epoch) for proof in state.proofs],
                source=source,
                browser=state.browser,
                password=state.password,
                units=state.units,
                device=device,
            )
            return Step(next=(), session=session, device=cookie)
        expires_at = kit.clock() + kit.policy.pending_lifetime
        state = replace(state, device_id=None, begun=0, sent=0)
        token = self._pending.open(NEW_PASSWORD, account.id, state, expires_at=expires_at)
        kit.emit(
            SecurityEvent(
                name=Event.AUTH_PASSWORD_CHANGE_REQUIRED,
                actor=Actor(type="user", id=account.id),
                resource=ResourceRef(type="account", id=account.id),
                source=source,
                details={"why": reason},
            )
        )
        return Step(next=(CHOOSE,), pending=token)

    def _overtaken(self, account: Account, facts: Facts) -> bool:
        """What an account gets (a role) ends what it has, but of one that never signed in there is nothing to end: its first
        session is looked at once more, now that it is there to be found."""
        return account.signed_in_at is None and self._standing.facts(account.id) != facts

    def _proven(self, account: Account, proofs: Sequence[Proof]) -> None:
        """Whoever knows the password that was reset by mail has shown more than that mailbox.

        A passkey alone says nothing of who knows the password: that may still be the mailbox's thief.
        """
        if account.password_hash is not None and any(proof.factor is Factor.PASSWORD for proof in proofs):
            self._kit.accounts.password_proven(account.id, expected=account.password_hash)

    def _lengthened(self, account: Account, state: Pending) -> Account:
        """The account, which must choose a longer password where a short one is now its only factor."""
        alone = all(proof.factor is Factor.PASSWORD for proof in state.proofs)
        if not (state.short and alone and account.must_change is None) or self._standing.has_second(account):
            return account
        # Accepted as one of two factors, and now it is the only one (SP 800-63B-4 section 3.1.1.2).
        self._kit.accounts.require_change(account.id, TOO_SHORT)
        return replace(account, must_change=TOO_SHORT)

    def _shortfall(
        self,
        account_id: str,
        account: Account | None,
        evidence: Sequence[Evidence],
        source: Source,
        browser: Browser,
    ) -> Reason | None:
        kit = self._kit
        if not all(type(piece) is Evidence for piece in evidence):
            raise TypeError("login takes Evidence as portalsec.auth made it")
        shown = [(piece.factor, piece.proof.authenticator) for piece in evidence]
        if any(piece.account_id != account_id for piece in evidence) or len(set(shown)) != len(shown):
            return Reason.EVIDENCE_MIXED
        now = kit.clock()
        lifetime = kit.policy.evidence_lifetime or kit.policy.pending_lifetime
        tolerance = kit.sessions.policy.clock_tolerance
        if not all(-tolerance <= now - piece.at < lifetime for piece in evidence):
            return Reason.EVIDENCE_STALE
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if account.disabled:
            return Reason.ACCOUNT_DISABLED
        if self._standing.must_change(account) is not None:
            return Reason.CHANGE_REQUIRED
        # Asked anew of the stores: what was true when the first factor was looked at may be old by now.
        proofs = [piece.proof for piece in evidence]
        where = self._standing.next(account, proofs, source=source, browser=browser, trusting=True)
        if not where.done or all(piece.epoch is None for piece in evidence):
            return Reason.EVIDENCE_MISSING
        if not self._standing.still_there(account, proofs):
            return Reason.EVIDENCE_STALE
        return None

    def _remember(
        self, account: Account, browser: Browser, source: Source, cookie: object, *, epoch: int, two: bool
    ) -> tuple[Secret[str] | None, bool]:
        """The known devices' new cookie, and whether the owner is to be told of a new one."""
        kit = self._kit
        shown = None if browser.device is None else bytes.fromhex(browser.device)
        remembered = kit.devices.remember(
            account.id, shown, source=source, cookie=cookie, family=browser.family
        )
        if kit.sessions.epoch(account.id) != epoch:
            # The account's sessions were ended meanwhile, its devices perhaps before this one was there.
            with suppress(Denied):
                owner = Actor(type="user", id=account.id)
                kit.devices.revoke(account.id, remembered.device.id, actor=owner, source=source)
            return None, remembered.new
        if browser.trust and two and kit.trust is not None:
            kit.trust.trust(account, remembered.device, source=source)
        return remembered.cookie, remembered.new
