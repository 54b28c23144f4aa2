"""`EncryptedQuerySet`: what a plain QuerySet refuses of encrypted fields, where it can be done right.

::

    class Patient(models.Model):
        ...
        objects = EncryptedQuerySet.as_manager()

A plain QuerySet searches as well; what it finds may hold false positives, since tags are truncated on purpose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db import NotSupportedError, models
from django.db.models.expressions import Value

from portalsec.django._encrypted_methods import check_moved, encrypted_fields, remember, together
from portalsec.django._encrypted_short import check_excluded, check_exists, check_written
from portalsec.django._encrypted_sql import SHORT, searched
from portalsec.errors import SubjectErased

__all__ = ["EncryptedQuerySet", "drop_false_positives"]

M = TypeVar("M", bound=models.Model)


def drop_false_positives(rows: Iterable[M], **sought: Any) -> Iterator[M]:
    """Those rows whose values, opened, are what was searched for.

    ::

        drop_false_positives(Patient.objects.filter(ssn="078-05-1120"), ssn="078-05-1120")

    Args:
        rows: of one model; related ones are followed (``patient__ssn=``), so use select_related.
        sought: as in ``filter``: a field with an index and a value, or ``__in`` and several. None alone asks for NULL, as there; among several it is not asked for.

    A row of somebody who was erased (`SubjectErased`) is left out: it has no value any more, and a tag that it kept shall
    not end everybody else's search.

    Raises:
        DecryptionError: a cell that was found does not open.
        ValueError: a name that is no field with an index.
    """
    for row in rows:
        try:
            same = all(_matches(row, name, value) for name, value in sought.items())
        except SubjectErased:
            continue
        if same:
            yield row


def _matches(row: models.Model, name: str, value: Any) -> bool:
    index, path, many = _indexed(type(row), name)
    if index is None:
        raise ValueError(
            f"{name}: this is no encrypted field with an index, nor reached by foreign keys alone"
        )
    owner: Any = row
    for step in path:
        owner = getattr(owner, step, None)
        if owner is None:
            return value is None and not many
    if value is None and not many:
        return getattr(owner, name.removesuffix("__exact").split("__")[-1]) is None
    return index.same(owner, value if many else [value])  # type: ignore[no-any-return]


def _indexed(model: type[models.Model], name: str) -> tuple[Any, Sequence[str], bool]:
    """The index that serves this condition, the way to it, and whether it is an ``__in``; (None, ...) if there is none."""
    parts = name.split("__")
    many = parts[-1] == "in"
    if parts[-1] in ("exact", "in"):
        parts.pop()
    path: list[str] = []
    for place, part in enumerate(parts):
        try:
            field: Any = model._meta.get_field(part)
        except FieldDoesNotExist:
            break
        last = place == len(parts) - 1
        if last and getattr(field, "portalsec_index", False):
            return field, path, many
        if last and getattr(field, "portalsec_encrypted", False):
            single = [index for index in field.indexes if len(index.sources) == 1]
            return (single[0] if single else None), path, many
        if not (field.many_to_one or field.one_to_one):
            break
        path.append(part)
        model = field.related_model
    return None, path, many


class _Prepared:
    """An instance as `bulk_update` reads it, with cells in place of values."""

    def __init__(self, instance: models.Model, cells: Mapping[str, Any]) -> None:
        self._instance = instance
        self.__dict__.update(cells)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)


class EncryptedQuerySet(models.QuerySet[M]):
    """A QuerySet whose `bulk_update` encrypts, and whose `get` (and what is built on it) drops false positives."""

    def get(self, *args: Any, **kwargs: Any) -> M:
        """As Django's, and never a row that only has the same tag; so are get_or_create and update_or_create.

        Raises:
            NotSupportedError: a value of a short index in a ``Q``, or in a ``filter`` before: a query keeps its tags
                alone, so nobody could tell whether the row that is found has the value.
        """
        sought = {
            name: value
            for name, value in kwargs.items()
            if value is not None and _indexed(self.model, name)[0] is not None
        }
        asked = {_indexed(self.model, name)[0] for name in sought}
        for index in searched((self.filter(*args) if args else self).query.where):
            if index.bits < SHORT and index not in asked:
                raise NotSupportedError(
                    f"get() after a search in {index.label}, whose tags of {index.bits} bits other values have too: name "
                    f"the value in it, get({index.name if len(index.sources) > 1 else index.sources[0]}=...), or use "
                    "matching(...)"
                )
        if not sought:
            return super().get(*args, **kwargs)
        found = list(drop_false_positives(self.filter(*args, **kwargs), **sought))
        if not found:
            raise self.model.DoesNotExist(  # type: ignore[attr-defined]
                f"{self.model._meta.object_name} matching query does not exist."
            )
        if len(found) > 1:
            raise self.model.MultipleObjectsReturned(  # type: ignore[attr-defined]
                f"get() returned more than one {self.model._meta.object_name} -- it returned {len(found)}!"
            )
        return found[0]

    def matching(self, **sought: Any) -> list[M]:
        """``filter(...)`` without false positives."""
        return list(drop_false_positives(self.filter(**sought), **sought))

    def _filter_or_exclude_inplace(self, negate: bool, args: Any, kwargs: Any) -> None:
        # Here, and not when it is compiled: Django makes a query of its own of what is excluded across relations.
        super()._filter_or_exclude_inplace(negate, args, kwargs)  # type: ignore[misc]
        check_excluded(self._query)  # type: ignore[attr-defined]  # `query` would apply a deferred filter once more

    def difference(self, *other_qs: Any) -> Any:
        """As Django's, and not by an index below 64 bits."""
        found = super().difference(*other_qs)
        check_excluded(found.query)
        return found

    def exists(self) -> bool:
        """As Django's, and not by an index below 64 bits: it would be true for somebody else."""
        if self._result_cache is None:
            check_exists(self.query)
        return super().exists()

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, and not by an index below 64 bits, unless the rows are named by pk as well."""
        check_written(self.query)
        return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def update(self, **kwargs: Any) -> int:
        """As Django's, and as `delete`. Of encrypted fields it takes None alone, which empties the index too."""
        check_written(self.query)
        meta = self.model._meta
        encrypted: list[Any] = [f for f in meta.concrete_fields if getattr(f, "portalsec_encrypted", False)]
        for name in list(kwargs):
            try:
                field: Any = meta.get_field(name)
            except FieldDoesNotExist:
                continue
            for bound in encrypted:
                if field in bound.place_fields and bound.name not in kwargs:
                    raise NotSupportedError(
                        f"update({name}=...): cells of {bound.label} are bound to it, and would open no more. "
                        "Load the rows, assign and save them."
                    )
            if getattr(field, "portalsec_encrypted", False) and kwargs[name] is None:
                for index in field.indexes:
                    kwargs.setdefault(index.name, None)
        return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(self, objs: Iterable[M], fields: Iterable[str], batch_size: int | None = None) -> int:
        """As Django's; values are encrypted for their rows, and their indexes go along."""
        instances, meta = tuple(objs), self.model._meta
        of_model = encrypted_fields(self.model)
        named = [meta.get_field(name).name for name in fields]
        for instance in instances:
            if not instance._state.adding:
                check_moved(instance, of_model, named)
        names = list(dict.fromkeys([*named, *sorted(together(of_model, named))]))
        written: list[Any] = [meta.get_field(name) for name in names]
        encrypted = [field for field in written if field in of_model]
        indexes = [field for field in written if getattr(field, "portalsec_index", False)]
        prepared = []
        for instance in instances:
            cells: dict[str, Any] = {
                field.attname: Value(field.pre_save(instance, add=False), output_field=field)
                for field in encrypted
            }
            for index in indexes:
                index.pre_save(instance, add=False)
            prepared.append(_Prepared(instance, cells) if cells else instance)
        count = super().bulk_update(prepared, names, batch_size)  # type: ignore[arg-type]
        for instance in instances:
            remember(instance, names)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]
