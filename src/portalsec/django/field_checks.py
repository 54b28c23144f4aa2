"""System checks of encrypted fields: what would not open, not be found, or not be safe.

Those of one field run with the model's own checks; `check_encryption` looks at all models together, and at the keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields import AutoFieldMixin

from portalsec.crypto.blind_index import BlindIndex
from portalsec.errors import ConfigurationError, PortalsecError

if TYPE_CHECKING:
    from portalsec.django._encrypted_base import EncryptedModelField
    from portalsec.django.blind_index import BlindIndexField

__all__ = ["check_encrypted", "check_encryption", "check_index"]

_UUID = "Use id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)"


def check_encrypted(field: EncryptedModelField) -> Iterator[CheckMessage]:
    """One field, as its model declares it."""
    for option in ("primary_key", "unique", "db_index"):
        if getattr(field, option) and not (option == "unique" and field.primary_key):
            yield Error(
                f"{field.label} has {option}=True, which means nothing for ciphertexts: equal values differ.",
                hint="Remove it; a BlindIndexField finds equal values.",
                obj=field,
                id="portalsec.E020",
            )
    for problem in ("auto_now", "auto_now_add"):
        if getattr(field, problem, False):
            yield _error(
                field,
                f"{field.label} has {problem}.",
                "Use default=timezone.now, or a plain DateTimeField.",
                21,
            )
    if field.has_db_default():
        yield _error(
            field, f"{field.label} has a db_default, and a database cannot encrypt.", "Use default=.", 21
        )
    if type(field).__name__ == "EncryptedDateTimeField" and not settings.USE_TZ:
        yield _error(
            field, f"{field.label}: without USE_TZ a datetime names no instant.", "Set USE_TZ = True.", 21
        )
    yield from _places(field)


def _places(field: EncryptedModelField) -> Iterator[CheckMessage]:
    for name in (field.row, field.tenant, field.subject):
        if name is not None:
            try:
                found = field.model._meta.get_field(name)
            except FieldDoesNotExist:
                found = None
            if found is None or not getattr(found, "concrete", False):
                yield _error(
                    field, f"{field.label} names {name!r}, which is no column of this model.", "Name one.", 22
                )
                return
    if field.row is not None:
        row = field.row_fields[0]
        if not row.unique or row.null:
            yield _error(
                field,
                f"{field.label} is bound to {row.name!r}, which is not unique=True, or is null=True: cells of rows with "
                "the same value could be swapped.",
                f"Use {row.name} = models.UUIDField(default=uuid.uuid4, unique=True, editable=False).",
                23,
            )
    for owner in (
        *field.row_fields,
        *map(field.model._meta.get_field, filter(None, (field.tenant, field.subject))),
    ):
        yield from _relation(field, owner)
    for row in field.row_fields:
        if _assigned_by_database(row):
            yield _error(
                field,
                f"{field.label} is bound to its row by {row.name!r}, which the database assigns: there is no row to "
                "bind to before INSERT.",
                f'{_UUID}, or add a column that the application assigns and name it: row="uid".',
                24,
            )
        elif not isinstance(
            _target(row), (models.UUIDField, models.CharField, models.TextField, models.IntegerField)
        ):
            yield _error(
                field,
                f"{field.label} is bound to its row by {row.name!r}, a {type(row).__name__}: a row is an int, a str or "
                "a UUID.",
                f"{_UUID}.",
                24,
            )


_REWRITES = ("SET_NULL", "SET_DEFAULT", "set_on_delete", "DB_SET_NULL", "DB_SET_DEFAULT")


def _relation(field: EncryptedModelField, owner: Any) -> Iterator[CheckMessage]:
    """Django writes a foreign key in ways that know nothing of the cells that are bound to it."""
    from portalsec.django.queries import EncryptedQuerySet

    if getattr(owner, "remote_field", None) is None or owner.primary_key:
        return
    on_delete = owner.remote_field.on_delete
    if any(
        name in _REWRITES for name in (getattr(on_delete, "__name__", ""), getattr(on_delete, "name", ""))
    ):
        yield _error(
            field,
            f"{field.label} is bound to {owner.name!r}, which is given another value where its row is deleted: the cell "
            "would open no more.",
            "Use on_delete=models.CASCADE, PROTECT or RESTRICT.",
            31,
        )
    meta = field.model._meta
    for what in ("base", "default"):
        manager = getattr(meta, f"{what}_manager")
        if not issubclass(getattr(manager, "_queryset_class", type(None)), EncryptedQuerySet):
            yield _error(
                field,
                f"{field.label} is bound to {owner.name!r}, and related managers (add, set, remove) write that through the "
                f"model's {what} manager, which knows no cells.",
                'Use objects = EncryptedQuerySet.as_manager(), and base_manager_name = "objects" in Meta.',
                30,
            )
            return


def _target(field: Any) -> Any:
    while getattr(field, "remote_field", None) is not None and hasattr(field, "target_field"):
        field = field.target_field
    return field


def _assigned_by_database(field: Any) -> bool:
    target = _target(field)
    return isinstance(target, AutoFieldMixin) or target.has_db_default() or target.generated


def check_index(index: BlindIndexField) -> Iterator[CheckMessage]:
    """One index."""
    local = {field.name: field for field in index.model._meta.local_concrete_fields}
    for name in index.sources:
        if not getattr(local.get(name), "portalsec_encrypted", False):
            yield Error(
                f"The index {index.name!r} points at {name!r}, which is no encrypted field of this model.",
                hint="Name an encrypted field that is declared in the same class.",
                obj=index,
                id="portalsec.E025",
            )
            return
    if len({local[name].tenant for name in index.sources}) != 1:  # type: ignore[attr-defined]
        yield Error(
            f"The index {index.name!r} is of fields with different tenant=.",
            hint="Give them the same.",
            obj=index,
            id="portalsec.E025",
        )
    if index.unique and index.bits < 128:
        yield Error(
            f"The index {index.name!r} is unique with {index.bits} bits: other values have the same tag.",
            hint="Give it bits=128 (and mind that during a rotation one value has two tags).",
            obj=index,
            id="portalsec.E026",
        )


def _error(field: Any, message: str, hint: str, number: int) -> Error:
    return Error(message, hint=hint, obj=field, id=f"portalsec.E{number:03}")


# -- all together -----------------------------------------------------------------------------------------------


@register(Tags.security)
def check_encryption(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Keys that are missing, labels that two fields share, and orderings and searches that would be refused."""
    fields, indexes = [], []
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy:
            continue
        for field in model._meta.local_concrete_fields:
            if getattr(field, "portalsec_encrypted", False):
                fields.append(field)
            elif getattr(field, "portalsec_index", False):
                indexes.append(field)
    return [*_keys([*fields, *indexes]), *_labels(fields), *_metas({f.model for f in fields}), *_admins()]


def _keys(fields: Sequence[Any]) -> Iterator[CheckMessage]:
    said = set()
    for field in fields:
        try:
            cipher = field.crypto
            if isinstance(cipher, BlindIndex):
                cipher.tags(None, "t" if field.tenant else None)
        except (PortalsecError, FieldDoesNotExist, AttributeError) as error:
            if isinstance(error, ConfigurationError) and str(error) not in said:
                said.add(str(error))
                yield Error(
                    str(error),
                    hint="Without its keys an encrypted field can be neither read nor written.",
                    obj=field,
                    id="portalsec.E027",
                )


def _labels(fields: Sequence[Any]) -> Iterator[CheckMessage]:
    seen: dict[tuple[str, str], Any] = {}
    for field in fields:
        other = seen.setdefault((field.table, field.column_label), field)
        if other is not field:
            yield Error(
                f"{field} and {other} have the same labels, table={field.table!r} and column={field.column_label!r}: a "
                "cell of one opens in the other.",
                hint="Give each its own. A label that is in use never changes: change the newer one.",
                obj=field,
                id="portalsec.E028",
            )


def _metas(found: set[type[models.Model]]) -> Iterator[CheckMessage]:
    for model in sorted(found, key=lambda each: each._meta.label):
        meta = model._meta
        encrypted = {f.name for f in meta.concrete_fields if getattr(f, "portalsec_encrypted", False)}
        named = {str(item).removeprefix("-") for item in meta.ordering or () if isinstance(item, str)}
        for name in sorted(encrypted & named):
            yield _error(
                model, f"Meta.ordering names {name!r}, which is encrypted.", "Ciphertexts have no order.", 29
            )
        short = {f.name for f in meta.concrete_fields if getattr(f, "bits", 128) < 128}
        together = {name for group in meta.unique_together for name in group}
        for constraint in meta.constraints:
            together |= set(getattr(constraint, "fields", ()))
        for name in sorted(encrypted & together):
            yield _error(
                model,
                f"A unique constraint names {name!r}, which is encrypted: equal values differ, so it holds nothing.",
                "Name its BlindIndexField, with bits=128.",
                29,
            )

        for name in sorted(short & together):
            yield _error(
                model,
                f"A unique constraint names {name!r}, an index of less than 128 bits: other values have the same tag.",
                "Give it bits=128 (and mind that during a rotation one value has two tags).",
                26,
            )


def _admins() -> Iterator[CheckMessage]:
    if not apps.is_installed("django.contrib.admin"):
        return
    from django.contrib import admin

    for site in admin.sites.all_sites:
        for model, options in site._registry.items():
            for name in options.search_fields:
                if _leads_to_encrypted(model, name) and not str(name).endswith("__exact"):
                    yield Warning(
                        f"{type(options).__name__}.search_fields names {name!r}, which is encrypted: a search would be "
                        "refused.",
                        hint=f'Write "{str(name).lstrip("^=@")}__exact": its index finds equal values.',
                        obj=type(options),
                        id="portalsec.W020",
                    )
            for option in ("ordering", "list_filter", "date_hierarchy"):
                named = getattr(options, option) or ()
                for name in (named,) if isinstance(named, str) else named:
                    first = name[0] if isinstance(name, tuple) else name
                    if isinstance(first, str) and _leads_to_encrypted(model, first.removeprefix("-")):
                        yield Warning(
                            f"{type(options).__name__}.{option} names {first!r}, which is encrypted: it would be refused.",
                            hint="Take it out.",
                            obj=type(options),
                            id="portalsec.W020",
                        )

            yield from _sorted_columns(model, options)


def _sorted_columns(model: type[models.Model], options: Any) -> Iterator[CheckMessage]:
    """Of a column that is shown, the admin makes a link that sorts by it."""
    for shown in options.list_display:
        if options.sortable_by is not None and shown in options.sortable_by:
            by_hand = True
        elif options.sortable_by is not None:
            continue
        else:
            by_hand = False
        column = shown if callable(shown) else getattr(options, shown, None) or getattr(model, shown, None)
        path = getattr(column, "admin_order_field", shown)
        if isinstance(path, str) and _leads_to_encrypted(model, path.removeprefix("-")):
            yield Warning(
                f"{type(options).__name__} shows {shown!r}, which is encrypted, and lets people sort by it: that is an "
                "error page.",
                hint="Take it out of sortable_by."
                if by_hand
                else "Set sortable_by to the names of the other columns.",
                obj=type(options),
                id="portalsec.W021",
            )


def _leads_to_encrypted(model: type[models.Model], path: object) -> bool:
    meta = model._meta
    field: Any = None
    for part in str(path).lstrip("^=@").split("__"):
        try:
            field = meta.get_field(part)
        except FieldDoesNotExist:
            break
        if field.is_relation and field.related_model is not None:
            meta = field.related_model._meta
    return getattr(field, "portalsec_encrypted", False)
