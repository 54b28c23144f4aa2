"""Guessing from many processes at once, as a portal's workers are asked: the stores decide, not a lock in memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import tests.auth.world as world_module
from portalsec.sqlalchemy import create_schema, open_engine
from portalsec.testing.processes import race_processes
from tests.abuse import guessers


def _tested(monkeypatch: pytest.MonkeyPatch, url: str, redis_url: str | None = None) -> int:
    """How many verifications of the stored hash eight processes execute in all, of 24 guesses."""
    monkeypatch.setattr(world_module, "KeyedHash", world_module.KeyedHash)  # put back what `world` replaces
    engine = open_engine(url)
    create_schema(engine, "security")
    engine.dispose()
    with guessers.world(url, redis_url) as world:
        world.person()
    return sum(race_processes(partial(guessers.world, url, redis_url), guessers.guess, 3, count=8))


def test_atk_03_eight_processes_test_five_passwords_on_sqlite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert _tested(monkeypatch, f"sqlite:///{tmp_path}/security.db") == guessers.LIMIT


@pytest.mark.postgres
def test_atk_03_eight_processes_test_five_passwords_on_postgresql(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    assert _tested(monkeypatch, postgres_url) == guessers.LIMIT


@pytest.mark.redis
def test_atk_03_eight_processes_test_five_passwords_on_redis(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    assert _tested(monkeypatch, f"sqlite:///{tmp_path}/security.db", redis_url) == guessers.LIMIT
