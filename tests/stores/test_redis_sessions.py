"""What the Redis store of sessions does beyond its contract."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import ConfigurationError, StoreError, Tampered

redis = pytest.importorskip("redis", reason="wants redis: the package redis is not installed")

from portalsec.stores.redis import GRACE, Client, RedisSessions, open_redis  # noqa: E402

pytestmark = pytest.mark.redis


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    with closing(open_redis(redis_url)) as client:
        yield client


def record(number: int = 1, *, absolute: timedelta | None = timedelta(hours=12)) -> SessionRecord:
    now = datetime.now(UTC)  # Redis's own clock removes keys
    return SessionRecord(
        digest=hashlib.sha256(b"%d" % number).digest(),
        account_id="account-1",
        epoch=0,
        created_at=now,
        last_seen_at=now,
        proofs=(Proof(factor=Factor.PASSWORD, at=now),),
        absolute=absolute,
    )


def test_a_session_goes_by_itself_a_grace_after_its_limit_and_no_touch_moves_that(client: Client) -> None:
    store = RedisSessions(client, keep=timedelta(days=2))
    for number, (absolute, lasts) in enumerate(
        (
            (timedelta(hours=12), timedelta(hours=12)),
            (None, timedelta(days=2)),
            (timedelta(days=9), timedelta(days=2)),
        )
    ):
        made = record(number, absolute=absolute)
        assert store.create(made).opened
        assert store.touch(made.digest, last_seen_at=made.last_seen_at + timedelta(minutes=1))
        assert store.flag(made.digest, "browser", expected=None)
        assert store.rest(made.digest, at=made.last_seen_at)
        left = timedelta(milliseconds=client.pttl(store._key(made.digest)))
        assert lasts + GRACE - timedelta(minutes=2) < left < lasts + GRACE + timedelta(seconds=1)
    (index,) = client.scan_iter(match="portalsec:sessions-of:*")
    assert client.pttl(index) > timedelta(days=2) / timedelta(milliseconds=1), (
        "the epoch outlives the sessions"
    )


def test_an_end_of_all_that_died_half_way_is_finished_by_the_next(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisSessions(client)
    for number in range(3):
        store.create(record(number))
    run, calls = type(store._scripts).run, []

    def dying(self: object, script: str, key: object, *arguments: object) -> object:
        calls.append(key)
        if len(calls) == 3:
            raise StoreError("the connection was lost")
        return run(self, script, key, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store._scripts), "run", dying)
    with pytest.raises(StoreError):
        store.end_all("account-1")
    monkeypatch.undo()
    assert store.of_account("account-1") == ()
    assert store.end_all("account-1") == 2
    assert not list(client.scan_iter(match="portalsec:session:*"))


@pytest.mark.parametrize("losing", ["replace", "cap"])
def test_atk_12_a_session_that_lost_its_place_to_a_worker_that_died_is_ended_with_all_the_others(
    client: Client, monkeypatch: pytest.MonkeyPatch, losing: str
) -> None:
    store = RedisSessions(client)
    old, new = record(1), record(2)
    store.create(old)
    run = type(store._scripts).run

    def dying(self: object, script: str, key: object, *arguments: object) -> object:
        if key == store._key(old.digest):  # the account knows of it, the session does not yet
            raise StoreError("the connection was lost")
        return run(self, script, key, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store._scripts), "run", dying)
    with pytest.raises(StoreError):
        if losing == "replace":
            store.replace(old.digest, new)
        else:
            store.create(new, cap=1)
    monkeypatch.undo()
    assert store.load(old.digest) is not None
    assert not store.replace(old.digest, record(3)), "it has no place to give"
    store.end_all("account-1")
    assert store.load(old.digest) is None
    assert not list(client.scan_iter(match="portalsec:session:*"))


def test_a_value_that_was_written_over_keeps_nobody_from_ending_the_others(client: Client) -> None:
    store = RedisSessions(client)
    for number in (1, 2):
        store.create(record(number))
    client.set(store._key(record(1).digest), b"psr1 and nothing that can be read")
    assert [each.digest for each in store.of_account("account-1")] == [record(2).digest]
    assert store.create(record(3), cap=1).opened
    client.set(store._key(record(3).digest), b"nor this")
    assert store.end(record(3).digest)
    assert store.end_all("account-1") == 1
    assert not list(client.scan_iter(match="portalsec:session:*"))


def test_a_check_is_one_get(client: Client) -> None:
    store, made = RedisSessions(client), record()
    store.create(made)
    client.config_resetstat()
    assert store.load(made.digest) is not None
    commands = {name for name in client.info("commandstats") if "config" not in name and "info" not in name}
    assert commands == {"cmdstat_get"}


def test_a_touch_is_one_script_and_leaves_what_was_read_of_the_rest(client: Client) -> None:
    store, made = RedisSessions(client), record()
    store.create(made)
    before = store.load(made.digest)
    client.config_resetstat()
    later = made.last_seen_at + timedelta(seconds=2)
    assert store.touch(made.digest, last_seen_at=later)
    stats = client.info("commandstats")
    assert sum(stats[name]["calls"] for name in stats if name.startswith("cmdstat_eval")) == 1
    after = store.load(made.digest)
    assert before is not None
    assert after is not None
    assert after.record == replace(before.record, last_seen_at=later)


@pytest.mark.parametrize(
    "broken", [b"", b"x", b"psr2" + b"0" * 100, b"psr1" + b"0" * 80 + b"[]", b"psr1" + b"\xff" * 90]
)
def test_a_value_that_was_written_over_is_tampered(client: Client, broken: bytes) -> None:
    store, made = RedisSessions(client), record()
    store.create(made)
    client.set(store._key(made.digest), broken)
    with pytest.raises(Tampered):
        store.load(made.digest)


def test_keeping_for_less_than_an_hour_is_refused(client: Client) -> None:
    with pytest.raises(ConfigurationError, match="keep"):
        RedisSessions(client, keep=timedelta(minutes=1))
