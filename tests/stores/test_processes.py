"""Four processes race for one code of each factor, one budget and one flow: the database decides, no lock in memory."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine
from tests.stores import factors, racer

_ROUNDS = 500 if os.environ.get("PORTALSEC_SOAK") == "1" else 10


def _race(security_url: str, audit_url: str) -> list[dict[str, list[bool]]]:
    for url, which in ((security_url, "security"), (audit_url, "audit")):
        engine = open_engine(url)
        create_schema(engine, which)
        engine.dispose()
    racer.prepare(security_url, _ROUNDS)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(racer.PROCESSES), context.Queue()
    processes = [
        context.Process(
            target=racer.run, args=(number, security_url, audit_url, _ROUNDS, barrier, results), daemon=True
        )
        for number in range(racer.PROCESSES)
    ]
    for process in processes:
        process.start()
    reports = dict(results.get(timeout=300) for _ in processes)
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * racer.PROCESSES
    results.close()
    results.join_thread()
    failures = {number: report for number, report in reports.items() if isinstance(report, str)}
    assert not failures
    return list(reports.values())


def _check(security_url: str, audit_url: str) -> None:
    reports = _race(security_url, audit_url)
    for turn in range(_ROUNDS):
        won = {verb: sum(report[verb][turn] for report in reports) for verb in reports[0]}
        expected = {**factors.WON, "take": racer.LIMIT, "consume": 1, "placed": racer.PROCESSES}
        assert won == expected, turn
    engine = open_engine(audit_url, read_only=True)
    entries = SqlAudit(engine).read(0, 10**9)
    engine.dispose()
    assert [stored.index for stored in entries] == list(range(_ROUNDS * racer.PROCESSES))
    assert {stored.body for stored in entries} == {
        racer.entry(number, turn).body for number in range(racer.PROCESSES) for turn in range(_ROUNDS)
    }


def test_mfa_05_mfa_06_atk_07_four_processes_on_sqlite_files(tmp_path: Path):
    _check(f"sqlite:///{tmp_path}/security.db", f"sqlite:///{tmp_path}/audit.db")


@pytest.mark.postgres
def test_mfa_05_mfa_06_atk_07_four_processes_on_postgresql(postgres_url: str):
    _check(postgres_url, postgres_url)
