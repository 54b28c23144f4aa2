"""`Secret` shows itself through `reveal` and through nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import string
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.secret import Secret

VALUE = "hunter2-correct-horse"


@pytest.mark.parametrize("value", [VALUE, VALUE.encode()])
def test_no_way_of_writing_it_shows_the_value(value: str | bytes) -> None:
    secret: Secret[str] | Secret[bytes] = Secret(value)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret!s:>40}",
        f"{secret:x^80}",
        f"{[secret]} {({'k': secret},)}",
        "%s %r" % (secret, secret),  # noqa: UP031 - the old way too
        "{0} {0!a}".format(secret),  # noqa: UP032
        string.Template("$s").substitute(s=secret),
        ascii(secret),
    ]
    assert not [text for text in shown if "hunter2" in text]
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError):
        vars(secret)


def test_it_does_not_reach_a_log_or_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("test").warning("got %s and %r", secret, secret)
    assert "hunter2" not in caplog.text
    try:
        raise ValueError(secret)
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret(hidden)" in text
    assert f"secret = {VALUE!r}" not in text


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(Secret(VALUE), protocol)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_it_is_not_copied(duplicate) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match="copied"):
        duplicate(Secret(VALUE))


def test_it_is_neither_hashed_nor_written_as_json() -> None:
    with pytest.raises(TypeError, match="not hashable"):
        hash(Secret(VALUE))
    with pytest.raises(TypeError):
        {Secret(VALUE)}
    with pytest.raises(TypeError) as caught:
        json.dumps({"secret": Secret(VALUE)})
    assert "hunter2" not in str(caught.value)


@given(st.text(), st.text())
def test_equality_is_that_of_the_values(a: str, b: str) -> None:
    assert (Secret(a) == Secret(b)) is (a == b)
    assert (Secret(a) != Secret(b)) is (a != b)
    assert Secret(a) != a  # a plain value beside it means that someone holds the secret in the open
    assert Secret(a).reveal() == a
    assert bool(Secret(a)) is bool(a)


@given(st.binary(), st.binary())
def test_bytes_are_compared_too(a: bytes, b: bytes) -> None:
    assert (Secret(a) == Secret(b)) is (a == b)


def test_text_that_is_no_utf_8_is_compared_and_not_raised() -> None:
    assert Secret("\ud800") == Secret("\ud800")
    assert Secret("\ud800") != Secret("\ud801")
