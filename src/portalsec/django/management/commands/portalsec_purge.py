"""``manage.py portalsec_purge``: removes what is over. Housekeeping only; run it once a day."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portalsec.django.conf import get_portal, security_database
from portalsec.django.sessions import SessionStore
from portalsec.django.stores.throttle import DjangoThrottle
from portalsec.portal import purge


class Command(BaseCommand):
    help = (
        "Remove expired sessions, pending sign-ins, invitations, devices, notices, authenticators, counters."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        portal, alias = get_portal(), security_database()
        removed = purge(portal)
        SessionStore.clear_expired()
        counters = DjangoThrottle(alias).purge(now=portal.clock())
        self.stdout.write(
            f"Removed {removed.sessions} sessions, {removed.flows} flows, {removed.devices} devices, "
            f"{removed.notices} notices, {removed.authenticators} authenticators and {counters} counters that were over."
        )
