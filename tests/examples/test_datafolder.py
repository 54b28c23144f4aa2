"""The data folder: made whole or not at all, private, and opened as it was left. And nobody's name is in it."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from examples.portal_fastapi import datafolder
from examples.portal_fastapi.datafolder import Opening, create, is_complete, open_site, read_accounts, remove
from examples.portal_fastapi.domain import Patient, People
from examples.portal_fastapi.fhir import NotFhir, bundle_files, read_bundles
from examples.portal_fastapi.people import synthetic_people
from examples.portal_fastapi.seed import cast
from portalsec.errors import ConfigurationError, StoreError, Tampered
from portalsec.testing import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.examples.support import BASE, Demo, make_demo, open_demo
from tests.support import shared

HOW = Opening(base_url=BASE, clock=FrozenClock(), hashing=CHEAP_ARGON2, env={})


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- made whole, private ----------------------------------------------------------------------------------------


def test_the_folder_has_what_it_says(tmp_path: Path) -> None:
    create(tmp_path / "data", synthetic_people, HOW)
    files = {name for name in tree(tmp_path / "data") if not name.endswith(("-wal", "-shm"))}
    assert files == {
        "portalsec.toml",
        "policy.toml",
        "keys",
        "keys/fields.json",
        "keys/index.json",
        "keys/mac.json",
        "keys/audit.key",
        "security.db",
        "subjects.db",
        "audit.db",
        "app.db",
        "anchor",
        "anchor/checkpoint",
        "accounts.txt",
    }
    assert is_complete(tmp_path / "data")


def test_keys_databases_and_accounts_are_their_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        create(tmp_path / "data", synthetic_people, HOW)
    finally:
        os.umask(old)
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.name in {"portalsec.toml", "policy.toml", "checkpoint"}:
            continue  # no secrets: a checkpoint is a size, a hash and a signature
        assert mode & 0o077 == 0, (path.name, oct(mode))


def test_it_opens_again_with_everything_in_it(tmp_path: Path) -> None:
    with make_demo(tmp_path / "data") as demo:
        demo.as_("patient").get("/record")
        size = demo.site.portal.audit.store.size()
        how, clock = demo.how, demo.clock
    with open_demo(tmp_path / "data", how, clock) as again:
        again.site.portal.audit.resume()
        assert again.site.portal.audit.store.size() >= size
        assert again.as_("patient").get("/record").status_code == 200


def test_another_port_the_second_time_changes_no_log(tmp_path: Path) -> None:
    create(tmp_path / "data", synthetic_people, HOW)
    site = open_site(
        tmp_path / "data", Opening(base_url="http://localhost:9999", hashing=CHEAP_ARGON2, env={})
    )
    try:
        assert site.portal.base_url == "http://localhost:9999"
        assert site.portal.audit.resume() > 0
    finally:
        site.portal.audit_writer.close()


# -- or not at all ----------------------------------------------------------------------------------------------


def failing(error: Exception) -> Callable[[], People]:
    def people() -> People:
        raise error

    return people


@pytest.mark.parametrize("there", [False, True])
def test_people_who_cannot_be_read_leave_nothing(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    with pytest.raises(NotFhir):
        create(folder, failing(NotFhir("x")), HOW)
    assert folder.exists() is there
    assert tree(tmp_path) == ({"data"} if there else set())


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("step", ["make_accounts", "write_new", "_accounts", "open_site"])
def test_a_start_that_fails_half_way_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, there: bool
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "data"
    if there:
        folder.mkdir()
    monkeypatch.setattr(datafolder, step, broken)
    with pytest.raises(KeyboardInterrupt):
        create(folder, synthetic_people, HOW)
    assert tree(tmp_path) == ({"data"} if there else set())


def test_what_a_killed_start_left_is_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    create(folder, synthetic_people, HOW)
    before = (folder / "keys" / "mac.json").read_bytes()
    (folder / ".portalsec-demo-unfinished").touch()  # as it is until the very end
    assert not is_complete(folder)
    create(folder, synthetic_people, HOW)
    assert is_complete(folder)
    assert (folder / "keys" / "mac.json").read_bytes() != before


@pytest.mark.parametrize("content", ["thesis.txt", "keys/id_rsa"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine" / content
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    for action in (
        lambda: create(tmp_path / "mine", synthetic_people, HOW),
        lambda: remove(tmp_path / "mine"),
    ):
        with pytest.raises(ConfigurationError, match="demo"):
            action()
    assert path.read_text() == "precious"


def test_remove_takes_a_demo_and_nothing_for_nothing(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    create(tmp_path / "data", synthetic_people, HOW)
    remove(tmp_path / "data")
    assert not (tmp_path / "data").exists()


# -- what is wrong is said in one sentence ----------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Path:
    create(tmp_path / "data", synthetic_people, HOW)
    return tmp_path / "data"


def problem(folder: Path) -> str:
    with pytest.raises((ConfigurationError, StoreError)) as error:
        open_site(folder, HOW)
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("key", ["fields.json", "mac.json", "index.json", "audit.key"])
def test_a_key_that_is_missing_readable_by_others_or_damaged(made: Path, key: str) -> None:
    path = made / "keys" / key
    path.chmod(0o644)
    assert "can be read by others" in problem(made)
    path.chmod(0o600)
    good = path.read_text()
    path.write_text("{}")
    assert key in problem(made)
    path.write_text(good)
    path.unlink()
    assert f"{key} is missing" in problem(made)


@pytest.mark.parametrize("database", ["security.db", "subjects.db", "audit.db", "app.db"])
def test_a_damaged_database(made: Path, database: str) -> None:
    for beside in ("-wal", "-shm"):
        (made / f"{database}{beside}").unlink(missing_ok=True)
    (made / database).write_bytes(b"this is no database" * 1000)
    assert database in problem(made)


@pytest.mark.parametrize("database", ["security.db", "subjects.db", "audit.db", "app.db"])
def test_a_lost_database_is_not_begun_anew(made: Path, database: str) -> None:
    for path in made.glob(f"{database}*"):
        path.unlink()
    before = tree(made)
    text = problem(made)
    assert f"{database} is missing" in text
    assert "restore it from a backup" in text
    assert tree(made) == before


def test_a_clinic_database_that_is_damaged_past_its_first_page(made: Path) -> None:
    connection = sqlite3.connect(made / "app.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path = made / "app.db"
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    text = problem(made)
    assert "app.db is damaged" in text
    assert "restore it from a backup" in text


@pytest.mark.parametrize(
    "action",
    [is_complete, remove, read_accounts, lambda folder: create(folder, synthetic_people, HOW)],
    ids=["is_complete", "remove", "read_accounts", "create"],
)
def test_a_folder_that_cannot_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: Callable[[Path], object]
) -> None:
    def refused(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(ConfigurationError, match=r"data cannot be read \(Permission denied\)"):
        action(tmp_path / "data")


def test_a_list_of_accounts_that_is_lost(made: Path) -> None:
    (made / "accounts.txt").unlink()
    with pytest.raises(
        ConfigurationError, match=r"accounts\.txt is missing: make demo-reset makes a new portal"
    ):
        read_accounts(made)


def test_a_wrong_setting(made: Path) -> None:
    with (made / "portalsec.toml").open("a") as file:
        file.write("\n[sessions]\nidel = '5m'\n")
    text = problem(made)
    assert "portalsec.toml" in text
    assert "[sessions]" in text
    assert "did you mean 'idle'?" in text


def test_auz_07_an_older_copy_of_the_log_is_found_by_the_anchor(tmp_path: Path) -> None:
    with make_demo(tmp_path / "data") as demo:
        how, clock = demo.how, demo.clock
    older = {path: path.read_bytes() for path in (tmp_path / "data").glob("audit.db*")}
    with open_demo(tmp_path / "data", how, clock) as demo:
        demo.as_("patient").get("/record")
    for path in (tmp_path / "data").glob("audit.db*"):
        path.unlink()
    for path, content in older.items():
        path.write_bytes(content)
        path.chmod(0o600)
    site = open_site(tmp_path / "data", how)
    with pytest.raises(Tampered, match="cut short"):
        site.portal.audit.resume()
    # It is not signed any more, which is what the end of the portal says too.
    with pytest.raises(Tampered), open_demo(tmp_path / "data", how, clock) as demo:
        page = demo.as_("privacy").get("/audit")
        assert page.status_code == 200
        assert "The log does not verify" in page.text
        assert "missing from the end" in page.text


def test_auz_07_an_older_copy_without_its_anchor_is_not_in_order_either(tmp_path: Path) -> None:
    with make_demo(tmp_path / "data") as demo:
        demo.as_("patient").get("/record")
        how, clock, anchor = demo.how, demo.clock, demo.site.anchor
    anchor.unlink()
    with pytest.raises(Tampered, match="anchor is missing"), open_demo(tmp_path / "data", how, clock) as demo:
        page = demo.as_("privacy").get("/audit")
        assert page.status_code == 200
        assert "The log does not verify" in page.text
        assert "The copy kept outside the log is missing" in page.text
    assert not anchor.exists()


def test_auz_07_an_edited_record_is_shown_to_the_officer_and_named(tmp_path: Path) -> None:
    with make_demo(tmp_path / "data") as demo:
        demo.as_("patient").get("/record")
        how, clock = demo.how, demo.clock
    connection = sqlite3.connect(tmp_path / "data" / "audit.db")
    (table,) = next(
        row
        for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if {"body", "leaf"} <= {c[1] for c in connection.execute(f"PRAGMA table_info({row[0]})")}
        and connection.execute(f"SELECT count(*) FROM {row[0]}").fetchone()[0]
    )
    body = connection.execute(f"SELECT body FROM {table} ORDER BY 1 DESC LIMIT 1").fetchone()[0]
    changed = bytearray(body if isinstance(body, bytes) else body.encode())
    changed[-3] ^= 1
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")  # what an intruder with the file does first
    connection.execute(
        f"UPDATE {table} SET body = ? WHERE body = ?",
        (bytes(changed) if isinstance(body, bytes) else changed.decode(), body),
    )
    connection.commit()
    connection.close()
    with pytest.raises(Tampered), open_demo(tmp_path / "data", how, clock) as demo:
        page = demo.as_("privacy").get("/audit")
        assert page.status_code == 200
        assert "The log does not verify" in page.text
        assert "was changed" in page.text


# -- nobody's name is in it -------------------------------------------------------------------------------------


def telling(patient: Patient) -> list[str]:
    """What identifies a person, and in the spellings in which it could lie about."""
    pieces = [
        patient.name,
        patient.phone,
        patient.ssn,
        patient.ssn.replace("-", ""),
        patient.email,
        patient.mrn,
        patient.address,
    ]
    # Single words only where chance does not write them into random bytes.
    pieces += [word for word in patient.name.split() if len(word) >= 6]
    return [piece for piece in pieces if piece]


def assert_nobody_is_readable(folder: Path, people: People) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"app.db", "security.db", "audit.db"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes().lower()
        for patient in people.patients:
            for piece in telling(patient):
                for encoding in ("utf-8", "utf-16-le"):
                    assert piece.lower().encode(encoding) not in content, (
                        f"{path.name} holds a patient's data"
                    )


def use_it(demo: Demo) -> None:
    """Every kind of page and refusal, so that whatever writes has written."""
    patient = demo.patient_of("patient")
    demo.as_("patient").get("/record")
    doctor = demo.as_("doctor")
    for other in demo.people.patients[:6]:
        doctor.get(f"/patients/{other.id}")
    desk = demo.as_("desk")
    desk.post("/desk/search", {"q": patient.name})
    desk.post("/desk/search", {"q": patient.phone})
    desk.post("/desk/invite", {"patient": patient.id})
    officer = demo.as_("privacy")
    gone = next(other for other in demo.people.patients if other.id != patient.id)
    officer.post("/erase", {"q": gone.mrn})
    officer.get(f"/erase/{gone.id}")
    officer.post(f"/erase/{gone.id}", {"confirm": gone.name})
    demo.as_("parent").get("/family")
    demo.as_("privacy").get("/audit")
    demo.browser().post("/sign-in", {"login": patient.email or "somebody", "password": patient.name})
    demo.browser().get(f"/patients/{patient.family}", headers={"User-Agent": "Browser"})


def test_no_file_of_the_demo_names_a_patient(tmp_path: Path) -> None:
    with make_demo(tmp_path / "data") as demo:
        use_it(demo)
        # While it runs, with the write-ahead logs beside the databases ...
        assert list((tmp_path / "data").glob("*-wal"))
        assert_nobody_is_readable(tmp_path / "data", demo.people)
        people = demo.people
    # ... and after it ended.
    assert_nobody_is_readable(tmp_path / "data", people)


def test_no_file_of_a_demo_of_bundles_names_a_patient(tmp_path: Path) -> None:
    files = bundle_files(shared("data", "fhir"))
    with make_demo(tmp_path / "data", lambda: read_bundles(files)) as demo:
        assert len(demo.people.patients) == 38
        use_it(demo)
        assert_nobody_is_readable(tmp_path / "data", demo.people)


# -- who plays whom ---------------------------------------------------------------------------------------------


def test_the_roles_are_filled_from_any_people(tmp_path: Path) -> None:
    alone = Patient(id="p1", name="Only One", family="One")
    filled, roles = cast(People(patients=(alone,)), today=date(2026, 3, 2))
    assert roles.patient == alone
    assert roles.newcomer is None
    assert filled.care_team == {("p1", roles.doctor.id)}
    assert filled.wards == {("p1", roles.guardian.id)}
    create(tmp_path / "data", lambda: People(patients=(alone,)), HOW)
    logins, activation = read_accounts(tmp_path / "data")
    assert {each.login for each in logins} == {
        "patient",
        "parent",
        "doctor",
        "desk",
        "desk2",
        "privacy",
        "support",
    }
    assert activation is None


def test_the_roles_of_the_shared_bundles() -> None:
    people = read_bundles(bundle_files(shared("data", "fhir")))
    filled, roles = cast(people, today=date(2026, 3, 2))
    own = {patient for patient, doctor in filled.care_team if doctor == roles.doctor.id}
    assert len(own) == 3
    assert roles.patient.id in own
    assert roles.newcomer is not None
    assert roles.newcomer.id not in own
    (child,) = (p for p in filled.patients if (p.id, roles.guardian.id) in filled.wards)
    assert child.birth_date is not None
    assert child.birth_date > date(2026, 3, 2) - timedelta(days=18 * 366)


def test_every_start_has_other_passwords_and_secrets(tmp_path: Path) -> None:
    ways = []
    for name in ("a", "b"):
        create(tmp_path / name, synthetic_people, HOW)
        ways.append({(each.password, each.uri) for each in read_accounts(tmp_path / name)[0]})
    assert len(ways[0] | ways[1]) == 14
