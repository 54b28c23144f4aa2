"""The adapter's account pages on a portal in memory, and the mail that it sends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from portalsec.account_pages import Trouble
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.ports import Contact
from portalsec.fastapi import account_router
from portalsec.testing import SentMail
from tests.fastapi.asgi import Browser
from tests.fastapi.support import BASE, PASSWORD, Site, make_site

NEW = "harbour violin 42 candle moss"
PATH = {
    "reset": "/password/link",
    "unlock": "/unlock/link",
    "register": "/register/link",
    "email": "/account/email/link",
    "not_me": "/not-me",
}


class Views:
    """Pages that print their name and values, but no object that shows itself by chance."""

    def account_page(self, request: Request, name: str, *, status: int, **values: object) -> Response:
        values.pop("session", None)
        errors = values.pop("errors", ())
        assert isinstance(errors, tuple)
        assert all(isinstance(each, Trouble) for each in errors)
        text = json.dumps({"page": name, "errors": [each.id for each in errors], **values}, default=repr)
        return HTMLResponse(text, status_code=status)


@dataclass
class AccountSite:
    site: Site
    mail: SentMail

    @property
    def portal(self) -> Any:
        return self.site.portal

    def client(self) -> Browser:
        return self.site.client()

    def person(self, login: str, *, address: str | None = None) -> str:
        """An account with an authenticator and a verified address."""
        account_id = self.site.account(login)
        now = self.site.clock()
        contact = Contact(
            id=str(uuid4()),
            account_id=account_id,
            address=address or f"{login}@mail.example",
            verified_at=now,
            created_at=now,
        )
        assert self.portal.stores.contacts.add(contact)
        return account_id

    def signed_in(self, login: str) -> Browser:
        client = self.client()
        self.site.sign_in(client, login)
        return client

    def deliver(self) -> None:
        self.portal.courier.deliver()

    def link(self, address: str) -> str:
        """The path and query of the link in the newest mail to an address."""
        self.deliver()
        found = re.search(rf"{re.escape(self.portal.base_url)}(/\S+)", self.mail.to(address)[-1].text)
        assert found, self.mail.to(address)[-1].text
        return found[1]

    def token(self, address: str) -> str:
        return self.link(address).partition("token=")[2]


@contextmanager
def account_site(*, base: str = BASE, **policies: Any) -> Iterator[AccountSite]:
    mail = SentMail()
    policies.setdefault("recovery", RecoveryPolicy(open_registration=True))
    with make_site(base=base, notifier=mail, **policies) as site:
        site.app.include_router(account_router(site.ps, Views()))
        yield AccountSite(site=site, mail=mail)


__all__ = ["NEW", "PASSWORD", "PATH", "AccountSite", "Views", "account_site"]
