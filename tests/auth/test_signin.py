from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from portalsec._encoding import new_token
from portalsec.auth.evidence import Factor, mint
from portalsec.auth.passwords import Argon2Parameters
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy, Step
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent
from portalsec.secret import Secret
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, code_of, session, tight, together, token

ADMIN = Actor(type="user", id="admin")


@pytest.fixture
def world() -> World:
    return World()


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(Denied) as refusal:
        work()
    return refusal.value.reason


def start(world: World, login: object = "robin", password: object = PASSWORD, **kwargs: Any) -> Step:
    return world.sign_in.start(login, password, source=SOURCE, **kwargs)


def sessions_of(world: World, account: Account) -> int:
    return len(world.backing.sessions.of_account(account.id))


# -- the way in ---------------------------------------------------------------------------------------------------


def test_password_and_code_open_a_session(world: World) -> None:
    account = world.person()
    step = start(world, "  ROBIN ")
    assert (step.next, step.session) == (("totp",), None)
    done = world.sign_in.submit_totp(token(step.pending), world.code(account), source=SOURCE)
    assert (done.next, done.pending) == ((), None)
    active = world.sessions.check(session(done).token.reveal(), source=SOURCE)
    assert (active.account_id, active.factors) == (account.id, ("password", "totp"))
    assert world.events.names == [
        Event.ACCOUNT_CREATED,
        Event.AUTH_PASSWORD_VERIFIED,
        Event.AUTH_LOGIN,
        Event.AUTH_DEVICE_ADDED,
    ]
    (signed_in,) = world.events.named(Event.AUTH_LOGIN)
    assert signed_in.session == active.reference
    assert signed_in.actor == Actor(type="user", id=account.id)
    assert world.account_store.get(account.id).signed_in_at == world.clock()


def test_an_account_without_a_factor_enrols_at_the_door(world: World) -> None:
    account = world.person(enrolled=False)
    step = start(world)
    assert step.next == ("totp_enrolment",)
    pending = token(step.pending)
    enrolment = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    assert "robin" in enrolment.uri.reveal()
    code = code_of(enrolment.secret.reveal(), world.clock())
    done = world.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE)
    assert world.sessions.check(session(done).token.reveal(), source=SOURCE).account_id == account.id
    assert world.totp.enrolled(account.id)
    assert world.events.names[-3:] == [
        Event.AUTH_MFA_ENROLLED,
        Event.AUTH_LOGIN,
        Event.AUTH_DEVICE_ADDED,
    ]


def test_an_optional_second_factor_is_asked_of_those_who_have_one() -> None:
    world = World(second_factor="optional")
    world.accounts.create(login="plain", password=PASSWORD)
    world.person("robin")
    plain = start(world, "plain")
    assert world.sessions.check(session(plain).token.reveal(), source=SOURCE).factors == ("password",)
    assert start(world).next == ("totp",)


def test_a_pending_token_is_no_session(world: World) -> None:
    world.person()
    pending = world.pending()
    assert refused(lambda: world.sessions.check(pending, source=SOURCE)) is Reason.SESSION_UNKNOWN


# -- refusals at the first step -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "password"),
    [
        (None, PASSWORD),
        (5, PASSWORD),
        ("", PASSWORD),
        ("ab", PASSWORD),
        ("robin", None),
        ("robin", 5),
        ("robin", ""),
        ("robin", "x" * 2000),
        ("ro\x00bin", PASSWORD),
    ],
)
def test_malformed_input_is_refused_before_any_store(world: World, login: object, password: object) -> None:
    world.person()
    world.calls.clear()
    assert refused(lambda: start(world, login, password)) is Reason.MALFORMED
    assert world.calls == []
    assert world.events.last.name == Event.SYSTEM_REQUEST_REFUSED


def test_each_refusal_has_its_reason_in_the_log(world: World) -> None:
    robin, kim = world.person("robin"), world.person("kim")
    world.accounts.disable(kim.id, actor=ADMIN, source=SOURCE)
    world.account_store.create(
        Account(id="passkey-only", login="quinn", password_hash=None), now=world.clock()
    )
    for login, password, reason, account_id in (
        ("robin", OTHER_PASSWORD, Reason.WRONG_PASSWORD, robin.id),
        ("nobody", PASSWORD, Reason.UNKNOWN_ACCOUNT, None),
        ("kim", PASSWORD, Reason.ACCOUNT_DISABLED, kim.id),
        ("kim", OTHER_PASSWORD, Reason.WRONG_PASSWORD, kim.id),
        ("quinn", PASSWORD, Reason.FACTOR_NOT_ENROLLED, "passkey-only"),
    ):
        assert refused(lambda login=login, password=password: start(world, login, password)) is reason
        event = world.events.last
        assert (event.name, event.reason, event.outcome) == (Event.AUTH_LOGIN_FAILED, reason, Outcome.DENIED)
        assert (event.resource.id if event.resource else None) == account_id


def test_names_typed_by_strangers_are_in_events_as_references_only(world: World) -> None:
    world.person()
    for login in ("robin", "my-password-typed-into-the-wrong-field"):
        refused(lambda login=login: start(world, login, OTHER_PASSWORD))
        assert login not in repr(world.events)
        assert len(str(world.events.last.details["login"])) == 32
    references = {event.details["login"] for event in world.events.named(Event.AUTH_LOGIN_FAILED)}
    assert len(references) == 2


def test_a_used_up_address_costs_no_look_at_the_account(world: World) -> None:
    world = World(lanes=tight(address=1))
    world.person()
    refused(lambda: start(world, password=OTHER_PASSWORD))
    world.calls.clear()
    assert refused(lambda: start(world)) is Reason.THROTTLED
    assert {call.partition(".")[0] for call in world.calls} == {"throttle"}
    event = world.events.last
    assert (event.name, event.details["kind"]) == (Event.AUTH_THROTTLED, "password")


def test_a_locked_name_is_refused_as_a_wrong_password_is(world: World) -> None:
    world = World(lanes=tight(account=1))
    account = world.person()
    for password, reason in (
        (OTHER_PASSWORD, Reason.WRONG_PASSWORD),
        (OTHER_PASSWORD, Reason.ACCOUNT_LOCKED),
        (PASSWORD, Reason.ACCOUNT_LOCKED),
    ):
        with pytest.raises(Denied) as refusal:
            start(world, password=password)
        assert (refusal.value.reason, refusal.value.retry_after) == (reason, None)
        assert (world.events.last.name, world.events.last.reason) == (Event.AUTH_LOGIN_FAILED, reason)
        assert world.events.last.resource == ResourceRef(type="account", id=account.id)
    assert world.watch.told == [("locked", account.id)]


def test_a_damaged_hash_is_recorded_and_refused() -> None:
    world = World(lanes=tight(account=2))
    world.account_store.create(Account(id="x", login="robin", password_hash=""), now=world.clock())
    for _ in range(2):
        assert refused(lambda: start(world)) is Reason.FACTOR_NOT_ENROLLED
        assert world.events.last.name == Event.SYSTEM_CONTROL_FAILED
        assert world.events.last.resource == ResourceRef(type="account", id="x")
    assert refused(lambda: start(world)) is Reason.ACCOUNT_LOCKED


# -- pending sign-ins ---------------------------------------------------------------------------------------------


def test_a_pending_sign_in_dies_of_age(world: World) -> None:
    account = world.person()
    pending = world.pending()
    world.clock.advance(timedelta(minutes=10))
    assert (
        refused(lambda: world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))
        is Reason.FLOW_UNKNOWN
    )


def test_a_pending_sign_in_dies_of_use(world: World) -> None:
    account = world.person()
    pending = world.pending()
    world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    world.clock.advance(timedelta(seconds=30))
    assert (
        refused(lambda: world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))
        is Reason.FLOW_UNKNOWN
    )


def test_a_pending_sign_in_dies_of_abort_and_of_its_successor(world: World) -> None:
    account = world.person()
    for end in (
        lambda pending: world.sign_in.abort(pending),
        lambda pending: start(world, replaces=pending),
        lambda pending: refused(lambda: start(world, "nobody", replaces=pending)),
        lambda pending: world.sign_in.logout(None, source=SOURCE, pending=pending),
    ):
        pending = world.pending()
        end(pending)
        assert (
            refused(lambda p=pending: world.sign_in.submit_totp(p, world.code(account), source=SOURCE))
            is Reason.FLOW_UNKNOWN
        )
    for nonsense in (None, "", "x", 5, new_token()):
        world.sign_in.abort(nonsense)


@pytest.mark.parametrize("pending", [None, "", "x", 5, ["a"], b"x" * 43, new_token()], ids=count())
def test_unknown_pending_tokens_are_refused(world: World, pending: object) -> None:
    world.person()
    for step in (
        lambda: world.sign_in.submit_totp(pending, "123456", source=SOURCE),
        lambda: world.sign_in.begin_totp_enrolment(pending, source=SOURCE),
        lambda: world.sign_in.confirm_totp_enrolment(pending, "123456", source=SOURCE),
    ):
        assert refused(step) is Reason.FLOW_UNKNOWN
        assert world.events.last.reason is Reason.FLOW_UNKNOWN


def test_a_pending_sign_in_of_one_state_is_unknown_in_the_other(world: World) -> None:
    robin = world.person("robin")
    world.person("kim", enrolled=False)
    for pending, step in (
        (world.pending("robin"), lambda pending: world.sign_in.begin_totp_enrolment(pending, source=SOURCE)),
        (
            world.pending("robin"),
            lambda pending: world.sign_in.confirm_totp_enrolment(pending, world.code(robin), source=SOURCE),
        ),
        (
            world.pending("kim"),
            lambda pending: world.sign_in.submit_totp(pending, world.code(robin), source=SOURCE),
        ),
    ):
        assert refused(lambda s=step, p=pending: s(p)) is Reason.FLOW_UNKNOWN


def test_malformed_codes_count_no_attempt(world: World) -> None:
    account = world.person()
    pending = world.pending()
    for code in (None, 123456, "12345", "x" * 10_000, ["123456"]):
        assert (
            refused(lambda c=code: world.sign_in.submit_totp(pending, c, source=SOURCE)) is Reason.MALFORMED
        )
    session(world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))


def test_a_disabled_account_loses_its_pending_sign_in(world: World) -> None:
    account = world.person()
    pending = world.pending()
    world.backing.accounts.set_disabled(account.id, True)  # without the service, which drops flows itself
    for reason in (Reason.ACCOUNT_DISABLED, Reason.FLOW_UNKNOWN):
        assert (
            refused(lambda: world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)) is reason
        )


def test_two_right_codes_at_once_on_one_pending_sign_in_open_one_session(world: World) -> None:
    account = world.person()
    pending = world.pending()
    codes = [world.code(account), world.code(account, steps=1)]
    results = together(2, lambda n: world.sign_in.submit_totp(pending, codes[n], source=SOURCE))
    assert sum(isinstance(result, Step) for result in results) == 1
    assert sessions_of(world, account) == 1


def test_a_forged_or_moved_flow_is_tampering(world: World) -> None:
    from dataclasses import replace

    world.person("robin")
    kim = world.person("kim")
    pending = world.pending("robin")
    flows = world.backing.flows._flows
    ((digest, flow),) = flows.items()
    flows[digest] = replace(flow, account_id=kim.id)  # whoever writes to the store aims it at another account
    with pytest.raises(Tampered):
        world.sign_in.submit_totp(pending, world.code(kim), source=SOURCE)
    assert sessions_of(world, kim) == 0


# -- enrolment at the door ----------------------------------------------------------------------------------------


def test_enrolment_cannot_begin_without_end(world: World) -> None:
    world.person(enrolled=False)
    pending = world.pending()
    for _ in range(10):
        world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    assert (
        refused(lambda: world.sign_in.begin_totp_enrolment(pending, source=SOURCE)) is Reason.FLOW_EXHAUSTED
    )
    assert refused(lambda: world.sign_in.begin_totp_enrolment(pending, source=SOURCE)) is Reason.FLOW_UNKNOWN


def test_beginning_again_does_not_bring_attempts_back(world: World) -> None:
    world.person(enrolled=False)
    pending = world.pending()
    for attempt in range(5):
        world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
        reason = refused(lambda: world.sign_in.confirm_totp_enrolment(pending, "000000", source=SOURCE))
        assert reason is (Reason.FLOW_EXHAUSTED if attempt == 4 else Reason.WRONG_CODE)


def test_confirming_before_beginning(world: World) -> None:
    world.person(enrolled=False)
    pending = world.pending()
    assert (
        refused(lambda: world.sign_in.confirm_totp_enrolment(pending, "123456", source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )


def test_a_sign_in_confirms_only_the_device_that_it_began(world: World) -> None:
    world.person(enrolled=False)
    mine, other = world.pending(), world.pending()
    world.sign_in.begin_totp_enrolment(mine, source=SOURCE)
    theirs = world.sign_in.begin_totp_enrolment(other, source=SOURCE)
    code = code_of(theirs.secret.reveal(), world.clock())
    assert (
        refused(lambda: world.sign_in.confirm_totp_enrolment(mine, code, source=SOURCE))
        is Reason.FACTOR_NOT_ENROLLED
    )
    session(world.sign_in.confirm_totp_enrolment(other, code, source=SOURCE))


def test_a_password_alone_never_adds_a_second_authenticator(world: World) -> None:
    account = world.person(enrolled=False)
    early = world.pending()  # the thief has the password before the owner enrols
    world.enrol(account)
    assert (
        refused(lambda: world.sign_in.begin_totp_enrolment(early, source=SOURCE))
        is Reason.FACTOR_ALREADY_ENROLLED
    )
    assert len(world.backing.totp.devices(account.id)) == 1


def test_enrolment_by_a_thief_who_began_first_is_refused_after_the_owners(world: World) -> None:
    account = world.person(enrolled=False)
    thief, owner = world.pending(), world.pending()
    stolen = world.sign_in.begin_totp_enrolment(thief, source=SOURCE)
    mine = world.sign_in.begin_totp_enrolment(owner, source=SOURCE)
    session(
        world.sign_in.confirm_totp_enrolment(
            owner, code_of(mine.secret.reveal(), world.clock()), source=SOURCE
        )
    )
    code = code_of(stolen.secret.reveal(), world.clock())
    assert (
        refused(lambda: world.sign_in.confirm_totp_enrolment(thief, code, source=SOURCE))
        is Reason.FLOW_UNKNOWN
    )
    assert sessions_of(world, account) == 1


def test_an_authenticator_confirmed_while_another_was_begun_wins(world: World) -> None:
    """The thief's `begin` asked "enrolled?" just before the owner's confirmation and stored its device just after."""
    account = world.person(enrolled=False)
    thief = world.pending()
    stolen = world.sign_in.begin_totp_enrolment(thief, source=SOURCE)
    (device,) = world.backing.totp.devices(account.id)
    world.enrol(account)
    world.backing.totp.add(device)
    code = code_of(stolen.secret.reveal(), world.clock())
    assert (
        refused(lambda: world.sign_in.confirm_totp_enrolment(thief, code, source=SOURCE))
        is Reason.FACTOR_ALREADY_ENROLLED
    )
    assert sorted(device.confirmed for device in world.backing.totp.devices(account.id)) == [False, True]


def test_the_last_wrong_code_takes_the_pending_sign_in_with_it(world: World) -> None:
    account = world.person()
    pending = world.pending()
    for left in (True, True, True, True, False):
        refused(lambda: world.sign_in.submit_totp(pending, world.wrong_code(account), source=SOURCE))
        assert bool(world.backing.flows._flows) is left


def test_enrolment_that_races_with_end_all_opens_nothing(world: World) -> None:
    account = world.person(enrolled=False)
    pending = world.pending()
    enrolment = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    world.sessions.end_all(account.id, source=SOURCE, actor=ADMIN)
    code = code_of(enrolment.secret.reveal(), world.clock())
    assert (
        refused(lambda: world.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE))
        is Reason.SESSION_REVOKED
    )
    assert sessions_of(world, account) == 0


# -- the door -----------------------------------------------------------------------------------------------------


def test_the_door_asks_for_everything_again(world: World) -> None:
    robin, kim = world.person("robin"), world.person("kim")
    now = world.clock()
    password = mint(Factor.PASSWORD, robin.id, now, epoch=0)
    code = mint(Factor.TOTP, robin.id, now)
    cases: list[tuple[str, list[Any], Reason]] = [
        (robin.id, [], Reason.EVIDENCE_MISSING),
        (robin.id, [password], Reason.EVIDENCE_MISSING),
        (robin.id, [code], Reason.EVIDENCE_MISSING),
        (robin.id, [mint(Factor.PASSWORD, robin.id, now), code], Reason.EVIDENCE_MISSING),
        (robin.id, [password, password], Reason.EVIDENCE_MIXED),
        (robin.id, [password, code, code], Reason.EVIDENCE_MIXED),
        (robin.id, [password, mint(Factor.TOTP, kim.id, now)], Reason.EVIDENCE_MIXED),
        (kim.id, [password, code], Reason.EVIDENCE_MIXED),
        (
            robin.id,
            [mint(Factor.PASSWORD, robin.id, now - timedelta(minutes=10), epoch=0), code],
            Reason.EVIDENCE_STALE,
        ),
        (
            robin.id,
            [password, mint(Factor.TOTP, robin.id, now + timedelta(minutes=1))],
            Reason.EVIDENCE_STALE,
        ),
        (
            "gone",
            [mint(Factor.PASSWORD, "gone", now, epoch=0), mint(Factor.TOTP, "gone", now)],
            Reason.UNKNOWN_ACCOUNT,
        ),
        (robin.id, [mint(Factor.PASSWORD, robin.id, now, epoch=7), code], Reason.SESSION_REVOKED),
    ]
    for account_id, evidence, reason in cases:
        assert refused(lambda a=account_id, e=evidence: world.sign_in.login(a, e, source=SOURCE)) is reason
        assert (world.events.last.name, world.events.last.reason) == (Event.AUTH_LOGIN_FAILED, reason)
    assert "sessions.create" not in world.calls[:-1]
    assert world.sign_in.login(robin.id, [password, code], source=SOURCE).account_id == robin.id


def test_what_only_looks_like_evidence_is_a_mistake_in_the_code(world: World) -> None:
    account = world.person()

    class Lookalike:
        factor, account_id, epoch = Factor.TOTP, account.id, 0
        at = world.clock()

    with pytest.raises(TypeError):
        world.sign_in.login(account.id, [Lookalike()], source=SOURCE)


def test_a_disabled_account_is_refused_at_the_door(world: World) -> None:
    account = world.person()
    evidence = [
        mint(Factor.PASSWORD, account.id, world.clock(), epoch=0),
        mint(Factor.TOTP, account.id, world.clock()),
    ]
    world.accounts.disable(account.id, actor=ADMIN, source=SOURCE)
    assert (
        refused(lambda: world.sign_in.login(account.id, evidence, source=SOURCE)) is Reason.ACCOUNT_DISABLED
    )


def test_an_optional_factor_that_was_enrolled_meanwhile_is_asked_for() -> None:
    world = World(second_factor="optional")
    account = world.accounts.create(login="robin", password=PASSWORD)
    evidence = [mint(Factor.PASSWORD, account.id, world.clock(), epoch=0)]
    world.enrol(account)
    assert (
        refused(lambda: world.sign_in.login(account.id, evidence, source=SOURCE)) is Reason.EVIDENCE_MISSING
    )


def test_sessions_ended_since_the_password_stay_ended(world: World) -> None:
    account = world.person()
    pending = world.pending()
    world.sessions.end_all(account.id, source=SOURCE, actor=ADMIN)
    assert (
        refused(lambda: world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))
        is Reason.SESSION_REVOKED
    )
    assert sessions_of(world, account) == 0


def test_a_password_changed_while_the_old_one_is_checked_opens_nothing(world: World) -> None:
    """The epoch is read before the hash, so that the change's new epoch refuses the session."""
    account = world.person()
    real = world.backing.accounts.get
    changed = False

    def get(account_id: str) -> Account | None:
        nonlocal changed
        found: Account | None = real(account_id)
        if not changed:
            changed = True  # the owner changes the password right after this read
            world.backing.sessions.end_all(account.id)
        return found

    world.backing.accounts.get = get
    pending = world.pending()
    assert (
        refused(lambda: world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))
        is Reason.SESSION_REVOKED
    )


def test_a_full_sign_in_heals_the_accounts_budgets() -> None:
    world = World(lanes=tight(account=3, second_factor=3))
    account = world.person()
    for _ in range(3):
        for _ in range(2):
            refused(lambda: start(world, password=OTHER_PASSWORD))
        pending = world.pending()
        for _ in range(2):
            refused(lambda p=pending: world.sign_in.submit_totp(p, world.wrong_code(account), source=SOURCE))
        session(world.sign_in.submit_totp(pending, world.code(account), source=SOURCE))
        world.clock.advance(timedelta(seconds=60))


# -- rehash -------------------------------------------------------------------------------------------------------


def test_new_parameters_rehash_at_the_next_sign_in(world: World) -> None:
    account = world.person()
    world.parameters = Argon2Parameters(time_cost=5, memory_kib=7168, parallelism=1)
    world.wire()
    world.pending()
    stored = world.account_store.get(account.id).password_hash
    assert stored.startswith("$ps1$nfc,b$argon2id$v=19$m=7168,t=5,p=1$")
    assert world.events.named(Event.AUTH_PASSWORD_REHASHED)
    world.events.clear()
    world.pending()
    assert not world.events.named(Event.AUTH_PASSWORD_REHASHED)


def test_a_rehash_never_overwrites_a_newer_password(world: World) -> None:
    account = world.person()
    newer = world.passwords.hash(OTHER_PASSWORD, account_id=account.id)
    world.parameters = Argon2Parameters(time_cost=5, memory_kib=7168, parallelism=1)
    world.wire()
    real = world.passwords.hash

    def hash_slowly(password: object, *, account_id: str) -> str:
        world.backing.accounts.set_password(account.id, newer, expected=account.password_hash)
        return real(password, account_id=account_id)

    world.passwords.hash = hash_slowly
    world.pending()
    assert world.account_store.get(account.id).password_hash == newer
    assert not world.events.named(Event.AUTH_PASSWORD_REHASHED)


# -- plumbing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "throttle.take", "accounts.by_login", "sessions.epoch", "accounts.get", "throttle.give_back", "totp.devices",
        "flows.put", "flows.attempt", "totp.advance", "flows.consume", "sessions.create", "throttle.clear",
    ],
)  # fmt: skip
def test_a_store_that_fails_anywhere_leaves_no_session(world: World, where: str) -> None:
    account = world.person()
    name, _, verb = where.partition(".")
    store = {
        "throttle": world.throttle_store,
        "accounts": world.account_store,
        "sessions": world.session_store,
        "totp": world.totp_store,
        "flows": world.flow_store,
    }[name]
    store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.session(account)
    assert sessions_of(world, account) == 0
    del store.failing[verb]
    world.clock.advance(timedelta(seconds=60))
    session(world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE))


@pytest.mark.parametrize("verb", ["by_login", "get"])
def test_a_store_that_fails_before_the_password_is_not_the_visitors_failure(verb: str) -> None:
    world = World(lanes=tight(account=1))
    world.person()
    world.account_store.failing[verb] = StoreError("down")
    for _ in range(3):
        with pytest.raises(StoreError):
            world.pending()
    del world.account_store.failing[verb]
    world.pending()


@pytest.mark.parametrize("name", [Event.AUTH_PASSWORD_VERIFIED, Event.AUTH_LOGIN])
def test_a_sign_in_that_cannot_be_recorded_does_not_happen(name: str) -> None:
    def emit(event: SecurityEvent) -> None:
        if event.name == name:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    account = world.person()
    with pytest.raises(AuditUnavailable):
        world.session(account)
    assert sessions_of(world, account) == 0


def test_a_failure_that_cannot_be_recorded_is_raised() -> None:
    def emit(event: SecurityEvent) -> None:
        if event.name == Event.AUTH_LOGIN_FAILED:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    world.person()
    with pytest.raises(AuditUnavailable):
        start(world, password=OTHER_PASSWORD)


def test_an_authenticator_that_cannot_be_recorded_is_void() -> None:
    full = True

    def emit(event: SecurityEvent) -> None:
        if full and event.name == Event.AUTH_MFA_ENROLLED:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    account = world.person(enrolled=False)
    pending = world.pending()
    enrolment = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    code = code_of(enrolment.secret.reveal(), world.clock())
    with pytest.raises(AuditUnavailable):
        world.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE)
    assert not world.totp.enrolled(account.id)
    assert sessions_of(world, account) == 0
    full = False
    with pytest.raises(Denied) as over:  # half a sign-in does not outlive the error
        world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    assert over.value.reason is Reason.FLOW_UNKNOWN
    pending = world.pending()
    enrolment = world.sign_in.begin_totp_enrolment(pending, source=SOURCE)
    code = code_of(enrolment.secret.reveal(), world.clock())
    session(world.sign_in.confirm_totp_enrolment(pending, code, source=SOURCE))


# -- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"second_factor": "maybe"},
        {"pending_lifetime": timedelta(seconds=1)},
        {"pending_lifetime": timedelta(days=1)},
        {"pending_attempts": 0},
        {"evidence_lifetime": timedelta(0)},
    ],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="SignInPolicy"):
        SignInPolicy(**change)


def test_a_step_is_one_thing_or_the_other() -> None:
    for values in (
        {"next": ()},
        {"next": ("totp",)},
        {"next": (), "pending": Secret("x")},
    ):
        with pytest.raises(ConfigurationError):
            Step(**values)


def test_logout_ends_the_session_and_unknown_tokens_are_no_error(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    for value in (opened, opened, None, "x", 7):
        world.sign_in.logout(value, source=SOURCE)
    assert world.events.names.count(Event.AUTH_LOGOUT) == 1
    assert world.events.last.actor == Actor(type="user", id=account.id)
    assert sessions_of(world, account) == 0
