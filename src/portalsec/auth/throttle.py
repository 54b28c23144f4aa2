"""Guessing budgets: reserve, check, settle.

A unit of every budget is taken before the secret is looked at. At a limit of 3, twenty guesses sent at once test
three, which no check-then-count can promise. What a sign-in took comes back when it is complete, and not before:
whoever knows a password but has no second factor uses budget like any guesser.
"""

from __future__ import annotations

import ipaddress
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from portalsec._encoding import length_prefixed
from portalsec.auth._input import fold_login
from portalsec.auth.ports import Mac, ThrottleStore
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = ["Attempt", "Lane", "Throttle", "ThrottlePolicy", "Units", "address_prefix"]

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
_SECOND_FACTOR_LONG = Lane(name="second_factor_long", limit=50, window=timedelta(days=1))
_INVITATION = Lane(name="invitation", limit=20, window=timedelta(hours=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlePolicy:
    """The budgets.

    Attributes:
        account: password tries for one sign-in name, and once more for all names that look like it.
        address: password tries from one address prefix, whatever the name.
        second_factor: code tries for one account; one such budget each for sign-in and for enrolment.
        invitation: activation codes tried from one address prefix.
        second_factor_long: code tries for one account over a long time. ``second_factor`` alone would let someone who
            has the password try 14,400 codes in 30 days, which is one chance in 24; with this it is one in 220.
    """

    account: Lane = _ACCOUNT
    address: Lane = _ADDRESS
    second_factor: Lane = _SECOND_FACTOR
    invitation: Lane = _INVITATION
    second_factor_long: Lane = _SECOND_FACTOR_LONG


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


Units: TypeAlias = tuple[tuple[str, str, int], ...]
"""Units taken and not settled yet: which budget, its counter's key, the window's start."""

_ADDRESS_UNIT, _NAME_UNIT, _LOOK_ALIKE_UNIT, _CODE_UNIT = "address", "name", "look_alike", "code"


class Attempt:
    """Units that were taken for one try; settle it once. Left unsettled, they stay taken."""

    __slots__ = ("_store", "_taken")

    def __init__(self, store: ThrottleStore, taken: Units) -> None:
        self._store = store
        self._taken = taken

    def failed(self) -> None:
        """The secret was wrong: the units stay taken."""
        self._taken = ()

    def succeeded(self) -> None:
        """The secret was right and nothing else is asked for: give back this try's own units, and nothing else."""
        self._give_back()

    def not_tested(self) -> None:
        """The secret was never looked at (a store failed): it is not the visitor's failure."""
        self._give_back()

    def hold(self) -> Units:
        """The secret was right and more is asked for: the units stay taken until `Throttle.complete` gets them."""
        taken, self._taken = self._taken, ()
        return taken

    def _give_back(self) -> None:
        taken, self._taken = self._taken, ()
        for _, key, window in taken:
            self._store.give_back(key, window=window)


class Throttle:
    """Takes units of the budgets that a kind of try needs.

    Safe for concurrent use; the store decides who gets the last unit. The store sees keyed hashes only, never a
    sign-in name, an account's id or an address. Under another primary key these are other counters: a rotation begins
    every budget anew, once.
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
            account: for a password the sign-in name as typed, where None or empty takes from no account's budget;
                for a code the account's id, since two names that look alike can be two accounts.
            address: textual IP address, or None.

        Raises:
            Denied: THROTTLED, with ``retry_after``.
            StoreError: the counters cannot be reached; the try must not go on.
        """
        now = self._clock()
        taken: Units = ()
        # One by one, the visitor's own budget first: a visitor who has used it up never touches an account's.
        for unit, lane, key in self._lanes(kind, account, address):
            take = self._store.take(key, limit=lane.limit, window=lane.window, now=now)
            if not take.ok:
                Attempt(self._store, taken).not_tested()
                raise Denied(Reason.THROTTLED, retry_after=max(take.resets_at - now, timedelta(seconds=1)))
            taken += ((unit, key, take.window),)
        return Attempt(self._store, taken)

    def complete(self, units: Units) -> None:
        """After a full sign-in with these units: forget the failures of its own name and account, and no others.

        The address gets back this sign-in's unit. The budget that look-alike names share gets back what this very
        name took: `mïller` and `miller` may be two accounts, and the one must not wipe out guesses at the other.
        """
        held = {unit: (key, window) for unit, key, window in units}
        for unit, key, window in units:
            if unit == _ADDRESS_UNIT:
                self._store.give_back(key, window=window)
            elif unit == _LOOK_ALIKE_UNIT:
                for _ in range(self._own_units(held[_NAME_UNIT][0], since=window)):
                    self._store.give_back(key, window=window)
        for unit, key, _ in units:
            if unit in (_NAME_UNIT, _CODE_UNIT):
                self._store.clear(key)

    def clear_account(self, *, login: str, account_id: str) -> None:
        """Forget the counters of one name and one account, as an operator who unlocks it would.

        What addresses and look-alike names used stays used.
        """
        codes = [
            key for kind in ("second_factor", "enrolment") for _, _, key in self._codes(kind, account_id)
        ]
        for key in (self._key("password", self.policy.account, fold_login(login)), *codes):
            self._store.clear(key)

    def _own_units(self, key: str, *, since: int) -> int:
        """How many units a name holds, where all of them were taken in the look-alike window that began at ``since``."""
        lane = self.policy.account
        take = self._store.take(key, limit=lane.limit, window=lane.window, now=self._clock())
        if take.window < since:
            return 1  # some of them are of an older window: this sign-in's own is all that is sure
        return take.used - 1 if take.ok else take.used

    def _lanes(self, kind: str, account: str | None, address: str | None) -> list[tuple[str, Lane, str]]:
        prefix = address_prefix(address)
        if kind == "invitation":
            lane = self.policy.invitation
            return [(_ADDRESS_UNIT, lane, self._key(kind, lane, prefix))]
        if kind == "password":
            lane = self.policy.address
            lanes = [(_ADDRESS_UNIT, lane, self._key(kind, lane, prefix))]
            if name := fold_login(account or ""):
                lane = self.policy.account
                alike = self._key("password-look-alike", lane, _look_alike(name))
                lanes.append((_NAME_UNIT, lane, self._key(kind, lane, name)))
                lanes.append((_LOOK_ALIKE_UNIT, lane, alike))
            return lanes
        if kind in {"second_factor", "enrolment"}:
            if not account:
                raise ConfigurationError(f"throttle: {kind} needs an account")
            return self._codes(kind, account)
        raise ConfigurationError(f"throttle: {kind!r} is none of {', '.join(self.KINDS)}")

    def _codes(self, kind: str, account_id: str) -> list[tuple[str, Lane, str]]:
        lanes = (self.policy.second_factor, self.policy.second_factor_long)
        return [(_CODE_UNIT, lane, self._key(kind, lane, account_id)) for lane in lanes]

    def _key(self, kind: str, lane: Lane, subject: str) -> str:
        seconds = str(int(lane.window.total_seconds()))
        parts = (kind, lane.name, seconds, subject)
        return self._mac("throttle", length_prefixed(*(part.encode("utf-8") for part in parts))).hex()


def _look_alike(name: str) -> str:
    """A coarser name than the canonical login: accents dropped, so that "ádmin" has no budget apart from "admin".

    Databases whose collation ignores accents would find one account under both.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().strip()
    return bare or name
