"""Rows on recovery and notices: what a lost password or factor takes, and who is told."""

from __future__ import annotations

import base64
import re
from datetime import timedelta

import pytest

from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.errors import ConfigurationError, Reason
from portalsec.events import Actor
from tests.auth.mail import (
    active,
    alive,
    browser_token,
    letters,
    refused,
    reset_token,
    signed_in,
    token_of,
    told,
    with_address,
)
from tests.auth.mailing import THIEF, Mailing, links_of
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, token

ANN, BEN = Actor(type="user", id="desk-ann"), Actor(type="user", id="desk-ben")
SECOND = "robin@work.example"


@pytest.fixture
def world() -> World:
    return World()


def test_4_2_1_2_a_what_is_mailed_has_256_bits_and_lives_24_hours_at_most(world: World) -> None:
    with_address(world, world.person())
    link = reset_token(world)
    assert len(base64.urlsafe_b64decode(link + "=")) == 32
    world.clock.advance(RecoveryPolicy().reset)
    assert refused(lambda: world.reset.exchange(link, source=SOURCE)) is Reason.TOKEN_INVALID
    for name in ("reset", "verify", "unlock", "registration"):
        assert getattr(RecoveryPolicy(), name) <= timedelta(hours=24)
        with pytest.raises(ConfigurationError, match=name):
            RecoveryPolicy(**{name: timedelta(hours=24, seconds=1)})


def test_4_2_1_2_b_addresses_are_confirmed_first_and_two_can_be_there(world: World) -> None:
    account = world.person()
    with_address(world, account, verified=False)
    world.reset.request("robin", source=SOURCE)
    assert letters(world) == []
    inside = signed_in(world, account)
    for address in ("robin@mail.example", SECOND):
        world.contacts.add(inside, address, current=PASSWORD, source=SOURCE)
        kept = world.contacts.confirm(token_of(world), source=SOURCE, session=inside)
        assert kept
        inside = active(world, kept)
    assert len([each for each in world.contacts.of_account(account.id) if each.verified_at]) == 2
    for asked, address in (("robin", "robin@mail.example"), (SECOND, SECOND)):
        world.reset.request(asked, source=SOURCE)
        assert [each.contact.address for each in letters(world)] == [address]


def test_4_2_2_2_a_mailed_code_and_the_bound_factor_or_two_people_of_the_desk(world: World) -> None:
    account = world.person()
    with_address(world, account)
    step = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert (step.next, step.session) == (("totp",), None)
    done = world.sign_in.submit_totp(token(step.pending), world.code(account), source=SOURCE)
    assert active(world, session(done)).factors == ("password", "totp")


def test_4_2_3_every_recovery_is_told(world: World) -> None:
    account = world.person()
    with_address(world, account)
    world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    world.unlock.request("robin", source=SOURCE)
    world.unlock.confirm(token_of(world), source=SOURCE)
    assert {"password_reset", "account_unlocked"} <= set(told(world, account))
    with Mailing() as m:
        robin = m.person()
        factor(m, robin)
        desk_reset(m, robin)
        assert NoticeKind.FACTOR_RESET_BY_SUPPORT in [
            each.kind for each in m.portal.notices.of_account(robin.id)
        ]


@pytest.mark.parametrize("kind", [each for each in NoticeKind if not each.value.startswith("request.")])
def test_4_6_a_every_address_of_the_account_is_told(kind: NoticeKind) -> None:
    with Mailing() as m:
        robin = m.person("robin", "robin@mail.example", SECOND)
        m.portal.notices.tell(robin.id, kind, source=THIEF)
        assert sorted(mail.to for mail in m.deliver()) == ["robin@mail.example", SECOND]


@pytest.mark.parametrize("links", [True, False])
def test_4_6_b_a_notice_says_how_to_say_that_it_was_not_you(links: bool) -> None:
    with Mailing(notices=NoticePolicy(links=links)) as m:
        robin = m.person()
        m.portal.notices.tell(robin.id, NoticeKind.PASSWORD_CHANGED, source=THIEF)
        (mail,) = m.deliver()
        assert any("/not-me?token=" in link for link in links_of(mail)) is links
        if links:
            found = re.search(r"token=([\w.~-]+)", mail.text)
            assert found
            m.portal.disavowal.confirm(found[1], source=SOURCE)
            assert m.portal.stores.accounts.get(robin.id).password_hash is None  # type: ignore[union-attr]
        else:
            assert "Messages" in mail.text


def test_v6_4_3_a_reset_exists_and_asks_for_the_second_factor(world: World) -> None:
    account = world.person()
    with_address(world, account)
    step = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert step.next == ("totp",)
    wrong = world.wrong_code(account)
    assert (
        refused(lambda: world.sign_in.submit_totp(token(step.pending), wrong, source=SOURCE))
        is Reason.WRONG_CODE
    )
    assert world.sessions.of_account(account.id) == ()


def factor(m: Mailing, account: Account) -> None:
    m.portal.totp.begin(account.id, account_name=account.login)
    device = m.portal.stores.totp.devices(account.id)[0]
    assert m.portal.stores.totp.confirm(account.id, device.id, 1)


def desk_reset(m: Mailing, account: Account) -> None:
    request = m.portal.support.request_factor_reset(account.id, actor=ANN, reason="ticket-7", source=SOURCE)
    assert refused(lambda: m.portal.support.approve(request, actor=ANN, source=SOURCE)) is Reason.SAME_PERSON
    assert len(m.portal.stores.totp.devices(account.id)) == 1
    m.portal.support.approve(request, actor=BEN, source=SOURCE)
    assert len(m.portal.stores.totp.devices(account.id)) == 0


def test_v6_4_4_a_lost_factor_takes_two_people_and_no_mail_replaces_it(world: World) -> None:
    account = world.person()
    with_address(world, account)
    world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert world.totp.enrolled(account.id)
    with Mailing() as m:
        robin = m.person()
        factor(m, robin)
        desk_reset(m, robin)


def test_fp_7_a_reset_signs_nobody_in_past_the_factor_tells_the_owner_and_ends_sessions(world: World) -> None:
    account = world.person()
    with_address(world, account)
    held = signed_in(world, account)
    step = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert step.session is None
    assert not alive(world, held)
    assert "password_reset" in told(world, account)
