"""Abuse of the portal's pages over HTTP, by the ids in the abuse cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.fastapi.account_site import NEW, PASSWORD, AccountSite, account_site
from tests.fastapi.support import Site, make_site

SESSION = "__Host-portalsec"


@pytest.fixture
def site() -> Iterator[Site]:
    with make_site() as made:
        yield made


@pytest.fixture
def pages() -> Iterator[AccountSite]:
    with account_site() as made:
        yield made


@pytest.mark.parametrize("path", ["/sign-in", "/sign-in/code"])
def test_mfa_09_there_is_no_other_shape_of_request_that_tries_a_code(site: Site, path: str) -> None:
    site.account("ada")
    client = site.client()
    client.post("/sign-in", {"login": "ada", "password": PASSWORD})
    before = len(site.events.named("auth.login"))
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
        body = json.dumps({"login": "ada", "password": PASSWORD, "code": site.code("ada")}).encode()
        answer = client.request("POST", path, content=body, headers={"content-type": kind}, same_site=True)
        assert answer.status_code in (400, 401, 415), (kind, answer.status_code)
        assert SESSION not in client.cookies
    assert len(site.events.named("auth.login")) == before


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic !!!", "Basic Og==", "Bearer a b c", "\x80\xff", "Bearer " + "A" * 8000],
)
def test_byp_12_an_authorization_header_neither_opens_nor_breaks_anything(site: Site, value: str) -> None:
    site.account("ada")
    signed_in, stranger = site.client(), site.client()
    site.sign_in(signed_in, "ada")
    assert stranger.get("/whoami", headers={"Authorization": value}).status_code == 401
    assert signed_in.get("/whoami", headers={"Authorization": value}).status_code == 200


def test_byp_12_a_session_id_counts_in_its_cookie_alone(site: Site) -> None:
    site.account("ada")
    client = site.client()
    site.sign_in(client, "ada")
    stolen = client.cookies[SESSION]
    other = site.client()
    assert other.get("/whoami", headers={"Authorization": f"Bearer {stolen}"}).status_code == 401
    assert other.get(f"/whoami?{SESSION}={stolen}").status_code == 401


@pytest.mark.parametrize(
    "path",
    ["//records/p1", "/records/p1/", "/records//p1", "/records%2Fp1", "/%72ecords/p1", "/./records/p1",
     "/x/../records/p1", "/records/p1;x", "/records/p1%00", "/records\\p1", "/RECORDS/p1"],
)  # fmt: skip
def test_byp_13_no_spelling_of_a_path_opens_a_record(site: Site, path: str) -> None:
    """Access hangs on the resource that a page names, not on its path: there is no rule to slip past."""
    site.account("ada")
    client = site.client()
    site.sign_in(client, "ada")
    for browser in (site.client(), client):
        assert browser.get(path).status_code in (401, 403, 404, 400, 405)


def test_ses_05_fields_about_activity_are_nothing_to_the_server(site: Site) -> None:
    site.account("ada")
    client = site.client()
    site.sign_in(client, "ada")
    site.clock.advance(site.portal.policies.sessions.idle + timedelta(seconds=1))
    claims = {"idleFor": "0", "last_seen": "9999999999", "passive": "false"}
    answer = client.post("/session/stay", claims)
    assert (answer.status_code, json.loads(answer.text)) == (401, {"signed_in": False})
    assert client.get("/whoami").status_code == 401


def test_rec_09_a_code_that_another_site_or_browser_sends_signs_nobody_in(site: Site) -> None:
    site.account("mallory")
    mallory, victim = site.client(), site.client()
    mallory.post("/sign-in", {"login": "mallory", "password": PASSWORD})
    answer = victim.post("/sign-in/code", {"code": site.code("mallory")})
    assert answer.status_code == 401
    crossed = victim.post("/sign-in", {"login": "mallory", "password": PASSWORD},
                          headers={"Sec-Fetch-Site": "cross-site"})  # fmt: skip
    assert crossed.status_code == 403
    assert not victim.cookies


def test_auz_01_whose_account_it_is_comes_from_the_session_and_from_no_field(pages: AccountSite) -> None:
    robin = pages.person("robin")
    pages.person("mallory")
    hashes = {
        login: pages.portal.stores.accounts.by_login(login).password_hash for login in ("robin", "mallory")
    }
    mallory = pages.signed_in("mallory")
    whose = {"account_id": robin, "account": robin, "user_id": robin, "login": "robin", "id": robin}
    answer = mallory.post("/account/password", {"current": PASSWORD, "password": NEW, **whose})
    assert answer.status_code == 303
    now = {login: pages.portal.stores.accounts.by_login(login).password_hash for login in hashes}
    assert now["robin"] == hashes["robin"]
    assert now["mallory"] != hashes["mallory"]
    assert len(pages.portal.sessions.of_account(robin)) == 0
