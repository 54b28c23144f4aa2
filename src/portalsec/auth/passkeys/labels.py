"""The owner's name for a passkey, as it may stand on pages and in mail."""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["DEFAULT_LABEL", "MAX_LABEL", "label_text"]

DEFAULT_LABEL: Final = "Passkey"
MAX_LABEL: Final = 64


def label_text(label: object, default: str = DEFAULT_LABEL) -> str:
    """What a person typed, at most 64 characters on one line, without what reorders or hides it.

    ``default`` where nothing is left, or it was no text.
    """
    if not isinstance(label, str):
        return default
    shown = "".join(
        " " if char.isspace() else char
        for char in label[: 4 * MAX_LABEL]
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    return " ".join(shown.split())[:MAX_LABEL].strip() or default
