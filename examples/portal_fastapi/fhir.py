"""Reads FHIR R4 bundles (``*.json``, ``*.json.gz``) into `People`.

Everything is read and checked before anything is returned, so that a folder with one bad file fills nothing.
Resources that a portal page does not show (claims, care plans and the like) are passed over.
"""

from __future__ import annotations

import gzip
import json
import re
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from .domain import Entry, Kind, Patient, People, Staff

__all__ = ["NotFhir", "bundle_files", "read_bundles"]

_MAX_BYTES = 64 << 20  # a bundle of one patient is far below; a gzip bomb is not read to its end


_ELSE = "mend or leave out that file, or name another folder of FHIR R4 bundles, *.json or *.json.gz"


class NotFhir(Exception):
    """A file or folder is not what it should be; the text is one sentence that names it."""


def bundle_files(source: Path) -> list[Path]:
    """The bundles at ``source``: itself if it is a file, else the ``*.json`` and ``*.json.gz`` directly in it."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise NotFhir(
            f"{source} is neither a file nor a folder: name a folder of FHIR R4 bundles, *.json or *.json.gz."
        )
    try:
        files = sorted(p for p in source.iterdir() if p.is_file() and p.name.endswith((".json", ".json.gz")))
    except OSError as error:
        raise NotFhir(
            f"{source} cannot be read ({error.strerror}): change its owner or mode, or name another folder."
        ) from error
    if not files:
        raise NotFhir(f"{source} holds no *.json or *.json.gz file: name a folder of FHIR R4 bundles.")
    return files


def read_bundles(files: Iterable[Path], *, done: Callable[[], None] = lambda: None) -> People:
    """Read all files, then make people of them. ``done`` is called after each file (a progress bar).

    Raises:
        NotFhir: a file cannot be read, is not a bundle, or no patient is among them.
    """
    resources: list[tuple[Path, dict[str, Any]]] = []
    reader = _Reader()
    names: list[str] = []
    for path in files:
        names.append(path.name)
        for index, full_url, resource in _resources(path):
            resources.append((path, resource))
            _check_patient(path, index, full_url, resource)
            reader.learn(full_url, resource)
        done()
    for path, resource in resources:
        reader.take(path, resource)
    people = reader.people()
    if not people.patients:
        raise NotFhir(
            f"no Patient is among the bundles ({', '.join(names[:3])}): "
            "name a folder of FHIR R4 bundles, *.json or *.json.gz, that has some."
        )
    return people


def _check_patient(path: Path, index: int, full_url: str, resource: Mapping[str, Any]) -> None:
    """A patient whom nothing can refer to, or whom nobody could tell from another, is no patient."""
    if resource["resourceType"] != "Patient":
        return
    key, lacks = resource.get("id"), ""
    if not (isinstance(key, str) and key.strip()) and not (key is None and full_url):
        lacks = "id"
    elif not _name(resource)[0]:
        lacks = "name"
    if lacks:
        raise NotFhir(f"{path} has in entry {index} a Patient without a usable {lacks}: {_ELSE}.")


def _resources(path: Path) -> Iterable[tuple[int, str, dict[str, Any]]]:
    """Each resource with the index of its entry and its ``fullUrl``."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NotFhir(
            f"{path} cannot be read ({getattr(error, 'strerror', None) or error}): {_ELSE}."
        ) from error
    if len(data) > _MAX_BYTES:
        raise NotFhir(
            f"{path} is larger than {_MAX_BYTES >> 20} MiB, which no bundle of this portal is: {_ELSE}."
        )
    try:
        bundle = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotFhir(f"{path} is not JSON, so it is not a FHIR bundle: {_ELSE}.") from error
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise NotFhir(f"{path} is JSON but not a FHIR bundle (its resourceType is not Bundle): {_ELSE}.")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise NotFhir(f"{path} is not a FHIR bundle (its entry is not a list): {_ELSE}.")
    for index, entry in enumerate(entries):
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            raise NotFhir(
                f"{path} is not a FHIR bundle (its entry {index} has no resource with a resourceType): {_ELSE}."
            )
        full_url = entry.get("fullUrl")
        yield index, full_url if isinstance(full_url, str) else "", resource


class _Reader:
    """Collects resources; references between bundles are resolved once all of them are known."""

    def __init__(self) -> None:
        self._patients: dict[str, Patient] = {}  # by every reference that may name it
        self._staff: dict[str, Staff] = {}
        self._by_patient: dict[str, Patient] = {}
        self._entries: list[Entry] = []
        self._seen: Counter[tuple[str, str]] = Counter()  # (patient id, staff id) -> encounters

    def learn(self, full_url: str, resource: Mapping[str, Any]) -> None:
        """First pass: who there is. The same person in two bundles is one person."""
        kind = resource["resourceType"]
        if kind not in {"Patient", "Practitioner"}:
            return
        names = {full_url, f"{kind}/{resource.get('id')}", f"urn:uuid:{resource.get('id')}"} - {""}
        if kind == "Patient":
            known = next((self._patients[n] for n in names if n in self._patients), None)
            patient = known or _patient(resource)
            self._patients |= dict.fromkeys(names, patient)
            self._by_patient[patient.id] = patient
        else:
            name = _name(resource)[0]
            if not name:
                return
            member = next((self._staff[n] for n in names if n in self._staff), None)
            member = member or Staff(id=_new_id(), name=name, title="Physician")
            self._staff |= dict.fromkeys(names, member)

    def take(self, path: Path, resource: Mapping[str, Any]) -> None:
        """Second pass: what is written about them."""
        kind = _KINDS.get(resource["resourceType"])
        if kind is None:
            return
        who = _reference(resource.get("subject") or resource.get("patient"))
        patient = self._patients.get(who)
        if patient is None:
            raise NotFhir(
                f"{path} has a {resource['resourceType']} of {who or 'nobody'}, who is in no bundle: "
                f"add the bundle of that Patient, *.json or *.json.gz, or leave out that file."
            )
        title, detail, on = _TITLES[kind](resource)
        by = self._author(resource)
        if kind is Kind.ENCOUNTER:
            for part in _list(resource, "participant"):
                member = self._staff.get(_reference(_get(part, "individual")))
                if member:
                    self._seen[patient.id, member.id] += 1
                    by = by or member.name
        if title:
            self._entries.append(
                Entry(
                    id=_new_id(), patient_id=patient.id, kind=kind, title=title, detail=detail, on=on, by=by
                )
            )

    def people(self) -> People:
        met: dict[str, Staff] = {member.id: member for member in self._staff.values()}
        return People(
            patients=tuple(self._by_patient.values()),
            entries=tuple(self._entries),
            staff=tuple(member for member in met.values() if any(s == member.id for _, s in self._seen)),
            care_team=frozenset(self._seen),
        )

    def _author(self, resource: Mapping[str, Any]) -> str:
        for key in ("requester", "recorder", "asserter"):
            member = self._staff.get(_reference(resource.get(key)))
            if member:
                return member.name
        return ""


# -- pieces of FHIR; every one takes what a file may hold in their place and gives text -----------------------------


def _new_id() -> str:
    # Not the source's id: it would tie a row of this portal to the hospital that the bundle came from.
    return str(uuid.uuid4())


def _get(value: object, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: object, *keys: str) -> list[Any]:
    found = _get(value, *keys)
    return found if isinstance(found, list) else []


def _words(value: object) -> str:
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""


def _reference(value: object) -> str:
    reference = _get(value, "reference")
    return reference if isinstance(reference, str) else ""


def _concept(value: object) -> str:
    displays = (_words(_get(coding, "display")) for coding in _list(value, "coding"))
    text = _words(_get(value, "text")) or next(filter(None, displays), "")
    # SNOMED CT's semantic tag is for machines: "Encounter for check up (procedure)"
    return re.sub(r" \((procedure|finding|disorder|situation|environment)\)$", "", text)


def _day(value: object) -> str:
    text = _words(value)[:10]
    return text if re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", text) else ""


def _quantity(value: object) -> str:
    number, unit = _get(value, "value"), _words(_get(value, "unit"))
    if isinstance(number, bool) or not isinstance(number, int | float):
        return ""
    unit = {"{score}": "", "{nominal}": "", "{T-score}": ""}.get(unit, unit)
    return f"{number:.1f}".removesuffix(".0") + (f" {unit}" if unit else "")


def _name(resource: Mapping[str, Any]) -> tuple[str, str]:
    """(the whole name, the family name). A practitioner's prefix stays: it is how one calls a doctor."""
    names = [n for n in _list(resource, "name") if isinstance(n, dict)]
    chosen = next((n for n in names if n.get("use") == "official"), names[0] if names else {})
    family = _words(chosen.get("family"))
    prefix = _list(chosen, "prefix") if resource["resourceType"] == "Practitioner" else []
    parts = [*map(_words, prefix), *map(_words, _list(chosen, "given")), family]
    return " ".join(filter(None, parts)) or _words(chosen.get("text")), family


def _patient(resource: Mapping[str, Any]) -> Patient:
    name, family = _name(resource)
    telecom = {_words(_get(t, "system")): _words(_get(t, "value")) for t in _list(resource, "telecom")}
    numbers = {
        _words(_get(coding, "code")): _words(_get(identifier, "value"))
        for identifier in _list(resource, "identifier")
        for coding in _list(identifier, "type", "coding")
    }
    try:
        born = date.fromisoformat(_words(resource.get("birthDate")))
    except ValueError:
        born = None
    place: Any = next(iter(_list(resource, "address")), {})
    lines = [
        *map(_words, _list(place, "line")),
        *(_words(_get(place, k)) for k in ("city", "state", "postalCode")),
    ]
    return Patient(
        id=_new_id(),
        name=name,
        family=family,
        birth_date=born,
        sex=_words(resource.get("gender")),
        phone=telecom.get("phone", ""),
        email=telecom.get("email", ""),
        ssn=numbers.get("SS", ""),
        mrn=numbers.get("MR", ""),
        address=", ".join(filter(None, lines)),
        deceased="deceasedDateTime" in resource or resource.get("deceasedBoolean") is True,
    )


_Title = tuple[str, str, str]


def _condition(r: Mapping[str, Any]) -> _Title:
    return (
        _concept(r.get("code")),
        _words(_get(next(iter(_list(r, "clinicalStatus", "coding")), {}), "code")),
        _day(r.get("onsetDateTime") or r.get("recordedDate")),
    )


def _allergy(r: Mapping[str, Any]) -> _Title:
    reactions = (_concept(m) for reaction in _list(r, "reaction") for m in _list(reaction, "manifestation"))
    detail = ", ".join(filter(None, reactions)) or _words(r.get("criticality"))
    return _concept(r.get("code")), detail, _day(r.get("onsetDateTime") or r.get("recordedDate"))


def _medication(r: Mapping[str, Any]) -> _Title:
    doses = (_words(_get(d, "text")) for d in _list(r, "dosageInstruction"))
    title = _concept(r.get("medicationCodeableConcept")) or _words(_get(r, "medicationReference", "display"))
    return title, ", ".join(filter(None, doses)) or _words(r.get("status")), _day(r.get("authoredOn"))


def _immunization(r: Mapping[str, Any]) -> _Title:
    return _concept(r.get("vaccineCode")), _words(r.get("status")), _day(r.get("occurrenceDateTime"))


def _observation(r: Mapping[str, Any]) -> _Title:
    parts: dict[str, list[str]] = defaultdict(list)
    for component in _list(r, "component"):
        parts[_concept(_get(component, "code"))].append(_value(component))
    detail = _value(r) or ", ".join(
        f"{name} {' '.join(values)}" for name, values in parts.items() if any(values)
    )
    return _concept(r.get("code")), detail, _day(r.get("effectiveDateTime"))


def _value(r: object) -> str:
    return (
        _quantity(_get(r, "valueQuantity"))
        or _concept(_get(r, "valueCodeableConcept"))
        or _words(_get(r, "valueString"))
    )


def _encounter(r: Mapping[str, Any]) -> _Title:
    title = next(filter(None, map(_concept, _list(r, "type"))), "")
    return title, "", _day(_get(r, "period", "start"))


_TITLES: Mapping[Kind, Callable[[Mapping[str, Any]], _Title]] = {
    Kind.CONDITION: _condition,
    Kind.ALLERGY: _allergy,
    Kind.MEDICATION: _medication,
    Kind.IMMUNIZATION: _immunization,
    Kind.OBSERVATION: _observation,
    Kind.ENCOUNTER: _encounter,
}
_KINDS = {
    "Condition": Kind.CONDITION,
    "AllergyIntolerance": Kind.ALLERGY,
    "MedicationRequest": Kind.MEDICATION,
    "Immunization": Kind.IMMUNIZATION,
    "Observation": Kind.OBSERVATION,
    "Encounter": Kind.ENCOUNTER,
}
