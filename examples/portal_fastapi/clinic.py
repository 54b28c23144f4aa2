"""The clinic's own database, ``app.db``: queries over rows that are sealed column by column (`cells.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import sqlalchemy as sa

from portalsec.crypto import BlindIndex
from portalsec.errors import ConfigurationError, StoreError, SubjectErased

from . import tables
from .cells import ClinicCells, phone_numbers
from .domain import Entry, Guardian, Kind, Patient, People, Staff
from .ties import store_errors

__all__ = ["Clinic"]

ERASED = "Erased patient"

_patient, _entry, _staff, _guardian = tables.patient, tables.entry, tables.staff, tables.guardian


class Clinic:
    """Queries of the clinic's database. Safe for concurrent use; every call is a short transaction.

    Raises `portalsec.errors.StoreError` where the database does not answer and `portalsec.errors.DecryptionError`
    where a stored value is not what was written. A patient who was erased is still a row, of nobody: such a `Patient`
    has no values, and is found by no search.
    """

    def __init__(self, engine: sa.Engine, cells: ClinicCells) -> None:
        """``engine`` is from `portalsec.sqlalchemy.open_engine`, which makes the file private to its owner."""
        self._engine = engine
        self._cells = cells

    def close(self) -> None:
        """End the connections, so that the file is whole by itself, without a write-ahead log beside it."""
        self._engine.dispose()

    # -- filling ----------------------------------------------------------------------------------------------------

    def create_tables(self) -> None:
        with store_errors():
            tables.schema.create_all(self._engine)

    def is_empty(self) -> bool:
        return not self._rows(sa.select(_patient.c.id).limit(1))

    def write(self, people: People) -> None:
        """All of it or, when anything fails, none of it: one transaction."""
        cells = self._cells
        rows: list[tuple[sa.Table, Sequence[Mapping[str, object]]]] = [
            (_patient, [self._patient_row(p) for p in people.patients]),
            (
                _entry,
                [
                    {"id": e.id, "patient_id": e.patient_id, "kind": e.kind.value}
                    | cells.entry.seal(e.id, asdict(e), subject=e.patient_id)
                    for e in people.entries
                ],
            ),
            (_staff, [{"id": s.id} | cells.staff.seal(s.id, asdict(s)) for s in people.staff]),
            (_guardian, [{"id": g.id} | cells.guardian.seal(g.id, asdict(g)) for g in people.guardians]),
            (tables.care_team, [{"patient_id": p, "staff_id": s} for p, s in sorted(people.care_team)]),
            (tables.ward, [{"patient_id": p, "guardian_id": g} for p, g in sorted(people.wards)]),
        ]
        with store_errors(), self._engine.begin() as connection:
            for table, values in rows:
                if values:
                    connection.execute(sa.insert(table), values)

    def _patient_row(self, patient: Patient) -> dict[str, object]:
        return {
            "id": patient.id,
            "deceased": patient.deceased,
            "sealed": patient.sealed,
            "phone_tag": self._cells.phone.tag(patient.phone),
            "mrn_tag": self._cells.mrn.tag(patient.mrn),
            **self._cells.patient.seal(patient.id, asdict(patient), subject=patient.id),
        }

    # -- people -----------------------------------------------------------------------------------------------------

    def patient(self, patient_id: str) -> Patient | None:
        found = self._rows(sa.select(_patient).where(_patient.c.id == patient_id))
        return self._to_patient(found[0]) if found else None

    def own_words(self, patient_id: str) -> list[str]:
        """What a stranger who knows this patient would try first as a password; nothing for an id that nobody has."""
        patient = self.patient(patient_id) if patient_id else None
        if patient is None or patient.erased:
            return []
        born = patient.birth_date.strftime("%Y-%m-%d %d%m%Y %m%d%Y %Y").split() if patient.birth_date else []
        return [patient.name, patient.email, patient.phone, *born]

    def is_sealed(self, patient_id: str) -> bool:
        """Whether the record is for the patient alone. False for an id that nobody has: such a request is refused
        for want of a relation, exactly as a stranger's record is."""
        return bool(
            self._rows(sa.select(_patient.c.id).where(_patient.c.id == patient_id, _patient.c.sealed))
        )

    def patients(self) -> list[Patient]:
        """Everyone, by name; who was erased comes last."""
        return self._by_name(self._rows(sa.select(_patient)))

    def patients_of(self, staff_id: str) -> list[Patient]:
        """The patients in whose care team this member of staff is, by name."""
        team = tables.care_team
        mine = sa.select(team.c.patient_id).where(team.c.staff_id == staff_id)
        return self._by_name(self._rows(sa.select(_patient).where(_patient.c.id.in_(mine))))

    def wards_of(self, guardian_id: str) -> list[Patient]:
        """The patients whom this guardian acts for, by name."""
        ward = tables.ward
        mine = sa.select(ward.c.patient_id).where(ward.c.guardian_id == guardian_id)
        return self._by_name(self._rows(sa.select(_patient).where(_patient.c.id.in_(mine))))

    def search(self, words: str, *, limit: int = 25) -> list[Patient]:
        """Patients with this phone number or medical record number, or whose name or number has every word.

        Whole numbers are found by their indexes: nobody is opened but the few who share a tag. Names have no index
        here, so words open everyone one by one: fine for a clinic; beyond it, index them as the numbers are.
        """
        wanted = words.casefold().split()
        if not wanted:
            return []
        numbers, cells = phone_numbers(words), self._cells
        found = self._tagged(cells.phone, _patient.c.phone_tag, numbers, lambda p: p.phone)
        found = found or self._tagged(cells.mrn, _patient.c.mrn_tag, [words], lambda p: p.mrn)
        if not found and not numbers:
            everyone = (p for p in self.patients() if not p.erased)
            found = [p for p in everyone if all(w in f"{p.name} {p.mrn}".casefold() for w in wanted)]
        return found[:limit]

    def _tagged(
        self,
        index: BlindIndex[str],
        column: sa.Column[bytes],
        asked: Sequence[str],
        of: Callable[[Patient], str],
    ) -> list[Patient]:
        """Those who really have one of these numbers: a tag is shared by others, who are dropped once opened."""
        tags = {
            tag for text in asked for tag in index.tags(text)
        }  # under every key, in the midst of a rotation
        if not tags:
            return []
        wanted = {index.normaliser(text) for text in asked}
        candidates = self._by_name(self._rows(sa.select(_patient).where(column.in_(tags))))
        return [p for p in candidates if not p.erased and index.normaliser(of(p)) in wanted]

    def staff(self) -> list[Staff]:
        return [self._to_staff(row) for row in self._rows(sa.select(_staff))]

    def staff_member(self, staff_id: str) -> Staff | None:
        found = self._rows(sa.select(_staff).where(_staff.c.id == staff_id))
        return self._to_staff(found[0]) if found else None

    def guardian(self, guardian_id: str) -> Guardian | None:
        found = self._rows(sa.select(_guardian).where(_guardian.c.id == guardian_id))
        return Guardian(id=guardian_id, **self._cells.guardian.open(found[0])) if found else None

    # -- records ----------------------------------------------------------------------------------------------------

    def entries(self, patient_id: str) -> list[Entry]:
        """A patient's entries, newest first (dates are sealed, so they are sorted here).

        Raises:
            SubjectErased: the patient was erased.
        """
        entries = [
            Entry(
                id=row["id"],
                patient_id=patient_id,
                kind=Kind(row["kind"]),
                **self._cells.entry.open(row, subject=patient_id),
            )
            for row in self._rows(sa.select(_entry).where(_entry.c.patient_id == patient_id))
        ]
        return sorted(entries, key=lambda entry: (entry.on, entry.title), reverse=True)

    def count_entries(self, patient_id: str) -> int:
        query = sa.select(sa.func.count().label("n")).where(_entry.c.patient_id == patient_id)
        return int(self._rows(query)[0]["n"])

    # -- erasing; the order is that of erasure.py -------------------------------------------------------------------

    def begin_erasure(self, patient_id: str) -> None:
        """Note that it is wanted, so that whatever comes between is noticed. It is not undone."""
        begun = sa.update(_patient).where(_patient.c.id == patient_id, _patient.c.erasure.is_(None))
        with store_errors(), self._engine.begin() as connection:
            connection.execute(begun.values(erasure="begun"))

    def unfinished_erasures(self) -> list[str]:
        """Ids of the patients whose erasure was begun and did not come to its end."""
        return [
            row["id"] for row in self._rows(sa.select(_patient.c.id).where(_patient.c.erasure == "begun"))
        ]

    def clear(self, patient_id: str) -> None:
        """Empty the row of a patient whose key is destroyed: tags above all, which no key of theirs protects."""
        emptied = {c.name: None for c in _patient.columns if isinstance(c.type, sa.LargeBinary)}
        with store_errors(), self._engine.begin() as connection:
            connection.execute(
                sa.update(_patient)
                .where(_patient.c.id == patient_id)
                .values(**emptied, deceased=False, sealed=False, erasure="done")
            )
            connection.execute(sa.delete(_entry).where(_entry.c.patient_id == patient_id))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _rows(self, query: sa.Select[*tuple[object, ...]]) -> list[sa.RowMapping]:
        with store_errors(), self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def _by_name(self, rows: Sequence[sa.RowMapping]) -> list[Patient]:
        self._cells.subjects.preload(row["id"] for row in rows)  # their keys by one look, and not one by one
        return sorted(
            map(self._to_patient, rows),
            key=lambda p: (p.erased, p.family.casefold(), p.name.casefold(), p.id),
        )

    def _to_patient(self, row: sa.RowMapping) -> Patient:
        """The one place where a patient is opened, and so where one who was erased becomes nobody."""
        nobody = Patient(id=row["id"], name=ERASED, family="", erased=True)
        if row["erasure"] == "done":
            return nobody
        try:
            values = self._cells.patient.open(row, subject=row["id"])
        except SubjectErased:  # the key is gone, and the row is not cleared yet
            return nobody
        return Patient(id=row["id"], deceased=row["deceased"], sealed=row["sealed"], **values)

    def _to_staff(self, row: sa.RowMapping) -> Staff:
        return Staff(id=row["id"], **self._cells.staff.open(row))

    def check(self) -> None:
        """Read every page of the database, so that damage is found at the start and not at somebody's visit.

        Raises:
            StoreError: the database is damaged.
            ConfigurationError: it was made by another version of this demo.
        """
        try:
            with self._engine.connect() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            inspected = sa.inspect(self._engine)
            there = {
                name: {column["name"] for column in inspected.get_columns(name)}
                for name in inspected.get_table_names()
            }
        except sa.exc.SQLAlchemyError as error:
            found, there = str(getattr(error, "orig", None) or error), {}
        if found != "ok":
            what = " ".join(str(found).split())
            raise StoreError(
                f"the database {self._engine.url} is damaged ({what}): move it away and restore it from a backup"
            )
        wanted = {table.name: set(table.columns.keys()) for table in tables.schema.tables.values()}
        if there and any(not columns <= there.get(name, set()) for name, columns in wanted.items()):
            raise ConfigurationError(
                f"the database {self._engine.url} was made by an older version of this demo: "
                "start anew with make demo-reset"
            )
