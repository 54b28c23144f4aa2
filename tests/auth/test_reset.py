from __future__ import annotations

import inspect
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.links import LinkPurpose, RecoveryPolicy
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.signin import Step
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Source
from tests.auth.mail import (
    ADDRESS,
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
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, together, token

THIRD_PASSWORD = "copper umbrella violin meadow"
STAFF = Actor(type="user", id="staff-1")


@pytest.fixture
def world() -> World:
    world = World()
    with_address(world, world.person())
    return world


def choose(world: World, browser: str, password: object = OTHER_PASSWORD) -> Step:
    return world.reset.choose(browser, password, source=SOURCE)


def test_a_link_leads_to_a_new_password_and_then_to_the_second_factor(world: World) -> None:
    account = world.account_store.by_login("robin")
    step = choose(world, browser_token(world))
    assert step.next == ("totp",)
    world.clock.advance(timedelta(seconds=60))
    session(world.sign_in.submit_totp(token(step.pending), world.code(account), source=SOURCE))
    assert refused(lambda: world.pending(password=PASSWORD)) is Reason.WRONG_PASSWORD
    world.pending(password=OTHER_PASSWORD)
    stored = world.account_store.get(account.id)
    assert stored.password_changed_at == world.clock() - timedelta(seconds=60)
    assert told(world, account).count("password_reset") == 1
    assert [event.name for event in world.events if event.name == Event.AUTH_PASSWORD_RESET] == [
        Event.AUTH_PASSWORD_RESET
    ]


def test_atk_36_a_reset_does_not_sign_in_past_the_second_factor(world: World) -> None:
    account = world.account_store.by_login("robin")
    step = choose(world, browser_token(world))
    assert step.session is None
    assert world.sessions.of_account(account.id) == ()
    wrong = world.wrong_code(account)
    assert (
        refused(lambda: world.sign_in.submit_totp(token(step.pending), wrong, source=SOURCE))
        is Reason.WRONG_CODE
    )


def test_atk_36_not_where_a_second_factor_is_optional_either() -> None:
    world = World(second_factor="optional")
    with_address(world, world.person())
    assert choose(world, browser_token(world)).next == ("totp",)
    lone = world.person("kim", enrolled=False)
    with_address(world, lone, "kim@mail.example")
    assert choose(world, browser_token(world, "kim")).session is not None


def test_ses_01_a_reset_ends_every_session_and_device(world: World) -> None:
    account = world.account_store.by_login("robin")
    open_ones = [signed_in(world, account) for _ in range(3)]
    choose(world, browser_token(world))
    assert not any(alive(world, each) for each in open_ones)
    assert world.backing.devices.of_account(account.id) == ()


def test_pwd_03_a_request_costs_the_same_for_every_name_and_address(world: World) -> None:
    disabled = world.person("kim")
    with_address(world, disabled, "kim@mail.example")
    world.accounts.disable(disabled.id, actor=STAFF, source=SOURCE)
    world.person("noaddress")
    letters(world)
    costs, recorded = {}, {}
    for name in ("robin", ADDRESS, "kim", "kim@mail.example", "noaddress", "nobody", "no@mail.example"):
        world.calls.clear()
        world.events.clear()
        assert world.reset.request(name, source=SOURCE) is None  # type: ignore[func-returns-value]
        costs[name] = tuple(world.calls)
        recorded[name] = tuple(world.events.names)
    assert len(set(costs.values())) == 1, costs
    assert set(recorded.values()) == {(Event.AUTH_RESET_REQUESTED,)}
    assert not any(call.startswith(("accounts", "contacts")) for call in next(iter(costs.values())))
    assert sorted(letter.contact.address for letter in letters(world)) == [ADDRESS, ADDRESS]


def test_mail_goes_to_the_stored_address_and_to_verified_ones_alone(world: World) -> None:
    account = world.account_store.by_login("robin")
    with_address(world, account, "second@mail.example")
    with_address(world, account, "thief@mail.example", verified=False)
    for typed, found in (
        ("robin", ADDRESS),
        (" ROBIN@Mail.Example ", ADDRESS),
        ("second@mail.example", "second@mail.example"),
        ("thief@mail.example", None),
    ):
        world.reset.request(typed, source=SOURCE)
        assert [letter.contact.address for letter in letters(world)] == ([found] if found else [])


def test_rec_06_a_look_alike_of_an_address_finds_nobody(world: World) -> None:
    for typed in ("robin＠mail.example", "robin@mаil.example", "rоbin@mail.example", "robin@ｍail.example"):
        world.reset.request(typed, source=SOURCE)
        assert letters(world) == []


def test_two_accounts_with_one_address_each_get_their_own_link(world: World) -> None:
    child = world.person("child")
    with_address(world, child)
    world.reset.request(ADDRESS, source=SOURCE)
    both = letters(world)
    assert {letter.contact.account_id for letter in both} == {
        child.id,
        world.account_store.by_login("robin").id,
    }
    for letter in both:
        choose(world, world.reset.exchange(token(letter.token), source=SOURCE).reveal())


def test_tokens_have_256_bits_and_rest_as_hashes(world: World) -> None:
    mailed = reset_token(world)
    assert len(mailed) == 43
    stored = repr(world.backing.links._flows)
    assert mailed not in stored
    browser = world.reset.exchange(mailed, source=SOURCE).reveal()
    assert browser != mailed
    for part in (mailed, browser, ADDRESS, OTHER_PASSWORD):
        assert part not in repr(world.backing.flows._flows) + repr(world.events)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda good: "",
        lambda good: None,
        lambda good: 7,
        lambda good: " " + good,
        lambda good: good + " ",
        lambda good: good + "A",
        lambda good: good[:-1],
        lambda good: good[1:],
        lambda good: good[:20] + ("A" if good[20] != "A" else "B") + good[21:],
        lambda good: good.swapcase(),
        lambda good: good + "\n",
        lambda good: "A" * 43,
        lambda good: [good],
    ],
)
def test_rec_03_atk_35_blank_cut_and_edited_tokens(world: World, spoil) -> None:  # type: ignore[no-untyped-def]
    good = reset_token(world)
    assert refused(lambda: world.reset.exchange(spoil(good), source=SOURCE)) is Reason.TOKEN_INVALID
    browser = world.reset.exchange(good, source=SOURCE).reveal()
    assert refused(lambda: choose(world, spoil(browser))) is Reason.TOKEN_INVALID
    choose(world, browser)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    world = World()
    assert refused(lambda: world.reset.exchange(text, source=SOURCE)) is Reason.TOKEN_INVALID
    assert refused(lambda: choose(world, text)) is Reason.TOKEN_INVALID


def test_rec_02_a_link_lives_half_an_hour_and_the_browsers_token_a_quarter(world: World) -> None:
    mailed = reset_token(world)
    world.clock.advance(timedelta(minutes=30))
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    browser = browser_token(world)
    world.clock.advance(timedelta(minutes=15))
    assert refused(lambda: choose(world, browser)) is Reason.TOKEN_INVALID


def test_atk_35_each_token_works_once(world: World) -> None:
    mailed = reset_token(world)
    browser = world.reset.exchange(mailed, source=SOURCE).reveal()
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    choose(world, browser)
    assert refused(lambda: choose(world, browser, THIRD_PASSWORD)) is Reason.TOKEN_INVALID


def test_rec_01_fifty_threads_with_one_link_exchange_it_once(world: World) -> None:
    mailed = reset_token(world)
    results = together(50, lambda _: world.reset.exchange(mailed, source=SOURCE))
    won = [result for result in results if not isinstance(result, Exception)]
    assert len(won) == 1
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.TOKEN_INVALID}
    choose(world, won[0].reveal())


def test_rec_01_fifty_threads_with_one_browser_token_choose_one_password(world: World) -> None:
    browser = browser_token(world)
    words = [f"lantern {number} orbit velvet cactus" for number in range(50)]
    results = together(50, lambda number: choose(world, browser, words[number]))
    winners = [number for number, result in enumerate(results) if isinstance(result, Step)]
    assert len(winners) == 1
    assert {result.reason for result in results if isinstance(result, Exception)} == {Reason.TOKEN_INVALID}  # type: ignore[attr-defined]
    world.pending(password=words[winners[0]])


def test_rec_01_a_link_that_another_request_uses_while_we_look_is_used_once(world: World) -> None:
    mailed = reset_token(world)
    real, others = world.backing.flows.put, []

    def put(flow: object) -> bool:
        if not others:
            others.append(None)
            others.append(world.reset.exchange(mailed, source=SOURCE))
        return bool(real(flow))

    world.backing.flows.put = put
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    choose(world, others[1].reveal())


def test_rec_01_a_browsers_token_that_another_request_uses_while_we_look_is_used_once(world: World) -> None:
    browser = browser_token(world)
    real, others = world.backing.history.of_account, []

    def of_account(account_id: str) -> object:
        if not others:
            others.append(None)
            others.append(choose(world, browser, THIRD_PASSWORD))
        return real(account_id)

    world.backing.history.of_account = of_account
    assert refused(lambda: choose(world, browser)) is Reason.TOKEN_INVALID
    succeeded = [
        event for event in world.events.named(Event.AUTH_PASSWORD_RESET) if event.outcome == "success"
    ]
    assert len(succeeded) == 1  # the other one ended nothing and recorded no reset
    world.pending(password=THIRD_PASSWORD)


def test_of_two_links_the_first_to_choose_kills_the_other(world: World) -> None:
    one, two = reset_token(world), reset_token(world)
    first, second = (world.reset.exchange(each, source=SOURCE).reveal() for each in (one, two))
    third = reset_token(world)
    choose(world, first)
    assert refused(lambda: choose(world, second, THIRD_PASSWORD)) is Reason.TOKEN_INVALID
    assert refused(lambda: world.reset.exchange(third, source=SOURCE)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("when", ["mailed", "exchanged"])
@pytest.mark.parametrize("what", ["password", "address", "login", "disabled", "gone"])
def test_rec_04_atk_35_what_a_link_was_made_for_must_be_as_it_was(world: World, when: str, what: str) -> None:
    from dataclasses import replace

    account = world.account_store.by_login("robin")
    held = mailed = reset_token(world)
    if when == "exchanged":
        held = world.reset.exchange(mailed, source=SOURCE).reveal()
    # Past every service of ours, so that nothing was told to drop tokens: the binding alone must hold.
    accounts, contacts = world.backing.accounts, world.backing.contacts
    (contact,) = contacts.of_account(account.id)
    if what == "password":
        assert accounts.set_password(account.id, "$other", expected=account.password_hash)
    elif what == "address":
        contacts._contacts[contact.id] = replace(contact, address="other@mail.example")
    elif what == "gone":
        contacts.remove(account.id, contact.id)
    elif what == "login":
        accounts._by_id[account.id] = replace(account, login="robina")
    else:
        accounts.set_disabled(account.id, True)
    use = (
        (lambda: world.reset.exchange(held, source=SOURCE))
        if when == "mailed"
        else lambda: choose(world, held)
    )
    assert refused(use) is Reason.TOKEN_INVALID  # type: ignore[arg-type]


def test_a_link_of_one_purpose_or_account_is_none_of_another(world: World) -> None:
    world.unlock.request("robin", source=SOURCE)
    unlocking = token_of(world)
    assert refused(lambda: world.reset.exchange(unlocking, source=SOURCE)) is Reason.TOKEN_INVALID
    mailed = reset_token(world)
    assert refused(lambda: choose(world, mailed)) is Reason.TOKEN_INVALID
    assert refused(lambda: world.unlock.confirm(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    assert refused(lambda: world.contacts.confirm(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    assert refused(lambda: world.registration.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    choose(world, world.reset.exchange(mailed, source=SOURCE).reveal())


def test_atk_35_a_link_that_was_moved_to_another_account_in_the_store_is_tampering(world: World) -> None:
    from dataclasses import replace

    thief = world.person("thief")
    mailed = reset_token(world)
    flows = world.backing.links._flows
    ((digest, flow),) = flows.items()
    flows[digest] = replace(flow, account_id=thief.id)
    with pytest.raises(Tampered):
        world.reset.exchange(mailed, source=SOURCE)


def test_a_refused_password_leaves_the_token_good_and_pwd_08_every_check_is_made(world: World) -> None:
    browser = browser_token(world)
    for password, problem in ((PASSWORD, "same"), ("iloveyou", "common"), ("robin", "too_short")):
        with pytest.raises(PasswordRefused) as refusal:
            choose(world, browser, password)
        assert [found.id for found in refusal.value.problems] == [problem]
    assert refused(lambda: choose(world, browser, 5)) is Reason.MALFORMED
    choose(world, browser)


def test_a_password_that_must_be_changed_is_changed_by_a_reset(world: World) -> None:
    account = world.account_store.by_login("robin")
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    step = choose(world, browser_token(world))
    world.clock.advance(timedelta(seconds=60))
    assert world.sign_in.submit_totp(token(step.pending), world.code(account), source=SOURCE).session


def test_loc_13_a_name_gets_a_bounded_number_of_mails_and_says_nothing_of_it(world: World) -> None:
    answers, sent = [], 0
    for number in range(60):
        answers.append(
            world.reset.request("robin", source=Source(address=f"198.51.{number}.7"))  # type: ignore[func-returns-value]
        )
        sent += len(letters(world))
    assert answers == [None] * 60
    assert 1 <= sent <= 10


def test_loc_13_an_address_that_several_accounts_share_is_not_bombed(world: World) -> None:
    for number in range(6):
        with_address(world, world.person(f"child{number}", enrolled=False))
    sent = 0
    for number in range(20):
        for name in ("robin", *(f"child{each}" for each in range(6))):
            world.reset.request(name, source=Source(address=f"198.51.{number}.7"))
        sent += len(letters(world))
    assert 1 <= sent <= 10


def test_a_visitor_who_asks_for_many_is_throttled_by_their_own_address(world: World) -> None:
    reasons = set()
    for number in range(200):
        try:
            world.reset.request(f"name{number}", source=SOURCE)
        except Denied as refusal:
            reasons.add(refusal.reason)
            assert refusal.retry_after is not None
    assert reasons == {Reason.THROTTLED}


@pytest.mark.parametrize("name", [None, 5, "", "a", "x" * 300, "\x00\x00\x00", ["robin"], "rob\u202ein"])
def test_malformed_names_reach_no_store(world: World, name: object) -> None:
    world.calls.clear()
    assert refused(lambda: world.reset.request(name, source=SOURCE)) is Reason.MALFORMED
    assert world.calls == []


def test_rec_11_atk_34_nothing_here_makes_an_address_of_a_page_or_uses_a_token_by_looking(
    world: World,
) -> None:
    # Links are made of base_url by the courier's writer; no service of this part knows a host, a URL or a request.
    for service in (world.reset, world.links, world.unlock, world.contacts, world.registration):
        source = inspect.getsource(inspect.getmodule(type(service)))  # type: ignore[arg-type]
        assert "http" not in source.replace("https://", "")
        assert "host" not in inspect.signature(type(service).__init__).parameters
    mailed = reset_token(world)
    for _ in range(20):
        assert world.links.mailed(mailed, LinkPurpose.RESET) is not None
    choose(world, world.reset.exchange(mailed, source=SOURCE).reveal())


VERBS = (
    "links.attempt",
    "links.consume",
    "flows.put",
    "flows.attempt",
    "flows.consume",
    "flows.drop_account",
    "links.drop_account",
    "accounts.get",
    "accounts.set_password",
    "contacts.of_account",
    "sessions.epoch",
    "sessions.end_all",
    "sessions.of_account",
    "devices.revoke_all",
    "notices.put",
    "history.of_account",
    "throttle.clear",
    "totp.devices",
)


@pytest.mark.parametrize("broken", VERBS)
def test_atk_41_a_reset_that_any_store_stops_lets_nobody_in_and_can_be_done_again(
    world: World, broken: str
) -> None:
    account = world.account_store.by_login("robin")
    open_one = signed_in(world, account)
    mailed = reset_token(world)
    part, _, verb = broken.partition(".")
    store = getattr(world, {"accounts": "account_store"}.get(part, f"{part.rstrip('s')}_store"), None)
    store = store or getattr(
        world, {"totp": "totp_store", "devices": "device_store"}.get(part, f"{part}_store")
    )
    store.failing[verb] = StoreError("down")
    before = world.account_store._store.get(account.id).password_hash
    failed = False
    browser = None
    try:
        browser = world.reset.exchange(mailed, source=SOURCE).reveal()
        choose(world, browser)
    except StoreError:
        failed = True
    assert failed, f"{broken} is never called: take it from the list"
    del store.failing[verb]
    assert len(world.sessions.of_account(account.id)) <= 1  # nobody was let in
    changed = world.account_store.get(account.id).password_hash != before
    if changed:
        # The last steps failed: the new password is the password, and what the old one opened is dead.
        assert not alive(world, open_one)
        world.pending(password=OTHER_PASSWORD)
    else:
        world.pending(password=PASSWORD)
        if browser is None:
            browser = world.reset.exchange(mailed, source=SOURCE).reveal()
        choose(world, browser)
        world.pending(password=OTHER_PASSWORD)


def test_what_cannot_be_recorded_does_not_happen() -> None:
    full = False

    def emit(event: object) -> None:
        if full:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    account = world.person()
    with_address(world, account)
    browser = browser_token(world)
    full = True
    with pytest.raises(AuditUnavailable):
        choose(world, browser)
    with pytest.raises(AuditUnavailable):
        world.reset.request("robin", source=SOURCE)
    full = False
    assert letters(world) == []
    world.pending(password=PASSWORD)
    choose(world, browser)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reset": timedelta(hours=25)},
        {"verify": timedelta(seconds=10)},
        {"unlock": timedelta(0)},
        {"browser": timedelta(days=2)},
        {"registration": timedelta(days=2)},
        {"choices": 1},
        {"contacts": 0},
    ],
)
def test_a_policy_that_exists_is_valid(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        RecoveryPolicy(**wrong)  # type: ignore[arg-type]
