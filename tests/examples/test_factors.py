"""The example's pages of second keys: every template renders, and what is shown once is shown once."""

from __future__ import annotations

import re
from datetime import timedelta

import pyotp

from tests.auth.test_importing import SEVERAL
from tests.auth.test_otpauth import TEXT
from tests.examples.support import Demo, words
from tests.examples.test_account import mail_of
from tests.fastapi.asgi import Answer, Browser

AT = "/account/factors"
CODE = re.compile(r"<code>((?:[0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4})</code>")


def fresh(demo: Demo, browser: Browser, login: str) -> None:
    demo.clock.advance(timedelta(seconds=60))
    done = browser.post("/account/step-up", {"code": demo.code(demo.logins[login].uri), "next": AT})
    assert (done.status_code, done.headers["location"]) == (303, AT)


def seed_of(page: Answer) -> str:
    found = re.search(r'<code id="key"[^>]*>([A-Z2-7 ]+)</code>', page.text)
    assert found
    return found[1].replace(" ", "")


def whole(page: Answer) -> Answer:
    """No script or style in it, and no address elsewhere but a file that is in the page itself."""
    assert not re.search(r'(?:src|href|action)="(?!/|#|data:text/plain;)', page.text), page.text
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page.text)
    assert page.headers["cache-control"] == "no-store"
    return page


def test_a_second_key_from_the_list_and_back_by_the_mailed_link(demo: Demo) -> None:
    browser = demo.as_("patient")
    listed = whole(browser.get(AT))
    assert "Your second keys" in words(listed) and "You have none." in words(listed)
    assert browser.get(f"{AT}/totp").headers["location"] == f"/account/step-up?next={AT}/totp&or=totp"
    page = whole(browser.get(f"/account/step-up?next={AT}/totp&or=totp,password"))
    assert 'name="code"' in page.text and 'name="current"' in page.text and "data-passkey" not in page.text
    assert page.text.count('name="or" value="password,totp"') == 2
    nothing = whole(browser.get(f"/account/step-up?next={AT}&or=passkey&set-up=passkey,recovery_code"))
    assert f'href="{AT}/passkey"' in nothing.text and f'href="{AT}/codes"' in nothing.text
    assert "sign in again" in words(whole(browser.get("/account/step-up?or=passkey")))
    fresh(demo, browser, "patient")
    for path in (f"{AT}/totp", f"{AT}/codes", f"{AT}/passkey"):
        assert whole(browser.get(path)).status_code == 200
    made = whole(browser.post(f"{AT}/totp", {"label": "Tablet"}))
    seed = seed_of(made)
    wrong = whole(browser.post(f"{AT}/totp/confirm", {"code": "12"}))
    assert wrong.status_code == 400 and seed not in wrong.text
    done = whole(browser.post(f"{AT}/totp/confirm", {"code": pyotp.TOTP(seed).at(demo.clock())}))
    codes = CODE.findall(done.text)
    assert len(codes) == 10 and 'download="recovery-codes.txt"' in done.text and "data-print" in done.text
    listed = whole(browser.get(AT))
    assert "Tablet" in words(listed) and "10 of yours are left" in words(listed)
    assert not any(code in listed.text for code in codes)

    fresh(demo, browser, "patient")
    newest = re.findall(r"\?remove=([^\"]+)", browser.get(AT).text)[-1]
    assert "Remove Tablet?" in words(whole(browser.get(f"{AT}?remove={newest}")))
    assert "Rename Tablet" in words(whole(browser.get(f"{AT}?rename={newest}")))
    bad = whole(browser.post(AT, {"do": "rename", "id": newest, "label": ""}))
    assert bad.status_code == 400 and "Give it a name" in words(bad)
    gone = browser.post(AT, {"do": "remove", "id": newest})
    shown = whole(browser.get(gone.headers["location"]))
    assert "Removed within the last day" in words(shown) and "Put it back" in words(shown)

    mail = [text for text in mail_of(demo, "patient") if "removed from sign-in" in text][-1]
    link = re.search(r"/undo\?token=3?D?([\w-]{43})", mail.replace("=\n", "").replace("=3D", "="))
    assert link
    page = whole(demo.browser().get(f"/undo?token={link[1]}"))
    assert "Take this back?" in words(page) and "Put the key back" in words(page)
    done = whole(demo.browser().post("/undo", {"token": link[1]}))
    assert "counts again" in words(done)
    assert browser.get(AT).status_code == 401
    assert "does not work any more" in words(demo.browser().get(f"/undo?token={link[1]}"))


def test_one_that_exists_is_brought_along_and_what_was_pasted_is_on_no_page(demo: Demo) -> None:
    browser = demo.as_("parent")
    fresh(demo, browser, "parent")
    asked = whole(browser.get(f"{AT}/import"))
    assert "Bring an authenticator" in words(asked) and 'data-keep="no"' in asked.text
    bad = whole(browser.post(f"{AT}/import", {"pasted": f"otpauth://hotp/x?secret={TEXT}"}))
    assert bad.status_code == 400 and "counts presses" in words(bad) and TEXT not in bad.text
    assert browser.post(f"{AT}/import", {"pasted": SEVERAL}).headers["location"] == f"{AT}/import"
    listed = whole(browser.get(f"{AT}/import"))
    assert listed.text.count('type="radio"') == 3 and "Hill Clinic: robin" in words(listed)
    unchosen = whole(browser.post(f"{AT}/import/confirm", {"code": "123456"}))
    assert unchosen.status_code == 400 and "Choose the authenticator" in words(unchosen)
    code = pyotp.TOTP(TEXT).at(demo.clock())
    done = whole(browser.post(f"{AT}/import/confirm", {"entry": "0", "code": code}))
    assert len(CODE.findall(done.text)) == 10 and f'href="{AT}/import"' in done.text
    left = whole(browser.get(f"{AT}/import"))
    assert "Hill Clinic" not in words(left) and TEXT not in listed.text + unchosen.text + left.text
    assert browser.post(f"{AT}/import/confirm", {"do": "drop"}).headers["location"] == AT
    assert "Hill Clinic: robin" in words(whole(browser.get(AT)))
