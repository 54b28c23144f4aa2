"""Fifty requests at once at each step of the door, in memory, on databases and Redis: cases MFA-05, MFA-06, ATK-07,
ATK-10, ATK-19, ATK-32, ATK-47, ATK-48.

Four processes at once are in ``test_door_processes.py``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Denied, Reason
from portalsec.events import Event, Outcome
from portalsec.testing import DpopClient, SoftAuthenticator
from tests.abuse.doors import MakeDoor, backing, make
from tests.abuse.race_cases import URI, dpop_of, undo_of
from tests.auth.door import Door, begun
from tests.auth.mail import with_address
from tests.auth.world import ORIGIN, PASSWORD, SOURCE, code_of, session, tight, together

__all__ = ["backing", "make"]

MANY = 50


def lanes() -> Any:
    return tight(second_factor_long=1000, recovery_code=1000, passkey=1000, step_up=1000)


def opened(door: Door, robin: Any, results: list[Any]) -> int:
    """How many of them got a session; the others were refused, and nothing broke."""
    assert all(not isinstance(each, Exception) or isinstance(each, Denied) for each in results), results
    won = [each for each in results if not isinstance(each, Exception) and each.session is not None]
    assert len(door.backing.sessions.of_account(robin.id)) == len(won)
    return len(won)


def test_mfa_05_one_right_code_opens_one_session(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    code, tokens = door.code(robin), [begun(door.start()) for _ in range(MANY)]
    results = together(MANY, lambda n: door.sign_in.submit_totp(tokens[n], code, source=SOURCE))
    assert opened(door, robin, results) == 1


def test_mfa_06_atk_32_one_recovery_code_opens_one_session(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    codes = door.with_codes(robin)
    tokens = [begun(door.start()) for _ in range(MANY)]
    results = together(MANY, lambda n: door.sign_in.submit_recovery_code(tokens[n], codes[0], source=SOURCE))
    assert opened(door, robin, results) == 1
    assert door.recovery_codes.left(robin.id) == 9
    # Two different ones at once: both end spent.
    two = [begun(door.start()) for _ in range(2)]
    together(2, lambda n: door.sign_in.submit_recovery_code(two[n], codes[1 + n], source=SOURCE))
    assert (len(door.backing.sessions.of_account(robin.id)), door.recovery_codes.left(robin.id)) == (3, 7)


def test_one_pending_sign_in_opens_one_session_whatever_is_shown_at_once(make: MakeDoor) -> None:
    door = make(SignInPolicy(pending_attempts=100), lanes=lanes())
    robin = door.person()
    door.with_passkey(robin)
    codes, pending = door.with_codes(robin), begun(door.start())
    options, _ = door.sign_in.begin_passkey(pending, source=SOURCE)
    answer, code = door.answer(robin, options), door.code(robin)

    def show(n: int) -> Any:
        if n % 3 == 0:
            return door.sign_in.submit_passkey(pending, answer, source=SOURCE)
        if n % 3 == 1:
            return door.sign_in.submit_totp(pending, code, source=SOURCE)
        return door.sign_in.submit_recovery_code(pending, codes[n % 10], source=SOURCE)

    assert opened(door, robin, together(MANY, show)) == 1


def test_atk_19_one_answer_of_a_passkey_opens_one_session(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    options, pending = door.sign_in.begin_passkey(source=SOURCE, login="robin")
    answer = door.answer(robin, options)
    results = together(MANY, lambda _: door.sign_in.submit_passkey(pending.reveal(), answer, source=SOURCE))
    assert opened(door, robin, results) == 1


@pytest.mark.parametrize("kind", ["totp", "passkey"])
def test_of_many_browsers_that_set_a_first_factor_up_at_once_at_most_one_has_it(
    make: MakeDoor, kind: str
) -> None:
    door = make(lanes=lanes())
    robin, ready = door.person(enrolled=False), []
    tokens = [begun(door.start()) for _ in range(MANY)]
    if kind == "totp":
        # The store keeps one enrolment that is not confirmed: the last one begun.
        for token in tokens:
            seed = door.sign_in.begin_totp_enrolment(token, source=SOURCE).secret.reveal()
            ready.append(code_of(seed, door.clock()))
    else:
        for token in tokens:
            options = door.sign_in.begin_passkey_enrolment(token, source=SOURCE)
            ready.append(SoftAuthenticator().create(options.json, origin=ORIGIN))

    def confirm(n: int) -> Any:
        if kind == "totp":
            return door.sign_in.confirm_totp_enrolment(tokens[n], ready[n], source=SOURCE)
        return door.sign_in.confirm_passkey_enrolment(tokens[n], ready[n], "key", source=SOURCE)

    results = together(MANY, confirm)
    assert all(not isinstance(each, Exception) or isinstance(each, Denied) for each in results), results
    # One that is late ends all other sessions before it finds that it is: the one that won then signs in once more.
    assert (
        len(door.backing.sessions.of_account(robin.id))
        <= sum(not isinstance(r, Denied) for r in results)
        <= 1
    )
    held = len(door.totp.devices(robin.id)) + len(door.passkey_store.of_account(robin.id))
    assert held <= 1
    if any(not isinstance(each, Exception) for each in results):
        assert held == 1


def test_atk_07_one_code_steps_one_session_up(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    held = by_recovery_codes(door, robin, MANY)
    code = door.code(robin)
    results = together(MANY, lambda n: door.step_up.submit_totp(held[n], code, source=SOURCE))
    assert sum(not isinstance(each, Exception) for each in results) == 1
    done = [each for each in door.events.named(Event.AUTH_STEP_UP) if each.outcome is Outcome.SUCCESS]
    assert len(done) == 1
    # And one session is stepped up once, whatever is shown in it at once.
    (last,) = by_recovery_codes(door, robin, 1)
    results = together(MANY, lambda _: door.step_up.submit_password(last, PASSWORD, source=SOURCE))
    assert sum(not isinstance(each, Exception) for each in results) <= 1


def by_recovery_codes(door: Door, robin: Any, count: int) -> list[ActiveSession]:
    """Sessions by recovery codes, so that no code of the authenticator is used."""
    opened: list[ActiveSession] = []
    while len(opened) < count:
        for code in door.with_codes(robin)[: count - len(opened)]:
            step = door.sign_in.submit_recovery_code(begun(door.start()), code, source=SOURCE)
            opened.append(door.active(session(step)))
    return opened


def test_atk_10_of_fifty_codes_that_are_asked_for_at_once_three_go_out(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    with_address(door, robin)
    results = together(
        MANY,
        lambda n: door.out_of_band.send(bytes([n]) * 32, robin, Factor.EMAIL_CODE, source=SOURCE),
    )
    lost = [each for each in results if isinstance(each, Exception)]
    assert len(lost) == MANY - 3
    assert all(isinstance(each, Denied) and each.reason is Reason.THROTTLED for each in lost), lost
    due = door.notice_store.claim(now=door.clock(), lease=timedelta(minutes=5), limit=100)
    assert [each.kind for each in due].count(NoticeKind.REQUEST_CODE) == 3


def test_atk_48_one_of_fifty_browsers_with_its_cookie_stays_trusted(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    made = door.devices.remember(robin.id, None, source=SOURCE)
    assert door.trust.trust(robin, made.device, source=SOURCE)
    cookie = made.cookie.reveal()
    known = door.devices.find(cookie, robin.id, source=SOURCE)
    assert known is not None
    results = together(
        MANY, lambda _: door.devices.remember(robin.id, known.digest, source=SOURCE, cookie=cookie)
    )
    assert not [each for each in results if isinstance(each, Exception)], results
    assert [door.trust.holds(robin, each.device, door.clock()) for each in results].count(True) == 1
    # So many new browsers push the oldest ones out, and it may be among them.
    assert len(door.trust.of_account(robin)) <= 1


def test_atk_47_one_link_undoes_once(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    (device,) = door.backing.totp.devices(robin.id)
    details = {"factor": "totp", "device": device.id}
    notice = door.notices.tell(robin.id, NoticeKind.FACTOR_ADDED, source=SOURCE, details=details)
    token = undo_of(door).token(notice, details)
    assert token is not None
    results = together(MANY, lambda _: undo_of(door).confirm(token.reveal(), source=SOURCE))
    lost = [each for each in results if isinstance(each, Exception)]
    assert len(lost) == MANY - 1
    assert all(isinstance(each, Denied) and each.reason is Reason.TOKEN_INVALID for each in lost), lost
    told = [each.kind for each in door.notices.of_account(robin.id)]
    assert told.count(NoticeKind.FACTOR_REMOVED) == 1


def test_one_proof_of_an_api_client_is_taken_once(make: MakeDoor) -> None:
    door = make(lanes=lanes())
    robin = door.person()
    door.with_passkey(robin)
    service, client = dpop_of(door), DpopClient(clock=door.clock)
    proof = service.read([client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
    token = client.token = service.bind(session(door.first(robin)), proof, source=SOURCE).token.reveal()
    text = client.proof("GET", URI)

    def use(_: int) -> Any:
        shown = service.read([text], method="GET", uri=URI, source=SOURCE, token=token)
        return door.sessions.check(token, source=SOURCE, holder=service.holder(shown, source=SOURCE))

    lost = [each for each in together(MANY, use) if isinstance(each, Exception)]
    assert len(lost) == MANY - 1
    assert all(isinstance(each, Denied) and each.reason is Reason.DPOP_REFUSED for each in lost), lost
