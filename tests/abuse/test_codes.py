"""The abuse cases of authenticators and recovery codes in memory; on databases in ``test_stores.py``.

Not on Redis, which holds neither: there it is flows, sessions and budgets, and what races for a code of an authenticator over
them is in ``test_door_races.py`` and ``test_door_processes.py``.
"""

from __future__ import annotations

import pytest

from tests.abuse.code_cases import CodeCases
from tests.auth.world import Backing


class _InMemory:
    """One process, which is all that memory has: another worker is another set of services over the same."""

    def __init__(self) -> None:
        self.backing = Backing()

    def worker(self) -> Backing:
        return self.backing


class TestInMemory(CodeCases):
    @pytest.fixture
    def over(self) -> _InMemory:
        return _InMemory()
