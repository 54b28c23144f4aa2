"""What a disavowed notice opens, what was seen meanwhile, and who may close it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth.incidents import SeenLine
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account, Incident
from portalsec.errors import AuditUnavailable, Denied, Reason, Tampered
from portalsec.events import Actor, Event, Purpose, ResourceRef, SecurityEvent
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, Mailing
from tests.auth.world import together

OFFICER = Actor(type="user", id="officer-1")


def opened(m: Mailing, account: Account, kind: NoticeKind = NoticeKind.NEW_DEVICE) -> Incident:
    notice = m.portal.notices.tell(account.id, kind, source=THIEF)
    m.disavow(notice)
    return m.portal.incidents.of_account(account.id)[0]


def read(m: Mailing, actor: str, subject: str) -> None:
    m.portal.emit(
        SecurityEvent(
            name=Event.RECORD_READ,
            actor=Actor(type="user", id=actor),
            subjects=(subject,),
            resource=ResourceRef(type="record", id="r1"),
            purpose=Purpose.PATRQT,
        )
    )


def test_an_incident_says_what_was_disavowed_and_no_more() -> None:
    with Mailing() as m:
        robin = m.person()
        incident = opened(m, robin)
        summary = m.portal.incidents.summary(incident)
        assert summary["kind"] == "new_device" and summary["browser"] == "Chrome / Linux"
        assert b"203.0.113" not in incident.data
        (event,) = m.events.named(Event.ACCOUNT_INCIDENT_OPENED)
        assert event.details == {"incident": incident.id}


def test_what_was_seen_is_what_the_account_did_and_what_was_done_to_its_record() -> None:
    with Mailing() as m:
        robin = m.portal.accounts.create(login="robin", password=PASSWORD, reference="patient-7")
        m.contact(robin, "robin@mail.example")
        read(m, robin.id, "patient-7")  # long before
        m.clock.advance(timedelta(days=2))
        read(m, robin.id, "patient-7")
        read(m, robin.id, "patient-8")
        read(m, "doctor-1", "patient-7")
        read(m, "doctor-1", "patient-9")
        incident = opened(m, robin)
        page = m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE)
        assert page.before is None
        reads = [line for line in page if line.action == Event.RECORD_READ]
        assert [(line.actor, line.by_account) for line in reads] == [
            ("doctor-1", False),
            (robin.id, True),
            (robin.id, True),
        ]
        assert all(line.at >= incident.since for line in page)
        assert any(line.action == Event.ACCOUNT_INCIDENT_OPENED for line in page)


def test_an_incident_begins_with_the_sign_in_before_what_was_disavowed() -> None:
    with Mailing() as m:
        robin = m.person()
        signed_in = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(timedelta(hours=5))
        incident = opened(m, robin, NoticeKind.CONTACT_ADDED)
        assert incident.since <= signed_in.at


def test_pages_are_bounded_and_go_on_where_the_last_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from portalsec import incident_log

    monkeypatch.setattr(incident_log, "_PAGE", 4)
    monkeypatch.setattr(incident_log, "_PAGES", 2)
    with Mailing() as m:
        robin = m.portal.accounts.create(login="robin", password=PASSWORD, reference="patient-7")
        m.contact(robin, "robin@mail.example")
        for number in range(25):
            read(m, robin.id if number % 5 == 0 else "doctor-1", "patient-1")
        incident = opened(m, robin)
        lines: list[SeenLine] = []
        before, pages = None, 0
        while True:
            page = m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE, limit=3, before=before)
            assert len(page.lines) <= 3
            lines += page.lines
            pages += 1
            before = page.before
            if before is None:
                break
        assert pages > 2
        assert [line.index for line in lines] == sorted({line.index for line in lines}, reverse=True)
        assert sum(line.action == Event.RECORD_READ for line in lines) == 5


def test_the_newest_page_has_a_limit_whatever_is_asked() -> None:
    with Mailing() as m:
        robin = m.person()
        incident = opened(m, robin)
        assert len(m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE, limit=-5).lines) == 1
        assert m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE, limit=10**9).before is None


def test_an_incident_is_closed_by_somebody_else_once_and_recorded() -> None:
    with Mailing() as m:
        robin = m.person()
        incident = opened(m, robin)
        assert [each.id for each in m.portal.incidents.unclosed()] == [incident.id]
        with pytest.raises(Denied) as caught:
            m.portal.incidents.close(incident.id, actor=Actor(type="user", id=robin.id), source=SOURCE)
        assert caught.value.reason is Reason.SAME_PERSON
        done = together(8, lambda _: m.portal.incidents.close(incident.id, actor=OFFICER, source=SOURCE))
        assert sum(each is None for each in done) == 1
        lost = [each for each in done if each is not None]
        assert {each.reason for each in lost} == {Reason.TOKEN_INVALID}
        assert m.portal.incidents.unclosed() == ()
        assert m.events.named(Event.ACCOUNT_INCIDENT_CLOSED)[0].actor == OFFICER
        with pytest.raises(Denied) as unknown:
            m.portal.incidents.close("no-such", actor=OFFICER, source=SOURCE)
        assert unknown.value.reason is Reason.TOKEN_INVALID


@pytest.mark.parametrize("change", ["id", "account_id"])
def test_a_summary_of_another_incident_is_damaged(change: str) -> None:
    with Mailing() as m:
        robin = m.person()
        incident = opened(m, robin)
        with pytest.raises(Tampered):
            m.portal.incidents.summary(replace(incident, **{change: "other"}))


def test_what_was_done_right_before_the_incident_begins_is_not_in_it() -> None:
    with Mailing() as m:
        robin = m.portal.accounts.create(login="robin", password=PASSWORD, reference="patient-7")
        m.contact(robin, "robin@mail.example")
        m.clock.advance(timedelta(hours=3))
        read(m, robin.id, "patient-7")
        m.clock.advance(timedelta(hours=1, minutes=5))
        incident = opened(m, robin)
        assert not [
            line
            for line in m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE)
            if line.action == Event.RECORD_READ
        ]


def test_a_look_is_recorded_and_without_a_record_nothing_is_shown() -> None:
    with Mailing() as m:
        robin = m.person()
        incident = opened(m, robin)
        owner = Actor(type="user", id=robin.id)
        for actor in (owner, OFFICER):
            page = m.portal.incidents.seen(incident, actor=actor, source=SOURCE)
            event = m.events.last
            assert (event.name, event.actor, event.details) == (
                Event.AUDIT_QUERIED,
                actor,
                {"incident": incident.id},
            )
            assert event.resource == ResourceRef(type="account", id=robin.id, count=len(page.lines))
        later = m.portal.incidents.seen(incident, actor=owner, source=SOURCE)
        assert any(line.action == Event.AUDIT_QUERIED and not line.by_account for line in later)
        m.emit_failing = AuditUnavailable("down")
        with pytest.raises(AuditUnavailable):
            m.portal.incidents.seen(incident, actor=OFFICER, source=SOURCE)
        m.emit_failing = None
