"""`Sealed`: an attribute that is encrypted in a plain BinaryField, bound to its row.

The cell opens only in its own table, column and row, so a copy of one patient's name in another patient's row is no
name. Reading a row decrypts nothing until somebody asks for the attribute.
"""

from __future__ import annotations

from typing import Any, overload

from django.db import models

from portalsec.crypto import EncryptedField
from portalsec.django.conf import get_portal


class Sealed:
    """``name = Sealed()`` beside ``name_sealed = models.BinaryField(default=b"")`` on a model with a UUID key."""

    def __set_name__(self, owner: type[models.Model], name: str) -> None:
        self._table = (
            f"clinic.{owner.__name__.lower()}"  # chosen once: a renamed model must keep the old label
        )
        self._column = name

    @overload
    def __get__(self, row: None, owner: type[models.Model]) -> Sealed: ...
    @overload
    def __get__(self, row: models.Model, owner: type[models.Model]) -> str: ...

    def __get__(self, row: models.Model | None, owner: type[models.Model]) -> Any:
        if row is None:
            return self
        cell = bytes(getattr(row, f"{self._column}_sealed"))
        return self._field().decrypt(cell, row=str(row.pk)) if cell else ""

    def __set__(self, row: models.Model, value: str) -> None:
        setattr(row, f"{self._column}_sealed", self._field().encrypt(value, row=str(row.pk)))

    def _field(self) -> EncryptedField[str]:
        return EncryptedField(get_portal().keys.fields, table=self._table, column=self._column)
