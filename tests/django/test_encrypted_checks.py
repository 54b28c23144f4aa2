"""The system checks of encrypted fields: what would not open, not be found or not be safe is named before it happens."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from django.utils import timezone

from portalsec.crypto.normalise import digits
from portalsec.django.field_checks import check_encryption
from portalsec.django.fields import (
    BlindIndexField,
    EncryptedCharField,
    EncryptedDateTimeField,
    EncryptedTextField,
)
from portalsec.django.queries import EncryptedQuerySet
from portalsec.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    with isolate_apps("tests.django.clinic"):
        yield


def ids(model: type[models.Model]) -> list[str]:
    messages = [message for message in model.check() if (message.id or "").startswith("portalsec")]
    assert all(message.msg and message.hint and message.obj is not None for message in messages)
    return sorted(message.id or "" for message in messages)


def text(**options: Any) -> EncryptedTextField:
    return EncryptedTextField(**{"table": "t", "column": "c", **options})


def key() -> Any:
    return models.UUIDField(primary_key=True, default=uuid.uuid4)


_numbers = itertools.count()


def model(*, meta: dict[str, Any] | None = None, **fields: Any) -> type[models.Model]:
    inner = type("Meta", (), {"app_label": "clinic", **(meta or {})})
    return type(f"Model{next(_numbers)}", (models.Model,), {"__module__": __name__, "Meta": inner, **fields})


def test_the_project_of_these_tests_is_clean(database: None) -> None:
    assert [message for message in run_checks() if (message.id or "").startswith("portalsec.E02")] == []
    assert check_encryption(None) == []


@pytest.mark.parametrize("auto", [models.BigAutoField, models.AutoField, models.SmallAutoField])
def test_a_key_that_the_database_assigns_needs_another_row(auto: Any) -> None:
    assert ids(model(id=auto(primary_key=True), c=text())) == ["portalsec.E024"]
    (message,) = [m for m in model(c=text()).check() if m.id == "portalsec.E024"]
    assert "UUIDField" in (message.hint or "") and 'row="uid"' in (message.hint or "")
    uid = models.UUIDField(default=uuid.uuid4, unique=True)
    assert ids(model(id=auto(primary_key=True), uid=uid, c=text(row="uid"))) == []
    assert ids(model(c=text(context="column"))) == []


def test_so_does_one_with_a_default_of_the_database_or_of_another_model() -> None:
    assert ids(model(id=models.UUIDField(primary_key=True, db_default=models.Value("x")), c=text())) == [
        "portalsec.E024"
    ]
    parent = model()
    assert ids(model(parent=models.OneToOneField(parent, models.CASCADE, primary_key=True), c=text())) == [
        "portalsec.E024"
    ]


def test_which_keys_are_rows() -> None:
    for good in (
        key(),
        models.CharField(primary_key=True, max_length=9),
        models.IntegerField(primary_key=True),
    ):
        assert ids(model(id=good, c=text())) == []
    assert ids(model(id=models.DateField(primary_key=True), c=text())) == ["portalsec.E024"]


def test_the_other_column_is_unique_and_set() -> None:
    for weak in (models.UUIDField(default=uuid.uuid4), models.UUIDField(unique=True, null=True)):
        assert ids(model(uid=weak, c=text(row="uid"))) == ["portalsec.E023"]
    assert ids(model(c=text(row="uid"))) == ["portalsec.E022"]
    for option in ("tenant", "subject"):
        assert ids(model(id=key(), c=text(**{option: "gone"}))) == ["portalsec.E022"]


@pytest.mark.parametrize("options", [{"unique": True}, {"db_index": True}])
def test_what_means_nothing_for_ciphertexts(options: Any) -> None:
    assert ids(model(id=key(), c=text(**options))) == ["portalsec.E020"]


def test_what_the_database_would_have_to_encrypt() -> None:
    assert ids(model(id=key(), c=text(db_default="x"))) == ["portalsec.E021"]
    moment = EncryptedDateTimeField(table="t", column="c", auto_now=True)
    assert ids(model(id=key(), c=moment)) == ["portalsec.E021"]
    assert ids(model(id=key(), c=EncryptedDateTimeField(table="t", column="c", default=timezone.now))) == []


def test_a_moment_needs_a_time_zone(settings: Any) -> None:
    settings.USE_TZ = False
    assert ids(model(id=key(), c=EncryptedDateTimeField(table="t", column="c"))) == ["portalsec.E021"]


def test_an_index_points_at_an_encrypted_field_of_its_own_model() -> None:
    assert ids(model(id=key(), c=text(), i=BlindIndexField("gone", bits=8))) == ["portalsec.E025"]
    assert ids(model(id=key(), c=text(), d=models.TextField(), i=BlindIndexField("d", bits=8))) == [
        "portalsec.E025"
    ]
    assert ids(model(id=key(), c=text(), i=BlindIndexField(("c", "gone"), bits=8))) == ["portalsec.E025"]
    mixed = {"c": text(tenant="site"), "d": text(column="d"), "site": models.CharField(max_length=9)}
    assert ids(model(id=key(), **mixed, i=BlindIndexField(("c", "d"), bits=8))) == ["portalsec.E025"]
    assert ids(model(id=key(), c=text(), i=BlindIndexField("c", bits=8, normalise=digits))) == []


def test_a_unique_index_has_tags_that_differ() -> None:
    assert ids(model(id=key(), c=text(), i=BlindIndexField("c", bits=64, unique=True))) == ["portalsec.E026"]
    assert ids(model(id=key(), c=text(), i=BlindIndexField("c", bits=128, unique=True))) == []


def test_a_relation_that_cells_are_bound_to_is_written_by_a_queryset_that_knows() -> None:
    other = model()

    def bound(option: str = "subject", meta: Any = None, **declared: Any) -> list[str]:
        owner = models.ForeignKey(other, on_delete=declared.pop("on_delete", models.CASCADE), null=True)
        return ids(model(meta=meta, id=key(), owner=owner, c=text(**{option: "owner"}), **declared))

    named = {"base_manager_name": "objects"}
    for option in ("subject", "tenant"):
        assert bound(option) == ["portalsec.E030"]
        assert bound(option, objects=EncryptedQuerySet.as_manager()) == ["portalsec.E030"]
        assert bound(option, named, objects=EncryptedQuerySet.as_manager()) == []
        first = {"objects": models.Manager(), "exact": EncryptedQuerySet.as_manager()}
        assert bound(option, {"base_manager_name": "exact"}, **first) == ["portalsec.E030"]
    for rewrites in (models.SET_NULL, models.SET_DEFAULT, models.SET(None)):
        assert bound("subject", named, objects=EncryptedQuerySet.as_manager(), on_delete=rewrites) == [
            "portalsec.E031"
        ]
    for keeps in (models.PROTECT, models.RESTRICT, models.DO_NOTHING):
        assert bound("subject", named, objects=EncryptedQuerySet.as_manager(), on_delete=keeps) == []


def all_together(monkeypatch: pytest.MonkeyPatch, *models_: type[models.Model]) -> list[str]:
    monkeypatch.setattr(apps, "get_models", lambda **_: list(models_))
    found = check_encryption(None)
    assert all(message.hint for message in found)
    return [message.id or "" for message in found]


def test_two_fields_with_the_same_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = model(id=key(), a=text()), model(id=key(), b=text())
    assert all_together(monkeypatch, one, other) == ["portalsec.E028"]
    assert all_together(monkeypatch, one) == []
    assert all_together(monkeypatch, model(id=key(), a=text(), b=text(column="other"))) == []

    class Base(models.Model):
        id = key()
        note = text()

        class Meta:
            abstract = True
            app_label = "clinic"

    heirs = [type(name, (Base,), {"__module__": __name__, "Meta": type("Meta", (), {"app_label": "clinic"})}) for name in "AB"]  # fmt: skip
    assert all_together(monkeypatch, *heirs) == ["portalsec.E028"]


def test_keys_that_are_missing(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    one = model(id=key(), a=text(), i=BlindIndexField("a", bits=8))
    settings.PORTALSEC = {"KEYRING": "nowhere.at.all"}
    assert all_together(monkeypatch, one) == ["portalsec.E027"]
    settings.PORTALSEC = {"KEYRING": "tests.django.clinic.keys.ring"}
    assert all_together(monkeypatch, one) == []
    assert all_together(monkeypatch, model(id=key(), a=text(keys="other"))) == ["portalsec.E027"]
    assert all_together(monkeypatch, model(id=key(), a=text(keys="index"))) == ["portalsec.E027"]
    assert all_together(monkeypatch, model(id=key(), a=text(subject="id"))) == ["portalsec.E027"]
    settings.PORTALSEC = {
        "KEYRING": "tests.django.clinic.keys.ring",
        "SUBJECT_KEYS": "tests.django.clinic.keys.ring",
    }
    assert all_together(monkeypatch, model(id=key(), a=text(subject="id"))) == ["portalsec.E027"]


def test_orders_and_constraints_over_ciphertexts(monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(**meta: Any) -> type[models.Model]:
        return model(meta=meta, id=key(), a=text(), ward=models.CharField(max_length=9))

    assert all_together(monkeypatch, declared(ordering=["-a"])) == ["portalsec.E029"]
    assert all_together(monkeypatch, declared(unique_together=[("a", "ward")])) == ["portalsec.E029"]
    constraint = models.UniqueConstraint(fields=["a"], name="one")
    assert all_together(monkeypatch, declared(constraints=[constraint])) == ["portalsec.E029"]
    assert all_together(monkeypatch, declared(ordering=["ward"])) == []
    short = models.UniqueConstraint(fields=["i"], name="two")
    indexed = model(meta={"constraints": [short]}, id=key(), c=text(), i=BlindIndexField("c", bits=64))
    assert all_together(monkeypatch, indexed) == ["portalsec.E026"]


def test_a_normaliser_that_a_field_shadows_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"normalise\.name"):
        BlindIndexField("name", bits=8, normalise=text())  # type: ignore[arg-type]


def test_djangos_own_checks_hold_too() -> None:
    field = EncryptedCharField(table="t", column="c", max_length=-1)
    assert "fields.E121" in [message.id for message in model(id=key(), c=field).check()]
