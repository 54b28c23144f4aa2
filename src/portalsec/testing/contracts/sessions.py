"""The contract of `portalsec.auth.ports.SessionStore`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest

from portalsec.auth.ports import Created, LoadedSession, SessionRecord, SessionStore
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners
from portalsec.testing.processes import Opener, race_processes

__all__ = ["SessionStoreContract"]


def _session(
    number: int = 1, *, account: str = "account-1", epoch: int = 0, at: datetime = NOW
) -> SessionRecord:
    return SessionRecord(
        digest=hashlib.sha256(b"session %d" % number).digest(),
        account_id=account,
        epoch=epoch,
        created_at=at,
        last_seen_at=at,
        proofs=(
            Proof(factor=Factor.PASSWORD, at=at),
            Proof(factor=Factor.TOTP, at=at, authenticator="totp-1"),
        ),
        level=2,
        address="2001:db8::1",
        user_agent="Mozilla/5.0 (Zoë's browser)",
    )


_FULL = replace(
    _session(1),
    proofs=(
        Proof(factor=Factor.PASSWORD, at=NOW, through=Factor.EMAIL_CODE),
        Proof(
            factor=Factor.PASSKEY,
            at=NOW + MICROSECOND,
            authenticator="passkey-\N{LATIN SMALL LETTER E WITH DIAERESIS}",
            user_verified=True,
            device_bound=True,
            attested=True,
            explicit=True,
        ),
    ),
    level=3,
    phishing_resistant=True,
    idle=timedelta(minutes=2),
    absolute=timedelta(days=30) + MICROSECOND,
    shared=True,
    rested_at=NOW + timedelta(minutes=2),
    anomaly="address+browser",
    impersonator="account-9",
    behind=b"\x00\xff" * 16,
    posture=DevicePosture(at=NOW, platform="ios", os_version="17.4.1", attested=True, rooted=False),
    jkt="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    place="Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}terwoude, NL",
    networks=("198.51.0.0/16", "2001:db8::/32", "ffff:ffff::/32", "203.113.0.0/16"),
)


def _race(
    store: SessionStore, wait: Callable[[], None], number: int, rounds: int
) -> list[tuple[bool, bool, int]]:
    """Every process replaces the same session, opens two of an account that may have three, and ends the rest of a third."""
    done = []
    for turn in range(rounds):
        base = 10_000 * (turn + 1) + 100 * number
        wait()
        swapped = store.replace(_session(turn).digest, _session(base))
        capped = f"capped-{turn}"
        for each in (1, 2):
            store.create(_session(base + each, account=capped), cap=3)
        wait()
        ended = store.end(_session(turn + 5_000).digest)
        left = store.end_all(f"ending-{turn}")
        store.create(_session(base + 3, account=f"ending-{turn}", epoch=left - 1))
        wait()
        done.append((swapped, ended, left))
    return done


class SessionStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `SessionStore`."""

    @pytest.fixture
    def store(self) -> SessionStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty SessionStore")

    def test_a_session_is_loaded_as_it_was_created_with_the_accounts_epoch(self, store: SessionStore) -> None:
        full = _FULL
        bare = replace(_session(2), address=None, user_agent=None, proofs=(), level=0)
        for record in (full, bare):
            assert store.create(record)
            assert store.load(record.digest) == LoadedSession(record=record, current_epoch=0)

    def test_an_unknown_session_is_none(self, store: SessionStore) -> None:
        store.create(_session(1))
        assert store.load(_session(2).digest) is None
        assert not store.touch(_session(2).digest, last_seen_at=NOW + MICROSECOND)
        assert not store.end(_session(2).digest)

    def test_a_known_digest_is_refused_and_leaves_the_first_session_alone(self, store: SessionStore) -> None:
        assert store.create(_session())
        assert not store.create(replace(_session(), account_id="account-2"))
        assert store.load(_session().digest) == LoadedSession(record=_session(), current_epoch=0)
        assert list(store.of_account("account-2")) == []

    def test_a_session_of_another_epoch_is_not_created(self, store: SessionStore) -> None:
        assert not store.create(_session(1, epoch=1))
        assert store.end_all("account-1") == 1
        assert not store.create(_session(1, epoch=0))
        assert not store.create(_session(1, epoch=2))
        assert store.load(_session(1).digest) is None
        assert store.create(_session(1, epoch=1))
        assert store.load(_session(1).digest) == LoadedSession(record=_session(1, epoch=1), current_epoch=1)

    def test_an_account_starts_at_epoch_zero_and_end_all_raises_it(self, store: SessionStore) -> None:
        assert store.epoch("account-1") == 0
        assert [store.end_all("account-1") for _ in range(3)] == [1, 2, 3]
        assert store.epoch("account-1") == 3
        assert store.epoch("account-2") == 0

    def test_end_all_ends_the_accounts_sessions_alone(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        store.create(_session(3, account="account-2"))
        store.end_all("account-1")
        assert store.load(_session(1).digest) is None
        assert store.load(_session(2).digest) is None
        assert list(store.of_account("account-1")) == []
        assert store.load(_session(3).digest) is not None

    def test_touch_moves_forward_and_never_back(self, store: SessionStore) -> None:
        store.create(_session())
        later = NOW + MICROSECOND
        assert store.touch(_session().digest, last_seen_at=later)
        for stale in (later, NOW, NOW - timedelta(days=1)):
            assert not store.touch(_session().digest, last_seen_at=stale)
        loaded = store.load(_session().digest)
        assert loaded == LoadedSession(record=replace(_session(), last_seen_at=later), current_epoch=0)

    def test_touch_moves_one_session(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        store.touch(_session(1).digest, last_seen_at=NOW + MICROSECOND)
        assert store.load(_session(2).digest) == LoadedSession(record=_session(2), current_epoch=0)

    def test_a_session_ends_once(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        assert store.end(_session(1).digest)
        assert not store.end(_session(1).digest)
        assert store.load(_session(1).digest) is None
        assert store.load(_session(2).digest) is not None
        assert not store.touch(_session(1).digest, last_seen_at=NOW + timedelta(days=1))

    def test_a_session_rests_once_and_no_touch_wakes_it(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        assert store.rest(_session(1).digest, at=NOW)
        assert not store.rest(_session(1).digest, at=NOW + MICROSECOND)
        assert not store.rest(_session(9).digest, at=NOW)
        assert not store.touch(_session(1).digest, last_seen_at=NOW + timedelta(days=1))
        rested = replace(_session(1), rested_at=NOW)
        assert store.load(_session(1).digest) == LoadedSession(record=rested, current_epoch=0)
        assert store.load(_session(2).digest) == LoadedSession(record=_session(2), current_epoch=0)
        assert rested in store.of_account("account-1")

    def test_an_anomaly_takes_the_place_of_the_one_that_was_expected(self, store: SessionStore) -> None:
        for number in (1, 2):
            store.create(_session(number))
        digest = _session(1).digest
        assert not store.flag(digest, "browser", expected="address")
        assert store.flag(digest, "address", expected=None)
        assert not store.flag(digest, "browser", expected=None)
        assert not store.flag(digest, "address", expected="address")
        assert store.flag(digest, "address+browser", expected="address")
        assert not store.flag(_session(9).digest, "address", expected=None)
        flagged = replace(_session(1), anomaly="address+browser")
        assert store.load(digest) == LoadedSession(record=flagged, current_epoch=0)
        assert store.load(_session(2).digest) == LoadedSession(record=_session(2), current_epoch=0)

    def test_a_session_takes_the_place_of_another_in_one_step(self, store: SessionStore) -> None:
        old, new, other = _session(1), _session(2), _session(3)
        for record in (old, other):
            store.create(record)
        assert store.replace(old.digest, new)
        assert store.load(old.digest) is None
        assert store.load(new.digest) == LoadedSession(record=new, current_epoch=0)
        assert not store.replace(old.digest, _session(4))
        assert store.load(_session(4).digest) is None
        assert list(store.of_account("account-1")) == sorted(
            (new, other), key=lambda r: r.digest, reverse=True
        )

    def test_a_session_that_rests_can_be_replaced(self, store: SessionStore) -> None:
        store.create(_session(1))
        store.rest(_session(1).digest, at=NOW)
        assert store.replace(_session(1).digest, _session(2))
        assert store.touch(_session(2).digest, last_seen_at=NOW + MICROSECOND)

    def test_what_is_not_replaced_changes_nothing(self, store: SessionStore) -> None:
        mine, theirs = _session(1), _session(2, account="account-2")
        for record in (mine, theirs):
            store.create(record)
        assert not store.replace(theirs.digest, _session(3))  # another account's
        assert not store.replace(mine.digest, _session(3, epoch=1))  # of another epoch
        assert not store.replace(
            mine.digest, replace(theirs, account_id="account-1")
        )  # a digest that is taken
        for record in (mine, theirs):
            assert store.load(record.digest) == LoadedSession(record=record, current_epoch=0)
        assert store.load(_session(3).digest) is None
        store.end_all("account-1")
        for epoch in (0, 1):
            assert not store.replace(mine.digest, _session(3, epoch=epoch))
        assert list(store.of_account("account-1")) == []

    def test_a_cap_ends_those_unused_the_longest(self, store: SessionStore) -> None:
        used = {1: 30, 2: 10, 3: 20}
        records = {n: replace(_session(n), last_seen_at=NOW + timedelta(minutes=m)) for n, m in used.items()}
        for record in records.values():
            assert store.create(record, cap=3) == Created(opened=True)
        other = _session(9, account="account-2")
        assert store.create(other, cap=1) == Created(opened=True)
        latest = replace(_session(4), last_seen_at=NOW + timedelta(minutes=40))
        assert store.create(latest, cap=2) == Created(opened=True, ended=(records[2], records[3]))
        assert {each.digest for each in store.of_account("account-1")} == {records[1].digest, latest.digest}
        assert store.load(records[2].digest) is None
        assert store.load(other.digest) is not None

    def test_a_session_that_was_used_since_keeps_its_place_under_a_cap(self, store: SessionStore) -> None:
        elder, younger = _session(1), replace(_session(2), last_seen_at=NOW + timedelta(minutes=2))
        assert store.create(elder).opened
        assert store.create(younger).opened
        assert store.touch(elder.digest, last_seen_at=NOW + timedelta(minutes=3))
        assert store.create(_session(3), cap=2) == Created(opened=True, ended=(younger,))

    def test_a_cap_that_ends_nobody_opens_nothing_more(self, store: SessionStore) -> None:
        for number in (1, 2):
            assert store.create(_session(number), cap=2, end_oldest=False).opened
        assert store.create(_session(3), cap=2, end_oldest=False) == Created(opened=False, full=True)
        assert store.load(_session(3).digest) is None
        assert len(store.of_account("account-1")) == 2

    def test_who_acts_in_the_owners_name_takes_none_of_the_owners_places(self, store: SessionStore) -> None:
        staff = replace(_session(1), impersonator="account-9", behind=b"\x01" * 32)
        own = [replace(_session(n), last_seen_at=NOW + timedelta(minutes=n)) for n in (2, 3, 4)]
        assert store.create(staff)
        assert store.touch(staff.digest, last_seen_at=NOW + MICROSECOND)
        for record in own[:2]:
            assert store.create(record, cap=2, end_oldest=False) == Created(opened=True)
        assert store.create(own[2], cap=2, end_oldest=False) == Created(opened=False, full=True)
        assert store.create(own[2], cap=2) == Created(opened=True, ended=(own[0],))
        again = replace(staff, digest=_session(5).digest)
        assert store.replace(staff.digest, again)
        assert store.create(own[0], cap=1) == Created(opened=True, ended=(own[1], own[2]))
        assert {each.digest for each in store.of_account("account-1")} == {again.digest, own[0].digest}
        assert store.end_all("account-1") == 1
        assert store.load(again.digest) is None

    def test_a_session_that_is_not_created_makes_no_room(self, store: SessionStore) -> None:
        store.create(_session(1))
        assert store.create(_session(2, epoch=1), cap=1) == Created(opened=False)
        assert store.create(_session(1), cap=1) == Created(opened=False)
        assert store.load(_session(1).digest) is not None

    def test_race_of_replacements_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            old = _session(turn * 100)
            store.create(old)
            new = [_session(turn * 100 + n + 1) for n in range(THREADS)]
            assert winners(self.race(*(partial(store.replace, old.digest, each) for each in new))) == 1
            assert sum(store.load(each.digest) is not None for each in new) == 1
            assert store.load(old.digest) is None

    def test_race_of_rests_and_flags_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            store.create(_session(turn))
            assert winners(self.race(partial(store.rest, _session(turn).digest, at=NOW))) == 1
            flag = partial(store.flag, _session(turn).digest, "browser", expected=None)
            assert winners(self.race(flag)) == 1

    def test_race_of_sign_ins_never_passes_the_cap(self, store: SessionStore) -> None:
        for turn in self.rounds():
            for end_oldest in (True, False):
                account = f"account-{turn}-{end_oldest}"
                records = [
                    _session(turn * 100 + n + 50 * end_oldest, account=account) for n in range(THREADS)
                ]
                self.race(*(partial(store.create, each, cap=3, end_oldest=end_oldest) for each in records))
                assert len(store.of_account(account)) == 3
                assert sum(store.load(each.digest) is not None for each in records) == 3

    def test_race_of_a_replacement_and_end_all_leaves_nothing(self, store: SessionStore) -> None:
        for turn in self.rounds():
            account = f"account-{turn}"
            old = _session(turn * 100, account=account)
            store.create(old)
            new = [_session(turn * 100 + n + 1, account=account) for n in range(THREADS - 1)]
            self.race(
                *(partial(store.replace, old.digest, each) for each in new), partial(store.end_all, account)
            )
            assert list(store.of_account(account)) == []
            for each in (old, *new):
                loaded = store.load(each.digest)
                assert loaded is None or loaded.record.epoch < loaded.current_epoch

    def test_an_accounts_sessions_are_listed_newest_first(self, store: SessionStore) -> None:
        records = [_session(n, at=NOW + timedelta(minutes=m)) for n, m in ((1, 5), (2, 20), (3, 0))]
        for record in records:
            store.create(record)
        store.create(_session(4, account="account-2"))
        assert list(store.of_account("account-1")) == [records[1], records[0], records[2]]
        assert list(store.of_account("nobody")) == []

    def test_race_of_creates_with_one_digest_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            assert winners(self.race(partial(store.create, _session(turn)))) == 1

    def test_race_of_ends_has_one_winner(self, store: SessionStore) -> None:
        for turn in self.rounds():
            store.create(_session(turn))
            assert winners(self.race(partial(store.end, _session(turn).digest))) == 1

    def test_race_of_touches_keeps_the_newest(self, store: SessionStore) -> None:
        for turn in self.rounds():
            record = _session(turn)
            store.create(record)
            moments = [NOW + timedelta(seconds=n + 1) for n in range(THREADS)]
            self.race(*(partial(store.touch, record.digest, last_seen_at=m) for m in moments))
            assert store.load(record.digest) == LoadedSession(
                record=replace(record, last_seen_at=moments[-1]), current_epoch=0
            )

    def test_race_of_end_all_counts_every_call(self, store: SessionStore) -> None:
        for turn in self.rounds():
            epochs = self.race(partial(store.end_all, f"account-{turn}"))
            assert sorted(epochs) == list(range(1, THREADS + 1))

    def test_race_of_sign_in_and_end_all_leaves_no_session_of_the_old_epoch(
        self, store: SessionStore
    ) -> None:
        for turn in self.rounds(8):
            account = f"account-{turn}"
            # An account whose epoch was raised before, and one that is new to the store.
            epoch = store.end_all(account) if turn % 2 else 0
            records = [_session(turn * 100 + n, account=account, epoch=epoch) for n in range(THREADS - 1)]
            self.race(
                *(partial(store.create, record) for record in records),
                partial(store.end_all, account),
            )
            assert store.epoch(account) == epoch + 1
            assert list(store.of_account(account)) == []
            for record in records:
                loaded = store.load(record.digest)
                assert loaded is None or loaded.record.epoch < loaded.current_epoch

    def test_four_processes_have_one_winner_and_never_pass_the_cap(
        self, store: SessionStore, in_processes: Opener
    ) -> None:
        rounds = self.rounds(4)
        for turn in rounds:
            for record in (_session(turn), _session(turn + 5_000)):
                assert store.create(record)
        reports = race_processes(in_processes, _race, len(rounds))
        for turn in rounds:
            swapped, ended, epochs = zip(*(report[turn] for report in reports), strict=True)
            assert winners(swapped) == winners(ended) == 1
            assert sorted(epochs) == [1, 2, 3, 4]
            assert store.load(_session(turn).digest) is None
            assert len(store.of_account(f"capped-{turn}")) == 3
            assert [record.epoch for record in store.of_account(f"ending-{turn}")] == []
        assert len(store.of_account("account-1")) == len(rounds)

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: SessionStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.create(_session(1))
        store.create(_session(2))
        store.create(_session(3, account="account-2"))
        with open_write:
            assert store.create(_session(4))
            assert store.touch(_session(1).digest, last_seen_at=NOW + MICROSECOND)
            assert store.end(_session(2).digest)
            assert store.end_all("account-2") == 1
        assert store.load(_session(4).digest) is not None
        touched = store.load(_session(1).digest)
        assert touched is not None and touched.record.last_seen_at == NOW + MICROSECOND
        assert store.load(_session(2).digest) is None
        assert store.load(_session(3).digest) is None
        assert store.epoch("account-2") == 1

    def test_purge_removes_what_was_opened_until_a_moment(self, store: SessionStore) -> None:
        edge, later = _session(1, at=NOW), _session(2, at=NOW + MICROSECOND)
        for record in (edge, later):
            assert store.create(record)
        assert store.purge(created_until=NOW) == 1
        assert store.purge(created_until=NOW) == 0
        assert store.load(edge.digest) is None
        assert store.load(later.digest) is not None

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: SessionStore) -> None:
        digest = _session().digest
        self.assert_all_fail(
            [
                lambda: failing_store.epoch("account-1"),
                lambda: failing_store.create(_session()),
                lambda: failing_store.load(digest),
                lambda: failing_store.touch(digest, last_seen_at=NOW),
                lambda: failing_store.replace(digest, _session(2)),
                lambda: failing_store.rest(digest, at=NOW),
                lambda: failing_store.flag(digest, "browser", expected=None),
                lambda: failing_store.end(digest),
                lambda: failing_store.end_all("account-1"),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.purge(created_until=NOW),
            ]
        )
