"""The Django example while it serves: found by phone number, keys rotated, one patient erased."""

from __future__ import annotations

import fcntl
import html
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from portalsec.crypto import Keyset
from tests.django.forked_commands import ForkedCommands
from tests.django.test_example import SERVE, Browser, Demo, fails, signed_in
from tests.ports import free_port
from tests.support import ROOT, shared

_FIELDS = ("name", "born", "phone", "email", "ssn", "address")


class Clinic(Demo):
    """A demo with what runs the commands of its ``manage.py``."""

    def __init__(self, data: Path, port: int) -> None:
        super().__init__(data, port)
        self.env = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PORTAL_DATA": str(data),
            "PORTALSEC__PORTAL__BASE_URL": f"http://localhost:{port}",
        }
        self.commands = ForkedCommands(SERVE.parent / "manage.py", self.env)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    running = Clinic(tmp_path_factory.mktemp("demo") / "data", free_port())
    yield running
    running.commands.close()
    if running.process.poll() is None:
        running.stop()


def manage(demo: Clinic, *arguments: str, fails: bool = False, anew: bool = False) -> str:
    """``anew``: as a person types it; else forked from what has imported everything, which is as much a process."""
    if anew:
        done = subprocess.run(
            [sys.executable, "-W", "error", SERVE.parent / "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, **demo.env},
            capture_output=True,
            text=True,
            timeout=120,
        )
    else:
        done = demo.commands.run(*arguments)
    assert bool(done.returncode) is fails, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def keys(demo: Clinic, *arguments: str, fails: bool = False) -> str:
    settings = ("--config", str(demo.data / "portalsec.toml"))
    return manage(demo, "portalsec_keys", *arguments, *settings, fails=fails)


def rows(demo: Demo, statement: str, *values: object, database: str = "app") -> list[tuple[object, ...]]:
    connection = sqlite3.connect(demo.data / f"{database}.db", timeout=30)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def reloaded(demo: Demo) -> None:
    """SIGHUP, and the server's own word that it is done."""
    demo.process.send_signal(signal.SIGHUP)
    assert heard(demo, "The keys were ") == "The keys were loaded anew.\n"


def heard(demo: Demo, beginning: str) -> str:
    """The next line of the server's that begins so; a server that never says it is ended, and what it said is shown."""
    assert demo.process.stdout is not None
    patience = threading.Timer(90, demo.process.kill)
    patience.start()
    try:
        for line in demo.process.stdout:
            demo.said += line
            if line.startswith(beginning):
                return line
    finally:
        patience.cancel()
    raise AssertionError(f"the server did not say {beginning!r}: {demo.said}")


def find(browser: Browser, phone: str) -> tuple[int, str]:
    return ask(browser, "/desk", phone=phone)


def ask(browser: Browser, path: str, *, page: str | None = None, **form: str) -> tuple[int, str]:
    """Fill in the form of a page."""
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(page or path)[1])
    assert token is not None
    status, text, _ = browser.ask("POST", path, {**form, "csrfmiddlewaretoken": token[1]})
    return status, text


def keyset(demo: Demo, name: str) -> Keyset:
    return Keyset.from_json((demo.data / "keys" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def desk(demo: Demo) -> Browser:
    return signed_in(demo, "desk")


@pytest.fixture(scope="module")
def doctor(demo: Demo) -> Browser:
    return signed_in(demo, "doctor")


# Eight people have (212) 555-0110 and every seventh number after it.
@pytest.mark.parametrize("written", ["(212) 555-0110", "212.555.0110", "+1 212 555 0110", "1-212-555-0110"])
def test_the_desk_finds_a_patient_however_the_number_is_written(desk: Browser, written: str) -> None:
    status, page = find(desk, written)
    assert (status, "1 found" in page, "Wilhelmina Testerby" in page) == (200, True, True)
    assert "Born 14 March 1968" in page
    assert "Hypertension" not in page


def test_no_number_and_nobodys_number(desk: Browser) -> None:
    status, page = find(desk, "(212) 555-0111")
    assert (status, "Nobody has this number" in page) == (200, True)
    for nothing in ("", "Testerby", "0" * 41, "<script>"):
        status, page = find(desk, nothing)
        assert (status, "Enter a phone number" in page) == (400, True)
        assert "<script>alert" not in page and 'value="<' not in page


def test_searching_is_the_desks_alone_and_who_was_found_can_see_it(
    demo: Demo, desk: Browser, doctor: Browser
) -> None:
    assert doctor.get("/desk")[0] == 403
    assert Browser(demo.port).get("/desk")[0] == 401
    assert "Front desk" in desk.get("/")[1] and "Front desk" not in doctor.get("/")[1]
    assert "1 found" in find(desk, "(212) 555-0117")[1]
    (address,) = set(re.findall(r'href="(/patients/[^"]+)">Ferdinand', doctor.get("/patients")[1]))
    assert desk.get(address)[0] == 403
    patient = signed_in(demo, "patient")
    name = re.search(r'id="about-title">([^<]+)<', patient.get("/record")[1])
    assert name is not None and name[1] == "Ferdinand Sampleton"
    seen = patient.get("/record/seen")[1]
    assert "record.searched" in seen and "(PATADMIN)" in seen and "desk" in seen
    found = re.findall(r"<strong>desk</strong>.*?</li>", seen, re.DOTALL)
    assert any("record.searched" in line and "Refused" not in line for line in found)


def test_a_cell_of_another_row_is_no_name(demo: Demo, doctor: Browser) -> None:
    """Whoever writes to the file cannot show one patient's name in another's record."""
    mine = re.findall(r'href="/patients/([^"]+)">([^<]+)<', doctor.get("/patients")[1])[:2]
    (first, name), (second, _) = [(address.replace("-", ""), name) for address, name in mine]
    held = "SELECT name FROM clinic_patient WHERE id = ?"
    (cell,), (before,) = rows(demo, held, first)[0], rows(demo, held, second)[0]
    rows(demo, "UPDATE clinic_patient SET name = ? WHERE id = ?", cell, second)
    try:
        status, page = doctor.get(f"/patients/{mine[1][0]}")
        assert (status, name in page) == (500, False)
        assert doctor.get(f"/patients/{mine[0][0]}")[0] == 200
    finally:
        rows(demo, "UPDATE clinic_patient SET name = ? WHERE id = ?", before, second)
    assert doctor.get(f"/patients/{mine[1][0]}")[0] == 200


# -- rotation -------------------------------------------------------------------------------------------------------


def test_keys_are_rotated_while_it_serves(demo: Clinic, desk: Browser, doctor: Browser) -> None:
    stop, statuses = threading.Event(), set()

    def look() -> None:
        while not stop.wait(0.05):
            statuses.add(doctor.get("/patients")[0])

    old = {name: keyset(demo, name).primary_id for name in ("fields", "index")}
    visitor = threading.Thread(target=look)
    visitor.start()
    try:
        for name, first in old.items():
            assert "was added and reads" in keys(demo, "rotate", name)
            assert "waits to be promoted" in keys(demo, "rotate", name, fails=True)
            assert keyset(demo, name).primary_id == first
            reloaded(demo)
            assert "writes. Older keys still read" in keys(demo, "rotate", name, "--promote")
            assert keyset(demo, name).primary_id != first
            reloaded(demo)
            assert find(desk, "(212) 555-0117")[1].count("Ferdinand Sampleton") == 1
        wrapped = set(rows(demo, "SELECT wrapped FROM portalsec_subjectkey", database="subjects"))
        tags = set(rows(demo, "SELECT id, phone_index FROM clinic_patient"))
        assert "have cells under key" in keys(
            demo, "disable", "fields", str(old["fields"]), "--yes", fails=True
        )
        assert "not under the key that writes" in manage(demo, "portalsec_reencrypt", "--status", fails=True)
        said = manage(demo, "portalsec_reencrypt")
        assert "subject keys: 8 rows, 8 written, 0 changed by others meanwhile, 0 erased, 0 failed" in said
        assert not wrapped & set(rows(demo, "SELECT wrapped FROM portalsec_subjectkey", database="subjects"))
        assert "Nothing is left" in manage(demo, "portalsec_reencrypt", "--status")
        assert len(tags & set(rows(demo, "SELECT id, phone_index FROM clinic_patient"))) <= 1  # by chance
        assert find(desk, "(212) 555-0117")[1].count("Ferdinand Sampleton") == 1
    finally:
        stop.set()
        visitor.join(60)
    assert statuses == {200}
    for event in (b"key.created", b"key.rotated"):
        told = [body for (body,) in rows(demo, "SELECT body FROM portalsec_auditentry", database="audit")]
        assert len([body for body in told if event in bytes(body)]) == 2
    privacy = signed_in(demo, "privacy")
    assert "The log verifies" in privacy.get("/audit")[1]

    # Nothing is under the old keys any more, so that they may go; whoever is signed in does not notice.
    for name, first in old.items():
        assert "is disabled" in keys(demo, "disable", name, str(first), "--yes")
        assert [key.id for key in keyset(demo, name).info() if key.status == "ENABLED"] != [first]
        assert {key.id: key.status for key in keyset(demo, name).info()}[first] == "DISABLED"
    assert demo.stop() == 0
    again = Demo(demo.data, demo.port)
    demo.process, demo.said = again.process, demo.said + again.said
    assert find(desk, "(212) 555-0117")[1].count("Ferdinand Sampleton") == 1
    assert privacy.get("/audit")[0] == 200
    pages = [
        doctor.get(address) for address in re.findall(r'href="(/patients/[^"]+)"', doctor.get("/patients")[1])
    ]
    assert [status for status, _ in pages] == [200] * 5
    assert sum("Metformin" in page for _, page in pages) == 1
    assert signed_in(demo, "parent").get("/patients")[0] == 200  # the authenticator's secret was taken along


def test_keys_that_cannot_be_read_leave_the_old_ones_in_use(demo: Demo, doctor: Browser) -> None:
    path = demo.data / "keys" / "fields.json"
    whole = path.read_text()
    path.write_text("{}")
    try:
        demo.process.send_signal(signal.SIGHUP)
        assert heard(demo, "The keys were ").startswith(
            "The keys were not loaded anew, and the old ones stay in use"
        )
        assert doctor.get("/patients")[0] == 200
    finally:
        path.write_text(whole)
    reloaded(demo)


# -- erasure --------------------------------------------------------------------------------------------------------


def test_the_privacy_officer_erases_a_patient(demo: Demo, desk: Browser, doctor: Browser) -> None:
    patient, privacy = signed_in(demo, "patient", steps=1), signed_in(demo, "privacy", steps=1)
    assert (desk.get("/erase")[0], doctor.get("/erase")[0], patient.get("/erase")[0]) == (403, 403, 403)
    found = ask(privacy, "/erase", phone="(212) 555-0117")[1]
    (path,) = re.findall(r'href="(/erase/[^"]+)"', found)
    key = path.rpartition("/")[2]
    assert "Erase Ferdinand Sampleton?" in privacy.get(path)[1]
    assert doctor.get(path)[0] == 403
    assert ask(privacy, path, page=path, confirm="Ferdinand")[0] == 400
    assert patient.get("/record")[0] == 200

    backup = sqlite3.connect(":memory:")
    with closing(sqlite3.connect(demo.data / "app.db", timeout=30)) as live:
        live.backup(backup)
    assert ask(privacy, path, page=path, confirm="ferdinand SAMPLETON")[0] == 303
    assert "Fingerprint" in privacy.get(path)[1] and "Almost" not in privacy.get(path)[1]

    hexadecimal = key.replace("-", "")
    assert rows(demo, "SELECT * FROM clinic_patient WHERE id = ?", hexadecimal) == []
    assert rows(demo, "SELECT * FROM clinic_entry WHERE patient_id = ?", hexadecimal) == []
    (stone,) = rows(
        demo, "SELECT wrapped FROM portalsec_subjectkey WHERE subject = ?", key, database="subjects"
    )
    assert stone == (None,)
    assert "Nobody has this number" in find(desk, "(212) 555-0117")[1]
    assert "Ferdinand" not in doctor.get("/patients")[1]
    assert doctor.get(f"/patients/{key}")[0] == 403
    assert patient.get("/record")[0] == 401  # the account is closed
    log = privacy.get("/audit")[1]
    assert "The log verifies" in log and "subject.erasure_begun" in log and "subject.erased" in log

    # A backup of the clinic's database does not bring them back: the rows are there, and nothing of it opens.
    with closing(sqlite3.connect(demo.data / "app.db", timeout=30)) as live:
        backup.backup(live)
    backup.close()
    assert len(rows(demo, "SELECT * FROM clinic_patient WHERE id = ?", hexadecimal)) == 1
    status, page = doctor.get(f"/patients/{key}")
    assert (status, "was erased" in page, "Ferdinand" in page) == (410, True, False)
    status, page = doctor.get("/patients")
    assert (status, "Ferdinand" in page, "Octavia" in page) == (200, False, True)
    assert (
        "Nobody has this number" in find(desk, "(212) 555-0117")[1]
    )  # the tag is there, and leads to nothing
    assert "Almost erased" in privacy.get(path)[1]
    assert ask(privacy, path, page=path)[0] == 303
    assert rows(demo, "SELECT * FROM clinic_patient WHERE id = ?", hexadecimal) == []


def test_the_command_erases_a_patient(demo: Clinic, doctor: Browser) -> None:
    (address,) = re.findall(r'href="/patients/([^"]+)">Octavia', doctor.get("/patients")[1])
    said = manage(demo, "erase", address, "--yes", anew=True)
    assert re.search(r"Erased at 20\d\d-.* UTC. Key \d+, fingerprint [0-9a-f]{64}", said)
    assert "Octavia" not in doctor.get("/patients")[1]
    assert manage(demo, "erase", address, "--yes").split("\n")[0] == said.split("\n")[0]
    nobody = "00000000-0000-7000-8000-000000000000"
    assert "no patient has the id" in manage(demo, "erase", nobody, "--yes", fails=True)
    assert (
        rows(demo, "SELECT * FROM portalsec_subjectkey WHERE subject = ?", nobody, database="subjects") == []
    )


def test_nothing_of_it_was_a_traceback_or_a_name(demo: Demo) -> None:
    assert demo.stop() == 0
    assert "Ferdinand" not in demo.said and "555-01" not in demo.said
    cells = rows(demo, f"SELECT {', '.join(_FIELDS)}, phone_index FROM clinic_patient")
    assert {type(cell) for row in cells for cell in row} == {bytes}


@pytest.mark.skipif(
    not hasattr(termios, "TIOCSCTTY"), reason="needs a controlling terminal that can be given"
)
def test_a_window_that_is_closed_ends_it(demo: Clinic) -> None:
    """SIGHUP is also what a program is sent whose terminal is gone: the port must not stay taken."""
    if demo.process.poll() is None:
        demo.stop()
    window, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, SERVE, "--data", demo.data, "--port", str(demo.port)],
        cwd=ROOT,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    said = b""
    while b"Browsers:" not in said:
        said += os.read(window, 4096)
    process.send_signal(signal.SIGHUP)
    while b"The keys were loaded anew." not in said:
        said += os.read(window, 4096)
    os.close(window)
    process.wait(60)
    assert (demo.data / "accounts.txt").exists()


# -- folders --------------------------------------------------------------------------------------------------------


def test_a_folder_of_an_older_version_is_said(tmp_path: Path) -> None:
    for name in ("portalsec.toml", "app.db", "security.db", "audit.db", "accounts.txt"):
        (tmp_path / name).touch()
    assert "older version of this demo" in fails("--data", str(tmp_path), "--port", str(free_port()))


def test_the_fhir_folder_loads_and_is_searched_by_phone(tmp_path: Path) -> None:
    from examples.portal_fastapi.fhir import bundle_files, read_bundles

    # Some of them: each patient costs the start a while, and how all are read is the other example's test.
    folder = tmp_path / "fhir"
    folder.mkdir()
    for bundle in bundle_files(shared("data", "fhir"))[:6]:
        shutil.copy(bundle, folder)
    people = read_bundles(bundle_files(folder))
    assert len(people.patients) == 6
    demo = Demo(tmp_path / "data", free_port(), "--fhir", str(folder))
    try:
        assert rows(demo, "SELECT count(*) FROM clinic_patient") == [(len(people.patients),)]
        assert rows(demo, "SELECT count(*) FROM clinic_entry") == [(len(people.entries),)]
        desk = signed_in(demo, "desk")
        wanted = people.patients[3]
        status, page = find(desk, wanted.phone)
        assert status == 200
        assert html.escape(wanted.name) in page or wanted.name in page
        doctor = signed_in(demo, "doctor")
        for address in re.findall(r'href="(/patients/[^"]+)"', doctor.get("/patients")[1])[:3]:
            assert doctor.get(address)[0] == 200
    finally:
        assert demo.stop() == 0
