"""Support acting in an owner's name, in `tests.auth.exploration`. `Impersonation` is the real one.

Kim is of the support desk and may act as robin; robin may act as nobody. The browser keeps kim's own session beside the
one in which kim acts, and every event of an open session is tried in that one too. The ghost remembers whose session is
behind it, what was shown there, and when it began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from portalsec.auth.impersonation import Impersonation, ImpersonationPolicy
from portalsec.auth.sessions import ActiveSession
from portalsec.errors import Denied
from tests.auth.exploration_models import Anything
from tests.auth.exploration_policies import POLICIES, SOURCE, SUPPORT, enough, two_factors
from tests.auth.exploration_sessions import Hole

if TYPE_CHECKING:
    from tests.auth.exploration_world import World

__all__ = ["Desk"]

LASTING = timedelta(minutes=5)


@dataclass(frozen=True)
class Acting:
    """The ghost's: which session is behind it, and since when."""

    behind: str
    since: datetime


class Desk:
    """The events of support."""

    def __init__(self, world: World) -> None:
        anything: Any = Anything()
        self.world = world
        self.acting: dict[str, Acting] = {}  # by the session's token
        self.impersonation = Impersonation(
            sessions=world.sessions,
            accounts=world.accounts,
            notices=anything,
            policy=ImpersonationPolicy(lasting=LASTING),
            allowed=lambda staff, _: staff.account_id == SUPPORT,
            demand_of=lambda name: POLICIES[world.policy].demand(world.facts(name), world.now),
            roles_of=lambda name: world.facts(name).roles,
            emit=anything.emit,
        )

    def events(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        browser = self.world.browsers[number]
        if browser.session is not None:
            for name in self.world.names:
                yield f"{number}: acts as {name}", partial(self.start, number, browser.session, name)
        if browser.acting is None:
            return
        token, says = browser.acting, f"{number}: acting: "
        yield f"{says}asks", lambda: self.asks(token)
        yield f"{says}stops", lambda: self.stop(number, token)
        yield f"{says}signs out", lambda: self.leave(number, token)
        for name in self.world.names:
            yield f"{says}acts as {name}", partial(self.start, number, token, name)
            for what, submit in self.world.open.ways(name):
                yield (
                    f"{says}step-up by {what} of {name}",
                    lambda n=name, w=what, s=submit: self.steps_up(token, n, w, s),
                )
            yield (
                f"{says}resumed by password of {name}",
                lambda n=name: self.resumes(token, n),
            )

    def start(self, number: int, token: str, name: str) -> None:
        world = self.world
        new = self.impersonation.start(
            world.open.live(token), name, reason="ticket-4711", source=SOURCE
        ).token.reveal()
        record, own = world.record(new), world.record(token)
        if token not in world.ghosts or own is None:
            raise Hole("one who acts in another's name went on to a third")
        if record is None or own.account_id != SUPPORT or name == SUPPORT or record.account_id != name:
            raise Hole(f"{own.account_id} acts as {name}")
        ghost = world.ghosts[token]
        shown = ghost.opened | {what for what, _ in ghost.stepped}
        if (
            not two_factors(shown)
            or not enough(world.asked(name), frozenset(shown), False)
            or world.account(name).disabled
        ):
            raise Hole(f"{own.account_id} acts as {name}, having shown {sorted(shown)}")
        if record.proofs or record.impersonator != SUPPORT:
            raise Hole(f"a session in which {SUPPORT} acts says that it is {name}'s own")
        world.browsers[number].acting = new
        self.acting[new] = Acting(token, world.now)

    def live(self, token: str) -> ActiveSession:
        """The session, which must be one that may be there."""
        world, acting = self.world, self.acting[token]
        session = world.sessions.check(token, source=SOURCE)
        if world.now - acting.since >= LASTING:
            raise Hole("support acts for longer than it may")
        if world.lives(acting.behind) is None:
            raise Hole("support acts, and its own session is over")
        return session

    def asks(self, token: str) -> None:
        session = self.live(token)
        try:
            session.require_owner()
            self.world.open.step_up.require(session, within=timedelta(hours=1), explicit=False)
        except Denied:
            return
        raise Hole("support did what only the owner may do")

    def steps_up(self, token: str, name: str, what: str, submit: Callable[[ActiveSession], Any]) -> None:
        submit(self.live(token))
        raise Hole(f"{what} of {name} stepped up a session in which support acts")

    def resumes(self, token: str, name: str) -> None:
        self.world.sign_in.resume(token, self.world.account(name).password_hash, source=SOURCE)
        raise Hole(f"password of {name} resumed a session in which support acted")

    def stop(self, number: int, token: str) -> None:
        self.impersonation.stop(self.live(token), source=SOURCE)
        self.gone(number, token)

    def leave(self, number: int, token: str) -> None:
        self.impersonation.leave(self.live(token), source=SOURCE)
        self.gone(number, token)
        if self.world.record(self.acting[token].behind) is not None:
            raise Hole("support signed out while it acted, and is signed in still")

    def gone(self, number: int, token: str) -> None:
        if self.world.record(token) is not None:
            raise Hole("a session in which support acted is there still")
        self.world.browsers[number].acting = None

    def told(self, token: str | None) -> Any:
        """What tells worlds apart: whether it lives, for how long, and whether what is behind it does."""
        world = self.world
        record = None if token is None else world.record(token)
        if token is None or record is None:
            return None
        behind = world.record(self.acting[token].behind)
        return (
            record.account_id,
            record.level,
            min(world.now - record.created_at, LASTING),
            world.now - record.last_seen_at if behind is not None else None,
            behind is not None and self.acting[token].behind in {each.session for each in world.browsers},
            behind is not None and world.lives(self.acting[token].behind) is not None,
        )
