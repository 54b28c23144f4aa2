"""English."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["SENTENCES"]

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        # what must be mended
        "too_short": "Use at least {least} characters; this has {length}. "
        "A few words that do not belong together are easy to remember.",
        "too_long": "Use at most {most} characters; this has {length}.",
        "unprintable": "Leave out tabs, line breaks and other signs that cannot be seen or are not known here.",
        "blank": "Use words or other characters that can be seen: spaces alone are no password.",
        "needs_letter": "Add a letter.",
        "needs_digit": "Add a number.",
        "needs_symbol": "Add a symbol such as ! or -. A space counts too.",
        "common": "This password is on the lists that attackers try first. "
        "Choose one that nobody else uses: a few words that do not belong together.",
        "breached": "Attackers have this password on their lists: it was leaked somewhere, or many people use it. "
        "Choose another, and change it wherever else you use it.",
        "personal": "This password is built from your own details or the portal's name, which attackers try first. "
        "Choose words that have nothing to do with you.",
        "guessable": "This password would be guessed quickly. Add a word or two that nobody would expect.",
        "same": "This is your present password. Choose a new one.",
        "reused": "You used this password before. Choose one that you never used here.",
        "unchecked_refused": "We could not check just now whether this password was leaked. "
        "Nothing was changed. Please try again in a few minutes.",
        # what would make it better
        "advice_personal": "Leave out your own details and the portal's name: attackers try them first.",
        "advice_repeat": "Repeated words and letters add almost nothing. Add a different word.",
        "advice_sequence": "Runs such as abc or 6543 add almost nothing. Add a word instead.",
        "advice_spatial": "Rows of keys such as qwerty add almost nothing. Add a word instead.",
        "advice_date": "Dates are easy to guess. Add a word instead.",
        "advice_year": "Years are easy to guess. Add a word instead.",
        "advice_dictionary": "Common words and names are tried first. Add a word or two that nobody would expect.",
        "advice_longer": "Add another word or two: length helps most.",
        "advice_other_keyboards": "Some keyboards cannot type all of these characters. "
        "Make sure that you can type them on every device you use.",
        "unchecked": "Whether this password was leaked will be checked when you save it.",
        # how strong it is
        "score_0": "Very weak",
        "score_1": "Weak",
        "score_2": "Fair",
        "score_3": "Good",
        "score_4": "Strong",
    }
)
