"""A session as one Redis value: what the server's scripts change stands at fixed places before the rest.

::

    bytes 0-3    psr1
    bytes 4-23   last_seen_at, microseconds since 1970 in decimal digits
    bytes 24-43  rested_at likewise, or spaces
    bytes 44-83  anomaly, padded with spaces
    bytes 84-    the rest, as a JSON list that never changes
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from portalsec.auth.ports import SessionRecord
from portalsec.auth.posture import posture_of, posture_text
from portalsec.auth.proof_text import duration_or_none, proofs_of, proofs_text
from portalsec.clock import nearest_moment, unix_microseconds
from portalsec.errors import Tampered

__all__ = ["ANOMALY", "decoded", "encoded", "padded", "place_of"]

_VERSION: Final = b"psr1"
_TIME: Final = 20
ANOMALY: Final = 40
_HEAD: Final = len(_VERSION) + 2 * _TIME + ANOMALY
_NEVER: Final = b" " * _TIME
_MICROSECOND = timedelta(microseconds=1)
_load = json.JSONDecoder().decode


def place_of(moment: Any) -> bytes:
    """A time as it stands in the head; it sorts as the time does."""
    return b"%020d" % max(unix_microseconds(moment), 0)


def padded(anomaly: str | None) -> bytes:
    """An anomaly as it stands in the head."""
    text = (anomaly or "").encode("ascii")
    if len(text) > ANOMALY:
        raise ValueError("an anomaly is one of portalsec.auth.anomalies")
    return text.ljust(ANOMALY)


def encoded(record: SessionRecord) -> bytes:
    """The whole value."""
    body = [
        record.account_id,
        record.epoch,
        unix_microseconds(record.created_at),
        json.loads(proofs_text(record.proofs)),
        record.level,
        int(record.phishing_resistant),
        None if record.idle is None else record.idle // _MICROSECOND,
        None if record.absolute is None else record.absolute // _MICROSECOND,
        int(record.shared),
        record.impersonator,
        None if record.behind is None else record.behind.hex(),
        posture_text(record.posture),
        record.jkt,
        record.place,
        record.address,
        list(record.networks),
        record.user_agent,
    ]
    rested = _NEVER if record.rested_at is None else place_of(record.rested_at)
    head = _VERSION + place_of(record.last_seen_at) + rested + padded(record.anomaly)
    return head + json.dumps(body, separators=(",", ":")).encode("ascii")


@lru_cache(maxsize=2048)
def decoded(digest: bytes, value: bytes) -> SessionRecord:
    """The inverse; `Tampered` for anything else.

    The same bytes are not read twice: a page's requests come within the second in which a session is not touched, and a
    touch leaves the rest as it is. What is kept is a frozen value under the digest and all of its bytes, so nobody gets
    another's, or an older one.
    """
    record = None
    try:
        if value[:4] == _VERSION:
            record = _record(value, _rest_of(digest, value[_HEAD:]))
    except (ValueError, TypeError, Tampered, RecursionError):
        record = None
    if record is None:
        raise Tampered("a stored session is not what portalsec wrote")
    return record


def _record(value: bytes, rest: Mapping[str, Any]) -> SessionRecord:
    """The rest with what the head says."""
    rested, anomaly = value[24:44], value[44:_HEAD].rstrip()
    return SessionRecord(
        **rest,
        last_seen_at=nearest_moment(int(value[4:24])),
        rested_at=None if rested == _NEVER else nearest_moment(int(rested)),
        anomaly=anomaly.decode("ascii") if anomaly else None,
    )


@lru_cache(maxsize=2048)
def _rest_of(digest: bytes, body: bytes) -> Mapping[str, Any]:
    """The members that never change. Not a record to `dataclasses.replace`: that takes twice as long."""
    # One name for each member, in the order of `encoded`; a list of another length raises.
    (
        account_id,
        epoch,
        created,
        proofs,
        level,
        resistant,
        idle,
        absolute,
        shared,
        impersonator,
        behind,
        posture,
        jkt,
        place,
        address,
        networks,
        user_agent,
    ) = _load(body.decode("ascii"))
    if not isinstance(account_id, str) or type(epoch) is not int or type(level) is not int:
        raise ValueError("types")
    return {
        "digest": digest,
        "account_id": account_id,
        "epoch": epoch,
        "created_at": nearest_moment(created),
        "proofs": proofs_of(proofs),
        "level": level,
        "phishing_resistant": bool(resistant),
        "idle": None if idle is None else duration_or_none(idle),
        "absolute": None if absolute is None else duration_or_none(absolute),
        "shared": bool(shared),
        "impersonator": impersonator,
        "behind": None if behind is None else bytes.fromhex(behind),
        "posture": posture_of(posture),
        "jkt": jkt,
        "place": place,
        "address": address,
        "networks": tuple(networks),
        "user_agent": user_agent,
    }
