"""What a type checker says of encrypted attributes. Checked by `test_typing.py`, and never run."""

from __future__ import annotations

from datetime import date
from typing import assert_type
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from portalsec.crypto import EncryptedField, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring
from portalsec.sqlalchemy.fields import EncryptedComparator, encrypted, exactly, rebind, searchable

ring = Keyring()


class Base(DeclarativeBase):
    pass


class Patient(Base):
    __tablename__ = "patient"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    ssn_cell: Mapped[bytes | None]
    ssn_tag: Mapped[bytes | None] = mapped_column(index=True)
    ssn = encrypted(
        EncryptedField[str](ring["fields"], table="patients", column="ssn"),
        cell="ssn_cell",
        index=BlindIndex(ring["index"], table="patients", column="ssn", bits=16, normalise=normalise.digits),
        tag="ssn_tag",
    )
    born_cell: Mapped[bytes | None]
    born = encrypted(
        EncryptedField(ring["fields"], table="patients", column="born", type=date), cell="born_cell"
    )
    memo_cell: Mapped[str | None]
    memo = encrypted(
        EncryptedField(ring["fields"], table="patients", column="memo", text=True), cell="memo_cell"
    )
    start_tag: Mapped[bytes | None]
    start = searchable(
        BlindIndex[str](ring["index"], table="patients", column="ssn", bits=8), tag="start_tag", of="ssn"
    )


class HasName:
    name_cell: Mapped[bytes | None]
    name = encrypted(
        lambda cls: EncryptedField[str](ring["fields"], table=cls.__tablename__, column="name"),
        cell="name_cell",
    )


class Person(HasName, Base):
    __tablename__ = "person"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)


def on_an_object(patient: Patient, person: Person) -> None:
    assert_type(patient.ssn, str | None)
    assert_type(patient.born, date | None)
    assert_type(patient.memo, str | None)
    assert_type(person.name, str | None)
    patient.ssn = "078-05-1120"
    patient.ssn = None
    patient.born = date(2000, 1, 1)
    patient.ssn = 7  # type: ignore[assignment]
    patient.born = "2000-01-01"  # type: ignore[assignment]
    rebind(patient, id=uuid4())
    Patient(ssn="078-05-1120", born=None)


def on_the_class(session: Session) -> None:
    assert_type(Patient.ssn, EncryptedComparator[str])
    assert_type(Patient.born, EncryptedComparator[date])
    assert_type(Person.name, EncryptedComparator[str])
    assert_type(Patient.start, EncryptedComparator[str])
    assert_type(Patient.ssn.for_tenant("north"), EncryptedComparator[str])
    assert_type(Patient.ssn == "1", ColumnElement[bool])
    assert_type(Patient.ssn != "1", ColumnElement[bool])
    select(Patient).where(Patient.ssn.in_(["1"]), Patient.ssn.is_(None), Patient.born.is_not(None))
    select(aliased(Patient)).where(aliased(Patient).ssn == "1")
    found = session.scalars(select(Patient).where(Patient.ssn == "1"))
    assert_type(exactly(found, Patient.ssn, "1"), list[Patient])
    exactly(found, Patient.ssn, 7)  # type: ignore[misc]
