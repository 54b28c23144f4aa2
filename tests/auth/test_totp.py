from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlparse

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.evidence import Factor
from portalsec.auth.totp import Totp, TotpParameters, matching_step, normalise_code
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import ConfigurationError, Denied, Reason, Tampered
from portalsec.stores.memory import MemoryTotp
from portalsec.testing import FrozenClock, SequentialIds
from tests.auth.world import World, code_of, together
from tests.support import shared

# RFC 6238 Appendix B (the seeds of SHA-256 and SHA-512 as its reference code has them).
RFC_6238_SEEDS = {
    "SHA1": b"12345678901234567890",
    "SHA256": b"12345678901234567890123456789012",
    "SHA512": b"1234567890123456789012345678901234567890123456789012345678901234",
}
RFC_6238_APPENDIX_B = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
SEED = RFC_6238_SEEDS["SHA1"]
PLAIN = TotpParameters()


def at(seconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "sha1", "sha256", "sha512"), RFC_6238_APPENDIX_B)
def test_rfc_6238_appendix_b(seconds: int, sha1: str, sha256: str, sha512: str) -> None:
    for algorithm, code in (("SHA1", sha1), ("SHA256", sha256), ("SHA512", sha512)):
        parameters = TotpParameters(digits=8, algorithm=algorithm, drift=0)
        assert matching_step(RFC_6238_SEEDS[algorithm], code, at(seconds), parameters) == seconds // 30
        wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
        assert matching_step(RFC_6238_SEEDS[algorithm], wrong, at(seconds), parameters) is None


# RFC 4226 Appendix D, counters 0 to 9.
@pytest.mark.parametrize(
    ("counter", "code"),
    list(
        enumerate(
            [
                "755224",
                "287082",
                "359152",
                "969429",
                "338314",
                "254676",
                "287922",
                "162583",
                "399871",
                "520489",
            ]
        )
    ),
)
def test_rfc_4226_appendix_d(counter: int, code: str) -> None:
    assert matching_step(SEED, code, at(counter * 30), TotpParameters(drift=0)) == counter


def test_the_shared_vectors_agree_with_the_typed_ones() -> None:
    rows = json.loads(shared("vectors", "auth", "rfc_vectors.json").read_text())["rfc6238_totp"]["rows"]
    assert [(row["t"], row["SHA1"], row["SHA256"], row["SHA512"]) for row in rows] == RFC_6238_APPENDIX_B


@given(
    seed=st.binary(min_size=20, max_size=64),
    seconds=st.integers(0, 2**33),
    digits=st.sampled_from([6, 7, 8]),
    period=st.sampled_from([30, 60]),
    algorithm=st.sampled_from(["SHA1", "SHA256", "SHA512"]),
)
def test_agrees_with_pyotp(seed: bytes, seconds: int, digits: int, period: int, algorithm: str) -> None:
    theirs = pyotp.TOTP(
        base64.b32encode(seed).decode(),
        digits=digits,
        digest=getattr(hashlib, algorithm.lower()),
        interval=period,
    ).at(seconds)
    parameters = TotpParameters(digits=digits, period=period, algorithm=algorithm, drift=0)
    assert matching_step(seed, theirs, at(seconds), parameters) == seconds // period


@given(st.integers(60, 2**33), st.integers(-4, 4))
def test_drift_is_one_step_each_way_and_no_more(seconds: int, steps: int) -> None:
    step = seconds // 30 + steps
    if step < 0:
        return
    code = code_of(base64.b32encode(SEED).decode(), at(step * 30))
    found = matching_step(SEED, code, at(seconds), PLAIN)
    if abs(steps) <= 1:
        assert found is not None
        assert abs(found - seconds // 30) <= 1
    else:
        assert found != step


def test_every_step_is_computed_and_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    from portalsec.auth import totp_codes

    compared: list[bytes] = []
    monkeypatch.setattr(totp_codes, "compare_digest", lambda a, b: (compared.append(a), a == b)[1])
    codes = [code_of(base64.b32encode(SEED).decode(), at(3000 + 30 * offset)) for offset in (-1, 0, 1)]
    work = []
    for code in [*codes, "000000"]:
        compared.clear()
        matching_step(SEED, code, at(3000), PLAIN)
        work.append(list(compared))
    assert work == [[code.encode() for code in codes]] * 4


def test_before_1970_nothing_matches_and_nothing_breaks() -> None:
    assert matching_step(SEED, "755224", at(-3600), PLAIN) is None
    assert matching_step(SEED, "755224", at(0), PLAIN) == 0


@pytest.mark.parametrize(
    "typed",
    [
        "123456",
        " 123456 ",
        "123 456",
        "123-456",
        "1 2 3 4 5 6",
        "12\u00a034\u200956",
        "123–456",
        "１２３４５６",
        "١٢٣٤٥٦",
        "१२३-४५६",
        "\t123456\n",
    ],
)
def test_spellings_of_one_code_come_out_equal(typed: str) -> None:
    assert normalise_code(typed) == "123456"


@pytest.mark.parametrize(
    "typed",
    [
        None,
        123456,
        1.5,
        b"123456",
        ["123456"],
        {"code": "123456"},
        True,
        "",
        "12345",
        "123456789",
        "12345a",
        "12345²",
        "½23456",
        "1" * 10_000,
        "12345\u200b6",
        "+123456",
        "0x1234",
        "①23456",
        "\ud800123456",
    ],
)
def test_what_is_no_code_is_malformed(typed: object) -> None:
    with pytest.raises(Denied) as refusal:
        normalise_code(typed)
    assert refusal.value.reason is Reason.MALFORMED


@given(st.one_of(st.text(max_size=80), st.integers(), st.lists(st.text()), st.none(), st.binary()))
def test_normalising_gives_6_to_8_ascii_digits_or_refuses(typed: object) -> None:
    try:
        digits = normalise_code(typed)
    except Denied:
        return
    assert digits.isascii()
    assert digits.isdigit()
    assert 6 <= len(digits) <= 8


@pytest.mark.parametrize(
    "change",
    [
        {"digits": 5},
        {"digits": 9},
        {"period": 5},
        {"period": 121},
        {"algorithm": "MD5"},
        {"drift": 2},
        {"drift": -1},
    ],
)
def test_parameters_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="TotpParameters"):
        TotpParameters(**change)


# -- the service --------------------------------------------------------------------------------------------------


class Setting:
    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.store = MemoryTotp()
        self.sealer = FieldSealer(Keyset.generate("AES256_GCM"))
        self.totp = Totp(
            store=self.store,
            sealer=self.sealer,
            issuer="Hill Clinic",
            clock=self.clock,
            new_id=SequentialIds(),
        )

    def enrol(self, account: str = "robin") -> str:
        enrolment = self.totp.begin(account, account_name=account)
        seed = enrolment.secret.reveal()
        self.totp.confirm(account, enrolment.device_id, code_of(seed, self.clock()))
        return seed

    def refused(self, account: str, code: object) -> Reason:
        with pytest.raises(Denied) as refusal:
            self.totp.verify(account, code)
        return refusal.value.reason


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_enrolment_gives_a_uri_that_says_what_the_seed_is(setting: Setting) -> None:
    enrolment = setting.totp.begin("id-1", account_name="robin ward")
    uri = urlparse(enrolment.uri.reveal())
    query = parse_qs(uri.query)
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/Hill%20Clinic:robin%20ward")
    assert query["secret"] == [enrolment.secret.reveal()]
    assert query["issuer"] == ["Hill Clinic"]
    assert len(base64.b32decode(enrolment.secret.reveal())) * 8 == 160
    assert enrolment.secret.reveal() not in repr(enrolment)


def test_other_parameters_are_in_the_uri() -> None:
    world = Setting()
    totp = Totp(
        store=world.store,
        sealer=world.sealer,
        issuer="Hill",
        clock=world.clock,
        new_id=SequentialIds(),
        parameters=TotpParameters(digits=8, period=60, algorithm="SHA256"),
    )
    query = parse_qs(urlparse(totp.begin("a", account_name="robin").uri.reveal()).query)
    assert (query["digits"], query["period"], query["algorithm"]) == (["8"], ["60"], ["SHA256"])


def test_an_unconfirmed_device_counts_for_nothing(setting: Setting) -> None:
    enrolment = setting.totp.begin("robin", account_name="robin")
    assert not setting.totp.enrolled("robin")
    code = code_of(enrolment.secret.reveal(), setting.clock())
    assert setting.refused("robin", code) is Reason.FACTOR_NOT_ENROLLED
    evidence = setting.totp.confirm("robin", enrolment.device_id, code)
    assert (evidence.factor, evidence.account_id, evidence.at) == (Factor.TOTP, "robin", setting.clock())
    assert setting.totp.enrolled("robin")


def test_a_second_begin_voids_the_first(setting: Setting) -> None:
    first = setting.totp.begin("robin", account_name="robin")
    setting.totp.begin("robin", account_name="robin")
    with pytest.raises(Denied) as refusal:
        setting.totp.confirm("robin", first.device_id, code_of(first.secret.reveal(), setting.clock()))
    assert refusal.value.reason is Reason.FACTOR_NOT_ENROLLED


def test_confirming_needs_the_right_code_the_right_account_and_happens_once(setting: Setting) -> None:
    enrolment = setting.totp.begin("robin", account_name="robin")
    code = code_of(enrolment.secret.reveal(), setting.clock())
    for account, device, typed, reason in (
        ("robin", enrolment.device_id, "000000", Reason.WRONG_CODE),
        ("robin", "another", code, Reason.FACTOR_NOT_ENROLLED),
        ("kim", enrolment.device_id, code, Reason.FACTOR_NOT_ENROLLED),
        ("robin", enrolment.device_id, None, Reason.MALFORMED),
    ):
        with pytest.raises(Denied) as refusal:
            setting.totp.confirm(account, device, typed)
        assert refusal.value.reason is reason
    results = together(8, lambda _: setting.totp.confirm("robin", enrolment.device_id, code))
    assert sum(not isinstance(result, Exception) for result in results) == 1
    losers = {result.reason for result in results if isinstance(result, Denied)}
    assert losers == {Reason.FACTOR_ALREADY_ENROLLED}


def test_a_code_verifies_once_and_never_after_a_newer_one(setting: Setting) -> None:
    seed = setting.enrol()
    setting.clock.advance(timedelta(minutes=5))
    now = setting.clock()
    older, current, newer = (code_of(seed, now + timedelta(seconds=30 * step)) for step in (-1, 0, 1))
    assert setting.totp.verify("robin", current).factor is Factor.TOTP
    assert setting.refused("robin", current) is Reason.CODE_REPLAYED
    assert setting.refused("robin", older) is Reason.CODE_REPLAYED
    setting.totp.verify("robin", newer)
    assert setting.refused("robin", current) is Reason.CODE_REPLAYED
    assert setting.refused("robin", "000000") is Reason.WRONG_CODE


def test_a_clock_that_was_set_back_brings_no_code_back(setting: Setting) -> None:
    seed = setting.enrol()
    setting.clock.advance(timedelta(hours=2))
    setting.totp.verify("robin", code_of(seed, setting.clock()))
    setting.clock.advance(timedelta(hours=-1))
    assert setting.refused("robin", code_of(seed, setting.clock())) is Reason.CODE_REPLAYED


def test_eight_threads_and_one_code_make_one_winner(setting: Setting) -> None:
    seed = setting.enrol()
    setting.clock.advance(timedelta(minutes=5))
    code = code_of(seed, setting.clock())
    results = together(8, lambda _: setting.totp.verify("robin", code))
    assert sum(not isinstance(result, Exception) for result in results) == 1
    assert all(result.reason is Reason.CODE_REPLAYED for result in results if isinstance(result, Denied))


def test_several_devices_each_keep_their_own_steps(setting: Setting) -> None:
    first, second = setting.enrol(), setting.enrol()
    setting.clock.advance(timedelta(minutes=5))
    now = setting.clock()
    setting.totp.verify("robin", code_of(first, now))
    setting.totp.verify("robin", code_of(second, now))
    assert setting.refused("robin", code_of(first, now)) is Reason.CODE_REPLAYED


def test_codes_of_another_account_are_wrong(setting: Setting) -> None:
    seed, _ = setting.enrol("robin"), setting.enrol("kim")
    setting.clock.advance(timedelta(minutes=5))
    assert setting.refused("kim", code_of(seed, setting.clock())) is Reason.WRONG_CODE


def test_a_seed_moved_to_another_account_or_device_does_not_open(setting: Setting) -> None:
    from dataclasses import replace

    seed = setting.enrol("mallory")
    setting.clock.advance(timedelta(minutes=5))
    (device,) = setting.store.devices("mallory")
    setting.store.add(replace(device, id="moved", account_id="robin", confirmed=True, last_step=-1))
    with pytest.raises(Tampered) as error:
        setting.totp.verify("robin", code_of(seed, setting.clock()))
    assert seed not in str(error.value)


def test_the_store_never_sees_the_seed(setting: Setting) -> None:
    seed = setting.enrol()
    (device,) = setting.store.devices("robin")
    assert base64.b32decode(seed) not in device.sealed_secret
    assert seed.encode() not in device.sealed_secret


@pytest.mark.parametrize("issuer", ["", "  ", "Hill:Clinic"])
def test_an_issuer_that_apps_cannot_show_is_refused(issuer: str, setting: Setting) -> None:
    with pytest.raises(ConfigurationError, match="issuer"):
        Totp(
            store=setting.store,
            sealer=setting.sealer,
            issuer=issuer,
            clock=setting.clock,
            new_id=SequentialIds(),
        )


def test_the_world_of_the_other_tests_makes_right_codes() -> None:
    world = World()
    account = world.person()
    assert pyotp.TOTP(world.seeds[account.id]).at(world.clock()) == world.code(account)


@pytest.mark.parametrize(
    "name", ["\U00020000" * 254, "ü" * 254, "a" * 254, "robin"], ids=["astral", "accented", "long", "plain"]
)
@pytest.mark.parametrize("issuer", ["Hill Clinic", "\U00020000" * 50], ids=["short", "long"])
def test_every_name_fits_into_a_qr_code(name: str, issuer: str) -> None:
    from portalsec.auth.qr import qr_svg

    totp = Totp(
        store=MemoryTotp(),
        sealer=FieldSealer(Keyset.generate("AES256_GCM")),
        issuer=issuer,
        clock=FrozenClock(),
        new_id=SequentialIds(),
        parameters=TotpParameters(digits=8, period=60, algorithm="SHA512"),
    )
    uri = totp.begin("a", account_name=name).uri
    assert qr_svg(uri).startswith("<svg")
    shown = urlparse(uri.reveal()).path.partition(":")[2]
    assert name.startswith(unquote(shown))
    assert len(shown) > 500 or unquote(shown) == name


def test_an_issuer_that_no_qr_code_holds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="shorten"):
        Totp(
            store=MemoryTotp(),
            sealer=FieldSealer(Keyset.generate("AES256_GCM")),
            issuer="\U00020000" * 51,
            clock=FrozenClock(),
            new_id=SequentialIds(),
        )
