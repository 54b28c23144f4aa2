"""Events: a closed vocabulary, a class for each name, and applications that declare their own."""

from __future__ import annotations

import dataclasses
import re

import pytest

from portalsec.errors import ConfigurationError
from portalsec.events import ANONYMOUS, SYSTEM, Actor, Event, EventClass, Outcome, SecurityEvent, Vocabulary

CLASS_OF_AREA = {
    "auth": "security",
    "account": "security",
    "access": "critical",
    "consent": "phi",
    "record": "phi",
    "disclosure": "phi",
    "subject": "phi",
    "audit": "critical",
    "key": "critical",
    "system": "security",
}


@pytest.mark.parametrize("event", Event)
def test_every_event_has_a_class_by_its_area(event: Event) -> None:
    area, _, what = event.value.partition(".")
    assert re.fullmatch(r"[a-z_]+", what)
    assert event.name == event.value.replace(".", "_").upper()
    assert Vocabulary().event_class(event) == EventClass(CLASS_OF_AREA[area])


def test_every_area_is_in_use() -> None:
    assert {event.value.partition(".")[0] for event in Event} == set(CLASS_OF_AREA)


def test_the_vocabulary_is_closed() -> None:
    vocabulary = Vocabulary()
    assert vocabulary.names == {event.value for event in Event}
    for stranger in ("record.peeked", "record", "", "RECORD.READ", "record.read ", None, 7):
        assert stranger not in vocabulary
    with pytest.raises(ConfigurationError, match=r"'record\.peeked' is not in the vocabulary: declare it"):
        vocabulary.event_class("record.peeked")


def test_an_application_declares_its_own_like_a_known_one() -> None:
    vocabulary = Vocabulary({"visit.booked": "record.created", "visit.room.changed": "visit.booked"})
    assert vocabulary.event_class("visit.booked") is EventClass.PHI
    assert vocabulary.event_class("visit.room.changed") is EventClass.PHI
    assert "visit.booked" in vocabulary
    # Two portals in one process do not share what one of them declared.
    assert "visit.booked" not in Vocabulary()


@pytest.mark.parametrize(
    ("name", "like", "says"),
    [
        ("record.read", "record.read", "is taken"),
        ("visit", "record.read", "write area.what"),
        ("visit.", "record.read", "write area.what"),
        (".booked", "record.read", "write area.what"),
        ("visit booked", "record.read", "write area.what"),
        ("visit.b-d", "record.read", "write area.what"),
        ("visit.booked\n", "record.read", "write area.what"),
        ("visit.booked", "record.made", "not a known event"),
        ("visit.booked", "visit.booked", "not a known event"),
    ],
)
def test_a_declaration_that_cannot_stand_is_refused(name: str, like: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Vocabulary({name: like})


def test_an_event_is_frozen_and_safe_by_default() -> None:
    event = SecurityEvent(name=Event.AUTH_LOGIN)
    assert event.outcome is Outcome.SUCCESS
    assert event.actor == ANONYMOUS == Actor(type="anonymous")
    assert SYSTEM.type == "system"
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.outcome = Outcome.DENIED  # type: ignore[misc]
    with pytest.raises(TypeError):
        SecurityEvent(Event.AUTH_LOGIN)  # type: ignore[misc]
