"""What tests of an application, and our own, need: a frozen clock, predictable ids, captured events, contracts."""

from portalsec.testing.authenticator import SoftAuthenticator
from portalsec.testing.clock import FrozenClock
from portalsec.testing.dpop import DpopClient
from portalsec.testing.events import CapturedEvents
from portalsec.testing.ids import SequentialIds
from portalsec.testing.mail import SentMail
from portalsec.testing.totp import current_totp

__all__ = [
    "CapturedEvents",
    "DpopClient",
    "FrozenClock",
    "SentMail",
    "SequentialIds",
    "SoftAuthenticator",
    "current_totp",
]
