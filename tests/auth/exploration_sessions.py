"""What `tests.auth.exploration` does with a session that is open: steps up, asks for a step-up, lets it rest, resumes it.

`StepUp` and `CurrentPassword` are the real ones. A ghost remembers what opened a session and what was shown in it since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from portalsec.auth._current import CurrentPassword
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, NewSession, SessionPolicy
from portalsec.auth.step_up import StepUp
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from tests.auth.exploration_policies import ELSEWHERE, enough

if TYPE_CHECKING:
    from tests.auth.exploration_world import World

__all__ = ["LIMITS", "WITHIN", "Ghost", "Hole", "OpenSessions", "SentCodes"]

SOURCE = Source()
WITHIN = timedelta(minutes=10)
LIMITS = SessionPolicy(idle=timedelta(minutes=10), absolute=timedelta(hours=20))


class Hole(AssertionError):
    """A path to something that must not be."""


@dataclass(frozen=True)
class Ghost:
    """What really happened with one session: what opened it, and what was shown in it since, and when."""

    opened: frozenset[str]
    stepped: frozenset[tuple[str, datetime]] = frozenset()


class SentCodes:
    """Codes to mailboxes; each account has one. They work at the place that asked for them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def offered(self, account_id: str) -> frozenset[Factor]:
        return frozenset({Factor.EMAIL_CODE})

    def send(
        self, place: bytes, account: Account, factor: Factor, *, source: Source, language: str | None = None
    ) -> None:
        self.world.model.sent[place] = (account.id, self.world.model.made())

    def verify(self, place: bytes, account_id: str, code: object) -> Evidence:
        sent = self.world.model.sent.get(place)
        if sent is None or sent[0] != account_id:
            raise Denied(Reason.FLOW_UNKNOWN)
        if code != self.code(*sent):
            raise Denied(Reason.WRONG_CODE)
        del self.world.model.sent[place]
        return mint(Proof(factor=Factor.EMAIL_CODE, at=self.world.now, authenticator="mailbox"), account_id)

    @staticmethod
    @cache
    def code(whose: str, number: int) -> str:
        return (
            f"{int.from_bytes(hashlib.sha256(f'{whose} {number}'.encode()).digest()[:4], 'big') % 10**6:06d}"
        )


class OpenSessions:
    """The events of a session."""

    def __init__(self, world: World, parts: dict[str, Any]) -> None:
        anything = parts["throttle"]
        self.world = world
        self.step_up = StepUp(
            accounts=world.accounts,
            current=CurrentPassword(
                accounts=world.accounts,
                passwords=parts["passwords"],
                throttle=anything,
                emit=anything.emit,
            ),
            totp=parts["totp"],
            sessions=world.sessions,
            throttle=anything,
            passkeys=parts["passkeys"],
            passkey_store=parts["passkey_store"],
            recovery_codes=parts["recovery_codes"],
            asked_here=world.sign_in.asked_here if world.policy in ELSEWHERE else None,
            emit=anything.emit,
            clock=lambda: world.now,
        )

    def events(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        world, browser = self.world, self.world.browsers[number]
        if browser.before is not None:
            yield f"{number}: asks with the id before", lambda: self.dead(browser.before)
        if browser.session is None:
            return
        token, door, says = browser.session, world.sign_in, f"{number}: in the session: "
        yield f"{says}asks for what needs a step-up", lambda: self.ask(token)
        yield f"{says}begin passkey", lambda: self.step_up.begin_passkey(self.live(token), source=SOURCE)
        yield (
            f"{says}begin passkey to resume",
            lambda: door.begin_resume_passkey(token, source=SOURCE),
        )
        for name in filter(world.here, world.names):
            for what, submit in self.ways(name):
                yield (
                    f"{says}step-up by {what} of {name}",
                    lambda n=name, w=what, s=submit: self.stepped(number, token, n, w, s),
                )
            yield (
                f"{says}resume by password of {name}",
                lambda n=name: self.resumed(
                    number,
                    token,
                    n,
                    "password",
                    lambda: door.resume(token, world.account(n).password_hash, source=SOURCE),
                ),
            )
            for verified in (False, True):
                yield (
                    f"{says}resume by passkey of {name}, verified: {verified}",
                    lambda n=name, v=verified: self.resumed(
                        number,
                        token,
                        n,
                        "verified" if v else "passkey",
                        lambda: door.resume_passkey(token, (n, v), source=SOURCE),
                    ),
                )

    def ways(self, name: str) -> Iterator[tuple[str, Callable[[ActiveSession], NewSession]]]:
        up, world = self.step_up, self.world
        yield (
            "password",
            lambda s: up.submit_password(s, world.account(name).password_hash, source=SOURCE),
        )
        yield "totp", lambda s: up.submit_totp(s, world.next_code(name), source=SOURCE)
        yield "recovery_code", lambda s: up.submit_recovery_code(s, name, source=SOURCE)
        yield "passkey", lambda s: up.submit_passkey(s, (name, False), source=SOURCE)
        yield "verified", lambda s: up.submit_passkey(s, (name, True), source=SOURCE)

    # -- what must hold -----------------------------------------------------------------------------------------------

    def live(self, token: str) -> ActiveSession:
        return self.world.sessions.check(token, source=SOURCE, stepping_up=True)

    def dead(self, token: str | None) -> None:
        """A session that goes on under another id has none besides."""
        self.world.sessions.check(token, source=SOURCE)
        raise Hole("a session is open under an id that it had before")

    def ask(self, token: str) -> None:
        session, asked = self.live(token), False
        try:
            self.step_up.require(session, within=WITHIN)
        except Denied:
            asked = True
        whose, shown = session.account_id, self.fresh(token)
        has = set() if self.world.account(whose).disabled else self.world.seconds(whose)
        # Something that the account has is enough; one that it had, minutes ago, may be.
        if asked and shown & (has or {"password"}):
            raise Hole(f"a step-up is asked of {whose}, who showed {sorted(shown)}")
        if not asked and not shown & ({"totp", "passkey", "recovery_code"} if has else {"password"}):
            raise Hole(f"no step-up is asked of {whose}, who showed {sorted(shown)}")

    def fresh(self, token: str) -> set[str]:
        shown = {what for what, at in self.world.ghosts[token].stepped if self.world.now - at < WITHIN}
        return shown | ({"passkey"} & {"passkey" if what == "verified" else "" for what in shown})

    def stepped(
        self,
        number: int,
        token: str,
        name: str,
        what: str,
        submit: Callable[[ActiveSession], NewSession],
    ) -> None:
        world, session = self.world, self.live(token)
        whose, ghost = session.account_id, world.ghosts[token]
        new = submit(session)
        if name != whose or new.account_id != whose or world.account(whose).disabled:
            raise Hole(f"{what} of {name} stepped up a session of {new.account_id}, which was {whose}'s")
        stepped = ghost.stepped | {(what, world.now)}
        shown = ghost.opened | {each for each, _ in stepped}
        if world.model.abroad.get(whose) and not enough(ELSEWHERE[world.policy], shown, True):
            raise Hole(f"a session of {whose} was stepped up abroad with {sorted(shown)}")
        self.goes_on(number, token, new, Ghost(ghost.opened, stepped))
        self.ask(new.token.reveal())

    def resumed(self, number: int, token: str, name: str, what: str, work: Callable[[], NewSession]) -> None:
        world, ghost = self.world, self.world.ghosts[token]
        record = world.lives(token)
        new = work()
        whose = new.account_id
        account = world.account(whose)
        if record is None or name != whose or record.account_id != whose:
            raise Hole(f"{what} of {name} resumed a session of {whose}")
        if world.now - record.last_seen_at < LIMITS.idle:
            raise Hole("a session was resumed that is alive")
        if what not in {"password", "verified"} or account.disabled or account.must_change:
            raise Hole(f"{what} resumed a session of {whose}: {account.must_change}")
        # What was shown at a step-up is of the session as much as what opened it; what resumes it is not, yet.
        shown = ghost.opened | {each for each, _ in ghost.stepped}
        gone = bool(shown & {"passkey", "verified"}) and whose not in world.model.passkeys
        gone |= bool(shown & {"touched", "hard"}) and whose not in world.model.keys
        if gone or not world.enough(shown, whose):
            raise Hole(f"a session of {whose} was resumed with {sorted(shown)}")
        self.goes_on(number, token, new, Ghost(shown | {what}))

    def goes_on(self, number: int, token: str, new: NewSession, ghost: Ghost) -> None:
        world, browser = self.world, self.world.browsers[number]
        if world.record(token) is not None:
            raise Hole("a session is open under the id that it had before")
        record = world.record(new.token.reveal())
        if record is None:
            raise Hole("a session that goes on is not there")
        world.ghosts[new.token.reveal()] = ghost
        browser.session, browser.before = new.token.reveal(), token
