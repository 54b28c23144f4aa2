"""`IndexPlan`: how long the tags of a blind index should be, and what they give away.

Two forces. A short tag is shared by several values, so that whoever reads the column does not know which one a row
has; and each search opens the rows of the other values too. CipherSweet's arithmetic bounds both: with R rows and L
bits, 2 <= R / 2^L <= sqrt(R). Here its lower bound is held for the *values* (distinct / 2^L, not rows / 2^L: a million
rows of a thousand names are not hidden by their number), and its upper one for the rows that a search opens. Where all
rows differ this is CipherSweet's: 50,000 gives 8 to 15 bits.

Population is not all: a common value is told by its frequency at any length that is worth searching. The tag of a value
that a share s of the rows have stands out while the other rows of an average tag, (1 - s) * rows / 2^L, are fewer than its
own, s * rows; so it stands out above log2((1 - s) / s) bits. The recommended length goes down towards that, as far as the
range allows. An attack that ranks tags by their rows and names by their frequency, on 20,000 names of a Zipf law, names
this share of the rows that have one of the 20 most common names (simulated by a test, median of its runs):

    64 bits   16 bits   12 bits   10 bits   8 bits   6 bits
    1.00      1.00      0.97      0.87      0.72     0.62

So truncation hides who has a *rare* value, and not who has a common one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from portalsec.errors import ConfigurationError

__all__ = ["IndexPlan", "plan"]

_FEWEST_VALUES = 64
_MOST_COMMON = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPlan:
    """What `BlindIndex.plan` found. Every number is an expectation over the index key.

    Attributes:
        bits: the length of the tags: the recommended one, or the one that was asked for.
        fewest: bits below which a search opens more than sqrt(rows) rows of others.
        most: bits above which an average tag has fewer than two values (rounded up, as CipherSweet does). Below ``fewest`` where there are few values:
            then the recommended length is this one, and a search opens more.
        false_positives: rows of other values that a search for a rare value opens besides.
        values_per_tag: how many values share an average tag. Below 2, a rare value has a tag of its own.
        stands_out: the most common value is told by its frequency at this length.
        hides_top_at: the most bits at which it is not; 0 where there is no such length.
        leaks: what the tags tell whoever reads the column, in sentences.
        rows, distinct, top_share, keys: as they were given.
        accepted_leak: why a column that is refused otherwise is indexed, or None.
    """

    bits: int
    fewest: int
    most: int
    false_positives: float
    values_per_tag: float
    stands_out: bool
    hides_top_at: int
    leaks: tuple[str, ...]
    rows: int
    distinct: int
    top_share: float
    keys: int
    accepted_leak: str | None

    @property
    def size(self) -> int:
        """Bytes of a stored tag."""
        return (self.bits + 7) // 8

    def false_positives_for(self, share: float) -> float:
        """Rows of other values that a search for a value with this share of the rows opens besides."""
        return self.keys * (1 - share) * self.rows / float(2**self.bits)


def plan(
    *,
    rows: int,
    distinct: int,
    top_share: float,
    bits: int | None = None,
    keys: int = 1,
    accept_leak: str | None = None,
) -> IndexPlan:
    """See `portalsec.crypto.BlindIndex.plan`. Pure."""
    _check(rows=rows, distinct=distinct, top_share=top_share, bits=bits, keys=keys, accept_leak=accept_leak)
    weak = _weakness(distinct, top_share)
    if weak and accept_leak is None:
        raise ConfigurationError(
            f"a blind index of this column gives it away: {weak}. Combine it with another value (parts), search after "
            "decryption, or pass accept_leak= with the reason why this may be seen"
        )
    fewest = _at_least(math.log2(rows) / 2)
    most = _at_least(math.log2(distinct) - 1)
    hides = max(0, math.floor(math.log2((1 - top_share) / top_share))) if top_share < 1 else 0
    chosen = bits if bits is not None else min(most, max(hides, fewest))
    per_tag = distinct / 2**chosen
    false_positives = keys * rows * (1 - 1 / distinct) / 2**chosen
    return IndexPlan(
        bits=chosen,
        fewest=fewest,
        most=most,
        false_positives=false_positives,
        values_per_tag=per_tag,
        stands_out=chosen > hides,
        hides_top_at=hides,
        leaks=tuple(_leaks(chosen, hides, per_tag, top_share, weak)),
        rows=rows,
        distinct=distinct,
        top_share=top_share,
        keys=keys,
        accepted_leak=accept_leak if weak else None,
    )


def _leaks(bits: int, hides: int, per_tag: float, top_share: float, weak: str | None) -> list[str]:
    leaks = [
        "Rows with equal values have equal tags, and who sees the queries sees which tags are searched for."
    ]
    if per_tag < 2:
        leaks.append(
            f"An average tag has {per_tag:.2g} values: a tag is as good as a pseudonym of its value, and two rows with "
            "one tag mostly have one value."
        )
    else:
        leaks.append(
            f"An average tag has {per_tag:,.0f} values: that two rows have one tag says that they may have one value."
        )
    if bits > hides:
        leaks.append(
            f"The most common value has {top_share:.2%} of the rows, and its tag stands out by that: whoever knows how "
            "frequent values are can name it and its rows, and likewise the next ones"
            + (f"; it takes {hides} bits or fewer to hide it." if hides else ", at any length.")
        )
    else:
        leaks.append(
            f"The most common value ({top_share:.2%} of the rows) is no more frequent than what shares a tag by chance."
        )
    leaks.append(
        "Whoever has the index key can try values until one has the tag; whoever may write rows can try them too, and "
        "see which tag comes out."
    )
    if weak:
        leaks.append(f"The column is one that should not be indexed: {weak}.")
    return leaks


def _weakness(distinct: int, top_share: float) -> str | None:
    found = []
    if distinct < _FEWEST_VALUES:
        found.append(
            f"{distinct} different values are fewer than {_FEWEST_VALUES}, so that each can be guessed"
        )
    if top_share > _MOST_COMMON:
        found.append(
            f"{top_share:.1%} of the rows have the most common value, more than {_MOST_COMMON:.0%}, so that it is named "
            "by its frequency"
        )
    return " and ".join(found) or None


def _at_least(bits: float) -> int:
    """As whole bits, 1 to 256; a hair above a whole number is rounding."""
    return min(256, max(1, math.ceil(bits - 1e-9)))


def _check(
    *, rows: int, distinct: int, top_share: float, bits: int | None, keys: int, accept_leak: object
) -> None:
    numbers: dict[str, object] = {
        "rows": rows,
        "distinct": distinct,
        "keys": keys,
        "bits": 1 if bits is None else bits,
    }
    for what, value in numbers.items():
        if type(value) is not int or value < 1:
            raise ConfigurationError(f"BlindIndex.plan({what}=): give a whole number from 1")
    if distinct > rows:
        raise ConfigurationError(f"BlindIndex.plan: {rows} rows cannot have {distinct} different values")
    if bits is not None and bits > 256:
        raise ConfigurationError("BlindIndex.plan(bits=): a tag has 1 to 256 bits")
    if not _is_number(top_share) or not 0 < top_share <= 1:
        raise ConfigurationError("BlindIndex.plan(top_share=): give a share above 0, and 1 at the most")
    # No value can be the most common one with less than an equal share; a hair less is rounding.
    if top_share < 0.999 / distinct:
        raise ConfigurationError(
            f"BlindIndex.plan: of {distinct} different values the most common one has a share of 1/{distinct} at least"
        )
    if accept_leak is not None and (not isinstance(accept_leak, str) or not accept_leak.strip()):
        raise ConfigurationError("BlindIndex.plan(accept_leak=): give the reason in words")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
