"""``manage.py portalsec_verify [--anchor FILE]``: does the audit log verify?

Exit codes: 0 the log is what was written, 1 it was tampered with, 2 that cannot be told.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Verifier
from portalsec.audit.verify import UNSIGNED_LIMIT, Report, verify
from portalsec.django.conf import get_portal
from portalsec.errors import PortalsecError, StoreError, Tampered

_OK, _TAMPERED, _CANNOT_TELL = 0, 1, 2
_SHOWN = 20


class Command(BaseCommand):
    help = "Verify the audit log; exit code 0: as written, 1: tampered with, 2: cannot tell."
    requires_system_checks = ()  # a log must be verifiable whatever else is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", type=Path, help="the file outside the store with the newest checkpoint"
        )

        parser.add_argument(
            "--adopt-anchor",
            action="store_true",
            help="where the log verifies: write the portal's anchor that is missing, from the log as it is now",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            portal = get_portal()
            report = verify(
                portal.audit.store,
                verifier=Verifier.from_text(portal.keys.audit.verifier_text),
                anchor=_anchor(options["anchor"]),
                now=portal.clock(),
                unsigned_limit=UNSIGNED_LIMIT + portal.policies.checkpoint_interval,
            )
        except PortalsecError as error:
            self.stderr.write(f"Cannot tell: {error}")
            sys.exit(_CANNOT_TELL)
        for line in _lines(report):
            self.stdout.write(line)
        if not report.ok:
            sys.exit(_TAMPERED)
        if not report.conclusive:
            sys.exit(_CANNOT_TELL)
        if options["adopt_anchor"]:
            try:
                portal.audit.adopt_anchors()
            except PortalsecError as error:
                self.stderr.write(f"The anchor was not adopted: {error}")
                sys.exit(_TAMPERED if isinstance(error, Tampered) else _CANNOT_TELL)
            self.stdout.write("The anchor holds the log's newest checkpoint.")


def _anchor(path: Path | None) -> str | None:
    if path is None:
        return None
    note = FileAnchor(path).read()
    if note is None:  # removing the anchor must not be a way to pass
        raise StoreError(f"the anchor {path} is missing: restore it, or verify without --anchor")
    return note


def _lines(report: Report) -> list[str]:
    if not report.ok:
        lines = [f"Tampered with: {report.found} findings in a log of {report.size}."]
        lines += [f"  {problem.text}" for problem in report.problems[:_SHOWN]]
    elif not report.conclusive:
        lines = [f"Cannot tell: the log holds {report.size} entries, {report.covered} of them signed."]
    else:
        lines = [f"The log holds {report.size} entries; {report.covered} are exactly what was signed."]
    return lines + [f"Not covered: {note}" for note in report.unprotected]
