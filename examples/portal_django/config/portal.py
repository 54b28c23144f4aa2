"""The portal, wired once a process: the same settings, keys and policy as any other, over Django's stores."""

from __future__ import annotations

from clinic.relations import ClinicRelations
from django.conf import settings

from examples.portal_fastapi.support import patient_support
from portalsec.config import open_portal
from portalsec.django.stores import django_stores

portal = open_portal(
    settings.PORTAL,
    stores=django_stores,
    relations=lambda stores: ClinicRelations(),
    may_impersonate=patient_support(lambda: portal),
)
