"""``manage.py portalsec_reencrypt [app.Model ...]``: brings the cells of models under the primary key.

Without a model: those of every model of the project, and all that portalsec itself keeps under the portal's keys (seeds of
authenticators, data of sessions, keys of subjects). When that is done, ``--status`` says that nothing is left, and the
old key may be disabled.

Beside the running application: what it writes meanwhile is kept. Cells under subject keys stay as they are; what is
rotated for them is the wrapping of those keys, which this does too where one of the models has such fields. Exit codes:
0 done, 1 some cells were left as they were (they are listed) or, of ``--status``, are left, 2 it could not be run to its
end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS

from portalsec.crypto.rotation import Progress, Reencryption
from portalsec.crypto.subjects import SubjectKeys
from portalsec.django._cursors import Cursors, databases_mark
from portalsec.django.cells import encrypted_models, reencryptions
from portalsec.django.conf import security_database, setting
from portalsec.django.keys import subject_keys
from portalsec.django.portal_cells import portal_reencryptions, subject_reencryptions
from portalsec.errors import PortalsecError

_FAILED, _STOPPED = 1, 2


class Command(BaseCommand):
    help = "Re-encrypt the cells of models under the primary key; exit code 0: done, 1: with failures, 2: stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "models",
            nargs="*",
            metavar="app.Model",
            help="all with encrypted fields by default, and with them all that is portalsec's own",
        )
        parser.add_argument(
            "--status", action="store_true", help="write nothing: count what the cells are under"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="alias of the database")
        parser.add_argument("--batch", type=int, default=2000, help="rows a transaction")
        parser.add_argument("--dry-run", action="store_true", help="do everything but the writing")
        parser.add_argument(
            "--cursor",
            type=Path,
            metavar="FILE",
            help="keep here how far it is, and go on from there the next time",
        )
        parser.add_argument(
            "--rebuild-index", action="store_true", help="compute the tags of blind indexes anew instead"
        )
        parser.add_argument(
            "--fill",
            action="append",
            metavar="FIELD=COLUMN",
            help="encrypt a column of plaintext into this field, and empty it; of one model",
        )
        parser.add_argument("--keep", action="store_true", help="with --fill: do not empty the column yet")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = [_model(name) for name in options["models"]] or encrypted_models()
        fill = _fill(options["fill"])
        if fill is not None and len(options["models"]) != 1:
            raise CommandError("--fill is of one model: name it", returncode=_STOPPED)
        kept = Cursors(
            None if options["dry_run"] or options["status"] else options["cursor"],
            database=databases_mark([options["database"], *_own_databases()]),
            task={"rebuild": options["rebuild_index"], "fill": fill, "keep": options["keep"]},
        )
        failed = 0
        try:
            if options["status"]:
                self._status(chosen, options)
                return
            for model in chosen:
                runs = reencryptions(
                    model,
                    using=options["database"],
                    batch=options["batch"],
                    rebuild=options["rebuild_index"],
                    fill=fill,
                    clear=not options["keep"],
                )
                for name, run in runs.items():
                    failed += self._run(name, run, kept, dry_run=options["dry_run"])
            if fill is None and not options["rebuild_index"]:
                for name, run in self._own(chosen, options).items():
                    failed += self._run(name, run, kept, dry_run=options["dry_run"])
        except PortalsecError as error:
            raise CommandError(str(error), returncode=_STOPPED) from error
        kept.finished()
        if failed:
            self.stderr.write(f"{failed} cells were left as they were.")
            sys.exit(_FAILED)

    def _own(self, chosen: list[Any], options: Mapping[str, Any]) -> Mapping[str, Reencryption]:
        """What is portalsec's own, where no model was named; of named ones, the keys of their subjects."""
        subjected = any(map(_has_subjects, chosen))
        if subjected and not isinstance(subject_keys(), SubjectKeys):
            self.stderr.write(
                "  subject keys: not portalsec's own, so whatever wraps them is rotated elsewhere"
            )
        if not options["models"]:
            return portal_reencryptions(batch=options["batch"])
        return subject_reencryptions(batch=options["batch"]) if subjected else {}

    def _status(self, chosen: list[Any], options: Mapping[str, Any]) -> None:
        left = 0
        runs = [reencryptions(model, using=options["database"]) for model in chosen]
        for name, run in [*(each for of in runs for each in of.items()), *self._own(chosen, options).items()]:
            for found in run.remaining():
                under = [f"{found.current} under the key that writes"]
                under += [f"{count} under key {key}" for key, count in found.older.items()]
                under += [f"{found.stale} under another, or missing"] if found.stale else []
                under += [f"{found.unknown} under no key of the keyset"] if found.unknown else []
                under += [f"{found.unmarked} without a mark (RAW keys): unknown"] if found.unmarked else []
                self.stdout.write(f"{name}, {found.column}: {', '.join(under)}")
                left += found.left + found.unmarked
        if left:
            self.stderr.write(f"{left} cells are not under the key that writes.")
            sys.exit(_FAILED)
        self.stdout.write("Nothing is left.")

    def _run(self, name: str, run: Reencryption, kept: Cursors, *, dry_run: bool) -> int:
        began = time.monotonic()
        first: int | None = None
        progress: Progress | None = None
        for progress in run.run(kept.of(name), dry_run=dry_run):
            kept.put(name, progress.cursor)
            for failure in progress.failures:
                key = failure.key[0] if len(failure.key) == 1 else failure.key
                self.stderr.write(f"  {name}: row {key}, {failure.column}: {failure.reason}")
            if first is None:
                first, began = progress.done, time.monotonic()
            self._say(name, progress, progress.done - first, time.monotonic() - began)
        if progress is None:
            return 0
        word = "would be written" if dry_run else "written"
        self._end_of_line()
        self.stdout.write(
            f"{name}: {progress.done} rows, {progress.changed} {word}, {progress.kept} changed by others meanwhile, "
            f"{progress.erased} erased, {progress.failed} failed"
        )
        return progress.failed

    def _say(self, name: str, progress: Progress, rows: int, seconds: float) -> None:
        if not self.stdout.isatty():
            return
        rate = rows / seconds if seconds > 0 else 0.0
        left = f", {(progress.total - progress.done) / rate:.0f} s left" if rate else ""
        share = 100 * progress.done // max(progress.total, 1)
        self.stdout.write(
            f"\r{name}: {share:3}%  {progress.done}/{progress.total}  {rate:.0f}/s{left}   ", ending=""
        )
        self.stdout.flush()

    def _end_of_line(self) -> None:
        if self.stdout.isatty():
            self.stdout.write("")


def _has_subjects(model: type[Any]) -> bool:
    return any(getattr(field, "subject", None) for field in model._meta.local_concrete_fields)


def _own_databases() -> list[str]:
    return [] if setting("PORTAL") is None else [security_database()]


def _model(name: str) -> Any:
    try:
        return apps.get_model(name)
    except (LookupError, ValueError) as error:
        raise CommandError(str(error), returncode=_STOPPED) from error


def _fill(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    pairs = [pair.partition("=") for pair in given]
    if not all(field and column for field, _, column in pairs):
        raise CommandError("--fill takes FIELD=COLUMN", returncode=_STOPPED)
    return {field: column for field, _, column in pairs}
