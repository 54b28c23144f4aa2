"""Rows of sessions: what the check of one costs beside one GET on Redis, and beside what other packages do for it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import redis

from bench.harness import Row
from portalsec._encoding import new_token
from portalsec.auth.ports import SessionRecord, SessionStore
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import Required, SessionPolicy, Sessions
from portalsec.clock import system_clock
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.events import SecurityEvent, Source
from portalsec.stores.memory import MemorySessions
from portalsec.stores.redis import RedisSessions, open_redis
from tests.servers import run_redis, wait_until

_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"


def rows() -> Iterator[Row]:
    text = new_token().encode("ascii")
    for id in ("auth.session.check", "auth.session.check.time"):
        yield Row(
            id,
            checking(MemorySessions()),
            lambda: hashlib.sha256(text).digest(),
            200,
            note="the whole check over the store in memory: shape, digest, epoch, limits, proofs, anomalies",
        )
    with tempfile.TemporaryDirectory(prefix="portalsec-") as folder:
        path = Path(folder) / "redis.sock"
        with run_redis("--port", "0", "--unixsocket", str(path), folder=Path(folder)):
            url = f"unix://{path}"
            with closing(redis.Redis.from_url(url)) as starting:
                wait_until(starting.ping, redis.ConnectionError)
            with closing(open_redis(url)) as client:
                subject = checking(RedisSessions(client))
                (key,) = client.scan_iter(match="portalsec:session:*")
                yield Row(
                    "auth.session.redis",
                    subject,
                    lambda: client.get(key),
                    200,
                    best_of=3,
                    note="the same check on Redis, beside a GET of the same value by the same client; unchanged bytes are not decoded again",
                )


def checking(store: SessionStore) -> Callable[[], object]:
    """A check of a session that lives, by its token."""
    token, now = new_token(), system_clock()
    store.create(
        SessionRecord(
            digest=hashlib.sha256(token.encode("ascii")).digest(),
            account_id="0190b5a0-0000-7000-8000-000000000001",
            epoch=0,
            created_at=now,
            last_seen_at=now,
            proofs=(
                Proof(factor=Factor.PASSWORD, at=now),
                Proof(factor=Factor.TOTP, at=now, authenticator="0190b5a0-0000-7000-8000-000000000002"),
            ),
            level=2,
            address="192.0.2.1",
            user_agent=_BROWSER,
        )
    )

    def emit(event: SecurityEvent) -> None:
        raise AssertionError(f"a live session emits nothing, yet: {event.name}")

    sessions = Sessions(
        store=store,
        policy=SessionPolicy.HIPAA_CLINIC,
        required=Required(level=2),
        clock=system_clock,
        mac=KeyedHash(Keyset.generate("HMAC_SHA256_PRF")),
        emit=emit,
    )
    source = Source(address="192.0.2.1", user_agent=_BROWSER)
    return lambda: sessions.check(token, source=source)
