"""``[passwords] breached``: what a portal asks is what its settings name, and a slip in them is one sentence."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from portalsec.auth._breach_format import key_of
from portalsec.auth.breached_build import build_breach_file
from portalsec.config.breaches import open_breach_sources
from portalsec.config.settings import Settings, load_settings
from portalsec.errors import ConfigurationError

HIBP = "https://api.pwnedpasswords.com/range/"


def settings(folder: Path, breached: object, env: dict[str, str] | None = None) -> Settings:
    tables: dict[str, object] = {"portal": {"name": "Riverside", "base_url": "https://portal.example"}}
    if breached is not None:
        tables["passwords"] = {"breached": breached}
    return load_settings(tables, base=folder, env=env or {})


def test_the_bundled_list_is_asked_from_the_first_minute(tmp_path: Path) -> None:
    (bundled,) = open_breach_sources(settings(tmp_path, None))
    assert bundled.name == "bundled"
    assert bundled.contains("passwordpassword")


def test_files_and_servers_beside_it(tmp_path: Path) -> None:
    build_breach_file([array("Q", [key_of("leaked here")])], tmp_path / "leaked.breach")
    bundled, file, server = open_breach_sources(settings(tmp_path, ["leaked.breach", HIBP]))
    assert (bundled.name, file.name, server.name) == ("bundled", "leaked.breach", "api.pwnedpasswords.com")
    assert [each.local for each in (bundled, file, server)] == [True, True, False]
    assert file.contains("leaked here")


def test_from_the_environment(tmp_path: Path) -> None:
    found = open_breach_sources(
        settings(tmp_path, None, {"PORTALSEC__PASSWORDS__BREACHED": f"{HIBP}, {HIBP}"})
    )
    assert len(found) == 3


@pytest.mark.parametrize(
    ("breached", "why"),
    [
        (["none.breach"], r"\[passwords\] breached: breach file .*none\.breach is missing: make it with"),
        (["http://range.example/"], r"\[passwords\] breached: the URL .* goes over the network unencrypted"),
        (["."], r"is not a file"),
        ([""], r"\[passwords\] breached: write a list"),
        (3, r"\[passwords\] breached: write a list"),
    ],
)
def test_a_slip_is_one_sentence(tmp_path: Path, breached: object, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        open_breach_sources(settings(tmp_path, breached))
    assert "\n" not in str(caught.value)
