"""Every Django store keeps its port's contract, on SQLite files, with the caller holding an open write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connections, transaction
from django.test import override_settings
from sqlalchemy import make_url

from portalsec.django.stores import (
    DjangoAccounts,
    DjangoAssignments,
    DjangoAudit,
    DjangoContacts,
    DjangoDevices,
    DjangoFlows,
    DjangoIncidents,
    DjangoNotices,
    DjangoPasskeys,
    DjangoPasswordHistory,
    DjangoRecoveryCodes,
    DjangoSessions,
    DjangoSubjectKeys,
    DjangoThrottle,
    DjangoTotp,
)
from portalsec.testing.contracts import (
    AccountStoreContract,
    AssignmentStoreContract,
    AuditStoreContract,
    ContactStoreContract,
    DeviceStoreContract,
    FlowStoreContract,
    IncidentStoreContract,
    NoticeStoreContract,
    PasskeyStoreContract,
    PasswordHistoryStoreContract,
    RecoveryCodeStoreContract,
    SessionStoreContract,
    SubjectKeyStoreContract,
    ThrottleStoreContract,
    TotpStoreContract,
)
from portalsec.testing.processes import Opener, race_processes
from tests.django.conftest import TABLES, wipe
from tests.stores import factors
from tests.stores.openers import django_factors, django_sessions, django_throttle
from tests.stores.support import TestingMac, TestingSealer


@contextmanager
def held(alias: str, *, writes: bool = True) -> Iterator[None]:
    """As a view under ATOMIC_REQUESTS that is refused at last: a transaction that is rolled back."""
    with transaction.atomic(using=alias):
        if writes:
            Group.objects.using(alias).create(name="the application's")
        else:
            list(Group.objects.using(alias).all())
        yield
        transaction.set_rollback(True, using=alias)


def shared(alias: str, opener: Any = django_throttle) -> Opener:
    """Opens the database of an alias in another process."""
    database = connections[alias].settings_dict
    connections.close_all()
    kept = ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "OPTIONS")
    return partial(opener, {key: database[key] for key in kept})


_SEALER = TestingSealer()


def _contacts(alias: str, *keys: bytes) -> DjangoContacts:
    return DjangoContacts(alias, mac=TestingMac(*keys or (b"a key for tests",)), sealer=_SEALER)


@pytest.mark.usefixtures("database")
class _OnSqlite:
    kind: Any
    alias = "portalsec"

    @pytest.fixture
    def store(self) -> Any:
        return self.kind(self.alias)

    @pytest.fixture
    def open_write(self) -> AbstractContextManager[object]:
        return held("default")

    @pytest.fixture
    def failing_store(self, tmp_path: Path) -> Iterator[Any]:
        connections.settings["broken"] = {
            **connections.settings["portalsec"],
            "NAME": str(tmp_path / "no such folder" / "file.sqlite3"),
        }
        yield self.kind("broken")
        connections["broken"].close()
        del connections["broken"], connections.settings["broken"]

    def release(self) -> None:
        connections.close_all()


class TestThrottleOnSqlite(_OnSqlite, ThrottleStoreContract):
    kind = DjangoThrottle

    @pytest.fixture
    def in_processes(self, store: DjangoThrottle) -> Opener:
        return shared("portalsec")


class TestThrottleInTwoStatements(_OnSqlite, ThrottleStoreContract):
    """As on a database that knows no ON CONFLICT."""

    kind = DjangoThrottle

    @pytest.fixture(autouse=True)
    def another_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("portalsec.django.stores.throttle.takes_in_one", lambda connection: False)


class TestFlowsOnSqlite(_OnSqlite, FlowStoreContract):
    kind = DjangoFlows


class TestTotpOnSqlite(_OnSqlite, TotpStoreContract):
    kind = DjangoTotp


class TestRecoveryCodesOnSqlite(_OnSqlite, RecoveryCodeStoreContract):
    kind = DjangoRecoveryCodes


class TestPasskeysOnSqlite(_OnSqlite, PasskeyStoreContract):
    kind = DjangoPasskeys


class TestSessionsOnSqlite(_OnSqlite, SessionStoreContract):
    kind = DjangoSessions

    @pytest.fixture
    def in_processes(self, store: DjangoSessions) -> Opener:
        return shared("portalsec", django_sessions)


class TestAssignmentsOnSqlite(_OnSqlite, AssignmentStoreContract):
    kind = DjangoAssignments


class TestSubjectKeysOnSqlite(_OnSqlite, SubjectKeyStoreContract):
    kind = DjangoSubjectKeys


class TestAuditOnSqlite(_OnSqlite, AuditStoreContract):
    kind = DjangoAudit


class TestContactsOnSqlite(_OnSqlite, ContactStoreContract):
    kind = staticmethod(_contacts)

    @pytest.fixture
    def rotating(self, store: DjangoContacts) -> list[DjangoContacts]:
        keys = [(b"old",), (b"old", b"new"), (b"new", b"old")]
        return [_contacts(store._using, *each) for each in keys]


class TestDevicesOnSqlite(_OnSqlite, DeviceStoreContract):
    kind = DjangoDevices


class TestNoticesOnSqlite(_OnSqlite, NoticeStoreContract):
    kind = DjangoNotices


class TestIncidentsOnSqlite(_OnSqlite, IncidentStoreContract):
    kind = DjangoIncidents


class TestPasswordHistoryOnSqlite(_OnSqlite, PasswordHistoryStoreContract):
    kind = DjangoPasswordHistory


class TestAccountsOnSqlite(_OnSqlite, AccountStoreContract):
    kind = DjangoAccounts
    alias = "default"

    @pytest.fixture
    def open_write(self) -> AbstractContextManager[object]:
        # Accounts live in the application's own database. One SQLite file has one writer, so what the caller may hold
        # there is a transaction that has not written; see `test_accounts.py` for one that has.
        return held("default", writes=False)


# -- PostgreSQL: the stores share one database with the application, whose open write they must not join ---------------


@pytest.fixture(scope="module")
def postgres_alias(postgres_url: str, django_db_blocker: Any) -> Iterator[str]:
    """An alias of a fresh PostgreSQL database with every table in it."""
    url = make_url(postgres_url)
    connections.settings["postgres"] = {
        **connections.settings["portalsec"],
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.database,
        "USER": url.username or "",
        "PASSWORD": url.password or "",
        "HOST": url.query.get("host", url.host) or "",
        "PORT": str(url.port or ""),
        "OPTIONS": {},
    }
    with django_db_blocker.unblock(), override_settings(DATABASE_ROUTERS=[]):
        call_command("migrate", database="postgres", verbosity=0)
        connections["postgres"].close()
    yield "postgres"
    connections["postgres"].close()
    del connections["postgres"], connections.settings["postgres"]


@pytest.mark.postgres
class _OnPostgres:
    kind: Any

    @pytest.fixture
    def store(self, postgres_alias: str, django_db_blocker: Any) -> Iterator[Any]:
        with django_db_blocker.unblock():
            yield self.kind(postgres_alias)
            wipe({postgres_alias: [kind for tables in TABLES.values() for kind in tables]})
            connections.close_all()

    @pytest.fixture
    def open_write(self, store: Any) -> AbstractContextManager[object]:
        return held("postgres")

    @pytest.fixture
    def failing_store(self, postgres_alias: str, tmp_path: Path, django_db_blocker: Any) -> Iterator[Any]:
        connections.settings["broken"] = {
            **connections.settings["portalsec"],
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "broken",
            "HOST": str(tmp_path),  # a folder without a socket
            "OPTIONS": {},
        }
        with django_db_blocker.unblock():
            yield self.kind("broken")
            connections["broken"].close()
        del connections["broken"], connections.settings["broken"]

    def release(self) -> None:
        connections.close_all()


class TestThrottleOnPostgres(_OnPostgres, ThrottleStoreContract):
    kind = DjangoThrottle

    @pytest.fixture
    def in_processes(self, store: DjangoThrottle) -> Opener:
        return shared("postgres")


class TestFlowsOnPostgres(_OnPostgres, FlowStoreContract):
    kind = DjangoFlows


class TestTotpOnPostgres(_OnPostgres, TotpStoreContract):
    kind = DjangoTotp


class TestRecoveryCodesOnPostgres(_OnPostgres, RecoveryCodeStoreContract):
    kind = DjangoRecoveryCodes


class TestPasskeysOnPostgres(_OnPostgres, PasskeyStoreContract):
    kind = DjangoPasskeys


class TestSessionsOnPostgres(_OnPostgres, SessionStoreContract):
    kind = DjangoSessions

    @pytest.fixture
    def in_processes(self, store: DjangoSessions) -> Opener:
        return shared("postgres", django_sessions)


class TestAssignmentsOnPostgres(_OnPostgres, AssignmentStoreContract):
    kind = DjangoAssignments


class TestSubjectKeysOnPostgres(_OnPostgres, SubjectKeyStoreContract):
    kind = DjangoSubjectKeys


class TestAuditOnPostgres(_OnPostgres, AuditStoreContract):
    kind = DjangoAudit


class TestContactsOnPostgres(_OnPostgres, ContactStoreContract):
    kind = staticmethod(_contacts)

    @pytest.fixture
    def rotating(self, store: DjangoContacts) -> list[DjangoContacts]:
        keys = [(b"old",), (b"old", b"new"), (b"new", b"old")]
        return [_contacts(store._using, *each) for each in keys]


class TestDevicesOnPostgres(_OnPostgres, DeviceStoreContract):
    kind = DjangoDevices


class TestNoticesOnPostgres(_OnPostgres, NoticeStoreContract):
    kind = DjangoNotices


class TestIncidentsOnPostgres(_OnPostgres, IncidentStoreContract):
    kind = DjangoIncidents


class TestPasswordHistoryOnPostgres(_OnPostgres, PasswordHistoryStoreContract):
    kind = DjangoPasswordHistory


class TestAccountsOnPostgres(_OnPostgres, AccountStoreContract):
    kind = DjangoAccounts


# -- four processes ----------------------------------------------------------------------------------------------------


def _race_for_factors(alias: str) -> None:
    rounds = 200 if os.environ.get("PORTALSEC_SOAK") == "1" else 5
    factors.prepare(DjangoTotp(alias), DjangoRecoveryCodes(alias), DjangoPasskeys(alias), rounds)
    reports = race_processes(shared(alias, django_factors), factors.race, rounds)
    for turn in range(rounds):
        won = {name: sum(report[turn][name] for report in reports) for name in factors.WON}
        assert won == factors.WON, turn


@pytest.mark.usefixtures("database")
def test_mfa_05_mfa_06_four_processes_on_sqlite() -> None:
    _race_for_factors("portalsec")


@pytest.mark.postgres
def test_mfa_05_mfa_06_four_processes_on_postgres(postgres_alias: str, django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        _race_for_factors(postgres_alias)
        wipe({postgres_alias: [kind for tables in TABLES.values() for kind in tables]})
        connections.close_all()
