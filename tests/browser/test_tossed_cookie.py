"""A sibling sub-domain sets cookies for the whole domain, the browser sends them, and the portal believes none."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from portalsec.web import SESSION_COOKIE
from tests.browser.serving import served
from tests.fastapi.support import Site, make_site

pytestmark = pytest.mark.browser

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

HOST = "app.localhost"
NAME = SESSION_COOKIE.encode()
# None of them begins with "__Host-", so a browser lets a sub-domain set it for its whole domain.
SHADOWS = [b"\xa0" + NAME, b"\x85" + NAME, b"\xe2\x80\x80" + NAME, b"\xc2\xa0" + NAME]


class Evil:
    """A web server on a sub-domain of the portal's. It sets one cookie and writes down what browsers send it."""

    def __init__(self) -> None:
        self.set_cookie = b""
        self.got: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection:
                connection.settimeout(
                    2
                )  # browsers open connections ahead of need, and may send nothing on them
                try:
                    asked = connection.recv(65536)
                except TimeoutError:
                    continue
                if asked == b"stop":
                    return
                self.got += [line for line in asked.split(b"\r\n") if line.lower().startswith(b"cookie:")]
                cookie = b"Set-Cookie: " + self.set_cookie + b"\r\n" if b"evil." in asked else b""
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\n" + cookie + b"Content-Length: 2\r\nConnection: close\r\n\r\nok"
                )

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"stop")
        self._thread.join()
        self._listening.close()


@pytest.fixture
def site() -> Iterator[Site]:
    listening = socket.create_server(("127.0.0.1", 0))
    with make_site(base=f"http://{HOST}:{listening.getsockname()[1]}") as made, served(made.app, listening):
        yield made


@pytest.fixture
def evil() -> Iterator[Evil]:
    server = Evil()
    yield server
    server.close()


@pytest.mark.parametrize("shadow", SHADOWS, ids=ascii)
def test_atk_37_a_cookie_tossed_from_a_sub_domain_opens_no_session(
    site: Site, context: Callable[..., BrowserContext], evil: Evil, shadow: bytes
) -> None:
    attackers = site.client()
    site.account("mallory")
    site.sign_in(attackers, "mallory")
    page = context().new_page()
    evil.set_cookie = (
        shadow + b"=" + attackers.cookies[SESSION_COOKIE].encode() + b"; Domain=app.localhost; Path=/"
    )
    page.goto(f"http://evil.{HOST}:{evil.port}/")
    page.goto(f"http://{HOST}:{evil.port}/")  # the portal's name on the evil port: cookies know no ports
    if not any(shadow + b"=" in line for line in evil.got):
        pytest.skip("this version does not take such a cookie, so there is nothing to refuse")

    answer = page.goto(f"{site.portal.base_url}/whoami")
    assert answer
    assert answer.status == 401
    assert site.events.last.reason == "session_duplicate_cookie"
    assert attackers.get("/whoami").status_code == 200  # the session was live all the time
