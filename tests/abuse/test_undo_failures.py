"""Stores of each kind that fail once while a link takes a change back, at each of their calls in turn, before the work or
after it (its answer is lost): case ATK-41. Whatever fails, nothing was changed or its owner was told, and the link leads on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.authenticators import Authenticators
from portalsec.auth.notices import NoticeKind
from portalsec.auth.undo import Undo
from portalsec.errors import AuditUnavailable, Denied, StoreError
from portalsec.events import Event, Outcome, SecurityEvent
from tests.abuse.doors import MakeDoor, backing, make
from tests.abuse.race_cases import undo_of
from tests.abuse.test_door_failures import Once
from tests.auth.door import Door
from tests.auth.mail import told
from tests.auth.world import SOURCE, tight, token

__all__ = ["backing", "make"]

MINUTES = timedelta(minutes=2)


class Case:
    """A person, a link of theirs, and what it takes back."""

    def __init__(self, door: Door, login: str, way: str) -> None:
        self.door, self.way = door, way
        self.robin = door.person(login)
        if way != "the last":
            door.with_passkey(self.robin)
        if way != "with codes":
            door.with_codes(self.robin)
            door.clock.advance(MINUTES)  # those are of before
        (device,) = door.totp.devices(self.robin.id)
        kind = NoticeKind.FACTOR_REMOVED if way == "removed" else NoticeKind.FACTOR_ADDED
        details = {"factor": "totp", "device": device.id}
        notice = door.notices.tell(self.robin.id, kind, source=SOURCE, details=details)
        if way == "removed":
            assert door.totp_store.remove(self.robin.id, device.id, at=door.clock())
        if way == "with codes":
            door.with_codes(self.robin)  # whoever added it was shown them
        self.link = token(undo_of(door).token(notice, details))
        self.tells = NoticeKind.FACTOR_RESTORED if way == "removed" else NoticeKind.FACTOR_REMOVED
        self.before = self.state()
        self.told_before = self.told()

    def undo(self) -> Undo:
        return undo_of(self.door)

    def state(self) -> tuple[int, int]:
        """How many authenticators and recovery codes there are."""
        of = Authenticators(totp=self.door.totp_store, passkeys=self.door.passkey_store)
        return len(of.of_account(self.robin.id)), self.door.recovery_codes.left(self.robin.id)

    def told(self) -> int:
        return told(self.door, self.robin).count(self.tells)

    def done(self) -> tuple[int, int]:
        return {"added": (1, 10), "with codes": (1, 0), "the last": (0, 0), "removed": (2, 10)}[self.way]


WAYS = ["added", "with codes", "the last", "removed"]


@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("way", WAYS)
def test_atk_41_no_change_is_taken_back_untold_and_the_link_leads_on(
    make: MakeDoor, way: str, lost: bool
) -> None:
    number = cut_short = 0
    while True:
        number += 1
        door = make(lanes=tight())  # the doors of a test share their budgets
        once = Once(door, lost=lost)
        case = Case(door, f"robin{number}", way)
        once.arm(number)
        failed = False
        try:
            case.undo().confirm(case.link, source=SOURCE)
        except StoreError:
            failed = True
        calls = once.calls
        once.arm(-1)
        if calls < number:
            assert not failed and case.state() == case.done()
            break
        changed, heard = case.state() != case.before, case.told() > case.told_before
        assert heard or not changed, once.which
        if not lost:
            assert changed or not heard, once.which  # and of nothing that it was done
        cut_short += failed and changed
        door.clock.advance(MINUTES)  # a turn whose end was not told is over then
        marked: Denied | None = None
        try:
            case.undo().confirm(case.link, source=SOURCE)
        except Denied as denied:
            marked = denied
        # It was used up by what was done alone, or by a mark whose answer was lost.
        assert marked is None or not failed or (lost and once.which == "link_store.put"), once.which
        assert case.state() == case.done(), once.which
        with pytest.raises(Denied):
            case.undo().look(case.link, source=SOURCE)
    assert number > 15 and cut_short


@pytest.mark.parametrize("way", WAYS)
def test_atk_41_what_the_log_does_not_take_is_not_done_and_not_told(make: MakeDoor, way: str) -> None:
    door = make()
    case = Case(door, "robin", way)
    name = Event.AUTH_MFA_RESTORED if way == "removed" else Event.AUTH_MFA_REMOVED

    def emit(event: SecurityEvent) -> None:
        if event.name is name and event.outcome is Outcome.SUCCESS:
            raise AuditUnavailable("down")
        door.events(event)

    undo: Any = case.undo()
    undo._emit = emit
    with pytest.raises(AuditUnavailable):
        undo.confirm(case.link, source=SOURCE)
    # With the last one its codes have gone, so that stays told.
    assert case.state() == ((1, 0) if way == "the last" else case.before)
    assert (case.told() > case.told_before) is (way == "the last")
    case.undo().confirm(case.link, source=SOURCE)
    assert case.state() == case.done() and case.told() > case.told_before


def test_atk_47_a_session_that_slipped_in_before_the_end_failed_goes_with_the_second_press(
    make: MakeDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = make()
    case = Case(door, "robin", "added")
    undo: Any = case.undo()
    ending, calls = undo._endings.apply, 0

    def apply(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreError("down")
        return ending(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(undo._endings, "apply", apply)
        with pytest.raises(StoreError):
            undo.confirm(case.link, source=SOURCE)
    assert case.state() == case.done() and case.told() > case.told_before
    told_once = case.told()
    slipped = door.first(case.robin).session
    assert slipped is not None and door.active(slipped)
    undo.confirm(case.link, source=SOURCE)
    with pytest.raises(Denied):
        door.active(slipped)
    assert case.told() == told_once
    with pytest.raises(Denied):
        undo.confirm(case.link, source=SOURCE)


@pytest.mark.parametrize("way", ["added", "the last"])
def test_atk_47_what_its_owner_put_back_since_is_not_taken_away_again(
    make: MakeDoor, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    door = make()
    case = Case(door, "robin", way)
    undo: Any = case.undo()
    (device,) = door.totp.devices(case.robin.id)

    def mark(*args: Any, **kwargs: Any) -> None:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(undo._uses, "mark", mark)
        with pytest.raises(StoreError):
            undo.confirm(case.link, source=SOURCE)
    assert case.state() == case.done()
    door.totp.restore(case.robin.id, device.id)
    undo.confirm(case.link, source=SOURCE)
    assert door.totp.enrolled(case.robin.id)
    with pytest.raises(Denied):
        undo.confirm(case.link, source=SOURCE)


def test_atk_47_what_came_to_nothing_is_not_taken_for_done_later(make: MakeDoor) -> None:
    door = make()
    case = Case(door, "robin", "added")
    undo: Any = case.undo()
    (device,) = door.totp.devices(case.robin.id)

    def emit(event: SecurityEvent) -> None:
        if event.name is Event.AUTH_MFA_REMOVED and event.outcome is Outcome.SUCCESS:
            raise AuditUnavailable("down")
        door.events(event)

    undo._emit = emit
    with pytest.raises(AuditUnavailable):
        undo.confirm(case.link, source=SOURCE)
    undo._emit = door.events
    door.totp_store.remove(case.robin.id, device.id, at=door.clock())  # by its owner, in a session
    with pytest.raises(Denied):
        undo.confirm(case.link, source=SOURCE)
