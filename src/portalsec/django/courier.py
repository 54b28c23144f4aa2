"""`deliver_until`: due mail, round after round, in a thread or a process of its own."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from django.db import close_old_connections, connections

from portalsec.auth.courier import Courier, Delivered
from portalsec.django.conf import get_notifier, get_portal
from portalsec.errors import ConfigurationError, StoreError

__all__ = ["deliver_until", "the_courier"]

_log = logging.getLogger("portalsec.django")
_AT_ONCE = 50


def the_courier() -> Courier:
    """The portal's courier, with the notifier of the settings where the portal was given none.

    Raises:
        ConfigurationError: the portal or the notifier that the settings name is none.
    """
    courier = get_portal().courier
    return courier if courier.sends else courier.through(get_notifier())


def deliver_until(stop: threading.Event, *, every: timedelta = timedelta(seconds=5)) -> Delivered:
    """Deliver what is due, wait, and again, until ``stop`` is set; the mail in hand goes out first.

    Any number may run at once, in threads and processes: a mail is claimed by one of them. Mail that fails is tried again
    later (`portalsec.auth.courier`); a store that fails is logged and asked again at the next round. The connections
    of this thread are closed in the end.

    Args:
        every: from the end of one round to the next.

    Returns:
        What was done in all.
    """
    if not timedelta(0) < every <= timedelta(hours=1):
        raise ConfigurationError("courier: every goes from more than nothing to one hour")
    courier = the_courier()
    total = Delivered()
    try:
        while not stop.is_set():
            total = _sum(total, _round(courier, stop))
            stop.wait(every / timedelta(seconds=1))
    finally:
        connections.close_all()
    return total


def _round(courier: Courier, stop: threading.Event) -> Delivered:
    close_old_connections()  # one that the database has closed meanwhile, as Django does before a request
    try:
        return courier.deliver(limit=_AT_ONCE, stopping=stop.is_set)
    except StoreError:
        _log.error("mail could not be looked for; it is tried again", exc_info=True)
    except Exception:  # noqa: BLE001 - whatever it was, tomorrow's mail must still go
        _log.exception("an error ended a round of mail; the next one is tried all the same")
    return Delivered()


def _sum(one: Delivered, other: Delivered) -> Delivered:
    return Delivered(
        sent=one.sent + other.sent,
        later=one.later + other.later,
        given_up=one.given_up + other.given_up,
    )
