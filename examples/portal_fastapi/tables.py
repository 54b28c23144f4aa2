"""The tables of the clinic's own database, ``app.db``: what identifies or describes a person is a column of cells.

What stays readable are random ids, the kind of an entry and who belongs to whom.
"""

from __future__ import annotations

import sqlalchemy as sa

__all__ = ["account", "care_team", "entry", "guardian", "patient", "schema", "staff", "ward"]

schema = sa.MetaData()

_ID = sa.String(36)
_CELL = sa.LargeBinary
_TAG = sa.LargeBinary

patient = sa.Table(
    "patient",
    schema,
    sa.Column("id", _ID, primary_key=True),
    *(
        sa.Column(name, _CELL)
        for name in ("name", "family", "birth_date", "sex", "phone", "email", "ssn", "mrn", "address")
    ),
    sa.Column("phone_tag", _TAG, index=True),
    sa.Column("mrn_tag", _TAG, index=True),
    sa.Column("deceased", sa.Boolean, nullable=False),
    sa.Column("sealed", sa.Boolean, nullable=False),
    sa.Column("erasure", sa.String(8), index=True),  # NULL, "begun" or "done": see erasure.py
)
entry = sa.Table(
    "entry",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    *(sa.Column(name, _CELL) for name in ("title", "detail", "on", "by")),
)
staff = sa.Table(
    "staff",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _CELL),
    sa.Column("title", _CELL),
)
guardian = sa.Table(
    "guardian",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", _CELL),
    sa.Column("relationship", _CELL),
)
care_team = sa.Table(
    "care_team",
    schema,
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), primary_key=True),
    sa.Column("staff_id", _ID, sa.ForeignKey("staff.id"), primary_key=True, index=True),
)
ward = sa.Table(
    "ward",
    schema,
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), primary_key=True),
    sa.Column("guardian_id", _ID, sa.ForeignKey("guardian.id"), primary_key=True, index=True),
)
# Which accounts of the portal are a patient's: whom to shut out when the patient is erased.
account = sa.Table(
    "account",
    schema,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("patient_id", _ID, sa.ForeignKey("patient.id"), nullable=False, index=True),
)
