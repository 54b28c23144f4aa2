"""Hashes of other systems: real ones of the shared vectors, and ones that the real packages make here and now."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import unicodedata
from collections.abc import Callable
from typing import Any

import bcrypt
import passlib.hash as passlib_hash
import pytest
from argon2 import PasswordHasher, Type
from django.contrib.auth import hashers as django
from werkzeug.security import generate_password_hash

from portalsec.auth import legacy_hashes
from portalsec.auth.legacy_hashes import LegacyCost, compute, read
from portalsec.auth.passwords import Passwords
from portalsec.errors import ConfigurationError, Denied, MissingExtra, Reason, StoreError, Tampered
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.support import shared

PASSWORD = "caf\u00e9 lantern orbit"
ID = "account-1"


class Cheap(django.PBKDF2PasswordHasher):
    iterations = 1000


class CheapSha1(django.PBKDF2SHA1PasswordHasher):
    iterations = 1000


class CheapScrypt(django.ScryptPasswordHasher):
    work_factor = 1024


class CheapBcrypt(django.BCryptPasswordHasher):
    rounds = 4


class CheapBcryptSha256(django.BCryptSHA256PasswordHasher):
    rounds = 4


class CheapArgon2(django.Argon2PasswordHasher):
    time_cost, memory_cost, parallelism = 1, 64, 2


def of_django(hasher: type[Any]) -> Callable[[str], str]:
    return lambda password: hasher().encode(password, hasher().salt())


def of_argon2(kind: Type) -> Callable[[str], str]:
    return PasswordHasher(time_cost=1, memory_cost=64, parallelism=1, type=kind).hash


def of_passlib(name: str, **options: Any) -> Callable[[str], str]:
    handler: Any = getattr(passlib_hash, name)
    return lambda password: str(handler.using(relaxed=True, **options).hash(password))


SYSTEMS: dict[str, Callable[[str], str]] = {
    "django pbkdf2_sha256": of_django(Cheap),
    "django pbkdf2_sha1": of_django(CheapSha1),
    "django scrypt": of_django(CheapScrypt),
    "django bcrypt": of_django(CheapBcrypt),
    "django bcrypt_sha256": of_django(CheapBcryptSha256),
    "django argon2": of_django(CheapArgon2),
    "django md5": of_django(django.MD5PasswordHasher),
    "django sha1": lambda password: "sha1$salt$" + hashlib.sha1(b"salt" + password.encode()).hexdigest(),
    "werkzeug scrypt": lambda password: generate_password_hash(password, "scrypt:1024:8:1"),
    "werkzeug pbkdf2": lambda password: generate_password_hash(password, "pbkdf2:sha256:1000"),
    "werkzeug pbkdf2 sha1": lambda password: generate_password_hash(password, "pbkdf2:sha1:1000"),
    "werkzeug pbkdf2 sha512": lambda password: generate_password_hash(password, "pbkdf2:sha512:1000"),
    "bcrypt": lambda password: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode(),
    "bcrypt 2a": lambda password: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, b"2a")).decode(),
    "argon2id": of_argon2(Type.ID),
    "argon2i": of_argon2(Type.I),
    "argon2d": of_argon2(Type.D),
    "passlib pbkdf2_sha1": of_passlib("pbkdf2_sha1", rounds=1000),
    "passlib pbkdf2_sha256": of_passlib("pbkdf2_sha256", rounds=1000),
    "passlib pbkdf2_sha512": of_passlib("pbkdf2_sha512", rounds=1000),
    "passlib scrypt": of_passlib("scrypt", rounds=10),
    "passlib bcrypt_sha256": of_passlib("bcrypt_sha256", rounds=4),
    "passlib bcrypt_sha256 v1": of_passlib("bcrypt_sha256", rounds=4, version=1),
    "passlib sha256_crypt": of_passlib("sha256_crypt", rounds=1000),
    "passlib sha512_crypt": of_passlib("sha512_crypt", rounds=1000),
    "passlib sha512_crypt, default rounds": of_passlib("sha512_crypt", rounds=5000),
    "passlib md5_crypt": of_passlib("md5_crypt"),
    "passlib phpass": of_passlib("phpass", rounds=8),
    "passlib fshp": of_passlib("fshp", rounds=1000),
    "passlib fshp 3": of_passlib("fshp", rounds=10, variant=3),
    "passlib mssql2005": of_passlib("mssql2005"),
    "passlib cta_pbkdf2_sha1": of_passlib("cta_pbkdf2_sha1", rounds=1000),
    "passlib grub_pbkdf2_sha512": of_passlib("grub_pbkdf2_sha512", rounds=1000),
    "passlib atlassian_pbkdf2_sha1": of_passlib("atlassian_pbkdf2_sha1"),
    "ldap ssha": of_passlib("ldap_salted_sha1"),
    "ldap ssha256": of_passlib("ldap_salted_sha256"),
    "ldap ssha512": of_passlib("ldap_salted_sha512"),
    "ldap smd5": of_passlib("ldap_salted_md5"),
    "ldap sha": lambda password: str(passlib_hash.ldap_sha1.hash(password)),
    "ldap md5": lambda password: str(passlib_hash.ldap_md5.hash(password)),
}


def hasher_for(*stored: str, scheme: str | None = None) -> Passwords:
    costs = {read(each, scheme=scheme).cost for each in stored}
    return Passwords(parameters=CHEAP_ARGON2, concurrency=2, older=tuple(costs))


def refusal(passwords: Passwords, stored: str, password: str) -> Reason:
    with pytest.raises(Denied) as refused:
        passwords.verify(stored, password, account_id=ID)
    return refused.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "scrypt:n=65536,r=1,p=1",  # RFC 7914: N < 2^(128 r / 8)
        "scrypt:n=131072,r=64,p=64",  # minutes
        "scrypt:n=2,r=64,p=64000",
        "firebase_scrypt:n=65536,r=1",
    ],
)
def test_scrypt_that_nobody_can_compute_is_no_cost(text: str) -> None:
    with pytest.raises(ConfigurationError):
        LegacyCost.from_text(text)


@pytest.mark.parametrize("text", ["scrypt:n=32768,r=1,p=1", "scrypt:n=1048576,r=8,p=1", "scrypt:n=2,r=1,p=1"])
def test_scrypt_at_its_limits_is(text: str) -> None:
    cost = LegacyCost.from_text(text)
    if cost.parameters[0] < 1 << 20:
        assert compute(cost, PASSWORD, None)


@pytest.mark.parametrize("text", ["sha512_crypt:i=1000", "sha256_crypt:i=1000", "md5_crypt", "nthash"])
def test_what_nfkc_makes_longer_than_libpass_takes_is_a_plain_refusal(text: str) -> None:
    cost = LegacyCost.from_text(text)
    typed = "\ufdfa" * 341  # 1,023 bytes; its NFKC has 11 times as many
    assert compute(cost, unicodedata.normalize("NFKC", typed), None) is None
    assert compute(cost, "x" * 4096, None)
    assert compute(cost, "x" * 4097, None) is None


def test_old_werkzeugs_salted_digests_are_read_where_they_are_named() -> None:
    passwords = Passwords(parameters=CHEAP_ARGON2, older=[LegacyCost("hmac_sha1"), LegacyCost("sha1")])
    stored = "sha1$saltsalt$" + hmac.digest(b"saltsalt", PASSWORD.encode(), "sha1").hex()
    wrapped = passwords.wrap(stored, account_id=ID, scheme="werkzeug")
    assert passwords.verify(wrapped, PASSWORD, account_id=ID).rehash_due
    assert passwords.describe(stored, scheme="werkzeug").scheme == "hmac_sha1"
    assert passwords.describe(stored).scheme == "sha1", "Django's, which is computed differently"


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_hash_made_by_the_real_package_verifies_once_it_is_wrapped(system: str) -> None:
    stored = SYSTEMS[system](PASSWORD)
    passwords = hasher_for(stored)
    wrapped = passwords.wrap(stored, account_id=ID)
    assert passwords.verify(wrapped, PASSWORD, account_id=ID).rehash_due
    for wrong in (PASSWORD + " ", PASSWORD[:-1], "cafe\u0301 lantern orbit", PASSWORD.upper()):
        assert refusal(passwords, wrapped, wrong) is Reason.WRONG_PASSWORD
    # Nothing of the old digest is left to crack, and nobody signs in with the raw hash.
    digest = read(stored).digest
    for spelled in (digest.hex(), base64.b64encode(digest).decode().rstrip("="), digest.decode("latin-1")):
        assert spelled not in wrapped
    with pytest.raises(Tampered):
        passwords.verify(stored, PASSWORD, account_id=ID)


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(shared("vectors", "auth", "password_hashes.json").read_text())
    return found


def test_all_of_the_shared_vectors() -> None:
    rows = vectors()
    assert len(rows) == 46
    for row in rows:
        if row["hash"] is None:
            # What that package refuses to hash, a plain refusal here: see the test of 73 bytes below.
            assert "72 bytes" in row["note"]
            continue
        scheme = "nthash" if "nthash" in row["scheme"] else None
        passwords = hasher_for(row["hash"], scheme=scheme)
        wrapped = passwords.wrap(row["hash"], account_id=ID, scheme=scheme)
        passwords.verify(wrapped, row["password"], account_id=ID)
        for wrong in (row["password"] + "x", row["password"][:-1], "x" + row["password"]):
            assert refusal(passwords, wrapped, wrong) is Reason.WRONG_PASSWORD, row["scheme"]


def test_rfc_vectors_of_what_is_inside() -> None:
    """RFC 7914 section 12 and RFC 6070, through the functions that stored hashes are computed with."""
    rows = json.loads(shared("vectors", "auth", "rfc_vectors.json").read_text())
    for row in rows["rfc6070_pbkdf2_sha1"]["rows"]:
        digest = compute(LegacyCost("pbkdf2_sha1", (row["c"],)), row["P"], row["S"].encode())
        assert digest is not None
        assert digest.hex() == row["dk"][:40]
    small = [row for row in rows["rfc7914_scrypt"]["rows"] if row["N"] <= 2**14]
    assert len(small) >= 3
    for row in small:
        digest = compute(LegacyCost("scrypt", (row["N"], row["r"], row["p"])), row["P"], row["S"].encode())
        assert digest is not None
        assert digest.hex() == row["dk"][:64]


def test_firebase() -> None:
    """The example that Firebase's own scrypt repository gives, spelled as exports of users spell it."""
    key = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
    digest = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
    stored = f"$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={key}$42xEC+ixf3L2lw==${digest}"
    passwords = hasher_for(stored)
    wrapped = passwords.wrap(stored, account_id=ID)
    passwords.verify(wrapped, "user1password", account_id=ID)
    assert refusal(passwords, wrapped, "user2password") is Reason.WRONG_PASSWORD
    assert key[:20] not in wrapped  # the project's key stays outside


@pytest.mark.parametrize(("scheme", "digest"), [
    ("md5", hashlib.md5(PASSWORD.encode()).hexdigest()),
    ("sha1", hashlib.sha1(PASSWORD.encode()).hexdigest()),
    ("nthash", str(passlib_hash.nthash.hash(PASSWORD))),
])  # fmt: skip
def test_bare_digits_are_what_the_caller_says(scheme: str, digest: str) -> None:
    with pytest.raises(Tampered):
        read(digest)
    passwords = hasher_for(digest, scheme=scheme)
    wrapped = passwords.wrap(digest, account_id=ID, scheme=scheme)
    passwords.verify(wrapped, PASSWORD, account_id=ID)
    assert refusal(passwords, wrapped, digest) is Reason.WRONG_PASSWORD
    with pytest.raises(Tampered):
        passwords.wrap(digest, account_id=ID, scheme="sha256")
    with pytest.raises(Tampered):
        passwords.wrap(digest[:-2], account_id=ID, scheme=scheme)


@pytest.mark.parametrize("system", ["bcrypt", "django bcrypt"])
@pytest.mark.parametrize("password", ["a" * 72, "ab\0cd", "\0", "é" * 36])
def test_bcrypt_to_its_last_byte_and_with_nul(system: str, password: str) -> None:
    stored = SYSTEMS[system](password)
    passwords = hasher_for(stored)
    wrapped = passwords.wrap(stored, account_id=ID)
    passwords.verify(wrapped, password, account_id=ID)
    longer = password + "b"
    assert refusal(passwords, wrapped, longer) is Reason.WRONG_PASSWORD


def test_what_crypt_never_saw_is_a_plain_refusal() -> None:
    stored = SYSTEMS["passlib sha512_crypt"]("ab")
    passwords = hasher_for(stored)
    wrapped = passwords.wrap(stored, account_id=ID)
    assert refusal(passwords, wrapped, "ab\0cd") is Reason.WRONG_PASSWORD
    assert refusal(passwords, wrapped, "a\0b") is Reason.WRONG_PASSWORD
    passwords.verify(wrapped, "ab", account_id=ID)


def test_a_salt_of_bcrypt_with_loose_bits_is_read_as_bcrypt_reads_it() -> None:
    stored = bcrypt.hashpw(b"lantern", b"$2b$04$abcdefghijklmnopqrstuu").decode()
    loose = stored[:28] + chr(ord(stored[28]) + 1) + stored[29:]
    assert read(loose) == read(stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "!",
        "!" + "x" * 40,  # Django's unusable password
        PASSWORD,
        "pbkdf2_sha256$1000$salt$",
        "pbkdf2_sha256$1000$salt$AAAA",  # shorter than its hash gives
        "pbkdf2_sha256$0$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$99999999999$salt$" + "A" * 43 + "=",
        "pbkdf2_sha256$1000$salt$" + "A" * 42 + "-=",
        "scrypt$4095$salt$8$1$" + "A" * 86 + "==",  # no power of two
        "scrypt$4194304$salt$8$1$" + "A" * 86 + "==",  # 4 GiB
        "bcrypt$$2b$31$" + "a" * 53,  # days
        "$2b$03$" + "a" * 53,
        "$2x$10$" + "a" * 53,  # what a broken implementation wrote
        "$2b$10$" + "a" * 52,
        "argon2$argon2id$v=19$m=8,t=1,p=8$" + "A" * 22 + "$" + "A" * 43,
        "argon2$argon2id$v=19$m=99999999,t=1,p=1$" + "A" * 22 + "$" + "A" * 43,
        "md5$salt$" + "0" * 40,
        "sha1$salt$" + "0" * 32,
        "{SSHA}" + base64.b64encode(bytes(20)).decode(),  # no salt
        "{SHA}" + base64.b64encode(bytes(24)).decode(),
        "{FSHP1|16|20000}AAAA",
        "$6$rounds=99999999$salt$" + "a" * 86,
        "$6$salt$" + "a" * 43,
        "$pbkdf2-md5$1000$AAAA$" + "A" * 22,
        "$ps1$nfc,b",
        "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_hash_or_asks_for_too_much_is_refused_and_not_quoted(stored: str) -> None:
    with pytest.raises(Tampered) as error:
        read(stored)
    assert stored[:8] == "" or stored[:8] not in str(error.value)


def test_a_long_password_and_a_nul_cost_what_any_other_does(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = bcrypt.hashpw
    monkeypatch.setattr(bcrypt, "hashpw", lambda *args: calls.append(len(args[0])) or real(*args))
    stored = SYSTEMS["bcrypt"]("lantern")
    passwords = hasher_for(stored)
    wrapped = passwords.wrap(stored, account_id=ID)
    calls.clear()
    for password in ("lantern", "x" * 73, "x" * 1000):
        with pytest.raises(Denied) if password != "lantern" else _nothing():
            passwords.verify(wrapped, password, account_id=ID)
    assert calls == [7, 72, 72]


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def test_a_cost_whose_package_is_missing_is_said_when_the_portal_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    with pytest.raises(MissingExtra, match="legacy-hashes"):
        Passwords(parameters=CHEAP_ARGON2, older=(LegacyCost("bcrypt", (12,)),))
    monkeypatch.setitem(sys.modules, "passlib", None)
    with pytest.raises(MissingExtra, match="libpass"):
        Passwords(parameters=CHEAP_ARGON2, older=(LegacyCost("sha512_crypt", (5000,)),))
    Passwords(parameters=CHEAP_ARGON2, older=(LegacyCost("pbkdf2_sha256", (1000,)),))


def test_no_memory_is_the_plumbings_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: object, **kwargs: object) -> bytes:
        raise ValueError("memory limit exceeded")

    monkeypatch.setattr(hashlib, "scrypt", none)
    for cost in (LegacyCost("scrypt", (1024, 8, 1)), LegacyCost("firebase_scrypt", (1024, 8))):
        with pytest.raises(StoreError) as error:
            compute(cost, PASSWORD, b"salt")
        assert error.value.__context__ is None


def test_every_scheme_has_a_dummy_that_does_the_same_work() -> None:
    from portalsec.auth.legacy_outer import SCHEMES

    least = {
        "phc_argon2id": (19, 8, 1, 1, 32),
        "phc_argon2i": (16, 8, 1, 1, 32),
        "phc_argon2d": (19, 8, 1, 1, 32),
    }
    for name, scheme in {**legacy_hashes._SCHEMES, **SCHEMES}.items():
        cost = LegacyCost(name, least.get(name) or tuple(limits[0] for limits in scheme.parameters.values()))
        assert compute(cost, PASSWORD, None)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no password scheme"):
        LegacyCost("rot13")
