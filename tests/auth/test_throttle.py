from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.ports import KnownDevice
from portalsec.auth.throttle import Attempt, DetectionPolicy, Lane, Throttle, ThrottlePolicy, address_prefix
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Event, Source
from portalsec.stores.memory import MemoryThrottle
from portalsec.testing import CapturedEvents, FrozenClock
from tests.auth.world import Recorder, tight, together

MAC = KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))


class Setting:
    def __init__(self, policy: ThrottlePolicy) -> None:
        self.clock = FrozenClock()
        self.calls: list[str] = []
        self.memory = MemoryThrottle()
        self.store = Recorder("store", self.memory, self.calls)
        self.events = CapturedEvents()
        self.throttle = Throttle(store=self.store, policy=policy, mac=MAC, clock=self.clock, emit=self.events)

    def fail_after(self, takes: int | None) -> None:
        """The store answers so many takes more, and nothing after them; None mends it."""
        memory, left = self.memory, takes

        def take(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    raise StoreError("down")
            return memory.take(*args, **kwargs)

        self.throttle._store = SimpleNamespace(take=take, give_back=memory.give_back, clear=memory.clear)
        self.throttle._detection._store = self.throttle._store

    def guess(
        self, account: str | None = "robin", address: str | None = "192.0.2.1", kind: str = "password"
    ) -> Attempt:
        return self.throttle.reserve(kind, account=account, address=address)

    def refused(
        self, account: str | None = "robin", address: str | None = "192.0.2.1", kind: str = "password"
    ) -> bool:
        """Used up: said so where it is the visitor's own, else locked without a word."""
        try:
            attempt = self.guess(account, address, kind)
        except Denied as refusal:
            assert refusal.reason is Reason.THROTTLED
            assert refusal.retry_after is not None
            return True
        attempt.not_tested()
        if attempt.locked:
            assert attempt.locked is Reason.ACCOUNT_LOCKED
            return True
        return False


def test_a_budget_is_used_up_and_comes_back_with_its_window() -> None:
    setting = Setting(tight(account=3))
    for _ in range(3):
        setting.guess().failed()
    assert setting.guess().locked is Reason.ACCOUNT_LOCKED
    setting.clock.advance(timedelta(minutes=15) - timedelta(microseconds=1))
    assert setting.refused()
    setting.clock.advance(timedelta(microseconds=1))
    assert not setting.refused()


def test_the_visitors_own_budget_says_how_long_to_wait() -> None:
    setting = Setting(tight(address=3))
    for name in "abc":
        setting.guess(name).failed()
    setting.clock.advance(timedelta(minutes=5))
    with pytest.raises(Denied) as refusal:
        setting.guess("d")
    assert refusal.value.retry_after == timedelta(minutes=10)


def test_an_attempt_counts_while_it_is_under_way() -> None:
    setting = Setting(tight(account=2))
    first, _second = setting.guess(), setting.guess()
    assert setting.refused()
    first.succeeded()
    assert not setting.refused()


def test_success_gives_back_its_own_unit_and_no_other() -> None:
    setting = Setting(tight(account=3, address=3))
    setting.guess().failed()
    setting.guess().failed()
    setting.guess().succeeded()
    assert not setting.refused()
    setting.guess().failed()
    assert setting.refused()


def test_settling_twice_gives_back_once() -> None:
    setting = Setting(tight(account=2))
    setting.guess().failed()
    attempt = setting.guess()
    attempt.succeeded()
    attempt.succeeded()
    attempt.not_tested()
    setting.guess()
    assert setting.refused()


def test_a_failed_attempt_cannot_be_given_back_later() -> None:
    setting = Setting(tight(account=1))
    attempt = setting.guess()
    attempt.failed()
    attempt.succeeded()
    assert setting.refused()


def test_a_try_at_a_locked_name_takes_from_the_visitor_alone() -> None:
    setting = Setting(tight(account=1, address=5))
    setting.guess().failed()
    for _ in range(2):
        setting.guess().failed()
    setting.guess("kim").failed()
    setting.guess("lee").failed()
    assert setting.refused("max")  # three at robin, one each at two others
    setting.clock.advance(timedelta(minutes=15))
    assert not setting.guess().locked


def test_a_used_up_address_never_touches_an_accounts_budget() -> None:
    setting = Setting(tight(address=1))
    setting.guess().failed()
    setting.calls.clear()
    assert setting.refused()
    assert setting.calls == ["store.take"]


def test_clearing_an_account_leaves_the_address() -> None:
    setting = Setting(tight(account=2, second_factor=1, address=3))
    setting.guess().failed()
    setting.guess().failed()
    setting.guess(kind="second_factor").failed()
    setting.throttle.clear_account(login="Robin ", account_id="robin")
    assert setting.refused(kind="second_factor")  # a mailbox gives nobody more tries at the second factor
    setting.guess("kim").failed()
    assert setting.refused("kim")
    assert setting.refused("lee")


def test_held_units_stay_taken_until_the_sign_in_is_complete() -> None:
    setting = Setting(tight(account=3, address=3, second_factor=2))
    units = setting.guess().hold() + setting.guess(kind="second_factor").hold()
    setting.guess("kim").failed()
    setting.guess("kim").failed()
    assert setting.refused("lee")
    setting.throttle.complete(units)
    assert not setting.refused("lee")
    for _ in range(2):
        setting.guess(kind="second_factor").failed()
    assert setting.refused(kind="second_factor")


def test_a_complete_sign_in_forgets_its_own_names_failures_and_no_others() -> None:
    setting = Setting(tight(account=4))
    setting.guess("miller").failed()
    setting.guess("mïller").failed()
    setting.guess("mïller").failed()
    setting.throttle.complete(setting.guess("mïller").hold())
    # The budget of all who look alike is back to the one failure of the other name.
    for _ in range(3):
        setting.guess("mìller").failed()
    assert setting.refused("mìller")
    assert setting.refused("miller")


def test_several_sign_ins_of_one_name_give_back_what_they_took_and_no_more() -> None:
    setting = Setting(tight(account=6))
    setting.guess("miller").failed()
    setting.guess("miller").failed()
    held = [setting.guess("mïller").hold() for _ in range(4)]
    for units in held:
        setting.throttle.complete(units)
        setting.throttle.complete(units)  # and twice is no more than once
    for _ in range(4):
        setting.guess("mìller").failed()
    assert setting.refused("mìller")


def test_a_unit_of_an_older_window_gives_nothing_back_in_the_next() -> None:
    setting = Setting(tight(account=3))
    setting.guess("miller").failed()
    setting.clock.advance(timedelta(minutes=10))
    units = setting.guess("mïller").hold()  # the shared window has 5 minutes left, the name's own 15
    setting.clock.advance(timedelta(minutes=6))
    for _ in range(2):
        setting.guess("miller").failed()
    setting.throttle.complete(units)
    setting.guess("mìller").failed()
    assert setting.refused("mìller")


def test_failures_from_before_the_shared_window_give_back_one_unit() -> None:
    setting = Setting(tight(account=9))
    setting.guess("miller").failed()
    setting.clock.advance(timedelta(minutes=10))
    for _ in range(3):
        setting.guess("mïller").failed()
    setting.clock.advance(timedelta(minutes=6))
    for _ in range(4):
        setting.guess("miller").failed()
    setting.throttle.complete(setting.guess("mïller").hold())
    for _ in range(5):
        setting.guess("mìller").failed()
    assert setting.refused("mìller")


def test_two_accounts_that_look_alike_share_no_budget_for_codes() -> None:
    setting = Setting(tight(second_factor=1))
    setting.guess("miller", kind="second_factor").failed()
    assert setting.refused("miller", kind="second_factor")
    assert not setting.refused("mïller", kind="second_factor")


def test_codes_have_a_long_budget_beside_the_short_one() -> None:
    setting = Setting(ThrottlePolicy())
    for _ in range(10):
        for _ in range(5):
            setting.guess(kind="second_factor").failed()
        assert setting.refused(kind="second_factor")
        setting.clock.advance(timedelta(minutes=15))
    with pytest.raises(Denied) as refusal:
        setting.guess(kind="second_factor")
    assert refusal.value.retry_after == timedelta(days=1) - 10 * timedelta(minutes=15)
    assert not setting.refused(kind="enrolment")


def test_a_name_that_is_all_accents_still_has_a_budget() -> None:
    setting = Setting(tight(account=1))
    setting.guess("\u0301\u0302\u0303").failed()
    assert setting.refused("\u0301\u0302\u0303")
    assert not setting.refused("\u0301\u0302\u0304")


def test_each_kind_has_its_own_budget() -> None:
    setting = Setting(tight(second_factor=1))
    setting.guess(kind="second_factor").failed()
    assert setting.refused(kind="second_factor")
    assert not setting.refused(kind="enrolment")
    assert not setting.refused(kind="password")


def test_lanes_of_one_name_with_other_windows_do_not_share_a_counter() -> None:
    setting = Setting(tight(account=1))
    setting.guess().failed()
    assert setting.refused()
    longer = ThrottlePolicy(account=Lane(name="account", limit=1, window=timedelta(hours=2)))
    other = Throttle(store=setting.store, policy=longer, mac=MAC, clock=setting.clock, emit=setting.events)
    other.reserve("password", account="robin", address="192.0.2.1")


def test_no_account_name_takes_from_the_address_alone() -> None:
    setting = Setting(tight(account=1, address=4))
    for name in (None, "", "  "):
        setting.guess(name).failed()
    setting.guess("robin").failed()
    assert setting.refused(None)


@pytest.mark.parametrize("kind", ["second_factor", "enrolment"])
def test_a_code_is_always_some_accounts(kind: str) -> None:
    setting = Setting(tight())
    with pytest.raises(ConfigurationError):
        setting.guess("", kind=kind)
    with pytest.raises(ConfigurationError, match="none of"):
        setting.guess(kind="nonsense")


@pytest.mark.parametrize(
    ("spelling", "prefix"),
    [
        ("192.0.2.10", "192.0.2.0/24"),
        (" 192.0.2.99 ", "192.0.2.0/24"),
        ("::ffff:192.0.2.10", "192.0.2.0/24"),
        ("::FFFF:c000:020a", "192.0.2.0/24"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:DB8:0:0:ffff:ffff:ffff:ffff", "2001:db8::/64"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::1%25eth0", "fe80::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("192.0.2.10:8080", "192.0.2.0/24"),
        ("::ffff:0:192.0.2.10", "::/64"),  # SIIT's own form: no mapped address
        ("64:ff9b::192.0.2.10", "192.0.2.0/24"),
        ("64:FF9B::c000:20a", "192.0.2.0/24"),
        ("64:ff9b:1::192.0.2.10", "64:ff9b:1::/64"),
        ("2002:c000:020a::1", "192.0.2.0/24"),
        ("2002:c000:020a:ffff::1", "192.0.2.0/24"),
        ("2001:0:c000:20a:8000:63bf:3fff:fdd2", "2001:0:c000:20a::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("garbage", "unknown"),
        ("192.0.2.10, 198.51.100.1", "unknown"),
        ("192.0.2.010", "unknown"),
        ("3221225994", "unknown"),
        ("0xc000020a", "unknown"),
        ("1" * 100_000, "unknown"),
    ],
)
def test_addresses_fold_into_prefixes(spelling: str | None, prefix: str) -> None:
    assert address_prefix(spelling) == prefix


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_a_whole_ipv6_64_is_one_visitor(address: object, low: int) -> None:
    import ipaddress

    number = int(address) >> 64 << 64
    sixtofour, nat64 = number >> 112 == 0x2002, number >> 96 == 0x0064FF9B
    if number and not sixtofour and not nat64:
        assert address_prefix(str(ipaddress.IPv6Address(number | low))) == address_prefix(
            ipaddress.IPv6Address(number).exploded
        )


def test_the_store_sees_neither_names_nor_addresses() -> None:
    store = MemoryThrottle()
    throttle = Throttle(
        store=store, policy=ThrottlePolicy(), mac=MAC, clock=FrozenClock(), emit=CapturedEvents()
    )
    throttle.reserve("password", account="robin@example.org", address="192.0.2.10")
    throttle.reserve("second_factor", account="account-1", address=None)
    assert len(store._counters) == 7
    for key in store._counters:
        assert len(key) == 64
        assert set(key) <= set("0123456789abcdef")


def test_a_store_that_fails_refuses() -> None:
    setting = Setting(tight())
    setting.store.failing["take"] = StoreError("down")
    with pytest.raises(StoreError):
        setting.guess()


@settings(max_examples=50)
@given(
    limit=st.integers(1, 5),
    steps=st.lists(
        st.tuples(st.sampled_from(["fail", "succeed", "leave"]), st.integers(0, 400)), max_size=60
    ),
)
def test_never_more_than_the_limit_fail_in_one_window(limit: int, steps: list[tuple[str, int]]) -> None:
    setting = Setting(tight(account=limit))
    failures: list[float] = []
    for what, seconds in steps:
        setting.clock.advance(timedelta(seconds=seconds))
        try:
            attempt = setting.guess()
        except Denied:
            continue
        if attempt.locked:
            continue
        if what == "fail":
            attempt.failed()
        if what == "succeed":
            attempt.succeeded()
        else:
            failures.append(setting.clock().timestamp())
    # Fixed windows: any stretch of one window meets at most two of them.
    for start in failures:
        assert sum(start <= moment < start + 900 for moment in failures) <= 2 * limit
    if failures:
        first = failures[0]
        assert sum(first <= moment < first + 900 for moment in failures) <= 2 * limit


def test_threads_together_get_no_more_than_the_limit() -> None:
    setting = Setting(tight(account=3))
    results = together(20, lambda _: setting.guess())
    assert sum(result.locked is None for result in results if isinstance(result, Attempt)) == 3


@pytest.mark.parametrize(
    "change",
    [{"name": ""}, {"limit": 0}, {"window": timedelta(0)}],
)
def test_lanes_that_make_no_sense_are_refused(change: dict[str, object]) -> None:
    values: dict[str, object] = {"name": "account", "limit": 3, "window": timedelta(minutes=1), **change}
    with pytest.raises(ConfigurationError):
        Lane(**values)


# -- budgets of a name --------------------------------------------------------------------------------------------


def test_one_address_does_not_use_a_names_whole_budget_up() -> None:
    setting = Setting(tight(account=6, account_address=2))
    for _ in range(5):
        setting.guess(address="192.0.2.1").failed()
    assert setting.refused(address="192.0.2.77")  # the same prefix
    for address in ("198.51.100.1", "203.0.113.1"):
        for _ in range(2):
            attempt = setting.guess(address=address)
            assert attempt.locked is None
            attempt.failed()
    assert setting.refused(address="2001:db8::1")  # six in all


def test_a_names_lock_grows_and_heals() -> None:
    lane = Lane(name="account", limit=2, window=timedelta(minutes=15), longest=timedelta(hours=1))
    setting = Setting(replace(tight(), account=lane, account_address=replace(lane, name="pair", limit=99)))
    waits = []
    for _ in range(4):
        began = setting.clock()
        for _ in range(2):
            attempt = setting.guess()
            assert not attempt.locked
            attempt.failed()
        while setting.refused():
            setting.clock.advance(timedelta(minutes=5))
        waits.append((setting.clock() - began) // timedelta(minutes=1))
    assert waits == [15, 30, 60, 60]
    setting.clock.advance(timedelta(hours=1, minutes=5))
    for _ in range(2):
        setting.guess().failed()
    setting.clock.advance(timedelta(minutes=15))
    assert not setting.refused()


def test_tries_at_a_locked_name_do_not_prolong_the_lock() -> None:
    setting = Setting(tight(account=2, account_address=2))
    for _ in range(2):
        setting.guess().failed()
    for _ in range(14):
        setting.clock.advance(timedelta(minutes=1))
        for _ in range(3):
            attempt = setting.guess()
            assert attempt.locked
            attempt.failed()
    setting.clock.advance(timedelta(minutes=1))
    assert not setting.guess().locked


def cap(setting: Setting, *, account_id: str | None = "id-1", device: KnownDevice | None = None) -> int:
    """How many failures in a row are tested, whatever time passes between them."""
    tested = 0
    for _ in range(150):
        attempt = setting.throttle.reserve(
            "password", account="robin", address=None, account_id=account_id, device=device
        )
        tested += attempt.locked is None
        attempt.failed()
        setting.clock.advance(timedelta(days=1))
    return tested


def device(account_id: str = "id-1", id: str = "device-1") -> KnownDevice:
    now = FrozenClock()()
    return KnownDevice(
        id=id, account_id=account_id, digest=b"d", previous=None, label="", created_at=now, used_at=now
    )


def test_sp_800_63b_at_most_a_hundred_failures_in_a_row_are_tested() -> None:
    setting = Setting(tight())
    assert cap(setting) == 70
    # What strangers cannot use up is kept for the owner's devices, and no device of them can use it up alone.
    assert [cap(setting, device=device(id=f"device-{number}")) for number in range(3)] == [10, 10, 0]
    assert step_ups(setting) == 10
    assert cap(setting) == 0
    assert cap(setting, account_id="id-2") == 70
    setting.throttle.clear_account(login="robin", account_id="id-1")
    again = [cap(setting), step_ups(setting), *(cap(setting, device=device(id=id)) for id in ("d", "e", "f"))]
    assert again == [70, 10, 10, 10, 0]


def step_ups(setting: Setting) -> int:
    tested = 0
    for _ in range(30):
        attempt = setting.throttle.reserve("step_up", account="id-1", address=None)
        tested += attempt.locked is None
        attempt.failed()
        setting.clock.advance(timedelta(days=1))
    return tested


@pytest.mark.parametrize("own", [None, "device-9"])
def test_a_complete_sign_in_from_anywhere_ends_every_part_of_the_cap(own: str | None) -> None:
    setting = Setting(tight())
    cap(setting)
    assert [cap(setting, device=device(id=id)) for id in ("device-1", "device-2")] == [10, 10]
    step_ups(setting)
    if own is None:
        setting.throttle.clear_account(login="robin", account_id="id-1")
        assert [cap(setting, device=device(id=id)) for id in ("device-3", "device-4")] == [10, 10]
        step_ups(setting)
    else:
        setting.store.clear(setting.throttle._cap("id-1", "robin", "devices")[2])
    attempt = setting.throttle.reserve(
        "password",
        account="robin",
        address=None,
        account_id="id-1",
        device=None if own is None else device(id=own),
    )
    assert not attempt.locked
    setting.throttle.complete(attempt.hold())
    assert [cap(setting, device=device(id=id)) for id in ("device-5", "device-6")] == [10, 10]
    assert (cap(setting), step_ups(setting)) == (70, 10)


def test_names_of_nobody_keep_no_counter_for_years() -> None:
    setting = Setting(tight())
    assert cap(setting, account_id=None) == 150
    store = MemoryThrottle()
    setting.throttle = Throttle(
        store=store, policy=tight(), mac=MAC, clock=setting.clock, emit=CapturedEvents()
    )
    for number in range(2000):
        setting.throttle.reserve("password", account=f"name{number}", address=None).failed()
        setting.clock.advance(timedelta(minutes=1))
    day = timedelta(days=1) // timedelta(microseconds=1)
    assert all(counter.end - counter.start <= day for counter in store._counters.values())


def test_a_success_ends_the_cap_and_a_pending_second_factor_does_not() -> None:
    setting = Setting(tight())

    def attempt() -> Attempt:
        return setting.throttle.reserve("password", account="robin", address=None, account_id="id-1")

    for _ in range(69):
        attempt().failed()
    held = attempt()
    assert not held.locked
    units = held.hold()
    assert attempt().locked
    setting.throttle.complete(units)
    for _ in range(70):
        assert not attempt().locked
    assert attempt().locked


def test_a_sign_in_from_a_device_ends_what_strangers_used_of_the_cap() -> None:
    setting = Setting(tight())
    assert cap(setting) == 70
    attempt = setting.throttle.reserve(
        "password", account="robin", address=None, account_id="id-1", device=device()
    )
    assert not attempt.locked
    setting.throttle.complete(attempt.hold())
    assert cap(setting) == 70


def test_a_device_has_its_own_budget_and_strangers_have_theirs() -> None:
    setting = Setting(tight(account=2, device=3))
    for _ in range(5):
        setting.guess().failed()

    def own(id: str) -> Attempt:
        return setting.throttle.reserve(
            "password",
            account="robin",
            address="192.0.2.1",
            account_id="id-1",
            device=device(id=id),
        )

    for _ in range(3):
        attempt = own("device-1")
        assert not attempt.locked
        attempt.failed()
    assert own("device-1").locked
    assert not own("device-2").locked
    setting.clock.advance(timedelta(minutes=15))
    for _ in range(2):
        assert not setting.guess().locked  # and the device's failures took nothing of the name's


def test_one_password_at_many_names_is_no_longer_looked_at() -> None:
    setting = Setting(tight(candidate=10))

    def spray(name: str, password: str = "the one password", **kwargs: Any) -> Reason | None:
        attempt = setting.throttle.reserve(
            "password", account=name, address=f"2001:db8:0:{len(name):x}::1", candidate=password, **kwargs
        )
        attempt.failed()
        return attempt.locked

    names = [f"name{number}" for number in range(14)]
    assert [spray(name) for name in names] == [None] * 10 + [Reason.PASSWORD_SPRAYED] * 4
    assert spray(names[3]) is None  # it was tried there before: once more tells nothing new
    assert spray(names[12]) is Reason.PASSWORD_SPRAYED
    assert spray(names[12], "another password") is None
    assert spray(names[12], account_id="id-1", device=device()) is None
    setting.clock.advance(timedelta(hours=2))
    assert spray(names[12]) is None
    (event,) = setting.events.named(Event.AUTH_ATTACK_SUSPECTED)[:1]
    assert event.details == {"pattern": "one_password_at_many_accounts", "count": 10, "seconds": 900}


def test_one_password_sent_twice_at_once_is_looked_at_at_no_more_names() -> None:
    setting = Setting(tight(candidate=10))
    real, refused = setting.memory.take, threading.Barrier(2)

    def take(key: str, **kwargs: Any) -> Any:
        # Two tries at one name, side by side through every call: the worst order that threads can find.
        with suppress(threading.BrokenBarrierError):
            refused.wait(timeout=5)
        return real(key, **kwargs)

    for number in range(10):
        setting.throttle.reserve("password", account=f"name{number}", address=None, candidate="the one")
    setting.throttle._store = SimpleNamespace(take=take, give_back=setting.memory.give_back)
    done = together(
        2,
        lambda _: setting.throttle.reserve("password", account="another", address=None, candidate="the one"),
    )
    assert [attempt.locked for attempt in done] == [Reason.PASSWORD_SPRAYED] * 2


def test_an_attack_is_told_once_also_where_the_very_number_was_never_seen() -> None:
    setting = Setting(tight(candidate=20))
    for _ in range(3):
        setting.throttle._detection.sprayed(
            11, "key", lane=setting.throttle.policy.candidate, source=Source(), now=setting.clock()
        )
    assert setting.events.names == [Event.AUTH_ATTACK_SUSPECTED]
    setting.clock.advance(timedelta(hours=1))
    setting.throttle._detection.sprayed(
        12, "key", lane=setting.throttle.policy.candidate, source=Source(), now=setting.clock()
    )
    assert len(setting.events) == 2


def test_a_visitor_without_units_of_their_own_takes_none_of_everybodys() -> None:
    portal = Lane(name="portal", limit=4, window=timedelta(minutes=15))
    setting = Setting(replace(tight(address=3), portal=portal))
    for number in range(20):
        with suppress(Denied):
            setting.guess(f"name{number}").failed()
        assert max(counter.used for counter in setting.memory._counters.values()) <= 3
    setting.guess("robin", address="203.0.113.1")


def test_a_sprayed_password_takes_nothing_of_the_names_budget() -> None:
    lane = Lane(name="candidate", limit=2, window=timedelta(hours=1))
    setting = Setting(replace(tight(account=3), candidate=lane, detection=DetectionPolicy(password=2)))
    for name in ("one", "two", *["robin"] * 9):
        setting.throttle.reserve("password", account=name, address=None, candidate="sprayed").failed()
    for _ in range(3):
        attempt = setting.guess()
        assert not attempt.locked
        attempt.failed()
    assert setting.refused()


def test_what_is_kept_of_a_password_is_three_bytes_of_a_keyed_hash_that_changes_every_hour() -> None:
    setting = Setting(tight())
    tried = [
        setting.throttle._tried(f"password {number}", "robin", setting.clock())[1] for number in range(30_000)
    ]
    assert len(set(tried)) < len(tried)  # many passwords share a fingerprint: it tells none of them
    now = setting.clock()
    assert setting.throttle._tried("x", "robin", now) != setting.throttle._tried(
        "x", "robin", now + timedelta(hours=1)
    )


def test_the_portal_as_a_whole_refuses_only_where_it_is_told_to() -> None:
    setting = Setting(replace(tight(), portal=Lane(name="portal", limit=3, window=timedelta(minutes=15))))
    for number in range(3):
        setting.guess(f"name{number}", address=f"198.51.{number}.1").failed()
    with pytest.raises(Denied):
        setting.guess("another", address="203.0.113.1")


# -- the same work ------------------------------------------------------------------------------------------------


def test_locked_or_not_known_or_not_the_store_is_asked_the_same() -> None:
    setting = Setting(tight(account=2))
    seen = {}
    for name, account_id in (("locked", "id-1"), ("known", "id-2"), ("nobody", None), ("locked", "id-1")):
        setting.throttle.reserve("password", account=name, address=None, account_id=account_id).failed()
    for name, account_id in (("locked", "id-1"), ("known", "id-2"), ("nobody", None)):
        setting.calls.clear()
        before = {key: counter.used for key, counter in setting.memory._counters.items()}
        attempt = setting.throttle.reserve(
            "password", account=name, address=None, account_id=account_id, candidate=f"typed at {name}"
        )
        assert bool(attempt.locked) is (name == "locked")
        attempt.failed()
        written = sum(before.get(k, 0) != c.used for k, c in setting.memory._counters.items())
        seen[name] = (tuple(setting.calls), written)
    assert len(set(seen.values())) == 1
    assert set(seen["known"][0]) == {"store.take"}


# -- a store that is down -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails_at", range(9))
def test_a_store_that_is_down_refuses_is_recorded_and_counts_no_failure(fails_at: int) -> None:
    setting = Setting(tight(account=1, address=2))
    setting.fail_after(fails_at)
    with pytest.raises(StoreError):
        setting.throttle.reserve("password", account="robin", address=None, candidate="typed")
    assert setting.events.names == [Event.SYSTEM_CONTROL_FAILED]
    assert setting.events.last.details == {"control": "throttle", "kind": "password", "then": "refuse"}
    setting.fail_after(None)
    attempt = setting.throttle.reserve("password", account="robin", address=None, candidate="typed")
    assert attempt.locked is None


def test_a_store_that_is_down_may_let_through_and_is_recorded() -> None:
    setting = Setting(replace(tight(), store_down="allow"))
    setting.fail_after(0)
    attempt = setting.throttle.reserve("password", account="robin", address=None, candidate="typed")
    assert attempt.locked is None
    assert {event.details["then"] for event in setting.events} == {"allow"}
    setting.throttle.complete(attempt.hold())


def test_a_store_that_fails_while_failures_are_counted_changes_no_answer() -> None:
    setting = Setting(tight())
    attempt = setting.guess()
    setting.fail_after(0)
    attempt.failed()
    assert setting.events.last.details == {"control": "detection"}


# -- the other kinds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", Throttle.KINDS)
def test_every_kind_has_a_budget_of_its_own(kind: str) -> None:
    setting = Setting(ThrottlePolicy())
    used = 0
    try:
        while not setting.guess(kind=kind).locked:
            used += 1
            assert used <= 240
    except Denied as refusal:
        assert refusal.retry_after is not None
    assert used == {
        "password": 10, "second_factor": 5, "enrolment": 5, "recovery_code": 5, "passkey": 30, "step_up": 5,
        "disabling": 5, "reset": 5, "unlock": 5, "registration": 5, "link": 5, "verify": 10, "mail": 5, "meter": 240, "ceremony": 240,
        "device_request": 5, "reset_mail": 5, "unlock_mail": 5, "device_mail": 5, "mailed": 1,
        "link_mail": 5, "verify_mail": 5,
        "invitation": 20, "code_sent": 3, "code_tried": 100,
    }[kind]  # fmt: skip
    for other in Throttle.KINDS:
        if other != kind:
            assert not setting.guess(kind=other).locked


def test_codes_that_come_back_are_a_hundred_a_day_and_no_more() -> None:
    setting = Setting(ThrottlePolicy())
    for _ in range(100):
        setting.throttle.complete(setting.guess(kind="code_sent").hold())
    for wait in (timedelta(0), timedelta(hours=23, minutes=59)):
        setting.clock.advance(wait)
        with pytest.raises(Denied):
            setting.guess(kind="code_sent")
    setting.clock.advance(timedelta(minutes=1))
    assert setting.guess(kind="code_sent").locked is None


def test_whoever_only_has_the_password_does_not_use_up_the_day_between_two_codes_of_the_owner_s() -> None:
    setting = Setting(ThrottlePolicy())
    for _ in range(24):  # each hour the owner's own comes back, and begins the shorter ones anew
        for _ in range(2):
            setting.guess(kind="code_sent")
        setting.throttle.complete(setting.guess(kind="code_sent").hold())
        setting.clock.advance(timedelta(hours=1))
    for _ in range(2):
        setting.guess(kind="code_sent")


@pytest.mark.parametrize("kind", ["reset", "unlock", "registration", "mail"])
def test_mail_that_is_asked_for_too_often_is_refused_without_a_word(kind: str) -> None:
    setting = Setting(ThrottlePolicy())
    for _ in range(5):
        assert setting.guess(kind=kind).locked is None
    assert setting.guess(kind=kind, address="203.0.113.1").locked is Reason.ACCOUNT_LOCKED


@pytest.mark.parametrize("kind", ["reset", "unlock", "registration"])
def test_an_address_that_asks_for_mail_under_many_names_is_told(kind: str) -> None:
    setting = Setting(ThrottlePolicy())
    for number in range(20):
        assert setting.guess(f"name{number}", kind=kind).locked is None
    with pytest.raises(Denied):
        setting.guess("another", kind=kind)


def test_a_passkey_without_a_name_is_counted_by_the_address() -> None:
    setting = Setting(ThrottlePolicy())
    for _ in range(30):
        setting.guess(None, kind="passkey").failed()
    with pytest.raises(Denied):
        setting.guess(None, kind="passkey")
    setting.guess(None, address="203.0.113.1", kind="passkey")


def test_an_unlock_helps_at_once_where_it_is_asked_for() -> None:
    setting = Setting(tight(account=3, account_address=2))
    for address in ("192.0.2.1", "192.0.2.1", "198.51.100.1"):
        setting.guess("robin", address).failed()
    assert setting.refused("robin", "203.0.113.1")
    setting.throttle.clear_account(login="robin", account_id="id-1", address="192.0.2.1")
    assert not setting.refused("robin", "192.0.2.1")
    assert not setting.refused("robin", "203.0.113.1")


@pytest.mark.parametrize(
    "change",
    [
        {"longest": timedelta(seconds=5)},
        {"longest": timedelta(hours=1), "heals": timedelta(-1)},
        {"heals": timedelta(1)},
    ],
)
def test_escalations_that_make_no_sense_are_refused(change: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError):
        Lane(name="account", limit=3, window=timedelta(minutes=1), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"cap": 101},
        {"cap": 2},
        {"cap_devices": 0},
        {"cap": 20, "cap_devices": 20},
        {"cap": 30, "cap_devices": 20},
        {"cap_step_up": 0},
        {"store_down": "ignore"},
        {"detection": DetectionPolicy(password=26)},
        {"detection": DetectionPolicy(password=1)},
    ],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ThrottlePolicy(**change)
