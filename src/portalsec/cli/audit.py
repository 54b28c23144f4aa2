"""``portalsec audit``: does the log verify, and what is in it.

The commands open the database read-only and need the log's public key at most; they create neither tables nor
files, but for ``anchor --adopt``, which writes the anchor. Exit codes: 0 the log is what was written, 1 it was tampered with, 2 that cannot be told: something is missing,
or entries have been unsigned for longer than `portalsec.audit.verify.UNSIGNED_LIMIT` and a checkpoint's interval.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer, Verifier
from portalsec.audit.ports import AuditStore, StoredEntry
from portalsec.audit.reports import lines_of
from portalsec.audit.verify import UNSIGNED_LIMIT, Progress, Report, verify
from portalsec.clock import system_clock
from portalsec.errors import ConfigurationError, MissingExtra, PortalsecError, StoreError, Tampered

try:
    import click
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise MissingExtra("cli", package=(error.name or "click").partition(".")[0]) from None

if TYPE_CHECKING:
    from portalsec.config.settings import Settings

__all__ = ["audit", "outcome_lines", "show_table", "verify_store"]

OK, TAMPERED, CANNOT_TELL = 0, 1, 2

_SHOWN = 20  # findings on a terminal; --json has more


@dataclass(frozen=True, slots=True)
class _Target:
    """What a command works on."""

    url: str
    verifier: str | None
    anchor: Path | None
    unsigned_limit: timedelta = UNSIGNED_LIMIT


# -- what needs no command line: tested by itself -----------------------------------------------------------------


def verify_store(
    store: AuditStore,
    *,
    verifier: Verifier,
    anchor: str | None,
    progress: Progress | None = None,
    unsigned_limit: timedelta = UNSIGNED_LIMIT,
) -> tuple[int, Report]:
    """Verify, and the exit code that says so."""
    report = verify(
        store,
        verifier=verifier,
        anchor=anchor,
        progress=progress,
        now=system_clock(),
        unsigned_limit=unsigned_limit,
    )
    if not report.ok:
        return TAMPERED, report
    return (OK if report.conclusive else CANNOT_TELL), report


def outcome_lines(code: int, report: Report) -> list[str]:
    """A report in words."""
    entries = f"{report.size} {'entry' if report.size == 1 else 'entries'}"
    if code == TAMPERED:
        lines = [f"TAMPERED: {report.found} finding{'' if report.found == 1 else 's'} in a log of {entries}."]
        lines += [f"  {problem.text}" for problem in report.problems[:_SHOWN]]
        if report.found > _SHOWN:
            lines.append(f"  ... and {report.found - _SHOWN} more (--json lists a thousand).")
    elif code == CANNOT_TELL:
        lines = [f"CANNOT TELL: {_why_not(report, entries)}"]
    else:
        lines = [f"OK: the log holds {entries}, and {report.covered} of them are exactly what was signed."]
    return lines + [f"Not covered: {note}" for note in report.unprotected]


def _why_not(report: Report, entries: str) -> str:
    if report.overdue is not None:
        return f"the log holds {entries}, {report.covered} of them signed, and signing has stopped."
    if report.size == 0 and report.staged == 0:
        return "the log is empty, and nothing says whether it was emptied."
    return f"the log holds {entries}, and no checkpoint has been signed yet."


def as_json(code: int, report: Report) -> str:
    """A report for machines."""
    return json.dumps(
        {
            "exit": code,
            "ok": report.ok,
            "conclusive": report.conclusive,
            "size": report.size,
            "staged": report.staged,
            "checkpoints": report.checkpoints,
            "covered": report.covered,
            "anchored": report.anchored,
            "overdue": None if report.overdue is None else report.overdue.isoformat(),
            "found": report.found,
            "problems": [asdict(problem) for problem in report.problems],
            "unprotected": report.unprotected,
        },
        indent=1,
    )


def show_table(entries: Sequence[StoredEntry]) -> tuple[Table, bool]:
    """Entries as a table, in the order given, and whether all of them are what was written."""
    table = Table("#", "time (UTC)", "who", "role", "action", "outcome", "why", "reason", "what", box=None)
    good = True
    for entry in entries:
        try:
            (line,) = lines_of([entry])
        except Tampered as error:
            good = False
            table.add_row(str(entry.index), Text(str(error)))
            continue
        resource = "" if line.resource is None else f"{line.resource.type} {line.resource.id or ''}".strip()
        cells = (
            str(line.index),
            f"{line.at:%Y-%m-%d %H:%M:%S}",
            line.actor_id or line.actor.type,
            line.actor_role,
            line.action,
            line.outcome.value,
            line.purpose,
            line.reason,
            resource,
        )
        table.add_row(*(Text(_plain(cell or "")) for cell in cells))
    return table, good


def _plain(text: str) -> str:
    """Nothing from the log may move the cursor, change the title or turn the reading direction of a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


# -- the commands -------------------------------------------------------------------------------------------------

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("portalsec.toml"),
    show_default=True,
    help="The portal's settings file.",
)
_database = click.option("--database", metavar="URL", help="A database instead of the settings file's.")


@click.group()
def audit() -> None:
    """Verify and read the audit log."""


@audit.command("verify")
@_config
@_database
@click.option("--verifier", metavar="KEY", help="The log's public key: its text, or a file that holds it.")
@click.option(
    "--anchor", type=click.Path(path_type=Path), metavar="FILE", help="The checkpoint kept outside the store."
)
@click.option("--no-anchor", is_flag=True, help="Verify without an anchor: an older copy goes unnoticed.")
@click.option("--json", "wants_json", is_flag=True, help="The whole report as JSON.")
def verify_command(
    *,
    config: Path,
    database: str | None,
    verifier: str | None,
    anchor: Path | None,
    no_anchor: bool,
    wants_json: bool,
) -> None:
    """Say whether the log is what was written: exit 0 yes, 1 tampered with, 2 cannot tell."""
    if anchor is not None and no_anchor:
        raise click.UsageError("--anchor and --no-anchor exclude each other")
    with _sentences(wants_json):
        target = _target(config, database, verifier, anchor)
        if target.verifier is None:
            raise ConfigurationError("no public key is known: give --verifier, or set [audit] verifier")
        key = Verifier.from_text(target.verifier)
        # Read before the store: the log may grow meanwhile, and must not be smaller than a newer anchor.
        note = None if no_anchor or target.anchor is None else _anchor(target.anchor)
        with _progress(not wants_json) as progress:
            code, report = _verified(target, key, note, progress)
        click.echo(as_json(code, report) if wants_json else "\n".join(outcome_lines(code, report)))
        raise SystemExit(code)


@audit.command("anchor")
@_config
@_database
@click.option("--verifier", metavar="KEY", help="The log's public key: its text, or a file that holds it.")
@click.option(
    "--anchor", type=click.Path(path_type=Path), metavar="FILE", help="The checkpoint kept outside the store."
)
@click.option("--adopt", is_flag=True, help="Write an anchor that is missing, from the log as it is now.")
def anchor_command(
    *, config: Path, database: str | None, verifier: str | None, anchor: Path | None, adopt: bool
) -> None:
    """Say what the anchor holds; with --adopt, begin one that is missing.

    The portal does not do that by itself: an older copy of the log would pass as the log once its anchor is gone.
    Adopt one only where it is new, or where you know why it is gone.
    """
    with _sentences(False):
        target = _target(config, database, verifier, anchor)
        if target.verifier is None or target.anchor is None:
            raise ConfigurationError(
                "the public key or the anchor is not known: give --verifier and --anchor"
            )
        key, file = Verifier.from_text(target.verifier), FileAnchor(target.anchor)
        held = file.read()
        if held is not None:
            click.echo(f"The anchor {file.path} holds the checkpoint of size {key.verify(held).size}.")
            if adopt:
                raise ConfigurationError("an anchor that holds a checkpoint is never replaced")
            return
        if not adopt:
            raise StoreError(
                f"the anchor {file.path} is missing: restore it; or, where it is new or you know that the log is "
                "whole, write it with --adopt"
            )
        with _opened(target.url) as store:
            notes = [kept.note for kept in store.checkpoints()]
        # Verified after it was read, with all that the store keeps: only a note that the log meets is adopted.
        code, report = _verified(target, key, None, None)
        if code != OK:
            click.echo("\n".join(outcome_lines(code, report)))
            raise SystemExit(code)
        file.publish(notes[-1])
        click.echo(f"The anchor {file.path} now holds the checkpoint of size {key.verify(notes[-1]).size}.")


@audit.command("show")
@_config
@_database
@click.option(
    "-n", "count", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many entries."
)
def show_command(config: Path, database: str | None, count: int) -> None:
    """The last entries, oldest first. Entries that still wait for their place are counted, not shown."""
    with _sentences(False):
        with _opened(_target(config, database, None, None, needs_key=False).url) as store:
            table, good = show_table(list(store.newest(limit=count))[::-1])
            waiting = len(store.staged())
        console = Console()
        if not console.is_terminal:
            console = Console(width=200)
        console.print(table)
        if waiting:
            click.echo(f"{waiting} more wait for their place.")
        raise SystemExit(OK if good else TAMPERED)


@contextlib.contextmanager
def _sentences(wants_json: bool) -> Iterator[None]:
    """Whatever stands in the way is one sentence and exit code 2, never a traceback."""
    try:
        yield
    except Tampered as error:
        click.echo(f"TAMPERED: {error}", err=True)
        raise SystemExit(TAMPERED) from None
    except PortalsecError as error:
        if wants_json:
            click.echo(json.dumps({"exit": CANNOT_TELL, "ok": None, "error": str(error)}))
        else:
            click.echo(f"CANNOT TELL: {error}", err=True)
        raise SystemExit(CANNOT_TELL) from None


@contextlib.contextmanager
def _progress(wanted: bool) -> Iterator[Progress | None]:
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield None
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("verifying", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _target(
    config: Path, database: str | None, verifier: str | None, anchor: Path | None, *, needs_key: bool = True
) -> _Target:
    key = None if verifier is None else _key_text(verifier, Path())
    if database is not None:
        return _Target(database, key, anchor)
    from portalsec.config.settings import load_settings

    settings = load_settings(config)
    if key is None and needs_key:
        key = _key_of(settings)
    return _Target(
        settings.url("stores", "audit"),
        key,
        anchor or settings.path("audit", "anchor"),
        UNSIGNED_LIMIT + settings["audit", "checkpoint_interval"],
    )


def _key_of(settings: Settings) -> str:
    """The public key of the settings: as given, or of the signing key where this machine has that one."""
    from portalsec.config.keys import resolve_reference

    given = settings["audit", "verifier"]
    if given is not None:
        return _key_text(given, settings.base)
    reference = settings["keys", "audit"]
    where = f"{settings.source}: [keys] audit"
    signer = resolve_reference(reference, key=where, base=settings.base, env=os.environ)
    try:
        return Ed25519Signer.from_text(signer).verifier_text
    except ConfigurationError as error:
        raise ConfigurationError(f"{where} ({reference}): {error}") from None


def _key_text(given: str, base: Path) -> str:
    """``name+id+base64`` itself, or the content of the file of that name."""
    if given.count("+") >= 2:
        return given
    try:
        return (base / given).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            "the log's public key is neither a key (name+id+base64) nor a file that can be read: "
            "check --verifier or [audit] verifier"
        ) from None


def _anchor(path: Path) -> str:
    note = FileAnchor(path).read()
    if note is None:
        # Removing the anchor must not be a way to pass.
        raise StoreError(
            f"the anchor {path} is missing, so an older copy of the log could not be told from the log: "
            "restore it, name another with --anchor, or verify without one with --no-anchor (and, if all is well, "
            "begin a new one with  portalsec audit anchor --adopt)"
        )
    return note


@contextlib.contextmanager
def _opened(url: str) -> Iterator[AuditStore]:
    from portalsec.sqlalchemy import SqlAudit, open_engine

    engine = open_engine(url, read_only=True)
    try:
        yield SqlAudit(engine)
    finally:
        engine.dispose()


def _verified(
    target: _Target, key: Verifier, note: str | None, progress: Progress | None
) -> tuple[int, Report]:
    def once() -> tuple[int, Report]:
        with _opened(target.url) as store:
            return verify_store(
                store,
                verifier=key,
                anchor=note,
                progress=progress,
                unsigned_limit=target.unsigned_limit,
            )

    with contextlib.suppress(StoreError):
        code, report = once()
        if code != TAMPERED:
            return code, report
    # A portal that started meanwhile may have changed the file under a reader that took it for unused: look again,
    # now that it is in use, before an alarm is raised.
    return once()
