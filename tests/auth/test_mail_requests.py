"""Mail that others ask for must not keep an owner from theirs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from portalsec.auth.links import LinkPurpose
from portalsec.auth.notices import Letter, NoticeKind
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, StoreError
from portalsec.events import Source
from tests.auth.door import MAIL, Door
from tests.auth.mail import ADDRESS, letters, signed_in, with_address
from tests.auth.world import PASSWORD, SOURCE, World, token

STRANGER = Source(address="203.0.113.9", user_agent="x")


@pytest.fixture
def world() -> World:
    world = World()
    with_address(world, world.person())
    return world


def device_of(world: World) -> str:
    step = world.sign_in.start("robin", PASSWORD, source=SOURCE)
    world.clock.advance(timedelta(seconds=60))
    account = world.account_store.by_login("robin")
    return token(world.sign_in.submit_totp(token(step.pending), world.code(account), source=SOURCE).device)


def burst(world: World) -> int:
    """All that one address may ask for, at once; the mails that it causes."""
    for typed in ("robin", ADDRESS):
        for ask in (world.reset.request, world.unlock.request):
            for _ in range(5):
                ask(typed, source=STRANGER)
    return len(letters(world))


def kinds(found: list[Letter]) -> list[NoticeKind]:
    return [letter.kind for letter in found]


def test_loc_12_a_burst_of_requests_leaves_the_owner_their_mail_an_hour_later(world: World) -> None:
    assert burst(world) == 10
    world.clock.advance(timedelta(hours=1))
    world.reset.request("robin", source=SOURCE)
    world.unlock.request("robin", source=SOURCE)
    assert kinds(letters(world)) == [NoticeKind.REQUEST_RESET, NoticeKind.REQUEST_UNLOCK]


def test_loc_12_whoever_asks_at_every_hour_leaves_the_owner_a_link_within_six(world: World) -> None:
    """From many addresses: a mail of theirs goes to the owner too, and its link is as good."""
    quiet, longest = timedelta(0), timedelta(0)
    for minute in range(0, 3 * 24 * 60, 30):
        for place in range(5):
            for ask in (world.reset.request, world.unlock.request):
                ask("robin", source=Source(address=f"198.51.{place}.7"))
        sent = kinds(letters(world))
        quiet = timedelta(0) if NoticeKind.REQUEST_RESET in sent else quiet + timedelta(minutes=30)
        longest = max(longest, quiet)
        assert minute or len(sent) == 10
        world.clock.advance(timedelta(minutes=30))
    assert longest < timedelta(hours=6)


def test_loc_12_an_unlocking_link_outlives_the_budget_of_its_mails(world: World) -> None:
    """So where no more is sent, the mailbox holds one that is good."""
    policy = world.throttle.policy
    assert world.recovery.unlock >= max(policy.mail.window, policy.mail_long.window)
    world.unlock.request("robin", source=STRANGER)
    (letter,) = letters(world)
    world.clock.advance(timedelta(hours=23, minutes=59))
    assert world.links.mailed(token(letter.token), LinkPurpose.UNLOCK) is not None


def test_loc_12_no_other_kind_of_mail_uses_up_that_of_a_reset(world: World) -> None:
    other = world.person("other")
    session = signed_in(world, other)
    for _ in range(5):
        world.registration.request(ADDRESS, source=STRANGER)
        world.contacts.add(session, ADDRESS, current=PASSWORD, source=STRANGER)
        world.unlock.request(ADDRESS, source=STRANGER)
    letters(world)
    world.reset.request("robin", source=SOURCE)
    assert kinds(letters(world)) == [NoticeKind.REQUEST_RESET]


def test_loc_12_sign_in_links_that_strangers_ask_for_use_up_no_mail_that_confirms_an_address() -> None:
    door = Door(SignInPolicy(second_factor="optional", factors=MAIL, mail_link=True))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    for place in range(6):
        door.sign_in_links.ask(ADDRESS, source=Source(address=f"198.51.{place}.7"))
    assert kinds(letters(door)) == [NoticeKind.REQUEST_SIGN_IN] * 5
    owner = door.active(door.start().session)
    door.contacts.add(owner, "new@mail.example", current=PASSWORD, source=SOURCE)
    assert kinds(letters(door)) == [NoticeKind.REQUEST_VERIFY]


def test_loc_12_no_other_kind_of_mail_uses_up_that_of_a_sign_in_link() -> None:
    door = Door(SignInPolicy(second_factor="optional", factors=MAIL, mail_link=True))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    other = door.active(door.start(door.person("other", enrolled=False).login).session)
    for _ in range(5):
        door.registration.request(ADDRESS, source=STRANGER)
        door.contacts.add(other, ADDRESS, current=PASSWORD, source=STRANGER)
        door.reset.request(ADDRESS, source=STRANGER)
    letters(door)
    door.sign_in_links.ask("robin", source=SOURCE)
    assert kinds(letters(door)) == [NoticeKind.REQUEST_SIGN_IN]


def test_loc_12_a_mail_that_is_not_sent_takes_nothing(world: World) -> None:
    """Here the address's budget is used up by other accounts that share it; the account's own stays whole."""
    for number in range(3):
        with_address(world, world.person(f"child{number}", enrolled=False))
    with_address(world, world.account_store.by_login("robin"), "second@mail.example")
    for name in ("child0", "child1", "child2", "child0", "child1"):
        world.reset.request(name, source=SOURCE)
    assert len(letters(world)) == 5
    for _ in range(5):
        world.reset.request("robin", source=STRANGER)
    assert letters(world) == []
    world.reset.request("second@mail.example", source=SOURCE)
    assert len(letters(world)) == 1


@pytest.mark.parametrize("ask", ["reset", "unlock"])
def test_loc_12_a_known_device_has_requests_and_mails_of_its_own(world: World, ask: str) -> None:
    device = device_of(world)
    burst(world)
    request: Callable[..., None] = getattr(world, ask).request
    with pytest.raises(Denied):  # the neighbour of a stranger has no requests left
        for _ in range(20):
            request("nobody", source=STRANGER)
    letters(world)
    request("robin", source=STRANGER, device=device)
    assert len(letters(world)) == 1


def test_a_device_brings_no_mail_to_other_accounts_past_their_budgets(world: World) -> None:
    device = device_of(world)
    with_address(world, world.person("kim", enrolled=False), "kim@mail.example")
    sent = 0
    for number in range(20):
        for _ in range(2):
            world.reset.request("kim", source=Source(address=f"198.51.{number}.7"), device=device)
        sent += len(letters(world))
    assert sent == 5


def test_a_device_has_a_bounded_number_of_mails_and_then_those_of_everybody(world: World) -> None:
    device = device_of(world)
    sent = 0
    for number in range(40):
        world.reset.request("robin", source=Source(address=f"198.51.{number}.7"), device=device)
        sent += len(letters(world))
    assert sent == 10


@pytest.mark.parametrize("name", ["robin", "kim", "nobody", ADDRESS, "no@mail.example"])
def test_pwd_03_a_device_costs_the_same_whatever_name_is_typed(world: World, name: str) -> None:
    device = device_of(world)
    world.person("kim")
    world.reset.request("robin", source=SOURCE, device=device)
    world.calls.clear()
    world.reset.request("robin", source=SOURCE, device=device)
    cost = tuple(world.calls)
    world.calls.clear()
    world.reset.request(name, source=SOURCE, device=device)
    assert tuple(world.calls) == cost


def test_loc_13_spellings_of_one_mailbox_share_its_mails(world: World) -> None:
    for number in range(20):
        world.registration.request(f"victim+{number}@mail.example", source=SOURCE)
    sent = letters(world)
    assert len(sent) == 5
    assert len({letter.contact.address for letter in sent}) == 5  # mail goes to what was typed, all of it


def test_a_mail_that_its_server_did_not_take_is_paid_for_once(world: World) -> None:
    world.reset.request("robin", source=SOURCE)
    (request,) = world.notice_store.claim(now=world.clock(), lease=timedelta(minutes=5), limit=10)
    for _ in range(6):
        assert len(world.reset.letters(request)) == 1
    world.notice_store.remove(request.id)
    for _ in range(5):
        world.reset.request("robin", source=SOURCE)
    assert len(letters(world)) == 4


def test_a_mail_whose_budget_could_not_be_read_is_asked_for_again(world: World) -> None:
    world.reset.request("robin", source=SOURCE)
    (request,) = world.notice_store.claim(now=world.clock(), lease=timedelta(minutes=5), limit=10)
    world.throttle_store.failing["take"] = StoreError("down")
    with pytest.raises(StoreError):
        world.reset.letters(request)
    world.throttle_store.failing.clear()
    assert len(world.reset.letters(request)) == 1


def test_an_address_that_is_somebody_elses_sign_in_name_brings_them_no_mail(world: World) -> None:
    """Mail that the owner of an address asks for is about their accounts."""
    eve = world.person("victim@mail.example", enrolled=False)
    with_address(world, eve, "eve@mail.example")
    with_address(world, world.person("victim", enrolled=False), "victim@mail.example")
    world.reset.request("victim@mail.example", source=SOURCE)
    assert [letter.contact.address for letter in letters(world)] == ["victim@mail.example"]
    owner = world.person("own@mail.example", enrolled=False)
    with_address(world, owner, "own@mail.example")
    world.reset.request("own@mail.example", source=SOURCE)
    assert [letter.contact.account_id for letter in letters(world)] == [owner.id]
