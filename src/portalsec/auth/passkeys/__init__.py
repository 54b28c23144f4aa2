"""Passkeys (W3C WebAuthn Level 3): registration, sign-in, and what a portal keeps of each.

The `webauthn` package is imported when a passkey is first registered, never by importing this; so are certificates, which
`portalsec.auth.passkeys.attestation` reads.
"""

from __future__ import annotations

from portalsec.auth.passkeys.checks import Check
from portalsec.auth.passkeys.options import PasskeyOptions, PasskeySignal
from portalsec.auth.passkeys.policy import PasskeyPolicy
from portalsec.auth.passkeys.service import Passkeys

__all__ = ["Check", "PasskeyOptions", "PasskeyPolicy", "PasskeySignal", "Passkeys"]
