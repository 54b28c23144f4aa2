"""Over which kinds of store each row of the abuse cases runs; `test_coverage` holds this to what pytest collects.

A case that a store decides runs in memory, on SQLite, on PostgreSQL and on Redis (which has flows, sessions and budgets,
beside what lasts). A row that no store decides, or that Redis cannot, is in `FEWER` with the reason. Rows of `RACES` run in
four processes besides, over each of the three kinds that processes can share; there and in fifty threads where one races.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tests.abuse.rows import ids_in

__all__ = ["FEWER", "GROUPS", "KINDS", "RACES", "SHARED", "complaints_of"]

GROUPS = ("MFA-", "BYP-", "KEY-", "SES-", "AUZ-04", "ATK-")
SHARED = frozenset({"sqlite", "postgres", "redis"})
KINDS = SHARED | {"memory"}

_LASTS = "what decides it lasts, so never in Redis; in memory in tests/auth, on SQLite and PostgreSQL in test_stores.py"
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
        "ATK-35": _LASTS,
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
        "MFA-11": f"of authenticators and recovery codes {_LASTS.replace('in tests/auth', 'in test_codes.py')}",
    }
)
RACES = frozenset({
    "ATK-03", "ATK-07", "ATK-10", "ATK-12", "ATK-14", "ATK-20", "ATK-25", "ATK-27", "ATK-32",
    "ATK-44", "ATK-47", "ATK-48", "KEY-01", "KEY-02", "MFA-05", "MFA-06", "MFA-10", "MFA-16",
    "SES-03", "SES-04", "SES-08", "SES-09", "SES-12",
})  # fmt: skip

_KIND = re.compile(r"(?<![a-z])(memory|sqlite|postgres|redis)(?![a-z])")
_PROCESSES = re.compile("process")


def complaints_of(rows: Iterable[str], collected: Iterable[str]) -> list[str]:
    """What the rows lack, and which reasons are none any more.

    Args:
        collected: ids of tests, as ``pytest --collect-only -q`` prints them.
    """
    plain: dict[str, set[str]] = defaultdict(set)
    apart: dict[str, set[str]] = defaultdict(set)
    for test in collected:
        path, _, rest = test.strip().partition("::")
        name, _, given = rest.partition("[")
        kinds = set(_KIND.findall(given.replace("postgresql", "postgres")))
        if _PROCESSES.search(path + name):
            # Some name the store in their own name.
            kinds |= set(_KIND.findall(name.replace("postgresql", "postgres").replace("_", " ")))
            into = apart
        else:
            into = plain
        for row in ids_in(name.rpartition("::")[2]):
            into[row] |= kinds
    told = []
    for row in rows:
        if not row.startswith(GROUPS):
            continue
        if (lacking := KINDS - plain[row]) and row not in FEWER:
            told.append(f"{row} does not run over {', '.join(sorted(lacking))}")
        if not lacking and row in FEWER:
            told.append(f"{row} runs over every kind: its reason for fewer is none")
        if row in RACES and (lacking := SHARED - apart[row]):
            told.append(f"{row} is not raced in processes over {', '.join(sorted(lacking))}")
        if row not in RACES and apart[row] >= SHARED:
            told.append(f"{row} is raced in processes: say so in RACES")
    return told
