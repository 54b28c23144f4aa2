from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.demands import Demand, DemandRule, Facts, meets
from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.signin_policy import SignInPolicy
from portalsec.errors import ConfigurationError
from portalsec.testing import FrozenClock

NOW = FrozenClock()()
SOUND = DevicePosture(
    at=NOW,
    platform="ios",
    os_version="17.4",
    app_version="3.2",
    attested=True,
    rooted=False,
    screen_lock=True,
)


@pytest.mark.parametrize(
    ("rule", "worse"),
    [
        ({"rooted": True}, {"rooted": True}),
        ({"unattested": True}, {"attested": False}),
        ({"unlocked": True}, {"screen_lock": False}),
        ({"app_below": "3.2"}, {"app_version": "3.1.9"}),
        ({"os_below": "17"}, {"os_version": "16.9"}),
    ],
    ids=["rooted", "unattested", "unlocked", "app", "os"],
)
def test_a_rule_is_about_the_worse_answer_and_about_none(rule: dict[str, Any], worse: dict[str, Any]) -> None:
    made = DeviceRule(**rule)
    assert not made.applies(SOUND)
    assert made.applies(replace(SOUND, **worse))
    assert made.applies(replace(SOUND, **dict.fromkeys(worse)))  # what is not told
    assert not made.applies(None)  # of a browser nothing is told, and nothing is named
    elsewhere = replace(made, platforms=frozenset({"android"}))
    assert not elsewhere.applies(replace(SOUND, **worse))
    assert elsewhere.applies(replace(SOUND, platform="Android", **worse))


def test_a_version_that_is_no_number_is_too_old() -> None:
    assert DeviceRule(app_below="1").applies(replace(SOUND, app_version="beta"))


def test_platforms_alone_and_nothing_told() -> None:
    assert DeviceRule(platforms=frozenset({"ios"})).applies(SOUND)
    assert not DeviceRule(platforms=frozenset({"ios"})).applies(None)
    assert DeviceRule(untold=True).applies(None)
    assert not DeviceRule(untold=True).applies(SOUND)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"rooted": 1},
        {"platforms": "ios"},
        {"platforms": frozenset({"iOS"})},
        {"platforms": frozenset({""})},
        {"app_below": "new"},
        {"os_below": "0"},
        {"os_below": 17},
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="DeviceRule"):
        DeviceRule(**wrong)
    with pytest.raises(ConfigurationError, match="device is a DeviceRule"):
        DemandRule(demand=Demand(level=2), device="rooted")  # type: ignore[arg-type]


MAYBE = st.sampled_from([None, True, False])
VERSIONS = st.sampled_from([None, "1", "3.1", "3.2", "17", "x"])
POSTURES = st.builds(
    DevicePosture,
    at=st.just(NOW),
    platform=st.sampled_from(["ios", "android"]),
    os_version=VERSIONS,
    app_version=VERSIONS,
    attested=MAYBE,
    rooted=MAYBE,
    screen_lock=MAYBE,
)
NAMED = st.sampled_from(
    [
        None,
        DeviceRule(rooted=True),
        DeviceRule(unattested=True, unlocked=True),
        DeviceRule(app_below="3.2", platforms=frozenset({"android"})),
        DeviceRule(os_below="17"),
        DeviceRule(platforms=frozenset({"ios"})),
    ]
)
DEMANDS = st.builds(
    Demand,
    level=st.integers(0, 3),
    second=st.booleans(),
    phishing_resistant=st.booleans(),
    factors=st.sampled_from([(), (frozenset({Factor.TOTP}),)]),
    allowed=st.sampled_from([None, frozenset({Factor.PASSWORD, Factor.PASSKEY})]),
)
LABELS = st.frozensets(st.sampled_from(["abroad", "new"]))
RULES = st.lists(
    st.builds(
        DemandRule,
        demand=DEMANDS,
        device=NAMED,
        labels=LABELS,
        roles=st.sampled_from([frozenset(), frozenset({"admin"})]),
    ),
    max_size=4,
)
EVERY_PROOF = [
    [Proof(factor=factor, at=NOW, user_verified=verified, device_bound=verified) for factor in factors]
    for factors in (
        (),
        (Factor.PASSWORD,),
        (Factor.PASSWORD, Factor.TOTP),
        (Factor.PASSKEY,),
        (Factor.PASSWORD, Factor.PASSKEY),
    )
    for verified in (False, True)
]


@given(RULES, POSTURES, LABELS, st.sampled_from([frozenset(), frozenset({"admin"})]))
def test_what_an_app_says_and_what_a_sign_in_is_called_never_make_it_ask_for_less(
    rules: list[DemandRule], posture: DevicePosture, labels: frozenset[str], roles: frozenset[str]
) -> None:
    policy = SignInPolicy(second_factor="optional", rules=tuple(rules))
    bare = Facts(roles=roles)
    without = policy.demand(bare, NOW)
    for told in (
        replace(bare, posture=posture),
        replace(bare, labels=labels),
        replace(bare, posture=posture, labels=labels),
    ):
        more, usual, here = (ask(told, NOW) for ask in (policy.demand, policy.usual, policy.of_attempt))
        for proofs in EVERY_PROOF:
            assert meets(proofs, more) <= meets(proofs, without)
            assert meets(proofs, without) <= meets(proofs, usual)
            assert meets(proofs, more) <= meets(proofs, here)


def test_a_rule_about_nothing_told_asks_of_those_and_of_no_others() -> None:
    asks = DemandRule(demand=Demand(second=True), device=DeviceRule(untold=True))
    policy = SignInPolicy(second_factor="optional", rules=(asks,))
    for posture, second in product((None, SOUND), (True, False)):
        told = Facts(posture=posture)
        if second is (posture is None):
            assert policy.demand(told, NOW).second is second
        assert not policy.usual(told, NOW).second
