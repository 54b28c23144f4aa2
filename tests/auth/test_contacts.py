from __future__ import annotations

from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth._door import DOOR
from portalsec.auth.contacts import NotConfirmed, canonical_email
from portalsec.auth.endings import Why
from portalsec.auth.notices import NoticeKind
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import Account
from portalsec.errors import Denied, Reason, StoreError
from portalsec.events import Actor, Event, ResourceRef
from tests.auth.mail import (
    ADDRESS,
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
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, together, token

NEW = "new@mail.example"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def account(world: World) -> Account:
    account = world.person()
    with_address(world, account)
    return account


# -- one spelling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("robin@mail.example", "robin@mail.example"),
        ("  Robin.Ward+clinic@Mail.EXAMPLE ", "robin.ward+clinic@mail.example"),
        ("robin@bücher.example", "robin@xn--bcher-kva.example"),
        ("robin@BÜCHER.example", "robin@xn--bcher-kva.example"),
        ("robin@XN--bcher-kva.example", "robin@xn--bcher-kva.example"),
        ("robin@日本語.example", "robin@xn--wgv71a119e.example"),
        ("o'neill@a-b.example", "o'neill@a-b.example"),
    ],
)
def test_an_address_has_one_spelling(typed: str, canonical: str) -> None:
    assert canonical_email(typed) == canonical
    assert canonical_email(canonical) == canonical


@pytest.mark.parametrize(
    "typed",
    [
        None,
        5,
        b"robin@mail.example",
        "",
        "robin",
        "@mail.example",
        "robin@",
        "robin@mail",
        "robin@@mail.example",
        "robin@mail.example@evil.example",
        "robin＠mail.example",  # full-width
        "robin﹫mail.example",  # small
        "robin@evil.example＠mail.example",
        "robin@mаil.example",  # a Cyrillic a
        "rоbin@mail.example",  # a Cyrillic o
        "robin@ｍail.example",
        "robin@mail。example",
        "robin@maıl\u0307.example",
        "robin@\u212aelvin.example",  # the Kelvin sign
        "robin@İstanbul.example",
        "robin@straße.example",
        "robin@xn--strae-oqa.example",
        "robin@xn--.example",
        "robin@xn--a.example",
        "robin@xn--mail-.example",
        "robin@ab--cd.example",
        "robin\n@mail.example",
        "robin@mail.example\n",
        "robin@mail.example\r\nBcc: all@mail.example",
        "robin\x00@mail.example",
        "robin@mail\u200b.example",
        "robin\u202e@mail.example",
        "ro bin@mail.example",
        '"robin"@mail.example',
        "robin(x)@mail.example",
        ".robin@mail.example",
        "robin.@mail.example",
        "ro..bin@mail.example",
        "robin@-mail.example",
        "robin@mail-.example",
        "robin@mail..example",
        "robin@mail.example.",
        "robin@192.0.2.1",
        "robin@[192.0.2.1]",
        "robin@mail.example, other@mail.example",
        "Robin <robin@mail.example>",
        "x" * 65 + "@mail.example",
        "robin@" + "x" * 64 + ".example",
        "robin@" + ".".join(["x" * 60] * 5),
        "x" * 10_000_000 + "@mail.example",
    ],
)
def test_rec_06_look_alikes_and_everything_else_are_refused(typed: object) -> None:
    assert refused(lambda: canonical_email(typed)) is Reason.ADDRESS_REFUSED


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_passes_is_ascii_with_one_at_and_stays_as_it_is(local: str, domain: str) -> None:
    for typed in (f"{local}@{domain}", f"{local}@{domain}.example", f"a@{domain}.example"):
        try:
            canonical = canonical_email(typed)
        except Denied as refusal:
            assert refusal.reason is Reason.ADDRESS_REFUSED
            continue
        assert canonical.isascii()
        assert canonical.isprintable()
        assert canonical.count("@") == 1
        assert " " not in canonical
        assert canonical == canonical.lower()
        assert len(canonical) <= 254
        assert canonical_email(canonical) == canonical


# -- adding and confirming ----------------------------------------------------------------------------------------


def test_an_address_counts_after_its_link_came_back(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    contact = world.contacts.add(mine, " NEW@mail.example", current=PASSWORD, source=SOURCE)
    assert (contact.address, contact.verified_at) == (NEW, None)
    (letter,) = letters(world)
    assert (letter.contact.address, letter.kind) == (NEW, NoticeKind.REQUEST_VERIFY)
    world.reset.request(NEW, source=SOURCE)
    assert letters(world) == []
    other = signed_in(world, account)
    kept = world.contacts.confirm(token(letter.token), source=SOURCE, session=mine)
    assert kept is not None
    assert not alive(world, mine)
    assert not alive(world, other)
    assert active(world, kept).created_at == mine.created_at
    world.reset.request(NEW, source=SOURCE)
    assert [letter.contact.address for letter in letters(world)] == [NEW]
    world.reset.request("robin", source=SOURCE)
    # The oldest stays the one that a name alone leads to.
    assert [letter.contact.address for letter in letters(world)][-1] == ADDRESS
    assert "contact_added" in told(world, account)
    assert NEW not in repr(world.events)


def test_a_strangers_session_is_not_kept(world: World, account: Account) -> None:
    stranger = signed_in(world, world.person("kim"))
    mine = signed_in(world, account)
    world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    assert world.contacts.confirm(token_of(world), source=SOURCE, session=stranger) is None
    assert alive(world, stranger)
    assert not alive(world, mine)


def test_auz_04_a_session_in_which_support_acts_is_not_kept(world: World, account: Account) -> None:
    staff, mine = signed_in(world, world.person("kim")), signed_in(world, account)
    world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    epoch = world.sessions.epoch(account.id)
    acting = world.sessions.impersonate_through(
        DOOR, staff, account.id, epoch=epoch, lasting=timedelta(minutes=5), source=SOURCE
    )
    held = active(world, acting)
    assert world.contacts.confirm(token_of(world), source=SOURCE, session=held) is None
    assert not alive(world, held)


def test_rec_05_a_link_confirms_the_address_that_it_was_mailed_to(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    first = world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    second = world.contacts.add(mine, "thief@mail.example", current=PASSWORD, source=SOURCE)
    letters(world)
    world.contacts.confirm(mailed, source=SOURCE)
    verified = {each.id for each in world.contacts.of_account(account.id) if each.verified_at}
    assert first.id in verified
    assert second.id not in verified


def test_rec_05_where_the_row_behind_a_link_got_another_address_the_link_is_dead(
    world: World, account: Account
) -> None:
    from dataclasses import replace

    contact = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    rows = world.backing.contacts._contacts
    rows[contact.id] = replace(rows[contact.id], address="thief@mail.example")
    assert refused(lambda: world.contacts.confirm(mailed, source=SOURCE)) is Reason.TOKEN_INVALID


def test_ses_12_concurrent_confirmations_confirm_once_and_what_was_shown(
    world: World, account: Account
) -> None:
    contact = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    results = together(50, lambda _: world.contacts.confirm(mailed, source=SOURCE))
    assert sum(result is None for result in results) == 1
    assert {result.reason for result in results if isinstance(result, Denied)} == {Reason.TOKEN_INVALID}
    assert {each.id for each in world.contacts.of_account(account.id) if each.verified_at} == {
        contact.id,
        f"contact-{account.id}-{ADDRESS}",
    }


def test_ses_12_whoever_loses_the_race_for_an_address_is_handed_the_session_that_goes_on(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sessions end before the address counts; the browser must not be left with one that is dead."""
    contact = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    mine, rows = signed_in(world, account), world.backing.contacts
    verify = rows.verify

    def removed_meanwhile(account_id: str, contact_id: str, **at: Any) -> bool:
        assert rows.remove(account_id, contact_id)
        return bool(verify(account_id, contact_id, **at))

    monkeypatch.setattr(rows, "verify", removed_meanwhile)
    with pytest.raises(NotConfirmed) as lost:
        world.contacts.confirm(mailed, source=SOURCE, session=mine)
    assert (lost.value.reason, repr(lost.value)) == (Reason.TOKEN_INVALID, "Denied(TOKEN_INVALID)")
    assert lost.value.session is not None and not alive(world, mine)
    assert active(world, lost.value.session).created_at == mine.created_at
    assert contact.id not in [each.id for each in world.contacts.of_account(account.id)]
    assert lost.value.session.token.reveal() not in repr(lost.value.args) + str(lost.value)
    copied = copy(lost.value)
    assert (copied.reason, copied.session) == (Reason.TOKEN_INVALID, lost.value.session)


def test_ses_12_who_had_no_session_of_the_account_is_handed_none(
    world: World, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed, stranger = token_of(world), signed_in(world, world.person("kim"))
    monkeypatch.setattr(world.backing.contacts, "verify", lambda *args, **kwargs: False)
    with pytest.raises(NotConfirmed) as lost:
        world.contacts.confirm(mailed, source=SOURCE, session=stranger)
    assert lost.value.session is None and alive(world, stranger)


def test_rec_02_the_link_lives_a_day_and_works_once(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    world.clock.advance(timedelta(hours=24))
    assert refused(lambda: world.contacts.confirm(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
    world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    again = token_of(world)
    world.contacts.confirm(again, source=SOURCE)
    assert refused(lambda: world.contacts.confirm(again, source=SOURCE)) is Reason.TOKEN_INVALID


def test_rec_04_a_changed_address_kills_links(world: World, account: Account) -> None:
    resetting = reset_token(world)
    world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    world.contacts.confirm(token_of(world), source=SOURCE)
    assert refused(lambda: world.reset.exchange(resetting, source=SOURCE)) is Reason.TOKEN_INVALID


def test_a_session_alone_adds_and_removes_nothing(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    for wrong in ("wrong one of them", ""):
        add = lambda wrong=wrong: world.contacts.add(mine, NEW, current=wrong, source=SOURCE)  # noqa: E731
        assert refused(add) in {Reason.WRONG_PASSWORD, Reason.MALFORMED}
        (held,) = world.contacts.of_account(account.id)
        number = held.id
        drop = lambda w=wrong, n=number: world.contacts.remove(mine, n, current=w, source=SOURCE)  # noqa: E731
        assert refused(drop) in {Reason.WRONG_PASSWORD, Reason.MALFORMED}
    assert [each.address for each in world.contacts.of_account(account.id)] == [ADDRESS]


def test_pwd_04_an_address_that_another_account_has_is_added_like_any_other(
    world: World, account: Account
) -> None:
    other = world.person("kim")
    with_address(world, other, NEW)
    mine = signed_in(world, account)
    costs = []
    for address in (NEW, "free@mail.example"):
        world.calls.clear()
        added = world.contacts.add(mine, address, current=PASSWORD, source=SOURCE)
        assert (added.address, added.account_id) == (address, account.id)
        costs.append(list(world.calls))
    assert costs[0] == costs[1]
    assert len(letters(world)) == 2


def test_rec_10_an_unverified_address_claims_no_account(world: World, account: Account) -> None:
    thief = world.person("thief")
    world.contacts.add(signed_in(world, thief), ADDRESS, current=PASSWORD, source=SOURCE)
    world.notice_store.purge(until=world.clock())
    world.reset.request(ADDRESS, source=SOURCE)
    assert [letter.contact.account_id for letter in letters(world)] == [account.id]


def test_adding_again_mails_again_until_it_is_verified(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    first = world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    assert world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE) == first
    assert len(letters(world)) == 2
    assert world.contacts.add(mine, ADDRESS, current=PASSWORD, source=SOURCE).verified_at
    assert letters(world) == []


def test_loc_13_the_number_of_addresses_and_of_mails_is_bounded(world: World, account: Account) -> None:
    mine = signed_in(world, account)
    reasons, sent = set(), 0
    for number in range(40):
        try:
            world.contacts.add(mine, f"a{number}@mail.example", current=PASSWORD, source=SOURCE)
        except Denied as refusal:
            reasons.add(refusal.reason)
        sent += len(letters(world))
    assert Reason.ADDRESS_REFUSED in reasons
    assert len(world.contacts.of_account(account.id)) == world.recovery.contacts
    assert sent <= world.recovery.contacts
    for _ in range(40):
        try:
            world.contacts.add(mine, "a0@mail.example", current=PASSWORD, source=SOURCE)
        except Denied as refusal:
            reasons.add(refusal.reason)
        sent += len(letters(world))
    assert Reason.THROTTLED in reasons
    assert sent <= 20


def test_removing_tells_the_removed_address_and_keeps_the_last(world: World, account: Account) -> None:
    second = with_address(world, account, NEW)
    mine, other = signed_in(world, account), signed_in(world, account)
    kept = world.contacts.remove(mine, second.id, current=PASSWORD, source=SOURCE)
    assert not alive(world, other)
    mine = active(world, kept)
    notice = next(n for n in world.notices.of_account(account.id) if n.kind == "contact_removed")
    assert world.notices.details(notice)["also"] == NEW
    (last,) = world.contacts.of_account(account.id)
    world.clock.advance(timedelta(seconds=1))
    for which in (last.id, second.id, "nothing"):
        drop = lambda which=which: world.contacts.remove(mine, which, current=PASSWORD, source=SOURCE)  # noqa: E731
        assert refused(drop) is Reason.ADDRESS_REFUSED
    assert alive(world, mine)


def test_another_accounts_address_cannot_be_removed(world: World, account: Account) -> None:
    thief = world.person("thief")
    with_address(world, thief, "t1@mail.example")
    (target,) = world.contacts.of_account(account.id)
    mine = signed_in(world, thief)
    drop = lambda: world.contacts.remove(mine, target.id, current=PASSWORD, source=SOURCE)  # noqa: E731
    assert refused(drop) is Reason.ADDRESS_REFUSED
    assert world.contacts.of_account(account.id) == (target,)


@pytest.mark.parametrize(
    "broken",
    [
        "link_store.attempt",
        "link_store.consume",
        "account_store.get",
        "contact_store.of_account",
        "session_store.end_all",
        "flow_store.drop_account",
        "link_store.drop_account",
        "notice_store.put",
        "contact_store.verify",
    ],
)
def test_atk_41_a_confirmation_that_any_store_stops_can_be_done_again(
    world: World, account: Account, broken: str
) -> None:
    contact = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    where, _, verb = broken.partition(".")
    getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.contacts.confirm(mailed, source=SOURCE)
    assert all(
        each.id != contact.id or not each.verified_at
        for each in world.backing.contacts.of_account(account.id)
    )
    del getattr(world, where).failing[verb]
    world.contacts.confirm(mailed, source=SOURCE)
    assert sum(bool(each.verified_at) for each in world.contacts.of_account(account.id)) == 2


@pytest.mark.parametrize(
    "broken",
    [
        "throttle_store.take",
        "account_store.get",
        "contact_store.of_account",
        "contact_store.add",
        "notice_store.put",
    ],
)
def test_atk_41_an_addition_that_any_store_stops_counts_for_nothing_and_can_be_done_again(
    world: World, account: Account, broken: str
) -> None:
    mine = signed_in(world, account)
    where, _, verb = broken.partition(".")
    getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    del getattr(world, where).failing[verb]
    assert [each.address for each in world.contacts.of_account(account.id) if each.verified_at] == [ADDRESS]
    assert letters(world) == []
    world.contacts.add(mine, NEW, current=PASSWORD, source=SOURCE)
    world.contacts.confirm(token_of(world), source=SOURCE)
    assert sorted(each.address for each in world.contacts.of_account(account.id)) == sorted((ADDRESS, NEW))


@pytest.mark.parametrize(
    "broken",
    [
        "throttle_store.take", "account_store.get", "contact_store.of_account", "session_store.load",
        "session_store.end", "session_store.end_all", "session_store.create", "flow_store.drop_account",
        "link_store.drop_account", "notice_store.put", "contact_store.remove",
    ],
)  # fmt: skip
def test_atk_41_a_removal_that_any_store_stops_removes_nothing_and_can_be_done_again(
    world: World, account: Account, broken: str
) -> None:
    other = with_address(world, account, NEW)
    mine, stranger = signed_in(world, account), signed_in(world, account)
    where, _, verb = broken.partition(".")
    getattr(world, where).failing[verb] = StoreError("down")
    with pytest.raises(StoreError):
        world.contacts.remove(mine, other.id, current=PASSWORD, source=SOURCE)
    del getattr(world, where).failing[verb]
    assert len(world.contacts.of_account(account.id)) == 2
    world.contacts.remove(signed_in(world, account), other.id, current=PASSWORD, source=SOURCE)
    assert [each.address for each in world.contacts.of_account(account.id)] == [ADDRESS]
    assert not alive(world, mine)
    assert not alive(world, stranger)


def test_events_name_no_address(world: World, account: Account) -> None:
    kept = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
    mailed = token_of(world)
    world.contacts.confirm(mailed, source=SOURCE)
    assert Event.ACCOUNT_CONTACT_VERIFIED in world.events.names
    for secret in (NEW, ADDRESS, mailed):
        assert secret not in repr(world.events) + repr(kept)


@pytest.mark.parametrize("how", ["reset", "ended", "disavowed", "changed"])
def test_rec_04_a_link_that_was_asked_for_before_sessions_ended_is_not_mailed(
    world: World, account: Account, how: str
) -> None:
    """A thief asks for their own address; the owner acts before the courier comes by."""
    thief = signed_in(world, account)
    own = signed_in(world, account)
    link = browser_token(world)
    world.contacts.add(thief, "thief@mail.example", current=PASSWORD, source=SOURCE)
    if how == "reset":
        world.reset.choose(link, OTHER_PASSWORD, source=SOURCE)
    elif how == "changed":
        world.password_change.change(own, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
    else:
        why = Why.SIGNED_OUT_EVERYWHERE if how == "ended" else Why.DISAVOWED
        world.endings.apply(account.id, why, actor=Actor(type="user", id=account.id), source=SOURCE)
    assert letters(world) == []


def test_rec_04_sessions_that_end_while_a_link_is_made_end_the_link(world: World, account: Account) -> None:
    world.contacts.add(signed_in(world, account), "new@mail.example", current=PASSWORD, source=SOURCE)
    real, made = world.links.issue, []

    def issue(*args: Any) -> Any:
        made.append(real(*args))
        world.endings.apply(
            account.id, Why.SIGNED_OUT_EVERYWHERE, actor=Actor(type="user", id=account.id), source=SOURCE
        )
        return made[-1]

    world.links.issue = issue  # type: ignore[method-assign]
    assert letters(world) == []
    assert refused(lambda: world.contacts.confirm(made[0].reveal(), source=SOURCE)) is Reason.TOKEN_INVALID


def test_rec_10_a_reset_removes_addresses_that_nobody_confirmed(world: World, account: Account) -> None:
    (kept,) = world.contacts.of_account(account.id)
    gone = with_address(world, account, "thief@mail.example", verified=False)
    link = browser_token(world)
    with pytest.raises(PasswordRefused):
        world.reset.choose(link, "iloveyou", source=SOURCE)
    assert len(world.contacts.of_account(account.id)) == 2
    world.reset.choose(link, OTHER_PASSWORD, source=SOURCE)
    assert [each.id for each in world.contacts.of_account(account.id)] == [kept.id]
    (removed,) = world.events.named(Event.ACCOUNT_CONTACT_REMOVED)
    assert removed.resource == ResourceRef(type="contact", id=gone.id)
    assert removed.details["why"] == "password_reset"
