"""Every port in memory keeps its contract."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.stores.memory import (
    MemoryAccounts,
    MemoryAssignments,
    MemoryAudit,
    MemoryContacts,
    MemoryDevices,
    MemoryFlows,
    MemoryIncidents,
    MemoryNotices,
    MemoryPasskeys,
    MemoryPasswordHistory,
    MemoryRecoveryCodes,
    MemorySessions,
    MemorySubjectKeys,
    MemoryThrottle,
    MemoryTotp,
)
from portalsec.testing import FrozenClock
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


class TestMemoryAccounts(AccountStoreContract):
    @pytest.fixture
    def store(self) -> MemoryAccounts:
        return MemoryAccounts()


class TestMemoryThrottle(ThrottleStoreContract):
    @pytest.fixture
    def store(self) -> MemoryThrottle:
        return MemoryThrottle()


class TestMemoryFlows(FlowStoreContract):
    @pytest.fixture
    def store(self) -> MemoryFlows:
        return MemoryFlows()


class TestMemoryTotp(TotpStoreContract):
    @pytest.fixture
    def store(self) -> MemoryTotp:
        return MemoryTotp()


class TestMemoryRecoveryCodes(RecoveryCodeStoreContract):
    @pytest.fixture
    def store(self) -> MemoryRecoveryCodes:
        return MemoryRecoveryCodes()


class TestMemoryPasskeys(PasskeyStoreContract):
    @pytest.fixture
    def store(self) -> MemoryPasskeys:
        return MemoryPasskeys()


class TestMemorySessions(SessionStoreContract):
    @pytest.fixture
    def store(self) -> MemorySessions:
        return MemorySessions()


class TestMemoryAudit(AuditStoreContract):
    @pytest.fixture
    def store(self) -> MemoryAudit:
        return MemoryAudit()


class TestMemoryAssignments(AssignmentStoreContract):
    @pytest.fixture
    def store(self) -> MemoryAssignments:
        return MemoryAssignments()


class TestMemorySubjectKeys(SubjectKeyStoreContract):
    @pytest.fixture
    def store(self) -> MemorySubjectKeys:
        return MemorySubjectKeys()


class TestMemoryContacts(ContactStoreContract):
    @pytest.fixture
    def store(self) -> MemoryContacts:
        return MemoryContacts()


class TestMemoryDevices(DeviceStoreContract):
    @pytest.fixture
    def store(self) -> MemoryDevices:
        return MemoryDevices()


class TestMemoryNotices(NoticeStoreContract):
    @pytest.fixture
    def store(self) -> MemoryNotices:
        return MemoryNotices()


class TestMemoryIncidents(IncidentStoreContract):
    @pytest.fixture
    def store(self) -> MemoryIncidents:
        return MemoryIncidents()


class TestMemoryPasswordHistory(PasswordHistoryStoreContract):
    @pytest.fixture
    def store(self) -> MemoryPasswordHistory:
        return MemoryPasswordHistory()


def test_counters_of_ended_windows_do_not_pile_up() -> None:
    """A visitor chooses the names that are tried: ten thousand of them must not stay for ever."""
    clock, store = FrozenClock(), MemoryThrottle()
    for number in range(10_000):
        store.take(f"name-{number}", limit=5, window=timedelta(seconds=10), now=clock())
        clock.advance(timedelta(seconds=1))
    assert len(store._counters) < 5_000
