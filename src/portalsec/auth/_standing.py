"""Where an account's sign-in stands: what it has, what is asked of it, what leads on. Read anew at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NoReturn

from portalsec.auth._door_kit import Kit
from portalsec.auth._pending import Browser
from portalsec.auth.attempt import SignInAttempt, labels_of
from portalsec.auth.demands import Demand, Enrolled, Facts, Next, meets, missing
from portalsec.auth.ports import Account, KnownDevice
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Reason
from portalsec.events import Event, Source

__all__ = ["EXPIRED", "Standing"]

EXPIRED = "expired"


class Standing:
    """Asks the stores and the policy; what follows from the answers is `portalsec.auth.demands.missing`.

    Nothing is cached: what was true when the first factor was looked at may be old when the session opens. Where
    somebody fails to answer, the error goes up and nobody is let in.
    """

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def enrolled(self, account: Account) -> Enrolled:
        """What the account has, and what it may set up."""
        kit, usable, second = self._kit, set(), False
        if account.password_hash is not None:
            usable.add(Factor.PASSWORD)
        if kit.totp.enrolled(account.id):
            second = True
            if kit.totp.usable(account.id):
                usable.add(Factor.TOTP)
        if kit.passkey_store is not None and (passkeys := kit.passkey_store.of_account(account.id)):
            second = True
            if any(passkey.disabled_at is None for passkey in passkeys):
                usable.add(Factor.PASSKEY)
        if kit.recovery_codes is not None and kit.recovery_codes.left(account.id):
            second = True
            usable.add(Factor.RECOVERY_CODE)
        if kit.sent_codes is not None:
            usable |= kit.sent_codes.offered(account.id)
        enrolable = {Factor.TOTP} if kit.passkeys is None else {Factor.TOTP, Factor.PASSKEY}
        return Enrolled(usable=frozenset(usable), second=second, enrolable=frozenset(enrolable))

    def has_second(self, account: Account) -> bool:
        """Whether it has a second factor of its own, usable or not."""
        return self.enrolled(account).second

    @staticmethod
    def weighed(account: Account, proofs: Sequence[Proof]) -> tuple[Proof, ...]:
        """The proofs, and of the password how it came about: one that was reset by mail is the mailbox still."""
        if not account.password_mailed:
            return tuple(proofs)
        return tuple(
            replace(proof, through=proof.through or Factor.EMAIL_CODE)
            if proof.factor is Factor.PASSWORD
            else proof
            for proof in proofs
        )

    def still_there(self, account: Account, proofs: Sequence[Proof]) -> bool:
        """Whether no passkey that was shown has been removed or disabled since."""
        shown = {proof.authenticator for proof in proofs if proof.factor is Factor.PASSKEY}
        store = self._kit.passkey_store
        if not shown or store is None:
            return not shown
        there = {each.id for each in store.of_account(account.id) if each.disabled_at is None}
        return shown <= there

    def facts(self, account_id: str) -> Facts:
        """What is known of the person."""
        facts = Facts() if self._kit.facts_of is None else self._kit.facts_of(account_id)
        if type(facts) is not Facts:
            # Anything else would be compared with the rules as if nothing were known, and ask for less.
            raise TypeError("facts_of returns Facts")
        return facts

    def facts_here(
        self, account: Account, *, source: Source, browser: Browser, signed_in: bool = False
    ) -> Facts:
        """What is known of the person, and of this very sign-in.

        Args:
            signed_in: the browser has a session that shows a factor, and hands in no known device.
        """
        facts, kit = self.facts(account.id), self._kit
        if not kit.policy.asks_attempt:
            return facts
        posture = kit.posture(source) or browser.posture
        facts = replace(facts, posture=posture)
        if kit.risk_of is None:
            return facts
        known = self._known(account, browser)
        device: Literal["unknown", "known", "trusted", "signed_in"] = "unknown" if known is None else "known"
        if signed_in:
            device = "signed_in"
        elif known is not None and kit.trust is not None and kit.trust.holds(account, known, kit.clock()):
            device = "trusted"
        attempt = SignInAttempt(account_id=account.id, source=source, device=device, posture=posture)
        return replace(facts, labels=facts.labels | labels_of(kit.risk_of, attempt))

    def demand(self, account: Account, *, source: Source, browser: Browser) -> Demand:
        """What is asked of this sign-in now."""
        return self._kit.policy.demand(
            self.facts_here(account, source=source, browser=browser), self._kit.clock()
        )

    def next(
        self,
        account: Account,
        proofs: Sequence[Proof],
        *,
        source: Source,
        browser: Browser,
        trusting: bool = False,
        signed_in: bool = False,
    ) -> Next:
        """What leads on.

        Args:
            source, browser: of this step's request: the policy may ask more because of them.
            trusting: whether a trusted browser counts. It spares its owner, who knows the password, the second factor that
                they set up of their own accord; what the policy asks for, no browser answers. Beside a mailed link it
                counts for nothing: whoever sits at that browser may have the mailbox open in the next tab.
            signed_in: as at `facts_here`.
        """
        kit, proofs, now = self._kit, self.weighed(account, proofs), self._kit.clock()
        enrolled = self.enrolled(account)
        facts = self.facts_here(account, source=source, browser=browser, signed_in=signed_in)
        demand, usual = kit.policy.demand(facts, now), kit.policy.usual(facts, now)
        where = missing(proofs, enrolled, usual, grace=kit.policy.grace(now))
        if demand != usual:
            # Whoever has the password, and is where its owner never was, must not answer that with a factor that they
            # set up this moment; nor is there time for it.
            may_add = frozenset[Factor]() if where.done else enrolled.enrolable
            where = missing(proofs, replace(enrolled, enrolable=may_add), demand)
        if (
            where.done
            or kit.trust is None
            or not trusting
            or browser.device is None
            or not any(proof.factor is Factor.PASSWORD and proof.through is None for proof in proofs)
            or not meets(proofs, demand)
        ):
            return where
        return Next(done=True) if kit.trust.holds(account, self._known(account, browser), now) else where

    def _known(self, account: Account, browser: Browser) -> KnownDevice | None:
        """The account's known device that the browser showed."""
        if browser.device is None:
            return None
        mine = self._kit.devices.of_account(account.id)
        return next((each for each in mine if each.digest.hex() == browser.device), None)

    def must_change(self, account: Account) -> str | None:
        """Why this account must choose a new password before its next session, or None."""
        if account.password_hash is None:
            return None
        if account.must_change is not None:
            return account.must_change
        if self._kit.max_age is None:
            return None
        changed = account.password_changed_at or account.created_at
        return EXPIRED if changed is None or self._kit.clock() - changed >= self._kit.max_age else None

    def refuse_unless_bare(self, account: Account, source: Source, session: str | None = None) -> None:
        """FACTOR_ALREADY_ENROLLED where the account has a second factor of its own."""
        # A password alone must never add an authenticator beside one that the owner has: the sign-in may have been
        # started before the owner enrolled theirs.
        if self.has_second(account):
            self.refuse_enrolment(account, source, session)

    def refuse_enrolment(self, account: Account, source: Source, session: str | None = None) -> NoReturn:
        """FACTOR_ALREADY_ENROLLED, recorded."""
        self._kit.refuse(
            Event.AUTH_MFA_CHALLENGE_FAILED,
            Reason.FACTOR_ALREADY_ENROLLED,
            source=source,
            account_id=account.id,
            session=session,
        )
