"""What was pasted to import authenticators, kept sealed while its owner confirms one after the other.

A payload is pasted once and shown never again: its seeds wait here, for the session that pasted them, each for a current
code. They lie in one short-lived flow, sealed and bound to the account and the session, so that whoever reads or moves the
flow has nothing; and whatever ends the account's sessions drops it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portalsec.auth._pending import is_password, password_digest
from portalsec.auth.otpauth import ImportedSeed, ImportProblem, ImportRefused
from portalsec.auth.passkeys.labels import label_text
from portalsec.auth.ports import Account, Flow, FlowStore, Mac, Sealer
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.totp_codes import TotpParameters
from portalsec.clock import Clock
from portalsec.errors import StoreError, Tampered
from portalsec.secret import Secret

__all__ = ["ImportShelf", "Waiting", "label_of"]

_PURPOSE = "factors.import"
_LIFETIME = timedelta(minutes=10)
_ATTEMPTS = 5  # wrong codes, anew after each right one
_MOST = 3900  # bytes of JSON: a flow holds 4 KiB, and the seal takes some of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What one session has pasted and not confirmed yet.

    Attributes:
        seeds: in the payload's order.
        until: after this it is gone.
    """

    seeds: tuple[ImportedSeed, ...]
    until: datetime


class ImportShelf:
    """Safe for concurrent use: the store counts tries. Of two readers at the same moment one may find nothing, and its
    owner pastes again."""

    def __init__(self, *, flows: FlowStore, sealer: Sealer, mac: Mac, clock: Clock) -> None:
        self._flows = flows
        self._sealer = sealer
        self._mac = mac
        self._clock = clock

    def put(
        self,
        session: bytes,
        epoch: int,
        account: Account,
        seeds: Sequence[ImportedSeed],
        *,
        until: datetime | None = None,
    ) -> None:
        """Keep these for the session of this digest, in the place of what it had; nothing where there are none.

        Raises:
            ImportRefused: TOO_LONG: more than a flow holds.
            StoreError: they were not kept.
        """
        digest, now = _place(session), self._clock()
        self._flows.consume(digest, _PURPOSE, now=now)
        if not seeds:
            return
        state = {
            "v": 1,
            "epoch": epoch,
            "password": password_digest(self._mac, account.password_hash),
            "seeds": [_written(each) for each in seeds],
        }
        text = json.dumps(state, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
        if len(text) > _MOST:
            raise ImportRefused(ImportProblem.TOO_LONG)
        kept = self._flows.put(
            Flow(
                digest=digest,
                purpose=_PURPOSE,
                account_id=account.id,
                data=self._sealer.seal(text, **_bound(account.id, digest)),
                expires_at=until or now + _LIFETIME,
            )
        )
        if not kept:
            raise StoreError("an import could not be stored: another one was begun at the same moment")

    def look(self, session: ActiveSession, account: Account) -> Waiting | None:
        """What waits, for a page; it counts no try."""
        flow = self._flows.consume(_place(session.digest), _PURPOSE, now=self._clock())
        waiting = self._opened(flow, session, account)
        if flow is not None and waiting is not None:
            self._flows.put(flow)
        return waiting

    def tried(self, session: ActiveSession, account: Account) -> Waiting | None:
        """The same with one try counted; None after the fifth, and where there is nothing."""
        flow = self._flows.attempt(_place(session.digest), _PURPOSE, limit=_ATTEMPTS, now=self._clock())
        return self._opened(flow, session, account)

    def drop(self, session: ActiveSession) -> None:
        """Forget what waits, without opening it."""
        self._flows.consume(_place(session.digest), _PURPOSE, now=self._clock())

    def _opened(self, flow: Flow | None, session: ActiveSession, account: Account) -> Waiting | None:
        if flow is None or flow.account_id != account.id or session.account_id != account.id:
            return None
        state = _state(self._sealer.open(flow.data, **_bound(account.id, flow.digest)))
        if state["epoch"] != session.record.epoch or not is_password(
            self._mac, str(state["password"]), account.password_hash
        ):
            return None
        entries = state["seeds"]
        if not isinstance(entries, list):
            raise Tampered("an import is damaged")
        return Waiting(seeds=tuple(map(_read, entries)), until=flow.expires_at)


def label_of(seed: ImportedSeed) -> str:
    """What the owner's list calls it: "Issuer: name", as far as the export says, at most 64 characters; "" for neither."""
    words = ": ".join(part for part in (seed.issuer, seed.name) if part)
    return label_text(words) if words else ""


def _place(session: bytes) -> bytes:
    return hashlib.sha256(b"import:" + session).digest()


def _bound(account_id: str, digest: bytes) -> dict[str, str]:
    # The length makes the row injective, as that of a stored seed.
    return {"table": "flow", "column": "import", "row": f"{len(account_id)}:{account_id}:{digest.hex()}"}


def _written(seed: ImportedSeed) -> list[object]:
    made = seed.parameters
    secret = base64.b64encode(seed.seed.reveal()).decode("ascii")
    return [secret, made.algorithm, made.digits, made.period, seed.issuer[:64], seed.name[:64]]


def _read(entry: object) -> ImportedSeed:
    if isinstance(entry, list) and len(entry) == 6:
        secret, algorithm, digits, period, issuer, name = entry
        return ImportedSeed(
            seed=Secret(base64.b64decode(secret)),
            parameters=TotpParameters(algorithm=algorithm, digits=digits, period=period),
            issuer=issuer,
            name=name,
        )
    raise Tampered("an import is damaged")


def _state(data: bytes) -> dict[str, object]:
    try:
        state = json.loads(data)
        if isinstance(state, dict) and state["v"] == 1 and {"epoch", "password", "seeds"} <= state.keys():
            return state
    except (ValueError, KeyError):
        pass
    raise Tampered("an import is damaged")
