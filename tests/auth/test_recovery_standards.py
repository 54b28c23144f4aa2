"""The vendored standards' rows on recovery, notices, endings and stored passwords: each test is named by the row's id."""

from __future__ import annotations

import base64
import inspect
import re
from dataclasses import fields
from datetime import timedelta

import pytest

from portalsec.auth.account import Accounts
from portalsec.auth.evidence import Factor
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notices import NoticeKind
from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.auth.passwords import Argon2Parameters
from portalsec.auth.ports import Account
from portalsec.auth.signin import Step
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeysetPepper
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event
from tests.auth import test_throttle_standards
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
from tests.auth.standards import NOT_HERE, SHOWN_BY, rows, slug
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, token
from tests.support import ROOT

ANN, BEN = Actor(type="user", id="desk-ann"), Actor(type="user", id="desk-ben")
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


def no_hint_or_answer_anywhere() -> None:
    from portalsec.sqlalchemy.tables import security_metadata

    names = {each.name for each in fields(Account)}
    names |= {column.name for table in security_metadata.tables.values() for column in table.columns}
    assert "password_hash" in names
    assert [name for name in names if re.search("hint|question|answer|reminder", name)] == []
    ways = {"password", "totp", "passkey", "recovery_code", "email_code", "sms_code"}
    assert {kind.value for kind in Factor} == ways


# -- the tables ---------------------------------------------------------------------------------------------------


def test_every_row_of_these_sections_is_shown_or_has_its_reason() -> None:
    here = [name for name in (*globals(), *vars(test_throttle_standards)) if name.startswith("test_")]
    found = list(rows())
    for row in found:
        named = [name for name in here if name.startswith(f"test_{slug(row)}_")]
        assert len(named) + (row in SHOWN_BY) + (row in NOT_HERE) == 1, (row, named)
    assert {*SHOWN_BY, *NOT_HERE} <= set(found)


def test_every_test_and_file_that_the_lists_name_is_there() -> None:
    for place in SHOWN_BY.values():
        path, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / "tests" / path).read_text("utf-8"), place
    for reason in NOT_HERE.values():
        for path in re.findall(r"(?:tests|docs)/[\w/]+\.(?:py|md)", reason):
            assert (ROOT / path).is_file(), path


# -- NIST SP 800-63B-4: recovery and notices ----------------------------------------------------------------------


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


# -- NIST SP 800-63B-4: what of passwords is shown by what happens to accounts -------------------------------------


def test_3_1_1_2_6b_evidence_of_compromise_forces_a_change(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=ANN, source=SOURCE)
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    assert (step.next, step.session) == (("new_password",), None)
    with pytest.raises(PasswordRefused):
        world.password_change.submit_forced(token(step.pending), PASSWORD, source=SOURCE)
    session(world.password_change.submit_forced(token(step.pending), OTHER_PASSWORD, source=SOURCE))


def test_3_1_1_2_7_there_is_no_hint() -> None:
    no_hint_or_answer_anywhere()


def test_3_1_1_2_8_there_is_no_question() -> None:
    no_hint_or_answer_anywhere()


def test_3_1_1_2_9a_no_part_of_a_password_is_enough(world: World) -> None:
    world.person()
    for part in (PASSWORD[:-1], PASSWORD[1:], PASSWORD[:8], PASSWORD.split()[0], PASSWORD[::2]):
        assert refused(lambda p=part: start(world, p)) is Reason.WRONG_PASSWORD
    assert start(world).next == ("totp",)


def test_3_1_1_2_store_a_a_stored_password_is_a_salted_argon2id_hash(world: World) -> None:
    robin, sam = world.person(), world.person("sam")
    one, other = hash_of(world, robin), hash_of(world, sam)
    assert one != other
    assert [world.passwords.describe(each).scheme for each in (one, other)] == ["argon2id"] * 2
    assert PASSWORD not in one + repr(of(world, robin))


def test_3_1_1_2_store_b_a_higher_cost_is_taken_at_the_next_sign_in(world: World) -> None:
    account = world.person()
    before = world.passwords.describe(hash_of(world, account)).parameters
    world.parameters = Argon2Parameters.OWASP_2025
    world.wire()
    signed_in(world, account)
    after = world.passwords.describe(hash_of(world, account)).parameters
    assert (before, after) == ("m=8,t=1,p=1", "m=19456,t=2,p=1")
    signed_in(world, account)


def test_3_1_1_2_salt_128_random_bits_for_each_hash(world: World) -> None:
    salts = set()
    for _ in range(50):
        stored = world.passwords.hash(PASSWORD, account_id="robin")
        salt = stored.split("$")[-2]
        salts.add(base64.b64decode(salt + "=" * (-len(salt) % 4)))
    assert len(salts) == 50
    assert {len(salt) * 8 for salt in salts} == {128}


def test_3_1_1_2_ref_scheme_and_cost_stand_with_the_hash(world: World) -> None:
    stored = hash_of(world, world.person())
    assert re.search(r"\$argon2id\$v=19\$m=8,t=1,p=1\$", stored)
    assert world.passwords.describe(stored).bound


def test_3_1_1_2_pepper_a_hash_is_worth_nothing_without_the_key_that_is_kept_elsewhere() -> None:
    pepper = KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))
    peppered = World(pepper=pepper)
    account = peppered.person()
    assert start(peppered).next == ("totp",)
    for other in (None, KeysetPepper(Keyset.generate("HMAC_SHA256_PRF"))):
        peppered.pepper = other
        peppered.wire()
        assert refused(lambda: start(peppered)) is Reason.FACTOR_NOT_ENROLLED  # recorded as a damaged hash
    assert of(peppered, account).password_hash == hash_of(peppered, account)


# -- OWASP ASVS 5.0 -----------------------------------------------------------------------------------------------


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


def test_v6_4_2_no_hints_and_no_questions() -> None:
    no_hint_or_answer_anywhere()


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


def test_v7_4_1_after_sign_out_or_a_limit_a_session_is_nothing(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    world.sign_in.logout(opened, source=SOURCE)
    assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    world.clock.advance(timedelta(seconds=60))
    late = world.session(account).token.reveal()
    world.clock.advance(world.session_policy.idle)
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_IDLE
    assert refused(lambda: world.sessions.check(late, source=SOURCE)) is Reason.SESSION_UNKNOWN


def test_v7_4_2_disabling_ends_every_session(world: World) -> None:
    account = world.person()
    held = [signed_in(world, account) for _ in range(3)]
    world.accounts.disable(account.id, actor=ANN, source=SOURCE)
    assert not any(alive(world, each) for each in held)
    world.accounts.enable(account.id, actor=ANN, source=SOURCE)
    assert not any(alive(world, each) for each in held)


def test_v7_4_3_a_changed_factor_ends_all_other_sessions(world: World) -> None:
    account = world.person()
    mine, *others = [signed_in(world, account) for _ in range(3)]
    new = world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert not any(alive(world, each) for each in (mine, *others))
    assert active(world, new).account_id == account.id


def test_v7_4_5_staff_end_the_sessions_of_one_person_or_of_all(world: World) -> None:
    people = [world.person(f"person-{number}") for number in range(3)]
    held = [signed_in(world, person) for person in people]
    world.sessions.end_all(people[0].id, source=SOURCE, actor=ANN)
    assert [alive(world, each) for each in held] == [False, True, True]
    for person in world.account_store.page(after=None, limit=100):
        world.sessions.end_all(person.id, source=SOURCE, actor=ANN)
    assert not any(alive(world, each) for each in held)


def test_v7_5_1_a_session_alone_changes_no_password_and_no_address(world: World) -> None:
    account = world.person()
    with_address(world, account)
    inside = signed_in(world, account)
    before = hash_of(world, account), world.contacts.of_account(account.id)
    wrong = "not the present password"
    for attempt in (
        lambda: world.password_change.change(inside, current=wrong, new=OTHER_PASSWORD, source=SOURCE),
        lambda: world.contacts.add(inside, SECOND, current=wrong, source=SOURCE),
        lambda: world.contacts.remove(inside, before[1][0].id, current=wrong, source=SOURCE),
    ):
        assert refused(attempt) is Reason.WRONG_PASSWORD
    assert (hash_of(world, account), world.contacts.of_account(account.id)) == before


# -- OWASP cheat sheets -------------------------------------------------------------------------------------------


def test_ps_5_the_pepper_is_another_keyset_than_the_store_has() -> None:
    peppered = World(pepper=KeysetPepper(Keyset.generate("HMAC_SHA256_PRF")))
    info = peppered.passwords.describe(hash_of(peppered, peppered.person()))
    assert info.pepper is not None
    assert World().passwords.describe(hash_of(peppered, of_login(peppered))).verifies is False


def of_login(world: World) -> Account:
    found = world.account_store.by_login("robin")
    assert isinstance(found, Account)
    return found


def test_ps_8_a_stored_hash_ends_in_a_phc_string(world: World) -> None:
    stored = hash_of(world, world.person())
    assert re.fullmatch(
        r"\$ps1\$[a-z0-9,]+\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+", stored
    )


def test_au_7_the_current_password_comes_before_what_is_sensitive(world: World) -> None:
    account = world.person()
    inside = signed_in(world, account)
    for current in ("", None, OTHER_PASSWORD):
        with pytest.raises(Denied):
            world.contacts.add(inside, SECOND, current=current, source=SOURCE)
    assert world.contacts.add(inside, SECOND, current=PASSWORD, source=SOURCE).address == SECOND


def test_fp_7_a_reset_signs_nobody_in_past_the_factor_tells_the_owner_and_ends_sessions(world: World) -> None:
    account = world.person()
    with_address(world, account)
    held = signed_in(world, account)
    step = world.reset.choose(browser_token(world), OTHER_PASSWORD, source=SOURCE)
    assert step.session is None
    assert not alive(world, held)
    assert "password_reset" in told(world, account)


# -- HIPAA --------------------------------------------------------------------------------------------------------


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
