"""A failing database puts no row into the error, nor into what it came from."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.tasks import Encrypt, Reseal
from portalsec.errors import ConfigurationError, StoreError
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.transaction import reading, writing

KEYS = Keyset.generate()
FIELD = EncryptedField[str](KEYS, table="t", column="c")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def table(engine: sa.Engine, *, nullable: bool, declared: bool, **options: Any) -> sa.Table:
    """A table whose column of plaintext may be NULL, or is declared so."""
    columns: list[Any] = [
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("diagnosis", sa.Text),
        sa.Column("c", sa.LargeBinary),
    ]
    real = sa.Table("t", sa.MetaData(), *columns, sa.Column("plain", sa.Text, nullable=nullable), **options)
    real.drop(engine, checkfirst=True)
    real.create(engine)
    with engine.begin() as connection:
        connection.execute(real.insert(), [{"id": 1, "diagnosis": "HIV positive", "plain": "Ada"}])
    columns = [column._copy() for column in columns]
    return sa.Table("t", sa.MetaData(), *columns, sa.Column("plain", sa.Text, nullable=declared), **options)


def shown(error: BaseException) -> str:
    """All that a log could print of it: the chain of causes and contexts, suppressed or not."""
    parts, waiting, seen = ["".join(traceback.format_exception(error))], [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            parts += [str(each), repr(each), repr(vars(each))]
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
    return "\n".join(parts)


@pytest.mark.parametrize("options", [{}, {"sqlite_with_rowid": False}])
def test_a_swap_that_the_database_refuses_shows_no_row(engine: sa.Engine, options: Any) -> None:
    target = table(engine, nullable=False, declared=True, **options)
    job = EncryptedTable(table=target, tasks=[Encrypt(field=FIELD, source="plain", column="c")]).over(engine)
    with pytest.raises(StoreError) as caught:
        list(job.run())
    text = shown(caught.value)
    assert "HIV" not in text and "Ada" not in text and "Failing row" not in text
    assert type(caught.value.__cause__).__name__ in ("IntegrityError", "NotNullViolation")
    assert caught.value.__context__ is None


@pytest.mark.parametrize("verb", [reading, writing])
def test_neither_parameters_nor_values_are_shown(engine: sa.Engine, verb: Any) -> None:
    target = table(engine, nullable=True, declared=True)
    statements = [
        (sa.text("SELECT :secret FROM nothing_there"), {"secret": "HIV positive"}),
        (target.insert(), [{"id": 1, "diagnosis": "HIV positive"}]),
        (target.insert(), [{"id": 2, "diagnosis": {"HIV": "positive"}}]),
    ]
    if engine.dialect.name == "postgresql":
        statements.append((sa.text("SELECT CAST(:secret AS date)"), {"secret": "HIV positive"}))
    for statement, parameters in statements:
        with pytest.raises(StoreError) as caught, verb(engine) as connection:
            connection.execute(statement, parameters)
        assert "HIV" not in shown(caught.value)


def test_a_column_that_is_not_null_is_not_emptied(engine: sa.Engine) -> None:
    target = table(engine, nullable=False, declared=False)
    described = EncryptedTable(table=target, tasks=[Encrypt(field=FIELD, source="plain", column="c")])
    with pytest.raises(ConfigurationError, match=r"t\.plain is NOT NULL.*let it be NULL first"):
        described.over(engine)
    kept = Encrypt(field=FIELD, source="plain", column="c", clear=False)
    *_, progress = EncryptedTable(table=target, tasks=[kept]).over(engine).run()
    assert progress.changed == 1
    moved = Reseal(old=FIELD, new=FIELD, column="plain", to="c")
    with pytest.raises(ConfigurationError, match="NOT NULL"):
        EncryptedTable(table=target, tasks=[moved]).over(engine)
