"""Seeds of authenticators under a rotated key: written anew where they are, while codes are checked; the old key can go."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import Engine, select, update

from portalsec._encoding import uuid7
from portalsec.auth.totp import Totp
from portalsec.crypto import EncryptedField, FieldSealer, Keyring, Keyset
from portalsec.crypto.cells import Change
from portalsec.errors import DecryptionError
from portalsec.sqlalchemy import SqlTotp, create_schema, open_engine, totp_cells
from portalsec.sqlalchemy.tables import totp_device as table
from portalsec.testing import FrozenClock


class Portal:
    """Authenticators of a few accounts, over a ring whose keyset a test changes."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.clock = engine, FrozenClock()
        self.keyset = Keyset.generate()
        self.old = self.keyset.primary_id
        self.ring = Keyring(lambda: {"fields": self.keyset})
        self.totp = Totp(
            store=SqlTotp(engine),
            sealer=FieldSealer(self.ring["fields"]),
            issuer="x",
            clock=self.clock,
            new_id=uuid7,
        )
        self.seeds: dict[str, str] = {}

    def enrol(self, account: str) -> None:
        made = self.totp.begin(account, account_name="x")
        self.seeds[account] = made.secret.reveal()
        self.totp.confirm(account, made.device_id, self.code(account))

    def code(self, account: str) -> str:
        return pyotp.TOTP(self.seeds[account]).at(self.clock())

    def verify(self, account: str) -> None:
        self.clock.advance(timedelta(seconds=30))
        self.totp.verify(account, self.code(account))

    def set(self, keyset: Keyset) -> None:
        self.keyset = keyset
        self.ring.reload()

    def rotate(self) -> None:
        added = self.keyset.add("XAES_256_GCM")
        self.set(added)
        self.set(added.promote(added.info()[-1].id))

    def run(self, **options):
        *_, last = totp_cells(fields=self.ring["fields"]).over(self.engine, batch=3).run(**options)
        return last


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    engine = open_engine(f"sqlite:///{tmp_path / 'security.db'}")
    create_schema(engine, "security")
    yield Portal(engine)
    engine.dispose()


# Ids with a colon, one within another: what a seed is bound to is taken apart again by its length.
ACCOUNTS = ["a", "a:b", "2:a", *(f"account-{number}" for number in range(5))]


def test_codes_are_accepted_before_between_and_after(portal: Portal):
    for account in ACCOUNTS[:6]:
        portal.enrol(account)
    portal.rotate()
    for account in ACCOUNTS[6:]:
        portal.enrol(account)
    (status,) = totp_cells(fields=portal.ring["fields"]).over(portal.engine).remaining()
    assert (status.current, status.older) == (2, {portal.old: 6})
    for account in ACCOUNTS:
        portal.verify(account)
    last = portal.run()
    assert (last.done, last.changed, last.failed) == (8, 6, 0)
    portal.set(portal.keyset.disable(portal.old))
    for account in ACCOUNTS:
        portal.verify(account)
    assert portal.run().changed == 0


def test_without_it_a_disabled_key_shuts_out(portal: Portal):
    portal.enrol("a")
    portal.rotate()
    portal.set(portal.keyset.disable(portal.old))
    with pytest.raises(DecryptionError):
        portal.verify("a")


def test_a_seed_of_another_account_is_a_failure_and_left_alone(portal: Portal):
    for account in ACCOUNTS:
        portal.enrol(account)
    with portal.engine.begin() as connection:
        seed = connection.scalar(select(table.c.sealed_secret).where(table.c.account_id == "a"))
        connection.execute(update(table).where(table.c.account_id == "a:b").values(sealed_secret=seed))
    portal.rotate()
    last = portal.run()
    assert (last.changed, last.failed) == (7, 1)
    with portal.engine.connect() as connection:
        assert connection.scalar(select(table.c.sealed_secret).where(table.c.account_id == "a:b")) == seed


def test_a_device_that_was_replaced_meanwhile_is_kept(portal: Portal):
    """The unconfirmed device of an account is written over in place, under another id: that one is not touched."""
    first = portal.totp.begin("a", account_name="x")
    portal.rotate()
    source = totp_cells(fields=portal.ring["fields"]).over(portal.engine)._source
    (row,) = source.page(None, 10)
    second = portal.totp.begin("a", account_name="x")
    field = EncryptedField[bytes](portal.ring["fields"], table="totp_device", column="secret", type=bytes)
    fresh = field.encrypt(b"x" * 20, row=row.id)
    assert source.swap([Change(row, (fresh,))]) == [False]
    portal.seeds["a"] = second.secret.reveal()
    portal.totp.confirm("a", second.device_id, portal.code("a"))
    assert first.device_id != second.device_id


def test_a_removed_device_is_restored_under_the_new_key(portal: Portal):
    """Its owner has a day to bring it back: the seed goes with the others, or it would come back dead."""
    store = SqlTotp(portal.engine)
    portal.enrol("a")
    (device,) = store.devices("a")
    assert store.remove("a", device.id, at=portal.clock())
    portal.rotate()
    (status,) = totp_cells(fields=portal.ring["fields"]).over(portal.engine).remaining()
    assert status.older == {portal.old: 1}
    assert portal.run().changed == 1
    portal.set(portal.keyset.disable(portal.old))
    assert store.restore("a", device.id, since=portal.clock() - timedelta(hours=1))
    portal.verify("a")


def test_a_device_that_was_used_or_removed_meanwhile_keeps_what_was_written(portal: Portal):
    portal.enrol("a")
    store = SqlTotp(portal.engine)
    (device,) = store.devices("a")
    portal.rotate()
    source = totp_cells(fields=portal.ring["fields"]).over(portal.engine)._source
    (row,) = source.page(None, 10)
    assert store.try_("a", device.id, cap=100)
    assert store.remove("a", device.id, at=portal.clock())
    field = EncryptedField[bytes](portal.ring["fields"], table="totp_device", column="secret", type=bytes)
    seed = base64.b32decode(portal.seeds["a"])
    assert source.swap([Change(row, (field.encrypt(seed, row=row.id),))]) == [True]
    (removed,) = store.removed("a")
    assert (removed.failures, removed.removed_at) == (device.failures + 1, portal.clock())
