"""Password hashes of other systems, taken apart: what it costs to compute one, its salt, its digest.

Read here: Django (pbkdf2_sha256, pbkdf2_sha1, scrypt, bcrypt, bcrypt_sha256, argon2, md5, sha1), Werkzeug (scrypt,
pbkdf2), plain bcrypt (``$2a$``, ``$2b$``, ``$2y$``) and PHC strings of argon2. Those of `legacy_outer` are tried after.
None of them ever verifies by itself: `portalsec.auth.passwords.Passwords.wrap` puts argon2id around the digest and keeps
the rest, so that what lies in the store is as dear to guess at as any other hash.

A cost is spelled ``scheme`` or ``scheme:name=number,...``, as ``[passwords] older`` has it: ``pbkdf2_sha256:i=870000``,
``bcrypt:r=12``, ``md5``. Digests that a scheme can make of any length are kept at the length that its hash function has.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from portalsec.errors import ConfigurationError, MissingExtra, StoreError, Tampered

__all__ = ["LegacyCost", "LegacyHash", "Scheme", "compute", "read", "seconds"]

Compute: TypeAlias = Callable[..., bytes | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One way to hash.

    Attributes:
        compute: given the password, the salt and the parameters in order, the digest; None where that system could
            not have hashed this password, which costs the same.
        parameters: their names, each with the least and the most that is read: a stored hash that asks for more would
            stall the process.
        needs: the package of the extra ``legacy-hashes`` that computes it.
        salt: one that a dummy computation takes.
    """

    compute: Compute
    parameters: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    needs: str | None = None
    salt: bytes = b"a dummy's salt.."


@dataclass(frozen=True, slots=True)
class LegacyCost:
    """What it takes to compute a hash of another system: equal ones cost the same.

    Attributes:
        scheme: its name.
        parameters: numbers, in the order in which the scheme names them.
    """

    scheme: str
    parameters: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        scheme = _scheme(self.scheme)
        limits = [] if scheme is None else list(scheme.parameters.values())
        fits = len(limits) == len(self.parameters) and all(
            least <= number <= most for number, (least, most) in zip(self.parameters, limits, strict=True)
        )
        if scheme is None or not fits or not _sane(self.scheme, self.parameters):
            raise ConfigurationError(
                f"{self.scheme[:40]!r} with {self.parameters} is no password scheme that is read: write one as "
                '"pbkdf2_sha256:i=870000", "bcrypt:r=12" or "md5", as  portalsec passwords report  shows it'
            )

    @classmethod
    def from_text(cls, text: str) -> LegacyCost:
        """The inverse of `str`; `ConfigurationError` for anything else."""
        name, _, rest = text.partition(":")
        scheme = _scheme(name)
        numbers = re.findall(r"=([0-9]{1,10})(?![0-9])", rest)
        found = cls(name, tuple(map(int, numbers))) if scheme else cls(name)
        if str(found) != text:
            raise ConfigurationError(f"write the cost as {str(found)!r}")
        return found

    def __str__(self) -> str:
        scheme = _scheme(self.scheme)
        names = scheme.parameters if scheme else ()
        pairs = ",".join(f"{name}={number}" for name, number in zip(names, self.parameters, strict=True))
        return f"{self.scheme}:{pairs}" if pairs else self.scheme

    def require(self) -> None:
        """`MissingExtra` where the package that computes it is not installed."""
        scheme = _scheme(self.scheme)
        if scheme is not None and scheme.needs is not None:
            try:
                __import__({"libpass": "passlib"}.get(scheme.needs, scheme.needs))
            except ImportError:
                raise MissingExtra("legacy-hashes", package=scheme.needs) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyHash:
    """A hash of another system, taken apart. Its digest is what must not stay in a store."""

    cost: LegacyCost
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)


def compute(cost: LegacyCost, text: str, salt: bytes | None) -> bytes | None:
    """The digest of a password, or None where that system could not have hashed it, at the same cost.

    Args:
        salt: None computes a dummy: the same work, for nothing.

    Raises:
        StoreError: there was no memory to hash with.
    """
    scheme = _scheme(cost.scheme)
    assert scheme is not None  # noqa: S101 - a LegacyCost that exists is valid
    return scheme.compute(text, scheme.salt if salt is None else salt, *cost.parameters)


def seconds(cost: LegacyCost) -> float:
    """About how long one takes on a core of these years: for refusing what is out of all proportion, not for choosing."""
    each, parameters = cost.scheme, cost.parameters
    if each in ("scrypt", "firebase_scrypt"):
        n, r, p = (*parameters, 1)[:3]
        return 3.5e-7 * n * r * p
    if each.startswith("phc_argon2"):
        return 1e-6 * parameters[1] * parameters[2]
    if "bcrypt" in each:
        return 6e-5 * 2.0 ** parameters[0]
    if each == "phpass":
        return 1.5e-6 * 2.0 ** parameters[0]
    return 2e-6 * parameters[-1] if parameters else 0.0  # the rounds of all others


def read(stored: str, *, scheme: str | None = None) -> LegacyHash:
    """Take a stored hash apart.

    Args:
        scheme: what it is, where it does not say so itself: "md5", "sha1" or "nthash" for bare hexadecimal digits;
            "werkzeug" for its ``md5$salt$`` and ``sha1$salt$`` of the years before PBKDF2. Django wrote the same text and
            computed it differently; it is taken for Django's where nothing is said.

    Raises:
        Tampered: no hash of a known system, or one that asks for more work than any should. Nothing of it is quoted.
    """
    from portalsec.auth import legacy_outer

    found: LegacyHash | None = None
    if len(stored) <= 1024:
        try:
            if scheme == "werkzeug":
                found = _salted(stored, "hmac_")
            elif scheme is not None:
                found = legacy_outer.bare(stored, scheme)
            else:
                found = _read_core(stored) or _salted(stored, "") or legacy_outer.read(stored)
        except (ValueError, ConfigurationError):  # no base64, no hexadecimal digits; out of range
            found = None
    if found is None:
        raise Tampered("a stored password hash is of no system that portalsec reads")
    return found


# -- computing ----------------------------------------------------------------------------------------------------


def _pbkdf2(name: str) -> Scheme:
    def pbkdf2(text: str, salt: bytes, rounds: int) -> bytes:
        return hashlib.pbkdf2_hmac(name, text.encode(), salt, rounds)

    return Scheme(compute=pbkdf2, parameters={"i": (1, 20_000_000)})


def _scrypt(text: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    try:
        # what scrypt itself needs, and a little for OpenSSL
        return hashlib.scrypt(
            text.encode(), salt=salt, n=n, r=r, p=p, dklen=32, maxmem=128 * r * (n + p + 2) + 2**20
        )
    except (ValueError, MemoryError):
        pass
    raise StoreError("scrypt could not get its memory")


def bcrypt_of(data: bytes, salt: bytes, rounds: int) -> bytes | None:
    """bcrypt's 31 characters. Past 72 bytes it would ignore the rest: that is refused, after the work."""
    import bcrypt

    digest = bcrypt.hashpw(data[:72], b"$2b$%02d$%s" % (rounds, salt))[29:]
    return digest if len(data) <= 72 else None


def _bcrypt(text: str, salt: bytes, rounds: int) -> bytes | None:
    return bcrypt_of(text.encode(), salt, rounds)


def _bcrypt_sha256(text: str, salt: bytes, rounds: int) -> bytes | None:
    return bcrypt_of(hashlib.sha256(text.encode()).hexdigest().encode(), salt, rounds)


def _argon2(kind: str) -> Scheme:
    def argon2(text: str, salt: bytes, *numbers: int) -> bytes:
        from argon2 import exceptions, low_level

        version, m, t, p, size = numbers
        try:
            return low_level.hash_secret_raw(
                text.encode(), salt, t, m, p, size, getattr(low_level.Type, kind), version=version
            )
        except exceptions.HashingError:
            pass
        raise StoreError("argon2 could not get its memory")

    limits = {"v": (16, 19), "m": (8, 4 * 1024 * 1024), "t": (1, 64), "p": (1, 64), "l": (12, 128)}
    return Scheme(compute=argon2, parameters=limits)


def _keyed(name: str) -> Scheme:
    """Werkzeug's md5 and sha1, of the years before PBKDF2."""

    def tag(text: str, salt: bytes) -> bytes:
        return hmac.digest(salt, text.encode(), name)

    return Scheme(compute=tag)


def _salt_first(name: str) -> Scheme:
    """Django's md5 and sha1; without a salt it is the plain digest."""

    def digest(text: str, salt: bytes) -> bytes:
        return hashlib.new(name, salt + text.encode(), usedforsecurity=False).digest()

    return Scheme(compute=digest)


BCRYPT_SALT = b"abcdefghijklmnopqrstuu"
_SCHEMES: dict[str, Scheme] = {
    "pbkdf2_sha256": _pbkdf2("sha256"),
    "pbkdf2_sha1": _pbkdf2("sha1"),
    "pbkdf2_sha512": _pbkdf2("sha512"),
    "scrypt": Scheme(compute=_scrypt, parameters={"n": (2, 2**22), "r": (1, 64), "p": (1, 64)}),
    "bcrypt": Scheme(compute=_bcrypt, parameters={"r": (4, 20)}, needs="bcrypt", salt=BCRYPT_SALT),
    "bcrypt_sha256": Scheme(
        compute=_bcrypt_sha256, parameters={"r": (4, 20)}, needs="bcrypt", salt=BCRYPT_SALT
    ),
    "phc_argon2id": _argon2("ID"),
    "phc_argon2i": _argon2("I"),
    "phc_argon2d": _argon2("D"),
    "md5": _salt_first("md5"),
    "sha1": _salt_first("sha1"),
    "hmac_md5": _keyed("md5"),
    "hmac_sha1": _keyed("sha1"),
}


def _scheme(name: str) -> Scheme | None:
    if name in _SCHEMES:
        return _SCHEMES[name]
    from portalsec.auth import legacy_outer

    return legacy_outer.SCHEMES.get(name)


def _sane(name: str, parameters: tuple[int, ...]) -> bool:
    """What limits of single numbers do not say."""
    if name in ("scrypt", "firebase_scrypt"):
        n, r, p = (*parameters, 1)[:3]
        # RFC 7914 section 2: N is a power of 2 below 2^(128 r / 8). Memory up to 1 GiB, work up to 2 GiB of it mixed.
        return n & (n - 1) == 0 and n < 2 ** (16 * r) and 128 * n * r <= 2**30 and n * r * p <= 2**24
    if name.startswith("phc_argon2"):
        version, memory, _, lanes, _ = parameters
        return version in (16, 19) and memory >= 8 * lanes
    return True


# -- reading ------------------------------------------------------------------------------------------------------

_N = r"([1-9][0-9]{0,9})"
_B64 = r"([A-Za-z0-9+/]{1,200}={0,2})"
_HEX = r"([0-9a-f]{32,256})"
_SALT = r"([^$]{0,200})"
_DJANGO_PBKDF2 = re.compile(rf"(pbkdf2_sha256|pbkdf2_sha1)\${_N}\${_SALT}\${_B64}", re.ASCII)
_DJANGO_SCRYPT = re.compile(rf"scrypt\${_N}\${_SALT}\${_N}\${_N}\${_B64}", re.ASCII)
_SALTED_DIGEST = re.compile(rf"(md5|sha1)\${_SALT}\${_HEX}", re.ASCII)
_WERKZEUG_SCRYPT = re.compile(rf"scrypt:{_N}:{_N}:{_N}\${_SALT}\${_HEX}", re.ASCII)
_WERKZEUG_PBKDF2 = re.compile(rf"pbkdf2:(sha1|sha256|sha512):{_N}\${_SALT}\${_HEX}", re.ASCII)
_BCRYPT = re.compile(
    r"(bcrypt\$|bcrypt_sha256\$)?\$2[aby]\$([0-9]{2})\$([./A-Za-z0-9]{22})([./A-Za-z0-9]{31})"
)
_ARGON2 = re.compile(
    rf"(?:argon2)?\$argon2(id|i|d)(?:\$v=(16|19))?\$m={_N},t={_N},p={_N}"
    r"\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{16,171})"
)
_DIGEST_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}


def _read_core(stored: str) -> LegacyHash | None:
    if match := _DJANGO_PBKDF2.fullmatch(stored):
        name, rounds, salt, digest = match.groups()
        return of_pbkdf2(name, int(rounds), salt.encode(), base64.b64decode(digest, validate=True))
    if match := _DJANGO_SCRYPT.fullmatch(stored):
        n, salt, r, p, digest = match.groups()
        return of_scrypt(int(n), int(r), int(p), salt.encode(), base64.b64decode(digest, validate=True))
    if match := _WERKZEUG_SCRYPT.fullmatch(stored):
        n, r, p, salt, digest = match.groups()
        return of_scrypt(int(n), int(r), int(p), salt.encode(), bytes.fromhex(digest))
    if match := _WERKZEUG_PBKDF2.fullmatch(stored):
        name, rounds, salt, digest = match.groups()
        return of_pbkdf2(f"pbkdf2_{name}", int(rounds), salt.encode(), bytes.fromhex(digest))
    if match := _BCRYPT.fullmatch(stored):
        kind, rounds, salt, digest = match.groups()
        return of_bcrypt("bcrypt_sha256" if kind == "bcrypt_sha256$" else "bcrypt", rounds, salt, digest)
    if match := _ARGON2.fullmatch(stored):
        kind, version, *numbers, salt, tag = match.groups()
        data = unpadded(tag)
        parameters = (int(version or 16), *map(int, numbers), len(data))  # no version is version 16
        return LegacyHash(cost=LegacyCost(f"phc_argon2{kind}", parameters), salt=unpadded(salt), digest=data)
    return None


def _salted(stored: str, kind: str) -> LegacyHash | None:
    """``md5$salt$...`` and ``sha1$salt$...``: Django hashed the salt and the password, Werkzeug made an HMAC."""
    match = _SALTED_DIGEST.fullmatch(stored)
    if match is None:
        return None
    name, salt, digest = match.groups()
    cost = LegacyCost(f"{kind}{name}" if salt else name)  # without a salt both are the plain digest
    return of_size(cost, _DIGEST_SIZES[name], salt.encode(), bytes.fromhex(digest))


def of_pbkdf2(name: str, rounds: int, salt: bytes, digest: bytes) -> LegacyHash | None:
    """Longer digests begin with the one of the hash's own size; shorter ones are not read."""
    size = _DIGEST_SIZES[name.removeprefix("pbkdf2_")]
    if len(digest) < size:
        return None
    return LegacyHash(cost=LegacyCost(name, (rounds,)), salt=salt, digest=digest[:size])


def of_scrypt(n: int, r: int, p: int, salt: bytes, digest: bytes) -> LegacyHash | None:
    """The first 32 bytes: what scrypt gives does not depend on how much more is asked for."""
    if len(digest) < 32:
        return None
    return LegacyHash(cost=LegacyCost("scrypt", (n, r, p)), salt=salt, digest=digest[:32])


def of_bcrypt(name: str, rounds: str, salt: str, digest: str) -> LegacyHash:
    """The salt's last character has four bits that mean nothing; implementations differ in what they put there."""
    alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    last = alphabet[alphabet.index(salt[-1]) & 0b110000]
    return LegacyHash(
        cost=LegacyCost(name, (int(rounds),)), salt=(salt[:-1] + last).encode(), digest=digest.encode()
    )


def of_size(cost: LegacyCost, size: int, salt: bytes, digest: bytes) -> LegacyHash | None:
    """None where the digest is not of its size."""
    return LegacyHash(cost=cost, salt=salt, digest=digest) if len(digest) == size else None


def unpadded(text: str) -> bytes:
    """Base64 without padding, canonical only; `ValueError` for anything else."""
    try:
        data = binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if base64.b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise ValueError("not canonical base64")
    return data
