from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from portalsec.auth.links import RecoveryPolicy
from portalsec.config import load_settings
from portalsec.config.opening import open_policies
from portalsec.errors import ConfigurationError

SETTINGS = '[portal]\nname = "Riverside"\nbase_url = "https://portal.example"\n'
POLICY = 'schema = 1\n[resource.record]\nactions = ["read"]\n[role.patient]\n'


def policy_of(folder: Path, more: str = "") -> RecoveryPolicy:
    (folder / "policy.toml").write_text(POLICY)
    (folder / "portalsec.toml").write_text(SETTINGS + more)
    return open_policies(load_settings(folder / "portalsec.toml", env={})).recovery


def test_the_defaults_are_the_policys_own(tmp_path: Path) -> None:
    assert policy_of(tmp_path) == RecoveryPolicy()


def test_settings_reach_the_policy(tmp_path: Path) -> None:
    written = '[recovery]\nreset = "10m"\nverify = "2h"\nunlock = "5m"\nregistration = "3h"\nbrowser = "4m"\n'
    policy = policy_of(tmp_path, written + "contacts = 2\nopen_registration = true\n")
    assert policy == RecoveryPolicy(
        reset=timedelta(minutes=10),
        verify=timedelta(hours=2),
        unlock=timedelta(minutes=5),
        registration=timedelta(hours=3),
        browser=timedelta(minutes=4),
        contacts=2,
        open_registration=True,
    )


@pytest.mark.parametrize(
    "wrong", ['reset = "2d"', 'browser = "10s"', "contacts = 0", 'open_registration = "yes"']
)
def test_what_would_be_unsafe_names_file_and_table(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"portalsec\.toml.*recovery"):
        policy_of(tmp_path, f"[recovery]\n{wrong}\n")
