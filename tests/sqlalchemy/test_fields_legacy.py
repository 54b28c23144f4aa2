"""A column that another library encrypted, taken over while the application serves it through the ORM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, LargeBinary, Text, create_engine, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from portalsec.crypto import EncryptedField, Keyset, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.legacy import FernetReader
from portalsec.errors import DecryptionError
from portalsec.sqlalchemy.fields import cells_of, encrypted

OLD = Fernet.generate_key()
KEYS, INDEX_KEYS = Keyset.generate(), Keyset.generate("HMAC_SHA256_PRF")
OLD_ROW, NEW_ROW, LAST_ROW, EMPTY_ROW = (UUID(int=number) for number in range(1, 5))


def person(*, text: bool, legacy: bool) -> Any:
    """The class as it is declared before (with the one line) and after it."""
    readers = {"legacy": [FernetReader(OLD)]} if legacy else {}

    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "taken_over"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ward: Mapped[str] = mapped_column(default="")
        ssn_cell: Mapped[Any] = mapped_column(Text() if text else LargeBinary(), nullable=True)
        ssn_tag: Mapped[bytes | None]
        ssn = encrypted(
            EncryptedField[str, Any](KEYS, table="people", column="ssn", text=text, **readers),
            cell="ssn_cell",
            index=BlindIndex(INDEX_KEYS, table="people", column="ssn", bits=128, normalise=normalise.digits),
            tag="ssn_tag",
        )

    return Person


def token(value: str, text: bool) -> Any:
    made = Fernet(OLD).encrypt(value.encode())
    return made.decode() if text else made


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = create_engine(url)
    yield engine
    engine.dispose()


def half_migrated(engine: Engine, model: Any, text: bool) -> None:
    model.metadata.drop_all(engine)
    model.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(model(id=NEW_ROW, ssn="2-2"))
        session.flush()
        old = [
            {"id": OLD_ROW, "ssn_cell": token("1-1", text)},
            {"id": LAST_ROW, "ssn_cell": token("3-3", text)},
        ]
        for row in [*old, {"id": EMPTY_ROW, "ssn_cell": None}]:
            session.execute(insert(model.__table__).values(ward="", **row))
        session.commit()


def held(engine: Engine, model: Any) -> dict[UUID, Any]:
    table = model.__table__
    with engine.connect() as connection:
        return {row.id: row.ssn_cell for row in connection.execute(select(table.c.id, table.c.ssn_cell))}


@pytest.mark.parametrize("text", [False, True])
def test_a_column_is_read_saved_reencrypted_and_then_its_reader_goes(engine: Engine, text: bool):
    model = person(text=text, legacy=True)
    half_migrated(engine, model, text)
    before = held(engine, model)
    field: EncryptedField[str, Any] = cells_of(model).tasks[0].field

    with Session(engine) as session:  # read as one, and counted
        found = {each.id: each.ssn for each in session.scalars(select(model))}
    assert found == {OLD_ROW: "1-1", NEW_ROW: "2-2", LAST_ROW: "3-3", EMPTY_ROW: None}
    assert dict(field.legacy_counts) == {"fernet": 2}
    assert held(engine, model) == before  # reading writes nothing

    with Session(
        engine
    ) as session:  # a save of something else leaves the token, a save of the value does not
        old = session.get_one(model, OLD_ROW)
        old.ward = "north"
        session.commit()
        assert held(engine, model) == before
        assert session.scalars(select(model).where(model.ssn == "11")).all() == []  # it has no tag yet
        old.ssn = old.ssn
        session.commit()
        assert session.scalars(select(model).where(model.ssn == "11")).one() is old
    saved = held(engine, model)
    assert not field.needs_reencrypt(saved[OLD_ROW])
    assert {key for key in saved if saved[key] != before[key]} == {OLD_ROW}

    run = cells_of(model).over(engine)
    (cells,) = [each for each in run.remaining() if each.column == "ssn_cell"]
    assert (cells.left, cells.unknown) == (1, 1)
    *_, last = run.run()
    assert (last.done, last.changed, last.failures) == (4, 1, ())
    assert all(each.done for each in run.remaining())
    counted = dict(field.legacy_counts)
    with Session(engine) as session:
        assert session.scalars(select(model).where(model.ssn == "33")).one().ssn == "3-3"
    assert dict(field.legacy_counts) == counted  # at rest: no token is left to count

    off = person(text=text, legacy=False)
    assert cells_of(off).tasks[0].field.legacy_counts == {}
    with Session(engine) as session:
        assert {each.id: each.ssn for each in session.scalars(select(off))} == found
        session.execute(update(off.__table__).where(off.id == NEW_ROW).values(ssn_cell=token("1-1", text)))
        with pytest.raises(DecryptionError):  # an old value from a backup is of no use any more
            _ = session.get_one(off, NEW_ROW, populate_existing=True).ssn


@pytest.mark.parametrize("text", [False, True])
def test_a_damaged_token_is_listed_and_stays_as_it_is(engine: Engine, text: bool):
    model = person(text=text, legacy=True)
    half_migrated(engine, model, text)
    good = token("1-1", text)
    damaged = good[:40] + (good[40:41].swapcase() if good[40:41].isalpha() else good[:1]) + good[41:]
    assert damaged != good
    with engine.begin() as connection:
        connection.execute(update(model.__table__).where(model.id == OLD_ROW).values(ssn_cell=damaged))
    with Session(engine) as session, pytest.raises(DecryptionError) as caught:
        _ = session.get_one(model, OLD_ROW).ssn
    assert caught.value.__context__ is None
    run = cells_of(model).over(engine)
    *_, last = run.run()
    assert (last.changed, [failure.key for failure in last.failures]) == (1, [(OLD_ROW,)])
    assert held(engine, model)[OLD_ROW] == damaged
    (cells,) = [each for each in run.remaining() if each.column == "ssn_cell"]
    assert cells.left == 1


def test_a_cell_of_another_row_is_refused_while_the_reader_is_on(engine: Engine):
    model = person(text=False, legacy=True)
    half_migrated(engine, model, False)
    with Session(engine) as session:
        table = model.__table__
        other = table.alias()
        theirs = select(other.c.ssn_cell).where(other.c.id == NEW_ROW).scalar_subquery()
        session.execute(update(table).where(table.c.id == OLD_ROW).values(ssn_cell=theirs))
        with pytest.raises(DecryptionError):
            _ = session.get_one(model, OLD_ROW).ssn


def test_the_same_value_assigned_anew_leaves_the_old_format_where_the_tag_stands_already(engine: Engine):
    model = person(text=False, legacy=True)
    half_migrated(engine, model, False)
    tag = BlindIndex[str](INDEX_KEYS, table="people", column="ssn", bits=128, normalise=normalise.digits).tag(
        "1-1"
    )
    with engine.begin() as connection:
        connection.execute(update(model.__table__).where(model.id == OLD_ROW).values(ssn_tag=tag))
    with Session(engine) as session:
        old = session.get_one(model, OLD_ROW)
        old.ssn = "1-1"
        session.commit()
    assert not cells_of(model).tasks[0].field.needs_reencrypt(held(engine, model)[OLD_ROW])
