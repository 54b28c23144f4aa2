"""Conditions: a small part of Python's expressions, read once into a tree that only this module can make.

The text of ``when`` is parsed with `ast` and never evaluated as Python: whatever is not in the list below is
refused when the policy is loaded, so a policy file cannot run code. Allowed are ``and``, ``or``, ``not``, the
names of relations, attribute paths under ``subject.``, ``resource.`` and ``context.``, literals, and
``==  !=  <  <=  >  >=  in  not in  is None  is not None``.

Two rules keep a gap in the data from opening a door:

* **Negation normal form.** ``not`` is pushed down to the leaves while reading, so an outer ``not`` can never turn
  "could not tell" into "yes".
* **Kleene logic.** A missing value (absent or None) makes a comparison `Truth.MISSING`, neither true nor false,
  and so is its negation: ``not (resource.status == 'sealed')`` does not grant when ``status`` is missing. The one
  test for absence is ``is None``. A value of the wrong type, or a relation that could not be looked up, is
  `Truth.ERROR`.

The tree is plain data: adapters may turn the same tree into SQL, where NULL behaves likewise.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TypeAlias

from portalsec.rbac.model import Request

__all__ = [
    "ATTRIBUTE_TYPES",
    "Absent",
    "All",
    "AnyOf",
    "Compare",
    "Condition",
    "Literal",
    "Path",
    "Related",
    "Scope",
    "Truth",
    "evaluate",
    "parse_condition",
    "relations_in",
]

ATTRIBUTE_TYPES = frozenset({"str", "int", "float", "bool", "date", "datetime", "list", "table"})
"""What an attribute may be declared as. A datetime is aware; a table is a mapping that a path goes into."""

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "subject": {"id": "str"},
    "resource": {"id": "str", "type": "str"},
    "context": {"purpose": "str", "now": "datetime"},
}
"""Names that need no declaration, and that an attribute of the same name cannot replace."""

# A condition is a line that an auditor reads. The bounds keep a hostile file from exhausting the parser's stack.
MAX_LENGTH = 1000
MAX_DEPTH = 20

Scalar: TypeAlias = str | int | float | bool


class Truth(Enum):
    """The four answers of a condition. Only `TRUE` lets a grant apply; only `FALSE` lets a deny pass."""

    TRUE = "true"
    FALSE = "false"
    MISSING = "missing"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Path:
    """``subject.a.b``: the root, the names below it, and the declared type (None: not declared)."""

    root: str
    names: tuple[str, ...]
    type: str | None = None

    def __str__(self) -> str:
        return ".".join((self.root, *self.names))


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written in the policy; a tuple only on the right of ``in``."""

    value: Scalar | tuple[Scalar, ...]

    def __str__(self) -> str:
        return repr(list(self.value) if isinstance(self.value, tuple) else self.value)


@dataclass(frozen=True, slots=True)
class Related:
    """The subject stands (or, negated, does not stand) in the relation ``name`` to the resource."""

    name: str
    negated: bool = False

    def __str__(self) -> str:
        return f"not {self.name}" if self.negated else self.name


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right``; ``op`` is one of ``== != < <= > >= in`` and ``not in``."""

    left: Path | Literal
    op: str
    right: Path | Literal

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True, slots=True)
class Absent:
    """``path is None``, or negated ``path is not None``: the only leaf that is never merely missing at its end."""

    path: Path
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.path} is {'not ' if self.negated else ''}None"


@dataclass(frozen=True, slots=True)
class All:
    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return "(" + " and ".join(map(str, self.parts)) + ")"


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        return "(" + " or ".join(map(str, self.parts)) + ")"


Condition: TypeAlias = Related | Compare | Absent | All | AnyOf


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names a condition may use: relations, and for each root its declared attributes with their types."""

    relations: frozenset[str] = frozenset()
    attributes: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)


class NotACondition(ValueError):
    """The text cannot be read. ``name`` and ``known`` are set where a name was not found, for the nearest one."""

    def __init__(self, text: str, *, name: str = "", known: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.name = name
        self.known = tuple(known)


# Reading ---------------------------------------------------------------------------------------------------------

_OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_OPPOSITE = {"==": "!=", "<": ">=", ">": "<=", "in": "not in"}
_OPPOSITE |= {value: key for key, value in _OPPOSITE.items()}
_ORDERED = frozenset({"number", "date", "datetime"})


def parse_condition(text: str, scope: Scope) -> Condition:
    """Read ``text`` into a tree in negation normal form; every name must be in ``scope``.

    Raises:
        NotACondition: with one sentence on what is wrong.
    """
    if len(text) > MAX_LENGTH:
        raise NotACondition(f"a condition has at most {MAX_LENGTH} characters: split the rule into several")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise NotACondition("it is not an expression") from None
    return _read(tree, scope, negate=False, depth=0)


def relations_in(condition: Condition | None) -> frozenset[str]:
    """The names of the relations that ``condition`` asks about."""
    return frozenset(leaf.name for leaf in _leaves(condition) if isinstance(leaf, Related))


def _leaves(condition: Condition | None) -> Iterator[Condition]:
    if isinstance(condition, All | AnyOf):
        for part in condition.parts:
            yield from _leaves(part)
    elif condition is not None:
        yield condition


def _read(node: ast.expr, scope: Scope, *, negate: bool, depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise NotACondition(f"it is nested deeper than {MAX_DEPTH} levels: split the rule into several")
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _read(operand, scope, negate=not negate, depth=depth + 1)
        case ast.BoolOp(op=op, values=values):
            parts = tuple(_read(value, scope, negate=negate, depth=depth + 1) for value in values)
            # De Morgan: under a negation `and` and `or` change places.
            return All(parts) if isinstance(op, ast.And) != negate else AnyOf(parts)
        case ast.Name(id=name):
            if name in BUILT_IN:
                raise NotACondition(f"{name!r} alone says nothing: write {name}.ATTRIBUTE")
            if name not in scope.relations:
                raise NotACondition(
                    f"{name!r} is not a relation of this resource", name=name, known=sorted(scope.relations)
                )
            return Related(name, negated=negate)
        case ast.Attribute():
            path = _path(node, scope)
            if path.type not in (None, "bool"):
                raise NotACondition(f"{path} is a {path.type}, not a bool: compare it with something")
            return Compare(path, "!=" if negate else "==", Literal(True))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [left, *comparators]
            leaves = tuple(
                _comparison(sides[i], op, sides[i + 1], scope, negate=negate) for i, op in enumerate(ops)
            )
            if len(leaves) == 1:
                return leaves[0]
            return AnyOf(leaves) if negate else All(leaves)  # a < b < c is two comparisons
    raise NotACondition(f"{_excerpt(node)} is not allowed in a condition")


def _comparison(left: ast.expr, op: ast.cmpop, right: ast.expr, scope: Scope, *, negate: bool) -> Condition:
    if isinstance(op, ast.Is | ast.IsNot):
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise NotACondition("`is` is only for `is None`: use ==")
        if not isinstance(left, ast.Attribute):
            raise NotACondition("`is None` needs an attribute on its left")
        return Absent(_path(left, scope), negated=isinstance(op, ast.IsNot) != negate)
    name = _OPERATORS[type(op)]
    a = _operand(left, scope)
    b = (
        _sequence(right)
        if name.endswith("in") and not isinstance(right, ast.Attribute)
        else _operand(right, scope)
    )
    if isinstance(a, Literal) and isinstance(b, Literal):
        raise NotACondition(f"{a} {name} {b} compares two literals, so it is always the same")
    _check_types(a, name, b)
    return Compare(a, _OPPOSITE[name] if negate else name, b)


def _check_types(a: Path | Literal, op: str, b: Path | Literal) -> None:
    """Refuse what would be an error on every request. A path without a declared type is checked when it is used."""
    left, right = _static_kind(a), _static_kind(b)
    if op.endswith("in"):
        if isinstance(b, Literal):
            items: set[str | None] = (
                {_kind(item) for item in b.value} if isinstance(b.value, tuple) else set()
            )
            if left is not None and items != {left}:
                raise NotACondition(f"{a} is a {left}, and the list holds something else")
        elif right not in (None, "list"):
            # `'a' in resource.name` would be a substring search, which databases answer differently.
            raise NotACondition(f"{b} is a {right}, not a list")
        return
    if left is not None and right is not None and left != right:
        raise NotACondition(f"{a} is a {left} and {b} is a {right}, so they can never be compared")
    for side, kind in ((a, left), (b, right)):
        if kind in ("list", "table"):
            raise NotACondition(f"{side} is a {kind}: use `in`" if kind == "list" else f"{side} is a table")
        if op not in ("==", "!=") and kind is not None and kind not in _ORDERED:
            # The order of text depends on the database's collation, so it is not offered.
            raise NotACondition(f"{side} is a {kind}, which has no order here: use == or !=")


def _operand(node: ast.expr, scope: Scope) -> Path | Literal:
    if isinstance(node, ast.Attribute):
        return _path(node, scope)
    return Literal(_scalar(node))


def _scalar(node: ast.expr) -> Scalar:
    if (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    ):
        value = node.operand.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return -value
    if isinstance(node, ast.Constant):
        value = node.value
        if value is None:
            raise NotACondition("a comparison with None is never true: write `is None`")
        if isinstance(value, str | int | float) and (not isinstance(value, float) or math.isfinite(value)):
            return value
    raise NotACondition(f"{_excerpt(node)} is not allowed in a comparison: use an attribute or a literal")


def _sequence(node: ast.expr) -> Literal:
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        raise NotACondition("`in` needs a list of literals or an attribute on its right")
    items = tuple(_scalar(item) for item in node.elts)
    if len({_kind(item) for item in items}) != 1:
        raise NotACondition("the list after `in` holds at least one literal, all of one type")
    return Literal(items)


def _path(node: ast.expr, scope: Scope) -> Path:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise NotACondition(f"{_excerpt(node)} is not allowed in an attribute path")
    root, names = node.id, names[::-1]
    if root not in BUILT_IN:
        raise NotACondition(
            f"{root!r} is not a place to look: a path starts with subject, resource or context",
            name=root,
            known=sorted(BUILT_IN),
        )
    declared = {**scope.attributes.get(root, {}), **BUILT_IN[root]}
    first = names[0]
    if first not in declared:
        raise NotACondition(f"{root}.{first} is not declared", name=first, known=sorted(declared))
    kind = declared[first]
    if len(names) > 1:
        if kind not in (None, "table"):
            raise NotACondition(f"{root}.{first} is a {kind}, which has no parts")
        kind = None
    return Path(root, tuple(names), kind)


def _excerpt(node: ast.expr) -> str:
    return repr(ast.unparse(node)[:60])


# Evaluating ------------------------------------------------------------------------------------------------------


def evaluate(condition: Condition, request: Request, notes: list[str]) -> Truth:
    """Whether ``condition`` holds for ``request``; appends to ``notes`` what each leaf came to.

    A note has the leaf as the policy writes it and its truth, never the value of an attribute. Nothing is raised:
    whatever goes wrong in a leaf (an attribute mapping that raises, say) makes it `Truth.ERROR`.
    """
    if isinstance(condition, All | AnyOf):
        truths = {evaluate(part, request, notes) for part in condition.parts}
        decisive, default = (
            (Truth.FALSE, Truth.TRUE) if isinstance(condition, All) else (Truth.TRUE, Truth.FALSE)
        )
        for truth in (decisive, Truth.ERROR, Truth.MISSING):
            if truth in truths:
                return truth
        return default
    try:
        truth = _leaf(condition, request)
    except Exception:  # noqa: BLE001 - errors deny, whatever they are
        truth = Truth.ERROR
    notes.append(f"{condition}: {truth.value}")
    return truth


def _leaf(leaf: Related | Compare | Absent, request: Request) -> Truth:
    if isinstance(leaf, Related):
        if leaf.name in request.unresolved:
            return Truth.ERROR
        return _truth((leaf.name in request.relations) != leaf.negated)
    if isinstance(leaf, Absent):
        whole, value = _lookup(leaf.path, request)
        # Every hop before the last must exist: a gap half way says nothing about the end of the path.
        return _truth((value is None) != leaf.negated) if whole else Truth.MISSING
    left, right = _value(leaf.left, request), _value(leaf.right, request)
    if left is None or right is None:
        return Truth.MISSING
    if not (_fits(leaf.left, left) and _fits(leaf.right, right)):
        return Truth.ERROR
    if leaf.op.endswith("in"):
        return _member(left, right, negated=leaf.op == "not in")
    kind = _kind(left)
    if kind is None or kind != _kind(right) or (leaf.op not in ("==", "!=") and kind not in _ORDERED):
        return Truth.ERROR
    return _truth(_COMPARE[leaf.op](left, right))


def _member(value: object, items: object, *, negated: bool) -> Truth:
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Sequence | Set):
        return Truth.ERROR
    kind = _kind(value)
    if kind is None:
        return Truth.ERROR
    strange = False
    for item in items:
        if _kind(item) != kind:
            strange = True
        elif item == value:
            return _truth(not negated)
    # As SQL has it: with a NULL in the list, "not found" cannot be told.
    return Truth.ERROR if strange else _truth(negated)


_COMPARE: Mapping[str, Callable[..., object]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def _truth(value: object) -> Truth:
    return Truth.TRUE if value is True else Truth.FALSE if value is False else Truth.ERROR


def _value(operand: Path | Literal, request: Request) -> object:
    return operand.value if isinstance(operand, Literal) else _lookup(operand, request)[1]


def _lookup(path: Path, request: Request) -> tuple[bool, object]:
    """(whether every hop but the last exists, the value or None)."""
    first = path.names[0]
    if path.root == "subject":
        value = request.subject.id if first == "id" else request.subject.attributes.get(first)
    elif path.root == "resource":
        resource = request.resource
        built_in = resource.id if first == "id" else resource.type
        value = built_in if first in BUILT_IN["resource"] else resource.attributes.get(first)
    else:
        context = request.context
        if first == "purpose":
            value = context.purpose
        else:
            value = context.now if first == "now" else context.attributes.get(first)
    for name in path.names[1:]:
        if value is None:
            return False, None
        if not isinstance(value, Mapping):
            raise TypeError("an attribute path goes into something that is not a mapping")
        value = value.get(name)
    return True, value


_KIND_OF_TYPE = {"int": "number", "float": "number"}


def _static_kind(operand: Path | Literal) -> str | None:
    if isinstance(operand, Path):
        return None if operand.type is None else _KIND_OF_TYPE.get(operand.type, operand.type)
    return "list" if isinstance(operand.value, tuple) else _kind(operand.value)


def _fits(operand: Path | Literal, value: object) -> bool:
    """Whether a value is of its declared type; one that is not is an error, not a value to compare with."""
    if not isinstance(operand, Path) or operand.type is None:
        return True
    if operand.type == "list":
        return isinstance(value, Sequence | Set) and not isinstance(value, str | bytes)
    if operand.type == "int" and not isinstance(value, int):
        return False
    return _kind(value) == _KIND_OF_TYPE.get(operand.type, operand.type)


def _kind(value: object) -> str | None:
    """The family in which a value may be compared; None for what compares with nothing.

    Python compares more freely than a policy should: ``True == 1``, a naive datetime ``!=`` an aware one is true, and
    NaN is unequal to everything, itself included. Each would let a negated test pass by accident.
    """
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float | Decimal):
        return None if value != value else "number"  # noqa: PLR0124 - the test for NaN
    if isinstance(value, str):
        return "str"
    if isinstance(value, datetime):
        return "datetime" if value.utcoffset() is not None else None
    if isinstance(value, date):
        return "date"
    return None
