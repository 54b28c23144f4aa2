"""Which classes can have encrypted attributes, and what is said of the others when their mappers are configured."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import InitVar
from datetime import date
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    CHAR,
    Column,
    Computed,
    Date,
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    create_engine,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    configure_mappers,
    mapped_column,
    registry,
    relationship,
    undefer,
)

from portalsec.crypto import EncryptedField, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased
from portalsec.events import Actor
from portalsec.sqlalchemy.fields import Encrypted, encrypted, rebind, searchable
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import FrozenClock
from tests.sqlalchemy.clinic import INDEX_KEYS, KEYS, Patient, Visit, field, index


@pytest.fixture
def base() -> Iterator[Any]:
    class Base(DeclarativeBase):
        pass

    yield Base
    Base.registry.dispose()


def open_session(base: Any) -> Session:
    engine = create_engine("sqlite://")
    base.metadata.create_all(engine)
    return Session(engine)


def model(base: Any, **members: Any) -> Any:
    """A class with a cell, an encrypted attribute and what is given."""
    given: dict[str, Any] = {
        "__tablename__": "thing",
        "__annotations__": {},
        "cell": mapped_column(LargeBinary),
        "tag": mapped_column(LargeBinary),
        "ssn": encrypted(field("ssn", table="things"), cell="cell"),
    }
    return type("Thing", (base,), given | members)


UUID_KEY = {"id": lambda: mapped_column(Uuid, primary_key=True, default=uuid4)}


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        lambda: mapped_column(Integer, primary_key=True),
        lambda: mapped_column(Integer, primary_key=True, autoincrement=True),
        lambda: mapped_column(Integer, Identity(), primary_key=True),
        lambda: mapped_column(Integer, Sequence("numbers"), primary_key=True),
        lambda: mapped_column(Uuid, primary_key=True, server_default=text("gen_random_uuid()")),
        lambda: mapped_column(Uuid, primary_key=True, default=func.gen_random_uuid()),
        lambda: mapped_column(String, Computed("'a'"), primary_key=True),
    ],
)
def test_a_key_that_the_database_assigns_is_refused_with_the_remedy(base: Any, key: Callable[[], Any]):
    kept = model(base, id=key())
    with pytest.raises(ConfigurationError, match=r'Thing\.ssn: the database assigns thing\.id.*row="uid"'):
        configure_mappers()
    assert kept is not None  # nobody else holds the class


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (lambda: mapped_column(Uuid, primary_key=True), uuid4()),
        (lambda: mapped_column(Uuid, primary_key=True, default=uuid4), None),
        (lambda: mapped_column(Uuid(as_uuid=False), primary_key=True), str(uuid4())),
        (lambda: mapped_column(String, primary_key=True), "Mrn-7"),
        (lambda: mapped_column(CHAR(5), primary_key=True), "Mrn-7"),
        (lambda: mapped_column(Integer, primary_key=True, autoincrement=False), 7),
        (lambda: mapped_column(Integer, primary_key=True, default=7), None),
        (lambda: mapped_column(Integer, primary_key=True, default=lambda: 7), None),
        (lambda: mapped_column(Integer, primary_key=True, default=lambda context: 7), None),
    ],
    ids=count(),
)
def test_a_key_that_the_application_assigns_is_taken(base: Any, key: Callable[[], Any], value: Any):
    thing = model(base, id=key())
    with open_session(base) as session:
        session.add(thing(ssn="1") if value is None else thing(id=value, ssn="1"))
        session.commit()
        session.expunge_all()
        assert session.scalars(select(thing)).one().ssn == "1"


@pytest.mark.parametrize(
    ("type_", "value", "error"),
    [
        (Uuid(as_uuid=False), str(uuid4()).upper(), "as str"),
        (Uuid(as_uuid=False), "no uuid", "as str"),
        (CHAR(6), "Mrn-7", "fill its CHAR column"),
        (String(), 7, "of type str"),
        (Uuid(), str(uuid4()), "of type UUID"),
    ],
    ids=count(),
)
def test_a_key_that_would_not_come_back_as_it_went_is_refused(base: Any, type_: Any, value: Any, error: str):
    thing = model(base, id=mapped_column(type_, primary_key=True))
    with open_session(base) as session:
        session.add(thing(id=value, ssn="1"))
        with pytest.raises((TypeError, ValueError), match=error):
            session.flush()


def test_a_default_that_needs_its_insert_is_told(base: Any):
    thing = model(
        base, id=mapped_column(Uuid, primary_key=True, default=lambda context: context.current_parameters)
    )
    with open_session(base) as session:
        session.add(thing(ssn="1"))
        with pytest.raises(ConfigurationError, match=r"default of 'id' asks for the context"):
            session.flush()


class Kind(enum.Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"id": lambda: mapped_column(primary_key=True, type_=Date)}, "a UUID, a text or an int"),
        ({"id": lambda: mapped_column(primary_key=True, type_=Enum(Kind))}, "a UUID, a text"),
        (
            {"id": lambda: mapped_column(ForeignKey("other.id", onupdate="cascade"), primary_key=True)},
            "ON UPDATE CASCADE",
        ),
        (
            UUID_KEY | {"ssn": lambda: encrypted(field("ssn"), cell="nowhere")},
            "cell='nowhere' is no attribute",
        ),
        (
            UUID_KEY | {"ssn": lambda: encrypted(field("ssn"), cell="cell", row="nowhere")},
            "no attribute 'nowhere'",
        ),
        (UUID_KEY | {"ssn": lambda: encrypted(field("ssn"), cell="cell", tenant="id")}, "knows no tenant"),
        (UUID_KEY | {"ssn": lambda: encrypted(field("ssn"), cell="cell", subject="id")}, "knows no subject"),
        (
            UUID_KEY | {"ssn": lambda: encrypted(field("ssn", tenanted=True), cell="cell")},
            "bound to a tenant",
        ),
        (
            UUID_KEY | {"ssn": lambda: encrypted(field("ssn", context="column"), cell="cell", row="id")},
            "bound to no row",
        ),
        (UUID_KEY | {"ssn": lambda: encrypted(field("ssn", text=True), cell="cell")}, "its cells are str"),
        (UUID_KEY | {"cell": lambda: mapped_column(Text)}, "its cells are bytes"),
        (
            UUID_KEY | {"other": lambda: encrypted(field("ssn", table="things"), cell="tag")},
            "are those of column thing",
        ),
        (UUID_KEY | {"other": lambda: encrypted(field("other"), cell="cell")}, "have the same column 'cell'"),
        (UUID_KEY | {"ssn": lambda: encrypted("ssn", cell="cell")}, "is given an EncryptedField"),
        (
            UUID_KEY
            | {"ssn": lambda: encrypted(field("ssn"), cell="cell", index=index("ssn", normalise.digits))},
            "takes index=BlindIndex",
        ),
        (
            UUID_KEY | {"ssn": lambda: encrypted(field("ssn"), cell="cell", tag="tag")},
            "takes index=BlindIndex",
        ),
        (
            UUID_KEY
            | {
                "ssn": lambda: encrypted(
                    field("ssn"), cell="cell", index=index("ssn", normalise.digits), tag="no"
                )
            },
            "tag='no' is no attribute",
        ),
        (
            UUID_KEY
            | {
                "ssn": lambda: encrypted(
                    field("ssn"), cell="cell", index=index("ssn", normalise.digits, tenanted=True), tag="tag"
                )
            },
            "its index has a tenant",
        ),
        (
            UUID_KEY
            | {"tag": lambda: mapped_column(Text)}
            | {
                "ssn": lambda: encrypted(
                    field("ssn"), cell="cell", index=index("ssn", normalise.digits), tag="tag"
                )
            },
            "tags are bytes",
        ),
        (
            UUID_KEY | {"more": lambda: searchable(index("ssn", normalise.digits), tag="tag", of="tag")},
            "of= names encrypted attributes",
        ),
        (
            {
                "id": lambda: mapped_column(Integer, primary_key=True),
                "uid": lambda: mapped_column(Uuid, nullable=False),
                "ssn": lambda: encrypted(field("ssn"), cell="cell", row="uid"),
            },
            "declare uid with unique=True",
        ),
        (
            {
                "id": lambda: mapped_column(Integer, primary_key=True),
                "uid": lambda: mapped_column(Uuid, unique=True, nullable=True),
                "ssn": lambda: encrypted(field("ssn"), cell="cell", row="uid"),
            },
            "never NULL",
        ),
        (
            {
                "id": lambda: mapped_column(Integer, primary_key=True),
                "uid": lambda: mapped_column(Uuid, unique=True, nullable=False, server_default=text("x")),
                "ssn": lambda: encrypted(field("ssn"), cell="cell", row="uid"),
            },
            r"the database assigns thing\.uid",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_the_mapper_is_configured(
    base: Any, members: dict[str, Callable[[], Any]], error: str
):
    Table("other", base.metadata, Column("id", Integer, primary_key=True))
    kept = model(base, **{name: make() for name, make in members.items()})
    with pytest.raises(ConfigurationError, match=rf"(?s)Thing\.\w+.*{error}"):
        configure_mappers()
    assert kept is not None


@pytest.mark.parametrize(
    "unique",
    [
        {"uid": lambda: mapped_column(Uuid, unique=True, nullable=False)},
        {
            "uid": lambda: mapped_column(Uuid, nullable=False),
            "__table_args__": lambda: (UniqueConstraint("uid"),),
        },
        {
            "uid": lambda: mapped_column(Uuid, nullable=False),
            "__table_args__": lambda: (Index("one", "uid", unique=True),),
        },
    ],
)
def test_another_unique_column_stands_in_for_the_key(base: Any, unique: dict[str, Callable[[], Any]]):
    made = {name: make() for name, make in unique.items()}
    thing = model(
        base,
        id=mapped_column(Integer, primary_key=True),
        ssn=encrypted(field("ssn"), cell="cell", row="uid"),
        **made,
    )
    with open_session(base) as session:
        session.add(thing(ssn="1", uid=uuid4()))
        session.commit()
        assert session.scalars(select(thing)).one().ssn == "1"


def test_a_cell_of_a_column_is_the_weaker_choice(base: Any):
    thing = model(
        base,
        id=mapped_column(Integer, primary_key=True),
        ssn=encrypted(field("ssn", context="column"), cell="cell"),
    )
    with open_session(base) as session:
        session.add_all([thing(ssn="1"), thing(ssn="2")])
        session.commit()
        assert [each.ssn for each in session.scalars(select(thing).order_by(thing.id))] == ["1", "2"]


def test_a_key_that_comes_over_a_relationship(base: Any):
    class Person(base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        secrets: Mapped[Secrets] = relationship(back_populates="person")

    class Secrets(base):
        __tablename__ = "secrets"
        id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
        person: Mapped[Person] = relationship(back_populates="secrets")
        cell: Mapped[bytes | None]
        ssn = encrypted(field("ssn", table="secrets"), cell="cell")

    with open_session(base) as session:
        session.add_all([Person(secrets=Secrets(ssn="1")), Person(secrets=Secrets(ssn="2"))])
        session.commit()
        assert {each.person.id: each.ssn for each in session.scalars(select(Secrets))} == {1: "1", 2: "2"}


# -- inheritance, mixins, other ways to map ---------------------------------------------------------------------------


def test_joined_inheritance(base: Any):
    class Person(base):
        __tablename__ = "person"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        kind: Mapped[str]
        name_cell: Mapped[bytes | None]
        name = encrypted(field("name", table="people"), cell="name_cell")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Doctor(Person):
        __tablename__ = "doctor"
        id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), primary_key=True)
        licence_cell: Mapped[bytes | None]
        licence_tag: Mapped[bytes | None]
        licence = encrypted(
            field("licence", table="doctors"),
            cell="licence_cell",
            index=index("licence", normalise.exact, table="doctors"),
            tag="licence_tag",
        )
        __mapper_args__ = {"polymorphic_identity": "doctor"}

    with open_session(base) as session:
        session.add_all([Person(name="Ada"), Doctor(name="Bob", licence="L1")])
        session.commit()
        session.expunge_all()
        people = {each.name: each for each in session.scalars(select(Person))}
        assert set(people) == {"Ada", "Bob"}
        assert people["Bob"].licence == "L1"  # loaded when it is read
        assert session.scalars(select(Doctor).where(Doctor.licence == "L1")).one().name == "Bob"
        people["Bob"].licence, people["Bob"].name = "L2", "Rob"
        session.commit()
        assert (people["Bob"].licence, people["Bob"].name) == ("L2", "Rob")


def test_single_table_inheritance_and_an_attribute_that_is_switched_off(base: Any):
    class Person(base):
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

    class Nobody(Person):
        name = None
        __mapper_args__ = {"polymorphic_identity": "nobody"}

    with open_session(base) as session:
        session.add_all([Person(name="Ada"), Doctor(name="Bob", licence="L1"), Nobody()])
        session.commit()
        session.expunge_all()
        bob = session.scalars(select(Doctor)).one()
        assert (bob.name, bob.licence) == ("Bob", "L1")
        assert session.scalars(select(Nobody)).one().name is None


def test_a_mixin_and_an_abstract_base(base: Any):
    class Abstract(base):
        __abstract__ = True
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)

    class HasSsn:
        ssn_cell: Mapped[bytes | None]
        ssn_tag: Mapped[bytes | None]
        ssn = encrypted(
            lambda cls: EncryptedField[str](KEYS, table=cls.__tablename__, column="ssn"),
            cell="ssn_cell",
            index=lambda cls: BlindIndex[str](INDEX_KEYS, table=cls.__tablename__, column="ssn", bits=128),
            tag="ssn_tag",
        )

    class Person(HasSsn, Abstract):
        __tablename__ = "person"

    class Animal(HasSsn, Abstract):
        __tablename__ = "animal"

    assert isinstance(HasSsn.ssn, Encrypted)
    one = uuid4()
    with open_session(base) as session:
        session.add_all([Person(id=one, ssn="1"), Animal(id=one, ssn="2")])
        session.commit()
        assert session.scalars(select(Person).where(Person.ssn == "1")).one().ssn == "1"
        assert session.scalars(select(Animal).where(Animal.ssn == "1")).all() == []
        session.execute(text("UPDATE animal SET ssn_cell = (SELECT ssn_cell FROM person)"))
        session.expire_all()
        with pytest.raises(DecryptionError):
            _ = session.scalars(select(Animal)).one().ssn


def test_a_mixin_with_one_label_for_two_tables_is_refused(base: Any):
    class HasSsn:
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        ssn = encrypted(field("ssn"), cell="ssn_cell")

    class Person(HasSsn, base):
        __tablename__ = "person"

    configure_mappers()
    assert Person(ssn="1").ssn == "1"

    class Animal(HasSsn, base):
        __tablename__ = "animal"

    with pytest.raises(ConfigurationError, match=r"Animal\.ssn: .* are those of column person\.ssn_cell"):
        configure_mappers()
    assert Animal.__table__ is not None


def test_concrete_inheritance_is_two_tables(base: Any):
    class Person(base):
        __tablename__ = "person"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        ssn = encrypted(field("ssn", table="people"), cell="ssn_cell")

    class Doctor(Person):
        __tablename__ = "doctor"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        __mapper_args__ = {"concrete": True}

    with pytest.raises(ConfigurationError, match=r"Doctor\.ssn: .* are those of column person\.ssn_cell"):
        configure_mappers()


def test_a_mapped_dataclass(base: Any):
    class Person(MappedAsDataclass, base):
        __tablename__ = "person"
        ssn_given: InitVar[str | None] = None
        id: Mapped[UUID] = mapped_column(
            primary_key=True, default_factory=uuid4, insert_default=uuid4, kw_only=True
        )
        ssn_cell: Mapped[bytes | None] = mapped_column(init=False, repr=False, default=None)
        ssn = encrypted(field("ssn", table="people"), cell="ssn_cell")

        def __post_init__(self, ssn_given: str | None) -> None:
            self.ssn = ssn_given

    with open_session(base) as session:
        person = Person("078-05-1120")
        assert "078-05-1120" not in repr(person)
        session.add(person)
        session.commit()
        session.expunge_all()
        assert session.scalars(select(Person)).one().ssn == "078-05-1120"


def test_imperative_mapping():
    mappers = registry()
    table = Table(
        "person",
        mappers.metadata,
        Column("id", Uuid, primary_key=True, default=uuid4),
        Column("c", LargeBinary),
    )

    class Person:
        ssn = encrypted(field("ssn", table="people"), cell="ssn_cell")

    mappers.map_imperatively(Person, table, properties={"ssn_cell": table.c.c})
    engine = create_engine("sqlite://")
    mappers.metadata.create_all(engine)
    with Session(engine) as session:
        person = Person()
        person.ssn = "1"
        session.add(person)
        session.commit()
        assert session.scalars(select(Person)).one().ssn == "1"
    mappers.dispose()


def test_an_attribute_that_is_set_on_a_class_is_bound_when_it_is_used(base: Any):
    thing = model(base, id=mapped_column(Uuid, primary_key=True, default=uuid4))
    configure_mappers()
    late = encrypted(field("late"), cell="tag")
    late.__set_name__(thing, "late")
    thing.late = late
    with pytest.raises(ConfigurationError, match="declared in the body of its class"):
        thing(late="1")


def test_columns_of_other_names_than_their_attributes(base: Any):
    thing = model(
        base,
        key_=mapped_column("id", Uuid, primary_key=True, default=uuid4),
        cell=mapped_column("ssn", LargeBinary),
    )
    with open_session(base) as session:
        session.add(thing(ssn="1"))
        session.commit()
        assert session.scalars(select(thing)).one().ssn == "1"


def test_deferred_cells_are_loaded_when_they_are_read(base: Any):
    thing = model(
        base,
        id=mapped_column(Uuid, primary_key=True, default=uuid4),
        cell=mapped_column(LargeBinary, deferred=True),
    )
    with open_session(base) as session:
        session.add(thing(ssn="1"))
        session.commit()
        session.expunge_all()
        found = session.scalars(select(thing)).one()
        assert "cell" in inspect(found).unloaded
        assert found.ssn == "1"
        session.expunge_all()
        found = session.scalars(select(thing).options(undefer(thing.cell))).one()
        session.expunge_all()
        assert found.ssn == "1"


# -- keys that are loaded later, keys of subjects ------------------------------------------------------------------------


def test_a_ring_that_is_loaded_after_the_classes_are_declared(base: Any):
    ring = Keyring()
    thing = model(
        base,
        id=mapped_column(Uuid, primary_key=True, default=uuid4),
        ssn=encrypted(
            EncryptedField[str](ring["fields"], table="things", column="ssn"),
            cell="cell",
            index=BlindIndex[str](ring["index"], table="things", column="ssn", bits=128),
            tag="tag",
        ),
    )
    with open_session(base) as session:
        with pytest.raises(ConfigurationError, match="is not loaded"):
            session.scalars(select(thing).where(thing.ssn == "1"))
        session.add(thing(ssn="1"))
        with pytest.raises(ConfigurationError, match="is not loaded"):
            session.flush()
        session.rollback()
        ring.load(lambda: {"fields": KEYS, "index": INDEX_KEYS})
        session.add(thing(ssn="1"))
        session.commit()
        assert session.scalars(select(thing).where(thing.ssn == "1")).one().ssn == "1"


@pytest.fixture
def subjects() -> SubjectKeys:
    return SubjectKeys(MemorySubjectKeys(), keys=KEYS, clock=FrozenClock(), emit=lambda event: None)


def test_cells_under_the_key_of_a_subject(base: Any, subjects: SubjectKeys):
    class Note(base):
        __tablename__ = "note"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        patient_id: Mapped[UUID]
        text_cell: Mapped[bytes | None]
        text = encrypted(
            EncryptedField[str](subjects, table="notes", column="text"),
            cell="text_cell",
            subject="patient_id",
        )

    ada, bob = uuid4(), uuid4()
    with open_session(base) as session:
        session.add_all([Note(patient_id=ada, text="1"), Note(patient_id=bob, text="2")])
        session.commit()
        notes = {note.patient_id: note for note in session.scalars(select(Note))}
        assert (notes[ada].text, notes[bob].text) == ("1", "2")
        notes[ada].patient_id = bob
        assert notes[ada].text == "1"
        with pytest.raises(ConfigurationError, match=r"bound to 'id', 'patient_id'.*rebind"):
            session.flush()
        session.rollback()
        rebind(notes[ada], patient_id=bob)
        session.commit()
        assert notes[ada].text == "1"
        subjects.shred(str(bob), actor=Actor(id="admin"))
        with pytest.raises(SubjectErased):
            _ = notes[ada].text
        session.add(Note(patient_id=bob, text="3"))
        with pytest.raises(SubjectErased):
            session.flush()
        session.rollback()
        notes[bob].text = None  # emptied without a key
        session.commit()
        assert notes[bob].text is None


# -- async ---------------------------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_an_async_session(postgres_url: str):
    import asyncio

    async def run() -> None:
        engine = create_async_engine(postgres_url)
        async with engine.begin() as connection:
            await connection.run_sync(Patient.metadata.drop_all)
            await connection.run_sync(Patient.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            patient = Patient(ssn="078-05-1120", name="Ada", born=date(1815, 12, 10))
            session.add_all([patient, Visit(clinic="north", number=1, patient=uuid4(), reason="cough")])
            await session.commit()
            assert patient.ssn == "078-05-1120"
        async with AsyncSession(engine) as session:
            found = (await session.scalars(select(Patient).where(Patient.ssn == "078051120"))).one()
            assert (found.ssn, found.name, found.born) == ("078-05-1120", "Ada", date(1815, 12, 10))
            found.ssn = "1"
            await session.commit()
            await session.refresh(found)
            assert found.ssn == "1"
            await session.run_sync(lambda sync: rebind(found, id=uuid4()))
            await session.commit()
            await session.refresh(found)
            assert found.ssn == "1"
            assert (await session.scalars(select(Visit))).one().reason == "cough"
        await engine.dispose()

    asyncio.run(run())


def test_a_class_without_encrypted_attributes_has_no_listener(base: Any):
    class Plain(base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    assert not list(inspect(Plain).dispatch.before_insert)
    assert list(inspect(Patient).dispatch.before_insert)
