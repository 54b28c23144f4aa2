"""Importing portalsec stays light: a third-party part loads when its feature is imported, and not before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "argon2",
    "cryptography",
    "pyotp",
    "webauthn",
    "zxcvbn",
    "segno",
    "sqlalchemy",
    "redis",
    "django",
    "fastapi",
    "starlette",
    "pydantic",
    "anyio",
    "asyncio",
)


def loaded_by(statement: str) -> set[str]:
    """The heavy modules that a fresh interpreter has after ``statement``."""
    code = f"import sys, json; {statement}; print(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)) & set(HEAVY)


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded_by("import asyncio") == {"asyncio"}


# What a package may load: nothing, or the one library that it is about.
MAY_LOAD: dict[str, set[str]] = {
    "portalsec": set(),
    "portalsec.errors": set(),
    "portalsec.events": set(),
    "portalsec.auth": set(),
    "portalsec.auth.ports": set(),
    "portalsec.crypto": set(),
    "portalsec.crypto.ports": set(),
    "portalsec.audit": {"cryptography"},  # a log signs its checkpoints
    "portalsec.rbac": set(),
    "portalsec.stores": set(),
}


@pytest.mark.parametrize("module", MAY_LOAD)
def test_a_package_loads_no_more_than_its_own(module: str) -> None:
    assert loaded_by(f"import {module}") <= MAY_LOAD[module]


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("portalsec.sqlalchemy", {"django", "fastapi", "starlette", "redis", "argon2", "zxcvbn", "webauthn"}),
        ("portalsec.fastapi", {"django", "sqlalchemy", "redis", "webauthn"}),
        ("portalsec.django", {"fastapi", "starlette", "pydantic", "sqlalchemy", "redis", "webauthn"}),
    ],
)
def test_an_adapter_loads_no_other_framework(module: str, others: set[str]) -> None:
    assert loaded_by(f"import {module}") & others == set()


@pytest.mark.parametrize(
    "package", ["portalsec", "portalsec.auth", "portalsec.crypto", "portalsec.audit", "portalsec.rbac"]
)
def test_every_name_that_a_package_hands_on_is_there(package: str) -> None:
    module = __import__(package, fromlist=["*"])
    assert module.__all__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018
