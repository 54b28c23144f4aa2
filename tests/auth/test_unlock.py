from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Event, Source
from tests.auth.mail import ADDRESS, alive, letters, refused, signed_in, token_of, told, with_address
from tests.auth.world import OTHER_PASSWORD, SOURCE, World, together

ELSEWHERE = Source(address="203.0.113.9", user_agent="another browser")


@pytest.fixture
def world() -> World:
    world = World()
    with_address(world, world.person())
    return world


def locked(world: World) -> bool:
    """Whether the right password is refused from somewhere new."""
    try:
        world.sign_in.start("robin", "lantern orbit velvet cactus", source=ELSEWHERE)
    except Denied:
        return True
    return False


def lock(world: World) -> None:
    for number in range(60):
        with pytest.raises(Denied):
            world.sign_in.start("robin", OTHER_PASSWORD, source=Source(address=f"198.51.{number}.7"))
    assert locked(world)


def mailed(world: World) -> str:
    world.unlock.request("robin", source=SOURCE)
    return token_of(world)


def test_loc_12_the_owner_lifts_a_lock_by_mail(world: World) -> None:
    account = world.account_store.by_login("robin")
    open_one = signed_in(world, account)
    lock(world)
    link = mailed(world)
    assert world.events.last.name == Event.AUTH_UNLOCK_REQUESTED and world.events.last.resource is None
    assert not world.events.named(Event.AUTH_RESET_REQUESTED)
    assert locked(world)  # mailing it changes nothing
    world.unlock.confirm(link, source=SOURCE)
    assert not locked(world)
    assert alive(world, open_one)
    assert told(world, account).count("account_unlocked") == 1
    assert world.events.named(Event.AUTH_UNLOCKED)[-1].resource.id == account.id  # type: ignore[union-attr]


def test_unlocking_lets_nobody_in(world: World) -> None:
    account = world.account_store.by_login("robin")
    assert world.unlock.confirm(mailed(world), source=SOURCE) is None  # type: ignore[func-returns-value]
    assert world.sessions.of_account(account.id) == ()


def test_pwd_03_a_request_costs_the_same_for_every_name_locked_or_not(world: World) -> None:
    world.person("kim")
    lock(world)
    costs = {}
    for name in ("robin", ADDRESS, "kim", "nobody", "no@mail.example"):
        world.calls.clear()
        world.events.clear()
        assert world.unlock.request(name, source=SOURCE) is None  # type: ignore[func-returns-value]
        costs[name] = (tuple(world.calls), tuple(world.events.names))
    assert len(set(costs.values())) == 1, costs
    assert {letter.contact.address for letter in letters(world)} == {ADDRESS}


def test_rec_01_fifty_threads_with_one_link_unlock_once(world: World) -> None:
    account = world.account_store.by_login("robin")
    link = mailed(world)
    results = together(50, lambda _: world.unlock.confirm(link, source=SOURCE))
    assert results.count(None) == 1
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.TOKEN_INVALID}
    assert told(world, account).count("account_unlocked") == 1


def test_rec_02_a_link_lives_a_day(world: World) -> None:
    link = mailed(world)
    world.clock.advance(timedelta(hours=24))
    assert refused(lambda: world.unlock.confirm(link, source=SOURCE)) is Reason.TOKEN_INVALID


def test_a_link_cannot_be_kept_for_the_next_guesses(world: World) -> None:
    link = mailed(world)
    world.unlock.confirm(link, source=SOURCE)
    lock(world)
    assert refused(lambda: world.unlock.confirm(link, source=SOURCE)) is Reason.TOKEN_INVALID
    assert locked(world)


@pytest.mark.parametrize("broken", ["notice_store.put", "throttle_store.clear", "link_store.consume"])
def test_atk_41_an_unlocking_that_any_store_stops_can_be_done_again(world: World, broken: str) -> None:
    lock(world)
    link = mailed(world)
    where, _, verb = broken.partition(".")
    getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.unlock.confirm(link, source=SOURCE)
    del getattr(world, where).failing[verb]
    world.unlock.confirm(link, source=SOURCE)
    assert not locked(world)
