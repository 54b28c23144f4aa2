"""Fills an empty portal: the people of the FastAPI example, and the accounts that may look at them."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import pyotp
from django.db import transaction

from clinic.models import CareTeam, Entry, Guardian, Patient
from examples.portal_fastapi.domain import People
from examples.portal_fastapi.words import ROLE_WORDS
from portalsec.django.conf import get_portal
from portalsec.django.stores import DjangoAccounts
from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent, Source

_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"  # none that look alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One way in. ``uri`` is what an authenticator app scans (the ``otpauth`` URI)."""

    login: str
    role: str
    password: str
    uri: str


def write(people: People) -> list[Login]:
    """Write the people and make the accounts. The accounts come first: each commits on its own."""
    team = Counter(staff for _, staff in people.care_team)
    busiest = min(team, key=lambda staff: (-team[staff], staff)) if team else ""
    treated = [patient for patient, staff in people.care_team if staff == busiest]
    children = [patient for patient, _ in people.wards][:1] or [people.patients[-1].id]
    own = next(
        (p.id for p in people.patients if p.id in treated and p.id not in children), people.patients[0].id
    )
    treated = treated or [own]
    logins = [
        _account("patient", "patient", reference=own),
        _account("parent", "proxy"),
        _account("doctor", "clinician"),
        _account("desk", "front_desk"),
        _account("privacy", "privacy_officer"),
        _account("support", "patient_support"),
    ]
    users = DjangoAccounts()
    found = {name: users.by_login(name) for name in ("doctor", "parent")}
    with transaction.atomic():
        Patient.objects.bulk_create(
            Patient(
                id=person.id,
                name=person.name,
                born=person.birth_date,
                phone=person.phone,
                email=person.email,
                ssn=person.ssn,
                address=person.address,
                sealed=person.sealed,
            )
            for person in people.patients
        )
        Entry.objects.bulk_create(
            (
                Entry(
                    id=line.id,
                    patient_id=line.patient_id,
                    kind=line.kind.value,
                    on=line.on,
                    title=line.title,
                    detail=line.detail,
                )
                for line in people.entries
            ),
            batch_size=500,
        )
        for kind, login, patients in ((CareTeam, "doctor", treated), (Guardian, "parent", children)):
            account = found[login]
            user = users.user(account.id) if account else None
            for patient_id in patients:
                kind.objects.create(patient_id=patient_id, user=user)
    return logins


def _account(login: str, role: str, *, reference: str | None = None) -> Login:
    portal = get_portal()
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    account = portal.accounts.create(
        login=login,
        password=password,
        reference=reference,
        email=f"{login}@mail.example",  # nobody's: .example is reserved (RFC 2606)
    )
    portal.roles.grant(account.id, role, actor=SYSTEM, source=Source())
    enrolment = portal.totp.begin(account.id, account_name=login)
    # Confirmed with the code of the step before, which the drift allows: the present code stays unused.
    code = pyotp.TOTP(enrolment.secret.reveal()).at(portal.clock() - timedelta(seconds=30))
    portal.totp.confirm(account.id, enrolment.device_id, code)
    about = ResourceRef(type="account", id=account.id)
    portal.emit(SecurityEvent(name=Event.AUTH_MFA_ENROLLED, actor=SYSTEM, resource=about))
    return Login(login=login, role=ROLE_WORDS[role], password=password, uri=enrolment.uri.reveal())
