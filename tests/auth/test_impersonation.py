from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth._door import DOOR
from portalsec.auth.demands import Demand
from portalsec.auth.endings import Why
from portalsec.auth.impersonation import Impersonation, ImpersonationPolicy
from portalsec.auth.notices import NoticeKind
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession, NewSession, SessionPolicy, SessionRule
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome, Source
from tests.auth.world import PASSWORD, SOURCE, World

MINUTE = timedelta(minutes=1)


class Desk(World):
    """Kim of the support desk, signed in, and Robin, who needs help."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.robin, self.kim = self.person(), self.person("kim")
        self.asked: list[tuple[str, str]] = []
        self.answer: Any = True
        self.demand = Demand()
        self.own = self.session(self.kim)
        self.staff = self.live(self.own)
        self.events.clear()
        self.desk = self.opened()

    def allowed(self, staff: ActiveSession, account_id: str) -> bool:
        self.asked.append((staff.account_id, account_id))
        return self.answer  # type: ignore[no-any-return]

    def opened(self, **change: Any) -> Impersonation:
        parts: dict[str, Any] = {
            "sessions": self.sessions,
            "accounts": self.account_store,
            "notices": self.notices,
            "policy": ImpersonationPolicy(),
            "allowed": self.allowed,
            "demand_of": lambda account_id: self.demand if account_id == self.robin.id else Demand(level=3),
            "roles_of": lambda _: frozenset(),
            "emit": self.events,
        }
        return Impersonation(**{**parts, **change})

    def start(self, **change: Any) -> NewSession:
        given: dict[str, Any] = {"reason": "ticket-4711", "source": SOURCE}
        return self.desk.start(self.staff, self.robin.id, **{**given, **change})

    def live(self, session: NewSession) -> ActiveSession:
        return self.sessions.check(session.token.reveal(), source=SOURCE)

    def refused(self, session: NewSession) -> Reason:
        with pytest.raises(Denied) as refusal:
            self.live(session)
        return refusal.value.reason


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_support_acts_as_the_owner_and_is_told_apart(desk: Desk) -> None:
    session = desk.live(desk.start())
    assert session.account_id == desk.robin.id
    assert session.impersonator == desk.kim.id
    assert session.actor == Actor(type="user", id=desk.kim.id, on_behalf_of=desk.robin.id)
    assert desk.asked == [(desk.kim.id, desk.robin.id)]
    (event,) = desk.events.named(Event.AUTH_IMPERSONATION_STARTED)
    assert event.actor == session.actor
    assert event.session == session.reference
    assert event.details == {"why": "ticket-4711"}


def test_auz_04_it_holds_no_proof_so_nothing_that_asks_for_one_lets_it_through(desk: Desk) -> None:
    session = desk.live(desk.start())
    assert session.proofs == ()
    assert session.factors == ()
    for way in (
        lambda: session.require_owner(),
        lambda: desk.sessions.rotate_through(DOOR, session, proofs=desk.staff.proofs, source=SOURCE),
        lambda: desk.current.verify(session, PASSWORD, source=SOURCE),
        lambda: desk.password_change.change(
            session, current=PASSWORD, new="harbour pickle saturn x", source=SOURCE
        ),
        lambda: desk.contacts.add(session, "x@example.org", current=PASSWORD, source=SOURCE),
    ):
        with pytest.raises(Denied) as refusal:
            way()
        assert refusal.value.reason is Reason.IMPERSONATED
    assert desk.events.last.actor == session.actor


@pytest.mark.parametrize(
    "demand",
    [
        Demand(phishing_resistant=True),
        Demand(level=3),
        Demand(factors=(frozenset({Factor.PASSKEY}),)),
        Demand(second=True, allowed=frozenset({Factor.PASSWORD, Factor.PASSKEY})),
    ],
)
def test_auz_04_staff_proves_what_is_asked_of_the_owner_itself_or_nothing_begins(
    desk: Desk, demand: Demand
) -> None:
    desk.demand = demand
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.EVIDENCE_MISSING
    assert not desk.sessions.of_account(desk.robin.id)
    desk.demand = Demand(level=2, second=True)
    assert desk.live(desk.start()).level == 2


def test_auz_04_it_is_worth_what_the_staffs_own_proofs_are_and_no_more(desk: Desk) -> None:
    desk.staff = replace(desk.staff, record=replace(desk.staff.record, level=3, phishing_resistant=True))
    session = desk.live(desk.start())
    assert (session.level, session.record.phishing_resistant) == (2, False)
    assert session.attributes()["impersonated"] is True
    desk.staff = replace(desk.staff, record=replace(desk.staff.record, proofs=desk.staff.proofs[:1]))
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.EVIDENCE_MISSING


def test_limits_of_the_owners_roles_are_its_limits_too() -> None:
    rule = SessionRule(roles=frozenset({"admin"}), idle=2 * MINUTE)
    desk = Desk(session_policy=replace(SessionPolicy.HIPAA_CLINIC, rules=(rule,)))
    assert desk.live(desk.start()).record.idle is None
    desk.desk = desk.opened(roles_of=lambda account_id: {"admin"} if account_id == desk.robin.id else set())
    assert desk.live(desk.start()).record.idle == 2 * MINUTE


@pytest.mark.parametrize("at_most", ["end_oldest", "refuse"])
def test_it_takes_none_of_the_owners_places(at_most: Any) -> None:
    policy = replace(SessionPolicy.HIPAA_CLINIC, max_sessions=2, at_most=at_most)
    desk = Desk(session_policy=policy)
    first = desk.session(desk.robin)
    acting = [desk.start(), desk.start()]
    desk.clock.advance(MINUTE)
    second = desk.session(desk.robin)
    for session in (first, second, *acting):
        desk.live(session)


def test_auz_04_nobody_impersonates_from_within_an_impersonation(desk: Desk) -> None:
    session, sam = desk.live(desk.start()), desk.person("sam")
    for target in (sam.id, desk.kim.id, desk.robin.id):
        with pytest.raises(Denied) as refusal:
            desk.desk.start(session, target, reason="ticket-4712", source=SOURCE)
        assert refusal.value.reason is Reason.IMPERSONATED
        with pytest.raises(Denied):
            desk.sessions.impersonate_through(DOOR, session, target, epoch=0, lasting=MINUTE, source=SOURCE)
    assert desk.events.last.outcome is Outcome.DENIED


def test_nobody_impersonates_themselves(desk: Desk) -> None:
    with pytest.raises(Denied) as refusal:
        desk.desk.start(desk.staff, desk.kim.id, reason="ticket-1", source=SOURCE)
    assert refusal.value.reason is Reason.IMPERSONATED


@pytest.mark.parametrize(
    "reason", [None, "", "  ", "ab", "x" * 65, 7, "he said\nshe said", "caf\u00e9-1", "a b c"]
)
def test_without_a_reason_that_an_auditor_can_follow_nothing_begins(desk: Desk, reason: object) -> None:
    with pytest.raises(Denied) as refusal:
        desk.start(reason=reason)
    assert refusal.value.reason is Reason.MALFORMED
    assert not desk.sessions.of_account(desk.robin.id)


@pytest.mark.parametrize("answer", [False, None, 1, "yes"])
def test_only_a_plain_yes_of_the_application_lets_it_begin(desk: Desk, answer: object) -> None:
    desk.answer = answer
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.NO_GRANT
    assert desk.events.last.outcome is Outcome.DENIED


def test_without_rules_nobody_may(desk: Desk) -> None:
    desk.desk = desk.opened(allowed=None)
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.NO_GRANT


def test_a_weak_session_of_the_staff_is_not_enough(desk: Desk) -> None:
    desk.desk = desk.opened(policy=ImpersonationPolicy(min_level=3))
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.EVIDENCE_MISSING


def test_unknown_and_disabled_accounts_are_nobody_to_act_as(desk: Desk) -> None:
    desk.accounts.disable(desk.robin.id, actor=Actor(type="user", id="admin"), source=SOURCE)
    for target, reason in ((desk.robin.id, Reason.ACCOUNT_DISABLED), ("nobody", Reason.UNKNOWN_ACCOUNT)):
        with pytest.raises(Denied) as refusal:
            desk.desk.start(desk.staff, target, reason="ticket-1", source=SOURCE)
        assert refusal.value.reason is reason


@pytest.mark.parametrize(("asked", "lasts"), [(None, 30), (timedelta(minutes=5), 5), (timedelta(days=9), 30)])
def test_it_ends_by_itself_whatever_was_asked_for(desk: Desk, asked: timedelta | None, lasts: int) -> None:
    session = desk.start(lasting=asked)
    for _ in range(lasts - 1):
        desk.clock.advance(MINUTE)
        desk.live(session)
    desk.clock.advance(MINUTE)
    assert desk.refused(session) is Reason.SESSION_EXPIRED


def test_it_does_not_rest(desk: Desk) -> None:
    session = desk.start()
    desk.clock.advance(timedelta(minutes=15))
    assert desk.refused(session) is Reason.SESSION_IDLE
    assert desk.refused(session) is Reason.SESSION_UNKNOWN


def test_it_ends_with_the_staffs_own_session(desk: Desk) -> None:
    for end in (
        lambda: desk.sessions.end_one(
            desk.kim.id, desk.staff.reference, source=SOURCE, actor=desk.staff.actor
        ),
        lambda: desk.endings.apply(desk.kim.id, Why.DISABLED, actor=desk.staff.actor, source=SOURCE),
    ):
        session = desk.start()
        desk.live(session)
        end()
        assert desk.refused(session) is Reason.SESSION_REVOKED
        assert desk.refused(session) is Reason.SESSION_UNKNOWN
        desk.clock.advance(MINUTE)
        desk.staff = desk.live(desk.session(desk.kim))


def test_auz_04_it_ends_where_the_staffs_own_session_has_to_show_a_factor(desk: Desk) -> None:
    session = desk.start()
    desk.live(session)
    elsewhere = replace(SOURCE, address="203.0.113.9")
    with pytest.raises(Denied) as refusal:
        desk.sessions.check(desk.own.token.reveal(), source=elsewhere)
    assert refusal.value.reason is Reason.STEP_UP_REQUIRED
    assert desk.refused(session) is Reason.SESSION_REVOKED


def test_auz_04_what_is_asked_because_of_the_request_is_asked_of_staff(desk: Desk) -> None:
    asked: list[Source] = []

    def asked_here(session: ActiveSession, *, source: Source) -> Demand:
        assert session.account_id == desk.kim.id
        asked.append(source)
        return Demand(level=3)

    desk.desk = desk.opened(asked_here=asked_here)
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert (refusal.value.reason, asked) == (Reason.EVIDENCE_MISSING, [SOURCE])


def test_auz_04_what_is_asked_of_the_owner_meanwhile_is_asked_of_staff(desk: Desk) -> None:
    real = desk.sessions.impersonate_through

    def overtaken(*args: Any, **kwargs: Any) -> NewSession:
        desk.demand = Demand(level=3)
        return real(*args, **kwargs)

    desk.desk = desk.opened(sessions=_Instead(desk.sessions, overtaken))
    with pytest.raises(Denied) as refusal:
        desk.start()
    assert refusal.value.reason is Reason.EVIDENCE_MISSING
    assert not desk.sessions.of_account(desk.robin.id)
    (event,) = desk.events.named(Event.AUTH_IMPERSONATION_STARTED)
    assert (event.outcome, event.reason) == (Outcome.DENIED, Reason.EVIDENCE_MISSING)


class _Instead:
    """Sessions of which one verb is another's."""

    def __init__(self, sessions: Any, verb: Any) -> None:
        self._sessions, self.impersonate_through = sessions, verb

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sessions, name)


def test_it_ends_with_the_owners_sessions(desk: Desk) -> None:
    session = desk.start()
    desk.endings.apply(desk.robin.id, Why.SIGNED_OUT_EVERYWHERE, actor=desk.staff.actor, source=SOURCE)
    assert desk.refused(session) is Reason.SESSION_UNKNOWN
    assert desk.sessions.of_account(desk.kim.id)


def test_the_owner_is_told_sees_it_and_can_end_it(desk: Desk) -> None:
    session = desk.live(desk.start())
    assert [n.kind for n in desk.notices.of_account(desk.robin.id)] == [NoticeKind.IMPERSONATED]
    (row,) = desk.sessions.listed(desk.robin.id)
    assert row.impersonated
    assert (row.network, row.place) == (None, None), "where staff sits is not the owner's to see"
    assert desk.sessions.end_one(
        desk.robin.id, row.reference, source=SOURCE, actor=Actor(type="user", id=desk.robin.id)
    )
    with pytest.raises(Denied):
        desk.sessions.check("x" * 43, source=SOURCE)
    assert session.reference == row.reference


def test_what_cannot_be_recorded_or_told_does_not_begin(desk: Desk) -> None:
    def failing(event: object) -> None:
        raise StoreError("down")

    desk.desk = desk.opened(emit=failing)
    with pytest.raises(StoreError):
        desk.start()
    desk.desk = desk.opened()
    desk.notice_store.failing["put"] = StoreError("down")
    with pytest.raises(StoreError):
        desk.start()
    assert not desk.sessions.of_account(desk.robin.id)


def test_stopping_ends_it_and_leaves_the_staffs_own(desk: Desk) -> None:
    session = desk.start()
    active = desk.live(session)
    for _ in range(2):
        desk.desk.stop(active, source=SOURCE)
    assert len(desk.events.named(Event.AUTH_IMPERSONATION_ENDED)) == 1
    assert desk.refused(session) is Reason.SESSION_UNKNOWN
    with pytest.raises(Denied):
        desk.desk.stop(desk.staff, source=SOURCE)
    assert len(desk.sessions.of_account(desk.kim.id)) == 1


@pytest.mark.parametrize(
    "change", [{"lasting": timedelta(0)}, {"lasting": timedelta(days=1)}, {"min_level": 0}]
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="ImpersonationPolicy"):
        ImpersonationPolicy(**change)


def test_auz_04_signing_out_of_it_is_recorded_as_the_staffs_and_as_its_end(desk: Desk) -> None:
    session = desk.start()
    actor = desk.live(session).actor
    desk.sign_in.logout(session.token.reveal(), source=SOURCE)
    assert desk.refused(session) is Reason.SESSION_UNKNOWN
    (event,) = desk.events.named(Event.AUTH_IMPERSONATION_ENDED)
    assert event.actor == actor
    (own,) = desk.events.named(Event.AUTH_LOGOUT)  # the owner did not sign out: this is the session behind it
    assert (own.actor.id, own.session) == (desk.kim.id, desk.staff.reference)


def test_auz_04_what_is_strange_about_it_is_strange_about_staff(desk: Desk) -> None:
    here = Source(address=SOURCE.address, user_agent="Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0")
    elsewhere = Source(address=SOURCE.address, user_agent="Mozilla/5.0 (Windows NT 10.0) Chrome/150.0")
    session = desk.start(source=here)
    desk.sessions.check(session.token.reveal(), source=here)
    with pytest.raises(Denied) as refusal:
        desk.sessions.check(session.token.reveal(), source=elsewhere)
    assert refusal.value.reason is Reason.STEP_UP_REQUIRED
    (event,) = desk.events.named(Event.AUTH_SESSION_ANOMALY)
    assert event.actor == Actor(type="user", id=desk.kim.id, on_behalf_of=desk.robin.id)


def test_auz_04_leaving_ends_the_staffs_own_session_behind_it_too(desk: Desk) -> None:
    session = desk.start()
    desk.clock.advance(MINUTE)
    other = desk.session(desk.kim)  # in another browser
    desk.desk.leave(desk.live(session), source=SOURCE)
    assert desk.refused(session) is Reason.SESSION_UNKNOWN
    (left,) = desk.sessions.of_account(desk.kim.id)
    assert left.digest == other.digest
    assert len(desk.events.named(Event.AUTH_IMPERSONATION_ENDED)) == 1
    (logout,) = desk.events.named(Event.AUTH_LOGOUT)
    assert logout.actor == Actor(type="user", id=desk.kim.id) and logout.session == desk.staff.reference
    with pytest.raises(Denied):
        desk.desk.leave(desk.live(other), source=SOURCE)


def test_a_name_that_nobody_has_is_refused_and_recorded_without_anybodys(desk: Desk) -> None:
    with pytest.raises(Denied) as refusal:
        desk.desk.start(desk.staff, None, reason="ticket-4711", source=SOURCE)
    assert refusal.value.reason is Reason.UNKNOWN_ACCOUNT
    assert desk.events.last.resource is None and desk.events.last.actor.on_behalf_of is None
    assert desk.asked == []  # the application's rule is about accounts


def test_it_is_offered_where_the_application_has_a_rule(desk: Desk) -> None:
    assert desk.desk.offered and not desk.opened(allowed=None).offered
