"""What four processes race for at the stores of second factors; light to import, since each of them starts from nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from portalsec.auth.ports import Passkey, RecoveryCode, TotpDevice

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CAP = 2
ACCOUNT = "account-1"
WON = {"advance": 1, "try": CAP, "spend": 1, "count": 1}
"""How many of the processes are told that they won, whatever their number."""


def code(turn: int) -> RecoveryCode:
    digest = hashlib.sha256(b"code %d" % turn).digest()
    return RecoveryCode(account_id=ACCOUNT, digest=digest, key_id=1, created_at=NOW)


def prepare(totp: Any, codes: Any, passkeys: Any, rounds: int) -> None:
    """``device-1`` for its steps, an unconfirmed ``guessed`` for its cap, one code a round, and a passkey that counts."""
    for name, confirmed in (("device-1", True), ("guessed", False)):
        totp.add(
            TotpDevice(
                id=name,
                account_id=ACCOUNT,
                label="phone",
                sealed_secret=b"sealed",
                confirmed=confirmed,
                last_step=0,
                created_at=NOW,
            )
        )
    codes.replace(ACCOUNT, [code(turn) for turn in range(rounds)])
    passkeys.add(
        Passkey(
            id="passkey-1",
            account_id=ACCOUNT,
            credential_id=b"credential",
            user_handle=b"handle",
            public_key=b"key",
            algorithm=-7,
            sign_count=0,
            label="key",
            aaguid="00000000-0000-0000-0000-000000000000",
            transports=(),
            backup_eligible=False,
            backed_up=False,
            user_verified=False,
            attested=False,
            discoverable=None,
            created_at=NOW,
        ),
        at_most=1,
    )


def attempt(totp: Any, codes: Any, passkeys: Any, turn: int, wait: Callable[[], None]) -> dict[str, bool]:
    """One round of one process: whether it won each."""
    won = {}
    wait()
    won["advance"] = totp.advance(ACCOUNT, "device-1", turn + 1, drift=1, at=NOW)
    wait()
    won["try"] = totp.try_(ACCOUNT, "guessed", cap=CAP * (turn + 1))
    wait()
    won["spend"] = codes.spend(ACCOUNT, [code(turn).digest], at=NOW) is not None
    wait()
    won["count"] = passkeys.advance(
        ACCOUNT,
        "passkey-1",
        expected=turn,
        sign_count=turn + 1,
        backed_up=False,
        user_verified=True,
        at=NOW,
    )
    return won


def race(stores: Any, wait: Callable[[], None], number: int, rounds: int) -> list[dict[str, bool]]:
    """For `portalsec.testing.processes.race_processes`: every round of one process."""
    return [attempt(*stores, turn, wait) for turn in range(rounds)]
