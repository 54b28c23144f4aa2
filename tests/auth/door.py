"""A `World` with every factor, and people who have them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.signin import SignInPolicy, Step
from portalsec.errors import Denied, Reason
from portalsec.testing import SoftAuthenticator
from tests.auth.world import ORIGIN, PASSWORD, SOURCE, World, code_of, token

__all__ = ["MAIL", "Door", "begun", "refused"]

MAIL = frozenset(Factor) - {Factor.SMS_CODE}


class Door(World):
    """Everything wired; an authenticator for each person who registered a passkey."""

    def __init__(self, policy: SignInPolicy | None = None, **kwargs: Any) -> None:
        self.keys: dict[str, SoftAuthenticator] = {}
        super().__init__(every_factor=True, sign_in_policy=policy, **kwargs)

    def with_passkey(self, account: Account, **make: Any) -> SoftAuthenticator:
        """Register a passkey of a new authenticator, past the door."""
        assert self.passkeys is not None
        soft = self.keys[account.id] = SoftAuthenticator(**make)
        place = hashlib.sha256(account.id.encode()).digest()
        options = self.passkeys.begin_registration(place, account)
        self.passkeys.complete_registration(
            place, account.id, soft.create(options.json, origin=ORIGIN), label="key"
        )
        return soft

    def with_codes(self, account: Account) -> list[str]:
        return [code.reveal() for code in self.recovery_codes.make(account.id).codes]

    def answer(self, account: Account, options: Any, **hostile: Any) -> str:
        return self.keys[account.id].get(options.json, origin=ORIGIN, **hostile)

    def first(self, account: Account, *, login: str | None = None, **hostile: Any) -> Step:
        """Sign in with a passkey first."""
        options, pending = self.sign_in.begin_passkey(source=SOURCE, login=login)
        return self.sign_in.submit_passkey(
            pending.reveal(), self.answer(account, options, **hostile), source=SOURCE
        )

    def second(self, account: Account, pending: str, **hostile: Any) -> Step:
        """Show a passkey as the second factor."""
        options, _ = self.sign_in.begin_passkey(pending, source=SOURCE)
        return self.sign_in.submit_passkey(pending, self.answer(account, options, **hostile), source=SOURCE)

    def enrol_passkey(self, account: Account, pending: str, **make: Any) -> Step:
        """Set a passkey up at the door."""
        soft = self.keys[account.id] = SoftAuthenticator(**make)
        options = self.sign_in.begin_passkey_enrolment(pending, source=SOURCE)
        made = soft.create(options.json, origin=ORIGIN)
        return self.sign_in.confirm_passkey_enrolment(pending, made, "key", source=SOURCE)

    def enrol_totp(self, pending: str) -> Step:
        seed = self.sign_in.begin_totp_enrolment(pending, source=SOURCE).secret.reveal()
        return self.sign_in.confirm_totp_enrolment(pending, code_of(seed, self.clock()), source=SOURCE)

    def start(self, login: str = "robin", **kwargs: Any) -> Step:
        return self.sign_in.start(login, PASSWORD, source=SOURCE, **kwargs)

    def active(self, opened: NewSession, **kwargs: Any) -> ActiveSession:
        return self.sessions.check(opened.token.reveal(), source=SOURCE, **kwargs)

    def factors(self, step: Step) -> tuple[str, ...]:
        assert step.session is not None
        return self.active(step.session).factors


def begun(step: Step) -> str:
    """The pending token of a step that is not done."""
    assert step.session is None
    return token(step.pending)


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(Denied) as refusal:
        work()
    return refusal.value.reason
