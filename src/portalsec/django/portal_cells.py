"""All that portalsec's own models hold under the portal's ``fields`` keyset, for re-encryption.

That is the seeds of authenticators and the data of sessions, in the security database, and the wrapped keys of subjects.
Accounts are the project's users, and nothing of theirs is sealed. Each list of `portal_reencryptions` has all of it: a
key of which one cell is left must not be disabled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from portalsec.auth.totp import seed_place
from portalsec.crypto.cells import Row
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.subject_cells import rewrapping_all
from portalsec.crypto.subjects import SubjectKeys
from portalsec.crypto.tasks import Reencrypt
from portalsec.django.cells import DjangoCells
from portalsec.django.conf import get_portal, security_database, setting
from portalsec.django.keys import subject_keys

__all__ = ["portal_reencryptions", "subject_reencryptions"]

_SEED, _DATA = "sealed_secret", "data"


def portal_reencryptions(*, batch: int = 2000) -> Mapping[str, Reencryption]:
    """The runs over portalsec's own models and over every key of subjects, by a name that stays the same.

    Empty where the project has no portal and no subject keys of portalsec's (`PORTALSEC` names neither).
    """
    runs: dict[str, Reencryption] = {}
    if setting("PORTAL") is not None:
        # A project that uses the fields alone has not these models among its apps.
        from portalsec.django import models
        from portalsec.django.sessions import SEALED_FOR

        runs[models.TotpDevice._meta.label] = Reencryption(
            _Seeds(
                models.TotpDevice,
                (_SEED,),
                using=security_database(),
                like=_Bound(_fields(models.TotpDevice, "account_id", "id")),
            ),
            [_task({**seed_place("", "")}, _SEED)],
            batch=batch,
        )
        runs[models.SessionData._meta.label] = Reencryption(
            DjangoCells(
                models.SessionData,
                (_DATA,),
                using=security_database(),
                like=_Bound(_fields(models.SessionData, "digest")),
            ),
            [_task(SEALED_FOR, _DATA)],
            batch=batch,
        )
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
    keys = get_portal().keys.fields
    sealed = EncryptedField[bytes](keys, table=place["table"], column=place["column"], type=bytes)
    return Reencrypt(field=sealed, column=column)
