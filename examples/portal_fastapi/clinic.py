"""The clinic's own database, ``app.db``: what identifies or describes a person is ciphertext, bound to its row.

Each column has its own `EncryptedField`, so a value that is moved to another column, row or table does not open.
What stays readable are random ids, the kind of an entry and who belongs to whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyset import Keyset
from portalsec.errors import StoreError

from .domain import Entry, Guardian, Kind, Patient, People, Staff

__all__ = ["Clinic", "schema"]

schema = sa.MetaData()

_ID = sa.String(36)
_SEALED = sa.LargeBinary

_patient = sa.Table(
    "patient",
    schema,
    sa.Column("id", _ID, primary_key=True),
    *(
        sa.Column(name, _SEALED)
        for name in ("name", "family", "birth_date", "sex", "phone", "email", "ssn", "mrn", "address")
    ),
    sa.Column("deceased", sa.Boolean, nullable=False),
    sa.Column("sealed", sa.Boolean, nullable=False),
)
_entry = sa.Table(
    "entry",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    *(sa.Column(name, _SEALED) for name in ("title", "detail", "on", "by")),
)
_staff = sa.Table(
    "staff",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _SEALED),
    sa.Column("title", _SEALED),
)
_guardian = sa.Table(
    "guardian",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _SEALED),
    sa.Column("relationship", _SEALED),
)
_care_team = sa.Table(
    "care_team",
    schema,
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), primary_key=True),
    sa.Column("staff_id", _ID, sa.ForeignKey("staff.id"), primary_key=True, index=True),
)
_ward = sa.Table(
    "ward",
    schema,
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), primary_key=True),
    sa.Column("guardian_id", _ID, sa.ForeignKey("guardian.id"), primary_key=True, index=True),
)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The sealed columns of one table."""

    fields: dict[str, EncryptedField[str]]

    @classmethod
    def of(cls, table: sa.Table, keyset: Keyset) -> _Sealed:
        return cls(
            {
                column.name: EncryptedField(keyset, table=table.name, column=column.name)
                for column in table.columns
                if isinstance(column.type, sa.LargeBinary)
            }
        )

    def seal(self, row: str, values: dict[str, str]) -> dict[str, bytes | None]:
        return {name: field.encrypt(values[name], row=row) for name, field in self.fields.items()}

    def open(self, row: sa.RowMapping, *only: str) -> dict[str, str]:
        names = only or tuple(self.fields)
        return {name: self.fields[name].decrypt(row[name], row=row["id"]) or "" for name in names}


class Clinic:
    """Queries of the clinic's database. Safe for concurrent use; every call is a short transaction.

    Raises `portalsec.errors.StoreError` where the database does not answer and `portalsec.errors.DecryptionError`
    where a stored value is not what was written.
    """

    def __init__(self, engine: sa.Engine, keyset: Keyset) -> None:
        """``engine`` is from `portalsec.sqlalchemy.open_engine`, which makes the file private to its owner."""
        self._engine = engine
        self._patient = _Sealed.of(_patient, keyset)
        self._entry = _Sealed.of(_entry, keyset)
        self._staff = _Sealed.of(_staff, keyset)
        self._guardian = _Sealed.of(_guardian, keyset)

    # -- filling ----------------------------------------------------------------------------------------------------

    def create_tables(self) -> None:
        with self._errors():
            schema.create_all(self._engine)

    def check(self) -> None:
        """Read every page of the database, so that damage is found at the start and not at somebody's visit.

        Raises:
            StoreError: the database is damaged.
        """
        try:
            with self._engine.connect() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        except sa.exc.SQLAlchemyError as error:
            found = str(getattr(error, "orig", None) or error)
        if found != "ok":
            what = " ".join(str(found).split())
            raise StoreError(
                f"the database {self._engine.url} is damaged ({what}): move it away and restore it from a backup"
            )

    def is_empty(self) -> bool:
        return not self._rows(sa.select(_patient.c.id).limit(1))

    def write(self, people: People) -> None:
        """All of it or, when anything fails, none of it: one transaction."""
        patients = [
            {"id": p.id, "deceased": p.deceased, "sealed": p.sealed}
            | self._patient.seal(
                p.id,
                {
                    "name": p.name,
                    "family": p.family,
                    "birth_date": p.birth_date.isoformat() if p.birth_date else "",
                    "sex": p.sex,
                    "phone": p.phone,
                    "email": p.email,
                    "ssn": p.ssn,
                    "mrn": p.mrn,
                    "address": p.address,
                },
            )
            for p in people.patients
        ]
        entries = [
            {"id": e.id, "patient_id": e.patient_id, "kind": e.kind.value}
            | self._entry.seal(e.id, {"title": e.title, "detail": e.detail, "on": e.on, "by": e.by})
            for e in people.entries
        ]
        staff = [
            {"id": s.id} | self._staff.seal(s.id, {"name": s.name, "title": s.title}) for s in people.staff
        ]
        guardians = [
            {"id": g.id} | self._guardian.seal(g.id, {"name": g.name, "relationship": g.relationship})
            for g in people.guardians
        ]
        rows: list[tuple[sa.Table, Sequence[Mapping[str, object]]]] = [
            (_patient, patients),
            (_entry, entries),
            (_staff, staff),
            (_guardian, guardians),
            (_care_team, [{"patient_id": p, "staff_id": s} for p, s in sorted(people.care_team)]),
            (_ward, [{"patient_id": p, "guardian_id": g} for p, g in sorted(people.wards)]),
        ]
        with self._errors(), self._engine.begin() as connection:
            for table, values in rows:
                if values:
                    connection.execute(sa.insert(table), values)

    # -- people -----------------------------------------------------------------------------------------------------

    def patient(self, patient_id: str) -> Patient | None:
        found = self._rows(sa.select(_patient).where(_patient.c.id == patient_id))
        return self._to_patient(found[0]) if found else None

    def is_sealed(self, patient_id: str) -> bool:
        """Whether the record is for the patient alone. False for an id that nobody has: such a request is refused
        for want of a relation, exactly as a stranger's record is."""
        return bool(
            self._rows(sa.select(_patient.c.id).where(_patient.c.id == patient_id, _patient.c.sealed))
        )

    def patients(self) -> list[Patient]:
        """Everyone, by name."""
        return self._by_name(self._rows(sa.select(_patient)))

    def patients_of(self, staff_id: str) -> list[Patient]:
        """The patients in whose care team this member of staff is, by name."""
        mine = sa.select(_care_team.c.patient_id).where(_care_team.c.staff_id == staff_id)
        return self._by_name(self._rows(sa.select(_patient).where(_patient.c.id.in_(mine))))

    def wards_of(self, guardian_id: str) -> list[Patient]:
        """The patients whom this guardian acts for, by name."""
        mine = sa.select(_ward.c.patient_id).where(_ward.c.guardian_id == guardian_id)
        return self._by_name(self._rows(sa.select(_patient).where(_patient.c.id.in_(mine))))

    def search(self, words: str, *, limit: int = 25) -> list[Patient]:
        """Patients whose name or medical record number has every word.

        Names are sealed, so this opens them one by one: fine for a clinic, and what a blind index is for beyond.
        """
        wanted = words.casefold().split()
        if not wanted:
            return []
        hits = [p for p in self.patients() if all(w in f"{p.name} {p.mrn}".casefold() for w in wanted)]
        return hits[:limit]

    def staff(self) -> list[Staff]:
        return [
            Staff(id=row["id"], name=values["name"], title=values["title"])
            for row in self._rows(sa.select(_staff))
            for values in (self._staff.open(row),)
        ]

    def staff_member(self, staff_id: str) -> Staff | None:
        for row in self._rows(sa.select(_staff).where(_staff.c.id == staff_id)):
            values = self._staff.open(row)
            return Staff(id=row["id"], name=values["name"], title=values["title"])
        return None

    def guardian(self, guardian_id: str) -> Guardian | None:
        for row in self._rows(sa.select(_guardian).where(_guardian.c.id == guardian_id)):
            values = self._guardian.open(row)
            return Guardian(id=row["id"], name=values["name"], relationship=values["relationship"])
        return None

    # -- records ----------------------------------------------------------------------------------------------------

    def entries(self, patient_id: str) -> list[Entry]:
        """A patient's entries, newest first (dates are sealed, so they are sorted here)."""
        rows = self._rows(sa.select(_entry).where(_entry.c.patient_id == patient_id))
        entries = [
            Entry(id=row["id"], patient_id=patient_id, kind=Kind(row["kind"]), **self._entry.open(row))
            for row in rows
        ]
        return sorted(entries, key=lambda entry: (entry.on, entry.title), reverse=True)

    def cares_for(self, staff_id: str, patient_id: str) -> bool:
        return self._exists(_care_team, patient_id=patient_id, staff_id=staff_id)

    def guards(self, guardian_id: str, patient_id: str) -> bool:
        return self._exists(_ward, patient_id=patient_id, guardian_id=guardian_id)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _exists(self, table: sa.Table, **equals: str) -> bool:
        query = (
            sa.select(sa.literal(1))
            .where(*(table.c[name] == value for name, value in equals.items()))
            .limit(1)
        )
        return bool(self._rows(query))

    def _rows(self, query: sa.Select[*tuple[object, ...]]) -> list[sa.RowMapping]:
        with self._errors(), self._engine.connect() as connection:
            return list(connection.execute(query).mappings())

    def _by_name(self, rows: Iterable[sa.RowMapping]) -> list[Patient]:
        return sorted(
            map(self._to_patient, rows), key=lambda p: (p.family.casefold(), p.name.casefold(), p.id)
        )

    def _to_patient(self, row: sa.RowMapping) -> Patient:
        values = self._patient.open(row)
        born = values.pop("birth_date")
        return Patient(
            id=row["id"],
            deceased=row["deceased"],
            sealed=row["sealed"],
            birth_date=date.fromisoformat(born) if born else None,
            **values,
        )

    @staticmethod
    @contextmanager
    def _errors() -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise StoreError("the clinic's database does not answer") from error
