"""Links by mail as a way in, in `tests.auth.exploration`. `SignInLinks` and `Links` are the real ones.

Whoever asks gets the pending token in one browser; the mail is there at once, and whoever reads it, whichever browser
that is, tries it with each token that it holds. The ghost remembers which token asked, and when, and what happened to
the account since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from portalsec.auth.links import Links, RecoveryPolicy
from portalsec.auth.sign_in_link import SignInLinks
from portalsec.auth.signin import Step
from tests.auth.exploration_key import digest
from tests.auth.exploration_models import MAC
from tests.auth.exploration_policies import ACCOUNTS, SOURCE, START
from tests.auth.exploration_sessions import Hole

if TYPE_CHECKING:
    from tests.auth.exploration_world import World

__all__ = ["Mail", "MailedLinks"]

LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True)
class Mail:
    """The ghost's: whose mailbox, which pending token asked, when, and whether it should be dead by now."""

    number: int
    whose: str
    asked_by: str
    at: datetime
    dead: bool = False


class MailedLinks:
    """The events of the mailbox; everybody's, since a mail may be forwarded."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.mails: dict[str, Mail] = {}  # by the link's token
        self.requested: dict[str, Any] = {}
        contacts: Any = SimpleNamespace(of_account=lambda name: [_contact(name)])
        requests: Any = SimpleNamespace(
            ask_for_account=self._ask_for_account,
            recipients=lambda details: [(world.account(details["typed"]), _contact(details["typed"]))],
            may_mail=lambda *_: True,
        )
        anything: Any = SimpleNamespace(details=lambda request: request.details, emit=lambda event: None)
        self.links = Links(
            links=world.mailed,
            flows=world.flows,
            accounts=world.accounts,
            contacts=contacts,
            sealer=anything,
            mac=MAC,
            clock=lambda: world.now,
            policy=RecoveryPolicy(),
        )
        self.ways = SignInLinks(
            requests=requests,
            links=self.links,
            contacts=contacts,
            notices=anything,
            sign_in=world.sign_in,
            sessions=world.sessions,
            emit=anything.emit,
            clock=lambda: world.now,
        )

    def _ask_for_account(self, *args: Any, also: dict[str, str], **kwargs: Any) -> None:
        self.requested["last"] = SimpleNamespace(
            at=self.world.now, details={**also, "typed": args[3]}, code=""
        )

    # -- events -------------------------------------------------------------------------------------------------------

    def events(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        for name in ACCOUNTS:
            yield f"{number}: asks for a link, as {name}", lambda n=name: self.ask(number, n)

    def events_with(self, says: str, number: int, token: str) -> Iterator[tuple[str, Callable[[], None]]]:
        for link, mail in self.newest():
            yield (
                f"{says}link {mail.number}, mailed to {mail.whose}",
                lambda each=link, m=mail: self.world.show(
                    number, token, m.whose, "email_code", lambda: self.follow(number, token, each)
                ),
            )

    def ask(self, number: int, name: str) -> None:
        world, browser = self.world, self.world.browsers[number]
        old = browser.pending
        token = self.ways.ask(
            name, source=SOURCE, device=browser.cookie, replaces=old, trust=world.trusting
        ).reveal()
        browser.pending, browser.stale = token, old
        world.shown[token] = frozenset({(name, "asks for trust")}) if world.trusting else frozenset()
        for letter in self.ways.letters(self.requested["last"]):
            assert letter.token is not None
            self.mails[letter.token.reveal()] = Mail(world.model.made(), name, token, world.now)

    def follow(self, number: int, token: str, link: str) -> Step:
        mail = self.mails[link]
        step = self.ways.follow(token, link, source=SOURCE, device=self.world.browsers[number].cookie)
        if token != mail.asked_by:
            raise Hole(f"a link of {mail.whose} was followed where nobody asked for it")
        if mail.dead or self.world.now - mail.at >= LIFETIME:
            raise Hole(f"a link of {mail.whose} was followed that is dead")
        self.mails[link] = Mail(mail.number, mail.whose, mail.asked_by, mail.at, dead=True)
        return step

    # -- the ghost ------------------------------------------------------------------------------------------------------

    def die(self, name: str) -> None:
        """What was mailed to this account must lead nowhere from here on."""
        for link, mail in list(self.mails.items()):
            if mail.whose == name and not mail.dead:
                self.mails[link] = Mail(mail.number, mail.whose, mail.asked_by, mail.at, dead=True)

    def newest(self) -> list[tuple[str, Mail]]:
        """The two newest mails: what a browser may try."""
        return sorted(self.mails.items(), key=lambda each: each[1].number)[-2:]

    def told(self, own: int) -> tuple[Any, ...]:
        """What tells worlds apart, as one browser sees it: which place of which browser asked, and what is left of it."""
        world = self.world
        places = {
            token: (number, which)
            for number, browser in enumerate(world.browsers)
            for which, token in (("pending", browser.pending), ("stale", browser.stale))
            if token is not None and world.flow(token) is not None
        }
        told: list[Any] = []
        for link, mail in self.newest():
            if mail.asked_by not in places:
                told.append("gone")  # what asked for it is used up, so that it leads nowhere ever again
                continue
            number, which = places[mail.asked_by]
            told.append(
                (
                    mail.whose,
                    which if number == own else "other",
                    min(world.now - mail.at, LIFETIME),
                    mail.dead,
                    digest(link) in world.mailed._flows,
                )
            )
        return tuple(told)


def _contact(name: str) -> Any:
    return SimpleNamespace(id="mailbox", account_id=name, address=f"{name}@example.org", verified_at=START)
