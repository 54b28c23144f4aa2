"""What is encrypted of a mapped class, and the two moments at which it is: a flush, and an INSERT of many rows.

A value that was assigned lies in the attribute of its cell, as an `Unflushed`, until the flush: that is where
SQLAlchemy keeps its history, drops it (expire, refresh, rollback) and copies it (merge). Whatever would write it into
the database without a flush fails by its type.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import CHAR, Column, Table, event
from sqlalchemy.orm import Composite, Mapper, PropComparator
from sqlalchemy.orm.attributes import instance_state, set_attribute

from portalsec.crypto.fields import EncryptedField
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.sqlalchemy._cell_place import Place, Places

if TYPE_CHECKING:
    from portalsec.crypto.blind_index import BlindIndex
    from portalsec.sqlalchemy.fields import Encrypted, Searchable

__all__ = ["Cell", "Plan", "Search", "Unflushed", "configured", "plan_of"]

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


@dataclass(frozen=True, slots=True)
class Cell:
    """One encrypted attribute of one mapped class."""

    name: str
    key: str
    column: Column[Any]
    field: EncryptedField[Any, Any]
    places: Places
    where: str

    def open(self, instance: Any, cell: Any) -> Any:
        """The value of a stored cell, in the row that the object was read from."""
        state = instance_state(instance)
        if self.places.simple and state.key is not None:
            return self.field.decrypt(cell, state.key[1][0])
        return self.field.decrypt(cell, **self.places.stored(instance, state).named())

    def check(self, value: Any) -> None:
        """Raises at the assignment what the flush would raise: `TypeError` and `ValueError` of another type."""
        self.field._codec.encode(value)

    def require(self, cell: Any, place: Place) -> Any:
        """The value of a cell that was given as it is stored: it opens where it is written, or is not written."""
        try:
            return self.field.decrypt(cell, **place.named())
        except DecryptionError:
            pass
        raise ConfigurationError(
            f"{self.where}: the bytes in {self.key!r} are no cell of this row: assign the value to {self.name!r}, "
            "or move the cells of an object with portalsec.sqlalchemy.fields.rebind() before you change its row"
        )


@dataclass(frozen=True, slots=True)
class Search:
    """One blind index of one mapped class: of one encrypted attribute, or of several."""

    name: str
    key: str
    column: Column[Any]
    index: BlindIndex[Any]
    of: tuple[Cell, ...]
    compound: bool
    where: str

    def tag(self, values: Mapping[str, Any], place: Place) -> bytes | None:
        parts = tuple(values[cell.name] for cell in self.of)
        value = parts if self.compound else parts[0]
        return self.index.tag(value, place.tenant if self.index.tenanted else None)


class Plan:
    """All cells and indexes of one mapper."""

    def __init__(self, mapper: Mapper[Any]) -> None:
        from portalsec.sqlalchemy.fields import Encrypted, Searchable

        self.mapper = mapper
        found = dict(_declared(mapper.class_))
        self.cells = {
            name: _cell(mapper, name, each) for name, each in found.items() if isinstance(each, Encrypted)
        }
        _check_labels(self.cells.values())
        self.searches: dict[str, Search] = {}
        for name, each in found.items():
            if isinstance(each, Searchable):
                self.searches[name] = _search(mapper, name, each, each.of, self.cells)
            elif each.index is not None or each.tag is not None:
                self.searches[name] = _search(mapper, name, each, name, self.cells)
        if not self.cells:
            return
        event.listen(mapper, "before_insert", self._before_insert)
        event.listen(mapper, "before_update", self._before_update)
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
                continue
            place = places[cell.name] = cell.places.settled(target)
            if isinstance(held, Unflushed):
                written[cell.name] = held.value
                set_attribute(target, cell.key, cell.field.encrypt(held.value, **place.named()))
            else:
                written[cell.name] = cell.require(held, place)
        self._retag(target, written, places)

    def _before_update(self, mapper: object, connection: object, target: Any) -> None:
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
                written[cell.name] = None if empty else cell.require(held, cell.places.current(target))
        self._retag(target, written, places)

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

    # -- an INSERT or UPDATE of many rows, given as mappings ----------------------------------------------------

    def encrypt_mapping(self, mapping: MutableMapping[str, Any]) -> None:
        """Put cells and tags in the place of the values of encrypted attributes."""
        values = {name: mapping.pop(name) for name in self.cells if name in mapping}
        if not values:
            return
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
            place = places[name] = cell.places.of_mapping(mapping)
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


def configured(mapper: Mapper[Any], class_: type[Any]) -> None:
    """Listens to every mapper's ``mapper_configured``: what cannot work is refused there, and not at the first use."""
    if any(True for _ in _declared(class_)):
        plan_of(mapper)


def _declared(class_: type[Any]) -> Iterator[tuple[str, Encrypted[Any] | Searchable[Any]]]:
    """The encrypted attributes of a class, of its mixins and of its parents, as attribute lookup finds them."""
    from portalsec.sqlalchemy.fields import Encrypted, Searchable

    seen: set[str] = set()
    for each in class_.__mro__:
        for name, value in vars(each).items():
            if name not in seen:
                seen.add(name)
                if isinstance(value, (Encrypted, Searchable)):
                    yield name, value


def _cell(mapper: Mapper[Any], name: str, declared: Encrypted[Any]) -> Cell:
    class_ = mapper.class_
    where = f"{class_.__name__}.{name}"
    if mapper.has_property(name):
        raise ConfigurationError(
            f"{where} is a mapped attribute too: give the column of its cells a name of its own"
        )
    field = _made(declared.field, class_)
    if not isinstance(field, EncryptedField):
        raise ConfigurationError(
            f"{where}: encrypted() is given an EncryptedField, or a function from a class to one"
        )
    column = _column(mapper, where, "cell", declared.cell)
    kind: type = str if getattr(field, "_text", False) else bytes
    if _python_type(column) is not kind or isinstance(column.type, CHAR):
        wanted = "Mapped[str | None] = mapped_column(Text)" if kind is str else "Mapped[bytes | None]"
        raise ConfigurationError(
            f"{where}: its cells are {kind.__name__}, so declare {declared.cell}: {wanted}"
        )
    for what, given, asked in (
        ("tenant", declared.tenant, field._tenanted),
        ("subject", declared.subject, getattr(field, "_subjects", None) is not None),
    ):
        if (given is not None) is not asked:
            raise ConfigurationError(
                f"{where}: its field is bound to a {what}: name the attribute that holds it, {what}="
                if asked
                else f"{where}: its field knows no {what}: leave {what}= away, or declare the field with one"
            )
    if declared.row is not None and not field._bound:
        raise ConfigurationError(
            f'{where}: its field has context="column" and is bound to no row: leave row= away'
        )
    declared._claim(column.table, where)
    places = Places(
        mapper, where, row=declared.row, tenant=declared.tenant, subject=declared.subject, bound=field._bound
    )
    return Cell(name, declared.cell, column, field, places, where)


def _search(
    mapper: Mapper[Any],
    name: str,
    declared: Encrypted[Any] | Searchable[Any],
    of: str | tuple[str, ...],
    cells: Mapping[str, Cell],
) -> Search:
    from portalsec.crypto.blind_index import BlindIndex

    where = f"{mapper.class_.__name__}.{name}"
    index, tag = _made(declared.index, mapper.class_), declared.tag
    if not isinstance(index, BlindIndex) or tag is None:
        raise ConfigurationError(
            f"{where}: an index takes index=BlindIndex(...) and tag=, the attribute of its tags"
        )
    column = _column(mapper, where, "tag", tag)
    if _python_type(column) is not bytes:
        raise ConfigurationError(
            f"{where}: tags are bytes, so declare {tag}: Mapped[bytes | None] = mapped_column(index=True)"
        )
    names = (of,) if isinstance(of, str) else tuple(of)
    if not names or not all(each in cells for each in names):
        raise ConfigurationError(f"{where}: of= names encrypted attributes of the class")
    found = tuple(cells[each] for each in names)
    if index.tenanted and any(cell.places.tenant_column is None for cell in found):
        raise ConfigurationError(
            f"{where}: its index has a tenant: name the attribute that holds it, tenant="
        )
    if index.tenanted and len({cell.places.tenant_column for cell in found}) > 1:
        raise ConfigurationError(f"{where}: the attributes of an index belong to one tenant")
    return Search(name, tag, column, index, found, not isinstance(of, str), where)


def _made(declared: Any, class_: type[Any]) -> Any:
    """What was declared, or what its function makes for this class: a mixin declares for several tables."""
    from portalsec.crypto.blind_index import BlindIndex

    if isinstance(declared, (EncryptedField, BlindIndex)) or not callable(declared):
        return declared
    return declared(class_)


def _column(mapper: Mapper[Any], where: str, what: str, key: str) -> Column[Any]:
    columns = mapper.column_attrs[key].columns if key in mapper.column_attrs else []
    if len(columns) != 1 or not isinstance(columns[0], Column) or not isinstance(columns[0].table, Table):
        raise ConfigurationError(f"{where}: {what}={key!r} is no attribute over one column of a table")
    return columns[0]


def _python_type(column: Column[Any]) -> type[Any] | None:
    try:
        return column.type.python_type
    except NotImplementedError:
        return None


def _check_labels(cells: Collection[Cell]) -> None:
    seen: dict[Any, Cell] = {}
    for cell in cells:
        for what in ((cell.field.table, cell.field.column), cell.key):
            other = seen.setdefault(what, cell)
            if other is not cell:
                raise ConfigurationError(
                    f"{cell.where} and {other.where} have the same "
                    + (
                        f"column {cell.key!r}"
                        if what == cell.key
                        else "labels, so that their cells could be swapped"
                    )
                    + ": give each its own"
                )


def _guard(cell: Cell) -> Callable[[Any, Any, Any, Any], None]:
    kind: tuple[type, ...] = (str,) if _python_type(cell.column) is str else (bytes,)

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
        return self._plan.encrypt_mapping
