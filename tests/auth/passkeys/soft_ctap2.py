"""A CTAP2 authenticator in software for Yubico's `fido2`, made of `cryptography` and of `fido2`'s own types: none of it is ours.

CTAP 2.1 sections 6.1 (authenticatorMakeCredential), 6.2 (authenticatorGetAssertion) and 6.4 (authenticatorGetInfo), with
built-in user verification, for whoever asks as the client does. Its owner touches it at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from fido2 import cbor
from fido2.cose import ES256, CoseKey, EdDSA
from fido2.ctap import CtapDevice, CtapError
from fido2.ctap2 import Ctap2
from fido2.hid import CAPABILITY, CTAPHID
from fido2.webauthn import AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG
NO_FLAG = FLAG(0)
AAGUID = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")
# authenticator data, client data hash -> format and statement
Attest = Callable[[bytes, bytes], tuple[str, dict[str, Any]]]


@dataclass
class Stored:
    """A credential of the device: a discoverable one answers without being named."""

    id: bytes
    rp_id: str
    user: Mapping[str, Any]
    public: CoseKey
    sign: Callable[[bytes], bytes]
    discoverable: bool
    counter: int = 0


def no_attestation(authenticator_data: bytes, client_data_hash: bytes) -> tuple[str, dict[str, Any]]:
    return "none", {}


class Ctap2Key(CtapDevice):
    """One authenticator.

    Args:
        algorithm: COSE number of its keys, -7 or -8.
        verifies: whether it has user verification of its own; one without says nothing of ``uv``.
        backup: flags BE and BS as it sends them; change it as the test goes.
        attest: what it says of its make.
    """

    capabilities = CAPABILITY.CBOR

    def __init__(
        self,
        *,
        algorithm: int = -7,
        verifies: bool = True,
        backup: FLAG = NO_FLAG,
        attest: Attest = no_attestation,
    ) -> None:
        self.algorithm, self.verifies, self.backup, self.attest = algorithm, verifies, backup, attest
        self.stored: list[Stored] = []
        self.asked: list[tuple[int, Mapping[int, Any]]] = []  # commands and what came with them

    def close(self) -> None:
        """Nothing to close."""

    @classmethod
    def list_devices(cls) -> Iterator[Ctap2Key]:
        return iter(())

    def call(
        self, cmd: int, data: bytes = b"", event: Event | None = None, on_keepalive: Any = None
    ) -> bytes:
        assert cmd == CTAPHID.CBOR
        command, asked = data[0], cbor.decode(data[1:]) if data[1:] else {}
        self.asked.append((command, asked))
        commands = {
            Ctap2.CMD.GET_INFO: self._info,
            Ctap2.CMD.MAKE_CREDENTIAL: self._make,
            Ctap2.CMD.GET_ASSERTION: self._assert,
        }
        try:
            return b"\0" + cbor.encode(commands[Ctap2.CMD(command)](asked))
        except CtapError as error:
            return bytes([error.code])

    def _info(self, _: Mapping[int, Any]) -> dict[int, Any]:
        options = {"rk": True, "up": True} | ({"uv": True} if self.verifies else {})
        algorithms = [{"alg": self.algorithm, "type": "public-key"}]
        return {1: ["FIDO_2_0"], 3: AAGUID, 4: options, 6: [2], 7: 8, 8: 64, 10: algorithms}

    def _make(self, asked: Mapping[int, Any]) -> dict[int, Any]:
        client_data_hash, rp_id, user, offered = asked[1], asked[2]["id"], asked[3], asked[4]
        options = asked.get(7, {})
        if self._known(rp_id, asked.get(5)):
            raise CtapError(CtapError.ERR.CREDENTIAL_EXCLUDED)
        if self.algorithm not in [each["alg"] for each in offered]:
            raise CtapError(CtapError.ERR.UNSUPPORTED_ALGORITHM)
        flags = self._verified(options) | FLAG.UP | FLAG.AT
        public, sign = new_pair(self.algorithm)
        name = hashlib.sha256(b"%d" % len(self.stored) + cbor.encode(public)).digest()
        made = Stored(name, rp_id, user, public, sign, discoverable=options.get("rk", False))
        attested = AttestedCredentialData.create(AAGUID, made.id, made.public)
        data = self._data(made, flags, attested)
        form, statement = self.attest(data, client_data_hash)
        self.stored.append(made)
        return {1: form, 2: data, 3: statement}

    def _assert(self, asked: Mapping[int, Any]) -> dict[int, Any]:
        rp_id, client_data_hash, allowed, options = asked[1], asked[2], asked.get(3), asked.get(5, {})
        known = self._known(rp_id, allowed)
        if not known:
            raise CtapError(CtapError.ERR.NO_CREDENTIALS)
        chosen = known[-1]  # the newest: this device has no screen to choose on
        present = options.get("up", True)
        flags = self._verified(options) | (FLAG.UP if present else NO_FLAG)
        chosen.counter += present
        data = self._data(chosen, flags)
        answer = {
            1: {"id": chosen.id, "type": "public-key"},
            2: data,
            3: chosen.sign(data + client_data_hash),
        }
        if chosen.discoverable:
            answer[4] = {"id": chosen.user["id"]}
        return answer if allowed else answer | {5: 1}

    def _known(self, rp_id: str, named: list[Mapping[str, Any]] | None) -> list[Stored]:
        """Those that are named, or, where none is, those that need not be."""
        here = [each for each in self.stored if each.rp_id == rp_id]
        ids = {each["id"] for each in named or ()}
        return [each for each in here if (each.id in ids if named else each.discoverable)]

    def _verified(self, options: Mapping[str, bool]) -> FLAG:
        if options.get("uv") and not self.verifies:
            raise CtapError(CtapError.ERR.INVALID_OPTION)
        return FLAG.UV if options.get("uv") else NO_FLAG

    def _data(self, of: Stored, flags: FLAG, attested: bytes = b"") -> AuthenticatorData:
        of_rp = hashlib.sha256(of.rp_id.encode()).digest()
        return AuthenticatorData.create(of_rp, flags | self.backup, of.counter, attested)


def new_pair(algorithm: int) -> tuple[CoseKey, Callable[[bytes], bytes]]:
    """A public key in COSE, and what signs for it."""
    if algorithm == EdDSA.ALGORITHM:
        edwards = ed25519.Ed25519PrivateKey.generate()
        return EdDSA.from_cryptography_key(edwards.public_key()), edwards.sign
    curve = ec.generate_private_key(ec.SECP256R1())
    return (
        ES256.from_cryptography_key(curve.public_key()),
        lambda what: curve.sign(what, ec.ECDSA(hashes.SHA256())),
    )
