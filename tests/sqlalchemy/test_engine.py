"""Opening a database: durable settings, closed to others, and one clear sentence for what is wrong."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from portalsec.errors import ConfigurationError, StoreError
from portalsec.sqlalchemy import SqlThrottle, check_schema, create_schema, open_engine

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")


@pytest.fixture
def opened() -> Iterator[Callable[..., Engine]]:
    """`open_engine` whose engines are disposed of at the end."""
    engines: list[Engine] = []

    def open_it(*args: object, **options: object) -> Engine:
        engines.append(open_engine(*args, **options))  # type: ignore[arg-type]
        return engines[-1]

    yield open_it
    for engine in engines:
        engine.dispose()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- what an SQLite engine is -----------------------------------------------------------------------------------


def test_every_connection_is_durable_and_in_wal_mode(tmp_path: Path, opened):
    engine = opened(f"sqlite:///{tmp_path}/s.db")
    with engine.connect() as one, engine.connect() as other:
        for connection in (one, other):
            pragma = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys", "trusted_schema")
            }
            assert pragma == {
                "journal_mode": "wal",
                "synchronous": 2,  # FULL
                "busy_timeout": 5000,
                "foreign_keys": 1,
                "trusted_schema": 0,
            }


@posix
def test_the_file_and_its_journal_are_the_owners_alone(tmp_path: Path, opened):
    before = os.umask(0o000)
    try:
        engine = opened(f"sqlite:///{tmp_path}/s.db")
        create_schema(engine, "security")
        assert {path.name: _mode(path) for path in tmp_path.iterdir()} == {
            "s.db": 0o600,
            "s.db-wal": 0o600,
            "s.db-shm": 0o600,
        }
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    "name", ["with space.db", "per%20cent.db", "question?mode=ro.db", "hash#.db", "zoë.db"]
)
def test_any_file_name_is_taken_as_it_is(tmp_path: Path, opened, name: str):
    from sqlalchemy import URL

    engine = opened(URL.create("sqlite", database=str(tmp_path / name)))
    create_schema(engine, "security")
    assert (tmp_path / name).stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}-wal", f"{name}-shm"}


def test_a_second_opening_keeps_the_data(tmp_path: Path, opened):
    url = f"sqlite:///{tmp_path}/s.db"
    first = opened(url)
    create_schema(first, "security")
    SqlThrottle(first).take("lane", limit=1, window=timedelta(minutes=1), now=NOW)
    second = opened(url)
    create_schema(second, "security")
    assert not SqlThrottle(second).take("lane", limit=1, window=timedelta(minutes=1), now=NOW).ok


def test_a_file_that_vanishes_is_an_error_and_never_a_new_empty_one(tmp_path: Path, opened):
    engine = opened(f"sqlite:///{tmp_path}/s.db")
    create_schema(engine, "security")
    engine.dispose()
    (tmp_path / "s.db").unlink()
    with pytest.raises(StoreError):
        SqlThrottle(engine).take("lane", limit=1, window=timedelta(minutes=1), now=NOW)
    assert not (tmp_path / "s.db").exists()


# -- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?uri=true"])
def test_sqlite_in_memory_is_refused(url: str):
    with pytest.raises(ConfigurationError, match=r"portalsec\.stores\.memory"):
        open_engine(url)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/d", "oracle://u:hunter2@h/d", "postgresql+psycopg2://u:hunter2@h/d"]
)
def test_another_database_is_refused_without_its_password(url: str):
    with pytest.raises(ConfigurationError, match=r"use sqlite:|write postgresql:") as caught:
        open_engine(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_that_is_none_is_refused_without_its_text():
    with pytest.raises(ConfigurationError, match="the database URL is not one") as caught:
        open_engine("hunter2 is not a url")
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_is_absent_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"absent for the database s\.db does not exist: create it"):
        open_engine(f"sqlite:///{tmp_path}/absent/s.db")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write every folder")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ConfigurationError, match="cannot be written by this user"):
            open_engine(f"sqlite:///{tmp_path}/s.db")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_named_whoever_runs_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("portalsec.sqlalchemy.engine.os.access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(ConfigurationError, match="cannot be written by this user"):
        open_engine(f"sqlite:///{tmp_path}/s.db")
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_folder_that_everyone_can_write_is_refused(tmp_path: Path, opened):
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigurationError, match="run  chmod o-w"):
        open_engine(f"sqlite:///{tmp_path}/s.db")
    tmp_path.chmod(0o1777)  # sticky, as /tmp: only the owner can replace a file
    opened(f"sqlite:///{tmp_path}/s.db")


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_reach_is_refused_with_the_command(tmp_path: Path, opened, mode: int):
    path = tmp_path / "s.db"
    opened(f"sqlite:///{path}").dispose()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"run  chmod 600 {path}"):
        open_engine(f"sqlite:///{path}")


def test_a_folder_in_the_files_place_is_named(tmp_path: Path):
    (tmp_path / "s.db").mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match="is not a file"):
        open_engine(f"sqlite:///{tmp_path}/s.db")


def test_a_file_that_is_not_a_database_is_one_sentence(tmp_path: Path):
    path = tmp_path / "s.db"
    path.write_bytes(b"these are somebody's notes\n" * 100)
    path.chmod(0o600)
    with pytest.raises(
        StoreError, match=r"s\.db is damaged or is not an SQLite database .*restore"
    ) as caught:
        open_engine(f"sqlite:///{path}")
    assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"these are somebody's notes\n" * 100


def test_a_database_whose_schema_page_is_damaged_is_one_sentence(tmp_path: Path):
    path = tmp_path / "s.db"
    engine = open_engine(f"sqlite:///{path}")
    create_schema(engine, "security")
    engine.dispose()
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * (4096 - 100)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"s\.db is damaged or is not an SQLite database"):
        open_engine(f"sqlite:///{path}")


def test_a_store_refuses_an_engine_with_other_settings(tmp_path: Path):
    engine = create_engine(f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(ConfigurationError, match=r"portalsec\.sqlalchemy\.open_engine"):
        SqlThrottle(engine)
    engine.dispose()


def test_a_store_in_a_file_that_another_holds_open_says_what_to_do(tmp_path: Path, opened):
    """The application shared the file: its own open write is what the store waits for."""
    engine = opened(f"sqlite:///{tmp_path}/s.db", patience=timedelta(milliseconds=20))
    create_schema(engine, "security")
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as application:
        application.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"is busy.*files of their own"):
            SqlThrottle(engine).take("lane", limit=1, window=timedelta(minutes=1), now=NOW)
        application.execute("ROLLBACK")
    assert SqlThrottle(engine).take("lane", limit=1, window=timedelta(minutes=1), now=NOW).ok


def test_an_error_names_no_value_of_the_statement(tmp_path: Path, opened):
    engine = opened(f"sqlite:///{tmp_path}/s.db")  # no tables
    with pytest.raises(StoreError, match="lacks portalsec's tables") as caught:
        SqlThrottle(engine).take("0123456789abcdef", limit=1, window=timedelta(minutes=1), now=NOW)
    error: BaseException | None = caught.value
    while error is not None:
        assert "0123456789abcdef" not in f"{error}{error!r}"
        error = error.__cause__


# -- reading only -----------------------------------------------------------------------------------------------


def test_reading_only_creates_nothing(tmp_path: Path, opened):
    with pytest.raises(ConfigurationError, match="there is no database at"):
        open_engine(f"sqlite:///{tmp_path}/s.db", read_only=True)
    assert list(tmp_path.iterdir()) == []
    opened(f"sqlite:///{tmp_path}/s.db").dispose()
    engine = opened(f"sqlite:///{tmp_path}/s.db", read_only=True)
    with pytest.raises(ConfigurationError, match="has no security tables"):
        check_schema(engine, "security")
    with pytest.raises(StoreError):
        create_schema(engine, "security")


def test_reading_only_reads_and_never_writes(tmp_path: Path, opened):
    writer = opened(f"sqlite:///{tmp_path}/s.db")
    create_schema(writer, "security")
    SqlThrottle(writer).take("lane", limit=1, window=timedelta(minutes=1), now=NOW)
    reader = opened(f"sqlite:///{tmp_path}/s.db", read_only=True)
    check_schema(reader, "security")
    with reader.connect() as connection:
        assert connection.scalar(text("SELECT used FROM portalsec_throttle")) == 1
    with pytest.raises(StoreError):
        SqlThrottle(reader).clear("lane")


# -- fork -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_worker_opens_connections_of_its_own(tmp_path: Path, opened):
    engine = opened(f"sqlite:///{tmp_path}/s.db")
    assert engine.pool.checkedin() == 1  # the one that tried the database
    child = os.fork()
    if child == 0:
        os._exit(engine.pool.checkedin())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert engine.pool.checkedin() == 1


# -- PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_postgresql_commit_is_flushed_even_where_the_server_says_otherwise(postgres_url: str, opened):
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = off'))
    admin.dispose()
    engine = opened(postgres_url)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "on"
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
        assert connection.scalar(text("SHOW lock_timeout")) == "5s"


@pytest.mark.postgres
def test_a_stronger_setting_of_the_server_stays(postgres_url: str, opened):
    admin = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        name = connection.scalar(text("SELECT current_database()"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET synchronous_commit = remote_apply'))
    admin.dispose()
    with opened(postgres_url).connect() as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == "remote_apply"


@pytest.mark.postgres
def test_a_plain_postgresql_url_means_psycopg_3(postgres_url: str, opened):
    engine = opened(postgres_url.replace("postgresql+psycopg://", "postgresql://"))
    assert engine.driver == "psycopg"


@pytest.mark.postgres
def test_a_read_only_postgresql_engine_cannot_write(postgres_url: str, opened):
    create_schema(opened(postgres_url), "security")
    reader = opened(postgres_url, read_only=True)
    check_schema(reader, "security")
    with pytest.raises(StoreError):
        SqlThrottle(reader).take("lane", limit=1, window=timedelta(minutes=1), now=NOW)


@pytest.mark.postgres
def test_a_server_that_does_not_answer_is_a_store_error_without_the_password(tmp_path: Path):
    with pytest.raises(StoreError) as caught:
        open_engine(f"postgresql://someone:hunter2@/database?host={tmp_path}")
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.postgres
def test_workers_that_create_the_tables_at_once_do_not_collide(
    postgres_database: Callable[[], AbstractContextManager[str]],
):
    from portalsec.testing.contracts import StoreContract

    with postgres_database() as url:
        engine = open_engine(url)
        StoreContract().race(lambda: create_schema(engine, "security"))
        check_schema(engine, "security")
        engine.dispose()
