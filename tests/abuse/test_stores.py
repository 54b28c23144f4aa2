"""The abuse cases that need a database, on SQLite and PostgreSQL; on Django's stores in ``tests/django/test_abuse_stores.py``.

`StoreCases` write to tables past portalsec, rename and drop them, so they are of databases alone. What Redis holds (flows,
sessions, budgets) is forged, lost and refused in ``test_sessions.py``, ``test_throttle.py`` and ``tests/stores/test_redis.py``;
`CodeCases` are of two stores that are never on Redis.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.code_cases import CodeCases
from tests.abuse.store_cases import StoreCases
from tests.abuse.stores import Over, over_sql
from tests.abuse.test_auth import hashes

__all__ = ["hashes"]


class TestOnSqlite(StoreCases, CodeCases):
    @pytest.fixture
    def over(self, tmp_path: Path) -> Iterator[Over]:
        with over_sql(f"sqlite:///{tmp_path}/security.db") as over:
            yield over


@pytest.mark.postgres
class TestOnPostgres(StoreCases, CodeCases):
    @pytest.fixture
    def over(self, postgres_url: str) -> Iterator[Over]:
        with over_sql(postgres_url) as over:
            yield over
