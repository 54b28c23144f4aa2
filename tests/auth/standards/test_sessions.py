"""Rows on sessions: what they are made of, how long they last, who sees and ends them. Each test is named by its row's id."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from portalsec.account_pages import AccountPages, Asked
from portalsec.auth.sessions import SessionPolicy
from portalsec.errors import Denied, Reason
from tests.auth.door import Door, refused
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE as HERE
from tests.auth.mailing import THIEF
from tests.auth.world import PASSWORD, SOURCE
from tests.support import ROOT

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PAGE = (ROOT / "docs" / "explanation" / "sessions.md").read_text("utf-8")
UNITS = {"minute": MINUTE, "hour": HOUR, "day": DAY}


def length(text: str) -> timedelta:
    """Of "15 minutes"."""
    number, unit = text.split()
    return int(number) * UNITS[unit.removesuffix("s")]


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        made.person()
        yield made


def ended(m: Factoring, held: str, which: str) -> None:
    post = {(each.method, each.path): each.operation for each in AccountPages(m.portal).routes()}
    post["POST", "/account/sessions"](Asked(form={"session": which}, source=HERE, session=held))


# -- NIST SP 800-63B-4 ----------------------------------------------------------------------------------------------


def test_2_1_3_b_30_days_in_all_at_level_1() -> None:
    assert SessionPolicy.NIST_AAL1.absolute <= 30 * DAY


def test_2_2_3_b_24_hours_in_all_at_level_2() -> None:
    assert SessionPolicy.NIST_AAL2.absolute <= 24 * HOUR


def test_2_2_3_c_an_hour_without_activity_at_level_2() -> None:
    assert SessionPolicy.NIST_AAL2.idle <= HOUR


def test_2_3_3_a_12_hours_in_all_at_level_3() -> None:
    assert SessionPolicy.NIST_AAL3.absolute <= 12 * HOUR


def test_2_3_3_b_15_minutes_without_activity_at_level_3() -> None:
    assert SessionPolicy.NIST_AAL3.idle <= 15 * MINUTE


@pytest.mark.parametrize("name", ["NIST_AAL1", "NIST_AAL2", "NIST_AAL3"])
def test_2_1_3_a_2_2_3_a_each_level_has_its_limit_and_it_ends_what_goes_on(name: str) -> None:
    policy: SessionPolicy = getattr(SessionPolicy, name)
    door = Door(session_policy=policy)
    opened = door.session(door.person())
    steps = policy.absolute // (policy.idle / 2)
    for _ in range(steps - 1):
        door.clock.advance(policy.idle / 2)
        door.active(opened)
    door.clock.advance(policy.absolute - (steps - 1) * (policy.idle / 2))
    assert refused(lambda: door.active(opened)) in (Reason.SESSION_EXPIRED, Reason.SESSION_IDLE)


def test_5_1_a_an_id_is_made_for_a_sign_in_and_has_256_bits() -> None:
    door = Door()
    robin = door.person()
    ids = set()
    for _ in range(50):
        door.clock.advance(MINUTE)
        ids.add(door.session(robin).token.reveal())
    raw = {base64.urlsafe_b64decode(each + "=") for each in ids}
    assert (len(raw), {len(each) for each in raw}) == (50, {32})
    # No byte of it is the same in all of them, so nothing in it stands for the account or for the time.
    assert all(len({each[place] for each in raw}) > 20 for place in range(32))


def test_5_2_b_activity_begins_the_idle_limit_anew_and_a_sign_in_both() -> None:
    door = Door()
    robin = door.person()
    opened = door.session(robin)
    full = door.active(opened)
    door.clock.advance(10 * MINUTE)
    later = door.active(opened)
    assert later.idle_left == full.idle_left
    assert later.absolute_left == full.absolute_left - 10 * MINUTE
    again = door.active(door.session(robin))
    assert (again.idle_left, again.absolute_left) == (full.idle_left, full.absolute_left)


# -- OWASP ASVS 5.0 -------------------------------------------------------------------------------------------------


def test_v7_1_1_the_page_says_each_presets_limits_and_where_they_come_from() -> None:
    found = re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
    presets = {name for name, value in vars(SessionPolicy).items() if isinstance(value, SessionPolicy)}
    assert {name for name, *_ in found} == presets
    for name, idle, absolute, source in found:
        preset: SessionPolicy = getattr(SessionPolicy, name)
        assert (length(idle), length(absolute)) == (preset.idle, preset.absolute), name
        if name.startswith("NIST_AAL"):
            assert f"SP 800-63B-4, 2.{name[-1]}.3" in source
            assert f"section 2.{name[-1]}.3" in (
                (ROOT / "src" / "portalsec" / "auth" / "session_policy.py").read_text("utf-8")
            )


def test_v7_1_2_the_page_says_how_many_and_what_one_more_does() -> None:
    assert SessionPolicy.NIST_AAL2.max_sessions is None
    assert "there is no bound unless you set one" in " ".join(PAGE.split())
    for word in ("`max`", '`"end_oldest"`', '`"refuse"`'):
        assert word in PAGE


def test_v7_2_4_every_proof_brings_another_id_and_the_one_before_is_dead() -> None:
    door = Door()
    robin = door.person()
    codes = door.with_codes(robin)
    seen = [door.session(robin)]
    for code in codes[:2]:
        held = door.active(seen[-1])
        seen.append(door.step_up.submit_recovery_code(held, code, source=SOURCE))
    door.clock.advance(door.session_policy.idle)
    assert refused(lambda: door.active(seen[-1])) is Reason.SESSION_IDLE
    seen.append(door.sign_in.resume(seen[-1].token.reveal(), PASSWORD, source=SOURCE))
    assert len({each.token.reveal() for each in seen}) == 4
    for old in seen[:-1]:
        assert refused(lambda: door.active(old)) is Reason.SESSION_UNKNOWN  # noqa: B023
    assert door.active(seen[-1]).account_id == robin.id


def test_v7_3_1_v7_3_2_limits_are_the_portals_to_set() -> None:
    for idle, absolute in ((MINUTE, HOUR), (HOUR, DAY)):
        door = Door(session_policy=SessionPolicy(idle=idle, absolute=absolute))
        robin = door.person()
        opened = door.session(robin)
        door.clock.advance(idle - timedelta(seconds=1))
        door.active(opened)
        door.clock.advance(idle)
        assert refused(lambda: door.active(opened)) is Reason.SESSION_IDLE  # noqa: B023


@pytest.mark.parametrize(
    "base",
    [
        "examples/portal_fastapi/templates/base.html",
        "examples/portal_django/clinic/templates/portalsec/base.html",
    ],
)
def test_v7_4_4_signing_out_is_a_button_in_the_head_of_every_page(base: str) -> None:
    page = (ROOT / base).read_text("utf-8")
    head = page[: page.index("<main")]
    assert re.search(
        r'<form method="post" action="[^>]*sign-out[^>]*>.*?<button[^>]*>Sign out</button>', head
    )
    pages = [each for each in (ROOT / base).parent.parent.rglob("*.html") if each != ROOT / base]
    assert len(pages) >= 8
    assert [
        each.name for each in pages if "<body" in each.read_text("utf-8")
    ] == []  # none has a head of its own


def test_v7_5_2_one_sees_ones_sessions_and_ends_them_after_a_factor_was_shown(m: Factoring) -> None:
    mine, other = m.open(), m.open()
    listed = m.portal.sessions.listed(m.active(mine).account_id, current=m.active(mine))
    assert [each.current for each in listed] == [True, False]
    m.clock.advance(6 * MINUTE)
    for which in (listed[1].reference, "others"):
        with pytest.raises(Denied) as refusal:
            ended(m, mine, which)
        assert refusal.value.reason is Reason.STEP_UP_REQUIRED
    assert m.alive(other)
    new = m.portal.step_up.submit_password(m.active(mine), PASSWORD, source=HERE)
    ended(m, new.token.reveal(), listed[1].reference)
    assert not m.alive(other)
    assert m.alive(new)


def test_v7_5_3_what_matters_more_takes_more_than_the_session() -> None:
    door = Door()
    robin = door.person()
    door.with_passkey(robin)
    held = door.active(door.session(robin))
    with pytest.raises(Denied) as refusal:
        door.step_up.require(held, within=5 * MINUTE)
    assert refusal.value.reason is Reason.STEP_UP_REQUIRED
    options = door.step_up.begin_passkey(held, source=SOURCE)
    new = door.step_up.submit_passkey(held, door.answer(robin, options), source=SOURCE)
    door.step_up.require(door.active(new), within=5 * MINUTE, phishing_resistant=True)


def test_au_8_after_what_looks_wrong_a_factor_is_asked_for_and_the_id_changes(m: Factoring) -> None:
    held = m.open()
    with pytest.raises(Denied) as refusal:
        m.portal.sessions.check(held, source=THIEF)
    assert refusal.value.reason is Reason.STEP_UP_REQUIRED
    found = m.portal.sessions.check(held, source=THIEF, stepping_up=True)
    new = m.portal.step_up.submit_password(found, PASSWORD, source=THIEF)
    assert m.portal.sessions.check(new.token.reveal(), source=THIEF).account_id == found.account_id
    assert not m.alive(held)
