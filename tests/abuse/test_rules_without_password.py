"""Rules that leave the password out of what opens a session: nobody who has a factor of their own is locked out by one for good,
and nobody sets another up beside it with less than two."""

from __future__ import annotations

from typing import Any

import pytest

from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Reason
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import begun, refused
from tests.auth.world import SOURCE, session

__all__ = ["backing", "make"]

F = Factor


def asking(*allowed: Factor, **rule: Any) -> SignInPolicy:
    return SignInPolicy(rules=(DemandRule(demand=Demand(allowed=frozenset(allowed)), **rule),))


def test_mfa_16_who_has_a_key_that_verifies_nobody_sets_up_one_that_does(make: MakeDoor) -> None:
    door = make(asking(F.PASSKEY))
    robin = door.person(enrolled=False)
    door.with_passkey(robin, user_verification=False)
    step = door.start()
    assert step.next == ("passkey",)
    step = door.second(robin, begun(step))
    assert step.next == ("passkey_enrolment",)
    step = door.enrol_passkey(robin, begun(step))
    assert door.active(session(step)).account_id == robin.id
    assert len(door.passkey_store.of_account(robin.id)) == 2
    # The new one does from here on, first or second.
    assert door.first(robin).session is not None
    assert door.second(robin, begun(door.start())).session is not None


def test_who_verifies_themselves_is_asked_for_nothing_more(make: MakeDoor) -> None:
    door = make(asking(F.PASSKEY))
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    assert door.second(robin, begun(door.start())).session is not None


def test_mfa_16_a_key_that_verifies_nobody_set_up_at_the_door_is_no_dead_end(make: MakeDoor) -> None:
    door = make(asking(F.PASSKEY))
    robin = door.person(enrolled=False)
    step = door.start()
    assert step.next == ("passkey_enrolment",)
    step = door.enrol_passkey(robin, begun(step), user_verification=False)
    assert step.next == ("passkey_enrolment",)
    # Nor where its owner leaves, and comes back with that key.
    door.sign_in.abort(begun(step))
    step = door.second(robin, begun(door.start()))
    assert step.next == ("passkey_enrolment",)
    assert door.enrol_passkey(robin, begun(step)).session is not None


def test_mfa_16_who_has_codes_alone_sets_up_a_passkey(make: MakeDoor) -> None:
    door = make(asking(F.TOTP, F.PASSKEY))
    robin = door.person()
    step = door.start()
    assert step.next == ("totp",)
    step = door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE)
    assert step.next == ("passkey_enrolment",)
    assert door.enrol_passkey(robin, begun(step)).session is not None


@pytest.mark.parametrize("allowed", [(F.PASSKEY,), (F.TOTP, F.PASSKEY)])
def test_byp_a_password_alone_sets_nothing_up_beside_what_there_is(
    make: MakeDoor, allowed: tuple[Factor, ...]
) -> None:
    door = make(asking(*allowed))
    robin = door.person(enrolled=F.TOTP in allowed)
    door.with_passkey(robin)
    pending = begun(door.start())
    for work in (door.sign_in.begin_passkey_enrolment, door.sign_in.begin_totp_enrolment):
        assert refused(lambda work=work: work(pending, source=SOURCE)) is Reason.FLOW_UNKNOWN  # type: ignore[misc]
    assert door.sessions.of_account(robin.id) == ()


def test_who_is_where_they_never_were_sets_nothing_up_by_a_touch(make: MakeDoor) -> None:
    door = make(asking(F.PASSKEY, labels=frozenset({"abroad"})), risk_of=lambda _: frozenset({"abroad"}))
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    pending = begun(door.start())
    assert (
        refused(lambda: door.second(robin, pending, force=True, user_verified=False))
        is Reason.PASSKEY_REFUSED
    )
