"""A failing database puts no row of the application into the error, nor into what it came from."""

from __future__ import annotations

import traceback
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from portalsec.django._swap import failing_as_store
from portalsec.django.cells import reencryptions
from portalsec.django.stores._connection import own_transaction, reading
from portalsec.errors import ConfigurationError, StoreError
from tests.django.clinic.models import Patient


def shown(error: BaseException | None) -> str:
    said = []
    while error is not None:
        said += [*traceback.format_exception(error), repr(error), repr(vars(error))]
        assert error.__cause__ is None or error.__context__ is None
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@pytest.mark.parametrize(
    "guard", [failing_as_store, lambda: own_transaction("default"), lambda: reading("default")]
)
def test_an_error_shows_no_row(clinic: str, guard: Any) -> None:
    statement = "INSERT INTO clinic_visit (id, patient_id, note) VALUES (%s, %s, NULL)"
    quoted = "HIV0positive0HIV0positive0HIV0po"
    for parameters in ([quoted, uuid4().hex], ["x" * 500, quoted]):
        with pytest.raises(StoreError) as caught, guard(), connection.cursor() as cursor:
            cursor.execute(statement, parameters)
        assert caught.value.__cause__ is not None
        assert caught.value.__context__ is None
        assert "HIV" not in shown(caught.value)


def test_a_row_that_postgresql_quotes(clinic: str) -> None:
    one = Patient.objects.create(surname="x", ward="HIV ward")
    with pytest.raises(StoreError) as caught, failing_as_store(), connection.cursor() as cursor:
        cursor.execute("UPDATE clinic_patient SET surname = NULL WHERE ward = %s", ["HIV ward"])
    assert Patient.objects.get() == one
    assert "HIV" not in shown(caught.value)
    assert "surname" in str(caught.value.__cause__)
    if clinic == "postgres":
        assert caught.value.__cause__.sqlstate == "23502"


def test_a_column_that_is_not_null_is_not_emptied(clinic: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ward is NOT NULL.*null=True first"):
        reencryptions(Patient, fill={"ssn": "ward"})
    assert reencryptions(Patient, fill={"ssn": "ward"}, clear=False)
