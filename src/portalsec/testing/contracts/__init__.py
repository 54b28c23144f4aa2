"""Contracts: what a port promises, as tests that every store inherits. Yours too.

A contract is a class of pytest tests. Give it a ``store`` and it tells whether the store keeps the port's promises::

    from portalsec.testing.contracts import ThrottleStoreContract

    class TestMyThrottle(ThrottleStoreContract):
        @pytest.fixture
        def store(self):
            return MyThrottle(fresh_and_empty_backend())

What an inheritor provides:

* ``store`` (required): an empty store, fresh for every test. It is used from eight threads at once.
* ``failing_store``: the same class over a backend that cannot answer (a closed port, a folder in place of the
  file). Without it the test that every verb then raises `portalsec.errors.StoreError` is skipped, visibly.
* ``open_write``: a context manager, entered once a test, that holds an open write transaction on the
  application's own database, as the store's adapter defines it, and rolls it back on leaving. A store must
  neither wait for that transaction nor be rolled back with it. The default holds nothing, which is right for a
  store with no database of the application beside it.
* ``in_processes`` (`ThrottleStoreContract`): for a store that several processes share, something that pickles and
  opens the same store in another process, as a context manager. Without it the races of four processes are skipped,
  visibly.
* ``release``: a method, called at the end of every racing thread, for stores that keep a connection a thread.

``PORTALSEC_SOAK=1`` raises the number of rounds of every race.
"""

from portalsec.errors import MissingExtra

try:
    import pytest
except ModuleNotFoundError as error:
    raise MissingExtra("testing", package="pytest") from error

pytest.register_assert_rewrite(
    *(
        f"portalsec.testing.contracts.{name}"
        for name in (
            "base",
            "accounts",
            "assignments",
            "audit",
            "cells",
            "contacts",
            "devices",
            "flows",
            "incidents",
            "key_encryption",
            "notices",
            "passkeys",
            "password_history",
            "recovery_codes",
            "sessions",
            "subjects",
            "throttle",
            "totp",
        )
    )
)

from portalsec.testing.contracts.accounts import AccountStoreContract  # noqa: E402 - after the rewrite is set
from portalsec.testing.contracts.assignments import AssignmentStoreContract  # noqa: E402
from portalsec.testing.contracts.audit import AuditStoreContract  # noqa: E402
from portalsec.testing.contracts.base import StoreContract  # noqa: E402
from portalsec.testing.contracts.cells import CellSourceContract, CellTable  # noqa: E402
from portalsec.testing.contracts.contacts import ContactStoreContract  # noqa: E402
from portalsec.testing.contracts.devices import DeviceStoreContract  # noqa: E402
from portalsec.testing.contracts.flows import FlowStoreContract  # noqa: E402
from portalsec.testing.contracts.incidents import IncidentStoreContract  # noqa: E402
from portalsec.testing.contracts.key_encryption import KeyEncryptionContract  # noqa: E402
from portalsec.testing.contracts.notices import NoticeStoreContract  # noqa: E402
from portalsec.testing.contracts.passkeys import PasskeyStoreContract  # noqa: E402
from portalsec.testing.contracts.password_history import PasswordHistoryStoreContract  # noqa: E402
from portalsec.testing.contracts.recovery_codes import RecoveryCodeStoreContract  # noqa: E402
from portalsec.testing.contracts.sessions import SessionStoreContract  # noqa: E402
from portalsec.testing.contracts.subjects import SubjectKeyStoreContract  # noqa: E402
from portalsec.testing.contracts.throttle import ThrottleStoreContract  # noqa: E402
from portalsec.testing.contracts.totp import TotpStoreContract  # noqa: E402

__all__ = [
    "AccountStoreContract",
    "AssignmentStoreContract",
    "AuditStoreContract",
    "CellSourceContract",
    "CellTable",
    "ContactStoreContract",
    "DeviceStoreContract",
    "FlowStoreContract",
    "IncidentStoreContract",
    "KeyEncryptionContract",
    "NoticeStoreContract",
    "PasskeyStoreContract",
    "PasswordHistoryStoreContract",
    "RecoveryCodeStoreContract",
    "SessionStoreContract",
    "StoreContract",
    "SubjectKeyStoreContract",
    "ThrottleStoreContract",
    "TotpStoreContract",
]
