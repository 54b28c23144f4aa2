"""portalsec: the security of a portal, proven by tests.

The dozen names that most portals need. Each loads its part when it is first used, so ``import portalsec`` is
light; everything else is imported from its own package (`portalsec.auth`, `portalsec.crypto`, `portalsec.audit`,
`portalsec.rbac`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from portalsec.errors import ConfigurationError, Denied, PortalsecError, Reason, StoreError, Tampered
from portalsec.events import Event, Purpose, SecurityEvent, Source

if TYPE_CHECKING:
    from portalsec.config import load_settings, open_portal
    from portalsec.crypto.fields import EncryptedField
    from portalsec.crypto.keyset import Keyset
    from portalsec.portal import Portal
    from portalsec.rbac.model import Resource

__all__ = [
    "ConfigurationError",
    "Denied",
    "EncryptedField",
    "Event",
    "Keyset",
    "Portal",
    "PortalsecError",
    "Purpose",
    "Reason",
    "Resource",
    "SecurityEvent",
    "Source",
    "StoreError",
    "Tampered",
    "load_settings",
    "open_portal",
]

_LAZY = {
    "EncryptedField": "portalsec.crypto.fields",
    "Keyset": "portalsec.crypto.keyset",
    "Portal": "portalsec.portal",
    "Resource": "portalsec.rbac.model",
    "load_settings": "portalsec.config",
    "open_portal": "portalsec.config",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
