"""What an app says of its device, and where an address is, over this adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from portalsec.auth.attempt import SignInAttempt
from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.posture import POSTURE_HEADER
from portalsec.auth.signin import SignInPolicy
from portalsec.web import PENDING_COOKIE
from tests.fastapi.account_site import AccountSite, account_site
from tests.fastapi.support import PASSWORD, POLICY

ACCESS = {
    **POLICY,
    "context": {"attributes": {"device_rooted": "bool"}},
    "grant": [
        {
            "id": "own-patients",
            "role": "clinician",
            "to": "record:read",
            "when": "care_team and not context.device_rooted",
        }
    ],
}
KEY = Demand(phishing_resistant=True)
RULES = (
    DemandRule(demand=KEY, device=DeviceRule(app_below="3")),
    DemandRule(demand=KEY, labels=frozenset({"abroad"})),
)
ADA = {"login": "ada", "password": PASSWORD}
NONSENSE = [
    "ios",
    "[" * 400,
    '{"platform": "\xf8"}',
    '{"platform": "ios", "level": 3}',
    '{"platform": "' + "x" * 4000,
]


def risk_of(attempt: SignInAttempt) -> frozenset[str]:
    return frozenset({"abroad"} if attempt.source.address == "203.0.113.9" else ())


@pytest.fixture(scope="module")
def site() -> Iterator[AccountSite]:
    with account_site(
        access=ACCESS,
        sign_in=SignInPolicy(rules=RULES),
        risk_of=risk_of,
        place_of=lambda source: "Oslo, Norway" if source.address == "198.51.100.7" else None,
    ) as made:
        account_id = made.site.account("ada", "clinician")
        made.site.relations.facts.add(("care_team", account_id, "p1"))
        yield made


def app(**claim: Any) -> dict[str, str]:
    return {POSTURE_HEADER: json.dumps({"platform": "ios", "app_version": "3.2", **claim})}


def test_what_the_app_said_once_opens_a_record_or_does_not(site: AccountSite) -> None:
    for rooted, status in ((False, 200), (True, 403), (None, 403)):
        browser = site.client()
        # Said with the password and not with the code: it is kept on the way.
        assert browser.post("/sign-in", ADA, headers=app(rooted=rooted)).status_code == 303
        assert browser.post("/sign-in/code", {"code": site.site.code("ada")}).status_code == 303
        site.site.next_step()
        assert browser.get("/records/p1").status_code == status
        assert (
            browser.get("/records/p1", headers=app(rooted=False)).status_code == status
        )  # the sign-in's word


def test_the_policy_asks_more_of_an_old_app_and_from_abroad(site: AccountSite) -> None:
    abroad = site.site.client(address="203.0.113.9")
    for browser, said, status in (
        (site.client(), app(), 303),
        (site.client(), app(app_version="2.9"), 401),
        (abroad, app(), 401),
    ):
        assert browser.post("/sign-in", ADA, headers=said).status_code == 303
        # Of somebody without a passkey nothing leads on behind the code.
        done = browser.post("/sign-in/code", {"code": site.site.code("ada")})
        assert (done.status_code, "__Host-portalsec" in browser.cookies) == (status, status == 303)
        site.site.next_step()


@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_a_400_wherever_a_sign_in_reads_it(site: AccountSite, text: str) -> None:
    said, browser = {POSTURE_HEADER: text}, site.client()
    assert browser.post("/sign-in", ADA, headers=said).status_code == 400
    assert not browser.cookies.get(PENDING_COOKIE)
    assert browser.post("/sign-in", ADA).status_code == 303
    code = {"code": site.site.code("ada")}
    assert browser.post("/sign-in/code", code, headers=said).status_code == 400
    assert browser.get("/sign-in", headers=said).status_code == 200
    assert browser.post("/sign-in/code", code).status_code == 303  # it cost nothing
    site.site.next_step()
    for fields in ({"code": site.site.code("ada")}, {"current": PASSWORD}):
        assert browser.post("/account/step-up", fields, headers=said).status_code == 400
    assert browser.get("/whoami", headers=said).status_code == 200  # and nobody else reads it


def test_two_headers_are_none_that_fits(site: AccountSite) -> None:
    two = [*app().items(), *app(rooted=True).items()]
    assert site.client().post("/sign-in", ADA, headers=two).status_code == 400


def test_the_owners_list_names_the_place_of_each_session(site: AccountSite) -> None:
    browser = site.signed_in("ada")
    assert "place='Oslo, Norway'" in browser.get("/account/sessions").text
