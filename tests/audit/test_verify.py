from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.audit import verify as module
from portalsec.audit.checkpoint import Checkpoint, Ed25519Signer, Verifier, sign_checkpoint
from portalsec.audit.merkle import leaf_hash, tree_root
from portalsec.audit.ports import StoredCheckpoint, StoredEntry
from portalsec.audit.reports import recent, who_has_seen
from portalsec.audit.verify import Kind, Report, verify
from portalsec.errors import StoreError, Tampered
from portalsec.stores.memory import MemoryAudit
from portalsec.testing import FrozenClock, SequentialIds
from tests.audit.support import ORIGIN, SIGNER, VAULT, VERIFIER, OpenStore, fill, make_log, read_event


def filled(count: int = 12, *, every: int = 4) -> OpenStore:
    """12 entries and checkpoints at 4, 8 and 12."""
    store = OpenStore()
    fill(make_log(store), count, checkpoint_every=every)
    return store


def check(store: Any, anchor: str | None = None) -> Report:
    return verify(store, verifier=VERIFIER, anchor=anchor)


def found(report: Report) -> list[tuple[Kind, int | None, int | None]]:
    return [(problem.kind, problem.start, problem.stop) for problem in report.problems]


def rehash(store: OpenStore, index: int, old: bytes, new: bytes) -> None:
    body = store.rows[index].body.replace(old, new)
    assert body != store.rows[index].body
    store.rows[index] = StoredEntry(index=index, body=body, leaf=leaf_hash(body))


@pytest.mark.parametrize("kind", [OpenStore, MemoryAudit])
def test_an_honest_log_is_ok(kind: Any) -> None:
    store = kind()
    log = make_log(store)
    fill(log, 10, checkpoint_every=4)
    anchor = store.checkpoints()[-1].note
    fill(log, 1)
    log.integrate()
    fill(log, 2)
    report = check(store, anchor)
    assert report.ok
    assert report.conclusive
    assert (report.size, report.staged, report.checkpoints) == (11, 2, 2)
    assert (report.covered, report.anchored) == (8, 8)
    assert report.problems == ()
    assert "8 to 10" in report.unprotected[0]
    assert "2 entries wait" in report.unprotected[1]


def test_a_wholly_covered_log_has_nothing_unprotected() -> None:
    store = filled()
    report = check(store, store.notes[-1].note)
    assert report.ok
    assert report.unprotected == ()


def test_what_cannot_be_said_is_said() -> None:
    store = filled()
    assert "older copy" in check(store).unprotected[0]
    unsigned = OpenStore()
    log = make_log(unsigned)
    fill(log, 3)
    log.integrate()
    report = check(unsigned)
    assert report.ok
    assert not report.conclusive


def test_an_empty_log_that_nothing_vouches_for_cannot_be_told_from_an_emptied_one() -> None:
    empty = check(OpenStore())
    assert empty.ok
    assert not empty.conclusive
    root = tree_root([])
    opened = sign_checkpoint(Checkpoint(origin=ORIGIN, size=0, root=root), SIGNER)
    vouched = check(OpenStore(), opened)
    assert (vouched.found, vouched.conclusive, vouched.anchored) == (0, True, 0)
    waiting = OpenStore()
    fill(make_log(waiting), 1)
    assert not check(waiting, opened).conclusive


def unsigned(*minutes: float, staged: bool = False) -> OpenStore:
    """Four signed entries at 0 minutes, then one at each of ``minutes``, which nobody signed."""
    clock, store = FrozenClock(), OpenStore()
    log = make_log(store, clock=clock)
    fill(log, 4, checkpoint_every=4)
    now = timedelta(0)
    for each in minutes:
        clock.advance(timedelta(minutes=each) - now)
        now = timedelta(minutes=each)
        fill(log, 1)
        if not staged:
            log.integrate()
    return store


@pytest.mark.parametrize("staged", [False, True])
def test_auz_07_entries_that_stay_unsigned_are_not_vouched_for(staged: bool) -> None:
    """Where signing has stopped, everything since can be cut or edited: that must not look like a log in order."""
    start = FrozenClock()()
    assert check(unsigned(1, 11, staged=staged)).conclusive
    report = check(unsigned(1, 11.1, staged=staged))
    assert report.ok
    assert not report.conclusive
    assert report.overdue == start + timedelta(minutes=1)
    assert any("signing has stopped" in note for note in report.unprotected)
    # By the newest entry's time, or by a time that is given.
    store = unsigned(1, staged=staged)
    for now, conclusive in ((11, True), (11.1, False)):
        report = verify(store, verifier=VERIFIER, anchor=None, now=start + timedelta(minutes=now))
        assert report.conclusive is conclusive
    late = start + timedelta(minutes=20)
    assert verify(
        store, verifier=VERIFIER, anchor=None, now=late, unsigned_limit=timedelta(hours=1)
    ).conclusive


def test_a_wholly_signed_log_is_never_overdue() -> None:
    store = filled()
    year = FrozenClock()() + timedelta(days=365)
    report = verify(store, verifier=VERIFIER, anchor=None, now=year)
    assert report.conclusive
    assert report.overdue is None


@pytest.mark.parametrize("index", range(12))
def test_an_edited_line_is_named_exactly_and_nothing_else(index: int) -> None:
    store = filled()
    row = store.rows[index]
    store.rows[index] = replace(row, body=row.body.replace(b"account-7", b"account-8"))
    report = check(store, store.notes[-1].note)
    assert found(report) == [(Kind.ENTRY, index, index + 1)]
    assert report.problems[0].id is not None
    assert report.problems[0].id in row.body.decode()
    assert report.covered == 12  # the stored hashes are those that were signed: only this line is not


@pytest.mark.parametrize("index", range(12))
def test_an_edited_hash_is_named_exactly(index: int) -> None:
    store = filled()
    store.rows[index] = replace(store.rows[index], leaf=bytes(32))
    assert found(check(store)) == [(Kind.ENTRY, index, index + 1)]


@pytest.mark.parametrize("index", range(12))
def test_an_edit_that_fits_its_hash_is_narrowed_to_its_checkpoint(index: int) -> None:
    store = filled()
    rehash(store, index, b"account-7", b"account-8")
    start = index // 4 * 4
    report = check(store)
    assert found(report) == [(Kind.CHANGED, start, start + 4)]
    assert report.covered == start


def test_both_trees_at_once() -> None:
    """One line edited, another's hash edited, before one checkpoint: both named, and the root fits neither."""
    store = filled()
    store.rows[1] = replace(store.rows[1], body=store.rows[1].body.replace(b"account-7", b"account-8"))
    store.rows[2] = replace(store.rows[2], leaf=bytes(32))
    assert found(check(store)) == [
        (Kind.ENTRY, 1, 2),
        (Kind.ENTRY, 2, 3),
        (Kind.CHANGED, 0, 4),
    ]


def test_edits_before_two_checkpoints_are_both_named() -> None:
    store = filled()
    store.rows[1] = replace(store.rows[1], body=store.rows[1].body.replace(b"account-7", b"account-8"))
    store.rows[6] = replace(store.rows[6], leaf=bytes(32))
    assert found(check(store)) == [(Kind.ENTRY, 1, 2), (Kind.ENTRY, 6, 7)]


@pytest.mark.parametrize("index", range(11))
def test_a_missing_entry_is_named(index: int) -> None:
    store = filled()
    del store.rows[index]
    report = check(store)
    assert (Kind.MISSING, index, index + 1) in found(report)
    assert report.covered == index // 4 * 4


def test_a_missing_range_is_one_finding() -> None:
    store = filled()
    for index in range(3, 9):
        del store.rows[index]
    assert found(check(store)) == [(Kind.MISSING, 3, 9)]
    assert "Entries 3 to 8" in check(store).problems[0].text


def test_everything_missing_but_the_last() -> None:
    store = filled()
    for index in range(11):
        del store.rows[index]
    assert found(check(store)) == [(Kind.MISSING, 0, 11)]


def test_an_entry_closed_over_is_narrowed_to_its_checkpoint() -> None:
    """Entry 5 is removed and the rest moves up, index and all: as if it never was."""
    store = filled()
    for index in range(5, 11):
        store.rows[index] = replace(store.rows[index + 1], index=index)
    del store.rows[11]
    store.index = [(i - (i > 5), who) for i, who in store.index if i != 5]
    assert found(check(store)) == [(Kind.CHANGED, 4, 8), (Kind.MISSING, 11, 12)]


def test_a_cut_end_is_named_by_checkpoint_and_anchor() -> None:
    store = filled()
    anchor = store.notes[-1].note
    for index in (10, 11):
        del store.rows[index]
    assert (Kind.MISSING, 10, 12) in found(check(store))
    store.notes.pop()
    store.index = [(i, who) for i, who in store.index if i < 10]
    assert check(store).ok  # from the inside it is whole
    report = check(store, anchor)
    assert (Kind.MISSING, 10, 12) in found(report)
    assert any("the anchor had signed 12" in problem.text for problem in report.problems)


def test_a_removed_checkpoint_is_found_by_the_anchor() -> None:
    store = filled()
    anchor = store.notes.pop().note
    report = check(store, anchor)
    assert [problem.kind for problem in report.problems] == [Kind.CHECKPOINT]
    assert report.covered == 12


def test_a_forged_checkpoint_does_not_vouch() -> None:
    """All of it rewritten, and signed by a key of the intruder's own."""
    store = filled()
    rehash(store, 2, b"account-7", b"account-8")
    stranger = Ed25519Signer.generate(ORIGIN)
    for number, kept in enumerate(store.notes):
        root = tree_root(store.rows[n].leaf for n in range(kept.size))
        note = sign_checkpoint(Checkpoint(origin=ORIGIN, size=kept.size, root=root), stranger)
        store.notes[number] = StoredCheckpoint(size=kept.size, note=note)
    report = check(store)
    assert [problem.kind for problem in report.problems] == [Kind.CHECKPOINT] * 3
    assert report.covered == 0
    assert not report.conclusive


def test_a_checkpoint_kept_under_another_size_or_twice() -> None:
    store = filled()
    store.notes[0] = StoredCheckpoint(size=5, note=store.notes[0].note)
    store.notes[2] = StoredCheckpoint(size=12, note=store.notes[1].note)
    texts = [problem.text for problem in check(store).problems]
    assert "kept as of size 5) is of size 4" in texts[0]
    assert "kept twice" in texts[2]


def test_a_damaged_or_strange_anchor_is_found() -> None:
    store = filled()
    for anchor in ("", "nonsense", store.notes[-1].note.replace("12", "13")):
        report = check(store, anchor)
        assert [problem.kind for problem in report.problems] == [Kind.ANCHOR]
        assert report.anchored is None


def test_the_wrong_key_is_never_ok() -> None:
    store = filled()
    other = Verifier.from_text(Ed25519Signer.generate(ORIGIN).verifier_text)
    assert not verify(store, verifier=other, anchor=None).ok


def test_the_subject_index_is_built_again() -> None:
    store = filled()
    missing = store.index.pop(0)
    store.index.append((3, "0" * 32))  # entry 3 is a sign-in, about nobody
    store.index.append((99, "0" * 32))
    report = check(store)
    assert found(report) == [
        (Kind.INDEX, missing[0], missing[0] + 1),
        (Kind.INDEX, 3, 4),
        (Kind.INDEX, 99, 100),
    ]
    assert report.problems[0].id is not None


def test_an_id_beside_the_body_is_compared() -> None:
    store = filled()
    store.rows[2] = replace(store.rows[2], id="another")
    assert found(check(store)) == [(Kind.ENTRY, 2, 3)]


def test_waiting_entries_are_checked_too() -> None:
    store = filled()
    log = make_log(store, new_id=SequentialIds(start=50))
    log.record_many([read_event(f"p{n}") for n in range(5)])
    good = list(store.waiting)
    assert check(store).ok
    store.waiting[0] = replace(good[0], body=good[0].body.replace(b"TREAT", b"PATRQ"))
    store.waiting[1] = replace(good[1], leaf=bytes(32))
    store.waiting[2] = replace(good[2], subjects=("0" * 32,))
    store.waiting[3] = replace(good[3], id="another")
    store.waiting[4] = replace(good[4], body=b"{}", leaf=leaf_hash(b"{}"))
    report = check(store)
    assert [problem.kind for problem in report.problems] == [Kind.STAGED] * 5
    assert [problem.id for problem in report.problems] == [
        good[0].id,
        good[1].id,
        good[2].id,
        "another",
        good[4].id,
    ]


def test_a_line_that_fits_its_hash_and_is_no_record() -> None:
    store = filled()
    store.rows[11] = StoredEntry(index=11, body=b"{}", leaf=leaf_hash(b"{}"))
    assert (Kind.ENTRY, 11, 12) in found(check(store))


def test_the_portal_may_write_meanwhile() -> None:
    """Entries and a checkpoint that arrive during the run are no findings."""
    store = filled()
    log = make_log(store, new_id=SequentialIds(start=50))

    def grow(done: int, size: int) -> None:
        fill(log, 3)
        log.checkpoint()

    report = verify(store, verifier=VERIFIER, anchor=store.notes[-1].note, progress=grow)
    assert report.ok
    assert report.size == 12
    assert store.size() == 15


def test_reads_in_batches_and_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(OpenStore):
        asked: list[tuple[int, int]]

        def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
            self.asked.append((start, stop))
            return super().read(start, stop)

    store = Counting()
    store.asked = []
    monkeypatch.setattr(module, "_BATCH", 5)
    log = make_log(store)
    fill(log, 12)
    log.checkpoint()
    store.asked.clear()
    told: list[tuple[int, int]] = []
    report = verify(
        store, verifier=VERIFIER, anchor=None, progress=lambda done, size: told.append((done, size))
    )
    assert report.ok
    assert store.asked == [(0, 5), (5, 10), (10, 12)]
    assert told == [(5, 12), (10, 12), (12, 12)]


def test_changes_across_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 5)
    store = filled()
    for index in (4, 5, 6):
        del store.rows[index]
    assert found(check(store)) == [(Kind.MISSING, 4, 7)]


class Holed(OpenStore):
    """A store that cannot read some rows, as with a damaged page."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.bad: set[int] = set()

    def read(self, start: int, stop: int) -> Sequence[StoredEntry]:
        if self.bad & set(range(start, stop)):
            raise self.error
        return super().read(start, stop)


@pytest.mark.parametrize(
    "error", [StoreError("page"), TypeError("text"), ValueError("json"), Tampered("row")]
)
def test_a_row_that_cannot_be_read_is_named(error: Exception) -> None:
    store = Holed(error)
    fill(make_log(store), 12, checkpoint_every=4)
    store.bad = {6}
    assert found(check(store)) == [(Kind.ENTRY, 6, 7)]


def test_an_index_raised_to_a_huge_number_does_not_hang() -> None:
    store = filled()
    for old, new in ((11, 2**60), (6, 2**50), (5, 2**50 + 7)):
        store.rows[new] = replace(store.rows.pop(old), index=new)
    report = check(store)
    assert [item for item in found(report) if item[0] is Kind.MISSING] == [
        (Kind.MISSING, 5, 7),
        (Kind.MISSING, 11, 2**50),
        (Kind.MISSING, 2**50 + 1, 2**50 + 7),
        (Kind.MISSING, 2**50 + 8, 2**60),
    ]


@pytest.mark.parametrize("index", [-1, -7, -(2**40)])
def test_auz_07_an_entry_before_the_first_is_found(index: int) -> None:
    """No root covers it, and a report would show it."""
    store = filled()
    body = store.rows[3].body.replace(b"account-7", b"account-8")
    store.rows[index] = StoredEntry(index=index, body=body, leaf=leaf_hash(body))
    store.index.append((index, VAULT.pseudonym("patient-1")))
    report = check(store, store.notes[-1].note)
    assert (Kind.ENTRY, index, index + 1) in found(report)
    assert (Kind.INDEX, index, index + 1) in found(report)
    assert not report.ok
    log = make_log(store)
    for ask in (lambda: recent(log, limit=100), lambda: who_has_seen(log, "patient-1")):
        with pytest.raises(Tampered, match="before the first"):
            ask()


def test_auz_07_many_entries_before_the_first_are_bounded() -> None:
    store = filled()
    for index in range(-3000, 0):
        store.rows[index] = replace(store.rows[3], index=index)
    report = check(store)
    assert len(report.problems) <= 1000
    assert report.problems[0].start == -1


def test_a_store_that_is_down_is_no_finding() -> None:
    store = Holed(StoreError("down"))
    fill(make_log(store), 12, checkpoint_every=4)
    store.bad = set(range(12))
    with pytest.raises(StoreError):
        check(store)


def test_findings_are_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PROBLEMS", 3)
    store = filled()
    for index in range(12):
        store.rows[index] = replace(store.rows[index], leaf=bytes(32))
    report = check(store)
    assert len(report.problems) == 3
    assert report.found == 12
    assert not report.ok


def test_the_signer_is_not_needed() -> None:
    store = filled()
    assert verify(store, verifier=Verifier.from_text(SIGNER.verifier_text), anchor=None).ok
