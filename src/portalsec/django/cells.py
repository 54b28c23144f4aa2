"""`DjangoCells`: the cells of a model's table for re-encryption, and `reencryptions`, the tasks that its fields ask for.

No model is saved: no `save`, signal, default or ``auto_now``. Works on SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, models

from portalsec.crypto.cells import Change, Key, Row
from portalsec.crypto.rotation import Reencryption
from portalsec.crypto.tasks import Encrypt, RebuildCompound, RebuildIndex, Reencrypt, Task
from portalsec.django._cell_state import Cell
from portalsec.django._swap import Bind, failing_as_store, swapper
from portalsec.errors import ConfigurationError

__all__ = ["DjangoCells", "encrypted_models", "reencryptions"]

_READ_AT_ONCE = 500


class DjangoCells:
    """`portalsec.crypto.cells.CellSource` over the table of one model.

    Columns go by the names of their fields. Each batch commits by itself: call it outside of any transaction.
    """

    def __init__(
        self,
        model: type[models.Model],
        columns: Sequence[str],
        *,
        using: str = DEFAULT_DB_ALIAS,
        like: Any,
    ) -> None:
        """
        Args:
            model: whose table; fields that it inherits by multi-table inheritance are their own model's.
            columns: names of its fields: encrypted ones, indexes, and columns of plaintext.
            using: alias of the database.
            like: one of the encrypted fields, which says what the cells are bound to.

        Raises:
            ConfigurationError: an unknown column; a database of another kind.
        """
        meta = model._meta
        self._using, self._columns = using, tuple(columns)
        self._rows = model._base_manager.using(using)
        self._key: tuple[Any, ...] = tuple(meta.pk_fields)
        self._ids: tuple[Any, ...] = tuple(like.row_fields)
        self._tenant, self._subject = (
            meta.get_field(name) if name else None for name in (like.tenant, like.subject)
        )
        self._fields = [_named(model, name) for name in columns]
        guards = [field for field in (*self._ids, self._tenant, self._subject) if field is not None]
        self._guards: list[Any] = [f for f in dict.fromkeys(guards) if f not in self._key]
        self._head = list(dict.fromkeys([*self._key, *self._guards]))
        self._names = [field.attname for field in (*self._head, *self._fields)]
        self._swap = swapper(using, meta.db_table, self._key, self._guards, self._fields)
        connection = connections[using]
        self._bind_key = [_binder(field, connection) for field in self._key]
        self._bind_guard = [_binder(field, connection) for field in self._guards]
        self._bind_value = [_binder(field, connection) for field in self._fields]

    @property
    def columns(self) -> Sequence[str]:
        return self._columns

    def count(self) -> int:
        with failing_as_store():
            return int(self._rows.count())

    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        query = self._rows.all()
        if after is not None:
            query = query.filter(pk__gt=after[0] if len(after) == 1 else after)
        return self._read(query.order_by(*(field.attname for field in self._key))[:limit])

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        found: list[Row] = []
        for start in range(0, len(keys), _READ_AT_ONCE):
            some = keys[start : start + _READ_AT_ONCE]
            found += self._read(self._rows.filter(pk__in=[key[0] if len(key) == 1 else key for key in some]))
        return found

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        if not changes:
            return ()
        rows = [
            (
                (
                    *_bound(self._bind_key, change.row.key),
                    *_bound(self._bind_guard, change.row.place),
                    *_bound(self._bind_value, change.row.values),
                ),
                _bound(self._bind_value, change.values),
            )
            for change in changes
        ]
        return self._swap(rows)

    def tally(self, column: str, beginnings: Sequence[Collection[bytes | str]]) -> Sequence[int]:
        connection: Any = connections[self._using]
        quote = connection.ops.quote_name
        field = self._fields[self._columns.index(column)]
        name = quote(field.column)
        parts, parameters = [], []
        for of_one in beginnings:
            each = [part.encode() if isinstance(part, str) else part for part in of_one]
            any_of = " OR ".join([f"substr({name}, 1, {len(part)}) = %s" for part in each] or ["1 = 0"])
            parts.append(f"count(CASE WHEN {any_of} THEN 1 END)")
            parameters += [connection.Database.Binary(part) for part in each]
        statement = f"SELECT {', '.join([*parts, f'count({name})'])} FROM {quote(field.model._meta.db_table)}"  # noqa: S608 - quoted
        with failing_as_store(), connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            *found, held = cursor.fetchone()
        return [*found, held - sum(found)]

    def _read(self, query: Any) -> list[Row]:
        with failing_as_store():
            found = list(query.values_list(*self._names))
        head = {field: place for place, field in enumerate(self._head)}
        size, first = len(self._key), len(self._head)
        ids = [head[field] for field in self._ids]
        rows = []
        for row in found:
            each = [row[place] for place in ids]
            rows.append(
                Row(
                    tuple(row[:size]),
                    None if not each else each[0] if len(each) == 1 else tuple(each),
                    tuple(map(_bare, row[first:])),
                    None if self._tenant is None else str(row[head[self._tenant]]),
                    None if self._subject is None else str(row[head[self._subject]]),
                    tuple(row[size:first]),
                )
            )
        return rows


def _bare(value: Any) -> Any:
    return bytes(value) if isinstance(value, (Cell, memoryview)) else value


def _named(model: type[models.Model], name: str) -> Any:
    for field in model._meta.local_concrete_fields:
        if name in (field.name, field.attname):
            return field
    raise ConfigurationError(f"{model._meta.label} has no column {name!r} of its own")


def _binder(field: Any, connection: Any) -> Bind:
    if getattr(field, "portalsec_encrypted", False) or isinstance(field, models.BinaryField):
        return _as_it_is
    return lambda value: field.get_db_prep_value(value, connection, prepared=False)


def _as_it_is(value: Any) -> Any:
    return value


def _bound(binders: Sequence[Bind], values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(bind(value) for bind, value in zip(binders, values, strict=True))


# -- what the fields of a model ask for ---------------------------------------------------------------------------


def encrypted_models() -> list[type[models.Model]]:
    """Every model of the project that declares an encrypted field."""
    from django.apps import apps

    return [model for model in apps.get_models() if not model._meta.proxy and _local(model)]


def _local(model: type[models.Model]) -> list[Any]:
    return [f for f in model._meta.local_concrete_fields if getattr(f, "portalsec_encrypted", False)]


def reencryptions(
    model: type[models.Model],
    *,
    using: str = DEFAULT_DB_ALIAS,
    batch: int = 2000,
    rebuild: bool = False,
    fill: Mapping[str, str] | None = None,
    clear: bool = True,
) -> Mapping[str, Reencryption]:
    """The runs over one model, by a name that stays the same: one for each way in which its cells are bound.

    Args:
        rebuild: bring the tags of every index up to date, and leave the cells as they are. (Without it, both.)
        fill: encrypted field -> the column of plaintext that is encrypted into it.
        clear: whether ``fill`` empties that column.

    Raises:
        ConfigurationError: no encrypted field, an unknown column, one that is NOT NULL and would be emptied, keys
            that are missing.
    """
    groups: dict[tuple[str, ...], list[Any]] = {}
    for field in _local(model):
        if fill is None or field.name in fill:
            bound = (
                ",".join(part.name for part in field.row_fields),
                *(f"{what}={name}" for what in ("tenant", "subject") if (name := getattr(field, what))),
            )
            groups.setdefault(bound, []).append(field)
    unknown = set(fill or ()) - {field.name for field in _local(model)}
    if unknown or not groups:
        raise ConfigurationError(
            f"{model._meta.label} has no encrypted field {min(unknown)!r}"
            if unknown
            else f"{model._meta.label} has no encrypted field"
        )
    runs = {}
    for bound_to, fields in groups.items():
        tasks = [task for field in fields for task in _tasks(field, rebuild=rebuild, fill=fill, clear=clear)]
        if fill is None:
            compound = {index for field in fields for index in field.indexes if len(index.sources) > 1}
            tasks += [_compound(index) for index in sorted(compound, key=lambda each: each.name)]
        if not tasks:
            continue
        columns = list(dict.fromkeys(name for task in tasks for name in task.columns))
        source = DjangoCells(model, columns, using=using, like=fields[0])
        runs[f"{model._meta.label}({','.join(bound_to)})"] = Reencryption(source, tasks, batch=batch)
    return runs


def _tasks(field: Any, *, rebuild: bool, fill: Mapping[str, str] | None, clear: bool) -> list[Task]:
    single = {index.name: index.crypto for index in field.indexes if len(index.sources) == 1}
    if fill is not None:
        plain = _named(field.model, fill[field.name])
        if clear and not plain.null:
            raise ConfigurationError(
                f"{plain} is NOT NULL, and would be emptied: declare it with null=True first, or keep the plaintext for "
                "now (clear=False, and --keep of the command)"
            )
        return [
            Encrypt(
                field=field.crypto, source=fill[field.name], column=field.name, tags=single, clear=clear,
                convert=field.converted,
            )
        ]  # fmt: skip
    if rebuild:
        return [RebuildIndex(field=field.crypto, column=field.name, tags=single)] if single else []
    return [Reencrypt(field=field.crypto, column=field.name, tags=single)]


def _compound(index: Any) -> RebuildCompound:
    cells = {field.name: field.crypto for field in index.source_fields}
    return RebuildCompound(cells=cells, tags={index.name: index.crypto})
