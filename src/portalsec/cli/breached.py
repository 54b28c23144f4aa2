"""``portalsec breached``: make one compact file out of lists of leaked passwords, and ask it.

Nothing that these commands print holds a password or a line of a list. Exit codes: 0 done, or the password is not in the
file; 1 it is; 2 could not.
"""

from __future__ import annotations

import contextlib
import json
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from portalsec.auth.breached import BreachFile, Bundled
from portalsec.auth.breached_build import build_breach_file
from portalsec.auth.breached_lists import Form, ListCounts, open_list, read_list
from portalsec.errors import ConfigurationError, MissingExtra, PortalsecError

try:
    import click
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
except ImportError as error:
    raise MissingExtra("cli", package=(error.name or "click").partition(".")[0]) from None

__all__ = ["breached"]

LISTED, COULD_NOT = 1, 2

_STDIN = "-"


@click.group()
def breached() -> None:
    """Lists of leaked passwords: make one file out of them, and ask it."""


@breached.command("build")
@click.argument("files", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option("--hashes", "form", flag_value="hashes", help="The lists are lines of SHA-1 or SHA-1:count.")
@click.option("--plain", "form", flag_value="plain", help="The lists are plain text, a password a line.")
@click.option(
    "--min-count",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Leave out what leaked less often; of lists with counts.",
)
@click.option("--ignore-case", is_flag=True, help="Case is not to matter; of plain text.")
@click.option(
    "--bits",
    type=click.Choice(["8", "16", "24", "32"]),
    default="8",
    show_default=True,
    help="Of an entry: 8 are wrong once in 256 times, 24 once in 17 million.",
)
@click.option("--label", default="", help="Where it comes from, for `info`; up to 56 bytes.")
@click.option(
    "--temp",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder for temporary files; else that of the new file.",
)
def build_command(
    *,
    files: Sequence[str],
    out: Path,
    form: Form | None,
    min_count: int,
    ignore_case: bool,
    bits: str,
    label: str,
    temp: Path | None,
) -> None:
    """Make a breach file out of FILES: lists of leaked passwords or of their SHA-1; - is standard input.

    Lists may be compressed by gzip, in any order and with repetitions. What --out was before is replaced at the end.
    """
    with _sentences():
        if len(label.encode("utf-8")) > 56 or not label.isprintable():
            raise ConfigurationError("--label has up to 56 bytes of printable text")
        reading = _Reading(files, form, min_count=min_count, folded=ignore_case)
        with _bar() as bar:
            written = bar.add_task("writing", total=None, visible=False)

            def wrote(done: int, total: int) -> None:
                bar.update(written, completed=done, total=total, visible=True)

            built = build_breach_file(
                reading.blocks(bar),
                out,
                bits=int(bits),
                folded=ignore_case,
                min_count=min_count,
                label=label,
                temp=temp,
                tick=wrote,
            )
        with BreachFile(out) as file:
            file.verify()
            rate = _rate(file)
    for name, counts in reading.counts:
        click.echo(_found(name, counts))
    click.echo(
        f"{built.entries:,} passwords in {built.size:,} bytes ({built.size / built.entries:.2f} bytes each). "
        f"Another password is refused {rate}."
    )
    if built.given > built.entries:
        click.echo(f"{built.given - built.entries:,} came more than once.")
    click.echo(
        f"Written to {out}. Name it in portalsec.toml:  [passwords] breached = [{json.dumps(str(out))}]"
    )


@breached.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
def check_command(*, file: Path | None) -> None:
    """Ask for a password, without showing it, and say whether it is in FILE; else in the list that is bundled.

    Where standard input is no terminal, its first line is the password. It is never an argument: those are seen by
    every user of the machine, and kept by the shell.
    """
    with _sentences():
        source = Bundled() if file is None else BreachFile(file)
        with source:
            password = click.prompt("Password", hide_input=True) if sys.stdin.isatty() else _first_line()
            if not password:
                raise ConfigurationError("no password came: type one, or send one line to standard input")
            listed = source.contains(password)
            rate = _rate(source)
    if listed:
        click.echo(f"It is in the list. (One that is not is said to be {rate}.)")
        raise SystemExit(LISTED)
    click.echo("It is not in the list.")


def _first_line() -> str:
    """Of standard input, which is UTF-8 here whatever the terminal's encoding."""
    line: bytes = sys.stdin.buffer.readline(4096)
    try:
        return line.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:  # it holds the password, and is no error's context
        pass
    raise ConfigurationError("what came on standard input is not UTF-8: send the password as UTF-8")


@breached.command("info")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "wants_json", is_flag=True, help="The answer as JSON.")
def info_command(*, file: Path | None, wants_json: bool) -> None:
    """What FILE says of itself, else the list that is bundled, after a check of all of its bytes."""
    with _sentences(wants_json), Bundled() if file is None else BreachFile(file) as source:
        source.verify()
        facts = {
            "entries": source.entries,
            "bytes": source.size,
            "bytes_per_entry": round(source.size / max(source.entries, 1), 4),
            "false_positive_rate": source.false_positive_rate,
            "case_matters": not source.folded,
            "min_count": source.min_count,
            "label": source.label,
        }
        rate = _rate(source)
    if wants_json:
        click.echo(json.dumps({"exit": 0, **facts}, indent=1))
        return
    click.echo(
        f"{facts['entries']:,} passwords in {facts['bytes']:,} bytes ({facts['bytes_per_entry']} each)"
    )
    click.echo(f"another password is said to be in it {rate}")
    click.echo("case matters" if facts["case_matters"] else "case does not matter")
    if facts["min_count"]:
        click.echo(f"of what leaked at least {facts['min_count']:,} times")
    if facts["label"]:
        click.echo(f"from: {facts['label']}")
    click.echo("every byte is as it was written")


# -- how lists are read and told of -------------------------------------------------------------------------------


class _Reading:
    """The lists one after the other, with a bar of the bytes read."""

    def __init__(self, names: Sequence[str], form: Form | None, *, min_count: int, folded: bool) -> None:
        self._names, self._form, self._min_count, self._folded = names, form, min_count, folded
        self.counts: list[tuple[str, ListCounts]] = []

    def blocks(self, bar: Progress) -> Iterator[array[int]]:
        sizes = [None if name == _STDIN else _size(Path(name)) for name in self._names]
        task = bar.add_task("reading", total=None if None in sizes else sum(filter(None, sizes)))
        before = 0
        for name, size in zip(self._names, sizes, strict=True):
            counts = ListCounts()
            self.counts.append((name, counts))
            with contextlib.ExitStack() as stack:
                file: BinaryIO
                file = sys.stdin.buffer if name == _STDIN else stack.enter_context(open_list(Path(name)))
                yield from read_list(
                    file,
                    "of standard input" if name == _STDIN else name,
                    counts,
                    form=self._form,
                    min_count=self._min_count,
                    folded=self._folded,
                    tick=_moved(bar, task, file, before) if size is not None else lambda: None,
                )
            before += size or 0
        bar.update(task, completed=before, total=before)


def _moved(bar: Progress, task: TaskID, file: BinaryIO, before: int) -> Callable[[], None]:
    return lambda: bar.update(task, completed=before + file.tell())


def _size(path: Path) -> int:
    with open_list(path) as file:
        return file.seek(0, 2)


def _found(name: str, counts: ListCounts) -> str:
    what = {"hashes": "SHA-1 hashes", "plain": "plain text", None: "nothing in it"}[counts.form]
    parts = [f"{'standard input' if name == _STDIN else name}: {what}"]
    if counts.detected:
        parts[0] += " (by the look of it)"
    parts.append(f"{counts.taken:,} taken")
    if counts.rare:
        parts.append(f"{counts.rare:,} left out as too rare")
    if counts.unusable:
        parts.append(f"{counts.unusable:,} lines left out that are not UTF-8 or too long")
    return ", ".join(parts) + "."


def _rate(source: BreachFile) -> str:
    return f"once in {round(1 / source.false_positive_rate):,} times"


@contextlib.contextmanager
def _bar() -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        yield bar


@contextlib.contextmanager
def _sentences(wants_json: bool = False) -> Iterator[None]:
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
