"""Each of Django's ways to write a row does right by its cells and their indexes, or is refused with the reason."""

from __future__ import annotations

import io
import json
import uuid
from datetime import date
from typing import Any

import pytest
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.management import call_command
from django.db import NotSupportedError, connection, migrations, models
from django.db.migrations.state import ProjectState
from django.db.models import Case, F, Value, When
from django.db.models.functions import Upper
from django.forms.models import model_to_dict

from portalsec.django._cell_state import MARK
from portalsec.django.fields import BlindIndexField, EncryptedTextField
from portalsec.errors import ConfigurationError, DecryptionError
from tests.django.clinic.models import Letter, Patient, Person, Sample, Visit
from tests.django.test_encrypted_fields import FULL, raw

pytestmark = pytest.mark.usefixtures("clinic")


def found(value: str) -> list[Any]:
    return [patient.pk for patient in Patient.objects.filter(ssn=value)]


# -- one row ---------------------------------------------------------------------------------------------------------


def test_save_and_its_index() -> None:
    patient = Patient(surname="x")
    patient.save()
    patient.ssn = "1"
    patient.save()
    assert found("1") == [patient.pk]
    patient.ssn = None
    patient.save()
    assert found("1") == [] and raw(patient, "ssn_index") is None


def test_update_fields_take_the_index_along() -> None:
    patient = Patient.objects.create(surname="x", ssn="1")
    patient.ssn = "2"
    patient.save(update_fields=["ssn"])
    assert found("2") == [patient.pk] and found("1") == []
    patient.save(update_fields=["ssn", "ssn_index"])
    patient.save(update_fields=["ward"])
    assert found("2") == [patient.pk]
    again = Patient.objects.only("ward", "ssn").get()
    again.ward = "w"
    again.save()
    assert found("2") == [patient.pk]
    again.ssn = "3"
    again.save()
    assert found("3") == [patient.pk] and found("2") == []
    again.ssn = None
    again.save(update_fields=["ssn"])
    assert found("3") == [] and raw(patient, "ssn_index") is None


def test_an_index_can_be_filled_later() -> None:
    patient = Patient.objects.create(surname="x", ssn="1")
    Patient.objects.update(ssn_index=None)
    assert found("1") == []
    again = Patient.objects.get()
    again.save()
    assert found("1") == [patient.pk]
    Patient.objects.update(ssn_index=None)
    Patient.objects.defer("ssn_index").get().save(update_fields=["ssn_index"])
    assert found("1") == [patient.pk]


def test_get_or_create_and_update_or_create() -> None:
    patient, made = Patient.objects.get_or_create(ssn="1", defaults={"surname": "x"})
    again, made_again = Patient.objects.get_or_create(ssn="1", defaults={"surname": "y"})
    assert made and not made_again and again == patient and again.surname == "x"
    changed, made = Patient.objects.update_or_create(ssn="1", defaults={"ssn": "2", "surname": "z"})
    assert not made and changed == patient and found("2") == [patient.pk]
    assert Patient.objects.get().surname == "z"
    changed, made = Patient.objects.update_or_create(ssn="3", defaults={"surname": "new"})
    assert made and Patient.objects.get(ssn="3").surname == "new"


def test_an_expression_is_no_value() -> None:
    patient = Patient.objects.create(surname="x", ssn="1")
    patient.ssn = F("surname")
    with pytest.raises(NotSupportedError, match="computed by the database"):
        patient.save()
    with pytest.raises(NotSupportedError):
        Patient.objects.create(surname=Upper(Value("x")))


# -- many rows ----------------------------------------------------------------------------------------------------------


def test_bulk_create() -> None:
    made = Patient.objects.bulk_create([Patient(surname=str(n), ssn=str(n)) for n in range(20)])
    assert {p.surname for p in Patient.objects.all()} == {str(n) for n in range(20)}
    assert found("7") == [made[7].pk]
    Patient.objects.bulk_create([Patient(pk=made[0].pk, surname="again")], ignore_conflicts=True)
    assert Patient.objects.get(pk=made[0].pk).surname == "0"
    rows = Sample.objects.bulk_create([Sample(result=str(n)) for n in range(3)])
    assert [Sample.objects.get(pk=row.pk).result for row in Sample.objects.order_by("pk")] == ["0", "1", "2"]
    assert len(rows) == 3


def test_an_upsert_writes_a_cell_to_its_own_row_only() -> None:
    first = Patient.objects.create(surname="x", ssn="1", ward="a")
    again = Patient(pk=first.pk, surname="y", ssn="2", ward="b")
    with pytest.raises(NotSupportedError, match="add 'ssn_index'"):
        Patient.objects.bulk_create(
            [again], update_conflicts=True, unique_fields=["id"], update_fields=["ssn"]
        )
    Patient.objects.bulk_create(
        [again], update_conflicts=True, unique_fields=["id"], update_fields=["ssn", "ssn_index"]
    )
    kept = Patient.objects.get()
    assert (kept.ssn, kept.surname, found("2")) == ("2", "x", [first.pk])
    sample = Sample.objects.create(result="x")
    other = Sample(pk=sample.pk, result="y")
    with pytest.raises(NotSupportedError, match="bound to the one that is not"):
        Sample.objects.bulk_create(
            [other], update_conflicts=True, unique_fields=["id"], update_fields=["result", "result_index"]
        )
    Sample.objects.bulk_create(
        [Sample(uid=sample.uid, result="z")],
        update_conflicts=True, unique_fields=["uid"], update_fields=["result", "result_index"],
    )  # fmt: skip
    assert Sample.objects.get().result == "z"


def test_update_is_refused() -> None:
    patient = Patient.objects.create(surname="x", ssn="1")
    refused: list[Any] = [
        "2",
        Value("2"),
        F("surname"),
        Upper("surname"),
        Case(When(ward="", then=Value("2"))),
    ]
    for manager in (Patient.objects, Patient.exact):
        for value in refused:
            with pytest.raises((NotSupportedError, FieldError), match=r"bound|encrypt"):
                manager.update(ssn=value)
        with pytest.raises(NotSupportedError, match="cannot be copied in SQL"):
            manager.update(ward=F("ssn"))
        with pytest.raises(NotSupportedError, match="cannot be copied in SQL"):
            manager.update(ward=Upper(F("ssn")))
        manager.update(ward="w")
    assert (Patient.objects.get().ssn, found("1")) == ("1", [patient.pk])
    with pytest.raises(NotSupportedError, match="write 'ssn_index' in the same statement"):
        Patient.objects.update(ssn=None)
    Patient.objects.update(ssn=None, ssn_index=None)
    assert found("1") == [] and Patient.objects.get().ssn is None
    patient.save()
    Patient.exact.update(ssn=None)
    assert found("1") == [] and raw(patient, "ssn_index") is None


def test_update_of_what_a_cell_is_bound_to() -> None:
    Letter.objects.create(site="north", text="dear")
    with pytest.raises(NotSupportedError, match=r"letters\.text are bound to it"):
        Letter.objects.update(site="south")
    Sample.objects.create(result="x")
    with pytest.raises(NotSupportedError, match=r"samples\.result are bound to it"):
        Sample.objects.update(uid=uuid.uuid4())


def test_bulk_update() -> None:
    made = Patient.objects.bulk_create([Patient(surname=str(n), ssn=str(n), ward="a") for n in range(5)])
    for patient in made:
        patient.ssn = None if patient.surname == "0" else f"1{patient.surname}"
        patient.ward = "b"
    with pytest.raises(NotSupportedError, match="EncryptedQuerySet"):
        Patient.objects.bulk_update(made, ["ssn"])
    with pytest.raises(NotSupportedError):
        Patient.objects.bulk_update(made, ["ssn", "ssn_index"])
    assert Patient.objects.bulk_update(made, ["ward"]) == 5
    assert found("3") == [made[3].pk]
    assert Patient.exact.bulk_update(made, ["ssn", "ward"], batch_size=2) == 5
    assert found("3") == [] and found("13") == [made[3].pk]
    kept = Patient.objects.in_bulk()
    assert [kept[patient.pk].ssn for patient in made] == [None, "11", "12", "13", "14"]
    assert raw(made[0], "ssn_index") is None
    loaded = list(Patient.exact.order_by("pk"))
    assert Patient.exact.bulk_update(loaded, ["surname"]) == 5  # unread cells are written as they stand
    samples = Sample.objects.bulk_create([Sample(result="x"), Sample(result="y")])
    samples = list(Sample.objects.order_by("pk"))
    for sample in samples:
        sample.result += "!"
    Sample.objects.bulk_update(samples, ["result"])
    assert {sample.result for sample in Sample.objects.all()} == {"x!", "y!"}
    samples[0].uid = uuid.uuid4()
    with pytest.raises(ValueError, match="'uid' has changed"):
        Sample.objects.bulk_update(samples, ["result"])
    Sample.objects.bulk_update(samples, ["result", "uid"])
    assert {sample.result for sample in Sample.objects.all()} == {"x!", "y!"}


# -- validation and fixtures ------------------------------------------------------------------------------------------------


def test_full_clean() -> None:
    patient = Patient(surname="x" * 41, weight="1000.123", children=1, born="no date")
    with pytest.raises(ValidationError) as error:
        patient.full_clean()
    assert set(error.value.message_dict) == {"surname", "weight", "born"}
    patient = Patient(surname="x", weight="100.5", born="1990-01-01", scan=b"x")
    patient.full_clean()
    assert patient.born == date(1990, 1, 1)
    with pytest.raises(ValidationError) as error:
        Patient(surname="").full_clean()
    assert set(error.value.message_dict) == {"surname"}


def test_a_text_of_a_user_is_never_taken_for_a_cell() -> None:
    patient = Patient.objects.create(**FULL)
    text = MARK + "AAAA"
    forged = Patient(surname=text)
    forged.clean_fields(exclude=["scan"])
    forged.save()
    assert Patient.objects.get(pk=forged.pk).surname == text
    cell = Patient._meta.get_field("ssn").value_to_string(patient)
    parsed = Patient._meta.get_field("ssn").to_python(cell)  # as an API does that asks the model's field
    forged.ssn = parsed
    with pytest.raises(ValueError, match="loaddata only"):
        forged.save()


@pytest.mark.parametrize("kind", ["json", "xml", "jsonl"])
def test_a_fixture_holds_cells_and_is_loaded_again(kind: str, tmp_path: Any) -> None:
    saved = Patient.objects.create(**FULL)
    empty = Patient.objects.create(surname="")
    file = tmp_path / f"clinic.{kind}"
    call_command("dumpdata", "clinic.patient", format=kind, output=str(file))
    text = file.read_text()
    assert MARK in text
    for plain in ("078-05", "1878-12-21", "71.50", "kasiewicz", str(-(2**80)), "2026-11-22"):
        assert plain not in text
    before = raw(saved, "ssn")
    for gone in (True, False):
        if gone:
            Patient.objects.all().delete()
        call_command("loaddata", str(file), verbosity=0)
        found_again = Patient.objects.get(pk=saved.pk)
        assert {name: getattr(found_again, name) for name in FULL} == FULL
        assert raw(saved, "ssn") == before
        assert Patient.objects.get(ssn="078051120") == saved
        assert (Patient.objects.get(pk=empty.pk).surname, Patient.objects.get(pk=empty.pk).ssn) == ("", None)


def test_a_fixture_written_by_hand_is_encrypted_as_it_is_loaded(tmp_path: Any) -> None:
    key = str(uuid.uuid4())
    file = tmp_path / "hand.json"
    fields = {"surname": "Curie", "ssn": "1-2", "born": "1867-11-07", "children": 2, "history": {"a": 1}}
    file.write_text(json.dumps([{"model": "clinic.patient", "pk": key, "fields": fields}]))
    call_command("loaddata", str(file), verbosity=0)
    patient = Patient.objects.get(ssn="12")
    assert (str(patient.pk), patient.surname, patient.children) == (key, "Curie", 2)
    assert Patient.objects.get(who=("curie", date(1867, 1, 1))) == patient
    assert (patient.born, patient.history) == (date(1867, 11, 7), {"a": 1})


def test_a_cell_of_another_row_in_a_fixture_does_not_open() -> None:
    patient = Patient.objects.create(**FULL)
    (document,) = json.loads(serializers.serialize("json", [patient]))
    document["pk"] = str(uuid.uuid4())
    (loaded,) = serializers.deserialize("json", json.dumps([document]))
    loaded.save()
    with pytest.raises(DecryptionError):
        _ = Patient.objects.get(pk=document["pk"]).ssn


def test_an_instance_that_is_not_saved_can_be_serialised() -> None:
    patient = Patient(surname="Curie")
    text = serializers.serialize("json", [patient])
    assert "Curie" not in text and MARK in text
    (loaded,) = serializers.deserialize("json", text)
    assert loaded.object.surname == "Curie"


def test_model_to_dict_gives_values_on_demand() -> None:
    patient = Patient.objects.create(**FULL)
    values = model_to_dict(patient)
    assert values["ssn"]() == "078-05-1120" and "078-05-1120" not in repr(values["ssn"])
    assert model_to_dict(Patient(surname="x"))["ssn"] is None


# -- migrations ------------------------------------------------------------------------------------------------------------


def _state(*fields: tuple[str, Any]) -> ProjectState:
    state = ProjectState()
    migrations.CreateModel(
        "Note", [("id", models.UUIDField(primary_key=True, default=uuid.uuid4)), *fields]
    ).state_forwards("notes", state)
    return state


def test_a_column_is_added_and_made_not_null(clinic: str) -> None:
    """As a project does that encrypts a column: added with null=True, filled row by row, NOT NULL at the end."""
    field = EncryptedTextField(table="notes", column="text", null=True, default="x")
    index = BlindIndexField("text", bits=64)
    whole = EncryptedTextField(table="notes", column="text", default="x", blank=True)
    begin = _state()
    operations = [
        migrations.AddField("Note", "text", field),
        migrations.AddField("Note", "text_index", index),
        migrations.AlterField("Note", "text", whole),
    ]
    with connection.schema_editor() as editor:
        editor.create_model(begin.apps.get_model("notes", "Note"))
    try:
        note = begin.apps.get_model("notes", "Note").objects.create()
        state = begin
        for operation in operations:
            if operation is operations[2]:
                model = state.apps.get_model("notes", "Note")
                old = model.objects.get(pk=note.pk)
                assert old.text is None
                old.text = "filled"
                old.save()
                assert model.objects.get(text="filled").pk == note.pk
            after = state.clone()
            operation.state_forwards("notes", after)
            with connection.schema_editor() as editor:
                operation.database_forwards("notes", editor, state, after)
            state = after
        model = state.apps.get_model("notes", "Note")
        assert model.objects.get().text == "filled"
        assert model.objects.create().text == "x"
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(begin.apps.get_model("notes", "Note"))


def test_a_migration_computes_tags_with_the_normaliser_of_the_model_or_not_at_all() -> None:
    from django.db.migrations.executor import MigrationExecutor

    state = MigrationExecutor(connection).loader.project_state([("clinic", "0001_initial")])
    person = state.apps.get_model("clinic", "Person").objects.create(code="a", phone="0-1")
    assert Person.objects.get(phone="01").pk == person.pk
    index = BlindIndexField("phone", bits=8, normalise="gone/1")
    index.set_attributes_from_name("phone_index")
    index.model = Person
    with pytest.raises(ConfigurationError, match="gone/1"):
        index.tags("x")
    out = io.StringIO()
    call_command("makemigrations", "clinic", check=True, dry_run=True, stdout=out)
    assert "No changes" in out.getvalue()


def test_deleting_and_related_managers() -> None:
    patient = Patient.objects.create(**FULL)
    visit = patient.visits.create(note="n")
    assert patient.visits.get(pk=visit.pk).note == "n"
    assert Visit.objects.count() == 1
    patient.delete()
    assert Visit.objects.count() == 0
