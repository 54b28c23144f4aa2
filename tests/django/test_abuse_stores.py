"""The abuse cases of passwords, throttling and recovery over Django's stores, on SQLite files and on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connections

from portalsec.auth.ports import Account
from portalsec.django import models
from portalsec.django.stores import (
    DjangoAccounts,
    DjangoContacts,
    DjangoDevices,
    DjangoFlows,
    DjangoNotices,
    DjangoPasskeys,
    DjangoPasswordHistory,
    DjangoRecoveryCodes,
    DjangoSessions,
    DjangoThrottle,
    DjangoTotp,
)
from portalsec.django.stores.accounts import _to_column
from tests.abuse.code_cases import CodeCases
from tests.abuse.store_cases import CasesOfSqlToo, StoreCases
from tests.abuse.stores import Over
from tests.abuse.test_auth import hashes
from tests.auth.world import AT_THREAD_END, Backing
from tests.django.conftest import TABLES, wipe
from tests.django.test_contracts import postgres_alias
from tests.stores.support import TestingSealer, testing_mac

__all__ = ["hashes", "postgres_alias"]

_NAMED = re.compile(r":(\w+)")


class OverDjango(Over):
    """Users in one database, security state in the same or in another."""

    blank = ""
    refuses = DatabaseError
    tables = {
        "flow": models.Flow._meta.db_table,
        "session": models.Session._meta.db_table,
        "device": models.KnownDevice._meta.db_table,
        "throttle": models.Throttle._meta.db_table,
        "totp": models.TotpDevice._meta.db_table,
        "recovery_codes": models.RecoveryCode._meta.db_table,
        "passkeys": models.Passkey._meta.db_table,
    }

    def __init__(self, users: str, security: str) -> None:
        self._users, self._security, self._sealer = users, security, TestingSealer()
        self.backing = self.worker()

    def worker(self) -> Backing:
        using = self._security
        return Backing(
            accounts=DjangoAccounts(self._users),
            flows=DjangoFlows(using),
            sessions=DjangoSessions(using),
            throttle=DjangoThrottle(using),
            totp=DjangoTotp(using),
            recovery_codes=DjangoRecoveryCodes(using),
            passkeys=DjangoPasskeys(using),
            links=DjangoFlows(using),
            devices=DjangoDevices(using),
            contacts=DjangoContacts(using, mac=testing_mac, sealer=self._sealer),
            notices=DjangoNotices(using),
            history=DjangoPasswordHistory(using),
        )

    def execute(self, statement: str, **values: Any) -> list[Any]:
        with connections[self._security].cursor() as cursor:
            cursor.execute(_NAMED.sub(r"%(\1)s", statement), values or None)
            return list(cursor.fetchall()) if cursor.description else []

    def hash_writers(self) -> list[Any]:
        links = models.AccountLink.objects.using(self._users)
        users = get_user_model()._base_manager.using(self._users)

        def link(account_id: str, stored: str | None) -> None:
            links.filter(account_id=account_id).update(password_hash=stored)

        def column(account_id: str, stored: str | None) -> None:
            # NULL does not fit; Django's own word for none stands in for it.
            users.filter(portalsec_account__account_id=account_id).update(
                password="!" if stored is None else stored
            )

        def both(account_id: str, stored: str | None) -> None:
            link(account_id, stored)
            column(account_id, _to_column(stored))

        def column_alone(account_id: str, stored: str | None) -> None:
            """What ``user.set_password`` and the admin do; a hash of portalsec's is put back whole."""
            ours = stored is not None and stored.startswith("$ps1$")
            both(account_id, stored) if ours else column(account_id, stored)

        return [both, column_alone]

    def hashes(self) -> list[str | None]:
        links = models.AccountLink.objects.using(self._users)
        return list(links.values_list("password_hash", flat=True))

    def rename(self, account: Account, login: str) -> None:
        users = get_user_model()._base_manager.using(self._users)
        assert users.filter(portalsec_account__account_id=account.id).update(username=login) == 1


class _Cases(StoreCases, CasesOfSqlToo, CodeCases):
    @pytest.fixture(autouse=True)
    def connections_end(self) -> Iterator[None]:
        AT_THREAD_END.append(connections.close_all)
        yield
        AT_THREAD_END.remove(connections.close_all)


@pytest.mark.usefixtures("database")
class TestOnSqlite(_Cases):
    @pytest.fixture
    def over(self, database: None) -> Over:
        return OverDjango("default", "portalsec")


@pytest.mark.postgres
class TestOnPostgres(_Cases):
    @pytest.fixture
    def over(self, postgres_alias: str, django_db_blocker: Any) -> Iterator[Over]:
        with django_db_blocker.unblock():
            yield OverDjango(postgres_alias, postgres_alias)
            wipe({postgres_alias: [kind for tables in TABLES.values() for kind in tables]})
            connections.close_all()
