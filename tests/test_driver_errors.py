"""What is left of a driver's error: class, SQLSTATE and a sentence, and nothing of the row that it quotes."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from psycopg import errors

from portalsec._driver_errors import raise_alone, without_rows


class Diag:
    def __init__(self, message: str) -> None:
        self.message_primary = message


def quoting(kind: type[errors.Error], said: str) -> errors.Error:
    class Quoting(kind):
        diag = Diag(said)

    Quoting.__name__ = kind.__name__
    return Quoting(f"{said}\nDETAIL:  Failing row contains (1, HIV positive).")


def test_the_detail_of_postgresql_is_left_out() -> None:
    said = 'null value in column "plain" of relation "t" violates not-null constraint'
    made = without_rows(quoting(errors.NotNullViolation, said))
    assert isinstance(made, errors.NotNullViolation)
    assert str(made) == f"{said} (SQLSTATE 23502)"
    assert made.sqlstate == "23502"
    assert (made.__cause__, made.__context__, made.__traceback__) == (None, None, None)


def test_a_sentence_that_quotes_the_value_is_left_out() -> None:
    made = without_rows(quoting(errors.InvalidDatetimeFormat, 'invalid input syntax for type date: "HIV"'))
    assert str(made) == "InvalidDatetimeFormat (SQLSTATE 22007)"


def test_of_sqlite_its_sentence_is_kept() -> None:
    with closing(sqlite3.connect(":memory:")) as connection, connection:
        connection.execute("CREATE TABLE t (a TEXT NOT NULL)")
        with pytest.raises(sqlite3.IntegrityError) as caught:
            connection.execute("INSERT INTO t VALUES (NULL)")
        made = without_rows(caught.value)
        assert isinstance(made, sqlite3.IntegrityError)
        assert str(made) == "NOT NULL constraint failed: t.a"
        assert made.sqlite_errorname == "SQLITE_CONSTRAINT_NOTNULL"
        connection.execute("INSERT INTO t VALUES (CAST(x'484956ff' AS TEXT))")
        with pytest.raises(sqlite3.OperationalError, match="HIV") as caught:
            connection.execute("SELECT a FROM t").fetchall()
        assert "HIV" not in str(without_rows(caught.value))
    connection.close()


def test_an_error_that_cannot_be_made_anew_is_none() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"HIV\xff".decode()
    assert without_rows(caught.value) is None
    assert without_rows(KeyboardInterrupt()) is None


def test_what_is_raised_has_a_cause_and_no_context() -> None:
    cause = ValueError("short")
    with pytest.raises(LookupError) as caught:
        try:
            raise RuntimeError("HIV positive")
        except RuntimeError:
            raise_alone(LookupError("the database did not answer"), cause)
    assert caught.value.__cause__ is cause
    assert caught.value.__context__ is None
