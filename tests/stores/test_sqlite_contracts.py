"""Every port on SQLite files keeps its contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from portalsec.sqlalchemy import create_schema, open_engine
from tests.stores.sql import (
    SqlAccountsContract,
    SqlAssignmentsContract,
    SqlAuditContract,
    SqlContactsContract,
    SqlDevicesContract,
    SqlFlowsContract,
    SqlIncidentsContract,
    SqlNoticesContract,
    SqlPasskeysContract,
    SqlPasswordHistoryContract,
    SqlRecoveryCodesContract,
    SqlSessionsContract,
    SqlSubjectKeysContract,
    SqlThrottleContract,
    SqlTotpContract,
)


@pytest.fixture
def security(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/security.db")
    create_schema(engine, "security")
    yield engine
    engine.dispose()


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/audit.db")
    create_schema(engine, "audit")
    yield engine
    engine.dispose()


@pytest.fixture
def subjects(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/subjects.db")
    create_schema(engine, "subjects")
    yield engine
    engine.dispose()


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Engine]:
    """Somebody wrote over the file after it was opened."""
    engine = open_engine(f"sqlite:///{tmp_path}/failing.db")
    create_schema(engine, "security")
    create_schema(engine, "audit")
    create_schema(engine, "subjects")
    engine.dispose()
    (tmp_path / "failing.db").write_bytes(b"this is not a database" * 1000)
    yield engine
    engine.dispose()


@pytest.fixture
def application_write(tmp_path: Path) -> object:
    """The application's own SQLite file, apart from portalsec's, with an open write."""

    @contextmanager
    def held() -> Iterator[None]:
        with closing(sqlite3.connect(tmp_path / "application.db", isolation_level=None)) as connection:
            connection.execute("CREATE TABLE note (text)")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO note VALUES ('open')")
            yield
            connection.execute("ROLLBACK")

    return held()


class TestSqliteAccounts(SqlAccountsContract):
    pass


class TestSqliteThrottle(SqlThrottleContract):
    pass


class TestSqliteFlows(SqlFlowsContract):
    pass


class TestSqliteTotp(SqlTotpContract):
    pass


class TestSqliteRecoveryCodes(SqlRecoveryCodesContract):
    pass


class TestSqlitePasskeys(SqlPasskeysContract):
    pass


class TestSqliteSessions(SqlSessionsContract):
    pass


class TestSqliteAudit(SqlAuditContract):
    pass


class TestSqliteAssignments(SqlAssignmentsContract):
    pass


class TestSqliteSubjectKeys(SqlSubjectKeysContract):
    pass


class TestSqliteContacts(SqlContactsContract):
    pass


class TestSqliteDevices(SqlDevicesContract):
    pass


class TestSqliteNotices(SqlNoticesContract):
    pass


class TestSqliteIncidents(SqlIncidentsContract):
    pass


class TestSqlitePasswordHistory(SqlPasswordHistoryContract):
    pass
