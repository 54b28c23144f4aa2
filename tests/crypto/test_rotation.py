from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto import EncryptedField, Keyset, normalise
from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.cells import key_from_json, key_to_json
from portalsec.crypto.codec import JSON
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.rotation import (
    Encrypt,
    Failure,
    Progress,
    RebuildCompound,
    RebuildIndex,
    Reencrypt,
    Reencryption,
    Reseal,
)
from portalsec.crypto.tasks import Task
from portalsec.errors import ConfigurationError, SubjectErased
from tests.crypto.cell_memory import MemoryCells


def rotated(keyset: Keyset, template: str) -> Keyset:
    added = keyset.add(template)
    return added.promote(added.info()[-1].id)


OLD = Keyset.generate("AES256_GCM")
NEW = rotated(OLD, "XAES_256_GCM")
OLD_ID, NEW_ID = OLD.primary_id, NEW.primary_id
PRF = Keyset.generate("HMAC_SHA256_PRF")
NEW_PRF = rotated(PRF, "HMAC_SHA256_PRF")


def field(keys: Any, **options: Any) -> EncryptedField[Any, Any]:
    return EncryptedField(keys, table="patients", column="ssn", **options)


def index(keys: Any = PRF, **options: Any) -> BlindIndex[Any]:
    return BlindIndex(keys, table="patients", column="ssn", bits=32, **options)


def source(count: int = 10, *, under: Any = OLD, text: bool = False) -> MemoryCells:
    writer, tags = field(under, text=text), index()
    return MemoryCells(
        ["cell", "tag"],
        {
            n: {"cell": writer.encrypt(f"value {n}", row=n), "tag": tags.tag(f"value {n}")}
            for n in range(count)
        },
    )


def task(keys: Any = NEW, **options: Any) -> Reencrypt:
    return Reencrypt(field=field(keys, **options), column="cell", tags={"tag": index()})


def finish(run: Iterator[Progress]) -> Progress:
    *_, last = run
    return last


def test_every_cell_is_put_under_the_primary_and_keeps_its_value_and_tag() -> None:
    cells = source(10)
    before = {key: dict(row) for key, row in cells.rows.items()}
    seen = list(Reencryption(cells, [task()], batch=4).run())
    assert [(each.done, each.changed) for each in seen] == [(4, 4), (8, 8), (10, 10)]
    assert all(each.total == 10 and not each.failures for each in seen)
    reader = field(NEW)
    for key, row in cells.rows.items():
        assert row["cell"] != before[key]["cell"]
        assert not reader.needs_reencrypt(row["cell"])
        assert reader.decrypt(row["cell"], row=key) == f"value {key}"
        assert row["tag"] == before[key]["tag"]


def test_what_is_current_is_not_written_again() -> None:
    cells = source(10)
    finish(Reencryption(cells, [task()]).run())
    before = {key: dict(row) for key, row in cells.rows.items()}
    cells.swaps = 0
    last = finish(Reencryption(cells, [task()]).run())
    assert (last.done, last.changed, cells.swaps) == (10, 0, 0)
    assert cells.rows == before


def test_null_stays_null_and_an_empty_table_ends() -> None:
    cells = MemoryCells(["cell", "tag"], {1: {"cell": None, "tag": None}})
    assert finish(Reencryption(cells, [task()]).run()).changed == 0
    assert cells.rows == {1: {"cell": None, "tag": None}}
    last = finish(Reencryption(MemoryCells(["cell", "tag"], {}), [task()]).run())
    assert (last.done, last.total, last.cursor["after"]) == (0, 0, None)


def test_tags_are_made_anew_with_the_cell() -> None:
    cells = source(3)
    fresh = index(NEW_PRF)
    finish(Reencryption(cells, [Reencrypt(field=field(NEW), column="cell", tags={"tag": fresh})]).run())
    assert [row["tag"] for row in cells.rows.values()] == [fresh.tag(f"value {n}") for n in range(3)]


def test_a_run_that_stopped_is_taken_up_by_its_cursor() -> None:
    cells = source(10)
    run = Reencryption(cells, [task()], batch=3).run()
    next(run)
    cursor = json.loads(json.dumps(next(run).cursor))
    run.close()
    cells.rows[0]["cell"] = field(OLD).encrypt(
        "value 0", row=0
    )  # behind the cursor: it is not looked at again
    rest = list(Reencryption(cells, [task()], batch=3).run(resume=cursor))
    assert [(each.done, each.total) for each in rest] == [(9, 10), (10, 10)]
    assert rest[-1].changed == 10
    assert [key for key, row in cells.rows.items() if field(NEW).needs_reencrypt(row["cell"])] == [0]


def test_a_cursor_of_another_rotation_begins_at_the_start() -> None:
    cells = source(10)
    cursor = finish(Reencryption(cells, [task()]).run()).cursor
    newest = rotated(NEW, "AES256_GCM")
    last = finish(Reencryption(cells, [task(newest)]).run(resume=cursor))
    assert (last.done, last.changed) == (10, 10)


@pytest.mark.parametrize("other", [{"clear": True}, {"source": "more"}, {"column": "second"}])
def test_a_cursor_of_another_task_begins_at_the_start(other: Mapping[str, Any]) -> None:
    before: dict[str, Any] = {"source": "born", "column": "first", "clear": False}
    names = ["born", "more", "first", "second"]
    rows = {n: {"born": f"{n}", "more": f"{n}", "first": None, "second": None} for n in range(4)}
    cells = MemoryCells(names, rows)
    cursor = finish(Reencryption(cells, [Encrypt(field=field(NEW), **before)]).run()).cursor
    for row in cells.rows.values():
        row["second"] = None
    then = Encrypt(field=field(NEW), **{**before, "clear": True, **other})
    last = finish(Reencryption(cells, [then]).run(resume=json.loads(json.dumps(cursor))))
    assert (last.done, last.changed) == (4, 4)
    assert all(row[then.source] is None and row[then.column] for row in cells.rows.values())


def test_a_cursor_knows_the_columns_of_its_tasks() -> None:
    def cursor(each: Task) -> Any:
        cells = MemoryCells(["cell", "copy", "tag", "tog"], {})
        return finish(Reencryption(cells, [each]).run()).cursor["under"]

    old, new = field(OLD), field(NEW)
    for one, other in [
        (Reencrypt(field=new, column="cell"), Reencrypt(field=new, column="copy")),
        (
            RebuildIndex(field=new, column="cell", tags={"tag": index()}),
            RebuildIndex(field=new, column="cell", tags={"tog": index()}),
        ),
        (
            RebuildCompound(cells={"cell": new}, tags={"tag": index()}),
            RebuildCompound(cells={"copy": new}, tags={"tag": index()}),
        ),
        (Reseal(old=old, new=new, column="cell"), Reseal(old=old, new=new, column="cell", to="copy")),
    ]:
        assert cursor(one) == cursor(one) != cursor(other)


@pytest.mark.parametrize(
    "cursor", [{}, {"version": 2}, {"version": 1, "under": []}, {"after": None}, {"version": 1, "under": 3}]
)
def test_what_is_no_cursor_is_refused(cursor: Mapping[str, Any]) -> None:
    cursor = {**cursor, "under": [UNDER]} if "under" in cursor and cursor["under"] == [] else cursor
    if cursor.get("under") == 3:
        cursor = {"version": 1, "under": [UNDER], "after": [{"pickle": "x"}], **dict.fromkeys(COUNTS, 0)}
    with pytest.raises(ConfigurationError, match="cursor"):
        next(Reencryption(source(1), [task()]).run(resume=cursor))


UNDER = task().under()
COUNTS = ("total", "done", "changed", "kept", "erased", "failed")


def test_a_reload_in_the_middle_begins_anew() -> None:
    keys = {"phi": NEW}
    ring = Keyring(lambda: keys)
    cells = source(9)
    run = Reencryption(cells, [task(ring["phi"])], batch=3).run()
    next(run)
    keys["phi"] = rotated(NEW, "AES256_GCM")
    ring.reload()
    assert finish(run).done == 9
    assert not any(field(keys["phi"]).needs_reencrypt(row["cell"]) for row in cells.rows.values())


def test_a_dry_run_counts_and_writes_nothing() -> None:
    cells = source(10)
    before = {key: dict(row) for key, row in cells.rows.items()}
    last = finish(Reencryption(cells, [task()]).run(dry_run=True))
    assert (last.changed, cells.swaps, cells.rows) == (10, 0, before)


# -- others write, too --------------------------------------------------------------------------------------------


def test_what_the_application_wrote_is_kept_and_looked_at_again() -> None:
    cells = source(5)
    writer, old = field(NEW), field(OLD)
    fresh = index().tag("by the new version")

    def meanwhile() -> None:
        if cells.swaps == 1:
            cells.rows[1] |= {"cell": writer.encrypt("by the new version", row=1), "tag": fresh}
            cells.rows[2] |= {"cell": old.encrypt("by the old version", row=2), "tag": b"stale"}
            cells.rows[3] |= {"cell": None, "tag": None}
            del cells.rows[4]

    cells.meanwhile = meanwhile
    last = finish(Reencryption(cells, [task()]).run())
    assert (last.changed, last.kept, last.failed) == (2, 4, 0)
    assert writer.decrypt(cells.rows[1]["cell"], row=1) == "by the new version"
    assert cells.rows[1]["tag"] == fresh
    assert writer.decrypt(cells.rows[2]["cell"], row=2) == "by the old version"
    assert not writer.needs_reencrypt(cells.rows[2]["cell"])
    assert cells.rows[2]["tag"] == index().tag("by the old version")
    assert cells.rows[3] == {"cell": None, "tag": None}


def test_a_row_that_is_written_all_the_time_is_left_for_the_next_run() -> None:
    cells, old = source(3), field(OLD)

    def meanwhile() -> None:
        cells.rows[1]["cell"] = old.encrypt("again", row=1)

    cells.meanwhile = meanwhile
    last = finish(Reencryption(cells, [task()]).run())
    assert last.failures == (Failure((1,), "cell", "busy"),)
    assert (last.changed, last.kept) == (2, 1)
    assert old.decrypt(cells.rows[1]["cell"], row=1) == "again"


# -- what fails ---------------------------------------------------------------------------------------------------


def test_a_failure_is_listed_without_content_and_never_overwritten() -> None:
    cells = source(6)
    cells.rows[1]["cell"] = cells.rows[2]["cell"]  # another row's
    cells.rows[3]["cell"] = b"\x01nothing that was ever ours, and long enough to be a cell"
    cells.rows[4]["cell"] = "secret plaintext"
    kept = {n: dict(cells.rows[n]) for n in (1, 3, 4)}
    last = finish(Reencryption(cells, [task()]).run())
    assert sorted(last.failures, key=lambda failure: failure.key) == [
        Failure((1,), "cell", "not_authentic"),
        Failure((3,), "cell", "unknown_key"),
        Failure((4,), "cell", "not_bytes"),
    ]
    assert (last.failed, last.changed) == (3, 3)
    assert {n: cells.rows[n] for n in kept} == kept
    assert "secret" not in repr(last)


def test_failures_are_counted_over_all_resumptions() -> None:
    cells = source(6)
    cells.rows[0]["cell"] = cells.rows[5]["cell"] = b"broken"
    run = Reencryption(cells, [task()], batch=3).run()
    cursor = next(run).cursor
    last = finish(Reencryption(cells, [task()], batch=3).run(resume=cursor))
    assert (last.failed, [failure.key for failure in last.failures]) == (2, [(5,)])


def test_a_cell_whose_tag_cannot_be_made_is_left_alone() -> None:
    class Picky:
        def tag_many(self, values: Any, tenant: str | None = None) -> list[bytes]:
            if "value 1" in values:
                raise ValueError
            return [b"t"] * len(values)

    cells = source(3)
    kept = dict(cells.rows[1])
    last = finish(
        Reencryption(cells, [Reencrypt(field=field(NEW), column="cell", tags={"tag": Picky()})]).run()
    )
    assert last.failures == (Failure((1,), "tag", "not_encodable"),)
    assert cells.rows[1] == kept
    assert [cells.rows[n]["tag"] for n in (0, 2)] == [b"t", b"t"]


def test_rows_and_changes_do_not_show_what_they_hold() -> None:
    from portalsec.crypto.cells import Change, Row

    row = Row(("key",), "key", ("secret",))
    assert "secret" not in repr(row) + repr(Change(row, ("secret",)))


# -- tenants, subjects --------------------------------------------------------------------------------------------


def test_tenants_are_kept_apart() -> None:
    old, new, tags = field(OLD, tenanted=True), field(NEW, tenanted=True), index(tenanted=True)
    rows = {
        n: {"cell": old.encrypt(f"{n}", row=n, tenant=f"t{n % 3}"), "tenant": f"t{n % 3}", "tag": None}
        for n in range(9)
    }
    cells = MemoryCells(["cell", "tag"], rows)
    last = finish(Reencryption(cells, [Reencrypt(field=new, column="cell", tags={"tag": tags})]).run())
    assert (last.changed, last.failed) == (9, 0)
    for n, row in rows.items():
        assert new.decrypt(row["cell"], row=n, tenant=row["tenant"]) == f"{n}"
        assert row["tag"] == tags.tag(f"{n}", tenant=row["tenant"])


class OneKeyEach:
    """`SubjectAeads` over a dict."""

    def __init__(self) -> None:
        self.keys: dict[str, Keyset | None] = {}

    def writing(self, subject: str) -> Any:
        return self.reading(self.keys.setdefault(subject, Keyset.generate("AES256_GCM")) and subject)

    def reading(self, subject: str) -> Any:
        keys = self.keys[subject]
        if keys is None:
            raise SubjectErased
        return keys.aead()


def test_an_erased_subject_is_no_failure() -> None:
    subjects = OneKeyEach()
    sealed = field(subjects)
    rows: dict[Any, dict[str, Any]] = {
        n: {"cell": sealed.encrypt(f"{n}", row=n, subject=f"p{n}"), "subject": f"p{n}", "tag": None}
        for n in range(3)
    }
    subjects.keys["p1"] = None
    cells = MemoryCells(["cell", "tag"], rows)
    last = finish(
        Reencryption(cells, [RebuildIndex(field=sealed, column="cell", tags={"tag": index()})]).run()
    )
    assert (last.erased, last.failed, last.changed) == (1, 0, 2)
    assert rows[1]["tag"] is None


# -- the other tasks ----------------------------------------------------------------------------------------------


def plain(count: int = 5, **options: Any) -> tuple[MemoryCells, Encrypt]:
    rows: dict[Any, dict[str, Any]] = {
        n: {"born": date(1900 + n, 1, 1), "cell": None, "tag": None} for n in range(count)
    }
    rows[count] = {"born": None, "cell": None, "tag": None}
    return MemoryCells(["born", "cell", "tag"], rows), Encrypt(
        field=field(NEW, type=date), source="born", column="cell", tags={"tag": index()}, **options
    )


def test_a_column_of_plaintext_is_encrypted_and_emptied() -> None:
    cells, move = plain()
    last = finish(Reencryption(cells, [move], batch=2).run())
    assert (last.changed, last.failed) == (5, 0)
    for n in range(5):
        assert cells.rows[n]["born"] is None
        assert move.field.decrypt(cells.rows[n]["cell"], row=n) == date(1900 + n, 1, 1)
        assert cells.rows[n]["tag"] == index().tag(date(1900 + n, 1, 1))
    assert cells.rows[5] == {"born": None, "cell": None, "tag": None}


def test_the_plaintext_may_stay_for_a_while() -> None:
    cells, move = plain(clear=False)
    assert finish(Reencryption(cells, [move]).run()).changed == 5
    assert all(cells.rows[n]["born"] for n in range(5))
    assert finish(Reencryption(cells, [move]).run()).changed == 0
    _, move = plain()
    assert finish(Reencryption(cells, [move]).run()).changed == 5
    assert not any(row["born"] for row in cells.rows.values())


def test_two_values_in_one_row_are_for_the_application_to_decide() -> None:
    cells, move = plain(clear=False)
    finish(Reencryption(cells, [move]).run())
    cells.rows[2]["born"] = date(2000, 1, 1)  # an older version of the application wrote it
    kept = dict(cells.rows[2])
    _, move = plain()
    last = finish(Reencryption(cells, [move]).run())
    assert last.failures == (Failure((2,), "cell", "differs"),)
    assert cells.rows[2] == kept


def test_what_cannot_be_converted_stays() -> None:
    cells, move = plain(convert=date.fromisoformat)
    for n in range(5):
        cells.rows[n]["born"] = f"190{n}-01-01"
    cells.rows[3]["born"] = "unknown"
    last = finish(Reencryption(cells, [move]).run())
    assert last.failures == (Failure((3,), "born", "not_converted"),)
    assert (last.changed, cells.rows[3]["born"]) == (4, "unknown")
    assert "unknown" not in repr(last)


def test_a_value_of_another_type_stays() -> None:
    cells, move = plain()
    cells.rows[3]["born"] = "1903"
    last = finish(Reencryption(cells, [move]).run())
    assert last.failures == (Failure((3,), "cell", "wrong_type"),)
    assert (last.changed, cells.rows[3]["born"]) == (4, "1903")


def test_an_index_is_rebuilt_where_it_differs() -> None:
    cells = source(5)
    cells.rows[1]["tag"] = b"wrong"
    cells.rows[2] |= {"cell": None}
    rebuild = RebuildIndex(field=field(OLD), column="cell", tags={"tag": index()})
    assert finish(Reencryption(cells, [rebuild]).run()).changed == 2
    assert cells.rows[2]["tag"] is None
    fresh = index(NEW_PRF)
    rebuild = RebuildIndex(field=field(OLD), column="cell", tags={"tag": fresh})
    assert finish(Reencryption(cells, [rebuild]).run()).changed == 4
    assert [cells.rows[n]["tag"] for n in (0, 1, 3, 4)] == [fresh.tag(f"value {n}") for n in (0, 1, 3, 4)]


def test_tags_over_several_cells_are_made_of_their_tuple() -> None:
    first, second = field(OLD), EncryptedField[str](OLD, table="patients", column="name")
    how = index(normalise=normalise.parts(normalise.exact, normalise.exact))
    cells = MemoryCells(
        ["a", "b", "tag"],
        {
            n: {"a": first.encrypt(f"a{n}", row=n), "b": second.encrypt(f"b{n}", row=n), "tag": b"old"}
            for n in range(6)
        },
    )
    cells.rows[1]["b"] = None
    cells.rows[2] |= {"a": None, "b": None}
    cells.rows[3]["b"] = b"damaged"
    newer = field(NEW)
    task = RebuildCompound(cells={"a": newer, "b": second}, tags={"tag": how})
    run = Reencryption(cells, [Reencrypt(field=newer, column="a"), task])
    (_, left) = run.remaining()
    assert (left.column, left.stale, left.unknown, left.current) == ("tag", 5, 1, 0)
    last = finish(run.run())
    assert last.failures == (Failure((3,), "b", "too_short"),)
    assert [cells.rows[n]["tag"] for n in range(6)] == [
        how.tag(("a0", "b0")),
        None,
        None,
        b"old",
        how.tag(("a4", "b4")),
        how.tag(("a5", "b5")),
    ]
    (_, left) = run.remaining()
    assert (left.stale, left.unknown, left.current, left.done) == (0, 1, 5, False)


def test_tags_of_current_cells_follow_their_index_too() -> None:
    cells = source(5, under=NEW)
    fresh = index(NEW_PRF)
    run = Reencryption(cells, [Reencrypt(field=field(NEW), column="cell", tags={"tag": fresh})])
    before = [row["cell"] for row in cells.rows.values()]
    (of_cells, of_tags) = run.remaining()
    assert (of_cells.done, of_tags.stale, of_tags.left) == (True, 5, 5)
    assert finish(run.run()).changed == 5
    assert [row["cell"] for row in cells.rows.values()] == before
    assert [row["tag"] for row in cells.rows.values()] == [fresh.tag(f"value {n}") for n in range(5)]
    assert all(each.done for each in run.remaining())
    assert [each.column for each in run.remaining(tags=False)] == ["cell"]


# -- another declaration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"pad": 64}, {"column": "other"}, {"context": "column"}, {"text": True}])
def test_cells_of_one_declaration_are_written_by_another(changed: dict[str, Any]) -> None:
    cells = source(5)
    cells.rows[3]["cell"] = None
    cells.rows[4]["cell"] = b"damaged"
    new: EncryptedField[Any, Any] = EncryptedField(NEW, **{"table": "patients", "column": "ssn", **changed})
    reseal = Reseal(old=field(OLD), new=new, column="cell", tags={"tag": index(NEW_PRF)})
    run = Reencryption(cells, [reseal], batch=2)
    last = finish(run.run())
    assert (last.changed, [failure.key for failure in last.failures]) == (3, [(4,)])
    for n in range(3):
        place = {} if "context" in changed else {"row": n}
        assert new.decrypt(cells.rows[n]["cell"], **place) == f"value {n}"
        assert cells.rows[n]["tag"] == index(NEW_PRF).tag(f"value {n}")
    assert cells.rows[4]["cell"] == b"damaged"
    again = finish(run.run())
    assert (again.changed, again.failed) == (0, 1)


def test_resealed_cells_may_move_to_another_column() -> None:
    cells = source(4)
    for row in cells.rows.values():
        row["text"] = None
    cells.columns = ("cell", "text", "tag")
    new = field(NEW, text=True)
    cells.rows[1]["text"] = new.encrypt("value 1", row=1)  # the same, by the application
    cells.rows[2]["text"] = kept = new.encrypt("newer", row=2)
    reseal = Reseal(old=field(OLD), new=new, column="cell", to="text", tags={"tag": index()})
    last = finish(Reencryption(cells, [reseal]).run())
    assert (last.changed, last.failures) == (3, (Failure((2,), "text", "differs"),))
    assert [row["cell"] is None for row in cells.rows.values()] == [True, True, False, True]
    assert [new.decrypt(row["text"], row=n) for n, row in cells.rows.items()] == [
        "value 0",
        "value 1",
        "newer",
        "value 3",
    ]
    assert cells.rows[2]["text"] == kept


def test_a_type_may_change_with_the_declaration() -> None:
    cells = source(2)
    new = field(NEW, type=int)
    reseal = Reseal(
        old=field(OLD), new=new, column="cell", convert=lambda text: int(text.removeprefix("value "))
    )
    cells.rows[1]["cell"] = field(OLD).encrypt("no number", row=1)
    last = finish(Reencryption(cells, [reseal]).run())
    assert last.failures == (Failure((1,), "cell", "not_converted"),)
    assert new.decrypt(cells.rows[0]["cell"], row=0) == 0


# -- what remains -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [False, True])
def test_what_remains_is_counted_by_key(text: bool) -> None:
    cells = source(6, text=text)
    cells.rows[0]["cell"] = field(NEW, text=text).encrypt("x", row=0)
    cells.rows[1]["cell"] = None
    cells.rows[2]["cell"] = "plain" if text else b"plain"
    run = Reencryption(cells, [task(text=text)])
    left, _tags = run.remaining()
    assert (left.column, left.current, left.older, left.unknown, left.left) == ("cell", 1, {OLD_ID: 3}, 1, 4)
    cells.rows[2]["cell"] = None
    finish(run.run())
    assert run.remaining()[0].left == 0


def test_a_disabled_key_s_cells_are_counted_as_its_own() -> None:
    (left,) = Reencryption(source(4), [task(NEW.disable(OLD_ID))]).remaining(tags=False)
    assert left.older == {OLD_ID: 4}


def raw(keys: Keyset) -> Keyset:
    held = json.loads(keyset_to_json(keys))
    for key in held["key"]:
        if key["keyId"] == held["primaryKeyId"]:
            key["outputPrefixType"] = "RAW"
    return Keyset.from_json(json.dumps(held))


def test_what_is_under_a_key_without_a_mark_is_never_called_done() -> None:
    keys = raw(NEW)
    cells = source(3, under=keys)
    cells.rows[0]["cell"] = field(OLD).encrypt("value 0", row=0)
    run = Reencryption(cells, [task(keys)])
    (left,) = run.remaining(tags=False)
    assert (left.current, left.older, left.unmarked, left.left, left.done) == (0, {OLD_ID: 1}, 2, 1, False)
    assert finish(run.run()).changed == 1
    (left,) = run.remaining(tags=False)
    assert (left.left, left.unmarked, left.done) == (0, 3, False)
    # A key with a prefix is promoted: then it is known, and every cell without a mark is written anew.
    away = Reencryption(cells, [task(rotated(keys, "AES256_GCM"))])
    assert finish(away.run()).changed == 3
    assert away.remaining()[0].done


# -- mistakes -----------------------------------------------------------------------------------------------------


def test_mistakes_are_named() -> None:
    cells = source(1)
    with pytest.raises(ConfigurationError, match="at least one task"):
        Reencryption(cells, [])
    with pytest.raises(ConfigurationError, match="at least one row"):
        Reencryption(cells, [task()], batch=0)
    with pytest.raises(ConfigurationError, match="'cell'"):
        Reencryption(cells, [task(), task()])
    with pytest.raises(ConfigurationError, match="'phone_tag'"):
        Reencryption(cells, [Reencrypt(field=field(NEW), column="cell", tags={"phone_tag": index()})])
    with pytest.raises(ConfigurationError, match="one after the other"):
        Reencryption(
            MemoryCells(["plain", "cell", "tag"], {}),
            [
                Encrypt(field=field(NEW), source="plain", column="cell"),
                RebuildIndex(field=field(NEW), column="cell", tags={"tag": index()}),
            ],
        )
    with pytest.raises(ConfigurationError, match="in place"):
        Encrypt(field=field(NEW), source="cell", column="cell")


@given(
    st.lists(
        st.integers()
        | st.text()
        | st.uuids()
        | st.binary()
        | st.dates()
        | st.datetimes()
        | st.decimals(allow_nan=False)
    ).map(tuple)
)
def test_a_key_survives_json(key: tuple[Any, ...]) -> None:
    back = key_from_json(json.loads(json.dumps(key_to_json(key))))
    assert back == key
    assert [type(part) for part in back] == [type(part) for part in key]


def test_a_key_that_json_cannot_hold_is_refused() -> None:
    for part in (1.5, None, True, ("a",)):
        with pytest.raises(ConfigurationError, match="cursor"):
            key_to_json((part,))
    for parts in (
        [{"uuid": "x"}],
        [None],
        [True],
        [{}],
        [1.5],
        [{"decimal": "x"}],
        [{"uuid": 3}],
        [UUID(int=1)],
    ):
        with pytest.raises(ValueError, match="cursor"):
            key_from_json(parts)


# -- what encrypting a column must not lose ------------------------------------------------------------------------


@pytest.mark.parametrize("clear", [False, True])
def test_a_conversion_to_nothing_is_a_failure(clear: bool) -> None:
    rows = {
        1: {"plain": "31.02.1970", "cell": None},
        2: {"plain": "no", "cell": field(OLD).encrypt("x", row=2)},
    }
    before = {key: dict(row) for key, row in rows.items()}
    task = Encrypt(field=field(OLD), source="plain", column="cell", clear=clear, convert={}.get)
    *_, progress = Reencryption(MemoryCells(["plain", "cell"], rows), [task]).run()
    assert {failure.reason for failure in progress.failures} == {"not_converted"}
    assert (progress.failed, progress.changed) == (2, 0)
    assert rows == before


def test_a_conversion_to_nothing_is_a_failure_of_resealing() -> None:
    rows = {1: {"cell": field(OLD).encrypt("value", row=1)}}
    before = dict(rows[1])
    task = Reseal(old=field(OLD), new=field(OLD, pad=16), column="cell", convert={}.get)
    *_, progress = Reencryption(MemoryCells(["cell"], rows), [task]).run()
    assert [failure.reason for failure in progress.failures] == ["not_converted"]
    assert rows[1] == before


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (JSON, {"pos": True}, {"pos": 1.0}),
        (JSON, [1], [1.0]),
        (Decimal, Decimal("1.50"), Decimal("1.5")),
        (datetime, NOON, NOON.astimezone(timezone(timedelta(hours=2)))),
    ],
)
@pytest.mark.parametrize("reseal", [False, True])
def test_two_values_that_python_calls_equal_differ(kind: Any, one: Any, other: Any, reseal: bool) -> None:
    sealed = field(OLD, type=kind)
    text = field(OLD, type=kind, text=True)
    rows: dict[Any, dict[str, Any]] = {
        1: {"source": one, "cell": sealed.encrypt(other, row=1)},
        2: {"source": one, "cell": sealed.encrypt(one, row=2)},
    }
    task: Any = Encrypt(field=sealed, source="source", column="cell")
    if reseal:
        for number, row in rows.items():
            row["source"] = text.encrypt(one, row=number)
        task = Reseal(old=text, new=sealed, column="source", to="cell")
    *_, progress = Reencryption(MemoryCells(["source", "cell"], rows), [task]).run()
    assert [(failure.key, failure.reason) for failure in progress.failures] == [((1,), "differs")]
    assert rows[1]["source"] is not None
    assert rows[2]["source"] is None
