"""``serve.py`` as a person starts it: what it says, what it refuses in one sentence, and how it ends."""

from __future__ import annotations

import http.client
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.support import ROOT, shared, take_ctrl_c

SERVE = ROOT / "examples" / "portal_fastapi" / "serve.py"


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """A start that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, SERVE, *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120, cwd=ROOT, **options,  # type: ignore[call-overload]
    )  # fmt: skip


class Serving:
    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def until(self, text: str) -> str:
        """Everything said up to a line with ``text``."""
        while True:
            line = self._lines.get(timeout=120)
            assert line is not None, f"it ended without saying {text!r}: {''.join(self.said)}"
            self.said.append(line)
            if text in line:
                return "".join(self.said)

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        while (line := self._lines.get(timeout=60)) is not None:
            self.said.append(line)
        return code, "".join(self.said)

    def get(self, path: str, host: str | None = None) -> http.client.HTTPResponse:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Host": host or f"localhost:{self.port}"})
            response = connection.getresponse()
            response.read()
            return response

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as wire:
            wire.sendall(request)
            wire.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := wire.recv(65536):
                answer += chunk
            return answer


@contextmanager
def serving(data: Path, *arguments: object) -> Iterator[Serving]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-u", str(SERVE), "--data", str(data), "--port", str(port), *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, preexec_fn=take_ctrl_c,
    )  # fmt: skip
    served = Serving(process, port)
    try:
        served.until("Browsers:")
        yield served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a start that was refused."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]


# -- a portal that runs -----------------------------------------------------------------------------------------


def test_it_serves_says_what_one_needs_and_ends_cleanly(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as demo:
        said = demo.until("Safari")
        assert f"http://localhost:{demo.port}" in said
        passwords = re.findall(
            r"^  (patient|parent|doctor|desk|privacy) +([a-z0-9-]{19}) ", said, re.MULTILINE
        )
        assert len(passwords) == 5
        assert "--codes" in said
        assert re.search(r"/activate with the code [0-9A-Z-]{24}", said)
        assert str(tmp_path / "data") in said
        assert demo.get("/").status == 200
        # An address can never be a passkey's RP id, so the portal lives at localhost alone.
        moved = demo.get("/sign-in?next=/record", host=f"127.0.0.1:{demo.port}")
        assert moved.status == 307
        assert moved.getheader("Location") == f"http://localhost:{demo.port}/sign-in?next=/record"
        assert demo.get("/").getheader("Server") is None
        with socket.socket() as other:
            other.settimeout(2)
            address = socket.gethostbyname(socket.gethostname())
            if not address.startswith("127."):
                assert other.connect_ex((address, demo.port)) != 0  # bound to this machine alone
        code, said = demo.end()
        assert code == 0
        assert "Traceback" not in said
        assert "The portal has stopped" in said

    codes = run("--data", tmp_path / "data", "--codes")
    assert codes.returncode == 0
    assert (
        len(re.findall(r"^  (patient|parent|doctor|desk|privacy) +\d{6}$", codes.stdout, re.MULTILINE)) == 5
    )

    # A second start keeps everything, and a bundle folder that is named now is not read.
    accounts = (tmp_path / "data" / "accounts.txt").read_bytes()
    with serving(tmp_path / "data", "--fhir", tmp_path) as again:
        assert "is filled already" in again.until("Safari")
        assert again.end(signal.SIGTERM)[0] == 0
    assert (tmp_path / "data" / "accounts.txt").read_bytes() == accounts

    # --reset begins anew.
    with serving(tmp_path / "data", "--reset") as anew:
        assert anew.end()[0] == 0
    assert (tmp_path / "data" / "accounts.txt").read_bytes() != accounts


def test_bytes_that_are_no_http_get_no_500(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as demo:
        host = f"Host: localhost:{demo.port}\r\n".encode()
        for request in (
            b"\x00\x01\x02\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /%ff%00 HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n",
            b"GET /sign-in HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            b"GET /sign-in HTTP/1.0\r\n\r\n",
            b"POST /sign-in HTTP/1.1\r\n" + host + b"Content-Length: -5\r\nConnection: close\r\n\r\n",
            b"POST /sign-in HTTP/1.1\r\n"
            + host
            + b"Sec-Fetch-Site: same-origin\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
            b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n",
            b"GET / HTTP/1.1\r\n" + host + b"Cookie: __Host-portalsec=\xff\xfe\r\nConnection: close\r\n\r\n",
        ):
            status = demo.raw(request).partition(b"\r\n")[0]
            assert b" 500 " not in status, (request[:60], status)
        assert demo.get("/").status == 200
        code, said = demo.end()
        assert code == 0
        assert "Traceback" not in said


def test_a_portal_of_bundles(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--fhir", shared("data", "fhir")) as demo:
        assert demo.get("/").status == 200
        assert demo.end()[0] == 0


# -- what it refuses --------------------------------------------------------------------------------------------


def test_a_port_that_is_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = sentence(run("--data", tmp_path / "data", "--port", port))
    assert f"port {port} is in use" in said
    assert "PORT=" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "٣"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    done = run("--data", tmp_path / "data", f"--port={port}")
    assert done.returncode == 2
    assert "is not a port" in done.stderr


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file/data cannot be written" in sentence(
        run("--data", tmp_path / "file" / "data", "--port", free_port())
    )
    assert "not a demo's data" in sentence(run("--data", tmp_path / "file", "--port", free_port()))
    if os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "closed").mkdir(mode=0o500)
        closed = run("--data", tmp_path / "closed" / "data", "--port", free_port())
        assert "cannot be written" in sentence(closed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bundle.json", "{}"),
        ("bundle.json", "no json"),
        ("bundle.json.gz", "no gzip"),
        ("notes.txt", "hello"),
    ],
)
def test_bundles_that_are_none(tmp_path: Path, name: str, content: str) -> None:
    folder = tmp_path / "bundles"
    folder.mkdir()
    (folder / name).write_text(content)
    said = sentence(run("--data", tmp_path / "data", "--port", free_port(), "--fhir", folder))
    assert (name if name != "notes.txt" else "bundles") in said
    assert not (tmp_path / "data").exists()


def test_codes_and_reset_of_what_is_no_demo(tmp_path: Path) -> None:
    assert "holds no demo" in sentence(run("--data", tmp_path, "--codes"))
    (tmp_path / "thesis.txt").write_text("precious")
    assert "is not the data folder of a demo" in sentence(
        run("--data", tmp_path, "--reset", "--port", free_port())
    )
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_made_portal_with_something_broken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serving(data) as demo:
        assert demo.end()[0] == 0
    key = data / "keys" / "mac.json"
    key.chmod(0o640)
    assert "mac.json can be read by others" in sentence(run("--data", data, "--port", free_port()))
    key.chmod(0o600)
    content = key.read_bytes()
    key.unlink()
    assert "mac.json is missing" in sentence(run("--data", data, "--port", free_port()))
    key.write_bytes(content)
    key.chmod(0o600)
    nowhere = run("--data", data, "--port", free_port(), "--fhir", tmp_path / "nowhere")
    assert "nowhere does not exist" in sentence(nowhere)
    (data / "security.db").rename(tmp_path / "security.db")
    assert "security.db is missing" in sentence(run("--data", data, "--port", free_port()))
    assert not (data / "security.db").exists()
    (tmp_path / "security.db").rename(data / "security.db")
    (data / "app.db").write_bytes(b"\xff" * 50_000)
    assert "app.db" in sentence(run("--data", data, "--port", free_port()))
