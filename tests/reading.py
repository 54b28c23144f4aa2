"""What a test is, as its source says: whether pytest collects it, whether it is skipped whatever happens, and whether it
could fail. Nothing is imported and nothing runs: lists that name tests as proof are held to it (`tests.abuse.test_rows`,
`tests.auth.standards.test_rows`).

It reads names, not types: a helper counts as one that asserts where some function of that name that the file could mean does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from tests.support import ROOT

__all__ = ["Found", "complaints", "read_tests"]

TESTS = ROOT / "tests"
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPS = frozenset({"skip", "skip_for_want_of", "xfail"})
_ASSERTS = frozenset({"raises", "warns", "fail", "expect", "deprecated_call"})
_DEPTH = 4  # helpers of helpers


@dataclass(frozen=True, slots=True)
class Found:
    """A function whose name begins with ``test``.

    Attributes:
        owner: the class that it is a method of, or None.
        hidden: another function of this name follows in the same place, so that Python forgets this one.
        inside: it is in a function, where no collector looks.
    """

    path: Path
    node: Function
    owner: ast.ClassDef | None
    hidden: bool
    inside: bool

    @property
    def name(self) -> str:
        return self.node.name


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def read_tests(path: Path) -> tuple[Found, ...]:
    """Every test of a file, in order."""
    return tuple(_walk(path, _tree(path).body, None, inside=False))


def _walk(path: Path, body: list[ast.stmt], owner: ast.ClassDef | None, *, inside: bool) -> Iterator[Found]:
    last = {node.name: node for node in body if isinstance(node, _FUNCTION)}
    for node in body:
        if isinstance(node, _FUNCTION):
            if node.name.startswith("test"):
                yield Found(path, node, owner, last[node.name] is not node, inside)
            yield from _walk(path, node.body, None, inside=True)
        elif isinstance(node, ast.ClassDef):
            yield from _walk(path, node.body, node, inside=inside)
        elif isinstance(node, ast.If | ast.With | ast.Try):
            yield from _walk(path, node.body, owner, inside=inside)


def complaints(found: Found) -> list[str]:
    """Why this test proves nothing; empty where it may."""
    told = []
    if found.hidden:
        told.append("another test of this name follows it")
    if not _collected(found):
        told.append("pytest does not collect it")
    if _skipped(found):
        told.append("it is skipped whatever happens")
    if not _can_fail(found.path, found.node, _DEPTH, set()):
        told.append("nothing in it could fail")
    return told


# -- collected ------------------------------------------------------------------------------------------------------


def _collected(found: Found) -> bool:
    """By pytest's own rules (python_files, python_classes): in a test file, or of a class that a test file builds on."""
    if found.inside:
        return False
    if found.path.name.startswith("test_") and (found.owner is None or found.owner.name.startswith("Test")):
        return True
    return found.owner is not None and found.owner.name in _built_on()


@cache
def _built_on() -> frozenset[str]:
    """Classes that a ``Test`` class of a test file inherits, at whatever distance."""
    bases: dict[str, set[str]] = {}
    wanted: set[str] = set()
    for path in sorted(TESTS.rglob("*.py")):
        if "class " not in (text := path.read_text("utf-8")) or "__pycache__" in path.parts:
            continue
        for line in text.splitlines():
            name, opened, rest = line.strip().removeprefix("class ").partition("(")
            if not line.lstrip().startswith("class ") or not opened:
                continue
            inherited = {each.strip().rpartition(".")[2] for each in rest.partition(")")[0].split(",")}
            bases.setdefault(name, set()).update(inherited)
            if path.name.startswith("test_") and name.startswith("Test"):
                wanted |= inherited
    reached: set[str] = set()
    while wanted:
        name = wanted.pop()
        reached.add(name)
        wanted |= bases.get(name, set()) - reached
    return frozenset(reached)


# -- skipped --------------------------------------------------------------------------------------------------------


def _skipped(found: Found) -> bool:
    marks = [*found.node.decorator_list, *(found.owner.decorator_list if found.owner else ())]
    for node in _tree(found.path).body:
        if isinstance(node, ast.Assign) and any(
            getattr(each, "id", "") == "pytestmark" for each in node.targets
        ):
            marks += node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
    if any(map(_skips_always, marks)) or _gives_up(found.node):
        return True
    fixtures = _fixtures(found.path)
    return any(name in fixtures and _gives_up(fixtures[name]) for name in _asked(found.node, fixtures))


def _skips_always(mark: ast.expr) -> bool:
    name = _name(mark.func if isinstance(mark, ast.Call) else mark)
    if name == "skipif" and isinstance(mark, ast.Call) and mark.args:
        return isinstance(mark.args[0], ast.Constant) and bool(mark.args[0].value)
    if name == "parametrize" and isinstance(mark, ast.Call) and len(mark.args) > 1:
        return (
            isinstance(mark.args[1], ast.List | ast.Tuple | ast.Dict) and not ast.unparse(mark.args[1])[1:-1]
        )
    return name in ("skip", "xfail")


def _gives_up(function: Function) -> bool:
    """Whether it skips on its way, and not in a branch of it."""
    calls = (each.value for each in function.body if isinstance(each, ast.Expr | ast.Return))
    return any(isinstance(call, ast.Call) and _name(call.func) in _SKIPS for call in calls)


@cache
def _fixtures(path: Path) -> Mapping[str, Function]:
    """Fixtures that a file's tests see: its own, and those of the conftest files above it."""
    found: dict[str, Function] = {}
    for file in (*_conftests(path.parent), path):
        for node in _tree(file).body:
            if isinstance(node, _FUNCTION) and any("fixture" in ast.unparse(d) for d in node.decorator_list):
                found[node.name] = node
    return found


@cache
def _conftests(folder: Path) -> tuple[Path, ...]:
    """Of a folder of tests and those above it, the outermost first."""
    above = _conftests(folder.parent) if TESTS in folder.parents else ()
    here = folder / "conftest.py"
    return (*above, here) if here.is_file() else above


def _asked(function: Function, fixtures: Mapping[str, Function], *, depth: int = _DEPTH) -> Iterator[str]:
    for each in (*function.args.args, *function.args.kwonlyargs):
        yield each.arg
        if depth and each.arg in fixtures and fixtures[each.arg] is not function:
            yield from _asked(fixtures[each.arg], fixtures, depth=depth - 1)


# -- able to fail ---------------------------------------------------------------------------------------------------


def _can_fail(path: Path, function: ast.AST, depth: int, seen: set[tuple[Path, str]]) -> bool:
    called: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assert | ast.Raise):
            return True
        if isinstance(node, ast.Call):
            name = _name(node.func)
            if name in _ASSERTS or name.startswith("assert_"):
                return True
            called.add(name)
        elif isinstance(node, ast.Name):
            called.add(node.id)  # a helper may be handed on, to threads say
    if not depth:
        return False
    for name in sorted(called):
        for place, helper in _meant(path, name):
            if (place, name) not in seen and helper is not function:
                seen.add((place, name))
                if _can_fail(place, helper, depth - 1, seen):
                    return True
    return False


def _meant(path: Path, name: str) -> Iterator[tuple[Path, Function]]:
    """Functions and methods of that name in this file, in the conftest files above it, and where it imports from."""
    for file in (path, *_imported(path), *_conftests(path.parent)):
        yield from ((file, each) for each in _functions(file).get(name, ()))


@cache
def _functions(path: Path) -> Mapping[str, tuple[Function, ...]]:
    found: dict[str, list[Function]] = {}
    for node in _statements(_tree(path)):
        if isinstance(node, _FUNCTION):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ClassDef):  # an object of it may assert as it is made
            for each in node.body:
                if isinstance(each, _FUNCTION) and each.name in ("__init__", "__enter__", "__exit__"):
                    found.setdefault(node.name, []).append(each)
    return {name: tuple(each) for name, each in found.items()}


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    files = []
    for node in _statements(_tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "tests":
            place = ROOT / str(node.module).replace(".", "/")
            files += [place.with_suffix(".py"), *(place / f"{each.name}.py" for each in node.names)]
    return tuple(each for each in dict.fromkeys(files) if each.is_file())


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements of it, at any depth, without their expressions."""
    for part in ("body", "orelse", "finalbody", "handlers"):
        for each in getattr(node, part, ()) if not isinstance(node, ast.expr) else ():
            if isinstance(each, ast.stmt):
                yield each
            yield from _statements(each)


def _name(node: ast.expr) -> str:
    """The last part of a dotted name; "" for anything else."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
