"""Which names anybody may register under: the public suffix list, as a sorted file of truncated hashes.

A relying party whose id were ``co.uk`` or ``github.io`` would share its passkeys with strangers. The list itself
(https://publicsuffix.org, MPL-2.0; both its sections, as browsers use it) is about 300 kB of text; what is asked of it here
needs 5 bytes a rule. A name that is on no list is taken for listed once in 10**7 times, which is an error at start.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

__all__ = ["public_suffix"]

_PATH = Path(__file__).parent / "data" / "suffixes.bin"
_MAGIC = b"portalsec public suffixes 1\n"
_WIDTH = 5


def rule_hash(rule: str) -> bytes:
    """What the file keeps of one rule in its own notation (``com``, ``*.ck``, ``!www.ck``), in A-labels."""
    return hashlib.sha256(rule.encode("ascii")).digest()[:_WIDTH]


def public_suffix(domain: str) -> str:
    """The longest end of a domain under which anybody may register; the domain itself where it is one.

    Args:
        domain: lower-case A-labels without a final dot.

    Returns:
        By the algorithm of publicsuffix.org: an exception before all, then the longest rule, then the last label.
    """
    rules = _rules()
    labels = domain.split(".")
    ends = [".".join(labels[i:]) for i in range(len(labels))]
    for end in ends:
        if rule_hash(f"!{end}") in rules:
            return end.partition(".")[2]
    for end in ends:
        if rule_hash(end) in rules or rule_hash(f"*.{end.partition('.')[2]}") in rules:
            return end
    return labels[-1]


@cache
def _rules() -> frozenset[bytes]:
    """Read once, when the first relying party is built: 10,000 rules take a millisecond and 1 MiB."""
    data = _PATH.read_bytes()
    if not data.startswith(_MAGIC):  # pragma: no cover - the file is the package's own
        raise ValueError("suffixes.bin is of another version than this module")
    body = data[data.index(b"\n", len(_MAGIC)) + 1 :]  # a line that tells the list's own version
    return frozenset(body[at : at + _WIDTH] for at in range(0, len(body), _WIDTH))
