"""A cell, its tags and what it is bound to stay together, whoever else saves the row and whatever a save names."""

from __future__ import annotations

import pickle
import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import NotSupportedError, models, transaction

from portalsec.django.fields import InTenant
from portalsec.errors import DecryptionError
from tests.django.clinic.models import Badge, Doctor, Finding, Letter, Patient, Person, Sample
from tests.django.test_encrypted_fields import raw, rotate, swap

pytestmark = pytest.mark.usefixtures("clinic")


class _Undone(Exception):
    pass


def twice(saved: Any) -> tuple[Any, Any]:
    """The row in two sessions."""
    kind = type(saved)
    return kind.objects.get(pk=saved.pk), kind.objects.get(pk=saved.pk)


def letter_of(site: str) -> Letter:
    """The only letter, which opens, is of this site and is found there alone."""
    letter = Letter.objects.get()
    assert letter.site == site
    for each in ("north", "south"):
        assert Letter.objects.filter(text=InTenant(letter.text, each)).exists() is (each == site)
    return letter


# -- a tag of another's value ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["ssn"], ["ssn", "ssn_index"], ["ssn_index"], ["ssn", "ward"]])
def test_an_old_cell_never_stands_beside_a_newer_tag(names: list[str]) -> None:
    a, b = twice(Patient.objects.create(surname="x", ssn="111"))
    b.ssn = "222"
    b.save()
    a.save(update_fields=names)
    assert Patient.objects.get().ssn == "111"
    assert Patient.objects.filter(ssn="111").count() == 1
    assert not Patient.objects.filter(ssn="222")


def test_nor_after_a_bulk_update() -> None:
    a, b = twice(Patient.objects.create(surname="x", ssn="111"))
    b.ssn = "222"
    b.save()
    Patient.exact.bulk_update([a], ["ssn_index"])
    assert Patient.objects.get(ssn="111").ssn == "111" and not Patient.objects.filter(ssn="222")


def test_a_save_past_save_base_is_refused() -> None:
    patient = Patient.objects.create(surname="x", ssn="111")
    with pytest.raises(ValueError, match="'ssn_index' must be written with the rest"):
        models.Model.save_base(patient, update_fields=frozenset(["ssn"]))


def test_a_parents_index_goes_along_in_update_or_create() -> None:
    Doctor.objects.create(code="a", phone="1", licence="L")
    doctor, made = Doctor.objects.update_or_create(code="a", defaults={"phone": "2"})
    assert not made and doctor.phone == "2"
    assert Person.objects.filter(phone="2").count() == 1 and not Person.objects.filter(phone="1")


# -- a cell under another's tenant ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["text"], ["text", "text_index"], ["site"], ["text_index"]])
@pytest.mark.parametrize("new", ["dear", "sir"])
def test_a_cell_is_never_left_under_a_tenant_that_moved(names: list[str], new: str) -> None:
    a, b = twice(Letter.objects.create(site="north", text="dear"))
    b.site = "south"
    b.save()
    a.text = new
    a.save(update_fields=names)
    assert letter_of("north").text == new


def test_nor_by_a_bulk_update_and_an_instance_with_deferred_columns() -> None:
    a, b = twice(Letter.objects.create(site="north", text="dear"))
    later = Letter.objects.only("text").get()
    assert later.text == "dear"
    later.text = "sir"
    b.site = "south"
    b.save()
    a.text = "lady"
    Letter.objects.bulk_update([a], ["text"])
    assert letter_of("north").text == "lady"
    b.save()
    assert letter_of("south").text == "dear"
    later.save()
    assert letter_of("north").text == "sir"  # where it was when it was read


def test_a_row_that_was_moved_by_bulk_update_has_moved() -> None:
    letter = Letter.objects.create(site="north", text="dear")
    letter = Letter.objects.get()
    letter.site = "south"
    Letter.objects.bulk_update([letter], ["site", "text"])
    letter.save(update_fields=["text"])
    assert letter_of("south")


def test_a_related_manager_does_not_move_a_row_from_its_cells() -> None:
    one, other = (Patient.objects.create(surname="x") for _ in range(2))
    finding = Finding.objects.create(patient=one, text="t")
    for move in (
        lambda: other.finding_set.add(finding),
        lambda: other.finding_set.set([finding]),
        lambda: Finding.objects.update(patient=other),
        lambda: Finding._base_manager.update(patient_id=other.pk),
    ):
        with pytest.raises(NotSupportedError, match="bound to it"):
            move()
    assert Finding.objects.get().text == "t"
    finding.patient = other
    finding.save()
    assert other.finding_set.get().text == "t"


def test_an_upsert_writes_the_tenant_with_the_cell() -> None:
    saved = Letter.objects.create(site="north", text="dear")
    other = Letter(pk=saved.pk, site="south", text="sir")

    def upsert(*names: str) -> None:
        Letter.objects.bulk_create([other], update_conflicts=True, unique_fields=["id"], update_fields=names)

    with pytest.raises(NotSupportedError, match="add 'site' to update_fields"):
        upsert("text", "text_index")
    with pytest.raises(NotSupportedError, match="add 'text' to update_fields"):
        upsert("site")
    assert letter_of("north").text == "dear"
    upsert("site", "text", "text_index")
    assert letter_of("south").text == "sir"


# -- two saves of one instance ----------------------------------------------------------------------------------------


def test_what_a_save_did_not_write_has_not_moved() -> None:
    Letter.objects.create(site="north", text="dear")
    letter = Letter.objects.get()
    letter.site = "south"
    Letter.objects.filter(pk=letter.pk).get().save()
    letter.save(update_fields=[])
    with pytest.raises(ValueError, match="'site' has changed"):
        letter.save(update_fields=["site"])
    sample = Sample.objects.get(pk=Sample.objects.create(result="x").pk)
    sample.uid = uuid.uuid4()
    with pytest.raises(ValueError, match="'uid' has changed"):
        sample.save(update_fields=["result"])
    assert Sample.objects.get().result == "x" and letter_of("north")


def test_a_save_of_another_column_is_not_taken_for_the_move() -> None:
    letter = Letter.objects.create(site="north", text="dear", title="t")
    letter = Letter.objects.get()
    letter.site = "south"
    letter.save(update_fields=["title"])
    with pytest.raises(ValueError, match="'site' has changed"):
        letter.save(update_fields=["site"])
    assert letter_of("north").text == "dear"
    letter.save()
    letter.save(update_fields=["site"])
    assert letter_of("south").text == "dear"


@pytest.mark.parametrize("names", [["site"], ["text"], ["text_index"], None])
def test_a_save_that_was_rolled_back_is_done_again_whole(names: list[str] | None) -> None:
    Letter.objects.create(site="north", text="dear")
    letter = Letter.objects.get()
    letter.site = "south"
    with pytest.raises(_Undone), transaction.atomic():
        letter.save()
        raise _Undone
    assert letter_of("north")
    letter.save(update_fields=names)
    assert letter_of("south").text == "dear"


# -- a read is no change -----------------------------------------------------------------------------------------------


def test_what_was_refreshed_or_read_later_is_not_a_new_value() -> None:
    saved = Patient.objects.create(surname="x", ssn="111", ward="a")
    cell = raw(saved, "ssn")
    saved.refresh_from_db()
    assert pickle.loads(pickle.dumps(saved)).ssn == "111"
    later = Patient.objects.only("ward").get()
    assert later.ssn == "111"
    assert pickle.loads(pickle.dumps(later)).ssn == "111"
    later.ward = "b"
    later.save()
    assert raw(saved, "ssn") == cell  # as it was
    assert Patient.objects.get(ssn="111").ward == "b"


def test_a_refresh_tells_where_the_row_is_now() -> None:
    a, b = twice(Letter.objects.create(site="north", text="dear"))
    b.site = "south"
    b.save()
    a.refresh_from_db()
    a.save(update_fields=["text"])
    assert a.text == letter_of("south").text == "dear"
    part = Letter.objects.only("title").get()
    part.site = "north"
    assert part.text == "dear"  # read where it is
    part.save()
    assert letter_of("north").text == "dear"
    part.refresh_from_db(from_queryset=Letter.objects.all(), fields=["text"])
    assert part.text == "dear"


def test_what_does_not_open_is_refused_after_a_refresh_when_it_is_read() -> None:
    one, other = (Patient.objects.create(surname="x", ssn=str(n)) for n in range(2))
    swap(one, other, "ssn")
    one.refresh_from_db()
    with pytest.raises(DecryptionError):
        _ = one.ssn


# -- what is there already ----------------------------------------------------------------------------------------------


def test_full_clean_finds_a_value_that_is_there() -> None:
    saved = Badge.objects.create(number="1-1", chip="c")
    loaded = Badge.objects.get()
    loaded.full_clean()
    saved.full_clean()
    Badge(number="2", chip="d").full_clean()
    Badge(number=None, chip=None).full_clean()
    for taken in ({"number": "11", "chip": "d"}, {"number": "2", "chip": "c"}):
        with pytest.raises(ValidationError) as error:
            Badge(**taken).full_clean()
        (said,) = error.value.message_dict.items()
        assert said[0] == ("number" if taken["chip"] == "d" else "chip") and "already exists" in said[1][0]
    second = Badge.objects.create(number="2", chip="d")
    second.number = "11"
    with pytest.raises(ValidationError, match="already exists"):
        second.full_clean()
    with pytest.raises(ValidationError, match="already exists"):
        second.validate_unique(exclude=["number_index"])  # as a form does, which does not show it
    second.validate_unique(exclude=["number"])
    second.number = object()
    second.validate_unique()


def test_a_value_under_an_older_index_key_is_there_too() -> None:
    Badge.objects.create(number="1", chip="c")
    rotate("index")
    with pytest.raises(ValidationError, match="already exists"):
        Badge(number="1", chip="x").full_clean()


def test_a_tag_that_was_read_is_looked_for_as_it_is() -> None:
    patient = Patient.objects.create(surname="x", ssn="1")
    tag = Patient.objects.values_list("ssn_index", flat=True).get()
    assert tag == raw(patient, "ssn_index") and bytes(tag).hex() not in repr(tag)
    assert Patient.objects.get(ssn_index=tag) == patient == Patient.objects.get(ssn_index__in=[tag])
