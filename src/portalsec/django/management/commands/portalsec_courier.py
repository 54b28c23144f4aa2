"""``manage.py portalsec_courier [--every SECONDS]``: delivers mail that is due, until it is stopped (SIGTERM, Ctrl-C).

``--once`` delivers what is due now and ends, for a timer. Any number may run at once. Exit codes: 0 ended as asked,
1 (``--once``) some mail could not be handed over and is tried again by the next, 2 the mail could not be looked for.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portalsec.django.courier import deliver_until, the_courier
from portalsec.errors import PortalsecError

_FAILED, _CANNOT = 1, 2


class Command(BaseCommand):
    help = "Deliver mail that is due, until stopped; with --once what is due now."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="deliver what is due now, and end")
        parser.add_argument(
            "--every",
            type=float,
            default=5.0,
            metavar="SECONDS",
            help="from the end of one round to the next (5)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        try:
            with _until_asked(stop):
                if options["once"]:
                    done = the_courier().deliver(limit=sys.maxsize, stopping=stop.is_set)
                else:
                    self.stdout.write("Delivering mail.")
                    self.stdout.flush()
                    done = deliver_until(stop, every=timedelta(seconds=options["every"]))
        except (PortalsecError, OverflowError, ValueError) as error:
            self.stderr.write(f"Mail cannot be delivered: {error}")
            sys.exit(_CANNOT)
        self.stdout.write(
            f"{done.sent} mails sent, {done.later} to be tried again, {done.given_up} given up."
        )
        if options["once"] and done.later:
            sys.exit(_FAILED)


@contextmanager
def _until_asked(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stop`` in place of what they did, as far as this is the main thread."""
    asked = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
