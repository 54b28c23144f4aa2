"""The cells of mapped classes are re-encrypted by their description alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, ForeignKey, create_engine, select
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
    both = keyset.add("HMAC_SHA256_PRF" if keyset.primitive == "prf" else "XAES_256_GCM")
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


def test_tags_over_several_cells_follow_the_keys_of_their_index(engine: Engine):
    keys = {"fields": Keyset.generate(), "index": Keyset.generate("HMAC_SHA256_PRF")}
    ring = Keyring(lambda: dict(keys))

    class Base(DeclarativeBase):
        pass

    def index(column: str, how: normalise.Normaliser) -> BlindIndex[Any]:
        return BlindIndex(ring["index"], table="visits", column=column, bits=64, tenanted=True, normalise=how)

    class Visit(Base):
        __tablename__ = "visit"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        clinic: Mapped[str]
        name_cell: Mapped[bytes | None]
        name_tag: Mapped[bytes | None]
        name = encrypted(
            EncryptedField[str](ring["fields"], table="visits", column="name", tenanted=True),
            cell="name_cell",
            tenant="clinic",
            index=index("name", normalise.name),
            tag="name_tag",
        )
        room_cell: Mapped[bytes | None]
        room = encrypted(
            EncryptedField[int](ring["fields"], table="visits", column="room", type=int, tenanted=True),
            cell="room_cell",
            tenant="clinic",
        )
        both_tag: Mapped[bytes | None]
        both = searchable(
            index("both", normalise.parts(normalise.name, normalise.bucket((10, 20)))),
            tag="both_tag",
            of=("name", "room"),
        )

    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        for number in range(20):
            session.add(Visit(clinic=f"c{number % 2}", name=f"n{number}", room=number))
        session.add(Visit(clinic="c0", name="no room"))
        session.add(Visit(clinic="c0", room=3))
        session.commit()
    keys["fields"], old = rotated(keys["fields"]), keys["index"].primary_id
    keys["index"] = rotated(keys["index"])
    ring.reload()
    run = cells_of(Visit).over(engine, batch=7)
    left = {each.column: each for each in run.remaining()}
    assert {name: each.left for name, each in left.items()} == {
        "name_cell": 21,
        "room_cell": 21,
        "name_tag": 21,
        "both_tag": 20,
    }
    assert (left["both_tag"].current, left["both_tag"].stale, left["both_tag"].unknown) == (2, 20, 0)
    *_, last = run.run()
    assert (last.done, last.changed, last.failed) == (22, 22, 0)
    assert all(each.done for each in run.remaining())
    keys["index"] = keys["index"].disable(old)
    ring.reload()
    with Session(engine) as session:
        for number in range(20):
            clinic = f"c{number % 2}"
            by_name = select(Visit).where(Visit.name.for_tenant(clinic) == f"N{number}")
            by_both = select(Visit).where(Visit.both.for_tenant(clinic) == (f"n{number}", number))
            assert session.scalars(by_name).one() is session.scalars(by_both).one()


def test_a_cell_that_does_not_open_leaves_its_compound_tag_as_it_is(engine: Engine):
    keys = {"index": Keyset.generate("HMAC_SHA256_PRF")}
    ring = Keyring(lambda: dict(keys))

    class Base(DeclarativeBase):
        pass

    class Pair(Base):
        __tablename__ = "pair"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        a_cell: Mapped[bytes | None]
        a = encrypted(field("a", table="pairs"), cell="a_cell")
        b_cell: Mapped[bytes | None]
        b = encrypted(field("b", table="pairs"), cell="b_cell")
        ab_tag: Mapped[bytes | None]
        ab = searchable(
            BlindIndex[Any](
                ring["index"],
                table="pairs",
                column="ab",
                bits=64,
                normalise=normalise.parts(normalise.name, normalise.name),
            ),
            tag="ab_tag",
            of=("a", "b"),
        )

    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Pair(a="x", b=f"{n}") for n in range(3)])
        session.commit()
        first = session.scalars(select(Pair.id).order_by(Pair.id)).first()
    with engine.begin() as connection:
        connection.execute(Pair.__table__.update().where(Pair.id == first).values(b_cell=b"damaged"))
    before = dict(stored(engine, "SELECT b_cell, ab_tag FROM pair"))
    keys["index"] = rotated(keys["index"])
    ring.reload()
    run = cells_of(Pair).over(engine)
    *_, last = run.run()
    assert (last.changed, [(failure.column, failure.reason) for failure in last.failures]) == (
        2,
        [("b_cell", "too_short")],
    )
    after = dict(stored(engine, "SELECT b_cell, ab_tag FROM pair"))
    assert [cell for cell in before if before[cell] == after[cell]] == [b"damaged"]
    (tags,) = [each for each in run.remaining() if each.column == "ab_tag"]
    assert (tags.current, tags.stale, tags.unknown, tags.left) == (2, 0, 1, 1)


def test_tags_in_another_table_than_their_cells_are_refused(engine: Engine):
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person_"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        kind: Mapped[str]
        name_cell: Mapped[bytes | None]
        name = encrypted(field("name", table="people"), cell="name_cell")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Doctor(Person):
        __tablename__ = "doctor_"
        id: Mapped[UUID] = mapped_column(ForeignKey("person_.id"), primary_key=True)
        name_tag: Mapped[bytes | None]
        found = searchable(
            BlindIndex[str](Keyset.generate("HMAC_SHA256_PRF"), table="people", column="name", bits=64),
            tag="name_tag",
            of="name",
        )
        __mapper_args__ = {"polymorphic_identity": "doctor"}

    assert len(cells_of(Person).tasks) == 1
    with pytest.raises(ConfigurationError, match="different tables"):
        cells_of(Doctor)


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
