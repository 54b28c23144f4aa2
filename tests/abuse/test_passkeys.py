"""Passkeys under attack: rows ATK-19 to ATK-27 and KEY-01, KEY-02 of the abuse cases, on every store.

ATK-28 (malformed input) is in ``tests/auth/passkeys/test_malformed.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from portalsec._encoding import b64url
from portalsec.auth.assurance import count, level, phishing_resistant
from portalsec.auth.evidence import Evidence
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Event
from portalsec.stores.memory import MemoryFlows
from portalsec.testing import SoftAuthenticator
from tests.abuse.stores import over_sql
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
from tests.auth.world import together

THREADS = 50
REFUSED, UNKNOWN = Reason.PASSKEY_REFUSED, Reason.FLOW_UNKNOWN


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    made = Setting()
    if request.param == "memory":
        yield made
        return
    url = (
        f"sqlite:///{tmp_path}/security.db"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    with over_sql(url) as over:
        made.store, made.flows = over.backing.passkeys, over.backing.flows
        made.service = made.with_policy()
        yield made


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
