"""Ten million leaked passwords: what building them takes, and how often others are refused. A few minutes."""

from __future__ import annotations

import hashlib
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

from portalsec.auth.breached import BreachFile, Bundled
from tests.auth import bundled_list
from tests.auth.test_bundled import phrases
from tests.measured import Measure

ENTRIES = 10_000_000
OTHERS = 10_000_000
PHRASES = 1_500_000

# In a process of its own, so that what is measured is the command's memory and not that of the tests.
BUILD = """
import resource, sys
from portalsec.cli import main
sys.argv = ["portalsec", "breached", "build", sys.argv[1], "--out", sys.argv[2]]
try:
    main()
finally:
    print("KIB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_ten_million_entries(tmp_path: Path, measure: Measure) -> None:
    listed, out = tmp_path / "list.txt", tmp_path / "leaked.breach"
    with listed.open("w", encoding="ascii") as file:
        for start in range(0, ENTRIES, 50_000):
            file.write(
                "".join(f"{_sha1(number)}:{number % 50 + 1}\r\n" for number in range(start, start + 50_000))
            )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(listed), str(out)],
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
        # A limit and not only a measurement: with more than a gibibyte the build fails.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)),
    )
    seconds = time.perf_counter() - began
    kib = int(done.stdout.rpartition("KIB ")[2])
    assert kib <= 1 << 20
    with BreachFile(out) as leaked:
        leaked.verify()
        assert leaked.entries == ENTRIES
        assert leaked.size <= 1.25 * ENTRIES
        assert all(leaked.contains(f"leaked {number}") for number in range(0, ENTRIES, 101))
        choose = random.Random(1)
        wrong = sum(leaked.contains_key(choose.getrandbits(64)) for _ in range(OTHERS))
        expected = OTHERS * leaked.false_positive_rate
        assert abs(wrong - expected) < 5 * expected**0.5
        measure("breach file of 10 million entries", leaked.size / ENTRIES, "bytes an entry")
        measure("others refused by it, of 10 million", 100 * wrong / OTHERS, "%")
    measure("building it: time", seconds, "s")
    measure("building it: memory", kib / 1024, "MiB")
    measure(
        "building 1,000 million, extrapolated (the work is proportional): time", seconds * 100 / 3600, "h"
    )
    listed.unlink()


def test_others_against_the_bundled_list(measure: Measure) -> None:
    with Bundled() as bundled:
        choose = random.Random(2)
        wrong = sum(bundled.contains_key(choose.getrandbits(64)) for _ in range(OTHERS))
        refused = sum(map(bundled.contains, phrases(PHRASES)))
    # 0.6 are expected; six or more would come once in ten thousand lists.
    assert wrong <= 5
    assert refused < PHRASES / 100_000
    measure("of 10 million random passwords refused by the bundled list", wrong, "")
    measure("of 1.5 million random phrases of four words refused by the bundled list", refused, "")


def test_the_bundled_list_made_again_has_the_same_bytes(tmp_path: Path) -> None:
    bundled_list.make(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == bundled_list.PATH.read_bytes()


def _sha1(number: int) -> str:
    return hashlib.sha1(f"leaked {number}".encode()).hexdigest().upper()
