"""One process of many that guess at one account; light to import, since each of them starts from nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import tests.auth.world as world_module
from portalsec.auth.passwords import Passwords
from portalsec.errors import Denied
from portalsec.sqlalchemy import SqlAccounts, SqlSessions, SqlThrottle, SqlTotp, open_engine
from tests.auth.world import OTHER_PASSWORD, SOURCE, Backing, World, tight
from tests.stores.openers import redis_throttle
from tests.stores.support import TestingSealer, testing_mac

LIMIT = 5


@contextmanager
def world(url: str, redis_url: str | None) -> Iterator[World]:
    """A portal over shared stores, with the keys that every process of it has."""
    sealer = TestingSealer()
    sealer._aead = AESGCM(b"a key for tests, of 32 bytes ...")
    with ExitStack() as stack:
        engine = open_engine(url)
        stack.callback(engine.dispose)
        throttle = (
            SqlThrottle(engine) if redis_url is None else stack.enter_context(redis_throttle(redis_url))
        )
        world_module.KeyedHash = lambda _: testing_mac  # type: ignore[assignment,misc]
        accounts = SqlAccounts(engine, mac=testing_mac, sealer=sealer)
        backing = Backing(
            accounts=accounts, sessions=SqlSessions(engine), totp=SqlTotp(engine), throttle=throttle
        )
        yield World(lanes=tight(account=LIMIT), backing=backing)


def guess(world: World, wait: Callable[[], None], number: int, tries: int) -> int:
    """Guess with everybody else; how many stored hashes this process verified a password against."""
    verified = 0
    real = Passwords.verify

    def counted(self: Passwords, stored: str | None, *args: Any, **kwargs: Any) -> Any:
        nonlocal verified
        verified += stored is not None
        return real(self, stored, *args, **kwargs)

    Passwords.verify = counted  # type: ignore[method-assign]
    for turn in range(tries):
        wait()
        try:
            world.sign_in.start("robin", f"{OTHER_PASSWORD} {number} {turn}", source=SOURCE)
        except Denied:
            continue
        raise AssertionError("a wrong password was taken for a right one")
    return verified
