"""``manage.py erase PATIENT``: erases one patient for good, also while the portal serves. The audit log is told."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinic.erasure import erase
from clinic.models import Patient
from portalsec.django.conf import get_portal
from portalsec.errors import PortalsecError, Tampered
from portalsec.events import SYSTEM


class Command(BaseCommand):
    help = "Erase one patient for good: the patient's key, then the rows."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("patient", type=UUID, help="the id, as in the address of the patient's record")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        patient: UUID = options["patient"]
        if not options["yes"] and input(f"Erase {patient} for good? Type yes: ").strip() != "yes":
            raise CommandError("nothing was erased")
        problem = ""
        try:
            receipt = erase(patient, actor=SYSTEM)
        except Patient.DoesNotExist:
            problem = f"no patient has the id {patient}"
        except PortalsecError as error:
            problem = (
                f"{error} Whether the key is gone is in the audit log; the same command again does the rest."
            )
        if problem:
            raise CommandError(problem)
        with suppress(Tampered):  # signed here: the server signs what it wrote itself
            get_portal().audit.checkpoint()
        self.stdout.write(
            f"Erased at {receipt.erased_at:%Y-%m-%d %H:%M:%S} UTC. Key {receipt.key_id}, fingerprint {receipt.fingerprint}."
        )
        self.stdout.write(
            "A server that has just used the key may remember it for a minute. Backups of subjects.db still hold it: "
            "the erasure is complete when the last of them is gone."
        )
