"""Types that more than one part of portalsec speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from portalsec.events import SecurityEvent

__all__ = ["Emit", "JSONScalar", "JSONValue", "NewId"]

JSONScalar: TypeAlias = str | int | float | bool | None
JSONValue: TypeAlias = "JSONScalar | list[JSONValue] | dict[str, JSONValue]"

NewId: TypeAlias = Callable[[], str]
"""Returns a fresh unique id: UUIDv7 text in production, sequential in tests."""

Emit: TypeAlias = Callable[[SecurityEvent], None]
"""Hands an event to the audit log; returns when it is durable, raises `AuditUnavailable` otherwise."""
