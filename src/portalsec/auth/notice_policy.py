"""`NoticePolicy`: when an owner is written to, in which language, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portalsec.auth.throttle import Lane
from portalsec.errors import ConfigurationError

__all__ = ["NoticePolicy"]

_SIGN_INS = Lane(name="sign_in_mails", limit=5, window=timedelta(days=1))
_LOCKED = Lane(name="locked_mails", limit=1, window=timedelta(days=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePolicy:
    """What is told and how.

    Attributes:
        links: whether a notice has a "this wasn't me" link. Without, it says to open the portal as usual. Mail that
            somebody asked for (a reset, a confirmation) has its link either way, since it is nothing without.
        language: of those whose language the application does not tell, "en" or "es".
        keep: how long notices are kept.
        unfinished_after: how long after a right password that no second factor followed mail is due.
        disavow_for: how long after a notice its link works.
        attempts: how often delivery of one mail is tried.
        retry_after: between the first try and the second; four times as long before each further one.
        lease: how long a worker may take for one mail; after it another worker takes over.
        sign_in_mails: mails to one account about new devices, and as many about unfinished sign-ins; what happens
            beyond is listed on the signed-in page, so that sign-ins cannot bomb a mailbox.
        locked_mails: mails to one account about its budget of tries being used up, which any stranger can bring about.
    """

    links: bool = True
    language: str = "en"
    keep: timedelta = timedelta(days=400)
    unfinished_after: timedelta = timedelta(minutes=5)
    disavow_for: timedelta = timedelta(days=30)
    attempts: int = 5
    retry_after: timedelta = timedelta(minutes=2)
    lease: timedelta = timedelta(minutes=5)
    sign_in_mails: Lane = _SIGN_INS
    locked_mails: Lane = _LOCKED

    def __post_init__(self) -> None:
        if not timedelta(seconds=30) <= self.unfinished_after <= timedelta(hours=1):
            raise ConfigurationError("NoticePolicy: unfinished_after goes from 30 seconds to one hour")
        if not timedelta(hours=1) <= self.disavow_for <= timedelta(days=365):
            raise ConfigurationError("NoticePolicy: disavow_for goes from one hour to 365 days")
        if self.keep < self.disavow_for:
            raise ConfigurationError(
                "NoticePolicy: keep is shorter than disavow_for: a link needs its notice"
            )
        if not 1 <= self.attempts <= 20:
            raise ConfigurationError("NoticePolicy: attempts goes from 1 to 20")
        if not timedelta(seconds=1) <= self.retry_after <= timedelta(hours=1):
            raise ConfigurationError("NoticePolicy: retry_after goes from one second to one hour")
        if not timedelta(minutes=1) <= self.lease <= timedelta(hours=1):
            raise ConfigurationError("NoticePolicy: lease goes from one minute to one hour")

    def pause(self, attempts: int) -> timedelta:
        """How long to wait after the so many-th failed attempt, at least one: 2, 8, 32, 128 minutes; a day at most."""
        times: int = 4 ** min(attempts - 1, 10)
        return min(self.retry_after * times, timedelta(days=1))
