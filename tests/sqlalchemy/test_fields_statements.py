"""No statement of the ORM moves a row away from its cells, or puts there what is no cell; no two columns share a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, MetaData, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column

from portalsec.crypto import EncryptedField
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import ConfigurationError
from portalsec.events import Actor
from portalsec.sqlalchemy.fields import encrypted, exactly
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import FrozenClock
from tests.sqlalchemy.clinic import INDEX_KEYS, KEYS, Letter, Patient, Visit, engine_for

SUBJECTS = SubjectKeys(MemorySubjectKeys(), keys=KEYS, clock=FrozenClock(), emit=lambda event: None)
SSN = EncryptedField[str](KEYS, table="patients", column="ssn")


class Base(DeclarativeBase):
    pass


class Letters(Base):
    """Two cells under the key of a person, one of them found by two bits."""

    __tablename__ = "letters"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    who: Mapped[str]
    body_cell: Mapped[bytes | None]
    body_tag: Mapped[bytes | None]
    body = encrypted(
        EncryptedField(SUBJECTS, table="two letters", column="body"),
        cell="body_cell",
        subject="who",
        index=BlindIndex(INDEX_KEYS, table="two letters", column="body", bits=2),
        tag="body_tag",
    )
    title_cell: Mapped[bytes | None] = mapped_column("title_of_letter")
    title = encrypted(
        EncryptedField(SUBJECTS, table="two letters", column="title"), cell="title_cell", subject="who"
    )


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = engine_for("sqlite://")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.add(Letters(number=1, who="ada", body="dear", title="t"))
        session.add(Visit(clinic="north", number=1, patient=uuid4(), reason="cough"))
        session.add(Letter(uid=UUID(int=1), body="dear"))
        session.commit()
        yield session


# -- what cells are bound to -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (update(Letters), [{"number": 1, "who": "bob"}]),
        (update(Letters), [{"number": 1, "who": "bob", "body": "dear"}]),
        (update(Letters), {"number": 1, "who": "bob"}),
        (update(Letters).values(who="bob"), None),
        (update(Letters).values({Letters.who: "bob"}), None),
        (update(Letters).values({Letters.who: Letters.who + "x"}), None),
        (update(Letters).values({"who": "bob"}).where(Letters.number == 1), None),
        (update(Letters).values(who="bob", body=None), None),
        (update(Letters).values(number=2), None),
        (update(Visit).values(clinic="south"), None),
        (update(Visit).values(number=2), None),
        (update(Letter).values(uid=UUID(int=2)), None),
        (update(Letter), [{"id": 1, "uid": UUID(int=2)}]),
    ],
)
def test_an_update_does_not_move_a_row_away_from_its_cells(session: Session, write: Any, rows: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"its cell is bound to '\w+', which this statement changes"):
        session.execute(write, rows)
    session.expire_all()
    assert session.scalars(select(Letters)).one().body == "dear"
    assert session.scalars(select(Visit)).one().reason == "cough"


def test_the_older_ways_are_refused_too(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="bound to 'who'"):
        session.query(Letters).filter(Letters.number == 1).update({"who": "bob"})


def test_a_row_moves_with_all_its_cells(session: Session) -> None:
    session.execute(update(Letters), [{"number": 1, "who": "bob", "body": "dear Bob", "title": None}])
    session.commit()
    moved = session.scalars(select(Letters)).one()
    assert (moved.who, moved.body, moved.title) == ("bob", "dear Bob", None)
    session.execute(update(Letters).values(who="carl", body=None, title=None))
    session.execute(update(Visit).values(patient=uuid4()))  # bound to by nothing
    session.execute(update(Letters.__table__).where(Letters.number == 1).values(who="dora"))
    session.commit()
    assert session.scalars(select(Letters.who)).one() == "dora"


# -- cells as bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        (insert(Patient), [{"id": uuid4(), "ssn_cell": b"plaintext"}]),
        (insert(Patient), [{"ssn_cell": b"plaintext"}]),
        (insert(Patient), [{"id": uuid4(), "name": "Ada", "born": None, "ssn_cell": b"plaintext"}]),
        (insert(Patient), {"id": uuid4(), "ssn_cell": b"plaintext"}),
        (insert(Patient), [{"id": uuid4(), "ssn_cell": SSN.encrypt("1", row=uuid4())}]),
        (insert(Patient).values(id=uuid4(), number=1, ssn_cell=b"plaintext"), None),
        (insert(Patient).values([{"id": uuid4(), "number": 1, "ssn_cell": b"plaintext"}]), None),
        (update(Patient), [{"id": UUID(int=7), "ssn_cell": b"plaintext"}]),
        (update(Patient).values(ssn_cell=b"plaintext"), None),
        (update(Patient).values({Patient.ssn_cell: Patient.name_cell}), None),
        (update(Letters).values({"title_cell": b"plaintext"}), None),
        (update(Letters).values({"title_of_letter": b"plaintext"}), None),
    ],
)
def test_bytes_that_are_no_cell_of_the_row_are_not_written(
    engine: Engine, session: Session, write: Any, rows: Any
) -> None:
    session.add(Patient(id=UUID(int=7), ssn="7"))
    session.commit()
    with pytest.raises(ConfigurationError, match=r"no cell of this row|holds the cell of one row") as caught:
        session.execute(write, rows)
    assert "plaintext" not in str(caught.value)
    session.rollback()
    assert [each.ssn for each in session.scalars(select(Patient))] == ["7"]


def test_a_cell_of_the_row_is_written(session: Session) -> None:
    one = uuid4()
    session.execute(insert(Patient), [{"id": one, "number": 1, "ssn_cell": SSN.encrypt("1", row=one)}])
    session.execute(update(Patient), [{"id": one, "ssn_cell": SSN.encrypt("2", row=one)}])
    session.commit()
    assert session.get_one(Patient, one).ssn == "2"
    session.execute(update(Patient).values(ssn_cell=None))
    session.execute(update(Patient.__table__).values(number=3))
    session.execute(delete(Patient))


# -- people who were erased ------------------------------------------------------------------------------------------


def test_a_search_is_not_ended_by_somebody_who_was_erased(session: Session) -> None:
    session.add_all([Letters(number=number, who=f"p{number}", body="same") for number in range(2, 6)])
    session.commit()
    SUBJECTS.shred("p3", actor=Actor(type="system"))
    session.expire_all()
    found = session.scalars(select(Letters).where(Letters.body == "same")).all()
    assert {each.number for each in found} >= {2, 3, 4, 5}
    assert sorted(each.number for each in exactly(found, Letters.body, "same")) == [2, 4, 5]


# -- labels ----------------------------------------------------------------------------------------------------------


def two_models(base: Any, fields: Callable[[], Any], other: Any = None) -> None:
    class Sick(base):
        __tablename__ = "sick"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        ssn = encrypted(fields(), cell="ssn_cell")

    class Staff(other or base):
        __tablename__ = "staff" if other is None else "sick"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        ssn = encrypted(fields(), cell="ssn_cell")

    configure_mappers()


def a_base() -> Any:
    class Base(DeclarativeBase):
        metadata = MetaData()

    return Base


def test_two_models_do_not_share_a_field_or_labels() -> None:
    one = EncryptedField[str](KEYS, table="people", column="ssn")
    for fields, what in (
        (lambda: one, "the labels"),
        (
            lambda: EncryptedField[str](KEYS, table="people", column="ssn"),
            "the labels table='people', column='ssn'",
        ),
    ):
        base = a_base()
        with pytest.raises(
            ConfigurationError, match=rf"Staff\.ssn: {what}.*sick\.ssn_cell already.*could be swapped"
        ):
            two_models(base, fields)
        base.registry.dispose()


def test_one_field_does_not_serve_tables_of_two_databases() -> None:
    one = EncryptedField[str](KEYS, table="people", column="ssn")

    def another(base: Any) -> None:
        class Staff(base):
            __tablename__ = "staff"
            id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
            ssn_cell: Mapped[bytes | None]
            ssn = encrypted(one, cell="ssn_cell")

        configure_mappers()

    first, second = a_base(), a_base()
    two_models(first, lambda: one, second)  # one table, mapped twice
    third = a_base()
    with pytest.raises(
        ConfigurationError, match=r"Staff\.ssn: its field serves column sick\.ssn_cell already"
    ):
        another(third)
    for base in (first, second, third):
        base.registry.dispose()
