from __future__ import annotations

import importlib
import sys
from xml.etree import ElementTree

import pytest

from portalsec.auth.qr import qr_svg
from portalsec.errors import MissingExtra
from portalsec.secret import Secret


def test_the_svg_is_self_contained_and_readable_by_screen_readers() -> None:
    svg = qr_svg("otpauth://totp/Hill:robin?secret=ABC", title="Scan <this>")
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg"
    assert root.findtext("title") == "Scan <this>"
    for forbidden in ("style=", "script", "href", "url(", "http"):
        assert forbidden not in svg


def test_a_secret_gives_the_same_code_and_another_text_another() -> None:
    assert qr_svg(Secret("otpauth://a")) == qr_svg("otpauth://a")
    assert qr_svg("otpauth://a") != qr_svg("otpauth://b")


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    monkeypatch.delitem(sys.modules, "portalsec.auth.qr")
    with pytest.raises(MissingExtra, match=r'pip install "portalsec\[qr\]"'):
        importlib.import_module("portalsec.auth.qr")
