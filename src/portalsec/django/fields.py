"""Encrypted model fields: Django's own by type, with every cell bound to its row.

::

    class Patient(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        ssn = EncryptedTextField(table="patients", column="ssn")
        ssn_index = BlindIndexField("ssn", bits=32, normalise=digits)

See ``docs/how-to/encrypt-columns-with-django.md``. Loading decrypts nothing; reading an attribute opens its cell, or
raises `portalsec.errors.DecryptionError`.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.db import models
from django.db.backends.utils import format_number
from django.utils import timezone
from django.utils.functional import cached_property

from portalsec.crypto.codec import JSON
from portalsec.django import _encrypted_signals, field_checks  # noqa: F401 - importing them connects them
from portalsec.django._cell_state import Cell
from portalsec.django._encrypted_base import EncryptedModelField
from portalsec.django._encrypted_sql import InTenant
from portalsec.django.blind_index import BlindIndexField

__all__ = [
    "BlindIndexField",
    "Cell",
    "EncryptedBinaryField",
    "EncryptedBooleanField",
    "EncryptedCharField",
    "EncryptedDateField",
    "EncryptedDateTimeField",
    "EncryptedDecimalField",
    "EncryptedIntegerField",
    "EncryptedJSONField",
    "EncryptedModelField",
    "EncryptedTextField",
    "InTenant",
]


class _Text(EncryptedModelField):
    def _convert(self, value: Any) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError("bytes are no text")  # str() would store "b'...'"
        return super()._convert(value)

    def formfield(self, **kwargs: Any) -> Any:
        if self.null:
            kwargs.setdefault(
                "empty_value", None
            )  # nothing was entered: NULL, as a CharField of Django's has it
        return super().formfield(**kwargs)


class EncryptedTextField(_Text, models.TextField):  # type: ignore[type-arg]
    """Text of any length. A form shows a text area; `EncryptedCharField` shows one line."""


class EncryptedCharField(_Text, models.CharField):  # type: ignore[type-arg]
    """Text of one line. ``max_length`` is the text's, held by forms and `full_clean` (not by the database)."""


class EncryptedIntegerField(EncryptedModelField, models.IntegerField):  # type: ignore[type-arg]
    """An integer of any size."""

    codec: ClassVar[Any] = int

    @cached_property
    def validators(self) -> Any:
        # Django's own ask the database for the range of its type, which is no number here.
        return [*self.default_validators, *self._validators]  # type: ignore[attr-defined]


class EncryptedDecimalField(EncryptedModelField, models.DecimalField):  # type: ignore[type-arg]
    """A Decimal, rounded to ``decimal_places`` as a column of the database would."""

    codec: ClassVar[Any] = Decimal

    def _convert(self, value: Any) -> Any:
        number = super()._convert(value)
        if number is None or self.decimal_places is None:
            return number
        return Decimal(format_number(number, self.max_digits, self.decimal_places))  # type: ignore[arg-type]


class EncryptedBooleanField(EncryptedModelField, models.BooleanField):  # type: ignore[type-arg]
    """True or False; a cell does not tell which."""

    codec: ClassVar[Any] = bool


class EncryptedDateField(EncryptedModelField, models.DateField):  # type: ignore[type-arg]
    """A date."""

    codec: ClassVar[Any] = date


class EncryptedDateTimeField(EncryptedModelField, models.DateTimeField):  # type: ignore[type-arg]
    """An instant, with the offset that it was written with. A datetime without a time zone is refused."""

    codec: ClassVar[Any] = datetime

    def _convert(self, value: Any) -> Any:
        if not isinstance(value, (str, datetime)):
            raise TypeError("a date is no instant")
        moment = super()._convert(value)
        if moment is not None and timezone.is_naive(moment):
            raise ValueError("names no instant")
        return moment


class EncryptedJSONField(EncryptedModelField, models.JSONField):
    """What JSON holds, with ``str`` keys. None is NULL. Changed in place, it is written at the next save."""

    codec: ClassVar[Any] = JSON

    def _check_supported(self, databases: Any) -> list[Any]:
        return []  # the database holds bytes, and needs to know nothing of JSON


class EncryptedBinaryField(EncryptedModelField, models.BinaryField):  # type: ignore[misc,type-arg]
    """Bytes. Not editable in forms unless declared so, as Django's own."""

    codec: ClassVar[Any] = bytes

    def _convert(self, value: Any) -> Any:
        if isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        if not isinstance(value, bytes):
            raise TypeError("no bytes")
        return value
