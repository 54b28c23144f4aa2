"""Messages of browsers: bounded before any work, and read in one way only."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth import _strict_json
from portalsec.auth.passkeys import messages
from portalsec.auth.passkeys.checks import Refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)  # fmt: skip


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(each) for each in inner), default=0)


@given(JSON)
def test_depth_is_that_of_brackets_outside_strings(value):
    assert _strict_json.depth(json.dumps(value)) == depth(value)
    assert _strict_json.depth(json.dumps(value, ensure_ascii=False)) == depth(value)


def test_brackets_in_strings_are_text():
    text = json.dumps({"extra": "[{" * 40, "more": '"[' * 40})
    assert _strict_json.strict_json(text)["extra"] == "[{" * 40


@pytest.mark.parametrize(
    "text", ['"' + '\\"' * 30_000, '"' * 60_000, "\\" * 60_000, '"\\' * 30_000, "[" * 60_000]
)
def test_no_text_takes_long(text):
    # Processor time, and a hundred times what it takes: one that looks at each quotation mark anew takes a minute.
    began = time.thread_time()
    with pytest.raises(_strict_json.Malformed):
        _strict_json.strict_json("{" * 40 + text)
    assert time.thread_time() - began < 0.5


@given(st.binary(max_size=200) | st.text(max_size=200) | JSON)
def test_anything_is_a_message_or_a_refusal(value):
    for read in (messages.read_registration, messages.read_assertion):
        for response in (value, {"type": "public-key", "response": value, "id": value, "rawId": value}):
            with pytest.raises(Refusal):
                read(response)
