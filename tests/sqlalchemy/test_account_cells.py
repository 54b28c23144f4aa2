"""The table of accounts under rotated keys: hashes of logins and sealed logins are written anew, and old keys can go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from portalsec.auth.ports import Account
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.sqlalchemy import SqlAccounts, account_cells, create_schema, open_engine
from portalsec.sqlalchemy.tables import account as table

NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Keys:
    """A ring whose keysets a test changes."""

    def __init__(self) -> None:
        self.now = {"fields": Keyset.generate(), "mac": Keyset.generate("HMAC_SHA256_PRF")}
        self.ring = Keyring(lambda: self.now)
        self.old = {name: keys.primary_id for name, keys in self.now.items()}

    def each(self, change) -> None:
        self.now = {name: change(name, keys) for name, keys in self.now.items()}
        self.ring.reload()

    def rotate(self) -> None:
        templates = {"fields": "XAES_256_GCM", "mac": "HMAC_SHA256_PRF"}
        self.each(lambda name, keys: keys.add(templates[name]))
        self.each(lambda name, keys: keys.promote(keys.info()[-1].id))

    def disable_old(self) -> None:
        self.each(lambda name, keys: keys.disable(self.old[name]))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'security.db'}")
    create_schema(engine, "security")
    yield engine
    engine.dispose()


def accounts_of(engine: Engine, keys: Keys) -> SqlAccounts:
    return SqlAccounts(engine, mac=KeyedHash(keys.ring["mac"]), sealer=FieldSealer(keys.ring["fields"]))


def account(number: int) -> Account:
    return Account(
        id=f"account-{number}", login=f"zoë{number}@example.org", password_hash="hash", created_at=NOW
    )


def run(engine: Engine, keys: Keys):
    return list(account_cells(fields=keys.ring["fields"], mac=keys.ring["mac"]).over(engine, batch=7).run())


def test_everything_is_written_anew_and_the_old_keys_can_go(engine: Engine):
    keys = Keys()
    accounts = accounts_of(engine, keys)
    everyone = [account(number) for number in range(30)]
    for one in everyone[:20]:
        assert accounts.create(one, now=NOW)
    keys.rotate()
    for one in everyone[20:]:
        assert accounts.create(one, now=NOW)
    assert [accounts.by_login(one.login) for one in everyone] == everyone
    last = run(engine, keys)[-1]
    assert (last.done, last.changed, last.failed) == (30, 20, 0)
    keys.disable_old()
    assert [accounts.by_login(one.login) for one in everyone] == everyone
    assert not any(
        accounts.create(Account(id="x", login=one.login, password_hash=None), now=NOW) for one in everyone
    )
    assert run(engine, keys)[-1].changed == 0


def test_without_it_an_old_account_is_not_found_under_the_new_key_alone(engine: Engine):
    keys = Keys()
    accounts = accounts_of(engine, keys)
    assert accounts.create(account(1), now=NOW)
    keys.rotate()
    keys.disable_old()
    assert accounts.by_login(account(1).login) is None


def test_a_login_that_does_not_open_is_a_failure_and_left_alone(engine: Engine):
    keys = Keys()
    accounts = accounts_of(engine, keys)
    for number in range(3):
        assert accounts.create(account(number), now=NOW)
    with engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == "account-1").values(login_sealed=b"damaged"))
        before = connection.execute(select(table).where(table.c.id == "account-1")).one()
    keys.rotate()
    last = run(engine, keys)[-1]
    assert (last.done, last.changed) == (3, 2)
    assert last.failed >= 1
    with engine.connect() as connection:
        assert connection.execute(select(table).where(table.c.id == "account-1")).one() == before
