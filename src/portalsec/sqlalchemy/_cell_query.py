"""What an encrypted attribute is in a query: comparisons of its blind index, and a reason for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from sqlalchemy import BindParameter, ClauseElement, and_, inspect
from sqlalchemy.orm import InspectionAttr, PropComparator
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import Null
from sqlalchemy.sql.operators import Operators

from portalsec.errors import ConfigurationError
from portalsec.sqlalchemy._cell_declared import Cell, Search
from portalsec.sqlalchemy._cell_plan import Plan, plan_of
from portalsec.sqlalchemy._cell_short import ENOUGH_BITS, current, one_of

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm.util import AliasedInsp

    from portalsec.crypto.blind_index import BlindIndex

__all__ = ["EncryptedComparator"]

T = TypeVar("T")


class EncryptedComparator(InspectionAttr, PropComparator[T], Generic[T]):
    """``Patient.ssn`` in a query.

    ``== value``, ``in_([...])`` and their opposites compare tags, ``is_(None)`` and ``is_not(None)`` look at the cell.
    The database can do nothing else with a ciphertext, and everything else raises `ConfigurationError`. Below 64 bits
    a comparison finds candidates: negated, or in a statement that writes, it is refused.
    """

    def __init__(self, name: str, entity: Any, tenant: str | None = None) -> None:
        # Not the initialiser of the parent: it takes a mapped property, and this one has none of its own.
        self._name, self._entity, self._tenant = name, entity, tenant

    def __repr__(self) -> str:
        return f"<{self._where}, encrypted>"

    @property
    def key(self) -> str:
        """The name of the attribute."""
        return self._name

    def for_tenant(self, tenant: str) -> EncryptedComparator[T]:
        """The same attribute of one tenant: an index with a tenant has unrelated tags for each."""
        return EncryptedComparator(self._name, self._entity, str(tenant))

    def operate(self, op: Callable[..., Any], *other: Any, **kwargs: Any) -> Any:
        comparison = _COMPARISONS.get(op)
        if comparison is None:
            self._cannot(
                f"cannot be used with {getattr(op, '__name__', 'this operator')} in a query: the database holds "
                "ciphertext, which can be compared for equality by a blind index and in no other way; declare "
                "an index for what is searched (prefix, bucket, year, parts), or load the rows and compare in Python"
            )
        return comparison(self, *other)

    def reverse_operate(self, op: Callable[..., Any], other: Any, **kwargs: Any) -> Any:
        return self.operate(op, other, **kwargs)

    def any(self, criterion: Any = None, **kwargs: Any) -> NoReturn:
        self._cannot("is no relationship")

    has = any

    def __clause_element__(self) -> NoReturn:
        self._cannot(
            "is no column and cannot be selected, ordered or grouped by: select the object and read its attribute, "
            "and sort in Python"
        )

    def adapt_to_entity(self, adapt_to_entity: AliasedInsp[Any]) -> EncryptedComparator[T]:
        return EncryptedComparator(self._name, adapt_to_entity.entity, self._tenant)

    def _bulk_update_tuples(self, value: Any) -> Sequence[tuple[Any, Any]]:
        """For ``update(Patient).values(ssn=...)`` and ``insert(Patient).values(ssn=...)``."""
        if not _is_none(value):
            self._cannot(
                "is bound to its row, and one statement has one value for many: assign it to each object, "
                "or give a row for each, as in session.execute(insert(Patient), [{...}, {...}]) "
                "and session.execute(update(Patient), [{...}, {...}])"
            )
        plan, class_ = self._plan, self._plan.mapper.class_
        keys = [plan.cells[self._name].key] if self._name in plan.cells else []
        keys += [
            search.key for search in plan.searches.values() if any(c.name == self._name for c in search.of)
        ]
        return [(getattr(class_, key), None) for key in keys]

    def _bulk_dml_setter(self, key: str) -> Callable[[MutableMapping[str, Any]], None] | None:
        """For an INSERT or UPDATE of many rows, given as mappings (SQLAlchemy 2.1)."""
        return self._plan.mapping_encrypter() if self._name in self._plan.cells else None

    # -- inside -----------------------------------------------------------------------------------------------

    @property
    def _plan(self) -> Plan:
        mapper = inspect(self._entity).mapper
        mapper._check_configure()
        return plan_of(mapper)

    @property
    def _where(self) -> str:
        return f"{getattr(self._entity, '__name__', 'an alias')}.{self._name}"

    def _cannot(self, why: str) -> NoReturn:
        raise ConfigurationError(f"{self._where} {why}")

    @property
    def _search(self) -> Search:
        search = self._plan.searches.get(self._name)
        if search is None:
            self._cannot(
                "has no blind index, and the database cannot search ciphertext: declare one, "
                "encrypted(..., index=BlindIndex(...), tag=...)"
            )
        return search

    @property
    def _cells(self) -> Sequence[Cell]:
        plan = self._plan
        return (plan.cells[self._name],) if self._name in plan.cells else plan.searches[self._name].of

    def _tags(self, values: Iterable[Any]) -> tuple[Any, list[bytes], BlindIndex[Any], tuple[int, ...], str]:
        search = self._search
        index = search.index
        known = index.key_ids  # before the tags are made: a reload in between must not pass for older
        if index.tenanted is (self._tenant is None):
            self._cannot(
                f"is indexed for each tenant by itself: compare {self._where}.for_tenant(...)"
                if index.tenanted
                else "has an index without a tenant: leave for_tenant() away"
            )
        found: dict[bytes, None] = {}
        for value in values:
            if value is None:
                self._cannot("is compared with None by is_(None)")
            if isinstance(value, (Operators, ClauseElement)):
                # A variable of a lambda statement among them: its tags would be kept for the next value.
                self._cannot(
                    "can be compared with values only, not with columns, subqueries, parameters or in lambdas"
                )
            found.update(dict.fromkeys(index.tags(value, self._tenant)))
        return getattr(self._entity, search.key), list(found), index, known, self._where

    def _equal(self, value: Any) -> ColumnElement[bool]:
        if value is None:
            return self._is(None)
        return one_of(*self._tags([value]))  # type: ignore[no-any-return]

    def _one_of(self, values: Any) -> ColumnElement[bool]:
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            self._cannot("can be compared with a list of values only, in in_()")
        return one_of(*self._tags(values))  # type: ignore[no-any-return]

    def _none_of(self, values: Any) -> ColumnElement[bool]:
        search = self._search
        if search.index.bits < ENOUGH_BITS:
            self._cannot(
                f"has an index of {search.index.bits} bits, whose tags other values share: those rows would be left "
                "out of a search for what is not equal; load the rows and compare in Python"
            )
        column, tags, index, known, where = self._tags(values)
        present = [getattr(self._entity, cell.key).is_not(None) for cell in self._cells]
        return and_(*present, column.not_in(current(column, tags, index, known, where)))

    def _unequal(self, value: Any) -> ColumnElement[bool]:
        return self._is_not(None) if value is None else self._none_of([value])

    def _is(self, value: Any) -> ColumnElement[bool]:
        if value is not None and not isinstance(value, Null):
            self._cannot("can be compared by is_() with None only")
        return and_(*(getattr(self._entity, cell.key).is_(None) for cell in self._cells))

    def _is_not(self, value: Any) -> ColumnElement[bool]:
        if value is not None and not isinstance(value, Null):
            self._cannot("can be compared by is_not() with None only")
        return and_(*(getattr(self._entity, cell.key).is_not(None) for cell in self._cells))


def _is_none(value: Any) -> bool:
    """Whether a value of `values()` is None: a parameter with a name is not, it is given its value later."""
    return value is None or isinstance(value, Null) or literal(value, BindParameter) is None


def literal(value: Any, otherwise: Any) -> Any:
    """The value in a parameter that SQLAlchemy made of it; `otherwise` for all others."""
    if not isinstance(value, BindParameter) or value.required or value.callable is not None:
        return otherwise
    return value.value if value.unique else otherwise


_COMPARISONS: dict[Callable[..., Any], Callable[..., Any]] = {
    operators.eq: EncryptedComparator._equal,
    operators.ne: EncryptedComparator._unequal,
    operators.in_op: EncryptedComparator._one_of,
    operators.not_in_op: EncryptedComparator._none_of,
    operators.is_: EncryptedComparator._is,
    operators.is_not: EncryptedComparator._is_not,
}
