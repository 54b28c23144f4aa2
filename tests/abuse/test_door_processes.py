"""Four processes at once at each step of the door, on SQLite, PostgreSQL and Redis: no lock in memory decides.

Cases MFA-05, MFA-06, MFA-10, KEY-02, SES-03, SES-04, SES-08, SES-09, ATK-07, ATK-12, ATK-20, ATK-27, ATK-32, ATK-48. What races
at the stores alone is in ``tests/stores/test_processes.py`` and in the contracts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.auth._door import DOOR
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.errors import Denied, Reason
from portalsec.testing import DpopClient, SoftAuthenticator
from tests.abuse.race_cases import URI, WON, dpop_of, undo_of
from tests.abuse.racing import CAP, PROCESSES, Place, Racers, door_over, opened
from tests.auth.door import begun
from tests.auth.world import ORIGIN, SOURCE, Backing, session

ROUNDS = 100 if os.environ.get("PORTALSEC_SOAK") == "1" else 2
EACH = range(PROCESSES)
KEY = AESGCM.generate_key(256)
GONE = {Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED}


class Race:
    """A door in the test's own process, over the stores that the racers open."""

    def __init__(self, place: Place, racers: Racers, backing: Backing) -> None:
        self._place, self._racers = place, racers
        self.door = door_over(backing)

    def people(self, **person: Any) -> list[Account]:
        """One for each round."""
        return [self.door.person(f"person{turn}", **person) for turn in range(ROUNDS)]

    def __call__(self, case: str, jobs: list[Any]) -> list[list[Any]]:
        return self._racers.race(self._place, self.door.clock(), case, jobs)

    def sessions(self, person: Account) -> int:
        return len(self.door.backing.sessions.of_account(person.id))

    def lives(self, text: str) -> bool:
        try:
            self.door.sessions.check(text, source=SOURCE)
        except Denied as denied:
            assert denied.reason in GONE
            return False
        return True

    def sign_ins(self, person: Account) -> list[str]:
        return [begun(self.door.start(person.login)) for _ in EACH]

    def texts(self, person: Account, count: int = 1) -> list[str]:
        """Sessions by recovery codes, so that no code of the authenticator is used."""
        codes, made = self.door.with_codes(person), []
        for code in codes[:count]:
            step = self.door.sign_in.submit_recovery_code(
                begun(self.door.start(person.login)), code, source=SOURCE
            )
            made.append(session(step).token.reveal())
        return made


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    racers = Racers()
    yield racers
    racers.close()


@pytest.fixture(
    scope="module",
    params=[
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("redis", marks=pytest.mark.redis),
    ],
)
def emptied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Place, Callable[[], None]]]:
    """One place for all tests, which everybody opens once, and what empties it."""
    from portalsec.stores.redis import open_redis
    from tests.abuse.stores import over_sql

    kind, redis = request.param, None
    url = f"sqlite:///{tmp_path_factory.mktemp('race')}/security.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
    with over_sql(url) as over, ExitStack() as stack:
        empties: list[Callable[[], object]] = [over.empty]
        if kind == "redis":
            redis = request.getfixturevalue("redis_server")
            empties.append(stack.enter_context(closing(open_redis(redis))).flushdb)
        yield Place(url, redis, KEY), lambda: [empty() for empty in empties] and None


@pytest.fixture(scope="module")
def backing(emptied: tuple[Place, Callable[[], None]]) -> Iterator[Backing]:
    with ExitStack() as stack:
        yield opened(emptied[0], stack)


@pytest.fixture
def race(emptied: tuple[Place, Callable[[], None]], backing: Backing, racers: Racers) -> Race:
    place, empty = emptied
    empty()
    return Race(place, racers, backing)


def one_won(race: Race, people: list[Account], got: list[list[Any]], *lost: Reason) -> None:
    """In each round one process has the session, and the account no other."""
    for person, results in zip(people, got, strict=True):
        assert results.count(WON) == 1, results
        assert {each for each in results if each != WON} <= set(lost), results
        assert race.sessions(person) == 1


def test_mfa_05_atk_07_one_code_of_an_authenticator(race: Race) -> None:
    people = race.people()
    got = race("totp", [(race.sign_ins(each), race.door.code(each)) for each in people])
    one_won(race, people, got, Reason.CODE_REPLAYED)


def test_mfa_06_atk_32_one_recovery_code(race: Race) -> None:
    people = race.people()
    got = race("recovery_code", [(race.sign_ins(each), race.door.with_codes(each)[0]) for each in people])
    one_won(race, people, got, Reason.WRONG_CODE)
    assert {race.door.recovery_codes.left(each.id) for each in people} == {9}


def test_key_02_atk_27_one_answer_of_a_passkey(race: Race) -> None:
    people, jobs = race.people(enrolled=False), []
    for person in people:
        race.door.with_passkey(person)
        options, pending = race.door.sign_in.begin_passkey(source=SOURCE, login=person.login)
        jobs.append(([pending.reveal()], [race.door.answer(person, options)]))
    one_won(race, people, race("passkey", jobs), Reason.FLOW_UNKNOWN, Reason.PASSKEY_REFUSED)


def test_atk_20_copies_of_a_passkey_that_count_alike(race: Race) -> None:
    people, jobs = race.people(enrolled=False), []
    for person in people:
        passkey, tokens, answers = race.door.with_passkey(person), [], []
        for _ in EACH:
            options, pending = race.door.sign_in.begin_passkey(source=SOURCE, login=person.login)
            tokens.append(pending.reveal())
            answers.append(passkey.clone().get(options.json, origin=ORIGIN))
        jobs.append((tokens, answers))
    one_won(race, people, race("passkey", jobs), Reason.PASSKEY_REFUSED)
    for person in people:
        (held,) = race.door.backing.passkeys.of_account(person.id)
        assert held.suspect_at is not None and held.sign_count == 1


def test_mfa_06_one_pending_sign_in_whatever_is_shown(race: Race) -> None:
    people, jobs = race.people(), []
    for person in people:
        race.door.with_passkey(person)
        codes, pending = race.door.with_codes(person), begun(race.door.start(person.login))
        options, _ = race.door.sign_in.begin_passkey(pending, source=SOURCE)
        shown = [
            ("submit_totp", race.door.code(person)),
            ("submit_passkey", race.door.answer(person, options)),
            ("submit_recovery_code", codes[0]),
            ("submit_recovery_code", codes[1]),
        ]
        jobs.append((pending, shown))
    one_won(race, people, race("one_pending", jobs), Reason.FLOW_UNKNOWN)


def test_mfa_10_guesses_in_one_pending_sign_in(race: Race) -> None:
    person = race.people()[0]
    # Each of three rounds is four guesses in the same pending sign-in, which dies with the fifth.
    got = race("guesses", [(begun(race.door.start(person.login)), race.door.wrong_code(person))] * 3)
    reasons = [each for results in got for each in results]
    assert (reasons.count(Reason.WRONG_CODE), reasons.count(Reason.FLOW_EXHAUSTED)) == (4, 1), reasons
    assert reasons.count(Reason.FLOW_UNKNOWN) == 7
    assert race.sessions(person) == 0


def test_atk_07_one_code_steps_one_session_up(race: Race) -> None:
    people = race.people()
    got = race("step_up", [(race.texts(each, PROCESSES), race.door.code(each)) for each in people])
    assert [results.count(WON) for results in got] == [1] * ROUNDS
    assert {race.sessions(each) for each in people} == {PROCESSES}


def test_atk_12_one_session_is_stepped_up_once(race: Race) -> None:
    people = race.people()
    got = race("password_step_up", [race.texts(each)[0] for each in people])
    for results in got:
        assert results.count(WON) <= 1, results
    assert {race.sessions(each) for each in people} == {1}


def test_ses_09_atk_12_one_rotation_wins_and_the_old_id_is_dead(race: Race) -> None:
    people = race.people()
    old = [race.texts(each)[0] for each in people]
    for person, text, results in zip(people, old, race("rotate", old), strict=True):
        (won,) = [each for each in results if not isinstance(each, Reason)]
        assert {each for each in results if each != won} == {Reason.SESSION_UNKNOWN}
        assert race.lives(won) and not race.lives(text)
        assert race.sessions(person) == 1


def test_ses_03_ses_04_no_rotation_outlives_the_end_of_all(race: Race) -> None:
    people = race.people()
    got = race("rotate_or_end", [race.texts(each)[0] for each in people])
    for person, results in zip(people, got, strict=True):
        assert not any(race.lives(each) for each in results if isinstance(each, str) and len(each) == 43)
        assert race.sessions(person) == 0


def test_ses_08_no_more_sessions_than_the_cap(race: Race) -> None:
    people = race.people()
    for person, results in zip(people, race("open_two", [each.id for each in people]), strict=True):
        got = [text for each in results for text in each]
        texts = {text for text in got if text is not None}
        # Where others took its place before it was written (Redis), a sign-in is told so.
        assert len(got) - got.count(None) == len(texts) >= CAP
        assert race.sessions(person) == sum(race.lives(text) for text in texts) == CAP


def test_atk_48_one_browser_of_those_with_its_cookie_stays_trusted(race: Race) -> None:
    people, jobs, door = race.people(), [], race.door
    for person in people:
        made = door.devices.remember(person.id, None, source=SOURCE)
        assert door.trust.trust(person, made.device, source=SOURCE)
        jobs.append((person.id, made.cookie.reveal()))
    for person, results in zip(people, race("trusted_device", jobs), strict=True):
        assert [trusted for trusted, _ in results].count(True) == 1, results
        # Each browser has a device; one is the trusted one with its last secret, the others are new.
        assert len(door.devices.of_account(person.id)) == PROCESSES
        assert len(door.trust.of_account(person)) == 1


def test_atk_47_one_link_undoes_once(race: Race) -> None:
    people, jobs, door = race.people(), [], race.door
    for person in people:
        (device,) = door.backing.totp.devices(person.id)
        details = {"factor": "totp", "device": device.id}
        notice = door.notices.tell(person.id, NoticeKind.FACTOR_ADDED, source=SOURCE, details=details)
        token = undo_of(door).token(notice, details)
        assert token is not None
        jobs.append(token.reveal())
    for person, results in zip(people, race("undo", jobs), strict=True):
        assert sorted(results) == sorted([WON, *[Reason.TOKEN_INVALID] * (PROCESSES - 1)])
        kinds = [each.kind for each in door.notices.of_account(person.id)]
        assert kinds.count(NoticeKind.FACTOR_REMOVED) == 1


def test_atk_47_of_browsers_that_set_a_first_factor_up_at_most_one_has_it(race: Race) -> None:
    people, jobs, door = race.people(enrolled=False), [], race.door
    for person in people:
        tokens = race.sign_ins(person)
        options = [door.sign_in.begin_passkey_enrolment(each, source=SOURCE) for each in tokens]
        jobs.append((tokens, [SoftAuthenticator().create(each.json, origin=ORIGIN) for each in options]))
    for person, results in zip(people, race("enrol", jobs), strict=True):
        assert all(each == WON or isinstance(each, Reason) for each in results), results
        held = len(door.backing.passkeys.of_account(person.id))
        # One that is late ends all other sessions before it finds that it is: who won then signs in once more.
        assert race.sessions(person) <= results.count(WON) <= held <= 1


def test_one_proof_of_an_api_client_is_taken_once(race: Race) -> None:
    people, jobs, door = race.people(), [], race.door
    for person in people:
        client = bound(door, race.texts(person)[0])
        jobs.append((client.token, client.proof("GET", URI)))
    for results in race("dpop", jobs):
        assert sorted(results) == sorted([WON, *[Reason.DPOP_REFUSED] * (PROCESSES - 1)])


def bound(door: Any, text: str) -> DpopClient:
    """A client that holds a session by its key from here on."""
    client, service = DpopClient(clock=door.clock), dpop_of(door)
    proof = service.read([client.proof("POST", URI)], method="POST", uri=URI, source=SOURCE)
    opened = door.sessions.rotate_through(DOOR, door.sessions.check(text, source=SOURCE), source=SOURCE)
    client.token = service.bind(opened, proof, source=SOURCE).token.reveal()
    return client
