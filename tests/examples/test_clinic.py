"""The clinic's database: sealed field by field, each in its place, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from examples.portal_fastapi.clinic import Clinic, schema
from examples.portal_fastapi.domain import People
from examples.portal_fastapi.people import synthetic_people
from portalsec.crypto.keyset import Keyset
from portalsec.errors import DecryptionError, StoreError
from portalsec.sqlalchemy import open_engine


@pytest.fixture
def people() -> People:
    return synthetic_people()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'app.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def clinic(engine: sa.Engine, people: People) -> Clinic:
    clinic = Clinic(engine, Keyset.generate("AES256_GCM"))
    clinic.create_tables()
    clinic.write(people)
    return clinic


def test_what_is_written_is_read_back(clinic: Clinic, people: People) -> None:
    assert {p.id: p for p in clinic.patients()} == {p.id: p for p in people.patients}
    for patient in people.patients:
        assert clinic.patient(patient.id) == patient
        mine = {entry.id: entry for entry in people.entries if entry.patient_id == patient.id}
        assert {entry.id: entry for entry in clinic.entries(patient.id)} == mine
    assert set(clinic.staff()) == set(people.staff)
    for member in people.staff:
        assert clinic.staff_member(member.id) == member
    for guardian in people.guardians:
        assert clinic.guardian(guardian.id) == guardian


def test_entries_come_newest_first(clinic: Clinic, people: People) -> None:
    days = [entry.on for entry in clinic.entries(people.patients[0].id)]
    assert days == sorted(days, reverse=True)
    assert len(set(days)) > 1


def test_relations_are_what_was_written(clinic: Clinic, people: People) -> None:
    for patient in people.patients:
        for member in people.staff:
            assert clinic.cares_for(member.id, patient.id) is ((patient.id, member.id) in people.care_team)
        for guardian in people.guardians:
            assert clinic.guards(guardian.id, patient.id) is ((patient.id, guardian.id) in people.wards)
    assert {p.id for p in clinic.patients_of(people.staff[0].id)} == {
        p for p, s in people.care_team if s == people.staff[0].id
    }
    assert [p.id for p in clinic.wards_of(people.guardians[0].id)] == [p for p, _ in people.wards]


def test_an_unknown_id_is_nobody(clinic: Clinic) -> None:
    assert clinic.patient("x") is clinic.staff_member("x") is clinic.guardian("x") is None
    assert clinic.entries("x") == clinic.patients_of("x") == clinic.wards_of("x") == []
    assert clinic.is_sealed("x") is False


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("mockford", 2),
        ("MOCK barn", 1),
        ("MRN-700000", 1),
        ("zzz", 0),
        ("", 0),
        ("   ", 0),
        ("%", 0),
    ],
)
def test_search_finds_every_word_in_a_name_or_number(clinic: Clinic, words: str, found: int) -> None:
    assert len(clinic.search(words)) == found
    assert clinic.search("e", limit=2) == clinic.search("e")[:2]


def test_every_column_but_ids_and_kinds_is_ciphertext(
    clinic: Clinic, engine: sa.Engine, people: People
) -> None:
    readable = {"id", "patient_id", "staff_id", "guardian_id", "kind", "deceased", "sealed"}
    for table in schema.tables.values():
        with engine.connect() as connection:
            rows = connection.execute(sa.select(table)).mappings().all()
        assert rows
        for row in rows:
            for name, value in row.items():
                assert name in readable or isinstance(value, bytes), f"{table.name}.{name}"
    names = [
        text
        for p in people.patients
        for text in (p.name, p.family, p.phone, p.ssn, p.email, p.mrn, p.address)
    ]
    with engine.connect() as connection:
        everything = repr([connection.execute(sa.select(t)).all() for t in schema.tables.values()])
    assert not [text for text in names if text in everything]


def test_two_equal_values_are_two_ciphertexts(clinic: Clinic, engine: sa.Engine) -> None:
    with engine.connect() as connection:
        sexes = connection.execute(sa.text("SELECT sex FROM patient")).scalars().all()
    assert len(set(sexes)) == len(sexes)


@pytest.mark.parametrize(
    "move",
    [
        # another person's name in this row
        "UPDATE patient SET name = (SELECT name FROM patient WHERE id = :other) WHERE id = :id",
        # another column of the same row
        "UPDATE patient SET name = phone WHERE id = :id",
        "UPDATE patient SET name = x'00' WHERE id = :id",
    ],
)
def test_a_value_opens_only_in_its_place(
    clinic: Clinic, engine: sa.Engine, people: People, move: str
) -> None:
    first, second = people.patients[:2]
    with engine.begin() as connection:
        connection.execute(sa.text(move), {"id": first.id, "other": second.id})
    with pytest.raises(DecryptionError):
        clinic.patient(first.id)
    assert clinic.patient(second.id) == second


def test_all_is_written_or_nothing(engine: sa.Engine, people: People) -> None:
    clinic = Clinic(engine, Keyset.generate("AES256_GCM"))
    clinic.create_tables()
    stray = replace(people, care_team=people.care_team | {("no such patient", people.staff[0].id)})
    with pytest.raises(StoreError, match="clinic's database"):
        clinic.write(stray)
    assert clinic.is_empty()
    clinic.write(people)
    assert not clinic.is_empty()


def test_a_database_that_does_not_answer_is_a_store_error_without_values(
    clinic: Clinic, engine: sa.Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE patient RENAME TO elsewhere"))
    with pytest.raises(StoreError) as error:
        clinic.patients()
    assert str(error.value) == "the clinic's database does not answer"


def test_the_invented_people_cannot_be_real(people: People) -> None:
    for patient in people.patients:
        assert "555-01" in patient.phone
        assert patient.ssn.startswith("9")
        assert patient.email.endswith("@example.com")
    assert [p.name for p in synthetic_people().patients] == [p.name for p in people.patients]
    assert not {p.id for p in synthetic_people().patients} & {p.id for p in people.patients}
