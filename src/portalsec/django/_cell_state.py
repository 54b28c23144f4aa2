"""What an instance holds for an encrypted field: a cell of the database, a value that was assigned, or None.

Held in the instance's ``__dict__`` in place of the value, so that loading decrypts nothing and nothing that walks a
``__dict__`` (a pickle for the cache, a debugger's page) meets a plaintext.
"""

from __future__ import annotations

import base64
import binascii
import copy
from typing import Any, NoReturn, TypeAlias

from portalsec.crypto.codec import JSON
from portalsec.crypto.context import RowId

__all__ = [
    "HANDS_OVER",
    "MARK",
    "PLACES",
    "UNREAD",
    "Cell",
    "Place",
    "Plain",
    "RawCell",
    "SerialisedCell",
    "Tag",
]

Place: TypeAlias = "tuple[RowId | None, str | None, str | None]"
"""Row, tenant and subject: what a cell is bound to besides its labels."""

MARK = "portalsec:"
"""How a cell begins in a fixture."""

PLACES = "portalsec_places"
"""In an instance's ``_state``: what its cells are bound to in the database, by attribute."""

HANDS_OVER = "portalsec_hands_over"
"""In the ``_state`` of an instance that `refresh_from_db` copies from: its attributes give cells."""


_UNSAVED = "this instance has a value of an encrypted field that is not saved: save it before it is pickled"


class _Unread:
    def __repr__(self) -> str:
        return "not opened"


UNREAD: Any = _Unread()


class Cell:
    """A ciphertext as it stands in the database. ``bytes(cell)`` is the ciphertext; it is never shown as text.

    This is what ``values()``, ``values_list()`` and expressions give: they do not know the row, so they cannot open
    it. An instance opens its own.

    Attributes:
        label: table and column, for messages.
        place: what it is bound to, where that is known.
        value: the plaintext, once it was read.
        seen: the encoding of a mutable value when it was read, to tell whether it was changed since.
    """

    __slots__ = ("_data", "label", "place", "seen", "value")

    def __init__(self, data: bytes, label: str, place: Place | None = None, value: Any = UNREAD) -> None:
        self._data = data
        self.label = label
        self.place = place
        self.value = value
        self.seen: bytes | None = None

    def __bytes__(self) -> bytes:
        return self._data

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.label}, {len(self._data)} bytes>"

    def __eq__(self, other: object) -> bool:
        return self._data == other._data if isinstance(other, Cell) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._data)

    def changed(self) -> bool:
        """Whether a mutable value was changed in place since it was read."""
        return self.seen is not None and JSON.encode(self.value) != self.seen

    def __reduce__(self) -> tuple[Any, ...]:
        if self.changed():
            raise TypeError(_UNSAVED)
        # The plaintext stays here: a pickle of an instance goes to caches and queues.
        return type(self), (self._data, self.label, self.place)

    def __copy__(self) -> Cell:
        return self._again(self.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Cell:
        return self._again(self.value if self.value is UNREAD else copy.deepcopy(self.value, memo))

    def _again(self, value: Any) -> Cell:
        again = type(self)(self._data, self.label, self.place, value)
        again.seen = self.seen
        return again

    def to_text(self) -> str:
        """For a fixture."""
        return MARK + base64.urlsafe_b64encode(self._data).decode("ascii")


class SerialisedCell(Cell):
    """A cell that was read from a fixture; only ``loaddata`` may write it."""

    __slots__ = ()

    @classmethod
    def from_text(cls, text: str, label: str) -> SerialisedCell | None:
        """The cell of `Cell.to_text`; None for any other text."""
        if not text.startswith(MARK):
            return None
        try:
            return cls(base64.b64decode(text[len(MARK) :], altchars=b"-_", validate=True), label)
        except (binascii.Error, ValueError):
            return None


class RawCell(Cell):
    """A cell on its way through a raw save, which reads the attribute and knows no `pre_save`."""

    __slots__ = ()


class Plain:
    """A value that was assigned and not saved yet."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "<a value that is not saved yet, hidden>"

    def __copy__(self) -> Plain:
        return Plain(self.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Plain:
        return Plain(copy.deepcopy(self.value, memo))

    def __reduce__(self) -> NoReturn:
        raise TypeError(_UNSAVED)


class Tag(bytes):
    """A tag as it stands in the database, or will: to look for itself, and no value to make tags of.

    Attributes:
        older: tags of the same value under the other keys in use, where they are wanted.
    """

    older: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"<a tag of {len(self)} bytes>"
