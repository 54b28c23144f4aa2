"""The audit log in Django's tables, and ``manage.py portalsec_verify``."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.models import F

from portalsec.audit.anchor import FileAnchor
from portalsec.django.models import AuditCheckpoint, AuditEntry, AuditSubject
from portalsec.errors import AuditUnavailable, Tampered
from portalsec.events import Event, Purpose, SecurityEvent
from tests.django.project import World


def fill(world: World, count: int = 5) -> None:
    for number in range(count):
        world.portal.audit.record(
            SecurityEvent(name=Event.RECORD_READ, subjects=(f"p{number}",), purpose=Purpose.TREAT)
        )
    world.portal.audit.checkpoint()


def verified(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, str]:
    capsys.readouterr()
    code: object = 0
    try:
        call_command("portalsec_verify", **options)
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert isinstance(code, int)
    return code, said.out + said.err


def test_a_log_that_nobody_touched_verifies(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.portal.audit.record(SecurityEvent(name=Event.SYSTEM_STARTED))
    world.portal.audit.integrate()
    assert verified(capsys)[0] == 2  # nothing is signed yet
    fill(world, 4)
    assert verified(capsys) == (
        0,
        "The log holds 5 entries; 5 are exactly what was signed.\n"
        "Not covered: No anchor was compared: an older copy of the whole store would not be noticed.\n",
    )


def _flip(rows: Any, column: str, place: int) -> None:
    row = rows.get(index=2)
    value = bytearray(getattr(row, column))
    value[place] ^= 1
    rows.filter(pk=row.pk).update(**{column: bytes(value)})


def _swap(rows: Any) -> None:
    rows.filter(index=1).update(index=99)
    rows.filter(index=2).update(index=1)
    rows.filter(index=99).update(index=2)


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        (lambda rows: _flip(rows, "body", 0), "2"),
        (lambda rows: _flip(rows, "body", -1), "2"),
        (lambda rows: _flip(rows, "leaf", 7), "2"),
        (lambda rows: rows.filter(index=2).delete(), "2"),
        (lambda rows: rows.filter(index=4).delete(), "4"),
        (_swap, "1"),
        (lambda rows: rows.filter(index__gte=2).update(index=F("index") + 10), "2"),
        (lambda rows: AuditSubject.objects.filter(index=2).update(subject="somebody else"), "2"),
        (lambda rows: AuditSubject.objects.filter(index=2).delete(), "2"),
    ],
    ids=["first byte", "last byte", "hash", "removed", "truncated", "swapped", "moved", "refiled", "unfiled"],
)
def test_auz_07_tampering_is_found_and_named(
    world: World, capsys: pytest.CaptureFixture[str], tamper: Callable[[Any], Any], named: str
) -> None:
    fill(world)
    tamper(AuditEntry.objects)
    code, said = verified(capsys)
    assert code == 1
    assert named in said


def test_auz_07_an_older_copy_is_found_against_the_anchor(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = Path(connections["portalsec"].settings_dict["NAME"])
    fill(world)
    connections["portalsec"].cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(file, tmp_path / "older")
    fill(world)
    anchor = FileAnchor(tmp_path / "anchor")
    anchor.publish(AuditCheckpoint.objects.latest("size").note)
    assert verified(capsys, anchor=anchor.path)[0] == 0
    with connections["portalsec"].cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connections["portalsec"].close()
    for part in file.parent.glob(f"{file.name}*"):
        part.unlink()
    shutil.copyfile(tmp_path / "older", file)
    assert verified(capsys)[0] == 0  # by itself the older copy is in order
    code, said = verified(capsys, anchor=anchor.path)
    assert code == 1
    assert "5" in said


def test_an_anchor_that_cannot_be_read_cannot_tell(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill(world)
    assert verified(capsys, anchor=tmp_path)[0] in (1, 2)


def test_auz_07_an_anchor_that_was_removed_is_no_way_to_pass(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill(world)
    code, said = verified(capsys, anchor=tmp_path / "gone")
    assert code == 2
    assert "is missing" in said


def test_auz_07_a_trigger_that_swallows_events_is_found_and_gives_no_receipt(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(world)
    table = AuditEntry._meta.db_table
    with connections["portalsec"].cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER t BEFORE INSERT ON {table} WHEN instr(CAST(new.body AS TEXT), 'spy') > 0 "
            "BEGIN SELECT RAISE(IGNORE); END"
        )
    event = SecurityEvent(name=Event.RECORD_READ, subjects=("p",), purpose=Purpose.TREAT, session="spy")
    try:
        with pytest.raises(AuditUnavailable):
            world.portal.audit.record(event)
        code, said = verified(capsys)
    finally:
        with connections["portalsec"].cursor() as cursor:
            cursor.execute("DROP TRIGGER t")
    assert code == 1
    assert "has a trigger that is not portalsec's" in said


def test_a_missing_anchor_is_adopted_by_hand(
    world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fill(world)
    log, anchor = world.portal.audit, FileAnchor(tmp_path / "anchor")
    log._anchors, log._anchored, log._frontier = (anchor,), [0], None  # as a portal that starts with one
    with pytest.raises(Tampered, match="missing"):
        log.resume()
    code, said = verified(capsys, adopt_anchor=True)
    assert (code, "newest checkpoint" in said) == (0, True)
    assert anchor.read() is not None
    log.resume()
