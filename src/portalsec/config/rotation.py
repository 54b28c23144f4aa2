"""All that a portal of ``portalsec.toml`` keeps under its own keys, for re-encryption: no table may be forgotten.

What lies under ``fields`` for longer than a request: the sign-in names and e-mail addresses, the seeds of authenticators,
the seals of passkeys, the details of notices and incidents, and the wrapped keys of subjects. Hashes of names and addresses
lie under ``mac``. Cells of an application's own tables are named by the application.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portalsec.auth.recovery_codes import RECOVERY_CODES
from portalsec.clock import system_clock
from portalsec.config.keysets import KeysetFiles
from portalsec.config.settings import Settings
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.subject_cells import rewrapping_all
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import ConfigurationError
from portalsec.events import SecurityEvent
from portalsec.sqlalchemy import (
    SqlRecoveryCodes,
    SqlSubjectKeys,
    account_cells,
    check_schema,
    contact_cells,
    incident_cells,
    notice_cells,
    open_engine,
    passkey_cells,
    totp_cells,
)
from portalsec.sqlalchemy.account_cells import HASHES
from portalsec.sqlalchemy.tables import Which, subject_key

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["portal_cells_under", "portal_runs"]


@contextmanager
def portal_runs(
    settings: Settings, *, env: Mapping[str, str] | None = None, batch: int = 2000
) -> Iterator[dict[str, Reencryption]]:
    """A run for each table, by its name, over the databases of ``[stores]``. The connections end with the block.

    Nothing is created: a database or table that is missing is somewhere else, and may be full.

    Raises:
        ConfigurationError: a keyset, a database or its tables are missing, or of another version.
        KeyServiceUnavailable: the service of ``[keys] kek`` does not answer, or refuses.
        StoreError: a database does not answer.
    """
    files = KeysetFiles(settings, env=env)
    fields, mac = files.read("fields"), files.read("mac")
    with ExitStack() as undo:
        security = undo.enter_context(_opened(settings, "security"))
        elsewhere = settings["stores", "subjects"] is not None
        subjects = undo.enter_context(_opened(settings, "subjects")) if elsewhere else security
        check_schema(security, "security")
        check_schema(subjects, "subjects")
        yield {
            **{
                table.table.name: table.over(security, batch=batch)
                for table in (
                    account_cells(fields=fields, mac=mac),
                    contact_cells(fields=fields, mac=mac),
                    totp_cells(fields=fields),
                    passkey_cells(fields=fields),
                    notice_cells(fields=fields),
                    incident_cells(fields=fields),
                )
            },
            **_of_subjects(subjects, fields, batch),
        }


def portal_cells_under(settings: Settings, keyset: str, key_id: int) -> Mapping[str, int]:
    """How many cells of each of the portal's own tables are under a key of ``fields`` or ``mac``; only those that have any.

    Under ``mac``, unspent recovery codes count, too, although no run can write them anew: their owners make new ones. Cells of a RAW key bear no mark: all that bear none may be under it, and count.

    Raises as `portal_runs` does: then it is not known.
    """
    infos = KeysetFiles(settings).read(keyset).info()
    raw = keyset == "fields" and any(info.id == key_id and info.prefix == "RAW" for info in infos)
    with portal_runs(settings) as runs:
        found = {
            name: sum(
                each.older.get(key_id, 0) + (each.unknown + each.unmarked if raw else 0)
                for each in run.remaining()
                if (each.column in HASHES) is (keyset == "mac")
            )
            for name, run in runs.items()
        }
    if keyset == "mac":
        with _opened(settings, "security") as security:
            found[RECOVERY_CODES] = SqlRecoveryCodes(security).under(key_id)
    return {name: count for name, count in found.items() if count}


def _of_subjects(engine: Engine, fields: Keyset, batch: int) -> dict[str, Reencryption]:
    keys = SubjectKeys(SqlSubjectKeys(engine), keys=fields, clock=system_clock, emit=_nothing)
    runs = rewrapping_all(keys, batch=min(batch, 500))
    return {
        subject_key.name if purpose == keys.purpose else f"{subject_key.name}({purpose})": run
        for purpose, run in runs.items()
    }


def _nothing(event: SecurityEvent) -> None:
    raise AssertionError("wrapping keys anew erases nobody")


@contextmanager
def _opened(settings: Settings, which: Which) -> Iterator[Engine]:
    url = settings.url("stores", which)
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).is_file():
        raise ConfigurationError(
            f"{settings.source}: [stores] {which}: there is no database at {path}. Where the portal's stores are "
            "Django's, run  python manage.py portalsec_reencrypt"
        )
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()
