"""INSERT ... ON CONFLICT DO UPDATE: the cells of a row that was not inserted go into the row that is there.

They were made for the row that was to be inserted, so that they open there only where the two have one row id, and that is
so where the conflict is one of the row id itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper

from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy._cell_declared import Cell
from portalsec.sqlalchemy._cell_plan import Plan

__all__ = ["check_upsert"]


def check_upsert(plan: Plan, statement: Any) -> None:
    """Raises `ConfigurationError` for an upsert that puts cells where they do not open, or tags beside other cells."""
    clause = getattr(statement, "_post_values_clause", None)
    given = getattr(clause, "update_values_to_set", None)  # SQLite and PostgreSQL
    targets: frozenset[Any] = frozenset()
    if given is None:
        given = getattr(clause, "update", None)  # MySQL names no conflict
    else:
        targets = _targets(plan.mapper, clause)
    if not given:
        return
    from portalsec.sqlalchemy._cell_statement import attribute_of

    pairs = given.items() if isinstance(given, Mapping) else given
    sets = {attribute_of(plan.mapper, key): value for key, value in pairs}
    cells = plan.cells.values()
    for cell in cells:
        moved = [key for key, column in _places(cell) if key in sets and column not in targets]
        if cell.name in sets:
            _refuse(cell, f"{cell.name!r} is no column: set {cell.key!r} to excluded.{cell.column.name}")
        if moved and cell.key not in sets:
            _refuse(cell, f"its cell is bound to {moved[0]!r}: set {cell.key!r} as well")
        if cell.key not in sets:
            continue
        if not _excluded(sets[cell.key], cell.column):
            _refuse(cell, f"{cell.key!r} is a cell of one row: set it to excluded.{cell.column.name}")
        for key, column in _places(cell):
            if column in targets:
                continue
            if column in cell.places.row_id:
                _refuse(
                    cell,
                    "its cell is bound to the row: index_elements= has to name the columns of its row id",
                )
            if not (key in sets and _excluded(sets[key], column)):
                _refuse(cell, f"its cell is bound to {key!r}: set it to excluded.{column.name} as well")
    for search in plan.searches.values():
        together = [search.key, *(cell.key for cell in search.of)]
        if any(key in sets for key in together) and not all(key in sets for key in together):
            _refuse(
                search.of[0], f"cells and tags belong together: set all of {', '.join(map(repr, together))}"
            )
        if search.key in sets and not _excluded(sets[search.key], search.column):
            _refuse(search.of[0], f"set {search.key!r} to excluded.{search.column.name}")


def _refuse(cell: Cell, why: str) -> NoReturn:
    raise ConfigurationError(
        f"{cell.where}: this statement would put a cell or tag into a row that it was not made for; {why}, or load the "
        "object and assign its attributes"
    )


def _places(cell: Cell) -> Iterator[tuple[str, Column[Any]]]:
    return cell.places.columns()


def _excluded(value: Any, column: Column[Any]) -> bool:
    table = getattr(value, "table", None)
    return getattr(table, "name", None) == "excluded" and getattr(value, "name", None) == column.name


def _targets(mapper: Mapper[Any], clause: Any) -> frozenset[Any]:
    """The columns by which a conflict is found: in them, the row that is there has the values that were to be inserted."""
    table = mapper.local_table
    assert isinstance(table, Table)  # noqa: S101  (it is written to)
    constraint = getattr(clause, "constraint_target", None)  # PostgreSQL's
    if constraint is not None:
        named = [each for each in table.constraints if each.name == constraint]
        return frozenset(column for each in named for column in getattr(each, "columns", ()))
    found = (
        table.columns.get(each)
        if isinstance(each, str)
        else getattr(each, "__clause_element__", lambda e=each: e)()
        for each in clause.inferred_target_elements or ()
    )
    return frozenset(column for column in found if isinstance(column, Column))
