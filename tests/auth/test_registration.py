from __future__ import annotations

import inspect
import threading
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.invitations import SignUp
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.notice_mail import MailWriter
from portalsec.auth.notice_words import CATALOGUES
from portalsec.auth.notices import NoticeKind
from portalsec.auth.password_policy import PasswordRefused
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Event, Source
from tests.auth.mail import ADDRESS, letters, refused, token_of, with_address
from tests.auth.world import PASSWORD, SOURCE, World, together, token

NEW = "new@mail.example"


@pytest.fixture
def world() -> World:
    return World()


def in_browser(world: World, address: str = NEW) -> str:
    world.registration.request(address, source=SOURCE)
    return world.registration.exchange(token_of(world), source=SOURCE).reveal()


def complete(world: World, browser: str, login: object = "newcomer", password: object = PASSWORD) -> SignUp:
    return world.registration.complete(browser, login=login, password=password, source=SOURCE)


def test_whoever_reads_mail_at_an_address_gets_an_account_with_it(world: World) -> None:
    made = complete(world, in_browser(world, " New@Mail.example"), " Newcomer ")
    account = world.account_store.get(made.account_id)
    assert (account.login, account.reference, account.disabled) == ("newcomer", None, False)
    (contact,) = world.contacts.of_account(account.id)
    assert (contact.address, contact.verified_at) == (NEW, world.clock())
    assert made.step.next == ("totp_enrolment",)
    world.sign_in.begin_totp_enrolment(token(made.step.pending), source=SOURCE)
    assert world.events.names == [
        Event.ACCOUNT_REGISTRATION_REQUESTED,
        Event.ACCOUNT_CREATED,
        Event.AUTH_PASSWORD_VERIFIED,
    ]
    assert NEW not in repr(world.events)


def test_pwd_04_the_same_answer_and_work_for_taken_secondary_and_free_addresses(world: World) -> None:
    account = world.person()
    with_address(world, account)
    with_address(world, account, "second@mail.example")
    with_address(world, account, "unverified@mail.example", verified=False)
    costs = {}
    for address in (ADDRESS, "second@mail.example", "unverified@mail.example", NEW):
        world.calls.clear()
        world.events.clear()
        assert world.registration.request(address, source=SOURCE) is None  # type: ignore[func-returns-value]
        costs[address] = (tuple(world.calls), tuple(world.events.names))
    assert len(set(costs.values())) == 1, costs
    sent = {letter.contact.address: letter for letter in letters(world)}
    assert {address: letter.token is None for address, letter in sent.items()} == {
        ADDRESS: True,
        "second@mail.example": True,
        "unverified@mail.example": False,
        NEW: False,
    }
    assert {letter.kind for letter in sent.values()} == {NoticeKind.REQUEST_REGISTER}
    assert {letter.contact.account_id for letter in sent.values()} == {""}


@pytest.mark.parametrize("language", ["en", "es"])
def test_pwd_04_the_letter_to_a_known_address_says_so_and_has_no_link(world: World, language: str) -> None:
    with_address(world, world.person())
    writer = MailWriter(base_url="https://portal.example", portal="Hill Clinic", language=language)
    mails = []
    for address in (ADDRESS, NEW):
        world.registration.request(address, source=SOURCE)
        (letter,) = letters(world)
        mails.append(writer.write(letter, letter_id="1"))
    known, new = mails
    assert "/register/link?token=" in new.text
    assert "/register/link" not in known.text + known.html
    assert known.subject != new.subject
    assert CATALOGUES[language].phrases["registered"].format(portal="Hill Clinic")[:60] in known.text.replace(
        "\n", " "
    )


def test_auz_02_nothing_but_a_name_and_a_password_can_be_chosen(world: World) -> None:
    parameters = inspect.signature(world.registration.complete).parameters
    assert set(parameters) == {"browser_token", "login", "password", "source", "device"}
    for extra in ("role", "is_superuser", "scopes", "reference", "disabled", "email", "id"):
        with pytest.raises(TypeError):
            world.registration.complete(
                in_browser(world, f"{extra.replace('_', '')}@mail.example"),
                login="newcomer",
                password=PASSWORD,
                source=SOURCE,
                **{extra: "admin"},
            )
    assert world.account_store.by_login("newcomer") is None


def test_rec_01_fifty_threads_with_one_token_make_one_account(world: World) -> None:
    browser = in_browser(world)
    results = together(50, lambda n: complete(world, browser, f"newcomer{n}"))
    assert sum(isinstance(result, SignUp) for result in results) == 1
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.TOKEN_INVALID}
    assert len(world.backing.contacts.by_address(NEW)) == 1


def test_two_links_to_one_address_make_one_account(world: World) -> None:
    one, two = in_browser(world), in_browser(world)
    complete(world, one)
    assert refused(lambda: complete(world, two, "another")) is Reason.TOKEN_INVALID


def test_rec_10_an_address_that_was_verified_meanwhile_is_not_claimed(world: World) -> None:
    browser = in_browser(world)
    with_address(world, world.person(), NEW)
    assert refused(lambda: complete(world, browser)) is Reason.TOKEN_INVALID


def test_a_refused_password_or_name_leaves_the_token_good(world: World) -> None:
    world.person("taken")
    browser = in_browser(world)
    for password, problem in (("short", "too_short"), ("iloveyou", "common"), ("newmailexample", "personal")):
        with pytest.raises(PasswordRefused) as refusal:
            complete(world, browser, password=password)
        assert [found.id for found in refusal.value.problems] == [problem]
    assert refused(lambda: complete(world, browser, "taken")) is Reason.LOGIN_TAKEN
    assert world.backing.contacts.by_address(NEW) == ()
    complete(world, browser)


def test_one_link_finds_out_about_ten_names_at_most(world: World) -> None:
    world.person("taken")
    browser = in_browser(world)
    reasons = [refused(lambda: complete(world, browser, "taken")) for _ in range(12)]
    assert reasons.count(Reason.LOGIN_TAKEN) <= 10
    assert reasons[-1] is Reason.TOKEN_INVALID


def test_loc_13_an_address_gets_a_bounded_number_of_mails(world: World) -> None:
    sent = 0
    for number in range(60):
        world.registration.request(NEW, source=Source(address=f"198.51.{number}.7"))
        sent += len(letters(world))
    assert 1 <= sent <= 10


def test_a_portal_that_is_not_open_registers_nobody() -> None:
    world = World(recovery=RecoveryPolicy())
    assert not world.registration.open
    assert refused(lambda: world.registration.request(NEW, source=SOURCE)) is Reason.NO_GRANT
    assert refused(lambda: world.registration.exchange("A" * 43, source=SOURCE)) is Reason.NO_GRANT
    assert refused(lambda: complete(world, "A" * 43)) is Reason.NO_GRANT
    assert not any(call.startswith(("notices", "accounts", "flows")) for call in world.calls)


@pytest.mark.parametrize("address", [None, 5, "", "newcomer", "new＠mail.example", "a@b@c.example"])
def test_rec_06_what_is_no_address_is_refused_for_everybody(world: World, address: object) -> None:
    assert refused(lambda: world.registration.request(address, source=SOURCE)) is Reason.ADDRESS_REFUSED
    assert world.calls == []


@pytest.mark.parametrize("login", [None, 5, "", "a", "x" * 300, "new\u202ecomer"])
def test_malformed_names_use_nothing_up(world: World, login: object) -> None:
    browser = in_browser(world)
    assert refused(lambda: complete(world, browser, login)) is Reason.MALFORMED
    assert refused(lambda: complete(world, browser, password=5)) is Reason.MALFORMED
    complete(world, browser)


def test_rec_02_links_end(world: World) -> None:
    world.registration.request(NEW, source=SOURCE)
    mailed = token_of(world)
    world.clock.advance(timedelta(hours=24))
    assert refused(lambda: world.registration.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    browser = in_browser(world)
    world.clock.advance(timedelta(minutes=15))
    assert refused(lambda: complete(world, browser)) is Reason.TOKEN_INVALID


def test_no_store_holds_a_token_or_an_address_in_the_clear(world: World) -> None:
    world.registration.request(NEW, source=SOURCE)
    mailed = token_of(world)
    browser = world.registration.exchange(mailed, source=SOURCE).reveal()
    world.registration.request(NEW, source=SOURCE)
    held = repr([flow.data for flow in world.backing.flows._flows.values()])
    held += repr([flow.data for flow in world.backing.links._flows.values()])
    held += repr([notice.data for notice in world.backing.notices._notices.values()])
    for secret in (mailed, browser, NEW):
        assert secret not in held


@pytest.mark.parametrize(
    "broken",
    [
        "flow_store.attempt",
        "flow_store.consume",
        "contact_store.by_address",
        "session_store.epoch",
        "contact_store.add",
        "account_store.by_login",
        "account_store.create",
    ],
)
def test_atk_41_a_registration_that_any_store_stops_leaves_nothing_and_can_be_done_again(
    world: World, broken: str
) -> None:
    browser = in_browser(world)
    where, _, verb = broken.partition(".")
    getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        complete(world, browser)
    assert world.backing.accounts.by_login("newcomer") is None
    assert world.backing.contacts.by_address(NEW) == ()
    assert world.backing.sessions._sessions == {}
    del getattr(world, where).failing[verb]
    complete(world, browser)


def test_rec_01_one_link_finds_out_about_ten_names_however_many_ask_at_once() -> None:
    world = World(second_factor="optional")
    for number in range(100):
        world.person(f"taken{number:03d}", enrolled=False)
    browser = in_browser(world)
    world.passwords._running = threading.Semaphore(1)  # they come to the answer one by one
    results = together(100, lambda n: complete(world, browser, f"taken{n:03d}"))
    reasons = [result.reason for result in results if isinstance(result, Denied)]
    assert len(reasons) == 100
    assert 1 <= reasons.count(Reason.LOGIN_TAKEN) <= 10
    assert set(reasons) == {Reason.LOGIN_TAKEN, Reason.TOKEN_INVALID}


def test_a_link_that_others_try_meanwhile_counts_their_tries(world: World) -> None:
    """Whoever got past the first look before the others put it back is held to the same number."""
    world.person("taken", enrolled=False)
    browser = in_browser(world)
    real, inside, taken = world.creating.prepare, [], []

    def prepare(*args: Any, **kwargs: Any) -> Any:
        account = real(*args, **kwargs)
        if len(inside) < 30:  # each waits here until all that came after it have had their answer
            inside.append(1)
            taken.append(refused(lambda: complete(world, browser, "taken")))
        return account

    world.creating.prepare = prepare  # type: ignore[method-assign]
    taken.append(refused(lambda: complete(world, browser, "taken")))
    assert 1 <= taken.count(Reason.LOGIN_TAKEN) <= 10
    assert refused(lambda: complete(world, browser)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "name",
    [
        "victim@hospital.example",
        "victim\uff20hospital.example",
        "victim@hospital",
        "NEW@mail.example.org",
        "@@a",
    ],
)
def test_rec_10_a_sign_in_name_with_an_at_is_the_address_itself(world: World, name: str) -> None:
    browser = in_browser(world)
    assert refused(lambda: complete(world, browser, name)) is Reason.ADDRESS_REFUSED
    made = complete(world, browser, NEW.upper())
    account = world.account_store.get(made.account_id)
    assert account is not None
    assert account.login == NEW


def test_auz_02_a_name_that_is_refused_for_its_at_says_nothing_of_who_has_it(world: World) -> None:
    world.person("staff@hospital.example", enrolled=False)
    browser = in_browser(world)
    costs = set()
    for name in ("staff@hospital.example", "nobody@hospital.example"):
        world.calls.clear()
        assert refused(lambda name=name: complete(world, browser, name)) is Reason.ADDRESS_REFUSED
        costs.add(tuple(world.calls))
    assert len(costs) == 1
