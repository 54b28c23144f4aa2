"""One process of the race between four; light to import, since each of them starts from nothing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from threading import BrokenBarrierError
from typing import Any

from portalsec.audit.ports import Entry
from portalsec.auth.ports import Flow
from portalsec.sqlalchemy import (
    SqlAudit,
    SqlFlows,
    SqlPasskeys,
    SqlRecoveryCodes,
    SqlThrottle,
    SqlTotp,
    open_engine,
)
from tests.stores import factors

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
    factors.prepare(SqlTotp(engine), SqlRecoveryCodes(engine), SqlPasskeys(engine), rounds)
    flows = SqlFlows(engine)
    for turn in range(rounds):
        flows.put(flow(turn))
    engine.dispose()


def run(number: int, security_url: str, audit_url: str, rounds: int, barrier: Any, results: Any) -> None:
    """In each round every process tries for the same factors, the same lane, the same flow; each logs an event."""
    security, audit = open_engine(security_url), open_engine(audit_url)
    throttle, flows, log = SqlThrottle(security), SqlFlows(security), SqlAudit(audit)
    of_factors = (SqlTotp(security), SqlRecoveryCodes(security), SqlPasskeys(security))
    won: dict[str, list[bool]] = {name: [] for name in (*factors.WON, "take", "consume", "placed")}

    def wait() -> None:
        barrier.wait(_PATIENCE)

    try:
        for turn in range(rounds):
            for name, mine in factors.attempt(*of_factors, turn, wait).items():
                won[name].append(mine)
            wait()
            take = throttle.take(
                f"lane-{turn}",
                limit=LIMIT,
                window=timedelta(minutes=15),
                now=NOW,
                longest=timedelta(hours=1),
            )
            won["take"].append(take.ok)
            wait()
            won["consume"].append(flows.consume(flow(turn).digest, "signin", now=NOW) is not None)
            wait()
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
