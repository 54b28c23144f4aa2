"""What is encrypted of a mapped class, and the two moments at which it is: a flush, and an INSERT of many rows.

A value that was assigned lies in the attribute of its cell, as an `Unflushed`, until the flush: that is where
SQLAlchemy keeps its history, drops it (expire, refresh, rollback) and copies it (merge). Whatever would write it into
the database without a flush fails by its type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, NoReturn

from sqlalchemy import Column, Connection, event
from sqlalchemy.orm import Composite, Mapper, PropComparator
from sqlalchemy.orm.attributes import flag_modified, instance_state, set_attribute, set_committed_value
from sqlalchemy.orm.exc import StaleDataError

from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy._cell_current import current_row
from portalsec.sqlalchemy._cell_declared import (
    Cell,
    Search,
    cell_of,
    check_columns,
    declared_of,
    python_type,
    search_of,
)
from portalsec.sqlalchemy._cell_place import Place

__all__ = ["Plan", "Unflushed", "configured", "known_plan", "plan_of"]

_INFO = "portalsec.sqlalchemy.fields"
_MISSING = object()


class Unflushed:
    """A value that waits for the flush, which encrypts it. No driver takes it for a value, and no pickle keeps it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<a value that is encrypted at the flush>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an encrypted attribute that was assigned holds plaintext until the flush: flush, then pickle"
        )


class Plan:
    """All cells and indexes of one mapper."""

    def __init__(self, mapper: Mapper[Any]) -> None:
        from portalsec.sqlalchemy.fields import Encrypted, Searchable

        self.mapper = mapper
        found = dict(declared_of(mapper.class_))
        self.cells = {
            name: cell_of(mapper, name, each) for name, each in found.items() if isinstance(each, Encrypted)
        }
        check_columns(self.cells.values())
        self.searches: dict[str, Search] = {}
        for name, each in found.items():
            if isinstance(each, Searchable):
                self.searches[name] = search_of(mapper, name, each, each.of, self.cells)
            elif each.index is not None or each.tag is not None:
                self.searches[name] = search_of(mapper, name, each, name, self.cells)
        if not self.cells:
            return
        event.listen(mapper, "before_insert", self._before_insert)
        event.listen(mapper, "before_update", self._before_update)
        event.listen(mapper, "after_insert", self._check_places)
        event.listen(mapper, "after_update", self._check_places)
        for cell in self.cells.values():
            event.listen(getattr(mapper.class_, cell.key), "set", _guard(cell))
        if not hasattr(PropComparator, "_bulk_dml_setter"):
            # SQLAlchemy 2.0 asks the composites of a mapper, and nobody else, what an INSERT of many rows holds.
            mapper.__dict__["composites"] = _Composites(self)

    # -- a flush ----------------------------------------------------------------------------------------------

    def _before_insert(self, mapper: object, connection: object, target: Any) -> None:
        state = instance_state(target)
        written: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for cell in self.cells.values():
            held = state.dict.get(cell.key)
            if held is None:
                if cell.key in state.committed_state:
                    written[cell.name] = None  # and said so: the row may be there, and have tags
                continue
            place = places[cell.name] = cell.places.settled(target)
            if isinstance(held, Unflushed):
                written[cell.name] = held.value
                set_attribute(target, cell.key, cell.field.encrypt(held.value, **place.named()))
            else:
                written[cell.name] = cell.require(held, place)
        for cell in self._other_parts(written):
            set_attribute(target, cell.key, None)  # of a row that is there (deleted and added again), as well
        self._retag(target, written, places)
        self._remember_places(target)

    def _before_update(self, mapper: object, connection: Connection, target: Any) -> None:
        state = instance_state(target)
        written: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for cell in self.cells.values():
            held = state.dict.get(cell.key, _MISSING)
            if isinstance(held, Unflushed):
                place = places[cell.name] = cell.places.current(target)
                written[cell.name] = held.value
                set_attribute(target, cell.key, cell.field.encrypt(held.value, **place.named()))
            elif held is not None and cell.places.moved(target, state):
                raise ConfigurationError(
                    f"{cell.where}: its cell is bound to {', '.join(map(repr, cell.places.keys))}, of which one was "
                    "changed, and would open no more: change it with portalsec.sqlalchemy.fields.rebind(), "
                    "which moves the cells too"
                )
            elif cell.key in state.committed_state:
                empty = held is None or held is _MISSING
                if empty and state.committed_state[cell.key] is None:
                    continue  # None as before: SQLAlchemy writes nothing either
                written[cell.name] = None if empty else cell.require(held, cell.places.current(target))
        self._catch_up(connection, target, written)
        self._retag(target, written, places)
        self._remember_places(target)

    def _catch_up(self, connection: Connection, target: Any, written: Mapping[str, Any]) -> None:
        """See that the row is where its cells are written for, and read again what tags are made of besides."""
        state = instance_state(target)
        others = self._other_parts(written)
        movable: dict[str, Column[Any]] = {}
        empty: list[Cell] = []
        for cell in self.cells.values():
            moved = cell.places.moved(target, state)
            if moved or cell.name in written or cell in others:
                movable.update(cell.places.movable())
            if moved and cell.name not in written:
                empty.append(cell)  # or it would have been refused
        columns = [*movable.values(), *(cell.column for cell in (*others, *empty))]
        if not columns or state.key is None:
            return
        row = current_row(connection, self.mapper, state.key[1], columns)
        if row is None:
            return  # the UPDATE says so
        for key, column in movable.items():
            if row[column] != state.committed_state.get(key, getattr(target, key)):
                self._stale(key)
        for cell in empty:
            if row[cell.column] is not None:
                self._stale(cell.key)
        for cell in others:
            if row[cell.column] != state.dict.get(cell.key, _MISSING):
                set_committed_value(target, cell.key, row[cell.column])

    def _stale(self, key: str) -> NoReturn:
        raise StaleDataError(
            f"{self.mapper.class_.__name__}: another transaction has changed {key!r} of a row whose cells are bound to "
            "it, since this session read it: roll back, read the object again, and repeat the change"
        )

    def _other_parts(self, written: Mapping[str, Any]) -> list[Cell]:
        """The cells that are not written, of which tags are made together with one that is."""
        searches = [each for each in self.searches.values() if any(cell.name in written for cell in each.of)]
        return [
            cell
            for cell in self.cells.values()
            if cell.name not in written and any(cell in each.of for each in searches)
        ]

    def _remember_places(self, target: Any) -> None:
        state = instance_state(target)
        bound = (cell.places.keys for cell in self.cells.values() if state.dict.get(cell.key) is not None)
        state.info[_INFO] = {key: state.dict.get(key) for keys in bound for key in keys}

    def _check_places(self, mapper: object, connection: object, target: Any) -> None:
        """After the row was written: no listener may have moved it since its cells were made."""
        state = instance_state(target)
        for key, value in (state.info.pop(_INFO, None) or {}).items():
            if state.dict.get(key) != value:
                raise ConfigurationError(
                    f"{self.mapper.class_.__name__}: a listener has changed {key!r} after the cells that are bound to it "
                    "were encrypted: register it before the mappers are configured, or assign in before_flush"
                )

    def _retag(self, target: Any, written: Mapping[str, Any], places: dict[str, Place]) -> None:
        """The tags of what was written, whoever made the cell: a tag that does not fit its cell loses the row."""
        for search in self.searches.values():
            if not any(cell.name in written for cell in search.of):
                continue
            values = {
                cell.name: written[cell.name] if cell.name in written else getattr(target, cell.name)
                for cell in search.of
            }
            first = search.of[0]
            empty = all(value is None for value in values.values())
            tag = None
            if not empty:
                tag = search.tag(values, places.get(first.name) or first.places.current(target))
            set_attribute(target, search.key, tag)
            # Together, or not at all: another session may have written either since it was read.
            flag_modified(target, search.key)
        for cell in self.cells.values():
            if cell.name in written and cell.key in instance_state(target).dict:
                flag_modified(target, cell.key)

    # -- an INSERT or UPDATE of many rows, given as mappings ----------------------------------------------------

    def mapping_encrypter(self) -> Callable[[MutableMapping[str, Any]], None]:
        """What puts cells and tags into the mappings of the INSERT or UPDATE that asks for it."""
        # SQLAlchemy asks for both in the same words. Whatever is not known for an INSERT is taken for an UPDATE.
        frame = sys._getframe(1)
        for _ in range(8):
            if frame.f_globals.get("__name__") == "sqlalchemy.orm.bulk_persistence":
                if frame.f_code.co_name == "_bulk_insert":
                    return self._encrypt_inserted
                if frame.f_code.co_name == "_bulk_update":
                    break
            if frame.f_back is None:
                break
            frame = frame.f_back
        return self._encrypt_updated

    def _encrypt_inserted(self, mapping: MutableMapping[str, Any]) -> None:
        self._encrypt_mapping(mapping, defaults=True)

    def _encrypt_updated(self, mapping: MutableMapping[str, Any]) -> None:
        self.check_moved(mapping)
        self._encrypt_mapping(mapping, defaults=False)

    def check_moved(self, mapping: Mapping[str, Any]) -> None:
        """Refuses an UPDATE of one row that may move it, and leaves cells behind that it does not name."""
        for mapper in self.mapper.self_and_descendants:
            for cell in plan_of(mapper).cells.values():
                key = next((key for key, _ in cell.places.movable() if key in mapping), None)
                if key is not None and cell.name not in mapping and cell.key not in mapping:
                    raise ConfigurationError(
                        f"{cell.where}: its cell is bound to {key!r}, which this statement changes, and would open "
                        "no more: load the objects and change them with "
                        "portalsec.sqlalchemy.fields.rebind(), which moves the cells too, or write all cells that are "
                        "bound to it in the same row"
                    )

    def _encrypt_mapping(self, mapping: MutableMapping[str, Any], *, defaults: bool) -> None:
        """Put cells and tags in the place of the values of encrypted attributes.

        What stands for a cell beside them is checked as at a flush: it opens in its row, or is not written.
        """
        if not any(name in mapping for name in self.cells):
            return  # it is asked once for each attribute, and does all at the first
        self.require_cells(mapping, defaults=defaults)
        values = {name: mapping.pop(name) for name in self.cells if name in mapping}
        places: dict[str, Place] = {}
        for name, value in values.items():
            cell = self.cells[name]
            if cell.key in mapping:
                raise ConfigurationError(
                    f"{cell.where}: a row has a value for {name!r} and for {cell.key!r}: give one"
                )
            if value is None:
                mapping[cell.key] = None
                continue
            place = places[name] = cell.places.of_mapping(mapping, defaults=defaults)
            mapping[cell.key] = cell.field.encrypt(value, **place.named())
        for search in self.searches.values():
            names = [cell.name for cell in search.of]
            given = [name for name in names if name in values]
            if given and len(given) < len(names):
                raise ConfigurationError(
                    f"{search.where}: its tag is made of {', '.join(map(repr, names))}: give all of them for a row, "
                    "None where there is none"
                )
            if given:
                place = next((places[name] for name in names if name in places), Place(None))
                mapping[search.key] = search.tag(values, place) if any(n in places for n in names) else None

    def require_cells(self, mapping: Mapping[str, Any], *, defaults: bool) -> None:
        """Refuses bytes in the place of a cell that are none of this row; None empties."""
        for cell in self.cells.values():
            held = mapping.get(cell.key)
            if held is not None and cell.name not in mapping:
                cell.require(held, cell.places.of_mapping(dict(mapping), defaults=defaults))


def plan_of(class_or_mapper: Any) -> Plan:
    """The plan of a mapped class, made at the first call, which is when its mapper is configured."""
    mapper: Mapper[Any] = (
        class_or_mapper if isinstance(class_or_mapper, Mapper) else class_or_mapper.__mapper__
    )
    info = mapper.class_manager.info
    plan = info.get(_INFO)
    if plan is None or plan.mapper is not mapper:
        plan = info[_INFO] = Plan(mapper)
    return plan


def known_plan(mapper: Mapper[Any]) -> Plan | None:
    """The plan of a mapper that has one, with something encrypted in it."""
    plan = mapper.class_manager.info.get(_INFO)
    return plan if plan is not None and plan.cells else None


def configured(mapper: Mapper[Any], class_: type[Any]) -> None:
    """Listens to every mapper's ``mapper_configured``: what cannot work is refused there, and not at the first use."""
    if any(True for _ in declared_of(class_)):
        plan_of(mapper)


def _guard(cell: Cell) -> Callable[[Any, Any, Any, Any], None]:
    kind: tuple[type, ...] = (str,) if python_type(cell.column) is str else (bytes,)

    def guard(target: object, value: Any, oldvalue: object, initiator: object) -> None:
        if value is not None and not isinstance(value, (*kind, Unflushed)):
            raise TypeError(
                f"{cell.where}: {cell.key!r} holds ciphertext, which is {kind[0].__name__}: "
                f"assign the value to {cell.name!r}"
            )

    return guard


class _Composites(Mapping[str, Any]):
    """The composites of a mapper, and its encrypted attributes beside them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def _own(self) -> dict[str, Any]:
        props: Iterable[Any] = self._plan.mapper.iterate_properties
        return {prop.key: prop for prop in props if isinstance(prop, Composite)}

    def __getitem__(self, key: str) -> Any:
        return self if key in self._plan.cells else self._own()[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self._own(), *self._plan.cells])

    def __len__(self) -> int:
        return len(self._own()) + len(self._plan.cells)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def _populate_composite_bulk_save_mappings_fn(self) -> Callable[[MutableMapping[str, Any]], None]:
        return self._plan.mapping_encrypter()
