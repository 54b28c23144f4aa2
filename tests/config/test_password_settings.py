"""What ``[passwords]`` asks of new passwords, from the settings to a refusal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from portalsec.auth.password_policy import PasswordPolicy, PasswordRefused
from portalsec.config.opening import open_policies
from portalsec.config.settings import load_settings
from portalsec.errors import ConfigurationError
from portalsec.portal import close_portal
from tests.config.test_hash_settings import write
from tests.config.test_opening import folder, opened  # noqa: F401 - folder is a fixture


def policy_of(folder: Path, passwords: str = "") -> PasswordPolicy:  # noqa: F811
    if passwords:
        write(folder, f"\n[passwords]\n{passwords}\n")
    return open_policies(load_settings(folder / "portalsec.toml", env={})).passwords


@pytest.mark.parametrize("name", ["NIST_800_63B_4", "OWASP_ASVS_5_0", "PATIENT_ADVICE_12"])
def test_a_preset_is_chosen_by_its_name_and_knows_the_portals_own(folder: Path, name: str) -> None:  # noqa: F811
    preset = getattr(PasswordPolicy, name)
    policy = policy_of(folder, f'policy = "{name}"\nwords = ["Riverside"]')
    assert (policy.min_length, policy.kinds, policy.history, policy.max_age) == (
        preset.min_length,
        preset.kinds,
        0,
        None,
    )
    assert "Riverside" in policy.words
    assert len(policy.words) == 2  # and the portal's name


def test_history_and_age_are_added_for_those_who_must(folder: Path) -> None:  # noqa: F811
    policy = policy_of(folder, 'history = 5\nmax_age = "90d"')
    assert (policy.history, policy.max_age) == (5, timedelta(days=90))
    assert policy.kinds == ()


def test_an_age_under_a_day_names_the_setting(folder: Path) -> None:  # noqa: F811
    with pytest.raises(
        ConfigurationError, match=r"portalsec\.toml: \[passwords\] .*max_age is at least a day"
    ):
        policy_of(folder, 'max_age = "1h"')


@pytest.mark.parametrize(
    "wrong", ["history = 25", "history = -1", 'unreachable = "ignore"', 'policy = "NIST"']
)
def test_a_wrong_value_names_the_key(folder: Path, wrong: str) -> None:  # noqa: F811
    with pytest.raises(ConfigurationError, match=rf"\[passwords\] {wrong.split(' ', maxsplit=1)[0]}"):
        policy_of(folder, wrong)


def test_the_portal_asks_what_its_settings_say_and_the_list_that_comes_with_it(folder: Path) -> None:  # noqa: F811
    write(folder, '\n[passwords]\npolicy = "PATIENT_ADVICE_12"\nhistory = 3\nunreachable = "refuse"\n')
    portal = opened(folder)
    assert (portal.new_passwords.keep, portal.new_passwords.unreachable) == (3, "refuse")
    for password, expected in (
        ("lanternorbitvelvet", ["needs_digit", "needs_symbol"]),
        ("Thequickbrownfox1!", ["breached"]),
    ):
        with pytest.raises(PasswordRefused) as refusal:
            portal.accounts.create(login="ana@example.org", password=password)
        assert [problem.id for problem in refusal.value.problems] == expected
    close_portal(portal)


def test_a_sign_in_asks_the_lists_unless_the_settings_say_no(folder: Path) -> None:  # noqa: F811
    assert open_policies(load_settings(folder / "portalsec.toml", env={})).check_at_sign_in
    write(folder, "\n[passwords]\ncheck_at_sign_in = false\n")
    assert not open_policies(load_settings(folder / "portalsec.toml", env={})).check_at_sign_in
