from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from portalsec.cli import fields as module
from portalsec.cli.app import portalsec
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.rotation import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable

APPLICATION = """
from pathlib import Path

import sqlalchemy as sa

from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.rotation import Reencrypt
from portalsec.sqlalchemy.cells import EncryptedTable

metadata = sa.MetaData()
patients = sa.Table("patients", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("ssn", sa.LargeBinary))
notes = sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.LargeBinary))


def field(table, column):
    return EncryptedField(Keyset.from_json(Path("fields.json").read_text()), table=table, column=column)


def tables():
    return [
        EncryptedTable(table=patients, tasks=[Reencrypt(field=field("patients", "ssn"), column="ssn")]),
        EncryptedTable(table=notes, tasks=[Reencrypt(field=field("notes", "text"), column="text")]),
    ]


alone = tables()[0]
nothing = []
number = 7
"""

MAPPED = """
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from portalsec.crypto import EncryptedField, Keyset
from portalsec.sqlalchemy.fields import encrypted

keys = Keyset.from_json(Path("fields.json").read_text())


class Base(DeclarativeBase):
    pass


class Clinic(Base):
    __tablename__ = "clinics"
    id: Mapped[int] = mapped_column(primary_key=True)


class Patient(Base):
    __tablename__ = "patients"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    ssn_cell: Mapped[bytes | None]
    ssn = encrypted(EncryptedField(keys, table="patients", column="ssn"), cell="ssn_cell")
"""

SEARCHED = """
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from portalsec.crypto import BlindIndex, EncryptedField, Keyset, normalise
from portalsec.sqlalchemy.fields import encrypted, searchable

keys = Keyset.from_json(Path("fields.json").read_text())
index_keys = Keyset.from_json(Path("index.json").read_text())


def index(column, how):
    return BlindIndex(index_keys, table="people", column=column, bits=64, normalise=how)


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "people"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name_cell: Mapped[bytes | None]
    name_tag: Mapped[bytes | None] = mapped_column(index=True)
    name = encrypted(
        EncryptedField(keys, table="people", column="name"),
        cell="name_cell", index=index("name", normalise.name), tag="name_tag",
    )
    born_cell: Mapped[bytes | None]
    born = encrypted(EncryptedField(keys, table="people", column="born", type=date), cell="born_cell")
    start_tag: Mapped[bytes | None]
    start = searchable(index("start", normalise.prefix(normalise.name, 2)), tag="start_tag", of="name")
    both_tag: Mapped[bytes | None]
    both = searchable(
        index("both", normalise.parts(normalise.name, normalise.year)), tag="both_tag", of=("name", "born")
    )
"""

URL = "sqlite:///app.db"
OLD = Keyset.generate("AES256_GCM")
OLD_ID = OLD.primary_id
ADDED = OLD.add("AES256_GCM")
NEW = ADDED.promote(ADDED.info()[-1].id)


@pytest.fixture(autouse=True)
def application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The folder of an application with 25 patients and 5 notes under the older key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("cli_application.py").write_text(APPLICATION)
    Path("fields.json").write_text(keyset_to_json(OLD))
    monkeypatch.delitem(sys.modules, "cli_application", raising=False)
    import cli_application

    engine = sa.create_engine(URL)
    cli_application.metadata.create_all(engine)
    with engine.begin() as connection:
        for table, column, count in (
            (cli_application.patients, "ssn", 25),
            (cli_application.notes, "text", 5),
        ):
            write = cli_application.field(table.name, column).encrypt
            connection.execute(
                table.insert(), [{"id": n, column: write(f"{n}", row=n)} for n in range(count)]
            )
    engine.dispose()
    Path("fields.json").write_text(keyset_to_json(NEW))
    del sys.modules["cli_application"]
    yield
    sys.modules.pop("cli_application", None)


def run(*arguments: str, target: str = "cli_application:tables", database: str = URL) -> Result:
    return CliRunner().invoke(
        portalsec, ["fields", arguments[0], target, "--database", database, *arguments[1:]]
    )


def answer(*arguments: str, **options: str) -> dict[str, Any]:
    result = run(*arguments, "--json", **options)
    held: dict[str, Any] = json.loads(result.stdout)
    assert held["exit"] == result.exit_code
    return held


def break_patients(*ids: int) -> None:
    engine = sa.create_engine(URL)
    with engine.begin() as connection:
        for each in ids:
            connection.exec_driver_sql("UPDATE patients SET ssn = ? WHERE id = ?", (b"secret bytes", each))
    engine.dispose()


def test_everything_is_put_under_the_key_that_writes() -> None:
    assert run("status").exit_code == 1
    before = answer("status")
    assert before["left"] == 30
    assert before["tables"]["patients"] == {
        "ssn": {"current": 0, "older": {str(OLD_ID): 25}, "unknown": 0, "unmarked": 0, "stale": 0}
    }
    result = run("reencrypt")
    assert result.exit_code == 0, result.output
    assert "30 rows looked at, 30 written." in result.output
    assert answer("status")["left"] == 0
    assert "Nothing is left." in run("status").output
    assert answer("reencrypt")["changed"] == 0


def test_a_dry_run_writes_nothing() -> None:
    assert answer("reencrypt", "--dry-run")["changed"] == 30
    assert answer("status")["left"] == 30
    assert "would be written" in run("reencrypt", "--dry-run").output
    assert run("reencrypt", "--dry-run", "--resume", "state").exit_code == 2


def test_failures_are_listed_and_exit_1() -> None:
    break_patients(3, 20)
    result = run("reencrypt", "--failures", "failed.jsonl")
    assert result.exit_code == 1
    assert "2 cells failed" in result.output
    assert "patients [3] ssn: too_short" in result.output
    assert "secret" not in result.output
    lines = [json.loads(line) for line in Path("failed.jsonl").read_text().splitlines()]
    assert lines == [
        {"table": "patients", "key": [n], "column": "ssn", "reason": "too_short"} for n in (3, 20)
    ]
    again = answer("reencrypt")
    assert (again["failed"], again["changed"], again["failures"]) == (2, 0, lines)
    assert answer("status")["tables"]["patients"]["ssn"]["unknown"] == 2


def test_ctrl_c_stops_after_the_batch_and_the_same_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    break_patients(0)
    kept, keep = [], module._State.keep

    def press(state: Any, table: str, cursor: Any) -> None:
        keep(state, table, cursor)
        kept.append((table, cursor["done"]))
        if len(kept) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(module._State, "keep", press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = run("reencrypt", "--resume", "state.json", "--batch", "10")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert "goes on from here, by state.json" in result.output
    assert stat.S_IMODE(Path("state.json").stat().st_mode) == 0o600
    assert kept == [("patients", 10), ("patients", 20)]
    assert answer("status")["left"] == 11
    rest = answer("reencrypt", "--resume", "state.json", "--batch", "10")
    assert (rest["rows"], rest["changed"], rest["failed"], rest["exit"]) == (30, 29, 1, 1)
    assert kept[2:] == [("patients", 25), ("notes", 5)]
    assert not Path("state.json").exists()


def test_a_state_of_another_run_is_refused() -> None:
    other = '{"version": 2, "target": "other:tables", "database": "", "cursors": {}}'
    for text in ("nonsense", other, "{}"):
        Path("state.json").write_text(text)
        result = run("reencrypt", "--resume", "state.json")
        assert result.exit_code == 2
        assert "state.json is not the state" in result.output
        assert Path("state.json").read_text() == text
    assert answer("status")["left"] == 30


def stopped(monkeypatch: pytest.MonkeyPatch, *arguments: str, **options: str) -> None:
    """A run that dies after its first batch, and leaves its state in state.json."""
    keep = module._State.keep

    def die(state: Any, table: str, cursor: Any) -> None:
        keep(state, table, cursor)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module._State, "keep", die)
        run("reencrypt", "--resume", "state.json", "--batch", "10", *arguments, **options)
    assert Path("state.json").exists()


def test_a_state_of_another_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy("app.db", "staging.db")
    stopped(monkeypatch, database="sqlite:///staging.db")
    held = Path("state.json").read_text()
    result = run("reencrypt", "--resume", "state.json")
    assert result.exit_code == 2
    assert "in another one" in result.output
    assert "remove it to begin anew" in result.output
    assert (Path("state.json").read_text(), answer("status")["left"]) == (held, 30)
    # The same one, by another name of its path.
    rest = answer("reencrypt", "--resume", "state.json", database=f"sqlite:///{Path.cwd()}/staging.db")
    assert (rest["rows"], rest["exit"]) == (30, 0)
    assert not Path("state.json").exists()


def test_what_a_state_is_marked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def mark(url: str) -> str:
        return module._mark("models:Base", url, Path())

    monkeypatch.delenv("PGHOST", raising=False)
    here = mark("postgresql+psycopg://clinic:one@db.test:5432/app")
    assert mark("postgresql+psycopg2://other:two@db.test:5432/app") == here  # whoever asks
    others = {
        mark(f"postgresql://{rest}")
        for rest in (
            "staging.test:5432/app",
            "db.test:5433/app",
            "db.test:5432/other",
            "db.test:5432/app?options=-csearch_path%3Dother",
            "/app",
            "/app?host=staging.test",
            "/?host=staging.test",
            "clinic@/?host=staging.test",
        )
    }
    assert len(others) == 8 and here not in others
    without = mark("postgresql:///app")
    monkeypatch.setenv("PGHOST", "staging.test")
    assert mark("postgresql:///app") != without
    Path("portalsec.toml").write_text('[portal]\nname = "Test"\nbase_url = "https://portal.test"\n')
    own = module._mark(None, None, Path("portalsec.toml"))
    assert module._mark(None, None, Path.cwd() / "portalsec.toml") == own
    monkeypatch.setenv("PORTALSEC__STORES__SUBJECTS", "sqlite:///elsewhere.db")
    assert module._mark(None, None, Path("portalsec.toml")) != own


def test_a_mapped_class_and_a_declarative_base() -> None:
    Path("cli_mapped.py").write_text(MAPPED)
    try:
        import cli_mapped  # type: ignore[import-not-found]

        cli_mapped.Base.metadata.create_all(engine := sa.create_engine("sqlite:///mapped.db"))
        engine.dispose()
        for target in ("cli_mapped:Base", "cli_mapped:Patient"):
            found = answer("status", target=target, database="sqlite:///mapped.db")
            assert list(found["tables"]) == ["patients"]
            assert list(found["tables"]["patients"]) == ["ssn_cell"]
        assert run("status", target="cli_mapped:Clinic", database="sqlite:///mapped.db").exit_code == 2
    finally:
        sys.modules.pop("cli_mapped", None)


def searched() -> Any:
    """The application anew, with the keys as they are in its files."""
    sys.modules.pop("cli_searched", None)
    import cli_searched  # type: ignore[import-not-found]

    return cli_searched


def test_every_tag_is_brought_under_a_rotated_index_key_and_every_search_still_finds() -> None:
    Path("cli_searched.py").write_text(SEARCHED)
    first = Keyset.generate("HMAC_SHA256_PRF")
    both = first.add("HMAC_SHA256_PRF")
    rotated = both.promote(both.info()[-1].id)
    url = "sqlite:///searched.db"
    to_it = {"target": "cli_searched:Base", "database": url}
    engine = sa.create_engine(url)
    born = date(1815, 12, 10)
    try:
        Path("index.json").write_text(keyset_to_json(first))
        app = searched()
        app.Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([app.Person(name=f"ada {n}", born=born) for n in range(20)])
            session.add(app.Person(name="nobody's year"))
            session.add(app.Person(born=born))
            session.commit()
        assert answer("status", **to_it)["exit"] == 0

        Path("index.json").write_text(keyset_to_json(rotated))
        searched()
        before = answer("status", **to_it)
        found = before["tables"]["people"]
        assert {name: found[name]["stale"] for name in ("name_tag", "start_tag", "both_tag")} == {
            "name_tag": 21,
            "start_tag": 21,
            "both_tag": 20,
        }
        assert (before["exit"], before["left"], found["name_cell"]["current"]) == (1, 62, 21)
        assert "not what the cell gives" in run("status", **to_it).output
        assert answer("status", "--cells-only", **to_it)["exit"] == 0
        assert answer("reencrypt", "--cells-only", **to_it)["changed"] == 0
        done = answer("reencrypt", **to_it)
        assert (done["exit"], done["changed"], done["rows"]) == (0, 21, 22)
        assert answer("status", **to_it)["exit"] == 0
        assert "Nothing is left." in run("status", **to_it).output

        Path("index.json").write_text(keyset_to_json(rotated.disable(first.primary_id)))
        person = searched().Person
        with Session(engine) as session:
            for search, count in (
                (person.name == "Ada 7", 1),
                (person.start == "ad", 20),
                (person.both == ("ada 7", born), 1),
            ):
                assert len(session.scalars(sa.select(person).where(search)).all()) == count
    finally:
        engine.dispose()
        sys.modules.pop("cli_searched", None)


def test_a_model_whose_cells_cannot_be_walked_is_never_passed_over() -> None:
    Path("cli_mixed.py").write_text(
        MAPPED
        + """

class Mixed(Base):
    __tablename__ = "mixed"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    one: Mapped[UUID] = mapped_column(unique=True)
    a_cell: Mapped[bytes | None]
    a = encrypted(EncryptedField(keys, table="mixed", column="a"), cell="a_cell", row="one")
    b_cell: Mapped[bytes | None]
    b = encrypted(EncryptedField(keys, table="mixed", column="b"), cell="b_cell")
"""
    )
    try:
        result = run("status", target="cli_mixed:Base")
        assert result.exit_code == 2
        assert "no row= in common" in result.output
    finally:
        sys.modules.pop("cli_mixed", None)


def test_cells_of_raw_keys_are_never_called_done() -> None:
    held = json.loads(keyset_to_json(OLD.add("AES256_GCM")))
    held["key"][1]["outputPrefixType"] = "RAW"
    held["primaryKeyId"] = held["key"][1]["keyId"]
    Path("fields.json").write_text(json.dumps(held))
    assert answer("reencrypt")["changed"] == 30  # they bear the marks of other keys
    before = answer("status")
    assert (before["exit"], before["left"], before["unmarked"]) == (1, 0, 30)
    assert "Nothing is left" not in run("status").output
    assert "30 cells bear no mark" in run("status").output


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("cli_application", "module:name"),
        ("nowhere:tables", "no module nowhere"),
        ("cli_application:other", "has no other"),
        ("cli_application:nothing", "no encrypted columns"),
        ("cli_application:number", "is a int"),
    ],
)
def test_a_target_that_is_none_is_a_sentence(target: str, says: str) -> None:
    result = run("status", target=target)
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ("sqlite:///absent.db", "no database"),
        ("not a url", "not one"),
        ("sqlite:///empty.db", "no table patients"),
        ("postgresql+psycopg://u:hunter2@localhost:1/x", "does not answer"),
    ],
)
def test_a_database_that_is_none_is_a_sentence(database: str, says: str) -> None:
    Path("empty.db").touch()
    result = run("status", database=database)
    assert result.exit_code == 2
    assert says in result.output
    assert "hunter2" not in result.output
    assert not Path("absent.db").exists()
    assert answer("reencrypt", database=database)["exit"] == 2


def test_a_database_that_fails_in_the_middle_is_a_sentence_and_the_place_is_kept() -> None:
    engine = sa.create_engine(URL)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE UPDATE ON patients WHEN new.id = 15 BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    result = run("reencrypt", "--resume", "state.json", "--batch", "10")
    assert result.exit_code == 2
    assert "COULD NOT: " in result.output
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    engine.dispose()
    assert answer("status")["left"] == 20
    assert answer("reencrypt", "--resume", "state.json")["changed"] == 30


def test_two_descriptions_of_one_table_have_two_places() -> None:
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("c", sa.LargeBinary)
    )
    one = EncryptedTable(
        table=table, tasks=[Reencrypt(field=EncryptedField(NEW, table="t", column="c"), column="c")]
    )
    assert [module._name(one, n, [one, one]) for n in range(2)] == ["t#0", "t#1"]
    assert module._name(one, 0, [one]) == "t"
