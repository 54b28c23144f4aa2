"""The contract of `portalsec.rbac.ports.AssignmentStore`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import pytest

from portalsec.rbac.ports import AssignmentStore
from portalsec.testing.contracts.base import THREADS, StoreContract, winners

__all__ = ["AssignmentStoreContract"]


class AssignmentStoreContract(StoreContract):
    """Inherit it and provide ``store``: an empty `AssignmentStore`."""

    @pytest.fixture
    def store(self) -> AssignmentStore:
        raise NotImplementedError("provide a fixture `store` that returns an empty AssignmentStore")

    def test_nobody_has_a_role_that_was_not_assigned(self, store: AssignmentStore) -> None:
        store.assign("ann", "clinician")
        assert store.roles_of("bob") == frozenset()
        assert store.roles_of("ANN") == frozenset()
        assert store.roles_of("an%") == frozenset()

    def test_a_role_is_assigned_once_and_revoked_once(self, store: AssignmentStore) -> None:
        assert store.assign("ann", "clinician")
        assert not store.assign("ann", "clinician")
        assert store.assign("ann", "front desk")
        assert store.roles_of("ann") == {"clinician", "front desk"}
        assert store.revoke("ann", "clinician")
        assert not store.revoke("ann", "clinician")
        assert store.roles_of("ann") == {"front desk"}
        assert store.assign("ann", "clinician")
        assert store.roles_of("ann") == {"clinician", "front desk"}

    def test_revoking_touches_one_subject(self, store: AssignmentStore) -> None:
        for subject in ("ann", "bob"):
            store.assign(subject, "clinician")
        assert store.revoke("ann", "clinician")
        assert not store.revoke("cat", "clinician")
        assert store.roles_of("bob") == {"clinician"}

    def test_race_of_assignments_has_one_winner(self, store: AssignmentStore) -> None:
        for turn in self.rounds():
            assert winners(self.race(partial(store.assign, f"s{turn}", "clinician"))) == 1

    def test_race_of_revocations_has_one_winner(self, store: AssignmentStore) -> None:
        for turn in self.rounds():
            store.assign(f"s{turn}", "clinician")
            assert winners(self.race(partial(store.revoke, f"s{turn}", "clinician"))) == 1

    def test_race_of_different_roles_keeps_them_all(self, store: AssignmentStore) -> None:
        for turn in self.rounds():
            subject = f"s{turn}"
            roles = [f"role-{n}" for n in range(THREADS)]
            assert all(self.race(*(partial(store.assign, subject, r) for r in roles)))
            assert store.roles_of(subject) == set(roles)

    def test_a_change_is_seen_by_the_next_reader_on_any_thread(self, store: AssignmentStore) -> None:
        store.assign("ann", "clinician")
        assert set(self.race(lambda: store.roles_of("ann"))) == {frozenset({"clinician"})}
        store.revoke("ann", "clinician")
        assert set(self.race(lambda: store.roles_of("ann"))) == {frozenset()}

    def test_verbs_neither_wait_for_nor_roll_back_with_the_callers_open_write(
        self, store: AssignmentStore, open_write: AbstractContextManager[object]
    ) -> None:
        store.assign("ann", "front desk")
        with open_write:
            assert store.assign("ann", "clinician")
            assert store.revoke("ann", "front desk")
        assert store.roles_of("ann") == {"clinician"}

    def test_a_backend_that_cannot_answer_is_a_store_error(self, failing_store: AssignmentStore) -> None:
        self.assert_all_fail(
            [
                lambda: failing_store.roles_of("ann"),
                lambda: failing_store.assign("ann", "clinician"),
                lambda: failing_store.revoke("ann", "clinician"),
            ]
        )
