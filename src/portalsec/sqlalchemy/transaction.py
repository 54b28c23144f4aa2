"""One short transaction for each verb, and one error for whatever goes wrong in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from portalsec._driver_errors import raise_alone, without_rows
from portalsec.errors import ConfigurationError, StoreError

__all__ = ["OPENED", "WRITE", "alone", "driver", "insert_into", "reading", "require_opened", "writing"]

OPENED = "portalsec_opened"
WRITE = "portalsec_write"


def require_opened(engine: Engine) -> Engine:
    """The engine, if `portalsec.sqlalchemy.open_engine` made it; an engine with other settings breaks promises."""
    if not engine.get_execution_options().get(OPENED):
        raise ConfigurationError(
            "a store was given an engine that portalsec did not open: use portalsec.sqlalchemy.open_engine(url)"
        )
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction of its own that only reads. Driver errors become `StoreError`."""
    with _translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, **options: Any) -> Iterator[Connection]:
    """A transaction of its own that is committed at the end of the block. Driver errors become `StoreError`.

    ``options`` are SQLAlchemy's execution options of the connection.
    """
    with _translated(engine), engine.connect() as connection:
        connection.execution_options(**{WRITE: True}, **options)
        with connection.begin():
            yield connection


def alone(connection: Connection, what: str) -> None:
    """Until the transaction ends, whoever else says this text waits. SQLite's writer is alone anyhow.

    For decisions that look at rows which another worker may be adding. The first statement of the transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"portalsec.{what}", 0))))


@contextmanager
def driver(engine: Engine) -> Iterator[sqlite3.Connection]:
    """SQLite's own connection out of the pool, for the one verb whose price counts; errors become `StoreError`.

    Each statement is a transaction of its own unless it says BEGIN; what is left open is rolled back by the pool.
    """
    with _translated(engine), closing(engine.raw_connection()) as pooled:
        connection: Any = pooled.driver_connection
        yield connection


def insert_into(connection: Connection | Engine, table: Table) -> Any:
    """The dialect's INSERT that knows ON CONFLICT; SQLite and PostgreSQL write it the same way."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
        return
    except DBAPIError as error:
        # The driver's own error: SQLAlchemy's text carries the statement and its parameters besides.
        cause = None if error.orig is None else without_rows(error.orig)
        failure = StoreError(_sentence(engine, cause) if cause else _unanswered(engine, error))
    except StatementError as error:
        # A value that its column's type does not take: both errors may hold it.
        cause, failure = None, StoreError(_unanswered(engine, error.orig or error))
    except SQLAlchemyError as error:
        cause = without_rows(error)
        failure = StoreError(_sentence(engine, cause) if cause else _unanswered(engine, error))
    except sqlite3.Error as error:
        cause = without_rows(error)
        failure = StoreError(_sentence(engine, cause) if cause else _unanswered(engine, error))
    except UnicodeDecodeError:
        # Text of a damaged SQLite file, or SQLite's own message that quotes it. The error holds the bytes: no cause.
        place = engine.url.render_as_string(hide_password=True)
        cause = None
        failure = StoreError(
            f"the database {place} is damaged (text in it is not UTF-8): move it away and restore it from a backup"
        )
    raise_alone(failure, cause)


def _unanswered(engine: Engine, error: BaseException) -> str:
    place = engine.url.render_as_string(hide_password=True)
    return f"the database {place} could not answer ({type(error).__name__})"


def _sentence(engine: Engine, cause: BaseException) -> str:
    place = f"the database {engine.url.render_as_string(hide_password=True)}"
    text = str(cause).lower()
    if "not a database" in text or "malformed" in text:
        return f"{place} is damaged or is not an SQLite database ({cause}): move it away and restore it from a backup"
    if "no such table" in text or ('relation "' in text and "does not exist" in text):
        return f"{place} lacks portalsec's tables: call portalsec.sqlalchemy.create_schema(engine, ...) once"
    if "database is locked" in text or "lock timeout" in text:
        return (
            f"{place} is busy: another connection held its write lock for too long; "
            "keep security state and audit in files of their own, apart from the application's data"
        )
    return _unanswered(engine, cause)
