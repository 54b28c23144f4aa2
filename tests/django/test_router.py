"""Which table is made in which database, and that the models and the migrations say the same."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connections

pytestmark = pytest.mark.usefixtures("database")


def tables(alias: str) -> set[str]:
    with connections[alias].cursor() as cursor:
        return set(connections[alias].introspection.table_names(cursor))


def test_portalsecs_state_lies_in_its_own_database_and_the_link_beside_the_users() -> None:
    own, projects = tables("portalsec"), tables("default")
    assert {name for name in own if name != "django_migrations"} == {
        "portalsec_accountepoch",
        "portalsec_auditcheckpoint",
        "portalsec_auditentry",
        "portalsec_auditlock",
        "portalsec_auditsubject",
        "portalsec_contact",
        "portalsec_flow",
        "portalsec_incident",
        "portalsec_knowndevice",
        "portalsec_notice",
        "portalsec_passwordhistory",
        "portalsec_roleassignment",
        "portalsec_session",
        "portalsec_sessiondata",
        "portalsec_subjectkey",
        "portalsec_throttle",
        "portalsec_totpdevice",
        "portalsec_recoverycode",
        "portalsec_passkey",
    }
    assert {name for name in projects if name.startswith("portalsec_")} == {"portalsec_accountlink"}
    assert "auth_user" in projects


def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "portalsec", check=True, dry_run=True, verbosity=0)
