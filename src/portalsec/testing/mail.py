"""A mailbox for everybody."""

from __future__ import annotations

import threading

from portalsec.auth.ports import Message
from portalsec.errors import StoreError

__all__ = ["SentMail"]


class SentMail(list[Message]):
    """A `portalsec.auth.ports.Notifier` that keeps what it is given, in order; safe for concurrent use.

    It is a list: index it, count it, ``clear()`` it between the steps of a test. ``failing`` is raised instead, for as
    long as it is set; ``refusing`` maps an address to what is raised for it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.failing: Exception | None = None
        self.refusing: dict[str, StoreError] = {}
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Keep it."""
        if self.failing is not None:
            raise self.failing
        if message.to in self.refusing:
            raise self.refusing[message.to]
        with self._lock:
            self.append(message)

    def to(self, address: str) -> list[Message]:
        """What one address got."""
        return [message for message in self if message.to == address]
