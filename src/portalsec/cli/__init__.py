"""The command ``portalsec``."""

from __future__ import annotations

import sys

from portalsec.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Entry point of the command. Where the extra is missing, one sentence and exit code 2."""
    try:
        from portalsec.cli.app import portalsec
    except MissingExtra as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
    portalsec(prog_name="portalsec")
