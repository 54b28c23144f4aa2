"""``portalsec breached``, as a person at a terminal or a script meets it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from portalsec.auth.breached import BreachFile
from portalsec.cli.app import portalsec

WORDS = ["hunter2hunter2", "correct horse", "Passw0rd!", "contraseña"]


def run(*arguments: object, stdin: bytes | str | None = None) -> Result:
    return CliRunner().invoke(portalsec, ["breached", *map(str, arguments)], input=stdin)


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest().upper()


@pytest.fixture
def hashes(tmp_path: Path) -> Path:
    path = tmp_path / "hashes.txt"
    path.write_text("".join(f"{sha1(word)}:{number}\r\n" for number, word in enumerate(WORDS, 1)), "utf-8")
    return path


@pytest.fixture
def made(tmp_path: Path, hashes: Path) -> Path:
    out = tmp_path / "leaked.breach"
    assert run("build", hashes, "--out", out).exit_code == 0
    return out


def contains(path: Path) -> list[bool]:
    with BreachFile(path) as file:
        return [file.contains(word) for word in WORDS]


def test_build_says_what_it_found_and_what_came_of_it(tmp_path: Path, hashes: Path) -> None:
    out = tmp_path / "leaked.breach"
    done = run("build", hashes, hashes, "--out", out)
    assert done.exit_code == 0
    assert "hashes.txt: SHA-1 hashes (by the look of it), 4 taken." in done.output
    assert "4 passwords in " in done.output
    assert "once in 256 times" in done.output
    assert "4 came more than once." in done.output
    assert f"[passwords] breached = [{json.dumps(str(out))}]" in done.output
    assert contains(out) == [True] * 4
    assert sorted(each.name for each in tmp_path.iterdir()) == ["hashes.txt", "leaked.breach"]


def test_build_from_several_forms_at_once(tmp_path: Path, hashes: Path) -> None:
    plain = tmp_path / "plain.txt.gz"
    plain.write_bytes(gzip.compress(b"another\nand one more\n\xff\n"))
    done = run("build", hashes, plain, "-", "--out", tmp_path / "x", stdin=sha1("third") + "\n")
    assert done.exit_code == 0, done.output
    assert "plain.txt.gz: plain text (by the look of it), 2 taken, 1 lines left out" in done.output
    assert "standard input: SHA-1 hashes" in done.output
    with BreachFile(tmp_path / "x") as file:
        assert all(map(file.contains, (*WORDS, "another", "and one more", "third")))


def test_the_form_can_be_said(tmp_path: Path, hashes: Path) -> None:
    assert run("build", hashes, "--plain", "--out", tmp_path / "x").exit_code == 0
    with BreachFile(tmp_path / "x") as file:
        assert file.contains(f"{sha1(WORDS[0])}:1")
    (tmp_path / "words").write_text("\n".join(WORDS), "utf-8")
    done = run("build", tmp_path / "words", "--hashes", "--out", tmp_path / "y")
    assert done.exit_code == 2
    assert "in line 1" in done.output
    assert not any(word in done.output for word in WORDS)
    assert not (tmp_path / "y").exists()


def test_rare_ones_left_out(tmp_path: Path, hashes: Path) -> None:
    done = run("build", hashes, "--min-count", 3, "--bits", 32, "--out", tmp_path / "x")
    assert "2 taken, 2 left out as too rare" in done.output
    assert contains(tmp_path / "x") == [False, False, True, True]


def test_a_list_of_ones_own_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("Riverside Clinic\n", "utf-8")
    done = run(
        "build", tmp_path / "words", "--ignore-case", "--bits", 24, "--label", "ours", "--out", tmp_path / "x"
    )
    assert done.exit_code == 0
    with BreachFile(tmp_path / "x") as file:
        assert file.contains("RIVERSIDE CLINIC")
        assert (file.label, file.folded) == ("ours", True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none.txt"], "is missing: check the name"),
        (["."], "is a folder"),
        (["empty.txt"], "would be empty"),
        (["hashes.txt", "--min-count", "99"], "would be empty"),
        (["hashes.txt", "--label", "x" * 57], "--label has up to 56 bytes"),
        (["hashes.txt", "--label", "\x1b[2J"], "--label has up to 56 bytes"),
        (["hashes.txt", "--ignore-case"], "leave out --ignore-case"),
    ],
)
@pytest.mark.usefixtures("hashes")
def test_what_stands_in_the_way_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    done = run("build", *arguments, "--out", "x")
    assert done.exit_code == 2
    assert done.output.startswith("COULD NOT: ")
    assert why in done.output
    assert done.output.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty.txt", "hashes.txt"]


def test_check_says_whether_it_is_in_it(made: Path) -> None:
    yes = run("check", made, stdin="hunter2hunter2\n")
    assert (yes.exit_code, "It is in the list." in yes.output) == (1, True)
    no = run("check", made, stdin="some other words\n")
    assert (no.exit_code, no.output) == (0, "It is not in the list.\n")
    assert "hunter2" not in yes.output
    assert "other" not in no.output


def test_check_without_a_file_asks_the_bundled_list() -> None:
    assert run("check", stdin="PASSWORDpassword\r\n").exit_code == 1
    assert run("check", stdin="no list has this one yet\n").exit_code == 0


def test_check_of_what_is_no_utf_8_is_a_sentence(made: Path) -> None:
    done = CliRunner().invoke(portalsec, ["breached", "check", str(made)], input=b"caf\xe9 hunter2\n")
    assert done.exit_code == 2
    assert "COULD NOT: what came on standard input is not UTF-8" in done.output
    assert "hunter2" not in done.output
    assert isinstance(done.exception, SystemExit)


def test_check_needs_a_password(made: Path) -> None:
    done = run("check", made, stdin="")
    assert done.exit_code == 2
    assert "no password came" in done.output


@pytest.mark.parametrize("command", ["check", "info"])
def test_a_password_is_no_argument(command: str, made: Path) -> None:
    done = run(command, made, "hunter2hunter2")
    assert done.exit_code == 2
    assert "unexpected extra argument" in done.output


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_at_a_terminal_the_password_is_asked_for_and_not_shown(made: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "portalsec.cli", "breached", "check", str(made)]
        if (Path(sys.modules["portalsec.cli"].__file__ or "").parent / "__main__.py").exists()
        else [sys.executable, "-c", "from portalsec.cli import main; main()", "breached", "check", str(made)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"Password: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"hunter2hunter2\n")
        try:
            while part := os.read(ours, 1000):
                shown += part
        except OSError:
            pass  # Linux says so where the other end is closed
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert b"It is in the list." in shown
    assert b"hunter2" not in shown


def test_info(made: Path) -> None:
    done = run("info", made)
    assert done.exit_code == 0
    for part in ("4 passwords in ", "once in 256 times", "case matters", "every byte is as it was written"):
        assert part in done.output
    facts = json.loads(run("info", made, "--json").output)
    assert facts["exit"] == 0
    assert (facts["entries"], facts["false_positive_rate"], facts["case_matters"]) == (4, 1 / 256, True)


def test_info_of_the_bundled_list() -> None:
    done = run("info")
    assert done.exit_code == 0
    assert "zxcvbn" in done.output
    assert "case does not matter" in done.output


def test_info_of_a_damaged_file(made: Path) -> None:
    data = bytearray(made.read_bytes())
    data[-1] ^= 1
    made.write_bytes(data)
    done = run("info", made)
    assert done.exit_code == 2
    assert "is damaged: build or copy it again" in done.output
    assert json.loads(run("info", made, "--json").output)["exit"] == 2
    assert run("check", made, stdin="x\n").exit_code == 2
