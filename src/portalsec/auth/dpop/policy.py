"""How long a proof is good for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from portalsec.errors import ConfigurationError

__all__ = ["DpopPolicy"]

_ZERO, _SECOND = timedelta(0), timedelta(seconds=1)
_MOST_WINDOW, _MOST_NONCE = timedelta(minutes=5), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopPolicy:
    """RFC 9449 leaves these to the server.

    Attributes:
        window: how old a proof may be, by our clock; "seconds or minutes" (section 11.1), at most 5 minutes.
        skew: how far in the future its time may lie, since clients' clocks differ; less than the window.
        nonce: whether a proof must hold a value that this portal gave out a short time ago (section 9). Without, whoever can
            use the key for a moment can make proofs for later.
        nonce_lifetime: how long such a value is good; at most an hour.
    """

    window: timedelta = timedelta(seconds=60)
    skew: timedelta = timedelta(seconds=5)
    nonce: bool = True
    nonce_lifetime: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        if not _ZERO < self.window <= _MOST_WINDOW:
            raise ConfigurationError(
                f"DpopPolicy(window={self.window}): more than nothing, at most {_MOST_WINDOW}"
            )
        if not _ZERO <= self.skew < self.window:
            raise ConfigurationError(f"DpopPolicy(skew={self.skew}): at least nothing, less than the window")
        if not _SECOND <= self.nonce_lifetime <= _MOST_NONCE:
            raise ConfigurationError(
                f"DpopPolicy(nonce_lifetime={self.nonce_lifetime}): a second or more, at most {_MOST_NONCE}"
            )
