"""Parameters of argon2id for a budget of time and memory on this machine, never below the OWASP floor.

RFC 9106 section 4: as much memory as can be afforded first, then as many passes as the time allows. The memory is what
all hashes that run at once may take together, and each trial runs that many at once: they share the memory's bandwidth.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from statistics import median

from portalsec.auth._stored_hash import MAX_LANES, MAX_MEMORY_KIB, MAX_TIME
from portalsec.auth.hash_costs import OWASP_FLOOR, Argon2Parameters
from portalsec.errors import ConfigurationError, StoreError

__all__ = ["Calibration", "Trial", "calibrate", "seconds_of", "trials"]

_RUNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One row of the table.

    Attributes:
        seconds: that one hash took while as many ran at once as may.
        fits: whether that is within the time.
    """

    parameters: Argon2Parameters
    seconds: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was tried, in order, and what to use.

    Attributes:
        chosen: of those within the time the one with the most memory; where none is, the fastest at the floor.
        within: whether the chosen one is within the time. False: this machine is too slow for the time, or the time
            too short; nothing weaker is offered.
    """

    trials: tuple[Trial, ...]
    chosen: Trial
    within: bool


def calibrate(
    *,
    target: timedelta,
    memory_kib: int,
    concurrency: int,
    lanes: int = 1,
    measure: Callable[[Argon2Parameters, int], float] | None = None,
) -> Calibration:
    """Try parameters until the table is full.

    Args:
        target: the time that one hash may take.
        memory_kib: for all hashes that run at once, together.
        concurrency: how many run at once (``[passwords] concurrency``).
        lanes: parallelism of one hash. One is right where the server has threads enough to keep its cores busy.
        measure: given parameters and how many at once, the seconds of one hash; `seconds_of` by default.

    Raises:
        ConfigurationError: the memory does not reach for the floor, or a number is out of range.
        StoreError: the machine does not have that memory.
    """
    done = tuple(
        trials(target=target, memory_kib=memory_kib, concurrency=concurrency, lanes=lanes, measure=measure)
    )
    fitting = [trial for trial in done if trial.fits]
    if fitting:
        chosen = max(fitting, key=lambda trial: (trial.parameters.memory_kib, trial.parameters.time_cost))
    else:
        chosen = min(done, key=lambda trial: trial.seconds)
    return Calibration(trials=done, chosen=chosen, within=bool(fitting))


def trials(
    *,
    target: timedelta,
    memory_kib: int,
    concurrency: int,
    lanes: int = 1,
    measure: Callable[[Argon2Parameters, int], float] | None = None,
) -> Iterator[Trial]:
    """The rows of `calibrate`, one at a time, from the most memory to the least; raises as it does."""
    if target <= timedelta(0) or concurrency < 1 or not 1 <= lanes <= MAX_LANES:
        raise ConfigurationError(
            f"calibrate: the time and the concurrency are above zero, lanes from 1 to {MAX_LANES}"
        )
    each = min(memory_kib // concurrency, MAX_MEMORY_KIB) // 1024 * 1024
    least = min(memory for memory, _ in OWASP_FLOOR)
    if each < least:
        raise ConfigurationError(
            f"{memory_kib // 1024} MiB for {concurrency} at once is below the OWASP floor of {least // 1024} MiB a hash: "
            "give more memory, or let fewer run at once"
        )
    measure = seconds_of if measure is None else measure
    limit = target.total_seconds()
    while each >= least:
        passes = min(time for memory, time in OWASP_FLOOR if each >= memory)
        seconds = measure(_parameters(each, passes, lanes), concurrency)
        more = min(MAX_TIME, int(limit * passes / seconds)) if seconds > 0 else MAX_TIME
        while more > passes:
            longer = measure(_parameters(each, more, lanes), concurrency)
            if longer <= limit:
                passes, seconds = more, longer
                break
            more -= 1
        yield Trial(parameters=_parameters(each, passes, lanes), seconds=seconds, fits=seconds <= limit)
        each = each // 2 // 1024 * 1024


def seconds_of(parameters: Argon2Parameters, at_once: int) -> float:
    """Wall time of one hash, the median of three rounds with ``at_once`` hashes each.

    Raises:
        StoreError: there was no memory to hash with.
    """
    from argon2 import exceptions, low_level

    spent: list[float] = []
    failed: list[bool] = []
    broken: list[BaseException] = []
    barrier = threading.Barrier(at_once)

    def run() -> None:
        try:
            rounds()
        except threading.BrokenBarrierError:
            pass  # another one failed
        except BaseException as error:  # noqa: BLE001 - raised again where the others were waited for
            broken.append(error)
            barrier.abort()

    def rounds() -> None:
        for _ in range(_RUNS):
            barrier.wait()
            began = time.perf_counter()
            try:
                low_level.hash_secret_raw(
                    b"sixteen bytes or so",
                    secrets.token_bytes(16),
                    time_cost=parameters.time_cost,
                    memory_cost=parameters.memory_kib,
                    parallelism=parameters.parallelism,
                    hash_len=parameters.hash_len,
                    type=low_level.Type.ID,
                )
            except exceptions.HashingError:
                failed.append(True)
            spent.append(time.perf_counter() - began)

    threads = [threading.Thread(target=run) for _ in range(at_once)]
    started = 0
    try:
        for thread in threads:
            thread.start()
            started += 1
    except RuntimeError:  # no more threads: those that run wait for as many as were asked for
        failed.append(True)
        barrier.abort()
    for thread in threads[:started]:
        thread.join()
    if broken:
        raise broken[0]
    if failed:
        raise StoreError(
            f"argon2id could not get its memory ({parameters.memory_kib // 1024} MiB, {at_once} times): give less"
        )
    return median(spent)


def _parameters(memory_kib: int, passes: int, lanes: int) -> Argon2Parameters:
    return Argon2Parameters(memory_kib=memory_kib, time_cost=passes, parallelism=lanes)
