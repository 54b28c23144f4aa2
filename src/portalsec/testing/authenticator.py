"""`SoftAuthenticator`: a passkey authenticator and its browser in software, honest or hostile.

An application's test calls it where a page would call ``navigator.credentials``:

    authenticator = SoftAuthenticator()
    response = authenticator.create(options, origin="https://portal.example")  # the JSON that the page would post
    response = authenticator.get(options, origin="https://portal.example")

It is no judge of what it is asked: a page on the wrong origin, a missing user verification or a foreign RP id goes through,
because a relying party has to refuse it by itself. Everything about a response can be set through `Hostile`. Keys are in
memory and nobody's.
"""

from __future__ import annotations

import copy
import difflib
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, Unpack
from uuid import UUID

from portalsec._encoding import b64url, unb64url
from portalsec.testing.cbor import encode
from portalsec.testing.softkeys import ALGORITHMS, SoftKey, new_key

if TYPE_CHECKING:
    from portalsec.auth.passkeys.options import PasskeyOptions

__all__ = ["AuthenticatorRefused", "Hostile", "SoftAuthenticator", "SoftCredential"]

_UP, _UV, _BE, _BS, _AT, _ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
SOFT_AAGUID = "5cbd2f7a-6d1e-4f0c-9e51-0b0f2d9c7e11"


class AuthenticatorRefused(Exception):
    """What a browser says with a DOMException: it has this credential already, or none that is asked for."""


class Hostile(TypedDict, total=False):
    """What a response can have other than an honest one. The last six get what was built and give what is sent.

    Attributes:
        challenge: bytes, or text as it stands in the client data.
        type: of the client data.
        rp_id: whose hash the authenticator data begin with.
        user_present, user_verified, backup_eligible, backed_up: flags.
        flags: all of them as one number.
        sign_count: the counter, which the credential does not keep.
        algorithm: of the new key, though it was not offered.
        credential_id: of the new credential (`create`), or which of the own ones answers (`get`).
        user_handle: other bytes, or None for none (`get`).
        extensions: authenticator extension outputs.
        force: do what a browser would refuse: register an excluded credential, use one that is not allowed.
        key: another COSE key in the attested data than the one that signs (`create`).
        client_data: its members -> members, or the bytes of clientDataJSON.
        authenticator_data: the bytes; before they are signed.
        signature: the signature (`get`).
        statement: the attestation statement (`create`).
        attestation_object: its members -> members, or its bytes (`create`).
        response: the whole response as it is sent, a mapping -> a mapping, or text.
    """

    challenge: bytes | str
    type: str
    rp_id: str
    user_present: bool
    user_verified: bool
    backup_eligible: bool
    backed_up: bool
    flags: int
    sign_count: int
    algorithm: int
    credential_id: bytes
    user_handle: bytes | None
    extensions: Mapping[str, object]
    force: bool
    key: bytes
    client_data: Callable[[dict[str, Any]], dict[str, Any] | bytes]
    authenticator_data: Callable[[bytes], bytes]
    signature: Callable[[bytes], bytes]
    statement: Callable[[dict[str, Any]], object]
    attestation_object: Callable[[dict[str, Any]], dict[str, Any] | bytes]
    response: Callable[[dict[str, Any]], dict[str, Any] | str]


@dataclass(slots=True)
class SoftCredential:
    """One credential of an authenticator; change it as the test goes.

    Attributes:
        id: its credential id.
        rp_id: whose it is.
        user_handle, user_name: of the account that it was made for.
        key: the pair.
        sign_count: the newest that was sent.
        discoverable: whether it answers a request without a list.
    """

    id: bytes
    rp_id: str
    user_handle: bytes
    user_name: str
    key: SoftKey = field(repr=False)
    sign_count: int = 0
    discoverable: bool = True


@dataclass(frozen=True, slots=True)
class ToAttest:
    """What an attestation statement is about.

    Attributes:
        authenticator_data: with the attested credential.
        client_data_hash: SHA-256 of clientDataJSON.
        credential: the new one.
        rp_id_hash: as in the authenticator data.
        aaguid: 16 bytes.
    """

    authenticator_data: bytes
    client_data_hash: bytes
    credential: SoftCredential
    rp_id_hash: bytes
    aaguid: bytes

    @property
    def signed(self) -> bytes:
        """What most formats sign."""
        return self.authenticator_data + self.client_data_hash


class Attestation(Protocol):
    """Makes statements of one format; `portalsec.testing.attestation` has those with certificates."""

    @property
    def format(self) -> str: ...

    def statement(self, about: ToAttest) -> dict[str, Any]: ...


class SoftAuthenticator:
    """One authenticator with its credentials. Not for several threads at once.

    Args:
        aaguid: its make.
        algorithms: COSE numbers that it has; the first that the options name is taken.
        user_verification: whether it verifies its user (a PIN, a finger); without, UV stays unset whatever was asked.
        backup_eligible, backed_up: BE and BS: a synced passkey has both.
        counter: whether it counts signatures; synced passkeys do not, their counter stays 0.
        discoverable: whether it stores credentials, where the options do not discourage it.
        attestation: "none", "packed-self", or a maker of statements (`portalsec.testing.attestation`). Where the options do
            not ask for attestation it sends "none", as browsers do.
        transports: as the browser names them.
        attachment: "platform" or "cross-platform".
    """

    def __init__(
        self,
        *,
        aaguid: str = SOFT_AAGUID,
        algorithms: tuple[int, ...] = tuple(ALGORITHMS),
        user_verification: bool = True,
        backup_eligible: bool = False,
        backed_up: bool = False,
        counter: bool = True,
        discoverable: bool = True,
        attestation: str | Attestation = "none",
        transports: tuple[str, ...] = ("internal",),
        attachment: str = "platform",
    ) -> None:
        if isinstance(attestation, str) and attestation not in ("none", "packed-self"):
            raise ValueError(
                'attestation is "none", "packed-self" or a maker of portalsec.testing.attestation'
            )
        unknown = [each for each in algorithms if each not in ALGORITHMS]
        if unknown or not algorithms:
            raise ValueError(f"algorithms are some of {', '.join(map(str, ALGORITHMS))}, not {unknown}")
        self.aaguid = UUID(aaguid)
        self.algorithms = algorithms
        self.user_verification = user_verification
        self.backup_eligible = backup_eligible
        self.backed_up = backed_up
        self.counter = counter
        self.discoverable = discoverable
        self.attestation = attestation
        self.transports = transports
        self.attachment = attachment
        self.credentials: list[SoftCredential] = []

    def clone(self) -> SoftAuthenticator:
        """A copy with the same keys whose counters go on from here by themselves: what a thief has."""
        twin = copy.copy(self)
        twin.credentials = [copy.copy(each) for each in self.credentials]
        return twin

    def create(
        self,
        options: str | Mapping[str, Any] | PasskeyOptions,
        *,
        origin: str,
        top_origin: str | None = None,
        cross_origin: bool = False,
        **hostile: Unpack[Hostile],
    ) -> str:
        """What ``navigator.credentials.create`` gives, as its ``toJSON`` (WebAuthn Level 3 section 5.1.8).

        Args:
            options: the creation options, as the portal made them, as JSON or parsed, with or without ``publicKey`` around.
            origin: of the page.
            top_origin: of the page that frames it, if one does.
            cross_origin: whether the page is framed by another origin.

        Raises:
            AuthenticatorRefused: it has an excluded credential, or none of the algorithms.
            TypeError: there is no such way of being hostile.
        """
        _ways(hostile)
        asked = _options(options)
        rp_id = asked.get("rp", {}).get("id") or origin.partition("://")[2].partition(":")[0]
        excluded = {unb64url(each["id"]) for each in asked.get("excludeCredentials") or ()}
        if excluded & {each.id for each in self.credentials} and not hostile.get("force"):
            raise AuthenticatorRefused("InvalidStateError: an excluded credential is on this authenticator")
        offered = [each["alg"] for each in asked.get("pubKeyCredParams", ())]
        algorithm = hostile.get(
            "algorithm", next((each for each in offered if each in self.algorithms), None)
        )
        if algorithm is None:
            raise AuthenticatorRefused("NotSupportedError: none of the algorithms")
        resident = _resident(asked.get("authenticatorSelection") or {})
        user = asked.get("user", {})
        credential = SoftCredential(
            id=hostile.get("credential_id", secrets.token_bytes(32)),
            rp_id=rp_id,
            user_handle=unb64url(user.get("id", "")),
            user_name=user.get("name", ""),
            key=new_key(algorithm),
            discoverable=self.discoverable and resident != "discouraged",
        )
        self.credentials.append(credential)
        client_data = _client_data(
            "webauthn.create",
            asked,
            origin=origin,
            top_origin=top_origin,
            cross_origin=cross_origin,
            hostile=hostile,
        )
        cose = hostile.get("key", encode(credential.key.cose))
        attested = self.aaguid.bytes + len(credential.id).to_bytes(2, "big") + credential.id + cose
        data = self._authenticator_data(credential, hostile, attested)
        maker = self.attestation if (asked.get("attestation") or "none") != "none" else "none"
        about = ToAttest(data, hashlib.sha256(client_data).digest(), credential, data[:32], self.aaguid.bytes)
        form, statement = _statement(maker, about)
        built: dict[str, Any] = {
            "fmt": form,
            "attStmt": hostile.get("statement", _as_it_is)(statement),
            "authData": data,
        }
        whole = hostile.get("attestation_object", _as_it_is)(built)
        return self._send(
            credential,
            {
                "clientDataJSON": b64url(client_data),
                "attestationObject": b64url(whole if isinstance(whole, bytes) else encode(whole)),
                "authenticatorData": b64url(data),
                "transports": list(self.transports),
                "publicKey": b64url(credential.key.spki),
                "publicKeyAlgorithm": algorithm,
            },
            {"credProps": {"rk": credential.discoverable}},
            hostile,
        )

    def get(
        self,
        options: str | Mapping[str, Any] | PasskeyOptions,
        *,
        origin: str,
        top_origin: str | None = None,
        cross_origin: bool = False,
        **hostile: Unpack[Hostile],
    ) -> str:
        """What ``navigator.credentials.get`` gives, as its ``toJSON``; arguments as of `create`.

        Raises:
            AuthenticatorRefused: it has none of the allowed credentials, or none that is discoverable.
            TypeError: there is no such way of being hostile.
        """
        _ways(hostile)
        asked = _options(options)
        rp_id = asked.get("rpId") or origin.partition("://")[2].partition(":")[0]
        credential = self._choose(asked, rp_id, hostile)
        if self.counter:
            credential.sign_count += 1
        client_data = _client_data(
            "webauthn.get",
            asked,
            origin=origin,
            top_origin=top_origin,
            cross_origin=cross_origin,
            hostile=hostile,
        )
        data = self._authenticator_data(credential, hostile)
        signature = credential.key.sign(data + hashlib.sha256(client_data).digest())
        handle = hostile.get("user_handle", credential.user_handle if credential.discoverable else None)
        return self._send(
            credential,
            {
                "clientDataJSON": b64url(client_data),
                "authenticatorData": b64url(data),
                "signature": b64url(hostile.get("signature", _as_it_is)(signature)),
                "userHandle": None if handle is None else b64url(handle),
            },
            {},
            hostile,
        )

    def _choose(self, asked: Mapping[str, Any], rp_id: str, hostile: Hostile) -> SoftCredential:
        wanted = hostile.get("credential_id")
        allowed = {unb64url(each["id"]) for each in asked.get("allowCredentials") or ()}
        for each in reversed(self.credentials):
            if wanted is not None and each.id != wanted:
                continue
            listed = each.id in allowed if allowed else each.discoverable
            if hostile.get("force") or (each.rp_id == rp_id and listed):
                return each
        raise AuthenticatorRefused("NotAllowedError: no credential for this request")

    def _authenticator_data(
        self, credential: SoftCredential, hostile: Hostile, attested: bytes | None = None
    ) -> bytes:
        """WebAuthn Level 3 section 6.1."""
        extensions = hostile.get("extensions")
        flags = (
            _UP * hostile.get("user_present", True)
            | _UV * hostile.get("user_verified", self.user_verification)
            | _BE * hostile.get("backup_eligible", self.backup_eligible)
            | _BS * hostile.get("backed_up", self.backed_up)
            | _AT * (attested is not None)
            | _ED * (extensions is not None)
        )
        data = (
            hashlib.sha256(hostile.get("rp_id", credential.rp_id).encode()).digest()
            + bytes([hostile.get("flags", flags)])
            + hostile.get("sign_count", credential.sign_count).to_bytes(4, "big")
            + (attested or b"")
            + (b"" if extensions is None else encode(dict(extensions)))
        )
        return hostile.get("authenticator_data", _as_it_is)(data)

    def _send(
        self, credential: SoftCredential, response: dict[str, Any], results: dict[str, Any], hostile: Hostile
    ) -> str:
        built: dict[str, Any] = {
            "id": b64url(credential.id),
            "rawId": b64url(credential.id),
            "type": "public-key",
            "authenticatorAttachment": self.attachment,
            "clientExtensionResults": results,
            "response": response,
        }
        whole = hostile.get("response", _as_it_is)(built)
        return whole if isinstance(whole, str) else json.dumps(whole)


def _ways(hostile: Hostile) -> None:
    """A misspelt one would leave the response honest, and the test green."""
    for name in hostile:
        if name not in Hostile.__annotations__:
            near = difflib.get_close_matches(name, Hostile.__annotations__, 1)
            meant = (
                f": did you mean {near[0]}?" if near else f"; there are {', '.join(Hostile.__annotations__)}"
            )
            raise TypeError(f"SoftAuthenticator has no hostile way {name!r}{meant}")


def _options(options: str | Mapping[str, Any] | PasskeyOptions) -> dict[str, Any]:
    text = options if isinstance(options, str | Mapping) else options.json
    parsed = json.loads(text) if isinstance(text, str) else text
    return dict(parsed.get("publicKey", parsed))


def _resident(selection: Mapping[str, Any]) -> str:
    """What is asked for; options of Level 1 have ``requireResidentKey`` alone (section 5.4.4)."""
    return selection.get("residentKey") or (
        "required" if selection.get("requireResidentKey") else "discouraged"
    )


def _client_data(
    kind: str,
    asked: Mapping[str, Any],
    *,
    origin: str,
    top_origin: str | None,
    cross_origin: bool,
    hostile: Hostile,
) -> bytes:
    """In the order and spelling of WebAuthn Level 3 section 5.8.1.1."""
    challenge = hostile.get("challenge", asked["challenge"])
    members: dict[str, Any] = {
        "type": hostile.get("type", kind),
        "challenge": b64url(challenge) if isinstance(challenge, bytes) else challenge,
        "origin": origin,
        "crossOrigin": cross_origin,
    }
    if top_origin is not None:
        members["topOrigin"] = top_origin
    changed = hostile.get("client_data", _as_it_is)(members)
    return (
        changed
        if isinstance(changed, bytes)
        else json.dumps(changed, separators=(",", ":"), ensure_ascii=False).encode()
    )


def _statement(maker: str | Attestation, about: ToAttest) -> tuple[str, dict[str, Any]]:
    if maker == "none":
        return "none", {}
    if isinstance(maker, str):
        key = about.credential.key
        return "packed", {"alg": key.algorithm, "sig": key.sign(about.signed)}
    return maker.format, maker.statement(about)


def _as_it_is(value: Any) -> Any:
    return value
