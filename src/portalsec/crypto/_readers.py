"""The legacy readers of one field: asked in their order, counted, and never about what is ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import get_ident
from typing import Any

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.codec import Codec
from portalsec.crypto.ports import LegacyReader
from portalsec.errors import ConfigurationError, DecryptionError

__all__ = ["Readers"]


class Readers(Hidden):
    """Safe to share between threads."""

    def __init__(self, readers: Sequence[LegacyReader], codec: Codec[Any], where: str) -> None:
        """Raises `ConfigurationError` for what is no reader, and where two have one name."""
        self._readers = tuple(readers)
        self._codec = codec
        # Each thread counts by itself, so that none is lost and there is no lock that a fork could leave locked.
        self._counts: dict[tuple[str, int], int] = {}
        names: set[str] = set()
        for reader in self._readers:
            name = getattr(reader, "name", None)
            if not isinstance(name, str) or not name or not callable(getattr(reader, "read", None)):
                raise ConfigurationError(
                    f"legacy of {where} holds a {type(reader).__name__}, which is no reader: "
                    "list readers of portalsec.crypto.legacy, or objects with a name and a method read"
                )
            if name in names:
                raise ConfigurationError(
                    f"two legacy readers of {where} are named {name!r}: give one of them another name"
                )
            names.add(name)
            if getattr(reader, "takes_anything", False) and reader is not self._readers[-1]:
                raise ConfigurationError(
                    f"the legacy reader {name!r} of {where} takes anything: list it last"
                )
        self.takes_anything = any(getattr(reader, "takes_anything", False) for reader in self._readers)

    def __len__(self) -> int:
        return len(self._readers)

    @property
    def counts(self) -> Mapping[str, int]:
        """A copy: how many values each reader has opened in this process."""
        counts = {reader.name: 0 for reader in self._readers}
        for (name, _), count in list(self._counts.items()):
            counts[name] += count
        return counts

    def read(self, data: object, otherwise: str) -> Any:
        """The value. Raises `DecryptionError`: of the reader whose format it is, or ``otherwise`` if it is nobody's."""
        if isinstance(data, (bytearray, memoryview)):
            data = bytes(data)
        if not isinstance(data, (bytes, str)):
            raise DecryptionError(otherwise)
        for reader in self._readers:
            found = reader.read(data)
            if found is not None:
                value = self._convert(found)
                mine = (reader.name, get_ident())
                self._counts[mine] = self._counts.get(mine, 0) + 1
                return value
        raise DecryptionError(otherwise)

    def _convert(self, found: object) -> Any:
        from portalsec.crypto.legacy import convert

        try:
            return convert(found, self._codec)
        except (TypeError, ValueError, OverflowError):
            pass  # outside the handler: the error may hold the value
        raise DecryptionError("not_convertible")
