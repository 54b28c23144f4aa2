"""What a short index must not be asked: its tags are shared, so that it finds other people's rows too.

It is for finding candidates. A DELETE or UPDATE by it would hit other people's rows, and an exclusion would lose them;
nothing after the statement could put that right. Lookups ask here when they are compiled, an `EncryptedQuerySet` before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import NotSupportedError, models
from django.db.models.expressions import Col, NegatedExpression
from django.db.models.lookups import Exact, In, Lookup
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLDeleteCompiler, SQLUpdateCompiler
from django.db.models.sql.where import XOR, WhereNode

__all__ = [
    "SHORT",
    "check_compiled",
    "check_excluded",
    "check_exists",
    "check_origin",
    "check_written",
    "is_short",
]

SHORT = 64
"""Bits of a tag below which other values are to be expected to have the same one."""


def is_short(index: Any) -> bool:
    return bool(index.bits < SHORT)


def check_compiled(index: Any, compiler: Any) -> None:
    """A search by this index is about to be part of a statement.

    Raises:
        NotSupportedError: the index is short, and the statement writes, or asks for what it does not find.
    """
    if not is_short(index):
        return
    if isinstance(compiler, (SQLDeleteCompiler, SQLUpdateCompiler)) and not _by_key(compiler.query):
        raise _writing(index)
    check_excluded(compiler.query)


def check_excluded(query: Query) -> None:
    """Refuses a short index in what a query leaves out."""
    for index, wrong in _searches(query, wrong=False):
        if wrong:
            raise NotSupportedError(
                f"{index.label} has {index.bits} bits, and other values share its tags: their rows would be left out, too. "
                f"Give the index {SHORT} bits, or load the rows and compare in Python."
            )


def check_written(query: Query) -> None:
    """Refuses a short index in what says which rows are deleted or changed, unless they are named by their keys."""
    if not _by_key(query):
        for index, _ in _searches(query, wrong=False):
            raise _writing(index)


def check_exists(query: Query) -> None:
    """Refuses a short index in a question that has one bit for an answer."""
    for index, _ in _searches(query, wrong=False):
        raise NotSupportedError(
            f"{index.label} has {index.bits} bits, and other values share its tags: exists() would be true for somebody "
            f"else. Ask matching(...), which opens what was found, or give the index {SHORT} bits."
        )


def check_origin(sender: type[models.Model], origin: Any = None, **kwargs: Any) -> None:
    """Listens to ``pre_delete``: a plain QuerySet loads the rows first, and deletes them by their keys."""
    if isinstance(origin, models.QuerySet):
        check_written(origin.query)


def _writing(index: Any) -> NotSupportedError:
    return NotSupportedError(
        f"{index.label} has {index.bits} bits, and other values share its tags: delete() and update() would hit other "
        f"people's rows. Give the index {SHORT} bits, or drop them with matching(...) and name the rows by pk."
    )


def _by_key(query: Query) -> bool:
    """Whether the rows are named one by one, as the admin does with those that were ticked."""
    where = query.where
    return (
        where.connector == "AND"
        and not where.negated
        and any(
            isinstance(child, (Exact, In))
            and isinstance(child.lhs, Col)
            and child.lhs.target.primary_key
            and child.lhs.target.model._meta.concrete_model is query.get_meta().concrete_model
            and not hasattr(child.rhs, "resolve_expression")
            for child in where.children
        )
    )


def _searches(node: Any, *, wrong: bool) -> Iterator[tuple[Any, bool]]:
    """The short indexes that are searched below, and whether it is for what they do not find."""
    if getattr(node, "portalsec_search", False):
        if is_short(node.index):
            yield node.index, wrong
        return
    if isinstance(node, Query):
        yield from _of_query(node, wrong=wrong)
        return
    below: list[tuple[Any, bool]]
    if isinstance(node, WhereNode):
        wrong = wrong or node.negated or node.connector == XOR
        below = [(child, wrong) for child in node.children]
    elif isinstance(node, In):
        below = [(node.lhs, True), (node.rhs, wrong)]
    elif isinstance(node, Exact) and node.rhs is True:
        below = [(node.lhs, wrong)]  # so Django writes filter(Exists(...))
    elif isinstance(node, Lookup):
        # `annotate(it=Q(...)).filter(it=False)`: whatever this compares, it is not for candidates.
        below = [(node.lhs, True), (node.rhs, True)]
    else:
        wrong = wrong or isinstance(node, NegatedExpression)
        parts = [*node.get_source_expressions()] if hasattr(node, "get_source_expressions") else []
        parts.append(getattr(node, "query", None))  # of a subquery
        below = [(part, wrong) for part in parts]
    for part, is_wrong in below:
        if part is not None:
            yield from _searches(part, wrong=is_wrong)


def _of_query(query: Query, *, wrong: bool) -> Iterator[tuple[Any, bool]]:
    yield from _searches(query.where, wrong=wrong)
    for annotation in query.annotations.values():
        yield from _searches(annotation, wrong=wrong)
    for join in query.alias_map.values():
        # The condition of an outer join: who is joined to nobody is often what is asked for.
        relation = getattr(join, "filtered_relation", None)
        if (condition := getattr(relation, "resolved_condition", None)) is not None:
            yield from _searches(condition, wrong=True)
    for place, combined in enumerate(query.combined_queries):
        yield from _searches(combined, wrong=wrong or (query.combinator == "difference" and place > 0))
