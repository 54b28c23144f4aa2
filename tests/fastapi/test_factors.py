"""An account's second keys over HTTP: no GET has a secret, no other site posts, and the session's cookie follows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.signin import SignInPolicy
from tests.auth.test_importing import SEVERAL
from tests.auth.test_otpauth import SEED, TEXT
from tests.auth.world import code_of
from tests.fastapi.account_site import AccountSite, account_site
from tests.fastapi.support import PASSWORD

AT = "/account/factors"


@pytest.fixture
def site() -> Iterator[AccountSite]:
    with account_site(sign_in=SignInPolicy(second_factor="optional")) as made:
        yield made


def shown(response: Any) -> dict[str, Any]:
    return dict(json.loads(response.text))


def fresh(site: AccountSite, client: Any, login: str = "robin", *, next: str = AT) -> None:
    site.site.clock.advance(timedelta(seconds=60))
    done = client.post("/account/step-up", {"code": site.site.code(login), "next": next})
    assert (done.status_code, done.headers["location"]) == (303, next)


def test_who_goes_to_change_the_password_shows_a_second_factor_first_and_is_led_back(
    site: AccountSite,
) -> None:
    site.person("robin")
    client = site.signed_in("robin")
    for page in ("password", "email", "close"):
        site.site.clock.advance(timedelta(minutes=6))
        away = client.get(f"/account/{page}")
        assert (away.status_code, away.headers["location"]) == (
            303,
            f"/account/step-up?next=/account/{page}&or=totp",
        )
        fresh(site, client, next=f"/account/{page}")
        assert shown(client.get(f"/account/{page}"))["page"] == page


def test_from_the_list_through_a_step_up_to_a_second_authenticator_and_away_again(site: AccountSite) -> None:
    site.person("robin")
    client = site.signed_in("robin")
    page = shown(client.get(AT))
    assert page["page"] == "factors" and page["codes_left"] == 0
    away = client.get(f"{AT}/totp")
    assert (away.status_code, away.headers["location"]) == (303, f"/account/step-up?next={AT}/totp&or=totp")
    fresh(site, client)
    assert shown(client.get(f"{AT}/totp"))["page"] == "factor_new"
    before = client.get(AT).text
    made = shown(client.post(f"{AT}/totp", {"label": "Tablet"}))
    seed = made["key"].replace(" ", "")
    assert "<svg" in made["qr"] and seed not in before
    wrong = client.post(f"{AT}/totp/confirm", {"code": "12"})
    assert wrong.status_code == 400 and shown(wrong)["key"] == ""
    done = client.post(f"{AT}/totp/confirm", {"code": code_of(seed, site.site.clock())})
    assert done.headers["cache-control"] == "no-store"
    assert shown(done)["page"] == "recovery_codes" and len(shown(done)["codes"]) == 10
    after = client.get(AT).text
    assert shown(client.get(AT))["codes_left"] == 10 and seed not in after
    assert not any(code in after for code in shown(done)["codes"])
    fresh(site, client)
    newest = re.findall(r"HeldView\(id='([^']+)'", client.get(AT).text)[-1]
    gone = client.post(AT, {"do": "remove", "id": newest})
    assert gone.headers["location"] == f"{AT}?done=removed"
    assert shown(client.get(f"{AT}?done=removed"))["done"] == "removed"


def test_mfa_18_what_was_pasted_is_in_no_answer_and_what_is_in_it_waits_by_name(site: AccountSite) -> None:
    site.person("robin")
    client, away = site.signed_in("robin"), f"/account/step-up?next={AT}/import&or=totp"
    assert client.get(f"{AT}/import").headers["location"] == away
    assert client.post(f"{AT}/import", {"pasted": SEVERAL}).headers["location"] == away
    fresh(site, client)
    assert shown(client.get(f"{AT}/import"))["page"] == "factor_import"
    bad = client.post(f"{AT}/import", {"pasted": SEVERAL + "&data=x"})
    assert (bad.status_code, shown(bad)["errors"]) == (400, ["import_twice"])
    sent = client.post(f"{AT}/import", {"pasted": SEVERAL})
    assert (sent.status_code, sent.headers["location"]) == (303, f"{AT}/import")
    listed = client.get(f"{AT}/import")
    for answer in (bad, listed):
        assert "migration" not in answer.text and TEXT not in answer.text and SEED.decode() not in answer.text
    assert shown(listed)["page"] == "factor_import_code" and "Hill Clinic: robin" in listed.text
    before = len(client.cookies)
    code = code_of(TEXT, site.site.clock())
    done = client.post(f"{AT}/import/confirm", {"entry": "0", "code": code})
    assert shown(done)["page"] == "recovery_codes" and shown(done)["onward"] == f"{AT}/import"
    assert len(client.cookies) == before and "'kim'" in client.get(f"{AT}/import").text
    assert client.post(f"{AT}/import/confirm", {"do": "drop"}).headers["location"] == AT
    assert "Hill Clinic: robin" in client.get(AT).text and "'kim'" not in client.get(AT).text
    site.deliver()
    assert [each for each in site.mail.to("robin@mail.example") if "added" in each.subject]


@pytest.mark.parametrize("path", [f"{AT}/totp/confirm", f"{AT}/import/confirm"])
def test_mfa_18_nothing_that_was_shown_once_is_at_an_address(site: AccountSite, path: str) -> None:
    site.person("robin")
    away = site.signed_in("robin").get(path)  # to where it begins: a browser comes here after it was resumed
    assert (away.status_code, away.headers["location"]) == (303, path.removesuffix("/confirm"))


@pytest.mark.parametrize(
    "path",
    [AT, f"{AT}/totp", f"{AT}/totp/confirm", f"{AT}/import", f"{AT}/import/confirm", f"{AT}/codes", "/undo"],
)
def test_another_site_posts_nothing(site: AccountSite, path: str) -> None:
    site.person("robin")
    client = site.signed_in("robin")
    away = client.post(path, {"do": "remove"}, headers={"Origin": "https://evil.example"})
    assert away.status_code == 403


@pytest.mark.parametrize("path", [AT, f"{AT}/totp", f"{AT}/import", f"{AT}/codes", f"{AT}/passkey"])
def test_byp_06_without_a_session_there_is_nothing(site: AccountSite, path: str) -> None:
    assert site.client().get(path).status_code in (303, 401)


def test_the_undo_link_needs_no_session_and_says_its_address_to_nobody(site: AccountSite) -> None:
    account_id = site.person("robin")
    client = site.signed_in("robin")
    fresh(site, client)
    made = shown(client.post(f"{AT}/totp", {"label": "Tablet"}))
    client.post(f"{AT}/totp/confirm", {"code": code_of(made["key"].replace(" ", ""), site.site.clock())})
    site.deliver()
    mail = [each for each in site.mail.to("robin@mail.example") if "added" in each.subject][-1]
    token = re.findall(r"/undo\?token=([A-Za-z0-9_-]{43})", mail.text)[0]
    stranger = site.client()
    page = stranger.get(f"/undo?token={token}")
    assert shown(page)["page"] == "undo" and page.headers["referrer-policy"] == "no-referrer"
    assert len(site.portal.totp.devices(account_id)) == 2
    assert shown(stranger.post("/undo", {"token": token}))["page"] == "undone"
    assert len(site.portal.totp.devices(account_id)) == 1
    assert client.get(AT).status_code in (303, 401), "every session ended"
    assert stranger.get(f"/undo?token={token}").status_code == 400


def test_print_js_is_served(site: AccountSite) -> None:
    got = site.client().get("/portalsec/print.js")
    assert got.status_code == 200 and "data-print" in got.text and PASSWORD not in got.text
