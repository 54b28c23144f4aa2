"""Four processes that race over one door: started once for a whole module, told each case in a message.

Each has the door opened for itself over the stores of a `Place`, under the portal's keys. A case makes ready what one
process does, and `Racers.race` lets all of them do it at one moment. The cases themselves are in `tests.abuse.race_cases`.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import import_module
from typing import Any

from portalsec.auth.ports import Account
from portalsec.auth.sessions import SessionPolicy
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.errors import Denied, Reason
from tests.auth import world
from tests.auth.door import Door, begun
from tests.auth.world import SOURCE, Backing, session, tight
from tests.measured import SOAK

__all__ = ["CAP", "EACH", "GONE", "PROCESSES", "ROUNDS", "Place", "Race", "Racers", "door_over", "opened"]

PROCESSES = 4
CAP = 4
"""Sessions of one account."""
ROUNDS = 100 if os.environ.get(SOAK) == "1" else 2
EACH = range(PROCESSES)
_PATIENCE = 120.0
GONE = {Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stores are.

    Attributes:
        url: SQLAlchemy's, of the durable stores.
        redis: where flows, budgets and sessions are, or None: beside the others.
        key: of the test's sealer.
    """

    url: str
    redis: str | None
    key: bytes


class Racers:
    """The processes. Close it when the module's tests are over."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = barrier = context.Barrier(PROCESSES)  # kept: it goes with its last holder
        keys = keyset_to_json(world._FIELDS), keyset_to_json(world._MAC)
        self._pipes, self._processes = [], []
        for number in range(PROCESSES):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(number, theirs, barrier, keys), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def race(self, place: Place, at: datetime, case: str, jobs: Sequence[Any]) -> list[list[Any]]:
        """What each process got, in order, of each job.

        Args:
            at: what their clocks say.
            case: a function of `tests.abuse.race_cases`.
            jobs: what it is called with, a race each; pickles.

        Raises:
            AssertionError: something broke in a process, which no case expects. It says what.
        """
        for pipe in self._pipes:
            pipe.send((place, at, case, list(jobs)))
        reports = []
        for pipe in self._pipes:
            assert pipe.poll(_PATIENCE), f"a process says nothing of {case}"
            reports.append(pipe.recv())
        broken = [report for report in reports if isinstance(report, str)]
        assert not broken, broken
        return [list(each) for each in zip(*reports, strict=True)]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()


class Race:
    """A door in the test's own process, over the stores that the racers open.

    Args:
        empty: empties the place.
    """

    def __init__(self, place: Place, racers: Racers, backing: Backing, empty: Callable[[], None]) -> None:
        self._place, self._racers, self._backing, self._empty = place, racers, backing, empty
        self.anew()

    def anew(self) -> None:
        """A door over empty stores: the racers' ids begin again with each of their turns."""
        self._empty()
        self.door = door_over(self._backing)

    @property
    def name(self) -> str:
        """Of the kind of store."""
        return "Redis" if self._place.redis else self._place.url.partition(":")[0].partition("+")[0]

    def people(self, **person: Any) -> list[Account]:
        """One for each round."""
        return [self.door.person(f"person{turn}", **person) for turn in range(ROUNDS)]

    def __call__(self, case: str, jobs: list[Any]) -> list[list[Any]]:
        return self._racers.race(self._place, self.door.clock(), case, jobs)

    def sessions(self, person: Account) -> int:
        return len(self.door.backing.sessions.of_account(person.id))

    def lives(self, text: str) -> bool:
        try:
            self.door.sessions.check(text, source=SOURCE)
        except Denied as denied:
            assert denied.reason in GONE
            return False
        return True

    def sign_ins(self, person: Account) -> list[str]:
        return [begun(self.door.start(person.login)) for _ in EACH]

    def texts(self, person: Account, count: int = 1) -> list[str]:
        """Sessions by recovery codes, so that no code of the authenticator is used."""
        codes, made = self.door.with_codes(person), []
        for code in codes[:count]:
            step = self.door.sign_in.submit_recovery_code(
                begun(self.door.start(person.login)), code, source=SOURCE
            )
            made.append(session(step).token.reveal())
        return made


def opened(place: Place, stack: ExitStack) -> Backing:
    """The stores of a place; what they hold open is closed with the stack."""
    from portalsec import sqlalchemy as sql
    from tests.stores.support import TestingSealer, testing_mac

    engine, sealer = sql.open_engine(place.url), TestingSealer(place.key)
    stack.callback(engine.dispose)
    backing = Backing(
        accounts=sql.SqlAccounts(engine, mac=testing_mac, sealer=sealer),
        flows=sql.SqlFlows(engine),
        sessions=sql.SqlSessions(engine),
        throttle=sql.SqlThrottle(engine),
        totp=sql.SqlTotp(engine),
        recovery_codes=sql.SqlRecoveryCodes(engine),
        passkeys=sql.SqlPasskeys(engine),
        links=sql.SqlFlows(engine),
        devices=sql.SqlDevices(engine),
        contacts=sql.SqlContacts(engine, mac=testing_mac, sealer=sealer),
        notices=sql.SqlNotices(engine),
        history=sql.SqlPasswordHistory(engine),
    )
    if place.redis is None:
        return backing
    from portalsec.stores.redis import RedisFlows, RedisSessions, RedisThrottle, open_redis

    client = open_redis(place.redis)
    stack.callback(client.close)
    return replace(
        backing, flows=RedisFlows(client), throttle=RedisThrottle(client), sessions=RedisSessions(client)
    )


def door_over(backing: Backing) -> Door:
    """As every process and the test itself has it: no budget but the one that a case is about."""
    return Door(
        lanes=tight(second_factor_long=1000, recovery_code=1000, passkey=1000, step_up=1000, ceremony=1000),
        session_policy=replace(SessionPolicy.HIPAA_CLINIC, max_sessions=CAP),
        backing=backing,
    )


def _work(number: int, pipe: Any, barrier: Any, keys: tuple[str, str]) -> None:
    """One process, until its pipe is closed."""
    world._FIELDS, world._MAC = (Keyset.from_json(key) for key in keys)  # as workers of one portal have them
    cases = import_module("tests.abuse.race_cases")
    places: dict[Place, Backing] = {}  # opened once each
    with ExitStack() as stack:
        while True:
            try:
                place, at, case, jobs = pipe.recv()
            except EOFError:
                return
            try:
                if place not in places:
                    places[place] = opened(place, stack)
                door = door_over(places[place])
                door.seeds.update({f"none-{each}": "" for each in range(10 * (1 + number))})  # ids of its own
                door.wire()
                door.clock.set(at)
                pipe.send([_one(getattr(cases, case)(door, number, job), barrier) for job in jobs])
            except Exception as error:
                barrier.abort()
                pipe.send(repr(error))
                return


def _one(attempt: Callable[[], Any], barrier: Any) -> Any:
    """What it gave, or the reason of its refusal; anything else breaks the race."""
    barrier.wait(_PATIENCE)
    try:
        return attempt()
    except Denied as denied:
        return denied.reason
