"""docs/reference/commands.md lists every command with every option, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest
from django.core.management.base import BaseCommand

from portalsec.cli.app import portalsec
from portalsec.django.management.commands import (
    portalsec_keys,
    portalsec_purge,
    portalsec_reencrypt,
    portalsec_verify,
    portalsec_wrap_passwords,
)
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
MANAGE: dict[str, type[BaseCommand]] = {
    f"manage.py {module.__name__.rpartition('.')[2]}": module.Command
    for module in (
        portalsec_verify,
        portalsec_purge,
        portalsec_keys,
        portalsec_reencrypt,
        portalsec_wrap_passwords,
    )
}


def commands(group: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, f"{path} {name}")
    else:
        yield path, group


CLICK = dict(commands(portalsec, "portalsec"))


def sections() -> dict[str, str]:
    parts = re.split(r"^### `(.*?)`$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (each.split("\n## ")[0] for each in parts[2::2]), strict=True))


def rows(section: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `(-[\w-]+)` \| (.*?) \|", section, flags=re.MULTILINE))


def test_every_command_has_a_section():
    assert list(sections()) == [*CLICK, *MANAGE]


@pytest.mark.parametrize("name", CLICK)
def test_every_option_is_listed_with_its_default(name: str):
    listed = rows(sections()[name])
    options = {each.opts[0]: each for each in CLICK[name].params if isinstance(each, click.Option)}
    assert set(listed) == set(options)
    for flag, option in options.items():
        assert (listed[flag] == "**required**") is option.required
        if option.show_default:
            assert listed[flag] == f"`{option.default}`"


@pytest.mark.parametrize("name", CLICK)
def test_every_argument_is_named(name: str):
    for each in CLICK[name].params:
        if isinstance(each, click.Argument):
            assert each.name is not None
            assert each.name.upper().rstrip("S") in sections()[name]


@pytest.mark.parametrize("name", MANAGE)
def test_every_option_of_a_management_command_is_listed(name: str):
    def flags(command: type[BaseCommand]) -> dict[str, object]:
        actions = command().create_parser("manage.py", "x")._actions
        return {each.option_strings[-1]: each.default for each in actions if each.option_strings}

    own = {flag: default for flag, default in flags(MANAGE[name]).items() if flag not in flags(BaseCommand)}
    listed = rows(sections()[name])
    assert set(listed) == set(own)
    for flag, default in own.items():
        if default not in (None, False):
            assert listed[flag] == f"`{default}`"
