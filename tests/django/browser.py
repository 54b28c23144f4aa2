"""What a person does at the keyboard, over Django's test client."""

from __future__ import annotations

from dataclasses import dataclass

import pyotp
from django.http import HttpResponse
from django.test import Client

from portalsec.web import PENDING_COOKIE, SESSION_COOKIE
from tests.django.project import World

PASSWORD = "lantern orbit velvet cactus"


@dataclass
class Someone:
    """An account with an enrolled authenticator."""

    world: World
    id: str
    login: str
    seed: str

    def code(self, *, steps: int = 0) -> str:
        return pyotp.TOTP(self.seed).at(self.world.clock(), counter_offset=steps)


def someone(world: World, login: str = "olivia", *roles: str) -> Someone:
    account = world.portal.accounts.create(login=login, password=PASSWORD)
    for role in roles:
        world.portal.stores.assignments.assign(account.id, role)
    enrolment = world.portal.totp.begin(account.id, account_name=login)
    person = Someone(world=world, id=account.id, login=login, seed=enrolment.secret.reveal())
    world.portal.totp.confirm(account.id, enrolment.device_id, person.code(steps=-1))
    return person


def password_step(client: Client, person: Someone, password: str = PASSWORD, **more: str) -> HttpResponse:
    return client.post("/sign-in", {"login": person.login, "password": password, **more})


def signed_in(client: Client, person: Someone) -> str:
    """Sign in with both factors; the session id that the browser got."""
    assert password_step(client, person).status_code == 303
    assert client.post("/sign-in/code", {"code": person.code()}).status_code == 303
    return cookie(client)


def cookie(client: Client, name: str = SESSION_COOKIE) -> str:
    found = client.cookies.get(name)
    return found.value if found else ""


def pending(client: Client) -> str:
    return cookie(client, PENDING_COOKIE)


def who(client: Client) -> str:
    """The user name that a view sees; empty for an anonymous visitor."""
    return client.get("/whoami").json()["user"]
