"""`DeviceRule`: which devices a rule of the sign-in policy asks more of, by what their app says of them."""

from __future__ import annotations

from dataclasses import dataclass

from portalsec.auth.posture import DevicePosture, version_number
from portalsec.errors import ConfigurationError

__all__ = ["DeviceRule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRule:
    """Which devices a rule of the sign-in policy is about: those of ``platforms`` of which anything named here holds.

    What a posture does not tell counts as the worse answer: an app that says nothing of a broken-in device is treated as
    one that found it. A sign-in without any posture (every browser's) is meant by ``untold`` alone.

    Attributes:
        platforms: in lower case; empty: any. Alone: every device of these platforms.
        rooted, unattested, unlocked: its protections are off; its platform did not vouch for the app; nothing locks its
            screen.
        app_below, os_below: an older version than this, up to four dotted numbers below 1000.
        untold: nothing was sent at all.
    """

    platforms: frozenset[str] = frozenset()
    rooted: bool = False
    unattested: bool = False
    unlocked: bool = False
    app_below: str | None = None
    os_below: str | None = None
    untold: bool = False

    def __post_init__(self) -> None:
        platforms: object = self.platforms
        if not isinstance(platforms, frozenset) or not all(_is_name(each) for each in platforms):
            raise ConfigurationError("DeviceRule: platforms is a frozenset of names in lower case")
        for name in ("rooted", "unattested", "unlocked", "untold"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"DeviceRule: {name} is True or False")
        for name in ("app_below", "os_below"):
            given = getattr(self, name)
            if given is not None and not (isinstance(given, str) and version_number(given)):
                raise ConfigurationError(f'DeviceRule: {name} is a version such as "3.2"')
        if not (self.platforms or self.untold or self._doubts):
            raise ConfigurationError("DeviceRule: name at least one thing that a device is asked more for")

    def applies(self, posture: DevicePosture | None) -> bool:
        """Whether the rule is about this device. Pure; False without a posture, except by ``untold``."""
        if posture is None:
            return self.untold
        if self.platforms and posture.platform.lower() not in self.platforms:
            return False
        if not self._doubts:
            return bool(self.platforms)
        return (
            (self.rooted and posture.rooted is not False)
            or (self.unattested and posture.attested is not True)
            or (self.unlocked and posture.screen_lock is not True)
            or _older(posture.app_version, self.app_below)
            or _older(posture.os_version, self.os_below)
        )

    @property
    def _doubts(self) -> bool:
        return self.rooted or self.unattested or self.unlocked or bool(self.app_below or self.os_below)


def _is_name(text: object) -> bool:
    return isinstance(text, str) and text != "" and text == text.lower()


def _older(told: str | None, below: str | None) -> bool:
    if below is None:
        return False
    number, least = version_number(told), version_number(below)
    return number is None or least is None or number < least
