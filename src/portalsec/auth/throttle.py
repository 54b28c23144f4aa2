"""Guessing budgets: reserve, check, settle.

A unit of every budget is taken before the secret is looked at. At a limit of 3, twenty guesses sent at once test
three, which no check-then-count can promise. What a sign-in took comes back when it is complete, and not before:
whoever knows a password but has no second factor uses budget like any guesser.

Two kinds of refusal. A visitor's own budget (its address prefix) that is used up is said so, with the time to wait. A
name's budget that is used up is not: whoever guesses would learn that the name exists, or that it is locked, or when to
come back. `Throttle.reserve` then returns an `Attempt` that is ``locked``, and its caller does the work of any other try
and gives the answer of any other failure.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeAlias

from portalsec._encoding import length_prefixed
from portalsec.auth._address import address_prefix
from portalsec.auth._input import fold_login
from portalsec.auth.budgets import DetectionPolicy, Lane, ThrottlePolicy
from portalsec.auth.detection import Detection
from portalsec.auth.ports import KnownDevice, Mac, Take, ThrottleStore
from portalsec.clock import Clock, unix_microseconds
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import SYSTEM, Event, Outcome, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Attempt", "DetectionPolicy", "Lane", "Throttle", "ThrottlePolicy", "Units", "address_prefix"]

_HOUR = timedelta(hours=1)
_FOR_EVER = timedelta(days=3650)  # the cap ends by success, unlock or reset, and not by waiting
_MANY = 2**31 - 1
_NOBODYS = 256  # counters that stand in for the cap of names that nobody has
_FINGERPRINT = 2  # bytes: enough to tell the passwords of an hour apart, too few to tell what one was

Units: TypeAlias = tuple[tuple[str, str, int], ...]
"""Units taken and not settled yet: which budget, its counter's key, the window's start (0: none was taken)."""

_ADDRESS, _PORTAL, _NAME, _PAIR, _LOOK_ALIKE, _CAP = (
    "address",
    "portal",
    "name",
    "account_address",
    "look_alike",
    "cap",
)
_DEVICE, _CANDIDATE, _TRIED, _CODE, _REQUEST = "device", "candidate", "tried", "code", "request"
_RETURNED = frozenset({_ADDRESS, _PORTAL, _CANDIDATE, _TRIED})  # by success: this sign-in's own unit, no more
_CLEARED = frozenset({_NAME, _PAIR, _CAP, _DEVICE, _CODE})  # by success: it is the account's own

_CODES = ("second_factor", "enrolment", "recovery_code", "passkey", "step_up", "disabling")
_REQUESTS = ("reset", "unlock", "registration")
_MAILS = ("mail", "reset_mail", "unlock_mail", "device_mail")
_MAILED = Lane(name="mailed", limit=1, window=timedelta(days=7))


class Attempt:
    """Units that were taken for one try; settle it once. Left unsettled, they stay taken.

    Attributes:
        locked: why the secret must not be looked at, or None. Do the work and give the answer of a wrong one.
        used_up: whether this try took the last unit of the name's budget: if it fails, the name is locked now.
    """

    __slots__ = ("_name", "_prefix", "_sprayed", "_taken", "_throttle", "locked", "used_up")

    def __init__(
        self,
        throttle: Throttle,
        taken: Units,
        *,
        prefix: str = "",
        name: str = "",
        locked: Reason | None = None,
        used_up: bool = False,
        sprayed: int = 0,
    ) -> None:
        self._throttle = throttle
        self._taken = taken
        self._prefix = prefix
        self._name = name
        self._sprayed = sprayed
        self.locked = locked
        self.used_up = used_up

    def failed(self, *, source: Source | None = None) -> None:
        """The secret was wrong, or not looked at since the attempt was locked: the units stay taken.

        Raises:
            AuditUnavailable: these numbers look like an attack, and that could not be recorded.
        """
        self._taken = ()
        if self._name:
            self._throttle._suspect(self._name, self._prefix, self._sprayed, source)

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
        self._throttle._give_back(taken)


class Throttle:
    """Takes units of the budgets that a kind of try needs.

    Safe for concurrent use; the store decides who gets the last unit. The store sees keyed hashes only, never a
    sign-in name, an account's id, an address or a password. Under another primary key these are other counters: a
    rotation begins every budget anew, once.
    """

    KINDS = (
        "password",
        *_CODES,
        *_REQUESTS,
        "device_request",
        "verify",
        *_MAILS,
        "mailed",
        "meter",
        "invitation",
    )

    def __init__(
        self, *, store: ThrottleStore, policy: ThrottlePolicy, mac: Mac, clock: Clock, emit: Emit
    ) -> None:
        self._store = store
        self._mac = mac
        self._clock = clock
        self._emit = emit
        self._detection = Detection(
            store=store,
            policy=policy.detection,
            key=lambda lane, subject: self._key("detection", lane, subject),
            emit=emit,
        )
        self.policy = policy

    def reserve(
        self,
        kind: str,
        *,
        account: str | None,
        address: str | None,
        account_id: str | None = None,
        device: KnownDevice | None = None,
        candidate: str | None = None,
    ) -> Attempt:
        """Take one unit of every budget, or raise and leave all as they were.

        ===============================  ==============  ===================================================
        kind                             ``account`` is  budgets; those in brackets lock and say nothing
        ===============================  ==============  ===================================================
        password                         the name        address, (account and address), (account), (look-alike),
                                                         (cap), (candidate); with a device: address, (device), (cap)
        second_factor, enrolment,        the account id  its own, and a long one
        recovery_code, disabling
        passkey                          the account id  its own; of the address where there is none
        step_up                          the account id  its own, (cap)
        reset, unlock, registration      the name        address, (the name)
        device_request                   the device's id (the device), in place of a request's two
        mail, reset_mail, unlock_mail,   the account id  (the account), (the account, long); each kind its own
        device_mail                      or an address
        mailed                           the mail        once: the mail has its units already where it is locked
        verify                           the account id  the account
        meter, invitation                None            address
        ===============================  ==============  ===================================================

        Args:
            account: a name is taken as typed, and None or empty takes from no account's budget. An account's id is
                asked for where two names that look alike can be two accounts.
            address: textual IP address, or None.
            account_id: for a password whose account was looked up already, its id, or None where nobody has the name.
            device: for a password, a known device of this very account.
            candidate: for a password, what was typed, normalised; it is counted by a short keyed hash.

        Raises:
            Denied: THROTTLED, with ``retry_after``.
            StoreError: the counters cannot be reached, and the policy says "refuse"; recorded.
        """
        attempt = self.admit(kind, account=account, address=address)
        if kind == "password" and fold_login(account or ""):
            return self.narrow(
                attempt, account=account or "", account_id=account_id, device=device, candidate=candidate
            )
        return attempt

    def admit(self, kind: str, *, account: str | None, address: str | None) -> Attempt:
        """`reserve`; of a password only the visitor's own budget, so that a used-up one costs no look at the account.

        What it returns for a password goes to `narrow`.
        """
        prefix = address_prefix(address)
        lanes = self._lanes(kind, account, prefix)
        try:
            return self._admit(lanes, prefix)
        except StoreError as failure:
            error = failure
        self._down(kind, error)
        return Attempt(self, ())

    def narrow(
        self,
        attempt: Attempt,
        *,
        account: str,
        account_id: str | None,
        device: KnownDevice | None = None,
        candidate: str | None = None,
    ) -> Attempt:
        """For a password, the budgets of the name besides those of ``attempt``, which this replaces.

        Never raises `Denied`. The store is asked the same, and as much is written, whether somebody has the name or
        nobody, and whether its budget is used up or not.
        """
        name, prefix, before = fold_login(account), attempt._prefix, attempt.hold()
        try:
            return self._narrow(before, name, prefix, account_id, device, candidate)
        except StoreError as failure:
            error = failure
        with suppress(StoreError):
            self._give_back(before)
        self._down("password", error)
        return Attempt(self, ())

    def complete(self, units: Units) -> None:
        """After a full sign-in with these units: forget the failures of its own name and account, and no others.

        The address gets back this sign-in's unit. The budget that look-alike names share gets back what this very
        name took: `mïller` and `miller` may be two accounts, and the one must not wipe out guesses at the other.
        """
        try:
            self._complete(units)
            return
        except StoreError as failure:
            error = failure
        self._down("complete", error)

    def clear_account(self, *, login: str, account_id: str, address: str | None = None) -> None:
        """Forget the counters of one name and one account: a mailed unlock, a reset, an operator.

        Args:
            address: the visitor's, where it is the owner who asks: what was used from there at this name is forgotten
                too. What the address used at other names stays used.
        """
        name = fold_login(login)
        policy = self.policy
        keys = [self._key("password", policy.account, name), self._look_alike(name)]
        if address is not None:
            keys.append(self._pair(name, address_prefix(address)))
        keys += [self._cap(account_id, name, devices=devices)[2] for devices in (False, True)]
        keys += [key for kind in _CODES for _, _, key in self._codes(kind, account_id)]
        for key in dict.fromkeys(keys):
            self._store.clear(key)

    # -- the visitor's own budgets, and every kind but the password --------------------------------------------------

    def _admit(self, lanes: list[_Budget], prefix: str) -> Attempt:
        taken: Units = ()
        locked = None
        # One by one, the visitor's own budget first: a visitor who has used it up never touches an account's.
        for unit, lane, key in lanes:
            now = self._clock()
            try:
                take = self._take(lane, key, now)
            except StoreError:
                with suppress(StoreError):
                    self._give_back(taken)
                raise
            if take.ok:
                taken += ((unit, key, take.window),)
            elif unit in (_REQUEST, _CAP):
                # A mail that is not sent takes nothing: what it took of a budget before this one goes back.
                self._give_back(tuple(each for each in taken if each[0] == _REQUEST))
                taken = tuple(each for each in taken if each[0] != _REQUEST)
                locked = Reason.ACCOUNT_LOCKED
                break
            else:
                self._give_back(taken)
                raise Denied(Reason.THROTTLED, retry_after=max(take.resets_at - now, timedelta(seconds=1)))
        return Attempt(self, taken, prefix=prefix, locked=locked)

    def _lanes(self, kind: str, account: str | None, prefix: str) -> list[_Budget]:
        policy = self.policy
        if kind == "password":
            lanes = [self._budget(_ADDRESS, kind, policy.address, prefix)]
            if policy.portal is not None:
                lanes.insert(0, self._budget(_PORTAL, kind, policy.portal, ""))
            return lanes
        if kind in ("invitation", "meter"):
            lane = policy.invitation if kind == "invitation" else policy.meter
            return [self._budget(_ADDRESS, kind, lane, prefix)]
        if kind in _REQUESTS:
            lanes = [self._budget(_ADDRESS, kind, policy.request_address, prefix)]
            if name := fold_login(account or ""):
                lanes.append(self._budget(_REQUEST, kind, policy.request, name))
            return lanes
        if kind == "passkey" and not account:
            return [self._budget(_ADDRESS, kind, policy.passkey, prefix)]
        if kind not in self.KINDS:
            raise ConfigurationError(f"throttle: {kind!r} is none of {', '.join(self.KINDS)}")
        if not account:
            raise ConfigurationError(f"throttle: {kind} needs an account")
        if kind in _MAILS:
            return [self._budget(_REQUEST, kind, lane, account) for lane in (policy.mail, policy.mail_long)]
        if kind == "mailed":
            return [self._budget(_REQUEST, kind, _MAILED, account)]
        if kind == "device_request":
            return [self._budget(_REQUEST, kind, policy.request, account)]
        if kind == "verify":
            return [self._budget(_CODE, kind, policy.verify, account)]
        if kind == "step_up":
            # The devices' part: whoever has a session is no stranger, and strangers must not keep the owner from it.
            return [*self._codes(kind, account), self._cap(account, "", devices=True)]
        return self._codes(kind, account)

    def _codes(self, kind: str, account_id: str) -> list[_Budget]:
        policy = self.policy
        short = {
            "recovery_code": policy.recovery_code,
            "passkey": policy.passkey,
            "step_up": policy.step_up,
            "disabling": policy.disabling,
        }.get(kind, policy.second_factor)
        lanes = [short] if kind in ("passkey", "step_up") else [short, policy.second_factor_long]
        return [self._budget(_CODE, kind, lane, account_id) for lane in lanes]

    # -- the budgets of a name ---------------------------------------------------------------------------------------

    def _narrow(  # noqa: PLR0917
        self,
        before: Units,
        name: str,
        prefix: str,
        account_id: str | None,
        device: KnownDevice | None,
        candidate: str | None,
    ) -> Attempt:
        now = self._clock()
        lanes = self._of_name(name, prefix, account_id, device)
        tried = None if candidate is None or device is not None else self._tried(candidate, name, now)
        # All are asked, whatever the first one says: that one of them is used up must not show in the work.
        used_up = [self._used(lane, key, now) >= lane.limit for _, lane, key in lanes]
        if any(used_up):
            self._as_if(lanes, name, tried, now)
            return Attempt(self, before, prefix=prefix, name=name, locked=Reason.ACCOUNT_LOCKED)
        taken: Units = ()
        last = False
        try:
            for unit, lane, key in lanes:
                take = self._take(lane, key, now)
                if not take.ok:  # somebody took the last one since it was asked
                    self._give_back(taken)
                    return Attempt(self, before, prefix=prefix, name=name, locked=Reason.ACCOUNT_LOCKED)
                taken += ((unit, key, take.window),)
                last = last or (take.used == lane.limit and unit in (_NAME, _CAP))
            sprayed = 0
            if tried is not None:
                units, sprayed = self._try(tried, now)
                if not sprayed:
                    self._give_back(taken)
                    return Attempt(self, before, prefix=prefix, name=name, locked=Reason.PASSWORD_SPRAYED)
                taken += units
        except StoreError:
            with suppress(StoreError):
                self._give_back(taken)
            raise
        if device is not None and account_id is not None:
            # The owner is in: what strangers used of the cap is over. Their other budgets are as they were.
            taken += ((_CAP, self._cap(account_id, name, devices=False)[2], 0),)
        return Attempt(self, before + taken, prefix=prefix, name=name, used_up=last, sprayed=sprayed)

    def _of_name(
        self, name: str, prefix: str, account_id: str | None, device: KnownDevice | None
    ) -> list[_Budget]:
        policy = self.policy
        if device is not None:
            own = self._budget(_DEVICE, "password", policy.device, device.id)
            return [own, self._cap(account_id, name, devices=True)]
        return [
            # Before the account's: so one address alone does not use that up.
            (_PAIR, policy.account_address, self._pair(name, prefix)),
            self._budget(_NAME, "password", policy.account, name),
            (_LOOK_ALIKE, _plain(policy.account), self._look_alike(name)),
            self._cap(account_id, name, devices=False),
        ]

    def _as_if(self, lanes: list[_Budget], name: str, tried: _Tried | None, now: datetime) -> None:
        """Write as much as a try would that is not locked, to counters that decide nothing.

        So a locked name costs what another one does, and a try that is not tested takes nothing of its budget.
        """
        shadows = [(unit, lane.window) for unit, lane, _ in lanes]
        shadows += [] if tried is None else [("tried", _HOUR), ("candidate", _HOUR)]
        for which, window in shadows:
            lane = Lane(name=which, limit=_MANY, window=min(window, _HOUR))
            self._take(lane, self._key("locked", lane, name), now)

    def _tried(self, candidate: str, name: str, now: datetime) -> _Tried:
        """The counters of one password: a short hash of it under the portal's key, another one every hour."""
        lane = self.policy.candidate
        hour = unix_microseconds(now) // (lane.window // timedelta(microseconds=1))
        text = length_prefixed(str(hour).encode("ascii"), candidate.encode("utf-8"))
        short = self._mac("throttle-candidate", text)[:_FINGERPRINT].hex()
        return self._key("tried", lane, f"{short} {name}"), self._key("candidate", lane, short)

    def _try(self, tried: _Tried, now: datetime) -> tuple[Units, int]:
        """Count this name once for this password: the units, and at how many names it was tried (0: at too many)."""
        lane = self.policy.candidate
        own, all_names = tried
        first = self._store.take(own, limit=1, window=lane.window, now=now)
        if not first.ok:  # it was tried here before, so that once more tells nothing new
            self._used(lane, all_names, now)
            return (), -1
        take = self._take(lane, all_names, now)
        if not take.ok:
            self._give_back(((_TRIED, own, first.window),))
            return (), 0
        return ((_TRIED, own, first.window), (_CANDIDATE, all_names, take.window)), take.used

    def _suspect(self, name: str, prefix: str, sprayed: int, source: Source | None) -> None:
        source = source or Source()
        self._detection.failed(name=name, prefix=prefix, source=source, now=self._clock())
        self._detection.sprayed(sprayed, lane=self.policy.candidate, source=source)

    # -- keys and verbs ----------------------------------------------------------------------------------------------

    def _complete(self, units: Units) -> None:
        held = {unit: (key, window) for unit, key, window in units}
        for unit, key, window in units:
            if unit in _RETURNED:
                self._store.give_back(key, window=window)
            elif unit == _LOOK_ALIKE:
                for _ in range(self._own_units(held[_NAME][0], since=window)):
                    self._store.give_back(key, window=window)
        for unit, key, _ in units:
            if unit in _CLEARED:
                self._store.clear(key)

    def _own_units(self, key: str, *, since: int) -> int:
        """How many units a name holds, where all of them were taken in the look-alike window that began at ``since``."""
        lane = self.policy.account
        now = self._clock()
        seen = self._store.take(key, limit=0, window=lane.window, now=now)
        if seen.window < since:
            return 1  # some of them are of an older window: this sign-in's own is all that is sure
        return seen.used

    def _take(self, lane: Lane, key: str, now: datetime) -> Take:
        if lane.longest is None:
            return self._store.take(key, limit=lane.limit, window=lane.window, now=now)
        return self._store.take(
            key, limit=lane.limit, window=lane.window, now=now, longest=lane.longest, heals=lane.heals
        )

    def _used(self, lane: Lane, key: str, now: datetime) -> int:
        return self._store.take(key, limit=0, window=lane.window, now=now).used

    def _give_back(self, units: Units) -> None:
        for _, key, window in units:
            if window:
                self._store.give_back(key, window=window)

    def _cap(self, account_id: str | None, name: str, *, devices: bool) -> _Budget:
        """Consecutive failures of one password: strangers' and the devices' together are at most the cap.

        By the account, since only an account's failures may be kept for years: nobody's names share a few counters
        that never refuse.
        """
        policy = self.policy
        limit = policy.cap_devices if devices else policy.cap - policy.cap_devices
        lane = Lane(name="cap_devices" if devices else "cap", limit=limit, window=_FOR_EVER)
        if account_id is not None:
            return self._budget(_CAP, "password", lane, f"+{account_id}")
        bucket = self._mac("throttle-nobody", name.encode("utf-8"))[0] % _NOBODYS
        nobody = Lane(name=lane.name, limit=_MANY, window=_FOR_EVER)
        return self._budget(_CAP, "password", nobody, f"-{bucket}")

    def _pair(self, name: str, prefix: str) -> str:
        return self._key("password", self.policy.account_address, f"{prefix} {name}")

    def _look_alike(self, name: str) -> str:
        return self._key("password-look-alike", self.policy.account, _look_alike(name))

    def _budget(self, unit: str, kind: str, lane: Lane, subject: str) -> _Budget:
        return unit, lane, self._key(kind, lane, subject)

    def _key(self, kind: str, lane: Lane, subject: str) -> str:
        seconds = str(int(lane.window.total_seconds()))
        parts = (kind, lane.name, seconds, subject)
        return self._mac("throttle", length_prefixed(*(part.encode("utf-8") for part in parts))).hex()

    def _down(self, kind: str, error: StoreError) -> None:
        """The counters cannot be reached: recorded, and then as the policy says."""
        self._emit(
            SecurityEvent(
                name=Event.SYSTEM_CONTROL_FAILED,
                outcome=Outcome.ERROR,
                actor=SYSTEM,
                details={"control": "throttle", "kind": kind, "then": self.policy.store_down},
            )
        )
        if self.policy.store_down == "refuse":
            raise error


_Budget: TypeAlias = tuple[str, Lane, str]  # which unit, how much, its counter's key
_Tried: TypeAlias = tuple[str, str]


def _plain(lane: Lane) -> Lane:
    return Lane(name=lane.name, limit=lane.limit, window=lane.window)


def _look_alike(name: str) -> str:
    """A coarser name than the canonical login: accents dropped, so that "ádmin" has no budget apart from "admin".

    Databases whose collation ignores accents would find one account under both.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char)).casefold().strip()
    return bare or name
