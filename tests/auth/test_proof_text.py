from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.proof import Factor, Proof
from portalsec.auth.proof_text import duration_or_none, old_proofs, proofs_of, proofs_text
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.errors import Tampered
from portalsec.testing import FrozenClock

NOW = FrozenClock()()

_PROOFS = st.builds(
    Proof,
    factor=st.sampled_from(Factor),
    at=st.integers(0, 2**52).map(from_unix_microseconds),
    authenticator=st.none() | st.text(max_size=20),
    user_verified=st.booleans(),
    device_bound=st.booleans(),
    attested=st.booleans(),
    explicit=st.booleans(),
    through=st.none() | st.sampled_from(Factor),
)


@given(st.lists(_PROOFS, max_size=4))
def test_a_store_gives_back_the_proofs_that_it_got(proofs: list[Proof]) -> None:
    assert proofs_of(proofs_text(proofs)) == tuple(proofs)


@pytest.mark.parametrize(
    "text",
    ["", "x", "7", "{}", "[1]", '["x"]', '[["password"]]', '[["magic",1,null,0,null]]', '[["totp",1,null,16,null]]',
     '[["totp",1.5,null,0,null]]', '[["totp",true,null,0,null]]', '[["totp",1,7,0,null]]', '[["totp",1,null,true,null]]',
     '[["totp",1,null,0,"magic"]]', '[["totp",1,null,0,null,0]]', "[" * 100_000],
)  # fmt: skip
def test_anything_else_is_tampered(text: str) -> None:
    with pytest.raises(Tampered):
        proofs_of(text)


def test_what_an_older_version_stored_is_read() -> None:
    assert old_proofs(["password", "totp"], unix_microseconds(NOW)) == (
        Proof(factor=Factor.PASSWORD, at=NOW),
        Proof(factor=Factor.TOTP, at=NOW),
    )
    assert old_proofs([], 0) == ()
    for broken in (None, "totp", [1], ["magic"]):
        with pytest.raises(Tampered):
            old_proofs(broken, 0)


def test_a_limit_that_was_written_over_is_no_time_at_all() -> None:
    assert duration_or_none(None) is None
    assert duration_or_none(60_000_000) == timedelta(minutes=1)
    for broken in ("1h", 1.5, True, 2**80, b"x"):
        assert duration_or_none(broken) == timedelta(0)
