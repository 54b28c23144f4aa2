"""Imports: what apps write is read, everything else is one sentence, and nothing is quoted."""

from __future__ import annotations

import base64
import copy
import pickle
import tracemalloc
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.otpauth import SENTENCES, ImportedSeed, ImportProblem, ImportRefused, one_of, read
from portalsec.errors import Denied, Reason

SEED = b"12345678901234567890"
TEXT = base64.b32encode(SEED).decode()
PLAIN = f"otpauth://totp/Hill%20Clinic:robin?secret={TEXT}&issuer=Hill%20Clinic"


def problem(uri: object, entry: object = None) -> ImportProblem:
    with pytest.raises(ImportRefused) as refused:
        one_of(uri, entry)
    assert refused.value.reason is Reason.MALFORMED
    assert refused.value.sentence == SENTENCES[refused.value.problem]
    assert refused.value.__context__ is None  # what the parsers below raise quotes the input
    return refused.value.problem


def said(found: ImportedSeed) -> tuple[Any, ...]:
    parameters = found.parameters
    return (
        found.seed.reveal(),
        parameters.algorithm,
        parameters.digits,
        parameters.period,
        found.issuer,
        found.name,
    )


def test_the_usual_address() -> None:
    assert said(one_of(PLAIN)) == (SEED, "SHA1", 6, 30, "Hill Clinic", "robin")
    assert TEXT not in repr(read(PLAIN))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (f"otpauth://totp/robin?secret={TEXT.lower()}", ("SHA1", 6, 30, "", "robin")),
        (f"OTPAUTH://TOTP/A:b?SECRET={TEXT}&Digits=8", ("SHA1", 8, 30, "A", "b")),
        (f"  otpauth://totp/?secret={TEXT}&algorithm=sha-256&period=60 ", ("SHA256", 6, 60, "", "")),
        (f"otpauth://totp/a:b?secret={TEXT}&issuer=c&image=x&counter=9", ("SHA1", 6, 30, "c", "b")),
        (f"otpauth://totp/a?secret={TEXT[:8]}+{TEXT[8:16]}-{TEXT[16:]}&algorithm=SHA512", ("SHA512", 6, 30, "", "a")),
        (f"otpauth://totp/%E2%80%AEevil%0A%FF?secret={TEXT}&digits=7", ("SHA1", 7, 30, "", "evil\ufffd")),
        (f"otpauth://totp/{'n' * 600}?secret={TEXT}", ("SHA1", 6, 30, "", "n" * 254)),
    ],
)  # fmt: skip
def test_other_spellings(uri: str, expected: tuple[Any, ...]) -> None:
    assert said(one_of(uri)) == (SEED, *expected)


@given(
    seed=st.binary(min_size=20, max_size=128),
    name=st.text(st.characters(categories=["L", "N", "P"], exclude_characters=":"), min_size=1, max_size=40),
    digits=st.sampled_from([6, 7, 8]),
    period=st.integers(15, 120),
)
def test_what_pyotp_writes_is_read(seed: bytes, name: str, digits: int, period: int) -> None:
    totp = pyotp.TOTP(base64.b32encode(seed).decode().rstrip("="), digits=digits, interval=period)
    found = one_of(totp.provisioning_uri(name=name, issuer_name="Hill Clinic"))
    assert said(found) == (seed, "SHA1", digits, period, "Hill Clinic", name)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (None, ImportProblem.NOT_TEXT),
        (b"otpauth://totp/", ImportProblem.NOT_TEXT),
        ({"uri": PLAIN}, ImportProblem.NOT_TEXT),
        (PLAIN + "&x=" + "y" * 4096, ImportProblem.TOO_LONG),
        ("", ImportProblem.NOT_OTPAUTH),
        ("https://mail.example/", ImportProblem.NOT_OTPAUTH),
        (PLAIN.replace("totp/", "totp/\n"), ImportProblem.NOT_OTPAUTH),
        (PLAIN + "\ud800", ImportProblem.NOT_OTPAUTH),
        ("otpauth://[totp/", ImportProblem.NOT_OTPAUTH),
        (PLAIN.replace("//totp", "//yaotp"), ImportProblem.NOT_OTPAUTH),
        (PLAIN.replace("//totp", "//hotp"), ImportProblem.NOT_TOTP),
        (PLAIN + "&secret=" + TEXT, ImportProblem.TWICE),
        (PLAIN + "&Secret=" + TEXT, ImportProblem.TWICE),
        (PLAIN + "&x=%FF", ImportProblem.DAMAGED),
        (PLAIN + "".join(f"&x{n}=" for n in range(40)), ImportProblem.DAMAGED),
        ("otpauth://totp/robin", ImportProblem.NO_SECRET),
        ("otpauth://totp/robin?secret=", ImportProblem.BAD_SECRET),
        (f"otpauth://totp/robin?secret={TEXT}1", ImportProblem.BAD_SECRET),
        (f"otpauth://totp/robin?secret={TEXT}é", ImportProblem.BAD_SECRET),
        ("otpauth://totp/robin?secret=JBSWY3DPEHPK3PXP", ImportProblem.SHORT_SECRET),
        ("otpauth://totp/robin?secret=" + "A" * 208, ImportProblem.LONG_SECRET),
        (PLAIN + "&algorithm=MD5", ImportProblem.ALGORITHM),
        (PLAIN + "&digits=4", ImportProblem.DIGITS),
        (PLAIN + "&digits=six", ImportProblem.DIGITS),
        (PLAIN + "&digits=" + "9" * 2000, ImportProblem.DIGITS),
        (PLAIN + "&digits=٦", ImportProblem.DIGITS),
        (PLAIN + "&period=0", ImportProblem.PERIOD),
        (PLAIN + "&period=-30", ImportProblem.PERIOD),
        (PLAIN + "&period=3600", ImportProblem.PERIOD),
    ],
)
def test_everything_else_is_one_sentence(uri: object, expected: ImportProblem) -> None:
    assert problem(uri) is expected


# -- migration payloads, encoded here by hand -----------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def chunk(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def entry(
    secret: bytes = SEED,
    name: str = "Hill Clinic:robin",
    issuer: str = "Hill Clinic",
    algorithm: int = 1,
    digits: int = 1,
    kind: int = 2,
) -> bytes:
    return (
        chunk(1, secret)
        + chunk(2, name.encode())
        + chunk(3, issuer.encode())
        + number(4, algorithm)
        + number(5, digits)
        + number(6, kind)
    )


def payload(entries: Sequence[bytes], *, tail: bytes = b"") -> str:
    message = b"".join(chunk(1, each) for each in entries) + number(2, 1) + number(3, 1) + number(5, 2**31)
    return "otpauth-migration://offline?data=" + quote(base64.b64encode(message + tail).decode(), safe="")


def test_a_payload_of_google_authenticators() -> None:
    # A published example of the format, with a seed of 80 bits, which is too few to take over.
    published = "otpauth-migration://offline?data=CjEKCkhlbGxvId6tvu8SGEV4YW1wbGU6YWxpY2VAZ29vZ2xlLmNvbRoHRXhhbXBsZTAC"
    assert problem(published) is ImportProblem.SHORT_SECRET


def test_a_payload_of_one_and_of_several() -> None:
    assert said(one_of(payload([entry()]))) == (SEED, "SHA1", 6, 30, "Hill Clinic", "robin")
    several = payload([entry(), entry(b"x" * 64, "kim", "", 3, 2), entry(kind=1), entry(b"short")])
    assert [found.name for found in read(several)] == ["robin", "kim"]  # the others cannot be taken over
    assert said(one_of(several, 1)) == (b"x" * 64, "SHA512", 8, 30, "", "kim")
    assert problem(several) is ImportProblem.SEVERAL
    for wrong in (2, -1, True, "1", 1.0, [0]):
        assert problem(several, wrong) is ImportProblem.NO_ENTRY


def test_base64_in_every_spelling_that_scanners_give() -> None:
    secret = bytes(range(0xE0, 0x100)) * 2
    plain = payload([entry(secret)])
    for spelling in (
        plain.replace("%3D", ""),
        plain.replace("%2B", "+"),  # a plus sign that nobody escaped
        plain.replace("%2B", "-").replace("%2F", "_"),
        plain.replace("%2F", "/"),
    ):
        assert one_of(spelling).seed.reveal() == secret


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("otpauth-migration://offline", ImportProblem.DAMAGED),
        ("otpauth-migration://offline?data=%%%", ImportProblem.DAMAGED),
        ("otpauth-migration://offline?data=é", ImportProblem.DAMAGED),
        (payload([]), ImportProblem.EMPTY),
        (payload([b""] * 65), ImportProblem.TOO_LONG),
        (payload([entry()], tail=b"\x80" * 11), ImportProblem.DAMAGED),  # a number without end
        (payload([entry()], tail=b"\x0a\xff\xff\xff\xff\x0f"), ImportProblem.DAMAGED),  # 4 GiB announced
        (payload([entry()], tail=b"\x0b"), ImportProblem.DAMAGED),  # a group
        (payload([entry()], tail=b"\x09\x00"), ImportProblem.DAMAGED),
        (payload([entry()], tail=b"\x02\x00"), ImportProblem.DAMAGED),  # field 0
        (payload([entry()[:-1] + b"\x80"]), ImportProblem.DAMAGED),
        (payload([entry() + chunk(1, SEED)]), ImportProblem.TWICE),
        (payload([entry(kind=1)]), ImportProblem.NOT_TOTP),
        (payload([entry(kind=0)]), ImportProblem.NOT_TOTP),
        (payload([entry(algorithm=4)]), ImportProblem.ALGORITHM),
        (payload([entry(digits=9)]), ImportProblem.DIGITS),
        (payload([entry(b"")]), ImportProblem.NO_SECRET),
        (payload([number(1, 5) + number(6, 2)]), ImportProblem.NO_SECRET),
        (payload([entry(b"x" * 129)]), ImportProblem.LONG_SECRET),
        ("otpauth-migration://offline?data=" + base64.urlsafe_b64encode(number(1, 5)).decode(), ImportProblem.DAMAGED),
    ],
)  # fmt: skip
def test_a_payload_that_is_none(uri: str, expected: ImportProblem) -> None:
    assert problem(uri) is expected


@given(st.binary(max_size=2500))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        found = read("otpauth-migration://offline?data=" + base64.urlsafe_b64encode(message).decode())
    except Denied as refused:
        assert isinstance(refused, ImportRefused)
        return
    assert 1 <= len(found) <= 64


@given(st.text(max_size=200), st.text(max_size=100))
def test_any_text_is_read_or_refused(path: str, query: str) -> None:
    for text in (path, f"otpauth://totp/{path}?{query}", f"otpauth://totp/{path}?secret={TEXT}&{query}"):
        try:
            read(text)
        except Denied as refused:
            assert isinstance(refused, ImportRefused)


def test_the_worst_of_inputs_takes_little_memory() -> None:
    worst = ("otpauth-migration://offline?data=" + "C" * 4000, "otpauth://totp/" + "%" * 10_000_000)
    tracemalloc.start()
    try:
        for uri in worst:
            with pytest.raises(ImportRefused):
                read(uri)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_every_problem_has_one_sentence_that_says_what_to_do() -> None:
    assert set(SENTENCES) == set(ImportProblem)
    assert all(
        text.endswith(".") and text.count(". ") == 0 and "{" not in text for text in SENTENCES.values()
    )


def test_a_refusal_is_carried_elsewhere_and_shows_no_more_than_any_other() -> None:
    refused = ImportRefused(ImportProblem.TWICE)
    for carried in (copy.copy(refused), pickle.loads(pickle.dumps(refused))):
        assert (carried.problem, carried.reason) == (ImportProblem.TWICE, Reason.MALFORMED)
    assert str(refused) == "The request was refused."
