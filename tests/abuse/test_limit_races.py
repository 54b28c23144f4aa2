"""Fifty requests at once at what may be had or tried so many times, on each kind of store: cases MFA-10, KEY-01, ATK-04.

What opens sessions at the door is in ``test_door_races.py``; four processes are in ``test_door_processes.py``.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from portalsec.errors import Denied, Reason
from portalsec.events import Event
from portalsec.testing import SoftAuthenticator
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import begun, refused
from tests.auth.world import ORIGIN, SOURCE, tight, together

__all__ = ["backing", "make"]

MANY = 50
CAP = 100


def reasons(results: list[Any]) -> Counter[Reason | None]:
    """Why they were refused, and None for those that were not; nothing broke."""
    assert all(not isinstance(each, Exception) or isinstance(each, Denied) for each in results), results
    return Counter(each.reason if isinstance(each, Denied) else None for each in results)


def test_mfa_10_guesses_in_one_pending_sign_in_end_it(make: MakeDoor) -> None:
    door = make(lanes=tight(second_factor_long=1000))
    robin = door.person()
    pending, wrong = begun(door.start()), door.wrong_code(robin)
    got = reasons(together(MANY, lambda _: door.sign_in.submit_totp(pending, wrong, source=SOURCE)))
    assert got == {Reason.WRONG_CODE: 4, Reason.FLOW_EXHAUSTED: 1, Reason.FLOW_UNKNOWN: MANY - 5}
    right = door.code(robin)
    assert refused(lambda: door.sign_in.submit_totp(pending, right, source=SOURCE)) is Reason.FLOW_UNKNOWN
    assert not door.backing.sessions.of_account(robin.id)


def test_atk_04_no_authenticator_is_guessed_at_past_the_cap(make: MakeDoor) -> None:
    door = make(lanes=tight(second_factor_long=1000))
    robin = door.person()
    (device,) = door.totp_store.devices(robin.id)
    for _ in range(CAP - 5):
        door.totp_store.try_(robin.id, device.id, cap=CAP)
    tokens, wrong = [begun(door.start()) for _ in range(MANY)], door.wrong_code(robin)
    got = reasons(together(MANY, lambda n: door.sign_in.submit_totp(tokens[n], wrong, source=SOURCE)))
    assert got.pop(Reason.WRONG_CODE) == 5
    # Who comes once it is dead finds none that could be asked for.
    assert set(got) <= {Reason.FACTOR_DISABLED, Reason.FACTOR_NOT_ENROLLED}
    assert len(door.events.named(Event.AUTH_FACTOR_DISABLED)) == 1
    assert not door.totp.usable(robin.id)
    assert not door.backing.sessions.of_account(robin.id)


def test_key_01_one_challenge_of_a_registration_is_good_once(make: MakeDoor) -> None:
    door = make()
    robin = door.person(enrolled=False)
    registering = door.passkeys
    assert registering is not None
    place = hashlib.sha256(robin.id.encode()).digest()
    options = registering.begin_registration(place, robin)
    # Fifty authenticators answer it: none is refused for being registered already.
    made = [SoftAuthenticator().create(options.json, origin=ORIGIN) for _ in range(MANY)]
    results = together(
        MANY, lambda n: registering.complete_registration(place, robin.id, made[n], source=SOURCE)
    )
    assert reasons(results) == {None: 1, Reason.FLOW_UNKNOWN: MANY - 1}
    (held,) = door.backing.passkeys.of_account(robin.id)
    (won,) = [each for each in results if not isinstance(each, Exception)]
    assert held.id == won.id
