"""``manage.py rotate_keys fields``, ``--promote``, ``--retire``: the steps of a rotation, while the portal serves.

A key must be read everywhere before anything is written under it, so every server loads its keys anew after each step
(SIGHUP, or a restart). Between the last two, ``portalsec_reencrypt`` takes everything along. The audit log is told
before the file is written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portalsec.config import KeysetFiles
from portalsec.django.cells import encrypted_models, reencryptions
from portalsec.django.conf import get_portal
from portalsec.errors import PortalsecError, Tampered
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent

_TEMPLATES = {"fields": "XAES_256_GCM", "index": "HMAC_SHA256_PRF"}
_OF_INDEX = " --rebuild-index"


class Command(BaseCommand):
    help = "Add a key that reads, let it write (--promote), let the older ones read no more (--retire)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keyset", choices=sorted(_TEMPLATES))
        step = parser.add_mutually_exclusive_group()
        step.add_argument("--promote", action="store_true", help="the second step")
        step.add_argument("--retire", action="store_true", help="the last step, after portalsec_reencrypt")

    def handle(self, *args: Any, **options: Any) -> None:
        name: str = options["keyset"]
        problem = ""
        try:
            if options["retire"]:
                said = self._retire(name)
            else:
                said = self._promote(name) if options["promote"] else self._add(name)
        except PortalsecError as error:
            problem = str(error)
        if problem:
            raise CommandError(problem)
        self.stdout.write(said)

    def _add(self, name: str) -> str:
        files = KeysetFiles(settings.PORTAL)
        keyset = files.read(name)
        if keyset.info()[-1].id != keyset.primary_id:
            raise CommandError(f"a key of {name!r} waits to be promoted: add --promote")
        keyset = keyset.add(_TEMPLATES[name])
        key = keyset.info()[-1].id
        self._tell(Event.KEY_CREATED, f"{name}/{key}")
        files.replace(name, keyset)
        return f"Key {key} was added and reads. Reload every server (kill -HUP), then: rotate_keys {name} --promote"

    def _promote(self, name: str) -> str:
        files = KeysetFiles(settings.PORTAL)
        keyset = files.read(name)
        key = keyset.info()[-1].id
        if key == keyset.primary_id:
            raise CommandError(f"the newest key of {name!r} writes already: rotate_keys {name} adds one")
        self._tell(Event.KEY_ROTATED, f"{name}/{key}")
        files.replace(name, keyset.promote(key))
        after = "portalsec_reencrypt" + _OF_INDEX * (name == "index")
        return (
            f"Key {key} writes; older ones still read. Reload every server (kill -HUP), then: {after}; "
            f"rotate_keys {name} --retire"
        )

    def _retire(self, name: str) -> str:
        files = KeysetFiles(settings.PORTAL)
        keyset = files.read(name)
        old = [key.id for key in keyset.info() if key.status == "ENABLED" and key.id != keyset.primary_id]
        if not old:
            raise CommandError(f"{name!r} has no older key that reads")
        if keyset.info()[-1].id != keyset.primary_id:
            raise CommandError(f"a key of {name!r} waits to be promoted: add --promote")
        if self._left(name):
            raise CommandError("not yet: run portalsec_reencrypt first" + _OF_INDEX * (name == "index"))
        for key in old:
            self._tell(Event.KEY_DISABLED, f"{name}/{key}")
            keyset = keyset.disable(key)
        files.replace(name, keyset)
        return "Older keys read no more (they are disabled, and still in the file). Reload every server (kill -HUP)."

    def _left(self, name: str) -> bool:
        """Whether anything is still under an older key. A tag does not tell its key: so they are computed."""
        if name == "index":
            runs = [
                run for model in encrypted_models() for run in reencryptions(model, rebuild=True).values()
            ]
            ends = [list(run.run(dry_run=True))[-1] for run in runs]
            return any(end.changed or end.failed for end in ends)
        try:
            call_command("portalsec_reencrypt", status=True, stdout=self.stdout, stderr=self.stderr)
        except SystemExit:
            return True
        return False

    def _tell(self, event: Event, key: str) -> None:
        portal = get_portal()
        portal.emit(SecurityEvent(name=event, actor=SYSTEM, resource=ResourceRef(type="key", id=key)))
        with suppress(Tampered):  # signed here: the server signs what it wrote itself
            portal.audit.checkpoint()
