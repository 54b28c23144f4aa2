"""What the Redis stores do beyond their contracts: keys for a cluster, keys that end, nothing shared by accident."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portalsec.auth.ports import Flow
from portalsec.errors import ConfigurationError, StoreError
from tests.servers import wait_until

redis = pytest.importorskip("redis", reason="wants redis: the package redis is not installed")

from portalsec.stores.redis import GRACE, Client, RedisFlows, RedisThrottle, open_redis  # noqa: E402

pytestmark = pytest.mark.redis

WINDOW = timedelta(minutes=15)


def _now() -> datetime:
    """Redis's own clock removes keys, so a test about that begins at the real time."""
    return datetime.now(UTC)


def _flow(number: int, expires_at: datetime, *, account: str | None = "account-1") -> Flow:
    return Flow(
        digest=hashlib.sha256(b"%d" % number).digest(),
        purpose="signin",
        account_id=account,
        data=b"x",
        expires_at=expires_at,
    )


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with closing(open_redis(redis_url)) as client:
        yield client


def test_no_key_stays_for_ever(client: Client):
    now = _now()
    take = RedisThrottle(client).take("lane", limit=1, window=WINDOW, now=now)
    RedisThrottle(client).take("lane", limit=1, window=WINDOW, now=now)
    RedisThrottle(client).give_back("lane", window=take.window)
    RedisFlows(client).put(_flow(1, now + WINDOW))
    RedisFlows(client).attempt(_flow(1, now).digest, "signin", limit=5, now=now)
    lives = {key.split(b":")[1]: timedelta(milliseconds=client.pttl(key)) for key in client.scan_iter()}
    assert lives.keys() == {b"budget", b"flow", b"flows-of"}
    slack = timedelta(minutes=2)
    assert WINDOW + GRACE - slack < lives[b"budget"] <= WINDOW + GRACE
    assert WINDOW + GRACE - slack < lives[b"flow"] <= WINDOW + GRACE + slack
    assert lives[b"flows-of"] > lives[b"flow"] + GRACE / 2, "the index outlives what it names"


def test_the_index_outlives_the_longest_flow(client: Client):
    now = _now()
    flows = RedisFlows(client)
    flows.put(_flow(1, now + timedelta(days=14)))
    flows.put(_flow(2, now + timedelta(minutes=1)))
    (index,) = client.scan_iter(match="portalsec:flows-of:*")
    assert timedelta(milliseconds=client.pttl(index)) > timedelta(days=14)


def test_the_index_forgets_what_has_ended(client: Client):
    flows = RedisFlows(client)
    flows.put(_flow(1, _now() + WINDOW))
    (index,) = client.scan_iter(match="portalsec:flows-of:*")
    client.zadd(index, {b"long gone": 1})
    flows.put(_flow(2, _now() + WINDOW))
    assert set(client.zrange(index, 0, -1)) == {_flow(1, _now()).digest, _flow(2, _now()).digest}


def test_a_put_that_dies_halfway_leaves_nothing_that_opens(client: Client, monkeypatch: pytest.MonkeyPatch):
    """The index is written first: a flow that lives is always in it, so a later drop finds every one."""
    flows, now = RedisFlows(client), _now()
    run, calls = type(flows._scripts).run, []

    def dying(self, script, key, *arguments):
        calls.append(key)
        if len(calls) == 2:
            raise StoreError("the connection was lost")
        return run(self, script, key, *arguments)

    monkeypatch.setattr(type(flows._scripts), "run", dying)
    with pytest.raises(StoreError):
        flows.put(_flow(1, now + WINDOW))
    monkeypatch.undo()
    assert ":flows-of:" in calls[0]
    assert flows.consume(_flow(1, now).digest, "signin", now=now) is None
    assert flows.drop_account("account-1") == 0
    assert flows.put(_flow(1, now + WINDOW))
    assert flows.drop_account("account-1") == 1


def test_a_refused_put_does_not_hand_anothers_flow_to_a_drop(client: Client):
    flows, now = RedisFlows(client), _now()
    mine = _flow(1, now + WINDOW)
    flows.put(mine)
    assert not flows.put(replace(mine, account_id="account-2"))
    assert flows.drop_account("account-2") == 0
    assert flows.consume(mine.digest, "signin", now=now) == mine


def test_account_and_flow_lie_under_their_own_hash_tags(client: Client):
    from redis.crc import key_slot

    flows = RedisFlows(client)
    for number, account in enumerate(["{}", "}{", "a}b", "{flow}"]):
        assert flows.put(_flow(number, _now() + WINDOW, account=account))
        assert RedisThrottle(client).take(account, limit=1, window=WINDOW, now=_now()).ok
    keys = list(client.scan_iter())
    assert len(keys) == 12
    for key in keys:
        tag = key[key.index(b"{") + 1 : key.index(b"}")]
        assert len(tag) == 64
        assert key_slot(key) == key_slot(tag)
    assert len({key_slot(key) for key in keys}) > 1


def test_a_server_that_forgot_its_scripts_is_told_again(client: Client):
    throttle = RedisThrottle(client)
    assert throttle.take("lane", limit=2, window=WINDOW, now=_now()).ok
    client.script_flush()
    assert throttle.take("lane", limit=2, window=WINDOW, now=_now()).used == 2


@pytest.mark.parametrize("data", [b"", b"$1\r\nx\r\n*1\r\n$8\r\nFLUSHALL\r\n", bytes(range(256)) * 40])
def test_what_a_command_carries_stays_in_its_place(client: Client, data: bytes):
    """Commands are packed here: each part goes with its length, so that data is never read as a command."""
    flows, now = RedisFlows(client), _now()
    flow = replace(_flow(1, now + WINDOW, account="r\u00f6bin\r\n$"), data=data)
    other = _flow(2, now + WINDOW)
    assert flows.put(other)
    assert flows.put(flow)
    assert flows.attempt(flow.digest, flow.purpose, limit=2, now=now) == replace(flow, attempts=1)
    assert flows.drop_account("r\u00f6bin\r\n$") == 1
    assert flows.consume(other.digest, other.purpose, now=now) == other


def test_a_lost_answer_is_a_store_error_and_nothing_is_sent_again(client: Client, redis_url: str):
    now = _now()
    with closing(open_redis(redis_url, patience=timedelta(milliseconds=100))) as impatient:
        throttle = RedisThrottle(impatient)
        assert throttle.take("lane", limit=9, window=WINDOW, now=now).used == 1
        client.client_pause(1000)
        with pytest.raises(StoreError, match="Redis could not answer"):
            throttle.take("lane", limit=9, window=WINDOW, now=now)
        wait_until(client.ping, redis.RedisError)
        # Whether the lost one was counted, only the server knows. What comes next is no answer to it.
        assert throttle.take("lane", limit=9, window=WINDOW, now=now).used in (2, 3)
        assert throttle.take("other", limit=9, window=WINDOW, now=now).used == 1


def test_two_prefixes_share_nothing(client: Client):
    one, other = (RedisThrottle(client, prefix=prefix) for prefix in ("one", "other"))
    assert one.take("lane", limit=1, window=WINDOW, now=_now()).ok
    assert other.take("lane", limit=1, window=WINDOW, now=_now()).ok
    now = _now()
    RedisFlows(client, prefix="one").put(_flow(1, now - WINDOW))
    assert RedisFlows(client, prefix="other").purge(now=now) == 0
    assert RedisFlows(client, prefix="one").purge(now=now) == 1


@pytest.mark.parametrize("prefix", ["", "a{b", "a}b", "a*", "a?", "[a]", "a\\"])
def test_a_prefix_that_would_move_the_hash_tag_or_widen_a_scan_is_refused(prefix: str):
    with pytest.raises(ConfigurationError, match="Redis key prefix"):
        RedisThrottle(redis.Redis(), prefix=prefix)
    with pytest.raises(ConfigurationError, match="Redis key prefix"):
        RedisFlows(redis.Redis(), prefix=prefix)


def test_a_client_that_decodes_is_refused():
    with pytest.raises(ConfigurationError, match="decode_responses"):
        RedisFlows(redis.Redis(decode_responses=True))


def test_a_url_that_is_none_is_refused_without_its_text():
    with pytest.raises(ConfigurationError, match="the Redis URL is not one") as caught:
        open_redis("hunter2")
    assert "hunter2" not in str(caught.value)


def test_nothing_that_answers_is_a_store_error(tmp_path: Path):
    with pytest.raises(StoreError, match="Redis could not answer"):
        open_redis(f"unix://{tmp_path}/nobody.sock", patience=timedelta(seconds=1))
