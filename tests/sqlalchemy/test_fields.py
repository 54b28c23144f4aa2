"""Encrypted attributes of mapped objects: read one by one, written at the flush, kept by nobody."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session, defer, make_transient, undefer

from portalsec.crypto import EncryptedField
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.sqlalchemy._cell_plan import Unflushed
from portalsec.sqlalchemy.fields import rebind
from tests.sqlalchemy.clinic import AEAD, KEYS, Clinic, Letter, Patient, Visit, engine_for, patients, stored

SSN = "078-05-1120"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    url = "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    engine = engine_for(url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def patient(session: Session) -> Patient:
    patient = Patient(ssn=SSN, name="Ada Lovelace", born=date(1815, 12, 10), notes={"a": [1, None]})
    session.add(patient)
    session.commit()
    return patient


def plaintexts(instance: Any) -> list[Any]:
    """Values that lie open in an object: in its attributes and in its history."""
    state = inspect(instance)
    return [
        value.value
        for value in [*state.dict.values(), *state.committed_state.values()]
        if isinstance(value, Unflushed)
    ]


# -- reading and writing ---------------------------------------------------------------------------------------------


def test_values_of_every_type_come_back_and_the_table_holds_none(engine: Engine, patient: Patient):
    assert (patient.ssn, patient.name) == (SSN, "Ada Lovelace")
    assert (patient.born, patient.notes) == (date(1815, 12, 10), {"a": [1, None]})
    ((*cells, tag),) = stored(
        engine, "SELECT ssn_cell, name_cell, born_cell, notes_cell, ssn_tag FROM patient"
    )
    for cell in cells:
        assert b"078-05" not in bytes(cell) and b"Lovelace" not in bytes(cell)
    assert len(bytes(tag)) == 16


def test_null_stays_null_and_the_empty_text_is_a_value(engine: Engine, session: Session):
    session.add_all([Patient(number=1, ssn=None), Patient(number=2, name=""), Patient(number=3)])
    session.commit()
    first, second, third = session.scalars(select(Patient).order_by(Patient.number))
    assert (first.ssn, second.name, third.ssn) == (None, "", None)
    assert [row[1] is None for row in stored(engine, "SELECT number, name_cell FROM patient ORDER BY 1")] == [
        True,
        False,
        True,
    ]


def test_loading_rows_opens_none_and_each_reading_opens_one(session: Session):
    session.add_all(patients(2000))
    session.commit()
    session.expunge_all()
    before = AEAD.decrypted
    rows = list(session.scalars(select(Patient).order_by(Patient.number)))
    assert len(rows) == 2000
    assert AEAD.decrypted == before
    assert rows[7].ssn == "000000007"
    assert AEAD.decrypted == before + 1


def test_nothing_keeps_a_value_that_was_read_or_flushed(session: Session, patient: Patient):
    assert patient.ssn == SSN
    assert plaintexts(patient) == []
    patient.ssn = "1"
    assert plaintexts(patient) == ["1"]
    session.flush()
    assert plaintexts(patient) == []
    gc.collect()
    # By their type alone: `isinstance` would wake whatever lazy object another test left behind.
    held = [each for each in gc.get_objects() if type(each) is Unflushed]
    assert not [each for each in held if each.value in (SSN, "1")]


def test_a_value_is_there_before_the_key_is_and_the_key_s_default_is_applied_once(session: Session):
    patient = Patient(ssn=SSN)
    assert (patient.ssn, patient.id, patient.ssn_cell.__class__) == (SSN, None, Unflushed)
    session.add(patient)
    session.flush()
    given = patient.id
    session.commit()
    assert (patient.id, patient.ssn) == (given, SSN)


@pytest.mark.parametrize("first", ["id", "ssn"])
def test_the_order_of_the_arguments_does_not_matter(session: Session, first: str):
    values = {"id": uuid4(), "ssn": SSN}
    patient = Patient(**{name: values[name] for name in sorted(values, key=lambda name: name != first)})
    session.add(patient)
    session.commit()
    assert (patient.id, patient.ssn) == (values["id"], SSN)


def test_a_row_is_not_inserted_without_what_its_cells_are_bound_to(session: Session):
    session.add(Visit(clinic="north", patient=uuid4(), reason="cough"))
    with pytest.raises(ConfigurationError, match=r"Visit\.reason.*'number', which is not assigned"):
        session.flush()
    session.rollback()
    session.add(Visit(clinic="north", number="7", patient=uuid4(), reason="cough"))
    with pytest.raises(TypeError, match="has to be of type int when it is written, not str"):
        session.flush()


def test_a_change_is_an_update_of_the_cell_and_its_tags_alone(
    engine: Engine, session: Session, patient: Patient
):
    (before,) = stored(engine, "SELECT ssn_cell, ssn_tag, name_cell, name_tag, number FROM patient")
    patient.ssn = "1"
    assert patient in session.dirty
    assert inspect(patient).attrs.ssn_cell.history.has_changes()
    session.commit()
    (after,) = stored(engine, "SELECT ssn_cell, ssn_tag, name_cell, name_tag, number FROM patient")
    assert [old == new for old, new in zip(before, after, strict=True)] == [False, False, True, True, True]
    patient.ssn = None
    session.commit()
    assert stored(engine, "SELECT ssn_cell, ssn_tag FROM patient") == [(None, None)]
    del patient.name
    session.commit()
    assert stored(engine, "SELECT name_cell, name_tag, name_start_tag FROM patient") == [(None, None, None)]
    assert patient.name is None


def test_an_equal_value_is_not_written_again(session: Session, patient: Patient):
    assert patient.ssn == SSN  # loaded
    patient.ssn = SSN
    assert patient not in session.dirty
    before = AEAD.encrypted
    session.commit()
    assert AEAD.encrypted == before


def test_an_equal_value_is_written_over_a_cell_that_does_not_open(
    engine: Engine, session: Session, patient: Patient
):
    with engine.begin() as connection:
        connection.execute(text("UPDATE patient SET ssn_cell = name_cell"))
    session.expire_all()
    with pytest.raises(DecryptionError):
        _ = patient.ssn
    patient.ssn = SSN
    session.commit()
    assert patient.ssn == SSN


def test_an_equal_value_is_written_again_under_a_new_key(
    engine: Engine, session: Session, patient: Patient, monkeypatch: pytest.MonkeyPatch
):
    both = KEYS.add("XAES_256_GCM")
    (new,) = {each.id for each in both.info()} - {each.id for each in KEYS.info()}
    aead = both.promote(new).aead()
    monkeypatch.setattr(AEAD, "inner", aead)
    monkeypatch.setattr(
        EncryptedField, "needs_reencrypt", lambda self, cell: not cell.startswith(aead.prefix)
    )
    assert patient.ssn == SSN  # loaded
    patient.ssn = SSN
    assert patient in session.dirty
    session.commit()
    ((cell,),) = stored(engine, "SELECT ssn_cell FROM patient")
    assert bytes(cell).startswith(aead.prefix)


def test_an_equal_value_gets_the_tag_that_it_lacks(engine: Engine, session: Session, patient: Patient):
    with engine.begin() as connection:
        connection.execute(text("UPDATE patient SET ssn_tag = NULL"))
    session.expire_all()
    assert patient.ssn == SSN
    patient.ssn = SSN
    session.commit()
    assert session.scalars(select(Patient).where(Patient.ssn == SSN)).one() is patient


@pytest.mark.parametrize("value", [7, b"x", date(2000, 1, 1), "half \ud800 of a pair"])
def test_a_value_of_another_type_is_refused_where_it_is_assigned(
    session: Session, patient: Patient, value: Any
):
    with pytest.raises((TypeError, ValueError)):
        patient.ssn = value
    with pytest.raises((TypeError, ValueError)):
        Patient(ssn=value)
    assert patient.ssn == SSN


# -- what becomes of a pending value ---------------------------------------------------------------------------------


def test_expire_refresh_and_rollback_drop_a_value_that_waits(session: Session, patient: Patient):
    patient.ssn = "1"
    session.expire(patient)
    assert (patient.ssn, plaintexts(patient)) == (SSN, [])
    with session.no_autoflush:
        patient.ssn = "2"
        session.refresh(patient)
    assert (patient.ssn, plaintexts(patient)) == (SSN, [])
    patient.ssn = "3"
    session.rollback()
    assert (patient.ssn, plaintexts(patient)) == (SSN, [])
    patient.ssn = "4"
    session.flush()
    session.rollback()
    assert (patient.ssn, plaintexts(patient)) == (SSN, [])


def test_an_object_whose_insert_failed_can_be_added_again(session: Session, patient: Patient):
    twin = Patient(id=patient.id, ssn="1")
    session.expunge(patient)
    session.add(twin)
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()
    assert twin.ssn == "1"
    rebind(twin, id=uuid4())
    session.add(twin)
    session.commit()
    assert twin.ssn == "1"


def test_a_savepoint_that_is_rolled_back_takes_the_value_with_it(session: Session, patient: Patient):
    with session.begin_nested() as savepoint:
        patient.ssn = "1"
        session.flush()
        savepoint.rollback()
    assert patient.ssn == SSN


def test_merge_encrypts_for_the_row_that_it_writes(engine: Engine, session: Session, patient: Patient):
    merged = session.merge(Patient(id=patient.id, ssn="1"))
    assert (merged is patient, merged.ssn) == (True, "1")
    session.commit()
    assert patient.ssn == "1"
    new = session.merge(Patient(id=uuid4(), ssn="2"))
    session.commit()
    assert (new.ssn, plaintexts(new)) == ("2", [])
    with Session(engine) as other:
        detached = other.get_one(Patient, patient.id)
    assert session.merge(detached).ssn == "1"


def test_objects_are_pickled_without_plaintext_or_not_at_all(session: Session, patient: Patient):
    assert patient.ssn == SSN
    data = pickle.dumps(patient)
    assert SSN.encode() not in data
    assert pickle.loads(data).ssn == SSN
    patient.ssn = "secret"
    with pytest.raises(TypeError, match="holds plaintext until the flush"):
        pickle.dumps(patient)
    with pytest.raises(TypeError, match="holds plaintext until the flush"):
        copy.deepcopy(inspect(patient).dict)


def test_nothing_that_is_printed_shows_a_value(session: Session, patient: Patient):
    patient.ssn = "secret"
    shown = f"{inspect(patient).dict} {inspect(patient).attrs.ssn_cell.history} {patient!r} {Patient.ssn!r}"
    assert "secret" not in shown
    with session.no_autoflush:
        session.execute(text("ALTER TABLE patient RENAME TO elsewhere"))
    with pytest.raises(DBAPIError) as caught:
        session.flush()
    assert "secret" not in str(caught.value)


def test_a_value_that_misses_the_flush_is_refused_by_its_type(session: Session):
    with pytest.raises((StatementError, TypeError)) as caught:
        session.bulk_save_objects([Patient(ssn="secret")])
    assert "secret" not in str(caught.value)
    session.rollback()
    assert session.scalars(select(Patient)).all() == []


def test_a_listener_that_assigns_too_late_is_refused_by_the_type(session: Session):
    def late(mapper: object, connection: object, target: Patient) -> None:
        target.ssn = "secret"

    _ = Patient(ssn="configures the mapper, so that ours is the first listener")
    event.listen(Patient, "before_insert", late)
    try:
        session.add(Patient(number=1))
        with pytest.raises((StatementError, TypeError)) as caught:
            session.flush()
    finally:
        event.remove(Patient, "before_insert", late)
    assert "secret" not in str(caught.value)


# -- raw cells -------------------------------------------------------------------------------------------------------


def test_a_cell_that_is_assigned_as_bytes_has_to_open_in_its_row(session: Session, patient: Patient):
    other = Patient(ssn="1")
    session.add(other)
    session.commit()
    patient.ssn_cell = other.ssn_cell
    with pytest.raises(ConfigurationError, match="no cell of this row"):
        session.flush()
    session.rollback()
    with pytest.raises(TypeError, match="holds ciphertext"):
        patient.ssn_cell = SSN  # type: ignore[assignment]
    cell, wanted = patient.ssn_cell, patient.ssn_tag
    patient.ssn = None
    session.commit()
    patient.ssn_cell = cell
    session.commit()
    assert (patient.ssn, patient.ssn_tag) == (SSN, wanted)


def test_a_copy_of_a_row_needs_cells_of_its_own(session: Session, patient: Patient):
    values = (patient.ssn, patient.name)
    session.expunge(patient)
    make_transient(patient)
    patient.id = uuid4()
    session.add(patient)
    with pytest.raises(ConfigurationError, match=r"rebind\(\) before you change its row"):
        session.flush()
    session.rollback()
    original = session.scalars(select(Patient)).one()
    session.expunge(original)
    make_transient(original)
    rebind(original, id=uuid4())
    session.add(original)
    session.commit()
    assert (original.ssn, original.name) == values
    assert len(session.scalars(select(Patient)).all()) == 2


# -- a row that changes its id ---------------------------------------------------------------------------------------


def test_a_changed_key_is_refused_unless_the_cells_are_rebound(session: Session, patient: Patient):
    patient.id = uuid4()
    assert patient.ssn == SSN  # still read where it lies
    with pytest.raises(ConfigurationError, match=r"bound to 'id'.*rebind\(\)"):
        session.flush()
    session.rollback()
    new = uuid4()
    rebind(patient, id=new)
    session.commit()
    session.expunge_all()
    again = session.get_one(Patient, new)
    assert (again.ssn, again.born, again.notes) == (SSN, date(1815, 12, 10), {"a": [1, None]})


def test_rebinding_takes_deferred_cells_along(session: Session, patient: Patient):
    session.expunge_all()
    found = session.scalars(
        select(Patient).options(defer(Patient.name_cell), undefer(Patient.ssn_cell))
    ).one()
    found.id = uuid4()
    with pytest.raises(ConfigurationError, match="rebind"):
        session.flush()
    session.rollback()
    found = session.scalars(select(Patient).options(defer(Patient.name_cell))).one()
    rebind(found, id=uuid4())
    session.commit()
    assert found.name == "Ada Lovelace"


def test_a_rebinding_that_is_rolled_back_leaves_the_row_as_it_was(session: Session, patient: Patient):
    old = patient.id
    rebind(patient, id=uuid4())
    session.flush()
    assert patient.ssn == SSN
    session.rollback()
    assert (patient.id, patient.ssn) == (old, SSN)


def test_rebinding_knows_what_cells_are_bound_to(session: Session, patient: Patient):
    with pytest.raises(ConfigurationError, match="no cell of Patient is bound to 'number'"):
        rebind(patient, number=3)


def test_a_row_without_cells_may_change_its_id(session: Session):
    visit = Visit(clinic="north", number=1, patient=uuid4())
    session.add(visit)
    session.commit()
    visit.number = 2
    session.commit()
    assert session.get_one(Visit, ("north", 2)) is visit


# -- composite keys, tenants, another column -------------------------------------------------------------------------


def test_a_composite_key_and_a_tenant(session: Session):
    visit = Visit(clinic="north", number=1, patient=uuid4(), reason="cough")
    session.add(visit)
    session.commit()
    assert visit.reason == "cough"
    assert session.scalars(select(Visit).where(Visit.reason.for_tenant("north") == "COUGH")).all() == [visit]
    assert session.scalars(select(Visit).where(Visit.reason.for_tenant("south") == "COUGH")).all() == []
    visit.clinic = "south"
    with pytest.raises(ConfigurationError, match="rebind"):
        session.flush()
    session.rollback()
    rebind(visit, clinic="south")
    session.commit()
    assert visit.reason == "cough"
    assert session.scalars(select(Visit).where(Visit.reason.for_tenant("south") == "COUGH")).all() == [visit]


def test_a_key_of_the_database_leaves_another_column_to_bind_to(engine: Engine, session: Session):
    letter = Letter(body="Dear Ada")
    session.add(letter)
    session.commit()
    assert (letter.id, letter.body) == (1, "Dear Ada")
    ((cell,),) = stored(engine, "SELECT body_cell FROM letter")
    assert isinstance(cell, str) and "Dear Ada" not in cell
    letter.uid = uuid4()
    assert letter.body == "Dear Ada"
    with pytest.raises(ConfigurationError, match=r"bound to 'uid'.*rebind"):
        session.flush()
    session.rollback()
    rebind(letter, uid=uuid4())
    session.commit()
    assert letter.body == "Dear Ada"


def test_an_old_uid_is_known_although_it_was_not_loaded(session: Session):
    session.add(Letter(body="Dear Ada"))
    session.commit()
    session.expunge_all()
    letter = session.scalars(select(Letter).options(defer(Letter.uid))).one()
    letter.uid = uuid4()
    assert letter.body == "Dear Ada"
    with pytest.raises(ConfigurationError, match="rebind"):
        session.flush()


# -- beside other things of the ORM -----------------------------------------------------------------------------------


def test_relationships_cascade_and_load(session: Session):
    clinic = Clinic(title="North", patients=[Patient(number=1, ssn="1"), Patient(number=2, ssn="2")])
    session.add(clinic)
    session.commit()
    session.expunge_all()
    found = session.scalars(select(Clinic)).one()
    assert [patient.ssn for patient in found.patients] == ["1", "2"]
    assert found.patients[0].clinic is found


def test_a_deleted_row_that_comes_back_in_the_same_flush(session: Session, patient: Patient):
    again = Patient(id=patient.id, ssn="1")
    session.delete(patient)
    session.add(again)
    session.commit()
    session.expunge_all()
    assert session.scalars(select(Patient)).one().ssn == "1"


def test_a_detached_object_is_read_and_changed(engine: Engine, session: Session, patient: Patient):
    _ = patient.ssn
    session.expunge(patient)
    assert patient.ssn == SSN
    patient.ssn = "1"
    session.add(patient)
    session.commit()
    with Session(engine) as other:
        assert other.get_one(Patient, patient.id).ssn == "1"


def test_the_attribute_is_among_the_descriptors_of_its_mapper():
    found = inspect(Patient).all_orm_descriptors
    assert found["ssn"] is Patient.__dict__["ssn"]
    assert "ssn" not in inspect(Patient).attrs
