"""The reference page of the format is held to the code."""

from __future__ import annotations

import json
import re

from portalsec.audit.merkle import leaf_hash
from portalsec.audit.record import _MAX_CHANGED, _MAX_DETAILS, _MAX_TEXT, MAX_BYTES, MAX_SUBJECTS, decode
from portalsec.events import Actor, Event, ResourceRef
from tests.audit.support import VAULT
from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "audit-record.md").read_text("utf-8")


def example() -> bytes:
    match = re.search(r"```json\n(.+)\n```", PAGE)
    assert match
    return match[1].encode()


def test_the_example_reads_back_and_hashes_to_its_leaf() -> None:
    record = decode(example())
    assert record.name == Event.RECORD_UPDATED
    assert record.actor == Actor(type="user", id="account-7", role="clinician")
    assert record.subjects == (VAULT.pseudonym("patient-1"),)
    assert record.resource == ResourceRef(type="lab_result", id="lab-3")
    assert f"Its leaf is `{leaf_hash(example()).hex()}`." in PAGE


def test_the_table_has_the_keys_of_a_full_record_in_order() -> None:
    section = PAGE.partition("## Keys")[2].partition("##")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert listed == list(json.loads(example()))


def test_the_limits_are_those_of_the_code() -> None:
    for number in (f"{MAX_BYTES:,} bytes", f"1 to {MAX_SUBJECTS}", f"at most {_MAX_CHANGED}, never"):
        assert number in PAGE
    assert f"at most {_MAX_DETAILS} names" in PAGE
    assert f"more than {_MAX_TEXT} bytes" in PAGE
