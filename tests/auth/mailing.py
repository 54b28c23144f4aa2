"""A whole portal in memory whose mail is a list, and a person with an address."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from portalsec.auth.demands import Facts
from portalsec.auth.disavowal import Disavowed, disavow_token
from portalsec.auth.ports import Account, Contact, Message, Notice
from portalsec.events import SecurityEvent, Source
from portalsec.portal import Portal, Stores
from portalsec.testing import CapturedEvents, FrozenClock, SentMail
from portalsec.testing.portal import memory_portal, memory_stores
from portalsec.typing import Emit

ACCESS: dict[str, Any] = {
    "schema": 1,
    "resource": {"record": {"actions": ["read"]}},
    "role": {"clinician": {}},
}
PASSWORD = "lantern orbit velvet cactus"
SOURCE = Source(address="192.0.2.10", user_agent="Mozilla/5.0 (Windows NT 10.0) Gecko Firefox/130.0")
THIEF = Source(address="203.0.113.77", user_agent="Mozilla/5.0 (X11; Linux x86_64) Chrome/120 Safari/537")
LINK = re.compile(r"https?://[^\s\"<>]+")


class Mailing:
    """Close it when the test ends: the audit log's writer is a thread."""

    def __init__(
        self,
        *,
        stores: Stores | None = None,
        accounts_of: Callable[[str], Sequence[str]] | None = None,
        mail: bool = True,
        facts_of: Callable[[str], Facts] | None = None,
        **policies: Any,
    ) -> None:
        self.clock = FrozenClock()
        self.events = CapturedEvents()
        self.mail = SentMail()
        self.emit_failing: Exception | None = None
        self._numbers = itertools.count(1)

        def wrap(emit: Emit) -> Emit:
            def both(event: SecurityEvent) -> None:
                if self.emit_failing is not None:
                    raise self.emit_failing
                emit(event)
                self.events(event)

            return both

        self.portal: Portal = memory_portal(
            ACCESS,
            stores=stores or memory_stores(),
            clock=self.clock,
            wrap_emit=wrap,
            notifier=self.mail if mail else None,
            accounts_of=accounts_of,
            facts_of=facts_of,
            **{"sign_in": _optional(), **policies},
        )

    def __enter__(self) -> Mailing:
        return self

    def __exit__(self, *_: object) -> None:
        with ExitStack() as stack:
            stack.callback(self.portal.stores.close)
            stack.callback(self.portal.audit_writer.close)

    def person(self, login: str = "robin", *addresses: str) -> Account:
        """An account whose addresses are verified, an hour old."""
        account = self.portal.accounts.create(login=login, password=PASSWORD)
        for address in addresses or (f"{login}@mail.example",):
            self.contact(account, address)
        self.clock.advance(timedelta(hours=1))
        return account

    def contact(self, account: Account, address: str, *, verified: bool = True) -> Contact:
        now = self.clock()
        contact = Contact(
            id=f"contact-{next(self._numbers)}",
            account_id=account.id,
            address=address,
            verified_at=now if verified else None,
            created_at=now,
        )
        assert self.portal.stores.contacts.add(contact)
        return contact

    def deliver(self) -> list[Message]:
        """One round; what it sent."""
        before = len(self.mail)
        self.portal.courier.deliver()
        return self.mail[before:]

    def disavow(self, notice: Notice) -> Disavowed:
        """Its owner says on the page of its link that it was not them."""
        token = disavow_token(self.portal.disavowal._mac, notice.id).reveal()
        return self.portal.disavowal.confirm(token, source=SOURCE)

    def session(self, login: str = "robin", *, source: Source = SOURCE, password: str = PASSWORD) -> str:
        step = self.portal.sign_in.start(login, password, source=source)
        assert step.session is not None
        return step.session.token.reveal()


def _optional() -> Any:
    from portalsec.auth.signin import SignInPolicy

    return SignInPolicy(second_factor="optional")


def token_of(message: Message) -> str:
    """The token of a mail's link; of two, "this wasn't me" stands last, behind the one that undoes."""
    found = re.findall(r"token=([A-Za-z0-9_-]{43})", message.text)
    assert found, "the mail has no link"
    return str(found[-1])


def links_of(message: Message) -> set[str]:
    return {link.rstrip(".,") for part in (message.text, message.html) for link in LINK.findall(part)}


def aged(account: Account, *, signed_in_at: datetime | None, created_at: datetime | None = None) -> Account:
    """The account as it would be had it last been used then."""
    return replace(
        account, signed_in_at=signed_in_at, created_at=created_at or signed_in_at, password_changed_at=None
    )
