"""The clinic's own values: people and what is written about them. No store, no web, no portalsec."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

__all__ = ["Entry", "Guardian", "Kind", "Patient", "People", "Staff", "age_on"]


class Kind(StrEnum):
    """What an entry of a record is, in the order in which a page shows them."""

    CONDITION = "condition"
    ALLERGY = "allergy"
    MEDICATION = "medication"
    IMMUNIZATION = "immunization"
    OBSERVATION = "observation"
    ENCOUNTER = "encounter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who a record is about. ``id`` is random and means nothing outside this portal."""

    id: str
    name: str
    family: str
    birth_date: date | None = None
    sex: str = ""
    phone: str = ""
    email: str = ""
    ssn: str = ""
    mrn: str = ""
    address: str = ""
    deceased: bool = False
    sealed: bool = False  # for the patient alone: nobody else reads it, care team or not
    erased: bool = False  # the key is destroyed: nothing of the above is left, and ``name`` says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Staff:
    """Somebody who works at the clinic."""

    id: str
    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """Somebody who acts for a patient, such as a parent."""

    id: str
    name: str
    relationship: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a record: ``detail`` is a value, dose or status in words."""

    id: str
    patient_id: str
    kind: Kind
    title: str
    detail: str = ""
    on: str = ""  # ISO 8601 date, or empty where the source gives none
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Everything that fills a portal, as one value: it is written as a whole or not at all."""

    patients: tuple[Patient, ...]
    entries: tuple[Entry, ...] = ()
    staff: tuple[Staff, ...] = ()
    guardians: tuple[Guardian, ...] = ()
    care_team: frozenset[tuple[str, str]] = field(default_factory=frozenset)  # (patient id, staff id)
    wards: frozenset[tuple[str, str]] = field(default_factory=frozenset)  # (patient id, guardian id)


def age_on(born: date, today: date) -> int:
    """Whole years of age."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))
