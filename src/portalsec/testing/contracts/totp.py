"""The contract of `portalsec.auth.ports.TotpStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from portalsec.auth.ports import TotpDevice, TotpStore
from portalsec.errors import StoreError
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["TotpStoreContract"]

_STEP = 59_000_000


def _device(number: int = 1, *, account: str = "account-1") -> TotpDevice:
    return TotpDevice(
        id=f"device-{number}",
        account_id=account,
        label=f"Zoë's phone {number}",
        sealed_secret=bytes(range(256)),
        confirmed=False,
        last_step=-1,
        created_at=NOW + number * MICROSECOND,
    )


def _confirmed(device: TotpDevice, step: int = _STEP) -> TotpDevice:
    return replace(device, confirmed=True, last_step=step)


class TotpStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `TotpStore`."""

    @pytest.fixture
    def store(self) -> TotpStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty TotpStore")

    def test_a_device_is_listed_as_it_was_added(self, store: TotpStore) -> None:
        assert list(store.devices("account-1")) == []
        store.add(_device())
        assert list(store.devices("account-1")) == [_device()]
        assert list(store.devices("account-2")) == []

    def test_an_unconfirmed_device_takes_the_place_of_the_accounts_other_unconfirmed_one(
        self, store: TotpStore
    ) -> None:
        store.add(_device(1))
        store.add(_device(2, account="account-2"))
        store.add(_device(3))
        assert list(store.devices("account-1")) == [_device(3)]
        assert list(store.devices("account-2")) == [_device(2, account="account-2")]

    def test_a_confirmed_device_stays_when_another_is_added(self, store: TotpStore) -> None:
        store.add(_device(1))
        store.confirm("account-1", "device-1", _STEP)
        store.add(_device(2))
        store.add(_device(3))
        assert list(store.devices("account-1")) == [_confirmed(_device(1)), _device(3)]

    def test_devices_are_listed_oldest_first(self, store: TotpStore) -> None:
        for number, age in ((1, 0), (2, -5), (3, 5)):
            store.add(replace(_device(number), created_at=NOW + timedelta(days=age)))
            store.confirm("account-1", f"device-{number}", _STEP)
        assert [device.id for device in store.devices("account-1")] == ["device-2", "device-1", "device-3"]

    def test_a_known_id_is_an_error_and_never_replaces_anothers_device(self, store: TotpStore) -> None:
        store.add(_device(1))
        store.confirm("account-1", "device-1", _STEP)
        for account in ("account-1", "account-2"):
            with pytest.raises(StoreError):
                store.add(_device(1, account=account))
        assert list(store.devices("account-1")) == [_confirmed(_device(1))]
        assert list(store.devices("account-2")) == []

    def test_a_device_is_confirmed_once_by_its_owner(self, store: TotpStore) -> None:
        store.add(_device())
        assert not store.confirm("account-2", "device-1", _STEP)
        assert not store.confirm("account-1", "device-2", _STEP)
        assert list(store.devices("account-1")) == [_device()]
        assert store.confirm("account-1", "device-1", _STEP)
        assert not store.confirm("account-1", "device-1", _STEP + 1)
        assert list(store.devices("account-1")) == [_confirmed(_device())]

    def test_only_a_newer_step_advances(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        assert not store.advance("account-1", "device-1", _STEP)
        assert not store.advance("account-1", "device-1", _STEP - 1)
        assert store.advance("account-1", "device-1", _STEP + 2)
        assert not store.advance("account-1", "device-1", _STEP + 2)
        assert not store.advance("account-1", "device-1", _STEP + 1)
        assert list(store.devices("account-1")) == [_confirmed(_device(), _STEP + 2)]

    def test_an_unconfirmed_unknown_or_foreign_device_does_not_advance(self, store: TotpStore) -> None:
        store.add(_device(1))
        assert not store.advance("account-1", "device-1", _STEP)
        store.confirm("account-1", "device-1", _STEP)
        assert not store.advance("account-2", "device-1", _STEP + 1)
        assert not store.advance("account-1", "device-2", _STEP + 1)
        assert list(store.devices("account-1")) == [_confirmed(_device(1))]

    def test_a_step_is_used_up_for_one_device_only(self, store: TotpStore) -> None:
        for number in (1, 2):
            store.add(_device(number))
            store.confirm("account-1", f"device-{number}", _STEP)
        assert store.advance("account-1", "device-1", _STEP + 1)
        assert store.advance("account-1", "device-2", _STEP + 1)

    def test_a_device_is_removed_by_its_owner_alone(self, store: TotpStore) -> None:
        store.add(_device(1))
        store.confirm("account-1", "device-1", _STEP)
        store.add(_device(2))
        assert not store.remove("account-2", "device-1")
        assert store.remove("account-1", "device-1")
        assert not store.remove("account-1", "device-1")
        assert list(store.devices("account-1")) == [_device(2)]
        assert store.remove("account-1", "device-2")
        assert not store.advance("account-1", "device-1", _STEP + 9)

    def test_every_field_comes_back_as_it_went_in(self, store: TotpStore) -> None:
        device = replace(
            _device(),
            confirmed=True,
            last_step=_STEP,
            algorithm="SHA512",
            digits=8,
            period=60,
            drift=-2,
            failures=7,
            used_at=NOW + 3 * MICROSECOND,
        )
        store.add(device)
        assert list(store.devices("account-1")) == [device]

    def test_drift_and_use_are_kept_with_the_step(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        used = NOW + MICROSECOND
        assert store.advance("account-1", "device-1", _STEP + 1, drift=-3, at=used)
        kept = replace(_confirmed(_device(), _STEP + 1), drift=-3, used_at=used)
        assert list(store.devices("account-1")) == [kept]
        assert not store.advance("account-1", "device-1", _STEP + 1, drift=5, at=used + MICROSECOND)
        assert list(store.devices("account-1")) == [kept]
        assert store.advance("account-1", "device-1", _STEP + 2, drift=1)
        assert list(store.devices("account-1")) == [replace(kept, last_step=_STEP + 2, drift=1)]

    def test_failures_are_counted_up_to_the_cap_and_cleared_by_a_right_code(self, store: TotpStore) -> None:
        store.add(_device())
        assert not store.try_("account-2", "device-1", cap=3)
        assert not store.try_("account-1", "device-2", cap=3)
        assert [store.try_("account-1", "device-1", cap=3) for _ in range(4)] == [True, True, True, False]
        assert store.devices("account-1")[0].failures == 3
        store.untry("account-2", "device-1")
        assert not store.try_("account-1", "device-1", cap=3)
        store.untry("account-1", "device-1")
        assert store.try_("account-1", "device-1", cap=3)
        assert store.confirm("account-1", "device-1", _STEP)
        assert store.devices("account-1")[0].failures == 0
        assert store.try_("account-1", "device-1", cap=3)
        assert not store.advance("account-1", "device-1", _STEP)
        assert store.devices("account-1")[0].failures == 1
        assert store.advance("account-1", "device-1", _STEP + 1)
        for _ in range(2):
            store.untry("account-1", "device-1")
        assert store.devices("account-1")[0].failures == 0
        # One that is tested beside others counts for several.
        assert [store.try_("account-1", "device-1", cap=10, weight=4) for _ in range(4)] == [True] * 3 + [
            False
        ]
        assert store.devices("account-1")[0].failures == 12
        store.untry("account-1", "device-1", weight=4)
        assert store.devices("account-1")[0].failures == 8
        for _ in range(2):
            store.untry("account-1", "device-1", weight=5)
        assert store.devices("account-1")[0].failures == 0
        # A cap that was lowered since holds for what was counted before it.
        assert store.try_("account-1", "device-1", cap=100)
        assert not store.try_("account-1", "device-1", cap=1)

    def test_a_device_is_renamed_by_its_owner(self, store: TotpStore) -> None:
        store.add(_device())
        assert not store.rename("account-2", "device-1", "stolen")
        assert not store.rename("account-1", "device-2", "none")
        assert store.rename("account-1", "device-1", "Фон")
        assert list(store.devices("account-1")) == [replace(_device(), label="Фон")]

    def test_a_removed_device_is_out_of_reach_until_it_is_restored(self, store: TotpStore) -> None:
        for number in (1, 2):
            store.add(_device(number))
            store.confirm("account-1", f"device-{number}", _STEP)
        assert not store.remove("account-2", "device-1", at=NOW)
        assert store.remove("account-1", "device-1", at=NOW)
        assert not store.remove("account-1", "device-1", at=NOW + MICROSECOND)
        assert not store.remove("account-1", "device-1")
        gone = replace(_confirmed(_device(1)), removed_at=NOW)
        assert list(store.removed("account-1")) == [gone]
        assert list(store.removed("account-2")) == []
        assert list(store.devices("account-1")) == [_confirmed(_device(2))]
        store.untry("account-1", "device-1")
        assert not store.try_("account-1", "device-1", cap=3)
        assert not store.advance("account-1", "device-1", _STEP + 1)
        assert not store.rename("account-1", "device-1", "other")
        with pytest.raises(StoreError):
            store.add(_device(1, account="account-2"))
        assert list(store.removed("account-1")) == [gone]
        assert not store.restore("account-2", "device-1", since=NOW - MICROSECOND)
        assert not store.restore("account-1", "device-1", since=NOW)
        assert not store.restore("account-1", "device-2", since=NOW - MICROSECOND)
        assert store.restore("account-1", "device-1", since=NOW - MICROSECOND)
        assert not store.restore("account-1", "device-1", since=NOW - MICROSECOND)
        assert list(store.devices("account-1")) == [_confirmed(_device(1)), _confirmed(_device(2))]
        assert list(store.removed("account-1")) == []

    def test_a_removed_device_comes_back_however_many_there_are(self, store: TotpStore) -> None:
        """Who filled the owner's list must not keep the owner's own out; limits are for callers."""
        for number in range(1, 13):
            store.add(_device(number))
            store.confirm("account-1", f"device-{number}", _STEP)
            if number == 1:
                store.remove("account-1", "device-1", at=NOW)
        assert store.restore("account-1", "device-1", since=NOW - MICROSECOND)
        assert len(store.devices("account-1")) == 12

    def test_an_unconfirmed_device_is_deleted_and_never_restored(self, store: TotpStore) -> None:
        store.add(_device())
        assert store.remove("account-1", "device-1", at=NOW)
        assert list(store.removed("account-1")) == []
        store.add(_device(2))
        assert list(store.devices("account-1")) == [_device(2)]

    def test_purging_deletes_what_was_removed_by_then(self, store: TotpStore) -> None:
        for number in (1, 2, 3):
            store.add(_device(number))
            store.confirm("account-1", f"device-{number}", _STEP)
        for number in (1, 2):
            store.remove("account-1", f"device-{number}", at=NOW + number * MICROSECOND)
        assert store.purge_removed(until=NOW + MICROSECOND) == 1
        assert store.purge_removed(until=NOW + MICROSECOND) == 0
        assert [device.id for device in store.removed("account-1")] == ["device-2"]
        assert not store.restore("account-1", "device-1", since=NOW - MICROSECOND)
        assert list(store.devices("account-1")) == [_confirmed(_device(3))]

    def test_race_of_guesses_lets_through_no_more_than_the_cap(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        for turn in self.rounds():
            results = self.race(partial(store.try_, "account-1", "device-1", cap=3))
            assert winners(results) == 3
            assert store.devices("account-1")[0].failures == 3
            assert store.advance("account-1", "device-1", _STEP + 1 + turn)

    def test_race_of_restorations_has_one_winner(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        for _ in self.rounds():
            assert winners(self.race(partial(store.remove, "account-1", "device-1", at=NOW))) == 1
            restored = self.race(partial(store.restore, "account-1", "device-1", since=NOW - MICROSECOND))
            assert winners(restored) == 1

    def test_race_of_confirmation_and_removal_leaves_no_factor(self, store: TotpStore) -> None:
        for turn in self.rounds():
            store.add(_device(turn))
            confirmed, removed = self.race(
                partial(store.confirm, "account-1", f"device-{turn}", _STEP),
                partial(store.remove, "account-1", f"device-{turn}", at=NOW),
            )
            assert removed
            assert list(store.devices("account-1")) == []
            assert len(store.removed("account-1")) == confirmed
            store.purge_removed(until=NOW)

    def test_race_of_one_step_has_one_winner(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        for turn in self.rounds(5, soak=1000):
            step = _STEP + 1 + turn
            results = self.race(partial(store.advance, "account-1", "device-1", step))
            assert winners(results) == 1
            assert store.devices("account-1")[0].last_step == step

    def test_fifty_threads_with_one_code_have_one_winner(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        for turn in self.rounds(1, soak=50):
            advance = partial(store.advance, "account-1", "device-1", _STEP + 1 + turn, drift=1, at=NOW)
            assert winners(self.race(*[advance] * 50)) == 1

    def test_fifty_threads_guess_no_more_often_than_the_cap(self, store: TotpStore) -> None:
        for turn in self.rounds(1, soak=20):
            store.add(_device(turn))
            guess = partial(store.try_, "account-1", f"device-{turn}", cap=7)
            assert winners(self.race(*[guess] * 50)) == 7
            store.confirm("account-1", f"device-{turn}", _STEP)

    def test_race_of_different_steps_never_goes_back(self, store: TotpStore) -> None:
        store.add(_device())
        store.confirm("account-1", "device-1", _STEP)
        for turn in self.rounds():
            steps = [_STEP + turn * THREADS + n + 1 for n in range(THREADS)]
            results = self.race(*(partial(store.advance, "account-1", "device-1", step) for step in steps))
            assert results[-1], "the newest step is new whatever came before it"
            assert store.devices("account-1")[0].last_step == steps[-1]

    def test_race_of_confirmations_has_one_winner(self, store: TotpStore) -> None:
        for turn in self.rounds():
            store.add(_device(turn))
            results = self.race(partial(store.confirm, "account-1", f"device-{turn}", _STEP))
            assert winners(results) == 1

    def test_race_of_enrolments_leaves_one_unconfirmed_device(self, store: TotpStore) -> None:
        for turn in self.rounds():
            account = f"account-{turn}"
            rivals = [_device(turn * 100 + n, account=account) for n in range(THREADS)]
            self.race(*(partial(store.add, rival) for rival in rivals))
            (left,) = store.devices(account)
            assert left in rivals

    def test_race_of_removals_has_one_winner(self, store: TotpStore) -> None:
        for turn in self.rounds():
            store.add(_device(turn))
            assert winners(self.race(partial(store.remove, "account-1", f"device-{turn}"))) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: TotpStore, open_write: AbstractContextManager[object]
    ) -> None:
        for number in (1, 2):
            store.add(_device(number))
            store.confirm("account-1", f"device-{number}", _STEP)
        with open_write:
            store.add(_device(3))
            assert store.confirm("account-1", "device-3", _STEP)
            assert store.advance("account-1", "device-1", _STEP + 1)
            assert store.remove("account-1", "device-2", at=NOW)
            assert store.restore("account-1", "device-2", since=NOW - MICROSECOND)
            assert store.remove("account-1", "device-2", at=NOW)
            assert store.purge_removed(until=NOW) == 1
            assert store.try_("account-1", "device-3", cap=100)
            store.untry("account-1", "device-3")
            assert store.try_("account-1", "device-3", cap=100)
            assert store.rename("account-1", "device-3", "named")
        renamed = replace(_confirmed(_device(3)), label="named", failures=1)
        assert list(store.devices("account-1")) == [_confirmed(_device(1), _STEP + 1), renamed]

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: TotpStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.add(_device()),
                lambda: failing_store.devices("account-1"),
                lambda: failing_store.confirm("account-1", "device-1", _STEP),
                lambda: failing_store.advance("account-1", "device-1", _STEP),
                lambda: failing_store.try_("account-1", "device-1", cap=100),
                lambda: failing_store.untry("account-1", "device-1"),
                lambda: failing_store.rename("account-1", "device-1", "label"),
                lambda: failing_store.remove("account-1", "device-1"),
                lambda: failing_store.remove("account-1", "device-1", at=NOW),
                lambda: failing_store.removed("account-1"),
                lambda: failing_store.restore("account-1", "device-1", since=NOW),
                lambda: failing_store.purge_removed(until=NOW),
            ]
        )
