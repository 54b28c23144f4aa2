"""The pages, role by role: what each shows, whom it refuses, and what the log says of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from starlette.requests import Request

from examples.portal_fastapi.pages import Pages
from examples.portal_fastapi.words import PURPOSE_WORDS, REASON_WORDS
from portalsec.audit.reports import recent, who_has_seen
from portalsec.errors import Reason
from portalsec.events import Outcome, Purpose
from tests.examples.support import BASE, Demo, words

SESSION = "__Host-portalsec"


def newest(demo: Demo, limit: int = 5) -> list[tuple[str, str]]:
    return [(line.action, line.outcome.value) for line in recent(demo.site.portal.audit, limit=limit)]


# -- the front door ---------------------------------------------------------------------------------------------


def test_the_first_page_greets_a_stranger_and_names_nobody(demo: Demo) -> None:
    answer = demo.browser().get("/")
    assert answer.status_code == 200
    assert "activation code" in words(answer)
    assert not any(patient.family in answer.text for patient in demo.people.patients)


def test_an_old_cookie_does_not_close_the_first_page(demo: Demo) -> None:
    browser = demo.browser()
    browser.cookies[SESSION] = "x" * 43
    assert browser.get("/").status_code == 200


@pytest.mark.parametrize(
    ("login", "home", "text"),
    [
        ("patient", "/record", "My record"),
        ("parent", "/family", "People I care for"),
        ("doctor", "/patients", "My patients"),
        ("desk", "/desk", "Front desk"),
        ("privacy", "/audit", "Audit log"),
        ("privacy", "/erase", "Erase a person"),
    ],
)
def test_every_role_finds_its_work(demo: Demo, login: str, home: str, text: str) -> None:
    browser = demo.as_(login)
    first = browser.get("/")
    assert f'href="{home}"' in first.text
    page = browser.get(home)
    assert page.status_code == 200
    assert f"<h1>{text}</h1>" in page.text


PAGES = ("/record", "/record/seen", "/family", "/patients", "/desk", "/audit", "/erase")
OWN = {
    "patient": {"/record", "/record/seen"},
    "parent": {"/family"},
    "doctor": {"/patients"},
    "desk": {"/desk"},
    "privacy": {"/audit", "/erase"},
}


@pytest.mark.parametrize("login", sorted(OWN))
def test_auz_05_every_other_roles_page_is_refused_and_the_refusal_recorded(demo: Demo, login: str) -> None:
    browser = demo.as_(login)
    for page in PAGES:
        answer = browser.get(page)
        if page in OWN[login]:
            assert answer.status_code == 200, page
            continue
        if (login, page) in {("doctor", "/family"), ("parent", "/patients")}:
            assert not any(
                patient.name in answer.text for patient in demo.people.patients
            )  # a list of nobody
            continue
        assert answer.status_code == 403, page
        assert "This is not yours to open" in answer.text
        assert newest(demo, 1) == [("access.denied", "denied")], page


@pytest.mark.parametrize("page", [*PAGES, "/account", "/family/x", "/patients/x"])
def test_a_stranger_is_asked_to_sign_in(demo: Demo, page: str) -> None:
    answer = demo.browser().get(page)
    assert answer.status_code == 401
    assert "Please sign in" in words(answer)


def test_a_wrong_password_is_an_error_of_the_form_and_of_no_field(demo: Demo) -> None:
    answer = demo.browser().post("/sign-in", {"login": "patient", "password": "wrong horse battery"})
    assert answer.status_code == 401
    summary = answer.text.partition('role="alert"')[2].partition("</div>")[0]
    assert "do not match" in summary
    assert "<a " not in summary
    assert "aria-invalid" not in answer.text


def test_a_wrong_code_says_what_to_do(demo: Demo) -> None:
    browser = demo.browser()
    account = demo.logins["desk"]
    browser.post("/sign-in", {"login": "desk", "password": account.password})
    answer = browser.post("/sign-in/code", {"code": "000000"})
    assert "Check the six digits, or wait for the next code." in words(answer)


# -- records ----------------------------------------------------------------------------------------------------


def test_a_patient_reads_their_own_record(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    page = demo.as_("patient").get("/record")
    seen = words(page)
    assert patient.name in seen
    assert patient.phone in seen
    for entry in demo.site.clinic.entries(patient.id):
        assert entry.title in seen
    # The number is there to recognise, not to copy.
    assert patient.ssn not in seen
    assert patient.ssn[-4:] in seen


def test_a_clinician_reads_their_own_patients_only(demo: Demo) -> None:
    browser = demo.as_("doctor")
    mine = demo.patients_of_doctor()
    listed = words(browser.get("/patients"))
    assert mine
    for patient in demo.people.patients:
        own = patient.id in {p.id for p in mine}
        assert (patient.name in listed) is own
        answer = browser.get(f"/patients/{patient.id}")
        assert answer.status_code == (200 if own else 403)
        assert (patient.name in words(answer)) is own


def test_auz_03_a_record_that_does_not_exist_is_refused_as_a_strangers_is(demo: Demo) -> None:
    browser = demo.as_("doctor")
    mine = {patient.id for patient in demo.patients_of_doctor()}
    stranger = next(p for p in demo.people.patients if p.id not in mine)
    number = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
    real = browser.get(f"/patients/{stranger.id}")
    made_up = browser.get("/patients/00000000-0000-4000-8000-000000000000")
    assert real.status_code == made_up.status_code == 403
    assert number.sub("", real.text) == number.sub("", made_up.text)


def test_a_parent_reads_the_childs_record_and_nobody_elses(demo: Demo) -> None:
    browser = demo.as_("parent")
    child = demo.patient_of("parent")
    assert child.name in words(browser.get("/family"))
    assert child.name in words(browser.get(f"/family/{child.id}"))
    assert "Who has seen the record" in words(browser.get(f"/family/{child.id}/seen"))
    other = demo.patient_of("patient")
    for page in (f"/family/{other.id}", f"/family/{other.id}/seen", f"/patients/{child.id}", "/record"):
        assert browser.get(page).status_code == 403


def test_a_look_is_recorded_under_the_purpose_of_who_looks(demo: Demo) -> None:
    doctor, patient = demo.as_("doctor"), demo.patients_of_doctor()[0]
    assert doctor.get(f"/family/{patient.id}").status_code == 403
    assert doctor.get(f"/patients/{patient.id}").status_code == 200
    line = who_has_seen(demo.site.portal.audit, patient.id, limit=1)[0]
    assert (line.action, line.purpose) == ("record.read", "TREAT")


def test_a_record_leads_back_to_the_list_that_it_came_from(demo: Demo) -> None:
    theirs = demo.as_("doctor").get(f"/patients/{demo.patients_of_doctor()[0].id}")
    assert '<a href="/patients">Back to My patients</a>' in theirs.text
    childs = demo.as_("parent").get(f"/family/{demo.patient_of('parent').id}")
    assert '<a href="/family">Back to People I care for</a>' in childs.text
    assert "Back to" not in demo.as_("patient").get("/record").text


def test_a_sealed_record_is_for_the_patient_alone(demo: Demo) -> None:
    import sqlalchemy as sa

    browser, patient = demo.as_("doctor"), demo.patients_of_doctor()[-1]
    assert browser.get(f"/patients/{patient.id}").status_code == 200
    with demo.site.clinic._engine.begin() as connection:
        connection.execute(sa.text("UPDATE patient SET sealed = 1 WHERE id = :id"), {"id": patient.id})
    try:
        assert browser.get(f"/patients/{patient.id}").status_code == 403
    finally:
        with demo.site.clinic._engine.begin() as connection:
            connection.execute(sa.text("UPDATE patient SET sealed = 0"))


def test_who_left_the_care_team_is_out_at_once(demo: Demo) -> None:
    import sqlalchemy as sa

    browser, patient = demo.as_("doctor"), demo.patients_of_doctor()[0]
    with demo.site.clinic._engine.begin() as connection:
        row = connection.execute(
            sa.text("SELECT * FROM care_team WHERE patient_id = :id"), {"id": patient.id}
        ).mappings()
        rows = [dict(r) for r in row]
        connection.execute(sa.text("DELETE FROM care_team WHERE patient_id = :id"), {"id": patient.id})
    try:
        assert browser.get(f"/patients/{patient.id}").status_code == 403
    finally:
        with demo.site.clinic._engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO care_team VALUES (:patient_id, :staff_id)"), rows)


# -- who has seen it --------------------------------------------------------------------------------------------


def test_the_patient_sees_who_looked_why_and_who_was_refused(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    doctor = demo.as_("doctor")
    mine = patient.id in {p.id for p in demo.patients_of_doctor()}
    assert mine
    assert doctor.get(f"/patients/{patient.id}").status_code == 200
    assert demo.as_("parent").get(f"/family/{patient.id}").status_code == 403
    browser = demo.as_("patient")
    browser.get("/record")
    seen = words(browser.get("/record/seen"))
    account = demo.site.portal.stores.accounts.by_login("doctor")
    assert account is not None
    person = demo.site.directory.person(account.id)
    assert person is not None
    assert f"{person.name} Clinician Read the record, for treatment." in seen
    assert "Parent or guardian Refused Tried to open the record and was refused." in seen
    assert "You Read the record." in seen
    assert seen.index("You Looked at this list") < seen.index("You Read the record.")


def test_looking_at_the_list_is_on_the_list(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    demo.as_("patient").get("/record/seen")
    first = who_has_seen(demo.site.portal.audit, patient.id)[0]
    assert (first.action, first.outcome) == ("subject.report_viewed", Outcome.SUCCESS)


# -- front desk and sign-up -------------------------------------------------------------------------------------


def test_the_front_desk_searches_without_naming_anyone_in_an_address(demo: Demo) -> None:
    browser = demo.as_("desk")
    assert 'method="post" action="/desk/search"' in browser.get("/desk").text
    found = browser.post("/desk/search", {"q": "mock"})
    seen = words(found)
    assert "2 found" in seen
    assert "Barnabas Mockford" in seen
    # Demographics, never what is in a record.
    child = next(p for p in demo.people.patients if p.name == "Clementine Mockford")
    assert not any(entry.title in seen for entry in demo.site.clinic.entries(child.id))
    line = recent(demo.site.portal.audit, limit=1)[0]
    assert (line.action, len(line.subjects)) == ("record.searched", 2)


@pytest.mark.parametrize("q", ["(212) 555-0110", "212.555.0110", "+1 212 555 0110", "555-0110"])
def test_the_front_desk_finds_a_patient_by_phone_number(demo: Demo, q: str) -> None:
    patient = demo.people.patients[0]
    found = demo.as_("desk").post("/desk/search", {"q": q})
    assert "1 found" in words(found)
    assert patient.name in words(found)
    line = who_has_seen(demo.site.portal.audit, patient.id, limit=1)[0]
    assert (line.action, len(line.subjects)) == ("record.searched", 1)


@pytest.mark.parametrize(
    ("q", "text", "status"),
    [("zzzz", "0 found", 200), ("", "Enter a part of the name", 400), ("%' OR 1=1 --", "0 found", 200)],
)
def test_a_search_that_finds_nobody(demo: Demo, q: str, text: str, status: int) -> None:
    answer = demo.as_("desk").post("/desk/search", {"q": q})
    assert answer.status_code == status
    assert text in words(answer)


def test_only_the_front_desk_searches_and_invites(demo: Demo) -> None:
    patient = demo.people.patients[0]
    for login in ("patient", "doctor", "privacy"):
        browser = demo.as_(login)
        assert browser.post("/desk/search", {"q": "mock"}).status_code == 403
        assert browser.post("/desk/invite", {"patient": patient.id}).status_code == 403
    assert "account.invited" not in [name for name, _ in newest(demo, 6)]


def test_an_invitation_for_nobody_is_no_code(demo: Demo) -> None:
    answer = demo.as_("desk").post("/desk/invite", {"patient": "nobody-here"})
    assert answer.status_code == 400
    assert "activation-code" not in answer.text


def test_from_the_front_desk_to_the_own_record(demo: Demo) -> None:
    patient = next(p for p in demo.people.patients if p.name == "Leopold Exemplaris")
    page = demo.as_("desk").post("/desk/invite", {"patient": patient.id})
    found = re.search(r'id="activation-code">([0-9A-Z-]+)<', page.text)
    assert found
    browser = demo.browser()
    weak = {"invitation": found[1], "login": "leo", "password": "password123"}
    refused = browser.post("/activate", weak)
    assert refused.status_code == 400
    assert "lists that attackers try first" in words(refused)
    assert f'value="{found[1]}"' in refused.text  # what was typed is kept
    assert 'value="leo"' in refused.text
    assert "password123" not in refused.text  # except the password
    assert 'aria-describedby="password-hint password-error"' in refused.text
    assert patient.birth_date
    own_name = browser.post("/activate", weak | {"password": f"Exemplaris{patient.birth_date.year}"})
    assert own_name.status_code == 400
    assert "name" in words(own_name)
    made = browser.post("/activate", weak | {"password": "orbit marzipan kettle 9 walrus"})
    assert (made.status_code, made.headers["location"]) == (303, "/sign-in/set-up?or=passkey_enrolment")
    passkey = "/sign-in/passkey/set-up?or=totp_enrolment"
    assert f'<a href="{passkey}">Set up a passkey instead' in browser.get(made.headers["location"]).text
    assert f'<a href="{made.headers["location"]}">' in browser.get(passkey).text
    assert browser.get("/record").status_code == 401  # no session before the second factor
    set_up = browser.post("/sign-in/set-up")
    key = re.search(r'id="key"[^>]*>([A-Z2-7 ]+)<', set_up.text)
    assert key
    assert "<svg" in set_up.text
    import pyotp

    code = pyotp.TOTP(key[1].replace(" ", "")).at(demo.clock())
    assert browser.post("/sign-in/set-up/confirm", {"code": code}).headers["location"] == "/"
    assert patient.name in words(browser.get("/record"))
    # The code opens nothing a second time.
    again = demo.browser().post(
        "/activate", weak | {"login": "leo2", "password": "orbit marzipan kettle 9 walrus"}
    )
    assert again.status_code == 400
    assert "This code opens nothing" in words(again)


def test_a_short_sign_up_says_what_is_missing(demo: Demo) -> None:
    answer = demo.browser().post("/activate", {"invitation": "", "login": "x", "password": ""})
    assert answer.status_code == 400
    assert "Enter your activation code." in words(answer)
    assert "Choose a password." in words(answer)


# -- privacy officer --------------------------------------------------------------------------------------------


def test_the_officer_sees_the_log_and_that_it_verifies(demo: Demo) -> None:
    page = demo.as_("privacy").get("/audit")
    seen = words(page)
    assert "The log verifies" in seen
    size = demo.site.portal.audit.store.size()
    assert f"Under a signature {size} of {size}" in seen
    assert f"agrees, at {size}" in seen


def test_the_log_says_purposes_and_reasons_in_words_with_their_code(demo: Demo) -> None:
    assert demo.as_("doctor").get("/audit").status_code == 403
    said = words(demo.as_("privacy").get("/audit"))
    assert "no rule allows it no_grant" in said
    assert "to run the clinic HOPERAT" in said
    assert set(REASON_WORDS) == set(Reason)
    assert set(PURPOSE_WORDS) == set(Purpose)


def test_the_log_has_pages(demo: Demo) -> None:
    browser = demo.as_("privacy")
    for _ in range(30):
        browser.get("/audit?before=1")
    page = browser.get("/audit")
    older = re.search(r'href="(/audit\?before=\d+)"', page.text)
    assert older
    second = browser.get(older[1])
    assert second.status_code == 200
    assert "Newest" in words(second)
    assert browser.get("/audit?before=abc&verify=yes").status_code == 200
    assert browser.get(f"/audit?before={'9' * 400}").status_code == 200


# -- one's own account ------------------------------------------------------------------------------------------


def test_one_sees_ones_sessions_and_ends_them_all(demo: Demo) -> None:
    here, there = demo.as_("parent"), demo.as_("parent")
    page = words(here.get("/account"))
    assert page.count("signed in") >= 2
    assert "This one" in page
    demo.clock.advance(timedelta(minutes=5))
    refused = here.post("/account/sign-out-everywhere", headers={"referer": f"{BASE}/account"})
    assert refused.headers["location"].startswith("/account/step-up?next=/account&")
    assert there.get("/family").status_code == 200
    here = demo.as_("parent")  # who can prove a factor, at the door or on that page
    gone = here.post("/account/sign-out-everywhere")
    assert gone.headers["clear-site-data"]
    assert there.get("/family").status_code == 401
    assert set(here.cookies) == {"__Host-portalsec-device"}


def test_the_server_ends_an_idle_session_whatever_the_page_says(demo: Demo) -> None:
    browser = demo.as_("patient")
    demo.clock.advance(timedelta(minutes=14))
    assert browser.get("/session/left").status_code == 200
    demo.clock.advance(timedelta(minutes=1))
    assert browser.get("/session/left").status_code == 401
    assert browser.get("/record").status_code == 401
    assert "signed out" in words(browser.get("/signed-out"))


def test_atk_38_no_page_of_a_record_may_be_kept(demo: Demo) -> None:
    browser = demo.as_("patient")
    for page in ("/", "/record", "/record/seen", "/account"):
        assert browser.get(page).headers["cache-control"] == "no-store"


def test_ses_07_no_page_holds_a_token(demo: Demo) -> None:
    browser = demo.as_("patient")
    token = browser.cookies[SESSION]
    for page in ("/", "/record", "/record/seen", "/account"):
        assert token not in browser.get(page).text


# -- what no page does ------------------------------------------------------------------------------------------


def test_no_page_asks_another_site_for_anything_or_runs_inline_script(demo: Demo) -> None:
    visits = {
        "patient": ["/", "/record", "/record/seen", "/account"],
        "desk": ["/desk"],
        "privacy": ["/audit"],
    }
    pages = [demo.as_(login).get(page) for login, visited in visits.items() for page in visited]
    pages += [demo.browser().get(page) for page in ("/", "/sign-in", "/activate", "/nowhere", "/signed-out")]
    for page in pages:
        assert not re.search(r'(?:src|href|action)="(?!/|#)', page.text), page.text
        assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page.text)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("portal.css", "text/css"),
        ("portal.js", "javascript"),
        ("icon.svg", "image/svg"),
    ],
)
def test_the_files_that_pages_ask_for_are_there(demo: Demo, path: str, kind: str) -> None:
    answer = demo.browser().get(f"/static/{path}")
    assert answer.status_code == 200
    assert kind in answer.headers["content-type"]
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in answer.text


@pytest.mark.parametrize("offered", [False, True])
def test_the_sign_in_page_leads_to_a_link_by_mail_where_there_is_one(offered: bool) -> None:
    request = Request(
        {"type": "http", "method": "GET", "path": "/sign-in", "headers": [], "query_string": b""}
    )
    page = Pages(portal_name="Clinic", mail_link=offered).sign_in(request, login="", next="/", denied=None)
    assert (b'<a href="/sign-in/mail">' in page.body) == offered
