"""``manage.py portalsec_keys rotate fields`` and the rest: ``portalsec keys``, for a portal whose stores are Django's.

The keysets are those of ``portalsec.toml``; each change is told to the audit log in the project's own database. Before a
key is disabled, all cells of the project are counted that are under it. Exit codes are those of ``portalsec keys``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from portalsec.django.conf import audit_database, security_database, setting
from portalsec.errors import ConfigurationError, MissingExtra

_COULD_NOT = 2


class Command(BaseCommand):
    help = "Make, list and rotate the keysets of portalsec.toml: new, list, rotate, disable, enable, destroy."
    requires_system_checks = ()  # a key that is missing is what some of them mend

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "arguments",
            nargs=argparse.REMAINDER,
            metavar="COMMAND ...",
            help="as for portalsec keys, --help and --config among them",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        problem = ""
        try:
            from portalsec.cli.keys import Host, keys

            if setting("PORTAL") is None:
                problem = (
                    "the project has no portal: change the files of its keyring by  portalsec keys ... PATH"
                )
        except (MissingExtra, ConfigurationError) as error:
            problem = str(error)
        if problem:
            raise CommandError(problem, returncode=_COULD_NOT)
        from portalsec.django.stores.audit import DjangoAudit  # a model: only where there is a portal

        host = Host(
            audit=DjangoAudit(audit_database()),
            cells_under=_cells_under,
            keys="python manage.py portalsec_keys",
            reencrypt="python manage.py portalsec_reencrypt",
            status="python manage.py portalsec_reencrypt --status",
        )
        keys.main(args=options["arguments"], prog_name="manage.py portalsec_keys", obj=host)


def _cells_under(keyset: str, key_id: int) -> Mapping[str, int]:
    """Of the project's models and portalsec's own; under "mac", the hashes of e-mail addresses and recovery codes."""
    from portalsec.auth.recovery_codes import RECOVERY_CODES
    from portalsec.django.cells import encrypted_models, reencryptions
    from portalsec.django.portal_cells import ADDRESS_HASH, portal_reencryptions
    from portalsec.django.stores.accounts import hashes_under
    from portalsec.django.stores.recovery_codes import DjangoRecoveryCodes

    if keyset == "pepper":
        return hashes_under(key_id)
    if keyset not in ("fields", "mac"):
        return {}
    runs = dict(portal_reencryptions())
    if keyset == "fields":
        for model in encrypted_models():
            runs.update(reencryptions(model))
    hashes = keyset == "mac"
    found: Counter[str] = Counter()
    for name, run in runs.items():
        found[name] += sum(
            each.older.get(key_id, 0)
            for each in run.remaining(tags=False)
            if (each.column == ADDRESS_HASH) is hashes
        )
    if hashes and setting("PORTAL") is not None:
        found[RECOVERY_CODES] = DjangoRecoveryCodes(security_database()).under(key_id)
    return {name: count for name, count in found.items() if count}
