"""What a browser is called: in mails, among an account's devices and wherever else an owner reads of one."""

from __future__ import annotations

import re

__all__ = ["browser_words"]

_LONGEST = 512
_BROWSERS = (
    ("Edge", r"\bEdgA?/|\bEdgiOS/"),
    ("Opera", r"\bOPR/"),
    ("Samsung Internet", r"\bSamsungBrowser/"),
    ("Firefox", r"\bFirefox/|\bFxiOS/"),
    ("Chrome", r"\bChrome/|\bCriOS/|\bChromium/"),
    ("Safari", r"\bSafari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("Mac", r"\bMacintosh\b|\bMac OS X\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Linux", r"\bLinux\b|\bX11\b"),
)


def browser_words(user_agent: str | None) -> str:
    """Words such as Firefox / Windows, of a closed list, whatever the header says; empty where nothing is known. Pure.

    The same words in every place, so that somebody who compares a mail with the page finds the one in the other; and
    no language, since a device keeps them for longer than its owner keeps one.
    """
    text = (user_agent or "")[:_LONGEST]
    found = (
        next((name for name, pattern in names if re.search(pattern, text)), "")
        for names in (_BROWSERS, _SYSTEMS)
    )
    return " / ".join(name for name in found if name)
