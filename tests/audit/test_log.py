from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Checkpoint, Ed25519Signer, sign_checkpoint
from portalsec.audit.merkle import leaf_hash, tree_root
from portalsec.audit.ports import AuditStore, Entry, StoredCheckpoint, StoredEntry
from portalsec.audit.record import decode
from portalsec.errors import AuditUnavailable, ConfigurationError, StoreError, Tampered
from portalsec.events import Event, Purpose, SecurityEvent
from portalsec.stores.memory import MemoryAudit
from portalsec.testing import FrozenClock, SequentialIds
from tests.audit.support import ORIGIN, SIGNER, VAULT, VERIFIER, OpenStore, fill, make_log, read_event


@pytest.fixture(params=[OpenStore, MemoryAudit])
def store(request: pytest.FixtureRequest) -> Any:
    return request.param()


class Broken(OpenStore):
    """Fails where a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.down: set[str] = set()

    def _guard(self, verb: str) -> None:
        if verb in self.down:
            raise StoreError(f"{verb} failed") from OSError(5, "Input/output error")

    def append(self, entries: Sequence[Entry]) -> None:
        self._guard("append")
        super().append(entries)

    def integrate(self) -> int:
        self._guard("integrate")
        return super().integrate()

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        self._guard("save_checkpoint")
        return super().save_checkpoint(checkpoint)


# -- recording ----------------------------------------------------------------------------------------------------


def test_a_record_is_kept_byte_for_byte(store: AuditStore) -> None:
    clock = FrozenClock()
    log = make_log(store, clock=clock)
    receipt = log.record(read_event())
    assert store.size() == 0  # appended, not placed: recording takes no order
    (entry,) = store.staged()
    assert entry.id == receipt.id == SequentialIds()()
    assert entry.leaf == leaf_hash(entry.body)
    assert entry.subjects == (VAULT.pseudonym("patient-1"),)
    record = decode(entry.body)
    assert (record.id, record.at) == (receipt.id, clock()) == (receipt.id, receipt.at)


def test_many_subjects_become_several_records_of_one_receipt(store: AuditStore) -> None:
    log = make_log(store)
    everyone = tuple(f"patient-{n}" for n in range(600))
    receipt = log.record(SecurityEvent(name=Event.RECORD_LISTED, subjects=everyone, purpose=Purpose.HOPERAT))
    entries = store.staged()
    assert len(entries) == len(receipt.ids) == 3
    named = [subject for entry in entries for subject in decode(entry.body).subjects]
    assert named == [VAULT.pseudonym(subject) for subject in everyone]


def test_record_many_is_one_append() -> None:
    store = OpenStore()
    receipts = make_log(store).record_many([read_event("a"), read_event("b")])
    assert store.calls == ["append"]
    assert [receipt.id for receipt in receipts] == [entry.id for entry in store.waiting]
    make_log(store).record_many([])
    assert store.calls == ["append"]


def test_one_bad_event_of_many_stores_none(store: AuditStore) -> None:
    with pytest.raises(ConfigurationError):
        make_log(store).record_many([read_event(), SecurityEvent(name="no.such")])
    assert not store.staged()


def test_a_store_that_fails_is_audit_unavailable_with_its_cause() -> None:
    store = Broken()
    store.down = {"append"}
    with pytest.raises(AuditUnavailable) as caught:
        make_log(store).emit(read_event())
    assert isinstance(caught.value.__cause__, StoreError)
    assert "patient-1" not in str(caught.value)


def test_a_vault_that_fails_is_audit_unavailable() -> None:
    class Down:
        def pseudonym(self, subject_id: str) -> str:
            raise StoreError("down")

        def pseudonyms(self, subject_id: str) -> tuple[str, ...]:
            raise StoreError("down")

    with pytest.raises(AuditUnavailable):
        make_log(OpenStore(), vault=Down()).record(read_event())


def test_a_key_of_another_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="use the key of this log"):
        make_log(OpenStore(), signer=Ed25519Signer.generate("other.test"))


def test_anchors_without_a_signer_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="give the log a signer"):
        make_log(OpenStore(), signer=None, anchors=[FileAnchor(tmp_path / "a")])


# -- checkpoints --------------------------------------------------------------------------------------------------


def test_a_checkpoint_covers_everything_recorded(store: AuditStore) -> None:
    log = make_log(store)
    fill(log, 5)
    note = log.checkpoint()
    assert note is not None
    checkpoint = VERIFIER.verify(note)
    assert checkpoint.size == 5
    assert checkpoint.root == tree_root(entry.leaf for entry in store.read(0, 5))
    assert list(store.checkpoints()) == [StoredCheckpoint(size=5, note=note)]


def test_no_news_no_checkpoint(store: AuditStore) -> None:
    log = make_log(store)
    assert log.checkpoint() is None
    fill(log, 1)
    assert log.checkpoint() is not None
    assert log.checkpoint() is None
    assert make_log(store).checkpoint() is None


def test_without_a_signer_entries_are_placed_and_nothing_is_signed(store: AuditStore) -> None:
    log = make_log(store, signer=None)
    fill(log, 3)
    assert log.checkpoint() is None
    assert store.size() == 3
    assert not store.checkpoints()


@given(st.lists(st.integers(0, 7), max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
def test_checkpoints_over_restarts_are_those_of_one_tree(steps: list[int], restarts: list[bool]) -> None:
    store, new_id = OpenStore(), SequentialIds()
    log = make_log(store, new_id=new_id)
    for step, restart in zip(steps, restarts, strict=False):
        if restart:
            log = make_log(store, new_id=new_id)
        fill(log, step)
        log.checkpoint()
    leaves = [store.rows[index].leaf for index in range(store.size())]
    assert sum(steps) == store.size()
    for kept in store.notes:
        assert VERIFIER.verify(kept.note).root == tree_root(leaves[: kept.size])
    assert [kept.size for kept in store.notes] == sorted(
        {sum(steps[: n + 1]) for n in range(len(steps))} - {0}
    )


def test_the_order_is_durable_then_signed_then_kept_then_anchored(tmp_path: Path) -> None:
    """A signature over what may still vanish would accuse an honest log after a crash."""
    store = OpenStore()

    class Spy:
        name, key_id, verifier_text = SIGNER.name, SIGNER.key_id, SIGNER.verifier_text

        def sign(self, message: bytes) -> bytes:
            store.calls.append("sign")
            return SIGNER.sign(message)

    class SpyAnchor:
        def read(self) -> str | None:
            return None

        def publish(self, note: str) -> None:
            store.calls.append("publish")

    log = make_log(store, signer=Spy(), anchors=[SpyAnchor()])
    log.resume()
    assert store.calls == ["sign", "publish", "integrate"]  # an anchor is opened before anything is kept
    store.calls.clear()
    log.record(read_event())
    log.checkpoint()
    after_append = [call for call in store.calls if call != "integrate"]
    assert after_append == ["append", "sign", "save_checkpoint", "publish"]
    assert store.calls.index("integrate") < store.calls.index("sign")


def test_a_failure_between_the_steps_is_made_good_by_the_next_call(tmp_path: Path) -> None:
    store = Broken()
    anchor = FileAnchor(tmp_path / "folder" / "checkpoint")
    log = make_log(store)
    fill(log, 2)
    for verb in ("integrate", "save_checkpoint"):
        store.down = {verb}
        with pytest.raises(StoreError):
            log.checkpoint()
        assert not store.notes
    store.down = set()
    assert log.checkpoint() is not None

    log = make_log(store, anchors=[anchor], new_id=SequentialIds(start=50))
    log.adopt_anchors()
    fill(log, 1)
    shutil.rmtree(tmp_path / "folder")
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(StoreError):
        log.checkpoint()
    (tmp_path / "folder").unlink()
    log.checkpoint()
    assert anchor.read() == store.notes[-1].note
    assert VERIFIER.verify(store.notes[-1].note).size == 3


def test_every_anchor_is_tried_before_the_first_failure_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    broken, good = FileAnchor(tmp_path / "ok"), FileAnchor(tmp_path / "good")
    store = OpenStore()
    log = make_log(store, anchors=[broken, good])
    log.resume()
    broken.path.unlink()
    broken.path.mkdir()
    fill(log, 1)
    with pytest.raises(StoreError):
        log.checkpoint()
    assert good.read() == store.notes[-1].note


def test_two_processes_share_one_log() -> None:
    store, new_id = OpenStore(), SequentialIds()
    one, two = make_log(store, new_id=new_id), make_log(store, new_id=new_id)
    fill(one, 2)
    assert one.checkpoint() is not None
    fill(two, 3)
    assert two.checkpoint() is not None
    fill(one, 1)
    note = one.checkpoint()
    assert note is not None
    assert VERIFIER.verify(note).size == 6


class Raced(OpenStore):
    """Another process keeps its checkpoint just before ours."""

    rival: StoredCheckpoint | None = None

    def save_checkpoint(self, checkpoint: StoredCheckpoint) -> bool:
        if self.rival is not None:
            self.notes.append(self.rival)
            self.rival = None
        return super().save_checkpoint(checkpoint)


def test_a_lost_race_signs_nothing_and_the_winner_is_published(tmp_path: Path) -> None:
    store = Raced()
    anchor = FileAnchor(tmp_path / "checkpoint")
    log = make_log(store, anchors=[anchor])
    fill(log, 2)
    twin = make_log(store)
    store.integrate()
    root = tree_root(store.rows[n].leaf for n in range(2))
    rival = sign_checkpoint(Checkpoint(origin=ORIGIN, size=2, root=root), SIGNER)
    store.rival = StoredCheckpoint(size=2, note=rival)
    assert log.checkpoint() is None
    assert anchor.read() == rival
    fill(twin, 1)
    assert log.checkpoint() is not None


def test_a_rival_with_another_root_is_an_alarm() -> None:
    store = Raced()
    log = make_log(store)
    fill(log, 2)
    rival = sign_checkpoint(Checkpoint(origin=ORIGIN, size=2, root=bytes(32)), SIGNER)
    store.rival = StoredCheckpoint(size=2, note=rival)
    with pytest.raises(Tampered, match="different roots"):
        log.checkpoint()


# -- what is never signed -----------------------------------------------------------------------------------------


def rehashed(entry: StoredEntry, body: bytes) -> StoredEntry:
    return StoredEntry(index=entry.index, body=body, leaf=leaf_hash(body))


def signed_store(count: int = 6) -> OpenStore:
    store = OpenStore()
    log = make_log(store)
    fill(log, count)
    log.checkpoint()
    return store


def test_auz_07_a_shrunken_log_is_not_signed() -> None:
    store = signed_store()
    del store.rows[5]
    log = make_log(store)
    for _ in range(2):  # and not on the second try either
        with pytest.raises(Tampered, match="entries 5 to 5"):
            log.checkpoint()
    with pytest.raises(Tampered):
        log.resume()
    assert len(store.notes) == 1


def test_auz_07_a_log_that_shrinks_while_we_run_is_not_signed() -> None:
    store = OpenStore()
    log = make_log(store)
    fill(log, 6)
    log.checkpoint()
    del store.rows[5]
    with pytest.raises(Tampered, match="cut short"):
        log.checkpoint()
    # Nor when it grows over the hole again.
    fill(make_log(store, new_id=SequentialIds(start=99)), 3)
    with pytest.raises(Tampered):
        make_log(store).checkpoint()


def test_auz_07_an_edited_prefix_is_not_signed() -> None:
    store = signed_store()
    store.rows[2] = rehashed(store.rows[2], store.rows[2].body.replace(b"TREAT", b"PATRQ"))
    fill(make_log(store, new_id=SequentialIds(start=50)), 1)
    with pytest.raises(Tampered, match="first 6 entries"):
        make_log(store).checkpoint()
    assert len(store.notes) == 1


def test_auz_07_an_edited_line_among_the_new_is_not_signed() -> None:
    store = signed_store()
    log = make_log(store, new_id=SequentialIds(start=50))
    fill(log, 2)
    store.integrate()
    entry = store.rows[7]
    store.rows[7] = StoredEntry(index=7, body=entry.body.replace(b"TREAT", b"PATRQ"), leaf=entry.leaf)
    if store.rows[7].body == entry.body:
        pytest.fail("the edit changed nothing")
    with pytest.raises(Tampered, match="entry 7"):
        log.checkpoint()


def test_auz_07_a_gap_is_not_signed() -> None:
    store = signed_store()
    log = make_log(store, new_id=SequentialIds(start=50))
    fill(log, 3)
    store.integrate()
    del store.rows[7]
    with pytest.raises(Tampered, match="entry 7 is missing"):
        log.checkpoint()


def test_auz_07_an_older_copy_does_not_overwrite_the_anchor(tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "checkpoint")
    store = OpenStore()
    log = make_log(store, anchors=[anchor])
    fill(log, 3)
    log.checkpoint()
    older = (dict(store.rows), list(store.index), list(store.notes))
    fill(log, 3)
    log.checkpoint()
    evidence = anchor.read()
    store.rows, store.index, store.notes = older
    with pytest.raises(Tampered, match="which the anchor had signed"):
        make_log(store, anchors=[anchor]).checkpoint()
    # Grown past the anchor's size again, it is still another log.
    fill(make_log(store, new_id=SequentialIds(start=70)), 5)
    with pytest.raises(Tampered, match="not the anchor's"):
        make_log(store, anchors=[anchor]).checkpoint()
    assert anchor.read() == evidence


def test_auz_07_an_anchor_that_was_removed_is_missed_at_the_next_start(tmp_path: Path) -> None:
    """An older copy put back, and the anchor that would tell taken away."""
    path = tmp_path / "checkpoint"
    store = OpenStore()
    log = make_log(store, anchors=[FileAnchor(path)])
    fill(log, 3)
    log.checkpoint()
    path.unlink()
    log = make_log(store, anchors=[FileAnchor(path)], new_id=SequentialIds(start=50))
    for verb in (log.resume, log.checkpoint, log.resume):
        with pytest.raises(Tampered, match=r"is missing.*adopt"):
            verb()
    fill(log, 1)
    with pytest.raises(Tampered):
        log.checkpoint()
    assert not path.exists()
    assert len(store.notes) == 1
    # Somebody looked, and says so.
    assert log.adopt_anchors() == 3
    assert VERIFIER.verify(path.read_text()).size == 3
    assert log.checkpoint() is not None
    assert VERIFIER.verify(path.read_text()).size == 4
    assert make_log(store, anchors=[FileAnchor(path)]).resume() == 4


def test_an_anchor_is_open_before_the_first_checkpoint_is_kept(tmp_path: Path) -> None:
    """Else a crash between the two would look like an anchor that was removed."""
    store, path = Broken(), tmp_path / "checkpoint"
    log = make_log(store, anchors=[FileAnchor(path)])
    fill(log, 2)
    store.down = {"save_checkpoint"}
    with pytest.raises(StoreError):
        log.checkpoint()
    assert VERIFIER.verify(path.read_text()).size == 0
    store.down = set()
    assert make_log(store, anchors=[FileAnchor(path)]).checkpoint() is not None
    assert VERIFIER.verify(path.read_text()).size == 2


def test_adopting_keeps_what_an_anchor_holds(tmp_path: Path) -> None:
    one, two = FileAnchor(tmp_path / "one"), FileAnchor(tmp_path / "two")
    store = OpenStore()
    log = make_log(store, anchors=[one])
    fill(log, 3)
    log.checkpoint()
    del store.rows[2]
    with pytest.raises(Tampered, match="had signed"):
        make_log(store, anchors=[one, two]).adopt_anchors()
    assert two.read() is None


def test_an_anchor_that_vanishes_while_the_portal_runs_is_written_again(tmp_path: Path) -> None:
    """The process knows the log that it signs; nothing is lost."""
    path = tmp_path / "checkpoint"
    log = make_log(OpenStore(), anchors=[FileAnchor(path)])
    fill(log, 3)
    log.checkpoint()
    path.unlink()
    fill(log, 1)
    log.checkpoint()
    assert VERIFIER.verify(path.read_text()).size == 4


def test_auz_07_a_forged_newest_checkpoint_is_not_continued() -> None:
    """Lines edited, and the stored checkpoint's root made to fit: only its signature tells."""
    store = signed_store()
    store.rows[2] = rehashed(store.rows[2], store.rows[2].body.replace(b"TREAT", b"PATRQ"))
    root = tree_root(store.rows[n].leaf for n in range(6))
    stranger = Ed25519Signer.generate(ORIGIN)
    forged = sign_checkpoint(Checkpoint(origin=ORIGIN, size=6, root=root), stranger)
    store.notes[0] = StoredCheckpoint(size=6, note=forged)
    with pytest.raises(Tampered, match="newest checkpoint does not hold"):
        make_log(store).checkpoint()


def test_auz_07_a_checkpoint_under_another_size_is_not_continued() -> None:
    store = signed_store()
    store.notes[0] = StoredCheckpoint(size=5, note=store.notes[0].note)
    with pytest.raises(Tampered, match="not its own"):
        make_log(store).checkpoint()


def test_auz_07_damage_that_is_undone_does_not_end_signing() -> None:
    """A try that failed leaves nothing of what it read behind."""
    store = signed_store()
    log = make_log(store, new_id=SequentialIds(start=50))
    log.resume()
    fill(make_log(store, new_id=SequentialIds(start=60)), 2)
    other = make_log(store, new_id=SequentialIds(start=70))
    store.integrate()
    whole = store.rows[6]
    other.checkpoint()
    store.rows[6] = rehashed(whole, whole.body.replace(b"TREAT", b"PATRQ"))
    for _ in range(2):
        with pytest.raises(Tampered, match="8"):
            log.checkpoint()
    store.rows[6] = whole
    fill(log, 1)
    note = log.checkpoint()
    assert note is not None
    assert VERIFIER.verify(note).root == tree_root(store.rows[n].leaf for n in range(9))


def test_auz_07_a_hole_that_was_grown_over_is_not_signed_by_a_later_try() -> None:
    """The log is as long as before, and what this process remembers of it fits what was signed."""
    store = OpenStore()
    log = make_log(store)
    fill(log, 6)
    log.checkpoint()
    del store.rows[5]
    with pytest.raises(Tampered, match="cut short"):
        log.checkpoint()
    fill(log, 3)
    for _ in range(2):
        with pytest.raises(Tampered, match="first 6 entries"):
            log.checkpoint()
    # Nor where the checkpoint is taken out of the store as well: the process remembers it.
    store.notes.clear()
    for _ in range(2):
        with pytest.raises(Tampered, match="first 6 entries"):
            log.checkpoint()
    assert store.notes == []


def test_auz_07_what_was_folded_and_not_signed_is_remembered_too() -> None:
    store = Broken()
    log = make_log(store)
    fill(log, 3)
    store.down = {"save_checkpoint"}
    with pytest.raises(StoreError):
        log.checkpoint()
    store.down = set()
    del store.rows[2]
    for _ in range(2):
        with pytest.raises(Tampered, match="cut short"):
            log.checkpoint()


def test_recording_goes_on_while_nothing_is_signed() -> None:
    """What an intruder does after the damage is evidence."""
    store = signed_store()
    del store.rows[5]
    log = make_log(store, new_id=SequentialIds(start=50))
    with pytest.raises(Tampered):
        log.resume()
    log.record(read_event())
    assert len(store.waiting) == 1
