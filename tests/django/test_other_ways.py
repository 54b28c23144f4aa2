"""Other ways at sign-in and trusted browsers through Django's client: the pages render whole, the cookies are Django's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.ports import Phone
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.events import Source
from portalsec.web import DEVICE_COOKIE
from tests.auth.test_out_of_band import Texts
from tests.django import project
from tests.django.browser import cookie, password_step, pending, who
from tests.django.project import World
from tests.django.test_account_views import Someone, browser, pages_are_whole, someone, title
from tests.django.test_factor_views import text

__all__ = ["pages_are_whole"]  # looks at every page that a test of this file sees


@pytest.fixture
def person(database: None) -> Iterator[Someone]:
    project.current = world = World(
        out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
        sign_in=SignInPolicy(second_factor="optional", factors=frozenset(Factor) - {Factor.SMS_CODE}),
        trust=TrustPolicy(enabled=True),
    )
    yield someone(world)
    project.current = None


def test_a_mailed_code_and_a_recovery_code_instead_of_the_authenticator_s(person: Someone) -> None:
    client, world = browser(), person.world
    codes = world.portal.recovery_codes.make(person.id, source=Source()).codes
    first = password_step(client, person, next="/whoami")
    assert first["Location"] == "/sign-in/code?next=/whoami&or=recovery_code+email_code"
    (onward,) = re.findall(r'<a href="([^"]+)">Use another way', text(client.get(first["Location"])))
    wrong = client.post("/sign-in/code", {"code": "000000", "next": "/whoami", "or": "email_code"})
    assert wrong.status_code == 401 and "Use another way" in text(wrong)
    page = client.get(onward.replace("&amp;", "&"))
    assert title(page) == "Confirm that it is you"
    assert "Mail me a code" in text(page) and "Use one of my recovery codes" in text(page)
    sent = client.post("/sign-in/other", {"factor": "email_code", "next": "/whoami", "or": "totp"})
    assert title(sent) == "The code that we sent" and "…@" in text(sent)
    world.portal.courier.deliver()
    (code,) = re.findall(r"\b(\d{6})\b", world.mail[-1].text)
    bad = client.post("/sign-in/sent-code", {"code": f"{(int(code) + 1) % 10**6:06}", "factor": "email_code"})
    assert bad.status_code == 401 and 'aria-invalid="true"' in text(bad)
    done = client.post("/sign-in/sent-code", {"code": code, "next": "/whoami"})
    assert (done.status_code, done["Location"]) == (303, "/whoami")
    assert who(client) == person.login and pending(client) == ""

    other = browser()
    password_step(other, person)
    assert title(other.get("/sign-in/recovery-code")) == "A recovery code"
    assert other.post("/sign-in/recovery-code", {"code": "AAAA"}).status_code in (400, 401)
    assert other.post("/sign-in/recovery-code", {"code": codes[0].reveal()}).status_code == 303
    assert who(other) == person.login


def test_an_sms_is_in_the_visitor_s_language(database: None, settings: Any) -> None:
    settings.PORTALSEC = {**settings.PORTALSEC, "LANGUAGES": "en es"}
    texts = Texts()
    project.current = world = World(
        out_of_band=OutOfBandPolicy(factors=frozenset({Factor.SMS_CODE})),
        sign_in=SignInPolicy(factors=frozenset(Factor) - {Factor.EMAIL_CODE}),
        code_sender=texts,
    )
    person, client = someone(world), browser()
    texts.own.append(Phone(id="p1", account_id=person.id, number="+34600000000", verified_at=world.clock()))
    password_step(client, person)
    sent = client.post(
        "/sign-in/other", {"factor": "sms_code"}, headers={"accept-language": "es-MX, en;q=0.5"}
    )
    assert title(sent) == "The code that we sent"
    ((number, words),) = texts.sent
    assert number == "+34600000000" and "es su código" in words
    project.current = None


def test_byp_06_and_when_the_sign_in_is_over_it_says_so(person: Someone) -> None:
    client = browser()
    assert client.get("/sign-in/other")["Location"] == "/sign-in"
    password_step(client, person)
    for _ in range(3):
        client.post("/sign-in/other", {"factor": "email_code"})
        assert who(client) == ""
    over = client.post("/sign-in/other", {"factor": "email_code", "next": "/whoami"})
    assert title(over) == "Please sign in again" and "/sign-in?next=%2Fwhoami" in text(over)
    assert pending(client) == ""


def test_a_browser_is_trusted_listed_spared_and_distrusted(person: Someone) -> None:
    client = browser()
    assert "For 30 days it asks less often" in text(client.get("/sign-in"))
    password_step(client, person, trust="yes")
    assert client.post("/sign-in/code", {"code": person.code()}).status_code == 303
    first = cookie(client, DEVICE_COOKIE)
    listed = text(client.get("/account/devices"))
    assert "Trusted</span>" in listed and "trusted until" in listed
    client.post("/sign-out")
    spared = password_step(client, person)
    assert spared["Location"] == "/" and who(client) == person.login
    turned = client.cookies[DEVICE_COOKIE]
    assert turned.value != first and turned["secure"] and turned["httponly"] and turned["path"] == "/"
    (device,) = re.findall(
        r'name="do" value="distrust"><input type="hidden" name="device" value="([^"]+)"', listed
    )
    done = client.post("/account/devices", {"do": "distrust", "device": device})
    assert "Trusted no longer." in text(client.get(done["Location"]))
    client.post("/sign-out")
    assert password_step(client, person)["Location"].startswith("/sign-in/code")


def test_a_shared_computer_is_never_trusted_and_where_it_would_spare_nothing_there_is_no_box(
    person: Someone,
) -> None:
    client = browser()
    password_step(client, person, trust="yes", shared="yes")
    assert client.post("/sign-in/code", {"code": person.code()}).status_code == 303
    assert "Trusted</span>" not in text(client.get("/account/devices"))
    # Nor where it would spare nobody anything: two factors are asked of everyone.
    for world in (World(), World(trust=TrustPolicy(enabled=True))):
        project.current = world
        assert 'name="trust"' not in text(browser().get("/sign-in"))
