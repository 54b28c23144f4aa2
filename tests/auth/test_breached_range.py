"""The range API against a real server on this machine, in every mood that a server has."""

from __future__ import annotations

import hashlib
import re
import socket
import socketserver
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import pytest

from portalsec.auth import breached_range
from portalsec.auth.breached import Bundled
from portalsec.auth.breached_range import HIBP, BreachRange
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.auth.passwords import Passwords
from portalsec.auth.ports import BreachSource
from portalsec.errors import BreachSourceUnavailable, ConfigurationError, StoreError
from portalsec.events import SecurityEvent, Source
from portalsec.stores.memory import MemoryPasswordHistory
from portalsec.testing import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.support import shared

LEAKED = "correct horse battery staple"
OTHER = "another one that nobody has"


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest().upper()


def listing(*lines: str) -> bytes:
    return "\r\n".join(lines).encode()


def usual(prefix: str) -> bytes:
    """As the service answers: hashes of others, padding, no line end at the end."""
    known = [sha1(LEAKED)[5:] + ":42"] if sha1(LEAKED).startswith(prefix) else []
    return listing("0018A45C4D1DEF81644B54AB7F969B88D65:1", *known, "F" * 35 + ":0")


@dataclass
class Served:
    """A server of the range API, and all that reached it."""

    url: str = ""
    body: Callable[[str], bytes] = usual
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None  # stated, where it is not the true one
    paths: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Served

    def do_GET(self) -> None:
        served = self.served
        served.paths.append(self.path)
        served.raw.append(self.raw_requestline + bytes(self.headers))
        body = served.body(self.path.rpartition("/")[2])
        self.send_response(served.status)
        for name, value in served.headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in served.headers and served.length != -1:
            self.send_header("Content-Length", str(len(body) if served.length is None else served.length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Served]:
    served = Served()
    handler = type("Bound", (Handler,), {"served": served})
    with closing_server(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as running:
        served.url = f"http://127.0.0.1:{running.server_address[1]}/range/"
        yield served


@contextmanager
def closing_server(running: socketserver.TCPServer) -> Iterator[socketserver.TCPServer]:
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@contextmanager
def talking(say: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A server that says what it likes, byte by byte; ``over`` is set when the test is."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with closing(connection):
            connection.recv(4096)
            with suppress(OSError):  # who asked has hung up
                say(connection, over)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/range/"
    finally:
        over.set()
        thread.join()
        listener.close()


def refused(source: BreachRange) -> str:
    with pytest.raises(BreachSourceUnavailable) as caught:
        source.contains(LEAKED)
    assert isinstance(caught.value, StoreError)
    assert caught.value.__context__ is None, "an error beneath would carry the frames that hold the password"
    shown = "".join(traceback.format_exception(caught.value))
    assert LEAKED not in shown
    assert sha1(LEAKED)[:5] not in shown
    return str(caught.value)


# -- what is asked, and what is answered --------------------------------------------------------------------------


def test_what_leaked_is_found_and_what_did_not_is_not(server: Served) -> None:
    source: BreachSource = BreachRange(server.url)
    assert not source.local
    assert source.name == "127.0.0.1"
    assert source.contains(LEAKED)
    assert not source.contains(OTHER)


def test_five_digits_leave_this_machine_and_nothing_else_of_the_password(server: Served) -> None:
    BreachRange(server.url, user_agent="clinic portal").contains(LEAKED)
    assert server.paths == [f"/range/{sha1(LEAKED)[:5]}"]
    (raw,) = server.raw
    assert re.search(rb"(?m)^Add-Padding: true$", raw)
    assert re.search(rb"(?m)^User-Agent: clinic portal$", raw)
    digest = sha1(LEAKED).encode()
    for part in (LEAKED.encode(), digest, digest[5:], digest[:6], digest[5:11], digest.lower()[:6]):
        assert part.lower() not in raw.lower()


def test_padding_is_no_leak(server: Served) -> None:
    server.body = lambda prefix: listing(f"{sha1(LEAKED)[5:]}:0", "0" * 35 + ":7")
    assert not BreachRange(server.url).contains(LEAKED)


def test_how_often_it_must_have_leaked(server: Served) -> None:
    assert BreachRange(server.url, min_count=42).contains(LEAKED)
    assert not BreachRange(server.url, min_count=43).contains(LEAKED)


def test_the_published_form(server: Served) -> None:
    text = shared("vectors", "auth", "hibp_range_fixture.txt").read_bytes()
    server.body = lambda prefix: b"\r\n".join(
        line for line in text.splitlines() if line and not line.startswith(b"#")
    )
    # 21BD1 is the range of the documentation's example.
    assert sha1("P@ssw0rd")[:5] == "21BD1"
    assert BreachRange(server.url).contains("P@ssw0rd") is (sha1("P@ssw0rd")[5:].encode() in text)
    assert not BreachRange(server.url).contains(LEAKED)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_either_line_end_either_case(server: Served, ending: str) -> None:
    server.body = lambda prefix: (
        ending.join([sha1(LEAKED)[5:].lower() + ":3", "0" * 35 + ":0"]) + ending
    ).encode()
    assert BreachRange(server.url).contains(LEAKED)


def test_an_answer_in_pieces(server: Served) -> None:
    server.headers = {"Transfer-Encoding": "chunked"}
    whole = usual(sha1(LEAKED)[:5])
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (whole[:50], whole[50:]))
    server.body = lambda prefix: pieces + b"0\r\n\r\n"
    assert BreachRange(server.url).contains(LEAKED)
    server.body = lambda prefix: pieces  # the last piece is missing
    assert "IncompleteRead" in refused(BreachRange(server.url))


def test_no_match_across_two_lines(server: Served) -> None:
    suffix = sha1(LEAKED)[5:]
    server.body = lambda prefix: listing("0" * 20 + suffix[:15] + ":1", suffix[15:] + "0" * 15 + ":1")
    assert not BreachRange(server.url).contains(LEAKED)


def test_both_normal_forms_are_one_password(server: Served) -> None:
    server.body = lambda prefix: listing(sha1("contrase\u00f1a")[5:] + ":1")
    assert BreachRange(server.url).contains("contrasen\u0303a")


# -- servers that do not answer as they should --------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 400, 403, 404, 429, 500, 503])
def test_any_other_status_is_no_answer(server: Served, status: int) -> None:
    server.status = status
    if status == 204:
        server.body, server.length = lambda prefix: b"", -1
    assert refused(BreachRange(server.url)) == f"127.0.0.1 answers with status {status}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_sent_elsewhere(server: Served, status: int) -> None:
    server.status = status
    server.headers = {"Location": server.url + "elsewhere/"}
    assert f"status {status}" in refused(BreachRange(server.url))
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"<html>sign in to the wireless network</html>",
        b"0018A45C4D1DEF81644B54AB7F969B88D65",
        b"0018A45C4D1DEF81644B54AB7F969B88D6:1",
        b"0018A45C4D1DEF81644B54AB7F969B88D65:1:2",
        b"0018A45C4D1DEF81644B54AB7F969B88D65:-1",
        b"0018A45C4D1DEF81644B54AB7F969B88D65:1\r\nG018A45C4D1DEF81644B54AB7F969B88D65:1",
        b"0018A45C4D1DEF81644B54AB7F969B88D65:1\r\n00D4F6E8FA",
        b"\x1f\x8b\x08\x00",
        b"\xff" * 500,
    ],
)
def test_garbage_is_no_answer(server: Served, body: bytes) -> None:
    server.body = lambda prefix: body
    assert "answers with" in refused(BreachRange(server.url))


def test_half_an_answer_is_none(server: Served) -> None:
    server.length = len(usual(sha1(LEAKED)[:5])) + 40
    assert "half an answer" in refused(BreachRange(server.url))


def test_an_answer_of_no_stated_length_could_have_been_cut(server: Served) -> None:
    server.length = -1
    assert "does not say how long" in refused(BreachRange(server.url))


def test_a_huge_answer_is_not_read(server: Served) -> None:
    server.length = 1 << 40
    assert "sends too much" in refused(BreachRange(server.url))


def test_a_huge_answer_in_pieces_is_not_read_to_its_end() -> None:
    sent = 0

    def say(connection: socket.socket, over: threading.Event) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"0" * 35 + b":0\r\n"
        block = (b"%x\r\n" % (len(piece) * 1000)) + piece * 1000 + b"\r\n"
        while not over.is_set() and sent < 100 << 20:
            connection.sendall(block)
            sent += len(block)

    with talking(say) as url:
        assert "sends too much" in refused(BreachRange(url, timeout=timedelta(seconds=20)))
    assert sent < 50 << 20


def test_compression_that_nobody_asked_for_is_refused(server: Served) -> None:
    server.headers = {"Content-Encoding": "gzip"}
    assert "compressed" in refused(BreachRange(server.url))


def test_a_server_that_says_nothing() -> None:
    with talking(lambda connection, over: (over.wait(), None)[1]) as url:
        assert "in time" in refused(BreachRange(url, timeout=timedelta(milliseconds=50)))


@pytest.mark.parametrize("opening", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_server_that_drips_is_not_waited_for_byte_by_byte(opening: bytes) -> None:
    """Each byte comes well within the time limit, all together do not: it is one limit for the whole answer."""
    dripped = 0

    def say(connection: socket.socket, over: threading.Event) -> None:
        nonlocal dripped
        connection.sendall(opening)
        while not over.wait(0.01) and dripped < 3000:
            connection.sendall(b"H")
            dripped += 1

    with talking(say) as url:
        assert "in time" in refused(BreachRange(url, timeout=timedelta(milliseconds=200)))
    assert dripped < 3000


@pytest.mark.parametrize(
    "opening",
    [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", b"", b"\0" * 100_000],
)
def test_what_is_no_http_at_all(opening: bytes) -> None:
    with talking(lambda connection, over: connection.sendall(opening)) as url:
        assert "does not answer (" in refused(BreachRange(url))


def test_a_server_that_is_not_there() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert "ConnectionRefusedError" in refused(BreachRange(f"http://127.0.0.1:{port}/"))


def test_https_is_checked_and_not_only_spoken() -> None:
    """A server without a certificate that anybody vouches for is no answer."""
    with talking(lambda connection, over: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        assert "does not answer (SSLError" in refused(BreachRange(url.replace("http:", "https:")))


# -- a server that is silent ---------------------------------------------------------------------------------------


def test_after_a_failure_nobody_waits_for_half_a_minute(server: Served) -> None:
    clock = FrozenClock()
    source = BreachRange(server.url, clock=clock)
    server.status = 503
    assert "status 503" in refused(source)
    server.status = 200
    for _ in range(3):
        assert "a moment ago" in refused(source)
    assert len(server.paths) == 1
    clock.advance(timedelta(seconds=29))
    assert "a moment ago" in refused(source)
    clock.advance(timedelta(seconds=1))
    assert source.contains(LEAKED)
    assert source.contains(OTHER) is False


def test_few_questions_are_open_at_once_and_those_who_waited_do_not_wait_again() -> None:
    arrived, over = threading.Semaphore(0), threading.Event()
    said: list[str] = []
    with closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as listener:

        def serve() -> None:
            held = []
            with suppress(OSError):
                while True:
                    held.append(listener.accept()[0])
                    arrived.release()
            for each in held:
                each.close()

        server = threading.Thread(target=serve)
        server.start()
        source = BreachRange(
            f"http://127.0.0.1:{listener.getsockname()[1]}/",
            timeout=timedelta(seconds=1),
            clock=FrozenClock(),
        )
        threads = [threading.Thread(target=lambda: said.append(refused(source))) for _ in range(20)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
    asked = [text for text in said if "in time" in text]
    assert len(said) == 20
    assert 1 <= len(asked) <= 4
    # No more: on a busy machine one of the four may give up before the server takes its connection.
    assert sum(arrived.acquire(blocking=False) for _ in range(20)) <= len(asked)


def test_one_time_limit_is_over_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    class Dead(socket.socket):
        def connect(self, address: object) -> None:
            waited.append(self.gettimeout() or 0.0)
            raise TimeoutError

    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))] * 5
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: there)
    monkeypatch.setattr(socket, "socket", Dead)
    assert "in time" in refused(BreachRange("https://range.example/", timeout=timedelta(seconds=10)))
    assert len(waited) == 5
    assert waited[0] <= 10 / 5
    assert all(0 < each <= 10 for each in waited)


def test_a_name_that_is_not_looked_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    over, begun = threading.Event(), threading.Semaphore(0)

    def hang(*args: object, **options: object) -> list[object]:
        begun.release()
        over.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    said = []
    try:
        for _ in range(6):
            source = BreachRange("https://range.example/", timeout=timedelta(milliseconds=20))
            said.append(refused(source))
    finally:
        over.set()
    assert sum("not looked up in time" in text for text in said) == 4, said
    assert sum("earlier look-ups" in text for text in said) == 2
    # A thread may come to its look-up later than whoever asked lost patience.
    assert all(begun.acquire(timeout=60) for _ in range(4))
    assert not begun.acquire(blocking=False), "no thread more than may hang"
    deadline = time.monotonic() + 30
    while breached_range._NAMES._value < 4 and time.monotonic() < deadline:
        over.wait(0.01)


# -- the cache ----------------------------------------------------------------------------------------------------


def test_a_range_is_asked_for_once_and_again_when_it_is_old(server: Served) -> None:
    clock = FrozenClock()
    source = BreachRange(server.url, clock=clock, cache_age=timedelta(hours=1))
    for _ in range(3):
        assert source.contains(LEAKED)
    assert len(server.paths) == 1
    clock.advance(timedelta(minutes=59, seconds=59))
    assert source.contains(LEAKED)
    assert len(server.paths) == 1
    clock.advance(timedelta(seconds=1))
    server.body = lambda prefix: listing("0" * 35 + ":1")
    assert not source.contains(LEAKED)
    assert len(server.paths) == 2


def test_the_cache_keeps_the_newest_and_no_more_than_it_may(server: Served) -> None:
    source = BreachRange(server.url, cached=2, clock=FrozenClock())
    for text in ("one", "two", "one", "three", "one", "two"):
        source.contains(text)
    assert server.paths == [f"/range/{sha1(text)[:5]}" for text in ("one", "two", "three", "two")]
    assert len(source._ranges) == 2


def test_without_a_cache_everything_is_asked(server: Served) -> None:
    source = BreachRange(server.url, cached=0)
    assert source.contains(LEAKED)
    assert source.contains(LEAKED)
    assert len(server.paths) == 2


def test_no_answer_is_not_kept(server: Served) -> None:
    clock = FrozenClock()
    source = BreachRange(server.url, clock=clock)
    server.status = 503
    refused(source)
    server.status = 200
    clock.advance(timedelta(seconds=30))
    assert source.contains(LEAKED)


def test_the_cache_holds_ranges_and_no_passwords(server: Served) -> None:
    source = BreachRange(server.url)
    source.contains(OTHER)
    assert list(source._ranges) == [sha1(OTHER)[:5]]
    assert sha1(OTHER)[5:].encode() not in b"".join(found for _, found in source._ranges.values())
    assert repr(source) == "BreachRange('127.0.0.1')"


def test_threads_ask_at_the_same_time(server: Served) -> None:
    source = BreachRange(server.url, cached=3, timeout=timedelta(seconds=30))
    found: list[bool] = []

    def ask() -> None:
        for text in (LEAKED, OTHER, "one", "two", "three"):
            found.append(source.contains(text))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == [False] * 32 + [True] * 8
    assert len(source._ranges) <= 3


# -- what it cannot be built with ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.pwnedpasswords.com/range/",
        "ftp://api.pwnedpasswords.com/range/",
        "file:///etc/passwd",
        "http://api.pwnedpasswords.com/range/",
        "http://localhost.evil.example/",
        "https://user:hunter2@range.example/",
        "https://range.example/?x=hunter2",
        "https://range.example/#hunter2",
        "https://range.example:99999/",
        "https://range.example/a b",
        "https://range.example/\r\nX: hunter2",
        "https://[::1/",
        "https:///range/",
    ],
)
def test_urls_that_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write one such as https://api") as caught:
        BreachRange(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_urls_that_are_taken() -> None:
    assert BreachRange().name == "api.pwnedpasswords.com"
    assert HIBP.startswith("https://")
    for url in (
        "http://localhost:1/x",
        "http://127.0.0.1",
        "http://[::1]:8000/",
        "https://range.example:8443/v3/range",
    ):
        assert BreachRange(url)._path.endswith("/")


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": timedelta(0)},
        {"timeout": timedelta(minutes=2)},
        {"cached": -1},
        {"cached": 1_000_000},
        {"cache_age": timedelta(0)},
        {"min_count": 0},
        {"user_agent": ""},
        {"user_agent": "a\r\nX: y"},
    ],
)
def test_numbers_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        BreachRange(**wrong)  # type: ignore[arg-type]


def test_time_spent_is_of_this_machine_and_not_of_the_portals_clock(server: Served) -> None:
    """A frozen clock, as in tests of an application, stops no time limit."""
    began = time.monotonic()
    with talking(lambda connection, over: (over.wait(), None)[1]) as url:
        refused(BreachRange(url, timeout=timedelta(milliseconds=20), clock=FrozenClock()))
    assert time.monotonic() >= began + 0.02


# -- what becomes of a new password when nobody answers -----------------------------------------------------------


@pytest.mark.parametrize("unreachable", ["accept", "refuse"])
def test_pwd_08_a_server_that_is_down_is_recorded_and_the_policy_decides(
    server: Served, unreachable: Literal["accept", "refuse"]
) -> None:
    leaked = "drizzle mural absent fennel"
    server.body = lambda prefix: listing(sha1(leaked)[5:] + ":9", "0" * 35 + ":0")
    events: list[SecurityEvent] = []
    gate = NewPasswords(
        policy=PasswordPolicy.NIST_800_63B_4,
        sources=(BreachRange(server.url, cached=0), Bundled()),
        unreachable=unreachable,
        passwords=Passwords(parameters=CHEAP_ARGON2),
        history=MemoryPasswordHistory(),
        emit=events.append,
    )

    def prepare(password: str) -> str:
        return gate.prepare(
            "account-1",
            password,
            with_second_factor=True,
            current=None,
            source=Source(address="192.0.2.1"),
        )

    def problems(password: str) -> list[str]:
        with pytest.raises(PasswordRefused) as caught:
            prepare(password)
        return [each.id for each in caught.value.problems]

    assert problems(leaked) == ["breached"]
    assert prepare(OTHER)
    assert len(server.paths) == 2
    assert not events
    assert problems("masterofpuppets1") == ["breached"], "the list on this machine is asked first"
    assert len(server.paths) == 2
    assert gate.report(leaked, with_second_factor=True).problems == (), "the meter asks no server"
    assert len(server.paths) == 2

    server.status = 503
    if unreachable == "accept":
        assert prepare(OTHER)
    else:
        assert problems(OTHER) == ["unchecked_refused"]
    (event,) = events
    assert event.name == "system.control_failed"
    assert event.details["control"] == "passwords.127.0.0.1"
    assert OTHER not in repr(event)
