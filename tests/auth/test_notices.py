"""What is told, what is kept of it, and that no visitor's words get in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.notices import REQUESTS, NoticeKind, new_code
from portalsec.errors import ConfigurationError, StoreError, Tampered
from portalsec.events import Source
from tests.auth.mailing import SOURCE, Mailing

KINDS = [kind for kind in NoticeKind if kind not in REQUESTS]


def test_a_notice_is_listed_with_what_was_seen_of_the_request() -> None:
    with Mailing() as m:
        robin = m.person()
        told = m.portal.notices.tell(
            robin.id, NoticeKind.FACTOR_ADDED, source=SOURCE, details={"factor": "totp"}
        )
        (listed,) = m.portal.notices.of_account(robin.id)
        assert listed == told
        assert m.portal.notices.details(listed) == {
            "factor": "totp",
            "browser": "Firefox / Windows",
            "place": "192.0.2.0/24",
        }
        assert b"192.0.2" not in listed.data and b"totp" not in listed.data
        assert "192.0.2" not in repr(listed)


def test_a_notice_without_mail_is_never_due() -> None:
    with Mailing() as m:
        robin = m.person()
        told = m.portal.notices.tell(robin.id, NoticeKind.SIGNED_IN, source=SOURCE, mail=False)
        assert told.due_at is None
        assert m.deliver() == []


def test_a_code_is_found_however_it_is_typed_and_only_by_its_own_account() -> None:
    with Mailing() as m:
        robin, sam = m.person(), m.person("sam")
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=SOURCE)
        typed = told.code.lower().replace("-", " ")
        assert m.portal.notices.of_code(robin.id, typed) == told
        assert m.portal.notices.of_code(sam.id, typed) is None
        assert m.portal.notices.of_code(robin.id, "ZZZZ-ZZZZ") is None
        assert m.portal.notices.of_code(robin.id, "") is None


def test_codes_have_the_shape_that_people_read_out() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    for code in codes:
        assert len(code) == 9 and code[4] == "-"
        assert not set(code) & set("01ILOU")


@pytest.mark.parametrize("change", ["kind", "code", "account_id", "id"])
def test_a_notice_that_somebody_made_say_another_thing_is_damaged(change: str) -> None:
    with Mailing() as m:
        robin = m.person()
        told = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=SOURCE)
        with pytest.raises(Tampered):
            m.portal.notices.details(replace(told, **{change: "break_glass"}))


def test_requests_and_notices_have_their_own_verbs() -> None:
    with Mailing() as m:
        with pytest.raises(ConfigurationError):
            m.portal.notices.tell("a", NoticeKind.REQUEST_RESET, source=SOURCE)
        with pytest.raises(ConfigurationError):
            m.portal.notices.request(NoticeKind.BREAK_GLASS, source=SOURCE, details={})
        with pytest.raises(ConfigurationError):
            m.portal.notices.tell("a", NoticeKind.LOCKED, source=SOURCE, details={"x": "y" * 4000})


def test_a_request_has_no_account_and_shows_in_no_list() -> None:
    with Mailing() as m:
        robin = m.person()
        row = m.portal.notices.request(
            NoticeKind.REQUEST_RESET, source=SOURCE, details={"login": "robin", "email": ""}
        )
        assert row.account_id is None and row.due_at == m.clock()
        assert m.portal.notices.of_account(robin.id) == ()


def test_withdrawing_is_in_time_until_a_courier_has_it() -> None:
    with Mailing() as m:
        robin = m.person()
        notices = m.portal.notices

        def tell() -> str:
            return notices.tell(
                robin.id, NoticeKind.UNFINISHED_SIGN_IN, source=SOURCE, delay=timedelta(minutes=5)
            ).id

        early = tell()
        assert notices.withdraw(early)
        assert not notices.withdraw(early)
        assert notices.of_account(robin.id) == ()
        late = tell()
        m.clock.advance(timedelta(minutes=5))
        assert len(m.deliver()) == 1
        assert not notices.withdraw(late)
        assert [notice.id for notice in notices.of_account(robin.id)] == [late]


def test_a_store_that_has_the_id_already_is_no_silent_success() -> None:
    with Mailing() as m:
        robin = m.person()
        notices = m.portal.notices
        told = notices.tell(robin.id, NoticeKind.LOCKED, source=SOURCE)
        notices._new_id = lambda: told.id
        with pytest.raises(StoreError):
            notices.tell(robin.id, NoticeKind.LOCKED, source=SOURCE)


@given(address=st.text(max_size=80), agent=st.text(max_size=80))
def test_atk_39_no_header_reaches_what_is_kept(address: str, agent: str) -> None:
    from portalsec.auth.notices import _seen

    seen = _seen(Source(address=address, user_agent="\r\nBcc: evil@evil.example " + agent))
    assert all("evil" not in value and "\n" not in value for value in seen.values())
