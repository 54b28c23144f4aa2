from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest
from argon2 import low_level
from argon2.exceptions import HashingError
from argon2.low_level import ffi, lib
from hypothesis import given, settings
from hypothesis import strategies as st

from portalsec.auth.passwords import Argon2Parameters, Passwords
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError, Tampered
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.auth.world import together
from tests.support import shared

RIGHT = "lantern orbit velvet cactus"
ID = "account-1"


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(parameters=CHEAP_ARGON2, concurrency=2)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What argon2 was asked to compute."""
    seen: list[dict[str, Any]] = []
    real = low_level.hash_secret_raw

    def compute(secret: bytes, salt: bytes, **cost: Any) -> bytes:
        seen.append({**cost, "salt": len(salt)})
        return real(secret, salt, **cost)

    monkeypatch.setattr(low_level, "hash_secret_raw", compute)
    return seen


def reason_of(passwords: Passwords, stored: str | None, password: object) -> Reason:
    with pytest.raises(Denied) as refusal:
        passwords.verify(stored, password, account_id=ID)
    return refusal.value.reason


def test_a_password_verifies_against_its_hash(passwords: Passwords) -> None:
    stored = passwords.hash(RIGHT, account_id=ID)
    assert passwords.verify(stored, RIGHT, account_id=ID).rehash_due is False
    assert reason_of(passwords, stored, RIGHT + " ") is Reason.WRONG_PASSWORD


def test_the_hash_is_argon2id_with_the_parameters_and_a_fresh_salt(passwords: Passwords) -> None:
    stored = passwords.hash(RIGHT, account_id=ID)
    assert stored.startswith("$ps1$nfc,b$argon2id$v=19$m=8,t=1,p=1$")
    assert stored != passwords.hash(RIGHT, account_id=ID)
    salt, tag = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in stored.split("$")[6:])
    assert (len(salt), len(tag)) == (16, 32)
    # The mapping of our names to argon2's, computed once more without our code.
    parts = (b"portalsec password 1", ID.encode(), RIGHT.encode())
    assert tag == low_level.hash_secret_raw(
        b"".join(len(part).to_bytes(4, "big") + part for part in parts), salt,
        time_cost=1, memory_cost=8, parallelism=1, hash_len=32, type=low_level.Type.ID,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["D", "I", "ID"])
def test_rfc_9106_vectors(kind: str) -> None:
    """RFC 9106 section 5: version 0x13, 32 KiB, 3 passes, 4 lanes, with secret and associated data."""
    row = json.loads(shared("vectors", "auth", "rfc_vectors.json").read_text())["rfc9106_argon2"]
    names = ("password", "salt", "secret", "ad")
    data = {name: bytes.fromhex(row[f"{name}_hex"]) for name in names}
    buffers = {name: ffi.new("uint8_t[]", value) for name, value in data.items()}
    out = ffi.new("uint8_t[]", 32)
    context = ffi.new(
        "argon2_context *",
        {
            "out": out,
            "outlen": 32,
            "version": row["version"],
            "pwd": buffers["password"],
            "pwdlen": len(data["password"]),
            "salt": buffers["salt"],
            "saltlen": len(data["salt"]),
            "secret": buffers["secret"],
            "secretlen": len(data["secret"]),
            "ad": buffers["ad"],
            "adlen": len(data["ad"]),
            "t_cost": row["t"],
            "m_cost": row["m_kib"],
            "lanes": row["p"],
            "threads": row["p"],
            "allocate_cbk": ffi.NULL,
            "free_cbk": ffi.NULL,
            "flags": lib.ARGON2_DEFAULT_FLAGS,
        },
    )
    assert low_level.core(context, low_level.Type[kind].value) == lib.ARGON2_OK
    assert bytes(ffi.buffer(out, 32)).hex() == row["tags"][f"argon2{kind.lower()}"]


def test_presets_are_what_their_names_say() -> None:
    low, high, owasp = (
        Argon2Parameters.RFC_9106_LOW_MEMORY,
        Argon2Parameters.RFC_9106_HIGH_MEMORY,
        Argon2Parameters.OWASP_2025,
    )
    assert (low.time_cost, low.memory_kib, low.parallelism) == (3, 65536, 4)
    assert (high.time_cost, high.memory_kib, high.parallelism) == (1, 2097152, 4)
    assert (owasp.time_cost, owasp.memory_kib, owasp.parallelism) == (2, 19456, 1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"time_cost": 1, "memory_kib": 8, "parallelism": 1},
        {"time_cost": 1, "memory_kib": 19456, "parallelism": 1},
        {"time_cost": 4, "memory_kib": 7168, "parallelism": 1},
        {"time_cost": 0, "memory_kib": 65536, "parallelism": 1},
        {"time_cost": 2, "memory_kib": 65536, "parallelism": 0},
        {"time_cost": 2, "memory_kib": 65536, "parallelism": 1, "salt_len": 8},
        {"time_cost": 2, "memory_kib": 65536, "parallelism": 1, "hash_len": 12},
        {"time_cost": 2, "memory_kib": 2**30, "parallelism": 1},
    ],
)
def test_parameters_below_the_floor_or_out_of_range_are_refused(parameters: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Argon2Parameters(**parameters)


def test_real_parameters_hash_and_say_when_a_rehash_is_due(passwords: Passwords) -> None:
    real = Passwords()
    old = passwords.hash(RIGHT, account_id=ID)
    assert real.verify(old, RIGHT, account_id=ID).rehash_due is True
    new = real.hash(RIGHT, account_id=ID)
    assert new.startswith("$ps1$nfc,b$argon2id$v=19$m=19456,t=2,p=1$")
    assert real.verify(new, RIGHT, account_id=ID).rehash_due is False


def test_an_unknown_account_costs_one_hash_with_todays_parameters(
    passwords: Passwords, work: list[dict[str, Any]]
) -> None:
    stored = passwords.hash(RIGHT, account_id=ID)
    work.clear()
    assert reason_of(passwords, None, RIGHT) is Reason.UNKNOWN_ACCOUNT
    passwords.verify(stored, RIGHT, account_id=ID)
    assert len(work) == 2
    assert work[0] == work[1]  # same lengths too, so that argon2 does exactly the same
    assert (work[0]["memory_cost"], work[0]["time_cost"], work[0]["parallelism"]) == (8, 1, 1)


@pytest.mark.parametrize("password", [None, 1, b"x", "", "x" * 2000, "a\ud800"])
def test_malformed_passwords_are_refused_before_any_hash(
    passwords: Passwords, work: list[dict[str, Any]], password: object
) -> None:
    stored = passwords.hash(RIGHT, account_id=ID)
    work.clear()
    assert reason_of(passwords, None, password) is Reason.MALFORMED
    assert reason_of(passwords, stored, password) is Reason.MALFORMED
    with pytest.raises(Denied):
        passwords.hash(password, account_id=ID)
    assert work == []


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        RIGHT,
        "$argon2id$v=19$m=8,t=1,p=1$",
        "$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=16$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=99999,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n",
        "$argon2id$v=19$m=4,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
)
def test_a_damaged_stored_hash_is_tampering_and_never_a_match(passwords: Passwords, stored: str) -> None:
    with pytest.raises(Tampered) as error:
        passwords.verify(stored, RIGHT, account_id=ID)
    assert RIGHT not in str(error.value)


def test_no_memory_is_the_plumbings_fault(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = passwords.hash(RIGHT, account_id=ID)

    def no_memory(*args: Any, **kwargs: Any) -> Any:
        raise HashingError("Memory allocation error")

    monkeypatch.setattr(low_level, "hash_secret_raw", no_memory)
    with pytest.raises(StoreError):
        passwords.verify(stored, RIGHT, account_id=ID)
    with pytest.raises(StoreError):
        passwords.hash(RIGHT, account_id=ID)


@pytest.mark.parametrize("limit", [1, 3])
def test_no_more_hashes_run_at_once_than_allowed(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords(parameters=CHEAP_ARGON2, concurrency=limit)
    lock, running, most = threading.Lock(), 0, 0
    reached = threading.Event()

    def compute(*args: Any, **kwargs: Any) -> bytes:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if most == limit:
                reached.set()
        # Hold the slot until as many as are allowed run together: the bound is reached, not just respected.
        reached.wait(60)
        with lock:
            running -= 1
        return bytes(32)

    stored = passwords.hash(RIGHT, account_id=ID)
    monkeypatch.setattr(low_level, "hash_secret_raw", compute)
    together(12, lambda _: passwords.verify(stored, RIGHT, account_id=ID))
    assert most == limit


def test_concurrency_is_at_least_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert Passwords(parameters=CHEAP_ARGON2).concurrency == 1
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert Passwords(parameters=CHEAP_ARGON2).concurrency == 7
    with pytest.raises(ConfigurationError):
        Passwords(parameters=CHEAP_ARGON2, concurrency=0)


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=40, alphabet=st.characters(exclude_categories=["Cs"])), st.data())
def test_only_the_same_password_verifies(password: str, data: st.DataObject) -> None:
    import unicodedata

    passwords = Passwords(parameters=CHEAP_ARGON2, concurrency=2)
    stored = passwords.hash(password, account_id=ID)
    other = data.draw(st.text(min_size=1, max_size=40, alphabet=st.characters(exclude_categories=["Cs"])))
    passwords.verify(stored, unicodedata.normalize("NFD", password), account_id=ID)
    if unicodedata.normalize("NFC", other) != unicodedata.normalize("NFC", password):
        assert reason_of(passwords, stored, other) is Reason.WRONG_PASSWORD
