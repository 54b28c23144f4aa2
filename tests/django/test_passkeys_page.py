"""The Django part of docs/how-to/passkeys-in-your-pages.md, asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from portalsec.auth.proof import Factor
from portalsec.auth.signin_policy import SignInPolicy
from portalsec.testing.authenticator import SoftAuthenticator
from tests.django import project
from tests.docs.pages import block, module
from tests.docs.passkeys_page import PASSWORD, press


@pytest.fixture
def of_the_page(database: None, tmp_path: Path, settings: Any) -> Iterator[Client]:
    """A browser at the page's project: its addresses, its template, its ``[sign_in]``."""
    template = block("passkeys-in-your-pages", "{# templates/account.html #}")
    (tmp_path / "account.html").write_text(template, encoding="utf-8")
    settings.ROOT_URLCONF = module("passkeys-in-your-pages", "# config/urls.py")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    factors = frozenset({Factor.PASSWORD, Factor.PASSKEY, Factor.RECOVERY_CODE})
    project.current = project.World(sign_in=SignInPolicy(factors=factors))
    project.current.portal.accounts.create(login="robin", password=PASSWORD)
    yield Client(headers={"host": "portal.example"})
    project.current = None


def test_the_page_s_django_portal_signs_in_with_a_passkey(of_the_page: Client) -> None:
    client, key = of_the_page, SoftAuthenticator()

    def post(path: str, fields: dict[str, str]) -> dict[str, Any]:
        answer = client.post(path, json.dumps(fields), content_type="application/json", secure=True)
        assert answer.status_code == 200, answer.content
        return dict(answer.json())

    def shown(path: str) -> str:
        answer = client.get(path, secure=True)
        assert answer.status_code == 200, (path, answer.headers.get("location"))
        return answer.content.decode()

    assert client.get("/account", secure=True)["location"] == "/sign-in?next=/account"
    form = {"login": "robin", "password": PASSWORD, "next": "/account"}
    made = client.post("/sign-in", form, secure=True)["location"]
    assert press(shown(made), key, post) == "/account"
    assert "Add a passkey" in shown("/account")
    client.post("/sign-out", secure=True)
    assert client.get("/account", secure=True).status_code == 302
    assert press(shown("/sign-in?next=/account"), key, post) == "/account"
    assert "Add a passkey" in shown("/account")
