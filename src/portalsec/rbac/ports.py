"""What the decision point asks of the application: who has which role, and who stands in which relation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from portalsec.rbac.model import Resource, Subject

__all__ = ["AssignmentStore", "RelationSource"]


class AssignmentStore(Protocol):
    """Role assignments: data, not policy.

    Each verb is atomic, commits before it returns and is seen by every later `roles_of` on any worker.
    `portalsec.errors.StoreError` when the store cannot answer.
    """

    def roles_of(self, subject_id: str) -> frozenset[str]: ...

    def assign(self, subject_id: str, role: str) -> bool:
        """True for the one caller whose call added it."""
        ...

    def revoke(self, subject_id: str, role: str) -> bool:
        """True for the one caller whose call removed it."""
        ...


class RelationSource(Protocol):
    """Whether a subject stands in a named relation to a resource *now*; the application answers from its data.

    It is asked once for each relation that a decision needs and never cached across requests, so that a member
    removed from a care team loses access at once. An exception denies.
    """

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool: ...
