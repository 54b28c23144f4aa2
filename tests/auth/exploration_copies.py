"""Copies of the world of `tests.auth.exploration`, which are taken and put back at every step of the way."""

from __future__ import annotations

from typing import Any

__all__ = ["Copies"]


class Copies:
    """The part of the world that is saved and loaded: the time, every dict in ``places``, and what browsers hold."""

    now: Any
    places: list[tuple[dict[str, Any], str]]
    browsers: list[Any]

    def save(self) -> Any:
        return (
            self.now,
            [place[name].copy() for place, name in self.places],
            [vars(browser).copy() for browser in self.browsers],
        )

    def load(self, saved: Any) -> None:
        """Put a copy back. Browsers stay the same objects: events that were listed before
        work on them."""
        now, held, browsers = saved
        self.now = now
        for (place, name), values in zip(self.places, held, strict=True):
            if place[name] != values:
                place[name] = values.copy()
        for browser, values in zip(self.browsers, browsers, strict=True):
            if vars(browser) != values:
                vars(browser).update(values)

    def differs(self, saved: Any) -> bool:
        """Whether anything happened since."""
        now, held, browsers = saved
        return (
            self.now != now
            or any(place[name] != values for (place, name), values in zip(self.places, held, strict=True))
            or any(vars(browser) != values for browser, values in zip(self.browsers, browsers, strict=True))
        )
