from __future__ import annotations

import os
from pathlib import Path

import pytest

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Checkpoint, sign_checkpoint
from portalsec.errors import StoreError, Tampered
from tests.audit.support import ORIGIN, SIGNER


def note(size: int, fill: int = 0) -> str:
    return sign_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=bytes([fill]) * 32), SIGNER)


def test_nothing_was_kept_yet(tmp_path: Path) -> None:
    assert FileAnchor(tmp_path / "checkpoint").read() is None


def test_keeps_the_newest_and_leaves_nothing_else(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "outside" / "checkpoint")
    anchor.publish(note(3))
    anchor.publish(note(5))
    assert anchor.read() == note(5)
    assert [path.name for path in anchor.path.parent.iterdir()] == ["checkpoint"]


def test_a_smaller_checkpoint_is_passed_over(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "checkpoint")
    anchor.publish(note(5))
    anchor.publish(note(3))
    anchor.publish(note(5))
    assert anchor.read() == note(5)


def test_auz_07_another_root_of_the_same_size_does_not_replace_the_evidence(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "checkpoint")
    anchor.publish(note(5))
    with pytest.raises(Tampered):
        anchor.publish(note(5, fill=1))
    assert anchor.read() == note(5)


def test_a_damaged_anchor_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"\xff nothing like a note")
    with pytest.raises(Tampered):
        FileAnchor(path).publish(note(5))
    assert path.read_bytes() == b"\xff nothing like a note"


def test_the_note_is_synced_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spied_fsync(fd: int) -> None:
        calls.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "fsync file")
        fsync(fd)

    def spied_replace(self: Path, target: Path) -> Path:
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(Path, "replace", spied_replace)
    FileAnchor(tmp_path / "checkpoint").publish(note(1))
    assert calls == ["fsync file", "rename", "fsync folder"]


def test_a_failed_write_keeps_the_old_note_and_is_a_store_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anchor = FileAnchor(tmp_path / "checkpoint")
    anchor.publish(note(1))

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        anchor.publish(note(2))
    assert isinstance(caught.value.__cause__, OSError)
    assert anchor.read() == note(1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_place_that_cannot_be_written_or_read_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        FileAnchor(tmp_path / "file" / "checkpoint").publish(note(1))
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="cannot be read"):
        FileAnchor(tmp_path / "folder").read()
