"""The frozen clock, the predictable ids and the captured events."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from portalsec.clock import require_utc
from portalsec.errors import ConfigurationError
from portalsec.events import Event, SecurityEvent
from portalsec.testing import CapturedEvents, FrozenClock, SequentialIds


def test_the_clock_stands_still_until_it_is_moved():
    clock = FrozenClock()
    start = clock()
    assert clock() == start
    assert require_utc(start) is start
    assert clock.advance(timedelta(minutes=5)) == start + timedelta(minutes=5) == clock()
    clock.advance(timedelta(minutes=-10))
    assert clock() == start - timedelta(minutes=5)
    assert clock.set(start) == clock() == start


@pytest.mark.parametrize(
    "moment", [datetime(2026, 3, 2), datetime(2026, 3, 2, tzinfo=timezone(timedelta(hours=1)))]
)
def test_the_clock_is_aware_utc_or_an_error(moment: datetime):
    with pytest.raises(ConfigurationError):
        FrozenClock(moment)
    with pytest.raises(ConfigurationError):
        FrozenClock(datetime(2026, 3, 2, tzinfo=UTC)).set(moment)


def test_ids_look_like_uuid7_sort_and_repeat_in_every_run():
    one, again, apart = SequentialIds(), SequentialIds(), SequentialIds(start=1000)
    ids = [one() for _ in range(500)]
    assert ids == [again() for _ in range(500)] == sorted(set(ids))
    assert not set(ids) & {apart() for _ in range(500)}
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)


def test_ids_of_several_threads_are_different():
    new_id, ids = SequentialIds(), []
    threads = [threading.Thread(target=lambda: ids.extend(new_id() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8000


def test_events_are_kept_in_order():
    events = CapturedEvents()
    with pytest.raises(AssertionError, match="no event was emitted"):
        _ = events.last
    events(SecurityEvent(name=Event.AUTH_LOGIN))
    events(SecurityEvent(name="portal.letter_sent"))
    assert events.names == ["auth.login", "portal.letter_sent"]
    assert events.last.name == "portal.letter_sent"
    assert events.named(Event.AUTH_LOGIN) == [events[0]]
    events.clear()
    assert events.names == []
