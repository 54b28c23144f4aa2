"""Limits by role, assurance and shared computers; resume, rotation, cap, list, anomalies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth._door import DOOR
from portalsec.auth.anomalies import MOST_NETWORKS, AnomalyPolicy, anomaly, networks_shown
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import ActiveSession, Limits, NewSession, SessionPolicy, SessionRule, Sessions
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Source
from tests.auth.world import World, together

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}) Gecko/20100101 Firefox/{0}"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605 Version/17.4 Safari/604.1"
HERE = Source(address="192.0.2.10", user_agent=FIREFOX.format("150.0"))
OWNER = Actor(type="user", id="robin")


# -- policy -------------------------------------------------------------------------------------------------------


def test_presets_are_what_their_sources_say() -> None:
    for preset, idle, absolute in (
        (SessionPolicy.NIST_AAL1, DAY, 30 * DAY),
        (SessionPolicy.NIST_AAL2, HOUR, DAY),
        (SessionPolicy.NIST_AAL3, 15 * MINUTE, 12 * HOUR),
        (SessionPolicy.HIPAA_CLINIC, 15 * MINUTE, 12 * HOUR),
        (SessionPolicy.KIOSK, 2 * MINUTE, 30 * MINUTE),
    ):
        assert (preset.idle, preset.absolute) == (idle, absolute)
    assert not SessionPolicy.KIOSK.resume


def test_of_all_rules_that_apply_the_shortest_of_each_limit_wins() -> None:
    policy = replace(
        SessionPolicy.NIST_AAL2,
        rules=(
            SessionRule(roles=frozenset({"admin"}), idle=10 * MINUTE, absolute=8 * HOUR),
            SessionRule(min_level=3, idle=15 * MINUTE, absolute=4 * HOUR),
            SessionRule(shared=True, idle=5 * MINUTE),
            SessionRule(shared=False, max_level=1, idle=2 * MINUTE),
        ),
    )
    assert policy.limits(roles=("nurse",), level=2, shared=False) == Limits()
    assert policy.limits(roles=("admin", "nurse"), level=2, shared=False) == Limits(
        idle=10 * MINUTE, absolute=8 * HOUR
    )
    assert policy.limits(roles=("admin",), level=3, shared=True) == Limits(idle=5 * MINUTE, absolute=4 * HOUR)
    assert policy.limits(level=1, shared=False) == Limits(idle=2 * MINUTE)


_RULES = st.builds(
    SessionRule,
    idle=st.integers(1, 9).map(lambda n: n * MINUTE),
    roles=st.frozensets(st.sampled_from("abc")),
    min_level=st.integers(0, 1),
    max_level=st.integers(1, 3),
    shared=st.sampled_from([None, True, False]),
)


@given(
    st.lists(_RULES, max_size=5),
    _RULES,
    st.frozensets(st.sampled_from("abc")),
    st.integers(0, 3),
    st.booleans(),
)
def test_another_rule_never_loosens(
    rules: list[SessionRule], more: SessionRule, roles: frozenset[str], level: int, shared: bool
) -> None:
    fewer = replace(SessionPolicy.NIST_AAL2, rules=tuple(rules))
    wider = replace(fewer, rules=(*rules, more))
    before = fewer.limits(roles=roles, level=level, shared=shared).idle
    after = wider.limits(roles=roles, level=level, shared=shared).idle
    assert before is None or (after is not None and after <= before)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"idle": timedelta(0)},
        {"idle": MINUTE, "min_level": 2, "max_level": 1},
        {"idle": MINUTE, "max_level": 4},
        {"idle": MINUTE, "roles": "admin"},
    ],
)
def test_rules_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="SessionRule"):
        SessionRule(**change)


@pytest.mark.parametrize("change", [{"max_sessions": 0}, {"at_most": "ask"}, {"rules": ("x",)}])
def test_policies_that_make_no_sense_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="SessionPolicy"):
        replace(SessionPolicy.HIPAA_CLINIC, **change)


# -- the service --------------------------------------------------------------------------------------------------


class Room(World):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.robin = self.person()

    def open(self, **change: Any) -> NewSession:
        given: dict[str, Any] = {
            "account_id": self.robin.id,
            "epoch": self.sessions.epoch(self.robin.id),
            "proofs": self.proofs(Factor.PASSWORD, Factor.TOTP),
            "source": HERE,
        }
        return self.sessions.open_through(DOOR, **{**given, **change})

    def proofs(self, *factors: Factor) -> tuple[Proof, ...]:
        return tuple(Proof(factor=factor, at=self.clock()) for factor in factors)

    def check(self, opened: NewSession, source: Source = HERE, **kwargs: Any) -> ActiveSession:
        return self.sessions.check(opened.token.reveal(), source=source, **kwargs)

    def refused(self, opened: NewSession, source: Source = HERE, **kwargs: Any) -> Reason:
        with pytest.raises(Denied) as refusal:
            self.check(opened, source, **kwargs)
        return refusal.value.reason


@pytest.fixture
def room() -> Room:
    return Room()


def under(**change: Any) -> Room:
    return Room(session_policy=replace(SessionPolicy.HIPAA_CLINIC, **change))


def test_a_shared_computers_session_is_shorter_and_leaves_nothing_to_resume(room: Room) -> None:
    opened = room.open(shared=True)
    assert opened.absolute_until == room.clock() + HOUR
    room.clock.advance(5 * MINUTE)
    assert room.refused(opened) is Reason.SESSION_IDLE
    with pytest.raises(Denied) as refusal:
        room.sessions.resumable(opened.token.reveal(), source=HERE)
    assert refusal.value.reason is Reason.SESSION_UNKNOWN
    assert room.sessions.of_account(room.robin.id) == ()


def test_a_role_tightens_the_session_from_its_opening_on() -> None:
    room = under(rules=(SessionRule(roles=frozenset({"admin"}), idle=2 * MINUTE, absolute=10 * MINUTE),))
    admin, nurse = room.open(roles={"admin"}), room.open(roles={"nurse"})
    for _ in range(9):
        room.clock.advance(MINUTE)
        assert room.check(admin).idle_left <= 2 * MINUTE
        assert room.check(nurse).idle_left == 15 * MINUTE
    room.clock.advance(MINUTE)
    assert room.refused(admin) is Reason.SESSION_EXPIRED
    room.check(nurse)


def test_a_session_never_outlives_a_policy_that_got_stricter(room: Room) -> None:
    opened = room.open()
    room.session_policy = SessionPolicy.KIOSK
    room.wire()
    room.clock.advance(2 * MINUTE)
    assert room.refused(opened) is Reason.SESSION_IDLE


def resumed(room: Room, opened: NewSession, source: Source = HERE, **change: Any) -> NewSession:
    record = room.sessions.resumable(opened.token.reveal(), source=source)
    return room.sessions.resume_through(
        DOOR, record, **{"proofs": room.proofs(Factor.PASSWORD), "source": source, **change}
    )


def test_one_factor_resumes_after_an_idle_end_under_another_id_and_the_same_absolute_limit(
    room: Room,
) -> None:
    opened = room.open()
    began = room.clock()
    room.clock.advance(HOUR)
    assert room.refused(opened) is Reason.SESSION_IDLE
    again = resumed(room, opened)
    session = room.check(again)
    assert again.absolute_until == opened.absolute_until == began + 12 * HOUR
    assert session.created_at == began
    assert session.factors == ("totp", "password") or session.factors == ("password", "totp")
    assert session.idle_left == 15 * MINUTE
    assert room.refused(opened) is Reason.SESSION_UNKNOWN
    assert room.events.named(Event.AUTH_SESSION_RESUMED)[0].session == again.reference


def test_nothing_is_resumed_past_the_absolute_limit(room: Room) -> None:
    opened = room.open()
    room.clock.advance(12 * HOUR - timedelta(seconds=1))
    assert room.refused(opened) is Reason.SESSION_IDLE
    room.clock.advance(timedelta(seconds=1))
    with pytest.raises(Denied) as refusal:
        resumed(room, opened)
    assert refusal.value.reason is Reason.SESSION_EXPIRED
    assert room.sessions.of_account(room.robin.id) == ()


def test_what_lives_was_ended_or_comes_from_elsewhere_is_not_resumed(room: Room) -> None:
    opened = room.open()

    def refusal(token: object, source: Source = HERE) -> Reason:
        with pytest.raises(Denied) as denied:
            room.sessions.resumable(token, source=source)
        return denied.value.reason

    assert refusal(opened.token.reveal()) is Reason.FLOW_UNKNOWN
    assert refusal(None) is Reason.SESSION_MISSING
    assert refusal("x" * 43) is Reason.SESSION_UNKNOWN
    room.clock.advance(HOUR)
    elsewhere = replace(HERE, user_agent=SAFARI)
    assert refusal(opened.token.reveal(), elsewhere) is Reason.EVIDENCE_MISSING
    room.sessions.end_all(room.robin.id, source=HERE, actor=OWNER)
    assert refusal(opened.token.reveal()) is Reason.SESSION_UNKNOWN


def test_a_resume_needs_a_proof_and_the_key_to_the_door(room: Room) -> None:
    opened = room.open()
    room.clock.advance(HOUR)
    record = room.sessions.resumable(opened.token.reveal(), source=HERE)
    with pytest.raises(Denied) as refusal:
        room.sessions.resume_through(DOOR, record, proofs=(), source=HERE)
    assert refusal.value.reason is Reason.EVIDENCE_MISSING
    proofs = room.proofs(Factor.PASSWORD)
    for door in (None, object()):
        with pytest.raises(TypeError):
            room.sessions.resume_through(door, record, proofs=proofs, source=HERE)
        with pytest.raises(TypeError):
            room.sessions.rotate_through(door, None, proofs=proofs, source=HERE)  # type: ignore[arg-type]


def test_a_resume_that_cannot_be_recorded_did_not_happen(room: Room) -> None:
    opened = room.open()
    room.clock.advance(HOUR)
    assert room.refused(opened) is Reason.SESSION_IDLE

    def failing(event: object) -> None:
        raise StoreError("down")

    room.emit = failing
    room.wire()
    with pytest.raises(StoreError):
        resumed(room, opened)
    assert room.sessions.of_account(room.robin.id) == ()


def test_of_many_resumes_at_once_one_wins(room: Room) -> None:
    opened = room.open()
    room.clock.advance(HOUR)
    record = room.sessions.resumable(opened.token.reveal(), source=HERE)
    proofs = room.proofs(Factor.PASSWORD)
    results = together(16, lambda _: room.sessions.resume_through(DOOR, record, proofs=proofs, source=HERE))
    assert sum(isinstance(result, NewSession) for result in results) == 1
    assert len(room.sessions.of_account(room.robin.id)) == 1


def test_a_rotation_keeps_age_and_proofs_and_adds_the_new_one(room: Room) -> None:
    room.second_factor = "optional"
    room.wire()
    opened = room.open(proofs=room.proofs(Factor.PASSWORD), shared=True)
    room.clock.advance(MINUTE)
    shown = Proof(factor=Factor.TOTP, at=room.clock(), explicit=True)
    rotated = room.sessions.rotate_through(DOOR, room.check(opened), proofs=(shown,), source=HERE)
    session = room.check(rotated)
    assert session.proofs[-1] == shown
    assert (session.level, session.shared, session.record.idle) == (2, True, 5 * MINUTE)
    assert session.created_at == room.clock() - MINUTE
    assert room.refused(opened) is Reason.SESSION_UNKNOWN


def test_proofs_stay_few_and_the_newest_of_a_kind_counts(room: Room) -> None:
    opened = room.open()
    for _ in range(20):
        room.clock.advance(MINUTE)
        proofs = room.proofs(Factor.TOTP)
        opened = room.sessions.rotate_through(DOOR, room.check(opened), proofs=proofs, source=HERE)
    session = room.check(opened)
    assert len(session.proofs) == 2
    assert session.proven_at == room.clock()


def test_a_passkey_without_verification_takes_nothing_from_one_with(room: Room) -> None:
    strong = Proof(factor=Factor.PASSKEY, at=room.clock(), authenticator="k", user_verified=True)
    opened = room.open(proofs=(strong,))
    room.clock.advance(MINUTE)
    weak = replace(strong, at=room.clock(), user_verified=False)
    session = room.check(room.sessions.rotate_through(DOOR, room.check(opened), proofs=(weak,), source=HERE))
    assert session.level == 2
    assert session.proofs == (strong, weak)


def test_the_cap_ends_the_one_unused_the_longest() -> None:
    room = under(max_sessions=2)
    first, second = room.open(), room.open()
    room.clock.advance(MINUTE)
    room.check(first)
    room.events.clear()
    third = room.open()
    assert room.refused(second) is Reason.SESSION_UNKNOWN
    for alive in (first, third):
        room.check(alive)
    assert room.events.named(Event.AUTH_SESSION_REVOKED)[0].reason is Reason.SESSION_LIMIT


def test_the_cap_can_refuse_instead_and_counts_only_what_lives() -> None:
    room = under(max_sessions=2, at_most="refuse")
    kept = [room.open(), room.open()]
    with pytest.raises(Denied) as refusal:
        room.open()
    assert refusal.value.reason is Reason.SESSION_LIMIT
    for opened in kept:
        room.check(opened)
    room.clock.advance(HOUR)  # both are idle by now: they make room
    room.open()
    assert len(room.sessions.of_account(room.robin.id)) == 1


def test_the_list_shows_what_lives_or_rests_and_no_id(room: Room) -> None:
    phone = Source(address="2001:db8:1:2:3::4", user_agent=SAFARI)
    room.places[phone.address] = "Oslo, Norway"
    old = room.open(source=phone)
    room.clock.advance(10 * MINUTE)
    mine = room.open(shared=True)
    room.clock.advance(4 * MINUTE)
    current = room.check(mine)
    room.clock.advance(MINUTE)
    rows = room.sessions.listed(room.robin.id, current=current)
    assert [(row.current, row.browser, row.network, row.place, row.shared) for row in rows] == [
        (True, "Firefox / Linux", "192.0.2.0/24", None, True),
        (False, "Safari / iPhone", "2001:db8:1:2::/64", "Oslo, Norway", False),
    ]
    assert rows[0].last_seen == room.clock() - MINUTE
    assert rows[1].factors == ("password", "totp")
    for opened in (old, mine):
        assert opened.token.reveal() not in repr(rows)
        assert opened.digest.hex() not in repr(rows)
    assert room.refused(old, phone) is Reason.SESSION_IDLE
    assert [row.resting for row in room.sessions.listed(room.robin.id)] == [False, True]
    room.clock.advance(12 * HOUR)
    assert room.sessions.listed(room.robin.id) == ()


def test_the_place_is_a_hint_and_keeps_nobody_out(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    for said in (7, "", "Oslo\nNorway", b"Oslo"):
        room.places[HERE.address] = said
        assert room.check(room.open()).record.place is None
    told = Sessions(
        store=room.session_store,
        policy=room.session_policy,
        clock=room.clock,
        mac=room.mac,
        emit=room.events,
        place_of=lambda source: str(1 / 0),
    )
    room.sessions = told
    with caplog.at_level("WARNING"):
        assert room.check(room.open()).record.place is None
    assert "ZeroDivisionError" in caplog.text
    assert str(HERE.address) not in caplog.text


def test_a_place_is_short(room: Room) -> None:
    room.places[HERE.address] = "x" * 200
    assert room.check(room.open()).record.place == "x" * 128


def test_a_session_that_settles_elsewhere_is_listed_there(room: Room) -> None:
    phone = Source(address="2001:db8:1:2:3::4", user_agent=SAFARI)
    room.places = {HERE.address: "Oslo, Norway", phone.address: "Bergen, Norway"}
    session = room.check(room.open())
    proofs = room.proofs(Factor.TOTP)
    moved = room.sessions.rotate_through(DOOR, session, proofs=proofs, source=phone)
    assert [row.place for row in room.sessions.listed(room.robin.id)] == ["Bergen, Norway"]
    assert room.check(moved, phone).record.place == "Bergen, Norway"


def test_one_is_ended_by_its_reference_and_only_the_accounts_own(room: Room) -> None:
    kim = room.person("kim")
    mine, other, theirs = room.open(), room.open(), room.open(account_id=kim.id, epoch=0)
    room.events.clear()
    for wrong in (theirs.reference, "", None, 7, mine.digest, mine.token.reveal()):
        assert not room.sessions.end_one(room.robin.id, wrong, source=HERE, actor=OWNER)
    assert room.sessions.end_one(room.robin.id, other.reference, source=HERE, actor=OWNER)
    assert not room.sessions.end_one(room.robin.id, other.reference, source=HERE, actor=OWNER)
    assert [event.session for event in room.events] == [other.reference]
    assert room.refused(other) is Reason.SESSION_UNKNOWN
    for alive in (mine, theirs):
        room.check(alive)


# -- anomalies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "address", "found"),
    [
        (FIREFOX.format("150.0"), "192.0.2.10", None),
        (FIREFOX.format("151.0"), "192.0.2.99", None),  # an update; the same network
        (SAFARI, "192.0.2.10", "browser"),
        (None, "192.0.2.10", "browser"),
        ("curl/8.5", "192.0.2.10", "browser"),
        (FIREFOX.format("150.0"), "192.0.3.10", "address"),
        (FIREFOX.format("150.0"), "192.1.2.10", "address+network"),
        (FIREFOX.format("150.0"), "::ffff:192.0.2.77", None),
        (FIREFOX.format("150.0"), None, "address+network"),  # past the proxies that name its address
        (FIREFOX.format("150.0"), "nonsense", "address+network"),
        (SAFARI, "2001:db8::1", "address+browser+network"),
    ],
)
def test_what_counts_as_a_change(agent: str | None, address: str | None, found: str | None) -> None:
    given = {"address": HERE.address, "user_agent": HERE.user_agent}
    now = {"now_address": address, "now_user_agent": agent}
    assert anomaly(**given, **now, policy=AnomalyPolicy()) == found
    ignoring = AnomalyPolicy(browser="ignore", network="ignore", address="ignore")
    assert anomaly(**given, **now, policy=ignoring) is None


def test_a_jump_goes_by_the_width_of_a_providers_network_in_either_version_of_ip() -> None:
    def found(one: str, other: str, **kwargs: Any) -> str | None:
        return anomaly(
            address=one,
            user_agent=None,
            now_address=other,
            now_user_agent=None,
            policy=AnomalyPolicy(),
            **kwargs,
        )

    assert found("2001:db8:1::1", "2001:db8:1::2") is None
    assert found("2001:db8:1::1", "2001:db8:ffff::1") == "address"
    assert found("2001:db8:1::1", "2001:db9:1::1") == "address+network"
    assert found("2001:db8:1::1", "192.0.2.1") == "address+network"
    assert found("192.0.2.1", "203.0.113.1", networks=("203.0.0.0/16",)) == "address"
    assert found("192.0.2.1", "203.1.113.1", networks=("203.0.0.0/16",)) == "address+network"


def test_networks_from_which_a_factor_was_shown_are_kept_and_few() -> None:
    shown: tuple[str, ...] = ()
    for number in range(9):
        shown = networks_shown(shown, address=f"10.{number}.0.1", now_address=f"10.{number + 1}.0.1")
    assert shown == ("10.9.0.0/16", "10.8.0.0/16", "10.7.0.0/16", "10.6.0.0/16")
    assert len(shown) == MOST_NETWORKS
    assert networks_shown((), address="10.9.0.1", now_address=None) == ("unknown", "10.9.0.0/16")


def test_another_browser_is_recorded_once_and_asks_for_a_factor_until_one_is_shown(room: Room) -> None:
    opened = room.open()
    stolen = replace(HERE, user_agent=SAFARI)
    room.events.clear()
    for source in (stolen, stolen, HERE):  # the owner is asked as well: nobody can tell who is who
        assert room.refused(opened, source) is Reason.STEP_UP_REQUIRED
    (event,) = room.events.named(Event.AUTH_SESSION_ANOMALY)
    assert event.details == {"what": "browser"}
    session = room.check(opened, stepping_up=True)
    again = room.sessions.rotate_through(DOOR, session, proofs=room.proofs(Factor.TOTP), source=HERE)
    room.check(again)
    assert room.refused(again, stolen) is Reason.STEP_UP_REQUIRED
    assert len(room.events.named(Event.AUTH_SESSION_ANOMALY)) == 2


def test_a_new_id_without_a_proof_settles_nothing_that_is_strange(room: Room) -> None:
    opened, stolen = room.open(), replace(HERE, user_agent=SAFARI)
    assert room.refused(opened, stolen) is Reason.STEP_UP_REQUIRED
    session = room.check(opened, stolen, stepping_up=True)
    again = room.sessions.rotate_through(DOOR, session, source=stolen)
    for source in (stolen, HERE):
        assert room.refused(again, source) is Reason.STEP_UP_REQUIRED


def test_another_network_is_recorded_and_hides_no_later_change_of_the_browser(room: Room) -> None:
    opened = room.open()
    room.events.clear()
    for last in (3, 4, 5):
        room.check(opened, replace(HERE, address=f"192.0.{last}.1"))
    assert room.refused(opened, Source(address="192.0.3.1", user_agent=SAFARI)) is Reason.STEP_UP_REQUIRED
    assert [event.details["what"] for event in room.events] == ["address", "address+browser"]


def test_each_network_that_a_telephone_goes_between_asks_once(room: Room) -> None:
    opened, street = room.open(), replace(HERE, address="2001:db8::1")
    assert room.refused(opened, street) is Reason.STEP_UP_REQUIRED
    assert room.refused(opened) is Reason.STEP_UP_REQUIRED
    session = room.check(opened, street, stepping_up=True)
    opened = room.sessions.rotate_through(DOOR, session, proofs=room.proofs(Factor.TOTP), source=street)
    for source in (street, HERE, street, replace(HERE, address="192.0.77.1")):
        room.check(opened, source)
    assert room.refused(opened, replace(HERE, address="198.51.100.1")) is Reason.STEP_UP_REQUIRED


def test_a_request_from_nobody_knows_where_asks_once_and_the_next_is_still_compared(room: Room) -> None:
    opened, nowhere = room.open(), replace(HERE, address=None)
    assert room.refused(opened, nowhere) is Reason.STEP_UP_REQUIRED
    session = room.check(opened, nowhere, stepping_up=True)
    opened = room.sessions.rotate_through(DOOR, session, proofs=room.proofs(Factor.TOTP), source=nowhere)
    for source in (nowhere, HERE, nowhere):
        room.check(opened, source)
    assert room.refused(opened, replace(HERE, address="198.51.100.1")) is Reason.STEP_UP_REQUIRED


def test_a_proof_that_settles_nothing_leaves_what_is_strange(room: Room) -> None:
    opened, elsewhere = room.open(), replace(HERE, address="198.51.100.1")
    assert room.refused(opened, elsewhere) is Reason.STEP_UP_REQUIRED
    session = room.check(opened, elsewhere, stepping_up=True)
    again = room.sessions.rotate_through(
        DOOR, session, proofs=room.proofs(Factor.PASSWORD), source=elsewhere, settles=False
    )
    for source in (elsewhere, HERE):
        assert room.refused(again, source) is Reason.STEP_UP_REQUIRED
    assert room.check(again, stepping_up=True).record.networks == ()


def test_a_policy_decides_what_a_change_means() -> None:
    strict = under(anomalies=AnomalyPolicy(address="step_up"))
    assert strict.refused(strict.open(), replace(HERE, address="192.0.3.1")) is Reason.STEP_UP_REQUIRED
    roaming = under(anomalies=AnomalyPolicy(network="record"))
    roaming.check(roaming.open(), replace(HERE, address="198.51.100.1"))
    assert [event.details["what"] for event in roaming.events.named(Event.AUTH_SESSION_ANOMALY)] == [
        "address+network"
    ]
    lax = under(anomalies=AnomalyPolicy(browser="record"))
    lax.check(lax.open(), replace(HERE, user_agent=SAFARI))
    silent = under(anomalies=AnomalyPolicy(browser="ignore", network="ignore", address="ignore"))
    silent.check(silent.open(), Source(address="198.51.100.1", user_agent=SAFARI))
    assert not silent.events.named(Event.AUTH_SESSION_ANOMALY)
    with pytest.raises(ConfigurationError):
        AnomalyPolicy(browser="panic")  # type: ignore[arg-type]


def test_of_many_requests_one_records_the_change(room: Room) -> None:
    opened = room.open()
    room.events.clear()
    together(16, lambda _: room.refused(opened, replace(HERE, user_agent=SAFARI)))
    assert len(room.events.named(Event.AUTH_SESSION_ANOMALY)) == 1


def test_a_request_that_is_asked_for_a_factor_keeps_nothing_alive(room: Room) -> None:
    opened = room.open()
    for _ in range(14):
        room.clock.advance(MINUTE)
        assert room.refused(opened, replace(HERE, user_agent=SAFARI)) is Reason.STEP_UP_REQUIRED
    room.clock.advance(MINUTE)
    assert room.refused(opened) is Reason.SESSION_IDLE


def test_a_session_says_what_conditions_may_ask(room: Room) -> None:
    from portalsec.auth.posture import posture_from

    posture = posture_from({"platform": "ios", "os_version": "17.4.1", "rooted": False}, now=room.clock())
    session = room.check(room.open(posture=posture))
    assert session.attributes() == {
        "session_level": 2,
        "session_phishing_resistant": False,
        "session_shared": False,
        "impersonated": False,
        "device_platform": "ios",
        "device_os_version": 17_004_001_000,
        "device_rooted": False,
    }
