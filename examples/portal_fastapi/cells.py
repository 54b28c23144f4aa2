"""What is sealed in each table, under whose key, and what can be searched for.

A patient's own columns and the entries of their record are under that patient's key (`SubjectKeys`): to erase a person
is to destroy one key. Staff and guardians are under the portal's field keys. Each column has a field of its own, so
that a value that is moved to another column, row or table does not open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa

from portalsec.crypto import AnyKeyset, BlindIndex, EncryptedField, SubjectKeys
from portalsec.crypto.normalise import Normaliser, phone
from portalsec.portal import Keys

from . import tables

__all__ = ["Cells", "ClinicCells", "clinic_cells", "phone_numbers"]

COUNTRY, AREA = "1", "212"  # where the clinic is: what people around it leave out of a phone number

# A tag of 8 bits is what BlindIndex.plan(rows=5000, distinct=4500, top_share=0.002) recommends: some twenty patients of
# five thousand share one, so that the column does not tell who has which number; a search opens those and drops the rest.
_BITS = 8


def _letters_and_digits(value: str) -> str | None:
    return re.sub(r"[\W_]", "", value).casefold() or None


_record_number = Normaliser("clinic-mrn/1", _letters_and_digits)


@dataclass(frozen=True, slots=True)
class Cells:
    """The sealed columns of one table."""

    fields: Mapping[str, EncryptedField[Any]]

    def seal(self, row: str, values: Mapping[str, Any], *, subject: str | None = None) -> dict[str, Any]:
        """The cells of one row."""
        return {
            name: field.encrypt(values[name], row=row, subject=subject) for name, field in self.fields.items()
        }

    def open(self, row: sa.RowMapping, *, subject: str | None = None) -> dict[str, Any]:
        """The values of one row. Raises `DecryptionError` and, of an erased subject, `SubjectErased`."""
        return {
            name: field.decrypt(row[name], row=row["id"], subject=subject)
            for name, field in self.fields.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicCells:
    """Every sealed column of the clinic, and its two indexes."""

    subjects: SubjectKeys
    patient: Cells  # under the patient's key
    entry: Cells  # under the patient's key
    staff: Cells
    guardian: Cells
    phone: BlindIndex[str]
    mrn: BlindIndex[str]


def clinic_cells(keys: Keys, subjects: SubjectKeys) -> ClinicCells:
    """Declare them. Keys of a keyring are followed when it is reloaded."""

    def of(table: sa.Table, sealed_by: AnyKeyset | SubjectKeys) -> Cells:
        return Cells(
            {
                column.name: _field(sealed_by, table.name, column.name)
                for column in table.columns
                if isinstance(column.type, sa.LargeBinary) and not column.name.endswith("_tag")
            }
        )

    return ClinicCells(
        subjects=subjects,
        patient=of(tables.patient, subjects),
        entry=of(tables.entry, subjects),
        staff=of(tables.staff, keys.fields),
        guardian=of(tables.guardian, keys.fields),
        phone=BlindIndex(keys.index, table="patient", column="phone", bits=_BITS, normalise=phone(COUNTRY)),
        mrn=BlindIndex(keys.index, table="patient", column="mrn", bits=_BITS, normalise=_record_number),
    )


def _field(keys: AnyKeyset | SubjectKeys, table: str, column: str) -> EncryptedField[Any]:
    if column == "birth_date":
        return EncryptedField(keys, table=table, column=column, type=date)
    # Padded: by their lengths alone, "male" is not "female", and few diagnoses are as long as one another.
    return EncryptedField(keys, table=table, column=column, pad=32)


def phone_numbers(text: str) -> list[str]:
    """What somebody who typed this may mean as a phone number; nothing where it is none.

    "555-0123" alone is a number of this area too.
    """
    digits = re.sub(r"\D", "", text)
    if not 7 <= len(digits) <= 15 or not re.fullmatch(r"[\d\s()+./\-\u2010-\u2015]+", text):
        return []
    return [text, f"{AREA} {digits}"] if len(digits) == 7 else [text]
