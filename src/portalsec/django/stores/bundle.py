"""All stores at once, for the module that builds the portal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portalsec.django.conf import audit_database, security_database, subject_database

if TYPE_CHECKING:
    from portalsec.portal import Keys, Stores

__all__ = ["django_stores"]


def django_stores(keys: Keys) -> Stores:
    """A store for each port, on ``PORTALSEC["DATABASE"]`` and its like.

    Hand it to `portalsec.config.open_portal` as it is. Opens nothing. Call it once the apps are loaded (in the module that
    ``PORTALSEC["PORTAL"]`` names, say).

    Args:
        keys: seal e-mail addresses, and key the hash that they are found by.
    """
    from portalsec.crypto.prf import KeyedHash
    from portalsec.crypto.seal import FieldSealer
    from portalsec.django.stores.accounts import DjangoAccounts
    from portalsec.django.stores.assignments import DjangoAssignments
    from portalsec.django.stores.audit import DjangoAudit
    from portalsec.django.stores.contacts import DjangoContacts
    from portalsec.django.stores.devices import DjangoDevices
    from portalsec.django.stores.flows import DjangoFlows
    from portalsec.django.stores.notices import DjangoIncidents, DjangoNotices
    from portalsec.django.stores.passkeys import DjangoPasskeys
    from portalsec.django.stores.password_history import DjangoPasswordHistory
    from portalsec.django.stores.recovery_codes import DjangoRecoveryCodes
    from portalsec.django.stores.sessions import DjangoSessions
    from portalsec.django.stores.subject_keys import DjangoSubjectKeys
    from portalsec.django.stores.throttle import DjangoThrottle
    from portalsec.django.stores.totp import DjangoTotp
    from portalsec.portal import Stores

    security, audit = security_database(), audit_database()
    return Stores(
        accounts=DjangoAccounts(),
        throttle=DjangoThrottle(security),
        flows=DjangoFlows(security),
        invitations=DjangoFlows(security),
        totp=DjangoTotp(security),
        recovery_codes=DjangoRecoveryCodes(security),
        passkeys=DjangoPasskeys(security),
        sessions=DjangoSessions(security),
        assignments=DjangoAssignments(security),
        audit=DjangoAudit(audit),
        subjects=DjangoSubjectKeys(subject_database()),
        password_history=DjangoPasswordHistory(security),
        contacts=DjangoContacts(security, mac=KeyedHash(keys.mac), sealer=FieldSealer(keys.fields)),
        devices=DjangoDevices(security),
        notices=DjangoNotices(security),
        incidents=DjangoIncidents(security),
    )
