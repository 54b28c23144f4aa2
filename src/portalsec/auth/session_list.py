"""The list of an account's sessions as its owner sees it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from portalsec.auth._address import UNKNOWN, address_prefix
from portalsec.auth.browsers import browser_words
from portalsec.auth.ports import SessionRecord

__all__ = ["ListedSession", "listed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """One session in the owner's list. It holds no id: whoever sees the page can end the session, and not use it.

    Attributes:
        reference: a keyed reference, for `Sessions.end_one`.
        browser: words of a closed list ("Firefox / Windows"), or "" where nothing is known.
        place: a coarse place that the application found, or None.
        network: the address's prefix, or None; never the whole address.
        first_seen, last_seen: opened, and the newest activity.
        factors: kinds that were proven ("password", "totp").
        current: the session that looks at the list.
        shared: opened on a computer that others use too.
        resting: ended by idleness, and one factor away from going on.
        anomaly: what changed under it, or None.
        impersonated: somebody of the portal's staff acts in the owner's name.
    """

    reference: str
    browser: str
    place: str | None
    network: str | None
    first_seen: datetime
    last_seen: datetime
    factors: tuple[str, ...]
    current: bool
    shared: bool
    resting: bool
    anomaly: str | None
    impersonated: bool


def listed(
    records: Iterable[SessionRecord], *, refer: Callable[[bytes], str], current: bytes | None
) -> tuple[ListedSession, ...]:
    """The present session first, then by newest activity."""
    ordered = sorted(
        records, key=lambda record: (record.digest == current, record.last_seen_at), reverse=True
    )
    return tuple(
        ListedSession(
            reference=refer(record.digest),
            browser=browser_words(record.user_agent),
            # Where staff sits is not the owner's to see.
            place=record.place if record.impersonator is None else None,
            network=_network(record.address) if record.impersonator is None else None,
            first_seen=record.created_at,
            last_seen=record.last_seen_at,
            factors=record.factors,
            current=record.digest == current,
            shared=record.shared and record.impersonator is None,
            resting=record.rested_at is not None,
            anomaly=record.anomaly,
            impersonated=record.impersonator is not None,
        )
        for record in ordered
    )


def _network(address: str | None) -> str | None:
    prefix = address_prefix(address)
    return None if prefix == UNKNOWN else prefix
