"""portal.roles: a role that is given or taken is recorded, and with a lost one ends what was opened with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from portalsec.auth.demands import Demand, DemandRule, Facts
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome
from portalsec.testing.portal import memory_stores
from tests.abuse.stores import over_sql
from tests.auth.mailing import PASSWORD, SOURCE, Mailing
from tests.stores.openers import redis_sessions

BOSS = Actor(type="user", id="boss")


class Failing:
    """Assignments of which one verb may fail."""

    def __init__(self, store: Any) -> None:
        self._store, self.failing = store, ""

    def __getattr__(self, verb: str) -> Any:
        if verb == self.failing:
            raise StoreError("down")
        return getattr(self._store, verb)


class Down:
    """A switch that makes the ends of a store fail."""

    is_down = False

    def over(self, store: Any) -> Any:
        switch = self

        class Store:
            def __getattr__(self, verb: str) -> Any:
                return _down if switch.is_down and verb == "end_all" else getattr(store, verb)

        return Store()


def _down(*_: object) -> None:
    raise StoreError("down")


@pytest.fixture
def m() -> Iterator[Mailing]:
    stores = memory_stores()
    with Mailing(stores=replace(stores, assignments=Failing(stores.assignments))) as made:
        yield made


def roles_of(m: Mailing, account: Account) -> set[str]:
    return set(m.portal.stores.assignments.roles_of(account.id))


def test_a_role_is_granted_once_and_recorded(m: Mailing) -> None:
    robin = m.person()
    for _ in range(2):
        m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert roles_of(m, robin) == {"clinician"}
    [event] = m.events.named(Event.ACCESS_ROLE_GRANTED)
    assert (event.actor, event.details, event.changed) == (BOSS, {"role": "clinician"}, ("roles",))
    assert event.resource is not None and event.resource.id == robin.id


@pytest.fixture(params=["memory", "sqlite", "redis"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Where sessions are kept."""
    if request.param == "memory":
        yield memory_stores().sessions
    elif request.param == "sqlite":
        with over_sql(f"sqlite:///{tmp_path / 'security.db'}") as over:
            yield over.backing.sessions
    else:
        with redis_sessions(request.getfixturevalue("redis_url")) as store:
            yield store


@pytest.mark.parametrize("verb", ["grant", "revoke"])
def test_ses_atk_12_no_session_id_stands_through_a_change_of_roles(sessions: Any, verb: str) -> None:
    with Mailing(stores=replace(memory_stores(), sessions=sessions)) as m:
        robin, kim = m.person(), m.person("kim")
        if verb == "revoke":
            m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        mine, beside, other = m.session(), m.session(), m.session("kim")
        pending = m.portal.sessions.epoch(robin.id)
        getattr(m.portal.roles, verb)(robin.id, "clinician", actor=BOSS, source=SOURCE)
        for old in (mine, beside):
            with pytest.raises(Denied) as refusal:
                m.portal.sessions.check(old, source=SOURCE)
            assert refusal.value.reason in (Reason.SESSION_REVOKED, Reason.SESSION_UNKNOWN)
        assert m.portal.sessions.epoch(robin.id) > pending, "nor a sign-in under way"
        assert m.portal.sessions.check(other, source=SOURCE).account_id == kim.id
        assert m.portal.sessions.check(m.session(), source=SOURCE).account_id == robin.id


def test_ses_a_new_role_has_its_rules_asked_of_whoever_was_signed_in_already() -> None:
    admins = DemandRule(demand=Demand(phishing_resistant=True), roles=frozenset({"clinician"}))
    stores = memory_stores()
    policy = SignInPolicy(second_factor="optional", rules=(admins,))
    facts_of = lambda account_id: Facts(roles=frozenset(stores.assignments.roles_of(account_id)))  # noqa: E731
    with Mailing(stores=stores, sign_in=policy, facts_of=facts_of) as m:
        robin = m.person()
        mine = m.session()
        m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.sessions.check(mine, source=SOURCE)
        assert m.portal.sign_in.start("robin", PASSWORD, source=SOURCE).next == ("passkey_enrolment",)


def test_a_grant_ends_nothing_where_it_gives_nothing_or_nobody_ever_signed_in(m: Mailing) -> None:
    robin = m.person()
    epoch = m.portal.sessions.epoch(robin.id)
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert m.portal.sessions.epoch(robin.id) == epoch, "a sign-up that is under way goes on"
    mine = m.session()
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert m.portal.sessions.check(mine, source=SOURCE).account_id == robin.id


def test_a_role_whose_sessions_cannot_be_ended_is_not_given(m: Mailing) -> None:
    robin = m.person()
    m.session()
    flows = m.portal.endings._flows
    for fails_at in (1, 2):
        calls = 0

        def drop(account_id: str, fails_at: int = fails_at) -> object:
            nonlocal calls
            calls += 1
            if calls == fails_at:
                raise StoreError("down")
            return 0

        m.portal.endings._flows = SimpleNamespace(drop_account=drop)  # type: ignore[assignment]
        with pytest.raises(StoreError):
            m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        assert roles_of(m, robin) == set()
    m.portal.endings._flows = flows
    outcomes = [event.outcome for event in m.events.named(Event.ACCESS_ROLE_GRANTED)]
    # What failed before there was a role needs no taking back; what was taken back is recorded as that.
    assert outcomes == [Outcome.SUCCESS, Outcome.SUCCESS, Outcome.ERROR]
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert roles_of(m, robin) == {"clinician"}


def test_a_grant_that_could_neither_be_finished_nor_taken_back_is_finished_by_its_repetition() -> None:
    stores, down, mine = memory_stores(), Down(), []
    assignments = Failing(stores.assignments)
    whole = replace(stores, assignments=assignments, sessions=down.over(stores.sessions))
    with Mailing(stores=whole) as m:
        robin = m.person()
        m.session()

        def assign(account_id: str, role: str) -> object:
            mine.append(m.session())  # the door lets somebody in meanwhile, by the roles of before
            stores.assignments.assign(account_id, role)
            down.is_down, assignments.failing = True, "revoke"
            return True

        assignments.assign = assign  # type: ignore[attr-defined]
        with pytest.raises(StoreError):
            m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        down.is_down = False
        assert roles_of(m, robin) == {"clinician"}
        assert m.portal.sessions.check(mine[0], source=SOURCE).account_id == robin.id
        m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        with pytest.raises(Denied):
            m.portal.sessions.check(mine[0], source=SOURCE)
        again = m.session()
        m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
        assert m.portal.sessions.check(again, source=SOURCE).account_id == robin.id, "finished is finished"


@pytest.mark.parametrize("before", [False, True])
def test_ses_a_sign_in_that_a_grant_overtakes_opens_nothing_not_even_an_accounts_first(before: bool) -> None:
    admins = DemandRule(demand=Demand(phishing_resistant=True), roles=frozenset({"clinician"}))
    stores, granting = memory_stores(), []
    facts_of = lambda account_id: Facts(roles=frozenset(stores.assignments.roles_of(account_id)))  # noqa: E731

    class Overtaken:
        def __getattr__(self, verb: str) -> Any:
            return getattr(stores.sessions, verb)

        def create(self, record: Any, **kwargs: Any) -> Any:
            if granting:
                granting.clear()
                m.portal.roles.grant(record.account_id, "clinician", actor=BOSS, source=SOURCE)
            return stores.sessions.create(record, **kwargs)

    policy = SignInPolicy(second_factor="optional", rules=(admins,))
    whole = replace(stores, sessions=Overtaken())
    with Mailing(stores=whole, sign_in=policy, facts_of=facts_of) as m:
        robin = m.person()
        if before:
            m.session()
        granting.append(True)
        with pytest.raises(Denied):
            m.session()
        assert roles_of(m, robin) == {"clinician"}
        assert not m.portal.sessions.of_account(robin.id)


def test_ses_a_lost_role_ends_what_was_opened_with_it(m: Mailing) -> None:
    robin, kim = m.person(), m.person("kim")
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    mine, other = m.session(), m.session("kim")
    m.portal.roles.revoke(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert roles_of(m, robin) == set()
    with pytest.raises(Denied):
        m.portal.sessions.check(mine, source=SOURCE)
    assert m.portal.sessions.check(other, source=SOURCE).account_id == kim.id
    [event] = m.events.named(Event.ACCESS_ROLE_REVOKED)
    assert (event.actor, event.details, event.changed) == (BOSS, {"role": "clinician"}, ("roles",))
    [ended] = m.events.named(Event.AUTH_SESSION_REVOKED)
    assert ended.details["why"] == "role_lost"


def test_revoking_is_repeated_after_a_failure(m: Mailing) -> None:
    robin = m.person()
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    mine = m.session()
    m.emit_failing = StoreError("the log is full")
    with pytest.raises(StoreError):
        m.portal.roles.revoke(robin.id, "clinician", actor=BOSS, source=SOURCE)
    m.emit_failing = None
    assert roles_of(m, robin) == set(), "the power is gone, whatever failed"
    m.portal.roles.revoke(robin.id, "clinician", actor=BOSS, source=SOURCE)
    with pytest.raises(Denied):
        m.portal.sessions.check(mine, source=SOURCE)
    assert m.events.named(Event.ACCESS_ROLE_REVOKED)[-1].changed == ()


def test_a_role_that_was_taken_is_recorded_also_where_what_it_ends_does_not_end(m: Mailing) -> None:
    robin = m.person()
    m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    m.portal.endings._flows = SimpleNamespace(drop_account=_down)  # type: ignore[assignment]
    with pytest.raises(StoreError):
        m.portal.roles.revoke(robin.id, "clinician", actor=BOSS, source=SOURCE)
    [event] = m.events.named(Event.ACCESS_ROLE_REVOKED)
    assert (event.actor, event.changed) == (BOSS, ("roles",))


def test_a_role_that_cannot_be_recorded_is_not_granted(m: Mailing) -> None:
    robin = m.person()
    m.emit_failing = StoreError("the log is full")
    with pytest.raises(StoreError):
        m.portal.roles.grant(robin.id, "clinician", actor=BOSS, source=SOURCE)
    assert roles_of(m, robin) == set()


def test_unknown_roles_and_accounts_are_refused(m: Mailing) -> None:
    robin = m.person()
    with pytest.raises(ConfigurationError, match="no role 'clinican': the access policy has clinician"):
        m.portal.roles.grant(robin.id, "clinican", actor=BOSS, source=SOURCE)
    for verb in (m.portal.roles.grant, m.portal.roles.revoke):
        with pytest.raises(Denied) as refusal:
            verb("nobody", "clinician", actor=BOSS, source=SOURCE)
        assert refusal.value.reason is Reason.UNKNOWN_ACCOUNT
    m.portal.roles.revoke(robin.id, "a role of last year", actor=BOSS, source=SOURCE)
