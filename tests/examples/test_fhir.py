"""Bundles as they come, and files that are no bundles."""

from __future__ import annotations

import gzip
import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.portal_fastapi.domain import Kind, People
from examples.portal_fastapi.fhir import NotFhir, bundle_files, read_bundles
from tests.support import shared

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [
        {"type": {"coding": [{"code": "SS"}]}, "value": "999-00-0001"},
        {"type": {"coding": [{"code": "MR"}]}, "value": "mr-1"},
    ],
    "name": [
        {"use": "nickname", "text": "Wil"},
        {"use": "official", "family": "Testerby", "given": ["Wilhelmina", "A."]},
    ],
    "telecom": [{"system": "phone", "value": "555-0101"}, {"system": "email", "value": "w@example.com"}],
    "birthDate": "1968-03-14",
    "gender": "female",
    "address": [{"line": ["1 Invention Row"], "city": "Fabricville", "state": "MA", "postalCode": "00000"}],
}
DOCTOR = {
    "resourceType": "Practitioner",
    "id": "d",
    "name": [{"family": "Quill", "given": ["Hortensia"], "prefix": ["Dr."]}],
}


def write(folder: Path, name: str, *resources: dict[str, Any]) -> Path:
    entries = [{"fullUrl": f"urn:uuid:{r['id']}", "resource": r} for r in resources]
    text = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()
    path = folder / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def about(kind: str, **fields: Any) -> dict[str, Any]:
    who = "patient" if kind in {"Immunization", "AllergyIntolerance"} else "subject"
    return {"resourceType": kind, "id": "x", who: {"reference": "urn:uuid:p"}, **fields}


def one_entry(tmp_path: Path, resource: dict[str, Any]) -> tuple[Kind, str, str, str]:
    people = read_bundles([write(tmp_path, "b.json", PATIENT, resource)])
    (entry,) = people.entries
    return entry.kind, entry.title, entry.detail, entry.on


# -- what a bundle says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["b.json", "b.json.gz"])
def test_a_patient_is_read_whole(tmp_path: Path, name: str) -> None:
    (patient,) = read_bundles([write(tmp_path, name, PATIENT)]).patients
    assert (patient.name, patient.family, patient.sex) == ("Wilhelmina A. Testerby", "Testerby", "female")
    assert (patient.phone, patient.email, patient.ssn, patient.mrn) == (
        "555-0101",
        "w@example.com",
        "999-00-0001",
        "mr-1",
    )
    assert patient.address == "1 Invention Row, Fabricville, MA, 00000"
    assert str(patient.birth_date) == "1968-03-14"
    assert patient.id != "p"  # the source's id stays outside


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        (
            about(
                "Condition",
                code={"text": "Hypertension"},
                clinicalStatus={"coding": [{"code": "active"}]},
                onsetDateTime="2000-01-08T18:26:38+00:00",
            ),
            (Kind.CONDITION, "Hypertension", "active", "2000-01-08"),
        ),
        (
            about(
                "Observation",
                code={"coding": [{"display": "Body Height"}]},
                valueQuantity={"value": 182.2550582, "unit": "cm"},
                effectiveDateTime="2013-01",
            ),
            (Kind.OBSERVATION, "Body Height", "182.3 cm", "2013-01"),
        ),
        (
            about(
                "Observation",
                code={"text": "Blood Pressure"},
                component=[
                    {"code": {"text": "Systolic"}, "valueQuantity": {"value": 120, "unit": "mm[Hg]"}},
                    {"code": {"text": "Diastolic"}, "valueQuantity": {"value": 80.04, "unit": "mm[Hg]"}},
                ],
            ),
            (Kind.OBSERVATION, "Blood Pressure", "Systolic 120 mm[Hg], Diastolic 80 mm[Hg]", ""),
        ),
        (
            about(
                "Observation",
                code={"text": "Smoking"},
                valueCodeableConcept={"text": "Never smoker"},
                effectiveDateTime="yesterday",
            ),
            (Kind.OBSERVATION, "Smoking", "Never smoker", ""),
        ),
        (
            about(
                "MedicationRequest",
                status="active",
                medicationCodeableConcept={"text": "Ibuprofen"},
                authoredOn="2016-01-07",
            ),
            (Kind.MEDICATION, "Ibuprofen", "active", "2016-01-07"),
        ),
        (
            about(
                "MedicationRequest",
                medicationReference={"display": "Ibuprofen"},
                dosageInstruction=[{"text": "as needed"}],
            ),
            (Kind.MEDICATION, "Ibuprofen", "as needed", ""),
        ),
        (
            about(
                "Immunization",
                vaccineCode={"text": "Influenza"},
                status="completed",
                occurrenceDateTime="2013-01-26T18:26:38Z",
            ),
            (Kind.IMMUNIZATION, "Influenza", "completed", "2013-01-26"),
        ),
        (
            about(
                "AllergyIntolerance",
                code={"text": "Peanut"},
                reaction=[{"manifestation": [{"text": "hives"}]}],
            ),
            (Kind.ALLERGY, "Peanut", "hives", ""),
        ),
        (
            about(
                "Encounter",
                type=[{"text": "Encounter for check up (procedure)"}],
                period={"start": "2000-01-08T18:26:38Z"},
            ),
            (Kind.ENCOUNTER, "Encounter for check up", "", "2000-01-08"),
        ),
    ],
)
def test_each_kind_of_entry(
    tmp_path: Path, resource: dict[str, Any], expected: tuple[Kind, str, str, str]
) -> None:
    assert one_entry(tmp_path, resource) == expected


def test_who_saw_a_patient_is_in_the_care_team_also_across_files(tmp_path: Path) -> None:
    visit = about(
        "Encounter", type=[{"text": "Visit"}], participant=[{"individual": {"reference": "urn:uuid:d"}}]
    )
    files = [
        write(tmp_path, "1.json", PATIENT, visit),
        write(tmp_path, "2.json", DOCTOR),
        write(tmp_path, "3.json", DOCTOR),
    ]
    people = read_bundles(files)
    (doctor,) = people.staff
    assert doctor.name == "Dr. Hortensia Quill"
    assert people.care_team == {(people.patients[0].id, doctor.id)}
    assert people.entries[0].by == doctor.name


def test_what_no_page_shows_is_passed_over(tmp_path: Path) -> None:
    claim = {"resourceType": "Claim", "id": "c", "patient": {"reference": "urn:uuid:nobody"}}
    assert read_bundles([write(tmp_path, "b.json", PATIENT, claim)]).entries == ()


def test_a_folder_is_its_bundles_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("no bundle")
    (tmp_path / "deeper.json").mkdir()
    second, first = write(tmp_path, "b.json.gz", PATIENT), write(tmp_path, "a.json", DOCTOR)
    assert bundle_files(tmp_path) == [first, second]
    assert bundle_files(first) == [first]


def test_progress_is_told_once_a_file(tmp_path: Path) -> None:
    told: list[int] = []
    read_bundles([write(tmp_path, f"{n}.json", PATIENT) for n in range(3)], done=lambda: told.append(1))
    assert len(told) == 3


# -- what is none -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("b.json", b"", "is not JSON"),
        ("b.json", b"{", "is not JSON"),
        ("b.json", b"\xff\xfe", "is not JSON"),
        ("b.json", b"[" * 100_000, "is not JSON"),
        ("b.json", b"[]", "its resourceType is not Bundle"),
        ("b.json", b'{"resourceType": "Patient"}', "its resourceType is not Bundle"),
        ("b.json", b'{"resourceType": "Bundle", "entry": {}}', "its entry is not a list"),
        ("b.json", b'{"resourceType": "Bundle", "entry": [1]}', "its entry 0 has no resource"),
        ("b.json", b'{"resourceType": "Bundle", "entry": [{"resource": {}}]}', "its entry 0 has no resource"),
        ("b.json", b'{"resourceType": "Bundle"}', "no Patient is among the bundles"),
        ("b.json.gz", b"not gzip", "cannot be read"),
        ("b.json.gz", gzip.compress(b"{}")[:-4], "cannot be read"),
    ],
    ids=count(),
)
def test_a_file_that_is_no_bundle_is_named_in_one_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(NotFhir) as error:
        read_bundles([path])
    text = str(error.value)
    assert sentence in text
    assert name in text
    assert "\n" not in text
    assert text.endswith(".")
    assert "*.json or *.json.gz" in text  # and what to do


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"id": 5, "name": "x"}, "id"),
        ({"id": 5}, "id"),
        ({"id": " "}, "id"),
        ({"name": "x"}, "name"),
        ({"name": []}, "name"),
        ({"name": [{"family": " "}]}, "name"),
    ],
)
def test_a_patient_without_a_usable_name_or_id_is_refused(
    tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    with pytest.raises(NotFhir) as error:
        read_bundles([write(tmp_path, "b.json", DOCTOR, PATIENT | change)])
    text = str(error.value)
    assert f"b.json has in entry 1 a Patient without a usable {what}" in text
    assert "\n" not in text


def test_a_patient_who_is_named_by_the_full_url_alone_is_read(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    entry = {"fullUrl": "urn:uuid:p", "resource": {k: v for k, v in PATIENT.items() if k != "id"}}
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [entry]}))
    assert len(read_bundles([path]).patients) == 1
    del entry["fullUrl"]
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [entry]}))
    with pytest.raises(NotFhir, match="usable id"):
        read_bundles([path])


def test_an_entry_of_a_patient_who_is_in_no_bundle(tmp_path: Path) -> None:
    stray = about("Condition", code={"text": "x"}) | {"subject": {"reference": "Patient/other"}}
    with pytest.raises(NotFhir, match=r"b\.json has a Condition of Patient/other, who is in no bundle"):
        read_bundles([write(tmp_path, "b.json", PATIENT, stray)])


def test_a_file_that_unpacks_to_more_than_any_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from examples.portal_fastapi import fhir

    monkeypatch.setattr(fhir, "_MAX_BYTES", 1 << 20)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(b" " * (2 << 20)))
    with pytest.raises(NotFhir, match=r"bomb\.json\.gz is larger than 1 MiB"):
        read_bundles([path])


@pytest.mark.parametrize("there", ["nothing", "empty"])
def test_a_folder_without_bundles(tmp_path: Path, there: str) -> None:
    folder = tmp_path / there
    if there == "empty":
        folder.mkdir()
    with pytest.raises(NotFhir, match=there):
        bundle_files(folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "coding",
                    "text",
                    "display",
                    "code",
                    "value",
                    "system",
                    "reference",
                    "family",
                    "given",
                    "start",
                    "individual",
                    "type",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
KINDS = [
    "Patient",
    "Practitioner",
    "Condition",
    "Observation",
    "MedicationRequest",
    "Immunization",
    "AllergyIntolerance",
    "Encounter",
    "Claim",
]
FIELDS = [
    "name",
    "telecom",
    "identifier",
    "birthDate",
    "address",
    "gender",
    "code",
    "clinicalStatus",
    "valueQuantity",
    "component",
    "participant",
    "period",
    "type",
    "requester",
    "reaction",
    "dosageInstruction",
    "medicationCodeableConcept",
    "vaccineCode",
    "onsetDateTime",
    "subject",
    "patient",
    "id",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5)),
        max_size=4,
    )
)
def test_whatever_stands_in_a_bundle_is_people_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, resources: list[tuple[str, dict[str, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("any") / "b.json"
    entries = [{"resource": {"resourceType": kind, **fields}} for kind, fields in resources]
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": PATIENT}, *entries]}))
    try:
        people = read_bundles([path])
    except NotFhir as error:
        assert "b.json" in str(error)
    else:
        assert isinstance(people, People)
        assert all(isinstance(p.name, str) and p.name for p in people.patients)


# -- the bundles that are there ---------------------------------------------------------------------------------


def test_the_shared_bundles() -> None:
    people = read_bundles(bundle_files(shared("data", "fhir")))
    assert len(people.patients) == 38
    assert {entry.kind for entry in people.entries} >= set(Kind) - {Kind.ALLERGY}
    assert all(p.name and p.birth_date and p.ssn and p.phone and p.address and p.mrn for p in people.patients)
    assert len(people.care_team) >= 38
    assert len({p.id for p in people.patients}) == 38
