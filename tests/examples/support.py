"""The example portal as `serve.py` would make it, with a clock that stands still and cheap hashing."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pyotp
from starlette.types import ASGIApp

from examples.portal_fastapi.app import create_app
from examples.portal_fastapi.datafolder import Opening, Site, create, open_site, read_accounts
from examples.portal_fastapi.domain import Patient, People
from examples.portal_fastapi.people import synthetic_people
from examples.portal_fastapi.seed import Login
from portalsec.testing import FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.fastapi.asgi import Answer, Browser, Loop

BASE = "https://portal.example"


@dataclass
class Demo:
    folder: Path
    how: Opening
    site: Site
    app: ASGIApp
    loop: Loop
    clock: FrozenClock
    logins: dict[str, Login]
    activation: str | None
    people: People
    signed_in: dict[str, Browser] = field(default_factory=dict)

    def browser(self) -> Browser:
        return Browser(self.app, self.loop, base=self.how.base_url)

    def as_(self, login: str) -> Browser:
        """A browser in which ``login`` is signed in."""
        browser = self.browser()
        account = self.logins[login]
        first = browser.post("/sign-in", {"login": login, "password": account.password})
        assert first.headers["location"] == "/sign-in/code", first.text
        second = browser.post("/sign-in/code", {"code": self.code(account.uri)})
        assert second.headers["location"] == "/", second.text
        self.clock.advance(timedelta(seconds=30))
        return browser

    def code(self, uri: str) -> str:
        totp = pyotp.parse_uri(uri)
        assert isinstance(totp, pyotp.TOTP)
        return totp.at(self.clock())

    def patient_of(self, login: str) -> Patient:
        account = self.site.portal.stores.accounts.by_login(login)
        assert account is not None
        kind, row = self.site.directory.row_of(account.id)
        if kind == "guardian":
            return self.site.clinic.wards_of(row)[0]
        found = self.site.clinic.patient(row)
        assert found is not None
        return found

    def patients_of_doctor(self) -> list[Patient]:
        account = self.site.portal.stores.accounts.by_login("doctor")
        assert account is not None
        return self.site.clinic.patients_of(self.site.directory.row_of(account.id)[1])


@contextmanager
def make_demo(
    folder: Path,
    people: Callable[[], People] = synthetic_people,
    *,
    base: str = BASE,
    settings: str = "",
    **env: str,
) -> Iterator[Demo]:
    """``settings``: lines of ``portalsec.toml`` beside those of the demo."""
    clock = FrozenClock()
    how = Opening(base_url=base, clock=clock, hashing=CHEAP_ARGON2, env=env)
    everyone = people()
    create(folder, lambda: everyone, how)
    if settings:
        with (folder / "portalsec.toml").open("a", encoding="utf-8") as file:
            file.write(settings)
    clock.advance(timedelta(seconds=30))
    with open_demo(folder, how, clock) as demo:
        yield replace(demo, people=everyone)


@contextmanager
def open_demo(folder: Path, how: Opening, clock: FrozenClock) -> Iterator[Demo]:
    site = open_site(folder, how)
    logins, activation = read_accounts(folder)
    loop = Loop()
    try:
        yield Demo(
            folder=folder,
            how=how,
            site=site,
            app=create_app(site),
            loop=loop,
            clock=clock,
            logins={each.login: each for each in logins},
            activation=activation,
            people=People(patients=()),
        )
    finally:
        loop.close()
        site.portal.audit_writer.close()


def words(answer: Answer) -> str:
    """What a reader sees of a page: no tags, single spaces."""
    body = re.sub(r"(?s)<(script|style|dialog)\b.*?</\1>", " ", answer.text)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
