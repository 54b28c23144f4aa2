"""The system checks: each setting that would leave a way round is named; the tests' own settings are clean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from portalsec.django.checks import check_settings
from portalsec.django.conf import get_portal, security_database
from portalsec.errors import ConfigurationError

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
FIRST = "portalsec.django.middleware.SecurityHeadersMiddleware"
OURS = "portalsec.django.middleware.PortalsecMiddleware"


def found() -> list[str]:
    return sorted(message.id or "" for message in check_settings(None))


def test_the_settings_of_these_tests_are_clean() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changed", "ids"),
    [
        ({"PORTALSEC": None}, ["portalsec.E001"]),
        ({"PORTALSEC": {"DATABASE": "portalsec"}}, ["portalsec.E001"]),
        ({"PORTALSEC": {"PORTAL": "nowhere.at.all"}}, ["portalsec.E001"]),
        ({"PORTALSEC": {"PORTAL": "tests.django.project.POLICY"}}, ["portalsec.E001"]),
        ({"PORTALSEC": {"PORTAL": "tests.django.project.portal", "DATABASES": "x"}}, ["portalsec.E001"]),
        ({"PORTALSEC": {"PORTAL": 7}}, ["portalsec.E001"]),
        ({"PORTALSEC": {"PORTAL": "tests.django.project.portal", "DATABASE": "nine"}}, ["portalsec.E002"]),
        ({"DATABASE_ROUTERS": []}, ["portalsec.E004"]),
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.db"}, ["portalsec.E005"]),
        ({"SESSION_COOKIE_NAME": "sessionid"}, ["portalsec.E006"]),
        ({"SESSION_COOKIE_SECURE": False}, ["portalsec.E006"]),
        ({"SESSION_COOKIE_HTTPONLY": False}, ["portalsec.E006"]),
        ({"SESSION_COOKIE_DOMAIN": "portal.example"}, ["portalsec.E006"]),
        ({"SESSION_COOKIE_PATH": "/app"}, ["portalsec.E006"]),
        ({"SESSION_COOKIE_SAMESITE": "None"}, ["portalsec.E006"]),
        ({"MIDDLEWARE": [FIRST, SESSION, CSRF, AUTH]}, ["portalsec.E007"]),
        ({"MIDDLEWARE": [FIRST, SESSION, CSRF, OURS, AUTH]}, ["portalsec.E008"]),
        ({"MIDDLEWARE": [FIRST, OURS, SESSION, CSRF, AUTH]}, ["portalsec.E008"] * 3),
        ({"MIDDLEWARE": [FIRST, SESSION, AUTH, OURS]}, ["portalsec.E008"]),
        ({"MIDDLEWARE": [SESSION, CSRF, AUTH, OURS]}, ["portalsec.E010"]),
        ({"MIDDLEWARE": [SESSION, FIRST, CSRF, AUTH, OURS]}, ["portalsec.E010"]),
        ({"MIDDLEWARE": []}, ["portalsec.E007", "portalsec.E010"]),
        ({"AUTHENTICATION_BACKENDS": ["django.contrib.auth.backends.ModelBackend"]}, ["portalsec.W003", "portalsec.W004"]),
        ({"AUTHENTICATION_BACKENDS": ["portalsec.django.backends.PolicyBackend", "django.contrib.auth.backends.RemoteUserBackend"]}, ["portalsec.W004"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_setting_is_named(changed: dict[str, Any], ids: list[str]) -> None:
    with override_settings(**changed):
        assert found() == ids
        for message in check_settings(None):
            assert message.msg
            assert message.hint or message.id == "portalsec.E001"


def databases(monkeypatch: pytest.MonkeyPatch, **changes: dict[str, Any]) -> None:
    for alias, values in changes.items():
        for key, value in values.items():
            monkeypatch.setitem(connections.settings[alias], key, value)


def test_one_sqlite_file_for_both_aliases_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "app.db"
    databases(monkeypatch, default={"NAME": file}, portalsec={"NAME": f"{tmp_path}/./app.db"})
    assert found() == ["portalsec.E003"]
    databases(monkeypatch, portalsec={"NAME": tmp_path / "other.db"})
    assert found() == []


def test_one_postgresql_database_for_both_aliases_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    same = {"ENGINE": "django.db.backends.postgresql", "NAME": "app"}
    databases(monkeypatch, default=same, portalsec=same)
    assert found() == []


def test_atomic_requests_on_the_alias_of_portalsec_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    databases(monkeypatch, portalsec={"ATOMIC_REQUESTS": True})
    assert found() == ["portalsec.W002"]
    databases(monkeypatch, portalsec={"ATOMIC_REQUESTS": False}, default={"ATOMIC_REQUESTS": True})
    assert found() == []
    with override_settings(PORTALSEC={"PORTAL": "tests.django.project.portal", "DATABASE": "default"}):
        assert found() == ["portalsec.W001"]


def test_autocommit_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    databases(monkeypatch, portalsec={"AUTOCOMMIT": False})
    assert found() == ["portalsec.E009"]


def test_an_unknown_key_names_the_nearest() -> None:
    with (
        override_settings(PORTALSEC={"PORTAL": "x", "DATABSE": "y"}),
        pytest.raises(ConfigurationError, match="did you mean 'DATABASE'"),
    ):
        security_database()


def test_byp_11_a_portal_that_is_none_is_refused() -> None:
    with (
        override_settings(PORTALSEC={"PORTAL": "tests.django.project.whoami"}),
        pytest.raises((ConfigurationError, TypeError)),
    ):
        get_portal()
