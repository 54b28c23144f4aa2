from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.examples.support import Demo, make_demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One portal for a file's tests; what one test writes the next one finds."""
    with make_demo(tmp_path_factory.mktemp("portal") / "data") as made:
        yield made
