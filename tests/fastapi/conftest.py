from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fastapi.support import Site, make_site


@pytest.fixture
def site() -> Iterator[Site]:
    with make_site() as made:
        yield made
