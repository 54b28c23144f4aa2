"""Whoever can write to the database, and has no key, cannot make the application read a value in another place.

Every attack is made by statements past the ORM, and read through it. Lost updates of a whole row are out of reach: an
older cell of the same place opens (docs/explanation/encryption.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import DecryptionError
from portalsec.sqlalchemy.fields import encrypted, exactly
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import FrozenClock
from tests.sqlalchemy.clinic import KEYS, Letter, Patient, Visit, engine_for

ADA, BOB = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = engine_for(url)
    with Session(engine) as session:
        session.add(Patient(id=ADA, number=1, ssn="1", name="Ada", born=date(1815, 12, 10), notes=["1"]))
        session.add(Patient(id=BOB, number=2, ssn="2", name="Bob", born=date(1900, 1, 1), notes=["2"]))
        for clinic in ("north", "south"):
            session.add(Visit(clinic=clinic, number=1, patient=ADA, reason="cough"))
        session.add(Letter(uid=ADA, body="Dear Ada"))
        session.add(Letter(uid=BOB, body="Dear Bob"))
        session.commit()
    yield engine
    engine.dispose()


def cell_of(engine: Engine, column: Any, *where: Any) -> bytes:
    with engine.connect() as connection:
        return connection.execute(select(column).where(*where)).scalar_one()


def refused(engine: Engine, column: Any, cell: Any, attribute: Any = Patient.ssn, *where: Any) -> None:
    """Put it there past the ORM, read it through the ORM, and roll all of it back."""
    where = where or (Patient.id == ADA,)
    table, model = column.class_.__table__, column.class_
    with Session(engine) as session:
        changed = session.execute(update(table).where(*where).values({column.key: cell}))
        assert changed.rowcount == 1
        found = session.scalars(select(model).where(*where)).one()
        with pytest.raises(DecryptionError) as caught:
            getattr(found, attribute.key)
        assert str(caught.value) == "Decryption failed."
        assert caught.value.__context__ is None


def test_the_cell_of_another_row(engine: Engine):
    refused(engine, Patient.ssn_cell, cell_of(engine, Patient.ssn_cell, Patient.id == BOB))
    refused(engine, Patient.notes_cell, cell_of(engine, Patient.notes_cell, Patient.id == BOB), Patient.notes)


def test_two_rows_swapped(engine: Engine):
    with Session(engine) as session:
        cells = {row.id: row.ssn_cell for row in session.execute(select(Patient.__table__))}
        for id_, other in ((ADA, BOB), (BOB, ADA)):
            session.execute(update(Patient.__table__).where(Patient.id == id_).values(ssn_cell=cells[other]))
        for patient in session.scalars(select(Patient)):
            with pytest.raises(DecryptionError):
                _ = patient.ssn


def test_the_keys_of_two_rows_swapped(engine: Engine):
    with Session(engine) as session:
        table, meanwhile = Patient.__table__, uuid4()
        for old, new in ((ADA, meanwhile), (BOB, ADA), (meanwhile, BOB)):
            session.execute(update(table).where(table.c.id == old).values(id=new))
        for patient in session.scalars(select(Patient)):
            for attribute in ("ssn", "name", "born", "notes"):
                with pytest.raises(DecryptionError):
                    getattr(patient, attribute)


def test_the_cell_of_another_column(engine: Engine):
    refused(engine, Patient.ssn_cell, cell_of(engine, Patient.name_cell, Patient.id == ADA))
    refused(engine, Patient.born_cell, cell_of(engine, Patient.notes_cell, Patient.id == ADA), Patient.born)


def test_the_cell_of_another_table(engine: Engine):
    refused(engine, Patient.ssn_cell, cell_of(engine, Visit.reason_cell, Visit.clinic == "north"))
    same_row = EncryptedField[str](KEYS, table="letters", column="ssn").encrypt("1", row=ADA)
    refused(engine, Patient.ssn_cell, same_row)


def test_the_cell_of_another_type(engine: Engine):
    number = EncryptedField(KEYS, table="patients", column="ssn", type=int).encrypt(1, row=ADA)
    refused(engine, Patient.ssn_cell, number)


def test_the_cell_of_another_tenant(engine: Engine):
    south = cell_of(engine, Visit.reason_cell, Visit.clinic == "south")
    refused(engine, Visit.reason_cell, south, Visit.reason, Visit.clinic == "north")
    as_north = EncryptedField[str](KEYS, table="visits", column="reason", tenanted=True).encrypt(
        "x", row=("north", 1), tenant="south"
    )
    refused(engine, Visit.reason_cell, as_north, Visit.reason, Visit.clinic == "north")


def test_the_cell_of_another_subject(engine: Engine):
    """Copied by SQL into a row of somebody else, with and without the column that says whose it is."""
    subjects = SubjectKeys(
        MemorySubjectKeys(), keys=Keyset.generate(), clock=FrozenClock(), emit=lambda event: None
    )

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "subject_note"
        id: Mapped[UUID] = mapped_column(primary_key=True)
        patient: Mapped[str]
        text_cell: Mapped[bytes | None]
        text = encrypted(
            EncryptedField[str](subjects, table="subject notes", column="text"),
            cell="text_cell",
            subject="patient",
        )

    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    table, other = Note.__table__, Note.__table__.alias()
    with Session(engine) as session:
        session.add_all([Note(id=ADA, patient="ada", text="hers"), Note(id=BOB, patient="bob", text="his")])
        session.commit()
        assert {note.patient: note.text for note in session.scalars(select(Note))} == {
            "ada": "hers",
            "bob": "his",
        }
    his = select(other.c.text_cell).where(other.c.id == BOB).scalar_subquery()
    for values in (
        {"text_cell": his},  # his cell in her row
        {"text_cell": his, "patient": "bob"},  # and with his name: the key is right, the row is not
        {"patient": "bob"},  # her own cell, said to be his
        {"patient": "nobody"},  # who has no key
    ):
        with Session(engine) as session:
            session.execute(update(table).where(table.c.id == ADA).values(**values))
            with pytest.raises(DecryptionError) as caught:
                _ = session.get_one(Note, ADA).text
            assert str(caught.value) == "Decryption failed."
            assert caught.value.__context__ is None
            assert session.get_one(Note, BOB).text == "his"
    # A cell for her row, under his key: what his session could make is no cell of hers.
    forged = EncryptedField[str](subjects, table="subject notes", column="text").encrypt(
        "x", row=ADA, subject="bob"
    )
    refused(engine, Note.text_cell, forged, Note.text, Note.id == ADA)
    Base.metadata.drop_all(engine)


def test_a_cell_that_is_bound_to_its_column_only_or_has_no_tenant(engine: Engine):
    field = EncryptedField[str](KEYS, table="patients", column="ssn", context="column")
    refused(engine, Patient.ssn_cell, field.encrypt("1"))
    field = EncryptedField[str](KEYS, table="visits", column="reason")
    refused(
        engine,
        Visit.reason_cell,
        field.encrypt("1", row=("north", 1)),
        Visit.reason,
        Visit.clinic == "north",
    )


def test_a_row_id_of_another_type(engine: Engine):
    field = EncryptedField[str](KEYS, table="patients", column="ssn")
    for row in (str(ADA), 1, ADA.hex, (ADA,)):
        refused(engine, Patient.ssn_cell, field.encrypt("1", row=row))


def test_the_cell_of_another_uid(engine: Engine):
    bob = cell_of(engine, Letter.body_cell, Letter.uid == BOB)
    refused(engine, Letter.body_cell, bob, Letter.body, Letter.uid == ADA)


def test_a_truncated_cell(engine: Engine):
    cell = cell_of(engine, Patient.ssn_cell, Patient.id == ADA)
    for length in range(len(cell)):
        refused(engine, Patient.ssn_cell, cell[:length])
    refused(engine, Patient.ssn_cell, cell + b"\0")
    refused(engine, Patient.ssn_cell, b"\0" + cell)


def test_every_flipped_bit(engine: Engine):
    cell = cell_of(engine, Patient.ssn_cell, Patient.id == ADA)
    for place in range(len(cell)):
        for bit in range(8):
            edited = bytearray(cell)
            edited[place] ^= 1 << bit
            refused(engine, Patient.ssn_cell, bytes(edited))


def test_every_edited_character_of_a_cell_in_text(engine: Engine):
    where = (Letter.uid == ADA,)
    cell = str(cell_of(engine, Letter.body_cell, *where))
    for place in range(len(cell)):
        for other in ("A", "B", "=", " ", "é"):
            if other != cell[place]:
                edited = cell[:place] + other + cell[place + 1 :]
                refused(engine, Letter.body_cell, edited, Letter.body, *where)
    for edited in (cell[:-1], cell[1:], cell + "A", cell + "=", cell + "\n", " " + cell, "", "Dear Ada"):
        refused(engine, Letter.body_cell, edited, Letter.body, *where)


def test_another_prefix_and_another_key(engine: Engine):
    cell = cell_of(engine, Patient.ssn_cell, Patient.id == ADA)
    foreign = EncryptedField[str](Keyset.generate(), table="patients", column="ssn").encrypt("1", row=ADA)
    for edited in (
        foreign,
        foreign[:5] + cell[5:],
        cell[:5] + foreign[5:],  # under the name of our key
        b"\x00" + cell[1:],
        cell[5:],
        b"\x01\x00\x00\x00\x00" + cell[5:],
    ):
        refused(engine, Patient.ssn_cell, edited)


@settings(max_examples=50)
@given(cell=st.binary(max_size=100))
def test_any_bytes(engine: Engine, cell: bytes):
    refused(engine, Patient.ssn_cell, cell)


def test_plaintext_is_not_taken_for_a_value(engine: Engine):
    for cell in (b"", b"1", b"078-05-1120", b"s" + b"078-05-1120"):
        refused(engine, Patient.ssn_cell, cell)


def test_a_tag_that_was_moved_finds_a_row_that_is_not_the_answer(engine: Engine):
    with Session(engine) as session:
        ada = session.scalars(select(Patient.ssn_tag).where(Patient.id == ADA)).one()
        session.execute(update(Patient.__table__).where(Patient.id == BOB).values(ssn_tag=ada))
        found = session.scalars(select(Patient).where(Patient.ssn == "1")).all()
        assert len(found) == 2
        assert [patient.id for patient in exactly(found, Patient.ssn, "1")] == [ADA]


def test_an_attack_is_not_carried_on_by_the_application(engine: Engine):
    """What was put there is neither moved by rebind nor lost in silence by a write to another attribute."""
    from portalsec.sqlalchemy.fields import rebind

    bob = cell_of(engine, Patient.ssn_cell, Patient.id == BOB)
    with Session(engine) as session:
        session.execute(update(Patient.__table__).where(Patient.id == ADA).values(ssn_cell=bob))
        patient = session.get_one(Patient, ADA)
        with pytest.raises(DecryptionError):
            rebind(patient, id=uuid4())
        assert patient.id == ADA
        patient.name = "Ada L."
        session.flush()
        assert session.scalars(select(Patient.ssn_cell).where(Patient.id == ADA)).one() == bob
