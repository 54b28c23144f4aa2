"""What an encrypted field must know of an instance besides its value: where it was loaded from, and raw saves.

A field is told of neither, so Django's signals tell: of models with encrypted fields alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.db import models
from django.db.models.signals import class_prepared, post_init, post_save, pre_save

from portalsec.django._cell_state import Cell, Plain, RawCell, SerialisedCell

__all__ = ["check_moved"]

_KEY = "portalsec_places"


def _prepared(sender: type[models.Model], **kwargs: Any) -> None:
    fields = _encrypted(sender)
    if fields and not sender._meta.abstract:
        post_init.connect(_loaded, sender=sender, dispatch_uid=("portalsec", sender))
        pre_save.connect(_saving, sender=sender, dispatch_uid=("portalsec", sender))
        post_save.connect(_saved, sender=sender, dispatch_uid=("portalsec", sender))


class_prepared.connect(_prepared, dispatch_uid="portalsec.django.fields")


def _encrypted(model: type[models.Model]) -> list[Any]:
    return [field for field in model._meta.concrete_fields if getattr(field, "portalsec_encrypted", False)]


def _loaded(sender: type[models.Model], instance: models.Model, **kwargs: Any) -> None:
    """Remembers the row that the cells came from, since a copy begins with another key on the same instance."""
    data = instance.__dict__
    fields = sender.__dict__.get("_portalsec_fields")
    if fields is None:
        fields = _encrypted(sender)
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
        instance._state.__dict__[_KEY] = origin


def _saving(
    sender: type[models.Model],
    instance: models.Model,
    raw: bool = False,
    update_fields: frozenset[str] | None = None,
    **kwargs: Any,
) -> None:
    fields = _encrypted(sender)
    if raw:
        _make_raw(instance, fields)
        return
    for field in fields:
        if type(instance.__dict__.get(field.attname)) is SerialisedCell:
            field.refuse_serialised()
    if update_fields is not None:
        _check_indexes(instance, fields, update_fields)
    if not instance._state.adding:
        check_moved(instance, fields, update_fields)


def _check_indexes(instance: models.Model, fields: list[Any], names: frozenset[str]) -> None:
    for field in fields:
        if field.name not in names:
            continue
        state = instance.__dict__.get(field.attname)
        if isinstance(state, Cell) and not state.changed() and state.place == field.place_of(instance):
            continue  # as it was
        for index in field.indexes:
            if index.name not in names:
                raise ValueError(
                    f"{field.label}: its index would keep the old value: "
                    f"save(update_fields=[{field.name!r}, {index.name!r}])"
                )


def check_moved(instance: models.Model, fields: Iterable[Any], names: Collection[str] | None) -> None:
    """A cell and what it is bound to are written together, or neither of them is.

    Args:
        names: of the fields that are written; None where all are.

    Raises:
        ValueError: one of the two would be written without the other.
    """
    origin = instance._state.__dict__.get(_KEY)
    for field in fields if origin else ():
        for part in field.place_fields:
            before = origin.get(part.attname)  # type: ignore[union-attr]
            now = instance.__dict__.get(part.attname, before)
            if before is None or part.primary_key or part.to_python(before) == part.to_python(now):
                continue
            moves = names is None or part.name in names or part.attname in names
            sealed = field.attname in instance.__dict__ and (names is None or field.name in names)
            if moves is not sealed:
                raise ValueError(
                    f"{field.label}: {part.name!r} has changed, and the cell is bound to it: save {field.name!r} and "
                    f"{part.name!r} together"
                )


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


def _saved(sender: type[models.Model], instance: models.Model, raw: bool = False, **kwargs: Any) -> None:
    data = instance.__dict__
    for field in _encrypted(sender):
        state = data.get(field.attname)
        if raw and isinstance(state, RawCell):
            data[field.attname] = Cell(bytes(state), field.label)
    if (origin := instance._state.__dict__.get(_KEY)) is not None:
        instance._state.__dict__[_KEY] = {name: data[name] for name in origin if name in data}
