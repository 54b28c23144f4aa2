"""`Passkeys`: challenges that are good for one answer, accounts that look alike, and who wins where several come at once."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn import verify_authentication_response

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys.challenges import REGISTER, Challenge
from portalsec.auth.passkeys.labels import label_text
from portalsec.auth.passkeys.makes import PROVIDERS
from portalsec.auth.ports import Account
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, Reason, Tampered
from portalsec.testing import SoftAuthenticator
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, ROBIN, SECOND, SIGN_IN, STEP_UP, Setting
from tests.auth.world import together


@pytest.fixture
def s() -> Setting:
    return Setting()


@pytest.fixture
def browser(s) -> SoftAuthenticator:
    authenticator = SoftAuthenticator(algorithms=(-7,))
    s.register(authenticator)
    return authenticator


def reason_of(call, *args, **kwargs) -> Reason:
    with pytest.raises(Denied) as denied:
        call(*args, **kwargs)
    return denied.value.reason


# -- challenges -----------------------------------------------------------------------------------------------------


def test_key_01_a_registrations_challenge_is_good_once(s):
    browser = SoftAuthenticator()
    response = browser.create(s.creation(), origin=ORIGIN)
    s.service.complete_registration(PLACE, MARIA.id, response)
    assert reason_of(s.service.complete_registration, PLACE, MARIA.id, response) is Reason.FLOW_UNKNOWN


def test_key_02_a_sign_ins_challenge_is_good_once_also_where_nothing_counts(s):
    browser = SoftAuthenticator(counter=False)
    s.register(browser)
    response = browser.get(s.request(), origin=ORIGIN)
    assert s.complete(response)
    assert reason_of(s.complete, response) is Reason.FLOW_UNKNOWN


@pytest.mark.parametrize("wrong", [None, "{}", 7])
def test_a_wrong_answer_uses_a_challenge_up_too(s, browser, wrong):
    response = browser.get(s.request(), origin=ORIGIN)
    assert reason_of(s.complete, wrong) is Reason.MALFORMED
    assert reason_of(s.complete, response) is Reason.FLOW_UNKNOWN


def test_a_challenge_expires(s, browser):
    response = browser.get(s.request(), origin=ORIGIN)
    s.clock.advance(timedelta(minutes=5))
    assert reason_of(s.complete, response) is Reason.FLOW_UNKNOWN
    assert s.answer(browser)


def test_beginning_again_voids_what_was_asked_before(s, browser):
    first = browser.get(s.request(), origin=ORIGIN)
    second = s.request()
    assert s.completion_refused(first) == (Reason.PASSKEY_REFUSED, "A-challenge")
    assert json.loads(first)["id"]
    assert second["challenge"] != s.request()["challenge"]


def test_a_challenge_is_bound_to_its_browser_purpose_and_account(s, browser):
    response = browser.get(s.request(MARIA, purpose=SECOND), origin=ORIGIN)
    call = s.service.complete_sign_in
    asked = {"account_id": MARIA.id, "require_user_verification": False}
    assert reason_of(call, b"another browser", SECOND, response, **asked) is Reason.FLOW_UNKNOWN
    assert reason_of(call, PLACE, STEP_UP, response, **asked) is Reason.FLOW_UNKNOWN
    assert reason_of(call, PLACE, SIGN_IN, response, **asked) is Reason.FLOW_UNKNOWN
    other = asked | {"account_id": ROBIN.id}
    assert reason_of(call, PLACE, SECOND, response, **other) is Reason.FLOW_UNKNOWN
    assert reason_of(call, PLACE, SECOND, response, **asked) is Reason.FLOW_UNKNOWN  # the last one used it up


def test_one_account_cannot_complete_what_another_began(s):
    response = SoftAuthenticator().create(s.creation(MARIA), origin=ORIGIN)
    assert reason_of(s.service.complete_registration, PLACE, ROBIN.id, response) is Reason.FLOW_UNKNOWN
    assert not s.store.of_account(ROBIN.id)


def test_a_discoverable_sign_in_cannot_be_bent_to_an_account(s, browser):
    response = browser.get(s.request(), origin=ORIGIN)
    assert reason_of(s.complete, response, ROBIN) is Reason.FLOW_UNKNOWN


@pytest.mark.parametrize(("place", "purpose"), [(b"", SIGN_IN), (PLACE, "passkey.other"), (PLACE, "")])
def test_a_place_and_a_known_purpose_are_needed(s, place, purpose):
    with pytest.raises(ConfigurationError, match="in a place and for one of"):
        s.service.begin_sign_in(place, login=None, account=None, purpose=purpose)


def test_a_store_cannot_invent_or_change_a_challenge(s, browser):
    s.request()
    (digest,) = s.flows._flows
    flow = s.flows._flows[digest]
    s.flows._flows[digest] = replace(flow, account_id=MARIA.id)
    with pytest.raises(Tampered):
        s.complete("{}")
    s.service._challenges.put(PLACE, REGISTER, Challenge(account_id=MARIA.id, text="x", user_handle="zz"))
    s.flows._flows = {key: replace(each, data=each.data[:-2]) for key, each in s.flows._flows.items()}
    with pytest.raises(Tampered):
        s.service.complete_registration(PLACE, MARIA.id, "{}")


def test_challenges_have_256_bits_and_fit_their_flow(s):
    s.service = s.with_policy(max_passkeys=50)
    for number in range(50):
        s.register(SoftAuthenticator(), credential_id=bytes([number]) * 1023)
    asked = s.request(MARIA, purpose=SECOND)
    assert len(unb64url(asked["challenge"])) == 32
    assert len(asked["allowCredentials"]) == 50
    assert max(len(flow.data) for flow in s.flows._flows.values()) <= 4096


# -- names that nobody has --------------------------------------------------------------------------------------------


def test_unknown_names_get_credentials_that_nobody_has_the_same_each_time(s, browser):
    fake = s.request(login="nobody here")
    assert s.request(login=" NOBODY here")["allowCredentials"] == fake["allowCredentials"]
    real = s.request(MARIA, login="maria")
    without = s.request(ROBIN, login="robin")  # an account without a passkey
    assert fake.keys() == real.keys() == without.keys()
    for asked in (fake, without):
        assert 1 <= len(asked["allowCredentials"]) <= 4
        for each in asked["allowCredentials"]:
            assert each.keys() == real["allowCredentials"][0].keys()
            assert 16 <= len(unb64url(each["id"])) <= 64
    assert fake["allowCredentials"] != without["allowCredentials"]


def test_fakes_differ_between_portals_and_names():
    one, other = Setting(), Setting()
    assert (
        one.request(login="nobody")["allowCredentials"] != other.request(login="nobody")["allowCredentials"]
    )
    ids = {json.dumps(one.request(login=f"name {n}")["allowCredentials"]) for n in range(50)}
    assert len(ids) == 50


class Counted:
    """A store that counts its calls by name."""

    def __init__(self, inner) -> None:
        self._inner, self.calls = inner, []

    def __getattr__(self, name):
        found = getattr(self._inner, name)

        def call(*args, **kwargs):
            self.calls.append(name)
            return found(*args, **kwargs)

        return call


def test_known_and_unknown_names_cost_the_same_reads_and_writes(s, browser):
    s.store, s.flows = Counted(s.store), Counted(s.flows)
    s.service = s.with_policy()
    seen = []
    for account, login in ((MARIA, "maria"), (ROBIN, "robin"), (None, "nobody")):
        options = s.request(account, login=login)
        allowed = options["allowCredentials"][0]["id"]
        answer = json.loads(browser.get(options | {"allowCredentials": []}, origin=ORIGIN, user_handle=None))
        answer |= {"id": allowed, "rawId": allowed}
        answer["response"]["signature"] = b64url(b"no signature")
        assert reason_of(s.complete, answer) is Reason.PASSKEY_REFUSED
        seen.append((s.store.calls[:], s.flows.calls[:]))
        s.store.calls.clear()
        s.flows.calls.clear()
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] == ["of_account", "by_credential_id"]


def test_an_answer_for_a_fake_is_checked_as_one_for_a_real_one(s, browser, monkeypatch):
    from portalsec.auth.passkeys import cose

    checked = []
    real = cose.PublicKey.verifies
    monkeypatch.setattr(
        cose.PublicKey, "verifies", lambda self, *args: checked.append(1) or real(self, *args)
    )
    options = s.request(login="nobody")
    fake = options["allowCredentials"][0]["id"]
    answer = json.loads(browser.get(options | {"allowCredentials": []}, origin=ORIGIN))
    assert s.completion_refused(answer | {"id": fake, "rawId": fake}) == (Reason.PASSKEY_REFUSED, "A-allow")
    assert checked == [1]


SPOILT = {
    "right but for the signature": {},
    "backed up": {"backup_eligible": True, "backed_up": True},
    "no client data": {"client_data": lambda _: b"{"},
    "another challenge": {"challenge": "AAAA"},
    "another origin": {"client_data": lambda it: it | {"origin": "https://evil.example"}},
    "a token binding": {"client_data": lambda it: it | {"tokenBinding": {"status": "none"}}},
    "short data": {"authenticator_data": lambda it: it[:20]},
    "more data": {"authenticator_data": lambda it: it + b"\0"},
    "another RP": {"rp_id": "evil.example"},
    "not verified": {"user_verified": False},
    "not there": {"user_present": False},
    "a user handle": {"user_handle": b"somebody"},
    "signed by nothing": {"signature": lambda _: b""},
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("synced", [False, True])
def test_atk_18_what_is_wrong_with_an_answer_says_nothing_of_whose_credential_it_is(
    name, synced, monkeypatch
):
    """To a real passkey's id, one that nobody has, and an account's without a passkey: one face, and the same work."""
    from portalsec.auth.passkeys import cose

    checked, verifies = [], cose.PublicKey.verifies
    monkeypatch.setattr(
        cose.PublicKey, "verifies", lambda self, *args: checked.append(1) or verifies(self, *args)
    )
    s, stranger = Setting(), SoftAuthenticator(backup_eligible=synced, backed_up=synced)
    s.register(SoftAuthenticator(backup_eligible=synced, backed_up=synced))
    stranger.create(s.creation(ROBIN), origin=ORIGIN)
    seen = []
    for account, login in ((MARIA, "maria"), (ROBIN, "robin"), (None, "nobody")):
        checked.clear()
        options = s.request(account, login=login)
        (first, *_) = options["allowCredentials"]
        spoilt = {"user_handle": None} | SPOILT[name]
        answer = json.loads(stranger.get(options | {"allowCredentials": []}, origin=ORIGIN, **spoilt))
        face, _ = s.completion_refused(answer | {"id": first["id"], "rawId": first["id"]})
        seen.append((face, len(checked)))
    assert len(set(seen)) == 1


@pytest.mark.parametrize("login", ["", "ab", "x" * 300, 7, "a\0b", "a\u202eb"])
def test_names_that_can_be_none_are_malformed(s, login):
    assert reason_of(s.request, login=login) is Reason.MALFORMED


def test_by_name_no_user_handle_is_needed_and_the_name_binds(s, browser):
    options = s.request(MARIA, login="maria")
    assert s.complete(browser.get(options, origin=ORIGIN, user_handle=None)).account_id == MARIA.id
    robins = SoftAuthenticator(algorithms=(-7,))
    s.register(robins, ROBIN)
    options = s.request(MARIA, login="maria") | {"allowCredentials": []}
    assert s.completion_refused(robins.get(options, origin=ORIGIN)) == (Reason.PASSKEY_REFUSED, "A-allow")


# -- options ----------------------------------------------------------------------------------------------------------


def test_creation_options(s, browser):
    asked = s.creation()
    assert asked["rp"] == {"id": "portal.example", "name": "portal.example"}
    assert [each["alg"] for each in asked["pubKeyCredParams"]] == list(s.service.policy.algorithms)
    assert asked["attestation"] == "none"
    assert asked["authenticatorSelection"] == {
        "residentKey": "preferred",
        "requireResidentKey": False,
        "userVerification": "preferred",
    }
    (held,) = s.store.of_account(MARIA.id)
    assert asked["excludeCredentials"] == [
        {"type": "public-key", "id": b64url(held.credential_id), "transports": ["internal"]}
    ]
    assert s.creation(exclude=False)["excludeCredentials"] == []


def test_a_user_handle_is_the_accounts_own_and_says_nothing(s):
    first, again, other = s.creation(), s.creation(), s.creation(ROBIN)
    handle = unb64url(first["user"]["id"])
    assert again["user"]["id"] == first["user"]["id"] != other["user"]["id"]
    assert len(handle) == 32
    assert MARIA.id.encode() not in handle
    passkey = s.register(SoftAuthenticator())
    s.keep(passkey, user_handle=b"from before")
    assert unb64url(s.creation()["user"]["id"]) == b"from before"


def test_a_user_handle_outlives_the_key_it_was_made_with(s, browser):
    (held,) = s.store.of_account(MARIA.id)
    s.mac = KeyedHash(Keyset.generate("HMAC_SHA256_PRF"))
    s.service = s.with_policy()
    assert s.creation()["user"]["id"] == b64url(held.user_handle)
    s.store.remove(MARIA.id, held.id, at=s.clock())  # and may be restored
    assert s.creation()["user"]["id"] == b64url(held.user_handle)


def test_options_say_nothing_that_a_page_could_run():
    s = Setting(rp_name="Clinic </script>")
    account = Account(id="a", login="</script><b>", password_hash=None)
    assert json.loads(s.service.begin_registration(PLACE, account).json)["rp"]["name"] == "Clinic </script>"
    assert s.service.begin_registration(PLACE, account).json.isascii()


def test_step_up_asks_for_the_sessions_own_passkeys(s, browser):
    asked = s.request(MARIA, purpose=STEP_UP)
    assert len(asked["allowCredentials"]) == 1
    assert s.answer(browser, MARIA, purpose=STEP_UP).account_id == MARIA.id
    assert reason_of(s.request, ROBIN, purpose=STEP_UP) is Reason.FACTOR_NOT_ENROLLED


def test_the_signal_names_what_is_still_good(s, browser):
    kept, gone = s.store.of_account(MARIA.id)[0], s.register(SoftAuthenticator())
    s.store.remove(MARIA.id, gone.id, at=s.clock())
    assert json.loads(s.service.signal(MARIA.id).json) == {
        "rpId": "portal.example",
        "userId": b64url(kept.user_handle),
        "allAcceptedCredentialIds": [b64url(kept.credential_id)],
    }
    s.store.remove(MARIA.id, kept.id, at=s.clock())
    last = json.loads(s.service.signal(MARIA.id).json)
    assert (last["userId"], last["allAcceptedCredentialIds"]) == (b64url(kept.user_handle), [])
    assert s.service.enrolled(MARIA.id) is False
    assert list(s.service.of_account(MARIA.id)) == []


# -- several at once --------------------------------------------------------------------------------------------------


def test_an_account_has_so_many_passkeys_and_no_more(s):
    s.service = s.with_policy(max_passkeys=2)
    s.register(SoftAuthenticator())
    one, other = SoftAuthenticator(), SoftAuthenticator()
    first = one.create(s.creation(), origin=ORIGIN)
    s.service.complete_registration(PLACE, MARIA.id, first)
    assert reason_of(s.creation) is Reason.PASSKEY_REFUSED
    # Begun before the second was there, completed after it.
    s.plant_registration("AAAA")
    late = other.create({"challenge": "AAAA", "rp": {"id": "portal.example"}, "pubKeyCredParams": [{"alg": -7}]},
                        origin=ORIGIN)  # fmt: skip
    assert reason_of(s.service.complete_registration, PLACE, MARIA.id, late) is Reason.PASSKEY_REFUSED
    assert s.events.last.details["check"] == "R-limit"


def test_of_many_equal_answers_at_once_one_counts(s, browser):
    response = browser.get(s.request(), origin=ORIGIN)

    def attempt(_: int) -> str:
        try:
            return s.complete(response).account_id
        except Denied as denied:
            return denied.reason

    outcomes = together(16, attempt)
    assert outcomes.count(MARIA.id) == 1
    assert outcomes.count(Reason.FLOW_UNKNOWN) == 15


def test_of_two_answers_with_one_count_one_is_taken(s, browser):
    # Each with a challenge of its own, from a passkey and its copy.
    twin, answers = browser.clone(), []
    for number, authenticator in enumerate((browser, twin)):
        place = bytes([number + 1])
        options = s.service.begin_sign_in(place, login=None, account=None, purpose=SIGN_IN).json
        answers.append((place, authenticator.get(options, origin=ORIGIN)))

    def attempt(number: int) -> str:
        place, response = answers[number]
        try:
            return s.service.complete_sign_in(
                place, SIGN_IN, response, account_id=None, require_user_verification=True
            ).account_id
        except Denied as denied:
            return denied.reason

    outcomes = together(2, attempt)
    assert sorted(outcomes) == sorted([MARIA.id, Reason.PASSKEY_REFUSED])
    assert s.events.named("auth.passkey_clone_suspected")


class Slow:
    """A store where others are always faster."""

    def __init__(self, inner, meanwhile) -> None:
        self._inner, self._meanwhile = inner, meanwhile

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def advance(self, *args, **kwargs) -> bool:
        self._meanwhile()
        return self._inner.advance(*args, **kwargs)

    def suspect(self, *args, **kwargs):
        self._meanwhile()
        return self._inner.suspect(*args, **kwargs)


def test_a_passkey_that_is_removed_or_disabled_meanwhile_is_no_evidence(s, browser):
    inner = s.store
    (held,) = inner.of_account(MARIA.id)
    for meanwhile, check in (
        (lambda: inner.suspect(MARIA.id, held.id, at=s.clock(), disable=True), "A-disabled"),
        (lambda: inner.remove(MARIA.id, held.id), "A-allow"),
    ):
        s.keep(held)
        s.store = Slow(inner, meanwhile)
        s.service = s.with_policy()
        assert s.answer_refused(browser) == (Reason.PASSKEY_REFUSED, check)
        s.store = inner


def test_a_passkey_that_is_deleted_and_registered_anew_meanwhile_has_not_signed(s, browser):
    inner = s.store
    (held,) = inner.of_account(MARIA.id)
    s.store = Slow(inner, lambda: s.keep(held, id="another", public_key=b"another"))
    s.service = s.with_policy()
    assert s.answer_refused(browser) == (Reason.PASSKEY_REFUSED, "A-allow")


def test_a_suspected_passkey_that_is_removed_or_disabled_meanwhile_is_no_evidence(s, browser):
    s.answer(browser)
    inner = s.store
    (held,) = inner.of_account(MARIA.id)
    for meanwhile, check in (
        (lambda: inner.suspect(MARIA.id, held.id, at=s.clock(), disable=True), "A-disabled"),
        (lambda: inner.remove(MARIA.id, held.id, at=s.clock()), "A-allow"),
    ):
        s.keep(held)
        s.store = Slow(inner, meanwhile)
        s.service = s.with_policy(clone="record")
        assert s.answer_refused(browser, sign_count=1) == (Reason.PASSKEY_REFUSED, check)
        s.store = inner


def test_a_newer_use_meanwhile_is_judged_against(s, browser):
    inner, used = s.store, []
    (held,) = inner.of_account(MARIA.id)

    def meanwhile() -> None:
        if not used:
            used.append(1)
            inner.advance(
                MARIA.id, held.id, expected=0, sign_count=5, backed_up=False, user_verified=True, at=s.clock()
            )

    s.store = Slow(inner, meanwhile)
    s.service = s.with_policy()
    assert s.answer(browser, sign_count=6).account_id == MARIA.id
    used.clear()
    s.store = inner
    assert inner.of_account(MARIA.id)[0].sign_count == 6


def test_nothing_is_accepted_where_the_log_does_not_take_a_suspicion(s, browser):
    s.answer(browser)

    def unavailable(event) -> None:
        raise AuditUnavailable("no")

    s.events = unavailable
    s.service = s.with_policy(clone="record")
    with pytest.raises(AuditUnavailable):
        s.answer(browser, sign_count=1)


# -- the rest -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [-7, -8, -257, -36, -258, -259, -48, -49, -50])
def test_the_webauthn_package_takes_what_we_take(algorithm):
    s, browser = Setting(algorithms=(algorithm,)), SoftAuthenticator()
    passkey = s.register(browser)
    options = s.request()
    response = browser.get(options, origin=ORIGIN)
    verified = verify_authentication_response(
        credential=response,
        expected_challenge=unb64url(options["challenge"]),
        expected_rp_id="portal.example",
        expected_origin=ORIGIN,
        credential_public_key=passkey.public_key,
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    assert s.complete(response)
    assert verified.new_sign_count == s.store.of_account(MARIA.id)[0].sign_count


@given(st.text())
def test_labels_are_one_short_line(label):
    text = label_text(label)
    assert 0 < len(text) <= 64
    assert text.isprintable() or all(char.isprintable() for char in text)
    assert label_text(text) == text


def test_labels():
    assert label_text("  My\tkey\n\u202e ") == "My key"
    assert label_text(None) == label_text("") == label_text("\0") == "Passkey"


def test_a_passkey_without_a_label_is_called_by_its_make(s):
    known = next(iter(PROVIDERS))
    assert s.register(SoftAuthenticator(aaguid=known)).label == PROVIDERS[known]
    assert s.register(SoftAuthenticator()).label == "Passkey"
    response = SoftAuthenticator(aaguid=known).create(s.creation(), origin=ORIGIN)
    named = s.service.complete_registration(PLACE, MARIA.id, response, label="Telephone")
    assert named.label == "Telephone"


_SIGNS_IN = """
import sys
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.testing import current_totp
from portalsec.testing.portal import memory_portal

portal = memory_portal({"schema": 1, "resource": {"a": {"actions": ["b"]}}, "role": {}})
robin, here = portal.accounts.create(login="robin", password="violet-anchor-mosaic-27"), Source()
pending = portal.sign_in.start("robin", "violet-anchor-mosaic-27", source=here).pending.reveal()
enrolment = portal.sign_in.begin_totp_enrolment(pending, source=here)
step = portal.sign_in.confirm_totp_enrolment(pending, current_totp(enrolment, portal.clock()), source=here)
assert step.session is not None
options, token = portal.sign_in.begin_passkey(None, login="robin", source=here)
try:
    portal.sign_in.submit_passkey(token.reveal(), '{"id": "AA", "rawId": "AA", "type": "public-key"}', source=here)
except Denied as refused:
    assert refused.reason is Reason.MALFORMED, refused.reason
portal.audit_writer.close()
print("webauthn" in sys.modules)
"""


def test_importing_and_signing_in_loads_no_webauthn_package():
    done = subprocess.run(
        [sys.executable, "-I", "-c", _SIGNS_IN], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
