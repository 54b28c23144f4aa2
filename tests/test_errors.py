"""Errors: one face for every refusal, a tree as drawn, and a missing extra that says what to run."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import timedelta

import pytest

from portalsec import errors
from portalsec.errors import DecryptionError, Denied, MissingExtra, PortalsecError, Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_refusal_has_the_same_face(reason: Reason) -> None:
    denied = Denied(reason, retry_after=timedelta(seconds=90))
    assert str(denied) == f"{denied}" == "The request was refused."
    assert denied.reason is reason
    assert reason.value not in str(denied)


def test_the_log_sees_the_reason_and_never_the_wait_of_another() -> None:
    assert repr(Denied(Reason.WRONG_PASSWORD)) == "Denied(WRONG_PASSWORD)"
    assert Denied(Reason.THROTTLED).retry_after is None
    assert Denied(Reason.THROTTLED, retry_after=timedelta(minutes=1)).retry_after == timedelta(minutes=1)


@pytest.mark.parametrize("carry", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_refusal_keeps_its_reason_when_it_is_carried_elsewhere(carry) -> None:  # type: ignore[no-untyped-def]
    wait = timedelta(seconds=9)
    carried = carry(Denied(Reason.THROTTLED, retry_after=wait))
    assert (carried.reason, carried.retry_after) == (Reason.THROTTLED, wait)
    assert str(carried) == "The request was refused."


def test_reasons_are_a_closed_list_of_distinct_codes() -> None:
    values = [reason.value for reason in Reason]
    assert len(set(values)) == len(values)
    assert all(re.fullmatch(r"[a-z][a-z_]*", value) for value in values)
    assert all(reason.name.lower() == reason.value for reason in Reason)
    with pytest.raises(ValueError, match="not a valid"):
        Reason("because")


def test_a_missing_extra_is_an_import_error_with_the_command() -> None:
    error = MissingExtra("qr", package="segno")
    assert isinstance(error, ImportError)
    assert isinstance(error, errors.ConfigurationError)
    assert 'pip install "portalsec[qr]"' in str(error)
    assert "'segno'" in str(error)
    assert (error.extra, error.package) == ("qr", "segno")


def test_every_decryption_error_reads_the_same() -> None:
    assert {str(DecryptionError(reason)) for reason in ("unknown key", "bad tag")} == {"Decryption failed."}
    assert DecryptionError("bad tag").reason == "bad tag"


def _drawn() -> dict[str, str]:
    """Child to parent, as the tree in the module's docstring has it."""
    parents: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^    ([│ ]*(?:[├└]── )?)([A-Z]\w+)", line)
        if match is None:
            continue
        depth, name = len(match[1]) // 4, match[2]
        while path and path[-1][0] >= depth:
            path.pop()
        if path:
            parents[name] = path[-1][1]
        path.append((depth, name))
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    classes = {
        name: cls
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, PortalsecError) and cls.__module__ == errors.__name__
    }
    actual = {name: cls.__bases__[0].__name__ for name, cls in classes.items() if cls is not PortalsecError}
    assert _drawn() == actual
    assert set(errors.__all__) == {*classes, "Reason"}
