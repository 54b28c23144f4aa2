"""The contract of `portalsec.auth.ports.DeviceStore`."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.auth.ports import DeviceStore, KnownDevice
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["DeviceStoreContract"]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _device(number: int = 1, *, account: str = "account-1") -> KnownDevice:
    return KnownDevice(
        id=f"device-{number}",
        account_id=account,
        digest=_digest(f"secret {number}"),
        previous=None,
        label=f"Firefox on Windows, {number}",
        created_at=NOW,
        used_at=NOW + number * MICROSECOND,
        address="192.0.2.0/24",
    )


class DeviceStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `DeviceStore`."""

    @pytest.fixture
    def store(self) -> DeviceStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty DeviceStore")

    def test_a_device_is_found_by_its_digest_and_by_the_one_before(self, store: DeviceStore) -> None:
        plain = replace(_device(1), address=None, label="")
        rotated = replace(_device(2, account="{zoë}"), previous=_digest("older"), label="Фаерфокс 病院")
        for device in (plain, rotated):
            assert store.add(device)
            assert store.find(device.digest) == device
            assert list(store.of_account(device.account_id)) == [device]
        assert store.find(_digest("older")) == rotated
        assert store.find(_digest("unknown")) is None
        assert list(store.of_account("account-9")) == []

    def test_an_id_and_a_digest_are_taken_once(self, store: DeviceStore) -> None:
        assert store.add(_device(1))
        assert not store.add(replace(_device(2), id="device-1"))
        assert not store.add(replace(_device(2, account="account-2"), digest=_device(1).digest))
        assert list(store.of_account("account-1")) == [_device(1)]
        assert list(store.of_account("account-2")) == []

    def test_rotation_makes_the_digest_the_previous_one(self, store: DeviceStore) -> None:
        store.add(_device())
        first, second, third = _device().digest, _digest("second"), _digest("third")
        later = NOW + 9 * MICROSECOND
        assert store.rotate("device-1", expected=first, digest=second, at=later, address="198.51.100.0/24")
        rotated = replace(_device(), digest=second, previous=first, used_at=later, address="198.51.100.0/24")
        assert store.find(first) == store.find(second) == rotated
        assert store.rotate("device-1", expected=second, digest=third, at=later, address=None)
        assert store.find(first) is None, "only the one before is remembered"
        assert store.find(second) == replace(rotated, digest=third, previous=second, address=None)

    def test_rotation_asks_for_the_digest_that_it_expects(self, store: DeviceStore) -> None:
        store.add(_device())
        for device_id, expected in [("device-1", _digest("other")), ("device-9", _device().digest)]:
            assert not store.rotate(device_id, expected=expected, digest=_digest("new"), at=NOW, address=None)
        assert store.find(_device().digest) == _device()
        assert store.find(_digest("new")) is None

    def test_the_newest_use_never_goes_back(self, store: DeviceStore) -> None:
        store.add(_device())
        assert store.rotate(
            "device-1", expected=_device().digest, digest=_digest("new"), at=NOW, address=None
        )
        assert store.of_account("account-1")[0].used_at == _device().used_at

    def test_devices_come_by_their_newest_use(self, store: DeviceStore) -> None:
        for number in (2, 3, 1):
            store.add(_device(number))
        assert [device.id for device in store.of_account("account-1")] == ["device-3", "device-2", "device-1"]

    def test_a_device_is_revoked_by_its_own_account_alone(self, store: DeviceStore) -> None:
        store.add(_device(1))
        store.add(_device(2))
        assert not store.revoke("account-2", "device-1")
        assert not store.revoke("account-1", "device-9")
        assert store.revoke("account-1", "device-1")
        assert not store.revoke("account-1", "device-1")
        assert store.find(_device(1).digest) is None
        assert not store.rotate(
            "device-1", expected=_device(1).digest, digest=_digest("new"), at=NOW, address=None
        )
        assert list(store.of_account("account-1")) == [_device(2)]

    def test_revoking_all_takes_one_account(self, store: DeviceStore) -> None:
        for number in (1, 2):
            store.add(_device(number))
        store.add(_device(3, account="account-2"))
        assert store.revoke_all("account-1") == 2
        assert store.revoke_all("account-1") == 0
        assert list(store.of_account("account-1")) == []
        assert list(store.of_account("account-2")) == [_device(3, account="account-2")]

    def test_purge_removes_what_was_not_used_since(self, store: DeviceStore) -> None:
        for number in (1, 2, 3):
            store.add(_device(number))
        assert store.purge(used_until=_device(2).used_at) == 2
        assert store.purge(used_until=_device(2).used_at) == 0
        assert list(store.of_account("account-1")) == [_device(3)]

    def test_a_device_is_trusted_by_its_own_account_until_a_moment(self, store: DeviceStore) -> None:
        until, setup = NOW + 9 * MICROSECOND, _digest("setup")
        store.add(_device(1))
        store.add(_device(2))
        assert not store.trust("account-2", "device-1", until=until, setup=setup)
        assert not store.trust("account-1", "device-9", until=until, setup=setup)
        assert store.find(_device(1).digest) == _device(1)
        assert store.trust("account-1", "device-1", until=until, setup=setup)
        trusted = replace(_device(1), trusted_until=until, trusted_setup=setup)
        assert store.find(_device(1).digest) == trusted
        assert list(store.of_account("account-1")) == [_device(2), trusted]
        store.rotate("device-1", expected=_device(1).digest, digest=_digest("new"), at=NOW, address=None)
        held = store.find(_digest("new"))
        assert held is not None
        assert (held.trusted_until, held.trusted_setup) == (until, setup)
        assert store.trust("account-1", "device-1", until=None, setup=None)
        held = store.find(_digest("new"))
        assert held is not None
        assert (held.trusted_until, held.trusted_setup) == (None, None)
        added = replace(_device(3, account="account-2"), trusted_until=until, trusted_setup=setup)
        assert store.add(added)
        assert list(store.of_account("account-2")) == [added]

    def test_race_of_rotations_has_one_winner(self, store: DeviceStore) -> None:
        for turn in self.rounds():
            device = _device(turn)
            store.add(device)
            fresh = [_digest(f"{turn} {n}") for n in range(THREADS)]
            results = self.race(
                *(
                    partial(
                        store.rotate, device.id, expected=device.digest, digest=each, at=NOW, address=None
                    )
                    for each in fresh
                )
            )
            assert winners(results) == 1
            held = store.find(device.digest)
            assert held is not None
            assert held.digest == fresh[results.index(True)]
            assert held.previous == device.digest

    def test_race_of_adds_of_one_digest_has_one_winner(self, store: DeviceStore) -> None:
        for turn in self.rounds():
            rivals = [
                replace(_device(turn * 100 + n), digest=_digest(f"turn {turn}")) for n in range(THREADS)
            ]
            assert winners(self.race(*(partial(store.add, rival) for rival in rivals))) == 1

    def test_race_of_revocations_has_one_winner(self, store: DeviceStore) -> None:
        for turn in self.rounds():
            store.add(_device(turn))
            assert winners(self.race(partial(store.revoke, "account-1", f"device-{turn}"))) == 1

    def test_race_of_rotation_and_revocation_leaves_no_device(self, store: DeviceStore) -> None:
        for turn in self.rounds():
            device = _device(turn)
            store.add(device)
            self.race(
                partial[bool | int](
                    store.rotate,
                    device.id,
                    expected=device.digest,
                    digest=_digest(f"{turn}"),
                    at=NOW,
                    address=None,
                ),
                partial[bool | int](store.revoke_all, "account-1"),
            )
            assert list(store.of_account("account-1")) == []

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: DeviceStore, open_write: AbstractContextManager[object]
    ) -> None:
        for number in (1, 2):
            store.add(_device(number))
        store.add(_device(3, account="account-2"))
        with open_write:
            assert store.add(_device(4))
            assert store.rotate(
                "device-1", expected=_device(1).digest, digest=_digest("new"), at=NOW, address=None
            )
            assert store.trust("account-1", "device-4", until=NOW, setup=_digest("setup"))
            assert store.revoke("account-1", "device-2")
            assert store.revoke_all("account-2") == 1
        assert [device.id for device in store.of_account("account-1")] == ["device-4", "device-1"]
        assert store.of_account("account-1")[0].trusted_until == NOW
        assert store.find(_digest("new")) is not None
        assert list(store.of_account("account-2")) == []

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: DeviceStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.add(_device()),
                lambda: failing_store.find(_device().digest),
                lambda: failing_store.rotate(
                    "device-1", expected=_device().digest, digest=_digest("new"), at=NOW, address=None
                ),
                lambda: failing_store.trust("account-1", "device-1", until=NOW, setup=b"setup"),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.revoke("account-1", "device-1"),
                lambda: failing_store.revoke_all("account-1"),
                lambda: failing_store.purge(used_until=NOW),
            ]
        )
