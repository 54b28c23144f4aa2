"""Level 3 takes a passkey whose make was proven at registration: whether a portal can have one, and what to say where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalsec.errors import ConfigurationError

if (
    TYPE_CHECKING
):  # certificates take 50 ms to import; and who acts in another's name steps up, which reads HOW
    from portalsec.auth.impersonation import ImpersonationPolicy
    from portalsec.auth.passkeys import PasskeyPolicy
    from portalsec.auth.signin_policy import SignInPolicy

__all__ = ["HOW", "proves_makes", "require_reachable"]

HOW = (
    "level 3 takes a passkey whose make was proven, and this portal proves none: give makers' certificates or FIDO's metadata "
    "([passkeys] roots or metadata; PasskeyPolicy.attestation), or ask for level 2 with phishing_resistant"
)


def proves_makes(policy: PasskeyPolicy | None) -> bool:
    """Whether a registration can prove a make; ``policy`` is None in a portal without passkeys."""
    return policy is not None and policy.attestation is not None and policy.attestation.conveyance != "none"


def require_reachable(
    sign_in: SignInPolicy, impersonation: ImpersonationPolicy, passkeys: PasskeyPolicy | None
) -> None:
    """Whoever is asked for level 3 where there can be none would be led to set passkeys up for ever, and never get in.

    Raises:
        ConfigurationError: a rule asks for it, or acting in an owner's name does.
    """
    if proves_makes(passkeys):
        return
    if any(rule.demand.level == 3 for rule in sign_in.rules):
        raise ConfigurationError(f"[sign_in] rules: {HOW}")
    if impersonation.min_level == 3:
        raise ConfigurationError(f"ImpersonationPolicy: min_level: {HOW}")
