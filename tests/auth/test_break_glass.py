"""Whoever's record is opened in an emergency hears of it, and the emergency never waits for that."""

from __future__ import annotations

from typing import Any

import pytest

from portalsec.errors import AuditUnavailable, StoreError
from portalsec.events import Actor, Event, Outcome, Purpose, ResourceRef, SecurityEvent, Source
from tests.auth.mailing import Mailing

STAFF = Source(address="198.51.100.9", user_agent="Firefox/1 Windows")


def emergency(m: Mailing, outcome: Outcome = Outcome.SUCCESS, name: str = Event.ACCESS_BREAK_GLASS) -> None:
    m.portal.emit(
        SecurityEvent(
            name=name,
            outcome=outcome,
            actor=Actor(type="user", id="doctor-1"),
            subjects=("patient-7",),
            resource=ResourceRef(type="record", id="r1"),
            purpose=Purpose.BTG,
            source=STAFF,
        )
    )


def world() -> Mailing:
    holder: dict[str, str] = {}
    m = Mailing(accounts_of=lambda subject: [holder["id"]] if subject == "patient-7" else [])
    holder["id"] = m.person().id
    return m


def test_the_owner_is_told_without_where_the_staff_sits() -> None:
    with world() as m:
        emergency(m)
        (mail,) = m.deliver()
        assert mail.subject.startswith("Your record was opened in an emergency")
        assert "198.51.100" not in mail.text and "Firefox" not in mail.text and "doctor" not in mail.text


@pytest.mark.parametrize(
    ("outcome", "name"),
    [(Outcome.DENIED, Event.ACCESS_BREAK_GLASS), (Outcome.SUCCESS, Event.RECORD_READ)],
)
def test_nothing_else_is_told(outcome: Outcome, name: str) -> None:
    with world() as m:
        emergency(m, outcome, name)
        assert m.deliver() == []


def test_a_notice_that_cannot_be_kept_stops_no_emergency_and_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with world() as m:

        def fails(*_: Any) -> Any:
            raise StoreError("down")

        monkeypatch.setattr(m.portal.stores.notices, "put", fails)
        emergency(m)
        assert m.events.last.name == Event.SYSTEM_CONTROL_FAILED
        assert m.events.last.details == {"control": "break_glass_notice"}


def test_what_cannot_be_recorded_is_told_to_nobody() -> None:
    with world() as m:
        m.emit_failing = AuditUnavailable("down")
        with pytest.raises(AuditUnavailable):
            emergency(m)
        m.emit_failing = None
        assert m.deliver() == []
