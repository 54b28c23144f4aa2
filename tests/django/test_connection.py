"""A verb's own transaction: it neither joins nor disturbs what the caller holds."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connections, transaction

from portalsec.django.models import RoleAssignment
from portalsec.django.stores import DjangoAssignments, DjangoThrottle
from portalsec.errors import StoreError
from portalsec.testing.contracts.base import NOW

ALIAS = "portalsec"
WINDOW = timedelta(minutes=15)


@pytest.mark.usefixtures("database")
class TestOwnTransaction:
    def test_a_verb_inside_the_callers_transaction_on_its_own_alias_commits_by_itself(self) -> None:
        store = DjangoThrottle(ALIAS)
        before = connections[ALIAS]
        with transaction.atomic(using=ALIAS):
            list(RoleAssignment.objects.all())
            assert store.take("lane", limit=3, window=WINDOW, now=NOW).used == 1
            assert connections[ALIAS] is before
            transaction.set_rollback(True, using=ALIAS)
        assert store.take("lane", limit=3, window=WINDOW, now=NOW).used == 2

    def test_a_read_sees_what_others_committed_after_the_callers_transaction_began(self) -> None:
        store = DjangoAssignments(ALIAS)
        with transaction.atomic(using=ALIAS):
            assert not RoleAssignment.objects.exists()  # the caller's snapshot is taken
            store.assign("someone", "clinician")
            assert not RoleAssignment.objects.exists()
            assert store.roles_of("someone") == {"clinician"}

    def test_a_caller_that_ended_autocommit_holds_a_transaction_too(self) -> None:
        connections[ALIAS].ensure_connection()
        transaction.set_autocommit(False, using=ALIAS)
        try:
            assert DjangoAssignments(ALIAS).assign("someone", "clinician")
            transaction.rollback(using=ALIAS)
        finally:
            transaction.set_autocommit(True, using=ALIAS)
        assert DjangoAssignments(ALIAS).roles_of("someone") == {"clinician"}

    def test_the_callers_connection_is_back_after_a_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = DjangoAssignments(ALIAS)
        monkeypatch.setitem(connections[ALIAS].settings_dict["OPTIONS"], "timeout", 0.05)
        before = connections[ALIAS]
        with transaction.atomic(using=ALIAS):
            RoleAssignment.objects.create(subject_id="caller", role="x")  # holds the file's one write lock
            with pytest.raises(StoreError):
                store.assign("someone", "clinician")
            assert connections[ALIAS] is before
            assert RoleAssignment.objects.count() == 1
        assert store.roles_of("caller") == {"x"}

    def test_the_transaction_of_djangos_testcase_is_joined(self) -> None:
        # An application's tests wrap each test in one and would otherwise wait for themselves.
        wrapper = transaction.Atomic(ALIAS, savepoint=True, durable=False)
        wrapper._from_testcase = True  # type: ignore[attr-defined]
        with wrapper:
            RoleAssignment.objects.create(subject_id="caller", role="x")
            assert DjangoAssignments(ALIAS).assign("someone", "clinician")
            transaction.set_rollback(True, using=ALIAS)
        assert DjangoAssignments(ALIAS).roles_of("someone") == frozenset()

    def test_a_connection_that_broke_fails_once_and_is_replaced(self) -> None:
        store = DjangoAssignments(ALIAS)
        store.assign("someone", "clinician")
        connections[ALIAS].connection.close()  # as a server does that restarts
        with pytest.raises(StoreError):
            store.roles_of("someone")
        assert store.roles_of("someone") == {"clinician"}


def test_without_django_the_package_says_what_to_install() -> None:
    code = "import sys; sys.modules['django'] = None\nimport portalsec.django"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'pip install "portalsec[django]"' in done.stderr.strip().splitlines()[-1]
