"""Every port in the memory of one process: for tests and for trying things out.

All of it is gone when the process ends, and two processes share nothing, so a portal with more than one worker
must not use it. Within a process every verb holds its store's lock, which makes it atomic.
"""

from portalsec.stores.memory.accounts import MemoryAccounts, MemoryPasswordHistory
from portalsec.stores.memory.assignments import MemoryAssignments
from portalsec.stores.memory.audit import MemoryAudit
from portalsec.stores.memory.contacts import MemoryContacts
from portalsec.stores.memory.devices import MemoryDevices
from portalsec.stores.memory.flows import MemoryFlows
from portalsec.stores.memory.notices import MemoryIncidents, MemoryNotices
from portalsec.stores.memory.passkeys import MemoryPasskeys
from portalsec.stores.memory.recovery_codes import MemoryRecoveryCodes
from portalsec.stores.memory.sessions import MemorySessions
from portalsec.stores.memory.subject_keys import MemorySubjectKeys
from portalsec.stores.memory.throttle import MemoryThrottle
from portalsec.stores.memory.totp import MemoryTotp

__all__ = [
    "MemoryAccounts",
    "MemoryAssignments",
    "MemoryAudit",
    "MemoryContacts",
    "MemoryDevices",
    "MemoryFlows",
    "MemoryIncidents",
    "MemoryNotices",
    "MemoryPasskeys",
    "MemoryPasswordHistory",
    "MemoryRecoveryCodes",
    "MemorySessions",
    "MemorySubjectKeys",
    "MemoryThrottle",
    "MemoryTotp",
]
