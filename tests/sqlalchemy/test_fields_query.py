"""What a query can do with an encrypted attribute, and what it says of all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, bindparam, delete, func, insert, lambda_stmt, select, update
from sqlalchemy.exc import ArgumentError, StatementError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    load_only,
    mapped_column,
    with_loader_criteria,
)

from portalsec.crypto import EncryptedField, Keyset, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.keyring import Keyring
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.sqlalchemy.fields import encrypted, exactly
from tests.sqlalchemy.clinic import KEYS, Clinic, Patient, Visit, engine_for, stored

PEOPLE = (
    ("078-05-1120", "Ada Lovelace", date(1815, 12, 10)),
    ("123-45-6789", "Adam Smith", date(1723, 6, 16)),
    ("987-65-4321", "Émilie du Châtelet", date(1706, 12, 17)),
    (None, None, None),
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = engine_for(url)
    with Session(engine) as session:
        for number, (ssn, name, born) in enumerate(PEOPLE):
            session.add(Patient(number=number, ssn=ssn, name=name, born=born))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def numbers(session: Session, statement: Any) -> list[int]:
    return sorted(patient.number for patient in session.scalars(statement))


# -- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (lambda p: p.ssn == "078051120", [0]),
        (lambda p: p.ssn == "078 05 1120", [0]),
        (lambda p: p.ssn == "no digits", []),
        (lambda p: p.ssn == None, [3]),  # noqa: E711
        (lambda p: p.ssn.is_(None), [3]),
        (lambda p: p.ssn != None, [0, 1, 2]),  # noqa: E711
        (lambda p: p.ssn.is_not(None), [0, 1, 2]),
        (lambda p: p.ssn != "078051120", [1, 2]),
        (lambda p: p.ssn != "no digits", [0, 1, 2]),
        (lambda p: p.ssn.in_(["078051120", "987654321", "0"]), [0, 2]),
        (lambda p: p.ssn.in_([]), []),
        (lambda p: p.ssn.in_({"078051120"}), [0]),
        (lambda p: p.ssn.not_in(["078051120", "987654321"]), [1]),
        (lambda p: p.ssn.not_in([]), [0, 1, 2]),
        (lambda p: p.born.is_(None), [3]),
        (lambda p: p.name == "emilie DU chatelet", [2]),
        (lambda p: p.name_start == "ada", [0, 1]),
        (lambda p: p.name_start == "Adamant", [0, 1]),
        (lambda p: p.name_born == ("ada lovelace", date(1815, 1, 1)), [0]),
        (lambda p: p.name_born == ("ada lovelace", date(1816, 1, 1)), []),
        (
            lambda p: p.name_born.in_([("ada lovelace", date(1815, 1, 1)), ("Adam Smith", date(1723, 2, 2))]),
            [0, 1],
        ),
        (lambda p: (p.ssn == "078051120") | (p.number == 2), [0, 2]),
        (lambda p: ~(p.ssn == "078051120") & (p.number < 3), [1, 2]),
    ],
)
def test_comparisons_that_work(session: Session, condition: Callable[[Any], Any], found: list[int]):
    assert numbers(session, select(Patient).where(condition(Patient))) == found
    alias = aliased(Patient)
    assert numbers(session, select(alias).where(condition(alias))) == found


def test_the_ways_to_write_a_query(session: Session):
    assert numbers(session, select(Patient).filter_by(ssn="078051120")) == [0]
    assert [each.number for each in session.query(Patient).filter(Patient.ssn == "078051120")] == [0]
    both = select(Patient).join(alias := aliased(Patient), alias.number == Patient.number + 1)
    assert numbers(session, both.where(alias.ssn == "123456789")) == [0]
    within = select(Patient).where(Patient.id.in_(select(Patient.id).where(Patient.ssn == "078051120")))
    assert numbers(session, within) == [0]
    limited = select(Patient).options(with_loader_criteria(Patient, lambda cls: cls.ssn == "078051120"))
    assert numbers(session, limited) == [0]
    assert session.scalar(select(func.count()).where(Patient.ssn.is_not(None))) == 3


def test_a_condition_on_a_related_class(session: Session):
    patient = session.scalars(select(Patient).where(Patient.number == 0)).one()
    patient.clinic = Clinic(title="North")
    session.commit()
    assert (
        session.scalars(select(Clinic).where(Clinic.patients.any(Patient.ssn == "078051120"))).one().title
        == "North"
    )
    assert session.scalars(select(Clinic).where(Clinic.patients.any(Patient.ssn == "123456789"))).all() == []


@pytest.mark.parametrize("synchronize", ["fetch", "evaluate", "auto", False])
def test_updates_and_deletes_by_a_condition(session: Session, synchronize: Any):
    loaded = session.scalars(select(Patient).where(Patient.number == 0)).one()
    options = {"synchronize_session": synchronize}
    session.execute(
        update(Patient).where(Patient.ssn == "078051120").values(number=9), execution_options=options
    )
    session.expire_all()
    assert loaded.number == 9
    session.execute(delete(Patient).where(Patient.ssn == "123456789"), execution_options=options)
    assert numbers(session, select(Patient)) == [2, 3, 9]


def test_the_value_is_in_no_statement_that_is_sent(session: Session):
    compiled = select(Patient).where(Patient.ssn == "078-05-1120").compile(session.get_bind())
    sent = str(compiled) + str(compiled.params)
    # Whole: three digits may stand in a tag by chance.
    assert "078-05-1120" not in sent and "078051120" not in sent


def test_a_search_finds_rows_under_every_live_key(engine: Engine):
    old = Keyset.generate("HMAC_SHA256_PRF")
    keys = {"index": old}
    ring = Keyring(lambda: dict(keys))

    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        ssn_cell: Mapped[bytes | None]
        ssn_tag: Mapped[bytes | None]
        ssn = encrypted(
            EncryptedField(KEYS, table="people", column="ssn"),
            cell="ssn_cell",
            index=BlindIndex(ring["index"], table="people", column="ssn", bits=64),
            tag="ssn_tag",
        )

    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Person(id=1, ssn="1"))
        session.commit()
        both = old.add("HMAC_SHA256_PRF")
        (new,) = {each.id for each in both.info()} - {each.id for each in old.info()}
        for keys["index"] in (both, both.promote(new)):
            ring.reload()
            assert [each.id for each in session.scalars(select(Person).where(Person.ssn == "1"))] == [1]
        session.add(Person(id=2, ssn="1"))
        session.commit()
        tags = {bytes(tag) for (tag,) in stored(engine, "SELECT ssn_tag FROM person")}
        assert len(tags) == 2
        assert len(session.scalars(select(Person).where(Person.ssn == "1")).all()) == 2
        assert len(session.scalars(select(Person).where(Person.ssn == "1")).all()) == 2


# -- short tags ------------------------------------------------------------------------------------------------------


def test_exactly_drops_what_only_has_the_same_tag(session: Session):
    ada = session.scalars(select(Patient).where(Patient.number == 0)).one()
    adam = session.scalars(select(Patient).where(Patient.number == 1)).one()
    session.execute(update(Patient).where(Patient.number == 1).values(name_tag=ada.name_tag))
    found = session.scalars(select(Patient).where(Patient.name == "ADA LOVELACE")).all()
    assert set(found) == {ada, adam}
    assert exactly(found, Patient.name, "ADA LOVELACE") == [ada]
    assert exactly(found, Patient.name_start, "adam") == [ada, adam]
    assert exactly(found, Patient.name_born, ("Ada Lovelace", date(1815, 1, 1))) == [ada]
    assert exactly(found, Patient.name, "!?") == []
    with pytest.raises(ConfigurationError, match=r"Patient\.born has no blind index"):
        exactly(found, Patient.born, date(1815, 12, 10))


def test_exactly_passes_no_cell_that_does_not_open(session: Session):
    ada = session.scalars(select(Patient).where(Patient.number == 0)).one()
    forged = update(Patient.__table__).where(Patient.number == 1)
    session.execute(forged.values(name_tag=ada.name_tag, name_cell=b"x" * 60))
    session.expire_all()
    with pytest.raises(DecryptionError):
        exactly(
            session.scalars(select(Patient).where(Patient.name == "Ada Lovelace")),
            Patient.name,
            "Ada Lovelace",
        )


def test_what_is_not_equal_is_not_asked_of_a_short_tag():
    for condition in (lambda: Patient.name != "Ada", lambda: Patient.name.not_in(["Ada"])):
        with pytest.raises(ConfigurationError, match=r"Patient\.name has an index of 16 bits.*load the rows"):
            condition()


# -- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "condition",
    [
        lambda: Patient.ssn < "1",
        lambda: Patient.ssn >= "1",
        lambda: Patient.ssn.between("1", "2"),
        lambda: Patient.ssn.like("1%"),
        lambda: Patient.ssn.ilike("1%"),
        lambda: Patient.ssn.contains("1"),
        lambda: Patient.ssn.startswith("1"),
        lambda: Patient.ssn.regexp_match("1"),
        lambda: Patient.ssn.is_distinct_from("1"),
        lambda: Patient.ssn + "1",
        lambda: "1" + Patient.ssn,
        lambda: Patient.ssn.desc(),
        lambda: Patient.ssn.collate("C"),
        lambda: Patient.ssn.op("~")("1"),
        lambda: -Patient.ssn,
        lambda: Patient.ssn.is_(True),
        lambda: Patient.ssn.is_not("1"),
        lambda: Patient.ssn == Patient.ssn,
        lambda: Patient.ssn == aliased(Patient).ssn,
        lambda: Patient.ssn == Patient.ssn_tag,
        lambda: Patient.ssn == bindparam("ssn"),
        lambda: Patient.ssn.in_(select(Patient.ssn_tag)),
        lambda: Patient.ssn.in_("078"),
        lambda: Patient.ssn.in_(["1", None]),
        lambda: Patient.ssn.any(),
        lambda: Patient.ssn.for_tenant("north") == "1",
        lambda: Visit.reason == "1",
        lambda: Patient.born == date(2000, 1, 1),
        lambda: Patient.born.in_([date(2000, 1, 1)]),
        lambda: Patient.notes != {},
        lambda: select(Patient.ssn),
        lambda: select(Patient).order_by(Patient.ssn),
        lambda: select(Patient).group_by(Patient.ssn),
        lambda: select(func.lower(Patient.ssn)),
        lambda: select(Patient).where(Patient.ssn),
        lambda: lambda_stmt(lambda: select(Patient).where(Patient.ssn == bindparam("x"))),
    ],
)
def test_comparisons_that_cannot_work_say_what_to_do(condition: Callable[[], Any]):
    with pytest.raises(ConfigurationError, match=r"^(Patient|Visit)\.(ssn|born|notes|reason) "):
        condition()


def test_an_option_of_loading_names_the_column():
    with pytest.raises(ArgumentError):
        load_only(Patient.ssn)


@pytest.mark.parametrize("value", [7, b"1", 1.5, ["1"]])
def test_a_value_of_another_type_is_refused(value: Any):
    with pytest.raises(TypeError):
        _ = Patient.ssn == value


def test_a_lambda_does_not_keep_the_tags_of_its_first_value(session: Session):
    def search(ssn: str) -> Any:
        return lambda_stmt(lambda: select(Patient).where(Patient.ssn == ssn))

    for ssn, _, _ in PEOPLE[:2]:
        with pytest.raises(ConfigurationError, match="values only"):
            search(ssn or "")


# -- many rows in one statement --------------------------------------------------------------------------------------


def test_inserting_many_rows_encrypts_each_for_its_row(engine: Engine, session: Session):
    given = uuid4()
    rows = [
        {"number": 10, "id": given, "ssn": "10", "name": "Ten", "born": date(2010, 1, 1)},
        {"number": 11, "ssn": "11", "name": "Eleven", "born": None},
        {"number": 12, "ssn": None, "name": None, "born": None},
    ]
    copies = [dict(row) for row in rows]
    session.execute(insert(Patient), rows)
    session.commit()
    assert rows == copies  # they are the caller's
    found = session.scalars(select(Patient).where(Patient.number >= 10).order_by(Patient.number)).all()
    assert [(each.ssn, each.name, each.born) for each in found] == [
        ("10", "Ten", date(2010, 1, 1)),
        ("11", "Eleven", None),
        (None, None, None),
    ]
    assert found[0].id == given
    assert numbers(session, select(Patient).where(Patient.name_born == ("Ten", date(2010, 1, 1)))) == [10]
    assert numbers(session, select(Patient).where(Patient.name_start == "ele")) == [11]
    returned = session.scalars(insert(Patient).returning(Patient), [{"ssn": "13", "number": 13}]).all()
    assert [each.ssn for each in returned] == ["13"]


def test_the_older_ways_to_write_many_rows(session: Session):
    session.bulk_insert_mappings(Patient, [{"number": 10, "ssn": "10"}, {"number": 11, "ssn": None}])
    session.commit()
    ten = session.scalars(select(Patient).where(Patient.ssn == "10")).one()
    assert (ten.number, ten.ssn) == (10, "10")
    session.bulk_update_mappings(Patient, [{"id": ten.id, "ssn": "ten 10"}])
    session.execute(update(Patient), [{"id": ten.id, "number": 99}])
    session.commit()
    assert (ten.ssn, ten.number) == ("ten 10", 99)
    session.execute(update(Patient), [{"id": ten.id, "ssn": "77"}])
    session.commit()
    assert ten.ssn == "77"
    assert numbers(session, select(Patient).where(Patient.ssn == "77")) == [99]


@pytest.mark.parametrize(
    "write",
    [
        lambda: insert(Patient).values(ssn="secret"),
        lambda: insert(Patient).values([{"ssn": "secret"}, {"ssn": "1"}]),
        lambda: insert(Patient).values({Patient.ssn: "secret"}),
        lambda: update(Patient).values(ssn="secret"),
        lambda: update(Patient).where(Patient.number == 1).values({"ssn": "secret"}),
        lambda: update(Patient).values({Patient.ssn: "secret"}),
        lambda: update(Patient).values(ssn=Patient.ssn_cell),
    ],
)
def test_one_statement_with_one_value_for_many_rows_is_refused(session: Session, write: Callable[[], Any]):
    with pytest.raises(
        ConfigurationError, match=r"Patient\.ssn (is bound to its row|is no column)"
    ) as caught:
        session.execute(write())
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"Patient\.ssn (is bound to its row|is no column)"):
        session.query(Patient).update({"ssn": "secret"})


def test_one_statement_may_empty_a_column(engine: Engine, session: Session):
    session.execute(update(Patient).where(Patient.number < 2).values(name=None))
    session.commit()
    empty = stored(
        engine, "SELECT name_cell, name_tag, name_start_tag, name_born_tag FROM patient WHERE number < 2"
    )
    assert empty == [(None,) * 4] * 2


def test_rows_that_cannot_be_encrypted_are_refused(session: Session):
    for row, why in (
        ({"ssn": "1", "ssn_cell": b"1"}, "give one"),
        ({"name": "Ada"}, "its tag is made of 'name', 'born'"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            session.execute(insert(Patient), [row])
    with pytest.raises(ConfigurationError, match="'number', which is not assigned"):
        session.execute(insert(Visit), [{"clinic": "north", "reason": "cough", "patient": uuid4()}])
    with pytest.raises(TypeError):
        session.execute(insert(Patient), [{"ssn": 7}])


@pytest.mark.parametrize(
    "write",
    [
        lambda: insert(Patient).values(ssn_cell="secret"),
        lambda: insert(Patient.__table__).values(id=uuid4(), number=1, ssn_cell="secret"),
        lambda: update(Patient).values(ssn_cell="secret"),
        lambda: update(Patient.__table__).values(ssn_tag="secret"),
    ],
)
def test_text_that_is_put_where_cells_belong_fails_by_its_type(
    engine: Engine, session: Session, write: Callable[[], Any]
):
    before = stored(engine, "SELECT id, ssn_cell, ssn_tag FROM patient ORDER BY 1")
    with pytest.raises((StatementError, TypeError, ConfigurationError)):
        session.execute(write())
    session.rollback()
    assert stored(engine, "SELECT id, ssn_cell, ssn_tag FROM patient ORDER BY 1") == before


def test_bytes_can_be_put_there_by_a_statement_on_the_table(session: Session):
    ada = session.scalars(select(Patient).where(Patient.number == 0)).one()
    cell = EncryptedField[str](KEYS, table="patients", column="ssn").encrypt("1", row=ada.id)
    tag = Patient.__dict__["ssn"].index.tag("1")
    session.execute(update(Patient.__table__).where(Patient.id == ada.id).values(ssn_cell=cell, ssn_tag=tag))
    session.commit()
    assert ada.ssn == "1"
    assert normalise.digits("1") == b"1"
    assert numbers(session, select(Patient).where(Patient.ssn == "1")) == [0]
