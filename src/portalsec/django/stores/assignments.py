"""Role assignments over the ORM."""

from __future__ import annotations

from portalsec.django.models import RoleAssignment
from portalsec.django.stores._connection import Conflict, own_transaction, reading

__all__ = ["DjangoAssignments"]


class DjangoAssignments:
    """`portalsec.rbac.ports.AssignmentStore`, durable. ``using`` is a database alias."""

    def __init__(self, using: str) -> None:
        self._using = using

    def roles_of(self, subject_id: str) -> frozenset[str]:
        with reading(self._using):
            return frozenset(
                RoleAssignment.objects.using(self._using)
                .filter(subject_id=subject_id)
                .values_list("role", flat=True)
            )

    def assign(self, subject_id: str, role: str) -> bool:
        try:
            with own_transaction(self._using):
                RoleAssignment.objects.using(self._using).create(subject_id=subject_id, role=role)
        except Conflict:
            return False
        return True

    def revoke(self, subject_id: str, role: str) -> bool:
        with own_transaction(self._using):
            rows = RoleAssignment.objects.using(self._using).filter(subject_id=subject_id, role=role)
            return rows.delete()[0] == 1
