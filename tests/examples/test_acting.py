"""Patient support acts in a patient's name: what it sees, what the log and the patient's report say of it."""

from __future__ import annotations

from portalsec.audit.reports import recent, who_has_seen
from portalsec.web import STAFF_COOKIE
from tests.examples.support import Demo, words
from tests.fastapi.asgi import Answer, Browser


def begin(browser: Browser, login: str = "patient", **change: str) -> Answer:
    return browser.post("/act-as", {"login": login, "reason": "ticket-4711", "minutes": "10", **change})


def test_support_sees_what_the_patient_sees_and_everybody_sees_that_it_did(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    support = demo.as_("support")
    assert 'href="/act-as"' in support.get("/").text
    assert "Act for a patient" in words(support.get("/act-as"))
    assert begin(support).headers["location"] == "/"
    home = support.get("/")
    assert f"You act for {patient.name} , until" in words(home) and 'href="/record"' in home.text
    record = support.get("/record")
    assert record.status_code == 200 and "You act for" in words(record)
    (line, *_) = who_has_seen(demo.site.portal.audit, patient.id, limit=1)
    account = demo.site.portal.stores.accounts.by_login("support")
    assert account is not None
    assert (line.action, line.actor_id) == ("record.read", account.id) and line.actor.on_behalf_of
    assert "Hildegard Helpwell Support, in the patient’s name" in words(support.get("/record/seen"))
    for path in ("/account", "/account/password", "/account/factors"):
        refused = support.get(path)
        assert refused.status_code == 403 and "You act for" in words(refused), path
    assert support.post("/account/sign-out-everywhere").status_code == 403
    assert support.post("/act-as/end").headers["location"] == "/act-as?ended=yes"
    assert "You are back in your own account" in words(support.get("/act-as?ended=yes"))
    log = words(demo.as_("privacy").get("/audit"))
    assert "auth.impersonation_started" in log and "in another’s name (Patient)" in log
    assert {each.action for each in recent(demo.site.portal.audit, limit=30)} >= {
        "auth.impersonation_started",
        "auth.impersonation_ended",
    }


def test_it_acts_for_patients_and_nobody_else_does(demo: Demo) -> None:
    support = demo.as_("support")
    for login in ("doctor", "privacy", "parent", "nobody"):
        answer = begin(support, login)
        assert answer.status_code == 403 and "You may not act for this account" in words(answer), login
    for staff in ("desk", "privacy", "doctor"):
        assert begin(demo.as_(staff)).status_code == 403, staff
    assert STAFF_COOKIE not in support.cookies


def test_the_first_page_leads_back_after_its_end(demo: Demo) -> None:
    support = demo.as_("support")
    begin(support)
    account = demo.site.portal.stores.accounts.by_login("patient")
    assert account is not None
    demo.site.portal.stores.sessions.end_all(account.id)
    for path in ("/", "/record", "/signed-out"):
        assert support.get(path).headers["location"] == "/act-as/over", path
    assert "Back to my own account" in words(support.get("/act-as/over"))
    support.post("/act-as/end", {"next": "/"})
    assert 'href="/act-as"' in support.get("/").text
