"""What is left of an erased key on the disk, and what the table itself refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from portalsec.crypto.ports import Rewrap, SubjectKey
from portalsec.sqlalchemy import SqlSubjectKeys, check_schema, create_schema, open_engine

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECRET = b"this is the wrapped key of patient number %03d, and it is as long as one"


def key(number: int) -> SubjectKey:
    return SubjectKey(
        purpose="subject",
        subject=f"patient-{number:03}",
        key_id=number + 1,
        commitment=bytes(32),
        wrapped=SECRET % number,
        created_at=NOW,
    )


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path}/subjects.db")
    create_schema(engine, "subjects")
    yield engine
    engine.dispose()


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_an_erased_key_is_nowhere_in_the_files(engine: Engine, tmp_path: Path) -> None:
    store = SqlSubjectKeys(engine)
    for number in range(200):  # several pages, so that rows move when the tree is balanced
        store.get_or_create(key(number))
    assert SECRET % 77 in on_disk(tmp_path)
    store.erase("subject", "patient-077", now=NOW)
    left = on_disk(tmp_path)
    assert SECRET % 77 not in left
    assert all(SECRET % number in left for number in range(200) if number != 77)


def test_nor_is_what_it_was_before_it_was_rewrapped(engine: Engine, tmp_path: Path) -> None:
    """The old wrapping key may still be enabled: what it opens must not lie in a free page."""
    store = SqlSubjectKeys(engine)
    for number in range(200):
        store.get_or_create(key(number))
    longer = b"the same under a promoted wrapping key, with a longer frame than it had before: %03d" * 2
    changes = [
        Rewrap(subject=key(number).subject, expected=SECRET % number, wrapped=longer % (number, number))
        for number in range(200)
    ]
    assert all(store.rewrap("subject", changes))
    store.erase("subject", "patient-077", now=NOW)
    left = on_disk(tmp_path)
    assert SECRET % 77 not in left
    assert longer % (77, 77) not in left
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
