"""Rotation of the keys of notices and incidents: what ``portalsec fields reencrypt`` is given for their tables."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table

from portalsec.auth.incidents import incident_place
from portalsec.auth.notices import notice_place
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import AnyKeyset
from portalsec.crypto.tasks import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable
from portalsec.sqlalchemy.tables import incident, notice

__all__ = ["incident_cells", "notice_cells"]


def notice_cells(*, fields: AnyKeyset) -> EncryptedTable:
    """The details of notices under the primary key of ``fields``, written anew while mail goes out."""
    return _sealed(notice, notice_place(""), fields)


def incident_cells(*, fields: AnyKeyset) -> EncryptedTable:
    """The summaries of incidents under the primary key of ``fields``."""
    return _sealed(incident, incident_place(""), fields)


def _sealed(table: Table, place: Mapping[str, str], fields: AnyKeyset) -> EncryptedTable:
    data = EncryptedField[bytes](fields, table=place["table"], column=place["column"], type=bytes)
    return EncryptedTable(table=table, row="id", tasks=[Reencrypt(field=data, column="data")])
