"""Four processes at once at the cap of an authenticator and at the end of staff who act for an owner, on SQLite, PostgreSQL and
Redis: cases ATK-04, AUZ-04. Other steps of the door are in ``test_door_processes.py``.
"""

from __future__ import annotations

from portalsec.errors import Reason
from tests.abuse.racing import GONE, Race
from tests.abuse.test_door_processes import backing, emptied, race, racers

__all__ = ["backing", "emptied", "race", "racers"]

CAP, LEFT = 100, 2


def test_atk_04_no_authenticator_is_guessed_at_past_the_cap(race: Race) -> None:
    people, jobs = race.people(), []
    for person in people:
        (device,) = race.door.totp_store.devices(person.id)
        for _ in range(CAP - LEFT):
            race.door.totp_store.try_(person.id, device.id, cap=CAP)
        jobs.append((race.sign_ins(person), race.door.wrong_code(person)))
    dead = {Reason.FACTOR_DISABLED, Reason.FACTOR_NOT_ENROLLED}
    for person, results in zip(people, race("totp", jobs), strict=True):
        assert results.count(Reason.WRONG_CODE) == LEFT, results
        assert {each for each in results if each is not Reason.WRONG_CODE} <= dead
        assert not race.door.totp.usable(person.id)
        assert race.sessions(person) == 0


def test_auz_04_of_those_that_act_for_an_owner_while_staff_is_disabled_none_is_left(race: Race) -> None:
    owner, *staff = race.door.person(), *race.people(), race.door.person("other")
    jobs = [(race.texts(each)[0], owner.id, each is not staff[-1]) for each in staff]
    *ended, going = race("impersonate_or_end", jobs)
    for results in ended:
        assert not isinstance(results[0], Reason)
        begun = [each for each in results[1:] if isinstance(each, str)]
        assert {each for each in results[1:] if each not in begun} <= GONE, results
        assert not any(map(race.lives, begun))
    assert any(isinstance(each, str) and race.lives(each) for each in going), "while they stay, staff may"
