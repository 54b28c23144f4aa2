from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.endings import ENDS, What, Why
from portalsec.auth.links import LinkPurpose
from portalsec.auth.ports import Account, KnownDevice
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import Actor, Event, SecurityEvent
from tests.auth.mail import alive, signed_in, with_address
from tests.auth.world import SOURCE, World, together

STAFF = Actor(type="user", id="staff-1")


@pytest.fixture
def world() -> World:
    return World()


def known_device(world: World, account: Account, number: int = 1) -> None:
    world.backing.devices.add(
        KnownDevice(
            id=f"{account.id}-{number}",
            account_id=account.id,
            digest=bytes([number]) * 32,
            previous=None,
            label="Firefox / Linux",
            created_at=world.clock(),
            used_at=world.clock(),
        )
    )


def living(world: World, account: Account) -> dict[What, object]:
    """One of everything that can end, for an account with an address."""
    contact = with_address(world, account)
    known_device(world, account)
    session = signed_in(world, account)
    world.clock.advance(timedelta(seconds=60))
    pending = world.pending(account.login)
    link = world.links.issue(LinkPurpose.RESET, account, contact, timedelta(minutes=5)).reveal()
    return {What.SESSIONS: session, What.PENDING: pending, What.TOKENS: link}


def lives(world: World, account: Account, what: What, thing: object) -> bool:
    if what is What.DEVICES:
        return bool(world.backing.devices.of_account(account.id))
    if what is What.SESSIONS:
        assert isinstance(thing, ActiveSession)
        return alive(world, thing)
    if what is What.TOKENS:
        return world.links.mailed(thing, LinkPurpose.RESET) is not None
    try:
        world.sign_in.submit_totp(thing, world.code(account), source=SOURCE)
    except Denied:
        return False
    return True


@pytest.mark.parametrize("why", list(Why))
def test_ses_01_atk_14_each_reason_ends_what_the_table_says(world: World, why: Why) -> None:
    account, other = world.person(), world.person("kim")
    mine, theirs = living(world, account), living(world, other)
    world.endings.apply(account.id, why, actor=STAFF, source=SOURCE)
    for what in What:
        assert lives(world, account, what, mine.get(what)) is (what not in ENDS[why]), what
        assert lives(world, other, what, theirs.get(what)), what


def test_every_reason_has_its_row_and_ends_sessions() -> None:
    assert set(ENDS) == set(Why)
    assert all({What.SESSIONS, What.PENDING, What.TOKENS} <= dying for dying in ENDS.values())


def test_the_session_that_the_owner_acts_in_goes_on_under_a_new_id(world: World) -> None:
    account = world.person()
    session, other = signed_in(world, account), signed_in(world, account)
    world.clock.advance(timedelta(minutes=5))
    kept = world.endings.apply(
        account.id, Why.PASSWORD_CHANGED, actor=STAFF, source=SOURCE, keep=session.digest
    )
    assert kept is not None
    assert not alive(world, session)
    assert not alive(world, other)
    again = world.sessions.check(kept.token.reveal(), source=SOURCE)
    assert again.digest == kept.digest
    assert (again.created_at, again.factors, again.proven_at) == (
        session.created_at,
        session.factors,
        session.proven_at,
    )
    assert again.record.epoch == session.record.epoch + 1
    assert kept.absolute_until == session.created_at + world.session_policy.absolute
    assert kept.token.reveal() not in repr(world.events)


def test_the_absolute_limit_does_not_move_with_the_new_id(world: World) -> None:
    account = world.person()
    session = signed_in(world, account)
    limit = session.created_at + world.session_policy.absolute
    kept = None
    while world.clock() < limit - timedelta(minutes=10):
        world.clock.advance(timedelta(minutes=10))
        keep = session.digest if kept is None else kept.digest
        kept = world.endings.apply(account.id, Why.PASSWORD_CHANGED, actor=STAFF, source=SOURCE, keep=keep)
        assert kept is not None
        world.sessions.check(kept.token.reveal(), source=SOURCE)
    assert kept is not None
    world.clock.set(limit)
    with pytest.raises(Denied) as refusal:
        world.sessions.check(kept.token.reveal(), source=SOURCE)
    assert refusal.value.reason is Reason.SESSION_EXPIRED


def test_a_session_that_is_dead_or_another_persons_is_not_kept(world: World) -> None:
    account, other = world.person(), world.person("kim")
    session, foreign = signed_in(world, account), signed_in(world, other)
    idle = signed_in(world, account)
    world.clock.advance(world.session_policy.idle)
    for keep in (idle.digest, foreign.digest, b"x" * 32):
        assert (
            world.endings.apply(account.id, Why.PASSWORD_CHANGED, actor=STAFF, source=SOURCE, keep=keep)
            is None
        )
    assert not alive(world, session)
    assert alive(world, foreign)


def test_a_session_that_is_ended_while_it_is_kept_does_not_come_back(world: World) -> None:
    account = world.person()
    session = signed_in(world, account)
    real = world.backing.sessions.end

    def end(digest: bytes) -> bool:
        ended = bool(real(digest))
        world.backing.sessions.end_all(account.id)  # somebody signs out everywhere, or disables the account
        return ended

    world.backing.sessions.end = end
    kept = world.endings.apply(
        account.id, Why.PASSWORD_CHANGED, actor=STAFF, source=SOURCE, keep=session.digest
    )
    assert kept is None
    assert world.sessions.of_account(account.id) == ()


def test_of_eight_that_keep_one_session_at_most_one_gets_it(world: World) -> None:
    account = world.person()
    session = signed_in(world, account)
    results = together(
        8,
        lambda _: world.endings.apply(
            account.id, Why.PASSWORD_CHANGED, actor=STAFF, source=SOURCE, keep=session.digest
        ),
    )
    kept = [result for result in results if result is not None]
    assert len(kept) <= 1
    assert len(world.sessions.of_account(account.id)) <= 1
    assert not alive(world, session)


def test_ses_03_an_ending_is_effective_at_the_next_request_of_every_worker(world: World) -> None:
    account = world.person()
    opened = world.session(account).token.reveal()
    worker = World(backing=world.backing)
    worker.clock = world.clock
    worker.wire()
    assert worker.sessions.check(opened, source=SOURCE).account_id == account.id
    world.endings.apply(account.id, Why.SIGNED_OUT_EVERYWHERE, actor=STAFF, source=SOURCE)
    with pytest.raises(Denied) as refusal:
        worker.sessions.check(opened, source=SOURCE)
    assert refusal.value.reason is Reason.SESSION_UNKNOWN


@pytest.mark.parametrize(
    "broken", ["sessions.end_all", "flows.drop_account", "links.drop_account", "devices.revoke_all"]
)
def test_atk_41_a_store_that_fails_stops_none_of_the_others(world: World, broken: str) -> None:
    account = world.person()
    mine = living(world, account)
    part, _, verb = broken.partition(".")
    stores = {
        "sessions": world.session_store,
        "flows": world.flow_store,
        "links": world.link_store,
        "devices": world.device_store,
    }
    stores[part].failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.endings.apply(account.id, Why.DISAVOWED, actor=STAFF, source=SOURCE)
    dead = {what for what in What if not lives(world, account, what, mine.get(what))}
    spared = {
        "sessions": {What.SESSIONS},  # its pending sign-ins went with the other store
        "flows": set(),  # the epoch ended them all the same
        "links": {What.TOKENS},
        "devices": {What.DEVICES},
    }
    assert dead == set(What) - spared[part]
    del stores[part].failing[verb]
    world.endings.apply(account.id, Why.DISAVOWED, actor=STAFF, source=SOURCE)
    assert not any(lives(world, account, what, mine.get(what)) for what in What)


def test_everything_ends_where_the_log_fails_too() -> None:
    full = False

    def emit(event: SecurityEvent) -> None:
        if full:
            raise AuditUnavailable("the log is full")

    world = World(emit=emit)
    account = world.person()
    mine = living(world, account)
    full = True
    with pytest.raises(AuditUnavailable):
        world.endings.apply(account.id, Why.DISAVOWED, actor=STAFF, source=SOURCE)
    full = False
    assert not any(lives(world, account, what, mine.get(what)) for what in What)


def test_what_ended_and_why_is_recorded_once(world: World) -> None:
    account = world.person()
    living(world, account)
    world.events.clear()
    world.endings.apply(account.id, Why.DISAVOWED, actor=STAFF, source=SOURCE)
    world.endings.apply(account.id, Why.DISAVOWED, actor=STAFF, source=SOURCE)
    assert world.events.names == [Event.AUTH_SESSION_REVOKED, Event.AUTH_DEVICE_REMOVED]
    assert {event.details["why"] for event in world.events} == {"disavowed"}
    assert world.events[0].resource is not None
    assert world.events[0].resource.count == 1


def test_adding_a_factor_ends_what_the_table_says(world: World) -> None:
    account = world.person(enrolled=False)
    contact = with_address(world, account)
    first = world.pending()
    link = world.links.issue(LinkPurpose.RESET, account, contact, timedelta(hours=1)).reveal()
    second = world.pending()
    enrolment = world.sign_in.begin_totp_enrolment(second, source=SOURCE)
    world.seeds[account.id] = enrolment.secret.reveal()
    step = world.sign_in.confirm_totp_enrolment(second, world.code(account), source=SOURCE)
    assert step.session is not None
    with pytest.raises(Denied):
        world.sign_in.begin_totp_enrolment(first, source=SOURCE)
    assert world.links.mailed(link, LinkPurpose.RESET) is None
    assert [notice.kind for notice in world.notices.of_account(account.id)][-1] == "factor_added"


def test_ses_02_disabling_ends_everything_and_tells_the_owner(world: World) -> None:
    account = world.person()
    mine = living(world, account)
    world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
    assert not any(lives(world, account, what, mine.get(what)) for what in What)
    assert "account_disabled" in [notice.kind for notice in world.notices.of_account(account.id)]
