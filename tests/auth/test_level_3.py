"""Level 3 in a whole portal: refused at start where no make can be proven, and within reach where one can."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.impersonation import ImpersonationPolicy
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import ConfigurationError
from portalsec.portal import Stores
from portalsec.testing import SoftAuthenticator
from portalsec.testing.attestation import SoftMaker
from tests.abuse.doors import stores
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE

__all__ = ["stores"]

ORIGIN = "https://portal.example"
WITHIN = timedelta(minutes=5)
HARDWARE = SignInPolicy(second_factor="optional", rules=(DemandRule(demand=Demand(level=3)),))
ASKED = FactorDemand.of("passkey", within=WITHIN, level=3)


def passkeys(*roots: bytes) -> PasskeyPolicy:
    return PasskeyPolicy(
        rp_id="portal.example", origins=(ORIGIN,), attestation=AttestationPolicy(roots=roots)
    )


@pytest.mark.parametrize(
    "policy",
    [None, PasskeyPolicy.for_page(ORIGIN), passkeys()],
    ids=["usual", "nothing said of makes", "no root"],
)
def test_a_portal_in_which_nobody_could_meet_level_3_does_not_start(policy: PasskeyPolicy | None) -> None:
    with pytest.raises(
        ConfigurationError, match=r"\[sign_in\] rules: level 3 .*\[passkeys\] roots or metadata"
    ):
        Factoring(sign_in=HARDWARE, passkeys=policy)


def test_nor_does_one_whose_support_could_never_act() -> None:
    with pytest.raises(ConfigurationError, match=r"ImpersonationPolicy: min_level: level 3 .*attestation"):
        Factoring(impersonation=ImpersonationPolicy(min_level=3))
    maker = SoftMaker("packed")
    with Factoring(impersonation=ImpersonationPolicy(min_level=3), passkeys=passkeys(maker.root)) as m:
        assert m.portal.policies.impersonation.min_level == 3


def test_rules_of_less_start(stores: Stores) -> None:
    less = SignInPolicy(rules=(DemandRule(demand=Demand(level=2, phishing_resistant=True)),))
    with Factoring(stores=stores, sign_in=less) as m:
        assert m.portal.policies.sign_in is less


def test_where_makes_are_proven_a_new_passkey_leads_to_it_at_the_door_and_since(stores: Stores) -> None:
    maker = SoftMaker("packed")
    with Factoring(stores=stores, sign_in=HARDWARE, passkeys=passkeys(maker.root), gated=False) as m:
        m.person()
        step = m.portal.sign_in.start("robin", PASSWORD, source=SOURCE)
        assert step.next == ("passkey_enrolment",) and step.pending is not None
        pending = step.pending.reveal()
        key = SoftAuthenticator(attestation=maker)
        options = m.portal.sign_in.begin_passkey_enrolment(pending, source=SOURCE)
        made = key.create(options.json, origin=ORIGIN)
        step = m.portal.sign_in.confirm_passkey_enrolment(pending, made, "key", source=SOURCE)
        assert step.session is not None
        active = m.active(step.session)
        assert active.record.level == 3
        m.clock.advance(WITHIN)
        with pytest.raises(StepUpRequired) as short:
            m.portal.step_up.ask(active, ASKED)
        assert short.value.next == ("passkey",)


def test_a_step_up_that_nobody_could_meet_says_so_and_offers_nothing(stores: Stores) -> None:
    with Factoring(stores=stores, gated=False) as m:
        robin = m.person()
        m.enrolled_with(robin)
        m.clock.advance(timedelta(minutes=1))
        held = m.active(m.open())
        for ask in (
            lambda: m.portal.step_up.ask(held, ASKED),
            lambda: m.portal.step_up.require(held, within=WITHIN, level=3),
            lambda: m.portal.step_up.require_reachable(ASKED),
        ):
            with pytest.raises(ConfigurationError, match=r"require_factor: level 3 .*\[passkeys\] roots"):
                ask()
        m.portal.step_up.require_reachable(FactorDemand.of("passkey", within=WITHIN, level=2))
