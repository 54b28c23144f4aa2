"""How many tries there are: the budgets of each kind, and when numbers look like an attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from portalsec.errors import ConfigurationError

__all__ = ["NIST_CAP", "DetectionPolicy", "Lane", "ThrottlePolicy"]

NIST_CAP = 100
"""SP 800-63B-4 section 3.2.2: at most so many consecutive failed tries at one account's authenticator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One budget: ``limit`` tries in a ``window`` that starts with the first.

    Attributes:
        name: part of the counter's key, so that two lanes never share a counter.
        limit: at least 1.
        window: one second or longer.
        longest: where given, a window that follows one which was used up is twice as long as that, up to this.
        heals: how long after its end a window that was used up is held against the next; as ``longest`` where None.
    """

    name: str
    limit: int
    window: timedelta
    longest: timedelta | None = None
    heals: timedelta | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("Lane: give it a name; it keeps its counters apart from other lanes'")
        if self.limit < 1:
            raise ConfigurationError(f"throttle lane {self.name!r}: limit must be at least 1")
        if self.window < timedelta(seconds=1):
            raise ConfigurationError(f"throttle lane {self.name!r}: window must be one second or longer")
        if self.longest is not None and self.longest < self.window:
            raise ConfigurationError(f"throttle lane {self.name!r}: longest must not be shorter than window")
        if self.heals is not None and (self.longest is None or self.heals < timedelta(0)):
            raise ConfigurationError(
                f"throttle lane {self.name!r}: heals goes with longest and is not negative"
            )


_QUARTER, _HOUR, _DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)


def _lane(name: str, limit: int, window: timedelta) -> Lane:
    return Lane(name=name, limit=limit, window=window)


def _escalating(name: str, limit: int) -> Lane:
    return Lane(name=name, limit=limit, window=_QUARTER, longest=_HOUR, heals=_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPolicy:
    """From which numbers on `auth.attack_suspected` is recorded, once a window. It refuses nobody.

    Attributes:
        accounts: names that failed from one address prefix.
        password: names that one password was tried at, within the window of `ThrottlePolicy.candidate`.
        failures: failed passwords in the whole portal.
    """

    accounts: Lane = field(default_factory=lambda: _lane("accounts", 20, _HOUR))
    password: int = 10
    failures: Lane = field(default_factory=lambda: _lane("failures", 1000, timedelta(minutes=10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottlePolicy:
    """The budgets.

    Attributes:
        account: password tries at one sign-in name by strangers, and once more at all names that look like it.
        account_address: of these, those from one address prefix: one stranger does not use up the name's whole budget.
        address: password tries from one address prefix, whatever the name.
        device: password tries from a device that the owner has signed in from before, in place of ``account`` and
            ``account_address``.
        cap: consecutive tested failures of one password, whatever the time between them; SP 800-63B-4 section 3.2.2
            allows 100. Success, a mailed unlock or a reset begins it anew. As many wrong codes in a row are tested of those
            that go to one mailbox or number; nothing but a right one begins that anew.
        cap_devices: of these, how many are kept for the owner's known devices; one of them gets at most half of
            them, and is forgotten then.
        cap_step_up: of these, how many are kept for step-ups.
        candidate: names that one password may be tried at.
        portal: password tries in the whole portal; None refuses nobody, and `DetectionPolicy.failures` tells.
        second_factor: code tries for one account; one such budget each for sign-in and for enrolment.
        second_factor_long: the same over a long time. ``second_factor`` alone would let someone who has the password
            try 14,400 codes in 30 days, which is one chance in 24; with this it would be one in 220.
        recovery_code, passkey, step_up, disabling: tries for one account. Recovery codes and disabling have a
            ``second_factor_long`` of their own besides; a step-up counts into the password's ``cap_step_up``.
        request: mails asked for under one name, of each kind: a reset, an unlock, a registration, a sign-in.
        request_address: the same from one address prefix.
        verify: addresses to verify, for one account.
        mail, mail_long: mails to one account, and to one address: resets, unlocks, sign-in links, what confirms an
            address, and all others that a stranger can cause have one such pair each, and so have mails that a known
            device of the account asked for. The window of ``mail_long`` is the longest that an owner waits for a mail
            while others ask for it.
        code_sent: codes by mail or SMS for one account's sign-ins, and to one mailbox or number, none of which came back;
            ``mail_long`` bounds them too. Past it nobody is asked any more: it looks like somebody who waits for the
            owner to give in.
        code_total: codes by mail or SMS for one account, and to one mailbox or number whatever the accounts, those that
            came back too: each one costs the portal money, also where whoever asks for it owns the number. Far more
            than ``mail_long`` lets through in a day, since an owner's code that comes back begins that anew, and somebody
            with the password would use this up between two of them.
        meter: passwords to measure, from one address prefix.
        ceremony: passkeys asked for at the door before anybody showed anything (each visit to a sign-in page with
            autofill is one), from one address prefix.
        invitation: activation codes tried from one address prefix.
        store_down: what a try gets when the counters cannot be reached. Either way it is recorded.
        detection: when numbers look like an attack.
    """

    account: Lane = field(default_factory=lambda: _escalating("account", 20))
    account_address: Lane = field(default_factory=lambda: _escalating("account_address", 10))
    address: Lane = field(default_factory=lambda: _lane("address", 100, _HOUR))
    device: Lane = field(default_factory=lambda: _escalating("device", 10))
    cap: int = NIST_CAP
    cap_devices: int = 20
    cap_step_up: int = 10
    candidate: Lane = field(default_factory=lambda: _lane("candidate", 25, _HOUR))
    portal: Lane | None = None
    second_factor: Lane = field(default_factory=lambda: _lane("second_factor", 5, _QUARTER))
    second_factor_long: Lane = field(default_factory=lambda: _lane("second_factor_long", 50, _DAY))
    recovery_code: Lane = field(default_factory=lambda: _lane("recovery_code", 5, _HOUR))
    passkey: Lane = field(default_factory=lambda: _lane("passkey", 30, _QUARTER))
    step_up: Lane = field(default_factory=lambda: _lane("step_up", 5, _QUARTER))
    disabling: Lane = field(default_factory=lambda: _lane("disabling", 5, _QUARTER))
    request: Lane = field(default_factory=lambda: _lane("request", 5, _HOUR))
    request_address: Lane = field(default_factory=lambda: _lane("request_address", 20, _HOUR))
    verify: Lane = field(default_factory=lambda: _lane("verify", 10, _HOUR))
    mail: Lane = field(default_factory=lambda: _lane("mail", 5, _HOUR))
    mail_long: Lane = field(default_factory=lambda: _lane("mail_long", 10, timedelta(hours=6)))
    code_sent: Lane = field(default_factory=lambda: _lane("code_sent", 3, _HOUR))
    code_total: Lane = field(default_factory=lambda: _lane("code_total", 100, _DAY))
    meter: Lane = field(default_factory=lambda: _lane("meter", 240, timedelta(minutes=5)))
    ceremony: Lane = field(default_factory=lambda: _lane("ceremony", 240, timedelta(minutes=5)))
    invitation: Lane = field(default_factory=lambda: _lane("invitation", 20, _HOUR))
    store_down: Literal["refuse", "allow"] = "refuse"
    detection: DetectionPolicy = field(default_factory=DetectionPolicy)

    def __post_init__(self) -> None:
        if not 3 <= self.cap <= NIST_CAP:
            raise ConfigurationError(f"ThrottlePolicy: cap goes from 3 to {NIST_CAP} (SP 800-63B-4, 3.2.2)")
        if not (self.cap_devices >= 1 <= self.cap_step_up and self.cap_devices + self.cap_step_up < self.cap):
            raise ConfigurationError(
                "ThrottlePolicy: cap_devices and cap_step_up are at least 1 each, and less than cap together"
            )
        if not 2 <= self.detection.password <= self.candidate.limit:
            raise ConfigurationError(
                "ThrottlePolicy: detection.password goes from 2 to the limit of candidate, past which nothing is counted"
            )
        if self.store_down not in ("refuse", "allow"):
            raise ConfigurationError('ThrottlePolicy: store_down is "refuse" or "allow"')
