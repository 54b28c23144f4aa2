"""Whoever writes to the database cannot make the application read anything but what it wrote there: 100 % are refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from portalsec.crypto import EncryptedField, Keyset
from portalsec.errors import DecryptionError
from tests.django.clinic import keys
from tests.django.clinic.models import Finding, Letter, Patient, Placement, Sample, Visit
from tests.django.test_encrypted_fields import FULL, raw, swap, write

pytestmark = pytest.mark.usefixtures("clinic")


def refused(instance: Any, name: str) -> None:
    """Through every way to load it."""
    model = type(instance)
    for found in (
        model.objects.get(pk=instance.pk),
        model.objects.only("pk").get(pk=instance.pk),
        next(model.objects.filter(pk=instance.pk).iterator()),
    ):
        with pytest.raises(DecryptionError) as error:
            getattr(found, name)
        assert str(error.value) == "Decryption failed." and error.value.__context__ is None
        assert not hasattr(found, "value")


@pytest.fixture
def two(clinic: str) -> list[Patient]:
    return [Patient.objects.create(**FULL) for _ in range(2)]


@pytest.mark.parametrize("name", list(FULL))
def test_swapped_rows(two: list[Patient], name: str) -> None:
    swap(*two, name)
    for patient in two:
        refused(patient, name)


def test_swapped_columns_and_types(two: list[Patient]) -> None:
    patient = two[0]
    cells = {name: raw(patient, name) for name in FULL}
    for name, other in itertools.permutations(FULL, 2):
        write(patient, name, cells[other])
        refused(patient, name)
        write(patient, name, cells[name])
    assert Patient.objects.get(pk=patient.pk).ssn == FULL["ssn"]


def test_another_table_with_the_same_key(two: list[Patient]) -> None:
    visit = Visit.objects.create(pk=two[0].pk, patient=two[0], note="n")
    write(visit, "note", raw(two[0], "surname"))
    refused(visit, "note")


def test_another_tenant_subject_and_row_column(two: list[Patient]) -> None:
    letter = Letter.objects.create(site="north", text="dear")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE clinic_letter SET site = 'south'")
    refused(letter, "text")
    findings = [Finding.objects.create(patient=patient, text="t") for patient in two]
    with connection.cursor() as cursor:
        key = Patient._meta.pk.get_db_prep_value(two[1].pk, connection)
        cursor.execute("UPDATE clinic_finding SET patient_id = %s", [key])
    refused(findings[0], "text")
    assert Finding.objects.get(pk=findings[1].pk).text == "t"
    samples = [Sample.objects.create(result="x") for _ in range(2)]
    swap(*samples, "result")
    refused(samples[0], "result")
    places = [Placement.objects.create(ward="W", bed=n, reason="r") for n in range(2)]
    cells = [raw_of(place) for place in places]
    with connection.cursor() as cursor:
        for number in range(2):
            cursor.execute(
                "UPDATE clinic_placement SET reason = %s WHERE bed = %s", [cells[1 - number], number]
            )
    for place in Placement.objects.all():
        with pytest.raises(DecryptionError):
            _ = place.reason


def raw_of(place: Placement) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reason FROM clinic_placement WHERE bed = %s", [place.bed])
        return bytes(cursor.fetchone()[0])


def _edits(cell: bytes) -> Iterator[bytes]:
    for length in range(len(cell)):
        yield cell[:length]
    for place in range(len(cell)):
        for bit in range(8):
            yield cell[:place] + bytes([cell[place] ^ 1 << bit]) + cell[place + 1 :]
    yield cell + b"\x00"
    yield cell[5:]
    yield b"\x00" + cell[1:]
    yield b"\x01\xff\xff\xff\xff" + cell[5:]
    yield FULL["ssn"].encode()
    yield b""


def test_every_truncation_and_every_bit(two: list[Patient]) -> None:
    patient = two[0]
    cell = raw(patient, "ssn")
    tried = 0
    for edited in _edits(cell):
        write(patient, "ssn", edited)
        with pytest.raises(DecryptionError):
            _ = Patient.objects.only("ssn").get(pk=patient.pk).ssn
        tried += 1
    assert tried > 9 * len(cell)
    write(patient, "ssn", cell)
    assert Patient.objects.get(pk=patient.pk).ssn == FULL["ssn"]


@pytest.mark.parametrize("template", ["XAES_256_GCM", "AES256_GCM"])
def test_keys_of_somebody_else(two: list[Patient], template: str) -> None:
    patient = two[0]
    other = EncryptedField(Keyset.generate(template), table="patients", column="ssn")
    cell = other.encrypt("forged", row=patient.pk)
    write(patient, "ssn", cell)
    refused(patient, "ssn")
    write(patient, "ssn", raw(two[1], "ssn")[:5] + cell[5:])  # under the name of the right key
    refused(patient, "ssn")


def test_a_key_that_is_disabled_opens_nothing(two: list[Patient]) -> None:
    old = keys.current["fields"]
    newer = old.add("XAES_256_GCM")
    (fresh,) = {key.id for key in newer.info()} - {key.id for key in old.info()}
    keys.current["fields"] = newer.promote(fresh).disable(old.primary_id)
    keys.ring.reload()
    refused(two[0], "ssn")


@pytest.mark.parametrize(
    "way",
    [
        lambda patient: patient.full_clean(),
        lambda patient: patient.refresh_from_db() or patient.ssn,
        lambda patient: Patient.exact.get(ssn=FULL["ssn"]),
        lambda patient: list(Patient.exact.matching(ssn=FULL["ssn"])),
        lambda patient: _copy(patient),
        lambda patient: patient.save(update_fields=["who"]),
    ],
)
def test_no_way_gives_what_does_not_open(two: list[Patient], way: Callable[[Patient], object]) -> None:
    for name in ("ssn", "surname"):
        swap(*two, name)
    patient = Patient.objects.get(pk=two[0].pk)
    patient.who = None
    with pytest.raises(DecryptionError):
        way(patient)


def _copy(patient: Patient) -> None:
    patient.pk = None
    patient.save()
