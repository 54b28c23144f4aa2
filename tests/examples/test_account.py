"""The example's pages about one's own account: what they show, to whom, and what lies on the disk."""

from __future__ import annotations

import re
from datetime import timedelta
from email import message_from_string
from email.policy import default

import pytest

from portalsec.account_pages import AccountPages
from tests.examples.support import Demo, words
from tests.fastapi.asgi import Browser

OWN = (
    "/account", "/account/secure", "/account/password", "/account/email", "/account/messages", "/account/activity",
    "/account/devices", "/account/close", "/account/factor",
)  # fmt: skip
OPEN = (
    "/password/forgot", "/password/link?token=x", "/password/new", "/unlock", "/unlock/link?token=x",
    "/not-me?token=x", "/account/email/link?token=x",
)  # fmt: skip
NEW = "harbour violin 42 candle moss"


def mail_of(demo: Demo, login: str) -> list[str]:
    demo.site.portal.courier.deliver()
    read = [path.read_text("utf-8") for path in sorted((demo.folder / "mail").glob("*.eml"))]
    return [text for text in read if f"To: {login}@mail.example" in text]


def test_every_page_of_the_contract_has_a_template(demo: Demo) -> None:
    from examples.portal_fastapi import pages
    from portalsec import account_pages

    documented = re.findall(r"^([a-z_, ]+?)  +\S", account_pages.__doc__ or "", re.MULTILINE)
    names = {name for line in documented for name in line.split(", ") if name.strip()}
    folder = pages._HERE / "templates" / "account"
    assert names == {path.stem for path in folder.glob("*.html")}


def test_every_account_has_a_verified_address_of_nobody(demo: Demo) -> None:
    for login in demo.logins:
        account = demo.site.portal.stores.accounts.by_login(login)
        assert account
        (contact,) = demo.site.portal.contacts.of_account(account.id)
        assert contact.address == f"{login}@mail.example"
        assert contact.verified_at is not None


def test_no_account_page_asks_another_site_for_anything_or_runs_inline_script(demo: Demo) -> None:
    browser = demo.as_("patient")
    for page in [browser.get(path) for path in OWN] + [demo.browser().get(path) for path in OPEN]:
        assert page.status_code in (200, 400)
        assert not re.search(r'(?:src|href|action)="(?!/|#)', page.text), page.text
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page.text)
        assert page.headers["cache-control"] == "no-store"


def test_every_password_field_says_which_it_is_and_may_be_pasted_into(demo: Demo) -> None:
    browser = demo.as_("patient")
    pages = [browser.get(path) for path in OWN] + [demo.browser().get("/activate")]
    fields = [field for page in pages for field in re.findall(r'<input[^>]*type="password"[^>]*>', page.text)]
    assert len(fields) >= 5
    for field in fields:
        assert re.search(r'autocomplete="(new|current)-password"', field)
        assert "onpaste" not in field
        assert ("data-strength" in field) == ('autocomplete="new-password"' in field)
        assert 'value=""' in field


def test_who_is_signed_in_elsewhere_cannot_see_or_close_an_incident(demo: Demo) -> None:
    for login in ("patient", "doctor", "desk"):
        browser = demo.as_(login)
        assert browser.get("/incidents").status_code == 403
        assert browser.get("/incidents/x").status_code == 403
        assert browser.post("/incidents/close", {"incident": "x"}).status_code == 403
    for login in ("patient", "doctor", "privacy"):
        browser = demo.as_(login)
        assert browser.get("/support").status_code == 403
        assert browser.post("/support/ask", {"login": "patient", "papers": "seen"}).status_code == 403
        assert browser.post("/support/approve", {"request": "x"}).status_code == 403
    assert demo.as_("privacy").get("/incidents/no-such-one").status_code == 404


def test_a_factor_comes_off_by_two_people_and_its_owner_is_told(demo: Demo) -> None:
    desk, colleague, owner = demo.as_("desk"), demo.as_("desk2"), demo.as_("parent")
    asked = desk.post("/support/ask", {"login": "parent", "papers": "seen"})
    assert "A colleague at the front desk has to agree." in words(asked)
    request = re.search(r'name="request" value="([^"]+)"', asked.text)
    assert request
    assert "a colleague has to agree" in words(desk.post("/support/approve", {"request": request[1]}))
    assert owner.get("/account").status_code == 200
    assert "Done." in words(colleague.post("/support/approve", {"request": request[1]}))
    assert owner.get("/account").status_code == 401
    # Whoever knows the password is not let in to set up a key of their own: the mailbox and a new password come first.
    again = demo.browser().post("/sign-in", {"login": "parent", "password": demo.logins["parent"].password})
    assert again.status_code == 401
    mails = mail_of(demo, "parent")
    assert any("support desk reset" in text for text in mails)
    bodies = [message_from_string(text, policy=default).get_body(("plain",)) for text in mails]
    link = re.search(r"/password/link\?token=([\w-]{43})", "".join(b.get_content() for b in bodies if b))
    assert link
    there = demo.browser()
    assert there.post("/password/link", {"token": link[1]}).headers["location"] == "/password/new"
    chosen = there.post("/password/new", {"password": NEW})
    assert chosen.headers["location"] == "/sign-in/set-up?or=passkey_enrolment"
    assert "is over" in words(colleague.post("/support/approve", {"request": request[1]}))


def test_who_has_a_second_key_is_told_so_and_gets_no_form(demo: Demo) -> None:
    page = demo.as_("doctor").get("/account/factor")
    assert "You have a second key already" in words(page)
    assert 'action="/account/factor"' not in page.text


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"login": "nobody-here", "papers": "seen"}, "Nobody has this user name."),
        ({"login": "", "papers": "seen"}, "Nobody has this user name."),
        ({"login": "doctor"}, "Look at an identity document first."),
    ],
)
def test_what_the_desk_must_mend(demo: Demo, form: dict[str, str], told: str) -> None:
    answer = demo.as_("desk").post("/support/ask", form)
    assert answer.status_code == 400
    assert told in words(answer)


def test_the_new_password_may_not_hold_the_patients_own_words(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    assert patient.birth_date
    browser = demo.as_("patient")
    current = demo.logins["patient"].password
    own = f"{patient.family}{patient.birth_date.year}"
    refused = browser.post("/account/password", {"current": current, "password": own})
    assert refused.status_code == 400
    assert "your own details" in words(refused)
    assert own not in refused.text


def test_mails_lie_in_a_folder_for_their_owner_alone_and_hold_no_name(demo: Demo) -> None:
    demo.as_("doctor")
    assert any("New sign-in" in text for text in mail_of(demo, "doctor"))
    account = demo.site.portal.stores.accounts.by_login("doctor")
    assert account
    person = demo.site.directory.person(account.id)
    assert person
    for path in (demo.folder / "mail").glob("*.eml"):
        assert path.stat().st_mode & 0o077 == 0
        assert person.name not in path.read_text("utf-8")


def test_closing_ones_account_leaves_the_record(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    browser: Browser = demo.as_("patient")
    closed = browser.post("/account/close", {"current": demo.logins["patient"].password})
    assert "Your account is closed" in words(closed)
    assert demo.site.clinic.patient(patient.id) == patient
    demo.clock.advance(timedelta(minutes=1))
    answer = demo.browser().post(
        "/sign-in", {"login": "patient", "password": demo.logins["patient"].password}
    )
    assert answer.status_code == 401


def test_the_demo_is_not_open_to_everybody(demo: Demo) -> None:
    assert demo.browser().get("/register").status_code == 404
    assert not [r for r in AccountPages(demo.site.portal).routes() if r.path.startswith("/register")]


@pytest.mark.parametrize("path", ["/password/forgot", "/unlock", "/activate"])
def test_a_page_is_in_one_language_and_says_which(demo: Demo, path: str) -> None:
    spanish = {"accept-language": "es-MX,es;q=0.9"}
    page = demo.browser().post(path, {}, headers=spanish)
    assert '<html lang="en">' in page.text
    assert re.search(r"Enter your|Choose a", page.text)
    assert not re.search(r"Escriba|Elija|[áéíóúñ¿¡]", page.text)
    meter = demo.browser().request(
        "POST",
        "/password/strength",
        content=b'{"password": "password"}',
        headers={**spanish, "content-type": "application/json"},
        same_site=True,
    )
    assert meter.status_code == 200
    assert not re.search(r"[áéíóúñ¿¡]|contraseña", meter.text)


def test_how_long_a_mailed_link_is_good_is_what_the_settings_say(demo: Demo) -> None:
    lives = demo.site.portal.policies.recovery.reset
    sent = demo.browser().post("/password/forgot", {"name": "patient"})
    assert f"for {lives // timedelta(minutes=1)} minutes" in words(sent)


def test_a_dead_link_of_a_notice_still_leads_to_a_new_password(demo: Demo) -> None:
    dead = demo.browser().get("/not-me?token=x")
    assert 'href="/password/forgot"' in dead.text
    assert "password or the e-mail address changes" not in words(dead)


def test_no_password_field_cuts_what_is_pasted_into_it(demo: Demo) -> None:
    """A browser cuts silently at `maxlength`, and the server would never see the whole password (ASVS V6.2.8)."""
    pages = [demo.browser().get(path) for path in ("/sign-in", "/activate")]
    pages += [demo.as_("doctor").get(path) for path in ("/account/password", "/account/close")]
    fields = [field for page in pages for field in re.findall(r'<input[^>]*type="password"[^>]*>', page.text)]
    assert len(fields) == 5
    assert not any("maxlength" in field for field in fields)
