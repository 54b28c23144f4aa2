"""A column that another library encrypted, taken over in place: ``legacy="import.string"``, as the how-to has it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.state import ProjectState

from portalsec.crypto import EncryptedField
from portalsec.crypto.legacy import FernetReader
from portalsec.django.fields import BlindIndexField, EncryptedTextField
from portalsec.errors import ConfigurationError, DecryptionError
from tests.django.clinic import keys
from tests.django.clinic.models import Patient

pytestmark = pytest.mark.usefixtures("clinic")

OLD = Fernet.generate_key()
LISTED = [FernetReader(OLD)]
OLD_ROW, NEW_ROW, LAST_ROW, EMPTY_ROW = (uuid.UUID(int=number) for number in range(1, 5))


def readers() -> list[FernetReader]:
    return [FernetReader(OLD)]


def field(legacy: str | None = f"{__name__}.LISTED") -> EncryptedTextField:
    return EncryptedTextField(table="taken over", column="ssn", null=True, legacy=legacy)


def token(value: str) -> bytes:
    return Fernet(OLD).encrypt(value.encode())


class Column:
    """The table before, and the migrations that follow."""

    def __init__(self, before: models.Field[Any, Any]) -> None:
        self.state = ProjectState()
        columns = [("id", models.UUIDField(primary_key=True, default=uuid.uuid4)), ("ssn", before)]
        columns.append(("ward", models.CharField(max_length=10, default="")))
        migrations.CreateModel("Taken", columns).state_forwards("taken", self.state)
        with connection.schema_editor() as editor:
            editor.create_model(self.model)

    @property
    def model(self) -> Any:
        return self.state.apps.get_model("taken", "Taken")

    def migrate(self, operation: Any) -> None:
        after = self.state.clone()
        operation.state_forwards("taken", after)
        with connection.schema_editor() as editor:
            operation.database_forwards("taken", editor, self.state, after)
        self.state = after

    def drop(self) -> None:
        with connection.schema_editor() as editor:
            editor.delete_model(self.model)

    def held(self) -> dict[uuid.UUID, Any]:
        found = self.model.objects.values_list("id", "ssn")
        return {key: None if cell is None else bytes(cell) for key, cell in found}


@pytest.fixture(params=["text", "binary"])
def column(request: pytest.FixtureRequest) -> Iterator[Column]:
    """Half migrated: two tokens as the other library left them, a NULL, and one row that is new."""
    text = request.param == "text"
    column = Column(models.TextField(null=True) if text else models.BinaryField(null=True))
    try:
        for key, value in ((OLD_ROW, "1-1"), (LAST_ROW, "3-3"), (EMPTY_ROW, None)):
            old = None if value is None else token(value).decode() if text else token(value)
            column.model.objects.create(pk=key, ssn=old)
        column.migrate(migrations.AlterField("Taken", "ssn", field()))
        column.migrate(migrations.AddField("Taken", "ssn_index", BlindIndexField("ssn", bits=128)))
        column.model.objects.create(pk=NEW_ROW, ssn="2-2")
        yield column
    finally:
        column.drop()


def reencrypt(monkeypatch: pytest.MonkeyPatch, model: Any, *options: str) -> tuple[int, str]:
    """The command; the model is a migration's, which `apps.get_model` does not know."""
    command = "portalsec.django.management.commands.portalsec_reencrypt"
    out, err, code = io.StringIO(), io.StringIO(), 0
    with monkeypatch.context() as patch:
        patch.setattr(f"{command}._model", lambda name: model)
        try:
            call_command("portalsec_reencrypt", "taken.Taken", *options, stdout=out, stderr=err)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return code, out.getvalue() + err.getvalue()


def test_a_column_is_read_saved_reencrypted_and_then_its_reader_goes(
    column: Column, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = column.model
    before = column.held()

    def counts() -> dict[str, int]:  # as the how-to reads them
        return dict(model._meta.get_field("ssn").crypto.legacy_counts)

    found = {each.pk: each.ssn for each in model.objects.all()}
    assert found == {OLD_ROW: "1-1", NEW_ROW: "2-2", LAST_ROW: "3-3", EMPTY_ROW: None}
    assert counts() == {"fernet": 2}
    assert column.held() == before  # reading writes nothing

    model.objects.get(pk=OLD_ROW).save(update_fields=["ward"])
    assert column.held() == before
    model.objects.get(pk=OLD_ROW).save()  # a row that is saved leaves the old format, and can be found
    saved = column.held()
    assert {key for key in saved if saved[key] != before[key]} == {OLD_ROW}
    assert saved[OLD_ROW].startswith(model._meta.get_field("ssn").crypto.current_prefix)
    assert model.objects.get(ssn="1-1").pk == OLD_ROW
    assert not model.objects.filter(ssn="3-3").exists()

    code, said = reencrypt(monkeypatch, model, "--status")
    assert code == 1 and "1 under no key of the keyset" in said
    code, said = reencrypt(monkeypatch, model)
    assert code == 0 and "4 rows, 1 written, 0 changed by others meanwhile, 0 erased, 0 failed" in said
    code, said = reencrypt(monkeypatch, model, "--status")
    assert code == 0 and "Nothing is left." in said
    counted = counts()
    assert {each.pk: each.ssn for each in model.objects.all()} == found
    assert model.objects.get(ssn="3-3").pk == LAST_ROW
    assert counts() == counted  # at rest

    column.migrate(migrations.AlterField("Taken", "ssn", field(legacy=None)))  # the one line
    model = column.model
    assert model._meta.get_field("ssn").crypto.legacy_counts == {}
    assert {each.pk: each.ssn for each in model.objects.all()} == found
    planted(model, NEW_ROW, token("1-1"))
    with pytest.raises(DecryptionError):  # an old value from a backup is of no use any more
        _ = model.objects.get(pk=NEW_ROW).ssn


def test_a_damaged_token_and_a_cell_of_another_row_are_refused_listed_and_kept(
    column: Column, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = column.model
    elsewhere = EncryptedField[str](keys.ring["fields"], table="taken over", column="ssn").encrypt(
        "2-2", row=NEW_ROW
    )
    damaged = {OLD_ROW: token("1-1")[:-4] + b"AAA=", LAST_ROW: elsewhere}
    for key, cell in damaged.items():
        planted(model, key, cell)
        with pytest.raises(DecryptionError) as caught:
            _ = model.objects.get(pk=key).ssn
        assert caught.value.__context__ is None
    code, said = reencrypt(monkeypatch, model)
    assert code == 1 and "0 written" in said and "2 failed" in said
    assert all(str(key) in said for key in damaged) and "1-1" not in said
    assert {key: column.held()[key] for key in damaged} == damaged


def planted(model: Any, key: uuid.UUID, cell: bytes) -> None:
    meta = model._meta
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {meta.db_table} SET ssn = %s WHERE id = %s",
            [connection.Database.Binary(cell), meta.pk.get_db_prep_value(key, connection)],
        )


@pytest.mark.parametrize("named", ["LISTED", "readers"])
def test_the_option_is_a_list_or_a_function_and_part_of_migrations_by_its_name(named: str) -> None:
    made = field(f"{__name__}.{named}")
    _, path, args, kwargs = made.deconstruct()
    assert kwargs["legacy"] == f"{__name__}.{named}"
    made = EncryptedTextField(*args, **kwargs)
    assert path.endswith("EncryptedTextField")
    assert made.crypto.decrypt(token("x"), row=1) == "x"
    assert dict(made.crypto.legacy_counts) == {"fernet": 1}
    assert "legacy" not in field(None).deconstruct()[3]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nowhere.at_all.readers", "cannot be imported: No module named 'nowhere'"),
        (f"{__name__}.gone", "cannot be imported: .*gone"),
        ("readers", "cannot be imported: readers"),
        (f"{__name__}.OLD", "is no list of readers"),
    ],
)
def test_a_name_that_leads_to_no_readers_is_a_mistake_that_names_the_field(named: str, said: str) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"taken over\.ssn: legacy= names '{named}', .*{said}"
    ) as caught:
        _ = field(named).crypto
    assert str(OLD) not in str(caught.value)


def test_manage_py_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from portalsec.django.field_checks import check_encryption

    ssn = Patient._meta.get_field("ssn")
    monkeypatch.setattr(ssn, "legacy", "nowhere.readers")
    monkeypatch.setattr(ssn, "_built", None)
    (found,) = check_encryption(None)
    assert found.id == "portalsec.E027" and "nowhere.readers" in found.msg
