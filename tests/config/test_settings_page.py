"""The settings page is the table of keys: neither can move without the other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from portalsec.config import settings as module
from portalsec.config.settings import KEYS
from tests.support import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"

HEAD = """# Settings

One `portalsec.toml`, the same as a mapping, or single keys from the environment. Two keys have no default.
What is not listed here is refused at start, with the nearest known name. An environment variable such as
`PORTALSEC__SESSIONS__IDLE=10m` overrides `idle` of `[sessions]`. The file says where the keys and the audit log are: one that
its group or others can write is refused, and so is one in a folder that everybody can write (without the sticky bit).

Durations are `"30s"`, `"15m"`, `"12h"` or `"2d"`. Budgets are tries per window: `"10/15m"`. Keys are references,
`"file:PATH"` or `"env:NAME"`, never the secret itself. Relative paths start at the settings file's folder. What `kek` may be
is said in [Keep keys in a key service](../how-to/keep-keys-in-a-key-service.md).
"""


def shown(default: object) -> str:
    if default is module._REQUIRED:
        return "**required**"
    if default is None:
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, timedelta):
        seconds = int(default.total_seconds())
        for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
            if seconds % size == 0:
                return f'`"{seconds // size}{unit}"`'
        return f'`"{seconds}s"`'
    if isinstance(default, tuple):
        return f'`"{default[0]}/{shown(default[1])[2:-2]}"`' if default else "`[]`"
    if isinstance(default, Mapping):
        return "`{}`"
    return f"`{default}`" if isinstance(default, int) else f'`"{default}"`'


def page() -> str:
    parts = [HEAD]
    for table, keys in KEYS.items():
        parts.append(f"\n## `[{table}]`\n\n| key | default | what it is |\n|---|---|---|\n")
        parts.extend(f"| `{key}` | {shown(spec.default)} | {spec.about} |\n" for key, spec in keys.items())
    return "".join(parts)


def test_the_settings_page_lists_every_key_with_its_default() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it anew: python -m tests.config.test_settings_page"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
