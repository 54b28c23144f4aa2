"""The policy's relations, answered from the clinic's data, anew each time: who left a care team is out at once."""

from __future__ import annotations

from portalsec.rbac.model import Resource, Subject


class ClinicRelations:
    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        # The portal is built while Django loads, before models may be imported.
        from clinic.models import CareTeam, Guardian
        from portalsec.django.models import AccountLink

        if resource.id is None:
            return False
        if relation == "self":
            return AccountLink.objects.filter(account_id=subject.id, reference=resource.id).exists()
        stands = {"care_team": CareTeam, "guardian": Guardian}.get(relation)
        if stands is None:
            raise LookupError(f"the policy asks for a relation that the clinic does not know: {relation}")
        return stands.objects.filter(
            patient_id=resource.id, user__portalsec_account__account_id=subject.id
        ).exists()
