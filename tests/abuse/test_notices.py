"""Abuse of mail: whose links they are, what leaks when something breaks, and whom a stranger can bury in mail."""

from __future__ import annotations

import logging
import re
import traceback
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.errors import Denied, StoreError
from portalsec.events import Event, Source
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, Mailing, links_of, token_of
from tests.auth.world import together

ADDRESS = "robin@mail.example"
EVIL = Source(
    address="evil.example",
    user_agent="Mozilla\r\nBcc: everybody@evil.example\r\n\r\n<a href='https://evil.example'>Sign in</a>\x1b[2J\u202e",
    request_id="https://evil.example",
)


def test_atk_33_a_mail_loads_nothing_and_its_link_is_in_no_other_place() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        (mail,) = m.deliver()
        assert not re.search(r"<(img|script|link|iframe|form|style)|url\(|src=", mail.html)
        assert re.findall(r"href=\"([^\"]+)\"", mail.html) == list(links_of(mail))
        token = token_of(mail)
        assert mail.text.count(token) == 1 and token not in mail.subject + mail.message_id


def test_atk_33_a_link_that_was_read_elsewhere_is_spent_by_the_first_confirmation() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        token = token_of(m.deliver()[0])
        m.portal.disavowal.confirm(token, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.disavowal.confirm(token, source=THIEF)


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_atk_34_no_request_has_a_say_in_where_a_link_leads(kind: NoticeKind) -> None:
    with Mailing() as m:
        robin = m.person()
        if kind.value.startswith("request."):
            m.portal.reset.request("robin", source=EVIL)
        else:
            m.portal.notices.tell(robin.id, kind, source=EVIL)
        for mail in m.deliver():
            assert all(link.startswith("https://portal.example/") for link in links_of(mail))
            assert "evil.example" not in mail.subject + mail.text + mail.html


def test_atk_39_no_header_and_no_name_reaches_a_mail_or_an_event_s_line() -> None:
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=EVIL, details={"label": "x\r\nBcc: y"})
        (mail,) = m.deliver()
        assert "Bcc: " not in mail.text + mail.html + mail.subject
        assert "\x1b" not in mail.text and "\u202e" not in mail.text
        assert mail.to == ADDRESS


def test_loc_13_reset_requests_cannot_bomb_a_mailbox_nor_silence_its_notices() -> None:
    with Mailing() as m:
        robin = m.person()
        for number in range(60):
            source = Source(address=f"198.51.{number}.7")
            with suppress(Denied):
                m.portal.reset.request("robin", source=source)
            m.deliver()
        asked = len(m.mail)
        assert 1 <= asked <= 10
        m.portal.notices.tell(robin.id, NoticeKind.PASSWORD_CHANGED, source=THIEF)
        m.portal.sign_in._watch.completed(robin, source=THIEF, new_device=True, notice=None)
        m.deliver()
        assert len(m.mail) == asked + 2


def test_loc_13_wrong_passwords_bring_one_mail_a_day() -> None:
    with Mailing() as m:
        robin = m.person()
        for number in range(200):
            with pytest.raises(Denied):
                m.portal.sign_in.start("robin", "wrong " * 4, source=Source(address=f"198.{number}.100.7"))
            m.clock.advance(timedelta(minutes=5))
        m.deliver()
        told = [n for n in m.portal.notices.of_account(robin.id, limit=500) if n.kind == NoticeKind.LOCKED]
        mailed = [n for n in told if n.mailed_at is not None]
        assert 1 <= len(mailed) <= 1 + 200 * 5 // (24 * 60) + 1


_VERBS = [
    ("notices", "get"),
    ("notices", "claim"),
    ("notices", "mailed"),
    ("notices", "disavow"),
    ("contacts", "of_account"),
    ("accounts", "get"),
    ("accounts", "set_password"),
    ("incidents", "open"),
    ("sessions", "end_all"),
    ("flows", "put"),
    ("flows", "drop_account"),
    ("invitations", "put"),
    ("invitations", "consume"),
    ("password_history", "add"),
    ("devices", "revoke_all"),
]


@pytest.mark.parametrize(("store", "verb"), _VERBS)
def test_atk_40_and_41_whatever_breaks_nothing_leaks_and_nobody_stays_in(
    store: str, verb: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    with Mailing() as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        token = token_of(m.deliver()[0])
        m.portal.notices.tell(robin.id, NoticeKind.PASSWORD_CHANGED, source=THIEF)
        thief = m.session(source=THIEF)
        said: list[str] = []

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(getattr(m.portal.stores, store), verb, fails)
            for work in (
                lambda: m.portal.courier.deliver(),
                lambda: m.portal.disavowal.look(token, source=SOURCE),
                lambda: m.portal.disavowal.confirm(token, source=SOURCE),
            ):
                try:
                    work()
                except (StoreError, Denied) as error:
                    lines = traceback.TracebackException.from_exception(error, capture_locals=False)
                    said += [*lines.format(), repr(error), repr(error.args)]
        everything = "".join(said) + caplog.text + repr(list(m.events))
        for secret in (token, ADDRESS, PASSWORD, thief):
            assert secret not in everything
        # Once the store is back, the link does what it says.
        try:
            m.portal.disavowal.confirm(token, source=SOURCE)
        except Denied:
            m.clock.advance(timedelta(minutes=2))  # the turn of one that broke while it gave its turn back
            stored = m.portal.notices.of_account(robin.id)
            if not any(notice.disavowed_at for notice in stored):
                m.portal.disavowal.confirm(token, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.guard.session(thief, source=THIEF)
        assert m.events.named(Event.ACCOUNT_DISAVOWED)


def test_atk_40_nothing_that_is_sent_shows_itself() -> None:
    with Mailing() as m:
        robin = m.person()
        notice = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        (mail,) = m.deliver()
        letters = m.portal.courier._letters(m.portal.stores.notices.get(notice.id))  # type: ignore[arg-type]
        shown = (
            repr(mail) + repr(letters) + repr(m.portal.stores.contacts.of_account(robin.id)) + repr(notice)
        )
        assert token_of(mail) not in shown and ADDRESS not in shown and "203.0.113" not in shown


def test_a_stranger_with_the_password_is_told_of_although_they_try_to_drown_it() -> None:
    """Fifty half-finished sign-ins at once: the mailbox gets a handful, and every one of them is listed."""
    with Mailing() as m:
        robin = m.person()
        together(10, lambda _: [m.portal.sign_in._watch.pending(robin, source=THIEF) for _ in range(5)])
        m.clock.advance(timedelta(minutes=5))
        while m.deliver():
            pass
        assert len(m.mail) == 5
        assert len(m.portal.notices.of_account(robin.id, limit=100)) == 50
