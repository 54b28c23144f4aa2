from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from portalsec.config.keys import create_keys, read_private, resolve_reference, write_new
from portalsec.errors import ConfigurationError
from portalsec.secret import Secret

LITERAL = "correct-horse-battery"


def problem(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_private(path)
    return str(caught.value)


def test_a_new_key_is_its_owners_alone_from_the_first_moment(tmp_path: Path) -> None:
    previous = os.umask(0)  # a careless umask must not open the file
    try:
        write_new(tmp_path / "k", Secret("value"))
        paths = create_keys(tmp_path / "keys", origin="portal.example/audit")
    finally:
        os.umask(previous)
    for path in (tmp_path / "k", *paths.values()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert read_private(path).reveal()
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_existing_keys_are_never_overwritten(tmp_path: Path) -> None:
    paths = create_keys(tmp_path, origin="o")
    before = {name: path.read_bytes() for name, path in paths.items()}
    assert create_keys(tmp_path, origin="o") == paths
    assert {name: path.read_bytes() for name, path in paths.items()} == before
    with pytest.raises(ConfigurationError, match="exists already"):
        write_new(paths["fields"], Secret("other"))
    assert len(set(before.values())) == 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_key_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "k"
    write_new(path, Secret(LITERAL))
    path.chmod(mode)
    text = problem(path)
    assert "can be read by others" in text
    assert f"chmod 600 {path}" in text
    assert LITERAL not in text


def test_what_is_not_a_key_file_is_one_sentence(tmp_path: Path) -> None:
    assert "is missing" in problem(tmp_path / "none")
    assert str(tmp_path) in problem(tmp_path)
    binary = tmp_path / "b"
    binary.touch(mode=0o600)
    binary.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in problem(binary)
    large = tmp_path / "l"
    large.touch(mode=0o600)
    large.write_bytes(b"x" * ((1 << 20) + 1))
    assert "larger than" in problem(large)


def test_secrets_are_references_never_literals(tmp_path: Path) -> None:
    write_new(tmp_path / "k", Secret("from file"))
    env = {"NAME": "from env"}
    assert resolve_reference("file:k", key="x", base=tmp_path, env=env).reveal() == "from file"
    assert resolve_reference("env:NAME", key="x", base=tmp_path, env=env).reveal() == "from env"
    for literal in (LITERAL, f"literal:{LITERAL}", "file:", "env:", ""):
        with pytest.raises(ConfigurationError) as caught:
            resolve_reference(literal, key="portalsec.toml: [keys] fields", base=tmp_path, env=env)
        assert "[keys] fields" in str(caught.value)
        assert LITERAL not in str(caught.value)
    with pytest.raises(ConfigurationError, match="MISSING is not set"):
        resolve_reference("env:MISSING", key="x", base=tmp_path, env=env)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        create_keys(tmp_path / "file" / "keys", origin="o")
