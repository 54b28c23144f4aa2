"""Guessing budgets: reserve, check, settle.

A unit of every budget is taken before the secret is looked at. At a limit of 3, twenty guesses sent at once test
three, which no check-then-count can promise.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from portalsec._encoding import length_prefixed
from portalsec.auth.ports import Mac, ThrottleStore
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = ["Attempt", "Lane", "Throttle", "ThrottlePolicy", "address_prefix"]

_MAX_ADDRESS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One budget: ``limit`` tries in a ``window`` that starts with the first.

    Attributes:
        name: part of the counter's key, so that two lanes never share a counter.
        limit: at least 1.
        window: one second or longer.
    """

    name: str
    limit: int
    window: timedelta

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("Lane: give it a name; it keeps its counters apart from other lanes'")
        if self.limit < 1:
            raise ConfigurationError(f"throttle lane {self.name!r}: limit must be at least 1")
        if self.window < timedelta(seconds=1):
            raise ConfigurationError(f"throttle lane {self.name!r}: window must be one second or longer")


_ACCOUNT = Lane(name="account", limit=10, window=timedelta(minutes=15))
_ADDRESS = Lane(name="address", limit=100, window=timedelta(hours=1))
_SECOND_FACTOR = Lane(name="second_factor", limit=5, window=timedelta(minutes=15))
_INVITATION = Lane(name="invitation", limit=20, window=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlePolicy:
    """The budgets.

    Attributes:
        account: password tries for one sign-in name.
        address: password tries from one address prefix, whatever the name.
        second_factor: code tries for one account; one such budget each for sign-in and for enrolment.
        invitation: activation codes tried from one address prefix.
    """

    account: Lane = _ACCOUNT
    address: Lane = _ADDRESS
    second_factor: Lane = _SECOND_FACTOR
    invitation: Lane = _INVITATION


def address_prefix(address: str | None) -> str:
    """The part of an address that stands for one visitor: IPv4 /24, IPv6 /64; mapped IPv4 folded. Pure.

    Whoever has one IPv6 address has the whole /64 to vary, and one address has many spellings. What is no address
    is ``"unknown"``: one budget for all of them, so that garbage does not buy a fresh one.
    """
    if not address or len(address) > _MAX_ADDRESS:
        return "unknown"
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        mapped = parsed.ipv4_mapped
        if mapped is None:
            return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
        parsed = mapped
    return str(ipaddress.IPv4Network((int(parsed) >> 8 << 8, 24)))


_Taken: TypeAlias = tuple[str, int]


class Attempt:
    """Units that were taken for one try; settle it once. Left unsettled, they stay taken."""

    __slots__ = ("_store", "_taken")

    def __init__(self, store: ThrottleStore, taken: list[_Taken]) -> None:
        self._store = store
        self._taken = taken

    def failed(self) -> None:
        """The secret was wrong: the units stay taken."""
        self._taken = []

    def succeeded(self) -> None:
        """The secret was right: give back this try's own units and nothing else.

        It clears no counter: whoever knows one password must not reset the budget that stops them from trying
        others, and a password that still awaits its second factor proves too little.
        """
        self._give_back()

    def not_tested(self) -> None:
        """The secret was never looked at (a store failed): it is not the visitor's failure."""
        self._give_back()

    def _give_back(self) -> None:
        taken, self._taken = self._taken, []
        for key, window in taken:
            self._store.give_back(key, window=window)


class Throttle:
    """Takes units of the budgets that a kind of try needs.

    Safe for concurrent use; the store decides who gets the last unit. The store sees keyed hashes only, never a
    sign-in name or an address.
    """

    KINDS = ("password", "second_factor", "enrolment", "invitation")

    def __init__(self, *, store: ThrottleStore, policy: ThrottlePolicy, mac: Mac, clock: Clock) -> None:
        self._store = store
        self._mac = mac
        self._clock = clock
        self.policy = policy

    def reserve(self, kind: str, *, account: str | None, address: str | None) -> Attempt:
        """Take one unit of every budget, or raise and leave all as they were.

        Args:
            kind: "password", "second_factor", "enrolment" or "invitation".
            account: the sign-in name; None or empty takes from no account's budget.
            address: textual IP address, or None.

        Raises:
            Denied: THROTTLED, with ``retry_after``.
            StoreError: the counters cannot be reached; the try must not go on.
        """
        now = self._clock()
        taken: list[_Taken] = []
        # One by one, the visitor's own budget first: a visitor who has used it up never touches an account's.
        for lane, key in self._lanes(kind, account, address):
            take = self._store.take(key, limit=lane.limit, window=lane.window, now=now)
            if not take.ok:
                Attempt(self._store, taken).not_tested()
                raise Denied(Reason.THROTTLED, retry_after=max(take.resets_at - now, timedelta(seconds=1)))
            taken.append((key, take.window))
        return Attempt(self._store, taken)

    def clear_account(self, account: str) -> None:
        """Forget the account's own counters; for `SignIn`, after a full sign-in. Addresses' counters stay."""
        for kind, lane in (
            ("password", self.policy.account),
            ("second_factor", self.policy.second_factor),
            ("enrolment", self.policy.second_factor),
        ):
            self._store.clear(self._key(kind, lane, _look_alike(account)))

    def _lanes(self, kind: str, account: str | None, address: str | None) -> list[tuple[Lane, str]]:
        prefix = address_prefix(address)
        name = _look_alike(account or "")
        lanes: list[tuple[Lane, str]] = []
        if kind == "invitation":
            lanes.append((self.policy.invitation, self._key(kind, self.policy.invitation, prefix)))
        elif kind == "password":
            lanes.append((self.policy.address, self._key(kind, self.policy.address, prefix)))
            if name:
                lanes.append((self.policy.account, self._key(kind, self.policy.account, name)))
        elif kind in {"second_factor", "enrolment"}:
            if not name:
                raise ConfigurationError(f"throttle: {kind} needs an account")
            lanes.append((self.policy.second_factor, self._key(kind, self.policy.second_factor, name)))
        else:
            raise ConfigurationError(f"throttle: {kind!r} is none of {', '.join(self.KINDS)}")
        return lanes

    def _key(self, kind: str, lane: Lane, subject: str) -> str:
        seconds = str(int(lane.window.total_seconds()))
        parts = (kind, lane.name, seconds, subject)
        return self._mac("throttle", length_prefixed(*(part.encode("utf-8") for part in parts))).hex()


def _look_alike(account: str) -> str:
    """A coarser name than the canonical login: accents dropped, so that "ádmin" has no budget apart from "admin".

    Databases whose collation ignores accents would find one account under both.
    """
    decomposed = unicodedata.normalize("NFKD", account)
    return "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().strip()
