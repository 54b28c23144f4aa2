"""Every port on a real PostgreSQL keeps its contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import Engine, text

from portalsec.sqlalchemy import create_schema, open_engine
from portalsec.sqlalchemy.tables import audit_metadata, security_metadata, subjects_metadata
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

pytestmark = pytest.mark.postgres

_TABLES = ", ".join(
    table.name
    for metadata in (security_metadata, audit_metadata, subjects_metadata)
    for table in metadata.sorted_tables
    if table.name != "portalsec_schema"
)


@pytest.fixture(scope="module")
def opened(postgres_url: str) -> Iterator[Engine]:
    engine = open_engine(postgres_url)
    create_schema(engine, "security")
    create_schema(engine, "audit")
    create_schema(engine, "subjects")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE note (text text)"))
    yield engine
    engine.dispose()


@pytest.fixture
def database(opened: Engine) -> Engine:
    with opened.begin() as connection:
        connection.execute(text(f"TRUNCATE {_TABLES} RESTART IDENTITY"))
    return opened


@pytest.fixture
def security(database: Engine) -> Engine:
    return database


@pytest.fixture
def audit(database: Engine) -> Engine:
    return database


@pytest.fixture
def subjects(database: Engine) -> Engine:
    return database


@pytest.fixture(scope="module")
def failing(postgres_database: Callable[[], AbstractContextManager[str]]) -> Iterator[Engine]:
    """The database was dropped after it was opened, under connections that were in the pool."""
    with postgres_database() as url:
        engine = open_engine(url)
        create_schema(engine, "security")
        create_schema(engine, "audit")
        create_schema(engine, "subjects")
    yield engine
    engine.dispose()


@pytest.fixture
def application_write(database: Engine) -> object:
    """The application writes to tables of its own in the same database."""

    @contextmanager
    def held() -> Iterator[None]:
        with database.connect() as connection:
            connection.execute(text("INSERT INTO note VALUES ('open')"))
            yield
            connection.rollback()

    return held()


class TestPostgresAccounts(SqlAccountsContract):
    pass


class TestPostgresThrottle(SqlThrottleContract):
    pass


class TestPostgresFlows(SqlFlowsContract):
    pass


class TestPostgresTotp(SqlTotpContract):
    pass


class TestPostgresRecoveryCodes(SqlRecoveryCodesContract):
    pass


class TestPostgresPasskeys(SqlPasskeysContract):
    pass


class TestPostgresSessions(SqlSessionsContract):
    pass


class TestPostgresAudit(SqlAuditContract):
    pass


class TestPostgresAssignments(SqlAssignmentsContract):
    pass


class TestPostgresSubjectKeys(SqlSubjectKeysContract):
    pass


class TestPostgresContacts(SqlContactsContract):
    pass


class TestPostgresDevices(SqlDevicesContract):
    pass


class TestPostgresNotices(SqlNoticesContract):
    pass


class TestPostgresIncidents(SqlIncidentsContract):
    pass


class TestPostgresPasswordHistory(SqlPasswordHistoryContract):
    pass
