"""Passkeys at the door: as the first factor, with or without a name, and as the second."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from portalsec._encoding import new_token
from portalsec.auth._door_kit import NOBODY, Kit, PasskeyService, settled
from portalsec.auth._input import canonical_login
from portalsec.auth._opening import Opening
from portalsec.auth._pending import Browser, Pending, password_digest
from portalsec.auth._pending_flows import FACTOR, FIRST, PendingSignIns, token_digest
from portalsec.auth._standing import Standing
from portalsec.auth.demands import Demand, meets
from portalsec.auth.ports import Account, Flow
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.step import Step
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Event, Source
from portalsec.secret import Secret

if TYPE_CHECKING:
    from portalsec.auth.passkeys.options import PasskeyOptions

__all__ = ["PasskeyFactor"]

_FIRST, _SECOND = "passkey.sign-in", "passkey.second"
_MAX_BEGUN = 20  # a page may ask anew whenever a person cancels the browser's dialog


class PasskeyFactor:
    """The ceremony is bound to the pending token that the browser holds; each challenge is good for one answer.

    Failures of a first passkey count against the visitor's address alone: a stranger uses up nothing of an owner's. As a
    second factor they have a budget of their own, apart from codes'.
    """

    def __init__(self, kit: Kit, pending: PendingSignIns, standing: Standing, opening: Opening) -> None:
        self._kit = kit
        self._pending = pending
        self._standing = standing
        self._opening = opening

    # -- begin ------------------------------------------------------------------------------------------------------

    def begin_first(
        self, login: object, *, source: Source, replaces: object, shared: bool, trust: bool
    ) -> tuple[PasskeyOptions, Secret[str]]:
        """`SignIn.begin_passkey` without a pending token."""
        kit, service = self._kit, self._service(source)
        left = tuple(self._pending.abort(replaces))
        name: str | None = None
        malformed: Reason | None = None
        try:
            name = None if login is None else canonical_login(login)
        except Denied as refusal:
            malformed = refusal.reason
        if malformed is not None:
            kit.refuse(Event.SYSTEM_REQUEST_REFUSED, malformed, source=source)
        posture = kit.posture(source)
        kit.admit("ceremony", None, source)
        account, named = None, None
        if name is not None:
            found = kit.accounts.by_login(name)
            named = NOBODY if found is None else found.id
            account = kit.accounts.get(named)
        state = Pending(
            epoch=0,
            proofs=(),
            password="",
            named=named,
            browser=Browser(
                shared=shared, trust=trust and not shared, left=left, posture=posture, jkt=source.jkt
            ),
        )
        token = new_token()
        digest = token_digest(token)
        if digest is None:
            raise StoreError("a pending token could not be made")
        expires_at = kit.clock() + kit.policy.pending_lifetime
        # Of nobody in the store, with a name or without: whoever can read it learns of no account.
        self._pending.put(digest, FIRST, None, state, expires_at=expires_at)
        options = service.begin_sign_in(digest, login=name, account=account, purpose=_FIRST)
        return options, Secret(token)

    def begin_second(self, pending: object, *, source: Source) -> tuple[PasskeyOptions, Secret[str]]:
        """`SignIn.begin_passkey` of a pending sign-in."""
        service = self._service(source)
        flow, state, account = self._pending.begun(pending, FACTOR, source, most=_MAX_BEGUN)
        self._offered(account, state, source)
        options = service.begin_sign_in(
            flow.digest,
            login=None,
            account=account,
            purpose=_SECOND,
            user_verification="required" if self._must_verify(account, state, source) else None,
        )
        self._pending.put_back(flow, replace(state, begun=state.begun + 1))
        return options, Secret(str(pending))

    # -- submit -----------------------------------------------------------------------------------------------------

    def submit(
        self, pending: object, response: object, *, source: Source, device: object, replaces: object
    ) -> Step:
        """`SignIn.submit_passkey`."""
        service, digest = self._service(source), token_digest(pending)
        self._kit.posture(source)
        # One answer each: whatever comes of it, a first ceremony is begun anew.
        flow = digest and self._kit.flows.consume(digest, FIRST, now=self._kit.clock())
        if flow:
            return self._first(service, flow, response, source=source, device=device, replaces=replaces)
        return self._second(service, digest, response, source=source, device=device)

    def _first(
        self,
        service: PasskeyService,
        flow: Flow,
        response: object,
        *,
        source: Source,
        device: object,
        replaces: object,
    ) -> Step:
        kit, state = self._kit, self._pending.under_its_key(flow, source)
        attempt = kit.admit("passkey", None, source)
        proven = settled(
            lambda: service.complete_sign_in(
                flow.digest, _FIRST, response, account_id=None, require_user_verification=True, source=source
            ),
            attempt,
        )
        if isinstance(proven, Reason):
            kit.refuse(Event.AUTH_LOGIN_FAILED, proven, source=source)
        account_id = proven.account_id
        # Whatever ends the account's sessions from here on also ends this one; that the passkey is still there is asked
        # once more when the session opens.
        epoch = kit.sessions.epoch(account_id)
        account = kit.accounts.get(account_id)
        reason = None
        if account is None or state.named not in (None, account_id) or not proven.proof.user_verified:
            reason = Reason.PASSKEY_REFUSED
        elif account.disabled:
            reason = Reason.ACCOUNT_DISABLED
        if reason is not None or account is None:
            attempt.failed()
            kit.refuse(
                Event.AUTH_LOGIN_FAILED,
                reason or Reason.PASSKEY_REFUSED,
                source=source,
                account_id=account_id,
            )
        # Of a question that autofill asked by itself the browser's other sign-in goes on until here.
        left = (*state.browser.left, *self._pending.abort(replaces))
        known = kit.known_device(device, account.id, source)
        browser = replace(
            state.browser,
            device=None if known is None else known.digest.hex(),
            family=None if known is None else kit.devices.family(device, known),
            folded=tuple(notice for whose, notice in left if whose == account.id),
            left=(),
        )
        state = Pending(
            epoch=epoch,
            proofs=(proven.proof,),
            password=password_digest(kit.mac, account.password_hash),
            units=attempt.hold(),
            browser=browser,
        )
        return self._opening.go_on(account, state, source=source, device=device)

    def _second(
        self,
        service: PasskeyService,
        digest: bytes | None,
        response: object,
        *,
        source: Source,
        device: object,
    ) -> Step:
        kit = self._kit
        flow, state = self._pending.tried(digest, FACTOR, source)
        account = self._pending.holder(flow, state, source)
        self._offered(account, state, source)
        attempt = kit.reserve("passkey", account, source)
        proven = settled(
            lambda: service.complete_sign_in(
                flow.digest,
                _SECOND,
                response,
                account_id=account.id,
                require_user_verification=self._must_verify(account, state, source),
                source=source,
            ),
            attempt,
        )
        if isinstance(proven, Reason):
            self._pending.failed(flow, proven, source)
        self._pending.consume(flow, source)
        return self._opening.after_factor(
            account,
            state,
            proven,
            attempt.hold(),
            source=source,
            device=device,
            expires_at=flow.expires_at,
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _must_verify(self, account: Account, state: Pending, source: Source) -> bool:
        """Whether this passkey leads on only where its user is verified: where nothing else that was shown is of another
        kind than what is held. Whoever has a passkey is asked for two factors, whatever the policy asks; one that was only
        touched is one kind with a mailed link, and the password that would be missing is never asked for behind that.

        Where a rule leaves the password out that was shown, a touch leads on to a passkey that verifies its user.
        """
        demand = self._standing.demand(account, source=source, browser=state.browser)
        touched = Proof(factor=Factor.PASSKEY, at=self._kit.clock(), device_bound=True, attested=True)
        verified = replace(touched, user_verified=True)
        two = Demand(second=True, allowed=demand.allowed)
        if not meets([*state.proofs, verified], two) or meets([*state.proofs, touched], two):
            return False
        where = self._standing.next(account, [*state.proofs, touched], source=source, browser=state.browser)
        return not where.enrol

    def _offered(self, account: Account, state: Pending, source: Source) -> None:
        where = self._standing.next(account, state.proofs, source=source, browser=state.browser)
        if Factor.PASSKEY not in where.show:
            self._kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FACTOR_NOT_ENROLLED,
                source=source,
                account_id=account.id,
            )

    def _service(self, source: Source) -> PasskeyService:
        if self._kit.passkeys is None:
            self._kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FACTOR_NOT_ENROLLED, source=source)
        return self._kit.passkeys
