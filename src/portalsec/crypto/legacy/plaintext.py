"""`Plaintext`: a column that was not encrypted yet, until a date."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from portalsec.clock import Clock, system_clock
from portalsec.crypto._hidden import Hidden
from portalsec.crypto.legacy._looks import may_be_sealed
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["Plaintext"]


class Plaintext(Hidden):
    """Takes whatever is stored as the value. It reads everything, so it stands last in ``legacy=[...]``.

    Two things keep it from being a way around encryption for ever. It ends: from ``until`` on nothing is taken. And
    nothing is taken that may be a ciphertext, under whatever key and however damaged: re-encrypting it would bury the
    real value. That is everything as long as one that is noise to look at: 17 bytes or more that are no text in UTF-8, and
    32 characters or more without words, as base64 and hexadecimal digits are.

    So it reads what people write. Plaintext that is itself noise (keys, tokens, pictures, hashes) is refused: encrypt
    it into another column (`portalsec.crypto.rotation.Encrypt`), where nothing has to be guessed, or write a reader that
    knows its format. What is shorter than a ciphertext is taken: 16 bytes of a cell hold nothing of its value.

    A field whose keyset has a RAW key refuses this reader, since such a key does not mark what it wrote.
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
            DecryptionError: "plaintext_expired" from ``until`` on; "may_be_ciphertext" for noise.
        """
        if self._clock() >= self._until:
            raise DecryptionError("plaintext_expired")
        if may_be_sealed(data):
            raise DecryptionError("may_be_ciphertext")
        return data
