"""``manage.py seed [--fhir FOLDER]``: fills an empty portal once and writes ``accounts.txt`` (mode 0600)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from clinic.models import Patient
from clinic.people import write
from examples.portal_fastapi.fhir import NotFhir, bundle_files, read_bundles
from examples.portal_fastapi.people import synthetic_people
from portalsec.config.keys import write_new
from portalsec.errors import PortalsecError
from portalsec.secret import Secret


class Command(BaseCommand):
    help = "Fill an empty portal with people and accounts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fhir", type=Path, help="FHIR R4 bundles in place of the invented people")

    def handle(self, *args: Any, **options: Any) -> None:
        if Patient.objects.exists():
            self.stdout.write("The portal is filled already.")
            return
        try:
            source: Path | None = options["fhir"]
            people = read_bundles(bundle_files(source)) if source else synthetic_people()
            lines = [
                "# How to sign in to this demo. A real portal has no such file.",
                "# login, password, otpauth URI (for an authenticator app), role",
                *(f"{each.login}\t{each.password}\t{each.uri}\t{each.role}" for each in write(people)),
            ]
            write_new(settings.DATA / "accounts.txt", Secret("\n".join(lines) + "\n"))
        except (PortalsecError, NotFhir) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Filled: {len(people.patients)} patients.")
