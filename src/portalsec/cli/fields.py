"""``portalsec fields``: put cells under the primary key, and count what is left.

Without TARGET these are the portal's own, of the databases and keys in ``portalsec.toml``: sign-in names and their
hashes, seeds of authenticators, wrapped keys of subjects. TARGET is an import string, ``module:name``: an `EncryptedTable`, a mapped class, a declarative base, or an iterable of
them. It may be a function without arguments that returns such, and loads the application's keys.

A run may be stopped at any point, by Ctrl-C or otherwise: with ``--resume FILE`` its place is written after each batch
that is committed. Exit codes: 0 done, 1 cells failed (or, of ``status``, remain), 2 could not run; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portalsec.crypto.cells import key_to_json
from portalsec.errors import ConfigurationError, MissingExtra, PortalsecError

try:
    import click
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.progress import Task as BarTask
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise MissingExtra("cli", package=(error.name or "click").partition(".")[0]) from None

if TYPE_CHECKING:
    from portalsec.crypto.rotation import Failure, Progress, Reencryption
    from portalsec.sqlalchemy.cells import EncryptedTable

__all__ = ["fields"]

DONE, FAILURES, COULD_NOT, STOPPED = 0, 1, 2, 130

_SHOWN = 20  # failures on a terminal; --failures has all of them
_VERSION = 2
_PORTAL = "the portal's own tables"
_COUNTING = 1  # rows a transaction, where nothing is written


# -- what a run comes to ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Outcome:
    """Counts over all tables, and the first failures."""

    changed: int = 0
    kept: int = 0
    erased: int = 0
    failed: int = 0
    done: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, table: str, progress: Progress) -> None:
        self.tables[table] = {"rows": progress.done, "changed": progress.changed, "failed": progress.failed}
        for name in ("changed", "kept", "erased", "failed", "done"):
            setattr(self, name, getattr(self, name) + getattr(progress, name))

    def show(self, failure: dict[str, Any]) -> None:
        if len(self.shown) < _SHOWN:
            self.shown.append(failure)

    def as_json(self, code: int, *, dry_run: bool) -> str:
        return json.dumps(
            {
                "exit": code,
                "dry_run": dry_run,
                "rows": self.done,
                "changed": self.changed,
                "kept": self.kept,
                "erased": self.erased,
                "failed": self.failed,
                "failures": self.shown,
                "tables": self.tables,
            },
            indent=1,
        )


class _State:
    """Where each table's run is, in a file that is replaced after each batch; one for nothing writes nothing.

    Of another database its cursors would pass over rows that nobody has looked at: so the file bears a mark of its own.
    """

    def __init__(self, path: Path | None, target: str, database: str) -> None:
        self._path, self._target, self._database = path, target, database
        self.cursors: dict[str, Mapping[str, Any]] = {}
        if path is not None and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        over = self._target
        try:
            held = json.loads(path.read_text("utf-8"))
            if held["version"] == _VERSION and held["target"] == self._target:
                if held["database"] == self._database:
                    self.cursors = dict(held["cursors"])
                    return
                over = f"{self._target} in this database, but in another one"
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise ConfigurationError(
            f"{path} is not the state of a run over {over}: name another file, or remove it to begin anew"
        )

    def keep(self, table: str, cursor: Mapping[str, Any]) -> None:
        self.cursors[table] = cursor
        if self._path is None:
            return
        from portalsec.config.keys import replace_private
        from portalsec.secret import Secret

        held = {
            "version": _VERSION,
            "target": self._target,
            "database": self._database,
            "cursors": self.cursors,
        }
        replace_private(
            self._path, Secret(json.dumps(held) + "\n")
        )  # keys of rows may say something of people

    def remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


# -- what is worked on --------------------------------------------------------------------------------------------


def tables_of(target: str) -> list[EncryptedTable]:
    """The tables that an import string names. Raises `ConfigurationError`."""
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ConfigurationError(f"{target!r}: write module:name, as in  portal.models:Base")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does: the application need not be installed
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # something that the application itself wants
        found = None
    if found is None:
        raise ConfigurationError(f"{target}: there is no module {module} here")
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = None
            break
    if found is None:
        raise ConfigurationError(f"{target}: module {module} has no {name}")
    tables = list(_tables(found, target))
    if not tables:
        raise ConfigurationError(f"{target} has no encrypted columns")
    return tables


def _tables(found: Any, target: str) -> Iterator[EncryptedTable]:
    from portalsec.sqlalchemy.cells import EncryptedTable

    if isinstance(found, EncryptedTable):
        yield found
    elif isinstance(found, type):
        yield from _mapped(found, target)
    elif callable(found):
        yield from _tables(found(), target)
    elif isinstance(found, Iterable) and not isinstance(found, (str, bytes)):
        for each in found:
            yield from _tables(each, target)
    else:
        raise ConfigurationError(
            f"{target} is a {type(found).__name__}: name an EncryptedTable, a mapped class, a declarative base, "
            "an iterable of them, or a function that returns them"
        )


def _mapped(model: type[Any], target: str) -> Iterator[EncryptedTable]:
    from sqlalchemy import inspect
    from sqlalchemy.orm import DeclarativeBase, registry

    from portalsec.sqlalchemy.fields import NothingEncrypted, cells_of

    mapper = inspect(model, raiseerr=False)
    if mapper is not None:
        yield cells_of(model)
        return
    found = getattr(model, "registry", None)
    if not isinstance(found, registry):
        raise ConfigurationError(
            f"{target}: {model.__name__} is neither a mapped class nor a declarative base"
        )
    seen = set()
    found.configure()
    for each in sorted(found.mappers, key=lambda one: one.class_.__name__):
        if each.local_table not in seen and (
            not issubclass(model, DeclarativeBase) or issubclass(each.class_, model)
        ):
            seen.add(each.local_table)
            with contextlib.suppress(NothingEncrypted):
                yield cells_of(each.class_)


@contextlib.contextmanager
def _runs(
    target: str | None, database: str | None, config: Path, batch: int, *, cells_only: bool = False
) -> Iterator[Mapping[str, Reencryption]]:
    if target is None:
        if cells_only:
            raise ConfigurationError(
                "--cells-only is of a TARGET: the portal's own tables are always done whole"
            )
        if database is not None:
            raise ConfigurationError(
                "--database is of a TARGET: name it, or leave --database out for the portal's own tables"
            )
        from portalsec.config.rotation import portal_runs
        from portalsec.config.settings import load_settings

        with portal_runs(load_settings(config), batch=batch) as runs:
            yield runs
        return
    if database is None:
        raise ConfigurationError(f"{target}: say in which database its tables are, by --database URL")
    with _runs_of_target(target, database, batch, cells_only=cells_only) as runs:
        yield runs


@contextlib.contextmanager
def _runs_of_target(
    target: str, database: str, batch: int, *, cells_only: bool
) -> Iterator[Mapping[str, Reencryption]]:
    from sqlalchemy import create_engine, inspect
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    tables = tables_of(target)
    if cells_only:
        tables = [each for each in map(_without_tags, tables) if each.tasks]
    problem = None
    try:
        # The application's database: its settings are its own, so that nothing here is but what a client does.
        engine = create_engine(database, hide_parameters=True)
    except (ArgumentError, ImportError):
        # SQLAlchemy's own message would repeat the text, and with it a password.
        problem = "the database URL is not one: write sqlite:///path or postgresql+psycopg://user@host/name"
    if problem is not None:
        raise ConfigurationError(problem)
    path = engine.url.database
    if engine.dialect.name == "sqlite" and not Path(path or "").is_file():
        raise ConfigurationError(f"there is no database at {path}")
    try:
        try:
            inspected = inspect(engine)
            missing = [
                each.table.name
                for each in tables
                if not inspected.has_table(each.table.name, schema=each.table.schema)
            ]
        except SQLAlchemyError as error:
            cause = type(getattr(error, "orig", None) or error).__name__
            problem = (
                f"the database {engine.url.render_as_string(hide_password=True)} does not answer ({cause})"
            )
        if problem is None and missing:
            problem = f"the database has no table {missing[0]}"
        if problem is not None:
            raise ConfigurationError(problem)
        yield {
            _name(each, number, tables): each.over(engine, batch=batch) for number, each in enumerate(tables)
        }
    finally:
        engine.dispose()


def _mark(target: str | None, database: str | None, config: Path) -> str:
    """Which databases a run is over."""
    from sqlalchemy import make_url

    from portalsec._databases import database_mark

    if target is not None:
        urls = [str(database)]
    else:
        from portalsec.config.settings import load_settings

        settings = load_settings(config)
        both = ("security", "subjects" if settings["stores", "subjects"] else "security")
        urls = [settings.url("stores", which) for which in both]
    marks = []
    for each in urls:
        url = make_url(each)
        # Where the driver takes a host or a schema from the query, or, without a database, the user's name for it.
        query = [str(url.query.get(name)) for name in ("host", "port", "dbname", "service", "options")]
        user = None if url.database else url.username
        marks.append(database_mark(url.get_backend_name(), url.host, url.port, url.database, user, *query))
    return ":".join(marks)


def _without_tags(table: EncryptedTable) -> EncryptedTable:
    from portalsec.crypto.rotation import RebuildCompound, RebuildIndex, Reencrypt

    kept = [each for each in table.tasks if not isinstance(each, (RebuildCompound, RebuildIndex))]
    tasks = [replace(each, tags={}) if isinstance(each, Reencrypt) else each for each in kept]
    return replace(table, tasks=tasks)


def _name(table: EncryptedTable, number: int, tables: list[EncryptedTable]) -> str:
    name = table.table.fullname
    return name if sum(each.table.fullname == name for each in tables) == 1 else f"{name}#{number}"


# -- the commands -------------------------------------------------------------------------------------------------

_target = click.argument("target", required=False)
_database = click.option("--database", metavar="URL", help="The application's database; with TARGET.")
_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("portalsec.toml"),
    show_default=True,
    help="The portal's settings file; without TARGET.",
)
_cells_only = click.option("--cells-only", is_flag=True, help="Leave out the tags of blind indexes.")
_json = click.option("--json", "wants_json", is_flag=True, help="The answer as JSON.")


@click.group()
def fields() -> None:
    """Re-encrypt cells and count them by key: the portal's own, or those of an application's tables."""


@fields.command("reencrypt")
@_target
@_database
@_config
@click.option(
    "--batch", type=click.IntRange(1, 100_000), default=2000, show_default=True, help="Rows a transaction."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the place here, and go on from it.",
)
@click.option(
    "--failures",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="List every failure here, a line of JSON each.",
)
@click.option("--dry-run", is_flag=True, help="Do everything but the writing.")
@_cells_only
@_json
def reencrypt_command(
    *,
    target: str | None,
    database: str | None,
    config: Path,
    batch: int,
    resume: Path | None,
    failures: Path | None,
    dry_run: bool,
    cells_only: bool,
    wants_json: bool,
) -> None:
    """Do what TARGET describes to every row, beside the application that goes on.

    Without TARGET: put all that the portal itself keeps under the keys that write.
    """
    outcome = _Outcome()
    with _sentences(wants_json), contextlib.ExitStack() as stack:
        if dry_run and resume is not None:
            raise ConfigurationError("--dry-run does nothing that could be resumed: leave --resume out")
        runs = stack.enter_context(_runs(target, database, config, batch, cells_only=cells_only))
        state = _State(resume, target or _PORTAL, _mark(target, database, config))
        lines = None if failures is None else stack.enter_context(_opened(failures))
        stop = stack.enter_context(_ctrl_c())
        bar = stack.enter_context(_bar(not wants_json))
        stopped = False
        for name, run in runs.items():
            last = None
            shown = bar.add_task(name, total=None)
            for last in run.run(resume=state.cursors.get(name), dry_run=dry_run):
                found = [_as_json(name, failure) for failure in last.failures]
                if lines is not None and found:
                    lines.write("".join(json.dumps(each) + "\n" for each in found))
                    lines.flush()
                for each in found:
                    outcome.show(each)
                if not dry_run:
                    state.keep(name, last.cursor)
                bar.update(shown, completed=min(last.done, last.total), total=last.total)
                if stop:
                    stopped = True
                    break
            if last is not None:
                outcome.add(name, last)
            if stopped:
                break
        code = STOPPED if stopped else FAILURES if outcome.failed else DONE
        if not stopped:
            state.remove()
    if wants_json:
        click.echo(outcome.as_json(code, dry_run=dry_run))
    else:
        _say(outcome, stopped=stopped, resume=resume, dry_run=dry_run)
        if target is None and code == DONE and not dry_run:
            click.echo(
                "Tables of an application have their own runs: portalsec fields reencrypt TARGET --database URL"
            )
    raise SystemExit(code)


@fields.command("status")
@_target
@_database
@_config
@_cells_only
@_json
def status_command(
    *, target: str | None, database: str | None, config: Path, cells_only: bool, wants_json: bool
) -> None:
    """What each column's cells and tags are under: exit 0 where all are under the key that writes, else 1.

    Tags do not tell: every cell that has some is opened, and they are made again. --cells-only says nothing of them.
    Without TARGET: all that the portal itself keeps under its keys.
    """
    with (
        _sentences(wants_json),
        _runs(target, database, config, _COUNTING, cells_only=cells_only) as runs,
    ):
        found = {name: run.remaining() for name, run in runs.items()}
    columns = [(name, each) for name, of_table in found.items() for each in of_table]
    left, unmarked = sum(each.left for _, each in columns), sum(each.unmarked for _, each in columns)
    code = DONE if all(each.done for _, each in columns) else FAILURES
    if wants_json:
        names = ("current", "older", "unknown", "unmarked", "stale")
        tables = {
            name: {each.column: {what: getattr(each, what) for what in names} for each in of_table}
            for name, of_table in found.items()
        }
        click.echo(json.dumps({"exit": code, "left": left, "unmarked": unmarked, "tables": tables}, indent=1))
        raise SystemExit(code)
    table = Table("table", "column", "under", "cells or tags", box=None)
    for name, each in columns:
        under = {
            "the key that writes": each.current,
            **{f"key {key}": count for key, count in each.older.items()},
            "another key, or none: not what the cell gives": each.stale,
            "no key of the keyset": each.unknown,
            "no mark: under a RAW key, or none of ours": each.unmarked,
        }
        for what, count in under.items():
            if count or what == "the key that writes":
                table.add_row(name, each.column, what, f"{count:,}")
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
    if left:
        what = "cells or tags" if any(each.stale for _, each in columns) else "cells"
        click.echo(f"{left:,} {what} are not under the key that writes.")
    if unmarked:
        click.echo(
            f"{unmarked:,} cells bear no mark, nor does the key that writes: what they are under cannot be told. "
            "Rotate to a key with a prefix (any but RAW)."
        )
    if code == DONE:
        click.echo("Nothing is left." if not cells_only else "No cell is left. Tags were not looked at.")
    if target is None and code == DONE:
        click.echo(
            "That is the portal's own. Tables of an application: portalsec fields status TARGET --database URL"
        )
    raise SystemExit(code)


# -- how it is told -----------------------------------------------------------------------------------------------


def _as_json(table: str, failure: Failure) -> dict[str, Any]:
    return {
        "table": table,
        "key": key_to_json(failure.key),
        "column": failure.column,
        "reason": failure.reason,
    }


def _say(outcome: _Outcome, *, stopped: bool, resume: Path | None, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    if len(outcome.tables) > 1:
        for name, counts in outcome.tables.items():
            click.echo(f"{name}: {counts['rows']:,} rows, {counts['changed']:,} {would}written")
    click.echo(f"{outcome.done:,} rows looked at, {outcome.changed:,} {would}written.")
    if outcome.kept:
        click.echo(f"{outcome.kept:,} changed meanwhile: what the application wrote was kept.")
    if outcome.erased:
        click.echo(f"{outcome.erased:,} cells are of people who were erased.")
    if outcome.failed:
        click.echo(f"{outcome.failed:,} cells failed and were left as they are:")
        for each in outcome.shown:
            click.echo(f"  {each['table']} {_plain(each['key'])} {each['column']}: {each['reason']}")
        if outcome.failed > len(outcome.shown):
            click.echo("  ... and more (--failures FILE lists all)")
    if stopped and resume is not None:
        click.echo(f"Stopped. The same command goes on from here, by {resume}.")
    elif stopped:
        click.echo(
            "Stopped. The same command goes on: what is done is recognised. --resume FILE would keep the place."
        )


def _plain(value: Any) -> str:
    """Nothing from a database may move the cursor or turn the reading direction of a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in json.dumps(value, ensure_ascii=False))


class _Rate(ProgressColumn):
    def render(self, task: BarTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s")


@contextlib.contextmanager
def _bar(wanted: bool) -> Iterator[Bar]:
    console = Console(stderr=True)
    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=console,
        disable=not (wanted and console.is_terminal),
    ) as bar:
        yield bar


@contextlib.contextmanager
def _ctrl_c() -> Iterator[list[int]]:
    """Filled by Ctrl-C, which is looked at after each batch; a second one ends the process as ever."""
    pressed: list[int] = []

    def press(number: int, _frame: object) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    problem = None
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        problem = error.strerror
    if problem is not None:
        raise ConfigurationError(f"the list of failures {path} cannot be written ({problem})")
    with file:
        yield file


@contextlib.contextmanager
def _sentences(wants_json: bool) -> Iterator[None]:
    """Whatever stands in the way is one sentence and exit code 2, never a traceback."""
    try:
        yield
    except PortalsecError as error:
        message = str(error)
    else:
        return
    if wants_json:
        click.echo(json.dumps({"exit": COULD_NOT, "error": message}))
    else:
        click.echo(f"COULD NOT: {message}", err=True)
    raise SystemExit(COULD_NOT)
