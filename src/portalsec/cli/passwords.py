"""``portalsec passwords``: parameters for this machine, what is still old, and wrapping what another system hashed.

``calibrate`` changes nothing. ``report`` reads every account. ``wrap`` can be stopped and run again: what is done is
recognised, and an account whose password changes meanwhile keeps what it got. Exit codes: 0 done (``report``: nothing is
old), 1 something is left, 2 could not, 130 stopped.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portalsec.cli.fields import DONE, FAILURES, STOPPED, _ctrl_c, _sentences
from portalsec.errors import ConfigurationError, MissingExtra, Tampered
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent

try:
    import click
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Table
except ImportError as error:
    raise MissingExtra("cli", package=(error.name or "click").partition(".")[0]) from None

if TYPE_CHECKING:
    from portalsec.audit.log import AuditLog
    from portalsec.auth.passwords import HashInfo, Passwords
    from portalsec.auth.ports import Account, AccountStore

__all__ = ["passwords"]

_BATCH = 64
_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("portalsec.toml"),
    show_default=True,
    help="The portal's settings file.",
)
_json = click.option("--json", "wants_json", is_flag=True, help="The answer as JSON.")


@click.group()
def passwords() -> None:
    """Choose argon2id's parameters, count old hashes, and wrap those of another system."""


# -- calibrate ----------------------------------------------------------------------------------------------------


@passwords.command("calibrate")
@click.option(
    "--milliseconds",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="The time that one hash may take.",
)
@click.option(
    "--memory",
    type=click.IntRange(7, 1_048_576),
    default=512,
    show_default=True,
    metavar="MIB",
    help="The memory of all hashes that run at once.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 64),
    help="How many run at once; one less than the cores by default.",
)
@click.option(
    "--lanes", type=click.IntRange(1, 64), default=1, show_default=True, help="Parallelism of one hash."
)
@_json
def calibrate_command(
    *, milliseconds: int, memory: int, concurrency: int | None, lanes: int, wants_json: bool
) -> None:
    """Measure argon2id on this machine and print the line for portalsec.toml. Nothing is changed."""
    from portalsec.auth.calibrate import Calibration, calibrate, seconds_of
    from portalsec.auth.hash_costs import Argon2Parameters

    at_once = concurrency or max(1, (os.cpu_count() or 1) - 1)
    with _sentences(wants_json):
        with _bar("measuring", not wants_json) as (bar, shown):

            def measure(parameters: Argon2Parameters, count: int) -> float:
                bar.update(shown, description=f"measuring {_spelled(parameters)}", advance=1)
                return seconds_of(parameters, count)

            found: Calibration = calibrate(
                target=timedelta(milliseconds=milliseconds),
                memory_kib=memory * 1024,
                concurrency=at_once,
                lanes=lanes,
                measure=measure,
            )
        line = f'hashing = "{_spelled(found.chosen.parameters)}"'
        if wants_json:
            rows = [
                {"parameters": _spelled(each.parameters), "seconds": each.seconds, "fits": each.fits}
                for each in found.trials
            ]
            click.echo(
                json.dumps(
                    {"trials": rows, "concurrency": at_once, "within": found.within, "line": line}, indent=1
                )
            )
            return
        table = Table("memory", "passes", "lanes", "one hash", "", box=None)
        for each in found.trials:
            note = "chosen" if each is found.chosen else "" if each.fits else "too slow"
            mine = each.parameters
            table.add_row(
                f"{mine.memory_kib // 1024} MiB",
                str(mine.time_cost),
                str(mine.parallelism),
                f"{1000 * each.seconds:.1f} ms",
                note,
            )
        _print(table)
        if not found.within:
            click.echo(
                f"Nothing at or above the OWASP floor is done in {milliseconds} ms here; nothing weaker is offered."
            )
        click.echo(f"{at_once} at once take {at_once * found.chosen.parameters.memory_kib // 1024} MiB.")
        click.echo(f"In portalsec.toml:\n\n[passwords]\n{line}\nconcurrency = {at_once}")


def _spelled(parameters: Any) -> str:
    return f"m={parameters.memory_kib},t={parameters.time_cost},p={parameters.parallelism}"


# -- report -------------------------------------------------------------------------------------------------------


@passwords.command("report")
@_config
@_json
def report_command(*, config: Path, wants_json: bool) -> None:
    """Count the accounts' password hashes by scheme, parameters and pepper key: exit 0 where none is old, else 1."""
    from portalsec.auth.hash_costs import cost_text
    from portalsec.config.hashes import all_accounts, open_hashes
    from portalsec.config.settings import load_settings

    with _sentences(wants_json):
        counts: Counter[HashInfo] = Counter()
        without = 0
        with open_hashes(load_settings(config)) as (store, hashing):
            older = [cost_text(cost) for cost in hashing.older]
            with _bar("reading", not wants_json) as (bar, shown):
                for account in all_accounts(store):
                    bar.update(shown, advance=1)
                    if account.password_hash is None:
                        without += 1
                    else:
                        counts[hashing.describe(account.password_hash)] += 1
        old = sum(count for info, count in counts.items() if not info.current)
        found = {_cost(info) for info in counts}
        unused = [text for text in older if text not in found]
        code = FAILURES if old else DONE
        if wants_json:
            rows = [{**_row(info), "accounts": count} for info, count in counts.most_common()]
            answer = {"exit": code, "old": old, "without": without, "hashes": rows, "unused": unused}
            click.echo(json.dumps(answer, indent=1))
        else:
            _say_report(counts, old=old, without=without, unused=unused)
    raise SystemExit(code)


def _row(info: HashInfo) -> dict[str, Any]:
    names = ("scheme", "parameters", "wrapped", "bound", "pepper", "verifies", "current", "listed")
    return {name: getattr(info, name) for name in names}


def _cost(info: HashInfo) -> str:
    """As ``[passwords] older`` has it."""
    return f"{info.scheme}:{info.parameters}" if info.parameters else info.scheme


def _say_report(counts: Counter[HashInfo], *, old: int, without: int, unused: list[str]) -> None:
    table = Table("hash", "pepper", "accounts", "", box=None)
    for info, count in counts.most_common():
        if info.current:
            note = "as today"
        elif not info.verifies:
            note = "its pepper key is not enabled" if info.pepper else "verifies for nobody: wrap it"
        else:
            note = "made anew at the next sign-in"
            if not info.listed:
                note += f'; its age shows: add "{_cost(info)}" to [passwords] older'
        table.add_row(
            _cost(info) + (" (wrapped)" if info.wrapped else ""),
            info.pepper or "-",
            f"{count:,}",
            escape(note),
        )
    _print(table)
    if without:
        click.echo(f"{without:,} accounts have no password.")
    for text in unused:
        click.echo(
            f'Nothing costs "{text}" any more: take it out of [passwords] older, and sign-ins are faster.'
        )
    click.echo(f"{old:,} hashes are old." if old else "Nothing is old.")


# -- wrap ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Wrapping:
    """What a run came to."""

    wrapped: int = 0
    changed: int = 0
    unknown: list[str] = field(default_factory=list)


@passwords.command("wrap")
@_config
@click.option(
    "--form",
    type=click.Choice(["raw", "nfc", "nfkc"]),
    default="raw",
    show_default=True,
    help="What the other system did to a password before hashing it.",
)
@click.option(
    "--scheme",
    help="What does not say what it is: md5, sha1 or nthash for bare hexadecimal digits; werkzeug for its md5$ and sha1$.",
)
@click.option("--dry-run", is_flag=True, help="Count them, and write nothing.")
@_json
def wrap_command(*, config: Path, form: str, scheme: str | None, dry_run: bool, wants_json: bool) -> None:
    """Put argon2id around every raw hash of another system in the SQL store, beside the portal that goes on."""
    from portalsec.cli.keys import opened_log
    from portalsec.config.hashes import all_accounts, open_hashes
    from portalsec.config.settings import load_settings

    outcome, stopped = _Wrapping(), False
    with _sentences(wants_json):
        settings = load_settings(config)
        with open_hashes(settings) as (store, hashing):
            total = _due(hashing, all_accounts(store), scheme, outcome)
            if not dry_run and total:
                with (
                    opened_log(settings) as log,
                    _ctrl_c() as stop,
                    _bar("wrapping", not wants_json, total) as (bar, shown),
                ):
                    foreign = (account for account in all_accounts(store) if _raw(hashing, account, scheme))
                    for batch in _batches(foreign):
                        _wrap(batch, outcome, store=store, log=log, hashing=hashing, form=form, scheme=scheme)
                        bar.update(shown, advance=len(batch))
                        if stop:
                            stopped = True
                            break
        code = STOPPED if stopped else FAILURES if outcome.unknown else DONE
        if wants_json:
            answer = {
                "exit": code,
                "due": total,
                "wrapped": outcome.wrapped,
                "changed": outcome.changed,
                "unknown": outcome.unknown,
            }
            click.echo(json.dumps(answer, indent=1))
        else:
            _say_wrapping(outcome, total, stopped=stopped, dry_run=dry_run)
    raise SystemExit(code)


def _raw(hashing: Passwords, account: Account, scheme: str | None) -> HashInfo | None:
    """What the account's hash is where it is another system's, unwrapped; None where it is portalsec's or none."""
    if account.password_hash is None:
        return None
    info = hashing.describe(account.password_hash, scheme=scheme)
    if info.scheme == "unknown" and scheme is not None:
        info = hashing.describe(account.password_hash)
    return None if info.bound or info.verifies else info


def _due(hashing: Passwords, accounts: Iterable[Account], scheme: str | None, outcome: _Wrapping) -> int:
    """How many there are to wrap; the accounts whose hash nobody knows. Costs that are not listed stop it here."""
    from portalsec.auth.hash_costs import cost_text

    listed = {cost_text(cost) for cost in hashing.older}
    costs: Counter[str] = Counter()
    for account in accounts:
        info = _raw(hashing, account, scheme)
        if info is not None and info.scheme == "unknown":
            outcome.unknown.append(account.id)
        elif info is not None:
            costs[_cost(info)] += 1
    if missing := sorted(costs.keys() - listed):
        named = ", ".join(f'"{text}"' for text in missing)
        raise ConfigurationError(
            f"hashes cost what [passwords] older does not list, so that their age would show: add {named} to it, "
            "restart the portal, and run this again"
        )
    return costs.total()


def _batches(accounts: Iterator[Account]) -> Iterator[list[Account]]:
    while batch := list(islice(accounts, _BATCH)):
        yield batch


def _wrap(
    batch: list[Account],
    outcome: _Wrapping,
    *,
    store: AccountStore,
    log: AuditLog,
    hashing: Passwords,
    form: Any,
    scheme: str | None,
) -> None:
    def wrapped(account: Account) -> str | None:
        stored = account.password_hash or ""
        bare = scheme if hashing.describe(stored, scheme=scheme).scheme != "unknown" else None
        try:
            return hashing.wrap(stored, account_id=account.id, form=form, scheme=bare)
        except Tampered:
            return None  # counted before; it stays as it is and verifies for nobody

    with ThreadPoolExecutor(hashing.concurrency) as threads:
        for account, new in zip(batch, threads.map(wrapped, batch), strict=True):
            if new is None:
                continue
            # Only where it still is what was read: a password that was set meanwhile stays.
            if not store.set_password(account.id, new, expected=account.password_hash):
                outcome.changed += 1
                continue
            outcome.wrapped += 1
            log.record(
                SecurityEvent(
                    name=Event.AUTH_PASSWORD_REHASHED,
                    actor=SYSTEM,
                    resource=ResourceRef(type="account", id=account.id),
                    details={"wrapped": hashing.describe(new).scheme},
                )
            )


def _say_wrapping(outcome: _Wrapping, total: int, *, stopped: bool, dry_run: bool) -> None:
    if dry_run:
        click.echo(f"{total:,} hashes of another system would be wrapped.")
    else:
        click.echo(f"{outcome.wrapped:,} of {total:,} hashes were wrapped.")
    if outcome.changed:
        click.echo(f"{outcome.changed:,} changed meanwhile: what the portal wrote was kept.")
    if outcome.unknown:
        click.echo(f"{len(outcome.unknown):,} are of no system that portalsec reads, and verify for nobody:")
        for account_id in outcome.unknown[:20]:
            click.echo(f"  account {account_id}")
        if len(outcome.unknown) > 20:
            click.echo("  ... and more (--json lists all)")
    if stopped:
        click.echo("Stopped. The same command goes on: what is done is recognised.")


# -- how it is told -----------------------------------------------------------------------------------------------


def _print(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


@contextmanager
def _bar(what: str, wanted: bool, total: int | None = None) -> Iterator[tuple[Progress, Any]]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not (wanted and console.is_terminal),
    ) as bar:
        yield bar, bar.add_task(what, total=total)
