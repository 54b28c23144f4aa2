"""examples/portal_django as a person runs it: its own process, its own port, its own files."""

from __future__ import annotations

import email
import email.policy
import http.client
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import pyotp
import pytest

from tests.ports import free_port
from tests.support import ROOT, take_ctrl_c

SERVE = ROOT / "examples" / "portal_django" / "serve.py"


class Demo:
    """A running demo and what it printed."""

    def __init__(self, data: Path, port: int, *more: str) -> None:
        self.data, self.port = data, port
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", SERVE, "--data", data, "--port", str(port), *more],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=take_ctrl_c,
        )
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if "Browsers:" in line:
                return
        raise AssertionError(f"the demo did not start: {self.said}")

    def stop(self, how: int = signal.SIGINT) -> int:
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=30)
        self.said += rest
        return self.process.returncode


class Browser:
    """Follows nothing by itself, keeps Secure cookies on localhost as browsers do, and fills in forms."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None
    ) -> tuple[int, str, http.client.HTTPMessage]:
        origin = f"http://localhost:{self.port}"
        headers = {"Host": f"localhost:{self.port}", "Origin": origin, "Sec-Fetch-Site": "same-origin"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        for line in response.headers.get_all("Set-Cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel.value
        return response.status, text, response.headers

    def get(self, path: str) -> tuple[int, str]:
        status, text, _ = self.ask("GET", path)
        return status, text

    def send(self, page: str, path: str, **form: str) -> int:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.get(page)[1])
        assert token is not None
        return self.ask("POST", path, {**form, "csrfmiddlewaretoken": token[1]})[0]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo") / "data", free_port())
    yield running
    if running.process.poll() is None:
        running.stop()


def signed_in(demo: Demo, login: str, *, steps: int = 0) -> Browser:
    for line in (demo.data / "accounts.txt").read_text().splitlines():
        if line.startswith(f"{login}\t"):
            _, password, uri, _ = line.split("\t")
    browser = Browser(demo.port)
    assert browser.send("/sign-in", "/sign-in", login=login, password=password) == 303
    totp = pyotp.parse_uri(uri)
    assert isinstance(totp, pyotp.TOTP)
    import datetime

    code = totp.at(datetime.datetime.now(datetime.UTC), counter_offset=steps)
    assert browser.send("/sign-in/code", "/sign-in/code", code=code) == 303
    return browser


def test_patient_support_acts_for_a_patient_in_everybodys_sight(demo: Demo) -> None:
    support = signed_in(demo, "support")
    fields = {"reason": "ticket-4711", "minutes": "10"}
    assert 'href="/act-as"' in support.get("/")[1]
    assert support.send("/act-as", "/act-as", login="doctor", **fields) == 403
    assert support.send("/act-as", "/act-as", login="patient", **fields) == 303
    status, record = support.get("/record")
    assert (status, "You act for <strong>patient</strong>" in record) == (200, True)
    status, refused = support.get("/account/password")
    assert (status, "You act for <strong>patient</strong>" in refused, 'action="/act-as/end"' in refused) == (
        403,
        True,
        True,
    )
    assert "Support, in another’s name" in support.get("/record/seen")[1]
    assert support.send("/record", "/act-as/end") == 303
    assert support.get("/record")[0] == 403 and 'href="/act-as"' in support.get("/")[1]


def test_a_portal_from_sign_in_to_the_audit_log(demo: Demo) -> None:
    patient, doctor, privacy = (signed_in(demo, login) for login in ("patient", "doctor", "privacy"))

    status, record = patient.get("/record")
    assert (status, "My record" in record) == (200, True)
    name = re.search(r'id="about-title">([^<]+)<', record)
    assert name is not None

    status, people = doctor.get("/patients")
    assert status == 200
    own = re.findall(r'href="(/patients/[0-9a-f-]+)">([^<]+)<', people)
    assert name[1] in [found for _, found in own]
    (path,) = [path for path, found in own if found == name[1]]
    assert doctor.get(path)[0] == 200

    # somebody else's patient, a patient who does not exist, and another role: one refusal
    assert privacy.get(path)[0] == 403
    assert doctor.get("/patients/00000000-0000-7000-8000-000000000000")[0] == 403
    assert doctor.get("/audit")[0] == 403
    assert doctor.get("/record")[0] == 403
    assert Browser(demo.port).get(path)[0] == 401

    status, seen = patient.get("/record/seen")
    assert status == 200
    for expected in ("record.read", "(TREAT)", "doctor", "access.denied", "privacy", "Refused"):
        assert expected in seen

    status, log = privacy.get("/audit")
    assert status == 200
    assert "The log verifies" in log
    assert "Audit log" in privacy.get("/")[1]
    assert "Audit log" not in doctor.get("/")[1]  # {% if perms.audit.read %}

    assert doctor.send("/", "/sign-out") == 200
    assert doctor.get("/patients")[0] == 401


def newest_mail(demo: Demo, address: str) -> str:
    """Its text. The demo's courier looks every two seconds; after a store that was busy, once more in two minutes."""
    for _ in range(900):
        for path in sorted(
            (demo.data / "mail").glob("*"), key=lambda path: path.stat().st_mtime, reverse=True
        ):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            body = message.get_body(("plain",))
            if message["To"] == address and body is not None and "/password/link" in body.get_content():
                assert path.stat().st_mode & 0o777 == 0o600
                return str(body.get_content())
        threading.Event().wait(0.2)
    demo.stop()
    raise AssertionError(f"no mail came; the demo said: {demo.said}")


def test_a_forgotten_password_by_mail(demo: Demo) -> None:
    visitor = Browser(demo.port)
    assert visitor.send("/password/forgot", "/password/forgot", name="parent") == 200
    link = re.search(
        rf"http://localhost:{demo.port}(/password/link\?token=\S+)", newest_mail(demo, "parent@mail.example")
    )
    assert link
    token = re.search(r'name="token" value="([^"]+)"', visitor.get(link[1])[1])
    assert token
    assert visitor.ask("POST", "/password/link", {"token": token[1]})[0] == 303
    assert 'src="/portalsec/meter.js"' in visitor.get("/password/new")[1]
    assert visitor.send("/password/new", "/password/new", password="harbour violin 42 candle moss") == 303
    assert "Your code" in visitor.get("/sign-in/code")[1]
    assert (demo.data / "mail").stat().st_mode & 0o777 == 0o700


def test_mails_of_one_second_are_a_file_each(tmp_path: Path) -> None:
    # Django's own names are of the second and an object's address: a mail appended to another one is read by nobody.
    from django.core.mail import EmailMessage

    folder = runpy.run_path(str(SERVE.parent / "config" / "mail.py"))["PrivateFolder"]

    def send(number: int) -> None:
        mail = EmailMessage(f"mail {number}", "text", "portal@mail.example", ["parent@mail.example"])
        assert folder(file_path=str(tmp_path / "mail")).send_messages([mail]) == 1

    for number in range(200):
        send(number)
    files = list((tmp_path / "mail").iterdir())
    assert len(files) == 200
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_the_pages_about_an_account_look_like_the_clinics(demo: Demo) -> None:
    desk = signed_in(demo, "desk")
    for path in ("secure", "activity", "messages", "password", "email", "devices", "close"):
        status, page = desk.get(f"/account/{path}")
        assert status == 200
        assert "Riverside Clinic" in page
        assert "A demonstration of portalsec" in page
    assert "desk@mail.example" in desk.get("/account/email")[1]


def test_roles_are_said_in_words(demo: Demo) -> None:
    assert "Privacy officer" in demo.said
    assert "privacy_officer" not in demo.said
    privacy = signed_in(demo, "privacy", steps=1)
    page = privacy.get("/audit")[1]
    assert "Privacy officer" in page
    assert "privacy_officer" not in page


def test_the_files_hold_no_name_and_no_number(demo: Demo) -> None:
    from examples.portal_fastapi.people import synthetic_people

    stored = b"".join(path.read_bytes() for path in demo.data.iterdir() if ".db" in path.name)
    assert b"clinic_patient" in stored
    for person in synthetic_people().patients:
        born = "" if person.birth_date is None else person.birth_date.isoformat()
        for value in (
            person.name,
            person.family,
            person.phone,
            person.ssn,
            person.email,
            person.address,
            born,
        ):
            assert not value or value.encode() not in stored
    for line in synthetic_people().entries:
        assert line.title.encode() not in stored
        assert not line.on or line.on.encode() not in stored
    for path in [*(demo.data / "keys").iterdir(), demo.data / "accounts.txt"]:
        assert path.stat().st_mode & 0o777 == 0o600


def test_another_name_of_the_machine_is_sent_to_localhost(demo: Demo) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", demo.port, timeout=30)
    connection.request("GET", "/record")
    response = connection.getresponse()
    assert (response.status, response.headers["Location"]) == (307, f"http://localhost:{demo.port}/record")


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/patients/%ff",
        "/patients/not-a-uuid",
        "/%2e%2e/",
        "/record?x=%ed%a0%80",
        "//record",
        "/" + "a" * 9000,
    ],
)
def test_a_malformed_address_is_never_a_500(demo: Demo, path: str) -> None:
    assert Browser(demo.port).get(path)[0] in (301, 302, 400, 401, 403, 404)


def test_a_second_start_keeps_the_data_and_ctrl_c_ends_it(demo: Demo) -> None:
    before = (demo.data / "accounts.txt").read_text()
    assert demo.stop() == 0
    assert "Traceback" not in demo.said
    again = Demo(demo.data, demo.port)
    assert "Making" not in again.said
    assert (demo.data / "accounts.txt").read_text() == before
    assert again.stop(signal.SIGTERM) == 0
    assert "Traceback" not in again.said


def fails(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, SERVE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} is in use" in fails("--data", str(tmp_path / "new"), "--port", port)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert "holds something" in fails("--data", str(tmp_path), "--port", str(free_port()))
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_lost_file_of_a_made_folder_is_not_begun_anew(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "index.json").touch()
    names = ["portalsec.toml", "app.db", "security.db", "audit.db", "subjects.db", "accounts.txt"]
    for lost in names[1:]:
        for name in names:
            (data / name).touch()
        (data / lost).unlink()
        said = fails("--data", str(data), "--port", str(free_port()))
        assert f"{lost} is missing" in said
        assert not (data / lost).exists()


def test_its_databases_are_their_owners_alone(demo: Demo) -> None:
    files = list(demo.data.glob("*.db*"))
    assert len(files) >= 3
    assert {path.name: path.stat().st_mode & 0o077 for path in files if path.stat().st_mode & 0o077} == {}


def test_bundles_that_are_not_fhir_leave_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    text = fails(
        "--data", str(tmp_path / "new"), "--port", str(free_port()), "--fhir", str(tmp_path / "bundle.json")
    )
    assert "bundle.json" in text
    assert not any((tmp_path / "new").glob("*"))
