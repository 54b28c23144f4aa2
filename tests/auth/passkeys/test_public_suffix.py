"""The public suffixes that come with the package, against the list they were made of and its own tests."""

from __future__ import annotations

import re
from pathlib import Path

import publicsuffixlist
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth.passkeys import public_suffix as module
from portalsec.auth.passkeys.public_suffix import public_suffix
from tests.auth import public_suffixes

ORACLE = publicsuffixlist.PublicSuffixList()
RULES = list(public_suffixes.rules())


def test_the_file_is_what_the_list_gives():
    assert module._PATH.read_bytes() == public_suffixes.made()
    assert len(module._rules()) == len(set(RULES)) > 9000  # and no two rules have one hash
    assert module._PATH.stat().st_size < 64 * 1024


def registrable(domain: str) -> str | None:
    """What the list's own tests ask for: the suffix and one label more."""
    suffix = public_suffix(domain)
    rest = domain.removesuffix(f".{suffix}")
    return None if suffix == domain else f"{rest.rpartition('.')[2]}.{suffix}"


def test_the_list_s_own_test_cases():
    text = (Path(publicsuffixlist.__file__).parent / "test_psl.txt").read_text(encoding="utf-8")
    cases = re.findall(r"^checkPublicSuffix\('([^']+)', (?:null|'([^']+)')\);", text, re.M)
    assert len(cases) > 70
    for domain, expected in cases:
        if not domain.startswith("."):
            name = domain.lower().encode("idna").decode()
            assert registrable(name) == (expected.encode("idna").decode() if expected else None), domain


@pytest.mark.parametrize(
    ("domain", "suffix"),
    [
        ("com", "com"), ("portal.example", "example"), ("a.b.co.uk", "co.uk"), ("clinic.github.io", "github.io"),
        ("ck", "ck"), ("any.ck", "any.ck"), ("www.ck", "ck"), ("x.www.ck", "ck"), ("x.y.any.ck", "any.ck"),
        ("city.kawasaki.jp", "kawasaki.jp"), ("other.kawasaki.jp", "other.kawasaki.jp"),
    ],
)  # fmt: skip
def test_wildcards_and_exceptions(domain: str, suffix: str):
    assert public_suffix(domain) == suffix


_labels = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(st.lists(_labels, max_size=3), st.sampled_from(RULES))
def test_it_agrees_with_another_reader_of_the_list(front: list[str], rule: str):
    domain = ".".join([*front, *rule.removeprefix("!").replace("*", "star").split(".")])
    assert public_suffix(domain) == ORACLE.publicsuffix(domain)
