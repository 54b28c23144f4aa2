from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.account import SignUp
from portalsec.auth.notices import NoticeKind
from portalsec.auth.password_policy import PasswordRefused
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome, SecurityEvent, Source
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, tight, together, token

STAFF = Actor(type="user", id="staff-1", role="front_desk")


@pytest.fixture
def world() -> World:
    return World()


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(Denied) as refusal:
        work()
    return refusal.value.reason


def invite(world: World, reference: str = "patient-1") -> str:
    return world.accounts.invite(reference, actor=STAFF, source=SOURCE).reveal()


def sign_up(
    world: World, code: object, login: object = "robin", password: object = PASSWORD, **kwargs: Any
) -> SignUp:
    return world.accounts.sign_up(invitation=code, login=login, password=password, source=SOURCE, **kwargs)


def test_an_invitation_becomes_an_account_that_enrols_a_factor(world: World) -> None:
    signed_up = sign_up(world, invite(world), " Robin ")
    assert signed_up.reference == "patient-1"
    assert signed_up.step.next == ("totp_enrolment",)
    account = world.account_store.get(signed_up.account_id)
    assert (account.login, account.reference, account.disabled) == ("robin", "patient-1", False)
    assert world.events.names == [Event.ACCOUNT_INVITED, Event.ACCOUNT_CREATED, Event.AUTH_PASSWORD_VERIFIED]
    assert world.events[0].actor == STAFF
    assert world.events[0].subjects == world.events[1].subjects == ("patient-1",)
    world.sign_in.begin_totp_enrolment(token(signed_up.step.pending), source=SOURCE)


def test_where_no_second_factor_is_required_sign_up_signs_in() -> None:
    world = World(second_factor="optional")
    with pytest.raises(PasswordRefused):
        sign_up(world, code := invite(world), password="J7#kq!pZ2&vN")  # 12: too short to stand alone
    done = sign_up(world, code)
    assert world.sessions.check(session(done.step).token.reveal(), source=SOURCE).factors == ("password",)


def test_codes_have_100_bits_in_groups_and_are_not_stored(world: World) -> None:
    codes = {invite(world) for _ in range(50)}
    assert len(codes) == 50
    for code in codes:
        assert [len(group) for group in code.split("-")] == [4] * 5
        assert set(code) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")
    assert not any(code in repr(world.backing.flows._flows) for code in codes)


@pytest.mark.parametrize(
    "spell",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: f"  {code.replace('-', ' ')} ",
        lambda code: code.replace("1", "l").replace("0", "o"),
        lambda code: code.replace("1", "I").replace("0", "O"),
    ],
)
def test_codes_are_forgiving(world: World, spell: Callable[[str], str]) -> None:
    assert sign_up(world, spell(invite(world))).reference == "patient-1"


@pytest.mark.parametrize(
    "code", ["", "ABCD", "0000-0000-0000-0000-0000", "UUUU-UUUU-UUUU-UUUU-UUUU", "É" * 20, "٠" * 20, "x" * 64]
)
def test_wrong_codes_are_refused_and_counted(code: str) -> None:
    world = World(lanes=tight(invitation=2))
    for _ in range(2):
        assert refused(lambda: sign_up(world, code)) is Reason.INVITATION_INVALID
    assert world.events.last.name == Event.ACCOUNT_CREATE_REFUSED
    assert refused(lambda: sign_up(world, invite(world))) is Reason.THROTTLED
    assert world.events.last.name == Event.AUTH_THROTTLED


@pytest.mark.parametrize(
    "change",
    [
        {"code": None},
        {"code": 5},
        {"code": "x" * 65},
        {"login": None},
        {"login": "a"},
        {"password": 5},
        {"password": "x" * 2000},
    ],
)
def test_malformed_input_reaches_no_store(world: World, change: dict[str, object]) -> None:
    values: dict[str, Any] = {"code": "0000-0000-0000-0000-0000", **change}
    assert refused(lambda: sign_up(world, **values)) is Reason.MALFORMED
    assert world.calls == []


def test_an_invitation_works_once_and_for_14_days(world: World) -> None:
    used, old = invite(world), invite(world, "patient-2")
    sign_up(world, used)
    assert refused(lambda: sign_up(world, used, "kim")) is Reason.INVITATION_INVALID
    world.clock.advance(timedelta(days=14))
    assert refused(lambda: sign_up(world, old, "kim")) is Reason.INVITATION_INVALID


def test_eight_sign_ups_with_one_invitation_make_one_account(world: World) -> None:
    code = invite(world)
    results = together(8, lambda n: sign_up(world, code, f"robin{n}"))
    assert sum(isinstance(result, SignUp) for result in results) == 1
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.INVITATION_INVALID}


def test_eight_sign_ups_for_one_login_make_one_account_and_keep_the_other_invitations(world: World) -> None:
    codes = [invite(world, f"patient-{n}") for n in range(8)]
    results = together(8, lambda n: sign_up(world, codes[n]))
    winner = next(n for n in range(8) if isinstance(results[n], SignUp))
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.LOGIN_TAKEN}
    for n in range(8):
        if n != winner:
            assert sign_up(world, codes[n], f"other{n}").reference == f"patient-{n}"


def test_a_refused_password_leaves_the_invitation_usable_and_is_no_guess() -> None:
    words = {"patient-1": ("Zorbina Quell",)}
    world = World(lanes=tight(invitation=1), about=lambda account: words[account.reference or ""])
    code = invite(world)
    for password, problem in (("short", "too_short"), ("iloveyou", "common"), ("zorbina1984", "personal")):
        with pytest.raises(PasswordRefused) as refusal:
            sign_up(world, code, password=password)
        assert [found.id for found in refusal.value.problems] == [problem]
        assert world.events.last.reason is Reason.PASSWORD_REFUSED
    assert sign_up(world, code).reference == "patient-1"


def test_an_account_is_created_with_an_address_that_counts_at_once(world: World) -> None:
    account = world.accounts.create(login="robin", password=PASSWORD, email=" Robin@Mail.Example ")
    [contact] = world.contacts.of_account(account.id)
    assert (contact.address, contact.verified_at, contact.created_at) == (
        "robin@mail.example", account.created_at, account.created_at,
    )  # fmt: skip
    with pytest.raises(PasswordRefused):
        world.accounts.create(login="kim", password="zorbinaquell99", email="zorbinaquell@mail.example")
    with pytest.raises(Denied) as refusal:
        world.accounts.create(login="kim", password=PASSWORD, email="no address")
    assert refusal.value.reason is Reason.ADDRESS_REFUSED


def test_an_account_that_comes_to_nothing_leaves_no_address(world: World) -> None:
    world.account_store.failing["create"] = StoreError("down")
    with pytest.raises(StoreError):
        world.accounts.create(login="robin", password=PASSWORD, email="robin@mail.example")
    assert not world.backing.contacts.by_address("robin@mail.example")
    assert world.account_store.by_login("robin") is None


def test_the_login_itself_is_among_the_persons_words(world: World) -> None:
    with pytest.raises(PasswordRefused):
        sign_up(world, invite(world), "zorbina.quell", "zorbinaquell1")


def test_asking_who_has_an_account_costs_budget() -> None:
    world = World(lanes=tight(invitation=3))
    world.person("kim")
    code = invite(world)
    for _ in range(3):
        assert refused(lambda: sign_up(world, code, "kim")) is Reason.LOGIN_TAKEN
    assert refused(lambda: sign_up(world, code)) is Reason.THROTTLED


def test_an_invitation_finds_out_about_five_names_at_most(world: World) -> None:
    world.person("kim")
    code = invite(world)
    reasons = [refused(lambda: sign_up(world, code, "kim")) for _ in range(8)]
    assert reasons.count(Reason.LOGIN_TAKEN) == 5
    assert set(reasons[5:]) == {Reason.INVITATION_INVALID}


def test_a_taken_name_costs_the_work_of_a_free_one(world: World) -> None:
    world.person("kim")
    hashed: list[str] = []
    real = world.passwords.hash
    world.passwords.hash = lambda *args, **kwargs: (hashed.append("hash"), real(*args, **kwargs))[1]  # type: ignore[method-assign]
    costs = []
    for name in ("kim", "robin"):
        code = invite(world)
        hashed.clear()
        world.calls.clear()
        with suppress(Denied):
            sign_up(world, code, name)
        costs.append((len(hashed), world.calls[: world.calls.index("accounts.by_login")]))
    assert costs[0] == costs[1]


def test_an_invitation_that_was_edited_in_the_store_is_tampering(world: World) -> None:
    from dataclasses import replace

    code = invite(world)
    flows = world.backing.flows._flows
    ((digest, flow),) = flows.items()
    flows[digest] = replace(flow, data=flow.data.replace(b"patient-1", b"patient-2"))
    with pytest.raises(Tampered):
        sign_up(world, code)
    assert world.account_store.by_login("robin") is None


@pytest.mark.parametrize("reference", ["", "x" * 2000])
def test_an_invitation_is_for_someone(world: World, reference: str) -> None:
    with pytest.raises(ConfigurationError):
        invite(world, reference)


def test_an_invitation_that_cannot_be_recorded_does_not_exist() -> None:
    def emit(event: SecurityEvent) -> None:
        raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    with pytest.raises(AuditUnavailable):
        invite(world)
    assert world.backing.flows._flows == {}


@pytest.mark.parametrize("where", ["accounts.by_login", "accounts.create", "sessions.epoch"])
def test_a_store_that_fails_leaves_the_invitation_usable(world: World, where: str) -> None:
    code = invite(world)
    store = world.account_store if where.startswith("accounts") else world.session_store
    verb = where.partition(".")[2]
    store.failing[verb] = StoreError("locked")
    with pytest.raises(StoreError):
        sign_up(world, code)
    del store.failing[verb]
    assert sign_up(world, code).reference == "patient-1"


def test_an_account_that_cannot_be_recorded_is_not_created() -> None:
    full = True

    def emit(event: SecurityEvent) -> None:
        if full and event.name == Event.ACCOUNT_CREATED:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    code = invite(world)
    with pytest.raises(AuditUnavailable):
        sign_up(world, code)
    with pytest.raises(AuditUnavailable):
        world.accounts.create(login="kim", password=PASSWORD)
    assert world.account_store.by_login("robin") is None
    assert world.account_store.by_login("kim") is None
    full = False
    assert sign_up(world, code).reference == "patient-1"


def test_the_log_says_which_recorded_account_came_to_nothing(world: World) -> None:
    code = invite(world)
    world.account_store.failing["create"] = StoreError("locked")
    with pytest.raises(StoreError):
        sign_up(world, code)
    created, refusal = world.events[-2:]
    assert (created.name, refusal.name) == (Event.ACCOUNT_CREATED, Event.ACCOUNT_CREATE_REFUSED)
    assert created.resource == refusal.resource
    assert refusal.outcome is Outcome.ERROR


def test_a_name_taken_between_the_look_and_the_write_is_said_too(world: World) -> None:
    world.backing.accounts.create = lambda account, *, now: False
    assert refused(lambda: world.accounts.create(login="kim", password=PASSWORD)) is Reason.LOGIN_TAKEN
    created, refusal = world.events[-2:]
    assert created.resource == refusal.resource
    assert (refusal.outcome, refusal.reason) == (Outcome.DENIED, Reason.LOGIN_TAKEN)


def test_create_follows_the_policy(world: World) -> None:
    account = world.accounts.create(login="Robin", password=PASSWORD, reference="patient-1")
    assert (account.login, account.reference) == ("robin", "patient-1")
    assert world.events.last.subjects == ("patient-1",)
    assert refused(lambda: world.accounts.create(login="ROBIN", password=PASSWORD)) is Reason.LOGIN_TAKEN
    with pytest.raises(PasswordRefused):
        world.accounts.create(login="kim", password="iloveyou")
    assert refused(lambda: world.accounts.create(login=None, password=PASSWORD)) is Reason.MALFORMED


def test_disabling_ends_everything_and_enabling_brings_nothing_back(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    world.clock.advance(timedelta(seconds=60))
    pending = world.pending()
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    assert world.events.last.name == Event.ACCOUNT_DISABLED
    assert world.events.last.changed == ("disabled",)
    assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    assert refused(lambda: world.pending()) is Reason.ACCOUNT_DISABLED
    world.accounts.enable(account.id, actor=STAFF, source=SOURCE)
    assert world.events.last.name == Event.ACCOUNT_ENABLED
    code = world.code(account)
    assert refused(lambda: world.sign_in.submit_totp(pending, code, source=SOURCE)) is Reason.FLOW_UNKNOWN
    assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    world.session(account)


def test_disabling_again_finishes_what_failed_half_way(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    world.session_store.failing["end_all"] = StoreError("down")
    with pytest.raises(StoreError):
        world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    del world.session_store.failing["end_all"]
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    assert world.events.last.changed == ()


def test_unknown_accounts_cannot_be_switched(world: World) -> None:
    for switch in (world.accounts.disable, world.accounts.enable):
        assert refused(lambda s=switch: s("nobody", actor=STAFF, source=SOURCE)) is Reason.UNKNOWN_ACCOUNT


def test_events_hold_no_code_password_or_login(world: World) -> None:
    code = invite(world)
    for password in ("short", OTHER_PASSWORD):
        try:
            sign_up(world, code, "robin.ward", password)
        except PasswordRefused:
            continue
    for secret in (code, code.replace("-", ""), OTHER_PASSWORD, "robin.ward"):
        assert secret not in repr(world.events)


def test_an_invitation_finds_out_about_five_names_however_many_ask_at_once() -> None:
    world = World(second_factor="optional")
    for number in range(50):
        world.person(f"taken{number:03d}", enrolled=False)
    code = invite(world)
    world.passwords._running = threading.Semaphore(1)  # they come to the answer one by one
    results = together(
        50,
        lambda n: world.accounts.sign_up(
            invitation=code,
            login=f"taken{n:03d}",
            password=PASSWORD,
            source=Source(address=f"198.51.{n}.7"),
        ),
    )
    reasons = [result.reason for result in results if isinstance(result, Denied)]
    assert len(reasons) == 50
    assert 1 <= reasons.count(Reason.LOGIN_TAKEN) <= 5
    assert set(reasons) == {Reason.LOGIN_TAKEN, Reason.INVITATION_INVALID}


def test_rec_10_an_invited_person_chooses_no_address_but_the_one_that_staff_gave(world: World) -> None:
    plain = invite(world)
    assert refused(lambda: sign_up(world, plain, login="kim@mail.example")) is Reason.ADDRESS_REFUSED
    given = world.accounts.invite(
        "patient-2", actor=STAFF, source=SOURCE, address=" Kim@Mail.example"
    ).reveal()
    for name in ("lee@mail.example", "kim@mail", "kim\uff20mail.example.org"):
        assert refused(lambda name=name: sign_up(world, given, login=name)) is Reason.ADDRESS_REFUSED
    made = sign_up(world, given, login="KIM@mail.example")
    account = world.account_store.get(made.account_id)
    assert account is not None
    assert (account.login, account.reference) == ("kim@mail.example", "patient-2")
    assert sign_up(world, plain, login="lee").reference == "patient-1"
    assert world.contact_store.of_account(made.account_id) == ()


def test_an_invitation_is_made_with_an_address_or_with_none(world: World) -> None:
    for address in ("kim", "kim@mail", 5, ""):
        work = lambda address=address: world.accounts.invite(  # noqa: E731
            "patient-2", actor=STAFF, source=SOURCE, address=address
        )
        assert refused(work) is Reason.ADDRESS_REFUSED
    given = world.accounts.invite("patient-2", actor=STAFF, source=SOURCE, address="kim@mail.example")
    assert given.reveal()
    assert all(b"kim@mail" not in flow.data for flow in world.backing.flows._flows.values())


def disabled_notices(world: World, account_id: str) -> int:
    return sum(each.kind == NoticeKind.ACCOUNT_DISABLED for each in world.notices.of_account(account_id))


@pytest.mark.parametrize(
    "broken", ["session_store.end_all", "device_store.revoke_all", "notice_store.put", "log"]
)
def test_the_owner_is_told_of_a_disabling_that_failed_half_way_and_was_repeated(broken: str) -> None:
    world, down = World(), []

    def emit(event: SecurityEvent) -> None:
        if down and event.name == Event.ACCOUNT_DISABLED:
            raise AuditUnavailable("down")
        world.events(event)

    world.emit = emit
    world.wire()
    account = world.person()
    opened = world.session(account).token.reveal()
    where, _, verb = broken.partition(".")
    if broken == "log":
        down.append(broken)
    else:
        getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    if broken != "session_store.end_all":
        assert refused(lambda: world.sessions.check(opened, source=SOURCE)) is Reason.SESSION_UNKNOWN
    down.clear()
    if broken != "log":
        getattr(world, where).failing.clear()
    for _ in range(2):
        world.clock.advance(timedelta(minutes=5))
        world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    assert disabled_notices(world, account.id) == 1
    assert world.events.named(Event.ACCOUNT_DISABLED)
    assert world.account_store.get(account.id).disabled
    # And of the next time as well.
    world.accounts.enable(account.id, actor=STAFF, source=SOURCE)
    world.clock.advance(timedelta(minutes=5))
    world.session(account)
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    assert disabled_notices(world, account.id) == 2


def test_an_enabling_that_cannot_be_recorded_does_not_happen() -> None:
    world, down = World(), []

    def emit(event: SecurityEvent) -> None:
        if down:
            raise AuditUnavailable("down")
        world.events(event)

    world.emit = emit
    world.wire()
    account = world.person()
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    down.append(1)
    with pytest.raises(AuditUnavailable):
        world.accounts.enable(account.id, actor=STAFF, source=SOURCE)
    assert world.account_store.get(account.id).disabled
    down.clear()
    world.accounts.enable(account.id, actor=STAFF, source=SOURCE)
    assert not world.account_store.get(account.id).disabled
    (record,) = world.events.named(Event.ACCOUNT_ENABLED)
    assert record.changed == ("disabled",)


def test_the_log_says_which_recorded_enabling_came_to_nothing(world: World) -> None:
    account = world.person()
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    world.account_store.failing["set_disabled"] = StoreError("down")
    with pytest.raises(StoreError):
        world.accounts.enable(account.id, actor=STAFF, source=SOURCE)
    first, second = world.events.named(Event.ACCOUNT_ENABLED)
    assert (first.outcome, second.outcome) == (Outcome.SUCCESS, Outcome.ERROR)
