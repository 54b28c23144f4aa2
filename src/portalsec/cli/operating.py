"""What the operator does to one account, and the commands that run beside a portal: mail, and removing what is over.

An account is named by its sign-in name, which is asked for where the command line has none: shells keep what was typed.
Exit codes: 0 done, 1 (``mail deliver --once``) some mail is to be tried again, 2 could not.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portalsec.cli.accounts import accounts
from portalsec.cli.fields import DONE, FAILURES, _sentences
from portalsec.cli.passwords import _config
from portalsec.errors import ConfigurationError, MissingExtra, StoreError
from portalsec.events import SYSTEM, Source

try:
    import click
except ImportError:
    raise MissingExtra("cli", package="click") from None

if TYPE_CHECKING:
    from portalsec.auth.courier import Courier, Delivered
    from portalsec.auth.ports import Account
    from portalsec.portal import Portal

__all__ = ["mail", "purge_command"]

_EVERY = 5.0  # seconds
_AT_ONCE = 50
_login = click.argument("login", required=False)
_note = click.option(
    "--note", required=True, metavar="CODE", help="Why: a code or a ticket's number, for the log."
)


# -- one account ----------------------------------------------------------------------------------------------------


@accounts.command("unlock")
@_login
@_config
@_note
def unlock_command(*, login: str | None, config: Path, note: str) -> None:
    """Forget what was counted against LOGIN, and tell its owner."""

    def work(portal: Portal, account: Account) -> str:
        portal.unlock.lift(account, actor=SYSTEM, source=Source())
        return "Unlocked: it can be signed in to as ever."

    _for_account(login, config, note, work)


@accounts.command("disable")
@_login
@_config
@_note
def disable_command(*, login: str | None, config: Path, note: str) -> None:
    """Disable LOGIN, end everything of it, and tell its owner."""

    def work(portal: Portal, account: Account) -> str:
        portal.accounts.disable(account.id, actor=SYSTEM, source=Source())
        return "Disabled: its sessions, sign-ins under way, known devices and mailed links have ended."

    _for_account(login, config, note, work)


@accounts.command("enable")
@_login
@_config
@_note
def enable_command(*, login: str | None, config: Path, note: str) -> None:
    """Enable LOGIN again; nothing that was ended comes back."""

    def work(portal: Portal, account: Account) -> str:
        portal.accounts.enable(account.id, actor=SYSTEM, source=Source())
        return "Enabled."

    _for_account(login, config, note, work)


@accounts.command("require-change")
@_login
@_config
@_note
def require_change_command(*, login: str | None, config: Path, note: str) -> None:
    """Have the next sign-in of LOGIN choose another password, and tell its owner. Sessions that are open stay."""

    def work(portal: Portal, account: Account) -> str:
        portal.password_change.require(account.id, "operator", actor=SYSTEM, source=Source())
        return "The next sign-in chooses another password."

    _for_account(login, config, note, work)


def _for_account(login: str | None, config: Path, note: str, work: Callable[[Portal, Account], str]) -> None:
    from portalsec.auth.account import canonical_login
    from portalsec.config.operating import open_for_operator
    from portalsec.config.settings import load_settings

    typed = click.prompt("Sign-in name") if login is None else login
    with _sentences(False):
        name = canonical_login(typed)
        with open_for_operator(load_settings(config), note=note) as portal:
            account = portal.stores.accounts.by_login(name)
            if account is None:
                raise ConfigurationError("no account has this sign-in name: nothing was done")
            said = work(portal, account)
        click.echo(said)


# -- mail ------------------------------------------------------------------------------------------------------------


@click.group()
def mail() -> None:
    """Send the mail that waits."""


@mail.command("deliver")
@_config
@click.option("--once", is_flag=True, help="Deliver what is due now, and end.")
def deliver_command(*, config: Path, once: bool) -> None:
    """Deliver mail that is due, every five seconds until stopped (Ctrl-C, SIGTERM). Any number may run at once."""
    from portalsec.config.operating import open_for_operator
    from portalsec.config.settings import load_settings

    code = DONE
    with _sentences(False):
        settings = load_settings(config)
        if settings["mail", "server"] is None:
            raise ConfigurationError(
                f'{settings.source}: [mail] server is missing: write server = "smtps://HOST:465"'
            )
        with open_for_operator(settings) as portal, _until_asked() as stop:
            if once:
                done = portal.courier.deliver(limit=sys.maxsize, stopping=stop.is_set)
                click.echo(_counted(done))
                code = FAILURES if done.later else DONE
            else:
                click.echo("Delivering mail.")
                while not stop.is_set():
                    _round(portal.courier, stop)
                    stop.wait(_EVERY)
    raise SystemExit(code)


def _round(courier: Courier, stop: threading.Event) -> None:
    """A store that does not answer is said, and asked again at the next round."""
    try:
        done = courier.deliver(limit=_AT_ONCE, stopping=stop.is_set)
    except StoreError as error:
        click.echo(f"Not now: {error}", err=True)
        return
    if done.sent or done.later or done.given_up:
        click.echo(_counted(done))


def _counted(done: Delivered) -> str:
    return f"{done.sent} mails sent, {done.later} to be tried again, {done.given_up} given up."


@contextmanager
def _until_asked() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM, as far as this is the main thread; the mail in hand goes out first."""
    stop = threading.Event()
    main = threading.current_thread() is threading.main_thread()
    asked = (signal.SIGTERM, signal.SIGINT) if main else ()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in asked}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# -- what is over ------------------------------------------------------------------------------------------------------


@click.command("purge")
@_config
def purge_command(*, config: Path) -> None:
    """Remove what is over: old sessions, sign-ins, links, devices, notices, removed authenticators. Run it once a day."""
    from portalsec.config.operating import open_for_operator
    from portalsec.config.settings import load_settings
    from portalsec.portal import purge

    with _sentences(False):
        with open_for_operator(load_settings(config)) as portal:
            removed = purge(portal)
        click.echo(
            f"Removed {removed.sessions} sessions, {removed.flows} sign-ins and links, {removed.devices} devices, "
            f"{removed.notices} notices and {removed.authenticators} authenticators that were over."
        )
