"""A mail in a folder is whole or not there, and nobody else reads it."""

from __future__ import annotations

import email
import email.policy
import os
import stat
from pathlib import Path

import pytest

from portalsec.auth.notifiers.file import FileNotifier
from portalsec.auth.ports import Message
from portalsec.errors import ConfigurationError, StoreError
from portalsec.testing import FrozenClock
from tests.auth.world import together

MESSAGE = Message(
    to="robin@mail.example",
    subject="Ist das Ihre Adresse? [K7QF-29XM]",
    text="one\ntwo\n",
    html="<p>one</p>",
    message_id="<abc@portal.example>",
    language="en",
)


def notifier(folder: Path) -> FileNotifier:
    return FileNotifier(folder, sender="notices@portal.example", clock=FrozenClock())


def test_a_mail_is_a_file_that_mail_programs_open(tmp_path: Path) -> None:
    notifier(tmp_path / "out" / "box").send(MESSAGE)
    (file,) = (tmp_path / "out" / "box").iterdir()
    assert file.name.startswith("20260302T090000") and file.suffix == ".eml"
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert mail["To"] == "robin@mail.example" and mail["Subject"] == MESSAGE.subject
    assert {part.get_content_type() for part in mail.iter_parts()} == {"text/plain", "text/html"}


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "box"
    notifier(folder).send(MESSAGE)
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_many_at_once_are_many_files(tmp_path: Path) -> None:
    box = notifier(tmp_path)
    together(20, lambda _: box.send(MESSAGE))
    assert len(list(tmp_path.glob("*.eml"))) == 20 and len(list(tmp_path.iterdir())) == 20


def test_what_cannot_be_finished_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(StoreError) as caught:
        notifier(tmp_path).send(MESSAGE)
    assert list(tmp_path.iterdir()) == []
    assert "robin" not in str(caught.value)


def test_a_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "box").write_text("x")
    with pytest.raises(StoreError):
        notifier(tmp_path / "box").send(MESSAGE)


def test_a_sender_is_one_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        FileNotifier(tmp_path, sender="x")
