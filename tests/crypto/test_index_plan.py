"""`BlindIndex.plan`: its arithmetic, and simulations that hold its words to real tags."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import FrozenInstanceError
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto import Keyset
from portalsec.crypto.blind_index import BlindIndex
from portalsec.errors import ConfigurationError

plan = BlindIndex.plan


def ciphersweet(population):
    """The range that CipherSweet's FieldIndexPlanner finds by trying: 2 <= R / 2^L <= sqrt(R)."""
    shared = {bits: population / 2**bits for bits in range(1, 257)}
    fitting = [bits for bits, rows in shared.items() if 2 <= rows <= math.sqrt(population)]
    above = [bits for bits, rows in shared.items() if rows > 2]
    return min(fitting), max(above) + 1


def test_the_example_of_ciphersweet_s_documentation():
    found = plan(rows=50_000, distinct=50_000, top_share=1 / 50_000)
    assert (found.fewest, found.most) == (8, 15) == ciphersweet(50_000)


@given(st.integers(64, 10**9))
def test_where_all_rows_differ_the_range_is_ciphersweet_s(rows):
    found = plan(rows=rows, distinct=rows, top_share=1 / rows)
    assert (found.fewest, found.most) == ciphersweet(rows)
    assert found.bits == found.most  # nothing is more frequent than anything else
    assert not found.stands_out


@given(st.integers(64, 10**7), st.integers(1, 1000), st.floats(0, 1))
def test_the_recommendation_follows_its_rule(distinct, factor, skew):
    rows = distinct * factor
    share = 1 / distinct + skew * (0.05 - 1 / distinct)
    found = plan(rows=rows, distinct=distinct, top_share=share)
    # A search opens no more than sqrt(rows) of others, unless there are too few values for that.
    assert found.false_positives <= math.sqrt(rows) * 1.001 or found.bits == found.most < found.fewest
    # A tag has two values or so: never fewer than one.
    assert found.values_per_tag >= 1
    # Above hides_top_at the most common value has more rows than the rest of an average tag; not below.
    for bits in (found.hides_top_at, found.hides_top_at + 1):
        if bits:
            assert (share * rows > (1 - share) * rows / 2**bits * (1 + 1e-9)) is (bits > found.hides_top_at)
    assert found.stands_out is (found.bits > found.hides_top_at)
    # No length in the range hides the most common value better.
    assert found.bits <= max(found.hides_top_at, min(found.fewest, found.most))


def test_skew_shortens_the_tags():
    even, skewed = (plan(rows=1_000_000, distinct=400_000, top_share=share) for share in (1e-5, 0.01))
    assert (even.bits, skewed.bits) == (16, 10)
    assert (even.stands_out, skewed.stands_out) == (False, True)
    assert round(skewed.false_positives) == 977


def test_a_rotation_doubles_what_a_search_opens():
    one, two = (plan(rows=10_000, distinct=5_000, top_share=0.001, keys=keys) for keys in (1, 2))
    assert two.false_positives == 2 * one.false_positives
    assert two.bits == one.bits


def test_a_length_may_be_asked_for():
    found = plan(rows=10_000, distinct=5_000, top_share=0.001, bits=128)
    assert (found.bits, found.size) == (128, 16)
    assert found.stands_out
    assert found.false_positives < 1e-30
    assert plan(rows=10_000, distinct=5_000, top_share=0.001).size == 2


@pytest.mark.parametrize(
    ("column", "figures", "why"),
    [
        ("sex", {"distinct": 3, "top_share": 0.51}, "3 different values .* 51.0%"),
        ("HIV status", {"distinct": 2, "top_share": 0.99}, "2 different values"),
        ("ICD chapter", {"distinct": 22, "top_share": 0.15}, "22 different values .* 15.0%"),
        ("blood group", {"distinct": 8, "top_share": 0.36}, "8 different values"),
        ("surname in Korea", {"distinct": 5_000, "top_share": 0.21}, "21.0% of the rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_columns_that_are_given_away_are_refused_unless_accepted(column, figures, why):
    with pytest.raises(ConfigurationError, match=why):
        plan(rows=100_000, **figures)
    found = plan(rows=100_000, **figures, accept_leak="reviewed on paper")
    assert found.accepted_leak == "reviewed on paper"
    assert any("should not be indexed" in leak for leak in found.leaks)
    assert found.bits >= 1


def test_the_bounds_of_the_refusal():
    plan(rows=1000, distinct=64, top_share=0.05)
    for figures in ({"distinct": 63, "top_share": 0.05}, {"distinct": 64, "top_share": 0.0501}):
        with pytest.raises(ConfigurationError, match="gives it away"):
            plan(rows=1000, **figures)


def test_a_reason_that_is_not_needed_is_not_kept():
    assert plan(rows=1000, distinct=1000, top_share=0.001, accept_leak="why").accepted_leak is None


@pytest.mark.parametrize("reason", ["", "  ", True, 1])
def test_a_reason_is_in_words(reason):
    with pytest.raises(ConfigurationError, match="reason"):
        plan(rows=1000, distinct=2, top_share=0.5, accept_leak=reason)


@pytest.mark.parametrize(
    ("figures", "what"),
    [
        ({"rows": 0}, "rows"),
        ({"rows": 10.0}, "rows"),
        ({"distinct": True}, "distinct"),
        ({"distinct": 2000}, "cannot have 2000"),
        ({"top_share": 0}, "top_share"),
        ({"top_share": 1.5}, "top_share"),
        ({"top_share": float("nan")}, "top_share"),
        ({"top_share": 0.0001}, "1/1000 at least"),
        ({"bits": 0}, "bits"),
        ({"bits": 257}, "bits"),
        ({"keys": 0}, "keys"),
    ],
    ids=str,
)
def test_figures_that_cannot_be_are_refused(figures, what):
    with pytest.raises(ConfigurationError, match=what):
        plan(**{"rows": 1000, "distinct": 1000, "top_share": 0.001, **figures})


def test_one_value_that_all_rows_have():
    found = plan(rows=1000, distinct=1, top_share=1.0, accept_leak="a test")
    assert (found.bits, found.hides_top_at, found.stands_out) == (1, 0, True)
    assert any("at any length" in leak for leak in found.leaks)


def test_the_words_follow_the_figures():
    rare = plan(rows=50_000, distinct=50_000, top_share=1 / 50_000, bits=64)
    assert any("pseudonym" in leak for leak in rare.leaks)
    shared = plan(rows=50_000, distinct=50_000, top_share=0.001, bits=8)
    assert not any("pseudonym" in leak for leak in shared.leaks)
    assert any("no more frequent" in leak for leak in shared.leaks)
    common = plan(rows=50_000, distinct=50_000, top_share=0.01)
    assert any("stands out" in leak and "6 bits or fewer" in leak for leak in common.leaks)


def test_a_plan_does_not_change():
    with pytest.raises(FrozenInstanceError):
        plan(rows=1000, distinct=1000, top_share=0.001).bits = 64


# -- against real tags ------------------------------------------------------------------------------------------

VALUES = 20_000


def shares(law):
    weights = [law(rank) for rank in range(1, VALUES + 1)]
    return [weight / sum(weights) for weight in weights]


UNIFORM = shares(lambda rank: 1)
ZIPF = shares(lambda rank: 1 / rank)
FLATTER = shares(lambda rank: 1 / (rank + 20) ** 0.9)  # the most common has half a percent


def tags_of(run, values=VALUES):
    """64-bit tags of the values under a new key, as numbers; a shorter tag is their beginning."""
    del run
    index = BlindIndex[str](Keyset.generate("HMAC_SHA256_PRF"), table="people", column="name", bits=64)
    return [int.from_bytes(tag, "big") for tag in index.tag_many(f"name {n}" for n in range(values))]


KEYS = [tags_of(run) for run in range(9)]


@pytest.mark.parametrize("law", [UNIFORM, ZIPF, FLATTER], ids=["uniform", "zipf", "flatter"])
@pytest.mark.parametrize("bits", [6, 8, 10, 12])
def test_false_positives_are_as_many_as_expected(law, bits):
    rows = 100_000
    holders = Counter(random.Random(bits).choices(range(VALUES), weights=law, k=rows))
    found, expected, variance = [], [], []
    for tags in KEYS:
        load = Counter()
        for value, count in holders.items():
            load[tags[value] >> 64 - bits] += count
        for value in range(VALUES - 200, VALUES):  # rare ones
            found.append(load[tags[value] >> 64 - bits] - holders[value])
            expected.append((rows - holders[value]) / 2**bits)
    figures = plan(rows=rows, distinct=VALUES, top_share=max(law), bits=bits, accept_leak="a simulation")
    assert mean(expected) == pytest.approx(figures.false_positives, rel=0.001)
    assert figures.false_positives_for(0.25) == pytest.approx(figures.false_positives * 0.75, rel=0.001)
    # One search of one key meets value v with probability 2^-bits: the variance of a sum of weighted coins. Searches of
    # one key share their tags; 2^bits tags of each key are what is independent at the most.
    p = 2**-bits
    variance = sum(count**2 for count in holders.values()) * p * (1 - p)
    independent = len(KEYS) * min(200, 2**bits)
    assert abs(mean(found) - mean(expected)) < 5 * math.sqrt(variance / independent)


def named(law, tags, bits, top=20):
    """The share of the rows with a top value that an attack by rank names: tags by load, values by frequency."""
    load = Counter()
    for value, share in enumerate(law):
        load[tags[value] >> 64 - bits] += share
    ranked = [tag for tag, _ in load.most_common(top)]
    right = sum(law[value] for value in range(top) if tags[value] >> 64 - bits == ranked[value])
    return right / sum(law[:top])


def test_the_figures_of_the_rank_attack_in_the_docstring():
    measured = {bits: median(named(ZIPF, tags, bits) for tags in KEYS) for bits in (64, 16, 12, 10, 8, 6)}
    assert measured[64] == measured[16] == 1
    assert measured[12] > 0.9
    assert 0.75 < measured[10] <= 1
    assert 0.6 < measured[8] < 0.85
    assert 0.35 < measured[6] < 0.75


def test_a_flatter_column_is_named_at_length_and_hidden_when_short():
    measured = {bits: median(named(FLATTER, tags, bits) for tags in KEYS) for bits in (64, 10, 8)}
    assert measured[64] == 1
    assert measured[10] < 0.35
    assert measured[8] < 0.2


def test_stands_out_is_what_a_reader_of_the_column_sees():
    """Where the plan says that the most common value stands out, its tag has the most rows; where not, mostly not."""
    for law in (ZIPF, FLATTER):
        figures = plan(rows=100_000, distinct=VALUES, top_share=max(law), accept_leak="a simulation")
        for bits, seen in ((figures.hides_top_at + 4, True), (figures.hides_top_at, False)):
            first = []
            for tags in KEYS:
                load = Counter()
                for value, share in enumerate(law):
                    load[tags[value] >> 64 - bits] += share
                rest = load[tags[0] >> 64 - bits] - law[0]
                first.append(law[0] > 4 * rest)
            assert (sum(first) > len(first) / 2) is seen
