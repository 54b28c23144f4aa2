"""`Zoned`: datetimes that were stored without their time zone."""

from __future__ import annotations

from datetime import datetime, tzinfo

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.legacy.convert import convert_datetime
from portalsec.crypto.ports import LegacyReader
from portalsec.errors import DecryptionError

__all__ = ["Zoned"]


class Zoned(Hidden):
    """Another reader, whose datetimes without a zone are of this zone: only you know which one they were written in."""

    def __init__(self, reader: LegacyReader, zone: tzinfo) -> None:
        """For a field of type datetime. ``zone`` is `datetime.UTC`, or a `zoneinfo.ZoneInfo`."""
        self._reader = reader
        self._zone = zone
        self.takes_anything = getattr(reader, "takes_anything", False)
        self.name = reader.name

    def read(self, data: bytes | str) -> object | None:
        """The datetime, with its own zone where it has one. Raises `DecryptionError` as the reader does."""
        found = self._reader.read(data)
        if found is None:
            return None
        try:
            moment: datetime | None = convert_datetime(found)
        except (TypeError, ValueError):
            moment = None  # outside the handler: the error may hold the value
        if moment is None:
            raise DecryptionError("not_convertible")
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=self._zone)
