"""``[sign_in]`` and ``[passkeys]``: what the door asks, and which passkeys it takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from portalsec.auth.demands import Demand, DemandRule
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.proof import Factor
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.trust import TrustPolicy
from portalsec.config.said import made
from portalsec.config.settings import KEYS, Settings
from portalsec.errors import ConfigurationError

if TYPE_CHECKING:  # certificates take 50 ms to import, and only portals that name some need them
    from portalsec.auth.passkeys.attestation import AttestationPolicy

__all__ = ["passkey_policy", "sent_code_policy", "sign_in_policy", "trust_policy"]

_SENT = frozenset({Factor.EMAIL_CODE, Factor.SMS_CODE})
_LARGEST_CERTIFICATES = 1024 * 1024


def sign_in_policy(settings: Settings) -> SignInPolicy:
    """What a session asks for, of everyone and of some."""
    names = (
        "second_factor",
        "phishing_resistant",
        "mail_link",
        "enrol_by",
        "pending_lifetime",
        "pending_attempts",
    )
    chosen = {name: settings["sign_in", name] for name in names}
    if settings["sign_in", "factors"] is not None:
        chosen["factors"] = settings["sign_in", "factors"]

    def make() -> SignInPolicy:
        rules = tuple(_rule(each) for each in settings["sign_in", "rules"])
        return SignInPolicy(rules=rules, **chosen)

    return made(settings, "sign_in", make, Demand="rules", DemandRule="rules")


def _rule(given: Mapping[str, Any]) -> DemandRule:
    asked = {"level", "second_factor", "phishing_resistant", "factors", "allowed"} & given.keys()
    if not asked:
        raise ConfigurationError(
            "rules: one of them asks nothing: write level, second_factor, phishing_resistant, factors or allowed"
        )
    return DemandRule(
        demand=Demand(
            level=given.get("level", 1),
            second=given.get("second_factor", False),
            phishing_resistant=given.get("phishing_resistant", False),
            factors=(given["factors"],) if "factors" in given else (),
            allowed=given.get("allowed"),
        ),
        risk=given.get("risk", 0),
        device=given.get("device"),
        since=given.get("since"),
        **{name: frozenset(given.get(name, ())) for name in ("roles", "permissions", "tenants", "labels")},
    )


def sent_code_policy(settings: Settings) -> OutOfBandPolicy:
    """Which codes are sent: those that ``[sign_in] factors`` lists."""
    return OutOfBandPolicy(factors=_SENT & (settings["sign_in", "factors"] or frozenset()))


def trust_policy(settings: Settings) -> TrustPolicy:
    """Whether browsers can be trusted: where a time for it is set."""
    lifetime = settings["sign_in", "trust_browsers"]
    if lifetime is None:
        return TrustPolicy()
    return made(
        settings,
        "sign_in",
        lambda: TrustPolicy(enabled=True, lifetime=lifetime),
        lifetime="trust_browsers",
    )


def passkey_policy(settings: Settings, *, now: datetime) -> PasskeyPolicy | None:
    """None where nothing is said about them: a portal at an address that can have no passkeys starts too.

    Args:
        now: as of which FIDO's metadata must be signed.
    """
    said = {
        name: value
        for name, key in KEYS["passkeys"].items()
        if (value := settings["passkeys", name]) != key.default
    }
    if not said:
        return None
    page = settings["portal", "base_url"]
    chosen = {
        "rp_id": urlsplit(page).hostname,
        "origins": (page,),
        "rp_name": settings["portal", "name"],
    }
    proof = {"attestation", "makes", "roots", "metadata", "metadata_root"} & said.keys()
    chosen |= {name: value for name, value in said.items() if name not in proof}

    def make() -> PasskeyPolicy:
        return PasskeyPolicy(**chosen, attestation=_attestation(settings, now) if proof else None)

    fields = {"aaguids": "makes", "roots": "roots", "metadata": "metadata", "required": "attestation"}
    return made(settings, "passkeys", make, **{f"attestation.{field}": key for field, key in fields.items()})


def _attestation(settings: Settings, now: datetime) -> AttestationPolicy:
    from portalsec.auth.passkeys.attestation import AttestationPolicy
    from portalsec.auth.passkeys.metadata import load_metadata

    blob, signed_under, makes = (settings["passkeys", key] for key in ("metadata", "metadata_root", "makes"))
    if (blob is None) != (signed_under is None):
        raise ConfigurationError("give metadata and metadata_root together")
    metadata = None
    if blob is not None:
        root = _certificates(settings, "metadata_root", signed_under)
        metadata = load_metadata(settings.base / blob, roots=(root,), now=now)
    return AttestationPolicy(
        required=settings["passkeys", "attestation"] == "required",
        roots=tuple(_certificates(settings, "roots", name) for name in settings["passkeys", "roots"]),
        metadata=metadata,
        aaguids=None if makes is None else frozenset(makes),
    )


def _certificates(settings: Settings, key: str, name: str) -> bytes:
    path = settings.base / name
    try:
        with path.open("rb") as file:
            found = file.read(_LARGEST_CERTIFICATES)
    except OSError as error:
        problem = f"{key}: {path} cannot be read ({error.strerror})"
    else:
        return found
    raise ConfigurationError(problem)
