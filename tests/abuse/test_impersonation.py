"""Support that acts in an owner's name, on every kind of store: case AUZ-04. Each of its rules by itself is in
``tests/auth/test_impersonation.py``; over HTTP in the adapters' tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth._door import DOOR
from portalsec.auth.endings import Why
from portalsec.auth.notices import NoticeKind
from portalsec.auth.sessions import NewSession
from portalsec.errors import Denied, Reason
from tests.abuse.doors import backing
from tests.auth.test_impersonation import Desk
from tests.auth.world import PASSWORD, SOURCE, Backing, together

__all__ = ["backing"]

MANY = 50


@pytest.fixture
def desk(backing: Backing) -> Desk:
    return Desk(backing=backing)


def lives(desk: Desk, session: NewSession) -> bool:
    try:
        desk.live(session)
    except Denied:
        return False
    return True


def test_auz_04_in_an_owner_s_name_nobody_touches_factors_or_password_and_the_owner_is_told(
    desk: Desk,
) -> None:
    session = desk.live(desk.start())
    assert (session.account_id, session.impersonator, session.factors) == (desk.robin.id, desk.kim.id, ())
    for way in (
        session.require_owner,
        lambda: desk.sessions.rotate_through(DOOR, session, proofs=desk.staff.proofs, source=SOURCE),
        lambda: desk.password_change.change(
            session, current=PASSWORD, new="harbour pickle saturn x", source=SOURCE
        ),
        lambda: desk.contacts.add(session, "x@example.org", current=PASSWORD, source=SOURCE),
        lambda: desk.desk.start(session, desk.kim.id, reason="ticket-4711", source=SOURCE),
    ):
        with pytest.raises(Denied) as refusal:
            way()
        assert refusal.value.reason is Reason.IMPERSONATED
    assert NoticeKind.IMPERSONATED in [each.kind for each in desk.notices.of_account(desk.robin.id)]
    assert [each.impersonator for each in desk.backing.sessions.of_account(desk.robin.id)] == [desk.kim.id]


def test_auz_04_it_ends_with_either_s_sessions_and_by_itself(desk: Desk) -> None:
    first = desk.start()
    desk.endings.apply(desk.robin.id, Why.SIGNED_OUT_EVERYWHERE, actor=desk.staff.actor, source=SOURCE)
    assert not lives(desk, first) and desk.sessions.of_account(desk.kim.id)
    second = desk.start()
    assert lives(desk, second)
    desk.endings.apply(desk.kim.id, Why.SIGNED_OUT_EVERYWHERE, actor=desk.staff.actor, source=SOURCE)
    assert not lives(desk, second)
    desk.clock.advance(timedelta(minutes=1))
    desk.staff = desk.live(desk.session(desk.kim))
    third = desk.start()
    desk.clock.advance(timedelta(minutes=15))
    assert not lives(desk, third)


def test_auz_04_of_many_that_begin_while_staff_is_signed_out_none_is_left(desk: Desk) -> None:
    def one(number: int) -> Any:
        if number == MANY // 2:
            return desk.endings.apply(desk.kim.id, Why.DISABLED, actor=desk.staff.actor, source=SOURCE)
        return desk.start()

    results = together(MANY, one)
    begun = [each for each in results if isinstance(each, NewSession)]
    broken = [each for each in results if isinstance(each, Exception) and not isinstance(each, Denied)]
    assert not broken, broken
    assert not any(lives(desk, each) for each in begun)
