"""Mapped classes with encrypted attributes, and keys that count, for the tests of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine, ForeignKey, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from portalsec.crypto import JSON, EncryptedField, Keyset, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.sqlalchemy.fields import encrypted, searchable

KEYS = Keyset.generate()
INDEX_KEYS = Keyset.generate("HMAC_SHA256_PRF")


class Counting:
    """An Aead that counts what it is asked for."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner or KEYS.aead()
        self.encrypted = self.decrypted = 0

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        self.encrypted += 1
        return self.inner.encrypt(plaintext, associated_data)

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        self.decrypted += 1
        return self.inner.decrypt(ciphertext, associated_data)


AEAD = Counting()


def field(column: str, type: Any = str, *, table: str = "patients", **options: Any) -> EncryptedField[Any]:
    return EncryptedField(AEAD, table=table, column=column, type=type, **options)


def index(
    column: str, how: Any, bits: int = 128, *, table: str = "patients", **options: Any
) -> BlindIndex[Any]:
    return BlindIndex(INDEX_KEYS, table=table, column=column, bits=bits, normalise=how, **options)


class Base(DeclarativeBase):
    pass


class Clinic(Base):
    __tablename__ = "clinic"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    title: Mapped[str]
    patients: Mapped[list[Patient]] = relationship(back_populates="clinic", order_by="Patient.number")


class Patient(Base):
    __tablename__ = "patient"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[int] = mapped_column(default=0)
    clinic_id: Mapped[UUID | None] = mapped_column(ForeignKey("clinic.id"))
    clinic: Mapped[Clinic | None] = relationship(back_populates="patients")

    ssn_cell: Mapped[bytes | None]
    ssn_tag: Mapped[bytes | None] = mapped_column(index=True)
    ssn = encrypted(
        EncryptedField[str](AEAD, table="patients", column="ssn"),
        cell="ssn_cell",
        index=BlindIndex[str](
            INDEX_KEYS, table="patients", column="ssn", bits=128, normalise=normalise.digits
        ),
        tag="ssn_tag",
    )
    name_cell: Mapped[bytes | None]
    name_tag: Mapped[bytes | None] = mapped_column(index=True)
    name = encrypted(field("name"), cell="name_cell", index=index("name", normalise.name, 16), tag="name_tag")
    born_cell: Mapped[bytes | None]
    born = encrypted(field("born", date), cell="born_cell")
    notes_cell: Mapped[bytes | None]
    notes = encrypted(field("notes", JSON), cell="notes_cell")

    name_start_tag: Mapped[bytes | None] = mapped_column(index=True)
    name_start = searchable(
        index("name", normalise.prefix(normalise.name, 3)), tag="name_start_tag", of="name"
    )
    name_born_tag: Mapped[bytes | None] = mapped_column(index=True)
    name_born = searchable(
        index("name born", normalise.parts(normalise.name, normalise.year)),
        tag="name_born_tag",
        of=("name", "born"),
    )


class Visit(Base):
    """Cells bound to tenant and subject, in a table with a composite key."""

    __tablename__ = "visit"
    clinic: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    patient: Mapped[UUID]
    reason_cell: Mapped[bytes | None]
    reason_tag: Mapped[bytes | None] = mapped_column(index=True)
    reason = encrypted(
        field("reason", table="visits", tenanted=True),
        cell="reason_cell",
        tenant="clinic",
        index=index("reason", normalise.name, table="visits", tenanted=True),
        tag="reason_tag",
    )


class Letter(Base):
    """A table whose key the database assigns: its cells are bound to another column."""

    __tablename__ = "letter"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    body_cell: Mapped[str | None]
    body = encrypted(field("body", table="letters", text=True), cell="body_cell", row="uid")


def engine_for(url: str) -> Engine:
    """An engine over a database with empty tables."""
    engine = create_engine(url)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    return engine


def stored(engine: Engine, query: str, **values: Any) -> list[Any]:
    """What a look past the ORM finds."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def patients(count: int) -> Iterable[Patient]:
    return [Patient(number=number, ssn=f"{number:09d}", name="Ada") for number in range(count)]
