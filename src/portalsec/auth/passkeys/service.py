"""`Passkeys`: registers passkeys and signs in with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from portalsec._encoding import b64url
from portalsec.auth._input import canonical_login
from portalsec.auth.evidence import Evidence
from portalsec.auth.passkeys.assertion import (
    NOBODY,
    Assertion,
    Expected,
    check_credential,
    credential_reference,
    verify_assertion,
)
from portalsec.auth.passkeys.challenges import REGISTER, Challenge, Challenges
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.client_data import RelyingParty
from portalsec.auth.passkeys.labels import DEFAULT_LABEL, label_text
from portalsec.auth.passkeys.makes import make_name
from portalsec.auth.passkeys.messages import (
    AssertionMessage,
    RegistrationMessage,
    read_assertion,
    read_registration,
)
from portalsec.auth.passkeys.options import (
    Descriptor,
    PasskeyOptions,
    PasskeySignal,
    creation_options,
    fake_descriptors,
    request_options,
)
from portalsec.auth.passkeys.policy import PasskeyPolicy, UserVerification
from portalsec.auth.passkeys.recorder import Ask, Recorder
from portalsec.auth.passkeys.records import Records
from portalsec.auth.passkeys.registration import (
    ExpectedRegistration,
    Registered,
    Statement,
    verify_registration,
)
from portalsec.auth.passkeys.second_opinion import WebauthnPackage
from portalsec.auth.passkeys.use import Uses
from portalsec.auth.ports import Account, FlowStore, Mac, Passkey, PasskeyStore, Sealer
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Source
from portalsec.typing import Emit, NewId

__all__ = ["Passkeys"]

_NOWHERE = Source()


class Passkeys:
    """Begins and completes both ceremonies; each challenge is good for one answer, whatever the answer.

    Safe for concurrent use: the store decides who completes a challenge, who owns a credential id, and which use of a
    counter is the newest. It emits what it refuses and what it suspects; that a factor was added or somebody signed in is
    for the caller to record. It does not count guesses: a signature cannot be guessed.

    ``place`` is what binds a challenge to a browser: the digest of the pending sign-in's token, or of the session.

    Args:
        store: where passkeys live.
        flows: where challenges live; may be short-lived.
        mac: makes user handles, credentials for names that have none, and the tag of what ``flows`` keeps.
        sealer: vouches for what ``store`` keeps; see `portalsec.auth.passkeys.records`.
    """

    def __init__(
        self,
        *,
        store: PasskeyStore,
        flows: FlowStore,
        policy: PasskeyPolicy,
        mac: Mac,
        sealer: Sealer,
        clock: Clock,
        new_id: NewId,
        emit: Emit,
    ) -> None:
        self._store = store
        self._mac = mac
        self._records = Records(sealer)
        self._nobody = NOBODY
        self._clock = clock
        self._new_id = new_id
        self.policy = policy
        self._recorder = Recorder(emit=emit)
        self._uses = Uses(store=store, clone=policy.clone, clock=clock, recorder=self._recorder)
        self._challenges = Challenges(flows=flows, mac=mac, clock=clock, lifetime=policy.challenge_lifetime)
        self._party = RelyingParty(
            rp_id_hash=hashlib.sha256(policy.rp_id.encode("ascii")).digest(),
            origins=policy.accepted_origins,
            top_origins=frozenset(policy.top_origins),
        )
        self._package = WebauthnPackage(rp_id=policy.rp_id, origins=policy.accepted_origins)

    # -- registration -----------------------------------------------------------------------------------------------

    def begin_registration(
        self,
        place: bytes,
        account: Account,
        *,
        user_verification: Literal["preferred", "required"] = "preferred",
        exclude: bool = True,
        conditional: bool = False,
    ) -> PasskeyOptions:
        """Ask for a new passkey; what was asked for in this place before is void.

        Args:
            user_verification: "required" also refuses an answer without it.
            exclude: tell the browser which ones the account has, so that no authenticator registers twice.
            conditional: the browser may make it without a touch, right after a sign-in by password
                (``mediation: "conditional"``).

        Raises:
            Denied: PASSKEY_REFUSED where the account has as many as it may have.
        """
        held = self._store.of_account(account.id)
        if len(held) >= self.policy.max_passkeys:
            raise Denied(Reason.PASSKEY_REFUSED)
        # One handle an account: an authenticator shows two accounts where it knows two handles. Also that of those that were
        # removed, since their owner may want them back, and `_handle` changes when its key rotates.
        known = held or self._store.removed(account.id)
        handle = known[0].user_handle if known else self._handle(account.id)
        challenge = Challenge(
            account_id=account.id,
            user_verified=user_verification == "required",
            user_present=not conditional,
            user_handle=handle.hex(),
        )
        self._challenges.put(place, REGISTER, challenge)
        return creation_options(
            self.policy,
            account,
            challenge=challenge.text,
            user_handle=handle,
            user_verification=user_verification,
            exclude=[Descriptor.of(each) for each in held] if exclude else [],
        )

    def complete_registration(
        self,
        place: bytes,
        account_id: str,
        response: object,
        *,
        label: object = "",
        source: Source = _NOWHERE,
    ) -> Passkey:
        """Verify and store the passkey that the browser made.

        Args:
            response: the JSON of ``credential.toJSON()``: its text as it came (best: a member that comes twice is seen
                then), or what a framework made of it.
            label: the owner's name for it, at most 64 characters; else the make's name.

        Raises:
            Denied: FLOW_UNKNOWN (nothing was asked in this place, it was answered, it is too old, or of another account),
                MALFORMED, PASSKEY_REFUSED, PASSKEY_TAKEN (its id is registered already).
            Tampered: the challenge's store was written to by somebody else.
        """
        challenge = self._taken(place, REGISTER, account_id)
        ask = Ask(purpose=REGISTER, account_id=account_id, source=source)
        expected = ExpectedRegistration(
            challenge=challenge.text,
            algorithms=self.policy.algorithms,
            user_verified=challenge.user_verified,
            user_present=challenge.user_present,
        )
        check, passkey = Check.R_SHAPE, None
        try:
            message = read_registration(response)
            made = verify_registration(
                message, expected, self._party, second_opinion=self._package, attest=self._attest
            )
            passkey = self._passkey(made, message, challenge, account_id, label)
        except Refusal as refusal:
            check = refusal.check
        if passkey is None:
            self._recorder.refuse(check, ask)
        passkey = self._records.sealed(passkey)
        try:
            added = self._store.add(passkey, at_most=self.policy.max_passkeys)
        except StoreError:
            # Its answer may be what was lost. Then it would be a factor that no record and no mail knows of.
            with suppress(StoreError):
                self._store.remove(account_id, passkey.id)
            raise
        if not added:
            full = len(self._store.of_account(account_id)) >= self.policy.max_passkeys
            self._recorder.refuse(Check.R_LIMIT if full else Check.R_DUP, ask)
        return passkey

    # -- sign-in ----------------------------------------------------------------------------------------------------

    def begin_sign_in(
        self,
        place: bytes,
        *,
        login: str | None,
        account: Account | None,
        purpose: str,
        user_verification: UserVerification | None = None,
    ) -> PasskeyOptions:
        """Ask for an answer of a passkey; what was asked for in this place and for this purpose before is void.

        With ``login`` the credentials of ``account`` are named; where there is no such account, or it has none, some that
        nobody has, the same each time: both cost the same reads and writes and look the same. With ``account`` alone its
        own are named. With neither, any discoverable passkey may answer (also from a form's autofill).

        Args:
            login: as typed; MALFORMED where it can be none.
            account: the one of that name, or whose pending sign-in or session this is; or None.
            purpose: "passkey.sign-in", "passkey.second" or "passkey.step-up".
            user_verification: "required" for a sign-in that begins with it, else "preferred".

        Raises:
            Denied: MALFORMED; FACTOR_NOT_ENROLLED where ``account`` alone is given and has none.
        """
        if user_verification is None:
            user_verification = "required" if purpose == "passkey.sign-in" else "preferred"
        named = self._named(login, account)
        challenge = Challenge(
            account_id=None if account is None else account.id,
            user_verified=user_verification == "required",
            allowed=None if named is None else [credential_reference(each.credential_id) for each in named],
        )
        self._challenges.put(place, purpose, challenge)
        return request_options(
            self.policy, challenge=challenge.text, user_verification=user_verification, allow=named or ()
        )

    def complete_sign_in(
        self,
        place: bytes,
        purpose: str,
        response: object,
        *,
        account_id: str | None,
        require_user_verification: bool,
        source: Source = _NOWHERE,
    ) -> Evidence:
        """Verify an answer.

        Args:
            response: as in `complete_registration`.
            account_id: whose passkey it must be; None where the credential decides, whose user handle then says who it is,
                unless a name was given at the beginning.
            require_user_verification: refuse an answer whose authenticator did not verify its user, whatever was asked.

        Returns:
            Evidence whose proof says which passkey, whether its user was verified, whether it can be copied, and whether its
            make was proven.

        Raises:
            Denied: FLOW_UNKNOWN, MALFORMED, PASSKEY_REFUSED.
            Tampered: the challenge's store was written to by somebody else.
        """
        challenge = self._taken(place, purpose, account_id)
        expected = Expected(
            challenge=challenge.text,
            user_verified=challenge.user_verified or require_user_verification,
            account_id=challenge.account_id,
            allowed=challenge.allowed,
        )
        ask = Ask(purpose=purpose, account_id=challenge.account_id, source=source)
        check, verified = Check.A_SHAPE, None
        try:
            message = read_assertion(response)
            verified = message, *self._verified(message, expected)
        except Refusal as refusal:
            check = refusal.check
        if verified is None:
            self._recorder.refuse(check, ask)
        return self._uses.count(*verified, expected, ask)

    # -- what an account has ----------------------------------------------------------------------------------------

    def of_account(self, account_id: str) -> Sequence[Passkey]:
        """Those not removed, oldest first; disabled ones too."""
        return self._store.of_account(account_id)

    def enrolled(self, account_id: str) -> bool:
        """Whether the account has a passkey that is a factor."""
        return any(each.disabled_at is None for each in self._store.of_account(account_id))

    def signal(self, account_id: str) -> PasskeySignal:
        """For the page after a removal: the browser hides what is not in the list (section 5.1.10.3)."""
        held = self._store.of_account(account_id)
        known = held or self._store.removed(account_id)
        return PasskeySignal(
            json=json.dumps(
                {
                    "rpId": self.policy.rp_id,
                    "userId": b64url(known[0].user_handle if known else self._handle(account_id)),
                    "allAcceptedCredentialIds": [
                        b64url(each.credential_id) for each in held if each.disabled_at is None
                    ],
                },
                separators=(",", ":"),
            )
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _taken(self, place: bytes, purpose: str, account_id: str | None) -> Challenge:
        challenge = self._challenges.take(place, purpose)
        if challenge is None or (account_id is not None and challenge.account_id != account_id):
            raise Denied(Reason.FLOW_UNKNOWN)
        return challenge

    def _handle(self, account_id: str) -> bytes:
        # Not the account's id: authenticators show handles to whoever holds them. The same one until a first passkey is
        # there, so that two tabs do not make one person two users of one authenticator.
        return self._mac("passkey-user-handle", account_id.encode("utf-8"))

    def _named(self, login: str | None, account: Account | None) -> list[Descriptor] | None:
        if login is None:
            if account is None:
                return None
            held = self._store.of_account(account.id)
            named = [Descriptor.of(each) for each in held if each.disabled_at is None]
            if not named:
                raise Denied(Reason.FACTOR_NOT_ENROLLED)
            return named
        name = canonical_login(login)
        fakes = fake_descriptors(self._mac, name)
        # One read for every name: no account has the id that stands for none.
        held = self._store.of_account(f"nobody:{name}" if account is None else account.id)
        return [Descriptor.of(each) for each in held if each.disabled_at is None] or fakes

    def _verified(self, message: AssertionMessage, expected: Expected) -> tuple[Passkey, Assertion]:
        found, refused = self._store.by_credential_id(message.credential_id), None
        try:
            passkey = check_credential(message, found, expected)
        except Refusal as refusal:
            refused = refusal.check
        if refused is None:
            refused = None if self._records.holds(passkey) else Check.A_RECORD
        elif not self._records.holds(self._nobody):
            self._nobody = self._records.sealed(NOBODY)  # at first, and when the key that it is under is gone
        if refused is not None:
            # The work of a verification, and its word on what is no answer at all: so neither time nor the visitor's face
            # tells an id of `fake_descriptors` from one that is there.
            try:
                verify_assertion(message, NOBODY, expected, self._party)
            except Refusal as refusal:
                refused = refusal.check if refusal.malformed else refused
            raise Refusal(refused)
        return passkey, verify_assertion(message, passkey, expected, self._party)

    def _attest(self, statement: Statement) -> bool:
        # Here, since certificates take 50 ms to import, and a worker that only signs people in sees none.
        from portalsec.auth.passkeys.attestation import AttestationPolicy, verify_attestation

        return verify_attestation(
            self.policy.attestation or AttestationPolicy.NONE,
            statement.format,
            statement.members,
            statement.data,
            client_data_hash=hashlib.sha256(statement.client_data).digest(),
            now=self._clock(),
        )

    def make_of(self, aaguid: str) -> str | None:
        """The name of a make (a UUID in lower case), as FIDO's metadata has it where the policy has that; or None."""
        attestation = self.policy.attestation
        return make_name(aaguid, None if attestation is None else attestation.metadata)

    def _passkey(
        self,
        made: Registered,
        message: RegistrationMessage,
        challenge: Challenge,
        account_id: str,
        label: object,
    ) -> Passkey:
        make = self.make_of(made.aaguid)
        return Passkey(
            id=self._new_id(),
            account_id=account_id,
            credential_id=made.credential_id,
            user_handle=bytes.fromhex(challenge.user_handle),
            public_key=made.public_key,
            algorithm=made.algorithm,
            sign_count=made.sign_count,
            label=label_text(label, make or DEFAULT_LABEL),
            aaguid=made.aaguid,
            transports=message.transports,
            backup_eligible=made.backup_eligible,
            backed_up=made.backed_up,
            user_verified=made.user_verified,
            attested=made.attested,
            discoverable=message.discoverable,
            created_at=self._clock(),
        )
