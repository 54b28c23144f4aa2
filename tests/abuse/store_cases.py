"""Abuse cases over real stores, by their ids: SQLite, PostgreSQL and Django bring the fixture ``over``.

Most bodies are those of the same case in memory, called with a world over the database.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.endings import Why
from portalsec.auth.links import _LOOK, LinkPurpose
from portalsec.auth.ports import Account, Contact
from portalsec.auth.signin import Step
from portalsec.clock import unix_microseconds
from portalsec.errors import Reason, StoreError, Tampered
from portalsec.events import Actor, Event
from tests.abuse import test_auth as auth
from tests.abuse import test_notices as notices
from tests.abuse import test_recovery as recovery
from tests.abuse.stores import Over
from tests.abuse.test_auth import Hashes, start, submit
from tests.abuse.test_throttle import complete, guess
from tests.auth import test_contacts as contacts
from tests.auth import test_endings as endings
from tests.auth import test_password_change as password_change
from tests.auth import test_registration as registration
from tests.auth import test_reset as reset
from tests.auth import test_unlock as unlock
from tests.auth.mail import (
    ADDRESS,
    active,
    alive,
    browser_token,
    refused,
    reset_token,
    signed_in,
    token_of,
    with_address,
)
from tests.auth.mailing import Mailing
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE, World, session, tight, together

__all__ = ["CasesOfSqlToo", "StoreCases"]

STAFF = Actor(type="user", id="staff-1")
NEW = "new@mail.example"
NOTHINGS: tuple[Any, ...] = ("", " ", "\0", None, 0, False, b"", [], "A" * 43)


def with_robin(over: Over, **settings: Any) -> tuple[World, Account]:
    world = over.make(**settings)
    account = world.person()
    with_address(world, account)
    return world, account


class StoreCases:
    """What ran in memory alone."""

    # -- passwords ------------------------------------------------------------------------------------------------

    def test_pwd_03_requests_cost_the_same_for_every_name(self, over: Over) -> None:
        reset.test_pwd_03_a_request_costs_the_same_for_every_name_and_address(with_robin(over)[0])

    def test_pwd_09_no_password_without_the_current_one(self, over: Over) -> None:
        password_change.test_pwd_09_no_password_is_set_without_the_current_one(over.make())

    def test_pwd_10_a_blank_column_opens_to_nothing(self, over: Over) -> None:
        world = over.make(lanes=tight())
        account = world.person()
        mine = signed_in(world, account)
        (kept,) = over.hashes()
        for write in over.hash_writers():
            for stored in ("", None, "!"):
                write(account.id, stored)
                for password in ("", " ", "!", PASSWORD):
                    wrong = {Reason.WRONG_PASSWORD, Reason.MALFORMED, Reason.FACTOR_NOT_ENROLLED}
                    assert refused(lambda p=password: start(world, password=p)) in wrong
                change = lambda s=stored: world.password_change.change(  # noqa: E731
                    mine, current=s or "", new=OTHER_PASSWORD, source=SOURCE
                )
                assert refused(change) in wrong
            over.hash_writers()[0](account.id, kept)
            assert start(world).next == ("totp",)

    def test_pwd_13_no_stored_salt_is_constant_and_one_that_was_emptied_opens_nothing(
        self, over: Over
    ) -> None:
        world = over.make(lanes=tight())
        people = [world.person(f"person{number}", enrolled=False) for number in range(6)]
        stored = [each for each in over.hashes() if each is not None]
        salts = [each.split("$")[-2] for each in stored]
        assert len(set(salts)) == len(people)
        assert {len(salt) for salt in salts} == {22}
        good = world.account_store.get(people[0].id).password_hash
        head, salt, tag = good.rsplit("$", 2)
        write = over.hash_writers()[0]
        for constant in ("", "AAAA"):
            write(people[0].id, f"{head}${constant}${tag}")
            assert (
                refused(lambda: start(world, "person0")) is Reason.FACTOR_NOT_ENROLLED
            )  # as without a password
        write(people[0].id, f"{head}${salt}${tag}")
        assert start(world, "person0").next == ("totp_enrolment",)

    # -- budgets --------------------------------------------------------------------------------------------------

    def test_loc_10_an_empty_name_locks_nobody(self, over: Over) -> None:
        world = over.make(lanes=tight(account=2, address=2))
        account = world.person()
        for login in ("", "   ", None, "\u200b"):
            for _ in range(3):
                assert refused(lambda n=login: start(world, n, OTHER_PASSWORD)) is Reason.MALFORMED
        session(submit(world, world.pending(), world.code(account)))

    def test_loc_11_a_throttle_that_is_down_opens_nothing_and_counts_nothing(self, over: Over) -> None:
        world = over.make(lanes=tight(account=2))
        account = world.person()
        with over.without("throttle"):
            for password in (PASSWORD, OTHER_PASSWORD) * 3:
                with pytest.raises(StoreError):
                    start(world, password=password)
            assert not world.sessions.of_account(account.id)
            failed = world.events.named(Event.SYSTEM_CONTROL_FAILED)
            assert {event.details["control"] for event in failed} == {"throttle"}
        session(complete(world, account))  # none of that was the visitor's failure

    def test_loc_11_a_portal_may_choose_to_go_on(self, over: Over) -> None:
        world = over.make(lanes=replace(tight(), store_down="allow"))
        account = world.person()
        with over.without("throttle"):
            session(complete(world, account))
            assert guess(world) is Reason.WRONG_PASSWORD
        assert world.events.named(Event.SYSTEM_CONTROL_FAILED)

    def test_loc_13_an_address_gets_a_bounded_number_of_mails(self, over: Over) -> None:
        registration.test_loc_13_an_address_gets_a_bounded_number_of_mails(over.make())

    def test_loc_13_a_whole_portal_bombs_nobody(self, over: Over, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notices, "Mailing", lambda: Mailing(stores=over.stores()))
        notices.test_loc_13_reset_requests_cannot_bomb_a_mailbox_nor_silence_its_notices()

    def test_atk_03_sixteen_threads_test_five_passwords(self, over: Over, hashes: Hashes) -> None:
        world = over.make(lanes=tight(account=5))
        world.person()
        hashes.clear()
        results = together(16, lambda _: start(world, password=OTHER_PASSWORD))
        assert hashes.tested == 5
        assert len(hashes) == 16  # each costs the same work
        assert sorted(result.reason for result in results) == sorted(
            [Reason.WRONG_PASSWORD] * 5 + [Reason.ACCOUNT_LOCKED] * 11
        )

    # -- recovery -------------------------------------------------------------------------------------------------

    def test_rec_02_links_end(self, over: Over) -> None:
        world, account = with_robin(over)
        reset.test_rec_02_a_link_lives_half_an_hour_and_the_browsers_token_a_quarter(world)
        contacts.test_rec_02_the_link_lives_a_day_and_works_once(world, account)

    def test_rec_02_links_of_other_purposes_end(self, over: Over) -> None:
        world, _ = with_robin(over)
        registration.test_rec_02_links_end(world)
        unlock.test_rec_02_a_link_lives_a_day(world)

    def test_rec_03_nothing_matches_a_blank_column(self, over: Over) -> None:
        world, account = with_robin(over)
        flow = over.tables["flow"]

        def held(make: Callable[[], Any]) -> Any:
            over.execute(f"DELETE FROM {flow}")
            made = make()
            over.execute(f"DELETE FROM {flow} WHERE purpose LIKE :look", look=f"%{_LOOK}")
            blanked("flow")
            return made

        def blanked(what: str) -> None:
            over.execute(f"UPDATE {over.tables[what]} SET digest = :blank", blank=over.blank)
            assert [row[0] for row in over.execute(f"SELECT COUNT(*) FROM {over.tables[what]}")] == [1]

        def nobody_is_let_in(use: Callable[[Any], object], *reasons: Reason) -> None:
            for nothing in NOTHINGS:
                assert refused(lambda n=nothing: use(n)) in reasons

        good = held(lambda: reset_token(world))
        for use in (world.reset.exchange, world.unlock.confirm, world.contacts.confirm):
            nobody_is_let_in(lambda n, use=use: use(n, source=SOURCE), Reason.TOKEN_INVALID)
        assert refused(lambda: world.reset.exchange(good, source=SOURCE)) is Reason.TOKEN_INVALID
        assert world.links.mailed("", LinkPurpose.RESET) is None
        held(lambda: browser_token(world))
        nobody_is_let_in(lambda n: world.reset.choose(n, OTHER_PASSWORD, source=SOURCE), Reason.TOKEN_INVALID)
        held(world.pending)
        nobody_is_let_in(lambda n: submit(world, n, world.code(account)), Reason.FLOW_UNKNOWN)
        signed_in(world, account)
        blanked("session")
        nobody_is_let_in(
            lambda n: world.sessions.check(n, source=SOURCE), Reason.SESSION_MISSING, Reason.SESSION_UNKNOWN
        )
        over.execute(f"DELETE FROM {over.tables['device']}")
        endings.known_device(world, account)
        blanked("device")
        over.execute(f"UPDATE {over.tables['device']} SET previous = :blank", blank=over.blank)
        assert not any(world.devices.find(each, account.id, source=SOURCE) for each in NOTHINGS)

    def test_rec_03_atk_35_edited_tokens(self, over: Over) -> None:
        world, _ = with_robin(over)
        spoilers = [
            lambda good: " " + good,
            lambda good: good + "A",
            lambda good: good[:-1],
            lambda good: good[1:],
            lambda good: good.swapcase(),
            lambda good: good[:20] + ("A" if good[20] != "A" else "B") + good[21:],
        ]
        good = reset_token(world)
        for spoil in spoilers:
            assert (
                refused(lambda s=spoil: world.reset.exchange(s(good), source=SOURCE)) is Reason.TOKEN_INVALID
            )
        browser = world.reset.exchange(good, source=SOURCE).reveal()
        for spoil in spoilers:
            assert refused(lambda s=spoil: reset.choose(world, s(browser))) is Reason.TOKEN_INVALID
        assert isinstance(reset.choose(world, browser), Step)

    @pytest.mark.parametrize("what", ["password", "address", "login", "disabled", "gone"])
    def test_rec_04_atk_35_what_a_link_was_made_for_must_be_as_it_was(self, over: Over, what: str) -> None:
        world, account = with_robin(over)
        mailed, held = reset_token(world), browser_token(world)
        # Past every service, so that nothing was told to drop tokens: the binding alone must hold.
        (contact,) = over.backing.contacts.of_account(account.id)
        if what == "password":
            assert over.backing.accounts.set_password(
                account.id, "$other", expected=world.account_store.get(account.id).password_hash
            )
        elif what == "login":
            over.rename(account, "robina")
            assert world.account_store.get(account.id).login == "robina"
        elif what == "disabled":
            over.backing.accounts.set_disabled(account.id, True)
        else:
            over.backing.contacts.remove(account.id, contact.id)
            if what == "address":
                assert over.backing.contacts.add(replace(contact, address="other@mail.example"))
        assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
        assert refused(lambda: reset.choose(world, held)) is Reason.TOKEN_INVALID

    def test_rec_04_a_changed_password_or_address_kills_links(self, over: Over) -> None:
        world, account = with_robin(over)
        contacts.test_rec_04_a_changed_address_kills_links(world, account)
        mailed = reset_token(world)
        mine = signed_in(world, account)
        world.password_change.change(mine, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE)
        assert refused(lambda: world.reset.exchange(mailed, source=SOURCE)) is Reason.TOKEN_INVALID

    def test_rec_05_a_link_confirms_the_address_that_it_was_mailed_to(self, over: Over) -> None:
        contacts.test_rec_05_a_link_confirms_the_address_that_it_was_mailed_to(*with_robin(over))

    def test_rec_05_a_row_that_got_another_address_is_not_confirmed(self, over: Over) -> None:
        world, account = with_robin(over)
        added = world.contacts.add(signed_in(world, account), NEW, current=PASSWORD, source=SOURCE)
        mailed = token_of(world)
        over.backing.contacts.remove(account.id, added.id)
        assert over.backing.contacts.add(replace(added, address="thief@mail.example"))
        assert refused(lambda: world.contacts.confirm(mailed, source=SOURCE)) is Reason.TOKEN_INVALID
        verified = [each.address for each in world.contacts.of_account(account.id) if each.verified_at]
        assert verified == [ADDRESS]

    def test_rec_06_look_alikes_find_nobody(self, over: Over) -> None:
        world, account = with_robin(over)
        reset.test_rec_06_a_look_alike_of_an_address_finds_nobody(world)
        mine = signed_in(world, account)
        for typed in ("robin＠mail.example", "robin@mаil.example@", "rоbin@mail.example"):
            add = lambda t=typed: world.contacts.add(mine, t, current=PASSWORD, source=SOURCE)  # noqa: E731
            assert refused(add) is Reason.ADDRESS_REFUSED
        assert [each.address for each in world.contacts.of_account(account.id)] == [ADDRESS]

    def test_rec_10_an_unverified_address_claims_no_account(self, over: Over) -> None:
        contacts.test_rec_10_an_unverified_address_claims_no_account(*with_robin(over))

    def test_rec_10_a_reset_removes_addresses_that_nobody_confirmed(self, over: Over) -> None:
        contacts.test_rec_10_a_reset_removes_addresses_that_nobody_confirmed(*with_robin(over))

    def test_rec_10_an_address_that_was_verified_meanwhile_is_not_claimed(self, over: Over) -> None:
        registration.test_rec_10_an_address_that_was_verified_meanwhile_is_not_claimed(over.make())

    def test_rec_11_looking_uses_no_token_up_and_gives_none(self, over: Over) -> None:
        reset.test_rec_11_atk_34_nothing_here_makes_an_address_of_a_page_or_uses_a_token_by_looking(
            with_robin(over)[0]
        )

    def test_atk_35_each_token_works_once(self, over: Over) -> None:
        reset.test_atk_35_each_token_works_once(with_robin(over)[0])

    def test_atk_35_a_link_that_was_moved_to_another_account_is_tampering(self, over: Over) -> None:
        world, _ = with_robin(over)
        thief = world.person("thief", enrolled=False)
        mailed = reset_token(world)
        over.execute(f"UPDATE {over.tables['flow']} SET account_id = :thief", thief=thief.id)
        with pytest.raises(Tampered):
            world.reset.exchange(mailed, source=SOURCE)

    def test_atk_35_no_token_rests_as_itself(self, over: Over) -> None:
        world = over.make()
        account, now = world.person(), world.clock()
        robins = Contact(id="c1", account_id=account.id, address=ADDRESS, verified_at=now, created_at=now)
        assert over.backing.contacts.add(robins)
        mailed, browser = reset_token(world), browser_token(world)
        rows = over.execute(f"SELECT * FROM {over.tables['flow']}")
        assert len(rows) >= 2
        stored = repr(
            [[bytes(cell) if isinstance(cell, memoryview) else cell for cell in row] for row in rows]
        )
        for part in (mailed, browser, ADDRESS):
            assert part not in stored

    # -- sessions -------------------------------------------------------------------------------------------------

    def test_ses_02_disabling_ends_everything(self, over: Over) -> None:
        endings.test_ses_02_disabling_ends_everything_and_tells_the_owner(over.make())

    def test_ses_03_an_ending_is_effective_at_the_next_request_of_every_worker(self, over: Over) -> None:
        world = over.make()
        account = world.person()
        other = World(backing=over.worker())
        other.clock = world.clock
        other.wire()

        def check(token: str) -> str:
            """In a thread of its own, as the other worker's request is."""
            (result,) = together(1, lambda _: other.sessions.check(token, source=SOURCE).account_id)
            return result if isinstance(result, str) else str(result.reason)

        for number in range(2):
            world.clock.advance(timedelta(seconds=60))
            opened = world.session(account).token.reveal()
            assert check(opened) == account.id
            if number == 0:
                world.sessions.end_all(account.id, source=SOURCE, actor=STAFF)
            else:
                world.accounts.disable(account.id, actor=STAFF, source=SOURCE)
            assert check(opened) == Reason.SESSION_UNKNOWN

    def test_ses_06_missing_or_future_times_are_expired(self, over: Over) -> None:
        world = over.make()
        account = world.person()
        table, ended = over.tables["session"], {Reason.SESSION_CLOCK, Reason.SESSION_EXPIRED}
        tried = 0
        for column in ("created_at", "last_seen_at", "proofs"):
            future = unix_microseconds(world.clock() + timedelta(days=1))
            values: list[Any] = (
                [None, future]
                if column != "proofs"
                else [f'[["password",{when},null,0,null],["totp",0,"x",0,null]]' for when in (future, 2**62)]
            )
            if column == "last_seen_at":  # proven long ago is no error
                values += [2**62, -(2**62), 0, "now"]
            for value in values:
                world.clock.advance(timedelta(seconds=60))
                opened = world.session(account).token.reveal()
                try:
                    over.execute(f"UPDATE {table} SET {column} = :value", value=value)
                except over.refuses:
                    assert value in (None, "now")  # what is no time is not stored at all; SQLite keeps texts
                    world.sessions.end_all(account.id, source=SOURCE, actor=STAFF)
                    continue
                tried += 1
                assert refused(lambda o=opened: world.sessions.check(o, source=SOURCE)) in ended, (
                    column,
                    value,
                )
                assert world.sessions.of_account(account.id) == ()
                assert over.execute(f"SELECT COUNT(*) FROM {table}")[0][0] == 0
        assert tried >= 6

    def test_atk_12_an_id_that_was_rotated_is_dead(self, over: Over) -> None:
        world = over.make()
        password_change.test_ses_12_atk_12_the_old_id_is_dead_at_once(world)

    def test_atk_12_a_rotated_session_goes_on_under_its_new_id_alone(self, over: Over) -> None:
        world = over.make()
        account = world.person()
        mine = signed_in(world, account)
        kept = world.endings.apply(account.id, Why.FACTOR_ADDED, actor=STAFF, source=SOURCE, keep=mine.digest)
        assert kept is not None
        assert active(world, kept).created_at == mine.created_at
        assert not alive(world, mine)


class CasesOfSqlToo:
    """What `tests.abuse.test_auth` and `test_recovery` run over SQLite and PostgreSQL already."""

    @pytest.fixture
    def world(self, over: Over) -> World:
        return over.make()

    @pytest.fixture(autouse=True)
    def few_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recovery, "THREADS", 8)

    def test_loc_01_parallel_guesses_at_limit_three(self, over: Over, hashes: Hashes) -> None:
        auth.test_loc_01_twenty_parallel_guesses_at_limit_three_test_three(over.make, hashes)

    def test_loc_05_ones_own_password_does_not_clear_the_address(self, over: Over, hashes: Hashes) -> None:
        auth.test_loc_05_ones_own_right_password_does_not_clear_the_address(over.make, hashes)

    def test_loc_06_a_pending_code_clears_nothing(self, over: Over) -> None:
        auth.test_loc_06_right_password_with_a_pending_code_clears_nothing(over.make)

    def test_loc_07_the_next_failures_lock_again(self, over: Over, hashes: Hashes) -> None:
        auth.test_loc_07_after_the_first_lock_the_next_failures_lock_again(over.make, hashes)

    def test_loc_08_password_and_code_budgets_are_apart(self, over: Over) -> None:
        auth.test_loc_08_password_and_code_budgets_are_apart(over.make)

    def test_rec_01_one_mailed_link_in_many_threads(self, world: World) -> None:
        recovery.test_rec_01_one_mailed_link_in_fifty_threads(world)

    def test_rec_01_one_browsers_token_in_many_threads(self, world: World) -> None:
        recovery.test_rec_01_one_browsers_token_in_fifty_threads(world)

    def test_ses_01_disabling_ends_every_session(self, world: World) -> None:
        auth.test_ses_01_disabling_ends_every_session(world)

    @pytest.mark.parametrize("why", [Why.PASSWORD_CHANGED, Why.DISABLED, Why.DISAVOWED])
    def test_ses_01_every_reason_ends_the_same(self, world: World, why: Why) -> None:
        recovery.test_ses_01_every_reason_ends_the_same_on_every_store(world, why)

    def test_ses_02_a_disabled_account_gets_no_session_by_any_step(self, world: World) -> None:
        auth.test_ses_02_a_disabled_account_gets_no_session_by_any_step(world)

    def test_ses_12_one_confirmation_of_an_address_in_many_threads(self, world: World) -> None:
        recovery.test_ses_12_one_confirmation_of_an_address_in_fifty_threads(world)

    def test_ses_12_two_addresses_confirmed_at_once(self, world: World) -> None:
        recovery.test_ses_12_two_addresses_confirmed_at_once_are_the_ones_that_were_shown(world)

    def test_atk_14_a_change_in_one_of_three_sessions(self, world: World) -> None:
        recovery.test_atk_14_a_change_in_one_of_three_sessions(world)
