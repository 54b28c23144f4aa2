from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.config.settings import KEYS, load_settings
from portalsec.errors import ConfigurationError

GOOD = {"portal": {"name": "Riverside", "base_url": "https://portal.example"}}


def problem(source: object, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(source, env=env or {})  # type: ignore[arg-type]
    return str(caught.value)


def test_two_keys_are_enough() -> None:
    settings = load_settings(GOOD, env={})
    assert settings["sessions", "policy"] == "HIPAA_CLINIC"
    assert settings["throttle", "account"] == (20, timedelta(minutes=15))
    assert settings["sign_in", "second_factor"] == "required"


def test_toml_mapping_and_environment_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "portalsec.toml"
    path.write_text(
        '[portal]\nname = "R"\nbase_url = "https://p.example"\n[sessions]\nidle = "10m"\n'
        '[throttle]\naccount = "13/1m"\n[passwords]\nwords = ["river"]\n'
    )
    from_file = load_settings(path, env={})
    from_mapping = load_settings(
        {
            "portal": {"name": "R", "base_url": "https://p.example"},
            "sessions": {"idle": "10m"},
            "throttle": {"account": "13/1m"},
            "passwords": {"words": ["river"]},
        },
        env={},
    )
    from_env = load_settings(
        {},
        env={
            "PORTALSEC__PORTAL__NAME": "R",
            "PORTALSEC__PORTAL__BASE_URL": "https://p.example",
            "PORTALSEC__SESSIONS__IDLE": "10m",
            "PORTALSEC__THROTTLE__ACCOUNT": "13/1m",
            "PORTALSEC__PASSWORDS__WORDS": "river",
        },
    )
    assert dict(from_file.values) == dict(from_mapping.values) == dict(from_env.values)


def test_the_environment_wins_over_the_file() -> None:
    settings = load_settings(
        GOOD, env={"PORTALSEC__SESSIONS__IDLE": "5m", "PATH": "x", "PORTALSEC_TEST_X": "y"}
    )
    assert settings["sessions", "idle"] == timedelta(minutes=5)


def test_an_unknown_key_names_file_table_key_and_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "portalsec.toml"
    path.write_text('[portal]\nname = "R"\nbase_url = "https://p.example"\n[sessions]\nidel = "10m"\n')
    text = problem(path)
    assert str(path) in text
    assert "[sessions]" in text
    assert "'idel'" in text
    assert "did you mean 'idle'?" in text


def test_unknown_tables_and_variables_name_the_nearest() -> None:
    assert "did you mean 'sessions'?" in problem({**GOOD, "session": {}})
    for variable in ("PORTALSEC__SESSION__IDLE", "PORTALSEC_SESSIONS__IDLE", "portalsec__sessions__idle"):
        assert "did you mean 'PORTALSEC__SESSIONS__IDLE'?" in problem(GOOD, {variable: "1m"})


def test_plain_http_is_for_localhost_alone() -> None:
    settings = load_settings({"portal": {"name": "R", "base_url": "http://localhost:8000"}}, env={})
    assert settings["portal", "base_url"] == "http://localhost:8000"


def test_security_state_and_audit_do_not_share_an_sqlite_file() -> None:
    both = {"security": "sqlite:///one.db", "audit": "sqlite:///one.db"}
    assert "the same SQLite file" in problem({**GOOD, "stores": both})
    subjects = {"subjects": "sqlite:///one.db", "audit": "sqlite:///one.db"}
    assert "the same SQLite file as subjects" in problem({**GOOD, "stores": subjects})
    load_settings({**GOOD, "stores": dict.fromkeys(both, "postgresql+psycopg://h/d")}, env={})


def test_every_problem_is_said_at_once() -> None:
    text = problem({"portal": {"nam": "x"}, "sessions": {"idle": 5, "absolute": "soon"}, "audit": 3})
    assert "'nam'" in text
    assert "name is missing" in text
    assert "base_url is missing" in text
    assert "idle" in text
    assert "absolute" in text
    assert "[audit] is not a table" in text


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("portal", "base_url", "portal.example"),
        ("portal", "base_url", "ftp://portal.example"),
        ("portal", "base_url", "https://portal.example:port"),
        ("portal", "base_url", "http://portal.example"),
        ("portal", "base_url", "http://localhost.evil.example"),
        ("portal", "name", ""),
        ("portal", "name", 7),
        ("portal", "proxy_hops", -1),
        ("portal", "proxy_hops", True),
        ("portal", "events", {"x": 1}),
        ("sessions", "idle", "0m"),
        ("sessions", "idle", "15"),
        ("sessions", "idle", "15 years"),
        ("sessions", "idle", "999999999d"),
        ("throttle", "account", "0/15m"),
        ("throttle", "account", "ten/15m"),
        ("throttle", "account", "10"),
        ("throttle", "account", "²/15m"),
        ("throttle", "account", "999999/1s"),
        ("passwords", "policy", "NIST"),
        ("passwords", "hashing", "md5"),
        ("passwords", "words", [""]),
        ("sign_in", "second_factor", "off"),
        ("sign_in", "pending_attempts", 0),
    ],
)
def test_a_wrong_value_names_its_key_and_a_remedy(table: str, key: str, value: object) -> None:
    source = {**GOOD, table: {**GOOD.get(table, {}), key: value}}
    text = problem(source)
    assert f"[{table}] {key}: " in text


def test_limits_that_contradict_each_other_are_refused() -> None:
    assert "longer than absolute" in problem({**GOOD, "sessions": {"idle": "2h", "absolute": "1h"}})
    assert "warn_before" in problem({**GOOD, "sessions": {"idle": "1m", "warn_before": "1m"}})


def test_a_file_that_is_not_there_or_not_toml_is_one_sentence(tmp_path: Path) -> None:
    assert "is missing" in problem(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff\xfe[portal")
    assert "is not TOML" in problem(bad)
    assert "cannot be read" in problem(tmp_path)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A sound settings file in a folder of its own."""
    path = tmp_path / "folder" / "portalsec.toml"
    path.parent.mkdir(mode=0o700)
    path.write_text('[portal]\nname = "R"\nbase_url = "https://p.example"\n')
    path.chmod(0o644)
    return path


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o664, 0o646, 0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused_with_the_remedy(written: Path, mode: int) -> None:
    written.chmod(mode)
    text = problem(written)
    assert f"(mode {mode:04o})" in text
    assert f"chmod go-w {written}" in text
    link = written.with_name("link.toml")
    link.symlink_to(written)
    assert "can be written by others" in problem(link)
    written.chmod(mode & ~0o022)  # what the remedy does
    assert load_settings(link, env={})["portal", "name"] == "R"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_that_everybody_can_replace_is_refused(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written.parent
    link = folder.parent / "link.toml"
    link.symlink_to(written)
    for mode in (0o700, 0o755, 0o775, 0o1777):
        folder.chmod(mode)
        load_settings(written, env={})
    for mode in (0o777, 0o703):
        folder.chmod(mode)
        for path in (written, link):
            text = problem(path)
            assert f"(mode {mode:04o})" in text
            assert f"chmod o-w {folder}" in text
        monkeypatch.chdir(folder)
        assert "chmod o-w" in problem("portalsec.toml")
    # A mount that nobody writes through, as orchestrators give a container.
    read_only = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert load_settings(written, env={})["portal", "name"] == "R"


def test_relative_sqlite_paths_start_at_the_settings_file(tmp_path: Path) -> None:
    settings = load_settings(GOOD, base=tmp_path, env={})
    assert settings.url("stores", "security") == f"sqlite:///{tmp_path / 'security.db'}"
    absolute = load_settings({**GOOD, "stores": {"security": "sqlite:////var/x.db"}}, base=tmp_path, env={})
    assert absolute.url("stores", "security") == "sqlite:////var/x.db"
    other = load_settings({**GOOD, "stores": {"security": "postgresql+psycopg://h/d"}}, base=tmp_path, env={})
    assert other.url("stores", "security") == "postgresql+psycopg://h/d"


def test_settings_do_not_print_their_values() -> None:
    settings = load_settings({**GOOD, "stores": {"security": "postgresql://u:hunter2@h/d"}}, env={})
    assert "hunter2" not in repr(settings)


def test_there_are_few_keys_and_each_says_what_it_is_for() -> None:
    keys = [spec for table in KEYS.values() for spec in table.values()]
    assert len(keys) <= 102
    assert all(spec.about for spec in keys)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
)
_tables = st.sampled_from([*KEYS, "x"])
_names = st.sampled_from([key for table in KEYS.values() for key in table])


@given(
    st.dictionaries(_tables, st.one_of(_scalars, st.dictionaries(_names, _scalars, max_size=4)), max_size=4)
)
def test_any_settings_are_accepted_or_refused_with_the_one_error(source: dict[str, object]) -> None:
    try:
        load_settings(source, env={})
    except ConfigurationError as error:
        assert str(error)


def test_an_escalating_budget_is_never_longer_than_the_longest() -> None:
    with pytest.raises(ConfigurationError, match="longest is shorter than the window of device"):
        load_settings({**GOOD, "throttle": {"device": "10/2h"}}, env={})
    load_settings({**GOOD, "throttle": {"device": "10/2h", "longest": "2h"}}, env={})
