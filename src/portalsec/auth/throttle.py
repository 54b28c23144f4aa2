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
_DAY = timedelta(days=1)  # how long the cap of a name that nobody has is kept
_FINGERPRINT = 3  # bytes: enough to tell the passwords of an hour apart, too few to tell what one was

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
_SENT = "sent"  # neither returned nor cleared: a message was paid for, whatever came of it
_RETURNED = frozenset({_ADDRESS, _PORTAL, _CANDIDATE, _TRIED})  # by success: this sign-in's own unit, no more
_CLEARED = frozenset({_NAME, _PAIR, _CAP, _DEVICE, _CODE})  # by success: it is the account's own

_PARTS = ("strangers", "devices", "step_up")
_CODES = ("second_factor", "enrolment", "recovery_code", "passkey", "step_up", "disabling")
_REQUESTS = ("reset", "unlock", "registration", "link")
_MAILS = ("mail", "reset_mail", "unlock_mail", "link_mail", "verify_mail", "device_mail")
_MAILED = Lane(name="mailed", limit=1, window=timedelta(days=7))


class Attempt:
    """Units that were taken for one try; settle it once. Left unsettled, they stay taken.

    Attributes:
        locked: why the secret must not be looked at, or None. Do the work and give the answer of a wrong one.
        used_up: whether this try took the last unit of the name's budget: if it fails, the name is locked now.
        device_used_up: the same of the device's own budget: if it fails, the device is to be forgotten.
    """

    __slots__ = ("_name", "_prefix", "_sprayed", "_taken", "_throttle", "device_used_up", "locked", "used_up")

    def __init__(
        self,
        throttle: Throttle,
        taken: Units,
        *,
        prefix: str = "",
        name: str = "",
        locked: Reason | None = None,
        used_up: bool = False,
        device_used_up: bool = False,
        sprayed: tuple[int, str] | None = None,
    ) -> None:
        self._throttle = throttle
        self._taken = taken
        self._prefix = prefix
        self._name = name
        self._sprayed = sprayed
        self.locked = locked
        self.used_up = used_up
        self.device_used_up = device_used_up

    @property
    def units(self) -> Units:
        """What it holds now, for a later `Throttle.complete`; it stays this attempt's to settle."""
        return self._taken

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
        "code_sent",
        "code_tried",
        *_MAILS,
        "mailed",
        "meter",
        "ceremony",
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
        second_factor, recovery_code,    the account id  its own, and a long one
        disabling
        enrolment                        the account id  its own, and a long one
        passkey                          the account id  its own; of the address where there is none
        step_up                          the account id  its own, (a cap of its own)
        reset, unlock, registration,     the name        address, (the name)
        link
        device_request                   the device's id (the device), in place of a request's two
        mail, reset_mail, unlock_mail,   the account id  (the account), (the account, long); each kind its own
        link_mail, verify_mail,          or an address
        device_mail
        mailed                           the mail        once: the mail has its units already where it is locked
        verify                           the account id  the account
        code_sent                        the account id  its own, and a long one, which a code that comes back begins
                                         or a mailbox    anew; a day's, which nothing does
        code_tried                       where codes go  (100 in a row), which a code that comes back begins anew
        meter, ceremony, invitation      None            address
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

    def beyond_the_address(self, *, address: str | None) -> Attempt:
        """Where `admit` refused a password and a known device of the account was shown: what goes to `narrow` then.

        Whoever else is behind that address must not keep the owner's device out; its own budget decides.
        """
        return Attempt(self, (), prefix=address_prefix(address))

    def clear_account(self, *, login: str, account_id: str, address: str | None = None) -> None:
        """Forget the password's counters of one name and one account: a mailed unlock, a reset, an operator.

        Those of codes stay: whoever has the password and the mailbox must not get more tries at the second factor.

        Args:
            address: the visitor's, where it is the owner who asks: what was used from there at this name is forgotten
                too. What the address used at other names stays used.
        """
        name = fold_login(login)
        policy = self.policy
        keys = [self._key("password", policy.account, name), self._look_alike(name)]
        if address is not None:
            keys.append(self._pair(name, address_prefix(address)))
        keys += [key for _, _, key in self._caps(account_id, name)]
        keys += [key for _, _, key in self._codes("step_up", account_id)]
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
                # Last: whoever has none of their own left takes nothing of everybody's.
                lanes.append(self._budget(_PORTAL, kind, policy.portal, ""))
            return lanes
        by_address = {"invitation": policy.invitation, "meter": policy.meter, "ceremony": policy.ceremony}
        if (lane := by_address.get(kind)) is not None:
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
        if kind == "code_sent":
            until_proven = (policy.code_sent, policy.mail_long)
            lanes = [self._budget(_CODE, kind, lane, account) for lane in until_proven]
            return [*lanes, self._budget(_SENT, kind, policy.code_total, account)]
        if kind == "code_tried":
            in_a_row = Lane(name="code_cap", limit=policy.cap, window=_FOR_EVER)
            return [self._budget(_CAP, kind, in_a_row, account)]
        if kind == "verify":
            return [self._budget(_CODE, kind, policy.verify, account)]
        if kind == "step_up":
            # A part of its own: neither strangers nor a copied device keep the owner from it.
            return [*self._codes(kind, account), self._cap(account, "", "step_up")]
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
        full = {unit for unit, lane, key in lanes if self._used(lane, key, now) >= lane.limit}
        if full:
            last = self._as_if(lanes, name, tried, now, capped=full == {_CAP})
            return Attempt(self, before, prefix=prefix, name=name, locked=Reason.ACCOUNT_LOCKED, used_up=last)
        taken: Units = ()
        last = forget = False
        try:
            for unit, lane, key in lanes:
                take = self._take(lane, key, now)
                if not take.ok:  # somebody took the last one since it was asked
                    self._give_back(taken)
                    return Attempt(self, before, prefix=prefix, name=name, locked=Reason.ACCOUNT_LOCKED)
                taken += ((unit, key, take.window),)
                last = last or (take.used == lane.limit and unit in (_NAME, _CAP))
                forget = forget or (take.used == lane.limit and unit == _DEVICE)
            sprayed = None
            if tried is not None:
                units, used = self._try(tried, now)
                if not used:
                    self._give_back(taken)
                    return Attempt(self, before, prefix=prefix, name=name, locked=Reason.PASSWORD_SPRAYED)
                taken += units
                sprayed = used, tried[1]
        except StoreError:
            with suppress(StoreError):
                self._give_back(taken)
            raise
        if account_id is not None:
            # A complete sign-in ends every part of the cap, whoever used it up. Other budgets are as they were.
            own = {key for _, key, _ in taken}
            taken += tuple((u, key, 0) for u, _, key in self._caps(account_id, name) if key not in own)
        return Attempt(
            self,
            before + taken,
            prefix=prefix,
            name=name,
            used_up=last,
            device_used_up=forget,
            sprayed=sprayed,
        )

    def _of_name(
        self, name: str, prefix: str, account_id: str | None, device: KnownDevice | None
    ) -> list[_Budget]:
        policy = self.policy
        if device is not None:
            # Whatever the time between them: one copy of a cookie must not use up what all devices share.
            most = max(1, min(policy.device.limit, policy.cap_devices // 2))
            in_a_row = Lane(name="device_cap", limit=most, window=_FOR_EVER)
            return [
                self._budget(_DEVICE, "password", policy.device, device.id),
                self._budget(_DEVICE, "password", in_a_row, device.id),
                self._cap(account_id, name, "devices"),
            ]
        return [
            # Before the account's: so one address alone does not use that up.
            (_PAIR, policy.account_address, self._pair(name, prefix)),
            self._budget(_NAME, "password", policy.account, name),
            (_LOOK_ALIKE, _plain(policy.account), self._look_alike(name)),
            self._cap(account_id, name, "strangers"),
        ]

    def _as_if(
        self, lanes: list[_Budget], name: str, tried: _Tried | None, now: datetime, *, capped: bool
    ) -> bool:
        """Write as much as a try would that is not locked; whether it used up the name's budget.

        So a locked name costs what another one does, and a try that is not tested takes nothing of its budget. Where
        only the cap is used up (``capped``) the others go on as they do for a name of nobody, which has none for long.
        """
        last = False
        for unit, lane, key in lanes:
            if capped and unit != _CAP:
                take = self._take(lane, key, now)
                last = last or (take.ok and take.used == lane.limit and unit == _NAME)
            else:
                shadow = Lane(name=unit, limit=_MANY, window=min(lane.window, _HOUR))
                self._take(shadow, self._key("locked", shadow, name), now)
        if tried is not None:
            own, _ = tried
            window = self.policy.candidate.window
            lane = Lane(name="candidate", limit=_MANY, window=window)
            # As `_try` does, where the password is one that was not tried here and one that was.
            self._try(
                (f"{own[:32]}{self._key('locked', lane, name)[:32]}", self._key("locked", lane, name)), now
            )
        return last

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
        # Three calls in any case. A name is marked only by one who has a unit of all names' budget, so that of two
        # tries at once none finds the mark of another that is refused then.
        if self._used(lane, own, now):  # it was tried here before: once more tells nothing new
            self._used(lane, all_names, now)
            self._used(lane, own, now)
            return (), -1
        take = self._take(lane, all_names, now)
        if not take.ok:
            return (), -1 if self._used(lane, own, now) else 0
        try:
            first = self._store.take(own, limit=1, window=lane.window, now=now)
        except StoreError:
            with suppress(StoreError):
                self._store.give_back(all_names, window=take.window)
            raise
        if not first.ok:
            self._store.give_back(all_names, window=take.window)
            return (), -1
        return ((_TRIED, own, first.window), (_CANDIDATE, all_names, take.window)), take.used

    def _suspect(
        self, name: str, prefix: str, sprayed: tuple[int, str] | None, source: Source | None
    ) -> None:
        source = source or Source()
        self._detection.failed(name=name, prefix=prefix, source=source, now=self._clock())
        if sprayed is not None:
            used, key = sprayed
            self._detection.sprayed(used, key, lane=self.policy.candidate, source=source, now=self._clock())

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

    def _caps(self, account_id: str, name: str) -> list[_Budget]:
        return [self._cap(account_id, name, part) for part in _PARTS]

    def _cap(self, account_id: str | None, name: str, part: str) -> _Budget:
        """Consecutive failures of one password: strangers', the devices' and step-ups together are at most the cap.

        By the account, since only an account's failures may be kept for years: those at names of nobody go after a day.
        """
        policy = self.policy
        limit = {
            "strangers": policy.cap - policy.cap_devices - policy.cap_step_up,
            "devices": policy.cap_devices,
            "step_up": policy.cap_step_up,
        }[part]
        names = {"strangers": "cap", "devices": "cap_devices", "step_up": "cap_step_up"}
        lane = Lane(name=names[part], limit=limit, window=_FOR_EVER if account_id is not None else _DAY)
        return self._budget(_CAP, "password", lane, f"-{name}" if account_id is None else f"+{account_id}")

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
