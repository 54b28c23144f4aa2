"""Ports for programs that are told theirs and bind it moments later."""

from __future__ import annotations

import socket
from contextlib import suppress
from secrets import choice

__all__ = ["free_port"]

# Below where systems take the ports of outgoing connections from (Linux: 32,768), with and without the 10,000 that
# a Redis node's second port lies above its first: nobody else's connection takes one in the meantime.
_CHOICE = range(12_000, 22_000)
_ABOVE = 10_000


def free_port() -> int:
    """A port of the loopback address that was free a moment ago, and so was the one 10,000 above it."""
    while True:
        port = choice(_CHOICE)
        with socket.socket() as first, socket.socket() as second, suppress(OSError):
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + _ABOVE))
            return port
