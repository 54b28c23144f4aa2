"""Ways past the second step beside an authenticator's code, and trusted browsers, over FastAPI's adapter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.ports import Phone
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.events import Source
from portalsec.web import DEVICE_COOKIE, PENDING_COOKIE, SESSION_COOKIE
from tests.auth.test_out_of_band import Texts
from tests.fastapi.account_site import PASSWORD, AccountSite, account_site
from tests.fastapi.test_factors import shown

CHOOSE, TYPE, RECOVERY = "/sign-in/other", "/sign-in/sent-code", "/sign-in/recovery-code"
MAILED = {
    "out_of_band": OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
    "sign_in": SignInPolicy(factors=frozenset(Factor) - {Factor.SMS_CODE}),
}


@pytest.fixture
def site() -> Iterator[AccountSite]:
    with account_site(
        **{**MAILED, "sign_in": SignInPolicy(second_factor="optional", factors=MAILED["sign_in"].factors)},
        trust=TrustPolicy(enabled=True, lifetime=timedelta(days=7)),
    ) as made:
        made.person("ada")
        yield made


def pending(site: AccountSite, **more: str) -> Any:
    browser = site.client()
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD, **more})
    assert (first.status_code, first.headers["location"].partition("?")[0]) == (303, "/sign-in/code")
    return browser


def mailed_code(site: AccountSite, login: str = "ada") -> str:
    site.deliver()
    found = re.search(r"\b(\d{6})\b", site.mail.to(f"{login}@mail.example")[-1].text)
    assert found
    return found[1]


# -- another way ------------------------------------------------------------------------------------------------


def test_from_the_code_s_page_to_a_mailed_code_and_in(site: AccountSite) -> None:
    browser = site.client()
    first = browser.post("/sign-in", {"login": "ada", "password": PASSWORD, "next": "/records/p1"})
    assert first.headers["location"] == "/sign-in/code?next=/records/p1&or=email_code"
    page = browser.get(first.headers["location"]).text
    assert page.endswith("other=/sign-in/other?next=/records/p1&or=totp+email_code denied=False")
    wrong = browser.post("/sign-in/code", {"code": "000000", "or": "email_code"}).text
    assert "other=/sign-in/other?or=totp+email_code" in wrong
    choice = shown(browser.get(f"{CHOOSE}?next=/records/p1&or=totp+email_code"))
    assert choice["page"] == "other_ways"
    assert [re.findall(r"kind='(\w*)', page='([^']*)'", way)[0] for way in choice["ways"]] == [
        ("totp", "/sign-in/code?next=/records/p1&or=email_code"),
        ("email_code", ""),
    ]
    sent = shown(browser.post(CHOOSE, {"factor": "email_code", "next": "/records/p1"}))
    assert (sent["page"], sent["to"], sent["factor"]) == ("sent_code", "a…@mail.example", "email_code")
    done = browser.post(TYPE, {"code": mailed_code(site), "next": "/records/p1"})
    assert (done.status_code, done.headers["location"]) == (303, "/records/p1")
    assert {SESSION_COOKIE, DEVICE_COOKIE} == set(browser.cookies)
    assert browser.get("/whoami").status_code == 200


def test_a_get_sends_nothing_and_a_code_is_this_browser_s_alone(site: AccountSite) -> None:
    browser, thief = pending(site), pending(site)
    browser.get(CHOOSE), browser.get(TYPE)
    site.deliver()
    assert not site.mail
    browser.post(CHOOSE, {"factor": "email_code"})
    code = mailed_code(site)
    stolen = thief.post(TYPE, {"code": code})
    assert (stolen.status_code, shown(stolen)["errors"]) == (401, ["sent_code_over"])
    assert browser.post(TYPE, {"code": code}).status_code == 303


def test_mfa_10_wrong_sent_codes_end_the_code_and_then_the_sign_in(site: AccountSite) -> None:
    browser = pending(site)
    browser.post(CHOOSE, {"factor": "email_code"})
    code = mailed_code(site)
    wrong = [browser.post(TYPE, {"code": f"{(int(code) + 1) % 10**6:06}"}) for _ in range(5)]
    assert {answer.status_code for answer in wrong} == {401}
    told = [shown(answer)["errors"] for answer in wrong]
    assert told == [["wrong_sent_code"]] * 3 + [["sent_code_over"], []]
    assert shown(wrong[-1])["page"] == "sign_in_over" and PENDING_COOKIE not in browser.cookies
    assert browser.post(TYPE, {"code": code}).status_code == 401


def test_atk_10_few_codes_go_out_of_one_sign_in(site: AccountSite) -> None:
    browser = pending(site)
    pages = [shown(browser.post(CHOOSE, {"factor": "email_code"}))["page"] for _ in range(4)]
    assert pages == ["sent_code"] * 3 + ["sign_in_over"]
    site.deliver()
    assert len(site.mail) == 3


def test_mfa_12_nothing_of_it_is_there_without_a_password(site: AccountSite) -> None:
    stranger = site.client()
    for page in (CHOOSE, TYPE, RECOVERY):
        assert stranger.get(page).headers["location"] == "/sign-in"
    for page, form in (
        (CHOOSE, {"factor": "email_code"}),
        (TYPE, {"code": "123456"}),
        (RECOVERY, {"code": "A"}),
    ):
        assert stranger.post(page, form).status_code in (400, 401)
    site.deliver()
    assert not site.mail


@pytest.mark.parametrize("factor", ["", "totp", "password", "EMAIL_CODE"])
def test_only_codes_that_are_sent_can_be_asked_for(site: AccountSite, factor: str) -> None:
    assert pending(site).post(CHOOSE, {"factor": factor}).status_code == 400


def test_a_way_that_is_not_open_is_refused_and_the_sign_in_goes_on(site: AccountSite) -> None:
    browser = pending(site)
    answer = browser.post(CHOOSE, {"factor": "sms_code", "or": "totp email_code"})
    assert (shown(answer)["page"], shown(answer)["errors"]) == ("other_ways", ["way_not_yours"])
    assert browser.post("/sign-in/code", {"code": site.site.code("ada")}).status_code == 303


def test_mfa_11_malformed_codes_are_refused_whole(site: AccountSite) -> None:
    browser = pending(site)
    for page in (TYPE, RECOVERY):
        for code in ("", " ", "\u0661" * 40, "x" * 10_000, "\u2603"):
            assert browser.post(page, {"code": code}).status_code in (400, 401)


def test_without_the_setting_there_is_no_address_for_codes() -> None:
    with account_site() as site:
        site.person("ada")
        browser = pending(site)
        assert "or=" not in browser.get("/sign-in/code").text
        assert browser.post(CHOOSE, {"factor": "email_code"}).status_code == 405
        assert browser.get(TYPE).status_code == 404
        ways = " ".join(shown(browser.get(CHOOSE))["ways"])
        assert "email_code" not in ways and "sms_code" not in ways


def test_an_sms_is_in_the_visitor_s_language() -> None:
    texts, policies = Texts(), {"out_of_band": OutOfBandPolicy(factors=frozenset({Factor.SMS_CODE}))}
    with account_site(
        **policies, sign_in=SignInPolicy(factors=frozenset(Factor) - {Factor.EMAIL_CODE}), code_sender=texts
    ) as site:
        who, now = site.person("ada"), site.site.clock()
        texts.own.append(Phone(id="p1", account_id=who, number="+34600000000", verified_at=now))
        browser = pending(site)
        for language, words in (("es-MX, en;q=0.5", "es su código"), ("de", "is your code")):
            sent = browser.post(CHOOSE, {"factor": "sms_code"}, headers={"accept-language": language})
            assert shown(sent)["page"] == "sent_code"
            assert words in texts.sent[-1][1]
        code = re.findall(r"#(\d{6})$", texts.sent[-1][1])[0]
        assert browser.post(TYPE, {"code": code}).status_code == 303


def test_what_or_says_only_chooses_links(site: AccountSite) -> None:
    browser = pending(site)
    page = shown(browser.get(f"{CHOOSE}?or=%22%3E%3Cscript%3E+passkey+nonsense"))
    assert page["ors"] == "passkey"


def test_a_recovery_code_opens_a_sign_in_once(site: AccountSite) -> None:
    account = site.portal.stores.accounts.by_login("ada")
    codes = site.portal.recovery_codes.make(account.id, source=Source()).codes
    code = codes[0].reveal()
    browser = pending(site)
    wrong = browser.post(RECOVERY, {"code": "AAAA-BBBB"})
    assert shown(wrong)["errors"] == ["wrong_recovery_code"]
    done = browser.post(RECOVERY, {"code": code.lower(), "next": "/records/p1"})
    assert (done.status_code, done.headers["location"]) == (303, "/records/p1")
    again = pending(site).post(RECOVERY, {"code": code})
    assert again.status_code == 401


def test_byp_06_a_sign_in_that_waits_for_a_sent_code_opens_nothing(site: AccountSite) -> None:
    browser = pending(site)
    browser.post(CHOOSE, {"factor": "email_code"})
    assert browser.get("/whoami").status_code == 401
    assert browser.get("/account/devices").status_code == 401


# -- trusted browsers ---------------------------------------------------------------------------------------------


def trusted(site: AccountSite, **more: str) -> Any:
    browser = pending(site, trust="yes", **more)
    assert browser.post("/sign-in/code", {"code": site.site.code("ada")}).status_code == 303
    site.site.next_step()
    return browser


def again(browser: Any) -> str:
    return str(browser.post("/sign-in", {"login": "ada", "password": PASSWORD}).headers["location"])


def test_a_trusted_browser_is_spared_and_its_cookie_turns(site: AccountSite) -> None:
    browser = trusted(site)
    first = browser.cookies[DEVICE_COOKIE]
    browser.post("/sign-out")
    answer = browser.post("/sign-in", {"login": "ada", "password": PASSWORD})
    assert answer.headers["location"] == "/"
    line = answer.set_cookies()[DEVICE_COOKIE]
    assert {part.strip() for part in line.split(";")[1:]} >= {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert browser.cookies[DEVICE_COOKIE] != first
    # Once the new one was shown, a copy of the one before is worth nothing, and takes the trust with it.
    browser.post("/sign-out")
    assert again(browser) == "/"
    thief = site.client()
    thief.cookies[DEVICE_COOKIE] = first
    assert again(thief).startswith("/sign-in/code")
    browser.post("/sign-out")
    assert again(browser).startswith("/sign-in/code")


def test_a_shared_computer_is_never_trusted(site: AccountSite) -> None:
    browser = trusted(site, shared="yes")
    assert DEVICE_COOKIE not in browser.cookies
    browser.post("/sign-out")
    assert again(browser).startswith("/sign-in/code")


@pytest.mark.parametrize(
    ("policies", "why"),
    [
        ({"sign_in": SignInPolicy(second_factor="optional")}, "no time is set"),
        ({"trust": TrustPolicy(enabled=True)}, "the policy asks for two factors"),
    ],
)
def test_byp_03_the_box_alone_spares_nothing(policies: dict[str, Any], why: str) -> None:
    with account_site(**policies) as site:
        site.person("ada")
        browser = trusted(site)
        browser.post("/sign-out")
        assert again(browser).startswith("/sign-in/code"), why


def test_the_devices_page_lists_and_ends_trust(site: AccountSite) -> None:
    browser, other = trusted(site), trusted(site)
    page = shown(browser.get("/account/devices"))
    ids = [re.findall(r"id='([^']+)'", each)[0] for each in page["devices"]]
    assert len(ids) == 2 and all("trusted_until=datetime" in each for each in page["devices"])
    here = next(id for id, each in zip(ids, page["devices"], strict=True) if "here=True" in each)
    answer = browser.post("/account/devices", {"do": "distrust", "device": here})
    assert answer.headers["location"] == "/account/devices?distrusted=yes"
    after = shown(browser.get("/account/devices?distrusted=yes"))
    assert after["distrusted"] and len(after["devices"]) == 2
    assert sum("trusted_until=None" in each for each in after["devices"]) == 1
    browser.post("/sign-out"), other.post("/sign-out")
    assert again(browser).startswith("/sign-in/code")
    assert again(other) == "/"


def test_mfa_17_another_account_s_trusted_browser_cannot_be_touched(site: AccountSite) -> None:
    victim = trusted(site)
    (device,) = site.portal.devices.of_account(site.portal.stores.accounts.by_login("ada").id)
    site.person("eve")
    eve = site.client()
    eve.post("/sign-in", {"login": "eve", "password": PASSWORD})
    assert eve.post("/sign-in/code", {"code": site.site.code("eve")}).status_code == 303
    answers = [
        eve.post("/account/devices", {"do": "distrust", "device": id}) for id in (device.id, "no-such-one")
    ]
    assert len({(answer.status_code, answer.headers["location"]) for answer in answers}) == 1
    victim.post("/sign-out")
    assert again(victim) == "/"
