"""What a browser sends (WebAuthn Level 3 section 5.1, "toJSON"), bounded and read in one way only.

JSON: at most 64 KiB, 32 levels, UTF-8, no member twice, no NaN. Base64url: canonical, without padding. So no two readers,
the webauthn package among them, can see two different messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from portalsec._encoding import unb64url
from portalsec.auth._strict_json import Malformed, strict_json
from portalsec.auth.passkeys.checks import Check, Refusal

__all__ = [
    "AssertionMessage",
    "ClientData",
    "RegistrationMessage",
    "read_assertion",
    "read_client_data",
    "read_registration",
]

MAX_MESSAGE: Final = (
    64 * 1024
)  # characters; an ML-DSA-87 attestation with its certificates takes about 40,000
_MAX_CLIENT_DATA: Final = 8 * 1024  # bytes
_MAX_CHALLENGE_CHARACTERS: Final = 1024
_MAX_CREDENTIAL_ID: Final = 1023  # section 7.1
_MAX_USER_HANDLE: Final = 64  # section 5.4.3
_MAX_TRANSPORTS: Final = 8
_TRANSPORT = re.compile(r"[a-z][a-z0-9-]{0,31}\Z", re.ASCII)
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """The collected client data that the signature covers (section 5.8.1).

    Attributes:
        type: "webauthn.create" or "webauthn.get"; as sent.
        challenge: base64url text, as sent.
        origin: of the page, as the browser serialised it.
        cross_origin: whether the page was in a frame of another origin.
        top_origin: the origin of the page around it, or None where it is not told.
    """

    type: str
    challenge: str
    origin: str
    cross_origin: bool
    top_origin: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationMessage:
    """What ``navigator.credentials.create()`` gave.

    Attributes:
        credential_id: the outer ``rawId``, unsigned.
        client_data: bytes of clientDataJSON.
        attestation_object: its bytes.
        transports: as the browser named them, at most 8.
        discoverable: extension output ``credProps.rk``, or None.
    """

    credential_id: bytes = field(repr=False)
    client_data: bytes = field(repr=False)
    attestation_object: bytes = field(repr=False)
    transports: tuple[str, ...]
    discoverable: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionMessage:
    """What ``navigator.credentials.get()`` gave.

    Attributes:
        user_handle: or None where the authenticator gave none.
    """

    credential_id: bytes = field(repr=False)
    client_data: bytes = field(repr=False)
    authenticator_data: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    user_handle: bytes | None = field(repr=False)


def read_registration(response: object) -> RegistrationMessage:
    """The message of a registration, from JSON text, its bytes, or what a framework made of it.

    Raises:
        Refusal: R-shape; R-cid where the credential's id is empty, too long, or not the same in ``id`` and ``rawId``.
    """
    message, malformed = None, False
    try:
        outer, inner = _outer(response)
        credential_id = _credential_id(outer)
        message = (
            None
            if credential_id is None
            else RegistrationMessage(
                credential_id=credential_id,
                client_data=_octets(inner, "clientDataJSON"),
                attestation_object=_octets(inner, "attestationObject"),
                transports=_transports(inner.get("transports")),
                discoverable=_discoverable(outer.get("clientExtensionResults")),
            )
        )
    except Malformed:
        malformed = True
    if message is None:
        raise Refusal(Check.R_SHAPE if malformed else Check.R_CID)
    return message


def read_assertion(response: object) -> AssertionMessage:
    """The message of a sign-in, likewise.

    Raises:
        Refusal: A-shape.
    """
    message = None
    try:
        outer, inner = _outer(response)
        credential_id = _credential_id(outer)
        handle = inner.get("userHandle")
        user_handle = None if handle is None else _octets(inner, "userHandle")
        if credential_id is not None and len(user_handle or b"") <= _MAX_USER_HANDLE:
            message = AssertionMessage(
                credential_id=credential_id,
                client_data=_octets(inner, "clientDataJSON"),
                authenticator_data=_octets(inner, "authenticatorData"),
                signature=_octets(inner, "signature"),
                user_handle=user_handle,
            )
    except Malformed:
        pass
    if message is None:
        raise Refusal(Check.A_SHAPE)
    return message


def read_client_data(raw: bytes, refused: Check, framed: Check, top: Check) -> ClientData:
    """The client data of ``raw``: UTF-8, perhaps with a byte order mark, which "UTF-8 decode" strips (section 7.1).

    Raises:
        Refusal: ``refused``; ``framed`` or ``top`` where crossOrigin or topOrigin is of another type.
    """
    members: object = None
    try:
        if len(raw) <= _MAX_CLIENT_DATA:
            members = strict_json(raw.removeprefix(_BOM))
    except Malformed:
        pass
    if not isinstance(members, dict):
        raise Refusal(refused)
    kind, challenge, origin = members.get("type"), members.get("challenge"), members.get("origin")
    if not (isinstance(kind, str) and isinstance(challenge, str) and isinstance(origin, str)):
        raise Refusal(refused)
    if len(challenge) > _MAX_CHALLENGE_CHARACTERS or not _binding(members.get("tokenBinding")):
        raise Refusal(refused)
    cross_origin, top_origin = members.get("crossOrigin", False), members.get("topOrigin")
    if not isinstance(cross_origin, bool):
        raise Refusal(framed)
    if not isinstance(top_origin, str) and "topOrigin" in members:
        raise Refusal(top)
    return ClientData(
        type=kind, challenge=challenge, origin=origin, cross_origin=cross_origin, top_origin=top_origin
    )


# -- parts of the above -----------------------------------------------------------------------------------------


def _outer(response: object) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    if isinstance(response, str | bytes):
        if len(response) > MAX_MESSAGE:
            raise Malformed
        response = strict_json(response)
    if not isinstance(response, Mapping) or response.get("type") != "public-key":
        raise Malformed
    inner = response.get("response")
    if not isinstance(inner, Mapping):
        raise Malformed
    return response, inner


def _credential_id(outer: Mapping[str, Any]) -> bytes | None:
    """``rawId``, or None where it is not what ``id`` says or has no length that an id can have."""
    raw = _octets(outer, "rawId")
    if not isinstance(outer.get("id"), str):
        raise Malformed
    # Compared as text: `rawId` was canonical.
    return raw if outer["id"] == outer["rawId"] and 0 < len(raw) <= _MAX_CREDENTIAL_ID else None


def _octets(members: Mapping[str, Any], name: str) -> bytes:
    value = members.get(name)
    if not isinstance(value, str) or len(value) > MAX_MESSAGE:
        raise Malformed
    try:
        return unb64url(value)
    except ValueError:
        pass
    raise Malformed


def _transports(value: object) -> tuple[str, ...]:
    """Unknown ones are kept (section 5.2.1.1), as they come back to the browser; what is no name of one is not."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Malformed
    names = [each for each in value[:64] if isinstance(each, str) and _TRANSPORT.match(each)]
    return tuple(dict.fromkeys(names))[:_MAX_TRANSPORTS]


def _discoverable(extensions: object) -> bool | None:
    properties = extensions.get("credProps") if isinstance(extensions, Mapping) else None
    resident = properties.get("rk") if isinstance(properties, Mapping) else None
    return resident if isinstance(resident, bool) else None


def _binding(value: object) -> bool:
    """Token binding is gone from the standard; where an old browser names a status, it is one that Level 2 had."""
    return not isinstance(value, dict) or value.get("status") in ("supported", "present")
