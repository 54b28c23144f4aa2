"""The stores that the abuse cases of passwords, throttling and recovery are run over: a database and ways past portalsec to it.

`Over` is what a case of `tests.abuse.store_cases` gets. SQLite and PostgreSQL are opened here; Django's stores, which need a
project, in ``tests/django/test_abuse_stores.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, ClassVar

from portalsec.auth.ports import Account
from portalsec.portal import Stores
from portalsec.testing.portal import memory_stores
from tests.auth.world import Backing, World

__all__ = ["Over", "over_sql"]


class Over(ABC):
    """One database with every store of auth in it.

    Attributes:
        backing: the stores, as one worker has them.
        blank: what a blank digest is in a column of digests.
        tables: names of tables of security state, by what is in them.
        refuses: the errors of the driver by which a database refuses a row.
    """

    backing: Backing
    blank: Any
    tables: Mapping[str, str]
    refuses: ClassVar[type[Exception]]

    @abstractmethod
    def worker(self) -> Backing:
        """The same database as another process has it opened."""

    @abstractmethod
    def execute(self, statement: str, **values: Any) -> list[Any]:
        """Rows of a statement on the security database, past portalsec; ``:name`` stands for a value."""

    @abstractmethod
    def hash_writers(self) -> list[Any]:
        """Ways in which ``(account id, hash)`` may be written into the columns past portalsec."""

    @abstractmethod
    def hashes(self) -> list[str | None]:
        """The column of password hashes."""

    @abstractmethod
    def rename(self, account: Account, login: str) -> None:
        """Give an account another sign-in name past portalsec."""

    def make(self, **settings: Any) -> World:
        return World(backing=self.backing, **settings)

    def stores(self) -> Stores:
        """The stores of a whole portal; its audit log, its assignments and incidents are in memory."""
        held = {each.name: getattr(self.backing, each.name) for each in fields(Backing)}
        return replace(
            memory_stores(),
            invitations=held.pop("links"),
            password_history=held.pop("history"),
            **held,
        )

    @contextmanager
    def without(self, what: str) -> Iterator[None]:
        """A store that really fails: its table is gone for a while."""
        name = self.tables[what]
        self.execute(f"ALTER TABLE {name} RENAME TO {name}_gone")
        try:
            yield
        finally:
            self.execute(f"ALTER TABLE {name}_gone RENAME TO {name}")


class _OverSql(Over):
    from sqlalchemy.exc import DBAPIError as refuses

    blank = b""
    tables: Mapping[str, str] = {
        "flow": "portalsec_flow",
        "session": "portalsec_session",
        "device": "portalsec_known_device",
        "throttle": "portalsec_throttle",
        "totp": "portalsec_totp_device",
        "recovery_codes": "portalsec_recovery_code",
        "passkeys": "portalsec_passkey",
    }

    def __init__(self, url: str) -> None:
        from portalsec.sqlalchemy import create_schema
        from tests.stores.support import TestingSealer

        self._url, self._sealer, self._engines = url, TestingSealer(), []
        engine = self._open()
        create_schema(engine, "security")
        self.empty()
        self.backing = self._backing(engine)

    def empty(self) -> None:
        """As if it were new."""
        from sqlalchemy import text

        from portalsec.sqlalchemy.tables import security_metadata

        with self._engines[0].begin() as connection:  # one commit, and one wait for the disk
            for table in security_metadata.sorted_tables:
                if table.name != "portalsec_schema":
                    connection.execute(text(f"DELETE FROM {table.name}"))

    def _open(self) -> Any:
        from portalsec.sqlalchemy import open_engine

        self._engines.append(open_engine(self._url))
        return self._engines[-1]

    def _backing(self, engine: Any) -> Backing:
        from portalsec import sqlalchemy as sql
        from tests.stores.support import testing_mac

        return Backing(
            accounts=sql.SqlAccounts(engine, mac=testing_mac, sealer=self._sealer),
            flows=sql.SqlFlows(engine),
            sessions=sql.SqlSessions(engine),
            throttle=sql.SqlThrottle(engine),
            totp=sql.SqlTotp(engine),
            recovery_codes=sql.SqlRecoveryCodes(engine),
            passkeys=sql.SqlPasskeys(engine),
            links=sql.SqlFlows(engine),
            devices=sql.SqlDevices(engine),
            contacts=sql.SqlContacts(engine, mac=testing_mac, sealer=self._sealer),
            notices=sql.SqlNotices(engine),
            history=sql.SqlPasswordHistory(engine),
        )

    def worker(self) -> Backing:
        return self._backing(self._open())

    def execute(self, statement: str, **values: Any) -> list[Any]:
        from sqlalchemy import text

        with self._engines[0].begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    def hash_writers(self) -> list[Any]:
        def write(account_id: str, stored: str | None) -> None:
            self.execute(
                "UPDATE portalsec_account SET password_hash = :stored WHERE id = :id",
                stored=stored,
                id=account_id,
            )

        return [write]

    def hashes(self) -> list[str | None]:
        return [row[0] for row in self.execute("SELECT password_hash FROM portalsec_account")]

    def rename(self, account: Account, login: str) -> None:
        where = {"table": "portalsec_account", "column": "login_sealed", "row": account.id}
        self.execute(
            "UPDATE portalsec_account SET login_mac = :mac, login_sealed = :sealed WHERE id = :id",
            mac=self.backing.accounts._login_macs(login)[0],
            sealed=self._sealer.seal(login.encode(), **where),
            id=account.id,
        )

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()


@contextmanager
def over_sql(url: str) -> Iterator[_OverSql]:
    """Over a database of SQLAlchemy's, emptied first."""
    over = _OverSql(url)
    try:
        yield over
    finally:
        over.close()
