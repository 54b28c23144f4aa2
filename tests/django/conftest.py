"""Databases in files (real threads need real files), wiped after each test, and one portal a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connections
from django.test import Client
from sqlalchemy import make_url

from portalsec.django import models
from tests.django import project
from tests.django.clinic import keys as clinic_keys
from tests.django.clinic import models as clinic_models

TABLES = {
    "portalsec": [
        models.Session,
        models.AccountEpoch,
        models.SessionData,
        models.TotpDevice,
        models.RecoveryCode,
        models.Passkey,
        models.Throttle,
        models.Flow,
        models.RoleAssignment,
        models.PasswordHistory,
        models.Contact,
        models.KnownDevice,
        models.Notice,
        models.Incident,
        models.SubjectKey,
        models.AuditEntry,
        models.AuditSubject,
        models.AuditCheckpoint,
        models.AuditLock,
    ],
    "default": [models.AccountLink, LogEntry, get_user_model(), Group],
}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: Any) -> Iterator[None]:
    """Both aliases as files, with the tables that the migrations and the router put there."""
    folder = tmp_path_factory.mktemp("django")
    before = {alias: connections.settings[alias]["NAME"] for alias in TABLES}
    with django_db_blocker.unblock():
        for alias in TABLES:
            connections[alias].close()
            connections[alias].settings_dict["NAME"] = str(folder / f"{alias}.sqlite3")
        for alias in TABLES:
            call_command("migrate", database=alias, verbosity=0)
        connections.close_all()
    yield
    for alias, name in before.items():
        connections[alias].settings_dict["NAME"] = name


def wipe(tables: dict[str, list[Any]]) -> None:
    for alias, kinds in tables.items():
        for kind in kinds:
            kind._base_manager.using(alias).all().delete()


@pytest.fixture
def database(migrated: None, django_db_blocker: Any) -> Iterator[None]:
    """Empty databases, open to every thread."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            wipe(TABLES)
            connections.close_all()


@pytest.fixture
def world(database: None) -> Iterator[project.World]:
    project.current = project.World()
    yield project.current
    project.current = None


@pytest.fixture
def client(world: project.World) -> Client:
    """A browser at https://portal.example that cannot be made to send a CSRF token's absence unnoticed."""
    return Client(headers={"host": "portal.example"})


# -- the clinic: models with encrypted fields, on both databases ---------------------------------------------------

CLINIC = [
    clinic_models.Finding,
    clinic_models.Visit,
    clinic_models.Patient,
    clinic_models.Sample,
    clinic_models.Letter,
    clinic_models.Setting,
    clinic_models.Doctor,
    clinic_models.Person,
    clinic_models.Placement,
    clinic_models.Box,
    clinic_models.Badge,
]


@pytest.fixture(scope="session")
def postgres_default(
    migrated: None,
    postgres_database: Callable[[], AbstractContextManager[str]],
    django_db_blocker: Any,
) -> Iterator[dict[str, Any]]:
    """Settings of a PostgreSQL database with the tables of the alias "default"."""
    with postgres_database() as made:
        url = make_url(made)
        settings = {
            **connections.settings["default"],
            "ENGINE": "django.db.backends.postgresql",
            "NAME": url.database,
            "USER": url.username or "",
            "PASSWORD": url.password or "",
            "HOST": url.query.get("host", url.host) or "",
            "PORT": str(url.port or ""),
            "OPTIONS": {},
        }
        with django_db_blocker.unblock():
            before = _put_default(settings)
            try:
                call_command("migrate", database="default", verbosity=0)
            finally:
                _put_default(before)
        yield settings


def _put_default(settings: dict[str, Any]) -> dict[str, Any]:
    before: dict[str, Any] = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = settings
    return before


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def clinic(request: pytest.FixtureRequest, database: None) -> Iterator[str]:
    """The clinic's tables, empty, on SQLite and then on PostgreSQL; keys are put back."""
    before = None
    if request.param == "postgres":
        before = _put_default(request.getfixturevalue("postgres_default"))
    held = dict(clinic_keys.current)
    try:
        yield request.param
    finally:
        clinic_keys.current.clear()
        clinic_keys.current.update(held)
        clinic_keys.ring.reload()
        for kind in CLINIC:
            kind._base_manager.all()._raw_delete("default")  # whatever the test did to its cells
        wipe({"default": TABLES["default"]})
        if before is not None:
            _put_default(before)
