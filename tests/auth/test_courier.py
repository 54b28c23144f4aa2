"""Mail goes out once, to those it may go to, whatever fails on the way, and every send is in the log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import Letter, NoticeKind
from portalsec.auth.ports import Notice
from portalsec.errors import AuditUnavailable, MailRefused, StoreError
from portalsec.events import Event, Outcome
from portalsec.secret import Secret
from tests.auth.mailing import SOURCE, Mailing, links_of
from tests.auth.world import together

KIND = NoticeKind.PASSWORD_CHANGED


def stored(m: Mailing, notice: Notice) -> Notice:
    found = m.portal.stores.notices.get(notice.id)
    assert found is not None
    return found


def test_every_verified_address_gets_one_mail_and_no_other_does() -> None:
    with Mailing() as m:
        robin = m.person("robin", "robin@mail.example", "robin@work.example")
        m.contact(robin, "thief@evil.example", verified=False)
        m.person("sam")
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        done = m.portal.courier.deliver()
        assert (done.sent, done.later, done.given_up) == (2, 0, 0)
        assert sorted(mail.to for mail in m.mail) == ["robin@mail.example", "robin@work.example"]
        assert stored(m, notice).mailed_at == m.clock() and stored(m, notice).due_at is None
        assert m.deliver() == []


def test_an_address_that_was_just_removed_is_told_of_it() -> None:
    with Mailing() as m:
        robin = m.person("robin", "new@mail.example")
        old = m.contact(robin, "old@mail.example")
        m.portal.notices.tell(
            robin.id, NoticeKind.CONTACT_REMOVED, source=SOURCE, details={"contact": old.id}, also=old
        )
        m.portal.stores.contacts.remove(robin.id, old.id)
        assert sorted(mail.to for mail in m.deliver()) == ["new@mail.example", "old@mail.example"]
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        assert [mail.to for mail in m.deliver()] == ["new@mail.example"]


def test_an_address_that_was_just_added_is_told_without_a_way_in() -> None:
    with Mailing() as m:
        robin = m.person()
        added = m.contact(robin, "thief@evil.example")
        m.portal.notices.tell(
            robin.id, NoticeKind.CONTACT_ADDED, source=SOURCE, details={"contact": added.id}
        )
        m.deliver()
        (to_owner,), (to_new,) = m.mail.to("robin@mail.example"), m.mail.to("thief@evil.example")
        assert len(links_of(to_owner)) == 1 and links_of(to_new) == set()


def test_pwd_11_every_send_is_recorded_and_no_record_has_an_address_a_token_or_a_code() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        (mail,) = m.deliver()
        (sent,) = m.events.named(Event.ACCOUNT_NOTICE_SENT)
        assert sent.resource is not None and sent.resource.id == robin.id
        assert sent.details["kind"] == KIND.value and sent.outcome is Outcome.SUCCESS
        everything = repr(list(m.events))
        assert "mail.example" not in everything
        assert links_of(mail).pop().partition("token=")[2] not in everything
        notice = m.portal.notices.of_account(robin.id)[0]
        letter = Letter(
            contact=m.portal.stores.contacts.of_account(robin.id)[0],
            kind=KIND,
            token=Secret("x" * 43),
            at=notice.at,
            code=notice.code,
            details={"login": "robin@mail.example"},
        )
        assert "mail.example" not in repr(letter) and "xxx" not in repr(letter)


def test_a_mail_server_that_is_down_is_asked_again_later_five_times_in_all() -> None:
    with Mailing() as m:
        robin = m.person()
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        m.mail.failing = StoreError("down")
        waits = []
        while stored(m, notice).due_at is not None:
            due = stored(m, notice).due_at
            assert due is not None
            waits.append(due - m.clock())
            m.clock.set(max(due, m.clock()))
            m.portal.courier.deliver()
        assert waits == [timedelta(minutes=n) for n in (0, 2, 8, 32, 128)]
        failed = m.events.named(Event.ACCOUNT_NOTICE_FAILED)
        assert [event.details["attempt"] for event in failed] == [1, 2, 3, 4, 5]
        assert {event.details["cause"] for event in failed} == {"unavailable"}
        m.mail.failing = None
        m.clock.advance(timedelta(days=9))
        assert m.deliver() == []
        assert [each.id for each in m.portal.notices.of_account(robin.id)] == [notice.id]


def test_a_mail_that_got_through_at_the_second_try_is_one_mail() -> None:
    with Mailing() as m:
        robin = m.person()
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        m.mail.failing = StoreError("down")
        assert m.portal.courier.deliver().later == 1
        m.mail.failing = None
        assert m.deliver() == []  # not before its time
        m.clock.advance(timedelta(minutes=2))
        assert len(m.deliver()) == 1
        assert stored(m, notice).mailed_at is not None


def test_a_server_that_is_down_costs_the_rest_no_attempt() -> None:
    with Mailing() as m:
        robin = m.person()
        for _ in range(10):
            m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        m.mail.failing = StoreError("down")
        assert m.portal.courier.deliver().later == 3
        untried = [n for n in m.portal.notices.of_account(robin.id) if n.attempts == 0]
        assert len(untried) == 7


def test_an_address_that_does_not_exist_is_not_tried_again() -> None:
    with Mailing() as m:
        robin = m.person("robin", "gone@mail.example", "good@mail.example")
        m.mail.refusing["gone@mail.example"] = MailRefused("550")
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        done = m.portal.courier.deliver()
        assert (done.sent, done.given_up) == (1, 1)
        assert stored(m, notice).due_at is None
        (failed,) = m.events.named(Event.ACCOUNT_NOTICE_FAILED)
        assert failed.details["cause"] == "refused" and "gone" not in repr(failed.details.get("cause"))


def test_only_who_did_not_get_it_is_written_to_again_under_the_same_message_id() -> None:
    with Mailing() as m:
        robin = m.person("robin", "slow@mail.example", "good@mail.example")
        m.mail.refusing["slow@mail.example"] = StoreError("451")
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        assert [mail.to for mail in m.deliver()] == ["good@mail.example"]
        for _ in range(3):
            m.clock.advance(timedelta(hours=3))
            assert m.deliver() == []
        m.mail.refusing.clear()
        m.clock.advance(timedelta(hours=3))
        (late,) = m.deliver()
        assert late.to == "slow@mail.example"
        assert len(m.portal.notices.of_account(robin.id)) == 1  # what is left over shows nowhere
        m.clock.advance(timedelta(days=1))
        assert m.deliver() == []


def test_a_worker_that_died_is_followed_by_another_after_its_lease() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        store = m.portal.stores.notices
        assert len(store.claim(now=m.clock(), lease=timedelta(minutes=5), limit=1)) == 1
        assert m.deliver() == []
        m.clock.advance(timedelta(minutes=5))
        assert len(m.deliver()) == 1


def test_a_notice_that_kills_every_worker_is_given_up() -> None:
    with Mailing() as m:
        robin = m.person()
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        for _ in range(5):
            m.portal.stores.notices.claim(now=m.clock(), lease=timedelta(minutes=5), limit=1)
            m.clock.advance(timedelta(minutes=5))
        assert m.portal.courier.deliver().given_up == 1
        assert m.mail == [] and stored(m, notice).due_at is None
        assert m.events.last.details["cause"] == "attempts"


def test_a_log_that_cannot_record_leaves_the_mail_due_and_says_so() -> None:
    with Mailing() as m:
        robin = m.person()
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        m.emit_failing = AuditUnavailable("down")
        with pytest.raises(AuditUnavailable):
            m.portal.courier.deliver()
        assert stored(m, notice).mailed_at is None
        m.emit_failing = None
        m.clock.advance(timedelta(minutes=5))
        first, second = m.mail[0], m.deliver()[0]
        assert first.message_id == second.message_id and len(m.events.named(Event.ACCOUNT_NOTICE_SENT)) == 1


@pytest.mark.parametrize("workers", [8])
def test_several_workers_send_each_mail_once(workers: int) -> None:
    with Mailing() as m:
        robin = m.person()
        for _ in range(40):
            m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        done = together(workers, lambda _: m.portal.courier.deliver())
        assert sum(each.sent for each in done) == 40
        assert len({mail.message_id for mail in m.mail}) == len(m.mail) == 40


def test_an_owner_without_a_verified_address_is_recorded_as_not_reached() -> None:
    with Mailing() as m:
        robin = m.portal.accounts.create(login="robin", password="lantern orbit velvet cactus")
        m.contact(robin, "robin@mail.example", verified=False)
        notice = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        assert m.deliver() == []
        assert m.events.last.details["cause"] == "no_address"
        assert stored(m, notice).due_at is None


def test_a_damaged_notice_is_given_up_and_the_next_one_goes() -> None:
    with Mailing() as m:
        robin = m.person()
        from dataclasses import replace

        good = m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        bad = replace(good, id="0190a0a0-0000-7000-8000-000000000bad")
        m.portal.stores.notices.put(bad)
        done = m.portal.courier.deliver()
        assert (done.sent, done.given_up) == (1, 1)


def test_a_request_s_letters_go_and_the_row_goes_and_the_account_can_check_the_mail() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.reset.request("robin", source=SOURCE)
        (mail,) = m.deliver()
        assert mail.to == "robin@mail.example"
        assert next(iter(links_of(mail))).startswith("https://portal.example/password/link?token=")
        (listed,) = m.portal.notices.of_account(robin.id)
        assert listed.code in mail.subject and listed.mailed_at is not None and listed.due_at is None
        assert m.deliver() == []


def test_pwd_03_a_request_about_nobody_leaves_no_mail_and_no_trace() -> None:
    with Mailing() as m:
        m.person()
        m.portal.reset.request("nobody", source=SOURCE)
        assert m.deliver() == []
        assert (
            m.portal.stores.notices.claim(
                now=m.clock() + timedelta(days=1), lease=timedelta(minutes=5), limit=9
            )
            == ()
        )
        assert m.events.named(Event.ACCOUNT_NOTICE_FAILED) == []


def test_the_courier_sends_to_no_unverified_address_whoever_made_the_letter() -> None:
    with Mailing() as m:
        robin = m.person()
        typed = m.contact(robin, "typed@evil.example", verified=False)

        def letters(request: Notice) -> list[Letter]:
            return [
                Letter(
                    contact=typed,
                    kind=NoticeKind.REQUEST_RESET,
                    token=Secret("x" * 43),
                    at=request.at,
                    code=request.code,
                )
            ]

        m.portal.courier._requests[NoticeKind.REQUEST_RESET] = letters
        m.portal.reset.request("robin", source=SOURCE)
        assert m.deliver() == []
        assert m.events.last.details["cause"] == "unverified"


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyError("robin@mail.example")])
def test_a_notifier_with_a_fault_of_its_own_stops_nobody_s_mail(error: Exception, caplog: Any) -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        m.mail.failing = error
        assert m.portal.courier.deliver().later == 1
        assert "mail.example" not in caplog.text


def test_a_kind_of_request_that_nobody_answers_is_recorded_and_goes() -> None:
    with Mailing() as m:
        del m.portal.courier._requests[NoticeKind.REQUEST_UNLOCK]
        m.portal.notices.request(NoticeKind.REQUEST_UNLOCK, source=SOURCE, details={"login": "robin"})
        assert m.portal.courier.deliver().given_up == 1
        assert m.events.last.details["cause"] == "no_writer"


def test_a_portal_without_a_notifier_lists_notices_and_sends_none() -> None:
    with Mailing(mail=False) as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        assert m.portal.courier.deliver().sent == 0
        assert m.portal.notices.of_account(robin.id)[0].attempts == 0


def test_mail_is_in_the_account_s_language() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.courier._language_of = lambda account_id: "es" if account_id == robin.id else None
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        (mail,) = m.deliver()
        assert mail.language == "es" and "Cuándo" in mail.text


def test_links_can_be_left_out_of_every_notice() -> None:
    with Mailing(notices=NoticePolicy(links=False)) as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, KIND, source=SOURCE)
        (mail,) = m.deliver()
        assert links_of(mail) == set() and "token" not in mail.text
