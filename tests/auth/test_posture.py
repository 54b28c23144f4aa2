from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.posture import (
    DevicePosture,
    posture_from,
    posture_of,
    posture_said,
    posture_text,
    version_number,
)
from portalsec.errors import ConfigurationError, Denied, Reason, Tampered
from portalsec.events import Source
from portalsec.testing import FrozenClock

NOW = FrozenClock()()


def test_a_claim_becomes_a_value_and_what_was_not_told_stays_untold() -> None:
    posture = posture_from({"platform": "android", "app_version": "3.10", "attested": True}, now=NOW)
    assert posture == DevicePosture(at=NOW, platform="android", app_version="3.10", attested=True)
    assert posture is not None
    assert posture.attributes() == {
        "device_platform": "android",
        "device_app_version": 3_010_000_000,
        "device_attested": True,
    }
    assert posture_from(None, now=NOW) is None


@pytest.mark.parametrize(
    "claim",
    [
        "ios",
        [],
        {},
        {"os_version": "1"},
        {"platform": ""},
        {"platform": "x" * 65},
        {"platform": "a\nb"},
        {"platform": 7},
        {"platform": "ios", "rooted": "no"},
        {"platform": "ios", "rooted": 0},
        {"platform": "ios", "at": NOW},
        {"platform": "ios", "level": 3},
    ],
)
def test_anything_else_is_malformed(claim: object) -> None:
    with pytest.raises(Denied) as refusal:
        posture_from(claim, now=NOW)
    assert refusal.value.reason is Reason.MALFORMED


def test_a_header_is_one_flat_object() -> None:
    said = posture_said(Source(posture=' {"platform": "ios", "app_version": "3.2", "rooted": null}'), now=NOW)
    assert said == DevicePosture(at=NOW, platform="ios", app_version="3.2")
    assert posture_said(Source(), now=NOW) is None
    assert "ios" not in repr(Source(posture='{"platform": "ios"}'))


HOSTILE = [
    "",
    "null",
    "ios",
    "[]",
    "{}",
    "{" * 300,
    "[" * 300,
    '{"platform": {"platform": "ios"}}',
    '{"platform": ["ios"]}',
    '{"platform": "ios", "platform": "android"}',
    '{"platform": "ios"},{"platform": "ios"}',
    '{"platform": "ios"} {"platform": "ios"}',
    '{"platform": "i\u00d8s\ud800"}',
    '{"platform": "\u0000"}',
    '{"platform": "\u00f8", "rooted": 0}',
    '{"platform": "i\xf8s"}',
    '{"platform": "ios", "os_version": 17.4}',
    '{"platform": "ios", "os_version": NaN}',
    '{"platform": "ios", "rooted": 1e999}',
    '{"platform": "ios", "level": 3}',
    '{"platform": "ios", "rooted": ' + "9" * 470 + "}",
    '{"platform": "ios"' + " " * 600 + "}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_header_of_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(Denied) as refusal:
        posture_said(Source(posture=text), now=NOW)
    assert refusal.value.reason is Reason.MALFORMED
    assert refusal.value.__context__ is None  # nothing of it in a log


@given(st.text(max_size=40) | st.from_regex(r'\{"platform": ?[^}]{0,20}\}?', fullmatch=True))
def test_no_header_is_a_crash(text: str) -> None:
    with suppress(Denied):
        posture_said(Source(posture=text), now=NOW)


def test_versions_compare_as_numbers() -> None:
    ordered = ["1", "1.2", "1.10", "9.9.9.9", "10", "17.4.1"]
    numbers = [version_number(text) for text in ordered]
    assert numbers == sorted(numbers, key=lambda number: number or 0)
    for text in (None, "", "1.", "a", "1.2.3.4.5", "1000", "-1", "1e3", "\u0661"):
        assert version_number(text) is None


@pytest.mark.parametrize(
    "change", [{}, {"os_version": "17.4", "app_version": "2", "rooted": True, "screen_lock": False}]
)
def test_a_store_gives_back_what_it_got(change: dict[str, Any]) -> None:
    posture = DevicePosture(at=NOW, platform="ios", **change)
    assert posture_of(posture_text(posture)) == posture
    assert posture_of(posture_text(None)) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", "[1]", '[1,"",null,null,null,null,null]', "[" * 9])
def test_what_portalsec_did_not_write_is_tampered(text: str) -> None:
    with pytest.raises(Tampered):
        posture_of(text)


def test_a_posture_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DevicePosture"):
        DevicePosture(at=NOW, platform="")
