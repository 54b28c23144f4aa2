"""Every row of the relying party's steps of a registration (WebAuthn Level 3 section 7.1), by the row's name.

Each test fails without its check, mostly since the event says which step refused; `test_every_row_has_a_test` holds this and
`test_assertion_steps` to the table. Ids in comments are those of the table's cases.
"""

from __future__ import annotations

import json

import pytest

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys import Check
from portalsec.auth.passkeys import registration as kernel
from portalsec.auth.passkeys.client_data import ASSERTION, REGISTRATION, check_client_data
from portalsec.errors import Denied, Reason
from portalsec.testing import SoftAuthenticator
from portalsec.testing.cbor import encode
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, ROBIN, SOURCE, TOP, Setting

REFUSED, MALFORMED = Reason.PASSKEY_REFUSED, Reason.MALFORMED


@pytest.fixture
def s() -> Setting:
    return Setting(algorithms=(-7,))


@pytest.fixture
def browser() -> SoftAuthenticator:
    return SoftAuthenticator()


def client_data(**members):
    """Client data with other members; None takes one away."""

    def change(data):
        return {key: value for key, value in {**data, **members}.items() if value is not None}

    return change


def test_a_right_one_is_stored_as_the_browser_made_it(s, browser):
    passkey = s.register(browser)
    (made,) = browser.credentials
    assert list(s.store.of_account(MARIA.id)) == [passkey]
    assert (passkey.credential_id, passkey.public_key) == (made.id, encode(made.key.cose))
    assert (passkey.algorithm, passkey.sign_count, passkey.transports) == (-7, 0, ("internal",))
    assert passkey.discoverable is True
    assert passkey.user_handle == made.user_handle
    assert not s.events


# -- client data --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["webauthn.get", "WebAuthn.create", "payment.get", "webauthn.create ", ""])
def test_r_type(s, browser, kind):
    assert s.registration_refused(browser, type=kind) == (REFUSED, "R-type")


@pytest.mark.parametrize("challenge", [b"another", b"", "", "=", "%%%", "AAAA\n"])
def test_r_challenge_other_empty_junk(s, browser, challenge):
    reason, check = s.registration_refused(browser, challenge=challenge)
    assert (reason, check) == (REFUSED, "R-challenge")


@pytest.mark.parametrize(
    "spoil", [lambda text: text + "=", lambda text: text.lower(), lambda text: text[:-1]]
)
def test_r_challenge_is_compared_as_text(s, browser, spoil):
    # Padded, it is the same bytes to a lenient decoder: reg-challenge-padded
    challenge = s.creation()["challenge"]
    s.plant_registration(challenge)
    response = browser.create({"challenge": spoil(challenge), "rp": {"id": "portal.example"},
                               "pubKeyCredParams": [{"alg": -7}]}, origin=ORIGIN)  # fmt: skip
    with pytest.raises(Denied):
        s.service.complete_registration(PLACE, MARIA.id, response)
    assert s.events.last.details["check"] == "R-challenge"


@pytest.mark.parametrize("ceremony", [REGISTRATION, ASSERTION], ids=lambda it: it.client_type)
def test_r_challenge_that_is_empty_is_none_even_where_it_was_given_out(s, ceremony):
    data = json.dumps({"type": ceremony.client_type, "challenge": "", "origin": ORIGIN}).encode()
    with pytest.raises(kernel.Refusal) as refused:
        check_client_data(data, ceremony, "", s.service._party)
    assert refused.value.check is ceremony.challenge


ORIGINS = (
    "http://portal.example",
    "https://portal.example:8443",
    "https://portal.example:443",
    "https://www.portal.example",
    "https://portal.example.evil.example",
    "https://evilportal.example",
    "https://portal.example/",
    "https://PORTAL.example",
    "https://portal.example.",
    "null",
    "",
    "portal.example",
    "https://portal.example,https://evil.example",
    " https://portal.example",
    "https://portal.example\0",
    "android:apk-key-hash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
)


@pytest.mark.parametrize("origin", ORIGINS)
def test_r_origin(s, browser, origin):
    assert s.registration_refused(browser, origin=origin) == (REFUSED, "R-origin")


def test_r_origin_is_no_list(s, browser):
    # reg-origin-list
    refused = s.registration_refused(browser, client_data=client_data(origin=[ORIGIN]))
    assert refused == (MALFORMED, "R-json")


def test_origins_of_apps_and_related_pages_are_taken_where_they_are_listed():
    app, other = (
        "android:apk-key-hash:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "https://portal.other.example",
    )
    s = Setting(origins=(ORIGIN, app), related_origins=(other,))
    for origin in (ORIGIN, app, other):
        assert s.register(SoftAuthenticator(), origin=origin)


NO_BOOL = ("false", "", 0, 1, None, [])  # some of which are false to Python


def test_r_cross_origin(s, browser):
    assert s.registration_refused(browser, cross_origin=True) == (REFUSED, "R-crossOrigin")
    for junk in NO_BOOL:
        refused = s.registration_refused(
            browser, client_data=lambda data, junk=junk: data | {"crossOrigin": junk}
        )
        assert refused == (REFUSED, "R-crossOrigin")
    framed = Setting(top_origins=(TOP,))
    assert framed.register(browser, cross_origin=True)
    assert s.register(browser, client_data=client_data(crossOrigin=None), force=True)  # Level 1 has none


def test_r_top_origin(s, browser):
    framed = Setting(top_origins=(TOP,))
    refused = (REFUSED, "R-topOrigin")
    assert (
        framed.registration_refused(browser, cross_origin=True, top_origin="https://evil.example") == refused
    )
    assert framed.registration_refused(browser, top_origin=TOP) == refused  # reg-toporigin-nocross
    assert (
        framed.registration_refused(browser, client_data=lambda data: data | {"topOrigin": None}) == refused
    )
    assert s.registration_refused(browser, client_data=client_data(topOrigin=TOP)) == refused
    assert framed.register(browser, cross_origin=True, top_origin=TOP)


def test_r_json_may_have_a_byte_order_mark_and_more_members(s, browser):
    # reg-ok-bom: "UTF-8 decode" of section 7.1 takes it off
    assert s.register(browser, client_data=lambda data: b"\xef\xbb\xbf" + json.dumps(data).encode())
    assert s.register(browser, client_data=lambda data: data | {"extra": {"a": [1, 2.5, None]}}, force=True)


@pytest.mark.parametrize(
    "spoil",
    {
        "twice": lambda data: json.dumps(data).encode()[:-1] + b', "origin": "https://portal.example"}',
        "twice below": lambda data: json.dumps(data).encode()[:-1] + b', "x": {"a": 1, "a": 1}}',
        "list": lambda data: json.dumps([data]).encode(),
        "text": lambda data: json.dumps(json.dumps(data)).encode(),
        "number": lambda _: b"1",
        "empty": lambda _: b"",
        "deep": lambda data: json.dumps(data).encode()[:-1] + b', "x": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        "deep by 40": lambda data: json.dumps(data).encode()[:-1] + b', "x": ' + b"[" * 40 + b"]" * 40 + b"}",
        "huge": lambda data: json.dumps(data | {"x": "a" * 8192}).encode(),
        "not UTF-8": lambda data: json.dumps(data).encode()[:-1] + b', "x": "\xff"}',
        "UTF-16": lambda data: json.dumps(data).encode("utf-16"),
        "two marks": lambda data: b"\xef\xbb\xbf" * 2 + json.dumps(data).encode(),
        "NaN": lambda data: json.dumps(data).encode()[:-1] + b', "x": NaN}',
        "big number": lambda data: json.dumps(data).encode()[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        "trailing": lambda data: json.dumps(data).encode() + b"{}",
        "no type": client_data(type=None),
        "no challenge": client_data(challenge=None),
        "no origin": client_data(origin=None),
        "numbers": client_data(origin=1),
        "half a character": lambda data: json.dumps(data | {"origin": "\ud800"}).encode()[:-1],
        "long challenge": client_data(challenge="A" * 2000),
        "token binding": client_data(tokenBinding={"status": "not-supported"}),
    }.items(),
    ids=lambda item: item[0],
)  # fmt: skip
def test_r_json(s, browser, spoil):
    # reg-json-dup-key reg-json-notdict reg-json-deep reg-json-huge
    assert s.registration_refused(browser, client_data=spoil[1]) == (MALFORMED, "R-json")


# -- the attestation object -------------------------------------------------------------------------------------


def cbor(whole) -> bytes:
    return encode(whole)


@pytest.mark.parametrize(
    "spoil",
    {
        "twice": lambda whole: b"\xa4" + cbor(whole)[1:] + cbor("fmt") + cbor("none"),
        "trailing": lambda whole: cbor(whole) + b"\0",
        "second": lambda whole: cbor(whole) * 2,
        "bomb": lambda _: b"\xbb" + b"\xff" * 8,
        "bytes bomb": lambda _: b"\xa1\x63fmt\x5b" + b"\xff" * 8,
        "array bomb": lambda _: b"\xa1\x63fmt" + b"\x9a\x00\xff\xff\xff" * 9,
        "deep": lambda whole: cbor(whole).replace(b"attStmt\xa0", b"attStmt" + b"\x81" * 5000 + b"\xa0"),
        "many items": lambda whole: cbor({**whole, "attStmt": {"x": [0] * 1100}}),
        "tag": lambda whole: b"\xd9\xd9\xf7" + cbor(whole),
        "tag below": lambda whole: cbor(whole).replace(b"attStmt\xa0", b"attStmt\xc1\xa0"),
        "no end told": lambda whole: b"\xbf" + cbor(whole)[1:] + b"\xff",
        "undefined": lambda whole: cbor(whole).replace(b"attStmt\xa0", b"attStmt\xf7"),
        "list": lambda whole: cbor([whole]),
        "nothing": lambda _: b"",
        "fourth member": lambda whole: cbor({**whole, "x": 1}),
        "no statement": lambda whole: cbor({"fmt": whole["fmt"], "authData": whole["authData"]}),
        "format of bytes": lambda whole: cbor({**whole, "fmt": b"none"}),
        "data of text": lambda whole: cbor({**whole, "authData": "x"}),
        "not UTF-8": lambda whole: cbor(whole).replace(b"\x64none", b"\x64non\xff"),
    }.items(),
    ids=lambda item: item[0],
)  # fmt: skip
def test_r_cbor(s, browser, spoil):
    # reg-cbor-dup-key reg-cbor-trailing reg-cbor-bomb reg-cbor-deep reg-cbor-tag
    assert s.registration_refused(browser, attestation_object=spoil[1]) == (MALFORMED, "R-cbor")


@pytest.mark.parametrize("rp_id", ["example", "www.portal.example", "evil.example", "PORTAL.EXAMPLE"])
def test_r_rpid(s, browser, rp_id):
    assert s.registration_refused(browser, rp_id=rp_id) == (REFUSED, "R-rpid")


def test_r_up(s, browser):
    assert s.registration_refused(browser, user_present=False) == (REFUSED, "R-up")
    # Only where it was asked for without a touch: right after a sign-in with a password.
    options = s.creation(conditional=True)
    response = browser.create(options, origin=ORIGIN, user_present=False, force=True)
    assert s.service.complete_registration(PLACE, MARIA.id, response)


def test_r_uv(s):
    browser = SoftAuthenticator(user_verification=False)
    options = s.creation(user_verification="required")
    assert options["authenticatorSelection"]["userVerification"] == "required"
    with pytest.raises(Denied):
        s.service.complete_registration(PLACE, MARIA.id, browser.create(options, origin=ORIGIN))
    assert s.events.last.details["check"] == "R-uv"
    assert s.register(browser, force=True).user_verified is False  # preferred: reported


def test_r_bs(s, browser):
    assert s.registration_refused(browser, backed_up=True) == (REFUSED, "R-bs")
    synced = s.register(browser, backup_eligible=True, backed_up=True, force=True)
    assert (synced.backup_eligible, synced.backed_up) == (True, True)


def lengths(data: bytes, length: int) -> bytes:
    return data[:53] + length.to_bytes(2, "big") + data[55:]


def flag(data: bytes, bit: int, *, on: bool) -> bytes:
    return data[:32] + bytes([data[32] | bit if on else data[32] & ~bit]) + data[33:]


@pytest.mark.parametrize(
    "spoil",
    {
        "no credential": lambda data: flag(data, 0x40, on=False)[:37],
        "its flag is off": lambda data: flag(data, 0x40, on=False),
        "trailing": lambda data: data + b"\0",
        "extensions without their flag": lambda data: data + b"\xa0",
        "flag without extensions": lambda data: flag(data, 0x80, on=True),
        "extensions that are no map": lambda data: flag(data, 0x80, on=True) + b"\x01",
        "huge": lambda data: flag(data, 0x80, on=True) + encode({"x": b"\0" * 33_000}),
        "short": lambda data: data[:36],
        "nothing": lambda _: b"",
        "id longer than all": lambda data: lengths(data, 0xFFFF),
        "id by one longer": lambda data: lengths(data, 33),
        "id by one shorter": lambda data: lengths(data, 31),
        "cut in the id": lambda data: data[:60],
        "cut in the key": lambda data: data[:-1],
        "key that is no map": lambda data: data[:87] + b"\x40",
    }.items(),
    ids=lambda item: item[0],
)
def test_r_authdata(s, browser, spoil):
    # reg-at-missing reg-authdata-trailing reg-authdata-ed-noext reg-authdata-short reg-cid-len-lie reg-key-truncated
    def change(whole):
        return whole | {"authData": spoil[1](whole["authData"])}

    assert s.registration_refused(browser, attestation_object=change) == (MALFORMED, "R-authdata")


# -- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [-35, -257, -65535, -8])
def test_r_alg(s, browser, algorithm):
    key = {1: 3, 3: algorithm, -1: b"\xc1" * 256, -2: b"\1\0\1"}  # reg-alg-not-offered-rs1 and others
    assert s.registration_refused(browser, key=encode(key)) == (REFUSED, "R-alg")
    assert s.registration_refused(browser, algorithm=-35) == (REFUSED, "R-alg")


def test_r_key(s, browser):
    """One of each kind here; `test_cose` has them all."""
    s.register(browser)
    good = browser.credentials[0].key.cose
    for spoilt in (
        good | {-1: 2},  # reg-alg-crv-mismatch
        good | {-3: True},  # reg-key-compressed
        good | {-3: b"\1" * 32},  # reg-key-offcurve
        good | {-4: b"\1" * 32},  # reg-key-private
        good | {1: 3},
        good | {-2: good[-2][:31], -3: good[-2][31:] + good[-3]},  # 64 bytes, divided elsewhere
    ):
        refused = s.registration_refused(browser, key=encode(spoilt), force=True)
        assert refused == (REFUSED, "R-key")
    rsa = Setting(algorithms=(-257,))
    # reg-key-rsa1024 reg-key-rsa-e1, and the least exponent that RSA has
    for n, e in ((b"\xc1" * 128, b"\1\0\1"), (b"\xc1" * 256, b"\1"), (b"\xc1" * 256, b"\3")):
        refused = rsa.registration_refused(browser, key=encode({1: 3, 3: -257, -1: n, -2: e}))
        assert refused == (REFUSED, "R-key")


# -- the attestation statement --------------------------------------------------------------------------------------


def test_r_fmt(s, browser):
    unknown = s.registration_refused(browser, attestation_object=lambda whole: whole | {"fmt": "not_real"})
    assert unknown == (REFUSED, "R-fmt")
    filled = s.registration_refused(browser, statement=lambda _: {"sig": b"x"})
    assert filled == (REFUSED, "R-fmt")  # reg-none-with-stmt


def self_attested(s: Setting, **spoil) -> dict:
    """Options that get a self attestation although the policy asks for none."""
    return s.creation() | {"attestation": "direct"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda stmt: stmt | {"sig": stmt["sig"][:-1] + bytes([stmt["sig"][-1] ^ 1])},
        lambda stmt: stmt | {"alg": -8},
    ],
)
def test_r_attstmt(s, spoil):
    # reg-self-badsig reg-self-algmismatch: what is there is verified, asked for or not
    browser = SoftAuthenticator(attestation="packed-self")
    response = browser.create(self_attested(s), origin=ORIGIN, statement=spoil)
    with pytest.raises(Denied):
        s.service.complete_registration(PLACE, MARIA.id, response)
    assert s.events.last.details["check"] == "R-attstmt"
    response = browser.create(self_attested(s), origin=ORIGIN)
    assert s.service.complete_registration(PLACE, MARIA.id, response).attested is False


# -- the credential id ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 16, 1022, 1023])
def test_r_cid_takes_up_to_1023_bytes(s, browser, length):
    assert s.register(browser, credential_id=b"\7" * length).credential_id == b"\7" * length


@pytest.mark.parametrize("length", [0, 1024, 2000])
def test_r_cid(s, browser, length):
    assert s.registration_refused(browser, credential_id=b"\7" * length) == (REFUSED, "R-cid")


@pytest.mark.parametrize("length", [0, 1024])
def test_r_cid_inside_is_bounded_by_itself(s, browser, length):
    # Behind the outer check, which a message of such an id does not pass: the kernel's own.
    made = json.loads(browser.create(s.creation(), origin=ORIGIN, credential_id=b"\7" * length))
    message = kernel.RegistrationMessage(
        credential_id=b"\7" * length,
        client_data=unb64url(made["response"]["clientDataJSON"]),
        attestation_object=unb64url(made["response"]["attestationObject"]),
        transports=(),
        discoverable=None,
    )
    challenge = json.loads(message.client_data)["challenge"]
    with pytest.raises(kernel.Refusal) as refused:
        kernel.verify_registration(
            message,
            kernel.ExpectedRegistration(challenge=challenge, algorithms=(-7,), user_verified=False),
            s.service._party,
            second_opinion=lambda *_: True,
            attest=lambda _: False,
        )
    assert refused.value.check is Check.R_CID


def test_r_cid_is_the_same_in_and_outside(s, browser):
    other = b64url(b"\7" * 32)

    def outer(message):
        return message | {"id": other, "rawId": other}

    assert s.registration_refused(browser, response=outer) == (REFUSED, "R-cid")
    assert s.registration_refused(browser, response=lambda m: m | {"id": other}) == (REFUSED, "R-cid")


# -- one owner ----------------------------------------------------------------------------------------------------


def test_r_dup_key_08_a_credential_id_of_somebody_else_is_not_registered(s, browser):
    passkey = s.register(browser)
    thief = SoftAuthenticator()
    for account in (ROBIN, MARIA):
        options = s.creation(account, exclude=False)
        response = thief.create(options, origin=ORIGIN, credential_id=passkey.credential_id, force=True)
        with pytest.raises(Denied) as denied:
            s.service.complete_registration(PLACE, account.id, response)
        assert denied.value.reason is Reason.PASSKEY_TAKEN
        assert s.events.last.details["check"] == "R-dup"
    assert s.store.by_credential_id(passkey.credential_id) == passkey


def test_r_ext_is_tolerated(s, browser):
    # reg-ok-ext: unsolicited outputs, signed and unsigned
    assert s.register(browser, extensions={"credProtect": 2, "minPinLength": 6, "uvm": [[2, 4, 2]]})
    assert s.register(
        browser,
        force=True,
        response=lambda m: m | {"clientExtensionResults": {"appid": True, "credProps": 7}},
    )


# -- the message around it ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    {
        "type": lambda m: m | {"type": "password"},
        "no type": lambda m: {key: m[key] for key in m if key != "type"},
        "no response": lambda m: m | {"response": None},
        "no attestation": lambda m: m | {"response": {"clientDataJSON": m["response"]["clientDataJSON"]}},
        "numbers": lambda m: m | {"rawId": 7},
        "id of a number": lambda m: m | {"id": 7},
        "padded": lambda m: m | {"rawId": m["rawId"] + "=", "id": m["id"] + "="},
        "other alphabet": lambda m: m | {"rawId": "+/+/", "id": "+/+/"},
        "loose bits": lambda m: m | {"rawId": "AB", "id": "AB"},
        "transports": lambda m: m | {"response": m["response"] | {"transports": "usb"}},
        "list": lambda m: json.dumps([m]),
        "not JSON": lambda m: json.dumps(m)[:-1],
        "twice": lambda m: json.dumps(m)[:-1] + ', "type": "public-key"}',
        "huge": lambda m: m | {"x": "a" * 70_000},
        "mark": lambda m: "\ufeff" + json.dumps(m),
        "surrogates": lambda m: m | {"id": "\ud800", "rawId": "\ud800"},
        "nothing": lambda _: "",
    }.items(),
    ids=lambda item: item[0],
)
def test_r_shape(s, browser, spoil):
    assert s.registration_refused(browser, response=spoil[1]) == (MALFORMED, "R-shape")


@pytest.mark.parametrize(
    "response", [None, 7, [], {}, b"", b"\xff", object(), "null", "{}", {1: 2}, "\ud800", True]
)
def test_r_shape_of_anything(s, response):
    s.creation()
    with pytest.raises(Denied) as denied:
        s.service.complete_registration(PLACE, MARIA.id, response)
    assert denied.value.reason is MALFORMED


def test_r_shape_of_what_a_framework_parsed_is_bounded_too(s, browser):
    parsed = json.loads(browser.create(s.creation(), origin=ORIGIN))
    parsed["response"]["attestationObject"] = "A" * 70_000
    refused = s._refused(lambda: s.service.complete_registration(PLACE, MARIA.id, parsed, source=SOURCE))
    assert refused == (MALFORMED, "R-shape")


def test_what_a_framework_parsed_is_taken_too(s, browser):
    parsed = json.loads(browser.create(s.creation(), origin=ORIGIN))
    assert s.service.complete_registration(PLACE, MARIA.id, parsed)
    encoded = browser.create(s.creation(), origin=ORIGIN, force=True).encode()
    assert s.service.complete_registration(PLACE, MARIA.id, encoded)


def test_transports_are_names_or_nothing(s, browser):
    names = ["usb", "usb", "new-one", "<script>", "", 7, "A" * 99, *(f"t{n}" for n in range(99))]

    def change(m):
        return m | {"response": m["response"] | {"transports": names}}

    kept = s.register(browser, response=change).transports
    assert kept[:3] == ("usb", "new-one", "t0")
    assert len(kept) == 8


def test_what_the_webauthn_package_refuses_is_refused(s, browser, monkeypatch):
    monkeypatch.setattr(s.service, "_package", lambda *_: False)
    assert s.registration_refused(browser) == (REFUSED, "R-package")
