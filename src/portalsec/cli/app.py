"""The group of commands; one file for each group below it."""

from __future__ import annotations

from portalsec.errors import MissingExtra

try:
    import click
except ImportError:
    raise MissingExtra("cli", package="click") from None

from portalsec.cli.accounts import accounts
from portalsec.cli.audit import audit
from portalsec.cli.breached import breached
from portalsec.cli.fields import fields
from portalsec.cli.keys import keys
from portalsec.cli.operating import mail, purge_command
from portalsec.cli.passwords import passwords

__all__ = ["portalsec"]


@click.group()
def portalsec() -> None:
    """The security of a portal, proven by tests."""


portalsec.add_command(audit)
portalsec.add_command(keys)
portalsec.add_command(fields)
portalsec.add_command(passwords)
portalsec.add_command(breached)
portalsec.add_command(accounts)
portalsec.add_command(mail)
portalsec.add_command(purge_command)
