"""Two sessions at one row, and statements that write many: cells, their tags and what they are bound to stay together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    Engine,
    ForeignKey,
    Null,
    String,
    bindparam,
    create_engine,
    event,
    insert,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, configure_mappers, mapped_column, validates
from sqlalchemy.orm.exc import StaleDataError

from portalsec.crypto import normalise as norm
from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy.fields import encrypted, exactly, rebind, searchable
from tests.sqlalchemy.clinic import field, index

ROW = UUID(int=1)


class Base(DeclarativeBase):
    pass


class Note(Base):
    """Two cells bound to a uid and to a tenant; the database assigns the key."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[UUID] = mapped_column(unique=True, default=uuid4)
    clinic: Mapped[str]
    head_cell: Mapped[bytes | None]
    head = encrypted(
        field("head", table="notes", tenanted=True), cell="head_cell", row="uid", tenant="clinic"
    )
    body_cell: Mapped[bytes | None]
    body = encrypted(
        field("body", table="notes", tenanted=True), cell="body_cell", row="uid", tenant="clinic"
    )


class Card(Base):
    """A card with a number that is unique beside its key, and a compound tag."""

    __tablename__ = "card"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    number: Mapped[str | None] = mapped_column(unique=True)
    ssn_cell: Mapped[bytes | None]
    ssn_tag: Mapped[bytes | None]
    ssn = encrypted(
        field("ssn", table="cards"),
        cell="ssn_cell",
        index=index("ssn", norm.digits, table="cards"),
        tag="ssn_tag",
    )
    name_cell: Mapped[bytes | None]
    name = encrypted(field("name", table="cards"), cell="name_cell")
    born_cell: Mapped[bytes | None]
    born = encrypted(field("born", date, table="cards"), cell="born_cell")
    both_tag: Mapped[bytes | None]
    both = searchable(
        index("both", norm.parts(norm.name, norm.year), table="cards"), tag="both_tag", of=("name", "born")
    )


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    file = f"sqlite:///{tmp_path}/cells.db"
    engine = create_engine(file if request.param == "sqlite" else request.getfixturevalue("postgres_url"))
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Note(id=1, uid=ROW, clinic="north", head="head", body="body"))
        session.add(Card(id=ROW, number="A", ssn="078-05", name="Ada", born=date(1815, 12, 10)))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


def loaded(engine: Engine, model: Any, key: Any) -> tuple[Session, Any]:
    """An object as it was when another session had not written yet, in a session without a transaction."""
    session = Session(engine, expire_on_commit=False)
    found = session.get(model, key)
    session.commit()
    return session, found


def cards(engine: Engine, *where: Any) -> list[Any]:
    with Session(engine) as session:
        return [card.ssn for card in session.scalars(select(Card).where(*where))]


# -- mappings ---------------------------------------------------------------------------------------------------------


def by_statement(session: Session, rows: list[dict[str, Any]]) -> None:
    session.execute(update(Note), rows)


def by_old_method(session: Session, rows: list[dict[str, Any]]) -> None:
    session.bulk_update_mappings(Note.__mapper__, rows)


@pytest.mark.parametrize("write", [by_statement, by_old_method])
@pytest.mark.parametrize(
    ("row", "missing"),
    [
        ({"id": 1, "body": "new", "head": "new", "clinic": "north"}, "'uid', which is not assigned"),
        ({"id": 1, "body": "new", "head": "new", "uid": ROW}, "'clinic', which is not assigned"),
        ({"id": 1, "body": "new", "uid": ROW, "clinic": "north"}, r"Note\.head: its cell is bound to 'uid'"),
        ({"id": 1, "body": "new"}, "'uid', which is not assigned"),
    ],
)
def test_an_update_of_mappings_draws_no_row_id_and_leaves_no_cell_behind(
    session: Session, write: Callable[..., None], row: dict[str, Any], missing: str
) -> None:
    with pytest.raises(ConfigurationError, match=missing):
        write(session, [row])
    session.rollback()
    note = session.get_one(Note, 1)
    assert (note.uid, note.head, note.body) == (ROW, "head", "body")


@pytest.mark.parametrize("write", [by_statement, by_old_method])
def test_an_update_of_mappings_that_names_all_of_a_row_may_move_it(
    session: Session, write: Callable[..., None]
) -> None:
    write(session, [{"id": 1, "uid": UUID(int=9), "clinic": "south", "head": "h", "body": "b"}])
    session.commit()
    note = session.get_one(Note, 1)
    assert (note.uid, note.clinic, note.head, note.body) == (UUID(int=9), "south", "h", "b")


def test_an_insert_of_mappings_still_draws_it(session: Session) -> None:
    session.execute(insert(Note), [{"id": 2, "clinic": "east", "body": "two"}])
    session.bulk_insert_mappings(Note.__mapper__, [{"id": 3, "clinic": "east", "body": "three"}])
    session.commit()
    assert [session.get_one(Note, key).body for key in (2, 3)] == ["two", "three"]


def test_objects_of_a_session_show_what_an_update_of_mappings_wrote(session: Session) -> None:
    card, note = session.get_one(Card, ROW), session.get_one(Note, 1)
    assert (card.ssn, note.body) == ("078-05", "body")
    session.execute(update(Card), [{"id": ROW, "ssn": "3"}])
    session.execute(update(Note), [{"id": 1, "uid": ROW, "clinic": "north", "head": "h", "body": "b"}])
    assert (card.ssn, note.head, note.body) == ("3", "h", "b")
    assert exactly(session.scalars(select(Card).where(Card.ssn == "3")), Card.ssn, "3") == [card]


# -- values() ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        bindparam("new"),
        bindparam("new", None),
        bindparam("x", callable_=lambda: "1"),
        bindparam("x", unique=True, callable_=lambda: "1"),
        bindparam("x", unique=True),
    ],
)
@pytest.mark.parametrize("make", [update, insert])
def test_a_parameter_is_no_none(make: Any, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="one value for many"):
        make(Card).values(ssn=value)


def test_a_parameter_for_a_cell_is_refused_too(session: Session) -> None:
    for statement in (
        update(Card).values(ssn_cell=bindparam("new")),
        update(Card).values(ssn_cell=bindparam("new", None)),
        insert(Card).values(id=uuid4(), ssn_cell=bindparam("new")),
    ):
        with pytest.raises(ConfigurationError):
            session.execute(statement, {"new": b"plain"})
    session.rollback()
    assert session.get_one(Card, ROW).ssn == "078-05"


@pytest.mark.parametrize("nothing", [None, null(), Null()])
def test_none_empties_cell_and_tag(session: Session, nothing: Any) -> None:
    session.execute(update(Card).values(ssn=nothing))
    assert session.execute(text("SELECT ssn_cell, ssn_tag FROM card")).all() == [(None, None)]


# -- two sessions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [("078-05", "078 05"), ("none", "no digits")])
def test_a_cell_takes_its_tag_along_though_that_is_as_it_was(engine: Engine, before: str, after: str) -> None:
    with Session(engine) as session:
        session.get_one(Card, ROW).ssn = before
        session.commit()
    late, card = loaded(engine, Card, ROW)
    with late:
        with Session(engine) as other:
            other.get_one(Card, ROW).ssn = "999"
            other.commit()
        card.ssn = after
        late.commit()
    assert cards(engine, Card.ssn == "999") == []
    assert cards(engine) == [after]
    if after != "no digits":
        assert cards(engine, Card.ssn == after) == [after]


def test_a_cell_that_is_assigned_as_it_was_goes_along_with_its_tag(engine: Engine) -> None:
    late, card = loaded(engine, Card, ROW)
    with late:
        with Session(engine) as other:
            other.get_one(Card, ROW).ssn = "999"
            other.commit()
        card.ssn_cell = bytes(card.ssn_cell)
        late.commit()
    assert cards(engine, Card.ssn == "07805") == ["078-05"]
    assert cards(engine, Card.ssn == "999") == []


def test_a_compound_tag_is_made_of_what_is_in_the_row(engine: Engine) -> None:
    late, card = loaded(engine, Card, ROW)
    with late:
        with Session(engine) as other:
            other.get_one(Card, ROW).born = date(1900, 1, 1)
            other.commit()
        card.name = "Eve"
        late.commit()
        assert (card.name, card.born) == ("Eve", date(1900, 1, 1))
    assert cards(engine, Card.both == ("Eve", date(1900, 1, 1))) == ["078-05"]
    assert cards(engine, Card.both == ("Eve", date(1815, 1, 1))) == []


@pytest.mark.parametrize("change", [{"clinic": "south"}, {"uid": UUID(int=7)}])
def test_a_row_that_another_session_moved_is_not_written(engine: Engine, change: dict[str, Any]) -> None:
    late, note = loaded(engine, Note, 1)
    with late:
        with Session(engine) as other:
            rebind(other.get_one(Note, 1), **change)
            other.commit()
        note.body = "late"
        with pytest.raises(StaleDataError, match="another transaction has changed"):
            late.commit()
        late.rollback()
        assert (note.head, note.body) == ("head", "body")
        note.body = "late"
        late.commit()
        assert note.body == "late"


def test_a_row_without_cells_is_not_moved_once_it_has_some(engine: Engine) -> None:
    with Session(engine) as session:
        session.add(Note(id=2, clinic="north"))
        session.commit()
    late, note = loaded(engine, Note, 2)
    with late:
        with Session(engine) as other:
            other.get_one(Note, 2).body = "now"
            other.commit()
        note.clinic = "south"
        with pytest.raises(StaleDataError):
            late.commit()


def test_the_row_is_locked_until_it_is_written(engine: Engine) -> None:
    """What is asked for just before the UPDATE does not change in between."""
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with Session(engine) as session:
        note, card = session.get_one(Note, 1), session.get_one(Card, ROW)
        note.body = "new"
        card.ssn = "1"
        session.flush()
    kinds = [each.split()[0] for each in asked]
    if engine.dialect.name == "sqlite":
        assert kinds == ["SELECT", "SELECT", "UPDATE", "DELETE", "SELECT", "UPDATE"]
    else:
        assert kinds == ["SELECT", "SELECT", "UPDATE", "SELECT", "UPDATE"]
        assert asked[3].endswith("FOR UPDATE")


# -- a row that is deleted and added again ------------------------------------------------------------------------------


def test_a_row_that_is_added_again_without_a_value_has_no_tag(session: Session) -> None:
    session.delete(session.get_one(Card, ROW))
    session.add(Card(id=ROW, ssn=None, name="Eve"))
    session.commit()
    found = session.execute(text("SELECT ssn_cell, ssn_tag, born_cell FROM card")).all()
    assert found == [(None, None, None)]
    assert session.scalars(select(Card).where(Card.both == ("Ada", date(1815, 1, 1)))).all() == []


# -- upserts ------------------------------------------------------------------------------------------------------------


def upsert(session: Session, on: list[Any] | None, *names: str, **given: Any) -> Any:
    make: Any = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    model = given.pop("model", Card)
    statement = make(model)
    taken = {name: statement.excluded[name] for name in names} | given
    return statement.on_conflict_do_update(index_elements=on, set_=taken)


@pytest.mark.parametrize(
    ("on", "names", "given"),
    [
        (["number"], ["ssn_cell", "ssn_tag"], {}),
        ([Card.number], ["ssn_cell", "ssn_tag"], {}),
        (["id"], ["ssn_cell"], {}),
        (["id"], ["ssn_tag"], {}),
        (["id"], ["name_cell", "both_tag"], {}),
        (["id"], ["ssn_tag"], {"ssn_cell": b"plain"}),
        (["id"], ["ssn_cell"], {"ssn_tag": b"tag"}),
        (["id"], [], {"ssn_cell": Card.name_cell, "ssn_tag": Card.ssn_tag}),
        (["id"], [], {"ssn": "plain"}),
        (["number"], ["id"], {}),
        (["uid"], ["body_cell"], {"model": Note}),
        (["uid"], ["body_cell", "clinic"], {"model": Note}),
        (["id"], ["body_cell", "head_cell", "clinic"], {"model": Note}),
    ],
)
def test_an_upsert_that_would_mix_two_rows_is_refused(
    session: Session, on: list[Any], names: list[str], given: dict[str, Any]
) -> None:
    row = (
        {"number": "A", "ssn": "1"} if "model" not in given else {"uid": ROW, "clinic": "south", "body": "x"}
    )
    with pytest.raises(ConfigurationError, match="a row that it was not made for"):
        session.execute(upsert(session, on, *names, **given), [row])


def test_the_refusal_of_an_upsert_names_the_remedy(session: Session) -> None:
    statement = upsert(session, ["number"], "ssn_cell", "ssn_tag")
    with pytest.raises(ConfigurationError, match="index_elements= has to name the columns of its row id"):
        session.execute(statement, [{"number": "A", "ssn": "1"}])


def test_an_upsert_by_the_row_id_is_found_and_read(session: Session) -> None:
    statement = upsert(session, ["id"], "ssn_cell", "ssn_tag", "number")
    session.execute(
        statement, [{"id": ROW, "number": "B", "ssn": "111"}, {"id": uuid4(), "number": "C", "ssn": "2"}]
    )
    session.commit()
    found = session.scalars(select(Card).where(Card.ssn == "111")).one()
    assert (found.id, found.ssn, found.name) == (ROW, "111", "Ada")
    moved = upsert(session, ["uid"], "body_cell", "head_cell", "clinic", model=Note)
    session.execute(moved, [{"id": 9, "uid": ROW, "clinic": "south", "body": "b", "head": "h"}])
    session.execute(upsert(session, ["number"], "number"), [{"number": "B", "ssn": "nobody"}])
    session.commit()
    note = session.get_one(Note, 1)
    assert (note.clinic, note.body, note.head) == ("south", "b", "h")
    assert session.scalars(select(Card).where(Card.number == "B")).one().ssn == "111"


def test_mysql_names_no_conflict_and_is_refused(session: Session) -> None:
    statement = mysql_insert(Card)
    with pytest.raises(ConfigurationError, match="a row that it was not made for"):
        session.execute(
            statement.on_duplicate_key_update(ssn_cell=statement.inserted.ssn_cell), [{"ssn": "1"}]
        )


# -- NULL tags ----------------------------------------------------------------------------------------------------------


def test_a_row_without_a_tag_is_neither_equal_nor_unequal(session: Session) -> None:
    session.add(Card(id=UUID(int=2), ssn="not known"))  # nothing is left of it under `digits`
    session.add(Card(id=UUID(int=3), ssn="999"))
    session.commit()
    for condition in (Card.ssn != "078-05", Card.ssn.not_in(["078-05"]), ~(Card.ssn == "078-05")):
        assert [card.ssn for card in session.scalars(select(Card).where(condition))] == ["999"]


# -- what cannot work is refused ------------------------------------------------------------------------------------------


@pytest.fixture
def empty() -> Iterator[Any]:
    class Empty(DeclarativeBase):
        pass

    yield Empty
    Empty.registry.dispose()


def thing(base: Any, **members: Any) -> Any:
    given: dict[str, Any] = {
        "__tablename__": "thing",
        "__annotations__": {"id": Mapped[UUID], "cell": Mapped[bytes | None], "clinic": Mapped[str]},
        "id": mapped_column(primary_key=True, default=uuid4),
        "cell": mapped_column(),
        "clinic": mapped_column(),
        "ssn": encrypted(
            field("ssn", table="things of a clinic", tenanted=True), cell="cell", tenant="clinic"
        ),
    }
    return type("Thing", (base,), given | members)


@pytest.mark.parametrize("how", ["CASCADE", "cascade", "SET NULL", "SET DEFAULT"])
def test_a_tenant_that_the_database_changes_is_refused(empty: Any, how: str) -> None:
    type("Clinic", (empty,), {"__tablename__": "c", "code": mapped_column(String, primary_key=True)})
    kept = thing(empty, clinic=mapped_column(ForeignKey("c.code", onupdate=how)))
    with pytest.raises(ConfigurationError, match=r"changes thing\.clinic by ON UPDATE"):
        configure_mappers()
    assert kept is not None


def test_a_validator_that_would_not_be_called_is_refused(empty: Any) -> None:
    def check(self: Any, key: str, value: str) -> str:
        return value

    kept = thing(empty, check=validates("ssn")(check))
    with pytest.raises(ConfigurationError, match="@validates is for mapped attributes"):
        configure_mappers()
    assert kept is not None


@pytest.mark.parametrize("when", ["before_insert", "before_update"])
def test_a_listener_that_moves_the_row_after_its_cells_were_made_fails_the_flush(
    session: Session, when: str
) -> None:
    def late(mapper: Any, connection: Any, target: Any) -> None:
        target.clinic = "of the request"

    event.listen(Note, when, late)
    try:
        if when == "before_insert":
            session.add(Note(id=5, clinic="north", body="x"))
        else:
            session.get_one(Note, 1).body = "x"
        with pytest.raises(ConfigurationError, match="a listener has changed 'clinic'"):
            session.commit()
    finally:
        event.remove(Note, when, late)


def test_the_default_of_a_row_without_cells_is_no_listener(session: Session) -> None:
    card = Card()
    session.add(card)
    session.commit()
    assert card.id is not None
