"""Lanes: a burst of hashes waits for itself and for nobody else, and so does whoever waits for a service."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import weakref
from contextvars import ContextVar

import anyio
import pytest

from portalsec.errors import ConfigurationError
from portalsec.fastapi import Lanes
from portalsec.fastapi._threads import Threads


def most_at_once(lanes: Lanes, calls: int, *, lane: str) -> int:
    """The largest number of operations that were inside at the same time."""
    lock, inside, most = threading.Lock(), 0, 0
    places = lanes._places if lane == "hashing" else calls
    # As many as have a place meet here; without a bound, a larger crowd would.
    crowd = threading.Barrier(places)

    def operation() -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        crowd.wait(timeout=30)
        with lock:
            inside -= 1

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(getattr(lanes, lane), operation)

    anyio.run(main)
    return most


@pytest.mark.parametrize(("cores", "places"), [(1, 1), (2, 1), (4, 3), (64, 63), (None, 1)])
def test_by_default_one_core_is_left_for_everybody_else(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, places: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert Lanes()._places == places


@pytest.mark.parametrize("number", [0, -1])
def test_a_lane_without_a_place_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        Lanes(hashing=number)


@pytest.mark.parametrize("places", [1, 2, 3])
def test_no_more_hashes_run_at_once_than_there_are_places(places: int) -> None:
    assert most_at_once(Lanes(hashing=places), places * 4, lane="hashing") == places


def test_a_full_hashing_lane_holds_up_no_other_request() -> None:
    lanes, release, begun = Lanes(hashing=1), threading.Event(), threading.Event()

    def slow_hash() -> str:
        begun.set()
        assert release.wait(timeout=30)
        return "hashed"

    async def main() -> list[str]:
        done: list[str] = []

        async def hash_one() -> None:
            done.append(await lanes.hashing(slow_hash))

        async with anyio.create_task_group() as group:
            for _ in range(60):  # more than the framework's own pool has threads
                group.start_soon(hash_one)
            await anyio.to_thread.run_sync(begun.wait)
            done.append(await lanes.offload(lambda: "answered"))
            release.set()
        return done

    done = anyio.run(main)
    assert done[0] == "answered"
    assert done[1:] == ["hashed"] * 60


def test_new_passwords_that_wait_for_a_service_hold_up_no_sign_in_and_no_page() -> None:
    lanes, release, begun = Lanes(hashing=1), threading.Event(), threading.Event()

    def silent_service() -> str:
        begun.set()
        assert release.wait(timeout=30)
        return "chosen"

    async def main() -> list[str]:
        done: list[str] = []

        async def choose() -> None:
            done.append(await lanes.choosing(silent_service))

        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(choose)
            await anyio.to_thread.run_sync(begun.wait)
            done.append(await lanes.hashing(lambda: "signed in"))
            done.append(await lanes.offload(lambda: "answered"))
            release.set()
        return done

    done = anyio.run(main)
    assert done == ["signed in", "answered", *["chosen"] * 60]


def test_one_object_serves_more_than_one_event_loop() -> None:
    lanes = Lanes(hashing=1)

    async def main() -> int:
        return await lanes.hashing(lambda: 1) + await lanes.offload(lambda: 1)

    assert [anyio.run(main) for _ in range(3)] == [2, 2, 2]


def test_what_an_operation_raises_comes_back() -> None:
    async def main() -> None:
        await Lanes().hashing(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        anyio.run(main)


def test_slow_endpoints_of_the_application_keep_nobody_from_being_checked() -> None:
    release = threading.Event()

    def slow_endpoint() -> None:
        assert release.wait(timeout=30)

    async def main() -> str:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = 2
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(anyio.to_thread.run_sync, slow_endpoint)
            while limiter.available_tokens:
                await anyio.lowlevel.checkpoint()
            checked = await Lanes().offload(lambda: "checked")
            release.set()
        return checked

    assert anyio.run(main) == "checked"


def test_a_call_that_was_begun_is_waited_for_when_the_visitor_hangs_up() -> None:
    begun, release, order = threading.Event(), threading.Event(), []

    def attempt() -> None:
        begun.set()
        assert release.wait(timeout=30)
        order.append("counted")

    async def visitor() -> None:
        try:
            await Lanes().offload(attempt)
        finally:
            order.append("gone")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(visitor)
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True):
                for _ in range(10):
                    await anyio.lowlevel.checkpoint()
            release.set()

    anyio.run(main)
    assert order == ["counted", "gone"]


def test_a_call_that_outlives_its_loop_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    begun, release = threading.Event(), threading.Event()
    lanes = Lanes()

    def operation() -> None:
        begun.set()
        assert release.wait(timeout=30)

    async def main() -> None:
        waiting = asyncio.create_task(lanes.offload(operation))
        await anyio.to_thread.run_sync(begun.wait)
        waiting.cancel()

    asyncio.run(main())
    (threads,) = lanes._threads.values()
    (thread,) = threads._begun
    with caplog.at_level(logging.DEBUG):
        lanes._threads.clear()  # as the loop is collected
        del threads
        gc.collect()
        release.set()
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert not caplog.records


def test_calls_one_after_the_other_share_a_thread_and_calls_at_once_do_not() -> None:
    both = threading.Barrier(2)

    def meet() -> threading.Thread:
        both.wait(timeout=30)
        return threading.current_thread()

    async def main() -> tuple[set[threading.Thread], set[threading.Thread]]:
        lanes = Lanes()
        one_by_one = {await lanes.offload(threading.current_thread) for _ in range(20)}
        return one_by_one, set(await asyncio.gather(lanes.offload(meet), lanes.offload(meet)))

    one_by_one, at_once = asyncio.run(main())
    assert len(one_by_one) == 1
    assert len(at_once) == 2


def test_there_are_never_more_threads_than_said_and_whoever_finds_none_waits() -> None:
    release, full = threading.Event(), threading.Barrier(3)
    waited: list[str] = []

    def occupy() -> None:
        full.wait(timeout=30)
        assert release.wait(timeout=30)

    async def main() -> None:
        threads = Threads(2)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(threads.run, occupy)
            await anyio.to_thread.run_sync(full.wait)
            for _ in range(5):
                group.start_soon(threads.run, lambda: waited.append("done"))
            await anyio.wait_all_tasks_blocked()
            assert not waited
            assert len(threads._begun) == 2
            release.set()
        assert threads._under_way == 0

    asyncio.run(main())
    assert waited == ["done"] * 5


def test_a_cancelled_call_gives_its_thread_back() -> None:
    begun, release = threading.Event(), threading.Event()

    def refuse() -> None:
        begun.set()
        assert release.wait(timeout=30)
        raise PermissionError

    async def main() -> int:
        threads = Threads(1)
        waiting = asyncio.create_task(threads.run(refuse))
        await anyio.to_thread.run_sync(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await threads.run(lambda: None)
        return threads._under_way

    assert asyncio.run(main()) == 0


def test_a_process_that_ends_waits_for_what_was_begun() -> None:
    script = """
import asyncio, threading
from portalsec.fastapi import Lanes

begun, lanes = threading.Event(), Lanes()

def attempt():
    begun.set()
    threading.main_thread().join()
    print("counted", flush=True)

async def main():
    asyncio.get_running_loop().create_task(lanes.offload(attempt))
    await asyncio.to_thread(begun.wait)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert (done.stdout, done.stderr) == ("counted\n", "")


def test_an_operation_sees_what_the_request_set_and_sets_nothing_there() -> None:
    number: ContextVar[int] = ContextVar("number", default=0)

    def operation() -> int:
        found = number.get()
        number.set(found + 1)
        return found

    async def main() -> list[int]:
        number.set(7)
        return [await Lanes().offload(operation), number.get()]

    assert anyio.run(main) == [7, 7]


def test_an_error_is_let_go_of_at_once() -> None:
    class Refused(Exception):
        pass

    def refuse() -> None:
        raise Refused

    async def main() -> weakref.ref[Refused]:
        try:
            await Lanes().offload(refuse)
        except Refused as error:
            held = weakref.ref(error)
        return held

    gc.collect()
    gc.disable()
    try:
        assert anyio.run(main)() is None
    finally:
        gc.enable()
