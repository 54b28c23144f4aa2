"""portal.roles: a role that is given or taken is recorded, and with a lost one ends what was opened with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from portalsec.auth.ports import Account
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event
from portalsec.testing.portal import memory_stores
from tests.auth.mailing import SOURCE, Mailing

BOSS = Actor(type="user", id="boss")


class Failing:
    """Assignments of which one verb may fail."""

    def __init__(self, store: Any) -> None:
        self._store, self.failing = store, ""

    def __getattr__(self, verb: str) -> Any:
        if verb == self.failing:
            raise StoreError("down")
        return getattr(self._store, verb)


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
