"""``portalsec accounts``: which accounts nobody uses any more.

``dormant`` can be run daily, stopped and run again: what is done is recognised. Its mails go out with the portal's own.
Exit codes: 0 done, 1 there are accounts of which nothing is known (somebody must look), 2 could not, 130 stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from portalsec.cli.fields import DONE, FAILURES, STOPPED, _ctrl_c, _sentences
from portalsec.cli.passwords import _bar, _config, _json
from portalsec.errors import MissingExtra
from portalsec.events import SecurityEvent

try:
    import click
except ImportError:
    raise MissingExtra("cli", package="click") from None

__all__ = ["accounts"]

_WORDS = {
    "active": "in use",
    "notify": "are told now that they will be disabled",
    "waiting": "were told and have time left",
    "disable": "are disabled now",
    "disabled": "were disabled before",
    "unknown": "have no known use and no known beginning: look at them",
}


@click.group()
def accounts() -> None:
    """Unlock, disable and enable one; find those that nobody uses, tell their owners, and disable them."""


@accounts.command("dormant")
@_config
@click.option("--except", "spared", multiple=True, metavar="NAME", help="A sign-in name to leave alone.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@_json
def dormant_command(*, config: Path, spared: tuple[str, ...], dry_run: bool, wants_json: bool) -> None:
    """Tell the owners of accounts that nobody uses, and disable those who were told in time.

    [accounts] dormant_after and dormant_notice say when.
    """
    from portalsec.auth.account import canonical_login
    from portalsec.cli.keys import opened_log
    from portalsec.config.dormancy import open_dormancy
    from portalsec.config.settings import load_settings

    counts: Counter[str] = Counter()
    touched: dict[str, list[str]] = {"notify": [], "disable": [], "unknown": []}
    stopped = False
    with _sentences(wants_json):
        settings = load_settings(config)
        names = frozenset(canonical_login(name) for name in spared)

        def emit(event: SecurityEvent) -> None:
            log.record(event)

        with (
            opened_log(settings) as log,
            open_dormancy(settings, emit=emit) as (_, dormancy),
            _ctrl_c() as stop,
            _bar("looking", not wants_json) as (bar, shown),
        ):
            for found in dormancy.run(dry_run=dry_run, exempt=lambda account: account.login in names):
                counts[found.state.value] += 1
                if found.state.value in touched:
                    touched[found.state.value].append(found.account_id)
                bar.update(shown, advance=1)
                if stop:
                    stopped = True
                    break
        code = STOPPED if stopped else FAILURES if touched["unknown"] else DONE
        if wants_json:
            answer = {"exit": code, "dry_run": dry_run, "counts": dict(counts), **touched}
            click.echo(json.dumps(answer, indent=1))
        else:
            for state, words in _WORDS.items():
                if counts[state]:
                    click.echo(f"{counts[state]:,} {words}.")
            if not counts:
                click.echo("There are no accounts.")
            if dry_run:
                click.echo("Nothing was done: this was a dry run.")
            if stopped:
                click.echo("Stopped: run it again for the rest.")
    raise SystemExit(code)
