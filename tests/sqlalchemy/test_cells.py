"""`SqlCells` keeps the contract of a cell source, on SQLite and PostgreSQL, and reads what applications have."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from portalsec.crypto.cells import Change
from portalsec.errors import ConfigurationError, StoreError
from portalsec.sqlalchemy import open_engine
from portalsec.sqlalchemy.cells import SqlCells
from portalsec.testing.contracts.base import StoreContract
from portalsec.testing.contracts.cells import CellSourceContract, CellTable

metadata = sa.MetaData()


def a_table(name: str, *columns: sa.Column[Any], **options: Any) -> sa.Table:
    return sa.Table(name, metadata, *columns, **options)


def cells() -> list[sa.Column[Any]]:
    return [sa.Column("cell", sa.LargeBinary), sa.Column("tag", sa.LargeBinary, index=True)]


text_key = a_table("text_key", sa.Column("id", sa.String(60), primary_key=True), *cells())
without_rowid = a_table(
    "without_rowid", sa.Column("id", sa.String(60), primary_key=True), *cells(), sqlite_with_rowid=False
)
composite = a_table(
    'odd "name" %',
    sa.Column("site", sa.String(10), primary_key=True),
    sa.Column("Number of %", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("tenant", sa.String(10)),
    *cells(),
)
uid = a_table(
    "uid",
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("uid", sa.Uuid, nullable=False, unique=True),
    sa.Column("born", sa.Date),
    sa.Column("whose", sa.String(10)),
    *cells(),
)


@pytest.fixture(params=["opened", "own"])
def sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    tmp_path.chmod(0o700)
    url = f"sqlite:///{tmp_path}/app.db"
    engine = open_engine(url) if request.param == "opened" else sa.create_engine(url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["READ COMMITTED", "REPEATABLE READ", "AUTOCOMMIT"])
def postgres(
    request: pytest.FixtureRequest, postgres_database: Callable[[], AbstractContextManager[str]]
) -> Iterator[Engine]:
    with postgres_database() as url:
        engine = sa.create_engine(url, isolation_level=request.param, pool_size=10)
        metadata.create_all(engine)
        yield engine
        engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path}/app.db")
        metadata.create_all(engine)
        yield engine
        engine.dispose()
        return
    with request.getfixturevalue("postgres_database")() as url:
        engine = sa.create_engine(url)
        metadata.create_all(engine)
        yield engine
        engine.dispose()


def table_of(engine: Engine, table: sa.Table) -> CellTable:
    def run(statement: Any, *rows: Any) -> None:
        with engine.begin() as connection:
            connection.execute(statement, *rows)

    return CellTable(
        SqlCells(engine, table, ["cell", "tag"]),
        insert=lambda rows: run(
            table.insert(), [dict(zip(("id", "cell", "tag"), row, strict=True)) for row in rows]
        ),
        update=lambda key, cell: run(table.update().where(table.c.id == key).values(cell=cell)),
        delete=lambda key: run(table.delete().where(table.c.id == key)),
    )


class TestSqlite(CellSourceContract):
    @pytest.fixture
    def table(self, sqlite: Engine) -> CellTable:
        return table_of(sqlite, text_key)


class TestSqliteWithoutRowid(CellSourceContract):
    @pytest.fixture
    def table(self, sqlite: Engine) -> CellTable:
        return table_of(sqlite, without_rowid)


@pytest.mark.postgres
class TestPostgres(CellSourceContract):
    @pytest.fixture
    def table(self, postgres: Engine) -> CellTable:
        return table_of(postgres, text_key)


def fill(engine: Engine, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)


def test_a_key_of_two_columns_and_names_that_need_quotes(engine: Engine) -> None:
    rows = [
        {"site": site, "Number of %": n, "tenant": "t", "cell": b"%d" % n, "tag": None}
        for n in range(5)
        for site in ("b", "a")
    ]
    fill(engine, composite, rows)
    source = SqlCells(engine, composite, ["cell", "tag"], tenant="tenant")
    found = list(source.page(None, 3))
    while page := source.page(found[-1].key, 3):
        found += page
    assert sorted(row.key for row in found) == [(site, n) for site in "ab" for n in range(5)]
    assert all(row.id == row.key and row.tenant == "t" for row in found)
    assert source.swap([Change(row, (b"new", b"t")) for row in found]) == [True] * 10
    assert {row.values for row in source.read([row.key for row in found])} == {(b"new", b"t")}
    assert source.tally("cell", [[b"new"]]) == [10, 0]


def test_the_key_itself_may_be_the_subject_or_tenant(sqlite: Engine) -> None:
    with sqlite.begin() as connection:
        connection.execute(text_key.insert(), [{"id": f"p{n}", "cell": b"old"} for n in range(3)])
    source = SqlCells(sqlite, text_key, ["cell"], subject="id", tenant="id")
    rows = source.page(None, 10)
    assert [(row.id, row.tenant, row.subject, row.values) for row in rows] == [
        (f"p{n}", f"p{n}", f"p{n}", (b"old",)) for n in range(3)
    ]
    assert source.swap([Change(row, (b"new",)) for row in rows]) == [True] * 3
    assert [row.values for row in source.read([row.key for row in rows])] == [(b"new",)] * 3


def test_a_row_id_that_is_not_the_key_and_columns_of_plaintext(engine: Engine) -> None:
    ids = [uuid.uuid4() for _ in range(3)]
    born = date(1815, 12, 10)
    fill(
        engine,
        uid,
        [
            {"id": n, "uid": each, "born": born, "whose": f"p{n}", "cell": None, "tag": None}
            for n, each in enumerate(ids)
        ],
    )
    source = SqlCells(engine, uid, ["cell", "tag"], plain=["born"], row="uid", subject="whose")
    rows = sorted(source.page(None, 10))
    assert [(row.key, row.id, row.subject) for row in rows] == [
        ((n,), each, f"p{n}") for n, each in enumerate(ids)
    ]
    assert source.columns == ("cell", "tag", "born")
    assert rows[0].values == (None, None, born)
    assert source.swap([Change(row, (b"c", b"t", None)) for row in rows]) == [True] * 3
    assert {row.values for row in source.read([(0,), (1,)])} == {(b"c", b"t", None)}


@pytest.mark.parametrize(
    "changed", [{"uid": uuid.uuid4()}, {"whose": "other"}, {"whose": None}, {"born": date(1852, 11, 27)}]
)
def test_what_a_cell_is_bound_to_has_to_stand_too(engine: Engine, changed: dict[str, Any]) -> None:
    fill(
        engine, uid, [{"id": 1, "uid": uuid.uuid4(), "born": date(1815, 12, 10), "whose": "p", "cell": None}]
    )
    source = SqlCells(engine, uid, ["cell"], plain=["born"], row="uid", subject="whose")
    (row,) = source.page(None, 10)
    with engine.begin() as connection:
        connection.execute(uid.update().values(**changed))
    assert source.swap([Change(row, (b"bound to what was", None))]) == [False]


@pytest.mark.parametrize("changed", [None, {"uid": uuid.uuid4()}, {"whose": "other"}, {"whose": None}])
def test_of_rows_that_lie_together_too(engine: Engine, changed: dict[str, Any] | None) -> None:
    rows = [{"id": n, "uid": uuid.uuid4(), "whose": "p", "cell": b"c", "tag": b"t"} for n in range(5)]
    fill(engine, uid, rows)
    source = SqlCells(engine, uid, ["cell", "tag"], row="uid", subject="whose")
    found = sorted(source.page(None, 10))
    if changed:
        with engine.begin() as connection:
            connection.execute(uid.update().where(uid.c.id == 2).values(**changed))
    made = source.swap([Change(row, (b"new", b"t")) for row in found])
    assert made == [True, True, not changed, True, True]
    held = [row.values for row in sorted(source.read([(n,) for n in range(5)]))]
    assert held == [(b"new", b"t") if ok else (b"c", b"t") for ok in made]


def test_a_column_that_stays_is_not_written(tmp_path: Path) -> None:
    """SQLite would write its index, which takes as long as the cell."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/app.db")
    metadata.create_all(engine)
    fill(engine, text_key, [{"id": f"{n}", "cell": b"c", "tag": b"t"} for n in range(3)])
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER stays BEFORE UPDATE OF tag ON text_key BEGIN SELECT RAISE(ABORT, 'written'); END"
        )
    source = SqlCells(engine, text_key, ["cell", "tag"])
    rows = source.page(None, 10)
    assert source.swap([Change(row, (b"new", b"t")) for row in rows]) == [True] * 3
    with pytest.raises(StoreError):
        source.swap([Change(row, (b"newer", b"other")) for row in source.page(None, 10)])
    engine.dispose()


def test_a_cell_that_is_text_in_a_column_of_bytes_is_read_as_it_is(tmp_path: Path) -> None:
    """SQLite keeps what is written, whatever the column's type: plaintext of before the column was one of cells."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/app.db")
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO text_key (id, cell) VALUES ('a', 'plain')"))
    source = SqlCells(engine, text_key, ["cell"])
    (row,) = source.page(None, 10)
    assert row.values == ("plain",)
    assert source.swap([Change(row, (b"cell",))]) == [True]
    engine.dispose()


def test_a_type_that_works_on_its_own_is_passed_by(engine: Engine) -> None:
    class Shouting(sa.TypeDecorator[bytes]):
        impl = sa.LargeBinary
        cache_ok = True

        def process_result_value(self, value: bytes | None, dialect: Any) -> bytes | None:
            return value and value.upper()

        def process_bind_param(self, value: bytes | None, dialect: Any) -> bytes | None:
            return value and value.upper()

    table = sa.Table(
        "text_key", sa.MetaData(), sa.Column("id", sa.String, primary_key=True), sa.Column("cell", Shouting)
    )
    fill(engine, text_key, [{"id": "a", "cell": b"as it is"}])
    source = SqlCells(engine, table, ["cell"])
    (row,) = source.page(None, 1)
    assert row.values == (b"as it is",)
    assert source.swap([Change(row, (b"and written so",))]) == [True]
    assert source.read([("a",)])[0].values == (b"and written so",)


def test_after_vacuum_no_row_is_missed(tmp_path: Path) -> None:
    """VACUUM gives rows other places; a walk that remembered places would jump over some."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/app.db")
    metadata.create_all(engine)
    fill(engine, text_key, [{"id": f"{n:03}", "cell": b"c"} for n in range(100)])
    source = SqlCells(engine, text_key, ["cell"])
    first = source.page(None, 50)
    with engine.begin() as connection:
        connection.execute(text_key.delete().where(text_key.c.id < "040"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
    assert [row.key[0] for row in source.page(first[-1].key, 100)] == [f"{n:03}" for n in range(50, 100)]
    # The row itself is gone as well: nobody knows where it lay, so the walk begins at the start.
    with engine.begin() as connection:
        connection.execute(text_key.delete().where(text_key.c.id == "049"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
    assert [row.key[0] for row in source.page(first[-1].key, 100)] == [
        f"{n:03}" for n in (*range(40, 49), *range(50, 100))
    ]
    engine.dispose()


@pytest.mark.postgres
class TestBusyRows(StoreContract):
    def test_a_row_that_another_transaction_holds_is_waited_for_alone(
        self, postgres_database: Callable[[], AbstractContextManager[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from portalsec.sqlalchemy import _swap

        monkeypatch.setattr(_swap, "_PATIENCE", "10ms")
        with postgres_database() as url:
            engine = sa.create_engine(url)
            metadata.create_all(engine)
            fill(engine, text_key, [{"id": f"{n}", "cell": b"c"} for n in range(3)])
            source = SqlCells(engine, text_key, ["cell"])
            rows = source.page(None, 10)
            with engine.connect() as application:
                application.execute(text_key.update().where(text_key.c.id == "1").values(tag=b"x"))
                assert source.swap([Change(row, (b"new",)) for row in rows]) == [True, False, True]
                application.rollback()
            assert source.swap([Change(rows[1], (b"new",))]) == [True]
            engine.dispose()


def test_mistakes_are_named(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/app.db")
    keyless = sa.Table("keyless", sa.MetaData(), sa.Column("cell", sa.LargeBinary))
    with pytest.raises(ConfigurationError, match="no primary key"):
        SqlCells(engine, keyless, ["cell"])
    with pytest.raises(ConfigurationError, match="no column 'ssn'"):
        SqlCells(engine, text_key, ["ssn"])
    with pytest.raises(ConfigurationError, match="mysql"):
        SqlCells(sa.create_mock_engine("mysql+pymysql://", lambda *_: None), text_key, ["cell"])  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        SqlCells(engine, text_key, ["cell"]).count()
    engine.dispose()
