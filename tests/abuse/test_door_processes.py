"""Four processes at once at each step of the door, on SQLite, PostgreSQL and Redis: no lock in memory decides.

Cases MFA-05, MFA-06, MFA-10, MFA-16, KEY-01, KEY-02, SES-03, SES-04, SES-08, SES-09, SES-12, ATK-07, ATK-10, ATK-12, ATK-14,
ATK-20, ATK-25, ATK-27, ATK-32, ATK-44, ATK-47, ATK-48. What races at the stores alone is in ``tests/stores/test_processes.py``
and in the contracts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from portalsec.auth._door import DOOR
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Reason
from portalsec.testing import DpopClient, SoftAuthenticator
from tests.abuse.race_cases import URI, WON, dpop_of, undo_of
from tests.abuse.racing import CAP, EACH, GONE, PROCESSES, ROUNDS, Place, Race, Racers, opened
from tests.abuse.removals import Owner, owner_of_two, promised, stepped_up
from tests.auth.door import Door, begun
from tests.auth.mail import token_of, with_address
from tests.auth.world import ORIGIN, PASSWORD, SOURCE, Backing
from tests.measured import SOAK, Measure

KEY = AESGCM.generate_key(256)


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
    return Race(place, racers, backing, empty)


def one_won(race: Race, people: list[Account], got: list[list[Any]], *lost: Reason) -> None:
    """In each round one process has the session, and the account no other."""
    for person, results in zip(people, got, strict=True):
        assert results.count(WON) == 1, results
        assert {each for each in results if each != WON} <= set(lost), results
        assert race.sessions(person) == 1


def test_mfa_05_atk_07_one_code_of_an_authenticator(race: Race, measure: Measure) -> None:
    """A thousand rounds in all under ``make soak``, a hundred at a time."""
    turns = 10 if os.environ.get(SOAK) == "1" else 1
    for turn in range(turns):
        if turn:
            race.anew()
        people = race.people()
        got = race("totp", [(race.sign_ins(each), race.door.code(each)) for each in people])
        one_won(race, people, got, Reason.CODE_REPLAYED)
    measure(
        f"one code of an authenticator in {PROCESSES} processes at once, each round one session ({race.name})",
        turns * ROUNDS,
        "rounds",
    )


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


def owners(race: Race) -> list[Owner]:
    return [owner_of_two(race.door, f"person{turn}") for turn in range(ROUNDS)]


def left(race: Race, owner: Owner) -> int:
    """How many authenticators, at a portal that asks nobody for one who has none."""
    door = Door(SignInPolicy(second_factor="optional"), backing=race.door.backing, lanes=race.door.lanes)
    door.clock.set(race.door.clock())
    return promised(door, owner)


@pytest.mark.parametrize("required", [False, True])
def test_mfa_16_atk_44_of_removals_of_the_last_two_one_wins_at_most(race: Race, required: bool) -> None:
    people = owners(race)
    jobs = [([stepped_up(race.door, each) for _ in EACH], each.held, required) for each in people]
    for owner, results in zip(people, race("remove", jobs), strict=True):
        # One that is late finds its own gone, or that it is the last.
        late = (
            {Reason.FACTOR_NOT_ENROLLED, Reason.FACTOR_REQUIRED} if required else {Reason.FACTOR_NOT_ENROLLED}
        )
        assert {each for each in results if each != WON} <= GONE | late, results
        assert results.count(WON) <= 1
        assert left(race, owner) == 2 - results.count(WON)
        assert race.door.recovery_codes.left(owner.account.id) == 10


def test_mfa_16_atk_44_the_links_of_both_at_once_leave_no_way_round_the_password(race: Race) -> None:
    people = owners(race)
    for owner, results in zip(people, race("undo_both", [each.links for each in people]), strict=True):
        assert sorted(results) == sorted([WON, WON, Reason.TOKEN_INVALID, Reason.TOKEN_INVALID])
        assert left(race, owner) == 0


@pytest.mark.parametrize("required", [False, True])
def test_mfa_16_atk_44_a_link_of_one_and_a_removal_of_the_other(race: Race, required: bool) -> None:
    people = owners(race) + [owner_of_two(race.door, f"other{turn}") for turn in range(ROUNDS)]
    pairs = list(zip(people[:ROUNDS], people[ROUNDS:], strict=True))
    jobs = [
        [(each.links, stepped_up(race.door, each), each.held, required) for each in pair] for pair in pairs
    ]
    got = race("undo_or_remove", [tuple(zip(*job, strict=True)) for job in jobs])
    for pair, results in zip(pairs, got, strict=True):
        for number, owner in enumerate(pair):
            removed, undone = results[2 * number : 2 * number + 2]
            assert undone == WON and (removed == WON or isinstance(removed, Reason)), results
            # Where policy asks for one, a removal that finds the other gone meanwhile puts its own back.
            assert left(race, owner) == (0 if removed == WON else 1)


def test_ses_12_one_link_confirms_an_address_once(race: Race) -> None:
    people, new = race.people(), "new-{}@mail.example"
    links = [(mailed(race, each, new.format(each.login)),) for each in people]
    for person, results in zip(people, race("confirm", links), strict=True):
        assert sorted(results) == sorted([WON, *[Reason.TOKEN_INVALID] * (PROCESSES - 1)])
        assert verified(race, person) == {new.format(person.login)}
        assert race.sessions(person) == 0


def test_ses_12_two_addresses_that_are_confirmed_at_once_are_those_that_were_shown(race: Race) -> None:
    people, jobs = race.people(), []
    for person in people:
        jobs.append([mailed(race, person, f"{name}-{person.login}@mail.example") for name in ("a", "b")])
    for person, results in zip(people, race("confirm", jobs), strict=True):
        assert {each for each in results if each != WON} <= {Reason.TOKEN_INVALID}
        # Each ends the other's link: it may be one of them, and never two for one.
        won = [number % 2 for number, each in enumerate(results) if each == WON]
        assert 1 <= len(won) == len(set(won))
        assert verified(race, person) == {f"{'ab'[number]}-{person.login}@mail.example" for number in won}


def mailed(race: Race, person: Account, address: str) -> str:
    """The link that confirms an address, which its owner has just added."""
    session = race.door.sessions.check(race.texts(person)[0], source=SOURCE)
    race.door.contacts.add(session, address, current=PASSWORD, source=SOURCE)
    return token_of(race.door)


def verified(race: Race, person: Account) -> set[str]:
    return {each.address for each in race.door.contacts.of_account(person.id) if each.verified_at}


def test_ses_03_atk_14_a_change_of_the_password_outlives_all_other_sessions(race: Race) -> None:
    people = race.people()
    texts = [race.texts(each, PROCESSES) for each in people]
    for person, old, results in zip(people, texts, race("change_or_rotate", texts), strict=True):
        assert {each for each in results[1:] if isinstance(each, Reason)} <= GONE, results
        assert race.lives(results[0]) and race.sessions(person) == 1
        assert not any(race.lives(each) for each in [*old, *results[1:]] if not isinstance(each, Reason))


def test_atk_25_one_credential_id_of_four_accounts(race: Race) -> None:
    people, jobs, browser = race.people(enrolled=False), [], SoftAuthenticator()
    for number, person in enumerate(people):
        others = [race.door.person(f"{person.login}-{each}", enrolled=False) for each in EACH]
        options = [race.door.passkeys.begin_registration(place(each.id), each) for each in others]
        made = [
            browser.create(each.json, origin=ORIGIN, credential_id=b"the same %d" % number)
            for each in options
        ]
        jobs.append(([place(each.id) for each in others], [each.id for each in others], made))
    for number, results in enumerate(race("register", jobs)):
        assert sorted(results) == sorted([WON, *[Reason.PASSKEY_TAKEN] * (PROCESSES - 1)])
        held = race.door.backing.passkeys.by_credential_id(b"the same %d" % number)
        assert held.account_id == jobs[number][1][results.index(WON)]


def test_key_01_one_challenge_of_a_registration(race: Race) -> None:
    people, jobs = race.people(enrolled=False), []
    for person in people:
        options = race.door.passkeys.begin_registration(place(person.id), person)
        # Four authenticators answer it: none is refused for being registered already.
        made = [SoftAuthenticator().create(options.json, origin=ORIGIN) for _ in EACH]
        jobs.append(([place(person.id)], [person.id], made))
    for person, results in zip(people, race("register", jobs), strict=True):
        assert sorted(results) == sorted([WON, *[Reason.FLOW_UNKNOWN] * (PROCESSES - 1)])
        assert len(race.door.backing.passkeys.of_account(person.id)) == 1


def place(account_id: str) -> bytes:
    return hashlib.sha256(account_id.encode()).digest()


def test_atk_10_no_more_than_three_codes_go_out_until_one_comes_back(race: Race) -> None:
    people = race.people()
    for person in people:
        with_address(race.door, person, f"{person.login}@mail.example")
    for person, results in zip(people, race("send", [each.id for each in people]), strict=True):
        got = [each for mine in results for each in mine]
        assert (got.count(WON), set(got)) == (3, {WON, Reason.THROTTLED}), person
    now, requests = race.door.clock(), race.door.notice_store
    due = requests.claim(now=now, lease=timedelta(minutes=5), limit=100 * ROUNDS)
    assert [each.kind for each in due].count(NoticeKind.REQUEST_CODE) == 3 * ROUNDS


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
