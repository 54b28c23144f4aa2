"""Couriers, sign-ins and confirmations that meet on one notice, on real stores: one mail, one winner."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from portalsec.auth.disavowal import Disavowed
from portalsec.auth.notices import NoticeKind
from portalsec.errors import Denied
from portalsec.portal import Stores
from portalsec.sqlalchemy import (
    SqlAccounts,
    SqlAssignments,
    SqlContacts,
    SqlDevices,
    SqlFlows,
    SqlIncidents,
    SqlNotices,
    SqlPasskeys,
    SqlPasswordHistory,
    SqlRecoveryCodes,
    SqlSessions,
    SqlThrottle,
    SqlTotp,
    create_schema,
    open_engine,
)
from portalsec.sqlalchemy.tables import security_metadata
from portalsec.stores.memory import MemoryAudit, MemorySubjectKeys
from tests.auth.mailing import SOURCE, THIEF, Mailing, token_of
from tests.auth.world import together
from tests.stores.support import TestingSealer, testing_mac

TABLES = ", ".join(t.name for t in security_metadata.sorted_tables if t.name != "portalsec_schema")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def m(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mailing]:
    url = (
        f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    engine = open_engine(url)
    create_schema(engine, "security")
    if request.param == "postgres":
        with engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {TABLES} RESTART IDENTITY"))
    with Mailing(stores=stores_over(engine)) as mailing:
        yield mailing


def stores_over(engine: Engine) -> Stores:
    sealer: Any = TestingSealer()
    return Stores(
        accounts=SqlAccounts(engine, mac=testing_mac, sealer=sealer),
        throttle=SqlThrottle(engine),
        flows=SqlFlows(engine),
        invitations=SqlFlows(engine),
        totp=SqlTotp(engine),
        recovery_codes=SqlRecoveryCodes(engine),
        passkeys=SqlPasskeys(engine),
        sessions=SqlSessions(engine),
        assignments=SqlAssignments(engine),
        audit=MemoryAudit(),
        subjects=MemorySubjectKeys(),
        password_history=SqlPasswordHistory(engine),
        contacts=SqlContacts(engine, mac=testing_mac, sealer=sealer),
        devices=SqlDevices(engine),
        notices=SqlNotices(engine),
        incidents=SqlIncidents(engine),
        close=engine.dispose,
    )


def test_several_couriers_send_each_mail_once(m: Mailing) -> None:
    robin = m.person()
    for _ in range(12):
        m.portal.notices.tell(robin.id, NoticeKind.LOCKED, source=THIEF)
    done = together(6, lambda _: m.portal.courier.deliver())
    assert not [each for each in done if isinstance(each, Exception)]
    assert sum(each.sent for each in done) == len({mail.message_id for mail in m.mail}) == len(m.mail) == 12
    assert m.deliver() == []


def test_a_withdrawal_and_a_courier_agree_on_who_was_first(m: Mailing) -> None:
    robin = m.person()
    for _ in range(10):
        notice = m.portal.notices.tell(robin.id, NoticeKind.UNFINISHED_SIGN_IN, source=THIEF)
        before = len(m.mail)
        work = [partial(m.portal.notices.withdraw, notice.id), m.portal.courier.deliver]
        withdrawn, delivered = together(2, lambda n, work=work: work[n]())
        assert isinstance(withdrawn, bool) and not isinstance(delivered, Exception)
        assert len(m.mail) - before == (0 if withdrawn else 1)


def test_rec_01_of_several_confirmations_of_one_notice_one_wins(m: Mailing) -> None:
    robin = m.person()
    m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
    (mail,) = m.deliver()
    token = token_of(mail)
    done = together(6, lambda _: m.portal.disavowal.confirm(token, source=SOURCE))
    assert all(isinstance(each, (Disavowed, Denied)) for each in done), done
    (won,) = [each for each in done if isinstance(each, Disavowed)]
    assert won.browser is not None
    assert len(m.portal.incidents.of_account(robin.id)) == 1
    account = m.portal.stores.accounts.get(robin.id)
    assert account is not None and account.password_hash is None
    step = m.portal.reset.choose(won.browser.reveal(), "harbour pickle saturn mitten", source=SOURCE)
    assert step.session is not None


def test_a_delivery_and_a_confirmation_meet(m: Mailing) -> None:
    """The mail to the second address is on its way while the reader of the first one confirms."""
    robin = m.person("robin", "robin@mail.example", "robin@work.example")
    notice = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
    done = together(
        2,
        lambda n: m.portal.courier.deliver() if n else m.disavow(notice),
    )
    assert isinstance(done[0], Disavowed) and not isinstance(done[1], Exception)
    stored = m.portal.stores.notices.get(notice.id)
    assert stored is not None and stored.disavowed_at is not None and stored.mailed_at is not None
    assert len(m.mail) == 2


def test_a_worker_that_died_leaves_its_mail_to_the_next_one_after_the_lease(m: Mailing) -> None:
    robin = m.person()
    m.portal.notices.tell(robin.id, NoticeKind.LOCKED, source=THIEF)
    assert m.portal.stores.notices.claim(now=m.clock(), lease=timedelta(minutes=5), limit=5)
    assert m.deliver() == []
    m.clock.advance(timedelta(minutes=5))
    assert len(m.deliver()) == 1


def test_two_people_who_agree_to_one_reset_reset_once(m: Mailing) -> None:
    from portalsec.events import Actor

    robin = m.person()
    enrolment = m.portal.totp.begin(robin.id, account_name="robin")
    assert m.portal.stores.totp.confirm(robin.id, enrolment.device_id, 1)
    request = m.portal.support.request_factor_reset(
        robin.id, actor=Actor(type="user", id="ann"), reason="t-1", source=SOURCE
    )
    together(
        5,
        lambda n: m.portal.support.approve(request, actor=Actor(type="user", id=f"b{n}"), source=SOURCE),
    )
    assert len(m.portal.stores.totp.devices(robin.id)) == 0
    assert len(m.deliver()) == 2  # what happened, and a link to a new password
