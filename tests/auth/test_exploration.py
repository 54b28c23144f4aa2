"""`SignIn` in a small world: no path to a session that lacks what is asked, none on another's evidence, none without an
end. A bounded part of what `make soak` goes through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from portalsec.auth import (
    _enrolment,
    _pending_flows,
    _standing,
    assurance,
    demands,
    impersonation,
    links,
    sessions,
    sign_in_link,
    signin_policy,
)
from portalsec.auth.demands import Demand, Enrolled, Facts, Next
from portalsec.auth.endings import Endings
from portalsec.auth.links import LinkPurpose
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession, Sessions
from portalsec.auth.sign_in_link import SignInLinks
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUp
from portalsec.auth.trust import Trust
from portalsec.stores.memory import MemoryFlows, MemorySessions
from tests.auth import exploration_models, exploration_world
from tests.auth.exploration import POLICIES, WORLDS, Hole, explore, merged, wander
from tests.auth.exploration_key import Fingerprint


@pytest.mark.parametrize(("policy", "start"), WORLDS)
def test_no_path_leads_past_the_policy(policy: str, start: str) -> None:
    found = explore(policy, start, depth=2)
    assert found.transitions > 300
    assert found.states > 100
    assert found.sessions or start == "bare" or policy == "hardware", "or nothing was shown"
    wander(policy, start, seed=1, steps=250)


@pytest.mark.parametrize("policy", POLICIES)
def test_an_account_without_factors_comes_in_and_none_leads_past_the_policy(policy: str) -> None:
    assert explore(policy, "bare", depth=2, after=("0: password of robin",)).sessions


@pytest.mark.parametrize(
    "after",
    [
        ("0: password of robin", "0: pending: code of robin"),
        (
            "0: password of kim",
            "0: pending: begin passkey",
            "0: pending: passkey of kim, verified: False",
        ),
    ],
    ids=["a code", "a key that verifies nobody"],
)
def test_where_the_password_opens_nothing_there_is_a_way_on_for_who_has_no_more(
    after: tuple[str, ...],
) -> None:
    assert explore("wordless", "factors", depth=2, after=after).sessions


@pytest.mark.parametrize(
    ("policy", "start", "every"),
    [
        ("trusting", "factors", 23),
        ("mailed", "bare", 23),
        ("linked", "factors", 40),
        ("support", "session", 41),
        ("hardware", "bare", 23),
        ("labels", "factors", 41),
        ("unmailed", "bare", 23),
    ],
)
def test_from_states_that_count_as_one_the_same_can_happen(policy: str, start: str, every: int) -> None:
    assert merged(policy, start, depth=2, every=every) > 10


def test_states_that_were_mistaken_for_one_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Fingerprint, "_pending", lambda self, world, token, asked: bool(token and world.flow(token))
    )
    with pytest.raises(Hole, match="count as one, and are not"):
        merged("required", "factors", depth=2, every=1)


# -- the exploration itself: each of these holes is found ------------------------------------------------------------


def second_forgotten(real: Callable[..., Next]) -> Callable[..., Next]:
    """The highest level is computed without one kind of credential (CVE-2024-45042)."""

    def missing(proofs: Any, enrolled: Enrolled, demand: Any, **kwargs: Any) -> Next:
        blind = Enrolled(usable=enrolled.usable, second=False, enrolable=enrolled.enrolable)
        return real(proofs, blind, demand, **kwargs)

    return missing


def anything_is_enough(real: Callable[..., Next]) -> Callable[..., Next]:
    return lambda proofs, *args, **kwargs: Next(done=bool(proofs))


def no_change(real: Callable[..., str | None]) -> Callable[..., str | None]:
    return lambda self, account: None


def never_left(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    return lambda self, pending: []


def never_asked(real: Callable[..., None]) -> Callable[..., None]:
    """A factor may be set up whenever somebody asks (beside the owner's)."""
    return lambda self, account, state, factor, source: None


def always_kim(real: Callable[..., Account]) -> Callable[..., Account]:
    """A pending sign-in is taken for another person's."""
    return lambda self, flow, state, source: self._kit.accounts.get("kim")


def any_browser(real: Callable[..., bool]) -> Callable[..., bool]:
    """Whatever browser is known is trusted."""
    return lambda self, account, known, now: known is not None


def any_proof(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """What was shown on the way in, hours ago, is a step-up."""
    return lambda self, session, within, explicit: list(session.record.proofs)


def still_there(real: Callable[..., bool]) -> Callable[..., bool]:
    """A passkey that was removed since goes on counting."""
    return lambda self, account, proofs: True


def two_ids(real: Callable[..., Any]) -> Callable[..., Any]:
    """A session that goes on keeps the id that it had."""

    def replaced(self: Any, old: bytes, record: Any) -> bool:
        kept, done = self._sessions[old], real(self, old, record)
        self._sessions[old] = kept
        return bool(done)

    return replaced


def as_ever(real: Callable[..., bool]) -> Callable[..., bool]:
    """A password that was changed past the portal goes on counting."""
    return lambda self, account, password: True


def nothing_ends(real: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, account_id, why, **kwargs: None


def nobody_special(real: Callable[..., Facts]) -> Callable[..., Facts]:
    """Who has a role is asked for no more than others."""
    return lambda self, account_id: Facts()


def asked_by_anybody(real: Callable[..., Any]) -> Callable[..., Any]:
    """A mailed link works in any browser that waits for one."""
    return lambda self, pending, token: self._links.mailed(token, LinkPurpose.SIGN_IN)


def as_a_password(real: Callable[..., Any]) -> Callable[..., Any]:
    """A mailed link counts as something known."""
    return lambda proof, account_id, **kwargs: real(
        replace(proof, factor=Factor.PASSWORD), account_id, **kwargs
    )


def always(real: Callable[..., Any]) -> Callable[..., bool]:
    """Whatever is asked, it is so."""
    return lambda *args, **kwargs: True


def any_passkey(real: Callable[..., bool]) -> Callable[..., bool]:
    """One that syncs counts as hardware."""
    return lambda proof: proof.factor is Factor.PASSKEY


def once_more(real: Callable[..., Any]) -> Callable[..., Any]:
    """An invitation is not used up."""

    def consume(self: Any, key: bytes, purpose: str, **kwargs: Any) -> Any:
        flow = real(self, key, purpose, **kwargs)
        if flow is not None and purpose == "invitation":
            self.put(flow)
        return flow

    return consume


def by_anybody(real: Callable[..., Any]) -> Callable[..., Any]:
    """Whoever is signed in is the owner."""
    return lambda self: None


def the_later(real: Callable[..., Any]) -> Callable[..., Any]:
    """Of two limits the longer one counts; none is the longest."""
    return lambda *limits: None if None in limits else max(limits)


def an_hour(real: dict[str, SignInPolicy]) -> dict[str, SignInPolicy]:
    """What was shown long ago counts."""
    return {name: replace(policy, pending_lifetime=timedelta(hours=1)) for name, policy in real.items()}


def unlabelled(real: Callable[..., frozenset[str]]) -> Callable[..., frozenset[str]]:
    """Nobody hears what the application says of an attempt."""
    return lambda risk_of, attempt: frozenset()


def no_other(real: Callable[..., Demand]) -> Callable[..., Demand]:
    """What is asked because of this very sign-in is asked of the person anywhere."""
    return lambda self, facts, now: self.demand(facts, now)


def unasked(real: Callable[..., None]) -> Callable[..., None]:
    """A step-up looks at the factor and not at where it comes from."""
    return lambda self, session, proofs, source: None


def undying(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """An authenticator that was guessed to death is shown as one that works."""
    return lambda self, account_id: [replace_dead(each) for each in real(self, account_id)]


def replace_dead(shown: Any) -> Any:
    return SimpleNamespace(**(vars(shown) | {"dead": False}))


def every_kind(real: Callable[..., Demand]) -> Callable[..., Demand]:
    """What a rule leaves out counts all the same."""
    return lambda demands: replace(real(demands), allowed=None)


def all_of_them(real: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """What was shown when it counted is one of two factors ever after."""
    return lambda proofs, allowed: list(proofs)


PASSWORD = ("0: password of robin",)
CHANGE = ("require change robin", *PASSWORD)
ABROAD = ("robin is abroad: True",)
TRUSTED = ("0: password of robin, trust this browser", "0: pending: code of robin")
GUESSED = ("the authenticator of robin is guessed to death",)
MAILED = (
    "robin gets an authenticator",
    *GUESSED,
    *CHANGE,
    "0: pending: mail a code",
    "0: pending: code 1, mailed to robin",
    "robin is staff: True",
)
LINK = ("0: asks for a link, as robin",)
WEAK = ("kim gets an authenticator", "1: password of kim", "1: pending: code of kim", "robin is staff: True")


@pytest.mark.parametrize(
    ("place", "name", "broken", "policy", "start", "after"),
    [
        (_standing, "missing", second_forgotten, "optional", "factors", ()),
        (_standing, "missing", anything_is_enough, "required", "bare", ()),
        (_standing.Standing, "must_change", no_change, "optional", "bare", ()),
        (_standing.Standing, "facts", nobody_special, "roles", "bare", ()),
        (_pending_flows.PendingSignIns, "abort", never_left, "required", "bare", ()),
        (_pending_flows.PendingSignIns, "still", as_ever, "required", "factors", PASSWORD),
        (_pending_flows.PendingSignIns, "holder", always_kim, "optional", "bare", CHANGE),
        (_enrolment.Enrolling, "_due", never_asked, "required", "bare", PASSWORD),
        (exploration_world, "POLICIES", an_hour, "required", "factors", PASSWORD),
        (Endings, "apply", nothing_ends, "required", "factors", PASSWORD),
        (Trust, "holds", any_browser, "trusting", "factors", ()),
        (StepUp, "_fresh", any_proof, "required", "session", ()),
        (_standing.Standing, "still_there", still_there, "required", "session", ("eleven minutes pass",)),
        (MemorySessions, "replace", two_ids, "required", "session", ()),
        (SignInLinks, "_good", asked_by_anybody, "linked", "bare", LINK),
        (sign_in_link, "mint", as_a_password, "linked", "factors", LINK),
        (links, "is_password", always, "linked", "bare", LINK),
        (MemoryFlows, "consume", once_more, "invited", "bare", ()),
        (Sessions, "_stands", always, "support", "session", ("0: acts as robin",)),
        (sessions, "_shorter", the_later, "support", "session", ("0: acts as robin",)),
        (impersonation, "meets", always, "support", "session", WEAK),
        (ActiveSession, "require_owner", by_anybody, "support", "session", ("0: acts as robin",)),
        (assurance, "_hardware", any_passkey, "hardware", "factors", ()),
        (_standing, "labels_of", unlabelled, "labels", "bare", ()),
        (SignInPolicy, "usual", no_other, "labels", "bare", ABROAD),
        (_standing, "meets", always, "labels", "factors", (*TRUSTED, *ABROAD)),
        (exploration_models.Totp, "devices", undying, "labels", "factors", (*TRUSTED, *GUESSED)),
        (StepUp, "_refuse_less_than_here", unasked, "labels", "bare", (*PASSWORD, *ABROAD)),
        (signin_policy, "strictest", every_kind, "unmailed", "bare", ("robin is staff: True",)),
        (demands, "_counting", all_of_them, "unmailed", "bare", MAILED),
    ],
)
def test_a_hole_is_found(
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    broken: Callable[..., Any],
    policy: str,
    start: str,
    after: tuple[str, ...],
) -> None:
    monkeypatch.setattr(place, name, broken(getattr(place, name)))
    with pytest.raises(Hole, match="after:"):
        explore(policy, start, depth=3, after=after)
