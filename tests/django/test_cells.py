"""Re-encryption through Django: `DjangoCells` keeps the port's promises, and the command takes a project's keys round."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from portalsec.clock import system_clock
from portalsec.crypto.cells import Change
from portalsec.crypto.subjects import SubjectKeys
from portalsec.django._cursors import Cursors
from portalsec.django.cells import DjangoCells, encrypted_models, reencryptions
from portalsec.django.keys import forget_keys
from portalsec.errors import ConfigurationError, StoreError, SubjectErased
from portalsec.events import SYSTEM
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents
from portalsec.testing.contracts.cells import CellSourceContract, CellTable
from tests.django.clinic import keys
from tests.django.clinic.models import (
    Box,
    Doctor,
    Finding,
    Letter,
    Patient,
    Person,
    Placement,
    Sample,
    Setting,
    Visit,
)
from tests.django.test_encrypted_fields import FULL, raw, rotate, write

pytestmark = pytest.mark.usefixtures("clinic")


def source(*columns: str) -> DjangoCells:
    return DjangoCells(Patient, columns or ("ssn", "ssn_index"), like=Patient._meta.get_field("ssn"))


def world() -> None:
    patients = Patient.objects.bulk_create([Patient(surname=f"n{n}", ssn=str(n)) for n in range(25)])
    Patient.objects.create(**FULL)
    Visit.objects.create(patient=patients[0], note="note")
    Sample.objects.bulk_create([Sample(result=str(n)) for n in range(5)])
    Letter.objects.create(site="north", text="dear")
    Letter.objects.create(site="south", text="dear")
    Setting.objects.create(value="x")
    Doctor.objects.create(code="D", phone="1", licence="L")
    Person.objects.create(code="P", phone=None)
    Placement.objects.bulk_create([Placement(ward="W", bed=n, reason=f"r{n}") for n in range(7)])


def run(*arguments: str, **options: Any) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("portalsec_reencrypt", *arguments, stdout=out, stderr=err, **options)
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, out.getvalue() + err.getvalue()


# -- the port ------------------------------------------------------------------------------------------------------------


def test_pages_follow_the_key_and_read_gives_what_is_there() -> None:
    world()
    cells = source()
    assert cells.count() == 26
    pages, after = [], None
    while page := cells.page(after, 10):
        pages.append(page)
        after = page[-1].key
    assert [len(page) for page in pages] == [10, 10, 6]
    rows = [row for page in pages for row in page]
    assert [row.key[0] for row in rows] == [patient.pk for patient in Patient.objects.order_by("pk")]
    assert all(row.id == row.key[0] and isinstance(row.values[0], bytes) for row in rows)
    Patient.objects.filter(pk=rows[3].key[0]).delete()
    assert {row.key for row in cells.read([rows[2].key, rows[3].key])} == {rows[2].key}
    placed = DjangoCells(Placement, ["reason"], like=Placement._meta.get_field("reason"))
    first = placed.page(None, 4)
    assert [row.key for row in (*first, *placed.page(first[-1].key, 4))] == [("W", n) for n in range(7)]
    assert first[0].id == ("W", 0) and len(placed.read([("W", 2), ("W", 9)])) == 1


def test_a_change_is_made_only_where_every_old_value_stands() -> None:
    world()
    cells = source()
    rows = cells.page(None, 10)
    assert all(cells.swap([Change(row, row.values) for row in rows]))
    new = [Change(row, (b"new", b"tag")) for row in rows]
    Patient.objects.filter(pk=rows[1].key[0]).update(ssn=None, ssn_index=None)
    Patient.objects.filter(pk=rows[2].key[0]).update(ssn_index=b"other")
    Patient.objects.filter(pk=rows[3].key[0]).delete()
    assert list(cells.swap(new)) == [number not in (1, 2, 3) for number in range(10)]
    assert not any(cells.swap(new))
    again = {row.key: row.values for row in cells.read([row.key for row in rows])}
    assert again[rows[0].key] == (b"new", b"tag") and again[rows[1].key] == (None, None)
    (gone,) = cells.read([rows[1].key])
    assert cells.swap([Change(gone, (b"x", b"y"))]) == [True]
    assert list(cells.swap([])) == []


def test_what_a_cell_is_bound_to_must_stand_too() -> None:
    letter = Letter.objects.create(site="north", text="dear")
    cells = DjangoCells(Letter, ["text"], like=Letter._meta.get_field("text"))
    (row,) = cells.page(None, 1)
    assert (row.id, row.tenant) == (letter.pk, "north")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clinic_letter SET site = 'south'")
    assert list(cells.swap([Change(row, (b"x",))])) == [False]


def test_it_commits_by_itself() -> None:
    world()
    cells = source()
    (row,) = cells.page(None, 1)
    with transaction.atomic(), pytest.raises(RuntimeError):
        cells.swap([Change(row, (b"x", b"y"))])


def test_a_row_that_somebody_holds_is_left_alone(clinic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if clinic != "postgres":
        pytest.skip("SQLite has one writer and no rows to hold")
    monkeypatch.setattr("portalsec.django._swap._PATIENCE", "50ms")
    world()
    cells = source()
    rows = cells.page(None, 5)
    held, done = threading.Event(), threading.Event()

    def holder() -> None:
        with transaction.atomic():
            Patient.objects.select_for_update().get(pk=rows[2].key[0])
            held.set()
            done.wait(30)
        connections.close_all()

    thread = threading.Thread(target=holder)
    thread.start()
    try:
        assert held.wait(30)
        assert list(cells.swap([Change(row, (b"x", b"y")) for row in rows])) == [n != 2 for n in range(5)]
    finally:
        done.set()
        thread.join()


def test_a_database_that_fails_is_a_store_error() -> None:
    cells = source()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE clinic_patient RENAME TO clinic_gone")
    try:
        for verb in (cells.count, lambda: cells.page(None, 1), lambda: cells.tally("ssn", [])):
            with pytest.raises(StoreError):
                verb()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE clinic_gone RENAME TO clinic_patient")


def test_tally() -> None:
    world()
    prefix = raw(Patient.objects.first(), "surname")[:5]
    assert list(source("surname").tally("surname", [[prefix], [b"x"], []])) == [26, 0, 0, 0]
    write(Patient.objects.first(), "surname", b"xyz")
    assert list(source("surname").tally("surname", [[prefix], [b"x", b"y"]])) == [25, 1, 0]
    assert list(source("ssn").tally("ssn", [])) == [26]


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'gone'"):
        source("gone")
    with pytest.raises(ConfigurationError, match="'gone'"):
        reencryptions(Patient, fill={"gone": "ward"})


class TestTheContract(CellSourceContract):
    @pytest.fixture
    def table(self, clinic: str) -> CellTable:
        def insert(rows: Any) -> None:
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO clinic_box (code, cell, tag) VALUES (%s, %s, %s)", list(rows))

        def update(code: str, cell: bytes | None) -> None:
            with connection.cursor() as cursor:
                cursor.execute("UPDATE clinic_box SET cell = %s WHERE code = %s", [cell, code])

        return CellTable(
            DjangoCells(Box, ["cell", "tag"], like=Box._meta.get_field("cell")),
            insert=insert,
            update=update,
            delete=lambda code: Box.objects.filter(pk=code)._raw_delete("default"),
        )

    def release(self) -> None:
        connections.close_all()


# -- the command ---------------------------------------------------------------------------------------------------------


def values() -> dict[str, Any]:
    return {
        "patients": {p.pk: {name: getattr(p, name) for name in FULL} for p in Patient.objects.all()},
        "notes": [visit.note for visit in Visit.objects.all()],
        "samples": {sample.uid: sample.result for sample in Sample.objects.all()},
        "letters": {letter.site: letter.text for letter in Letter.objects.all()},
        "settings": [setting.value for setting in Setting.objects.all()],
        "doctors": [(doctor.phone, doctor.licence) for doctor in Doctor.objects.all()],
        "placements": [place.reason for place in Placement.objects.order_by("bed")],
    }


def prefixes() -> set[bytes]:
    return {
        bytes(cell)[:5]
        for model in encrypted_models()
        if model is not Finding
        for field in model._meta.local_concrete_fields
        if getattr(field, "portalsec_encrypted", False)
        for cell in model.objects.values_list(field.name, flat=True)
        if cell is not None
    }


def test_every_cell_of_the_project_leaves_the_old_key(tmp_path: Path) -> None:
    world()
    before, old = values(), prefixes()
    rotate("fields")
    rotate("index")
    code, said = run("--dry-run", "--cursor", str(tmp_path / "cursor"))
    assert (
        code == 0 and "would be written" in said and prefixes() == old and not (tmp_path / "cursor").exists()
    )
    code, said = run("--batch", "7", "--cursor", str(tmp_path / "cursor"))
    assert code == 0, said
    assert (
        "clinic.Patient(id): 26 rows, 26 written, 0 changed by others meanwhile, 0 erased, 0 failed" in said
    )
    assert not (tmp_path / "cursor").exists()
    assert values() == before
    assert len(prefixes()) == 1 and not prefixes() & old
    assert Patient.objects.get(ssn="7").surname == "n7"
    code, said = run()
    assert code == 0 and " 0 written" in said and "26 written" not in said
    # The old keys may go now.
    for name in ("fields", "index"):
        keyset = keys.current[name]
        (gone,) = [key.id for key in keyset.info() if key.id != keyset.primary_id]
        keys.current[name] = keyset.disable(gone)
    keys.ring.reload()
    assert values() == before
    assert Patient.objects.get(ssn="7").surname == "n7"
    assert Sample.objects.get(result="3")


def test_what_wraps_the_keys_of_subjects_is_rotated_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def process(store: Any) -> SubjectKeys:
        return SubjectKeys(store, keys=keys.ring["subjects"], clock=system_clock, emit=CapturedEvents())

    monkeypatch.setattr(keys, "subjects", process(MemorySubjectKeys()))
    forget_keys()
    patient = Patient.objects.create(surname="n")
    Finding.objects.create(patient=patient, text="clear")
    other = Patient.objects.create(surname="m")
    erased = Finding.objects.create(patient=other, text="gone")
    keys.subjects.shred(str(other.pk), actor=SYSTEM)
    rotate("subjects")
    code, said = run("--dry-run")
    assert code == 0 and "subject keys: 1 rows, 1 would be written" in said
    code, said = run("clinic.Finding")
    assert code == 0 and "subject keys: 1 rows, 1 written" in said
    assert "subject keys" not in run("clinic.Letter")[1]
    keyset = keys.current["subjects"]
    (gone,) = [key.id for key in keyset.info() if key.id != keyset.primary_id]
    keys.current["subjects"] = keyset.disable(gone)
    keys.ring.reload()
    monkeypatch.setattr(keys, "subjects", process(keys.subjects.store))  # which remembers nothing
    forget_keys()
    assert Finding.objects.get(patient=patient).text == "clear"
    with pytest.raises(SubjectErased):
        Finding.objects.get(pk=erased.pk).text  # noqa: B018
    monkeypatch.undo()
    forget_keys()


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world()
    before, cursor = values(), tmp_path / "cursor"
    rotate("fields")
    original, calls = DjangoCells.swap, []

    def dies(self: Any, changes: Any) -> Any:
        calls.append(len(changes))
        if len(calls) == 3:
            raise StoreError("the database went away")
        return original(self, changes)

    monkeypatch.setattr(DjangoCells, "swap", dies)
    with pytest.raises(CommandError, match="went away") as error:
        run("clinic.Patient", "--batch", "5", "--cursor", str(cursor))
    assert error.value.returncode == 2
    monkeypatch.setattr(DjangoCells, "swap", original)
    read: list[Any] = []
    page = DjangoCells.page

    def pages(self: Any, after: Any, limit: int) -> Any:
        read.append(after)
        return page(self, after, limit)

    monkeypatch.setattr(DjangoCells, "page", pages)
    code, said = run("clinic.Patient", "--batch", "5", "--cursor", str(cursor))
    assert code == 0 and read[0] is not None and "26 rows, 26 written" in said
    assert values() == before
    cursor.write_text("{")
    with pytest.raises(CommandError, match="no file of cursors"):
        run("--cursor", str(cursor))


def test_a_place_is_of_one_task_and_one_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, clinic: str
) -> None:
    made = Patient.objects.bulk_create(
        [Patient(surname="x", ward="", ssn_index=None, history={"n": n}) for n in range(6)]
    )
    original, cursor, calls = Cursors.put, tmp_path / "cursor", []

    def dies(self: Any, name: str, place: Any) -> None:
        original(self, name, place)
        calls.append(name)
        raise KeyboardInterrupt

    def stopped(*arguments: str) -> None:
        cursor.unlink(missing_ok=True)
        monkeypatch.setattr(Cursors, "put", dies)
        with pytest.raises(KeyboardInterrupt):
            run(*arguments, "--batch", "2", "--cursor", str(cursor))
        monkeypatch.setattr(Cursors, "put", original)
        assert cursor.stat().st_mode & 0o777 == 0o600 and list(tmp_path.iterdir()) == [cursor]

    fill = ("clinic.Patient", "--fill", "ssn=ward")
    stopped(*fill, "--keep")
    for other in (
        fill,
        ("clinic.Patient", "--fill", "surname=ward"),
        ("clinic.Patient",),
        ("--rebuild-index",),
    ):
        with pytest.raises(CommandError, match="with other options") as error:
            run(*other, "--cursor", str(cursor))
        assert error.value.returncode == 2
    with monkeypatch.context() as elsewhere:
        elsewhere.setitem(connection.settings_dict, "HOST", "elsewhere")
        with pytest.raises(CommandError, match="in another database"):
            run(*fill, "--keep", "--cursor", str(cursor))
    assert run(*fill, "--keep", "--cursor", str(cursor))[0] == 0 and not cursor.exists()
    cursor.write_text(
        '{"clinic.Patient(id)": {"version": 1, "under": [], "after": null}}'
    )  # of an older version
    with pytest.raises(CommandError, match="no file of cursors"):
        run(*fill, "--keep", "--cursor", str(cursor))
    assert Patient.objects.get(pk=made[0].pk).ssn == ""


def test_a_cursor_that_cannot_be_kept_is_said_before_the_first_row(tmp_path: Path) -> None:
    world()
    old = prefixes()
    rotate("fields")
    with pytest.raises(CommandError, match="cannot be kept there") as error:
        run("--cursor", str(tmp_path / "nope" / "cursor"))
    assert error.value.returncode == 2 and prefixes() == old


def test_failures_are_listed_and_never_overwritten() -> None:
    world()
    patient = Patient.objects.get(ssn="7")
    write(patient, "ssn", b"\x01\x02\x03\x04\x05 damaged")
    rotate("fields")
    code, said = run("clinic.Patient")
    assert code == 1
    assert f"row {patient.pk}, ssn: " in said and "1 cells were left" in said
    assert "damaged" not in said
    assert raw(patient, "ssn") == b"\x01\x02\x03\x04\x05 damaged"
    assert Patient.objects.get(pk=patient.pk).surname == "n7"


def test_what_the_application_writes_meanwhile_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world()
    rotate("fields")
    original, once = DjangoCells.swap, []

    def late(self: Any, changes: Any) -> Any:
        if not once:
            once.append(True)
            patient = Patient.objects.get(ssn="7")
            patient.surname = "changed meanwhile"
            patient.save()
        return original(self, changes)

    monkeypatch.setattr(DjangoCells, "swap", late)
    code, said = run("clinic.Patient")
    assert code == 0 and "1 changed by others meanwhile" in said
    assert Patient.objects.get(ssn="7").surname == "changed meanwhile"
    assert len({bytes(cell)[:5] for cell in Patient.objects.values_list("surname", flat=True)}) == 1


@pytest.mark.parametrize("options", [(), ("--rebuild-index",)])
def test_indexes_are_rebuilt(options: tuple[str, ...]) -> None:
    world()
    saved = Patient.objects.get(surname=FULL["surname"], ssn=FULL["ssn"])
    rotate("index")
    tags = {name: raw(saved, name) for name in ("ssn_index", "surname_begins", "who")}
    Patient.objects.filter(ssn="7").update(ssn_index=None)
    code, said = run("clinic.Patient", "--status")
    assert code == 1 and "who: " in said, said
    code, said = run("clinic.Patient", "clinic.Letter", *options)
    assert code == 0, said
    code, said = run("clinic.Patient", "clinic.Letter", "--status")
    assert code == 0 and "Nothing is left." in said, said
    assert all(raw(saved, name) != tag for name, tag in tags.items())
    keyset = keys.current["index"]
    (gone,) = [key.id for key in keyset.info() if key.id != keyset.primary_id]
    keys.current["index"] = keyset.disable(gone)
    keys.ring.reload()
    assert Patient.objects.get(ssn="7").surname == "n7"
    assert Patient.objects.get(who=(FULL["surname"], FULL["born"])) == saved
    write(saved, "born", b"\x01damaged")
    code, said = run("clinic.Patient", *options)
    assert code == 1 and f"row {saved.pk}, born: too_short" in said


def test_a_column_of_plaintext_is_encrypted() -> None:
    made = Patient.objects.bulk_create([Patient(surname="", ssn=None, ward=f"s-{n}") for n in range(6)])
    code, said = run("clinic.Patient", "--fill", "ssn=ward", "--keep")
    assert code == 0, said
    for number, patient in enumerate(made):
        assert (
            Patient.objects.get(pk=patient.pk).ssn == f"s-{number}" == Patient.objects.get(pk=patient.pk).ward
        )
    assert Patient.objects.get(ssn="3") == made[3]
    for wrong in ([], ["clinic.Patient", "clinic.Visit"]):
        with pytest.raises(CommandError, match="one model"):
            run(*wrong, "--fill", "ssn=ward")
    with pytest.raises(CommandError, match="FIELD=COLUMN"):
        run("clinic.Patient", "--fill", "ssn")


def test_what_cannot_be_run_is_said() -> None:
    for name in ("clinic.Nobody", "nothing"):
        with pytest.raises(CommandError):
            run(name)
    with pytest.raises(CommandError, match="has no encrypted field"):
        run("auth.Group")
