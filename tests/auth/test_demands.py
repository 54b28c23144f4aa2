"""What is asked, whether it is met, and what leads on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.assurance import count
from portalsec.auth.demands import Demand, DemandRule, Enrolled, Facts, Next, meets, missing, strictest
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import ConfigurationError

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
F = Factor
PASSWORD = Proof(factor=F.PASSWORD, at=NOW)
TOTP = Proof(factor=F.TOTP, at=NOW)
KEY = Proof(factor=F.PASSKEY, at=NOW)
VERIFIED = Proof(factor=F.PASSKEY, at=NOW, user_verified=True)
CODE = Proof(factor=F.RECOVERY_CODE, at=NOW)
MAILED = Proof(factor=F.EMAIL_CODE, at=NOW)
TWO = Demand(second=True)
RESISTANT = Demand(second=True, phishing_resistant=True)
UNMAILED = Demand(second=True, allowed=frozenset(F) - {F.EMAIL_CODE})


def has(*factors: Factor, second: bool | None = None, **kwargs: Any) -> Enrolled:
    own = {F.TOTP, F.PASSKEY, F.RECOVERY_CODE} & set(factors)
    return Enrolled(usable=frozenset(factors), second=bool(own) if second is None else second, **kwargs)


def show(*factors: Factor) -> Next:
    return Next(show=frozenset(factors))


def enrol(*factors: Factor) -> Next:
    return Next(enrol=frozenset(factors))


DONE, STUCK = Next(done=True), Next()


@pytest.mark.parametrize(
    ("proofs", "enrolled", "demand", "expected"),
    [
        ((PASSWORD,), has(F.PASSWORD), Demand(), DONE),
        ((), has(F.PASSWORD), Demand(), show(F.PASSWORD)),
        ((PASSWORD,), has(F.PASSWORD), TWO, enrol(F.TOTP, F.PASSKEY)),
        ((PASSWORD,), has(F.PASSWORD, F.TOTP), TWO, show(F.TOTP)),
        # Whoever has a second factor is asked for it, whichever kind it is and whatever the policy says.
        ((PASSWORD,), has(F.PASSWORD, F.TOTP), Demand(), show(F.TOTP)),
        ((PASSWORD,), has(F.PASSWORD, F.PASSKEY), Demand(), show(F.PASSKEY)),
        (
            (PASSWORD,),
            has(F.PASSWORD, F.TOTP, F.PASSKEY, F.RECOVERY_CODE),
            TWO,
            show(F.TOTP, F.PASSKEY, F.RECOVERY_CODE),
        ),
        # One that was disabled is no way in, and does not turn into none at all.
        ((PASSWORD,), has(F.PASSWORD, second=True), Demand(), STUCK),
        ((PASSWORD,), has(F.PASSWORD, F.RECOVERY_CODE, second=True), TWO, show(F.RECOVERY_CODE)),
        ((VERIFIED,), has(F.PASSKEY, F.PASSWORD), TWO, DONE),
        ((KEY,), has(F.PASSKEY, F.PASSWORD), TWO, show(F.PASSWORD)),
        ((PASSWORD, TOTP), has(F.PASSWORD, F.TOTP), TWO, DONE),
        # A stronger kind beside what is there: first what is there, then the new one.
        ((PASSWORD,), has(F.PASSWORD, F.TOTP), RESISTANT, show(F.TOTP)),
        ((PASSWORD, TOTP), has(F.PASSWORD, F.TOTP), RESISTANT, enrol(F.PASSKEY)),
        ((PASSWORD, CODE), has(F.PASSWORD, F.RECOVERY_CODE), RESISTANT, enrol(F.PASSKEY)),
        ((PASSWORD,), has(F.PASSWORD), RESISTANT, enrol(F.PASSKEY)),
        ((PASSWORD,), has(F.PASSWORD, F.TOTP, F.PASSKEY), RESISTANT, show(F.PASSKEY)),
        # A passkey that is not what level 3 asks for is no dead end for its owner.
        ((VERIFIED,), has(F.PASSKEY), Demand(level=3), enrol(F.PASSKEY)),
        # Nothing may be set up before anything was shown.
        ((), has(), TWO, STUCK),
        ((PASSWORD,), has(F.PASSWORD, enrolable=frozenset()), TWO, STUCK),
        # A mailed code leads on where the policy allows it, and not to level 2.
        ((PASSWORD,), has(F.PASSWORD, F.EMAIL_CODE), TWO, show(F.EMAIL_CODE)),
        ((PASSWORD,), has(F.PASSWORD, F.EMAIL_CODE), Demand(level=2), show(F.EMAIL_CODE)),
        ((PASSWORD, MAILED), has(F.PASSWORD, F.EMAIL_CODE), Demand(level=2), enrol(F.TOTP, F.PASSKEY)),
        ((PASSWORD,), has(F.PASSWORD, F.EMAIL_CODE), RESISTANT, show(F.EMAIL_CODE)),
        ((PASSWORD, MAILED), has(F.PASSWORD, F.EMAIL_CODE), RESISTANT, enrol(F.PASSKEY)),
        (
            (Proof(factor=F.PASSWORD, at=NOW, through=F.EMAIL_CODE),),
            has(F.PASSWORD, F.EMAIL_CODE),
            TWO,
            enrol(F.TOTP, F.PASSKEY),
        ),
        (
            (PASSWORD,),
            has(F.PASSWORD, F.TOTP),
            Demand(factors=(frozenset({F.PASSKEY, F.TOTP}),)),
            show(F.TOTP),
        ),
        (
            (PASSWORD, TOTP),
            has(F.PASSWORD, F.TOTP, F.PASSKEY),
            Demand(factors=(frozenset({F.PASSKEY}),)),
            show(F.PASSKEY),
        ),
        # What does not count for this person is none of two factors beside which a third may be set up.
        ((PASSWORD, MAILED), has(F.PASSWORD, F.EMAIL_CODE, second=True), UNMAILED, STUCK),
        ((PASSWORD, MAILED), has(F.PASSWORD, F.EMAIL_CODE, F.TOTP), UNMAILED, show(F.TOTP)),
        ((PASSWORD, MAILED), has(F.PASSWORD, F.EMAIL_CODE), UNMAILED, enrol(F.TOTP, F.PASSKEY)),
        # A kind that does not count is not asked for, and proves nothing where it was shown.
        ((PASSWORD,), has(F.PASSWORD, F.PASSKEY), Demand(allowed=frozenset({F.PASSKEY})), show(F.PASSKEY)),
    ],
)
def test_what_leads_on(proofs: tuple[Proof, ...], enrolled: Enrolled, demand: Demand, expected: Next) -> None:
    assert missing(proofs, enrolled, demand) == expected


def test_grace_is_for_those_who_have_nothing_to_show() -> None:
    assert missing([PASSWORD], has(F.PASSWORD), RESISTANT, grace=True) == Next(done=True, grace=True)
    assert missing([PASSWORD], has(F.PASSWORD, F.TOTP), RESISTANT, grace=True) == show(F.TOTP)
    assert missing([PASSWORD, TOTP], has(F.PASSWORD, F.TOTP), RESISTANT, grace=True) == Next(
        done=True, grace=True
    )
    assert missing([PASSWORD], has(F.PASSWORD, second=True), TWO, grace=True) == STUCK
    assert missing([], has(), TWO, grace=True) == STUCK


FACTORS = st.frozensets(st.sampled_from(list(Factor)))
PROOFS = st.lists(
    st.builds(
        Proof,
        factor=st.sampled_from(list(Factor)),
        at=st.just(NOW),
        user_verified=st.booleans(),
        device_bound=st.booleans(),
        attested=st.booleans(),
    ),
    max_size=4,
)
DEMANDS = st.builds(
    Demand,
    level=st.integers(0, 3),
    second=st.booleans(),
    phishing_resistant=st.booleans(),
    factors=st.lists(FACTORS.filter(bool), max_size=2).map(tuple),
    allowed=st.none() | FACTORS.filter(bool),
)
ENROLLED = st.builds(Enrolled, usable=FACTORS, second=st.booleans())


@given(PROOFS, ENROLLED, DEMANDS, st.booleans())
def test_done_is_never_said_of_less_than_is_asked(
    proofs: list[Proof], enrolled: Enrolled, demand: Demand, grace: bool
) -> None:
    told = missing(proofs, enrolled, demand, grace=grace)
    assert (told.done, bool(told.show), bool(told.enrol)).count(True) <= 1
    if told.done and not told.grace:
        assert meets(proofs, demand)
    if told.done and enrolled.second:
        assert count(proofs) == 2
    if told.grace:
        assert grace
        assert proofs
    assert told.show <= enrolled.usable
    assert not told.show & {proof.factor for proof in proofs}
    if told.enrol and enrolled.second:
        assert count(proofs) == 2  # a password alone adds no factor beside one that is there
    if told.enrol:
        assert proofs
        # Nor does it where anything could be shown beside it.
        shown, two = {proof.factor for proof in proofs}, Demand(second=True, allowed=demand.allowed)
        for factor in enrolled.usable - shown:
            if demand.allowed is None or factor in demand.allowed:
                more = Proof(factor=factor, at=NOW, user_verified=factor is F.PASSKEY)
                assert count(proofs) == 2 or not meets([*proofs, more], two)


@given(PROOFS, DEMANDS, DEMANDS)
def test_the_strictest_asks_all_that_each_asks(proofs: list[Proof], one: Demand, other: Demand) -> None:
    try:
        both = strictest([one, other])
    except ConfigurationError:
        assert one.allowed is not None
        assert not one.allowed & (other.allowed or frozenset())
        return
    if meets(proofs, both):
        assert meets(proofs, one)
        assert meets(proofs, other)


@given(PROOFS, PROOFS, DEMANDS)
def test_a_proof_more_never_makes_it_less(proofs: list[Proof], more: list[Proof], demand: Demand) -> None:
    assert meets(proofs + more, demand) >= meets(proofs, demand)


def test_rules() -> None:
    rule = DemandRule(demand=TWO, roles=frozenset({"doctor"}), risk=1, since=NOW)
    doctor = Facts(roles=frozenset({"doctor", "admin"}), risk=2)
    assert rule.applies(doctor, NOW)
    assert not rule.applies(doctor, NOW - timedelta(seconds=1))
    assert not rule.applies(Facts(roles=frozenset({"nurse"}), risk=2), NOW)
    assert not rule.applies(Facts(roles=frozenset({"doctor"})), NOW)
    assert DemandRule(demand=TWO).applies(Facts(), NOW)
    for name in ("tenants", "permissions"):
        narrowed = DemandRule(demand=TWO, **{name: frozenset({"a"})})  # type: ignore[arg-type]
        assert not narrowed.applies(Facts(), NOW)
        assert narrowed.applies(Facts(**{name: frozenset({"a", "b"})}), NOW)  # type: ignore[arg-type]


def test_a_rule_that_cannot_be_meant_is_refused() -> None:
    for build in (
        lambda: Demand(level=4),
        lambda: Demand(factors=(frozenset(),)),
        lambda: Demand(allowed=frozenset()),
        lambda: DemandRule(demand=TWO, roles="doctor"),  # type: ignore[arg-type]
        lambda: DemandRule(demand="required"),  # type: ignore[arg-type]
        lambda: DemandRule(demand=TWO, since=datetime(2026, 3, 2)),
    ):
        with pytest.raises(ConfigurationError):
            build()
    with pytest.raises(ConfigurationError, match="no factor in common"):
        strictest([Demand(allowed=frozenset({F.TOTP})), Demand(allowed=frozenset({F.PASSKEY}))])
