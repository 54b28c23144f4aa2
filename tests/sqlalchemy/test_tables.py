"""The schema: its two parts, its version, and what a stolen copy of the file tells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from portalsec.auth.ports import Account
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.sqlalchemy import SqlAccounts, check_schema, create_schema, open_engine
from portalsec.testing.contracts import StoreContract
from tests.stores.support import TestingSealer, testing_mac

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/s.db")
    yield engine
    engine.dispose()


def test_each_part_creates_its_own_tables(engine: Engine):
    create_schema(engine, "audit")
    names = set(inspect(engine).get_table_names())
    assert "portalsec_audit_event" in names
    assert "portalsec_account" not in names
    with pytest.raises(ConfigurationError, match=r'no security tables .*create_schema\(engine, "security"\)'):
        check_schema(engine, "security")
    create_schema(engine, "security")
    check_schema(engine, "security")
    check_schema(engine, "audit")


def test_creating_twice_is_creating_once(engine: Engine):
    create_schema(engine, "security")
    create_schema(engine, "security")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT part, version FROM portalsec_schema")).all() == [
            ("security", 3)
        ]


def test_eight_workers_create_it_at_once(engine: Engine):
    StoreContract().race(lambda: create_schema(engine, "security"))
    check_schema(engine, "security")


@pytest.mark.parametrize("version", [0, 4])
def test_tables_of_another_version_are_refused_and_left_alone(engine: Engine, version: int):
    create_schema(engine, "security")
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE portalsec_schema SET version = {version}"))
    for verb in (create_schema, check_schema):
        with pytest.raises(
            ConfigurationError, match=f"are of version {version} and this portalsec reads version 3"
        ):
            verb(engine, "security")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM portalsec_schema")) == version


def test_a_login_is_nowhere_in_the_file(engine: Engine, tmp_path: Path):
    create_schema(engine, "security")
    accounts = SqlAccounts(engine, mac=testing_mac, sealer=TestingSealer())
    for number in range(20):
        accounts.create(
            Account(id=f"account-{number}", login=f"margaret{number}@example.org", password_hash=None),
            now=NOW,
        )
    assert accounts.by_login("margaret7@example.org") is not None
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"account-7" in content
    assert b"margaret" not in content


def test_a_login_moved_to_another_row_does_not_open(engine: Engine):
    """Somebody who can write the table cannot make one account answer to another's name."""
    create_schema(engine, "security")
    accounts = SqlAccounts(engine, mac=testing_mac, sealer=TestingSealer())
    for name in ("ann", "bob"):
        accounts.create(Account(id=name, login=f"{name}@example.org", password_hash=None), now=NOW)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE portalsec_account SET login_sealed = "
                "(SELECT login_sealed FROM portalsec_account WHERE id = 'ann') WHERE id = 'bob'"
            )
        )
    with pytest.raises(DecryptionError):
        accounts.get("bob")
