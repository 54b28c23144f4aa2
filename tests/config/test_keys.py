from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from portalsec.config.keys import create_keys, read_private, replace_private, resolve_reference, write_new
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


def test_a_disk_that_is_full_leaves_no_half_of_a_key(tmp_path: Path) -> None:
    """In a child: a limit of the size of files is the process's own. Half a key would be taken for one for ever."""
    if os.name != "posix":
        pytest.skip("limits of a process are POSIX's")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from portalsec.config.keys import replace_private, write_new\n"
        "from portalsec.errors import ConfigurationError; from portalsec.secret import Secret\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "for write, name in ((write_new, 'new'), (replace_private, 'old')):\n"
        "    try: write(Path(sys.argv[1]) / name, Secret('x' * 500))\n"
        "    except ConfigurationError as error: print(error)\n"
    )
    write_new(tmp_path / "old", Secret("the old key"))
    told = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    assert told.count("File too large") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert read_private(tmp_path / "old").reveal() == "the old key"


def test_replacing_by_a_link_replaces_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write_new(tmp_path / "real" / "f.json", Secret("old"))
    (tmp_path / "f.json").symlink_to(tmp_path / "real" / "f.json")
    replace_private(tmp_path / "f.json", Secret("new"))
    assert (tmp_path / "f.json").is_symlink()
    assert read_private(tmp_path / "real" / "f.json").reveal() == "new"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="takes root to write another user's file")
def test_a_key_that_root_replaces_stays_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    write_new(path, Secret("old"))
    os.chown(path, 65534, 65534)
    replace_private(path, Secret("new"))
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (65534, 0o600)


def test_a_file_that_is_no_text_is_in_no_frame_and_no_context(tmp_path: Path) -> None:
    path = tmp_path / "b"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff secret bytes")
    with pytest.raises(ConfigurationError) as caught:
        read_private(path)
    assert caught.value.__context__ is None
    trace = caught.value.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith("config/keys.py"):
            assert not any(isinstance(found, bytes) for found in trace.tb_frame.f_locals.values())
        trace = trace.tb_next
