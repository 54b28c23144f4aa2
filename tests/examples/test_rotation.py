"""The demo's keys are rotated under a process that serves, and nobody who uses it notices."""

from __future__ import annotations

import http.client
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pyotp
import pytest

from examples.portal_fastapi.datafolder import read_accounts
from examples.portal_fastapi.people import synthetic_people
from examples.portal_fastapi.reloading import serving as serving_now
from examples.portal_fastapi.seed import Login
from portalsec.config import load_settings
from portalsec.config.keysets import KeysetFiles
from portalsec.crypto import Keyset
from portalsec.fastapi.form_tokens import FORM_HEADER, form_token, held
from tests.examples.test_serve import Serving, run, sentence, serving
from tests.ports import free_port
from tests.support import ROOT

ROTATE = ROOT / "examples" / "portal_fastapi" / "rotate.py"
PEOPLE = {patient.phone: patient.name for patient in synthetic_people().patients}


class Client:
    """A browser of a few lines over a real connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def request(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        headers = {"Host": f"localhost:{self.port}", "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers[FORM_HEADER] = form_token(held(headers["Cookie"])[0])  # of the page that the form is on
        body = None
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie") or []:
                name, _, rest = line.partition("=")
                self.cookies[name] = rest.partition(";")[0]
            return response.status, response.read().decode("utf-8")

    def sign_in(self, login: Login, *, later: int = 0) -> None:
        """``later``: with the code of so many steps from now on, where another test may have used this one's."""
        assert self.request("POST", "/sign-in", {"login": login.login, "password": login.password})[0] == 303
        totp = pyotp.parse_uri(login.uri)
        assert isinstance(totp, pyotp.TOTP)
        status, page = self.request(
            "POST",
            "/sign-in/code",
            {"code": totp.at(datetime.now(UTC) + later * timedelta(seconds=totp.interval))},
        )
        assert status == 303, page


def people_of(data: Path) -> dict[str, Login]:
    return {login.login: login for login in read_accounts(data)[0]}


def keyset(data: Path, name: str) -> Keyset:
    return KeysetFiles(load_settings(data / "portalsec.toml", env={}), env={}).read(name)


def rotate(data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROTATE), "--data", str(data)],
        capture_output=True, text=True, check=False, timeout=300, cwd=ROOT,
    )  # fmt: skip


def all_cells(data: Path) -> Iterator[bytes]:
    """Whatever is bytes, in every table of every database but the log."""
    for name in ("app.db", "security.db", "subjects.db"):
        with closing(sqlite3.connect(data / name)) as connection:
            for (table,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
            ).fetchall():
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    yield from (value for value in row if isinstance(value, bytes))


@contextmanager
def in_use(demo: Serving, data: Path) -> Iterator[list[str]]:
    """The front desk searches by phone and a clinician reads records, over and over; whatever fails is listed.

    At the pace of busy people: without a pause, the processor would have time for little else, the rotation included.
    """
    logins, problems, stop = people_of(data), [], threading.Event()
    rounds = {"desk": 0, "doctor": 0}

    def desk(client: Client) -> None:
        for phone, name in PEOPLE.items():
            status, page = client.request("POST", "/desk/search", {"q": phone})
            if status != 200 or "1 found" not in page or name not in page:
                problems.append(f"search for {phone}: {status}")
            stop.wait(0.1)

    def doctor(client: Client) -> None:
        status, page = client.request("GET", "/patients")
        found = re.findall(r'href="(/patients/[^"]+)"', page)
        if status != 200 or len(found) != 5:
            problems.append(f"list of patients: {status}, {len(found)}")
        for path in found:
            status, page = client.request("GET", path)
            if status != 200 or "Nothing is recorded here." not in page:
                problems.append(f"record: {status}")
            stop.wait(0.1)

    def loop(login: str, work: object) -> None:
        try:
            client = Client(demo.port)
            client.sign_in(logins[login])
            while not stop.is_set() or not rounds[login]:
                work(client)  # type: ignore[operator]
                rounds[login] += 1
        except Exception as error:
            problems.append(f"{login}: {error!r}")

    threads = [threading.Thread(target=loop, args=each) for each in (("desk", desk), ("doctor", doctor))]
    for thread in threads:
        thread.start()
    try:
        yield problems
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert min(rounds.values()) >= 2, f"the portal was hardly used: {rounds}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all: making the demo takes seconds."""
    return tmp_path_factory.mktemp("demo") / "data"


def test_keys_are_rotated_under_a_portal_in_use_without_one_failure(data: Path) -> None:
    with serving(data) as demo:
        old = {name: keyset(data, name).primary_id for name in ("fields", "index")}
        tags = {cell for cell in all_cells(data) if len(cell) == 1}
        beginning = b"\x01" + old["fields"].to_bytes(4, "big")
        assert sum(beginning in cell for cell in all_cells(data)) >= 20

        with in_use(demo, data) as problems:
            done = rotate(data)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert problems == []

        for name, key in old.items():
            now = keyset(data, name)
            assert now.primary_id != key
            assert {info.id: info.status for info in now.info()}[key] == "DISABLED"
        # No cell, no sign-in name, no seed and no patient's key is under the old key, and the tags are others.
        assert not [cell for cell in all_cells(data) if beginning in cell]
        assert tags != {cell for cell in all_cells(data) if len(cell) == 1}
        for step in ("kill -HUP", "--promote", "reencrypt", "disable", "Nothing is left.", "Done."):
            assert step in done.stdout
        process = serving_now(data)
        assert process is not None
        assert process.pid == demo.process.pid
        assert process.keys["fields"] == {
            "reads": [keyset(data, "fields").primary_id],
            "writes": keyset(data, "fields").primary_id,
        }
        assert (process.reloads, process.problem) == (3, "")

        # Whoever was away meanwhile signs in as ever: their name, their seed and their record are under the new keys.
        patient = Client(demo.port)
        patient.sign_in(people_of(data)["patient"])
        assert patient.request("GET", "/record")[0] == 200
        officer = Client(demo.port)
        officer.sign_in(people_of(data)["privacy"])
        log = officer.request("GET", "/audit")[1]
        assert "The log verifies" in log
        while "key.rotated" not in log:
            older = re.search(r'href="(/audit\?before=[0-9]+)"', log)
            assert older, "the log does not hold the rotation"
            log = officer.request("GET", older[1])[1]
        assert demo.end()[0] == 0
    assert serving_now(data) is None


def test_a_round_that_was_stopped_goes_on_and_one_that_cannot_load_says_why(data: Path) -> None:
    with serving(data) as demo:
        doctor = Client(demo.port)
        doctor.sign_in(people_of(data)["doctor"], later=1)
        old = keyset(data, "fields").primary_id
        key = data / "keys" / "index.json"

        # A key file that the serving process refuses, as a backup tool may have left it.
        key.chmod(0o644)
        os.kill(demo.process.pid, signal.SIGHUP)
        said = demo.until("were not reloaded")
        assert "WARNING: the keys were not reloaded, the old ones stay in use" in said
        assert "index.json can be read by others" in said
        key.chmod(0o600)
        assert doctor.request("GET", "/patients")[0] == 200
        officer = Client(demo.port)
        officer.sign_in(people_of(data)["privacy"], later=1)
        assert "system.control_failed" in officer.request("GET", "/audit")[1]
        process = serving_now(data)
        assert process is not None
        assert "can be read by others" in process.problem

        # Stopped after the first step of one keyset: the key that waits is the one that is taken.
        subprocess.run(
            [sys.executable, "-c", "from portalsec.cli import main; main()", "keys", "rotate", "fields", "--config",
             str(data / "portalsec.toml")],
            check=True, capture_output=True, cwd=ROOT,
        )  # fmt: skip
        waiting = keyset(data, "fields").info()[-1].id
        # One process serves a folder: a second one would be told of no new key.
        assert "serves" in sentence(run("--data", data, "--port", free_port()))
        assert doctor.request("GET", "/patients")[0] == 200
        assert demo.end()[0] == 0

    # It goes on with nobody serving, and says so; the next start has the new keys.
    done = rotate(data)
    assert done.returncode == 0, done.stderr
    assert "Nobody serves this folder" in done.stdout
    now = keyset(data, "fields")
    assert [info.id for info in now.info()][-2:] == [old, waiting]
    assert now.primary_id == waiting
    with serving(data) as demo:
        doctor.port = demo.port  # the session outlives the process and its keys
        assert doctor.request("GET", "/patients")[0] == 200
        desk = Client(demo.port)
        desk.sign_in(people_of(data)["desk"], later=1)
        for phone, name in PEOPLE.items():
            assert name in desk.request("POST", "/desk/search", {"q": phone})[1]
        assert demo.end()[0] == 0


def test_a_folder_that_is_no_demo(tmp_path: Path) -> None:
    done = rotate(tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("The keys could not be rotated: ")
    assert "holds no demo" in done.stderr
    assert len(done.stderr.splitlines()) == 1
