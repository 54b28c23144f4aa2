"""``[passwords] breached``: which lists of leaked passwords a portal asks."""

from __future__ import annotations

from portalsec.auth.breached import BreachFile, Bundled
from portalsec.auth.breached_range import BreachRange
from portalsec.auth.ports import BreachSource
from portalsec.config.settings import Settings
from portalsec.errors import ConfigurationError

__all__ = ["open_breach_sources"]


def open_breach_sources(settings: Settings) -> tuple[BreachSource, ...]:
    """The list that comes with portalsec, then what the settings name: files, and servers of the range API.

    No server is asked yet: one that is down keeps no portal from its start.

    Raises:
        ConfigurationError: a file is missing, damaged or another; an address is not one. Names setting, file, remedy.
    """
    sources: list[BreachSource] = [Bundled()]
    problem = None
    for place in settings["passwords", "breached"]:
        try:
            if "://" in place:
                sources.append(BreachRange(place))
            else:
                sources.append(BreachFile(settings.base / place))
        except ConfigurationError as error:
            problem = str(error)
            break
    if problem is not None:
        raise ConfigurationError(f"{settings.source}: [passwords] breached: {problem}")
    return tuple(sources)
