"""What the `webauthn` package says about a registration that passed every step of ours.

It gets the response with the attestation statement taken out ("none"), since statements and their certificate chains are
`portalsec.auth.passkeys.attestation`'s: where it is given no roots, the package takes a chain without a word. It is imported
here, by the first registration of a process: that takes 270 ms and 25 MiB.
"""

from __future__ import annotations

from portalsec._encoding import b64url, unb64url
from portalsec.auth.passkeys.authenticator_data import AuthenticatorData
from portalsec.auth.passkeys.messages import RegistrationMessage
from portalsec.auth.passkeys.registration import ExpectedRegistration

__all__ = ["WebauthnPackage"]

# {"fmt": "none", "attStmt": {}, "authData": a byte string whose length is told in four bytes
_BARE = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x5a"


class WebauthnPackage:
    """Asks it. Safe for concurrent use.

    Args:
        rp_id: of the portal.
        origins: that may stand in a response.
    """

    def __init__(self, *, rp_id: str, origins: frozenset[str]) -> None:
        self._rp_id = rp_id
        self._origins = sorted(origins)

    def __call__(
        self, message: RegistrationMessage, data: AuthenticatorData, expected: ExpectedRegistration
    ) -> bool:
        """Whether the package takes it, and reads the same credential."""
        from webauthn import verify_registration_response
        from webauthn.helpers.cose import COSEAlgorithmIdentifier

        known = {each.value for each in COSEAlgorithmIdentifier}
        text = b64url(message.credential_id)
        try:
            verified = verify_registration_response(
                credential={
                    "id": text,
                    "rawId": text,
                    "type": "public-key",
                    "response": {
                        "clientDataJSON": b64url(message.client_data),
                        "attestationObject": b64url(_BARE + len(data.raw).to_bytes(4, "big") + data.raw),
                    },
                },
                expected_challenge=unb64url(expected.challenge),
                expected_rp_id=self._rp_id,
                expected_origin=self._origins,
                require_user_presence=expected.user_present,
                require_user_verification=expected.user_verified,
                # It compares numbers; those that it has no name for are not its to verify signatures with, and it does not.
                supported_pub_key_algs=[
                    COSEAlgorithmIdentifier(number) if number in known else number  # type: ignore[misc]
                    for number in expected.algorithms
                ],
            )
        except Exception:  # noqa: BLE001 - its parsers raise what they like; any of it is a no
            return False
        credential = data.credential
        return credential is not None and verified.credential_id == credential.credential_id
