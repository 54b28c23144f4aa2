"""What proofs are worth (SP 800-63B-4 sections 2.1 to 2.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.assurance import count, level, phishing_resistant, replay_resistant
from portalsec.auth.proof import KIND, Factor, Kind, Proof

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
F = Factor


def shown(factor: Factor, **kwargs: Any) -> Proof:
    return Proof(factor=factor, at=NOW, **kwargs)


KEY = shown(F.PASSKEY)
VERIFIED = shown(F.PASSKEY, user_verified=True)
HARDWARE = shown(F.PASSKEY, user_verified=True, device_bound=True, attested=True)
TOUCHED = replace(HARDWARE, user_verified=False)
SYNCED = replace(HARDWARE, device_bound=False)
UNKNOWN_MAKE = replace(HARDWARE, attested=False)
MAILED_PASSWORD = shown(F.PASSWORD, through=F.EMAIL_CODE)
PASSWORD, TOTP, RECOVERY, EMAIL, SMS = (
    shown(factor) for factor in (F.PASSWORD, F.TOTP, F.RECOVERY_CODE, F.EMAIL_CODE, F.SMS_CODE)
)


@pytest.mark.parametrize(
    ("proofs", "factors", "reached"),
    [
        ((), 0, 0),
        ((PASSWORD,), 1, 1),
        ((TOTP,), 1, 1),
        ((KEY,), 1, 1),
        ((PASSWORD, PASSWORD), 1, 1),
        ((TOTP, TOTP), 1, 1),
        ((TOTP, RECOVERY), 1, 1),
        ((KEY, TOTP), 1, 1),
        ((EMAIL, SMS), 1, 1),
        ((EMAIL, SMS, TOTP), 1, 1),
        ((PASSWORD, TOTP), 2, 2),
        ((PASSWORD, RECOVERY), 2, 2),
        ((PASSWORD, SMS), 2, 2),
        ((PASSWORD, EMAIL), 2, 1),  # two factors, but e-mail proves no device
        ((PASSWORD, KEY), 2, 2),
        ((VERIFIED,), 2, 2),
        ((MAILED_PASSWORD,), 1, 1),
        ((MAILED_PASSWORD, EMAIL), 1, 1),
        ((MAILED_PASSWORD, EMAIL, SMS), 2, 2),
        ((MAILED_PASSWORD, TOTP), 2, 2),
        ((HARDWARE,), 2, 3),
        ((TOUCHED,), 1, 1),
        ((TOUCHED, PASSWORD), 2, 3),
        ((TOUCHED, TOTP), 1, 1),
        ((SYNCED,), 2, 2),
        ((SYNCED, PASSWORD), 2, 2),
        ((UNKNOWN_MAKE, PASSWORD), 2, 2),
        # What makes level 3 must be one key's own: not the touch of a hardware key and the finger on a synced one.
        ((TOUCHED, SYNCED), 2, 2),
    ],
)
def test_the_table(proofs: tuple[Proof, ...], factors: int, reached: int) -> None:
    assert (count(proofs), level(proofs)) == (factors, reached)


PROOFS = st.lists(
    st.builds(
        Proof,
        factor=st.sampled_from(list(Factor)),
        at=st.just(NOW),
        user_verified=st.booleans(),
        device_bound=st.booleans(),
        attested=st.booleans(),
        explicit=st.booleans(),
        through=st.sampled_from([None, Factor.EMAIL_CODE]),
    ),
    max_size=5,
)


@given(PROOFS, PROOFS)
def test_one_proof_more_never_lowers_anything(proofs: list[Proof], more: list[Proof]) -> None:
    both = proofs + more
    assert count(both) >= count(proofs)
    assert level(both) >= level(proofs)
    assert phishing_resistant(both) >= phishing_resistant(proofs)


@given(PROOFS, st.randoms())
def test_order_and_repetition_do_not_matter(proofs: list[Proof], random: Any) -> None:
    shuffled = [*proofs, *proofs]
    random.shuffle(shuffled)
    assert (count(shuffled), level(shuffled)) == (count(proofs), level(proofs))


@given(PROOFS)
def test_two_factors_are_two_kinds_or_a_key_that_knows_its_user(proofs: list[Proof]) -> None:
    kinds = {KIND[proof.factor] for proof in proofs}
    verified = any(proof.factor is F.PASSKEY and proof.user_verified for proof in proofs)
    if count(proofs) == 2:
        assert kinds == set(Kind) or verified
    if level(proofs) >= 2:
        assert count(proofs) == 2
        assert {proof.factor for proof in proofs} - {F.EMAIL_CODE}
    if not any(proof.factor is F.PASSKEY for proof in proofs):
        assert level(proofs) < 3
        assert not phishing_resistant(proofs)


@given(PROOFS)
def test_a_synced_passkey_never_reaches_level_3(proofs: list[Proof]) -> None:
    assert level([replace(proof, device_bound=False) for proof in proofs]) < 3
    assert level([replace(proof, attested=False) for proof in proofs]) < 3


@pytest.mark.parametrize("factor", Factor)
def test_what_resists_phishing_and_what_resists_replay(factor: Factor) -> None:
    proof = Proof(factor=factor, at=NOW)
    assert (proof.phishing_resistant, phishing_resistant([proof])) == (factor == "passkey",) * 2
    assert (proof.replay_resistant, replay_resistant([proof])) == (factor != "password",) * 2
    assert not phishing_resistant([]) and not replay_resistant([])
