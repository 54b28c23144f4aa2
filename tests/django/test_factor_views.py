"""An account's second keys in Django: every page renders whole, from the list to the link that takes a change back."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from django.test import Client

from portalsec.auth.trust import TrustPolicy
from portalsec.events import Source
from tests.auth.test_importing import OTHER, SEVERAL
from tests.auth.test_otpauth import TEXT
from tests.django import project
from tests.django.browser import cookie, signed_in, who
from tests.django.project import World
from tests.django.test_account_views import Someone, browser, pages_are_whole, someone, title

__all__ = ["pages_are_whole"]  # looks at every page that a test of this file sees

AT = "/account/factors"


@pytest.fixture
def trusting(database: None) -> Iterator[World]:
    project.current = world = World(trust=TrustPolicy(enabled=True))
    yield world


@pytest.fixture
def person(trusting: World) -> Someone:
    return someone(trusting)


def fresh(client: Client, person: Someone, next: str = AT) -> None:
    person.world.clock.advance(timedelta(seconds=60))
    done = client.post("/account/step-up", {"code": person.code(), "next": next})
    assert (done.status_code, done["Location"]) == (303, next)


def text(response: Any) -> str:
    return str(response.content.decode())


def test_who_goes_to_change_the_password_shows_a_second_factor_first_and_is_led_back(person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    for page in ("password", "email", "close"):
        person.world.clock.advance(timedelta(minutes=6))
        away = client.get(f"/account/{page}")
        assert (away.status_code, away["Location"]) == (303, f"/account/step-up?next=/account/{page}&or=totp")
        fresh(client, person, f"/account/{page}")
        assert client.get(f"/account/{page}").status_code == 200


def test_the_whole_way(person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    assert title(client.get(AT)) == "Your second keys"
    assert "<strong>You have none.</strong>" in text(client.get(AT))
    assert client.get(f"{AT}/totp")["Location"] == f"/account/step-up?next={AT}/totp&or=totp"
    fresh(client, person, f"{AT}/totp")
    old = cookie(client)
    assert title(client.get(f"{AT}/totp")) == "Add an authenticator app"
    made = client.post(f"{AT}/totp", {"label": "Tablet"})
    assert title(made) == "Scan and confirm" and "<svg" in text(made)
    seed = re.findall(r'<code class="secret">([A-Z2-7 ]+)</code>', text(made))[0].replace(" ", "")
    wrong = client.post(f"{AT}/totp/confirm", {"code": "12"})
    assert wrong.status_code == 400 and seed[:4] not in text(wrong) and "<svg" not in text(wrong)
    code = pyotp.TOTP(seed).at(person.world.clock())
    done = client.post(f"{AT}/totp/confirm", {"code": code})
    assert title(done) == "Your recovery codes" and done["Cache-Control"] == "no-store"
    codes = re.findall(r'<code class="secret">([0-9A-Z-]{29})</code>', text(done))
    assert len(codes) == 10
    assert re.search(r'href="data:text/plain[^"]+" download="recovery-codes.txt"', text(done))
    assert cookie(client) != old and who(client) == person.login
    listed = text(client.get(AT))
    assert "Tablet" in listed and "10 of yours are left" in listed
    assert not any(code in listed for code in codes) and seed not in listed

    fresh(client, person)
    newest = re.findall(r"remove=([0-9a-f-]{36})", text(client.get(AT)))[-1]
    assert "Remove Tablet?" in text(client.get(f"{AT}?remove={newest}"))
    assert "Rename Tablet" in text(client.get(f"{AT}?rename={newest}"))
    bad = client.post(AT, {"do": "rename", "id": newest, "label": " "})
    assert bad.status_code == 400 and "Give it a name" in text(bad)
    renamed = client.post(AT, {"do": "rename", "id": newest, "label": "<b>Blue</b>"})
    assert "&lt;b&gt;Blue&lt;/b&gt;" in text(client.get(renamed["Location"]))
    gone = client.post(AT, {"do": "remove", "id": newest})
    assert gone["Location"] == f"{AT}?done=removed"
    after = text(client.get(gone["Location"]))
    assert "Removed within the last day" in after
    assert re.search(r'data-passkey-signal="[^"]*allAcceptedCredentialIds', after), (
        "browsers are told what is left"
    )
    back = client.post(AT, {"do": "restore", "id": newest})
    assert "It is back" in text(client.get(back["Location"]))
    again = client.get(f"{AT}/codes")
    assert title(again) == "Make recovery codes" and "The 10 that you have" in text(again)
    assert title(client.post(f"{AT}/codes")) == "Your recovery codes"


def test_an_authenticator_that_exists_is_brought_along_by_a_code_of_it(person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    assert "Bring one you have" in text(client.get(AT))
    assert client.get(f"{AT}/import")["Location"] == f"/account/step-up?next={AT}/import&or=totp"
    fresh(client, person, f"{AT}/import")
    asked = text(client.get(f"{AT}/import"))
    assert re.search(r'<textarea[^>]* autocomplete="off"[^>]* spellcheck="false"', asked)
    assert re.search(
        r'<form method="post"[^>]* data-keep="no"', asked
    )  # no browser keeps it for later either
    bad = client.post(f"{AT}/import", {"pasted": f"otpauth://totp/x?secret={TEXT}1"})
    assert bad.status_code == 400 and "is not base32" in text(bad) and TEXT not in text(bad)
    sent = client.post(f"{AT}/import", {"pasted": SEVERAL})
    assert (sent.status_code, sent["Location"]) == (303, f"{AT}/import")
    listed = client.get(sent["Location"])
    assert title(listed) == "Confirm with a code" and text(listed).count('type="radio"') == 3
    for wrong in ({"code": "123456"}, {"entry": "1", "code": "12345678"}):
        again = client.post(f"{AT}/import/confirm", wrong)
        assert again.status_code == 400 and ("checked" in text(again)) == ("entry" in wrong)
        assert TEXT not in text(again) and "migration" not in text(again)
    old, code = cookie(client), pyotp.TOTP(TEXT).at(person.world.clock())
    done = client.post(f"{AT}/import/confirm", {"entry": "0", "code": code})
    assert title(done) == "Your recovery codes" and f'href="{AT}/import"' in text(done)
    assert cookie(client) != old and who(client) == person.login
    left = client.get(f"{AT}/import")
    assert text(left).count('type="radio"') == 2 and "Hill Clinic" not in text(left)
    code = pyotp.TOTP(base64.b32encode(OTHER).decode()).at(person.world.clock())
    done = client.post(f"{AT}/import/confirm", {"entry": "0", "code": code})
    assert done["Location"] == f"{AT}/import?done=added"
    one = text(client.get(done["Location"]))
    assert "Here is what is left" in one and 'type="radio"' not in one and 'name="entry" value="0"' in one
    assert client.post(f"{AT}/import/confirm", {"do": "drop"})["Location"] == AT
    assert "Hill Clinic: robin" in text(client.get(AT)) and "kim" in text(client.get(AT))


def test_the_only_one_of_a_portal_that_asks_for_one_stays(person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    fresh(client, person)
    (device,) = person.world.portal.totp.devices(person.id)
    kept = client.post(AT, {"do": "remove", "id": device.id})
    assert kept.status_code == 400 and "your account needs one" in text(kept)
    assert person.world.portal.totp.devices(person.id)


def test_a_browser_that_is_trusted_is_shown_and_distrusted(person: Someone) -> None:
    portal = person.world.portal
    client = browser()
    signed_in(client, person)
    account = portal.stores.accounts.get(person.id)
    (device,) = portal.stores.devices.of_account(person.id)
    assert portal.trust.trust(account, device, source=Source())
    assert "Browsers you trust" in text(client.get(AT))
    done = client.post(AT, {"do": "distrust", "device": device.id})
    assert "not trusted any more" in text(client.get(done["Location"]))
    assert "Browsers you trust" not in text(client.get(AT))


def test_a_passkey_s_page_has_a_button_for_the_script(person: Someone) -> None:
    client = browser()
    signed_in(client, person)
    fresh(client, person)
    page = text(client.get(f"{AT}/passkey"))
    assert 'data-passkey="create"' in page and 'data-begin="/account/passkeys/begin"' in page


def test_the_link_that_takes_back_is_pressed_without_a_session_or_a_token_of_django_s(
    person: Someone,
) -> None:
    portal = person.world.portal
    client = browser()
    signed_in(client, person)
    fresh(client, person)
    made = text(client.post(f"{AT}/totp", {"label": "Tablet"}))
    seed = re.findall(r'<code class="secret">([A-Z2-7 ]+)</code>', made)[0].replace(" ", "")
    client.post(f"{AT}/totp/confirm", {"code": pyotp.TOTP(seed).at(person.world.clock())})
    portal.courier.deliver()
    mail = [each for each in person.world.mail.to("robin@mail.example") if "added" in each.subject][-1]
    token = re.findall(r"/undo\?token=([A-Za-z0-9_-]{43})", mail.text)[0]
    reader = Client(headers={"host": "portal.example"}, enforce_csrf_checks=True)
    shown = reader.get(f"/undo?token={token}")
    assert title(shown) == "Take this back?" and shown["Referrer-Policy"] == "no-referrer"
    assert len(portal.totp.devices(person.id)) == 2
    site = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert reader.post("/undo", {"token": token}, headers=site).status_code == 403
    done = reader.post("/undo", {"token": token}, headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"})
    assert title(done) == "Taken back" and len(portal.totp.devices(person.id)) == 1
    assert who(client) == ""
    assert title(reader.get(f"/undo?token={token}")) == "This link does not work any more"


def test_the_link_that_gives_an_old_name_back_says_so(person: Someone) -> None:
    portal, client = person.world.portal, browser()
    signed_in(client, person)
    fresh(client, person)
    (device,) = portal.totp.devices(person.id)
    assert client.post(AT, {"do": "rename", "id": device.id, "label": "Blue"})["Location"].endswith("renamed")
    portal.courier.deliver()
    mail = [each for each in person.world.mail.to("robin@mail.example") if "another name" in each.subject][-1]
    token = re.findall(r"/undo\?token=([A-Za-z0-9_-]{43})", mail.text)[0]
    shown = text(browser().get(f"/undo?token={token}"))
    assert "the key has its old name again" in shown and "Give it its old name" in shown
    assert "Blue" not in shown and "Remove the key" not in shown
    done = browser().post("/undo", {"token": token})
    assert title(done) == "Taken back" and "The key has its old name again." in text(done)
    assert portal.totp.devices(person.id)[0].label == device.label


def test_without_django_s_token_nothing_changes(person: Someone) -> None:
    client = Client(headers={"host": "portal.example"}, enforce_csrf_checks=True)
    for path in (
        AT,
        f"{AT}/totp",
        f"{AT}/totp/confirm",
        f"{AT}/import",
        f"{AT}/import/confirm",
        f"{AT}/codes",
    ):
        assert client.post(path, {"do": "remove", "id": "x"}).status_code == 403
