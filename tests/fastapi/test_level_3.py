"""Level 3 where no make can be proven, over FastAPI: refused where it is written."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.errors import ConfigurationError
from portalsec.fastapi import Portalsec
from portalsec.fastapi.dpop import DpopClients
from tests.auth.factoring import Factoring

WITHIN = timedelta(minutes=5)


def test_over_fastapi_it_is_refused_where_it_is_written() -> None:
    with Factoring() as m:
        ps = Portalsec(m.portal)
        for declare in (ps.require_factor, DpopClients(ps).require_factor):
            with pytest.raises(ConfigurationError, match="level 3"):
                declare("passkey", within=WITHIN, level=3)
            assert declare("passkey", within=WITHIN, level=2)
