"""A patient is erased: asked once more, for good, found nowhere, and finished whatever comes between."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from examples.portal_fastapi.clinic import Clinic
from examples.portal_fastapi.datafolder import open_site
from examples.portal_fastapi.domain import Patient
from portalsec.audit.reports import recent, who_has_seen
from portalsec.auth.account import Accounts
from portalsec.crypto import SubjectKeys
from portalsec.errors import StoreError
from portalsec.events import SYSTEM, Source
from tests.examples.support import Demo, make_demo, words

SESSION = "__Host-portalsec"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with make_demo(tmp_path / "data") as made:
        yield made


def named(demo: Demo, name: str) -> Patient:
    return next(patient for patient in demo.people.patients if patient.name == name)


def erase(demo: Demo, patient: Patient) -> str:
    officer = demo.as_("privacy")
    done = officer.post(f"/erase/{patient.id}", {"confirm": patient.name})
    assert (done.status_code, done.headers.get("location")) == (303, f"/erase/{patient.id}"), words(done)
    return words(officer.get(f"/erase/{patient.id}"))


def events(demo: Demo, limit: int = 200) -> list[str]:
    return [line.action for line in recent(demo.site.portal.audit, limit=limit)]


# -- asked ------------------------------------------------------------------------------------------------------


def test_the_officer_finds_looks_and_has_to_type_the_name(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    officer = demo.as_("privacy")
    found = officer.post("/erase", {"q": patient.phone})
    assert "1 found" in words(found)
    assert f'href="/erase/{patient.id}"' in found.text
    asked = officer.get(f"/erase/{patient.id}")
    said = words(asked)
    for part in (
        "This is final",
        "What is destroyed",
        "What stays",
        "Backups",
        "The audit log",
        patient.name,
    ):
        assert part in said
    assert f"{demo.site.clinic.count_entries(patient.id)} entries" in said
    # Who it is, and nothing of what is in the record.
    assert not any(entry.title in said for entry in demo.site.clinic.entries(patient.id))
    assert "the account is closed" in said
    for wrong in ("", "   ", "erase", patient.family, "Wilhelmina Testerby"):
        refused = officer.post(f"/erase/{patient.id}", {"confirm": wrong})
        assert refused.status_code == 400
        assert 'id="confirm-error"' in refused.text
    assert demo.site.clinic.patient(patient.id) == patient
    assert demo.site.clinic.unfinished_erasures() == []
    assert not {"subject.erasure_begun", "subject.erased"} & set(events(demo))
    lines = who_has_seen(demo.site.portal.audit, patient.id, limit=5)
    assert {(line.action, line.purpose) for line in lines} >= {("record.searched", "HOPERAT")}


def test_case_and_accents_of_the_typed_name_do_not_matter(demo: Demo) -> None:
    patient = named(demo, "Thaddeus Inventado")
    answer = demo.as_("privacy").post(f"/erase/{patient.id}", {"confirm": " thaddéus  INVENTADO "})
    assert answer.status_code == 303


def test_nobody_else_erases_and_no_other_site_does(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    for login in ("patient", "parent", "doctor", "desk"):
        browser = demo.as_(login)
        for answer in (
            browser.get("/erase"),
            browser.post("/erase", {"q": patient.name}),
            browser.get(f"/erase/{patient.id}"),
            browser.post(f"/erase/{patient.id}", {"confirm": patient.name}),
        ):
            assert answer.status_code == 403
            assert patient.mrn not in answer.text
    officer = demo.as_("privacy")
    form = {"confirm": patient.name}
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://elsewhere.example"}):
        assert officer.post(f"/erase/{patient.id}", form, headers=headers).status_code == 403
    assert demo.browser().post(f"/erase/{patient.id}", form).status_code == 401
    assert demo.site.clinic.patient(patient.id) == patient
    assert "subject.erasure_begun" not in events(demo)


def test_an_id_of_nobody_destroys_nothing(demo: Demo) -> None:
    officer = demo.as_("privacy")
    assert officer.get("/erase/nobody").status_code == 404
    assert officer.post("/erase/nobody", {"confirm": "nobody"}).status_code == 404
    assert demo.site.portal.subjects.receipt("nobody") is None


# -- and done ---------------------------------------------------------------------------------------------------


def test_who_was_erased_is_found_nowhere_and_the_log_stays(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    own, doctor, desk = demo.as_("patient"), demo.as_("doctor"), demo.as_("desk")
    assert own.get("/record").status_code == 200
    assert doctor.get(f"/patients/{patient.id}").status_code == 200
    assert "1 found" in words(desk.post("/desk/search", {"q": patient.phone}))
    before = len(who_has_seen(demo.site.portal.audit, patient.id))

    receipt = erase(demo, patient)
    said = demo.site.erasure.receipt(patient.id)
    assert said is not None
    assert str(said.key_id) in receipt
    assert str(said.fingerprint) in receipt
    assert "Something came between" not in receipt

    for q in (patient.phone, patient.mrn, patient.name, patient.family, "Erased patient", "erased"):
        for browser, page in ((desk, "/desk/search"), (demo.as_("privacy"), "/erase")):
            assert "0 found" in words(browser.post(page, {"q": q})), q
    listed = doctor.get("/patients")
    assert listed.status_code == 200
    assert "Erased patient" in words(listed)
    assert patient.id not in listed.text
    gone = doctor.get(f"/patients/{patient.id}")
    assert gone.status_code == 410
    assert "The person asked for it to be erased, and it was." in words(gone)
    assert desk.post("/desk/invite", {"patient": patient.id}).status_code == 400

    # Signed out, and no way in again.
    assert own.get("/record").status_code == 401
    login = demo.logins["patient"]
    again = demo.browser()
    again.post("/sign-in", {"login": "patient", "password": login.password})
    again.post("/sign-in/code", {"code": demo.code(login.uri)})
    assert SESSION not in again.cookies

    log = demo.as_("privacy").get("/audit")
    assert log.status_code == 200
    assert patient.name not in log.text
    assert "The log verifies" in words(log)
    actions = events(demo)
    for event in ("subject.erasure_begun", "subject.erased", "account.disabled", "auth.session_revoked"):
        assert event in actions
    lines = who_has_seen(demo.site.portal.audit, patient.id)
    assert len(lines) >= before + 2  # every access of before, and the erasure
    assert ("record.read", "clinician") in {(line.action, line.actor_role) for line in lines}


def test_a_guardian_keeps_a_list_that_works(demo: Demo) -> None:
    child = demo.patient_of("parent")
    parent = demo.as_("parent")
    erase(demo, child)
    page = parent.get("/family")
    assert page.status_code == 200
    assert "Erased patient" in words(page)
    assert parent.get(f"/family/{child.id}").status_code == 410
    assert parent.get(f"/family/{child.id}/seen").status_code == 410


def test_an_activation_code_of_somebody_who_was_erased_opens_nothing(demo: Demo) -> None:
    patient = named(demo, "Leopold Exemplaris")
    page = demo.as_("desk").post("/desk/invite", {"patient": patient.id})
    code = re.search(r'id="activation-code">([0-9A-Z-]+)<', page.text)
    assert code
    erase(demo, patient)
    form = {"invitation": code[1], "login": "leo", "password": "orbit marzipan kettle 9 walrus"}
    assert demo.browser().post("/activate", form).status_code == 410
    assert demo.site.portal.stores.accounts.by_login("leo") is None


def test_an_account_that_was_made_by_a_code_is_shut_out_too(demo: Demo) -> None:
    assert demo.activation
    form = {"invitation": demo.activation, "login": "new", "password": "orbit marzipan kettle 9 walrus"}
    assert demo.browser().post("/activate", form).status_code == 303
    account = demo.site.portal.stores.accounts.by_login("new")
    assert account is not None
    patient = demo.site.clinic.patient(account.reference or "")
    assert patient is not None
    erase(demo, patient)
    after = demo.site.portal.stores.accounts.get(account.id)
    assert after is not None
    assert after.disabled


def test_nothing_of_the_person_is_left_in_the_row(demo: Demo) -> None:
    patient = demo.patient_of("patient")
    tags = {
        demo.site.clinic._cells.phone.tag(patient.phone),
        demo.site.clinic._cells.mrn.tag(patient.mrn),
    }
    erase(demo, patient)
    with closing(sqlite3.connect(demo.folder / "app.db")) as connection:
        row = connection.execute("SELECT * FROM patient WHERE id = ?", (patient.id,)).fetchone()
        assert not tags & set(row)
        assert [value for value in row if value] == [patient.id, "done"]
        asked = "SELECT count(*) FROM entry WHERE patient_id = ?"
        assert connection.execute(asked, (patient.id,)).fetchone() == (0,)


# -- whatever comes between -------------------------------------------------------------------------------------

STEPS = [
    (Clinic, "begin_erasure", False),
    (SubjectKeys, "shred", False),
    (Accounts, "disable", True),
    (Clinic, "clear", True),
]


@pytest.mark.parametrize(("part", "step", "destroyed"), STEPS, ids=[step for _, step, _ in STEPS])
def test_a_step_that_fails_loses_nothing_and_is_done_again(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, part: type, step: str, destroyed: bool
) -> None:
    patient = demo.patient_of("patient")
    officer, doctor, desk = demo.as_("privacy"), demo.as_("doctor"), demo.as_("desk")

    def fails(*_: object, **__: object) -> None:
        raise StoreError("not now")

    with monkeypatch.context() as broken:
        broken.setattr(part, step, fails)
        assert officer.post(f"/erase/{patient.id}", {"confirm": patient.name}).status_code == 503
    assert (demo.site.erasure.receipt(patient.id) is not None) is destroyed
    # Between the steps everything works: whole as before, or gone.
    found = words(desk.post("/desk/search", {"q": patient.phone}))
    assert ("0 found" if destroyed else "1 found") in found
    assert ("Erased patient" in words(doctor.get("/patients"))) is destroyed
    assert doctor.get(f"/patients/{patient.id}").status_code == (410 if destroyed else 200)
    begun = step != "begin_erasure"
    assert ("Begun and not finished" in words(officer.get("/erase"))) is begun

    page = officer.get(f"/erase/{patient.id}")
    assert ("Something came between" in words(page)) is destroyed
    form = {} if destroyed else {"confirm": patient.name}  # nobody can type a name that is gone
    assert officer.post(f"/erase/{patient.id}", form).status_code == 303
    assert "Something came between" not in words(officer.get(f"/erase/{patient.id}"))
    assert "Begun and not finished" not in words(officer.get("/erase"))
    account = demo.site.portal.stores.accounts.by_login("patient")
    assert account is not None
    assert account.disabled


@pytest.mark.parametrize(("part", "step", "destroyed"), STEPS, ids=[step for _, step, _ in STEPS])
def test_the_next_start_finishes_what_can_no_longer_be_undone_and_only_that(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, part: type, step: str, destroyed: bool
) -> None:
    patient = demo.patient_of("patient")

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(part, step, dies)
        with pytest.raises(KeyboardInterrupt):
            demo.site.erasure.erase(patient.id, actor=SYSTEM, source=Source())
    again = open_site(demo.folder, demo.how)
    try:
        assert again.erasure.finish() == int(destroyed)
        assert again.erasure.finish() == 0
        now = again.clinic.patient(patient.id)
        assert now is not None
        assert now.erased is destroyed
        if not destroyed:
            assert now == patient
            assert again.clinic.search(patient.phone) == [patient]
        account = again.portal.stores.accounts.by_login("patient")
        assert account is not None
        assert account.disabled is destroyed
    finally:
        again.clinic.close()
        again.portal.audit_writer.close()
