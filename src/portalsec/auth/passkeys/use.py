"""A verified answer is counted once, by the store, and becomes evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.passkeys.assertion import Assertion, Expected, check_credential, counter_regressed
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.auth.passkeys.messages import AssertionMessage
from portalsec.auth.passkeys.policy import Clone
from portalsec.auth.passkeys.recorder import Ask, Recorder
from portalsec.auth.ports import Passkey, PasskeyStore
from portalsec.auth.proof import Proof
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason

__all__ = ["Uses"]

_TRIES: Final = 3


class Uses:
    """Safe for concurrent use: a counter is judged against the newest that any worker accepted."""

    def __init__(self, *, store: PasskeyStore, clone: Clone, clock: Clock, recorder: Recorder) -> None:
        self._store = store
        self._clone: Clone = clone
        self._clock = clock
        self._recorder = recorder

    def count(
        self, message: AssertionMessage, passkey: Passkey, result: Assertion, expected: Expected, ask: Ask
    ) -> Evidence:
        """Move the record on, and mint.

        Raises:
            Denied: PASSKEY_REFUSED: the counter went backwards and the policy refuses that; or the passkey was removed or
                disabled since it was read; or others were faster, time after time.
        """
        check = Check.A_COUNT
        for _ in range(_TRIES):
            regressed = counter_regressed(passkey.sign_count, result.sign_count)
            if regressed:
                self._suspected(passkey, ask)
            elif self._store.advance(
                passkey.account_id,
                passkey.id,
                expected=passkey.sign_count,
                sign_count=result.sign_count,
                backed_up=result.backed_up,
                user_verified=result.user_verified,
                at=self._clock(),
            ):
                return self._evidence(passkey, result)
            found = self._store.by_credential_id(message.credential_id)
            try:
                newest = check_credential(message, found, expected)
            except Refusal as refusal:
                check = refusal.check
                break
            if newest.id != passkey.id:
                check = Check.A_ALLOW  # deleted and registered anew: the signature was the old key's
                break
            # The count alone is news: all else is of the record that was verified.
            passkey = replace(passkey, sign_count=newest.sign_count)
            if regressed:
                return self._evidence(passkey, result)
        return self._recorder.refuse(check, ask)

    def _suspected(self, passkey: Passkey, ask: Ask) -> None:
        """A counter that did not move forward: somebody may have a copy (section 6.1.1). It is never lowered."""
        self._store.suspect(
            passkey.account_id, passkey.id, at=self._clock(), disable=self._clone == "disable"
        )
        self._recorder.suspect(passkey, ask, policy=self._clone)
        if self._clone != "record":
            raise Denied(Reason.PASSKEY_REFUSED)

    def _evidence(self, passkey: Passkey, result: Assertion) -> Evidence:
        return mint(
            Proof(
                factor=Factor.PASSKEY,
                at=self._clock(),
                authenticator=passkey.id,
                user_verified=result.user_verified,
                device_bound=not passkey.backup_eligible,
                attested=passkey.attested,
            ),
            passkey.account_id,
        )
