"""The targets that the rows are held to: ``bench/targets.csv``, a comparison and a bound for each row's id.

Nearly all are of the ratio. Where a number of its own was asked for, as in so many rows a second, the bound is written
with "value" before it: ``value>=60000``. Such a row depends on the machine.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Target", "load_targets"]

_FORM = re.compile(r"(value)?(<=|>=)(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Target:
    """``<=1.25`` or ``>=20``: what the ratio of a row is to be. ``value>=60000``: what the row itself is."""

    comparison: str
    bound: float
    absolute: bool = False

    @classmethod
    def parse(cls, text: str) -> Target:
        """Raises `ValueError` for anything but a comparison and a number."""
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"target {text!r}: write <= or >= and a number, as in <=1.25")
        return cls(match[2], float(match[3]), absolute=bool(match[1]))

    def met_by(self, *, ratio: float, value: float) -> bool:
        found = value if self.absolute else ratio
        return found <= self.bound if self.comparison == "<=" else found >= self.bound

    def __str__(self) -> str:
        return f"{'value' if self.absolute else ''}{self.comparison}{self.bound:g}"


def load_targets(path: Path) -> dict[str, Target]:
    """The table by row id. Raises `ValueError` that names file and line."""
    targets: dict[str, Target] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for number, line in enumerate(csv.DictReader(file), start=2):
            try:
                if line["id"] in targets:
                    raise ValueError(f"row {line['id']!r} stands twice")
                targets[line["id"]] = Target.parse(line["target"])
            except (KeyError, ValueError) as error:
                raise ValueError(f"{path.name}, line {number}: {error}") from None
    return targets
