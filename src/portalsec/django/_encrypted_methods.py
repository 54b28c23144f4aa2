"""Methods of a model with encrypted fields that must know of them: what is saved together, refreshed, and found twice.

A field sees one column. These are put around the model's own methods when its class is ready, whether they are
Django's or overridden: ``save_base``, ``refresh_from_db``, ``validate_unique`` and ``validate_constraints``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.query import ModelIterable

from portalsec.django._cell_state import HANDS_OVER, PLACES, Tag
from portalsec.errors import PortalsecError

__all__ = ["check_moved", "encrypted_fields", "equip", "remember", "together"]


def encrypted_fields(model: type[models.Model]) -> list[Any]:
    """Those of the model and of what it inherits from."""
    return [field for field in model._meta.concrete_fields if getattr(field, "portalsec_encrypted", False)]


def equip(model: type[models.Model]) -> None:
    """Puts them around the methods of this class."""
    for name, around in _AROUND.items():
        inner = getattr(model, name)
        if not hasattr(inner, "portalsec_around"):
            outer = around(inner)
            outer.portalsec_around = True  # type: ignore[attr-defined]
            setattr(model, name, outer)


# -- what is written together -------------------------------------------------------------------------------------


def together(fields: Iterable[Any], names: Collection[str]) -> frozenset[str]:
    """The names of fields, and of all that a save of these must write with them.

    A cell goes with its tags, since the row may have got another's meanwhile, and with what it is bound to. Who writes
    one of these writes the cell. (Of a compound index the other cells stay.)
    """
    found = set(names)
    before = -1
    while len(found) != before:
        before = len(found)
        for field in fields:
            places = [part for part in field.place_fields if not _of_a_key(part)]
            single = [index for index in field.indexes if len(index.sources) == 1]
            if any(_named(part, found) for part in (field, *places, *single)):
                found.update(
                    part.name for part in (field, *places, *field.indexes) if not _named(part, found)
                )
    return frozenset(found)


def _named(field: Any, names: Collection[str]) -> bool:
    return field.name in names or field.attname in names


def _of_a_key(field: Any) -> bool:
    return field.primary_key or field in field.model._meta.pk_fields


def check_moved(instance: models.Model, fields: Iterable[Any], names: Collection[str] | None) -> None:
    """What has another row, tenant or subject than it was loaded with is written with that, or neither of them is.

    Args:
        names: of the fields that are written; None where all are.

    Raises:
        ValueError: one of the two would be written without the other.
    """
    origin = instance._state.__dict__.get(PLACES)
    for field in fields if origin else ():
        for part in field.place_fields:
            before = origin.get(part.attname)  # type: ignore[union-attr]
            now = instance.__dict__.get(part.attname, before)
            if before is None or part.primary_key or part.to_python(before) == part.to_python(now):
                continue
            moves = names is None or _named(part, names)
            sealed = field.attname in instance.__dict__ and (names is None or _named(field, names))
            if moves is not sealed:
                raise ValueError(
                    f"{field.label}: {part.name!r} has changed, and the cell is bound to it: save {field.name!r} and "
                    f"{part.name!r} together"
                )


def remember(instance: models.Model, names: Collection[str] | None) -> None:
    """What cells are bound to in the database, after a statement that wrote (or read) these fields; None: all."""
    origin = instance._state.__dict__.get(PLACES)
    if origin is not None:
        data = instance.__dict__
        by_attname = {field.attname: field for field in instance._meta.concrete_fields}
        for attname in origin:
            if attname in data and (names is None or _named(by_attname[attname], names)):
                origin[attname] = data[attname]


def _save_base(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def save_base(self: models.Model, raw: bool = False, *args: Any, **kwargs: Any) -> Any:
        names = kwargs.get("update_fields")
        if names is not None and not raw:
            fields = encrypted_fields(type(self))
            if not self._state.adding:
                check_moved(self, fields, names)
            kwargs["update_fields"] = together(fields, names)
        return inner(self, raw, *args, **kwargs)

    return save_base


# -- what is read again -------------------------------------------------------------------------------------------


class _HandingOver(ModelIterable):  # type: ignore[type-arg]
    """Rows whose attributes give the cell as it is, for another instance of the same row."""

    def __iter__(self) -> Any:
        for instance in super().__iter__():
            instance._state.__dict__[HANDS_OVER] = True
            yield instance


def _refresh_from_db(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def refresh_from_db(
        self: models.Model,
        using: str | None = None,
        fields: Any = None,
        from_queryset: Any = None,
        **kwargs: Any,
    ) -> Any:
        fields = None if fields is None else list(fields)
        if from_queryset is None:
            from_queryset = type(self)._base_manager.db_manager(using, hints={"instance": self})
        from_queryset = from_queryset.all()
        if from_queryset._iterable_class is ModelIterable:
            from_queryset._iterable_class = _HandingOver
        answer = inner(self, using=using, fields=fields, from_queryset=from_queryset, **kwargs)
        remember(self, fields)
        return answer

    return refresh_from_db


# -- what is there already ----------------------------------------------------------------------------------------


def _validate_unique(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def validate(self: models.Model, exclude: Collection[str] | None = None) -> Any:
        indexes = _unique_indexes(type(self))
        if not indexes:
            return inner(self, exclude=exclude)
        left = set(exclude or ())
        for index in indexes:
            if left.isdisjoint(index.sources) and _fill(self, index):
                left.discard(index.name)  # a form excludes what it does not show
            else:
                left.add(index.name)
        found: ValidationError | None = None
        try:
            return inner(self, exclude=left)
        except ValidationError as error:
            found = error
        raise _of_the_field(found, indexes)

    return validate


def _unique_indexes(model: type[models.Model]) -> Sequence[Any]:
    meta = model._meta
    parents = [model, *meta.all_parents]
    named = {name for each in parents for group in each._meta.unique_together for name in group}
    named |= {
        name
        for each in parents
        for constraint in each._meta.constraints
        for name in getattr(constraint, "fields", ())
    }
    return [
        field
        for field in meta.concrete_fields
        if getattr(field, "portalsec_index", False) and (field.unique or field.name in named)
    ]


def _fill(instance: models.Model, index: Any) -> bool:
    """Puts the tags of its value into the instance, under every key; False where there is none to be had."""
    try:
        tags = index.tags_of(instance)
    except (ValueError, PortalsecError):
        return False  # a value that saving refuses, or a cell that does not open: nothing to compare
    tag = Tag(tags[0]) if tags else None
    if tag is not None:
        tag.older = tuple(tags[1:])
    setattr(instance, index.attname, tag)
    return True


def _of_the_field(error: ValidationError, indexes: Sequence[Any]) -> ValidationError:
    """Said of the field that people fill in, not of its index."""
    if not hasattr(error, "error_dict"):
        return error
    sources = {index.name: index.sources[0] for index in indexes}
    said: dict[str, list[Any]] = {}
    for name, errors in error.error_dict.items():
        said.setdefault(sources.get(name, name), []).extend(errors)
    return ValidationError(said)


_AROUND: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "save_base": _save_base,
    "refresh_from_db": _refresh_from_db,
    "validate_unique": _validate_unique,
    "validate_constraints": _validate_unique,
}
