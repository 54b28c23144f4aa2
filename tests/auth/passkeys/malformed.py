"""The mutation cases of the relying party's steps: what is sent, and which step must refuse it.

Their ids are those of ``test_case_ids`` in ``webauthn_l3_rp_steps.csv``, and some more of our own (ids with "own-").
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.testing.attestation import SoftMaker
from portalsec.testing.cbor import encode
from portalsec.testing.softkeys import new_key
from tests.auth.passkeys.setting import ORIGIN, TOP

__all__ = ["ASSERTIONS", "REGISTRATIONS", "Case"]

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, kw_only=True)
class Case:
    """One.

    Attributes:
        hostile: arguments of the authenticator.
        step: which refuses it; None where it is taken.
        browser: arguments of its making.
        policy: of the portal.
        options: of the beginning.
        unnamed: a sign-in without a name.
        verified: whether the caller requires user verification.
    """

    hostile: Mapping[str, Any] = field(default_factory=dict)
    step: str | None
    browser: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    unnamed: bool = False
    verified: bool = False


def members(**changed: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: it | changed


def text_of(it: Mapping[str, Any]) -> str:
    return json.dumps(it, separators=(",", ":"))


def inner(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda it: it | {"response": change(it["response"])}


def padded_challenge(it: dict[str, Any]) -> dict[str, Any]:
    return it | {"challenge": it["challenge"] + "="}


def doubled(it: dict[str, Any]) -> bytes:
    """A member twice: readers differ in which one counts."""
    return f'{{"origin":"https://evil.example",{text_of(it)[1:]}'.encode()


def head(data: bytes, flags: int | None = None) -> bytes:
    return data[:32] + bytes([data[32] if flags is None else flags]) + data[33:37]


def id_length(data: bytes, length: int) -> bytes:
    return data[:53] + length.to_bytes(2, "big") + data[55:]


def loose(it: dict[str, Any], *names: str) -> dict[str, Any]:
    """Base64url of 32 bytes leaves two bits over, which some readers ignore."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return it | {name: it[name][:-1] + alphabet[alphabet.index(it[name][-1]) | 1] for name in names}


def _numbers(change: Callable[[dict[int, Any]], dict[int, Any]] = lambda it: it) -> bytes:
    numbers = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
    return encode(change(cose))


def _rsa(n: int, e: int) -> bytes:
    return encode(
        {
            1: 3,
            3: -257,
            -1: n.to_bytes((n.bit_length() + 7) // 8, "big"),
            -2: e.to_bytes((e.bit_length() + 7) // 8, "big"),
        }
    )


_N1024 = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n
_N2048 = rsa.generate_private_key(65537, 2048).public_key().public_numbers().n
_SELF = {
    "policy": {
        "attestation": AttestationPolicy(roots=(SoftMaker().root,))
    },  # so that statements are asked for
    "browser": {"attestation": "packed-self"},
}
_REQUIRED = {"user_verification": "required"}


def raw_rs(signature: bytes) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def flip(data: bytes, at: int = -1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def _origins(prefix: str, step: str) -> dict[str, Case]:
    return {
        f"{prefix}-http": Case(hostile={"origin": "http://portal.example"}, step=step),
        f"{prefix}-port": Case(hostile={"origin": "https://portal.example:8443"}, step=step),
        f"{prefix}-subdomain": Case(hostile={"origin": "https://evil.portal.example"}, step=step),
    }


REGISTRATIONS: Mapping[str, Case] = MappingProxyType(
    {
        "reg-type-get": Case(hostile={"type": "webauthn.get"}, step="R-type"),
        "reg-type-case": Case(hostile={"type": "webauthn.Create"}, step="R-type"),
        "reg-type-payment": Case(hostile={"type": "payment.get"}, step="R-type"),
        "reg-challenge-other": Case(hostile={"challenge": bytes(32)}, step="R-challenge"),
        "reg-challenge-empty": Case(hostile={"challenge": ""}, step="R-challenge"),
        "reg-challenge-padded": Case(hostile={"client_data": padded_challenge}, step="R-challenge"),
        "reg-challenge-junk": Case(
            hostile={"client_data": lambda it: it | {"challenge": it["challenge"] + "!"}}, step="R-challenge"
        ),
        **_origins("reg-origin", "R-origin"),
        "reg-origin-suffix": Case(hostile={"origin": "https://portal.example.evil.example"}, step="R-origin"),
        "reg-origin-prefix": Case(hostile={"origin": "https://evilportal.example"}, step="R-origin"),
        "reg-origin-trailing": Case(hostile={"origin": ORIGIN + "/"}, step="R-origin"),
        "reg-origin-list": Case(hostile={"client_data": members(origin=[ORIGIN])}, step="R-json"),
        "reg-origin-null": Case(hostile={"client_data": members(origin=None)}, step="R-json"),
        "reg-crossorigin": Case(hostile={"cross_origin": True}, step="R-crossOrigin"),
        "reg-toporigin": Case(
            hostile={"cross_origin": True, "top_origin": "https://evil.example"},
            policy={"top_origins": (TOP,)},
            step="R-topOrigin",
        ),
        "reg-toporigin-nocross": Case(
            hostile={"top_origin": TOP}, policy={"top_origins": (TOP,)}, step="R-topOrigin"
        ),
        "reg-ok-bom": Case(
            hostile={"client_data": lambda it: b"\xef\xbb\xbf" + text_of(it).encode()}, step=None
        ),
        "reg-json-dup-key": Case(hostile={"client_data": doubled}, step="R-json"),
        "reg-json-notdict": Case(hostile={"client_data": lambda it: b'["webauthn.create"]'}, step="R-json"),
        "reg-json-deep": Case(hostile={"client_data": lambda it: b"[" * 7000}, step="R-json"),
        "reg-json-huge": Case(hostile={"client_data": members(pad="x" * 20_000)}, step="R-json"),
        "reg-cbor-dup-key": Case(
            hostile={"attestation_object": lambda it: b"\xa4\x63fmt\x64none" + encode(it)[1:]}, step="R-cbor"
        ),
        "reg-cbor-trailing": Case(
            hostile={"attestation_object": lambda it: encode(it) + b"\0"}, step="R-cbor"
        ),
        "reg-cbor-bomb": Case(
            hostile={"attestation_object": lambda it: b"\xbb" + b"\xff" * 8 + b"\x00"}, step="R-cbor"
        ),
        "reg-cbor-deep": Case(
            hostile={"attestation_object": lambda it: encode(it)[:-1] + b"\x81" * 20_000 + b"\x00"},
            step="R-cbor",
        ),
        "reg-cbor-tag": Case(
            hostile={"attestation_object": lambda it: b"\xd9\xd9\xf7" + encode(it)}, step="R-cbor"
        ),
        "reg-rpid": Case(hostile={"rp_id": "evil.example"}, step="R-rpid"),
        "reg-rpid-parent": Case(hostile={"rp_id": "example"}, step="R-rpid"),
        "reg-up-missing": Case(hostile={"user_present": False}, step="R-up"),
        "reg-uv-missing": Case(hostile={"user_verified": False}, options=_REQUIRED, step="R-uv"),
        "reg-bs-without-be": Case(hostile={"backed_up": True}, step="R-bs"),
        "reg-at-missing": Case(
            hostile={"authenticator_data": lambda it: head(it, it[32] & ~0x40)}, step="R-authdata"
        ),
        "reg-authdata-trailing": Case(
            hostile={"authenticator_data": lambda it: it + b"\0"}, step="R-authdata"
        ),
        "reg-authdata-ed-noext": Case(hostile={"flags": 0xC5}, step="R-authdata"),
        "reg-authdata-short": Case(hostile={"authenticator_data": lambda it: it[:36]}, step="R-authdata"),
        "reg-cid-len-lie": Case(
            hostile={"authenticator_data": lambda it: id_length(it, 60_000)}, step="R-authdata"
        ),
        "reg-key-truncated": Case(hostile={"authenticator_data": lambda it: it[:-5]}, step="R-authdata"),
        "reg-alg-not-offered-es384": Case(hostile={"algorithm": -35}, step="R-alg"),
        "reg-alg-not-offered-rs1": Case(hostile={"algorithm": -65535}, step="R-alg"),
        "reg-alg-crv-mismatch": Case(hostile={"key": _numbers(lambda it: it | {-1: 2})}, step="R-key"),
        "reg-key-compressed": Case(hostile={"key": _numbers(lambda it: it | {-3: True})}, step="R-key"),
        "reg-key-offcurve": Case(hostile={"key": _numbers(lambda it: it | {-3: flip(it[-3])})}, step="R-key"),
        "reg-key-private": Case(hostile={"key": _numbers(lambda it: it | {-4: bytes(32)})}, step="R-key"),
        "reg-key-rsa1024": Case(hostile={"key": _rsa(_N1024, 65537)}, step="R-key"),
        "reg-key-rsa-e1": Case(hostile={"key": _rsa(_N2048, 1)}, step="R-key"),
        "reg-fmt-unknown": Case(hostile={"attestation_object": members(fmt="compound")}, step="R-fmt"),
        "reg-none-with-stmt": Case(hostile={"statement": lambda it: {"sig": b""}}, step="R-fmt"),
        "reg-self-badsig": Case(
            hostile={"statement": lambda it: it | {"sig": flip(it["sig"])}}, step="R-attstmt", **_SELF
        ),
        "reg-self-algmismatch": Case(hostile={"statement": members(alg=-257)}, step="R-attstmt", **_SELF),
        "reg-cid-empty": Case(hostile={"credential_id": b""}, step="R-cid"),
        "reg-cid-1023": Case(hostile={"credential_id": bytes(1023)}, step=None),
        "reg-cid-1024": Case(hostile={"credential_id": bytes(1024)}, step="R-cid"),
        "reg-cid-outer-mismatch": Case(
            hostile={"response": members(id=b64url(b"other"), rawId=b64url(b"other"))}, step="R-cid"
        ),
        "reg-id-rawid-mismatch": Case(hostile={"response": members(id=b64url(b"other"))}, step="R-cid"),
        "reg-ok-ext": Case(hostile={"extensions": {"credProtect": 2}}, step=None),
        # -- our own --
        "reg-own-client-data-not-base64": Case(
            hostile={"response": inner(members(clientDataJSON="a+b/"))}, step="R-shape"
        ),
        "reg-own-loose-bits": Case(hostile={"response": lambda it: loose(it, "id", "rawId")}, step="R-shape"),
        "reg-own-utf16": Case(
            hostile={"client_data": lambda it: text_of(it).encode("utf-16")}, step="R-json"
        ),
        "reg-own-surrogate": Case(
            hostile={"client_data": lambda it: text_of(it).encode() + b"\xed\xa0\x80"}, step="R-json"
        ),
        "reg-own-nan": Case(hostile={"client_data": members(more=float("nan"))}, step="R-json"),
        "reg-own-crossorigin-text": Case(
            hostile={"client_data": members(crossOrigin="false")}, step="R-crossOrigin"
        ),
        "reg-own-toporigin-null": Case(hostile={"client_data": members(topOrigin=None)}, step="R-topOrigin"),
        "reg-own-attestation-missing": Case(
            hostile={"response": inner(lambda it: {"clientDataJSON": it["clientDataJSON"]})}, step="R-shape"
        ),
        "reg-own-authdata-text": Case(
            hostile={"attestation_object": members(authData="data")}, step="R-cbor"
        ),
        "reg-own-member-more": Case(hostile={"attestation_object": members(epAtt=True)}, step="R-cbor"),
        "reg-own-indefinite": Case(
            hostile={"attestation_object": lambda it: b"\xbf" + encode(it)[1:] + b"\xff"}, step="R-cbor"
        ),
        "reg-own-key-alg-missing": Case(
            hostile={"key": _numbers(lambda it: {k: v for k, v in it.items() if k != 3})}, step="R-key"
        ),
        "reg-own-key-is-true": Case(hostile={"key": _numbers(lambda it: it | {-1: True})}, step="R-key"),
    }
)

ASSERTIONS: Mapping[str, Case] = MappingProxyType(
    {
        "auth-cid-not-allowed": Case(
            hostile={"response": members(id=b64url(b"other"), rawId=b64url(b"other"))}, step="A-allow"
        ),
        "auth-userhandle-other": Case(hostile={"user_handle": b"somebody else"}, step="A-user"),
        "auth-userhandle-missing-discoverable": Case(hostile={"user_handle": None}, unnamed=True, step="A-user"),
        "auth-ok-nouserhandle": Case(hostile={"user_handle": None}, step=None),
        "auth-type-create": Case(hostile={"type": "webauthn.create"}, step="A-type"),
        "auth-challenge-other": Case(hostile={"challenge": bytes(32)}, step="A-challenge"),
        **_origins("auth-origin", "A-origin"),
        "auth-crossorigin": Case(hostile={"cross_origin": True}, step="A-crossOrigin"),
        "auth-toporigin": Case(
            hostile={"top_origin": TOP}, policy={"top_origins": (TOP,)}, step="A-topOrigin"
        ),
        "auth-toporigin-allowed": Case(
            hostile={"cross_origin": True, "top_origin": TOP}, policy={"top_origins": (TOP,)}, step=None
        ),
        "auth-toporigin-notlisted": Case(
            hostile={"cross_origin": True, "top_origin": "https://evil.example"},
            policy={"top_origins": (TOP,)},
            step="A-topOrigin",
        ),
        "auth-rpid": Case(hostile={"rp_id": "evil.example"}, step="A-rpid"),
        "auth-up": Case(hostile={"user_present": False}, step="A-up"),
        "auth-uv": Case(hostile={"user_verified": False}, verified=True, step="A-uv"),
        "auth-uv-preferred": Case(hostile={"user_verified": False}, step=None),
        "auth-bs-without-be": Case(hostile={"backed_up": True}, step="A-bs"),
        "auth-be-appeared": Case(hostile={"backup_eligible": True}, step="A-be"),
        "auth-be-vanished": Case(
            browser={"backup_eligible": True}, hostile={"backup_eligible": False}, step="A-be"
        ),
        "auth-sig-flip": Case(hostile={"signature": flip}, step="A-sig"),
        "auth-sig-otherkey": Case(hostile={"signature": lambda it: new_key(-7).sign(bytes(69))}, step="A-sig"),
        "auth-sig-empty": Case(hostile={"signature": lambda it: b""}, step="A-sig"),
        "auth-sig-rawrs": Case(hostile={"signature": raw_rs}, step="A-sig"),
        "auth-sig-zero": Case(hostile={"signature": lambda it: bytes.fromhex("3006020100020100")}, step="A-sig"),
        "auth-sig-cd-swapped": Case(
            hostile={
                "response": inner(
                    lambda it: it | {"clientDataJSON": b64url(unb64url(it["clientDataJSON"]).replace(b"{", b"{ ", 1))}
                )
            },
            step="A-sig",
        ),
        "auth-count-equal": Case(hostile={"sign_count": 5}, step="A-count"),
        "auth-count-back": Case(hostile={"sign_count": 4}, step="A-count"),
        "auth-count-tozero": Case(hostile={"sign_count": 0}, step="A-count"),
        "auth-ok-count": Case(hostile={"sign_count": 6}, step=None),
        "auth-ok-count-zero": Case(browser={"counter": False}, step=None),
        "auth-at-present": Case(
            hostile={"authenticator_data": lambda it: head(it, it[32] | 0x40) + bytes(16) + b"\0\x01x" + _numbers()},
            step="A-authdata",
        ),
        "auth-authdata-trailing": Case(hostile={"authenticator_data": lambda it: it + b"\0"}, step="A-authdata"),
        "auth-authdata-short": Case(hostile={"authenticator_data": lambda it: it[:36]}, step="A-authdata"),
        "auth-id-rawid-mismatch": Case(hostile={"response": members(id=b64url(b"other"))}, step="A-shape"),
        "auth-type-outer": Case(hostile={"response": members(type="password")}, step="A-shape"),
        "auth-missing-signature": Case(
            hostile={"response": inner(lambda it: {k: v for k, v in it.items() if k != "signature"})},
            step="A-shape",
        ),
        "auth-nonstring-fields": Case(hostile={"response": inner(members(signature=5))}, step="A-shape"),
        "auth-stored-alg-swap": Case(step="A-sig"),  # the record is changed: see the test
        # -- our own --
        "auth-own-json-dup-key": Case(hostile={"client_data": doubled}, step="A-json"),
        "auth-own-challenge-padded": Case(hostile={"client_data": padded_challenge}, step="A-challenge"),
        "auth-own-origin-suffix": Case(hostile={"origin": "https://portal.example.evil.example"}, step="A-origin"),
        "auth-own-origin-list": Case(hostile={"client_data": members(origin=[ORIGIN])}, step="A-json"),
        "auth-own-sig-high-s": Case(
            hostile={"signature": lambda it: _with_s(it, lambda s: s + _ORDER)}, step="A-sig"
        ),
        "auth-own-handle-too-long": Case(hostile={"user_handle": bytes(65)}, step="A-shape"),
        "auth-own-ed-noext": Case(hostile={"flags": 0x85}, step="A-authdata"),
    }
)  # fmt: skip


def _with_s(signature: bytes, change: Callable[[int], int]) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, change(s))
