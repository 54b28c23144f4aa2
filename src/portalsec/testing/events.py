"""An audit log that is a list."""

from __future__ import annotations

from portalsec.events import SecurityEvent

__all__ = ["CapturedEvents"]


class CapturedEvents(list[SecurityEvent]):
    """A `portalsec.typing.Emit` that keeps what it is given, in order.

    It is a list: index it, count it, ``clear()`` it between the steps of a test.
    """

    def __call__(self, event: SecurityEvent) -> None:
        self.append(event)

    @property
    def names(self) -> list[str]:
        """The events' names in order, as plain text."""
        return [str(event.name) for event in self]

    @property
    def last(self) -> SecurityEvent:
        """The newest event; fails the test, with a sentence, where there is none."""
        if not self:
            raise AssertionError("no event was emitted")
        return self[-1]

    def named(self, name: str) -> list[SecurityEvent]:
        """The events of one name, in order."""
        return [event for event in self if event.name == name]
