"""A database of an older version is brought up to date at the start: whole and once, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, inspect, select, text, update

from portalsec.auth.ports import Account, Contact, Flow, KnownDevice, SessionRecord, TotpDevice
from portalsec.auth.proof import Factor, Proof
from portalsec.clock import unix_microseconds
from portalsec.errors import ConfigurationError, StoreError
from portalsec.sqlalchemy import (
    SqlAccounts,
    SqlContacts,
    SqlDevices,
    SqlFlows,
    SqlSessions,
    SqlThrottle,
    SqlTotp,
    check_schema,
    create_schema,
    open_engine,
    schema,
)
from portalsec.sqlalchemy.accounts import LOGIN
from portalsec.sqlalchemy.tables import SCHEMAS, security_metadata
from portalsec.testing.contracts.base import NOW
from tests.stores.support import TestingSealer, testing_mac

ACCOUNT = Account(
    id="account-1",
    login="ana@example.org",
    password_hash="$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    disabled=True,
    reference="patient-1",
    created_at=NOW - timedelta(days=400),
)
FLOW = Flow(
    digest=b"f" * 32, purpose="signin", account_id="account-1", data=b"d", expires_at=NOW + timedelta(1)
)
DEVICE = TotpDevice(
    id="device-1",
    account_id="account-1",
    label="phone",
    sealed_secret=b"sealed",
    confirmed=True,
    last_step=58_000_000,
    created_at=NOW,
)
SESSION = SessionRecord(
    digest=b"s" * 32,
    account_id="account-1",
    epoch=3,
    created_at=NOW,
    last_seen_at=NOW,
    proofs=(Proof(factor=Factor.PASSWORD, at=NOW), Proof(factor=Factor.TOTP, at=NOW)),
    level=2,
    address="192.0.2.7",
)
BROWSER = KnownDevice(
    id="browser-1",
    account_id="account-1",
    digest=b"b" * 32,
    previous=None,
    label="Firefox / Windows",
    created_at=NOW,
    used_at=NOW,
)
_TABLES = sorted(table.name for table in security_metadata.sorted_tables)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def engine(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    postgres_database: Callable[[], AbstractContextManager[str]],
) -> Iterator[Engine]:
    if request.param == "sqlite":
        opened = open_engine(f"sqlite:///{tmp_path}/security.db")
        yield opened
        opened.dispose()
        return
    with postgres_database() as url:
        opened = open_engine(url)
        yield opened
        opened.dispose()


@pytest.fixture
def sealer() -> TestingSealer:
    return TestingSealer()


@pytest.fixture(params=[1, 2])
def old(engine: Engine, sealer: TestingSealer, request: pytest.FixtureRequest) -> Engine:
    """The database as a portal of an older version left it, with somebody in the middle of everything."""
    statements = (Path(__file__).parent / f"version_{request.param}.sql").read_text("utf-8")
    if engine.dialect.name == "postgresql":
        statements = statements.replace("BLOB", "BYTEA")
        statements = statements.replace("INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT", "BIGSERIAL PRIMARY KEY")
    rows: dict[str, dict[str, Any]] = {
        "portalsec_account": {
            "id": ACCOUNT.id,
            "login_mac": testing_mac(LOGIN, ACCOUNT.login.encode()),
            "login_sealed": sealer.seal(
                ACCOUNT.login.encode(), table="portalsec_account", column="login_sealed", row=ACCOUNT.id
            ),
            "password_hash": ACCOUNT.password_hash,
            "disabled": 1,
            "reference": ACCOUNT.reference,
            "created_at": unix_microseconds(ACCOUNT.created_at or NOW),
        },
        "portalsec_flow": {
            "digest": FLOW.digest,
            "purpose": FLOW.purpose,
            "account_id": FLOW.account_id,
            "data": FLOW.data,
            "expires_at": unix_microseconds(FLOW.expires_at),
            "attempts": 0,
        },
        "portalsec_throttle": {
            "key": "password:ana",
            "window_start": unix_microseconds(NOW),
            "window_end": unix_microseconds(NOW + timedelta(minutes=15)),
            "used": 4,
        },
        "portalsec_totp_device": {
            "id": DEVICE.id,
            "account_id": DEVICE.account_id,
            "label": DEVICE.label,
            "sealed_secret": DEVICE.sealed_secret,
            "confirmed": 1,
            "last_step": DEVICE.last_step,
            "created_at": unix_microseconds(DEVICE.created_at),
        },
        "portalsec_session": {
            "digest": SESSION.digest,
            "account_id": SESSION.account_id,
            "epoch": SESSION.epoch,
            "created_at": unix_microseconds(NOW),
            "last_seen_at": unix_microseconds(NOW),
            "factors": '["password", "totp"]',
            "proven_at": unix_microseconds(NOW),
            "address": SESSION.address,
        },
        "portalsec_session_epoch": {"account_id": "account-1", "epoch": 3},
    }
    if request.param > 1:
        rows["portalsec_known_device"] = {
            "id": BROWSER.id,
            "account_id": BROWSER.account_id,
            "digest": BROWSER.digest,
            "label": BROWSER.label,
            "created_at": unix_microseconds(BROWSER.created_at),
            "used_at": unix_microseconds(BROWSER.used_at),
        }
    with engine.begin() as connection:
        for statement in statements.split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for table, row in rows.items():
            names, values = ", ".join(f'"{name}"' for name in row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)
    return engine


def version(engine: Engine) -> int | None:
    table = SCHEMAS["security"]
    with engine.connect() as connection:
        return connection.scalar(select(table.c.version).where(table.c.part == "security"))


def shape(engine: Engine) -> Mapping[str, Any]:
    """Columns and indexes of every table, in no order."""
    found = inspect(engine)
    return {
        name: (
            sorted((c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(name)),
            sorted(str(index["name"]) for index in found.get_indexes(name)),
        )
        for name in found.get_table_names()
    }


def test_an_older_database_is_upgraded_with_all_that_is_in_it(old: Engine, sealer: TestingSealer) -> None:
    before = version(old)
    with pytest.raises(
        ConfigurationError, match=rf"version {before} and this portalsec reads version 3: upgrade them"
    ):
        check_schema(old, "security")
    create_schema(old, "security")
    check_schema(old, "security")
    assert version(old) == 3

    accounts = SqlAccounts(old, mac=testing_mac, sealer=sealer)
    assert accounts.get("account-1") == accounts.by_login(ACCOUNT.login) == ACCOUNT
    assert accounts.signed_in("account-1", at=NOW)
    assert accounts.require_change("account-1", "expired")
    assert accounts.get("account-1") == replace(ACCOUNT, signed_in_at=NOW, must_change="expired")
    contacts = SqlContacts(old, mac=testing_mac, sealer=sealer)
    contact = Contact(
        id="contact-1", account_id="account-1", address=ACCOUNT.login, verified_at=None, created_at=NOW
    )
    assert contacts.add(contact)
    assert list(contacts.by_address(ACCOUNT.login)) == [contact]

    assert SqlFlows(old).consume(FLOW.digest, FLOW.purpose, now=NOW) == FLOW
    totp = SqlTotp(old)
    assert list(totp.devices("account-1")) == [DEVICE]
    assert totp.advance("account-1", "device-1", DEVICE.last_step + 1, drift=1, at=NOW)
    assert totp.remove("account-1", "device-1", at=NOW)
    used = replace(DEVICE, last_step=DEVICE.last_step + 1, drift=1, used_at=NOW, removed_at=NOW)
    assert list(totp.removed("account-1")) == [used]
    if before == 2:
        devices = SqlDevices(old)
        assert devices.find(BROWSER.digest) == BROWSER
        assert devices.trust("account-1", "browser-1", until=NOW, setup=b"setup")
        assert devices.find(BROWSER.digest) == replace(BROWSER, trusted_until=NOW, trusted_setup=b"setup")
    loaded = SqlSessions(old).load(SESSION.digest)
    assert loaded is not None
    assert (loaded.record, loaded.current_epoch) == (SESSION, 3)
    take = SqlThrottle(old).take("password:ana", limit=5, window=timedelta(minutes=15), now=NOW)
    assert (take.ok, take.used) == (True, 5)
    assert not SqlThrottle(old).take("password:ana", limit=5, window=timedelta(minutes=15), now=NOW).ok


def test_an_upgraded_database_is_as_a_new_one(old: Engine, tmp_path: Path) -> None:
    create_schema(old, "security")
    upgraded = shape(old)
    assert sorted(upgraded) == _TABLES
    with old.begin() as connection:
        for table in reversed(security_metadata.sorted_tables):
            connection.exec_driver_sql(f"DROP TABLE {table.name}")
    create_schema(old, "security")
    assert upgraded == shape(old)


def test_race_of_workers_that_start_upgrades_once(old: Engine) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        try:
            barrier.wait(60)
            create_schema(old, "security")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert version(old) == 3


def test_an_upgrade_that_fails_half_way_changes_nothing(old: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    before, first = shape(old), version(old)
    *steps, last = schema.UPGRADES["security"]
    broken = {**schema.UPGRADES, "security": (*steps, (*last, ("portalsec_account", "id TEXT")))}
    monkeypatch.setattr(schema, "UPGRADES", broken)
    with pytest.raises(StoreError):
        create_schema(old, "security")
    assert shape(old) == before
    assert version(old) == first
    monkeypatch.undo()
    create_schema(old, "security")
    assert version(old) == 3


def test_a_worker_of_the_version_before_still_writes_meanwhile(old: Engine) -> None:
    create_schema(old, "security")
    with old.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO portalsec_account (id, login_mac, login_sealed, disabled, created_at) "
                "VALUES ('account-2', :mac, :mac, 0, 1)"
            ),
            {"mac": b"m"},
        )
        connection.execute(
            text("INSERT INTO portalsec_throttle (key, window_start, window_end, used) VALUES ('k', 1, 2, 1)")
        )
        connection.execute(
            text(
                "INSERT INTO portalsec_totp_device "
                "(id, account_id, label, sealed_secret, confirmed, last_step, created_at) "
                "VALUES ('device-2', 'account-2', '', :sealed, 0, -1, 1)"
            ),
            {"sealed": b"s"},
        )
        assert connection.scalar(select(func.count()).select_from(text("portalsec_account"))) == 2
    (device,) = SqlTotp(old).devices("account-2")
    assert (device.algorithm, device.digits, device.period, device.failures) == ("SHA1", 6, 30, 0)


def test_a_newer_database_is_left_alone(engine: Engine) -> None:
    create_schema(engine, "security")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE portalsec_incident")
        connection.execute(update(SCHEMAS["security"]).values(version=4))
    for opening in (create_schema, check_schema):
        with pytest.raises(
            ConfigurationError, match=r"of version 4 .* reads version 3: install the portalsec"
        ):
            opening(engine, "security")
    assert version(engine) == 4
    assert "portalsec_incident" not in shape(engine)
