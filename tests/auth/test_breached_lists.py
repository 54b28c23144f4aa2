"""Lists as they are published: every form is read, whatever is in one it is no traceback, and no line is ever shown."""

from __future__ import annotations

import gzip
import hashlib
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth import breached_lists
from portalsec.auth._breach_format import key_of
from portalsec.auth.breached_lists import Form, ListCounts, open_list, read_list
from portalsec.errors import ConfigurationError

WORDS = ["password", "123456", "qwerty", "contraseña", "two words", " leading and trailing "]


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def read(
    data: bytes, *, form: Form | None = None, min_count: int = 0, folded: bool = False
) -> tuple[list[int], ListCounts]:
    counts = ListCounts()
    blocks = read_list(io.BytesIO(data), "the list", counts, form=form, min_count=min_count, folded=folded)
    return [key for block in blocks for key in block], counts


def refused(data: bytes, **kwargs: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(data, **kwargs)  # type: ignore[arg-type]
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None
    return str(caught.value)


KEYS = sorted(map(key_of, WORDS))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("line", ["{}", "{}:7", "{}: 7", " {} ", "{}\n"])
@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_hashes_in_every_spelling(ending: str, last: bool, line: str, case: object) -> None:
    text = ending.join(line.replace("\n", ending).format(case(sha1(word))) for word in WORDS)  # type: ignore[operator]
    if line == " {} ":
        text = text.replace(f" {ending}", ending).rstrip(" ")
    keys, counts = read((text + ending * last).encode())
    assert sorted(keys) == KEYS
    assert (counts.form, counts.detected, counts.taken) == ("hashes", True, 6)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_plain_text(ending: str) -> None:
    keys, counts = read((ending.join(WORDS) + ending * 3).encode())
    assert sorted(keys) == KEYS
    assert (counts.form, counts.detected, counts.taken) == ("plain", True, 6)


def test_plain_text_in_either_normal_form_and_after_a_byte_order_mark() -> None:
    assert read("\ufeffcontrasen\u0303a\n".encode())[0] == [key_of("contraseña")]
    assert read(b"\xef\xbb\xbf" + sha1("x").encode())[0] == [key_of("x")]


def test_case_is_folded_where_it_is_asked_for() -> None:
    assert read("PassWord\nSTRASSE\nstraße\n".encode(), folded=True)[0] == [
        key_of("password"),
        key_of("strasse"),
        key_of("strasse"),
    ]


def test_gzip() -> None:
    assert sorted(read(gzip.compress("\n".join(WORDS).encode()))[0]) == KEYS


def test_a_password_that_looks_like_a_hash_does_not_make_a_list_of_hashes() -> None:
    keys, counts = read("\n".join([sha1("x"), *WORDS]).encode())
    assert counts.form == "plain"
    assert key_of(sha1("x")) in keys
    assert read(sha1("x").encode(), form="plain")[0] == [key_of(sha1("x"))]


def test_counts() -> None:
    lines = "\n".join(f"{sha1(word)}:{number}" for number, word in enumerate(WORDS)) + f"\n{sha1('none')}\n"
    keys, counts = read(lines.encode(), min_count=3)
    assert sorted(keys) == sorted(map(key_of, WORDS[3:]))
    assert (counts.taken, counts.rare) == (3, 4)
    assert len(read(lines.encode(), min_count=1)[0]) == 7


def test_what_does_not_go_together() -> None:
    assert "leave out --min-count" in refused(b"hunter2\n", min_count=2)
    assert "leave out --ignore-case" in refused(sha1("hunter2").encode(), folded=True)


def test_another_line_among_hashes_is_named_by_its_number_alone() -> None:
    lines = [sha1(str(number)) for number in range(50_000)]
    lines[40_000] = "hunter2"
    assert "in line 40001" in refused("\n".join(lines).encode())
    assert "in line 1" in refused(b"hunter2\n", form="hashes")
    assert "in line 2" in refused(f"{sha1('x')}\n{sha1('y')[:39]}\n".encode(), form="hashes")
    assert "in line 2" in refused(f"{sha1('x')}\n{sha1('y')}0\n".encode(), form="hashes")
    assert "in line 1" in refused(f"{sha1('x')}:x\n".encode(), form="hashes")


def test_lines_that_are_no_password_are_counted_and_left_out() -> None:
    data = (
        b"good\n\xff\xfe bad\n" + b"x" * 1025 + b"\n" + b"y" * 1024 + b"\n" + b"z" * 3_000_000 + b"\nlast\n"
    )
    keys, counts = read(data, form="plain")
    assert keys == [key_of("good"), key_of("y" * 1024), key_of("last")]
    assert counts.unusable == 3


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        left = 200

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return b"x" * size if self.left > 0 else b""

        def peek(self, size: int) -> bytes:
            return b"x" * size

    tracemalloc.start()
    try:
        counts = ListCounts()
        assert not [key for block in read_list(Endless(), "the list", counts) for key in block]  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert counts.unusable == 1


def test_blocks_are_no_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breached_lists, "_BLOCK", 7)
    assert sorted(read("\r\n".join(WORDS).encode(), form="plain")[0]) == KEYS
    lines = "\r\n".join(f"{sha1(word)}:3" for word in WORDS).encode()
    assert sorted(read(lines, form="hashes")[0]) == KEYS


@given(st.binary(max_size=300), st.sampled_from([None, "plain", "hashes"]))
def test_any_bytes_are_keys_or_one_sentence(data: bytes, form: Form | None) -> None:
    try:
        keys, counts = read(data, form=form)
    except ConfigurationError as error:
        assert "\n" not in str(error)
    else:
        assert len(keys) == counts.taken


def test_a_list_that_is_cut_says_so() -> None:
    whole = gzip.compress(b"hunter2\n" * 10_000)
    assert "may be cut" in refused(whole[:-9])
    assert "may be cut" in refused(whole[:20] + bytes(30))


def test_nothing_in_it() -> None:
    assert read(b"") == ([], ListCounts())
    assert read(b"\n\r\n\n", form="plain")[0] == []


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    for path, why in ((tmp_path, "is a folder"), (tmp_path / "none", "is missing")):
        with pytest.raises(ConfigurationError, match=why):
            open_list(path)
    (tmp_path / "list").write_bytes(b"x")
    with open_list(tmp_path / "list") as file:
        assert file.read() == b"x"
