"""Counters of ended windows do not pile up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

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
