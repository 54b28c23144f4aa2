"""``manage.py rotate_keys fields``, then ``--promote``: the two steps of a rotation, while the portal serves.

A key must be read everywhere before anything is written under it, so every server loads its keys anew after each step
(SIGHUP, or a restart). The audit log is told before the file is written.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portalsec.config import KeysetFiles
from portalsec.django.conf import get_portal
from portalsec.errors import PortalsecError, Tampered
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent

_TEMPLATES = {"fields": "XAES_256_GCM", "index": "HMAC_SHA256_PRF"}


class Command(BaseCommand):
    help = "Add a key that reads, or (--promote) let the newest one write."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("keyset", choices=sorted(_TEMPLATES))
        parser.add_argument("--promote", action="store_true", help="the second step")

    def handle(self, *args: Any, **options: Any) -> None:
        name: str = options["keyset"]
        problem = ""
        try:
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
        after = "portalsec_reencrypt" + (" --rebuild-index" if name == "index" else "")
        return f"Key {key} writes; older ones still read. Reload every server (kill -HUP), then: {after}"

    def _tell(self, event: Event, key: str) -> None:
        portal = get_portal()
        portal.emit(SecurityEvent(name=event, actor=SYSTEM, resource=ResourceRef(type="key", id=key)))
        with suppress(Tampered):  # signed here: the server signs what it wrote itself
            portal.audit.checkpoint()
