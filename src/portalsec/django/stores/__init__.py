"""Every port over the ORM. `django_stores` gives them all, on the databases that ``PORTALSEC`` names."""

from portalsec.django.stores.accounts import DjangoAccounts, account_id_of
from portalsec.django.stores.assignments import DjangoAssignments
from portalsec.django.stores.audit import DjangoAudit
from portalsec.django.stores.bundle import django_stores
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

__all__ = [
    "DjangoAccounts",
    "DjangoAssignments",
    "DjangoAudit",
    "DjangoContacts",
    "DjangoDevices",
    "DjangoFlows",
    "DjangoIncidents",
    "DjangoNotices",
    "DjangoPasskeys",
    "DjangoPasswordHistory",
    "DjangoRecoveryCodes",
    "DjangoSessions",
    "DjangoSubjectKeys",
    "DjangoThrottle",
    "DjangoTotp",
    "account_id_of",
    "django_stores",
]
