"""Statements of the ORM that would pass the flush by: a cell that stays while its place changes, and bytes that are no cell.

An UPDATE knows no row before it is sent, so that no cell can be moved or opened for it. What is refused here can be
done with objects, and, for migrations, on the table itself (``update(Patient.__table__)``), which is asked for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper

from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy._cell_plan import Plan, known_plan
from portalsec.sqlalchemy._cell_query import literal
from portalsec.sqlalchemy._cell_upsert import check_upsert

if TYPE_CHECKING:
    from sqlalchemy.orm import ORMExecuteState

__all__ = ["check_statement"]


def check_statement(state: ORMExecuteState) -> Any:
    """Listens to every session's ``do_orm_execute``."""
    if not (state.is_update or state.is_insert):
        return None
    # Of the table itself, where it is not the class that is written to, whatever the conditions name.
    mapper: Mapper[Any] | None = getattr(state.statement, "table")._annotations.get("parentmapper")  # noqa: B009
    plan = None if mapper is None else known_plan(mapper)
    if plan is None or mapper is None:
        return None
    parameters = state.parameters
    given: Iterable[Mapping[str, Any]] = [parameters] if isinstance(parameters, Mapping) else parameters or ()
    of_statement = [_by_attribute(mapper, values) for values in _values(state.statement)]
    rows = [_by_attribute(mapper, values) for values in given]
    if state.is_insert:
        for values in (*of_statement, *rows):
            plan.require_cells(values, defaults=True)
        check_upsert(plan, state.statement)
        return None
    for values in of_statement:
        _check_moved(plan, values)
        _check_raw(plan, values)
    for values in rows:
        plan.check_moved(values)
        plan.require_cells(values, defaults=False)
    return _forgetting(state, plan, rows) if rows and not isinstance(parameters, Mapping) else None


def _forgetting(state: ORMExecuteState, plan: Plan, rows: Iterable[Mapping[str, Any]]) -> Any:
    """Write many rows, and have the session's objects read anew what was written: it knows values, and no cells."""
    result = state.invoke_statement()
    columns = {cell.key for cell in plan.cells.values()} | {each.key for each in plan.searches.values()}
    keys = [prop.key for prop in plan.mapper._identity_key_props]
    for row in rows:
        if columns.isdisjoint(row) and plan.cells.keys().isdisjoint(row):
            continue
        instance = state.session.identity_map.get(
            plan.mapper.identity_key_from_primary_key(tuple(row[key] for key in keys))
        )
        if instance is not None:
            state.session.expire(instance, columns)
    return result


def _check_moved(plan: Plan, values: Mapping[str, Any]) -> None:
    for cell in plan.cells.values():
        if cell.name in values or cell.key in values:
            continue  # it is written along
        for key in cell.places.keys:
            if key in values:
                raise ConfigurationError(
                    f"{cell.where}: its cell is bound to {key!r}, which this statement changes, and would open no more: "
                    "load the objects and change them with portalsec.sqlalchemy.fields.rebind(), which moves the cells "
                    "too, or write all cells that are bound to it in the same row"
                )


def _check_raw(plan: Plan, values: Mapping[str, Any]) -> None:
    for cell in plan.cells.values():
        if values.get(cell.key) is not None:
            raise ConfigurationError(
                f"{cell.where}: {cell.key!r} holds the cell of one row, and one statement has one value for many: "
                f"assign {cell.name!r} to each object (a migration writes cells by a statement on the table itself)"
            )


def _values(statement: Any) -> Iterator[Mapping[Any, Any]]:
    """What an INSERT or UPDATE was given by ``values()``, row by row."""
    if statement._values:
        yield statement._values
    if ordered := getattr(statement, "_ordered_values", None):
        yield dict(ordered)
    for rows in statement._multi_values or ():
        for row in rows:
            if isinstance(row, Mapping):
                yield row


def _by_attribute(mapper: Mapper[Any], values: Mapping[Any, Any]) -> dict[str, Any]:
    """The same by names of attributes: a key may be one, a column, or the name of a column."""
    return {attribute_of(mapper, key): literal(value, value) for key, value in values.items()}


def attribute_of(mapper: Mapper[Any], key: Any) -> str:
    if isinstance(key, str):
        if key in mapper.attrs:
            return key
        column = mapper.local_table.columns.get(key)
        return key if column is None or column not in mapper.columns.values() else _of(mapper, column)
    annotations: Mapping[str, Any] = getattr(key, "_annotations", {})
    if "proxy_key" in annotations:
        return str(annotations["proxy_key"])
    return _of(mapper, key) if isinstance(key, Column) else str(getattr(key, "key", key))


def _of(mapper: Mapper[Any], column: Any) -> str:
    found = mapper._columntoproperty.get(column)
    return str(column.key if found is None else found.key)
