"""Who an account is in the clinic's own data, and how the two stand to a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from portalsec.auth.ports import AccountStore
from portalsec.rbac.model import Resource, Subject

from .clinic import Clinic
from .ties import Ties
from .words import ROLE_WORDS

__all__ = ["ROLE_WORDS", "ClinicRelations", "Directory", "Person", "reference"]


def reference(kind: str, row: str) -> str:
    """What an account knows about who it is: a patient's id as it is, else ``staff:<id>`` or ``guardian:<id>``.

    The bare id is also how the audit log is told of a patient, so an invitation or a new account of theirs is in
    their own report.
    """
    return row if kind == "patient" else f"{kind}:{row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account's person: the kind of row and its id, and how to call them."""

    kind: str
    id: str
    name: str
    title: str


def row_of(accounts: AccountStore, account_id: str) -> tuple[str, str]:
    """(kind, id) of the account's row, or two empty texts. Cheap: nothing is decrypted."""
    account = accounts.get(account_id)
    known = (account.reference or "") if account else ""
    kind, colon, row = known.partition(":")
    return (kind, row) if colon else ("patient" if known else "", known)


class Directory:
    """From account ids, which the session and the audit log know, to people, whom only the clinic knows."""

    def __init__(self, accounts: AccountStore, clinic: Clinic, *, who: Callable[[str], str]) -> None:
        self._accounts = accounts
        self._clinic = clinic
        self.who = who

    def row_of(self, account_id: str) -> tuple[str, str]:
        """(kind, id) of the account's row, or two empty texts. Cheap: nothing is decrypted."""
        return row_of(self._accounts, account_id)

    def person(self, account_id: str) -> Person | None:
        kind, row = self.row_of(account_id)
        if kind == "patient" and (patient := self._clinic.patient(row)):
            return Person(kind=kind, id=row, name=patient.name, title="Patient")
        if kind == "staff" and (member := self._clinic.staff_member(row)):
            return Person(kind=kind, id=row, name=member.name, title=member.title)
        if kind == "guardian" and (guardian := self._clinic.guardian(row)):
            return Person(kind=kind, id=row, name=guardian.name, title=guardian.relationship)
        return None

    def name_of(self, account_id: str) -> str:
        """For the banner of whoever acts in their name; empty where nobody is known."""
        person = self.person(account_id)
        return person.name if person else ""


class ClinicRelations:
    """Answers the policy's relations from the clinic's data, anew each time: who left a care team is out at once."""

    def __init__(self, accounts: AccountStore, ties: Ties) -> None:
        self._accounts = accounts
        self._ties = ties

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        kind, row = row_of(self._accounts, subject.id)
        patient_id = resource.id
        if not row or patient_id is None:
            return False
        if relation == "self":
            return kind == "patient" and row == patient_id
        if relation == "guardian":
            return kind == "guardian" and self._ties.guards(row, patient_id)
        if relation == "care_team":
            return kind == "staff" and self._ties.cares_for(row, patient_id)
        raise LookupError(f"the policy asks for a relation that the clinic does not know: {relation}")
