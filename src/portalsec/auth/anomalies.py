"""Anomalies: a session that suddenly comes from another browser, another network, or another address.

A cookie that was copied is used from the thief's machine. Whoever steals a cookie can copy the browser's name too, so
this finds the careless ones, and is no proof of anything: it asks for a factor, which an owner can show and a thief
cannot. The session keeps asking, for the owner as well, until somebody showed one; then it has a new id. Which factor
that must be is `portalsec.auth.step_up.StepUp`'s to say: never the password alone where the account has another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from portalsec.auth._address import UNKNOWN, address_network, address_prefix
from portalsec.auth.browsers import browser_words
from portalsec.errors import ConfigurationError

__all__ = ["ADDRESS", "BROWSER", "MOST_NETWORKS", "NETWORK", "AnomalyPolicy", "anomaly", "networks_shown"]

BROWSER, NETWORK, ADDRESS = "browser", "network", "address"
MOST_NETWORKS = 4
_SEPARATOR = "+"
_WHAT = ("step_up", "record", "ignore")

# What a request costs twice: the same few browsers and networks come again and again.
_family = lru_cache(maxsize=4096)(browser_words)
_network = lru_cache(maxsize=4096)(address_network)
_prefix = lru_cache(maxsize=4096)(address_prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyPolicy:
    """What happens when something changes under a session. Each change of a kind is recorded once a session.

    Attributes:
        browser: the browser's family or operating system; a new version of the same browser is no change.
        network: a jump to another provider's network, an IPv4 /16 or IPv6 /32, or from one version of IP to the other. A
            telephone does that between a house and the street: it is asked once for each of them, since networks from
            which a factor was shown are the session's own from then on (`networks_shown`).
        address: any other move, to another IPv4 /24 or IPv6 /64; a jump is one too. Providers move people about all day,
            hence "record"; where people sit at desks, "step_up" costs them nothing.
    """

    browser: Literal["step_up", "record", "ignore"] = "step_up"
    network: Literal["step_up", "record", "ignore"] = "step_up"
    address: Literal["step_up", "record", "ignore"] = "record"

    def __post_init__(self) -> None:
        for name in (BROWSER, NETWORK, ADDRESS):
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
    networks: Sequence[str] = (),
) -> str | None:
    """What changed between the session's opening and this request, with what was found ``before``; None for nothing. Pure.

    What was not known at the opening cannot change. A browser that had a name and now sends none is another browser, and
    a request that comes from nobody knows where (past the proxies that name its address, say) comes from another network.

    Args:
        networks: others from which a factor was shown since, as `networks_shown` made them.
    """
    kinds = set(before.split(_SEPARATOR)) if before else set()
    if policy.browser != "ignore" and user_agent and now_user_agent != user_agent:
        family = _family(user_agent)
        if family and _family(now_user_agent) != family:
            kinds.add(BROWSER)
    if address and now_address != address:
        here, now = _prefix(address), _prefix(now_address)
        if here not in (UNKNOWN, now):
            if policy.address != "ignore":
                kinds.add(ADDRESS)
            network = _network(now_address)
            if policy.network != "ignore" and network != _network(address) and network not in networks:
                kinds.add(NETWORK)
    return _SEPARATOR.join(sorted(kinds)) or None


def networks_shown(
    networks: Sequence[str], *, address: str | None, now_address: str | None
) -> tuple[str, ...]:
    """The networks of a session when a factor was shown from ``now_address``: that one and the one of before are its own
    from here on. The newest first, at most `MOST_NETWORKS`. Pure."""
    return tuple(dict.fromkeys((_network(now_address), _network(address), *networks)))[:MOST_NETWORKS]
