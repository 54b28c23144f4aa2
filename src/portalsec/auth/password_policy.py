"""`PasswordPolicy`: what a new password must be, and the sentences that say what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from portalsec.auth._input import password_text
from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = ["PasswordPolicy", "PasswordRefused", "Problem"]

_ADVICE = {
    "repeat": "Repeated words and letters add almost nothing.",
    "sequence": "Runs such as abc or 6543 add almost nothing.",
    "spatial": "Rows of keys such as qwerty add almost nothing.",
    "date": "Dates add almost nothing.",
    "regex": "Years add almost nothing.",
    "dictionary": "Single common words, names and known passwords are tried first.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing to mend.

    Attributes:
        id: "too_short", "too_long", "common", "personal" or "guessable"; for translations.
        text: an English sentence that says what to do. It never holds the password.
    """

    id: str
    text: str


class PasswordRefused(Denied):
    """A new password was refused; ``problems`` may be shown to the person who chose it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(Reason.PASSWORD_REFUSED)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """Rules for new passwords; stored ones are never judged anew.

    Attributes:
        min_length: code points, where the password is the only factor.
        min_length_with_second_factor: code points, where a second factor is always asked for.
        max_length: code points; at least 64 must be accepted.
        min_guesses_log10: the fewest guesses (as a power of ten, estimated by zxcvbn) that a password must stand.
            It stands for a blocklist of the likeliest 10**n passwords, computed for each person's own words instead
            of listed.
        blocklist: whole passwords that are refused besides zxcvbn's list of common ones, in any case.
        words: the portal's own names; using them counts as easy to guess.
    """

    min_length: int
    min_length_with_second_factor: int
    max_length: int
    min_guesses_log10: float
    blocklist: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()

    NIST_800_63B_4: ClassVar[PasswordPolicy]
    """NIST SP 800-63B-4 section 3.1.1.2: 15 characters alone, 8 with a second factor, 64 and more accepted, no rules
    on kinds of character, no expiry, a blocklist of common, expected and context-specific passwords."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_length_with_second_factor <= self.min_length <= self.max_length:
            raise ConfigurationError(
                "PasswordPolicy: lengths must satisfy "
                "1 <= min_length_with_second_factor <= min_length <= max_length"
            )
        if not 64 <= self.max_length <= 1024:
            raise ConfigurationError(
                "PasswordPolicy: max_length goes from 64 (SP 800-63B-4) to 1024 (the hash's input guard)"
            )
        if not 0 <= self.min_guesses_log10 <= 20:
            raise ConfigurationError("PasswordPolicy: min_guesses_log10 goes from 0 to 20")
        object.__setattr__(self, "blocklist", frozenset(entry.casefold() for entry in self.blocklist))

    def with_words(self, words: Iterable[str]) -> PasswordPolicy:
        """The same policy with the portal's own names added."""
        return replace(self, words=(*self.words, *words))

    def check_password(
        self, password: object, *, about: Sequence[str] = (), with_second_factor: bool
    ) -> tuple[Problem, ...]:
        """List what is wrong with a new password; empty where it may be used.

        Args:
            password: as typed; judged in NFC, its length in code points.
            about: the person's own words (name, e-mail address, birth date).
            with_second_factor: whether every sign-in asks for a second factor too.

        Raises:
            Denied: MALFORMED where it is not text, is empty, or is over 1024 bytes; nothing was scored.
        """
        text = password_text(password)
        least = self.min_length_with_second_factor if with_second_factor else self.min_length
        if len(text) < least:
            # Nothing is scored: what else is wrong can wait until it is long enough.
            return (
                Problem(
                    id="too_short",
                    text=f"Use at least {least} characters; this has {len(text)}. "
                    "A few words that do not belong together are easy to remember.",
                ),
            )
        if len(text) > self.max_length:
            return (Problem(id="too_long", text=f"Use at most {self.max_length} characters."),)
        return self._guessable(text, (*about, *self.words))

    def _guessable(self, text: str, words: Sequence[str]) -> tuple[Problem, ...]:
        # Here, so that the word lists load with the first new password and not with the first import.
        from portalsec.auth.strength import estimate_strength, is_common, own_words

        if text.casefold() in self.blocklist or is_common(text):
            return (
                Problem(
                    id="common",
                    text="This password is on the lists that attackers try first. "
                    "Choose one that nobody else uses: a few words that do not belong together.",
                ),
            )
        if _little_else(text, own_words(words)):
            return (_PERSONAL,)
        found = estimate_strength(text, words)
        if found.guesses_log10 >= self.min_guesses_log10:
            return ()
        if found.personal:
            return (_PERSONAL,)
        advice = next((_ADVICE[pattern] for pattern in found.patterns if pattern in _ADVICE), "")
        return (
            Problem(
                id="guessable",
                text=f"This password would be guessed quickly. {advice} "
                "Add a word or two that nobody would expect.".replace("  ", " "),
            ),
        )


def _little_else(text: str, words: Sequence[str]) -> bool:
    """Whether almost nothing is left of the text without the words.

    zxcvbn adds so much for three parts or more that "Robin.Ward.1984" would pass with a birth date that the
    attacker knows.
    """
    rest = text.lower()
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return len(rest) < len(text) and sum(char.isalnum() for char in rest) < _LITTLE


_LITTLE = 4

_PERSONAL = Problem(
    id="personal",
    text="This password is built from your own details or the portal's name, which attackers try first. "
    "Choose words that have nothing to do with you.",
)

PasswordPolicy.NIST_800_63B_4 = PasswordPolicy(
    min_length=15, min_length_with_second_factor=8, max_length=256, min_guesses_log10=6.0
)
