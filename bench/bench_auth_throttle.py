"""The row of throttling: what the decision of a budget costs on Redis, beside the round trips that it cannot do without."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import redis

from bench.harness import Row
from portalsec.clock import system_clock
from portalsec.stores.redis import Client, RedisThrottle, open_redis
from tests.servers import run_redis, wait_until


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="portalsec-") as folder:
        path = Path(folder) / "redis.sock"
        with run_redis("--port", "0", "--unixsocket", str(path), folder=Path(folder)):
            url = f"unix://{path}"
            with closing(redis.Redis.from_url(url)) as starting:
                wait_until(starting.ping, redis.ConnectionError)
            with closing(open_redis(url)) as client:
                yield Row(
                    "auth.throttle.redis",
                    _reserve_and_settle(RedisThrottle(client)),
                    _two_round_trips(client),
                    200,
                    best_of=3,
                    note="take and give_back of a budget that escalates, beside two GET of the same client",
                )


def _reserve_and_settle(store: RedisThrottle) -> Callable[[], object]:
    window, longest, now = timedelta(minutes=15), timedelta(hours=1), system_clock()

    def both() -> None:
        take = store.take("robin", limit=10, window=window, now=now, longest=longest)
        store.give_back("robin", window=take.window)

    return both


def _two_round_trips(client: Client) -> Callable[[], object]:
    client.set("bare", b"1")

    def both() -> None:
        client.get("bare")
        client.get("bare")

    return both
