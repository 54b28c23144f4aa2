"""Anomalies: a session that suddenly comes from another browser or another network.

A cookie that was copied is used from the thief's machine. Whoever steals a cookie can copy the browser's name too, so
this finds the careless ones, and is no proof of anything: it asks for a factor, which an owner can show and a thief
cannot. The session keeps asking, for the owner as well, until somebody showed one; then it has a new id.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from portalsec.auth._address import UNKNOWN, address_prefix
from portalsec.auth.browsers import browser_words
from portalsec.errors import ConfigurationError

__all__ = ["ADDRESS", "BROWSER", "AnomalyPolicy", "anomaly"]

BROWSER, ADDRESS = "browser", "address"
_SEPARATOR = "+"
_WHAT = ("step_up", "record", "ignore")

# What a request costs twice: the same few browsers and networks come again and again.
_family = lru_cache(maxsize=4096)(browser_words)
_network = lru_cache(maxsize=4096)(address_prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyPolicy:
    """What happens when something changes under a session. Each change of a kind is recorded once a session.

    Attributes:
        browser: the browser's family or operating system; a new version of the same browser is no change.
        address: the network, an IPv4 /24 or IPv6 /64. Telephones change it all day between a house and the street,
            hence "record"; where people sit at desks, "step_up" costs them nothing.
    """

    browser: Literal["step_up", "record", "ignore"] = "step_up"
    address: Literal["step_up", "record", "ignore"] = "record"

    def __post_init__(self) -> None:
        for name in (BROWSER, ADDRESS):
            if getattr(self, name) not in _WHAT:
                raise ConfigurationError(f'AnomalyPolicy: {name} is "step_up", "record" or "ignore"')

    def asks(self, found: str | None) -> bool:
        """Whether a session with this anomaly has to show a factor before it goes on. Pure."""
        kinds = found.split(_SEPARATOR) if found else ()
        # A kind that is unknown here was written by a newer version: it asks.
        return any(getattr(self, kind, "step_up") == "step_up" for kind in kinds)


def anomaly(
    *,
    address: str | None,
    user_agent: str | None,
    now_address: str | None,
    now_user_agent: str | None,
    policy: AnomalyPolicy,
    before: str | None = None,
) -> str | None:
    """What changed between the session's opening and this request, with what was found ``before``; None for nothing. Pure.

    What was not known at the opening cannot change. A browser that had a name and now sends none is another browser.
    """
    kinds = set(before.split(_SEPARATOR)) if before else set()
    if policy.browser != "ignore" and user_agent and now_user_agent != user_agent:
        family = _family(user_agent)
        if family and _family(now_user_agent) != family:
            kinds.add(BROWSER)
    if policy.address != "ignore" and address and now_address and now_address != address:
        network = _network(address)
        if UNKNOWN not in (network, _network(now_address)) and _network(now_address) != network:
            kinds.add(ADDRESS)
    return _SEPARATOR.join(sorted(kinds)) or None
