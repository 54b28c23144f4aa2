"""Databases in files (real threads need real files), wiped after each test, and one portal a test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connections
from django.test import Client

from portalsec.django import models
from tests.django import project

TABLES = {
    "portalsec": [
        models.Session,
        models.AccountEpoch,
        models.SessionData,
        models.TotpDevice,
        models.Throttle,
        models.Flow,
        models.RoleAssignment,
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
