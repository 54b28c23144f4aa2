"""One process of the race between four; light to import, since each of them starts from nothing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from threading import BrokenBarrierError
from typing import Any

from portalsec.audit.ports import Entry
from portalsec.auth.ports import Flow, TotpDevice
from portalsec.sqlalchemy import SqlAudit, SqlFlows, SqlThrottle, SqlTotp, open_engine

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PROCESSES = 4
LIMIT = 2
_PATIENCE = 120


def flow(turn: int) -> Flow:
    return Flow(
        digest=hashlib.sha256(b"flow %d" % turn).digest(),
        purpose="signin",
        account_id="account-1",
        data=b"",
        expires_at=NOW + timedelta(minutes=10),
    )


def entry(process: int, turn: int) -> Entry:
    body = b"event of %d in turn %d" % (process, turn)
    return Entry(
        id=f"event-{process}-{turn}", body=body, leaf=hashlib.sha256(b"\0" + body).digest(), subjects=("s",)
    )


def prepare(security_url: str, rounds: int) -> None:
    """What the racers race for."""
    engine = open_engine(security_url)
    totp, flows = SqlTotp(engine), SqlFlows(engine)
    totp.add(
        TotpDevice(
            id="device-1",
            account_id="account-1",
            label="phone",
            sealed_secret=b"sealed",
            confirmed=False,
            last_step=-1,
            created_at=NOW,
        )
    )
    totp.confirm("account-1", "device-1", 0)
    for turn in range(rounds):
        flows.put(flow(turn))
    engine.dispose()


def run(number: int, security_url: str, audit_url: str, rounds: int, barrier: Any, results: Any) -> None:
    """In each round every process tries for the same step, the same lane, the same flow; each logs an event."""
    security, audit = open_engine(security_url), open_engine(audit_url)
    totp, throttle, flows, log = SqlTotp(security), SqlThrottle(security), SqlFlows(security), SqlAudit(audit)
    won: dict[str, list[bool]] = {"advance": [], "take": [], "consume": [], "placed": []}
    try:
        for turn in range(rounds):
            barrier.wait(_PATIENCE)
            won["advance"].append(totp.advance("account-1", "device-1", turn + 1))
            barrier.wait(_PATIENCE)
            take = throttle.take(
                f"lane-{turn}",
                limit=LIMIT,
                window=timedelta(minutes=15),
                now=NOW,
                longest=timedelta(hours=1),
            )
            won["take"].append(take.ok)
            barrier.wait(_PATIENCE)
            won["consume"].append(flows.consume(flow(turn).digest, "signin", now=NOW) is not None)
            barrier.wait(_PATIENCE)
            log.append([entry(number, turn)])
            size = log.integrate()
            won["placed"].append(entry(number, turn).body in {stored.body for stored in log.read(0, size)})
        results.put((number, won))
    except BrokenBarrierError:
        results.put((number, "another process failed first"))
    except Exception as error:
        barrier.abort()
        results.put((number, repr(error)))
    finally:
        security.dispose()
        audit.dispose()
