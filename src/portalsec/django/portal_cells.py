"""All that portalsec's own models hold under the portal's ``fields`` and ``mac`` keysets, for re-encryption.

That is the seeds of authenticators, the seals of passkeys, the data of sessions, e-mail addresses, the details of notices
and incidents, in the security database, and the wrapped keys of subjects. The hashes by which addresses are found are under
``mac``. Accounts are the project's users, and nothing of theirs is sealed. Each list of `portal_reencryptions` has all of
it: a key of which one cell is left must not be disabled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portalsec.auth.incidents import incident_place
from portalsec.auth.notices import notice_place
from portalsec.auth.passkeys.records import seal_place
from portalsec.auth.totp import seed_place
from portalsec.crypto.cells import Row
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.hashed_cells import found_by_hash
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.subject_cells import rewrapping_all
from portalsec.crypto.subjects import SubjectKeys
from portalsec.crypto.tasks import Reencrypt, Task
from portalsec.django.cells import DjangoCells
from portalsec.django.conf import get_portal, security_database, setting
from portalsec.django.keys import subject_keys

__all__ = ["ADDRESS_HASH", "portal_reencryptions", "subject_reencryptions"]

ADDRESS_HASH = "address_mac"
"""The one column that is under ``mac``."""

_SEED, _SEAL, _DATA = "sealed_secret", "seal", "data"


def portal_reencryptions(*, batch: int = 2000) -> Mapping[str, Reencryption]:
    """The runs over portalsec's own models and over every key of subjects, by a name that stays the same.

    Empty where the project has no portal and no subject keys of portalsec's (`PORTALSEC` names neither).
    """
    runs: dict[str, Reencryption] = {}
    if setting("PORTAL") is not None:
        # A project that uses the fields alone has not these models among its apps.
        from portalsec.django import models
        from portalsec.django.sessions import SEALED_FOR
        from portalsec.django.stores.contacts import ADDRESS, PLACE

        def add(
            model: Any, row: Sequence[str], tasks: Sequence[Task], cells: type[DjangoCells] = DjangoCells
        ) -> None:
            columns = dict.fromkeys(column for task in tasks for column in task.columns)
            like = _Bound(_fields(model, *row))
            source = cells(model, list(columns), using=security_database(), like=like)
            runs[model._meta.label] = Reencryption(source, tasks, batch=batch)

        add(models.TotpDevice, ("account_id", "id"), [_task(seed_place("", ""), _SEED)], _Seeds)
        add(models.Passkey, ("id",), [_task(seal_place(""), _SEAL)])
        add(models.SessionData, ("digest",), [_task(SEALED_FOR, _DATA)])
        add(models.Notice, ("id",), [_task(notice_place(""), _DATA)])
        add(models.Incident, ("id",), [_task(incident_place(""), _DATA)])
        addresses = found_by_hash(
            _sealed(PLACE), PLACE["column"], hashes=ADDRESS_HASH, purpose=ADDRESS, mac=get_portal().keys.mac
        )
        add(models.Contact, ("id",), addresses)
    runs.update(subject_reencryptions(batch=batch))
    return runs


def subject_reencryptions(*, batch: int = 2000) -> Mapping[str, Reencryption]:
    """The runs over the keys of subjects: the portal's, and those that ``PORTALSEC["SUBJECT_KEYS"]`` names.

    Of the latter those that are a `portalsec.crypto.SubjectKeys`: what wraps others is rotated elsewhere.
    """
    all_keys: dict[str, Any] = {}
    own = setting("SUBJECT_KEYS") is not None
    if own:
        all_keys["subject keys"] = subject_keys()
    if setting("PORTAL") is not None:
        all_keys["subject keys of the portal" if own else "subject keys"] = get_portal().subjects
    return {
        name if purpose == keys.purpose else f"{name} ({purpose})": run
        for name, keys in all_keys.items()
        if isinstance(keys, SubjectKeys)
        for purpose, run in rewrapping_all(keys, batch=min(batch, 500)).items()
    }


@dataclass(frozen=True, slots=True)
class _Bound:
    """What `DjangoCells` asks of an encrypted field: what the cells are bound to."""

    row_fields: Sequence[Any]
    tenant: None = field(default=None, init=False)
    subject: None = field(default=None, init=False)


class _Seeds(DjangoCells):
    """A seed is bound to one text that names its account and its device, and not to their columns."""

    def _read(self, query: Any) -> list[Row]:
        return [_of_seed(row) for row in super()._read(query)]


def _of_seed(row: Row) -> Row:
    assert isinstance(row.id, tuple)  # noqa: S101  (of `_Bound`'s two fields)
    account, device = row.id
    return row._replace(id=seed_place(str(account), str(device))["row"])


def _fields(model: Any, *names: str) -> list[Any]:
    return [model._meta.get_field(name) for name in names]


def _task(place: Mapping[str, str], column: str) -> Reencrypt:
    return Reencrypt(field=_sealed(place), column=column)


def _sealed(place: Mapping[str, str]) -> EncryptedField[bytes]:
    keys = get_portal().keys.fields
    return EncryptedField[bytes](keys, table=place["table"], column=place["column"], type=bytes)
