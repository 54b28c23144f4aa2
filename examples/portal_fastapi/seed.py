"""Accounts to try the portal with: who plays whom, and how each signs in."""

from __future__ import annotations

import secrets
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import pyotp

from portalsec.events import SYSTEM, Event, ResourceRef, SecurityEvent, Source
from portalsec.portal import Portal

from .directory import ROLE_WORDS, reference
from .domain import Guardian, Patient, People, Staff, age_on
from .ties import Ties

__all__ = ["Cast", "Login", "cast", "make_accounts"]

_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"  # none that look alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Which of the people get an account, and who gets an activation code instead."""

    patient: Patient
    guardian: Guardian
    doctor: Staff
    desk: Staff
    colleague: Staff  # at the front desk as well: some things two people do
    privacy: Staff
    support: Staff
    newcomer: Patient | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One way in. ``uri`` is what an authenticator app scans (the ``otpauth`` URI)."""

    login: str
    role: str
    password: str
    uri: str


def cast(people: People, *, today: date) -> tuple[People, Cast]:
    """Fill the roles from ``people``, and add whom they lack: a parent, a front desk, a privacy officer."""
    desk = Staff(id=str(uuid.uuid4()), name="Dagobert Deskwell", title="Front desk")
    colleague = Staff(id=str(uuid.uuid4()), name="Philomena Counterley", title="Front desk")
    privacy = Staff(id=str(uuid.uuid4()), name="Prudence Ledgerby", title="Privacy officer")
    support = Staff(id=str(uuid.uuid4()), name="Hildegard Helpwell", title="Patient support")
    staff, team, wards, guardians = people.staff, people.care_team, people.wards, people.guardians
    if not team:
        doctor = Staff(id=str(uuid.uuid4()), name="Dr. Hortensia Quillfeather", title="Physician")
        staff = (*staff, doctor)
        team = frozenset((patient.id, doctor.id) for patient in people.patients[:3])
    size = Counter(member for _, member in team)
    # The busiest; by name where two are equally busy, so that the same bundles give the same doctor.
    doctor = min((s for s in staff if size[s.id]), key=lambda s: (-size[s.id], s.name))

    def years(patient: Patient) -> int:
        return age_on(patient.birth_date, today) if patient.birth_date else 0

    living = [p for p in people.patients if not p.deceased] or list(people.patients)
    adults = [p for p in living if years(p) >= 18] or living
    patient = next((p for p in adults if (p.id, doctor.id) in team), adults[0])
    if not wards:
        child = min(living, key=lambda p: (years(p), p.name))
        parent = Guardian(id=str(uuid.uuid4()), name="Rosalind Guardwell", relationship="parent")
        guardians, wards = (*guardians, parent), frozenset({(child.id, parent.id)})
    guardian = next(g for g in guardians if any(g.id == who for _, who in wards))
    others = [p for p in adults if p.id != patient.id]
    newcomer = next((p for p in others if (p.id, doctor.id) not in team), others[0] if others else None)
    filled = replace(
        people,
        staff=(*staff, desk, colleague, privacy, support),
        care_team=team,
        guardians=guardians,
        wards=wards,
    )
    return filled, Cast(
        patient=patient,
        guardian=guardian,
        doctor=doctor,
        desk=desk,
        colleague=colleague,
        privacy=privacy,
        support=support,
        newcomer=newcomer,
    )


def make_accounts(portal: Portal, ties: Ties, roles: Cast) -> tuple[Sequence[Login], str | None]:
    """Create the accounts with random passwords and enrolled authenticators.

    Returns:
        The accounts, and an activation code for a patient who has none (or None where every patient has).
    """
    logins = [
        _make(portal, ties, login, role, who)
        for login, role, who in (
            ("patient", "patient", reference("patient", roles.patient.id)),
            ("parent", "proxy", reference("guardian", roles.guardian.id)),
            ("doctor", "clinician", reference("staff", roles.doctor.id)),
            ("desk", "front_desk", reference("staff", roles.desk.id)),
            ("desk2", "front_desk", reference("staff", roles.colleague.id)),
            ("privacy", "privacy_officer", reference("staff", roles.privacy.id)),
            ("support", "patient_support", reference("staff", roles.support.id)),
        )
    ]
    if roles.newcomer is None:
        return logins, None
    code = portal.accounts.invite(reference("patient", roles.newcomer.id), actor=SYSTEM, source=Source())
    return logins, code.reveal()


def _make(portal: Portal, ties: Ties, login: str, role: str, who: str) -> Login:
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    account = portal.accounts.create(
        login=login,
        password=password,
        reference=who,
        email=f"{login}@mail.example",  # nobody's: .example is reserved (RFC 2606)
    )
    if role == "patient":
        ties.link(account.id, who)
    portal.roles.grant(account.id, role, actor=SYSTEM, source=Source())
    enrolment = portal.totp.begin(account.id, account_name=login)
    # Confirmed with the code of the step before, which the drift allows: the present code stays unused, and the
    # first sign-in need not wait for the next one.
    code = pyotp.TOTP(enrolment.secret.reveal()).at(portal.clock() - timedelta(seconds=30))
    portal.totp.confirm(account.id, enrolment.device_id, code)
    about = ResourceRef(type="account", id=account.id)
    portal.emit(SecurityEvent(name=Event.AUTH_MFA_ENROLLED, actor=SYSTEM, resource=about))
    return Login(login=login, role=ROLE_WORDS[role], password=password, uri=enrolment.uri.reveal())
