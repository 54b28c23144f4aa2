"""A few invented people, the same every time. Nobody can mistake them for real ones.

Phone numbers lie in 555-0100 to 555-0199, which the North American plan keeps for fiction; social security
numbers begin with 9, which was never issued; mail goes to ``example.com`` (RFC 2606). Row ids are random all the
same: what is stored is joined to nothing outside.
"""

from __future__ import annotations

import uuid
from datetime import date

from .domain import Entry, Guardian, Kind, Patient, People, Staff

__all__ = ["synthetic_people"]

# name, family, born, sex, number
_PATIENTS = (
    ("Wilhelmina Testerby", "Testerby", date(1968, 3, 14), "female"),
    ("Ferdinand Sampleton", "Sampleton", date(1954, 11, 2), "male"),
    ("Octavia Placeholm", "Placeholm", date(1989, 7, 23), "female"),
    ("Barnabas Mockford", "Mockford", date(1977, 1, 30), "male"),
    ("Clementine Mockford", "Mockford", date(2019, 9, 26), "female"),
    ("Thaddeus Inventado", "Inventado", date(1996, 5, 8), "male"),
    ("Philippa Fictorova", "Fictorova", date(1942, 12, 19), "female"),
    ("Leopold Exemplaris", "Exemplaris", date(2001, 4, 4), "male"),
)

_STORIES: tuple[tuple[tuple[Kind, str, str, str], ...], ...] = (
    (
        (Kind.CONDITION, "Hypertension", "active", "2016-05-11"),
        (Kind.CONDITION, "Seasonal allergic rhinitis", "active", "2009-04-02"),
        (Kind.ALLERGY, "Penicillin", "rash", "1999-08-20"),
        (Kind.MEDICATION, "Lisinopril 10 MG oral tablet", "one each morning", "2024-02-12"),
        (Kind.IMMUNIZATION, "Influenza, seasonal", "completed", "2025-10-06"),
        (Kind.OBSERVATION, "Blood pressure", "systolic 134 mm[Hg], diastolic 82 mm[Hg]", "2026-02-10"),
        (Kind.OBSERVATION, "Blood pressure", "systolic 141 mm[Hg], diastolic 88 mm[Hg]", "2025-08-19"),
        (Kind.OBSERVATION, "Body weight", "71.2 kg", "2026-02-10"),
        (Kind.ENCOUNTER, "Check-up", "", "2026-02-10"),
    ),
    (
        (Kind.CONDITION, "Type 2 diabetes mellitus", "active", "2011-09-30"),
        (Kind.MEDICATION, "Metformin 500 MG oral tablet", "one with breakfast and dinner", "2023-01-17"),
        (Kind.OBSERVATION, "Haemoglobin A1c", "6.9 %", "2026-01-22"),
        (Kind.OBSERVATION, "Haemoglobin A1c", "7.4 %", "2025-07-03"),
        (Kind.IMMUNIZATION, "Pneumococcal conjugate", "completed", "2021-03-15"),
        (Kind.ENCOUNTER, "Diabetes review", "", "2026-01-22"),
    ),
    (
        (Kind.CONDITION, "Migraine with aura", "active", "2012-02-08"),
        (
            Kind.MEDICATION,
            "Sumatriptan 50 MG oral tablet",
            "one at the first sign, at most two a day",
            "2025-06-01",
        ),
        (Kind.OBSERVATION, "Body height", "172 cm", "2025-06-01"),
        (Kind.ENCOUNTER, "Consultation", "", "2025-06-01"),
    ),
    (
        (Kind.CONDITION, "Acute bronchitis", "resolved", "2025-11-14"),
        (Kind.OBSERVATION, "Body temperature", "37.9 Cel", "2025-11-14"),
        (Kind.ENCOUNTER, "Symptom visit", "", "2025-11-14"),
    ),
    (
        (Kind.ALLERGY, "Peanut", "hives", "2022-05-03"),
        (Kind.IMMUNIZATION, "Measles, mumps, rubella", "completed", "2020-10-12"),
        (Kind.IMMUNIZATION, "Varicella", "completed", "2020-10-12"),
        (Kind.OBSERVATION, "Body height", "112 cm", "2025-09-29"),
        (Kind.OBSERVATION, "Body weight", "19.4 kg", "2025-09-29"),
        (Kind.ENCOUNTER, "Well child visit", "", "2025-09-29"),
    ),
    (
        (Kind.CONDITION, "Sprain of ankle", "resolved", "2024-08-21"),
        (Kind.ENCOUNTER, "Symptom visit", "", "2024-08-21"),
    ),
    (
        (Kind.CONDITION, "Osteoarthritis of knee", "active", "2008-10-10"),
        (Kind.CONDITION, "Atrial fibrillation", "active", "2019-03-27"),
        (Kind.MEDICATION, "Apixaban 5 MG oral tablet", "one morning and evening", "2022-11-05"),
        (Kind.OBSERVATION, "Heart rate", "68 /min", "2026-03-03"),
        (Kind.ENCOUNTER, "Check-up", "", "2026-03-03"),
    ),
    (
        (Kind.IMMUNIZATION, "Tetanus and diphtheria", "completed", "2021-04-30"),
        (Kind.ENCOUNTER, "General examination", "", "2021-04-30"),
    ),
)

_STAFF = (
    ("Dr. Hortensia Quillfeather", "Physician"),
    ("Dr. Ignatius Brambleworth", "Physician"),
)
# which patients (by place in the list) are whose: two of one doctor's are nobody else's
_TEAMS = ((0, 1, 4, 6), (1, 2, 3, 5, 7))


def synthetic_people() -> People:
    """Eight patients, two physicians, one parent with a child."""
    patients = tuple(
        Patient(
            id=str(uuid.uuid4()),
            name=name,
            family=family,
            birth_date=born,
            sex=sex,
            phone=f"(212) 555-01{10 + 7 * n:02d}",
            email=f"{name.lower().replace(' ', '.')}@example.com",
            ssn=f"9{10 + n:02d}-{71 + n}-{4321 + 613 * n}",
            mrn=f"MRN-{700_000 + 3571 * n}",
            address=f"{11 + 8 * n} Invention Row, Fabricville",
        )
        for n, (name, family, born, sex) in enumerate(_PATIENTS)
    )
    staff = tuple(Staff(id=str(uuid.uuid4()), name=name, title=title) for name, title in _STAFF)
    parent = Guardian(id=str(uuid.uuid4()), name="Rosalind Mockford", relationship="mother")
    teams = {(patients[n].id, staff[s].id) for s, team in enumerate(_TEAMS) for n in team}
    first = {n: s for s, team in reversed(list(enumerate(_TEAMS))) for n in team}
    return People(
        patients=patients,
        entries=tuple(
            Entry(
                id=str(uuid.uuid4()),
                patient_id=patients[n].id,
                kind=kind,
                title=title,
                detail=detail,
                on=on,
                by=staff[first[n]].name if kind in {Kind.ENCOUNTER, Kind.MEDICATION} else "",
            )
            for n, story in enumerate(_STORIES)
            for kind, title, detail, on in story
        ),
        staff=staff,
        guardians=(parent,),
        care_team=frozenset(teams),
        wards=frozenset({(patients[4].id, parent.id)}),
    )
