"""Encrypted attributes of SQLAlchemy's mapped classes: read one by one, bound to their rows, found by blind index.

::

    class Patient(Base):
        __tablename__ = "patient"
        id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
        ssn_cell: Mapped[bytes | None]
        ssn_tag: Mapped[bytes | None] = mapped_column(index=True)
        ssn = encrypted(
            EncryptedField[str](ring["fields"], table="patients", column="ssn"),
            cell="ssn_cell",
            index=BlindIndex(ring["index"], table="patients", column="ssn", bits=16, normalise=digits),
            tag="ssn_tag",
        )

A plain column with an encrypting type could not do this: a type never sees the row. What an object holds is the cell;
each reading of the attribute opens it, and nothing keeps the value. What is assigned is encrypted at the flush.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, overload

from sqlalchemy import Table, event
from sqlalchemy.orm import InspectionAttrExtensionType, InspectionAttrInfo, Mapper, Session
from sqlalchemy.orm.attributes import instance_state, set_attribute

from portalsec.crypto.blind_index import BlindIndex
from portalsec.crypto.fields import EncryptedField
from portalsec.errors import ConfigurationError, DecryptionError, SubjectErased
from portalsec.sqlalchemy._cell_declared import Cell
from portalsec.sqlalchemy._cell_plan import Unflushed, configured, plan_of
from portalsec.sqlalchemy._cell_query import EncryptedComparator
from portalsec.sqlalchemy._cell_statement import check_statement

if TYPE_CHECKING:
    from portalsec.sqlalchemy.cells import EncryptedTable

__all__ = [
    "Encrypted",
    "EncryptedComparator",
    "Searchable",
    "cells_of",
    "encrypted",
    "exactly",
    "rebind",
    "searchable",
]

T = TypeVar("T")
M = TypeVar("M")

# Of these, equal values of one type are the same value. (Two Decimals or datetimes may be equal and differ.)
_PLAIN = frozenset({str, bytes, bool, int})


class NothingEncrypted(ConfigurationError):
    """There is nothing to describe, which is no mistake where somebody asks table by table."""


class _Extension(InspectionAttrExtensionType):
    ENCRYPTED = "ENCRYPTED"
    SEARCHABLE = "SEARCHABLE"


class Encrypted(InspectionAttrInfo, Generic[T]):
    """The descriptor that `encrypted` makes. On an object ``T | None``, on the class a comparator."""

    is_attribute = True
    extension_type = _Extension.ENCRYPTED

    def __init__(
        self,
        field: EncryptedField[T, Any] | Callable[[type[Any]], EncryptedField[T, Any]],
        *,
        cell: str,
        index: BlindIndex[T] | Callable[[type[Any]], BlindIndex[T]] | None,
        tag: str | None,
        row: str | tuple[str, ...] | None,
        tenant: str | None,
        subject: str | None,
    ) -> None:
        self.field, self.cell, self.index, self.tag = field, cell, index, tag
        self.row, self.tenant, self.subject = row, tenant, subject
        self._name = ""
        self._cells: dict[type[Any], Cell] = {}

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> EncryptedComparator[T]: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T | None: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            # A mixin, and a class that is being mapped, have no columns yet.
            return EncryptedComparator(self._name, owner) if "__mapper__" in vars(owner) else self
        cell = self._cells.get(type(instance)) or self._of(type(instance))
        held = getattr(instance, cell.key)
        if held is None:
            return None
        return held.value if type(held) is Unflushed else cell.open(instance, held)

    def __set__(self, instance: Any, value: T | None) -> None:
        cell = self._cells.get(type(instance)) or self._of(type(instance))
        if value is None:
            set_attribute(instance, cell.key, None)
            return
        cell.check(value)
        if not _unchanged(cell, instance, value):
            set_attribute(instance, cell.key, Unflushed(value))

    def __delete__(self, instance: Any) -> None:
        self.__set__(instance, None)

    def _of(self, class_: type[Any]) -> Cell:
        cells = plan_of(class_).cells
        found: Cell | None = next((cell for cell in cells.values() if cell.name == self._name), None)
        if found is None:
            raise ConfigurationError(
                f"{class_.__name__}: an encrypted attribute is declared in the body of its class, or of a mixin"
            )
        self._cells[class_] = found
        return found


class Searchable(InspectionAttrInfo, Generic[T]):
    """The descriptor that `searchable` makes: a comparator on the class, nothing on an object."""

    is_attribute = True
    extension_type = _Extension.SEARCHABLE

    def __init__(
        self,
        index: BlindIndex[T] | Callable[[type[Any]], BlindIndex[T]],
        *,
        tag: str,
        of: str | tuple[str, ...],
    ) -> None:
        self.index, self.tag, self.of = index, tag, of
        self._name = ""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> EncryptedComparator[T]: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> NoReturn: ...

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return EncryptedComparator(self._name, owner) if "__mapper__" in vars(owner) else self
        raise AttributeError(f"{self._name} is for queries: an object has the attributes it is made of")

    def __set__(self, instance: Any, value: Any) -> NoReturn:
        raise AttributeError(f"{self._name} is for queries, and its tag is made of the encrypted attributes")


def encrypted(
    field: EncryptedField[T, Any] | Callable[[type[Any]], EncryptedField[T, Any]],
    *,
    cell: str,
    index: BlindIndex[T] | Callable[[type[Any]], BlindIndex[T]] | None = None,
    tag: str | None = None,
    row: str | tuple[str, ...] | None = None,
    tenant: str | None = None,
    subject: str | None = None,
) -> Encrypted[T]:
    """An encrypted attribute over a column of ciphertext.

    Args:
        field: how values are encrypted. In a mixin that serves several tables: a function from the mapped class to
            its field, so that each table has its own label.
        cell: the attribute of the column that holds the cells: ``Mapped[bytes | None]`` (text for ``text=True``).
        index, tag: the blind index to search by, and the attribute of the column that holds its tags.
        row: the attribute, or attributes, that the cells are bound to. By default the primary key, which the
            application has to assign (a UUID with a default, say). Where the database assigns it: another column,
            unique, not null and assigned by the application. That is weaker: whoever swaps the ``uid`` of two rows
            moves all their cells together.
        tenant, subject: the attributes that hold them, where the field asks for them. A UUID or number is taken as
            its text.

    What cannot work is a `ConfigurationError` when the mapper is configured.
    """
    return Encrypted(field, cell=cell, index=index, tag=tag, row=row, tenant=tenant, subject=subject)


def searchable(
    index: BlindIndex[T] | Callable[[type[Any]], BlindIndex[T]], *, tag: str, of: str | tuple[str, ...]
) -> Searchable[T]:
    """A further blind index, for queries: of an encrypted attribute, or of a tuple of them (a compound index)."""
    return Searchable(index, tag=tag, of=of)


def rebind(instance: Any, **changes: Any) -> None:
    """Change what the cells of an object are bound to, and the cells with it: ``rebind(patient, id=new)``.

    Opens every cell in its old place; the flush encrypts it for the new one. It works on attributes of the row id, the
    tenant and the subject, of objects that are in a session or not.

    Raises:
        ConfigurationError: an attribute that no cell is bound to.
        DecryptionError: a cell does not open where it lies, and then nothing is changed.
    """
    cells = plan_of(type(instance)).cells.values()
    keys = {key for cell in cells for key in cell.places.keys}
    for name in changes:
        if name not in keys:
            raise ConfigurationError(f"no cell of {type(instance).__name__} is bound to {name!r}: assign it")
    values = [(cell, getattr(instance, cell.name)) for cell in cells if keys & set(cell.places.keys)]
    for cell, value in values:
        if value is not None:
            set_attribute(instance, cell.key, Unflushed(value))
    for name, value in changes.items():
        setattr(instance, name, value)


def exactly(rows: Iterable[M], attribute: EncryptedComparator[T], value: T) -> list[M]:
    """Those of the found objects that really hold the value: short tags are shared by other values.

    ``exactly(session.scalars(select(Patient).where(Patient.ssn == ssn)), Patient.ssn, ssn)``. What counts as the same is
    what the index's normaliser folds together, so "078-05-1120" finds "078 05 1120" under `digits`. A row of somebody who
    was erased (`SubjectErased`) is left out: it has no value any more, and a tag that it kept shall not end everybody
    else's search.

    Raises:
        DecryptionError: a cell that was found does not open.
    """
    search = attribute._search
    normal = search.index.normaliser
    wanted = normal(value)

    def holds(row: M) -> bool:
        try:
            parts = tuple(getattr(row, cell.name) for cell in search.of)
        except SubjectErased:
            return False
        found = parts if search.compound else parts[0]
        return found is not None and normal(found) == wanted

    return [] if wanted is None else [row for row in rows if holds(row)]


def cells_of(model: type[Any]) -> EncryptedTable:
    """The cells and all tags in the table of a mapped class, as ``portalsec fields reencrypt`` takes them.

    Those of classes that share the table (single-table inheritance) are included. Of joined inheritance, ask each
    class for its own table.
    """
    from portalsec.crypto.tasks import RebuildCompound, Reencrypt, Task
    from portalsec.sqlalchemy.cells import EncryptedTable

    mapper: Mapper[Any] = plan_of(model).mapper
    table = mapper.local_table
    cells: dict[str, Cell] = {}
    tags: dict[str, dict[str, BlindIndex[Any]]] = {}
    compound: dict[str, RebuildCompound] = {}
    for each in mapper.self_and_descendants:
        plan = plan_of(each)
        for cell in plan.cells.values():
            if cell.column.table is table:
                cells.setdefault(cell.column.key, cell)
        for search in plan.searches.values():
            if search.column.table is not table:
                continue
            if any(part.column.table is not table for part in search.of):
                raise ConfigurationError(
                    f"{search.where}: its tags and the cells they are made of lie in different tables, which are not "
                    "walked together: describe each table by an EncryptedTable, and make these tags in the application"
                )
            of = {part.column.key: part.field for part in search.of}
            if search.compound:
                made = {search.column.key: search.index}
                compound[search.column.key] = RebuildCompound(cells=of, tags=made)
            else:
                tags.setdefault(search.of[0].column.key, {})[search.column.key] = search.index
    if not cells or not isinstance(table, Table):
        raise NothingEncrypted(f"the table of {model.__name__} has no encrypted attribute")
    bound = [cell.places for cell in cells.values()]
    tasks: list[Task] = [
        Reencrypt(field=cell.field, column=column, tags=tags.get(column, {}))
        for column, cell in cells.items()
    ]
    return EncryptedTable(
        table=table,
        tasks=[*tasks, *compound.values()],
        row=_the_one(model, table, "row=", [each.row_columns for each in bound if each.needs_row]),
        tenant=_the_one(model, table, "tenant=", [(each.tenant_column,) for each in bound]),
        subject=_the_one(model, table, "subject=", [(each.subject_column,) for each in bound]),
    )


def _the_one(model: type[Any], table: Table, what: str, named: Iterable[tuple[Any, ...]]) -> Any:
    """The column, or columns, by which all cells of a table name one thing; None where none does."""
    found = {columns for columns in named if all(column is not None for column in columns)}
    if found <= {()}:
        return None  # the primary key of the table
    columns = found.pop()
    if found or any(column.table is not table for column in columns):
        raise ConfigurationError(
            f"the cells of {model.__name__} have no {what} in common that lies in their table: "
            "describe them by several EncryptedTable"
        )
    keys = tuple(column.key for column in columns)
    return keys[0] if len(keys) == 1 else keys


def _unchanged(cell: Cell, instance: Any, value: Any) -> bool:
    """Whether the row holds this value already, under the primary key and with tags: there is nothing to write."""
    state = instance_state(instance)
    held = state.dict.get(cell.key)
    if state.key is None or held is None or type(value) not in _PLAIN or type(held) is Unflushed:
        return False
    if cell.key in state.committed_state or cell.field.needs_reencrypt(held):
        return False
    tags = [search.key for search in plan_of(type(instance)).searches.values() if cell in search.of]
    if any(state.dict.get(key, held) is None for key in tags):
        return False  # an index that was declared after the row was written
    try:
        current = cell.open(instance, held)
    except (DecryptionError, SubjectErased):
        return False  # what does not open may be written over
    return type(current) is type(value) and bool(current == value)


event.listen(Mapper, "mapper_configured", configured)
event.listen(Session, "do_orm_execute", check_statement)
