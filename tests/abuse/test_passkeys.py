"""Passkeys under attack: rows ATK-18 to ATK-27 and KEY-01, KEY-02, KEY-10 of the abuse cases, on every store.

ATK-28 (malformed input) is in ``tests/auth/passkeys/test_malformed.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from portalsec._encoding import b64url, unb64url
from portalsec.account_pages.passkeys import passkey_refused
from portalsec.auth.assurance import count, level, phishing_resistant
from portalsec.auth.evidence import Evidence
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event
from portalsec.stores.memory import MemoryFlows
from portalsec.testing import SoftAuthenticator
from tests.abuse.doors import backing, make
from tests.auth.door import Door, begun
from tests.auth.passkeys.setting import (
    MARIA,
    ORIGIN,
    PLACE,
    ROBIN,
    SECOND,
    SIGN_IN,
    SOURCE,
    STEP_UP,
    TOP,
    Setting,
)
from tests.auth.world import ORIGIN as DOOR_ORIGIN
from tests.auth.world import SOURCE as VISITOR
from tests.auth.world import Backing, Recorder, together

__all__ = ["backing", "make"]

THREADS = 50
REFUSED, UNKNOWN = Reason.PASSKEY_REFUSED, Reason.FLOW_UNKNOWN


@pytest.fixture
def setting(backing: Backing) -> Setting:
    made = Setting()
    made.store, made.flows = backing.passkeys, backing.flows
    made.service = made.with_policy()
    return made


@pytest.fixture
def maria(setting: Setting) -> SoftAuthenticator:
    browser = SoftAuthenticator()
    setting.register(browser)
    return browser


@pytest.fixture
def robin(setting: Setting) -> SoftAuthenticator:
    browser = SoftAuthenticator()
    setting.register(browser, ROBIN)
    return browser


def denied(call: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        call()
    return caught.value.reason


# -- who is registered ------------------------------------------------------------------------------------------

NAMES = ("maria", "robin", "ended", "gone", "nobody")


def people(setting: Setting) -> dict[str, Account | None]:
    """Somebody with a passkey, without, with a disabled and with a removed one; and a name that nobody has."""
    found: dict[str, Account | None] = {"maria": MARIA, "robin": ROBIN, "nobody": None}
    setting.register(SoftAuthenticator(), MARIA)
    for login in ("ended", "gone"):
        account = Account(id=f"account-{login}", login=login, password_hash=None)
        passkey = setting.register(SoftAuthenticator(), account)
        if login == "ended":
            assert setting.store.suspect(account.id, passkey.id, at=setting.clock(), disable=True)
        else:
            assert setting.store.remove(account.id, passkey.id, at=setting.clock())
        found[login] = account
    return found


def test_atk_18_options_look_the_same_for_every_name_and_stay_the_same(setting):
    everybody = people(setting)
    asked = {login: setting.request(everybody[login], login=login) for login in NAMES}
    for login, options in asked.items():
        assert options.keys() == asked["maria"].keys()
        assert {**options, "challenge": "", "allowCredentials": []} == {
            **asked["maria"],
            "challenge": "",
            "allowCredentials": [],
        }
        assert 1 <= len(options["allowCredentials"]) <= 4
        for each in options["allowCredentials"]:
            assert list(each) == ["type", "id", "transports"]
            assert len(unb64url(each["id"])) in {16, 20, 32, 48, 64}
        setting.clock.advance(timedelta(days=30))
        setting.service = setting.with_policy()  # a restart
        again = setting.request(everybody[login], login=f" {login.upper()} ")
        assert again["allowCredentials"] == options["allowCredentials"]
    ids = [each["id"] for options in asked.values() for each in options["allowCredentials"]]
    assert len(ids) == len(set(ids))
    # What was removed or disabled is offered no more: that would say that it was there.
    for login in ("ended", "gone"):
        stored = setting.store.of_account(f"account-{login}") or setting.store.removed(f"account-{login}")
        assert b64url(stored[0].credential_id) not in ids


def test_atk_18_fakes_are_as_varied_as_authenticators_are(setting):
    lists = [
        setting.request(login=f"stranger {number}")["allowCredentials"] for number in range(400)
    ]  # deterministic but for the key
    lengths = {len(unb64url(each["id"])) for one in lists for each in one}
    assert lengths == {16, 20, 32, 48, 64}
    several = [sum(len(one) >= many for one in lists) for many in (1, 2, 3, 4, 5)]
    assert several[0] == 400 and 50 < several[1] < 150 and 4 < several[2] < 60 and several[4] == 0
    assert several[3] < several[2]
    assert {tuple(each["transports"]) for one in lists for each in one} == {
        ("hybrid", "internal"),
        ("internal",),
        ("nfc", "usb"),
        ("usb",),
    }
    assert len({each["id"] for one in lists for each in one}) == sum(map(len, lists))


@pytest.mark.parametrize(
    "change", [{}, {"authenticator_data": lambda it: it[:9]}, {"client_data": lambda _: b"["}]
)
def test_atk_18_beginning_and_answering_cost_and_say_the_same_for_every_name(setting, change):
    everybody, calls = people(setting), []
    setting.store = Recorder("passkeys", setting.store, calls)
    setting.flows = Recorder("flows", setting.flows, calls)
    setting.service = setting.with_policy()
    stranger, seen = SoftAuthenticator(), {}
    stranger.create(setting.creation(ROBIN), origin=ORIGIN)
    for login in NAMES:
        calls.clear()
        options = setting.request(everybody[login], login=login)
        allowed = options["allowCredentials"][0]["id"]
        answer = json.loads(stranger.get(options | {"allowCredentials": []}, origin=ORIGIN, **change))
        answer["response"]["userHandle"] = None
        reason, _ = setting.completion_refused(answer | {"id": allowed, "rawId": allowed})
        seen[login] = (reason, tuple(calls))
    assert len(set(seen.values())) == 1
    assert seen["nobody"][1][-1] == "passkeys.by_credential_id"


def test_atk_18_nobodys_credentials_are_excluded_but_the_accounts_own(setting):
    people(setting)
    assert setting.creation(ROBIN)["excludeCredentials"] == []
    (own,) = setting.store.of_account(MARIA.id)
    assert [each["id"] for each in setting.creation(MARIA)["excludeCredentials"]] == [
        b64url(own.credential_id)
    ]
    assert setting.request()["allowCredentials"] == []  # without a name, nobody is listed


def test_atk_18_whoever_registers_a_fake_credential_signs_in_as_nobody_else(setting):
    """A stranger can have any id made; a name's fake one among them."""
    fake = unb64url(setting.request(login="nobody")["allowCredentials"][0]["id"])
    mine = SoftAuthenticator()
    response = mine.create(setting.creation(ROBIN), origin=ORIGIN, credential_id=fake)
    setting.service.complete_registration(PLACE, ROBIN.id, response, source=SOURCE)
    assert setting.complete(mine.get(setting.request(login="nobody"), origin=ORIGIN)).account_id == ROBIN.id
    door = Door()
    robin = door.person(enrolled=False)
    options, _ = door.sign_in.begin_passkey(source=VISITOR, login="nobody")
    ids = [each["id"] for each in json.loads(options.json)["allowCredentials"]]
    place = b"a session"
    registering = door.passkeys.begin_registration(place, robin)
    mine = SoftAuthenticator()
    made = mine.create(registering.json, origin=DOOR_ORIGIN, credential_id=unb64url(ids[0]))
    door.passkeys.complete_registration(place, robin.id, made)
    options, pending = door.sign_in.begin_passkey(source=VISITOR, login="nobody")
    answer = mine.get(options.json, origin=DOOR_ORIGIN)
    assert denied(lambda: door.sign_in.submit_passkey(pending.reveal(), answer, source=VISITOR)) is REFUSED


# -- whose account is closed ------------------------------------------------------------------------------------

ADMIN = Actor(type="user", id="admin")


def face(call: Callable[[], object]) -> tuple[object, ...]:
    """What a visitor sees of a refusal."""
    with pytest.raises(Denied) as caught:
        call()
    reply = passkey_refused(caught.value, "en")
    return str(caught.value), reply.status, dict(reply.json or {}), reply.headers, reply.cookies


@pytest.mark.parametrize(
    ("login", "when"),
    [(None, "before"), ("robin", "before"), (None, "asked"), ("robin", "asked"), (None, "second")],
)
def test_key_10_the_passkey_of_a_disabled_account_opens_nothing_and_looks_like_any_wrong_one(
    make, login, when
):
    door = make()
    robin, kim = door.person(), door.person("kim")
    browser = door.with_passkey(robin)
    door.with_passkey(kim)

    def disable() -> None:
        door.accounts.disable(robin.id, actor=ADMIN, source=VISITOR)

    if when == "before":
        disable()
    if when == "second":
        token = begun(door.start())
        options, _ = door.sign_in.begin_passkey(token, source=VISITOR)
    else:
        options, pending = door.sign_in.begin_passkey(source=VISITOR, login=login)
        token = pending.reveal()
    answer = browser.get(options.json, origin=DOOR_ORIGIN)
    if when != "before":
        disable()
    refused = face(lambda: door.sign_in.submit_passkey(token, answer, source=VISITOR))
    assert door.events.named(Event.AUTH_LOGIN) == []
    assert not door.backing.sessions.of_account(robin.id)
    # The same answer again, and after it the account is back: the ceremony is over.
    door.accounts.enable(robin.id, actor=ADMIN, source=VISITOR)
    assert denied(lambda: door.sign_in.submit_passkey(token, answer, source=VISITOR)) is UNKNOWN
    assert not door.backing.sessions.of_account(robin.id)
    # An account that is open, with a passkey that is not right.
    options, pending = door.sign_in.begin_passkey(source=VISITOR, login=login and "kim")
    spoilt = door.answer(kim, options, signature=lambda it: it[:-1] + bytes([it[-1] ^ 1]))
    wrong = face(lambda: door.sign_in.submit_passkey(pending.reveal(), spoilt, source=VISITOR))
    if when != "second":  # there a pending sign-in dies with its account, as any that is too old
        assert refused == wrong
    assert door.first(robin, login=login).session is not None


def test_key_10_options_name_a_disabled_accounts_passkeys_as_before():
    """That they were gone would say that the account is closed."""
    door = Door()
    robin = door.person()
    door.with_passkey(robin)
    asked = []
    for disabled in (False, True):
        if disabled:
            door.accounts.disable(robin.id, actor=ADMIN, source=VISITOR)
        door.calls.clear()
        options, _ = door.sign_in.begin_passkey(source=VISITOR, login="robin")
        asked.append((json.loads(options.json) | {"challenge": ""}, tuple(door.calls)))
    assert asked[0] == asked[1]


# -- downgrade --------------------------------------------------------------------------------------------------


def test_atk_19_a_passkey_without_user_verification_is_one_factor_and_no_first_one(setting, maria):
    assert setting.answer_refused(maria, user_verified=False) == (REFUSED, "A-uv")  # as first factor it must
    assert setting.answer_refused(maria, MARIA, purpose=SECOND, verified=True, user_verified=False) == (
        REFUSED,
        "A-uv",
    )
    weak = setting.answer(maria, MARIA, purpose=SECOND, user_verified=False).proof
    strong = setting.answer(maria, MARIA, purpose=SECOND).proof
    password = Proof(factor=Factor.PASSWORD, at=setting.clock())
    assert (count([weak]), level([weak]), count([strong]), level([strong])) == (1, 1, 2, 2)
    assert (level([weak, password]), phishing_resistant([weak]), phishing_resistant([password])) == (
        2,
        True,
        False,
    )


def test_atk_19_what_the_options_asked_is_remembered_by_the_portal_and_not_by_the_page(setting, maria):
    """A page that an attacker changed asks the authenticator for less than the portal did."""
    options = setting.request(purpose=SIGN_IN) | {"userVerification": "discouraged"}
    response = SoftAuthenticator.get(maria, options, origin=ORIGIN, user_verified=False)
    assert setting.completion_refused(response) == (REFUSED, "A-uv")
    maria.user_verification = False
    creation = setting.creation(user_verification="required", exclude=False)
    creation["authenticatorSelection"]["userVerification"] = "discouraged"
    response = maria.create(creation, origin=ORIGIN)
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is REFUSED


# -- the counter ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("received", [7, 6, 0])
@pytest.mark.parametrize("policy", ["step_up", "disable", "record"])
def test_atk_20_a_counter_that_does_not_rise_is_recorded_and_never_lowered(setting, maria, received, policy):
    assert setting.answer(maria, sign_count=7)
    setting.service = setting.with_policy(clone=policy)
    if policy == "record":
        assert setting.answer(maria, sign_count=received)
    else:
        assert setting.answer_refused(maria, sign_count=received) == (REFUSED, "A-count")
    (event,) = setting.events.named(Event.AUTH_PASSKEY_CLONE_SUSPECTED)
    assert event.details["policy"] == policy
    (passkey,) = setting.store.of_account(MARIA.id)
    assert (passkey.sign_count, passkey.suspect_at) == (7, setting.clock())
    assert passkey.disabled_at == (setting.clock() if policy == "disable" else None)
    if policy == "disable":
        assert setting.answer_refused(maria, sign_count=8) == (REFUSED, "A-disabled")
    else:
        assert setting.answer(maria, sign_count=8)


def test_atk_20_copies_that_answer_at_the_same_instant_are_found_out(setting, maria):
    """Fifty copies with one counter, each with a right challenge of its own: one is let in."""
    answers = []
    for number in range(THREADS):
        options = json.loads(
            setting.service.begin_sign_in(b"%d" % number, login=None, account=MARIA, purpose=SECOND).json
        )
        answers.append(maria.clone().get(options, origin=ORIGIN))

    def use(number: int) -> Evidence:
        return setting.service.complete_sign_in(
            b"%d" % number, SECOND, answers[number], account_id=MARIA.id, require_user_verification=False
        )

    results = together(THREADS, use)
    assert sum(isinstance(each, Evidence) for each in results) == 1
    assert {each.reason for each in results if not isinstance(each, Evidence)} == {REFUSED}
    (passkey,) = setting.store.of_account(MARIA.id)
    assert passkey.sign_count == 1 and passkey.suspect_at is not None


# -- origin and RP id -------------------------------------------------------------------------------------------

ORIGINS = {
    "http": "http://portal.example",
    "port": "https://portal.example:8443",
    "usual port": "https://portal.example:443",
    "subdomain": "https://evil.portal.example",
    "parent": "https://example",
    "suffix": "https://portal.example.evil.example",
    "prefix": "https://evilportal.example",
    "null": "null",
    "empty": "",
    "slash": "https://portal.example/",
    "path": "https://portal.example/sign-in",
    "case": "https://Portal.example",
    "dot": "https://portal.example.",
    "user": "https://portal.example@evil.example",
    "look-alike": "https://portаl.example",
    "space": " https://portal.example",
    "app": "android:apk-key-hash:" + "A" * 43,
}


@pytest.mark.parametrize("name", ORIGINS)
def test_atk_21_only_the_very_origin(setting, maria, name):
    assert setting.answer_refused(maria, origin=ORIGINS[name]) == (REFUSED, "A-origin")
    other = SoftAuthenticator()
    assert setting.registration_refused(other, origin=ORIGINS[name]) == (REFUSED, "R-origin")
    assert setting.answer(maria)


@pytest.mark.parametrize("origin", [None, [ORIGIN], {"origin": ORIGIN}, 5, True])
def test_atk_21_an_origin_is_text(setting, maria, origin):
    change = {"client_data": lambda it: it | {"origin": origin}}
    assert setting.answer_refused(maria, **change) == (Reason.MALFORMED, "A-json")
    assert setting.registration_refused(SoftAuthenticator(), **change) == (Reason.MALFORMED, "R-json")


@pytest.mark.parametrize(
    "rp_id", ["evil.example", "example", "www.portal.example", "Portal.example", ORIGIN, ""]
)
def test_atk_22_another_rp_id(setting, maria, rp_id):
    assert setting.answer_refused(maria, rp_id=rp_id) == (REFUSED, "A-rpid")
    assert setting.registration_refused(SoftAuthenticator(), rp_id=rp_id) == (REFUSED, "R-rpid")


@pytest.mark.parametrize("rp_id", ["example", "com", "co.uk", "github.io"])
def test_atk_22_a_portal_on_a_public_suffix_is_not_built(rp_id):
    with pytest.raises(ConfigurationError, match="public suffix"):
        PasskeyPolicy(rp_id=rp_id, origins=(f"https://{rp_id}",))


def test_atk_23_a_framed_page_has_no_passkeys(setting, maria):
    for framed in ({"cross_origin": True}, {"cross_origin": True, "top_origin": TOP}):
        assert setting.answer_refused(maria, **framed) == (REFUSED, "A-crossOrigin")
        assert setting.registration_refused(SoftAuthenticator(), **framed) == (REFUSED, "R-crossOrigin")
    assert setting.answer_refused(maria, top_origin=TOP) == (REFUSED, "A-topOrigin")
    setting.service = setting.with_policy(top_origins=(TOP,))
    assert setting.answer(maria, cross_origin=True, top_origin=TOP)
    assert setting.answer_refused(maria, cross_origin=True, top_origin=ORIGINS["suffix"]) == (
        REFUSED,
        "A-topOrigin",
    )


# -- whose it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eligible", [False, True])
def test_atk_24_backup_eligibility_never_changes(setting, eligible):
    browser = SoftAuthenticator(backup_eligible=eligible, backed_up=eligible)
    setting.register(browser)
    assert setting.answer_refused(browser, backup_eligible=not eligible, backed_up=False) == (REFUSED, "A-be")
    (event,) = setting.events.named(Event.AUTH_PASSKEY_REFUSED)
    assert event.details["check"] == "A-be"
    assert setting.answer(browser).proof.device_bound is not eligible


def test_atk_25_a_credential_id_belongs_to_one_account_for_good(setting, maria):
    taken = maria.credentials[0].id
    thief = SoftAuthenticator()
    (passkey,) = setting.store.of_account(MARIA.id)
    for removed in (False, True):  # its owner can undo a removal for a day
        if removed:
            assert setting.store.remove(MARIA.id, passkey.id, at=setting.clock())
        response = thief.create(setting.creation(ROBIN), origin=ORIGIN, credential_id=taken)
        assert setting._refused(
            lambda answer=response: setting.service.complete_registration(
                PLACE, ROBIN.id, answer, source=SOURCE
            )
        ) == (Reason.PASSKEY_TAKEN, "R-dup")
        assert not setting.store.of_account(ROBIN.id)
    assert setting.store.restore(MARIA.id, passkey.id, since=setting.clock() - timedelta(days=1))
    assert setting.answer(maria).account_id == MARIA.id


def test_atk_25_fifty_accounts_register_one_credential_id_at_once(setting):
    browser = SoftAuthenticator()
    accounts = [
        MARIA.__class__(id=f"account-{n}", login=f"user{n}", password_hash=None) for n in range(THREADS)
    ]
    answers = [
        browser.create(
            setting.service.begin_registration(b"%d" % number, account).json,
            origin=ORIGIN,
            credential_id=b"the same",
        )
        for number, account in enumerate(accounts)
    ]
    results = together(
        THREADS, lambda n: setting.service.complete_registration(b"%d" % n, accounts[n].id, answers[n])
    )
    winners = [each for each in results if not isinstance(each, Exception)]
    assert len(winners) == 1
    assert {each.reason for each in results if isinstance(each, Exception)} == {Reason.PASSKEY_TAKEN}
    assert setting.store.by_credential_id(b"the same").account_id == winners[0].account_id


def test_atk_26_a_user_handle_of_somebody_else(setting, maria, robin):
    (theirs,) = setting.store.of_account(ROBIN.id)
    assert setting.answer_refused(maria, user_handle=theirs.user_handle) == (REFUSED, "A-user")
    assert setting.answer_refused(maria, user_handle=None) == (REFUSED, "A-user")
    assert setting.answer_refused(maria, user_handle=b"") == (REFUSED, "A-user")
    assert setting.answer_refused(maria, MARIA, purpose=SECOND, user_handle=theirs.user_handle) == (
        REFUSED,
        "A-user",
    )


# -- challenges -------------------------------------------------------------------------------------------------


def test_key_01_atk_27_a_registration_is_not_replayed(setting):
    browser = SoftAuthenticator()
    response = browser.create(setting.creation(), origin=ORIGIN)
    passkey = setting.service.complete_registration(PLACE, MARIA.id, response)
    setting.store.remove(MARIA.id, passkey.id)  # so that only the challenge stands in the way
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is UNKNOWN
    setting.creation()
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is REFUSED
    assert not setting.store.of_account(MARIA.id)


def test_key_02_atk_27_an_answer_is_not_replayed_though_its_counter_is_zero(setting):
    browser = SoftAuthenticator(counter=False)
    setting.register(browser)
    response = browser.get(setting.request(), origin=ORIGIN)
    assert setting.complete(response)
    assert setting.completion_refused(response) == (UNKNOWN, "")
    setting.request()
    assert setting.completion_refused(response) == (REFUSED, "A-challenge")


def test_key_02_atk_27_one_answer_sent_fifty_times_at_once_is_taken_once(setting):
    browser = SoftAuthenticator(counter=False)
    setting.register(browser)
    response = browser.get(setting.request(MARIA, purpose=SECOND), origin=ORIGIN)
    results = together(THREADS, lambda _: setting.complete(response, MARIA, purpose=SECOND))
    assert sum(isinstance(each, Evidence) for each in results) == 1
    assert {each.reason for each in results if not isinstance(each, Evidence)} == {UNKNOWN}


@pytest.mark.parametrize("asked", [SIGN_IN, SECOND, STEP_UP])
@pytest.mark.parametrize("told", [SIGN_IN, SECOND, STEP_UP])
def test_atk_27_a_challenge_is_for_its_own_purpose(setting, maria, asked, told):
    response = maria.get(setting.request(MARIA, purpose=asked), origin=ORIGIN)
    if asked == told:
        assert setting.complete(response, MARIA, purpose=told)
    else:
        assert setting.completion_refused(response, MARIA, purpose=told) == (UNKNOWN, "")
        setting.request(MARIA, purpose=told)  # nor where one of that purpose is open too
        assert setting.completion_refused(response, MARIA, purpose=told) == (REFUSED, "A-challenge")


def test_atk_27_a_registration_s_challenge_signs_nobody_in_and_the_reverse(setting, maria):
    creation = setting.creation(exclude=False)
    response = maria.get({"challenge": creation["challenge"], "rpId": creation["rp"]["id"]}, origin=ORIGIN)
    assert setting.completion_refused(response) == (UNKNOWN, "")
    setting.request()
    assert setting.completion_refused(response) == (REFUSED, "A-challenge")
    request = setting.request()
    response = maria.create(creation | {"challenge": request["challenge"]}, origin=ORIGIN)
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is REFUSED
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is UNKNOWN


def test_atk_27_a_challenge_of_another_account_or_browser(setting, maria, robin):
    theirs = setting.request(ROBIN, purpose=SECOND)
    response = maria.get(theirs | {"allowCredentials": []}, origin=ORIGIN)
    assert setting.completion_refused(response, MARIA, purpose=SECOND)[0] is UNKNOWN
    theirs = setting.request(ROBIN, purpose=SECOND)
    response = maria.get(theirs | {"allowCredentials": []}, origin=ORIGIN)
    assert setting.completion_refused(response, ROBIN, purpose=SECOND) == (REFUSED, "A-allow")
    response = robin.get(setting.request(ROBIN, purpose=SECOND), origin=ORIGIN)
    elsewhere = lambda: setting.service.complete_sign_in(  # noqa: E731
        b"another browser", SECOND, response, account_id=ROBIN.id, require_user_verification=False
    )
    assert denied(elsewhere) is UNKNOWN
    options = setting.creation(ROBIN)
    response = SoftAuthenticator().create(options, origin=ORIGIN)
    assert denied(lambda: setting.service.complete_registration(PLACE, MARIA.id, response)) is UNKNOWN


def test_atk_27_a_challenge_lives_five_minutes(setting, maria):
    for wait, taken in (
        (timedelta(minutes=5) - timedelta(microseconds=1), True),
        (timedelta(minutes=5), False),
    ):
        response = maria.get(setting.request(), origin=ORIGIN)
        setting.clock.advance(wait)
        if taken:
            assert setting.complete(response)
        else:
            assert setting.completion_refused(response) == (UNKNOWN, "")


def test_atk_27_a_restart_that_lost_its_challenges_takes_no_answer_to_them(setting, maria):
    response = maria.get(setting.request(), origin=ORIGIN)
    setting.flows = MemoryFlows()
    setting.service = setting.with_policy()
    assert setting.completion_refused(response) == (UNKNOWN, "")


def test_atk_27_a_refused_answer_spends_its_challenge(setting, maria):
    response = maria.get(setting.request(), origin=ORIGIN)
    whole = json.loads(response)
    wrong = whole | {"response": whole["response"] | {"signature": b64url(b"wrong")}}
    assert setting.completion_refused(wrong) == (REFUSED, "A-sig")
    assert setting.completion_refused(response) == (UNKNOWN, "")
