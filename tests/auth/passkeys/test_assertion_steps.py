"""Every row of the relying party's steps of a sign-in (WebAuthn Level 3 section 7.2), by the row's name."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys import Check
from portalsec.auth.passkeys.assertion import Expected, check_credential, credential_reference
from portalsec.auth.passkeys.checks import Refusal
from portalsec.auth.passkeys.cose import ALGORITHMS
from portalsec.auth.passkeys.messages import read_assertion
from portalsec.auth.ports import Passkey
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Denied, Reason
from portalsec.testing import SoftAuthenticator
from portalsec.testing.cbor import encode
from tests.auth.passkeys.setting import MARIA, ORIGIN, ROBIN, SECOND, TOP, Setting
from tests.auth.passkeys.test_registration_steps import NO_BOOL, ORIGINS, client_data, flag
from tests.reading import complaints, read_tests
from tests.support import shared

REFUSED, MALFORMED = Reason.PASSKEY_REFUSED, Reason.MALFORMED


@pytest.fixture
def s() -> Setting:
    return Setting()


@pytest.fixture
def browser(s) -> SoftAuthenticator:
    """With a passkey of Maria's."""
    authenticator = SoftAuthenticator(algorithms=(-7,))
    s.register(authenticator)
    return authenticator


def held(s: Setting) -> Passkey:
    (passkey,) = s.store.of_account(MARIA.id)
    return passkey


def test_a_right_one_is_evidence_of_its_account(s, browser):
    evidence = s.answer(browser)
    assert evidence.account_id == MARIA.id
    assert evidence.proof == Proof(
        factor=Factor.PASSKEY,
        at=s.clock(),
        authenticator=held(s).id,
        user_verified=True,
        device_bound=True,
    )
    assert not s.events
    assert (held(s).sign_count, held(s).used_at) == (1, s.clock())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_signs_in(algorithm):
    s, browser = Setting(algorithms=(algorithm,)), SoftAuthenticator()
    assert s.register(browser).algorithm == algorithm
    assert s.answer(browser).account_id == MARIA.id
    refused = s.answer_refused(browser, signature=lambda sig: sig[:-1] + bytes([sig[-1] ^ 1]))
    assert refused == (REFUSED, "A-sig")


# -- whose it is --------------------------------------------------------------------------------------------------


def test_a_allow(s, browser):
    other = SoftAuthenticator()
    s.register(other)
    browser_only = s.request(MARIA, purpose=SECOND) | {"allowCredentials": []}
    # Asked for Maria's, answered with one that was added afterwards: hers, and not on the list.
    third = SoftAuthenticator()
    s.register(third)
    refused = s.completion_refused(third.get(browser_only, origin=ORIGIN), MARIA, purpose=SECOND)
    assert refused == (REFUSED, "A-allow")  # auth-cid-not-allowed


def test_a_allow_is_for_credentials_that_nobody_has(s, browser):
    stranger = SoftAuthenticator()
    stranger.create(s.creation(ROBIN), origin=ORIGIN)  # never completed
    assert s.answer_refused(stranger) == (REFUSED, "A-allow")


def test_a_allow_is_for_the_record_of_this_credential_alone(s, browser):
    # A database whose comparison of bytes is a loose one finds another's.
    message = read_assertion(browser.get(s.request(), origin=ORIGIN))
    expected = Expected(challenge="", user_verified=True, account_id=None, allowed=None)
    assert check_credential(message, held(s), expected) == held(s)
    with pytest.raises(Refusal) as refused:
        check_credential(message, replace(held(s), credential_id=b"another"), expected)
    assert refused.value.check is Check.A_ALLOW


def test_a_allow_names_removed_ones_no_more(s, browser):
    options = s.request(MARIA, purpose=SECOND)
    s.store.remove(MARIA.id, held(s).id, at=s.clock())
    refused = s.completion_refused(browser.get(options, origin=ORIGIN), MARIA, purpose=SECOND)
    assert refused == (REFUSED, "A-allow")


def test_a_user_key_08_another_persons_right_answer_is_refused(s, browser):
    robins = SoftAuthenticator(algorithms=(-7,))
    s.register(robins, ROBIN)
    options = s.request(MARIA, purpose=SECOND)
    refused = s.completion_refused(
        robins.get(options | {"allowCredentials": []}, origin=ORIGIN), MARIA, purpose=SECOND
    )
    assert refused == (REFUSED, "A-allow")
    # Nor where it is on the list: the list is who may answer, not whose it is.
    challenge = s.request(MARIA, purpose=SECOND)["challenge"]
    (robins_passkey,) = s.store.of_account(ROBIN.id)
    s.plant_request(challenge, replace(robins_passkey, account_id=MARIA.id))
    answer = robins.get({"challenge": challenge, "rpId": "portal.example"}, origin=ORIGIN)
    assert s.completion_refused(answer, MARIA, purpose=SECOND) == (REFUSED, "A-user")


def test_a_user_handle_must_be_there_where_nobody_was_named(s, browser):
    assert s.answer_refused(browser, user_handle=None) == (REFUSED, "A-user")
    assert s.answer_refused(browser, user_handle=b"somebody else's") == (REFUSED, "A-user")
    assert s.answer_refused(browser, user_handle=b"") == (REFUSED, "A-user")


def test_a_user_handle_is_not_needed_where_somebody_was_named_and_never_another(s, browser):
    # auth-ok-nouserhandle auth-userhandle-other
    assert s.answer(browser, MARIA, purpose=SECOND, user_handle=None)
    refused = s.answer_refused(browser, MARIA, purpose=SECOND, user_handle=b"another")
    assert refused == (REFUSED, "A-user")


def test_a_user_handle_may_be_left_out_only_where_both_a_name_and_a_list_were_given(s, browser):
    message = read_assertion(browser.get(s.request(), origin=ORIGIN, user_handle=None))
    listed = [credential_reference(message.credential_id)]
    for account_id, allowed in ((None, None), (None, listed), (MARIA.id, None), (MARIA.id, listed)):
        expected = Expected(challenge="", user_verified=True, account_id=account_id, allowed=allowed)
        if account_id and allowed:
            assert check_credential(message, held(s), expected) == held(s)
            continue
        with pytest.raises(Refusal) as refused:
            check_credential(message, held(s), expected)
        assert refused.value.check is Check.A_USER


def test_a_user_handle_has_64_bytes_at_most(s, browser):
    assert s.answer_refused(browser, user_handle=b"\1" * 65) == (MALFORMED, "A-shape")


# -- client data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["webauthn.create", "webauthn.GET", "payment.get", ""])
def test_a_type(s, browser, kind):
    assert s.answer_refused(browser, type=kind) == (REFUSED, "A-type")


@pytest.mark.parametrize("challenge", [b"another", b"", "", "="])
def test_a_challenge(s, browser, challenge):
    assert s.answer_refused(browser, challenge=challenge) == (REFUSED, "A-challenge")


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_origin_key_07(s, browser, origin):
    assert s.answer_refused(browser, origin=origin) == (REFUSED, "A-origin")


def test_a_cross_origin(s, browser):
    assert s.answer_refused(browser, cross_origin=True) == (REFUSED, "A-crossOrigin")
    for junk in NO_BOOL:
        refused = s.answer_refused(browser, client_data=lambda data, junk=junk: data | {"crossOrigin": junk})
        assert refused == (REFUSED, "A-crossOrigin")


def test_a_top_origin(browser, s):
    framed = s.service = s.with_policy(top_origins=(TOP,))
    assert framed
    refused = (REFUSED, "A-topOrigin")
    assert s.answer_refused(browser, cross_origin=True, top_origin="https://evil.example") == refused
    assert s.answer_refused(browser, top_origin=TOP) == refused
    for junk in (None, [TOP], {TOP: TOP}, 7):
        spoilt = {"crossOrigin": True, "topOrigin": junk}
        assert s.answer_refused(browser, client_data=lambda data, spoilt=spoilt: data | spoilt) == refused
    assert s.answer(browser, cross_origin=True, top_origin=TOP)
    assert s.answer(browser, cross_origin=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: json.dumps(data).encode()[:-1] + b', "origin": "https://portal.example"}',
        lambda data: json.dumps([data]).encode(),
        lambda data: json.dumps(data).encode()[:-1] + b', "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        lambda data: json.dumps(data).encode()[:-1] + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}",
        lambda data: json.dumps(data | {"x": "a" * 9000}).encode(),
        client_data(origin=None),
    ],
    ids=["twice", "list", "deep", "deep by 40", "huge", "no origin"],
)
def test_client_data_are_one_bounded_object(s, browser, spoil):
    assert s.answer_refused(browser, client_data=spoil) == (MALFORMED, "A-json")


def test_a_byte_order_mark_is_taken_off(s, browser):
    assert s.answer(browser, client_data=lambda data: b"\xef\xbb\xbf" + json.dumps(data).encode())


# -- authenticator data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rp_id", ["example", "www.portal.example", "evil.example"])
def test_a_rpid_key_07(s, browser, rp_id):
    refused = s.answer_refused(browser, rp_id=rp_id)
    assert refused == (REFUSED, "A-rpid")


def test_a_up(s, browser):
    assert s.answer_refused(browser, user_present=False) == (REFUSED, "A-up")


def test_a_uv_key_05(s):
    browser = SoftAuthenticator(user_verification=False)
    s.register(browser)
    assert s.request()["userVerification"] == "required"
    assert s.answer_refused(browser) == (REFUSED, "A-uv")  # as the first factor
    assert s.request(MARIA, purpose=SECOND)["userVerification"] == "preferred"
    assert (
        s.answer(browser, MARIA, purpose=SECOND).proof.user_verified is False
    )  # reported: auth-uv-preferred
    assert s.answer_refused(browser, MARIA, purpose=SECOND, verified=True) == (REFUSED, "A-uv")


def test_a_bs(s, browser):
    assert s.answer_refused(browser, backed_up=True) == (REFUSED, "A-bs")


@pytest.mark.parametrize("status", [[], {}, ["present"], None, 5, "none"])
def test_a_token_bindings_status_is_one_of_two_texts(s, browser, status):
    binding = {"tokenBinding": {"status": status}}
    assert s.answer_refused(browser, client_data=lambda it: it | binding) == (MALFORMED, "A-json")


def test_a_be_never_changes_and_is_recorded(s, browser):
    assert s.answer_refused(browser, backup_eligible=True) == (REFUSED, "A-be")  # auth-be-appeared
    s.keep(held(s), backup_eligible=True)
    assert s.answer_refused(browser) == (REFUSED, "A-be")  # auth-be-vanished
    assert s.events.named("auth.passkey_refused")


def test_backup_state_follows_the_newest_use(s):
    browser = SoftAuthenticator(backup_eligible=True, backed_up=True, counter=False)
    s.register(browser)
    assert s.answer(browser).proof.device_bound is False
    assert held(s).backed_up is True
    s.answer(browser, backed_up=False)
    assert held(s).backed_up is False


def raw_signature(der: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, v = decode_dss_signature(der)
    return r.to_bytes(32, "big") + v.to_bytes(32, "big")


@pytest.mark.parametrize(
    "spoil",
    {
        "flip": lambda sig: sig[:-1] + bytes([sig[-1] ^ 1]),
        "empty": lambda _: b"",
        "raw": raw_signature,
        "zero": lambda _: bytes.fromhex("3006020100020100"),
        "trailing": lambda sig: sig + b"\0",
        "long": lambda sig: sig + b"\0" * 20_000,
    }.items(),
    ids=lambda item: item[0],
)
def test_a_sig_key_04(s, browser, spoil):
    assert s.answer_refused(browser, signature=spoil[1]) == (REFUSED, "A-sig")


def test_a_sig_of_another_key_or_over_other_data(s, browser):
    other = SoftAuthenticator(algorithms=(-7,))
    other.create(s.creation(ROBIN), origin=ORIGIN)
    mine = held(s).credential_id
    assert s.answer_refused(other, credential_id=other.credentials[0].id, response=lambda m: m | {
        "id": b64url(mine), "rawId": b64url(mine),
        "response": m["response"] | {"userHandle": b64url(held(s).user_handle)},
    }) == (REFUSED, "A-sig")  # auth-sig-otherkey  # fmt: skip

    def swapped(m):
        text = unb64url(m["response"]["clientDataJSON"])
        other_text = b64url(text.replace(b'"crossOrigin":false', b'"crossOrigin": false'))
        return m | {"response": m["response"] | {"clientDataJSON": other_text}}

    assert s.answer_refused(browser, response=swapped) == (REFUSED, "A-sig")  # auth-sig-cd-swapped


def test_a_sig_is_checked_with_the_recorded_algorithm_alone(s, browser):
    # auth-stored-alg-swap
    s.keep(held(s), algorithm=-9)  # ESP256, the same curve and hash: it would verify
    assert s.answer_refused(browser) == (REFUSED, "A-sig")
    s.keep(held(s), algorithm=-7, public_key=b"\xa0")
    assert s.answer_refused(browser) == (REFUSED, "A-sig")


# -- the counter ----------------------------------------------------------------------------------------------------


def test_a_count_key_06_a_counter_that_goes_back_is_recorded_and_asks_for_another_factor(s, browser):
    twin = browser.clone()
    assert s.answer(browser)
    assert s.answer(browser)
    for count in (2, 1, 0):  # auth-count-equal auth-count-back auth-count-tozero
        assert s.answer_refused(twin, sign_count=count) == (REFUSED, "A-count")
        (event,) = s.events.named("auth.passkey_clone_suspected")
        assert event.details["policy"] == "step_up"
        assert event.details["passkey"] == held(s).id
    assert held(s).sign_count == 2  # never lowered
    assert held(s).suspect_at == s.clock()
    assert held(s).disabled_at is None
    assert s.answer(browser)


def test_a_count_key_06_disable(s, browser):
    s.service = s.with_policy(clone="disable")
    twin = browser.clone()
    s.answer(browser)
    assert s.answer_refused(twin) == (REFUSED, "A-count")
    assert held(s).disabled_at == s.clock()
    assert s.service.enrolled(MARIA.id) is False
    assert s.answer_refused(browser) == (REFUSED, "A-disabled")
    with pytest.raises(Denied) as denied:
        s.request(MARIA, purpose=SECOND)
    assert denied.value.reason is Reason.FACTOR_NOT_ENROLLED


def test_a_count_key_06_record(s, browser):
    s.service = s.with_policy(clone="record")
    s.answer(browser)
    assert s.answer(browser, sign_count=1).account_id == MARIA.id
    (event,) = s.events
    assert (event.name, event.reason) == ("auth.passkey_clone_suspected", None)
    assert (held(s).sign_count, held(s).suspect_at) == (1, s.clock())


def test_a_count_of_zero_is_none(s):
    # auth-ok-count-zero: synced passkeys do not count
    browser = SoftAuthenticator(counter=False)
    s.register(browser)
    for _ in range(3):
        assert s.answer(browser)
    assert held(s).suspect_at is None


def test_a_count_may_jump(s, browser):
    for count in (1, 2, 1000, 2**32 - 1):  # auth-ok-count
        assert s.answer(browser, sign_count=count)
        assert held(s).sign_count == count


@pytest.mark.parametrize(
    "spoil",
    {
        "credential": lambda data: flag(data, 0x40, on=True) + b"\0" * 16 + b"\0\1\7" + b"\xa0",
        "trailing": lambda data: data + b"\0",
        "short": lambda data: data[:36],
        "nothing": lambda _: b"",
        "extensions without their flag": lambda data: data + b"\xa0",
        "flag without extensions": lambda data: flag(data, 0x80, on=True),
        "extensions that are no map": lambda data: flag(data, 0x80, on=True) + b"\x01",
        "huge": lambda data: flag(data, 0x80, on=True) + encode({"x": b"\0" * 33_000}),
        "extension bomb": lambda data: flag(data, 0x80, on=True) + b"\xbb" + b"\xff" * 8,
    }.items(),
    ids=lambda item: item[0],
)
def test_a_authdata(s, browser, spoil):
    # auth-at-present auth-authdata-trailing auth-authdata-short: signed by the authenticator as they are
    assert s.answer_refused(browser, authenticator_data=spoil[1]) == (MALFORMED, "A-authdata")


def test_extension_outputs_are_tolerated(s, browser):
    assert s.answer(browser, extensions={"uvm": [[2, 4, 2]]})


@pytest.mark.parametrize(
    "spoil",
    {
        "ids differ": lambda m: m | {"rawId": b64url(b"\7" * 32)},  # auth-id-rawid-mismatch
        "type": lambda m: m | {"type": "password"},  # auth-type-outer
        "no signature": lambda m: (
            m | {"response": {k: v for k, v in m["response"].items() if k != "signature"}}
        ),
        "numbers": lambda m: m | {"response": m["response"] | {"signature": 7}},  # auth-nonstring-fields
        "a list": lambda m: m | {"response": m["response"] | {"authenticatorData": ["AA"]}},
        "handle of a number": lambda m: m | {"response": m["response"] | {"userHandle": 7}},
        "padded": lambda m: m | {"response": m["response"] | {"signature": m["response"]["signature"] + "="}},
        "spaces": lambda m: m | {"response": m["response"] | {"signature": " " + m["response"]["signature"]}},
        "no id": lambda m: {key: m[key] for key in m if key != "id"},
        "empty id": lambda m: m | {"id": "", "rawId": ""},
        "long id": lambda m: m | {"id": "A" * 1368, "rawId": "A" * 1368},
        "list": lambda m: json.dumps([m]),
        "not JSON": lambda m: json.dumps(m)[:-1],
        "twice": lambda m: json.dumps(m)[:-1] + ', "type": "public-key"}',
        "deep": lambda m: json.dumps(m)[:-1] + ', "x": ' + "[" * 20_000 + "]" * 20_000 + "}",
        "huge": lambda m: m | {"x": "a" * 70_000},
    }.items(),
    ids=lambda item: item[0],
)
def test_a_shape_key_04(s, browser, spoil):
    assert s.answer_refused(browser, response=spoil[1]) == (MALFORMED, "A-shape")


@pytest.mark.parametrize(
    "response", [None, 7, [], {}, b"", b"\xff", object(), "null", "{}", {1: 2}, "\ud800", True]
)
def test_a_shape_of_anything_key_04(s, response):
    s.request()
    assert s.completion_refused(response) == (MALFORMED, "A-shape")


def test_a_shape_of_what_a_framework_parsed_is_bounded_too(s, browser):
    parsed = json.loads(browser.get(s.request(), origin=ORIGIN))
    parsed["response"]["signature"] = "A" * 70_000
    assert s.completion_refused(parsed) == (MALFORMED, "A-shape")


def test_key_03_a_registration_is_no_answer_and_an_answer_no_registration(s, browser):
    options = s.creation()
    made = browser.create(options, origin=ORIGIN, force=True)
    s.request()
    assert s.completion_refused(made) == (MALFORMED, "A-shape")
    answer = json.loads(browser.get(s.request(), origin=ORIGIN))
    with pytest.raises(Denied) as denied:
        s.service.complete_registration(b"digest of a pending token", MARIA.id, answer)
    assert denied.value.reason is MALFORMED


# -- the table ----------------------------------------------------------------------------------------------------


def test_every_row_has_a_test():
    with shared("standards", "webauthn_l3_rp_steps.csv").open(encoding="utf-8", newline="") as file:
        wanted = {row["id"] for row in csv.DictReader(file)}
    folder, shown = Path(__file__).parent, set()
    for ceremony in ("registration", "assertion"):
        for found in read_tests(folder / f"test_{ceremony}_steps.py"):
            if named := re.match(r"test_([ar]_(?:cross_|top_)?[a-z]+)", found.name):
                assert complaints(found) == [], found.name
                shown.add(re.sub("(cross|top)_", r"\1", named[1]))
    assert {row.lower().replace("-", "_") for row in wanted} <= shown
    # And each is a step that the log can name, but for the one that only tolerates.
    assert wanted - {check.value for check in Check} == {"R-ext"}
