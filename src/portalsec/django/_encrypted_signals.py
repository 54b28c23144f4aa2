"""What an encrypted field must know of an instance besides its value: where it was loaded from, and raw saves.

A field is told of neither, so Django's signals tell: of models with encrypted fields alone.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.signals import class_prepared, post_init, post_save, pre_delete, pre_save

from portalsec.django._cell_state import PLACES, Cell, Plain, RawCell, SerialisedCell
from portalsec.django._encrypted_methods import check_moved, encrypted_fields, equip, remember, together
from portalsec.django._encrypted_short import check_origin, is_short

__all__: list[str] = []


def _prepared(sender: type[models.Model], **kwargs: Any) -> None:
    fields = encrypted_fields(sender)
    if fields and not sender._meta.abstract:
        equip(sender)
        post_init.connect(_loaded, sender=sender, dispatch_uid=("portalsec", sender))
        pre_save.connect(_saving, sender=sender, dispatch_uid=("portalsec", sender))
        post_save.connect(_saved, sender=sender, dispatch_uid=("portalsec", sender))
        if any(
            getattr(field, "portalsec_index", False) and is_short(field)
            for field in sender._meta.concrete_fields
        ):
            pre_delete.connect(check_origin, sender=sender, dispatch_uid=("portalsec", sender))


class_prepared.connect(_prepared, dispatch_uid="portalsec.django.fields")


def _loaded(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    """Remembers the row that the cells came from, since a copy begins with another key on the same instance."""
    data = instance.__dict__
    fields = sender.__dict__.get("_portalsec_fields")
    if fields is None:
        fields = encrypted_fields(sender)
        sender._portalsec_fields = fields  # type: ignore[attr-defined]
    origin: dict[str, Any] | None = None
    for field in fields:
        state = data.get(field.attname, field)
        if isinstance(state, Cell):
            if state.place is None and all(data.get(part.attname) is not None for part in field.place_fields):
                state.place = field.place_of(instance)
        elif state is not field:
            continue  # None, or a value of an instance that is not of the database
        if origin is None and (field.row or field.tenant or field.subject):
            origin = {}
        if origin is not None:
            for part in field.place_fields:
                if part.attname in data:
                    origin[part.attname] = data[part.attname]
    if origin is not None:
        instance._state.__dict__[PLACES] = origin


def _saving(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool = False,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    fields = encrypted_fields(sender)
    if raw:
        _make_raw(instance, fields)
        return
    for field in fields:
        if type(instance.__dict__.get(field.attname)) is SerialisedCell:
            field.refuse_serialised()
    if update_fields is not None and (missing := together(fields, update_fields) - update_fields):
        # `save_base` adds them; this is of somebody who goes past it.
        raise ValueError(
            f"save(update_fields=...): {', '.join(map(repr, sorted(missing)))} must be written with the rest"
        )
    if not instance._state.adding:
        check_moved(instance, fields, update_fields)


def _make_raw(instance: models.Model, fields: list[Any]) -> None:
    """A raw save (loaddata) takes attributes as they are, so they must be cells by now, and tags."""
    data = instance.__dict__
    plain = []
    for field in fields:
        state = data.get(field.attname)
        if isinstance(state, Plain):
            plain.append(field)
            cell = field.sealed(instance)
        else:
            cell = state
        if cell is not None:
            data[field.attname] = RawCell(bytes(cell), field.label, None, getattr(cell, "value", None))
    for index in {index for field in plain for index in field.indexes}:
        values = {field.attname: data[field.attname] for field in index.source_fields}
        for field in index.source_fields:
            if data[field.attname] is not None:
                state = data[field.attname]
                data[field.attname] = (
                    Plain(state.value) if field in plain else Cell(bytes(state), field.label)
                )
        setattr(instance, index.attname, index.tag_of(instance))
        data.update(values)


def _saved(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool = False,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    data = instance.__dict__
    for field in encrypted_fields(sender) if raw else ():
        state = data.get(field.attname)
        if isinstance(state, RawCell):
            data[field.attname] = Cell(bytes(state), field.label)
    remember(instance, update_fields)
