"""Breach files: what was put in is found, in any form of building; what was damaged or made up is one sentence."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import threading
import unicodedata
from array import array
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth import _breach_format, breached_build
from portalsec.auth._breach_format import HEADER_SIZE, Unreadable, key_of, unpack
from portalsec.auth.breached import BreachFile, Bundled
from portalsec.auth.breached_build import Built, build_breach_file
from portalsec.auth.ports import BreachSource
from portalsec.errors import BreachSourceUnavailable, ConfigurationError

LEAKED = [f"leaked {number}" for number in range(2000)]


def keys(texts: Iterable[str]) -> array[int]:
    return array("Q", map(key_of, texts))


def build(out: Path, texts: Iterable[str] = LEAKED, **kwargs: object) -> Built:
    return build_breach_file([keys(texts)], out, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    build(tmp_path / "leaked.breach")
    return tmp_path / "leaked.breach"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits so low that 2,000 keys take every way: spilled, split again, put in order on disk, many shards."""
    monkeypatch.setattr(breached_build, "_SHARD", 64)
    monkeypatch.setattr(breached_build, "_SPILL", 100)
    monkeypatch.setattr(breached_build, "_SORT", 3)
    monkeypatch.setattr(breached_build, "_CHUNK", 7)


# -- what it answers ----------------------------------------------------------------------------------------------


def test_what_was_put_in_is_found_and_little_else(path: Path) -> None:
    with BreachFile(path) as file:
        source: BreachSource = file
        assert source.local
        assert source.name == "leaked.breach"
        assert all(source.contains(text) for text in LEAKED)
        assert sum(source.contains(f"other {number}") for number in range(20_000)) < 2 * 20_000 / 256
        assert (file.entries, file.false_positive_rate, file.folded) == (2000, 1 / 256, False)
        assert not source.contains("LEAKED 7") or not source.contains("LEAKED 8")


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_every_width(tmp_path: Path, bits: int) -> None:
    build(tmp_path / "x", bits=bits)
    with BreachFile(tmp_path / "x") as file:
        assert file.false_positive_rate == 2.0**-bits
        assert all(file.contains(text) for text in LEAKED)


def test_a_folded_file_knows_any_case_and_any_normal_form(tmp_path: Path) -> None:
    build(tmp_path / "x", ["contraseña"], folded=True, bits=32)
    with BreachFile(tmp_path / "x") as file:
        for text in ("contraseña", "CONTRASEÑA", "Contrasen\u0303a"):
            assert file.contains(text)
        assert not file.contains("contrasena")


def test_pwd_07_both_normal_forms_are_one_password(tmp_path: Path) -> None:
    build(tmp_path / "x", ["é" * 9], bits=32)
    with BreachFile(tmp_path / "x") as file:
        assert file.contains(unicodedata.normalize("NFD", "é" * 9))
        assert not file.contains("É" * 9)


def test_text_that_is_no_unicode_is_no_error(path: Path) -> None:
    with BreachFile(path) as file:
        assert file.contains("\ud800 lone") in {True, False}


@given(st.sets(st.text(max_size=20), max_size=60))
def test_any_set_of_texts(tmp_path_factory: pytest.TempPathFactory, texts: set[str]) -> None:
    out = tmp_path_factory.mktemp("any") / "x"
    if not texts:
        with pytest.raises(ConfigurationError, match="empty"):
            build(out, texts)
        return
    texts = {unicodedata.normalize("NFC", text) for text in texts}
    assert build(out, texts, bits=32).entries == len(texts)
    with BreachFile(out) as file:
        assert all(file.contains(text) for text in texts)


def test_threads_share_one_file(path: Path) -> None:
    with BreachFile(path) as file:
        wrong: list[str] = []

        def ask() -> None:
            wrong.extend(text for text in LEAKED if not file.contains(text))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert not wrong


def test_it_shows_no_more_than_its_name(path: Path) -> None:
    with BreachFile(path) as file:
        assert repr(file) == "BreachFile('leaked.breach', entries=2000)"


def test_a_file_that_is_replaced_is_not_pulled_from_under_who_has_it_open(path: Path) -> None:
    with BreachFile(path) as old:
        build(path, ["something else"])
        assert all(old.contains(text) for text in LEAKED)
        with BreachFile(path) as new:
            assert new.entries == 1


# -- how it is built ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_the_way_over_the_disk_gives_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    shuffled = keys(LEAKED * 3)
    mixed = list(shuffled)
    random.Random(3).shuffle(mixed)
    one = build(tmp_path / "one")
    two = build_breach_file([array("Q", mixed[at : at + 50]) for at in range(0, 6000, 50)], tmp_path / "two")
    assert (two.entries, two.given) == (one.entries, 3 * one.given) == (2000, 6000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with BreachFile(tmp_path / "two") as file:
        assert len(file.verify()._shards) == 32
        assert all(file.contains(text) for text in LEAKED)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["one", "two"]


def test_in_memory_and_over_the_disk_are_one_file(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached_build, "_SHARD", 64)
    build(tmp_path / "one")
    request.getfixturevalue("small")
    build(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_order_within_a_part_does_not_matter_either(tmp_path: Path) -> None:
    choose = random.Random(5)
    given = [choose.getrandbits(56) for _ in range(5000)]  # the first byte is the same
    build_breach_file([array("Q", given)], tmp_path / "one")
    build_breach_file([array("Q", sorted(given, reverse=True))], tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_hashes_that_all_begin_alike_are_refused_before_they_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached_build, "MAX_KEYS", 100)
    with pytest.raises(ConfigurationError, match="begin alike"):
        build_breach_file([array("Q", range(101))], tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small")
def test_keys_that_differ_in_their_last_bits_alone(tmp_path: Path) -> None:
    build_breach_file([array("Q", range(500, 1000))], tmp_path / "x", bits=32)
    with BreachFile(tmp_path / "x") as file:
        assert [file.contains_key(key) for key in range(499, 1001)] == [False, *[True] * 500, False]


def test_a_build_that_fails_leaves_what_was_there(path: Path) -> None:
    before = path.read_bytes()

    def blocks() -> Iterable[array[int]]:
        yield keys(["x"])
        raise ConfigurationError("the second list is missing")

    with pytest.raises(ConfigurationError, match="second list"):
        build_breach_file(blocks(), path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"breach file .*none/x cannot be written \(No such file"):
        build(tmp_path / "none" / "x")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_every_worker_may_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o644


def test_progress_is_told_a_shard_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breached_build, "_SHARD", 600)
    told: list[tuple[int, int]] = []
    build(tmp_path / "x", tick=lambda done, total: told.append((done, total)))
    assert len(told) == 4
    assert told[-1] == (2000, 2000)
    assert told == sorted(told)


def test_a_large_file_takes_a_byte_and_a_quarter_an_entry_at_most(tmp_path: Path) -> None:
    built = build(tmp_path / "x", (str(number) for number in range(60_000)))
    assert built.size == (tmp_path / "x").stat().st_size
    assert built.size <= 1.25 * built.entries


# -- what is no breach file ---------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        BreachFile(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert "is missing: make it" in refusal(path)
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_bytes(b"password\n123456\n" * 40)
    assert "is no breach file: make one" in refusal(path)
    path.write_bytes(b"psbreach")
    assert "cut off in its header" in refusal(path)
    assert "is not a file" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refusal(tmp_path / "pipe")


def test_a_file_that_was_cut_or_added_to(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert "it was cut or added to" in refusal(path)
    path.write_bytes(data + b"\0")
    assert "it was cut or added to" in refusal(path)
    path.write_bytes(data[: HEADER_SIZE + 10])
    assert "it was cut or added to" in refusal(path)


def test_a_later_version_says_so(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    assert "is of version 2" in refusal(path)


def test_any_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    build(path, ["one", "two", "three"])
    data = path.read_bytes()
    front = HEADER_SIZE + 40
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        if at < front:
            refusal(path)
            continue
        with BreachFile(path) as file:
            with pytest.raises(BreachSourceUnavailable, match="is damaged: build or copy it again") as caught:
                file.contains("one")
            assert str(path) in str(caught.value)
            with pytest.raises(ConfigurationError, match="is damaged"):
                file.verify()


@pytest.mark.usefixtures("small")
def test_a_damaged_shard_answers_nothing_and_the_others_go_on(path: Path) -> None:
    build(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with BreachFile(path) as file:
        last = [text for text in LEAKED if key_of(text) >> 59 == 31]
        for text in LEAKED:
            if text in last:
                with pytest.raises(BreachSourceUnavailable):
                    file.contains(text)
            else:
                assert file.contains(text)
        assert last


@given(st.binary(max_size=400))
def test_no_bytes_at_all_are_a_traceback(data: bytes) -> None:
    with memoryview(data) as view, pytest.raises(Unreadable):
        unpack(view)


FIELDS = st.fixed_dictionaries(
    {
        "kind": st.integers(0, 255),
        "bits": st.sampled_from([0, 7, 8, 16, 24, 255]),
        "shard_bits": st.sampled_from([0, 1, 16, 17, 64, 255]),
        "folded": st.integers(0, 2),
        "digest": st.integers(0, 2),
        "zero": st.integers(0, 1),
        "entries": st.sampled_from([0, 3, 2**63]),
        "size": st.sampled_from([0, 128, 200, 2**63]),
        "offset": st.sampled_from([0, 168, 2**63]),
        "count": st.sampled_from([0, 3, 2**32 - 1]),
        "segments": st.sampled_from([0, 1, 2**32 - 1]),
        "segment_log2": st.sampled_from([0, 3, 18, 19, 2**32 - 1]),
    }
)


@given(FIELDS, st.integers(0, 300))
def test_a_hostile_header_with_a_right_check_allocates_nothing_and_is_refused(
    fields: dict[str, int], tail: int
) -> None:
    front = struct.pack(
        "<8sHBBBBBBQQQ56s",
        b"psbreach",
        1,
        *(fields[name] for name in ("kind", "bits", "shard_bits", "folded", "digest", "zero", "entries")),
        0,
        fields["size"],
        b"",
    )
    directory = struct.pack(
        "<QQIIII8s", fields["offset"], 0, fields["count"], fields["segments"], fields["segment_log2"], 0, b""
    )
    data = front + hashlib.sha256(front + directory).digest() + directory + bytes(tail)
    for text in (data, _sized(data)):
        try:
            header, shards = unpack(memoryview(text))
        except Unreadable:
            continue
        assert header.entries == sum(each.entries for each in shards)
        assert shards[-1].offset + shards[-1].size == len(text)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (10, "B", 2),  # another kind
        (11, "B", 9),
        (12, "B", 17),
        (13, "B", 2),
        (14, "B", 2),
        (15, "B", 1),
        (16, "<Q", 4),  # one entry more than the shards have
        (32, "<Q", 2**63),
        (128, "<Q", 0),  # the cells begin in the header
        (128, "<Q", 2**63),
        (144, "<I", 2),
        (148, "<I", 0),
        (148, "<I", 2),  # more cells than there are
        (148, "<I", 2**32 - 1),
        (152, "<I", 0),  # fewer
        (152, "<I", 2**32 - 1),
        (156, "<I", 1),
    ],
)
def test_any_number_that_does_not_fit_is_noticed_where_the_check_is_right(
    path: Path, at: int, form: str, value: int
) -> None:
    build(path, ["one", "two", "three"])
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, at, value)
    data[96:128] = hashlib.sha256(data[:96] + data[128:168]).digest()
    path.write_bytes(data)
    refusal(path)


def test_cells_that_are_no_shards_are_noticed_where_the_check_is_right(path: Path) -> None:
    data = bytearray(path.read_bytes() + b"more")
    struct.pack_into("<Q", data, 32, len(data))
    data[96:128] = hashlib.sha256(data[:96] + data[128:168]).digest()
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def _sized(data: bytes) -> bytes:
    """The same with its true length, and a check that is right again."""
    front = data[:32] + struct.pack("<Q", len(data)) + data[40:96]
    return front + hashlib.sha256(front + data[128:168]).digest() + data[128:]


def test_a_label_that_would_move_the_cursor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    build(path, label="\x1b[2J")
    assert "damaged" in refusal(path)
    build(path, label="from the clinic's list")
    with BreachFile(path) as file:
        assert file.label == "from the clinic's list"
    with pytest.raises(ValueError, match="56"):
        _breach_format.pack(
            _breach_format.Header(bits=8, shard_bits=0, folded=False, entries=0, min_count=0, label="x" * 57),
            [],
        )


def test_a_file_that_was_closed_says_so() -> None:
    with Bundled() as source:
        assert source.contains("password1")
    for each in ("password1", "lantern orbit velvet cactus"):
        with pytest.raises(BreachSourceUnavailable, match="was closed"):
            source.contains(each)
