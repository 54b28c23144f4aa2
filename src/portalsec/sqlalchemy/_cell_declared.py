"""What is declared of an encrypted attribute and of an index, checked against the class that it is declared in."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import CHAR, ClauseElement, Column, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.fields import EncryptedField
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.sqlalchemy._cell_place import Place, Places

if TYPE_CHECKING:
    from portalsec.sqlalchemy.fields import Encrypted, Searchable

__all__ = ["Cell", "Search", "cell_of", "check_columns", "declared_of", "python_type", "search_of"]

_CLAIMED = "portalsec.sqlalchemy.fields"


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
            if not isinstance(cell, ClauseElement):  # an expression, or a parameter that gets its value later
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


def declared_of(class_: type[Any]) -> Iterator[tuple[str, Encrypted[Any] | Searchable[Any]]]:
    """The encrypted attributes of a class, of its mixins and of its parents, as attribute lookup finds them."""
    from portalsec.sqlalchemy.fields import Encrypted, Searchable

    seen: set[str] = set()
    for each in class_.__mro__:
        for name, value in vars(each).items():
            if name not in seen:
                seen.add(name)
                if isinstance(value, (Encrypted, Searchable)):
                    yield name, value


def cell_of(mapper: Mapper[Any], name: str, declared: Encrypted[Any]) -> Cell:
    class_ = mapper.class_
    where = f"{class_.__name__}.{name}"
    if mapper.has_property(name):
        raise ConfigurationError(
            f"{where} is a mapped attribute too: give the column of its cells a name of its own"
        )
    if name in mapper.validators:
        raise ConfigurationError(
            f"{where}: @validates is for mapped attributes and would not be called: check the value where it is "
            "assigned, or give the field a type that does"
        )
    field = _made(declared.field, class_)
    if not isinstance(field, EncryptedField):
        raise ConfigurationError(
            f"{where}: encrypted() is given an EncryptedField, or a function from a class to one"
        )
    column = _column(mapper, where, "cell", declared.cell)
    kind: type = str if getattr(field, "_text", False) else bytes
    if python_type(column) is not kind or isinstance(column.type, CHAR):
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
    _claim(field, column, where)
    places = Places(
        mapper, where, row=declared.row, tenant=declared.tenant, subject=declared.subject, bound=field._bound
    )
    return Cell(name, declared.cell, column, field, places, where)


def search_of(
    mapper: Mapper[Any],
    name: str,
    declared: Encrypted[Any] | Searchable[Any],
    of: str | tuple[str, ...],
    cells: Mapping[str, Cell],
) -> Search:
    where = f"{mapper.class_.__name__}.{name}"
    index, tag = _made(declared.index, mapper.class_), declared.tag
    if not isinstance(index, BlindIndex) or tag is None:
        raise ConfigurationError(
            f"{where}: an index takes index=BlindIndex(...) and tag=, the attribute of its tags"
        )
    column = _column(mapper, where, "tag", tag)
    if python_type(column) is not bytes:
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


def _claim(field: EncryptedField[Any, Any], column: Column[Any], where: str) -> None:
    """One field, and one pair of labels, for one column of one table: cells of two of them could be swapped.

    Kept where it belongs, on the field and in the `info` of the `MetaData`, which is what classes of one database have
    in common. A class that is mapped a second time to its table is the same column.
    """
    assert isinstance(column.table, Table)  # noqa: S101  (`_column` has seen to it)
    here = f"{column.table.fullname}.{column.name}"
    claimed: dict[tuple[str, str], str] = column.table.metadata.info.setdefault(_CLAIMED, {})
    other = claimed.setdefault((field.table, field.column), here)
    if other == here:
        other = vars(field).setdefault(_CLAIMED, here)
        what = "its field serves"
    else:
        what = f"the labels table={field.table!r}, column={field.column!r} are those of"
    if other != here:
        raise ConfigurationError(
            f"{where}: {what} column {other} already, and cells of the two could be swapped: declare a field with labels "
            "of its own (in a mixin, give encrypted() a function from the class to its field)"
        )


def _made(declared: Any, class_: type[Any]) -> Any:
    """What was declared, or what its function makes for this class: a mixin declares for several tables."""
    if isinstance(declared, (EncryptedField, BlindIndex)) or not callable(declared):
        return declared
    return declared(class_)


def _column(mapper: Mapper[Any], where: str, what: str, key: str) -> Column[Any]:
    columns = mapper.column_attrs[key].columns if key in mapper.column_attrs else []
    if len(columns) != 1 or not isinstance(columns[0], Column) or not isinstance(columns[0].table, Table):
        raise ConfigurationError(f"{where}: {what}={key!r} is no attribute over one column of a table")
    return columns[0]


def python_type(column: Column[Any]) -> type[Any] | None:
    try:
        return column.type.python_type
    except NotImplementedError:
        return None


def check_columns(cells: Collection[Cell]) -> None:
    """One column for each attribute; that labels differ, `_claim` has seen to."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        other = seen.setdefault(cell.key, cell)
        if other is not cell:
            raise ConfigurationError(
                f"{cell.where} and {other.where} have the same column {cell.key!r}: give each its own"
            )
