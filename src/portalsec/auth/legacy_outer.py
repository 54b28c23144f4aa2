"""More hashes of other systems, for migration only: passlib, crypt strings, LDAP, Firebase, plain digests.

Read here: passlib's pbkdf2 (its own, grub, Atlassian, Dwayne Litzenberger's ``$p5k2$``), scrypt, bcrypt_sha256, phpass
and fshp; ``$1$``, ``$5$`` and ``$6$`` of crypt; salted digests of LDAP; MS SQL Server 2005; NT hashes and plain digests
in hexadecimal, where the caller says which; Firebase's scrypt as ``$fbscrypt$v=1,n=14,r=8,p=1,ss=...,sk=...$salt$hash``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from portalsec.auth.legacy_hashes import (
    BCRYPT_SALT,
    LegacyCost,
    LegacyHash,
    Scheme,
    bcrypt_of,
    of_bcrypt,
    of_pbkdf2,
    of_scrypt,
    of_size,
    unpadded,
)
from portalsec.errors import StoreError

__all__ = ["SCHEMES", "bare", "read"]

# -- computing ----------------------------------------------------------------------------------------------------


def _salt_last(name: str) -> Scheme:
    """LDAP's salted digests."""

    def digest(text: str, salt: bytes) -> bytes:
        return hashlib.new(name, text.encode() + salt, usedforsecurity=False).digest()

    return Scheme(compute=digest)


def _mssql2005(text: str, salt: bytes) -> bytes:
    return hashlib.sha1(text.encode("utf-16-le") + salt, usedforsecurity=False).digest()


def _nthash(text: str, salt: bytes) -> bytes | None:
    from passlib.hash import nthash  # OpenSSL has no MD4 any more

    taken, whole = _cut(text)
    digest = bytes.fromhex(nthash.hash(taken))
    return digest if whole else None


def _cut(text: str) -> tuple[str, bool]:
    """What libpass takes, at most 4,096 bytes, and whether that is all: NFKC can make more of a shorter password."""
    data = text.encode()
    return data[:_LIBPASS_BYTES].decode("utf-8", "ignore"), len(data) <= _LIBPASS_BYTES


def _crypt(name: str) -> Any:
    """``$1$``, ``$5$``, ``$6$``. Text with a NUL, which the C library never saw the end of, and text that is longer than
    libpass takes, are refused after the work."""

    def crypt(text: str, salt: bytes, *rounds: int) -> bytes | None:
        from passlib import hash as passlib_hash

        handler: Any = getattr(passlib_hash, name)
        options = {"rounds": rounds[0]} if rounds else {}
        # relaxed: numbers of rounds below what passlib would choose for a new hash
        chosen = handler.using(salt=salt.decode("ascii"), relaxed=True, **options)
        taken, whole = _cut(text.replace("\0", ""))
        digest: str = chosen.hash(taken).rpartition("$")[2]
        return digest.encode("ascii") if whole and "\0" not in text else None

    return crypt


def _phpass(text: str, salt: bytes, rounds: int) -> bytes:
    data = text.encode()
    digest = hashlib.md5(salt + data, usedforsecurity=False).digest()
    for _ in range(1 << rounds):
        digest = hashlib.md5(digest + data, usedforsecurity=False).digest()
    return digest


def _fshp(text: str, salt: bytes, variant: int, rounds: int) -> bytes:
    """PBKDF1 with the password in the salt's place and the other way round, as fshp does it."""
    name = _FSHP[variant]
    digest = salt + text.encode()
    for _ in range(rounds):
        digest = hashlib.new(name, digest, usedforsecurity=False).digest()
    return digest


def _bcrypt_sha256_1(text: str, salt: bytes, rounds: int) -> bytes | None:
    return bcrypt_of(base64.b64encode(hashlib.sha256(text.encode()).digest()), salt, rounds)


def _bcrypt_sha256_2(text: str, salt: bytes, rounds: int) -> bytes | None:
    return bcrypt_of(base64.b64encode(hmac.digest(salt, text.encode(), "sha256")), salt, rounds)


def _firebase(text: str, salt: bytes, n: int, r: int) -> bytes:
    """Firebase encrypts one key of the project under each password; what is left without that key is the keystream."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    try:
        key = hashlib.scrypt(
            text.encode(), salt=salt, n=n, r=r, p=1, dklen=32, maxmem=128 * r * (n + 3) + 2**20
        )
    except (ValueError, MemoryError):
        key = b""
    if not key:
        raise StoreError("scrypt could not get its memory")
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor().update(bytes(_FIREBASE_KEY))


_FSHP = ("sha1", "sha256", "sha384", "sha512")
_FIREBASE_KEY = 64
_LIBPASS_BYTES = 4096
_CRYPT_SALT = b"0123456789abcdef"
_SHA_CRYPT = {"i": (1000, 10_000_000)}
SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "ldap_md5": _salt_last("md5"),
        "ldap_sha1": _salt_last("sha1"),
        "ldap_sha256": _salt_last("sha256"),
        "ldap_sha512": _salt_last("sha512"),
        "mssql2005": Scheme(compute=_mssql2005),
        "nthash": Scheme(compute=_nthash, needs="libpass"),
        "md5_crypt": Scheme(compute=_crypt("md5_crypt"), needs="libpass", salt=b"01234567"),
        "sha256_crypt": Scheme(
            compute=_crypt("sha256_crypt"), parameters=_SHA_CRYPT, needs="libpass", salt=_CRYPT_SALT
        ),
        "sha512_crypt": Scheme(
            compute=_crypt("sha512_crypt"), parameters=_SHA_CRYPT, needs="libpass", salt=_CRYPT_SALT
        ),
        "phpass": Scheme(compute=_phpass, parameters={"r": (7, 24)}, salt=b"01234567"),
        "fshp": Scheme(compute=_fshp, parameters={"v": (0, 3), "i": (1, 20_000_000)}),
        "passlib_bcrypt_sha256_1": Scheme(
            compute=_bcrypt_sha256_1, parameters={"r": (4, 20)}, needs="bcrypt", salt=BCRYPT_SALT
        ),
        "passlib_bcrypt_sha256_2": Scheme(
            compute=_bcrypt_sha256_2, parameters={"r": (4, 20)}, needs="bcrypt", salt=BCRYPT_SALT
        ),
        "firebase_scrypt": Scheme(compute=_firebase, parameters={"n": (2, 2**22), "r": (1, 64)}),
    }
)

# -- reading ------------------------------------------------------------------------------------------------------

_N = r"([1-9][0-9]{0,9})"
_AB64 = r"([A-Za-z0-9./]{1,200})"  # passlib's base64: "." for "+", no padding
_B64 = r"([A-Za-z0-9+/]{1,300}={0,2})"
_H64 = r"([./0-9A-Za-z]"
_PASSLIB_PBKDF2 = re.compile(rf"\$pbkdf2(-sha256|-sha512)?\${_N}\${_AB64}\${_AB64}")
_P5K2 = re.compile(r"\$p5k2\$([0-9a-f]{1,8})\$([A-Za-z0-9_-]{1,200}={0,2})\$([A-Za-z0-9_-]{27}=)")
_GRUB = re.compile(rf"grub\.pbkdf2\.sha512\.{_N}\.([0-9A-F]{{2,512}})\.([0-9A-F]{{128}})")
_ATLASSIAN = re.compile(rf"\{{PKCS5S2\}}{_B64}")
_PASSLIB_SCRYPT = re.compile(
    rf"\$scrypt\$ln=([1-9][0-9]?),r={_N},p={_N}\$([A-Za-z0-9+/]{{1,200}})\$([A-Za-z0-9+/]{{43,200}})"
)
_PASSLIB_BCRYPT = re.compile(rf"\$bcrypt-sha256\$v=2,t=2[ab],r=([0-9]{{1,2}})\${_H64}{{22}})\${_H64}{{31}})")
_PASSLIB_BCRYPT_1 = re.compile(rf"\$bcrypt-sha256\$2[ab],([0-9]{{1,2}})\${_H64}{{22}})\${_H64}{{31}})")
_LDAP = re.compile(rf"\{{(SMD5|SSHA|SSHA256|SSHA512|MD5|SHA)\}}{_B64}")
_LDAP_DIGESTS = {
    "SMD5": ("ldap_md5", 16),
    "MD5": ("ldap_md5", 16),
    "SSHA": ("ldap_sha1", 20),
    "SHA": ("ldap_sha1", 20),
    "SSHA256": ("ldap_sha256", 32),
    "SSHA512": ("ldap_sha512", 64),
}
_SHA_CRYPT_TEXT = re.compile(rf"\$([56])\$(?:rounds={_N}\$)?{_H64}{{1,16}})\${_H64}{{43,86}})")
_MD5_CRYPT = re.compile(rf"\$1\${_H64}{{1,8}})\${_H64}{{22}})")
_PHPASS = re.compile(rf"\$[PH]\${_H64}){_H64}{{8}}){_H64}{{22}})")
_FSHP_TEXT = re.compile(rf"\{{FSHP([0-3])\|([0-9]{{1,3}})\|{_N}\}}{_B64}")
_MSSQL = re.compile(r"0x0100([0-9A-Fa-f]{8})([0-9A-Fa-f]{40})")
_FIREBASE = re.compile(
    rf"\$fbscrypt\$v=1,n=([1-9][0-9]?),r={_N},p=1(?:,ss={_B64})?,sk={_B64}\${_B64}\${_B64}"
)
_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FSHP_SIZES = (20, 32, 48, 64)
_DEFAULT_ROUNDS = 5000  # of sha256_crypt and sha512_crypt


def read(stored: str) -> LegacyHash | None:
    """None where it is none of these. Raises `ValueError` for what looks like one and is damaged."""
    for pattern, taken_apart in _READERS:
        if match := pattern.fullmatch(stored):
            found: LegacyHash | None = taken_apart(*match.groups())
            return found
    return None


def bare(stored: str, scheme: str) -> LegacyHash | None:
    """Hexadecimal digits that do not say what they are."""
    size = {"md5": 16, "sha1": 20, "nthash": 16}.get(scheme)
    if size is None:
        return None
    return of_size(LegacyCost(scheme), size, b"", bytes.fromhex(stored))


def _pbkdf2(kind: str | None, rounds: str, salt: str, digest: str) -> LegacyHash | None:
    name = f"pbkdf2_{(kind or '-sha1')[1:]}"
    return of_pbkdf2(name, int(rounds), unpadded(salt.replace(".", "+")), unpadded(digest.replace(".", "+")))


def _p5k2(rounds: str, salt: str, digest: str) -> LegacyHash | None:
    data = base64.urlsafe_b64decode(digest)
    return of_pbkdf2("pbkdf2_sha1", int(rounds, 16), base64.urlsafe_b64decode(salt), data)


def _grub(rounds: str, salt: str, digest: str) -> LegacyHash | None:
    return of_pbkdf2("pbkdf2_sha512", int(rounds), bytes.fromhex(salt), bytes.fromhex(digest))


def _atlassian(text: str) -> LegacyHash | None:
    data = base64.b64decode(text, validate=True)
    return of_pbkdf2("pbkdf2_sha1", 10_000, data[:16], data[16:]) if len(data) == 48 else None


def _scrypt(log: str, r: str, p: str, salt: str, digest: str) -> LegacyHash | None:
    return of_scrypt(1 << int(log), int(r), int(p), unpadded(salt), unpadded(digest))


def _bcrypt_2(rounds: str, salt: str, digest: str) -> LegacyHash:
    # Its salt goes into the HMAC as it is written: it is not made canonical.
    cost = LegacyCost("passlib_bcrypt_sha256_2", (int(rounds),))
    return LegacyHash(cost=cost, salt=salt.encode(), digest=digest.encode())


def _bcrypt_1(rounds: str, salt: str, digest: str) -> LegacyHash:
    return of_bcrypt("passlib_bcrypt_sha256_1", rounds, salt, digest)


def _ldap(kind: str, text: str) -> LegacyHash | None:
    data = base64.b64decode(text, validate=True)
    name, size = _LDAP_DIGESTS[kind]
    salted = kind.startswith("S") and kind != "SHA"
    if salted is (len(data) == size):  # salted ones have a salt, the others have none
        return None
    return of_size(LegacyCost(name), size, data[size:], data[:size])


def _sha_crypt(kind: str, rounds: str | None, salt: str, digest: str) -> LegacyHash | None:
    name, size = ("sha256_crypt", 43) if kind == "5" else ("sha512_crypt", 86)
    cost = LegacyCost(name, (int(rounds or _DEFAULT_ROUNDS),))
    return of_size(cost, size, salt.encode(), digest.encode())


def _md5_crypt(salt: str, digest: str) -> LegacyHash:
    return LegacyHash(cost=LegacyCost("md5_crypt"), salt=salt.encode(), digest=digest.encode())


def _php(rounds: str, salt: str, digest: str) -> LegacyHash:
    cost = LegacyCost("phpass", (_ITOA64.index(rounds),))
    return LegacyHash(cost=cost, salt=salt.encode(), digest=_h64(digest))


def _fshp_text(variant: str, salted: str, rounds: str, text: str) -> LegacyHash | None:
    data = base64.b64decode(text, validate=True)
    cut = int(salted)
    cost = LegacyCost("fshp", (int(variant), int(rounds)))
    return of_size(cost, _FSHP_SIZES[int(variant)], data[:cut], data[cut:])


def _mssql(salt: str, digest: str) -> LegacyHash:
    return LegacyHash(cost=LegacyCost("mssql2005"), salt=bytes.fromhex(salt), digest=bytes.fromhex(digest))


def _firebase_text(log: str, r: str, *texts: str | None) -> LegacyHash | None:
    separator, signer, salt, data = (base64.b64decode(each or "", validate=True) for each in texts)
    if not len(signer) == len(data) == _FIREBASE_KEY:
        return None
    # The project's key is taken off here, once: it is needed for nothing more and stays in no store.
    stream = bytes(one ^ other for one, other in zip(signer, data, strict=True))
    cost = LegacyCost("firebase_scrypt", (1 << int(log), int(r)))
    return LegacyHash(cost=cost, salt=salt + separator, digest=stream)


def _h64(text: str) -> bytes:
    """phpass's base64: six bits a character, the lowest first. 16 bytes of 22 characters."""
    number = sum(_ITOA64.index(char) << 6 * place for place, char in enumerate(text))
    return number.to_bytes(17, "little")[:16]


_READERS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (_PASSLIB_PBKDF2, _pbkdf2),
    (_P5K2, _p5k2),
    (_GRUB, _grub),
    (_ATLASSIAN, _atlassian),
    (_PASSLIB_SCRYPT, _scrypt),
    (_PASSLIB_BCRYPT, _bcrypt_2),
    (_PASSLIB_BCRYPT_1, _bcrypt_1),
    (_LDAP, _ldap),
    (_SHA_CRYPT_TEXT, _sha_crypt),
    (_MD5_CRYPT, _md5_crypt),
    (_PHPASS, _php),
    (_FSHP_TEXT, _fshp_text),
    (_MSSQL, _mssql),
    (_FIREBASE, _firebase_text),
)
