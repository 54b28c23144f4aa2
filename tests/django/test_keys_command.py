"""``manage.py portalsec_keys``: the keysets of portalsec.toml, told to the audit log in Django's database."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from portalsec.audit.record import decode
from portalsec.config import create_keys
from portalsec.crypto.keyset import Keyset
from portalsec.django.management.commands import portalsec_keys
from portalsec.django.models import AuditEntry
from portalsec.errors import AuditUnavailable
from tests.django.clinic import keys as clinic_keys
from tests.django.clinic.models import Patient
from tests.django.test_cells import rotate
from tests.django.test_cells import run as reencrypt


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, which the command is run in."""
    tmp_path.chmod(0o700)
    create_keys(tmp_path / "keys", origin="portal.test/audit")
    (tmp_path / "portalsec.toml").write_text('[portal]\nname = "Test"\nbase_url = "https://portal.test"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call_command("portalsec_keys", *arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out + said.err


def told() -> list[tuple[str, str, str | None]]:
    records = [
        decode(bytes(body)) for body in AuditEntry.objects.using("portalsec").values_list("body", flat=True)
    ]
    return sorted((each.name, each.outcome.value, each.resource and each.resource.id) for each in records)


def fields(folder: Path) -> Keyset:
    return Keyset.from_json((folder / "keys" / "fields.json").read_text())


def test_a_rotation_is_told_to_the_log_of_the_project(
    database: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = fields(folder).primary_id
    code, said = run(capsys, "rotate", "fields")
    assert code == 0 and "python manage.py portalsec_keys rotate fields --promote" in said
    code, said = run(capsys, "rotate", "fields", "--promote")
    assert code == 0 and "python manage.py portalsec_reencrypt" in said
    new = fields(folder).primary_id
    assert new != old
    assert told() == [
        ("key.created", "success", f"fields/{new}"),
        ("key.rotated", "success", f"fields/{new}"),
    ]
    assert not AuditEntry.objects.using("portalsec").filter(index=None).exists()  # each in its place
    assert sorted(path.name for path in folder.iterdir()) == ["keys", "portalsec.toml"]  # no second log
    code, said = run(capsys, "list", "fields")
    assert code == 0 and str(old) in said and str(new) in said


def test_the_other_command_knows_the_log_of_django() -> None:
    from portalsec.cli.keys import _DJANGO_LOG

    assert AuditEntry._meta.db_table == _DJANGO_LOG


def test_nothing_changes_where_the_log_does_not_acknowledge(
    database: None, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise AuditUnavailable("the log is full")

    monkeypatch.setattr("portalsec.django.stores.audit.DjangoAudit.append", fails)
    before = fields(folder).info()
    code, said = run(capsys, "rotate", "fields")
    assert code == 2 and "COULD NOT" in said
    assert fields(folder).info() == before


def test_a_key_that_cells_of_the_project_are_under_is_not_disabled(
    database: None, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fields(folder).primary_id
    run(capsys, "rotate", "fields", "--now")
    monkeypatch.setattr(portalsec_keys, "_cells_under", lambda name, key: {"clinic.Patient(id)": 3})
    code, said = run(capsys, "disable", "fields", str(old), "--yes")
    assert code == 2 and "clinic.Patient(id): 3" in said
    monkeypatch.setattr(portalsec_keys, "_cells_under", lambda name, key: {})
    assert run(capsys, "disable", "fields", str(old), "--yes")[0] == 0
    assert fields(folder).info()[0].status == "DISABLED"


def test_all_cells_of_the_project_are_counted(clinic: str) -> None:
    Patient.objects.bulk_create([Patient(surname=f"n{n}", ssn=str(n)) for n in range(4)])
    old = clinic_keys.current["fields"].primary_id
    assert portalsec_keys._cells_under("fields", old) == {}
    rotate("fields")
    # Four rows: two texts, and a number and a list that have values by default.
    assert portalsec_keys._cells_under("fields", old) == {"clinic.Patient(id)": 4 * 4}
    assert portalsec_keys._cells_under("mac", old) == {}
    assert reencrypt()[0] == 0
    assert portalsec_keys._cells_under("fields", old) == {}


def test_the_names_of_what_is_missing_and_wrong(
    database: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys)[0] == 2
    code, said = run(capsys, "rotate", "nothing.json")
    assert code == 2 and "nothing.json" in said
    assert run(capsys, "--help")[0] == 0


def test_a_project_without_a_portal_is_told_the_other_command(folder: Path) -> None:
    with (
        override_settings(PORTALSEC={"KEYRING": "x.ring"}),
        pytest.raises(CommandError, match="portalsec keys"),
    ):
        call_command("portalsec_keys", "rotate", "fields")
