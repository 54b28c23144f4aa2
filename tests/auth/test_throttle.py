from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.throttle import Attempt, Lane, Throttle, ThrottlePolicy, address_prefix
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.stores.memory import MemoryThrottle
from portalsec.testing import CapturedEvents, FrozenClock
from tests.auth.world import Recorder, tight, together

MAC = KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))


class Setting:
    def __init__(self, policy: ThrottlePolicy) -> None:
        self.clock = FrozenClock()
        self.calls: list[str] = []
        self.store = Recorder("store", MemoryThrottle(), self.calls)
        self.events = CapturedEvents()
        self.throttle = Throttle(store=self.store, policy=policy, mac=MAC, clock=self.clock, emit=self.events)

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
    assert not setting.refused(kind="second_factor")
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
