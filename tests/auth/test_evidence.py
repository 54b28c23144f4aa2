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
        "auth/dpop/service.py",  # binds what was opened to a key; opens nothing
        "auth/evidence.py",
        "auth/_opening.py",
        "auth/_resuming.py",
        "auth/impersonation.py",
        "auth/invitations.py",
        "auth/password_change.py",
        "auth/registration.py",
        "auth/reset.py",
        "auth/sign_in_link.py",
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
        "auth/sign_in_link.py",
        "auth/step_up.py",
        "auth/totp.py",
    }
    assert importers("portalsec.auth._door") == set()


OPENERS = {
    "open_through": {"auth/_opening.py: Opening.open"},  # every sign-in, whatever it began with
    "rotate_through": {"auth/step_up.py: StepUp._stepped_up"},  # a session that is there, under another id
    "resume_through": {"auth/_resuming.py: Resuming._resume"},  # one that rests, within its absolute limit
    "impersonate_through": {
        "auth/impersonation.py: Impersonation.start"
    },  # staff's own, without a proof of the owner's
}
"""Every call that can give somebody the id of a session that they did not have: by verb, the only places that call it."""


def calls(*verbs: str, of: str = "") -> dict[str, set[str]]:
    """Where in the package each verb is called, as "file: Class.function"; ``of``: of attributes that end so alone."""
    package = Path(portalsec.__file__).parent
    found: dict[str, set[str]] = {verb: set() for verb in verbs}
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if not any(verb in text for verb in verbs):
            continue
        for holder in ast.parse(text).body:
            for function in [holder, *getattr(holder, "body", [])]:
                if not isinstance(function, ast.FunctionDef):
                    continue
                owner = "" if function is holder else f"{getattr(holder, 'name', '')}."
                for node in ast.walk(function):
                    named = node.func if isinstance(node, ast.Call) else None
                    verb = getattr(named, "attr", getattr(named, "id", ""))
                    if verb in found and (not of or ast.unparse(named).endswith(f"{of}.{verb}")):
                        place = path.relative_to(package).as_posix()
                        found[verb].add(f"{place}: {owner}{function.name}")
    return found


def test_only_sign_in_opens_sessions() -> None:
    """A way in that is added without the door is found here: a password, a passkey, a reset, an invitation, a link by
    mail, an administration page, a token."""
    assert calls(*OPENERS) == OPENERS


def test_records_of_sessions_are_made_by_sessions_alone() -> None:
    """Whoever could put a record into the store would need no door."""
    made = {place.partition(":")[0] for place in calls("SessionRecord")["SessionRecord"]}
    stores = {
        "django/stores/sessions.py",
        "sqlalchemy/sessions.py",
        "stores/redis/_session_value.py",
    }  # read them
    assert made - stores - {"testing/contracts/sessions.py"} == {"auth/sessions.py"}
    package = Path(portalsec.__file__).parent
    handed = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "store=stores.sessions" in path.read_text(encoding="utf-8").replace(" ", "")
    }
    assert handed == {"portal.py"}
