from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.audit import KeyedVault
from portalsec.audit.merkle import leaf_hash
from portalsec.audit.ports import StoredEntry
from portalsec.audit.reports import recent, who_has_seen
from portalsec.errors import ConfigurationError, Reason, Tampered
from portalsec.events import Actor, Event, Outcome, Purpose, ResourceRef, SecurityEvent
from portalsec.stores.memory import MemoryAudit
from portalsec.testing import FrozenClock, SequentialIds
from tests.audit.support import VAULT, OpenStore, TestMac, fill, make_log, read_event, sign_in_event


@pytest.fixture(params=[OpenStore, MemoryAudit])
def store(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_a_patient_sees_who_saw_them_newest_first(store: Any) -> None:
    clock = FrozenClock()
    log = make_log(store, clock=clock)
    first = clock()
    log.record(read_event("ann"))
    clock.advance(timedelta(minutes=5))
    log.record(read_event("ben"))
    log.record(sign_in_event())
    log.record(
        SecurityEvent(
            name=Event.ACCESS_DENIED,
            outcome=Outcome.DENIED,
            actor=Actor(type="user", id="account-9", role="front_desk"),
            subjects=("ann",),
            resource=ResourceRef(type="record", id="ann"),
            reason=Reason.NO_GRANT,
        )
    )
    refused, seen = who_has_seen(log, "ann")
    assert (seen.index, seen.at) == (0, first)
    assert (seen.actor_id, seen.actor_role) == ("account-7", "clinician")
    assert (seen.action, seen.outcome, seen.purpose) == ("record.read", Outcome.SUCCESS, Purpose.TREAT.value)
    assert seen.resource == ResourceRef(type="record", id="record-of-ann")
    assert (refused.index, refused.outcome, refused.reason) == (3, Outcome.DENIED, Reason.NO_GRANT.value)
    assert refused.at == clock()
    # In the log it is a pseudonym; in one's own report it is oneself.
    assert refused.resource == ResourceRef(type="record", id="ann")


def test_the_newest_event_is_in_the_report_without_a_checkpoint(store: Any) -> None:
    log = make_log(store)
    log.record(read_event("ann"))
    assert len(who_has_seen(log, "ann")) == 1
    log.record(read_event("ann"))
    assert len(recent(log)) == 2


def test_nobody_has_seen_a_stranger(store: Any) -> None:
    log = make_log(store)
    fill(log, 4)
    assert who_has_seen(log, "nobody") == []


def test_a_person_s_report_goes_on_over_a_rotation_of_the_key(store: Any) -> None:
    shared = {"clock": FrozenClock(), "new_id": SequentialIds()}
    logs = {
        "old": make_log(store, vault=KeyedVault(TestMac(b"old")), **shared),
        "added": make_log(store, vault=KeyedVault(TestMac(b"old", b"new")), **shared),
        "moved": make_log(store, vault=KeyedVault(TestMac(b"new", b"old")), **shared),
    }
    for log in logs.values():
        for turn in range(3):
            log.record(read_event("ann"))
            log.record(replace(read_event("ann"), resource=ResourceRef(type="record", id="ann")))
            log.record(read_event(f"ben {turn}"))
    everything = [n for n in range(26, -1, -1) if n % 3 != 2]
    for reader in ("added", "moved"):
        log = logs[reader]
        lines = who_has_seen(log, "ann")
        assert [line.index for line in lines] == everything
        # One's own id is never shown as a pseudonym, whatever key it was written under.
        assert {line.resource.id for line in lines} == {"ann", "record-of-ann"}
        paged = []
        before = None
        while page := who_has_seen(log, "ann", limit=4, before=before):
            assert len(page) <= 4
            paged += page
            before = page[-1].index
        assert paged == lines
    # Without the old key the older entries are not found.
    forgot = make_log(store, vault=KeyedVault(TestMac(b"new")), **shared)
    assert [line.index for line in who_has_seen(forgot, "ann")] == [n for n in everything if n >= 18]


def test_pages(store: Any) -> None:
    log = make_log(store)
    fill(log, 10)
    first = recent(log, limit=4)
    assert [line.index for line in first] == [9, 8, 7, 6]
    second = recent(log, limit=4, before=first[-1].index)
    assert [line.index for line in second] == [5, 4, 3, 2]
    mine = who_has_seen(log, "patient-0", limit=2)
    rest = who_has_seen(log, "patient-0", limit=1000, before=mine[-1].index)
    assert [line.index for line in [*mine, *rest]] == [
        n for n in range(9, -1, -1) if n % 4 != 3 and n % 3 == 0
    ]


def test_in_the_whole_log_people_are_pseudonyms(store: Any) -> None:
    log = make_log(store)
    log.record(read_event("ann", resource=ResourceRef(type="patient", id="ann")))
    (line,) = recent(log)
    assert line.subjects == (VAULT.pseudonym("ann"),)
    assert line.resource == ResourceRef(type="patient", id=VAULT.pseudonym("ann"))
    assert "ann" not in repr(line)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_limits_that_are_refused(limit: int) -> None:
    log = make_log(OpenStore())
    with pytest.raises(ConfigurationError):
        recent(log, limit=limit)
    with pytest.raises(ConfigurationError):
        who_has_seen(log, "ann", limit=limit)


def test_auz_07_a_report_shows_no_line_that_was_changed() -> None:
    store = OpenStore()
    log = make_log(store)
    log.record(read_event("ann"))
    log.integrate()
    good = store.rows[0]
    store.rows[0] = replace(good, body=good.body.replace(b"account-7", b"account-8"))
    with pytest.raises(Tampered, match="entry 0"):
        who_has_seen(log, "ann")
    with pytest.raises(Tampered, match="entry 0"):
        recent(log)
    store.rows[0] = StoredEntry(index=0, body=b"{}", leaf=leaf_hash(b"{}"))
    with pytest.raises(Tampered):
        recent(log)


def test_auz_07_a_line_filed_under_another_person_is_not_shown() -> None:
    store = OpenStore()
    log = make_log(store)
    log.record(read_event("ann"))
    log.integrate()
    store.index.append((0, VAULT.pseudonym("ben")))
    with pytest.raises(Tampered, match="does not name"):
        who_has_seen(log, "ben")
