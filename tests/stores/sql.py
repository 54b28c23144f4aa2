"""The contracts over SQL, once; SQLite and PostgreSQL bring the engines.

A module that inherits these provides the fixtures ``security``, ``audit`` and ``subjects`` (engines over empty tables),
``failing`` (an engine whose database is gone) and ``application_write`` (see `portalsec.testing.contracts`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import partial

import pytest
from sqlalchemy import Engine

from portalsec.sqlalchemy import (
    SqlAccounts,
    SqlAssignments,
    SqlAudit,
    SqlContacts,
    SqlDevices,
    SqlFlows,
    SqlIncidents,
    SqlNotices,
    SqlPasskeys,
    SqlPasswordHistory,
    SqlRecoveryCodes,
    SqlSessions,
    SqlSubjectKeys,
    SqlThrottle,
    SqlTotp,
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
    StoreContract,
    SubjectKeyStoreContract,
    ThrottleStoreContract,
    TotpStoreContract,
)
from portalsec.testing.processes import Opener
from tests.stores.openers import sql_sessions, sql_throttle
from tests.stores.support import TestingMac, TestingSealer, testing_mac


class _Sql(StoreContract):
    @pytest.fixture
    def open_write(self, application_write: AbstractContextManager[object]) -> AbstractContextManager[object]:
        return application_write


def _accounts(engine: Engine) -> SqlAccounts:
    return SqlAccounts(engine, mac=testing_mac, sealer=TestingSealer())


class SqlAccountsContract(_Sql, AccountStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlAccounts:
        return _accounts(security)

    @pytest.fixture
    def rotating(self, security: Engine) -> list[SqlAccounts]:
        sealer = TestingSealer()
        keys = [(b"old",), (b"old", b"new"), (b"new", b"old")]
        return [SqlAccounts(security, mac=TestingMac(*each), sealer=sealer) for each in keys]

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlAccounts:
        return _accounts(failing)


class SqlThrottleContract(_Sql, ThrottleStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlThrottle:
        return SqlThrottle(security)

    @pytest.fixture
    def in_processes(self, security: Engine) -> Opener:
        return partial(sql_throttle, security.url.render_as_string(hide_password=False))

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlThrottle:
        return SqlThrottle(failing)


class SqlFlowsContract(_Sql, FlowStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlFlows:
        return SqlFlows(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlFlows:
        return SqlFlows(failing)


class SqlTotpContract(_Sql, TotpStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlTotp:
        return SqlTotp(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlTotp:
        return SqlTotp(failing)


class SqlRecoveryCodesContract(_Sql, RecoveryCodeStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlRecoveryCodes:
        return SqlRecoveryCodes(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlRecoveryCodes:
        return SqlRecoveryCodes(failing)


class SqlPasskeysContract(_Sql, PasskeyStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlPasskeys:
        return SqlPasskeys(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlPasskeys:
        return SqlPasskeys(failing)


class SqlSessionsContract(_Sql, SessionStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlSessions:
        return SqlSessions(security)

    @pytest.fixture
    def in_processes(self, security: Engine) -> Opener:
        return partial(sql_sessions, security.url.render_as_string(hide_password=False))

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlSessions:
        return SqlSessions(failing)


class SqlAuditContract(_Sql, AuditStoreContract):
    @pytest.fixture
    def store(self, audit: Engine) -> SqlAudit:
        return SqlAudit(audit)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlAudit:
        return SqlAudit(failing)


class SqlSubjectKeysContract(_Sql, SubjectKeyStoreContract):
    @pytest.fixture
    def store(self, subjects: Engine) -> SqlSubjectKeys:
        return SqlSubjectKeys(subjects)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlSubjectKeys:
        return SqlSubjectKeys(failing)


class SqlAssignmentsContract(_Sql, AssignmentStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlAssignments:
        return SqlAssignments(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlAssignments:
        return SqlAssignments(failing)


class SqlDevicesContract(_Sql, DeviceStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlDevices:
        return SqlDevices(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlDevices:
        return SqlDevices(failing)


class SqlPasswordHistoryContract(_Sql, PasswordHistoryStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlPasswordHistory:
        return SqlPasswordHistory(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlPasswordHistory:
        return SqlPasswordHistory(failing)


class SqlNoticesContract(_Sql, NoticeStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlNotices:
        return SqlNotices(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlNotices:
        return SqlNotices(failing)


class SqlIncidentsContract(_Sql, IncidentStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlIncidents:
        return SqlIncidents(security)

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlIncidents:
        return SqlIncidents(failing)


class SqlContactsContract(_Sql, ContactStoreContract):
    @pytest.fixture
    def store(self, security: Engine) -> SqlContacts:
        return SqlContacts(security, mac=testing_mac, sealer=TestingSealer())

    @pytest.fixture
    def rotating(self, security: Engine) -> list[SqlContacts]:
        sealer = TestingSealer()
        keys = [(b"old",), (b"old", b"new"), (b"new", b"old")]
        return [SqlContacts(security, mac=TestingMac(*each), sealer=sealer) for each in keys]

    @pytest.fixture
    def failing_store(self, failing: Engine) -> SqlContacts:
        return SqlContacts(failing, mac=testing_mac, sealer=TestingSealer())
