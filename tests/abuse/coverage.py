"""Over which kinds of store each row of the abuse cases runs; `test_coverage` holds this to what pytest collects.

A case that a store decides runs in memory, on SQLite, on PostgreSQL and on Redis (which has flows, sessions and budgets,
beside what lasts). A row that no store decides is in `FEWER` with the reason. Rows of `RACES` run in fifty threads over each
of the four besides, and in four processes over each of the three that processes can share; those of `IN_THREADS` in fifty
threads alone, with the reason. A row of these that does not hold yet is in `PENDING`, until it does.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from tests.abuse.rows import ids_in

__all__ = [
    "FEWER", "GROUPS", "IN_THREADS", "KINDS", "MANY", "PENDING", "RACES", "SHARED", "complaints_of", "threaded",
]  # fmt: skip

GROUPS = ("MFA-", "BYP-", "KEY-", "SES-", "AUZ-04", "ATK-")
SHARED = frozenset({"sqlite", "postgres", "redis"})
KINDS = SHARED | {"memory"}
MANY = 50

_HTTP = "decided from the request alone, before any store is asked"
_PURE = "decided from what is sent alone"

FEWER: Mapping[str, str] = MappingProxyType(
    {
        "ATK-28": f"{_PURE}: parsing; that nothing is stored after a refusal is KEY-04's",
        "ATK-29": f"{_PURE}: how a password is written",
        "ATK-30": f"{_PURE}: refused by its length before it is looked at",
        "ATK-31": f"{_PURE}: what a hash says of a password",
        "ATK-33": f"{_HTTP}: headers, and a token that moves into a cookie; that it works once is ATK-35's",
        "ATK-34": f"{_HTTP}: links begin with what is configured",
        "ATK-37": f"{_HTTP}: cookies that are there twice",
        "ATK-38": "in the browser: what it shows after the session's end",
        "ATK-39": "decided where an event is written, which no store of auth does",
        "ATK-40": "what is shown or raised above the stores; what rests in them is in their contracts",
        "ATK-43": f"{_PURE}: the strength of a password",
        "ATK-46": _HTTP,
        "BYP-05": "Django's own sign-in, which asks no store of ours",
        "BYP-09": "what is handed to the store is one text for all of them, and is looked at before that",
        "BYP-11": "decided when the portal is built",
        "BYP-12": _HTTP,
        "BYP-13": _HTTP,
        "MFA-09": f"{_HTTP}: no other shape of request reaches the door",
    }
)
RACES = frozenset({
    "ATK-03", "ATK-04", "ATK-07", "ATK-10", "ATK-12", "ATK-14", "ATK-20", "ATK-25", "ATK-27", "ATK-32",
    "ATK-44", "ATK-47", "ATK-48", "AUZ-04", "KEY-01", "KEY-02", "MFA-05", "MFA-06", "MFA-10", "MFA-16",
    "SES-03", "SES-04", "SES-08", "SES-09", "SES-12",
})  # fmt: skip
IN_THREADS: Mapping[str, str] = MappingProxyType({"ATK-19": "its race in processes is that of KEY-02"})
PENDING: frozenset[str] = frozenset()

_KIND = re.compile(r"(?<![a-z])(memory|sqlite|postgres|redis)(?![a-z])")
_PROCESSES = re.compile("process")


def threaded(folder: Path) -> Iterator[str]:
    """Tests right under a folder that let as many as `MANY` threads go at once, as their source says: "file::name"."""
    for path in sorted(folder.glob("test_*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        numbers = {
            target.id: node.value.value
            for node in body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for function in body:
            if isinstance(function, ast.FunctionDef) and any(
                _count(call, numbers) >= MANY for call in ast.walk(function) if isinstance(call, ast.Call)
            ):
                yield f"{path.name}::{function.name}"


def _count(call: ast.Call, numbers: Mapping[str, object]) -> int:
    """In how many threads this call of `tests.auth.world.together` works; 0 for any other call."""
    if not (isinstance(call.func, ast.Name) and call.func.id == "together" and call.args):
        return 0
    given = call.args[0]
    value = given.value if isinstance(given, ast.Constant) else numbers.get(getattr(given, "id", ""))
    return value if isinstance(value, int) else 0


class _Ran:
    """The kinds that each row was found to run over: by itself, in threads, in processes."""

    def __init__(self, collected: Iterable[str], in_threads: Collection[str]) -> None:
        self.plain: dict[str, set[str]] = defaultdict(set)
        self.threads: dict[str, set[str]] = defaultdict(set)
        self.processes: dict[str, set[str]] = defaultdict(set)
        for test in collected:
            path, _, rest = test.strip().partition("::")
            name, _, given = rest.partition("[")
            kinds = set(_KIND.findall(given))
            into = [self.plain]
            if _PROCESSES.search(path + name):
                # Some name the store in their own name.
                kinds |= set(_KIND.findall(name.replace("postgresql", "postgres").replace("_", " ")))
                into = [self.processes]
            elif f"{path.rpartition('/')[2]}::{name}" in in_threads:
                into.append(self.threads)
            for row in ids_in(name.rpartition("::")[2]):
                for each in into:
                    each[row] |= kinds


def complaints_of(
    rows: Iterable[str],
    collected: Iterable[str],
    in_threads: Collection[str],
    *,
    pending: Collection[str] = PENDING,
) -> list[str]:
    """What the rows lack, and which reasons are none any more.

    Args:
        collected: ids of tests, as ``pytest --collect-only -q`` prints them.
        in_threads: those that are races of threads, as `threaded` gives them.
    """
    ran, told = _Ran(collected, in_threads), []
    for row in rows:
        if not row.startswith(GROUPS):
            continue
        lacks = [
            f"{row} {what} {', '.join(sorted(lacking))}"
            for what, wanted, found in (
                ("does not run over", KINDS if row not in FEWER else frozenset(), ran.plain),
                (
                    "is not raced in threads over",
                    KINDS if row in RACES | set(IN_THREADS) else frozenset(),
                    ran.threads,
                ),
                ("is not raced in processes over", SHARED if row in RACES else frozenset(), ran.processes),
            )
            if (lacking := wanted - found[row])
        ]
        if row not in pending:
            told += lacks
        elif not lacks:
            told.append(f"{row} holds: it is pending no more")
        if row in FEWER and ran.plain[row] >= KINDS:
            told.append(f"{row} runs over every kind: its reason for fewer is none")
        if row not in RACES and ran.processes[row] >= SHARED:
            told.append(f"{row} is raced in processes: say so in RACES")
        if row not in RACES | set(IN_THREADS) and ran.threads[row] >= KINDS:
            told.append(f"{row} is raced in threads: say so in IN_THREADS or RACES")
    return told
