"""Whatever a browser sends is refused cleanly: 115 mutation cases and more, mutants at random, bombs."""

from __future__ import annotations

import csv
import json
import os
import random
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys import challenges
from portalsec.errors import Denied, Reason
from portalsec.testing import SoftAuthenticator
from portalsec.testing.cbor import encode
from tests.auth.passkeys.malformed import ASSERTIONS, REGISTRATIONS, Case
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, SECOND, SIGN_IN, SOURCE, Setting
from tests.support import shared

MUTANTS = 20_000 if os.environ.get("PORTALSEC_SOAK") == "1" else 2_000
CLEAN = {Reason.MALFORMED, Reason.PASSKEY_REFUSED, Reason.PASSKEY_TAKEN}
OTHERWISE = {
    "reg-origin-list": ("R-json", "which reads the types"),
    "reg-origin-null": ("R-json", "likewise"),
    "auth-stored-alg-swap": ("A-sig", "the record is not what the visitor sent"),
}
TAKEN = {
    "reg-ok-bom": "UTF-8 decode strips the mark",
    "reg-cid-1023": "the longest id that there is",
    "reg-ok-ext": "outputs that nobody asked for are tolerated",
    "auth-ok-nouserhandle": "somebody was named, so the handle may be left out",
    "auth-toporigin-allowed": "the policy of the case declares it",
    "auth-uv-preferred": "reported, and not required",
    "auth-ok-count": "it rises",
    "auth-ok-count-zero": "it does not count",
}
SHAPES = {"R-json", "R-cbor", "R-shape", "R-authdata", "A-json", "A-shape", "A-authdata"}


def test_every_case_of_the_steps_is_here():
    with shared("standards", "webauthn_l3_rp_steps.csv").open(newline="", encoding="utf-8") as file:
        steps = {name: row["id"] for row in csv.DictReader(file) for name in row["test_case_ids"].split()}
    cases = {**REGISTRATIONS, **ASSERTIONS}
    assert steps.keys() == {name for name in cases if "-own-" not in name}
    assert len(cases) >= 115
    assert {name for name, case in cases.items() if case.step is None} == TAKEN.keys()
    for name in steps.keys() - TAKEN.keys():
        assert cases[name].step == OTHERWISE.get(name, (steps[name], ""))[0], name
    assert all(steps[name] != step for name, (step, _) in OTHERWISE.items())


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_atk_28_registrations(name: str):
    case = REGISTRATIONS[name]
    setting = Setting(**case.policy)
    browser = SoftAuthenticator(**case.browser)

    def register() -> Any:
        options = setting.creation(MARIA, **case.options)
        response = browser.create(options, **({"origin": ORIGIN} | dict(case.hostile)))
        return setting.service.complete_registration(PLACE, MARIA.id, response, source=SOURCE)

    judge(setting, case, register)
    assert len(setting.store.of_account(MARIA.id)) == (case.step is None)


@pytest.mark.parametrize("name", ASSERTIONS)
def test_atk_28_assertions(name: str):
    case = ASSERTIONS[name]
    setting = Setting(**case.policy)
    browser = SoftAuthenticator(**case.browser)
    passkey = setting.register(browser)
    if browser.counter:
        browser.credentials[0].sign_count = 4
        setting.answer(browser, MARIA, purpose=SECOND)
    if name == "auth-stored-alg-swap":
        setting.keep(passkey, algorithm=-257, sign_count=5)
    before = setting.store.of_account(MARIA.id)
    judge(
        setting,
        case,
        lambda: setting.answer(
            browser,
            None if case.unnamed else MARIA,
            purpose=SIGN_IN if case.unnamed else SECOND,
            verified=case.verified,
            **case.hostile,
        ),
    )
    if case.step not in (None, "A-count"):
        assert setting.store.of_account(MARIA.id) == before
    if case.step == "A-count":
        (after,) = setting.store.of_account(MARIA.id)
        assert (after.sign_count, after.suspect_at) == (5, setting.clock())


def judge(setting: Setting, case: Case, call: Callable[[], Any]) -> None:
    if case.step is None:
        assert call()
        return
    reason, step = setting._refused(call)
    assert step == case.step
    assert reason is (Reason.MALFORMED if step in SHAPES else Reason.PASSKEY_REFUSED)


# -- mutants at random ------------------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1e308,
    2**70,
    "",
    "A",
    "=",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    {"a": {}},
    "é" * 50,
)


def mutate(choose: random.Random, value: Any) -> Any:
    """One change somewhere in a JSON value; text that is base64url is often changed in its bytes, or what they encode."""
    if isinstance(value, dict) and value and choose.random() < 0.9:
        name = choose.choice(sorted(value))
        kind = choose.random()
        if kind < 0.05:
            return {key: each for key, each in value.items() if key != name}
        if kind < 0.1:
            return value | {name + choose.choice("\0 aA"): value[name]}
        return value | {name: mutate(choose, value[name])}
    if isinstance(value, str) and choose.random() < 0.9:
        try:
            raw = unb64url(value)
        except ValueError:
            raw = b""
        if raw and choose.random() < 0.9:
            return b64url(spoil(choose, raw))
        return spoil(choose, value.encode()).decode("latin-1")
    return choose.choice(JUNK)


def spoil(choose: random.Random, raw: bytes) -> bytes:
    """A few bytes flipped, cut out, doubled, put in; or lengths set to their largest."""
    changed = bytearray(raw)
    for _ in range(choose.choice((1, 1, 1, 2, 5))):
        at = choose.randrange(len(changed) + 1)
        match choose.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([choose.randrange(256)])
            case 1:
                del changed[at : at + choose.randrange(1, 9)]
            case 2:
                changed[at:at] = choose.randbytes(choose.randrange(1, 9))
            case 3:
                changed[at:at] = changed[max(at - 20, 0) : at]
            case 4:
                changed[at : at + 4] = b"\xff" * 4
            case _:
                if at < len(changed):
                    changed[at] ^= 1 << choose.randrange(8)
    return bytes(changed)


def mutants(response: str, seed: int) -> Iterator[object]:
    choose = random.Random(seed)
    whole = json.loads(response)
    for _ in range(MUTANTS // 2):
        kind = choose.random()
        if kind < 0.7:
            changed = mutate(choose, whole)
            yield changed if choose.random() < 0.5 else json.dumps(changed)
        elif kind < 0.9:
            yield spoil(choose, response.encode()).decode("latin-1")
        else:
            yield spoil(choose, response.encode())


def same_claims(sent: object, original: str, *names: str) -> None:
    """What was taken says what the original says: a mutation that changes nothing that counts."""
    if isinstance(sent, bytes):
        sent = sent.decode("utf-8")
    taken = json.loads(sent) if isinstance(sent, str) else sent
    whole = json.loads(original)
    assert isinstance(taken, dict)
    assert (taken["id"], taken["rawId"], taken["type"]) == (whole["id"], whole["rawId"], whole["type"])
    for name in names:
        assert taken["response"][name] == whole["response"][name], name


def test_atk_28_mutants_of_a_registration():
    setting = Setting()
    browser = SoftAuthenticator()
    options = setting.creation()
    original = browser.create(options, origin=ORIGIN)
    verdicts: dict[object, int] = {}
    for sent in mutants(original, 1):
        setting.plant_registration(options["challenge"])
        try:
            passkey = setting.service.complete_registration(PLACE, MARIA.id, sent, source=SOURCE)
        except Denied as denied:
            verdicts[denied.reason] = verdicts.get(denied.reason, 0) + 1
            continue
        verdicts["taken"] = verdicts.get("taken", 0) + 1
        # Without attestation only the client data are held by the challenge; what they claim must be the same.
        same_claims(sent, original)
        body = sent if isinstance(sent, dict) else json.loads(sent)
        client_data = json.loads(unb64url(body["response"]["clientDataJSON"]).removeprefix(b"\xef\xbb\xbf"))
        assert (client_data["type"], client_data["challenge"], client_data["origin"]) == (
            "webauthn.create",
            options["challenge"],
            ORIGIN,
        )
        assert setting.store.remove(MARIA.id, passkey.id)
    assert sum(verdicts.values()) == MUTANTS // 2
    assert verdicts.keys() <= {"taken", *CLEAN}
    assert verdicts[Reason.MALFORMED] > MUTANTS // 10 and verdicts[Reason.PASSKEY_REFUSED] > MUTANTS // 50


def test_atk_28_mutants_of_an_assertion():
    setting = Setting()
    browser = SoftAuthenticator(counter=False)
    passkey = setting.register(browser)
    options = setting.request(MARIA, purpose=SECOND)
    original = browser.get(options, origin=ORIGIN)
    verdicts: dict[object, int] = {}
    for sent in mutants(original, 2):
        setting.plant_request(options["challenge"], passkey)
        try:
            setting.complete(sent, MARIA, purpose=SECOND)
        except Denied as denied:
            verdicts[denied.reason] = verdicts.get(denied.reason, 0) + 1
            continue
        verdicts["taken"] = verdicts.get("taken", 0) + 1
        same_claims(sent, original, "clientDataJSON", "authenticatorData", "signature")
    assert sum(verdicts.values()) == MUTANTS // 2
    assert verdicts.keys() <= {"taken", *CLEAN}
    assert verdicts[Reason.MALFORMED] > MUTANTS // 10 and verdicts[Reason.PASSKEY_REFUSED] > MUTANTS // 50


# -- bombs ------------------------------------------------------------------------------------------------------

MEMORY = 10 * 1024 * 1024
CALLS = 20_000
"""Of Python and C functions. An honest registration takes some thousands, nearly all of them the webauthn package's."""


def deep(kind: str, depth: int = 20_000) -> str:
    return {
        "[": "[" * depth + "]" * depth,
        "{": '{"a":' * depth + "1" + "}" * depth,
        "mixed": '[{"a":' * depth,
    }[kind]


def nested(depth: int) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for _ in range(depth):
        whole = {"response": whole, "type": "public-key"}
    return whole


CBOR_BOMBS = {
    "an array of 2**64": b"\x9b" + b"\xff" * 8,
    "a map of 2**64": b"\xbb" + b"\xff" * 8,
    "bytes of 2**64": b"\x5b" + b"\xff" * 8,
    "text of 2**63": b"\x7b\x7f" + b"\xff" * 7,
    "an array of a million": b"\x9a\x00\x0f\x42\x40" + b"\x00" * 40_000,
    "arrays within arrays": b"\x81" * 40_000,
    "arrays of two within arrays": b"\x82" * 40_000,
    "maps within maps": b"\xa1\x01" * 20_000,
    "maps as keys": b"\xa1" * 40_000,
    "tags within tags": b"\xc1" * 40_000,
    "a number of 40,000 bytes": b"\xc2\x59\x9c\x40" + b"\xff" * 40_000,
    "endless arrays": b"\x9f" * 40_000,
    "endless bytes": b"\x5f" + b"\x41a" * 20_000 + b"\xff",
    "endless text": b"\x7f" + b"\x61a" * 20_000 + b"\xff",
    "many members": b"\xb9\x4e\x20"
    + b"".join(b"\x19" + n.to_bytes(2, "big") + b"\x00" for n in range(256, 10_256)),
    "one key many times": b"\xb9\x4e\x20" + b"\x01\x00" * 20_000,
    "nothing": b"",
    "reserved": b"\x1c\x1d\x1e\xfc\xfd",
    "breaks": b"\xff" * 40_000,
}
JSON_BOMBS = {
    "brackets": deep("["),
    "braces": deep("{"),
    "both": deep("mixed"),
    "open brackets": "[" * 60_000,
    "quotes": '"' * 60_000,
    "empty lists": "[" + "[]," * 20_000 + "[]]",
    "empty braces": "[" + "{}," * 20_000 + "{}]",
    "escapes": '"' + "\\" * 60_001,
    "half escapes": '{"a":"' + "\\u" * 30_000 + '"}',
    "a number of 60,000 digits": '{"a":' + "9" * 60_000 + "}",
    "a fraction of 60,000 digits": '{"a":0.' + "9" * 60_000 + "}",
    "a huge exponent": '{"a":1e999999999}',
    "many members": "{" + ",".join(f'"{n}":0' for n in range(6_000)) + "}",
    "one member many times": "{" + ",".join('"a":0' for _ in range(8_000)) + "}",
    "spaces": " " * 60_000,
    "ten megabytes": '{"type":"' + "x" * 10_000_000 + '"}',
}


def bombs() -> Iterator[tuple[str, object]]:
    outer = {"id": "AAAA", "rawId": "AAAA", "type": "public-key"}
    client_data = b64url(b'{"type":"webauthn.create","challenge":"AAAA","origin":"https://portal.example"}')
    for name, text in JSON_BOMBS.items():
        yield f"message: {name}", text
        yield f"message in bytes: {name}", text.encode()
        short = text if len(text) < 60_000 else text[:48_000]
        for member in ("attestationObject", "signature"):
            body = {"clientDataJSON": b64url(short.encode()), "authenticatorData": "AAAA", member: "AAAA"}
            yield f"client data: {name}", outer | {"response": body}
            yield f"client data in text: {name}", json.dumps(outer | {"response": body})
    for name, raw in CBOR_BOMBS.items():
        whole = encode(
            {"fmt": "none", "attStmt": {}, "authData": bytes(32) + b"\x45" + bytes(22) + b"\0\x01x" + raw}
        )
        for what, attestation in (
            ("attestation", raw),
            ("statement", b"\xa3\x63fmt\x64none\x67attStmt" + raw),
            ("key", whole),
        ):
            yield (
                f"{what}: {name}",
                outer
                | {"response": {"clientDataJSON": client_data, "attestationObject": b64url(attestation)}},
            )
        data = bytes(32) + b"\x85" + bytes(4) + raw
        yield (
            f"extensions: {name}",
            outer
            | {
                "response": {
                    "clientDataJSON": client_data,
                    "authenticatorData": b64url(data),
                    "signature": "AAAA",
                }
            },
        )
    for name, odd in {
        "nothing": None, "a number": 5, "a list": [outer], "bytes that are no text": b"\xff" * 100, "nested": nested(20_000),
        "a long id": outer | {"id": "A" * 60_000, "rawId": "A" * 60_000, "response": {}}, "text of a lone surrogate": "\ud800" * 100,
        "many transports": outer | {"response": {"clientDataJSON": client_data, "attestationObject": "oA", "transports": ["a"] * 100_000}},
        "a body of ten megabytes": outer | {"response": {"clientDataJSON": "A" * 10_000_000}},
    }.items():  # fmt: skip
        yield f"odd: {name}", odd


BOMBS = list(bombs())


@pytest.fixture(scope="module")
def armed() -> tuple[Setting, Any]:
    """A portal that has registered somebody, so that the webauthn package is loaded and no first import is measured."""
    setting = Setting()
    return setting, setting.register(SoftAuthenticator())


def spent(call: Callable[[], Any]) -> tuple[int, int]:
    """Calls made, and the most memory held at once, while a call was refused."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    before = sys.getprofile()
    try:
        tracemalloc.reset_peak()
        base = tracemalloc.get_traced_memory()[0]
        sys.setprofile(count)
        with pytest.raises(Denied) as denied:
            call()
        sys.setprofile(before)
        peak = tracemalloc.get_traced_memory()[1] - base
    finally:
        sys.setprofile(before)
        tracemalloc.stop()
    assert denied.value.reason in CLEAN
    assert denied.value.__context__ is None
    return calls, peak


@pytest.mark.parametrize("response", [pytest.param(each, id=name) for name, each in BOMBS])
def test_atk_28_bombs_take_little_work_and_memory(response: object, armed: tuple[Setting, Any]):
    setting, passkey = armed
    setting.plant_registration("AAAA")
    calls, peak = spent(
        lambda: setting.service.complete_registration(PLACE, MARIA.id, response, source=SOURCE)
    )
    assert calls < CALLS and peak < MEMORY
    setting.plant_request("AAAA", passkey)
    calls, peak = spent(lambda: setting.complete(response, MARIA, purpose=SECOND))
    assert calls < CALLS and peak < MEMORY


def test_a_bomb_spends_the_challenge_like_any_answer(armed: tuple[Setting, Any]):
    setting, _ = armed
    setting.plant_registration("AAAA")
    for reason in (Reason.MALFORMED, Reason.FLOW_UNKNOWN):
        with pytest.raises(Denied) as denied:
            setting.service.complete_registration(PLACE, MARIA.id, "[" * 20_000, source=SOURCE)
        assert denied.value.reason is reason
    assert challenges.REGISTER == "passkey.register"
