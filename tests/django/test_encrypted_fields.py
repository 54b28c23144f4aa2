"""Encrypted model fields: what is saved comes back, from cells that open in their own row, and only when it is read."""

from __future__ import annotations

import copy
import pickle
import uuid
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from django.db.models.query_utils import DeferredAttribute

from portalsec.crypto import EncryptedField
from portalsec.django.fields import Cell, EncryptedTextField
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased
from tests.django.clinic import keys
from tests.django.clinic.models import (
    Doctor,
    Finding,
    Letter,
    OnCall,
    Patient,
    Person,
    Placement,
    Sample,
    Setting,
    Visit,
)

pytestmark = pytest.mark.usefixtures("clinic")

FULL: dict[str, Any] = {
    "ssn": "078-05-1120",
    "surname": "Łukasiewicz",
    "born": date(1878, 12, 21),
    "seen": datetime(2026, 11, 22, 9, 30, 1, 7, tzinfo=UTC),
    "weight": Decimal("71.50"),
    "children": -(2**80),
    "smoker": False,
    "history": {"a": [1, None, "x"]},
    "scan": b"\x00\xff",
}


@pytest.fixture(autouse=True)
def _a_fresh_list() -> None:
    FULL["history"] = {"a": [1, None, "x"]}


def raw(instance: models.Model, column: str) -> Any:
    """What the database holds."""
    meta = instance._meta
    field = meta.get_field(column)
    table = connection.ops.quote_name(field.model._meta.db_table)
    key = field.model._meta.pk
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {connection.ops.quote_name(field.column)} FROM {table} WHERE {key.column} = %s",
            [key.get_db_prep_value(getattr(instance, key.attname), connection)],
        )
        found = cursor.fetchone()[0]
    return None if found is None else bytes(found)


@contextmanager
def decryptions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Counts the cells that are opened."""
    opened: list[str] = []
    original = Patient._meta.get_field("ssn").__class__._open

    def counted(self: Any, *args: Any) -> Any:
        opened.append(self.name)
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr("portalsec.django._encrypted_base.EncryptedModelField._open", counted)
        yield opened


# -- round trips ----------------------------------------------------------------------------------------------------


def test_every_kind_comes_back_as_it_was() -> None:
    saved = Patient.objects.create(**FULL)
    found = Patient.objects.get(pk=saved.pk)
    assert {name: getattr(found, name) for name in FULL} == FULL
    assert {name: type(getattr(found, name)) for name in FULL} == {
        name: type(value) for name, value in FULL.items()
    }
    for name in FULL:
        cell = raw(found, name)
        assert isinstance(cell, bytes) and len(cell) >= 33
    assert b"078-05" not in raw(found, "ssn")


def test_null_is_null_and_the_empty_text_is_a_value() -> None:
    saved = Patient.objects.create(surname="", ssn=None)
    found = Patient.objects.get(pk=saved.pk)
    assert (found.surname, found.ssn, found.born, found.weight, found.scan) == ("", None, None, None, None)
    assert (found.children, found.history) == (0, {})
    assert raw(found, "ssn") is None and raw(found, "surname") is not None


def test_the_cell_is_that_of_the_core_so_that_others_read_it() -> None:
    saved = Patient.objects.create(**FULL)
    field = EncryptedField(keys.ring["fields"], table="patients", column="ssn")
    assert field.decrypt(raw(saved, "ssn"), row=saved.pk) == "078-05-1120"


def test_values_are_converted_when_they_are_saved() -> None:
    saved = Patient.objects.create(
        surname=12, born="1990-02-03", weight=1.5, children="7", seen="2026-01-02T03:04:05+01:00", smoker="True",
        scan=bytearray(b"x"),
    )  # fmt: skip
    for patient in (saved, Patient.objects.get(pk=saved.pk)):
        assert (patient.surname, patient.born, patient.weight) == ("12", date(1990, 2, 3), Decimal("1.50"))
        assert (patient.children, patient.smoker, patient.scan) == (7, True, b"x")
        assert patient.seen == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("born", "secret-1"),
        ("children", "secret-1"),
        ("weight", "secret-1"),
        ("weight", Decimal("123456.7")),
        ("smoker", "secret-1"),
        ("seen", datetime(2026, 1, 1)),
        ("seen", date(2026, 1, 1)),
        ("surname", b"secret-1"),
        ("scan", "secret-1"),
        ("history", {1: "secret-1"}),
        ("history", float("nan")),
    ],
)
def test_what_is_no_value_is_refused_without_showing_it(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        Patient.objects.create(**{"surname": "x", name: value})
    assert "secret" not in str(error.value) and "123456" not in str(error.value)
    assert error.value.__context__ is None
    with pytest.raises(ValidationError) as refused:
        patient = Patient(surname="x", born="secret-1")
        patient.clean_fields()
    assert "secret" not in str(refused.value)


def test_the_other_ways_to_name_a_row(clinic: str) -> None:
    sample = Sample.objects.create(result="positive")
    assert Sample.objects.get(result="positive") == sample
    letter = Letter.objects.create(site="north", text="dear")
    assert Letter.objects.get(pk=letter.pk).text == "dear"
    setting = Setting.objects.create(value="x")
    assert Setting.objects.get(pk=setting.pk).value == "x"
    Placement.objects.create(ward="W", bed=7, reason="broken leg")
    assert Placement.objects.get(pk=("W", 7)).reason == "broken leg"
    doctor = Doctor.objects.create(code="D1", phone="555 01", licence="L1")
    for kind in (Doctor, OnCall):
        found = kind.objects.get(pk="D1")
        assert (found.phone, found.licence) == ("555 01", "L1")
    assert Person.objects.get(phone="55501").phone == "555 01"
    assert Doctor.objects.get(phone="55501") == doctor


def test_a_subject_has_a_key_that_can_be_erased() -> None:
    patient = Patient.objects.create(surname="x")
    finding = Finding.objects.create(patient=patient, text="gravid")
    assert Finding.objects.get(pk=finding.pk).text == "gravid"
    keys.subjects.shred(str(patient.pk), actor="dr")
    with pytest.raises(SubjectErased):
        _ = Finding.objects.get(pk=finding.pk).text


# -- lazy ------------------------------------------------------------------------------------------------------------


def test_loading_decrypts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    Patient.objects.bulk_create([Patient(surname=f"n{number}", ssn=str(number)) for number in range(2000)])
    with decryptions(monkeypatch) as opened:
        found = list(Patient.objects.order_by("pk"))
        assert len(found) == 2000 and opened == []
        assert {found[7].surname, found[7].surname, found[8].surname} <= {f"n{n}" for n in range(2000)}
        assert opened == ["surname", "surname"]
        found[9].ward = "w"
        found[9].save()
        assert len(opened) == 2  # what was not read is written back as it stands
    assert Patient.objects.get(pk=found[9].pk).ssn is not None


def test_only_and_defer() -> None:
    saved = Patient.objects.create(**FULL)
    for patient in (Patient.objects.only("ward").get(), Patient.objects.defer("ssn").get()):
        assert "ssn" in patient.get_deferred_fields()
        assert patient.ssn == "078-05-1120"
        assert patient.pk == saved.pk
    patient = Patient.objects.only("ssn").get()
    patient.ward = "x"
    assert patient.ssn == "078-05-1120"
    with pytest.raises(DecryptionError):
        Patient(pk=uuid.uuid4(), ssn=patient.__dict__["ssn"]).__class__.ssn.__get__(_stolen(patient))


def _stolen(patient: Patient) -> Patient:
    """A cell of another row that somebody passed to the constructor."""
    cell = patient.__dict__["ssn"]
    return Patient(pk=uuid.uuid4(), surname="x", ssn=Cell(bytes(cell), cell.label))


def test_a_cell_of_another_row_is_not_saved(clinic: str) -> None:
    patient = Patient.objects.create(**FULL)
    other = Patient.objects.create(surname="y")
    with pytest.raises(DecryptionError):
        _stolen(patient).save()
    taken = Patient.objects.values_list("ssn", flat=True).get(pk=patient.pk)
    other.ssn = taken
    with pytest.raises(DecryptionError):
        other.save()
    with pytest.raises(DecryptionError):
        Patient(pk=other.pk, surname="y", ssn=taken).save()
    with pytest.raises(DecryptionError):
        _ = other.ssn
    assert raw(other, "ssn") is None


def test_values_give_cells_that_show_nothing() -> None:
    saved = Patient.objects.create(**FULL)
    for cell in (
        Patient.objects.values("ssn").get()["ssn"],
        Patient.objects.values_list("ssn", flat=True).get(),
        next(Patient.objects.values_list("ssn").iterator())[0],
        Patient.objects.annotate(copied=models.F("ssn")).get().copied,
    ):
        assert type(cell) is Cell and bytes(cell) == raw(saved, "ssn")
        assert repr(cell) == str(cell) == f"<Cell of patients.ssn, {len(bytes(cell))} bytes>"
    assert (
        Patient.objects.values_list("born", flat=True).get() == Patient.objects.values_list("born").get()[0]
    )
    (again,) = Patient.objects.raw("SELECT * FROM clinic_patient")
    assert again.ssn == "078-05-1120"
    (again,) = Patient.objects.iterator()
    assert again.ssn == "078-05-1120"
    visit = Visit.objects.create(patient=saved, note="n")
    assert Visit.objects.select_related("patient").get(pk=visit.pk).patient.ssn == "078-05-1120"
    assert Patient.objects.prefetch_related("visits").get().visits.all()[0].note == "n"


# -- instances -------------------------------------------------------------------------------------------------------


def test_a_copy_has_cells_of_its_own() -> None:
    first = Patient.objects.create(**FULL)
    copied = Patient.objects.get(pk=first.pk)
    copied.pk = None
    copied._state.adding = True
    assert copied.ssn == "078-05-1120"  # it still is the first one's
    copied.save()
    assert copied.pk != first.pk
    for patient in Patient.objects.all():
        assert {name: getattr(patient, name) for name in FULL} == FULL
    again = Patient.objects.get(pk=first.pk)
    again.pk = uuid.uuid4()  # without the flag: Django tries an UPDATE and then inserts
    again.save()
    assert {patient.ssn for patient in Patient.objects.all()} == {"078-05-1120"}
    assert Patient.objects.filter(ssn="078 05 1120").count() == 3


def test_a_copy_of_a_cell_that_does_not_open_is_refused() -> None:
    first, second = Patient.objects.create(**FULL), Patient.objects.create(**FULL)
    swap(first, second, "ssn")
    copied = Patient.objects.get(pk=first.pk)
    copied.pk = None
    with pytest.raises(DecryptionError):
        copied.save()
    assert Patient.objects.count() == 2


def swap(one: models.Model, other: models.Model, column: str) -> None:
    """As somebody who writes to the database would."""
    first, second = raw(one, column), raw(other, column)
    write(one, column, second)
    write(other, column, first)


def write(instance: models.Model, column: str, data: bytes | None) -> None:
    meta = instance._meta
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {meta.db_table} SET {column} = %s WHERE {meta.pk.column} = %s",
            [data, meta.pk.get_db_prep_value(instance.pk, connection)],
        )


def test_saving_a_row_whose_cell_is_damaged_keeps_the_cell() -> None:
    saved = Patient.objects.create(**FULL)
    write(saved, "ssn", b"\x01damaged")
    found = Patient.objects.get(pk=saved.pk)
    found.ward = "x"
    found.save()
    assert raw(saved, "ssn") == b"\x01damaged"
    with pytest.raises(DecryptionError):
        _ = found.ssn


def test_unchanged_values_are_not_written_anew() -> None:
    saved = Patient.objects.create(**FULL)
    before = raw(saved, "ssn"), raw(saved, "history")
    found = Patient.objects.get(pk=saved.pk)
    found.full_clean()
    assert found.history == FULL["history"]
    found.save()
    saved.save()
    assert (raw(saved, "ssn"), raw(saved, "history")) == before


def test_json_that_is_changed_in_place_is_written() -> None:
    saved = Patient.objects.create(**FULL)
    found = Patient.objects.get(pk=saved.pk)
    found.history["b"] = 2
    found.save()
    saved.history = {"a": [1, None, "x"], "c": 3}
    assert Patient.objects.get(pk=saved.pk).history == {"a": [1, None, "x"], "b": 2}
    saved.save(update_fields=["history"])
    assert Patient.objects.get(pk=saved.pk).history == {"a": [1, None, "x"], "c": 3}


def test_refresh_from_db() -> None:
    saved = Patient.objects.create(**FULL)
    other = Patient.objects.get(pk=saved.pk)
    other.ssn = "1"
    other.save()
    saved.refresh_from_db()
    assert saved.ssn == "1"
    saved.ssn = "2"
    saved.refresh_from_db(fields=["ssn"])
    assert saved.ssn == "1"
    saved.save()
    assert Patient.objects.get(ssn="1") == saved


def test_a_pickle_holds_no_plaintext_and_an_unsaved_value_is_not_pickled() -> None:
    saved = Patient.objects.create(**FULL)
    found = Patient.objects.get(pk=saved.pk)
    assert found.ssn == "078-05-1120"
    data = pickle.dumps(found)
    assert b"078-05" not in data
    assert pickle.loads(data).ssn == "078-05-1120"
    with pytest.raises(TypeError, match="save it"):
        pickle.dumps(Patient(surname="Curie"))
    for duplicate in (copy.copy(found), copy.deepcopy(found)):
        assert duplicate.ssn == "078-05-1120"
    deep = copy.deepcopy(Patient(surname="Curie", history={"a": []}))
    deep.history["a"].append(1)
    assert deep.surname == "Curie"
    assert "078-05" not in repr(vars(found)) and "Curie" not in repr(vars(deep))


def test_json_changed_in_place_is_not_lost_in_a_pickle() -> None:
    saved = Patient.objects.create(**FULL)
    saved.history["b"] = 1
    with pytest.raises(TypeError, match="save it"):
        pickle.dumps(saved)


def test_a_row_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="bound to 'code', which has no value yet"):
        Person(phone="1").save()
    with pytest.raises(ValueError, match="bound to 'site'"):
        Letter(text="x").save()


def test_the_key_is_taken_as_its_field_reads_it() -> None:
    key = uuid.uuid4()
    Patient(pk=str(key), surname="x", ssn="1").save()
    assert Patient.objects.get(pk=key).ssn == "1"
    place = Placement.objects.create(ward="W", bed="7", reason="r")
    assert Placement.objects.get(bed=7).reason == place.reason == "r"


# -- what a cell is bound to moves --------------------------------------------------------------------------------------


def test_a_row_id_that_changes_takes_its_cells_along() -> None:
    sample = Sample.objects.create(result="positive")
    sample = Sample.objects.get(pk=sample.pk)
    sample.uid = uuid.uuid4()
    with pytest.raises(ValueError, match=r"samples\.result: 'uid' has changed"):
        sample.save(update_fields=["uid"])
    with pytest.raises(ValueError, match="'uid' has changed"):
        sample.save(update_fields=["result", "result_index"])
    sample.save()
    found = Sample.objects.get(result="positive")
    assert (found.uid, found.result) == (sample.uid, "positive")
    later = Sample.objects.defer("result").get()
    later.uid = uuid.uuid4()
    with pytest.raises(ValueError, match="'uid' has changed"):
        later.save()
    sample.uid = uuid.uuid4()
    sample.save(update_fields=["uid", "result", "result_index"])
    assert Sample.objects.get().result == "positive"


def test_a_tenant_that_changes_takes_cell_and_index_along() -> None:
    from portalsec.django.fields import InTenant

    letter = Letter.objects.get(pk=Letter.objects.create(site="north", text="dear").pk)
    letter.site = "south"
    letter.save()
    assert Letter.objects.get(text=InTenant("dear", "south")).text == "dear"
    assert not Letter.objects.filter(text=InTenant("dear", "north"))


# -- declaration ---------------------------------------------------------------------------------------------------------


def test_deconstruction_is_stable_and_holds_no_key() -> None:
    for model in (Patient, Visit, Sample, Letter, Finding, Setting):
        for field in model._meta.local_concrete_fields:
            _, path, args, kwargs = field.deconstruct()
            again = field.clone()
            assert again.deconstruct()[1:] == (path, args, kwargs)
            assert "Keyset" not in repr(kwargs)
            if isinstance(field, EncryptedTextField):
                assert path == "portalsec.django.fields.EncryptedTextField"
                assert kwargs["table"] and kwargs["column"]
    assert isinstance(Patient.ssn, DeferredAttribute)


def test_without_keys_nothing_is_written(settings: Any) -> None:
    settings.PORTALSEC = {"KEYRING": "tests.django.clinic.keys.nothing"}
    with pytest.raises(ConfigurationError, match="KEYRING"):
        Patient.objects.create(surname="x")
    settings.PORTALSEC = {"KEYRING": "tests.django.clinic.models.Patient"}
    with pytest.raises(ConfigurationError, match="is no Keyring"):
        Patient.objects.create(surname="x")
    assert not Patient.objects.exists()


def test_the_portal_has_the_keys_where_no_keyring_is_named(settings: Any, world: Any) -> None:
    settings.PORTALSEC = {"PORTAL": "tests.django.project.portal"}
    person = Person(code="a", phone=None)
    person.save()
    setting = Setting.objects.create(value="x")
    assert Setting.objects.get(pk=setting.pk).value == "x"
    cell = raw(setting, "value")
    field = EncryptedField(world.portal.keys.fields, table="settings", column="value", context="column")
    assert field.decrypt(cell) == "x"


def test_a_saved_row_leaves_an_old_key() -> None:
    saved = Patient.objects.create(**FULL)
    old = raw(saved, "ssn")[:5]
    rotate("fields")
    loaded = Patient.objects.get(pk=saved.pk)
    loaded.ward = "x"
    loaded.save()
    assert raw(saved, "ssn")[:5] != old
    assert Patient.objects.get(pk=saved.pk).ssn == "078-05-1120"


def rotate(name: str) -> None:
    """A new primary; the old key still reads."""
    keyset = keys.current[name].add("HMAC_SHA256_PRF" if name == "index" else "XAES_256_GCM")
    newest = max(keyset.info(), key=lambda key: key.id not in {old.id for old in keys.current[name].info()})
    keys.current[name] = keyset.promote(newest.id)
    keys.ring.reload()


def test_a_moment_keeps_its_instant() -> None:
    from datetime import timezone

    seen = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    saved = Patient.objects.create(surname="x", seen=seen)
    found = Patient.objects.get(pk=saved.pk).seen
    assert found == seen and found.utcoffset() == seen.utcoffset()
