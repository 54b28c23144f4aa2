"""The page of speeds is bench/results.json beside its targets; a row that misses one says what bounds it."""

from __future__ import annotations

import json
from typing import Any

from bench.run import HERE
from bench.targets import Target, load_targets
from tests.support import ROOT

PAGE = ROOT / "docs" / "reference" / "speed.md"

HEAD = """# Speed

`make bench` measures every row pair by pair in one run: subject and baseline in turn, the median of the rounds'
ratios, and their 10th to 90th percentile as the spread. The last run that was committed (`bench/results.json`) was on
two shared cores. For throughput rows (target `>=`) the ratio is throughput over throughput.

| row | ratio | spread | target | met |
|---|---|---|---|---|
"""

# What is in a row, where its id alone could be taken for more or for less.
CONTENTS = {
    "auth.passkey.es256": (
        "The verification alone, beside one ES256 check by `cryptography`: from the text that the browser posts, through each "
        "step of WebAuthn Level 3 section 7.2, the record's seal and its key, to a verified answer."
    ),
    "auth.passkey.sign_in": (
        "`Passkeys.complete_sign_in`, whole, beside the same check: besides the row above, the challenge is taken from its "
        "store, once, and its tag checked; the record is moved on by the store's conditional write; evidence is made. The "
        "stores are those in memory, a database's time comes on top. On a busy machine it has been measured up to 2.25."
    ),
}

# What stands between a row and its target; a row that meets its target has no line here.
BOUNDS = {
    "audit.append.durable": (
        "An append is one encoded event and one committed SQLite transaction. Encoding in Python alone is about half of "
        "the baseline, and a commit in SQLite's log costs more than one `fdatasync` of the same bytes. Reaching the target "
        "takes a store that writes lines to a file of its own, which comes with the whole audit log."
    ),
    "audit.append.64": (
        "With 64 waiting, the writer lane shares one commit, so what is left is the work in Python for each event. The "
        "target leaves a few microseconds for it on this disk; it is the file store's to reach."
    ),
    "audit.append.many100": "As the row above: the work in Python for each event, not the disk, sets it.",
    "crypto.encrypt.64": (
        "The ratio lies at its target and moves across it from run to run. What is above raw AES-GCM is one Python call, "
        "the random nonce, the row's place and the frame."
    ),
    "crypto.encrypt.64.vs_tink": "As the row above; it lies at its target and moves across it from run to run.",
    "crypto.decrypt.64": (
        "The ratio lies at its target and moves across it from run to run. What is above raw AES-GCM is one Python call, "
        "finding the key by its prefix, two slices and the row's place."
    ),
    "crypto.encrypt.vs_fernet": (
        "The ratio lies at its target and moves across it from run to run. A nonce from the operating system and AES-GCM "
        "itself take four fifths of our time."
    ),
    "crypto.encrypt.vs_sqlalchemy_utils": (
        "The row beside it, `.column`, is what an application pays there, since its column sets the engine's key for each "
        "value. Against the engine alone, its key set once, it is a nonce from the operating system and AES-GCM itself that "
        "take four fifths of our time."
    ),
    "crypto.keyset.load.100": (
        "Reading JSON in every spelling that Tink reads, refusing repeated and unknown fields, and expanding a hundred keys, "
        "each checked, is work in Python; the row moves with the load of the machine."
    ),
    "crypto.reencrypt.sqlite": (
        "The loop by hand over the same primitives, in the second column of `bench/results.json`, comes out at the same "
        "speed: it is SQLite's reading and writing of the row, its log, and one opening, sealing and hash each."
    ),
    "crypto.blind_index": (
        "The ratio lies at its target and moves across it from run to run. A tag is one copy of a keyed HMAC and its "
        "SHA-256 blocks."
    ),
    "crypto.subject.hit": (
        "The ratio lies at its target and moves across it from run to run. Above `crypto.encrypt.64` it is one look-up of "
        "the subject and one look at the clock, without which an erased key would be used for ever."
    ),
    "auth.request.vs_starsessions.memory": (
        "We are behind: stores are asked in a thread, since one may wait for a disk or a server, and two fifths of such a "
        "request are the hop there and back; without it the ratio is 1.2. The peer reads a dictionary on the event loop; it "
        "is no store for two workers."
    ),
    "auth.request.vs_starsessions.apart": (
        "Three runs on a busy machine came to 1.05, 1.06 and 1.11. When each request moves the time it was last seen, both "
        "sides send two commands: a GET and a SET on the event loop there, a GET and a script here, which sees to it that no "
        "late request moves that time back or wakes a session that rests; and here is the hop into a thread. Where a "
        "page's requests come within a second only the first of them writes: the row above it."
    ),
}


def results() -> list[dict[str, Any]]:
    return json.loads((HERE / "results.json").read_text("utf-8"))


def missed() -> list[str]:
    targets = load_targets(HERE / "targets.csv")
    return [row["id"] for row in results() if row["id"] in targets and not met(targets[row["id"]], row)]


def met(target: Target, row: dict[str, Any]) -> bool:
    return target.met_by(ratio=row["ratio"], value=row["value"])


def page() -> str:
    targets = load_targets(HERE / "targets.csv")
    lines = [HEAD]
    for row in results():
        target = targets.get(row["id"])
        low, high = row["spread"]
        verdict = "" if target is None else "yes" if met(target, row) else "no"
        shown = "–" if target is None else f"`{target}`"
        if target is not None and target.absolute:
            shown += f": {row['value']:,.0f} {row['unit']}"
        lines.append(
            f"| {row['id']} | {row['ratio']:.3g} | {low:.3g} to {high:.3g} | {shown} | {verdict} |\n"
        )
    lines.append("\n## What is in a row\n")
    lines.extend(f"\n**{row}**: {words}\n" for row, words in CONTENTS.items())
    if missed():
        lines.append("\n## What bounds the rows that miss their target\n")
        lines.extend(f"\n**{row}**: {BOUNDS[row]}\n" for row in missed())
    return "".join(lines)


def test_the_page_is_the_committed_results() -> None:
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.bench.test_page"


def test_every_target_was_measured() -> None:
    assert set(load_targets(HERE / "targets.csv")) <= {row["id"] for row in results()}


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
