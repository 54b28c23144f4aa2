"""Counters of ended windows do not pile up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from portalsec.auth.ports import Take
from portalsec.clock import unix_microseconds
from portalsec.sqlalchemy import SqlThrottle, create_schema, open_engine
from portalsec.sqlalchemy import throttle as module
from portalsec.testing import FrozenClock


def test_a_visitor_who_tries_many_names_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_SWEEP_EVERY", 10)
    engine = open_engine(f"sqlite:///{tmp_path}/s.db")
    create_schema(engine, "security")
    clock, store = FrozenClock(), SqlThrottle(engine)
    for number in range(100):
        store.take(f"name-{number}", limit=5, window=timedelta(seconds=3), now=clock())
        clock.advance(timedelta(seconds=1))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM portalsec_throttle")) <= 13
    engine.dispose()


@pytest.mark.postgres
def test_sweeping_leaves_living_counters_on_postgresql(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SWEEP_EVERY", 1)
    engine = open_engine(postgres_url)
    create_schema(engine, "security")
    clock, store = FrozenClock(), SqlThrottle(engine)
    store.take("long", limit=1, window=timedelta(hours=1), now=clock())
    store.take("short", limit=1, window=timedelta(seconds=1), now=clock())
    clock.advance(timedelta(minutes=1))
    assert not store.take("long", limit=1, window=timedelta(hours=1), now=clock()).ok
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT key FROM portalsec_throttle")).all() == ["long"]
    engine.dispose()


@pytest.fixture
def counting(postgres_url: str) -> Iterator[tuple[SqlThrottle, list[str]]]:
    """A store on PostgreSQL, and what it has sent there, besides BEGIN and COMMIT."""
    engine = open_engine(postgres_url)
    create_schema(engine, "security")
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *told: sent.append(told[2]))
    yield SqlThrottle(engine), sent
    engine.dispose()


@pytest.mark.postgres
@pytest.mark.parametrize("longest", [None, timedelta(hours=1)])
def test_a_verb_is_one_statement_on_postgresql_a_refusal_too(
    counting: tuple[SqlThrottle, list[str]], longest: timedelta | None
):
    (store, sent), clock, window = counting, FrozenClock(), timedelta(minutes=15)
    key = f"lane {longest}"

    def take(limit: int = 1) -> Take:
        return store.take(key, limit=limit, window=window, now=clock(), longest=longest)

    verbs = {
        "the first unit": lambda: take().ok,
        "a refusal": lambda: not take().ok,
        "a look": lambda: take(limit=0).used == 1,
        "giving back": lambda: store.give_back(key, window=unix_microseconds(clock())) is None,
        "the same unit": lambda: take().ok,
        "the next window": lambda: (clock.advance(window), take())[1].ok,
        "its refusal": lambda: not take().ok,
        "clearing": lambda: store.clear(key) is None,
        "a look at nothing": lambda: take(limit=0).used == 0,
        "giving back nothing": lambda: store.give_back(key, window=1) is None,
        "clearing nothing": lambda: store.clear(key) is None,
    }
    counted = {}
    for name, verb in verbs.items():
        sent.clear()
        assert verb(), name
        counted[name] = len(sent)
    assert counted == dict.fromkeys(verbs, 1), sent
