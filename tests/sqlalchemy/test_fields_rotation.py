"""The cells of mapped classes are re-encrypted by their description alone."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from portalsec.crypto import EncryptedField, Keyset, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy.fields import cells_of, encrypted, searchable
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import FrozenClock
from tests.sqlalchemy.clinic import field, stored


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = create_engine(url)
    yield engine
    engine.dispose()


def rotated(keyset: Keyset) -> Keyset:
    both = keyset.add("XAES_256_GCM")
    (new,) = {each.id for each in both.info()} - {each.id for each in keyset.info()}
    return both.promote(new)


def test_cells_of_every_kind_are_written_under_the_new_key(engine: Engine):
    keys = {"fields": Keyset.generate(), "index": Keyset.generate("HMAC_SHA256_PRF")}
    ring = Keyring(lambda: dict(keys))
    subjects = SubjectKeys(
        MemorySubjectKeys(), keys=Keyset.generate(), clock=FrozenClock(), emit=lambda event: None
    )

    class Base(DeclarativeBase):
        pass

    class Note(Base):
        __tablename__ = "note"
        id: Mapped[int] = mapped_column(primary_key=True)
        uid: Mapped[UUID] = mapped_column("note_uid", unique=True, default=uuid4)
        clinic_id: Mapped[UUID]
        patient_id: Mapped[UUID]
        text_cell: Mapped[bytes | None] = mapped_column("text")
        text_tag: Mapped[bytes | None]
        text = encrypted(
            EncryptedField[str](ring["fields"], table="notes", column="text", tenanted=True),
            cell="text_cell",
            row="uid",
            tenant="clinic_id",
            index=BlindIndex[str](ring["index"], table="notes", column="text", bits=64, tenanted=True),
            tag="text_tag",
        )
        start_tag: Mapped[bytes | None]
        start = searchable(
            BlindIndex[str](
                ring["index"],
                table="notes",
                column="text",
                bits=64,
                tenanted=True,
                normalise=normalise.prefix(normalise.name, 2),
            ),
            tag="start_tag",
            of="text",
        )
        own_cell: Mapped[bytes | None]
        own = encrypted(
            EncryptedField[str](subjects, table="notes", column="own"),
            cell="own_cell",
            row="uid",
            subject="patient_id",
        )

    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    clinics, people = (uuid4(), uuid4()), (uuid4(), uuid4())
    with Session(engine) as session:
        for number in range(20):
            session.add(
                Note(
                    clinic_id=clinics[number % 2],
                    patient_id=people[number % 3 % 2],
                    text=f"note {number}",
                    own=f"own {number}",
                )
            )
        session.add(Note(clinic_id=clinics[0], patient_id=people[0]))
        session.commit()
    described = cells_of(Note)
    assert (described.row, described.tenant, described.subject) == ("note_uid", "clinic_id", "patient_id")
    keys["fields"] = rotated(keys["fields"])
    ring.reload()
    before = stored(
        engine, "SELECT text, text_tag, start_tag, own_cell FROM note WHERE text IS NOT NULL ORDER BY id"
    )
    progress = list(described.over(engine, batch=7).run())[-1]
    assert (progress.done, progress.changed, progress.failures) == (21, 20, ())
    after = stored(
        engine, "SELECT text, text_tag, start_tag, own_cell FROM note WHERE text IS NOT NULL ORDER BY id"
    )
    prefix = Note.__dict__["text"].field.current_prefix
    assert all(bytes(row[0]).startswith(prefix) for row in after)
    assert [row[1:] for row in after] == [row[1:] for row in before]
    with Session(engine) as session:
        notes = session.scalars(select(Note).order_by(Note.id)).all()
        assert [note.text for note in notes] == [f"note {number}" for number in range(20)] + [None]
        assert [note.own for note in notes] == [f"own {number}" for number in range(20)] + [None]
        search = select(Note).where(Note.text.for_tenant(str(clinics[1])) == "note 3")
        assert [note.text for note in session.scalars(search)] == ["note 3"]


def test_a_description_for_each_table_and_for_all_classes_of_one(engine: Engine):
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        kind: Mapped[str]
        name_cell: Mapped[bytes | None]
        name = encrypted(field("name", table="people"), cell="name_cell")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Doctor(Person):
        licence_cell: Mapped[bytes | None] = mapped_column()
        licence = encrypted(field("licence", table="people"), cell="licence_cell")
        __mapper_args__ = {"polymorphic_identity": "doctor"}

    class Plain(Base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)

    class Mixed(Base):
        __tablename__ = "mixed"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        one: Mapped[UUID] = mapped_column(unique=True)
        two: Mapped[UUID] = mapped_column(unique=True)
        a_cell: Mapped[bytes | None]
        a = encrypted(field("a", table="mixed"), cell="a_cell", row="one")
        b_cell: Mapped[bytes | None]
        b = encrypted(field("b", table="mixed"), cell="b_cell", row="two")

    described = cells_of(Person)
    assert [column for task in described.tasks for column in task.columns] == ["name_cell", "licence_cell"]
    assert (described.table, described.row) == (Person.__table__, None)
    with pytest.raises(ConfigurationError, match="no encrypted attribute"):
        cells_of(Plain)
    with pytest.raises(ConfigurationError, match="no row= in common"):
        cells_of(Mixed)
    assert Doctor.__table__ is Person.__table__
