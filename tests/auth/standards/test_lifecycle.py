"""Rows on how accounts and passwords begin and change, and on what staff may do."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta

import pytest

from portalsec.auth.account import Accounts
from portalsec.auth.evidence import Factor
from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.auth.ports import Account
from portalsec.auth.signin import Step
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Event
from tests.auth.mail import (
    active,
    browser_token,
    refused,
    signed_in,
    token_of,
    told,
    with_address,
)
from tests.auth.mailing import Mailing
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session
from tests.support import ROOT

ANN = Actor(type="user", id="desk-ann")
SECOND = "robin@work.example"


@pytest.fixture
def world() -> World:
    return World()


def of(world: World, account: Account) -> Account:
    found = world.account_store.get(account.id)
    assert isinstance(found, Account)
    return found


def hash_of(world: World, account: Account) -> str:
    stored = of(world, account).password_hash
    assert stored is not None
    return stored


def start(world: World, password: str = PASSWORD) -> Step:
    return world.sign_in.start("robin", password, source=SOURCE)


def test_v6_1_2_the_organisations_words_are_a_setting_and_part_of_the_policy() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    assert re.search(r"^\| `words` \| `\[\]` \|", page, re.MULTILINE)
    policy = PasswordPolicy.OWASP_ASVS_5_0.with_words(["Hill Clinic"])
    assert policy.words == ("Hill Clinic",)
    assert policy.check_password("hill-clinic-2026", with_second_factor=True)


def test_v6_3_2_a_new_portal_has_no_account() -> None:
    with Mailing() as m:
        assert m.portal.stores.accounts.page(after=None, limit=10) == ()
        for login in ("admin", "administrator", "root", "test", "guest", "demo"):
            for password in (login, "admin", "password", "changeme", "lantern orbit velvet cactus"):
                with pytest.raises(Denied):
                    m.portal.sign_in.start(login, password, source=SOURCE)
        assert {event.reason for event in m.events.named(Event.AUTH_LOGIN_FAILED)} <= {
            Reason.UNKNOWN_ACCOUNT,
            Reason.ACCOUNT_LOCKED,
            Reason.PASSWORD_SPRAYED,
        }


def test_v6_3_6_mail_is_no_factor(world: World) -> None:
    account = world.person()
    with_address(world, account)
    assert not {"email", "mail", "link"} & {kind.value for kind in Factor}
    done = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert done.session is None


def test_v6_3_7_changes_of_credentials_and_addresses_are_told(world: World) -> None:
    account = world.person(enrolled=False)
    pending = world.pending()
    app = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    world.seeds[account.id] = app.secret.reveal()
    inside = active(
        world, session(world.sign_in.confirm_totp_enrolment(pending, world.code(account), source=SOURCE))
    )
    with_address(world, account)
    inside = active(
        world, world.password_change.change(inside, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    )
    added = world.contacts.add(inside, SECOND, current=OTHER_PASSWORD, source=SOURCE)
    kept = world.contacts.confirm(token_of(world), source=SOURCE, session=inside)
    assert kept
    world.contacts.remove(active(world, kept), added.id, current=OTHER_PASSWORD, source=SOURCE)
    assert {"factor_added", "password_changed", "contact_added", "contact_removed"} <= set(
        told(world, account)
    )


def test_v6_4_1_activation_codes_are_random_short_lived_used_once_and_no_password(world: World) -> None:
    codes = [world.accounts.invite(f"p{n}", actor=ANN, source=SOURCE).reveal() for n in range(20)]
    assert len(set(codes)) == 20
    assert all(len(re.sub("[^A-Z0-9]", "", code)) >= 20 for code in codes)

    def take(code: str, login: str, password: str = PASSWORD) -> object:
        return world.accounts.sign_up(invitation=code, login=login, password=password, source=SOURCE)

    with pytest.raises(PasswordRefused):
        take(codes[0], "robin", "short")
    assert take(codes[0], "robin")
    assert refused(lambda: take(codes[0], "sam")) is Reason.INVITATION_INVALID
    assert refused(lambda: start(world, codes[0])) is Reason.WRONG_PASSWORD
    world.clock.advance(timedelta(days=14))
    assert refused(lambda: take(codes[1], "sam")) is Reason.INVITATION_INVALID


def test_v6_4_6_staff_may_have_a_password_changed_and_never_choose_or_learn_it(world: World) -> None:
    account = world.person()
    before = hash_of(world, account)
    world.password_change.require(account.id, "helpdesk", actor=ANN, source=SOURCE)
    assert hash_of(world, account) == before
    assert world.events.named(Event.AUTH_PASSWORD_CHANGE_REQUIRED)[-1].actor == ANN
    takes_a_password = {
        name
        for name, verb in inspect.getmembers(Accounts, inspect.isfunction)
        if not name.startswith("_") and "password" in inspect.signature(verb).parameters
    }
    assert takes_a_password == {"create", "sign_up"}  # of accounts that are not there yet
    assert (
        refused(lambda: world.accounts.create(login="robin", password=OTHER_PASSWORD)) is Reason.LOGIN_TAKEN
    )
    assert hash_of(world, account) == before


def test_164_308_a_5_ii_d_passwords_are_created_changed_and_kept_by_one_procedure(world: World) -> None:
    for weak in ("short", "password", "robin-robin-robin"):
        with pytest.raises(PasswordRefused):
            world.accounts.create(login="robin", password=weak)
    account = world.person()
    inside = signed_in(world, account)
    for weak in ("short", "password", PASSWORD):
        with pytest.raises(PasswordRefused):
            world.password_change.change(inside, current=PASSWORD, new=weak, source=SOURCE)
    world.password_change.change(inside, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    changed = [event for event in world.events.named(Event.AUTH_PASSWORD_CHANGED) if event.reason is None]
    assert len(changed) == 1
    assert OTHER_PASSWORD not in repr(world.events)


def test_nprm_312_f_no_default_passwords_an_account_begins_with_its_owners(world: World) -> None:
    code = world.accounts.invite("p1", actor=ANN, source=SOURCE).reveal()
    assert world.account_store.page(after=None, limit=10) == ()  # an invitation is no account
    world.accounts.sign_up(invitation=code, login="robin", password=PASSWORD, source=SOURCE)
    for default in (code, "robin", "password", "changeme", "Welcome1"):
        assert refused(lambda d=default: start(world, d)) is Reason.WRONG_PASSWORD
