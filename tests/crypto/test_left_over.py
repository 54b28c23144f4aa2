"""What lies in a person's column and is not under the person's key: found, taken over, and never called erased."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.legacy import Plaintext, TinkReader
from portalsec.crypto.rotation import Encrypt, RebuildIndex, Reencrypt, Reencryption
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import DecryptionError, SubjectErased
from portalsec.events import SYSTEM
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents, FrozenClock
from tests.crypto.cell_memory import MemoryCells

OLD = Keyset.generate("AES256_GCM")
CONTEXT = b"the old application"
IN_THE_CLEAR = b"\x01\x02\x03 in the clear"


@pytest.fixture
def keys() -> SubjectKeys:
    return SubjectKeys(
        MemorySubjectKeys(),
        keys=Keyset.generate("AES256_GCM"),
        clock=FrozenClock(),
        emit=CapturedEvents(),
    )


def field(keys: SubjectKeys, **options: Any) -> EncryptedField[Any, Any]:
    legacy = [
        TinkReader(OLD, associated_data=CONTEXT),
        Plaintext(until=date(2099, 1, 1), clock=FrozenClock()),
    ]
    return EncryptedField(
        keys, **{"table": "notes", "column": "text", "type": bytes, "legacy": legacy, **options}
    )


def old(value: bytes) -> bytes:
    return OLD.aead().encrypt(value, CONTEXT)


def test_legacy_data_that_begin_as_a_cell_does_are_taken_over(keys: SubjectKeys) -> None:
    declared = field(keys)
    rows = {
        1: {"cell": declared.encrypt(b"new", row=1, subject="ann"), "subject": "ann"},
        2: {"cell": old(b"old"), "subject": "ann"},
        3: {"cell": IN_THE_CLEAR, "subject": "ann"},
        4: {"cell": old(b"of somebody without a key"), "subject": "bob"},
        5: {"cell": None, "subject": "ann"},
    }
    mine = rows[1]["cell"]
    assert not declared.needs_reencrypt(mine, "ann")
    for number in (2, 3):
        assert declared.needs_reencrypt(rows[number]["cell"], "ann")
    assert declared.needs_reencrypt(mine, "bob"), "another person's"
    assert declared.needs_reencrypt(mine), "nobody said whose it is"
    assert not declared.needs_reencrypt(None)

    work = Reencryption(MemoryCells(["cell"], rows), [Reencrypt(field=declared, column="cell")])
    assert [(found.current, found.unknown) for found in work.remaining()] == [(1, 3)]
    *_, progress = work.run()
    assert (progress.changed, progress.failed) == (3, 0)
    assert [(found.current, found.unknown) for found in work.remaining()] == [(4, 0)]
    assert rows[1]["cell"] == mine
    plain = field(keys, legacy=())
    for number, value in ((1, b"new"), (2, b"old"), (3, IN_THE_CLEAR)):
        assert plain.decrypt(rows[number]["cell"], row=number, subject="ann") == value
    keys.shred("ann", actor=SYSTEM)
    for number in (1, 2, 3):
        with pytest.raises(SubjectErased):
            declared.decrypt(rows[number]["cell"], row=number, subject="ann")


@pytest.mark.parametrize("text", [False, True])
def test_of_an_erased_subject_no_reader_is_asked(keys: SubjectKeys, text: bool) -> None:
    declared = field(keys, text=text)
    keys.shred("ann", actor=SYSTEM)
    for stored in ("no base64url!", "note") if text else (b"note", IN_THE_CLEAR, old(b"old")):
        for open_it in (
            lambda: declared.decrypt(stored, row=1, subject="ann"),  # noqa: B023
            lambda: declared.reencrypt(stored, row=1, subject="ann"),  # noqa: B023
            lambda: declared.decrypt_many([stored], [1], subject="ann"),  # noqa: B023
        ):
            with pytest.raises(SubjectErased):
                open_it()
    assert set(declared.legacy_counts.values()) == {0}


class Tags:
    def tag_many(self, values: Any, tenant: str | None = None) -> list[bytes | None]:
        return [b"tag" for _ in values]


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_the_erased_key_did_not_seal_is_a_failure(keys: SubjectKeys, rebuild: bool) -> None:
    declared = field(keys)
    rows = {
        1: {"cell": declared.encrypt(b"new", row=1, subject="ann"), "subject": "ann", "tag": None},
        2: {"cell": old(b"old"), "subject": "ann", "tag": None},
        3: {"cell": b"in the clear", "subject": "ann", "tag": None},
        4: {"cell": old(b"of somebody without a key"), "subject": "bob", "tag": None},
    }
    before = {number: dict(row) for number, row in rows.items()}
    for who in ("ann", "bob"):
        keys.shred(who, actor=SYSTEM)
    tasks: list[Any] = [Reencrypt(field=declared, column="cell")]
    if rebuild:
        tasks.append(RebuildIndex(field=declared, column="cell", tags={"tag": Tags()}))
    work = Reencryption(MemoryCells(["cell", "tag"], rows), tasks)
    *_, progress = work.run()
    assert {(failure.key, failure.reason) for failure in progress.failures} == {
        ((number,), "erased_in_the_clear") for number in (2, 3, 4)
    }
    assert progress.erased == rebuild, "her own cell is noise, and no failure"
    assert rows == before
    found = work.remaining(tags=False)[0]
    assert (found.current, found.left) == (1, 3)


@pytest.mark.parametrize("clear", [False, True])
def test_plaintext_of_an_erased_subject_is_no_success(keys: SubjectKeys, clear: bool) -> None:
    sealed = EncryptedField[str](keys, table="notes", column="text")
    rows: dict[Any, dict[str, Any]] = {
        1: {"plain": "of the living", "cell": None, "subject": "bob"},
        2: {"plain": "of the erased", "cell": None, "subject": "ann"},
        3: {"plain": "of both", "cell": sealed.encrypt("of both", row=3, subject="ann"), "subject": "ann"},
    }
    keys.shred("ann", actor=SYSTEM)
    task = Encrypt(field=sealed, source="plain", column="cell", clear=clear)
    work = Reencryption(MemoryCells(["plain", "cell"], rows), [task])
    assert [(found.column, found.left) for found in work.remaining()] == [
        ("cell", 0),
        ("plain", 3 if clear else 2),
    ]
    *_, progress = work.run()
    assert [(failure.key, failure.reason) for failure in progress.failures] == [
        ((2,), "erased_in_the_clear"),
        ((3,), "erased_in_the_clear"),
    ]
    assert progress.erased == 0
    assert (rows[2]["plain"], rows[3]["plain"]) == ("of the erased", "of both"), "not destroyed unasked"
    assert work.remaining()[1].left == (2 if clear else 1)
    assert not work.remaining()[1].done


def test_a_key_that_does_not_open_leaves_the_answer_to_the_opening(keys: SubjectKeys) -> None:
    declared = field(keys)
    cell = declared.encrypt(b"value", row=1, subject="ann")
    elsewhere = SubjectKeys(
        keys.store, keys=Keyset.generate("AES256_GCM"), clock=FrozenClock(), emit=CapturedEvents()
    )
    assert field(elsewhere).needs_reencrypt(cell, "ann")
    with pytest.raises(DecryptionError):
        field(elsewhere).reencrypt(cell, row=1, subject="ann")
