"""What a statement does with ciphertexts that a database does without a complaint, and that means nothing.

Each cell differs from each other, also of equal values: a maximum, a group, a distinct value or a month of cells is
an answer to no question. Refused with a `FieldError` when the statement is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.exceptions import FieldError
from django.db.models import Aggregate, Count
from django.db.models.expressions import Col, Combinable, Subquery, Window
from django.db.models.functions import Extract
from django.db.models.functions.datetime import TruncBase
from django.db.models.lookups import Lookup

__all__ = ["refuse_aggregate", "refuse_nonsense"]


def refuse_nonsense(query: Any) -> None:
    """Looks at the whole statement, of which a column of an encrypted field is a part.

    Raises:
        FieldError: it aggregates, groups, or tells apart by cells.
    """
    for annotation in query.annotations.values():
        _refuse_in(annotation)
    if isinstance(query.group_by, (tuple, list)):
        _refuse_apart(query.group_by, query.group_by, query, "a group")
    if query.distinct:
        if query.distinct_fields:
            chosen = [_named(query, name) for name in query.distinct_fields]
            _refuse_apart(chosen, chosen, query, "a distinct value")
        elif not query.default_cols:
            columns = [*query.select, *query.annotation_select.values()]
            _refuse_apart(columns, columns, query, "a distinct value")


def _refuse_in(expression: Any) -> None:
    if isinstance(expression, (Aggregate, TruncBase, Extract)):
        counts = type(expression) is Count and not getattr(expression, "distinct", False)
        _refuse(() if counts else expression.source_expressions, f"{type(expression).__name__} of it")
    elif isinstance(expression, Window):
        _refuse(expression.get_source_expressions(), "a window over it")
    if isinstance(expression, Combinable) and not isinstance(expression, Subquery):
        for part in _parts(expression):
            _refuse_in(part)


def _refuse(parts: Iterable[Any], what: str) -> None:
    for column in _encrypted(parts):
        raise _nonsense(column.target.label, what)


def refuse_aggregate(label: str, expression: Any) -> None:
    """Of an answer that is said to be a cell: whether it is a maximum of cells."""
    if isinstance(expression, Aggregate):
        raise _nonsense(label, f"{type(expression).__name__} of it")


def _nonsense(label: str, what: str) -> FieldError:
    return FieldError(
        f"{label} is encrypted, and ciphertexts of equal values differ: {what} means nothing. "
        "Compute it in Python, after decryption."
    )


def _encrypted(parts: Iterable[Any]) -> Iterator[Any]:
    """The columns of encrypted fields in these expressions; a search for a value is none, and its answer has a meaning."""
    for part in parts:
        if isinstance(part, Col):
            if getattr(part.target, "portalsec_encrypted", False):
                yield part
        elif part is not None and not isinstance(part, (Lookup, Subquery)):
            yield from _encrypted(_parts(part))


def _parts(expression: Any) -> Sequence[Any]:
    found = getattr(expression, "get_source_expressions", None)
    return () if found is None else [part for part in found() if part is not None]


def _refuse_apart(columns: Iterable[Any], beside: Sequence[Any], query: Any, what: str) -> None:
    """Cells beside the key of their row, or of the table, tell nothing apart that the key does not."""
    for column in _encrypted(columns):
        if not any(isinstance(other, Col) and _tells_the_row(other, column, query) for other in beside):
            _refuse([column], what)


def _tells_the_row(other: Col, column: Col, query: Any) -> bool:
    target: Any = other.target
    if target.primary_key or target in target.model._meta.pk_fields:
        return other.alias in (column.alias, query.base_table)
    related = getattr(target.remote_field, "model", None)
    return related is not None and related._meta.concrete_model is column.target.model


def _named(query: Any, name: str) -> Any:
    """The column of ``distinct("...")``."""
    if name in query.annotations:
        return query.annotations[name]
    info = query.setup_joins(name.split("__"), query.get_meta(), query.get_initial_alias(), allow_many=True)
    return info.targets[0].get_col(info.joins[-1])
