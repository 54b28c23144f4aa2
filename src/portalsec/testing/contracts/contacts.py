"""The contract of `portalsec.auth.ports.ContactStore`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import pytest

from portalsec.auth.ports import Contact, ContactStore
from portalsec.testing.contracts.base import MICROSECOND, NOW, THREADS, StoreContract, winners

__all__ = ["ContactStoreContract"]


def _contact(number: int = 1, *, account: str = "account-1", address: str | None = None) -> Contact:
    return Contact(
        id=f"contact-{number}",
        account_id=account,
        address=address or f"person{number}@example.org",
        verified_at=None,
        created_at=NOW + number * MICROSECOND,
    )


class ContactStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `ContactStore`."""

    @pytest.fixture
    def store(self) -> ContactStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty ContactStore")

    @pytest.fixture
    def rotating(self, store: ContactStore) -> Sequence[ContactStore]:
        """The same empty contacts as three workers have them while a key is rotated, if addresses are found by a key.

        With the old key; with both, of which the old one writes; with both, of which the new one writes. A store
        without such a key is the same to all of them.
        """
        return (store, store, store)

    def test_a_contact_comes_back_as_it_was_added(self, store: ContactStore) -> None:
        plain = _contact(1)
        verified = replace(_contact(2, account="{zoë}", address="zoë@xn--bcher-kva.example"), verified_at=NOW)
        longest = _contact(3, account="account-3", address=f"{'a' * 64}@{'b' * 185}.org")
        for contact in (plain, verified, longest):
            assert store.add(contact)
            assert list(store.of_account(contact.account_id)) == [contact]
            assert list(store.by_address(contact.address)) == [contact]

    def test_what_is_unknown_is_empty(self, store: ContactStore) -> None:
        store.add(_contact())
        assert list(store.of_account("account-9")) == []
        assert list(store.by_address("person9@example.org")) == []

    @pytest.mark.parametrize("near", ["PERSON1@example.org", "person%@example.org", "person1@example.or"])
    def test_an_address_is_matched_exactly(self, store: ContactStore, near: str) -> None:
        store.add(_contact())
        assert list(store.by_address(near)) == []

    def test_contacts_come_oldest_first(self, store: ContactStore) -> None:
        for number in (3, 1, 2):
            store.add(_contact(number))
            store.add(_contact(10 + number, account=f"other-{number}", address="shared@example.org"))
        assert [contact.id for contact in store.of_account("account-1")] == [
            "contact-1",
            "contact-2",
            "contact-3",
        ]
        shared = store.by_address("shared@example.org")
        assert [contact.id for contact in shared] == ["contact-11", "contact-12", "contact-13"]

    def test_an_account_has_an_address_once_and_an_id_is_taken_once(self, store: ContactStore) -> None:
        assert store.add(_contact(1))
        assert not store.add(_contact(2, address=_contact(1).address))
        assert not store.add(replace(_contact(3), id="contact-1"))
        assert list(store.of_account("account-1")) == [_contact(1)]
        assert list(store.by_address(_contact(3).address)) == []

    def test_two_accounts_may_have_one_address(self, store: ContactStore) -> None:
        mother, child = _contact(1), _contact(2, account="account-2", address=_contact(1).address)
        assert store.add(mother)
        assert store.add(child)
        assert list(store.by_address(mother.address)) == [mother, child]
        assert store.verify("account-2", "contact-2", at=NOW)
        assert list(store.of_account("account-1")) == [mother], "one's proof is not the other's"

    def test_an_address_is_verified_once_and_by_its_own_account(self, store: ContactStore) -> None:
        store.add(_contact())
        assert not store.verify("account-2", "contact-1", at=NOW)
        assert not store.verify("account-1", "contact-2", at=NOW)
        assert list(store.of_account("account-1")) == [_contact()]
        assert store.verify("account-1", "contact-1", at=NOW)
        assert not store.verify("account-1", "contact-1", at=NOW + MICROSECOND)
        assert list(store.of_account("account-1")) == [replace(_contact(), verified_at=NOW)]

    def test_an_address_is_removed_by_its_own_account_alone(self, store: ContactStore) -> None:
        store.add(_contact(1))
        store.add(_contact(2))
        assert not store.remove("account-2", "contact-1")
        assert not store.remove("account-1", "contact-9")
        assert store.remove("account-1", "contact-1")
        assert not store.remove("account-1", "contact-1")
        assert list(store.of_account("account-1")) == [_contact(2)]
        assert list(store.by_address(_contact(1).address)) == []
        assert store.add(_contact(1)), "what was removed may come back"

    def test_a_rotation_of_the_key_loses_no_address_and_doubles_none(
        self, rotating: Sequence[ContactStore]
    ) -> None:
        for place, writer in enumerate(rotating):
            contact = _contact(place)
            assert writer.add(contact)
            # Whoever has loaded the keys so far finds it: the old key's owner does not read the new one.
            for reader in rotating if place < 2 else rotating[1:]:
                assert list(reader.by_address(contact.address)) == [contact]
                assert contact in reader.of_account("account-1")
                assert not reader.add(_contact(place + 100, address=contact.address))

    def test_race_of_adds_under_two_keys_has_one_winner(self, rotating: Sequence[ContactStore]) -> None:
        workers = rotating[1:]
        for turn in self.rounds():
            rivals = [_contact(turn * 100 + n, address=f"wanted{turn}@example.org") for n in range(THREADS)]
            results = self.race(
                *(partial(workers[number % 2].add, rival) for number, rival in enumerate(rivals))
            )
            assert winners(results) == 1
            for worker in workers:
                assert list(worker.by_address(rivals[0].address)) == [rivals[results.index(True)]]

    def test_race_of_adds_of_one_address_has_one_winner(self, store: ContactStore) -> None:
        for turn in self.rounds():
            rivals = [_contact(turn * 100 + n, address=f"wanted{turn}@example.org") for n in range(THREADS)]
            assert winners(self.race(*(partial(store.add, rival) for rival in rivals))) == 1

    def test_race_of_verifications_has_one_winner(self, store: ContactStore) -> None:
        for turn in self.rounds():
            store.add(_contact(turn))
            results = self.race(
                *(
                    partial(store.verify, "account-1", f"contact-{turn}", at=NOW + n * MICROSECOND)
                    for n in range(THREADS)
                )
            )
            assert winners(results) == 1
            (held,) = [each for each in store.of_account("account-1") if each.id == f"contact-{turn}"]
            assert held.verified_at == NOW + results.index(True) * MICROSECOND

    def test_race_of_removals_has_one_winner(self, store: ContactStore) -> None:
        for turn in self.rounds():
            store.add(_contact(turn))
            assert winners(self.race(partial(store.remove, "account-1", f"contact-{turn}"))) == 1

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: ContactStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.add(_contact(1))
        store.add(_contact(2))
        with open_write:
            assert store.add(_contact(3))
            assert store.verify("account-1", "contact-1", at=NOW)
            assert store.remove("account-1", "contact-2")
        assert list(store.of_account("account-1")) == [replace(_contact(1), verified_at=NOW), _contact(3)]

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: ContactStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.add(_contact()),
                lambda: failing_store.of_account("account-1"),
                lambda: failing_store.by_address("person1@example.org"),
                lambda: failing_store.verify("account-1", "contact-1", at=NOW),
                lambda: failing_store.remove("account-1", "contact-1"),
            ]
        )
