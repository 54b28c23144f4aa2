"""Rows of leaked passwords: what one look-up costs, and what all checks of a new password cost beside zxcvbn alone."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from zxcvbn import zxcvbn

from bench.harness import Row
from portalsec.auth._breach_format import key_of
from portalsec.auth.breached import BreachFile, Bundled
from portalsec.auth.breached_build import build_breach_file
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.passwords import Argon2Parameters, Passwords
from portalsec.events import SecurityEvent
from portalsec.stores.memory import MemoryPasswordHistory

ENTRIES = 600_000  # four shards
LONG = "drizzle mural absent fennel"
# Of the kinds that people choose; each is asked about in turn, on both sides.
PASSWORDS = (
    LONG,
    "Riverside-Clinic-2026!",
    "correcthorsebatterystaple7",
    "qwertyuiop1234567890",
    "Tr0ub4dor&3 and more",
    "mi perro se llama Bruno",
    "hX9#mQ2$vL7@pR4!",
    "aaaaabbbbbcccccddddd",
)


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaked.breach"
        build_breach_file([array("Q", (key_of(f"leaked {number}") for number in range(ENTRIES)))], path)
        with BreachFile(path) as leaked, Bundled() as bundled:
            yield look_up(leaked)
            yield policy_check(leaked, bundled)


def look_up(leaked: BreachFile) -> Row:
    text = LONG.encode("utf-8")
    return Row(
        "auth.breached.lookup",
        lambda: leaked.contains(LONG),
        lambda: hashlib.sha1(text).digest(),
        300,
    )


def policy_check(leaked: BreachFile, bundled: Bundled) -> Row:
    """Everything that is said while somebody types: lengths, words, blocklists, both files, and the score."""

    def emit(event: SecurityEvent) -> None:
        raise AssertionError(f"the meter records nothing, yet: {event.name}")

    gate = NewPasswords(
        policy=PasswordPolicy.NIST_800_63B_4,
        sources=(leaked, bundled),
        passwords=Passwords(parameters=Argon2Parameters.OWASP_2025),
        history=MemoryPasswordHistory(),
        emit=emit,
    )
    about = ("Robin Ward", "robin.ward@example.org", "1984-02-29")
    ours, theirs = cycle(PASSWORDS), cycle(PASSWORDS)
    return Row(
        "auth.policy.check",
        lambda: gate.report(next(ours), about=about, with_second_factor=True),
        lambda: zxcvbn(next(theirs), user_inputs=list(about)),
        len(PASSWORDS),
        unit="ms",
    )
