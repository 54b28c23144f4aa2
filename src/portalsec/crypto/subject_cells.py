"""Every subject's key under the wrapping key that writes now, by the engine of `portalsec.crypto.rotation`.

After a wrapping key was promoted, and *every* process has loaded it::

    work = rewrapping(portal.subjects)
    for progress in work.run():
        print(progress.done, progress.total)
    assert all(each.done for each in work.remaining())

`rewrapping_all` does the same for every purpose in the store. The subjects' keys stay what they are, and so do all cells: ten
million people are ten million small rows, whatever they have in their records.

A run that came to its end without failures does not prove that nothing needs the old wrapping key: a process that had not
reloaded yet may have made a key under it behind the run. Ask `Reencryption.remaining` after every process has reloaded, and
run again until nothing is left; only then disable the old key, and destroy it when nothing was missing for a while.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from portalsec.crypto._psk1 import names_key
from portalsec.crypto.cells import CellSource, Change, Key, Row
from portalsec.crypto.ports import Rewrap, SubjectKey
from portalsec.crypto.rotation import Reencryption, Remaining, count_by_key
from portalsec.crypto.subjects import SubjectKeys
from portalsec.crypto.tasks import Batch
from portalsec.errors import DecryptionError

__all__ = ["RewrapSubjectKeys", "SubjectKeyCells", "rewrapping", "rewrapping_all"]

_WRAPPED = "wrapped"
_STORED = "stored"  # the whole `SubjectKey`, which what is checked at unwrapping comes from
_COLUMNS = (_WRAPPED, _STORED)
_PAGE = 1000


def rewrapping(keys: SubjectKeys, *, batch: int = 500) -> Reencryption:
    """A run over the living keys of one purpose. Each batch is one transaction of the store."""
    return Reencryption(SubjectKeyCells(keys), [RewrapSubjectKeys(keys)], batch=batch)


def rewrapping_all(keys: SubjectKeys, *, batch: int = 500) -> Mapping[str, Reencryption]:
    """A run for every purpose that the store has, by purpose, that of ``keys`` first.

    Keys of another purpose are an application's own. Those that other keysets wrapped are not looked at.
    """
    runs = {keys.purpose: rewrapping(keys, batch=batch)}
    for purpose in keys.store.purposes():
        if purpose not in runs:
            others = keys.of_purpose(purpose)
            task = RewrapSubjectKeys(others, others_too=False)
            runs[purpose] = Reencryption(SubjectKeyCells(others), [task], batch=batch)
    return runs


class SubjectKeyCells:
    """A `portalsec.crypto.cells.CellSource` over the living keys of one purpose. Only ``wrapped`` can be changed."""

    def __init__(self, keys: SubjectKeys) -> None:
        self._store = keys.store
        self._purpose = keys.purpose

    @property
    def columns(self) -> Sequence[str]:
        return _COLUMNS

    def count(self) -> int:
        return self._store.count(self._purpose)

    def page(self, after: Key | None, limit: int) -> Sequence[Row]:
        found = self._store.page(self._purpose, after=None if after is None else after[0], limit=limit)
        return [_row(key) for key in found]

    def read(self, keys: Sequence[Key]) -> Sequence[Row]:
        found = self._store.get_many(self._purpose, [subject for (subject,) in keys])
        # One that was erased meanwhile is no row any more: there is nothing left to wrap.
        return [_row(key) for key in found.values() if key.erased_at is None]

    def swap(self, changes: Sequence[Change]) -> Sequence[bool]:
        return self._store.rewrap(
            self._purpose,
            [
                Rewrap(subject=change.row.key[0], expected=change.row.values[0], wrapped=change.values[0])
                for change in changes
            ],
        )

    def tally(self, column: str, beginnings: Sequence[Collection[bytes | str]]) -> Sequence[int]:
        """By the output prefix of the wrapping key; reads every key."""
        counts = [0] * (len(beginnings) + 1)
        for key in self._all():
            counts[_place(key.wrapped or b"", beginnings)] += 1
        return counts

    def _all(self) -> Iterator[SubjectKey]:
        after: str | None = None
        while page := self._store.page(self._purpose, after=after, limit=_PAGE):
            yield from page
            after = page[-1].subject


class RewrapSubjectKeys:
    """A `portalsec.crypto.tasks.Task`: keys under an older wrapping key are put under the one that writes.

    With ``others_too=False`` a key that no key of this keyset wrapped is passed over, instead of being a failure.
    """

    columns: Sequence[str] = _COLUMNS
    writes: Sequence[str] = (_WRAPPED,)

    def __init__(self, keys: SubjectKeys, *, others_too: bool = True) -> None:
        self._keys = keys
        self._others_too = others_too

    def under(self) -> Any:
        return self._keys.wrapping_prefix.hex()

    def remaining(self, source: CellSource) -> Remaining:
        """What wraps the keys, for `Reencryption.remaining`; reads every key."""
        found = count_by_key(source, _WRAPPED, self._keys._wrapping, current=self._keys.wrapping_prefix)
        if self._others_too or self._keys.wraps_unmarked:
            return found
        return replace(found, unknown=0)

    def work(self, batch: Batch) -> None:
        for index, row in enumerate(batch.rows):
            wrapped = row.values[batch.at[_WRAPPED]]
            if not self._keys.needs_rewrap(wrapped):
                continue
            try:
                fresh = self._keys.rewrapped(row.values[batch.at[_STORED]])
            except DecryptionError as error:
                if not self._others_too and not self._keys.wrapped_here(wrapped):
                    continue
                batch.problems.append((index, _WRAPPED, error.reason))
            else:
                batch.set(index, _WRAPPED, fresh)


def _row(key: SubjectKey) -> Row:
    return Row(key=(key.subject,), id=None, values=(key.wrapped, key), subject=key.subject)


def _place(wrapped: bytes, beginnings: Sequence[Collection[bytes | str]]) -> int:
    for place, prefixes in enumerate(beginnings):
        if any(isinstance(prefix, bytes) and names_key(wrapped, prefix) for prefix in prefixes):
            return place
    return len(beginnings)
