"""What a policy refuses, in the words of whoever writes settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from portalsec.config.settings import Settings
from portalsec.errors import ConfigurationError

__all__ = ["made", "said_of"]

_Made = TypeVar("_Made")
_CLASS = re.compile(r"^[A-Z]\w*: ")
_LANE = re.compile(r"^throttle lane '(\w+)': ")


def said_of(settings: Settings, table: str, problem: str, **keys: str) -> ConfigurationError:
    """The same problem in the words of whoever writes settings: file, table and key, and no name of the code.

    Args:
        keys: the key of a field that is called otherwise.
    """
    text = _LANE.sub(r"\1: ", _CLASS.sub("", problem)).removesuffix(", or None")
    for field, key in keys.items():
        text = re.sub(rf"(?<!\w){re.escape(field)}(?!\w)", key, text)
    return ConfigurationError(f"{settings.source}: [{table}] {text}")


def made(settings: Settings, table: str, make: Callable[[], _Made], **keys: str) -> _Made:
    """What ``make`` makes of one table's settings.

    Raises:
        ConfigurationError: what it refuses, as `said_of` has it.
    """
    try:
        return make()
    except ConfigurationError as error:
        problem = str(error)
    raise said_of(settings, table, problem, **keys)
