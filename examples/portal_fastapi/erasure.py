"""Erasing a patient for good: the key is destroyed, and whatever does not need the key to tell something goes with it.

The order is chosen for what is true if the process dies in between:

1. The wish is noted in the patient's row ("begun"). Nothing is lost yet.
2. The person's key is destroyed (`SubjectKeys.shred`, which tells the audit log before and after). From here on no copy of
   the row opens, and there is no way back. Had the tags been cleared before this, a crash would leave a living
   patient whom the front desk cannot find.
3. Their accounts are disabled and signed out; a sign-up that is still open finds nobody.
4. The row is cleared, tags first of all: they are made with the portal's index key, and outlive the person's.

Each step may be done again. What a crash left at 2 or later is finished at the next start; what it left at 1 waits for
the officer, since nothing that cannot be undone happens without somebody's word.
"""

from __future__ import annotations

from portalsec.crypto import ShredReceipt
from portalsec.events import SYSTEM, Actor, Source
from portalsec.portal import Portal

from .clinic import Clinic
from .ties import Ties

__all__ = ["Erasure"]


class Erasure:
    """Erases patients. Safe to call again after any failure, from several threads at once too."""

    def __init__(self, portal: Portal, clinic: Clinic, ties: Ties) -> None:
        self._portal, self._clinic, self._ties = portal, clinic, ties

    def erase(self, patient_id: str, *, actor: Actor, source: Source) -> ShredReceipt:
        """Destroy the patient's key and shut out their accounts. The first call's receipt comes back from every call.

        Raises:
            AuditUnavailable, StoreError: something did not answer; call again.
        """
        self._clinic.begin_erasure(patient_id)
        receipt = self._portal.subjects.shred(patient_id, actor=actor, source=source)
        for account_id in self._ties.accounts_of(patient_id):
            self._portal.accounts.disable(account_id, actor=actor, source=source)
        self._clinic.clear(patient_id)
        return receipt

    def receipt(self, patient_id: str) -> ShredReceipt | None:
        """The receipt of a patient whose key is destroyed; None where it is not."""
        return self._portal.subjects.receipt(patient_id)

    def finish(self) -> int:
        """Finish what was interrupted after the key was gone; how many it was. For the start of the portal."""
        left = [each for each in self._clinic.unfinished_erasures() if self.receipt(each)]
        for patient_id in left:
            self.erase(patient_id, actor=SYSTEM, source=Source())
        return len(left)
