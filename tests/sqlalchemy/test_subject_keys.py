"""What is left of an erased key on the disk, and what the table itself refuses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import IntegrityError

from portalsec.crypto.ports import Rewrap, SubjectKey
from portalsec.sqlalchemy import SqlSubjectKeys, check_schema, create_schema, open_engine

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def secret(number: int) -> bytes:
    """As long as a wrapped key, and like no other."""
    return hashlib.shake_128(b"%d" % number).digest(156)


def remains(secret: bytes, data: bytes) -> bool:
    """Whether a part of it does: the rest may have been written over by chance."""
    return any(secret[at : at + 8] in data for at in range(0, len(secret) - 7, 8))


def key(number: int) -> SubjectKey:
    return SubjectKey(
        purpose="subject",
        subject=f"patient-{number:03}",
        key_id=number + 1,
        commitment=bytes(32),
        wrapped=secret(number),
        created_at=NOW,
    )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/subjects.db")
    create_schema(engine, "subjects")
    engine.dispose()

    @event.listens_for(engine, "connect")
    def as_sqlite_is_without_it(connection: Any, _record: object) -> None:
        # Debian's SQLite overwrites what it deletes by default; elsewhere it does not.
        connection.execute("PRAGMA secure_delete = OFF")

    yield engine
    engine.dispose()


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_erased_keys_are_nowhere_in_the_files(engine: Engine, tmp_path: Path) -> None:
    store = SqlSubjectKeys(engine)
    numbers = list(range(300))  # dozens of pages, so that rows would move were the tree put in order
    for number in numbers:
        store.get_or_create(key(number))
    assert all(secret(number) in on_disk(tmp_path) for number in numbers[::7])
    Random(4).shuffle(numbers)
    for number in numbers[:280]:
        store.erase("subject", key(number).subject, now=NOW)
    left = on_disk(tmp_path)
    assert not [number for number in numbers[:280] if remains(secret(number), left)]
    assert all(secret(number) in left for number in numbers[280:])


def test_nor_is_what_it_was_before_it_was_rewrapped(engine: Engine, tmp_path: Path) -> None:
    """The old wrapping key may still be enabled: what it opens must not lie in a free page."""
    store = SqlSubjectKeys(engine)
    for number in range(200):
        store.get_or_create(key(number))
    changes = [
        Rewrap(subject=key(number).subject, expected=secret(number), wrapped=secret(number + 1000))
        for number in range(200)
    ]
    assert all(store.rewrap("subject", changes))
    store.erase("subject", "patient-077", now=NOW)
    left = on_disk(tmp_path)
    assert not remains(secret(1077), left)
    assert not any(remains(secret(number), left) for number in range(200))
    assert store.count("subject") == 199


def test_an_erasure_with_a_reader_in_the_way_is_an_erasure(tmp_path: Path) -> None:
    from datetime import timedelta

    engine = open_engine(f"sqlite:///{tmp_path}/subjects.db", patience=timedelta(milliseconds=50))
    create_schema(engine, "subjects")
    store = SqlSubjectKeys(engine)
    store.get_or_create(key(1))
    with engine.connect() as reader:
        reader.execute(text("SELECT * FROM portalsec_subject_key")).all()  # holds its snapshot
        assert store.erase("subject", "patient-001", now=NOW).won
    found = store.get("subject", "patient-001")
    assert found is not None
    assert found.erased_at == NOW
    engine.dispose()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE portalsec_subject_key SET erased_at = 5",
        "UPDATE portalsec_subject_key SET wrapped = NULL",
        "INSERT INTO portalsec_subject_key VALUES ('subject', 'patient-001', 9, x'00', x'00', 1, NULL)",
    ],
)
def test_the_table_has_no_room_for_a_key_beside_its_tombstone(engine: Engine, edit: str) -> None:
    SqlSubjectKeys(engine).get_or_create(key(1))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(edit))


def test_the_keys_may_lie_in_the_database_of_the_security_state(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/security.db")
    create_schema(engine, "security")
    create_schema(engine, "subjects")
    for part in ("security", "subjects"):
        check_schema(engine, part)  # type: ignore[arg-type]
    SqlSubjectKeys(engine).get_or_create(key(1))
    engine.dispose()
