"""Opening a database so that it keeps the ports' promises: durable, one writer that waits its turn, closed to others."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import stat
import weakref
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from portalsec.errors import ConfigurationError, MissingExtra
from portalsec.sqlalchemy.transaction import OPENED, WRITE, reading

__all__ = ["open_engine"]

_OLDEST_SQLITE = (3, 35, 0)  # RETURNING


def open_engine(
    url: str | URL,
    *,
    read_only: bool = False,
    patience: timedelta = timedelta(seconds=5),
    pool_size: int = 8,
) -> Engine:
    """Open ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://...`` and try it once.

    SQLite: a file in WAL mode with ``synchronous=FULL``, created with mode 0600 in a folder that exists; writers
    begin with ``BEGIN IMMEDIATE`` and wait up to ``patience`` for each other. A file that vanishes later is an
    error and never silently a new, empty one. PostgreSQL: through psycopg 3, READ COMMITTED, a commit that is
    flushed to disk, ``patience`` as the lock timeout.

    Args:
        url: where the database is. SQLite in memory is refused: use `portalsec.stores.memory`.
        read_only: for verification: nothing is created or changed; an absent SQLite file is an error.
        patience: how long a verb waits for another writer before it fails.
        pool_size: connections kept open; as many again may be opened under load.

    Raises:
        ConfigurationError: another kind of database; a folder that is absent, cannot be written or lets every user
            replace the file; a file that others can read.
        MissingExtra: psycopg is not installed.
        StoreError: the database is damaged, is not one, or does not answer.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # SQLAlchemy's own message would repeat the text, and with it a password.
        raise ConfigurationError(
            "the database URL is not one: write sqlite:///path or postgresql://user@host/name"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = _open_sqlite(parsed, read_only=read_only, patience=patience, pool_size=pool_size)
    elif backend == "postgresql":
        engine = _open_postgresql(parsed, read_only=read_only, patience=patience, pool_size=pool_size)
    else:
        raise ConfigurationError(
            f"a {backend} database cannot hold portalsec's stores: use sqlite:///path or postgresql://..."
        )
    engine.update_execution_options(**{OPENED: True})
    _forget_connections_in_children(engine)
    with reading(engine) as connection:
        # Reads the schema, so that a damaged header or first page is found now and not at somebody's sign-in.
        connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_master" if backend == "sqlite" else "SELECT 1"
        ).scalar_one()
    return engine


# -- SQLite -----------------------------------------------------------------------------------------------------


def _open_sqlite(url: URL, *, read_only: bool, patience: timedelta, pool_size: int) -> Engine:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise ConfigurationError(
            f"this Python was built with SQLite {sqlite3.sqlite_version}: portalsec needs 3.35 or newer"
        )
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise ConfigurationError(
            "an SQLite database in memory keeps nothing and cannot be shared by threads: "
            "name a file (sqlite:///path), or use portalsec.stores.memory in tests"
        )
    path = Path(url.database).absolute()
    _check_folder(path, read_only=read_only)
    _check_file(path, read_only=read_only)
    # mode=rw does not create: were the file to vanish, the next connection must not start an empty history.
    uri = f"file:{quote(str(path))}?mode={'ro' if read_only else 'rw'}"
    log = Path(f"{path}-wal")

    def connect() -> sqlite3.Connection:
        # Nobody has the database open where it has no -wal file. To read it, SQLite would then leave such files
        # behind, and fail where it may not create them (a copy on a medium that cannot be written).
        unused = read_only and not log.exists()
        connection = sqlite3.connect(
            f"{uri}&immutable=1" if unused else uri,
            uri=True,
            timeout=patience.total_seconds(),
            isolation_level=None,  # BEGIN is ours to say: see `begin`
            check_same_thread=False,  # the pool hands a connection to one thread at a time
        )
        try:
            if not read_only:
                _use_wal(connection)
                connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA trusted_schema = OFF")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=connect,
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=patience.total_seconds(),
        hide_parameters=True,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that becomes a writer later fails at once with "database is locked" where another wrote
        # meanwhile, without waiting: so a writer says so from the start.
        write = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _use_wal(connection: sqlite3.Connection) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"the file system does not allow WAL mode (SQLite stayed in {mode!r})")


def _check_folder(path: Path, *, read_only: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise ConfigurationError(
            f"the folder {folder} for the database {path.name} does not exist: create it"
        )
    if read_only:
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"the folder {folder} for the database {path.name} cannot be written by this user: "
            "change its owner or mode, or choose another folder"
        )
    if os.name == "posix":
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            # Whoever may write the folder can put another file in the database's place.
            raise ConfigurationError(
                f"every user of this machine can write the folder {folder} of the database {path.name}: "
                f"run  chmod o-w {folder}"
            )


def _check_file(path: Path, *, read_only: bool) -> None:
    if not path.exists():
        if read_only:
            raise ConfigurationError(f"there is no database at {path}")
        try:
            # SQLite gives its -wal and -shm files the mode of the file itself.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            pass  # another worker was first
        except OSError as error:
            raise ConfigurationError(f"the database {path} cannot be created: {error.strerror}") from error
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file: name the database file itself")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"other users can reach the database {path}: run  chmod 600 {path}")
    if not os.access(path, os.R_OK if read_only else os.R_OK | os.W_OK):
        raise ConfigurationError(f"the database {path} cannot be opened by this user: change its owner")


# -- PostgreSQL -------------------------------------------------------------------------------------------------


def _open_postgresql(url: URL, *, read_only: bool, patience: timedelta, pool_size: int) -> Engine:
    if url.drivername not in ("postgresql", "postgresql+psycopg"):
        raise ConfigurationError(
            f"write postgresql://... instead of {url.drivername}://...: psycopg 3 is used"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise MissingExtra("postgres", package="psycopg")
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",  # the stores' conditional writes re-check a row that they waited for
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=patience.total_seconds(),
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": max(2, round(patience.total_seconds()))},
    )
    settings = {"lock_timeout": f"{patience // timedelta(milliseconds=1)}ms"}
    if read_only:
        settings["default_transaction_read_only"] = "on"

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        was_autocommit, connection.autocommit = connection.autocommit, True
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
            # A verb has happened when it returns. A stronger setting of the server's own (remote_apply) stays.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
            )
        connection.autocommit = was_autocommit

    return engine


# -- fork -------------------------------------------------------------------------------------------------------


def _forget_connections_in_children(engine: Engine) -> None:
    """A connection that two processes use corrupts both: a forked worker opens its own."""
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.ref(engine)

    def forget() -> None:
        living = reference()
        if living is not None:
            living.dispose(close=False)

    os.register_at_fork(after_in_child=forget)
