"""`PasswordPolicy`: what a new password must be, and what is said to whoever chooses it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar

from portalsec.auth import words as catalogues
from portalsec.auth._input import MAX_PASSWORD_BYTES, password_text
from portalsec.errors import ConfigurationError, Denied, Reason

__all__ = ["MAX_HISTORY", "PasswordPolicy", "PasswordRefused", "PasswordReport", "Problem"]

MAX_HISTORY = 24  # each is a whole hash of work at every change
_KINDS = {"letter": "L", "digit": "N", "symbol": "PSZ"}  # general categories of Unicode
_SCORES = (3, 6, 8, 10)  # powers of ten, as zxcvbn has them
_ADVICE = {
    "repeat": "advice_repeat",
    "sequence": "advice_sequence",
    "spatial": "advice_spatial",
    "date": "advice_date",
    "regex": "advice_year",
    "dictionary": "advice_dictionary",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend, or one piece of advice.

    Attributes:
        id: of its sentence in every catalogue (`portalsec.auth.words`).
        params: numbers that the sentence names. Never the password, nor a part of it.
    """

    id: str
    params: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def text(self) -> str:
        """An English sentence that says what to do; `portalsec.auth.words.say` has the other languages."""
        return catalogues.say(self)


class PasswordRefused(Denied):
    """A new password was refused; ``problems`` may be shown to the person who chose it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(Reason.PASSWORD_REFUSED)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordReport:
    """What can be said of a password while it is typed.

    Attributes:
        problems: what is to be mended; empty where it may be used.
        advice: what would make it better. Nothing is refused for it.
        score: 0 to 4, as zxcvbn has it; at most 1 while there are problems.
        guesses_log10: estimated guesses, as a power of ten.
        length: in code points of NFC.
    """

    problems: tuple[Problem, ...]
    advice: tuple[Problem, ...]
    score: int
    guesses_log10: float
    length: int

    def refusing(self, problem: Problem) -> PasswordReport:
        """The same with one more problem."""
        return replace(self, problems=(*self.problems, problem), score=min(self.score, 1))

    def advising(self, problem: Problem) -> PasswordReport:
        """The same with one more piece of advice."""
        return replace(self, advice=(*self.advice, problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """Rules for new passwords; stored ones are never judged anew.

    Attributes:
        min_length: code points, where the password is the only factor.
        min_length_with_second_factor: code points, where a second factor is always asked for.
        max_length: code points; at least 64 must be accepted.
        kinds: of characters that must occur, of "letter", "digit" and "symbol". Both standards forbid such rules; it
            is for those whose auditor asks for them.
        min_guesses_log10: the fewest guesses (as a power of ten, estimated by zxcvbn) that a password must stand, or
            None: then the estimate is advice, and the lists are what refuses.
        blocklist: whole passwords that are refused besides zxcvbn's list of common ones, in any case.
        words: the portal's own names; a password built from them is refused.
        max_age: how long a password holds, or None: until there is reason to change it. Both standards forbid an age.
        history: how many earlier passwords may not come back, besides the present one; 0 to 24.
    """

    min_length: int
    min_length_with_second_factor: int
    max_length: int
    kinds: tuple[str, ...] = ()
    min_guesses_log10: float | None = None
    blocklist: frozenset[str] = frozenset()
    words: tuple[str, ...] = ()
    max_age: timedelta | None = None
    history: int = 0

    NIST_800_63B_4: ClassVar[PasswordPolicy]
    """NIST SP 800-63B-4 section 3.1.1.2: 15 characters alone, 8 with a second factor, 64 and more accepted, no rules
    on kinds of character, no expiry, a blocklist of common, expected and context-specific passwords. It asks for no
    history; a compromised password never comes back all the same (see `NewPasswords.retire`)."""

    OWASP_ASVS_5_0: ClassVar[PasswordPolicy]
    """OWASP ASVS 5.0 section V6.2: 8 characters are asked for and 15 strongly recommended, so here 15 are needed where
    the password is alone; no kinds, no expiry, lists of common, context-specific and breached passwords."""

    PATIENT_ADVICE_12: ClassVar[PasswordPolicy]
    """What patients are usually told: 12 characters with letters, numbers and symbols. For those whose auditor asks
    for it: SP 800-63B-4 section 3.1.1.2 and ASVS V6.2.5 forbid the rule on kinds."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_length_with_second_factor <= self.min_length <= self.max_length:
            raise ConfigurationError(
                "PasswordPolicy: lengths must satisfy "
                "1 <= min_length_with_second_factor <= min_length <= max_length"
            )
        if not 64 <= self.max_length <= MAX_PASSWORD_BYTES:
            raise ConfigurationError(
                "PasswordPolicy: max_length goes from 64 (SP 800-63B-4) to 1024 (the hash's input guard)"
            )
        if self.min_guesses_log10 is not None and not 0 <= self.min_guesses_log10 <= 20:
            raise ConfigurationError("PasswordPolicy: min_guesses_log10 goes from 0 to 20, or is None")
        if not set(self.kinds) <= set(_KINDS):
            raise ConfigurationError(f"PasswordPolicy: kinds are of {', '.join(_KINDS)}")
        if not 0 <= self.history <= MAX_HISTORY:
            raise ConfigurationError(
                f"PasswordPolicy: history goes from 0 to {MAX_HISTORY} earlier passwords"
            )
        if self.max_age is not None and self.max_age < timedelta(days=1):
            raise ConfigurationError("PasswordPolicy: max_age is at least a day, or None")
        object.__setattr__(self, "blocklist", frozenset(entry.casefold() for entry in self.blocklist))

    def with_words(self, words: Iterable[str]) -> PasswordPolicy:
        """The same policy with the portal's own names added."""
        return replace(self, words=(*self.words, *words))

    def least(self, *, with_second_factor: bool) -> int:
        """The fewest characters, for the hint beside the field."""
        return self.min_length_with_second_factor if with_second_factor else self.min_length

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
        return self._shape(text, with_second_factor) or self._content(text, about)

    def report(
        self, password: object, *, about: Sequence[str] = (), with_second_factor: bool
    ) -> PasswordReport:
        """The same with advice and a score, for whoever is still typing. Arguments and errors as `check_password`.

        The work is bounded at any length: see `portalsec.auth.strength`.
        """
        from portalsec.auth.strength import estimate_strength

        text = password_text(password)
        words = (*about, *self.words)
        shape = self._shape(text, with_second_factor)
        problems = shape or self._content(text, about)
        found = estimate_strength(text, words)
        score = sum(found.guesses_log10 >= step for step in _SCORES)
        advice: list[Problem] = []
        if not text.isascii():
            # SP 800-63B-4 3.1.1.2: say that some devices render and type such characters in another way.
            advice.append(Problem("advice_other_keyboards"))
        if score < 3 and not shape:
            hint = next(
                (_ADVICE[pattern] for pattern in found.patterns if pattern in _ADVICE), "advice_longer"
            )
            advice.append(Problem("advice_personal" if found.personal else hint))
        return PasswordReport(
            problems=problems,
            advice=tuple(advice),
            score=min(score, 1) if problems else score,
            guesses_log10=found.guesses_log10,
            length=len(text),
        )

    def _shape(self, text: str, with_second_factor: bool) -> tuple[Problem, ...]:
        """What can be said without a list. While it is too short, what else is wrong can wait."""
        least = self.least(with_second_factor=with_second_factor)
        if len(text) < least:
            return (Problem("too_short", {"least": least, "length": len(text)}),)
        if len(text) > self.max_length:
            return (Problem("too_long", {"most": self.max_length, "length": len(text)}),)
        categories = {unicodedata.category(char) for char in text}
        if categories & {"Cc", "Cn"}:
            # NFC is stable for assigned characters only (UAX #15 section 12.1): with a newer Unicode the same keys
            # might give another hash. Control characters come from pasting, and no sign-in field would take them.
            return (Problem("unprintable"),)
        seen = {category[0] for category in categories}
        if not seen & set("LNPS"):
            return (Problem("blank"),)
        return tuple(Problem(f"needs_{kind}") for kind in self.kinds if not seen & set(_KINDS[kind]))

    def _content(self, text: str, about: Sequence[str]) -> tuple[Problem, ...]:
        # Here, so that the word lists load with the first new password and not with the first import.
        from portalsec.auth.personal import made_of
        from portalsec.auth.strength import estimate_strength, is_common, is_expected, own_words
        from portalsec.auth.undressed import is_dressed_up, is_own

        if text.casefold() in self.blocklist or is_common(text) or is_expected(text):
            return (Problem("common"),)
        # Apart, so that a person of many words does not crowd out the portal's.
        own = [*own_words(about), *own_words(self.words)]
        if made_of(text, own) or is_own(text, own):
            return (Problem("personal"),)
        if is_dressed_up(text):
            return (Problem("common"),)
        if self.min_guesses_log10 is None:
            return ()
        found = estimate_strength(text, (*about, *self.words))
        if found.guesses_log10 >= self.min_guesses_log10:
            return ()
        return (Problem("personal" if found.personal else "guessable"),)


PasswordPolicy.NIST_800_63B_4 = PasswordPolicy(min_length=15, min_length_with_second_factor=8, max_length=256)
PasswordPolicy.OWASP_ASVS_5_0 = PasswordPolicy(min_length=15, min_length_with_second_factor=8, max_length=256)
PasswordPolicy.PATIENT_ADVICE_12 = PasswordPolicy(
    min_length=12,
    min_length_with_second_factor=12,
    max_length=256,
    kinds=("letter", "digit", "symbol"),
)
