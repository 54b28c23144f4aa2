"""What the query compiler meets of an encrypted field: equality goes through its index, all else is refused.

Each refusal is Django's `FieldError` or `NotSupportedError` with the reason, raised before a statement is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import NotSupportedError
from django.db.models import Count, Q
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, F, OrderBy, Value
from django.db.models.lookups import In, IsNull, Lookup
from django.db.models.sql.subqueries import InsertQuery, UpdateQuery

from portalsec.django._cell_state import Cell, Tag
from portalsec.django._encrypted_short import SHORT, check_compiled
from portalsec.django._nonsense import refuse_nonsense

if TYPE_CHECKING:
    from portalsec.django.blind_index import BlindIndexField

__all__ = [
    "SHORT",
    "EncryptedCol",
    "InTenant",
    "check_write",
    "index_lookup",
    "refused_lookup",
    "searched",
    "searching_lookup",
]


class InTenant:
    """A value to search for in the index of a field with ``tenant=``: ``filter(ssn=InTenant("078-05-1120", "north"))``."""

    __slots__ = ("tenant", "value")

    def __init__(self, value: Any, tenant: object) -> None:
        self.value = value
        self.tenant = str(tenant)

    def __repr__(self) -> str:
        return f"InTenant(hidden, {self.tenant!r})"


class EncryptedCol(Col):
    """The column of an encrypted field, which has no order and goes into no other column."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        query = compiler.query
        if query.order_by or query.extra_order_by or query.default_ordering:
            _refuse_ordering(query)
        if isinstance(query, UpdateQuery):
            _refuse_copying(query)
        refuse_nonsense(query)
        return super().as_sql(compiler, connection)


# -- searching --------------------------------------------------------------------------------------------------


class _Tags(tuple[bytes, ...]):
    """Tags to look for: what is left of the value that was asked for."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} tags>"


class _Search(Lookup):
    """Equality, through the index. The value is turned into tags at once, so that no query holds a plaintext."""

    portalsec_search = True
    index: BlindIndexField
    many = False

    def __init__(self, lhs: Any, rhs: Any) -> None:
        super().__init__(lhs, rhs)
        _forget(self)

    def get_prep_lookup(self) -> Any:
        sought = self.rhs
        if isinstance(sought, _Tags) or (sought is None and not self.many):
            return sought
        if not isinstance(self.lhs, Col):
            raise FieldError(
                f"{self.index.label}: only the column itself can be searched, no expression of it"
            )
        if hasattr(sought, "resolve_expression") or hasattr(sought, "as_sql"):
            raise FieldError(
                f"{self.index.label}: an encrypted field is compared with values, not with another column or a query: "
                "ciphertexts of equal values differ"
            )
        values: Iterable[Any] = [item for item in sought if item is not None] if self.many else [sought]
        return _Tags(dict.fromkeys(tag for value in values for tag in self._tags_of(value)))

    def _tags_of(self, value: Any) -> Iterable[bytes]:
        return self.index.tags(value)

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        check_compiled(self.index, compiler)
        column = Col(self.lhs.alias, self.index)
        sql, parameters = compiler.compile(In(column, self.rhs))
        present, more = compiler.compile(IsNull(column, False))
        # A value without a tag is another one: for NULL alone, NOT of it would be NULL, and `exclude` lose the row.
        return f"({sql} AND {present})", (*parameters, *more)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (searching_lookup, self.index, self.lookup_name, self.__getstate__())


def _forget(lookup: Any) -> None:
    """Django keeps what each expression was made of, and a pickle would hold it."""
    lookup._constructor_args = ((lookup.lhs, lookup.rhs), {})


def _again(maker: Any, index: BlindIndexField, name: str, state: dict[str, Any]) -> Any:
    """A lookup from its pickle: its class is made for the index, and has no name of its own."""
    made = (maker := maker(index, name)).__new__(maker)
    made.__dict__.update(state)
    return made


def searched(where: Any) -> Iterator[BlindIndexField]:
    """The indexes that this condition looks into; those of subqueries are not named."""
    for child in getattr(where, "children", ()):
        if isinstance(child, (_Search, _IndexIn)) and isinstance(child.rhs, _Tags):
            yield child.index
        else:
            yield from searched(child)


@lru_cache(maxsize=1024)
def searching_lookup(index: BlindIndexField, name: str) -> type[Any]:
    """The lookup "exact" or "in" of a field that this index is of."""
    many = name == "in"
    return type(f"Blind{name.title()}", (_Search,), {"lookup_name": name, "index": index, "many": many})


class _IndexIn(In):
    """``IN`` over the index's own column."""

    portalsec_search = True
    index: BlindIndexField
    many = True

    def __init__(self, lhs: Any, rhs: Any) -> None:
        super().__init__(lhs, rhs)
        _forget(self)

    def get_prep_lookup(self) -> Any:
        if isinstance(self.rhs, _Tags):
            return self.rhs
        return _Search.get_prep_lookup(self)  # type: ignore[arg-type]

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        check_compiled(self.index, compiler)
        return super().as_sql(compiler, connection)

    def _tags_of(self, value: Any) -> Iterable[bytes]:
        # A tag that was read, or that full_clean filled in, is looked for as it is.
        return (value, *value.older) if isinstance(value, Tag) else self.index.tags(value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (index_lookup, self.index, self.lookup_name, self.__getstate__())


class _IndexExact(_IndexIn):
    lookup_name = "exact"
    many = False


@lru_cache(maxsize=1024)
def index_lookup(index: BlindIndexField, name: str) -> type[Any]:
    """The same on the index itself, for a compound one and for a second index of a field."""
    base = _IndexIn if name == "in" else _IndexExact
    return type(base.__name__, (base,), {"index": index})


def refused_lookup(label: str, name: str, *, indexed: bool) -> FieldError:
    """The answer to any other lookup or transform."""
    if not indexed:
        return FieldError(
            f"{label} is encrypted and has no index: ciphertexts of equal values differ, so {name!r} would find nothing. "
            "Add a BlindIndexField to search for equality."
        )
    return FieldError(
        f"{label} is encrypted: its index finds equal values (exact, in) and isnull, and {name!r} has no meaning in it. "
        "Declare a prefix or bucket index, or compare after decryption."
    )


# -- refusals ---------------------------------------------------------------------------------------------------


def _is_encrypted(field: Any) -> bool:
    return getattr(field, "portalsec_encrypted", False)


def _refuse_ordering(query: Any) -> None:
    if query.extra_order_by:
        ordering = query.extra_order_by
    elif query.order_by:
        ordering = query.order_by
    else:
        ordering = query.get_meta().ordering if query.default_ordering else ()
    for item in ordering:
        if (found := _ordered_by(query, item)) is not None:
            raise FieldError(
                f"{found.label} is encrypted: its ciphertexts have no order that means anything. "
                "Sort after decryption, or by another column."
            )


def _ordered_by(query: Any, item: Any) -> Any:
    """The encrypted field that this part of an ordering names, if it is one."""
    if isinstance(item, OrderBy):
        item = item.expression
    if isinstance(item, F):
        item = getattr(item, "name", None)
    if isinstance(item, Col):
        return item.target if _is_encrypted(item.target) else None
    if not isinstance(item, str):
        parts = () if item is None or isinstance(item, (Q, Lookup, Count)) else _parts(item)
        return next((found for part in parts if (found := _ordered_by(query, part)) is not None), None)
    name = item.removeprefix("-").removeprefix("+")
    if name in query.annotations:
        return _ordered_by(query, query.annotations[name])
    try:
        *_, field, _, rest = query.names_to_path(name.split(LOOKUP_SEP), query.get_meta())
    except (FieldError, FieldDoesNotExist):
        return None
    return field if _is_encrypted(field) and not rest else None


def _parts(expression: Any) -> Iterable[Any]:
    return () if not hasattr(expression, "get_source_expressions") else expression.get_source_expressions()


def _refuse_copying(query: Any) -> None:
    for field, _, value in query.values:
        for part in _flat(value):
            target = getattr(part, "target", None)
            if _is_encrypted(target) or (isinstance(part, F) and _is_encrypted(_ordered_by(query, part))):
                raise NotSupportedError(
                    f"update({field.name}=...): a cell of {getattr(target, 'label', 'an encrypted field')} cannot be "
                    "copied in SQL, since it opens in its own place only. Read the value and assign it."
                )


def _flat(value: Any) -> Iterator[Any]:
    if hasattr(value, "flatten"):
        yield from value.flatten()
    elif hasattr(value, "resolve_expression"):
        yield value


def check_write(field: Any, value: Any, compiler: Any) -> None:
    """Refuses a statement that would write a cell to a row it is not bound to, or leave its index behind.

    Called for each value of an encrypted field that is about to be written, on every way into the database.
    """
    query = compiler.query
    indexes = field.indexes
    if isinstance(query, InsertQuery):
        _check_upsert(field, query, indexes)
        return
    if not isinstance(query, UpdateQuery) or not (value is None or hasattr(value, "as_sql")):
        return  # a cell that pre_save made
    if hasattr(value, "as_sql"):
        parts = list(_flat(value))
        plain = [
            part
            for part in parts
            if isinstance(part, Value) and getattr(part, "_output_field_or_none", None) is field
        ]
        foreign = any(isinstance(part, Col) and not _of_a_key(part.target) for part in parts)
        if (
            foreign
            or not plain
            or not all(part.value is None or isinstance(part.value, Cell) for part in plain)
        ):
            raise NotSupportedError(
                f"{field.label}: update() and bulk_update() do not go through the row that a cell is bound to. "
                "Save the instances, or use portalsec.django.queries.EncryptedQuerySet, whose bulk_update encrypts."
            )
    written = {each.name for each, _, _ in query.values}  # type: ignore[attr-defined]
    for index in indexes:
        if index.name not in written:
            raise NotSupportedError(
                f"{field.label}: its index would keep the old value: write {index.name!r} in the same statement "
                f"(update({field.name}=None, {index.name}=None), or save both)"
            )


def _of_a_key(target: Any) -> bool:
    return target.primary_key or target in target.model._meta.pk_fields


def _check_upsert(field: Any, query: Any, indexes: Iterable[Any]) -> None:
    updated = query.update_fields or ()
    owners = [part for part in field.place_fields if part not in field.row_fields]
    if field not in updated:
        if moved := [part.name for part in field.place_fields if part in updated]:
            raise NotSupportedError(
                f"{field.label}: its cell is bound to {moved[0]!r}, and would open no more: add {field.name!r} to "
                "update_fields, or look the rows up and save them"
            )
        return
    if {each.name for each in query.unique_fields or ()} != {each.name for each in field.row_fields}:
        raise NotSupportedError(
            f"{field.label}: bulk_create(update_conflicts=True) would write a cell into the row that is there, and it is "
            "bound to the one that is not. Name the row's own key in unique_fields, or look the rows up and save them."
        )
    for part in owners:
        if part not in updated:
            raise NotSupportedError(
                f"{field.label}: its cell is bound to {part.name!r}, and the row that is there may have another: add "
                f"{part.name!r} to update_fields"
            )
    for index in indexes:
        if index not in updated:
            raise NotSupportedError(
                f"{field.label}: its index would keep the old value: add {index.name!r} to update_fields"
            )
