"""The table, the targets and the file that `make bench` writes; no real work is timed here."""

from __future__ import annotations

import json

import pytest

from bench import run
from bench.harness import Result, Row
from bench.targets import Target, load_targets

FAST = Result("a.one", 1.0, "us", 1.0, 1.0, (0.9, 1.1), 5)


def test_the_committed_targets_are_readable_and_every_row_of_them_has_a_comparison():
    targets = load_targets(run.HERE / "targets.csv")
    assert str(targets["crypto.encrypt.64"]) == "<=1.25"
    assert {target.comparison for target in targets.values()} <= {"<=", ">="}


@pytest.mark.parametrize(
    ("text", "ratio", "met"),
    [("<=1.25", 1.25, True), ("<=1.25", 1.2501, False), (">=20", 20.0, True), (">=20", 19.99, False)],
)
def test_targets_include_their_bound(text, ratio, met):
    assert Target.parse(text).met_by(ratio=ratio, value=1e9) is met


def test_a_target_of_its_own_looks_at_the_value():
    target = Target.parse("value>=60000")
    assert target.met_by(ratio=0.1, value=60000) and not target.met_by(ratio=9.0, value=59999)
    assert str(target) == "value>=60000"


@pytest.mark.parametrize("text", ["", "1.25", "<1.25", "<= fast", "=>2"])
def test_a_target_that_says_nothing_is_refused(text):
    with pytest.raises(ValueError, match="write <= or >="):
        Target.parse(text)


def test_a_wrong_target_names_file_and_line(tmp_path):
    path = tmp_path / "targets.csv"
    path.write_text("id,target\na,<=1\nb,quick\n", "utf-8")
    with pytest.raises(ValueError, match=r"targets\.csv, line 3: target 'quick'"):
        load_targets(path)
    path.write_text("id,target\na,<=1\na,<=2\n", "utf-8")
    with pytest.raises(ValueError, match="line 3: row 'a' stands twice"):
        load_targets(path)


def test_verdicts():
    assert run.verdict(FAST, Target("<=", 1.0)) == "met"
    assert run.verdict(FAST, Target("<=", 0.5)) == "missed"
    assert run.verdict(FAST, None) == "no target"


def test_merge_keeps_order_and_replaces_by_id():
    old = [{"id": "a", "ratio": 1}, {"id": "b", "ratio": 2}]
    assert run.merge(old, [{"id": "c", "ratio": 5}, {"id": "a", "ratio": 9}]) == [
        {"id": "a", "ratio": 9},
        {"id": "b", "ratio": 2},
        {"id": "c", "ratio": 5},
    ]


class Rows:
    """A stand-in for the bench_*.py files, which records that its rows were cleaned up after."""

    def __init__(self) -> None:
        self.closed = False

    def rows(self):
        try:
            yield Row("a.one", lambda: None, lambda: None, 1)
            yield Row("b.two", lambda: None, lambda: None, 1)
        finally:
            self.closed = True


@pytest.fixture
def rows(monkeypatch):
    stand_in = Rows()
    monkeypatch.setattr(run, "modules", lambda: ["bench.stand_in"])
    monkeypatch.setattr(run.importlib, "import_module", {"bench.stand_in": stand_in}.__getitem__)
    return stand_in


def test_a_run_writes_every_row_and_cleans_up(rows, tmp_path, capsys):
    out = tmp_path / "results.json"
    assert run.main(["--rounds", "2", "--output", str(out)]) == 0
    assert [row["id"] for row in json.loads(out.read_text("utf-8"))] == ["a.one", "b.two"]
    assert rows.closed
    assert "a.one" in capsys.readouterr().out


def test_only_keeps_the_other_rows_of_the_file(rows, tmp_path):
    out = tmp_path / "results.json"
    out.write_text(json.dumps([{"id": "z", "ratio": 1.0}, {"id": "b.two", "ratio": -1.0}]), "utf-8")
    assert run.main(["--only", "b.", "--rounds", "1", "--output", str(out)]) == 0
    first, second = json.loads(out.read_text("utf-8"))
    assert first == {"id": "z", "ratio": 1.0}
    assert second["id"] == "b.two"
    assert second["ratio"] > 0


def test_quick_writes_nothing(rows, tmp_path):
    out = tmp_path / "results.json"
    assert run.main(["--quick", "--output", str(out)]) == 0
    assert not out.exists()


def test_an_unknown_row_is_one_sentence(rows, tmp_path, capsys):
    assert run.main(["--only", "nosuch", "--output", str(tmp_path / "r.json")]) == 2
    assert capsys.readouterr().err.strip() == "no row's id begins with 'nosuch'"
    assert not (tmp_path / "r.json").exists()


def test_the_files_with_rows_are_found_by_name():
    assert all(name.startswith("bench.bench_") for name in run.modules())
