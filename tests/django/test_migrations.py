"""A database of an older portalsec is migrated with what is in it, and its workers may go on writing meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from portalsec.auth.ports import KnownDevice, TotpDevice
from portalsec.clock import unix_microseconds
from portalsec.django.stores import DjangoDevices, DjangoTotp
from portalsec.testing.contracts.base import NOW


@pytest.fixture
def older(tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """The tables as the version before second factors left them."""
    connections.settings["older"] = {
        **connections.settings["portalsec"],
        "NAME": str(tmp_path / "older.sqlite3"),
    }
    with django_db_blocker.unblock(), override_settings(DATABASE_ROUTERS=[]):
        call_command("migrate", "portalsec", "0005", database="older", verbosity=0)
        yield "older"
        connections["older"].close()
    del connections["older"], connections.settings["older"]


def _enrol(name: str) -> TotpDevice:
    """Written as a worker of that version does."""
    with connections["older"].cursor() as cursor:
        cursor.execute(
            "INSERT INTO portalsec_totpdevice "
            "(id, account_id, label, sealed_secret, confirmed, last_step, created_at) "
            "VALUES (%s, %s, 'phone', %s, 1, 7, %s)",
            [name, name, b"sealed", unix_microseconds(NOW)],
        )
    return TotpDevice(
        id=name,
        account_id=name,
        label="phone",
        sealed_secret=b"sealed",
        confirmed=True,
        last_step=7,
        created_at=NOW,
    )


def test_authenticators_and_browsers_are_as_they_were(older: str) -> None:
    before = _enrol("before")
    with connections[older].cursor() as cursor:
        cursor.execute(
            "INSERT INTO portalsec_knowndevice (id, account_id, digest, label, created_at, used_at) "
            "VALUES ('1', 'before', %s, 'Firefox', %s, %s)",
            [(b"d" * 32).hex(), unix_microseconds(NOW), unix_microseconds(NOW)],
        )
    call_command("migrate", "portalsec", database=older, verbosity=0)
    meanwhile = _enrol("meanwhile")
    store = DjangoTotp(older)
    assert list(store.devices("before")) == [before]
    assert list(store.devices("meanwhile")) == [meanwhile]
    assert store.try_("before", "before", cap=1)
    assert not store.try_("before", "before", cap=1)
    assert store.remove("before", "before", at=NOW)
    assert len(store.removed("before")) == 1
    browser = KnownDevice(
        id="1",
        account_id="before",
        digest=b"d" * 32,
        previous=None,
        label="Firefox",
        created_at=NOW,
        used_at=NOW,
    )
    assert list(DjangoDevices(older).of_account("before")) == [browser]
