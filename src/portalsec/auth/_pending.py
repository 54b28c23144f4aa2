"""What a flow's ``data`` holds, authenticated: a short-lived store (Redis, say) may keep it but not invent it.

Without the tag, whoever can write to that store could mark a password as proven or aim an invitation at another
person's record.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass, field

from portalsec._encoding import length_prefixed
from portalsec.auth.ports import Flow, Mac
from portalsec.auth.posture import DevicePosture, posture_of, posture_text
from portalsec.auth.proof import Proof
from portalsec.auth.proof_text import proofs_of, proofs_text
from portalsec.auth.throttle import Units
from portalsec.errors import Tampered

__all__ = ["Browser", "Pending", "is_password", "open_data", "password_digest", "seal_data"]

_TAG = 16
_FLOW = "flow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """What a sign-in of several steps remembers of its browser.

    Attributes:
        device: SHA-256, in hexadecimal, of the known device's secret that it showed, where that was this account's.
        family: what that device's secrets begin with, in hexadecimal: it opens nothing, and tells an old copy.
        shared: its user said that others use the computer: it does not become a known device.
        trust: its user asked to be spared the second factor here, where the policy leaves that open.
        notice: a notice of the right password that is due unless the sign-in is completed.
        folded: such notices of this account's sign-ins that this one took the place of in this browser.
        left: the same of sign-ins of whichever account (its id, the notice), while this one does not know whose it is.
        posture: what its app said of the device, the last time that it said anything.
        jkt: of an API client: thumbprint of the key that it proved at the first step.
    """

    device: str | None = None
    family: str | None = None
    shared: bool = False
    trust: bool = False
    notice: str | None = None
    folded: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()
    posture: DevicePosture | None = None
    jkt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A sign-in that is under way. It never holds a password or anything that tells it.

    Attributes:
        epoch: the account's session epoch before the first factor was looked at.
        proofs: what was shown, oldest first; none before a passkey that comes first.
        password: `password_digest` of the account's hash as it was then; "" before a passkey that comes first.
        device_id: the authenticator that this sign-in is enrolling, if any.
        begun: how many ceremonies (enrolments, passkeys) this step has begun.
        sent: how many codes it has sent.
        units: what it has taken of the throttle's budgets; they come back when it is complete.
        named: of a passkey that comes first, whose name was typed ("-": nobody's), or None without a name.
        short: the password is shorter than one that stands alone may be.
        browser: what is kept of the browser that began it.
    """

    epoch: int
    proofs: tuple[Proof, ...]
    password: str
    device_id: str | None = None
    begun: int = 0
    sent: int = 0
    units: Units = ()
    named: str | None = None
    short: bool = False
    browser: Browser = field(default_factory=Browser)

    def encode(self) -> bytes:
        """One line of JSON with its version."""
        browser = {**_members(self.browser), "posture": posture_text(self.browser.posture)}
        fields = {"v": 9, **_members(self), "proofs": proofs_text(self.proofs), "browser": browser}
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> Pending:
        """The inverse; `Tampered` for anything else."""
        made = None
        try:
            fields = json.loads(data)
            version = fields.pop("v")
            if version != 9:
                raise ValueError(version)
            units = tuple((str(unit), str(key), int(window)) for unit, key, window in fields.pop("units"))
            proofs = proofs_of(fields.pop("proofs"))
            kept = fields.pop("browser")
            folded = tuple(str(notice) for notice in kept.pop("folded"))
            left = tuple((str(whose), str(notice)) for whose, notice in kept.pop("left"))
            posture = posture_of(kept.pop("posture"))
            browser = Browser(**kept, folded=folded, left=left, posture=posture)
            bytes.fromhex((browser.device or "") + (browser.family or ""))
            made = cls(**fields, units=units, proofs=proofs, browser=browser)
        except (ValueError, TypeError, KeyError, AttributeError, Tampered):
            made = None
        if made is None:
            raise Tampered("a pending sign-in is damaged")
        return made


def _members(made: Browser | Pending) -> dict[str, object]:
    # As they are: `dataclasses.asdict` copies each, and whatever is in it.
    return {name: getattr(made, name) for name in made.__slots__}


def password_digest(mac: Mac, password_hash: str | None) -> str:
    """What tells whether an account's password is still the one that was proven, whoever changed it and where."""
    return mac("pending-password", _hash_bytes(password_hash))[:_TAG].hex()


def is_password(mac: Mac, digest: str, password_hash: str | None) -> bool:
    """Whether ``digest`` is `password_digest` of this hash, under any key that is read."""
    hashes = mac.all("pending-password", _hash_bytes(password_hash))
    return any(hmac.compare_digest(digest, each[:_TAG].hex()) for each in hashes)


def _hash_bytes(password_hash: str | None) -> bytes:
    return b"" if password_hash is None else b"+" + password_hash.encode("utf-8")


def seal_data(mac: Mac, payload: bytes, *, digest: bytes, purpose: str, account_id: str | None) -> bytes:
    """``payload`` under a tag that binds it to its flow."""
    return mac(_FLOW, _bound(payload, digest, purpose, account_id))[:_TAG] + payload


def open_data(mac: Mac, flow: Flow) -> bytes:
    """The payload of a flow; `Tampered` where the tag is not ours, under any key that is read."""
    tag, payload = flow.data[:_TAG], flow.data[_TAG:]
    bound = _bound(payload, flow.digest, flow.purpose, flow.account_id)
    if not any(hmac.compare_digest(tag, each[:_TAG]) for each in mac.all(_FLOW, bound)):
        raise Tampered("short-lived state was not written by this portal")
    return payload


def _bound(payload: bytes, digest: bytes, purpose: str, account_id: str | None) -> bytes:
    owner = b"" if account_id is None else b"+" + account_id.encode("utf-8")
    return length_prefixed(digest, purpose.encode("utf-8"), owner, payload)
