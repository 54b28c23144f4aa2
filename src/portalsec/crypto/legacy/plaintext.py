"""`Plaintext`: a column that was not encrypted yet, until a date."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from portalsec._encoding import unb64url
from portalsec.clock import Clock, system_clock
from portalsec.crypto._hidden import Hidden
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["Plaintext"]

_SMALLEST_CELL = 5 + 12 + 16  # prefix, nonce, tag


class Plaintext(Hidden):
    """Takes whatever is stored as the value. It reads everything, so it stands last in ``legacy=[...]``.

    Two things keep it from being a way around encryption for ever. It ends: from ``until`` on nothing is taken. And
    what looks like a cell is never taken as a value: it is one whose key is gone or not loaded yet, or one whose
    first bytes were changed, and re-encrypting it would bury the real value.
    """

    takes_anything = True

    def __init__(
        self, *, until: date | datetime, clock: Clock = system_clock, name: str = "plaintext"
    ) -> None:
        """
        Args:
            until: an aware datetime, or a date, which is taken to its end in UTC.
            clock: replaced in tests.

        Raises:
            ConfigurationError: neither of both, or a datetime without a time zone.
        """
        if isinstance(until, datetime):
            if until.utcoffset() is None:
                raise ConfigurationError("Plaintext(until=...) is a datetime with a time zone, or a date")
            self._until = until
        elif isinstance(until, date):
            self._until = datetime.combine(until, time(), UTC) + timedelta(days=1)
        else:
            raise ConfigurationError("Plaintext(until=...) is a datetime with a time zone, or a date")
        self._clock = clock
        self.name = name

    def read(self, data: bytes | str) -> object | None:
        """The data themselves.

        Raises:
            DecryptionError: "plaintext_expired" from ``until`` on; "unknown_key" for what looks like a cell.
        """
        if self._clock() >= self._until:
            raise DecryptionError("plaintext_expired")
        if _looks_like_a_cell(data):
            raise DecryptionError("unknown_key")
        return data


def _looks_like_a_cell(data: bytes | str) -> bool:
    if isinstance(data, str):
        try:
            data = unb64url(data)
        except ValueError:
            return False
    return len(data) >= _SMALLEST_CELL and data[:1] == b"\x01"
