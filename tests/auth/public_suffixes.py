"""Makes the public suffixes that come with portalsec: ``python -m tests.auth.public_suffixes`` writes them anew.

From the list in the test dependency publicsuffixlist. Deterministic: the same list gives the same bytes, and
`tests/auth/passkeys/test_public_suffix.py` compares them with the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import publicsuffixlist

from portalsec.auth.passkeys import public_suffix

SOURCE = Path(publicsuffixlist.__file__).parent / "public_suffix_list.dat"


def rules() -> Iterator[str]:
    """Each rule in A-labels: a line up to its first white space, where it is no comment."""
    for line in SOURCE.read_text(encoding="utf-8").splitlines():
        rule = line.split()[0] if line.split() else ""
        if rule and not rule.startswith("//"):
            mark = "!" if rule.startswith("!") else ""
            yield mark + ".".join(
                label if label == "*" else label.lower().encode("idna").decode("ascii")
                for label in rule.removeprefix("!").split(".")
            )


def version() -> str:
    """The list's own, of its head."""
    return next(
        line.partition("VERSION: ")[2]
        for line in SOURCE.read_text(encoding="utf-8").splitlines()
        if line.startswith("// VERSION: ")
    )


def made() -> bytes:
    """The bytes of the file."""
    hashes = sorted({public_suffix.rule_hash(rule) for rule in rules()})
    return public_suffix._MAGIC + version().encode() + b"\n" + b"".join(hashes)


if __name__ == "__main__":
    public_suffix._PATH.write_bytes(made())
