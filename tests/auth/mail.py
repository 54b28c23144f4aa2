"""A postman for tests of account flows: works on requests as the courier does, and hands over the letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notices import Letter, NoticeKind
from portalsec.auth.ports import Account, Contact
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.errors import Denied, Reason
from tests.auth.world import PASSWORD, SOURCE, World

ADDRESS = "robin@mail.example"


def refused(work: Callable[[], object]) -> Reason:
    with pytest.raises(Denied) as refusal:
        work()
    return refusal.value.reason


def letters(world: World) -> list[Letter]:
    """The letters of every request that is due; the requests are gone afterwards."""
    writers: dict[str, Callable[[Any], Sequence[Letter]]] = {
        NoticeKind.REQUEST_RESET: world.reset.letters,
        NoticeKind.REQUEST_VERIFY: world.contacts.letters,
        NoticeKind.REQUEST_UNLOCK: world.unlock.letters,
        NoticeKind.REQUEST_REGISTER: world.registration.letters,
        NoticeKind.REQUEST_SIGN_IN: world.sign_in_links.letters,
    }
    found: list[Letter] = []
    for notice in world.notice_store.claim(now=world.clock(), lease=timedelta(minutes=5), limit=100):
        if notice.kind in writers:
            found.extend(writers[notice.kind](notice))
            world.notice_store.remove(notice.id)
    return found


def token_of(world: World) -> str:
    """The token of the one letter that is due."""
    (letter,) = letters(world)
    assert letter.token is not None
    return letter.token.reveal()


def told(world: World, account: Account) -> list[str]:
    """Kinds of notice that the owner of an account has, oldest first."""
    return [notice.kind for notice in reversed(world.notices.of_account(account.id))]


def with_address(world: World, account: Account, address: str = ADDRESS, *, verified: bool = True) -> Contact:
    contact = Contact(
        id=f"contact-{account.id}-{address}",
        account_id=account.id,
        address=address,
        verified_at=world.clock() if verified else None,
        created_at=world.clock(),
    )
    assert world.backing.contacts.add(contact)
    return contact


def active(world: World, opened: NewSession) -> ActiveSession:
    return world.sessions.check(opened.token.reveal(), source=SOURCE)


def signed_in(world: World, account: Account, *, password: str = PASSWORD) -> ActiveSession:
    """A new session, each time a while later so that its code is new."""
    world.clock.advance(timedelta(seconds=60))
    return active(world, world.session(account, password=password))


def alive(world: World, session: ActiveSession) -> bool:
    """Whether the id of a session still opens it."""
    loaded = world.session_store.load(session.digest)
    return loaded is not None and loaded.record.epoch == loaded.current_epoch


def reset_token(world: World, name: str = "robin") -> str:
    world.reset.request(name, source=SOURCE)
    return token_of(world)


def browser_token(world: World, name: str = "robin") -> str:
    return world.reset.exchange(reset_token(world, name), source=SOURCE).reveal()
