"""The door: nothing outside `portalsec.auth` makes evidence or opens a session."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

import portalsec
from portalsec.auth.evidence import Evidence, Factor, mint
from portalsec.auth.proof import Proof
from tests.auth.world import SOURCE, World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PROOF = Proof(factor=Factor.TOTP, at=NOW)


def test_evidence_cannot_be_constructed_outside() -> None:
    with pytest.raises(TypeError):
        Evidence(proof=PROOF, account_id="a")
    for door in (None, object(), True, "DOOR"):
        with pytest.raises(TypeError, match="sign in through SignIn"):
            Evidence(proof=PROOF, account_id="a", door=door)


def test_evidence_says_what_its_proof_says() -> None:
    proof = Proof(factor=Factor.PASSKEY, at=NOW, authenticator="key", user_verified=True)
    evidence = mint(proof, "a", epoch=3)
    assert (evidence.proof, evidence.factor, evidence.at, evidence.epoch) == (proof, Factor.PASSKEY, NOW, 3)
    assert mint(Factor.TOTP, "a", NOW).proof == PROOF
    with pytest.raises(TypeError, match="says when"):
        mint(Factor.TOTP, "a")


def test_evidence_cannot_be_bent_copied_or_pickled() -> None:
    evidence = mint(Factor.PASSWORD, "a", NOW, epoch=0)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(evidence, account_id="b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        evidence.account_id = "b"
    with pytest.raises(TypeError):
        pickle.dumps(evidence)
    with pytest.raises(TypeError):
        copy.copy(evidence)


def test_sessions_open_through_the_door_only() -> None:
    world = World()
    account = world.person()
    with pytest.raises(TypeError, match="sign in through SignIn"):
        world.sessions.open_through(None, account_id=account.id, epoch=0, proofs=(), source=SOURCE)
    with pytest.raises(TypeError, match="sign in through SignIn"):
        world.sign_in.after_password(object(), account, epoch=0, at=NOW, source=SOURCE)
    assert "sessions.create" not in world.calls


def importers(*wanted: str) -> set[str]:
    package = Path(portalsec.__file__).parent
    return {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and any(f"{node.module}.{alias.name}" in wanted for alias in node.names)
    }


def test_only_these_modules_hold_the_key_to_the_door() -> None:
    assert importers("portalsec.auth._door.DOOR") == {
        "auth/adding_factor.py",
        "auth/evidence.py",
        "auth/_opening.py",
        "auth/_resuming.py",
        "auth/impersonation.py",
        "auth/invitations.py",
        "auth/password_change.py",
        "auth/registration.py",
        "auth/reset.py",
        "auth/step_up.py",
    }
    assert importers("portalsec.auth.evidence.mint") == {
        "auth/_enrolment.py",
        "auth/_opening.py",
        "auth/_resuming.py",
        "auth/factors.py",
        "auth/out_of_band.py",
        "auth/passkeys/use.py",
        "auth/recovery_codes.py",
        "auth/step_up.py",
        "auth/totp.py",
    }
    assert importers("portalsec.auth._door") == set()


def test_only_sign_in_opens_sessions() -> None:
    package = Path(portalsec.__file__).parent
    openers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "open_through(" in path.read_text(encoding="utf-8")
    }
    assert openers == {"auth/_opening.py", "auth/sessions.py"}
