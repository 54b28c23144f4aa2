"""Lanes: a burst of hashes waits for itself and for nobody else, and so does whoever waits for a service."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from contextvars import ContextVar

import anyio
import pytest

from portalsec.errors import ConfigurationError
from portalsec.fastapi import Lanes


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
    begun, release, over = threading.Event(), threading.Event(), threading.Event()
    lanes = Lanes()

    def operation() -> None:
        begun.set()
        assert release.wait(timeout=30)

    async def main() -> None:
        waiting = asyncio.create_task(lanes.offload(operation))
        await anyio.to_thread.run_sync(begun.wait)
        waiting.cancel()

    asyncio.run(main())
    (pool,) = lanes._pools.values()
    with caplog.at_level(logging.DEBUG):
        release.set()
        pool.submit(over.set)
        assert over.wait(timeout=30)
        pool.shutdown()
    assert not caplog.records


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
