"""Attestation statements with a few bytes changed: each is refused or proves nothing, and nothing else is raised."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.auth.passkeys.cbor import read
from portalsec.auth.passkeys.checks import Check, Refusal
from portalsec.testing.attestation import FORMATS, SoftMaker
from portalsec.testing.cbor import encode
from tests.auth.passkeys.test_attestation import attest, made
from tests.auth.passkeys.test_malformed import JUNK, spoil

MUTANTS = 2_000 if os.environ.get("PORTALSEC_SOAK") == "1" else 200


def changed(choose: random.Random, statement: dict[str, Any]) -> dict[str, Any]:
    name = choose.choice(sorted(statement))
    value = statement[name]
    if isinstance(value, bytes):
        return statement | {name: spoil(choose, value)}
    if isinstance(value, list):
        at = choose.randrange(len(value))
        return statement | {name: [*value[:at], spoil(choose, value[at]), *value[at + 1 :]]}
    junk = [each for each in JUNK if not isinstance(each, float) and each != "\ud800" and each != 2**70]
    return statement | {name: choose.choice([*junk, value + 1 if isinstance(value, int) else value + "x"])}


@pytest.mark.parametrize("form", FORMATS)
def test_atk_28_mutants_of_statements(form: str):
    choose = random.Random(form)
    maker = SoftMaker(form, depth=0 if form == "fido-u2f" else 1)
    attestation_object, client_data = made(maker)
    whole = read(attestation_object)
    assert isinstance(whole, dict)
    required = AttestationPolicy(required=True, roots=(maker.root,), sha1=True, software=True)
    steps = set()
    for _ in range(MUTANTS):
        statement = changed(choose, whole["attStmt"])
        if statement == whole["attStmt"]:
            continue
        response = (encode(whole | {"attStmt": statement}), client_data)
        with pytest.raises(Refusal) as refused:
            attest(required, response)
        steps.add(refused.value.check)
        try:
            assert not attest(AttestationPolicy.NONE, response)
        except Refusal as refusal:
            assert refusal.check is Check.R_ATTSTMT
    assert steps == {Check.R_ATTSTMT, Check.R_TRUST}
