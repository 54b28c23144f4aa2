"""Authenticators: several an account, by name, with a clock that is remembered, a count of its own, and a way back."""

from __future__ import annotations

import base64
import copy
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth import otpauth
from portalsec.auth.otpauth import ImportProblem, ImportRefused
from portalsec.auth.totp import CodeRefused, Totp, TotpParameters, TotpPolicy
from portalsec.auth.totp_codes import matching_step, next_drift
from portalsec.errors import ConfigurationError, DecryptionError, Denied, Reason, StoreError, Tampered
from portalsec.testing import current_totp
from tests.abuse.code_cases import STEP, Services, reason
from tests.auth.test_totp import SEED, at, code_of
from tests.auth.world import Backing, together


class Memory:
    def __init__(self) -> None:
        self.backing = Backing()

    def worker(self) -> Backing:
        return self.backing


def services(**policy: int) -> Services:
    return Services(Memory(), **policy)


def store_of(made: Services) -> Any:
    return made.totp._store


# -- a clock that is wrong ----------------------------------------------------------------------------------------


@given(st.integers(100, 2**30), st.integers(-4, 4), st.integers(-6, 6), st.sampled_from([0, 1]))
def test_the_window_moves_with_what_is_remembered_and_grows_no_wider(
    step: int, ahead: int, off: int, drift: int
) -> None:
    code = code_of(base64.b32encode(SEED).decode(), at((step + off) * 30))
    found = matching_step(SEED, code, at(step * 30), TotpParameters(drift=drift), ahead=ahead)
    if abs(off - ahead) <= drift:
        assert found is not None
    assert found is None or abs(found - step - ahead) <= drift


@pytest.mark.parametrize(
    ("remembered", "before", "seen", "expected"),
    [
        (0, None, 0, 0),
        (0, None, 1, 1),  # early: the clock is ahead
        (1, 1, 2, 2),
        (0, 0, -1, 0),  # late once: typed slowly, perhaps
        (0, -1, -1, -1),  # late twice in a row
        (-1, -1, -2, -1),
        (-1, -2, -2, -2),
        (-1, -1, 0, 0),  # in time again: it was the typing
        (2, 2, 1, 2),
        (2, 1, 1, 1),
        (0, None, -1, 0),
        (4, 4, 5, 4),  # bounded
        (-4, -5, -5, -4),
    ],
)
def test_what_is_remembered_of_a_clock(remembered: int, before: int | None, seen: int, expected: int) -> None:
    assert next_drift(remembered, seen, before, most=4) == expected


@given(st.integers(-4, 4), st.integers(-1, 1), st.one_of(st.none(), st.integers(-5, 5)))
def test_a_memory_moves_by_one_step_and_never_away_from_what_was_seen(
    remembered: int, off: int, before: int | None
) -> None:
    seen = remembered + off
    after = next_drift(remembered, seen, before, most=4)
    assert -4 <= after <= 4
    assert abs(after - remembered) <= 1
    assert abs(seen - after) <= 1  # the same code typed as fast would be accepted again


@pytest.mark.parametrize("direction", [1, -1])
def test_a_clock_that_drifts_is_followed_as_far_as_the_policy_says(direction: int) -> None:
    made = services(max_drift=3)
    _, uri = made.enrol()
    for off in (1, 1, 2, 2, 3, 3, 4, 4):
        made.clock.advance(timedelta(days=30))
        made.totp.verify("robin", made.code(uri, direction * off))
    assert store_of(made).devices("robin")[0].drift == direction * 3
    made.clock.advance(timedelta(days=30))
    assert reason(lambda: made.totp.verify("robin", made.code(uri, direction * 5))) is Reason.WRONG_CODE
    assert reason(lambda: made.totp.verify("robin", made.code(uri))) is Reason.WRONG_CODE
    made.totp.verify("robin", made.code(uri, direction * 2))  # the window around it has three steps


def test_slow_typing_now_and_then_moves_no_window() -> None:
    made = services()
    _, uri = made.enrol()
    for late in (0, 1, 0, 1, 1, 0, 0):
        made.clock.advance(timedelta(days=1))
        made.totp.verify("robin", made.code(uri, -late))
    assert store_of(made).devices("robin")[0].drift == 0


def test_a_drift_that_was_written_past_us_reaches_no_further_than_the_policy() -> None:
    made = services()
    _, uri = made.enrol()
    store = store_of(made)
    (device,) = store.devices("robin")
    store._devices[device.id] = replace(device, drift=-1000)
    made.clock.advance(timedelta(days=1))
    assert reason(lambda: made.totp.verify("robin", made.code(uri, -1000))) is Reason.WRONG_CODE
    made.totp.verify("robin", made.code(uri, -5))


# -- several ------------------------------------------------------------------------------------------------------


def test_each_has_its_name_its_last_use_and_no_seed() -> None:
    made = services()
    first, one = made.enrol(label="  My \n phone ")
    second, _ = made.enrol(label="x" * 100)
    made.totp.verify("robin", made.code(one))
    shown = made.totp.devices("robin")
    assert [(each.id, each.label, each.used_at, each.dead) for each in shown] == [
        (first, "My phone", made.clock(), False),
        (second, "x" * 64, None, False),
    ]
    assert not any("secret" in name for each in shown for name in each.__slots__)
    made.totp.rename("robin", second, "Tablet – kitchen")
    assert made.totp.devices("robin")[1].label == "Tablet – kitchen"


@pytest.mark.parametrize(
    "label", ["", "  ", "\n", None, 7, ["x"], "a\u202eb", "a\x00b", "x" * 10_000, "\ud800"]
)
def test_a_name_is_one_line_of_text(label: Any) -> None:
    made = services()
    device, _ = made.enrol()
    assert reason(lambda: made.totp.rename("robin", device, label)) is Reason.MALFORMED
    assert reason(lambda: made.totp.begin("robin", "robin", label)) is Reason.MALFORMED
    assert made.totp.devices("robin")[0].label == "phone"


def test_no_more_than_the_policy_says() -> None:
    made = services(max_devices=2)
    first, _ = made.enrol()
    made.enrol()
    assert reason(lambda: made.totp.begin("robin", "robin")) is Reason.FACTOR_LIMIT
    made.totp.remove("robin", first)
    made.enrol()
    assert reason(lambda: made.totp.restore("robin", first)) is Reason.FACTOR_LIMIT
    made.enrol("kim")


def test_one_that_was_begun_in_time_is_not_confirmed_past_the_limit() -> None:
    made = services(max_devices=1)
    first, _ = made.enrol()
    made.totp.remove("robin", first)
    enrolment = made.totp.begin("robin", "robin")
    made.totp.restore("robin", first)
    code = current_totp(enrolment, made.clock())
    assert reason(lambda: made.totp.confirm("robin", enrolment.device_id, code)) is Reason.FACTOR_LIMIT
    assert [each.id for each in made.totp.devices("robin")] == [first]


def test_a_removed_one_is_no_factor_and_comes_back_within_a_day() -> None:
    made = services()
    device, uri = made.enrol()
    made.totp.remove("robin", device)
    assert not made.totp.enrolled("robin")
    assert reason(lambda: made.totp.verify("robin", made.code(uri))) is Reason.FACTOR_NOT_ENROLLED
    assert reason(lambda: made.totp.remove("robin", device)) is Reason.FACTOR_NOT_ENROLLED
    made.clock.advance(timedelta(hours=23, minutes=59))
    results = together(4, lambda _: made.totp.restore("robin", device))
    assert [each for each in results if each is None] == [None]
    made.totp.verify("robin", made.code(uri))
    made.totp.remove("robin", device)
    made.clock.advance(timedelta(hours=24))
    assert reason(lambda: made.totp.restore("robin", device)) is Reason.FACTOR_NOT_ENROLLED


def test_codes_of_other_lengths_test_and_count_nothing() -> None:
    made = services()
    _, six = made.enrol()
    made.totp.parameters = TotpParameters(digits=8, algorithm="SHA256", period=60)
    _, eight = made.enrol()
    for digits, code in ((6, made.wrong(six)), (8, "00000000"), (7, "0000000")):
        assert reason(lambda c=code: made.totp.verify("robin", c)) is Reason.WRONG_CODE, digits
    assert [each.failures for each in store_of(made).devices("robin")] == [1, 1]
    made.totp.parameters = TotpParameters()  # each keeps what it was made with
    made.totp.verify("robin", made.code(eight))
    made.totp.verify("robin", made.code(six))


def test_parameters_that_portalsec_does_not_write_open_nothing() -> None:
    made = services()
    _, uri = made.enrol()
    store = store_of(made)
    (device,) = store.devices("robin")
    for damaged in ({"digits": 1}, {"algorithm": "MD5"}, {"period": 0}, {"period": 10**9}):
        store._devices[device.id] = replace(device, **damaged)
        with pytest.raises((Tampered, Denied)):
            made.totp.verify("robin", made.code(uri))


# -- the count ----------------------------------------------------------------------------------------------------


def test_a_try_is_counted_before_the_test_and_given_back_only_where_nothing_was_tested() -> None:
    made = services()
    _, uri = made.enrol()
    store, opened = store_of(made), made._sealer.open

    def failing(*args: Any, **kwargs: Any) -> bytes:
        assert [each.failures for each in store.devices("robin")] == [1]
        raise DecryptionError("unknown_key")

    made._sealer.open = failing
    with pytest.raises(Tampered):
        made.totp.verify("robin", made.code(uri))
    made._sealer.open = opened
    assert [each.failures for each in store.devices("robin")] == [0]

    def down(*args: Any, **kwargs: Any) -> bool:
        raise StoreError("the database is gone")

    store.advance = down  # the code was tested: the count stands, since nobody knows what became of it
    with pytest.raises(StoreError):
        made.totp.verify("robin", made.code(uri))
    assert [each.failures for each in store.devices("robin")] == [1]


def test_a_dead_one_keeps_no_other_from_working() -> None:
    made = services(cap=6)
    dead, one = made.enrol()
    for _ in range(6):
        with pytest.raises(CodeRefused):
            made.totp.verify("robin", made.wrong(one))
    _, two = made.enrol()
    made.totp.verify("robin", made.code(two))
    assert made.totp.usable("robin")
    with pytest.raises(CodeRefused) as refusal:
        made.totp.verify("robin", made.code(one))  # its right code is nobody's right code
    assert (refusal.value.reason, refusal.value.disabled) == (Reason.WRONG_CODE, ())
    assert [(each.id == dead, each.dead) for each in made.totp.devices("robin")] == [
        (True, True),
        (False, False),
    ]


def test_removing_a_dead_one_brings_none_of_the_others_back() -> None:
    made = services(cap=12)
    uris = [made.enrol() for _ in range(3)]
    wrong = made.wrong(*(uri for _, uri in uris))
    for _ in range(4):
        with pytest.raises(CodeRefused):
            made.totp.verify("robin", wrong)
    for device, _ in uris:
        assert reason(lambda: made.totp.verify("robin", wrong)) is Reason.FACTOR_DISABLED
        made.totp.remove("robin", device)
        assert not made.totp.usable("robin")


def test_one_that_comes_beside_a_tried_one_does_not_kill_it() -> None:
    made = services(cap=12)
    _, one = made.enrol()
    for _ in range(8):
        with pytest.raises(CodeRefused):
            made.totp.verify("robin", made.wrong(one))
    made.enrol()
    assert [each.dead for each in made.totp.devices("robin")] == [False, False]


def test_a_used_code_counts_too_and_can_be_the_last() -> None:
    made = services(cap=2)
    device, uri = made.enrol()
    made.totp.verify("robin", made.code(uri))
    disabled = []
    for _ in range(2):
        with pytest.raises(CodeRefused) as refusal:
            made.totp.verify("robin", made.code(uri))
        assert refusal.value.reason is Reason.CODE_REPLAYED
        disabled.append(refusal.value.disabled)
    assert disabled == [(), (device,)]
    assert not made.totp.usable("robin")


def test_several_that_end_with_one_code_are_all_told_of() -> None:
    made = services(cap=1)
    first, one = made.enrol()
    second, two = made.enrol()
    with pytest.raises(CodeRefused) as refusal:
        made.totp.verify("robin", made.wrong(one, two))
    assert refusal.value.disabled == (first, second)


def test_guessing_at_an_enrolment_ends_like_any_other() -> None:
    made = services(cap=4)
    enrolment = made.totp.begin("robin", "robin")
    wrong = made.wrong(enrolment.uri.reveal())
    right = current_totp(enrolment, made.clock())
    for _ in range(4):
        assert reason(lambda: made.totp.confirm("robin", enrolment.device_id, wrong)) is Reason.WRONG_CODE
    assert reason(lambda: made.totp.confirm("robin", enrolment.device_id, right)) is Reason.FACTOR_DISABLED
    made.enrol()  # begin again


def test_a_refused_code_is_carried_elsewhere_with_what_it_ended() -> None:
    refused = CodeRefused(Reason.WRONG_CODE, ("device",))
    for carried in (copy.copy(refused), pickle.loads(pickle.dumps(refused))):
        assert (carried.reason, carried.disabled, str(carried)) == (
            Reason.WRONG_CODE,
            ("device",),
            "The request was refused.",
        )


@pytest.mark.parametrize(
    "policy",
    [{"cap": 0}, {"cap": 101}, {"max_devices": 0}, {"max_devices": 21}, {"max_drift": -1}, {"max_drift": 11}],
)
def test_a_policy_out_of_range_is_refused(policy: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="TotpPolicy"):
        TotpPolicy(**policy)


# -- imports ------------------------------------------------------------------------------------------------------

OTHER = (
    "otpauth://totp/Elsewhere:robin@example.org?secret=" + base64.b32encode(b"another systems seed").decode()
)


def test_an_imported_one_counts_once_a_code_confirms_it() -> None:
    made = services()
    uri = OTHER + "&digits=8&algorithm=SHA256&period=60"
    enrolment = made.totp.import_("robin", uri, "Old phone")
    assert not made.totp.enrolled("robin")
    made.totp.confirm("robin", enrolment.device_id, current_totp(uri, made.clock()))
    (device,) = store_of(made).devices("robin")
    assert (device.label, device.digits, device.algorithm, device.period) == ("Old phone", 8, "SHA256", 60)
    made.clock.advance(timedelta(minutes=5))
    made.totp.verify("robin", current_totp(uri, made.clock()))


def test_one_seed_is_taken_once_an_account_or_its_codes_would_be_good_twice() -> None:
    made = services()
    enrolment = made.totp.import_("robin", OTHER, "one")
    made.totp.confirm("robin", enrolment.device_id, current_totp(OTHER, made.clock()))
    assert reason(lambda: made.totp.import_("robin", OTHER, "two")) is Reason.FACTOR_ALREADY_ENROLLED
    made.totp.remove("robin", enrolment.device_id)  # it could come back
    assert reason(lambda: made.totp.import_("robin", OTHER, "two")) is Reason.FACTOR_ALREADY_ENROLLED
    made.totp.import_("kim", OTHER, "kim's")


def test_one_seed_is_confirmed_once_however_it_came_in() -> None:
    made = services()
    first = made.totp.import_("robin", OTHER, "one")
    store = store_of(made)
    (pending,) = store.devices("robin")
    made.totp.confirm("robin", first.device_id, current_totp(OTHER, made.clock()))
    sealed = made._sealer.seal(
        made.totp._open(pending), table="totp_device", column="secret", row="5:robin:beside"
    )
    store.add(replace(pending, id="beside", sealed_secret=sealed))
    made.clock.advance(STEP)
    code = current_totp(OTHER, made.clock())
    assert reason(lambda: made.totp.confirm("robin", "beside", code)) is Reason.FACTOR_ALREADY_ENROLLED


def test_what_cannot_be_imported_leaves_nothing_behind() -> None:
    made = services(max_devices=1)
    with pytest.raises(ImportRefused) as refusal:
        made.totp.import_("robin", "otpauth://hotp/x?secret=A", "x")
    assert refusal.value.problem is ImportProblem.NOT_TOTP
    assert store_of(made).devices("robin") == ()
    made.enrol()
    assert reason(lambda: made.totp.import_("robin", OTHER, "two")) is Reason.FACTOR_LIMIT
    assert otpauth.read(OTHER)[0].name == "robin@example.org"


def test_services_are_built_with_defaults_that_hold() -> None:
    assert (TotpPolicy().cap, TotpPolicy().max_devices) == (100, 5)
    assert Totp.begin.__defaults__ == ("Authenticator app",)
