"""Comparisons of tags: those of a short index, which finds other people's rows too, and of keys that were rotated.

A short tag is for finding candidates. A DELETE or UPDATE by it would hit other people's rows, and whatever asks for the
opposite (NOT, NOT IN, EXCEPT, an outer join) would lose them; nothing after the statement could put that right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from sqlalchemy import BinaryExpression, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.base import Executable
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.selectable import CompoundSelect, Join, Select

from portalsec.crypto.blind_index import BlindIndex
from portalsec.errors import ConfigurationError

__all__ = ["ENOUGH_BITS", "one_of"]

ENOUGH_BITS = 64
"""Tags of so many bits are as good as the value: no two values of a table share one."""

_NEGATIONS = (operators.inv, operators.is_false)
_MINUS = ("EXCEPT", "EXCEPT ALL")


def one_of(
    column: Any, tags: Sequence[bytes], index: BlindIndex[Any], known: Sequence[int], where: str
) -> Any:
    """``column IN (tags)``.

    Args:
        known: the ids of the index's keys before the tags were made.
        where: class and attribute, for messages.
    """
    found = column.in_(current(column, tags, index, known, where))
    return found if index.bits >= ENOUGH_BITS else ShortTags.of(found, where, index.bits)


def current(
    column: Any, tags: Sequence[bytes], index: BlindIndex[Any], known: Sequence[int], where: str
) -> Any:
    """The tags as a parameter that is refused once they would miss rows."""
    tags = list(tags)

    def checked() -> list[bytes]:
        ids = index.key_ids
        if ids and ids[0] not in known:
            raise ConfigurationError(
                f"{where}: this statement was built before the index key was rotated, and would miss rows: build it "
                "for each search (a lambda statement keeps what it was built with: leave the comparison out of it)"
            )
        return tags

    return bindparam(None, callable_=checked, expanding=True, unique=True, type_=column.type)


class ShortTags(BinaryExpression[bool]):
    """``tag IN (...)`` of an index whose tags other values share: good for a search, and for nothing else."""

    inherit_cache = True

    where = "an encrypted attribute"
    bits = 0

    @classmethod
    def of(cls, found: BinaryExpression[Any], where: str, bits: int) -> ShortTags:
        short = cls(
            found.left, found.right, found.operator, type_=found.type, negate=None, modifiers=found.modifiers
        )
        short.where, short.bits = where, bits
        return short

    def _negate(self) -> NoReturn:
        self.refuse_negation()

    def refuse_negation(self) -> NoReturn:
        raise ConfigurationError(
            f"{self.where} has an index of {self.bits} bits, whose tags other values share: their rows would be left out "
            f"of a search for what is not equal; give the index {ENOUGH_BITS} bits, or load the rows and compare in "
            "Python"
        )

    def refuse_writing(self) -> NoReturn:
        raise ConfigurationError(
            f"{self.where} has an index of {self.bits} bits, whose tags other values share: a statement that writes "
            f"would hit other people's rows; give the index {ENOUGH_BITS} bits, or select the rows, drop those of "
            "others with exactly(), and delete or update by primary key"
        )


@compiles(ShortTags)
def _compile(element: ShortTags, compiler: Any, **options: Any) -> str:
    # Both: a loader criterion is in no statement, and a CTE is compiled once, wherever it is met first.
    if compiler.isinsert or compiler.isupdate or compiler.isdelete:
        element.refuse_writing()
    if any(isinstance(each.get("selectable"), UpdateBase) for each in compiler.stack):
        element.refuse_writing()
    statement = compiler.statement
    if isinstance(statement, Executable):
        for short, writing in _wrongly(statement):
            short.refuse_writing() if writing else short.refuse_negation()
    return str(compiler.visit_binary(element, **options))


def _wrongly(statement: Any) -> Iterator[tuple[ShortTags, bool]]:
    """The short tags that a statement uses to write (True), or the wrong way round (False)."""
    seen: set[tuple[int, bool, bool]] = set()
    waiting: list[tuple[Any, bool, bool]] = [(statement, False, False)]
    while waiting:
        node, wrong, writing = waiting.pop()
        if (id(node), wrong, writing) in seen:
            continue
        seen.add((id(node), wrong, writing))
        if isinstance(node, ShortTags):
            if wrong or writing:
                yield node, writing
            continue
        writing = writing or isinstance(node, UpdateBase)
        if isinstance(node, UnaryExpression):
            wrong = wrong or node.operator in _NEGATIONS
        elif isinstance(node, BinaryExpression) and node.operator is not operators.in_op:
            # `tags == false()`, `(SELECT count(*) ...) = 0`: whatever this asks, it is not for candidates.
            wrong = True
        elif isinstance(node, CompoundSelect) and getattr(node.keyword, "value", "") in _MINUS:
            first, *rest = node.selects
            waiting.append((first, wrong, writing))
            waiting += [(each, True, writing) for each in rest]
            continue
        waiting += [(each, True, writing) for each in _outer_conditions(node)]
        waiting += [(each, wrong, writing) for each in node.get_children()]


def _outer_conditions(node: Any) -> Iterator[Any]:
    """The conditions of outer joins: who is joined to nobody is often what is asked for."""
    if isinstance(node, Join):
        if node.isouter or node.full:
            yield node.onclause
    elif isinstance(node, Select):
        for _, condition, _, flags in getattr(node, "_setup_joins", ()):
            if (
                condition is not None
                and (flags["isouter"] or flags["full"])
                and hasattr(condition, "get_children")
            ):
                yield condition
