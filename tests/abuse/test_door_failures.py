"""Stores of each kind that fail once, at each of their calls in turn, before the work or after it (its answer is lost): case
ATK-41."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, StoreError
from portalsec.events import Event
from portalsec.testing import SoftAuthenticator
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import Door, begun
from tests.auth.mail import told
from tests.auth.world import ORIGIN, PASSWORD, SOURCE, code_of, session, tight

__all__ = ["backing", "make"]

STORES = (
    "account_store", "flow_store", "session_store", "throttle_store", "totp_store", "passkey_store",
    "recovery_code_store", "device_store", "contact_store", "notice_store", "link_store",
)  # fmt: skip


class Once:
    """Stores of a door, one call of which fails."""

    def __init__(self, door: Door, *, lost: bool) -> None:
        self.calls, self.at, self.lost, self.which = 0, -1, lost, ""
        for name in STORES:
            setattr(door, name, _Failing(getattr(door, name), self, name))
        door.wire()

    def arm(self, at: int) -> None:
        self.calls, self.at = 0, at


class _Failing:
    def __init__(self, store: Any, once: Once, name: str) -> None:
        self._store, self._once, self._name = store, once, name

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            once = self._once
            once.calls += 1
            mine = once.calls == once.at
            if mine:
                once.which = f"{self._name}.{verb}"
            result = getattr(self._store, verb)(*args, **kwargs) if once.lost or not mine else None
            if mine:
                raise StoreError("down")
            return result

        return call


Work = Callable[[], object]


def totp_at_the_door(door: Door, login: str) -> tuple[Account, Work]:
    robin, pending = door.person(login, enrolled=False), begun(door.start(login))
    seed = door.sign_in.begin_totp_enrolment(pending, source=SOURCE).secret.reveal()
    code = code_of(seed, door.clock())
    return robin, lambda: door.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE)


def passkey_at_the_door(door: Door, login: str) -> tuple[Account, Work]:
    robin, pending = door.person(login, enrolled=False), begun(door.start(login))
    options = door.sign_in.begin_passkey_enrolment(pending, source=SOURCE)
    made = SoftAuthenticator().create(options.json, origin=ORIGIN)
    return robin, lambda: door.sign_in.confirm_passkey_enrolment(pending, made, "key", source=SOURCE)


def totp_in_a_session(door: Door, login: str) -> tuple[Account, Work]:
    robin = door.person(login, enrolled=False)
    held = door.active(session(door.start(login)))
    seed = door.adding_factor.begin(held, PASSWORD, source=SOURCE).secret.reveal()
    return robin, lambda: door.adding_factor.confirm(held, code_of(seed, door.clock()), source=SOURCE)


@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", [totp_at_the_door, passkey_at_the_door, totp_in_a_session])
def test_atk_41_no_factor_is_left_that_no_record_and_no_mail_knows_of(
    make: MakeDoor, way: Any, lost: bool
) -> None:
    number = seen = 0
    while True:
        number += 1
        policy = SignInPolicy(second_factor="optional" if way is totp_in_a_session else "required")
        door = make(policy, lanes=tight())  # the doors of a test share their budgets
        once = Once(door, lost=lost)
        robin, work = way(door, f"robin{number}")
        once.arm(number)
        with suppress(StoreError, Denied):
            work()
        if once.calls < number:
            break
        once.arm(-1)
        known = door.events.named(Event.AUTH_MFA_ENROLLED) and NoticeKind.FACTOR_ADDED in told(door, robin)
        held = door.totp.enrolled(robin.id) or door.passkey_store.of_account(robin.id)
        assert known or not held, once.which
        seen += bool(held)
    assert number > 20 and seen  # where all that matters was done, it is a factor
