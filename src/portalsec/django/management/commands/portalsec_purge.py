"""``manage.py portalsec_purge``: removes what is over. Housekeeping only; run it once a day."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from portalsec.clock import unix_microseconds
from portalsec.django.conf import get_portal, security_database
from portalsec.django.models import Session
from portalsec.django.sessions import SessionStore
from portalsec.django.stores._connection import own_transaction
from portalsec.django.stores.flows import DjangoFlows
from portalsec.django.stores.throttle import DjangoThrottle


class Command(BaseCommand):
    help = "Remove expired sessions, pending sign-ins, invitations and counters. Nothing depends on it."

    def handle(self, *args: Any, **options: Any) -> None:
        portal, alias = get_portal(), security_database()
        now = portal.clock()
        over = unix_microseconds(now - portal.policies.sessions.absolute)
        with own_transaction(alias):
            sessions = Session.objects.using(alias).filter(created_at__lte=over).delete()[0]
        SessionStore.clear_expired()
        flows = DjangoFlows(alias).purge(now=now)
        counters = DjangoThrottle(alias).purge(now=now)
        self.stdout.write(
            f"Removed {sessions} sessions, {flows} flows and {counters} counters that were over."
        )
