from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta

import pytest

from portalsec.auth.password_change import SignInAgain
from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.auth.sessions import NewSession
from portalsec.auth.signin import SignInPolicy, Step
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, SecurityEvent
from tests.auth.mail import active, alive, refused, reset_token, signed_in, told, with_address
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, together, token

STAFF = Actor(type="user", id="staff-1")
THIRD_PASSWORD = "copper umbrella violin meadow"


@pytest.fixture
def world() -> World:
    return World()


def forced(world: World, login: str = "robin") -> str:
    """The pending token of a sign-in that must choose a new password."""
    world.clock.advance(timedelta(seconds=60))
    account = world.account_store.by_login(login)
    step = world.sign_in.submit_totp(world.pending(login), world.code(account), source=SOURCE)
    assert step.next == ("new_password",)
    assert step.session is None
    return token(step.pending)


# -- by the owner -------------------------------------------------------------------------------------------------


def test_atk_14_of_three_sessions_two_die_and_the_one_that_changed_it_goes_on(world: World) -> None:
    account = world.person()
    mine, *others = [signed_in(world, account) for _ in range(3)]
    pending = world.pending()
    new = world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert not any(alive(world, each) for each in (mine, *others))
    again = active(world, new)
    assert (again.account_id, again.created_at, again.factors) == (
        account.id,
        mine.created_at,
        ("password", "totp"),
    )
    assert [record.digest for record in world.sessions.of_account(account.id)] == [again.digest]
    code = world.code(account)
    assert refused(lambda: world.sign_in.submit_totp(pending, code, source=SOURCE)) is Reason.FLOW_UNKNOWN
    assert refused(lambda: world.pending(password=PASSWORD)) is Reason.WRONG_PASSWORD
    signed_in(world, account, password=OTHER_PASSWORD)
    assert told(world, account).count("password_changed") == 1
    changed = world.events.named(Event.AUTH_PASSWORD_CHANGED)
    assert [event.session for event in changed] == [mine.reference]


def test_ses_12_atk_12_the_old_id_is_dead_at_once(world: World) -> None:
    account = world.person()
    opened = world.session(account)
    mine = active(world, opened)
    world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert (
        refused(lambda: world.sessions.check(opened.token.reveal(), source=SOURCE)) is Reason.SESSION_UNKNOWN
    )


def test_pwd_09_no_password_is_set_without_the_current_one(world: World) -> None:
    account = world.person()
    mine = signed_in(world, account)
    for wrong in (OTHER_PASSWORD, PASSWORD + " ", PASSWORD.upper()):
        change = lambda wrong=wrong: world.password_change.change(  # noqa: E731
            mine, current=wrong, new=OTHER_PASSWORD, source=SOURCE
        )
        assert refused(change) is Reason.WRONG_PASSWORD
    for malformed in ("", None, 5):
        change = lambda wrong=malformed: world.password_change.change(  # noqa: E731
            mine, current=wrong, new=OTHER_PASSWORD, source=SOURCE
        )
        assert refused(change) is Reason.MALFORMED
    assert alive(world, mine)
    assert world.events.last.outcome == "denied"
    # An account without one gets its first by mail, never from an open session.
    world.backing.accounts.set_password(account.id, None, expected=account.password_hash)
    change = lambda: world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)  # noqa: E731
    assert refused(change) is Reason.FACTOR_NOT_ENROLLED


def test_guesses_at_the_current_password_have_a_budget_of_their_own(world: World) -> None:
    mine = signed_in(world, world.person())
    tested = 0
    for number in range(30):
        world.calls.clear()
        try:
            world.password_change.change(mine, current=f"wrong {number}", new=OTHER_PASSWORD, source=SOURCE)
        except Denied as refusal:
            tested += refusal.reason is Reason.WRONG_PASSWORD
    assert 1 <= tested <= 10
    with pytest.raises(Denied):  # the right one is not looked at any more
        world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert alive(world, mine)


def test_a_right_current_password_costs_no_budget(world: World) -> None:
    mine = signed_in(world, world.person())
    for _ in range(60):
        world.current.verify(mine, PASSWORD, source=SOURCE)


def test_pwd_08_a_change_goes_through_every_check(world: World) -> None:
    mine = signed_in(world, world.person())
    for password, problem in ((PASSWORD, "same"), ("iloveyou", "common"), ("short", "too_short")):
        with pytest.raises(PasswordRefused) as refusal:
            world.password_change.change(mine, current=PASSWORD, new=password, source=SOURCE)
        assert [found.id for found in refusal.value.problems] == [problem]
    assert alive(world, mine)


def test_eight_changes_at_once_make_one_password_and_one_session(world: World) -> None:
    account = world.person()
    sessions = [signed_in(world, account) for _ in range(8)]
    words = [f"lantern {number} orbit velvet cactus" for number in range(8)]
    results = together(
        8, lambda n: world.password_change.change(sessions[n], current=PASSWORD, new=words[n], source=SOURCE)
    )
    stored = world.account_store.get(account.id).password_hash
    winners = [n for n in range(8) if isinstance(results[n], NewSession)]
    assert len(winners) <= 1
    assert all(isinstance(result, NewSession | Denied) for result in results), results
    assert len(world.sessions.of_account(account.id)) <= 1
    right = [n for n in range(8) if _matches(world, stored, words[n], account.id)]
    assert winners == [] or winners == right


def _matches(world: World, stored: str, password: str, account_id: str) -> bool:
    try:
        world.passwords.verify(stored, password, account_id=account_id)
    except Denied:
        return False
    return True


def test_rec_04_a_changed_password_kills_links(world: World) -> None:
    account = world.person()
    with_address(world, account)
    mailed = reset_token(world)
    mine = signed_in(world, account)
    world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID


def test_a_session_that_somebody_ended_meanwhile_changes_nothing(world: World) -> None:
    account = world.person()
    mine = signed_in(world, account)
    world.sessions.end_all(account.id, source=SOURCE, actor=STAFF)
    change = lambda: world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)  # noqa: E731
    assert refused(change) is Reason.SESSION_REVOKED
    world.pending(password=PASSWORD)
    assert world.events.named(Event.AUTH_PASSWORD_CHANGED)[-1].reason is Reason.SESSION_REVOKED


@pytest.mark.parametrize(
    "broken",
    [
        "throttle_store.take",
        "account_store.get",
        "history_store.of_account",
        "session_store.load",
        "session_store.end",
        "session_store.end_all",
        "session_store.create",
        "flow_store.drop_account",
        "link_store.drop_account",
        "notice_store.put",
        "account_store.set_password",
    ],
)
def test_atk_41_a_change_that_any_store_stops_leaves_one_password_and_no_strangers_session(
    world: World, broken: str
) -> None:
    account = world.person()
    mine, other = signed_in(world, account), signed_in(world, account)
    where, _, verb = broken.partition(".")
    store = getattr(world, where)
    store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    del store.failing[verb]
    assert world.account_store.get(account.id).password_hash == account.password_hash
    again = signed_in(world, account)
    world.password_change.change(again, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    assert not alive(world, mine)
    assert not alive(world, other)


def test_atk_41_where_only_the_last_step_fails_the_password_is_new_and_strangers_are_out(
    world: World,
) -> None:
    account = world.person()
    mine, other = signed_in(world, account), signed_in(world, account)
    real = world.backing.accounts.set_password

    def then_fail(*args: object, **kwargs: object) -> bool:
        world.session_store.failing["end_all"] = StoreError("down")
        return bool(real(*args, **kwargs))

    world.backing.accounts.set_password = then_fail
    with pytest.raises(StoreError):
        world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    del world.session_store.failing["end_all"]
    assert not alive(world, mine)
    assert not alive(world, other)
    assert "password_changed" in told(world, account)
    world.backing.accounts.set_password = real
    signed_in(world, account, password=OTHER_PASSWORD)


# -- because it is asked for --------------------------------------------------------------------------------------


def test_a_forced_change_comes_after_all_factors_and_before_the_session(world: World) -> None:
    account = world.person()
    elsewhere = signed_in(world, account)
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    assert world.events.last.details == {"why": "breached"}
    assert world.events.last.actor == STAFF
    assert told(world, account).count("password_required") == 1
    pending = forced(world)
    assert not alive(world, elsewhere) or world.sessions.of_account(account.id)
    step = world.password_change.submit_forced(pending, OTHER_PASSWORD, source=SOURCE)
    opened = active(world, session(step))
    assert opened.factors == ("password", "totp")
    assert not alive(world, elsewhere)
    assert world.account_store.get(account.id).must_change is None
    signed_in(world, account, password=OTHER_PASSWORD)


@pytest.mark.parametrize(("reason", "back"), [("breached", False), ("temporary", False), ("expired", True)])
def test_a_password_that_others_may_know_never_comes_back_and_an_old_one_may(
    world: World, reason: str, back: bool
) -> None:
    account = world.person()
    world.password_change.require(account.id, reason, actor=STAFF, source=SOURCE)
    session(world.password_change.submit_forced(forced(world), OTHER_PASSWORD, source=SOURCE))
    mine = signed_in(world, account, password=OTHER_PASSWORD)
    if back:
        world.password_change.change(mine, current=OTHER_PASSWORD, new=PASSWORD, source=SOURCE)
        return
    with pytest.raises(PasswordRefused) as refusal:
        world.password_change.change(mine, current=OTHER_PASSWORD, new=PASSWORD, source=SOURCE)
    assert [found.id for found in refusal.value.problems] == ["reused"]


def test_a_forced_change_needs_all_factors_first(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    half = world.pending()
    submit = lambda: world.password_change.submit_forced(half, OTHER_PASSWORD, source=SOURCE)  # noqa: E731
    assert refused(submit) is Reason.FLOW_UNKNOWN
    assert world.account_store.get(account.id).password_hash == account.password_hash


def test_no_way_leads_around_a_forced_change(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    pending = forced(world)
    world.clock.advance(timedelta(seconds=60))
    code = world.code(account)
    assert refused(lambda: world.sign_in.submit_totp(pending, code, source=SOURCE)) is Reason.FLOW_UNKNOWN
    assert refused(lambda: world.sign_in.begin_totp_enrolment(pending, source=SOURCE)) is Reason.FLOW_UNKNOWN
    with pytest.raises(PasswordRefused):
        world.password_change.submit_forced(pending, PASSWORD, source=SOURCE)
    assert world.sessions.of_account(account.id) == ()
    session(world.password_change.submit_forced(pending, OTHER_PASSWORD, source=SOURCE))


def test_a_requirement_that_comes_while_a_code_is_typed_holds(world: World) -> None:
    account = world.person()
    pending = world.pending()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    step = world.sign_in.submit_totp(pending, world.code(account), source=SOURCE)
    assert step.next == ("new_password",)


def test_the_door_itself_refuses_who_must_change(world: World) -> None:
    from portalsec.auth.evidence import Factor, mint

    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    evidence = [mint(factor, account.id, world.clock(), epoch=0) for factor in Factor]
    assert refused(lambda: world.sign_in.login(account.id, evidence, source=SOURCE)) is Reason.CHANGE_REQUIRED


def test_a_forced_change_dies_of_age_abort_and_whatever_ends_the_account(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)

    def submit(pending: str) -> Reason:
        return refused(lambda: world.password_change.submit_forced(pending, OTHER_PASSWORD, source=SOURCE))

    old = forced(world)
    world.clock.advance(timedelta(minutes=10))
    assert submit(old) is Reason.FLOW_UNKNOWN
    aborted = forced(world)
    world.sign_in.abort(aborted)
    assert submit(aborted) is Reason.FLOW_UNKNOWN
    ended = forced(world)
    world.backing.sessions.end_all(account.id)
    assert submit(ended) is Reason.SESSION_REVOKED
    assert world.sessions.of_account(account.id) == ()


def test_a_forced_change_that_outlives_what_was_shown_before_it_stands_and_asks_for_a_new_sign_in() -> None:
    policy = SignInPolicy(evidence_lifetime=timedelta(minutes=2))
    world = World(sign_in_policy=policy)
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    step = world.sign_in.submit_totp(world.pending(), world.code(account), source=SOURCE)
    world.clock.advance(timedelta(minutes=5))
    with pytest.raises(SignInAgain) as refusal:
        world.password_change.submit_forced(token(step.pending), OTHER_PASSWORD, source=SOURCE)
    assert refusal.value.reason is Reason.EVIDENCE_STALE
    assert pickle.loads(pickle.dumps(refusal.value)).reason is Reason.EVIDENCE_STALE
    assert world.sessions.of_account(account.id) == ()
    assert told(world, account)[-1] == "password_changed"
    again = world.pending(password=OTHER_PASSWORD)
    assert session(world.sign_in.submit_totp(again, world.code(account), source=SOURCE))


def test_eight_forced_changes_with_one_token_open_one_session(world: World) -> None:
    account = world.person()
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    pending = forced(world)
    words = [f"lantern {number} orbit velvet cactus" for number in range(8)]
    results = together(8, lambda n: world.password_change.submit_forced(pending, words[n], source=SOURCE))
    winners = [n for n in range(8) if isinstance(results[n], Step)]
    assert len(winners) == 1
    assert len(world.sessions.of_account(account.id)) == 1
    assert _matches(world, world.account_store.get(account.id).password_hash, words[winners[0]], account.id)


def test_expiry_is_for_those_who_must(world: World) -> None:
    aged = World(password_policy=replace(PasswordPolicy.NIST_800_63B_4, max_age=timedelta(days=90)))
    account = aged.person()
    signed_in(aged, account)
    aged.clock.advance(timedelta(days=90))
    pending = forced(aged)
    assert aged.events.last.details == {"why": "expired"}
    session(aged.password_change.submit_forced(pending, OTHER_PASSWORD, source=SOURCE))
    signed_in(aged, account, password=OTHER_PASSWORD)
    world.person()
    world.clock.advance(timedelta(days=5000))
    signed_in(world, world.account_store.by_login("robin"))


@pytest.mark.parametrize("reason", ["", "x" * 65])
def test_a_reason_is_a_short_code(world: World, reason: str) -> None:
    account = world.person()
    with pytest.raises(ConfigurationError):
        world.password_change.require(account.id, reason, actor=STAFF, source=SOURCE)
    require = lambda: world.password_change.require("nobody", "x", actor=STAFF, source=SOURCE)  # noqa: E731
    assert refused(require) is Reason.UNKNOWN_ACCOUNT


def test_no_password_reaches_an_event_or_a_repr(world: World) -> None:
    mine = signed_in(world, world.person())
    new = world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    seen = repr(world.events) + repr(new) + repr(world.backing.notices.__dict__)
    for secret in (PASSWORD, OTHER_PASSWORD, new.token.reveal()):
        assert secret not in seen


@pytest.mark.parametrize("broken", ["account_store.get", "account_store.require_change", "notice_store.put"])
def test_atk_41_a_change_that_is_required_is_told_and_can_be_required_again(
    world: World, broken: str
) -> None:
    account = world.person()
    where, _, verb = broken.partition(".")
    store = getattr(world, where)
    store.failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    del store.failing[verb]
    # What stands is the safe side: where only the telling failed, the next sign-in asks for another one all the same.
    required = world.account_store.get(account.id).must_change
    assert required == ("breached" if broken == "notice_store.put" else None)
    world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    assert told(world, account).count("password_required") == 1
    assert forced(world)


def test_atk_41_a_change_that_cannot_be_recorded_is_not_required() -> None:
    def emit(event: SecurityEvent) -> None:
        if event.name == Event.AUTH_PASSWORD_CHANGE_REQUIRED:
            raise AuditUnavailable("down")

    world = World(emit=emit)
    account = world.person()
    with pytest.raises(AuditUnavailable):
        world.password_change.require(account.id, "breached", actor=STAFF, source=SOURCE)
    assert world.account_store.get(account.id).must_change is None
    assert told(world, account) == []
