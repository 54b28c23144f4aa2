"""Proofs as text, for the stores of sessions and for sign-ins that are under way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from portalsec.auth.proof import Factor, Proof
from portalsec.clock import nearest_moment, unix_microseconds
from portalsec.errors import Tampered

__all__ = ["duration_or_none", "old_proofs", "proofs_of", "proofs_text"]

_FLAGS = ("user_verified", "device_bound", "attested", "explicit")
_FACTORS = {factor.value: factor for factor in Factor}


def proofs_text(proofs: Sequence[Proof]) -> str:
    """One line of JSON: ``[[factor, microseconds since 1970, authenticator, flags, through], ...]``."""
    return json.dumps(
        [
            [
                proof.factor.value,
                unix_microseconds(proof.at),
                proof.authenticator,
                sum(getattr(proof, name) << place for place, name in enumerate(_FLAGS)),
                None if proof.through is None else proof.through.value,
            ]
            for proof in proofs
        ],
        separators=(",", ":"),
    )


def proofs_of(text: str | list[object]) -> tuple[Proof, ...]:
    """The inverse, of the text or of the list that JSON made of it; `Tampered` for what `proofs_text` does not write.

    A time past the calendar becomes its nearest moment, which ends the session like any other impossible time.
    """
    made = None
    try:
        listed = json.loads(text) if isinstance(text, str) else text
        if isinstance(listed, list):
            made = tuple(_proof(*(fields if isinstance(fields, list) else ())) for fields in listed)
    except (ValueError, TypeError, KeyError, RecursionError):
        made = None
    if made is None:
        raise Tampered("a stored session's list of proofs is not what portalsec wrote")
    return made


def old_proofs(factors: object, proven_at: object) -> tuple[Proof, ...]:
    """Of a session that a portalsec without proofs stored: a list of kinds, and one time for all. `Tampered` otherwise."""
    known = isinstance(factors, list) and all(isinstance(each, str) and each in _FACTORS for each in factors)
    if not known or not isinstance(factors, list):
        raise Tampered("a stored session's list of factors is not what portalsec wrote")
    moment = nearest_moment(proven_at)
    return tuple(Proof(factor=_FACTORS[kind], at=moment) for kind in factors)


def duration_or_none(microseconds: object) -> timedelta | None:
    """A stored limit. What is none any more (written over by somebody) is zero, which ends the session."""
    if microseconds is None:
        return None
    try:
        return timedelta(microseconds=microseconds) if type(microseconds) is int else timedelta(0)
    except OverflowError:
        return timedelta(0)


def _proof(factor: Any, at: Any, authenticator: Any, flags: Any, through: Any) -> Proof:
    right = type(flags) is int and 0 <= flags < 16 and type(at) is int
    if not right or not (authenticator is None or isinstance(authenticator, str)):
        raise ValueError(factor)
    return Proof(
        factor=_FACTORS[factor],
        at=nearest_moment(at),
        authenticator=authenticator,
        user_verified=bool(flags & 1),
        device_bound=bool(flags & 2),
        attested=bool(flags & 4),
        explicit=bool(flags & 8),
        through=None if through is None else _FACTORS[through],
    )
