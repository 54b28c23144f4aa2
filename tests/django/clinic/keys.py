"""The keys of the clinic; tests rotate them."""

from __future__ import annotations

from portalsec.clock import system_clock
from portalsec.crypto import Keyset
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.subjects import SubjectKeys
from portalsec.stores.memory import MemorySubjectKeys
from portalsec.testing import CapturedEvents

current = {
    "fields": Keyset.generate("XAES_256_GCM"),
    "index": Keyset.generate("HMAC_SHA256_PRF"),
    "subjects": Keyset.generate("XAES_256_GCM"),
}
ring = Keyring(lambda: dict(current))
subjects = SubjectKeys(MemorySubjectKeys(), keys=ring["subjects"], clock=system_clock, emit=CapturedEvents())
