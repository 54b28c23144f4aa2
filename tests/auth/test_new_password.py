"""The gate: what it asks, in which order, and what becomes of a password that nobody can say anything about."""

from __future__ import annotations

import ast
import traceback
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from portalsec.auth import _input, strength
from portalsec.auth import passwords as passwords_module
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import MAX_HISTORY, PasswordPolicy, PasswordRefused
from portalsec.auth.passwords import Passwords
from portalsec.errors import (
    AuditUnavailable,
    BreachSourceUnavailable,
    ConfigurationError,
    Denied,
    Reason,
    StoreError,
)
from portalsec.events import Event, Outcome, SecurityEvent
from portalsec.stores.memory import MemoryPasswordHistory
from portalsec.testing import CapturedEvents, FrozenClock
from portalsec.testing.hashing import CHEAP_ARGON2
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE
from tests.support import ROOT

ACCOUNT = "account-1"


class Listed:
    """A source that knows some passwords, or cannot say, and counts who asks."""

    def __init__(self, *passwords: str, name: str = "list", local: bool = True, down: bool = False) -> None:
        self.name, self.local, self.down = name, local, down
        self.passwords = set(passwords)
        self.asked: list[str] = []

    def contains(self, password: str) -> bool:
        self.asked.append(password)
        if self.down:
            raise BreachSourceUnavailable("the list is not there")
        return password in self.passwords


class Gate:
    def __init__(self, *sources: Listed, **options: Any) -> None:
        self.events = CapturedEvents()
        self.clock = FrozenClock()
        self.history = MemoryPasswordHistory()
        self.passwords = Passwords(parameters=CHEAP_ARGON2, concurrency=8)
        self.verified = 0
        real = self.passwords.verify

        def verify(*args: Any, **kwargs: Any) -> Any:
            self.verified += 1
            return real(*args, **kwargs)

        self.passwords.verify = verify  # type: ignore[method-assign]
        options.setdefault("policy", PasswordPolicy.NIST_800_63B_4)
        options.setdefault("emit", self.events)
        self.new = NewPasswords(sources=sources, passwords=self.passwords, history=self.history, **options)

    def prepare(self, password: object = PASSWORD, *, current: str | None = None, second: bool = True) -> str:
        return self.new.prepare(
            ACCOUNT, password, about=("zorbina",), with_second_factor=second, current=current, source=SOURCE
        )

    def refused(self, password: object = PASSWORD, **options: Any) -> list[str]:
        with pytest.raises(PasswordRefused) as refusal:
            self.prepare(password, **options)
        return [problem.id for problem in refusal.value.problems]

    def hash(self, password: str) -> str:
        return self.passwords.hash(password, account_id=ACCOUNT)

    def use(self, password: str, current: str | None) -> str:
        """Choose a password as a change does; the new current hash."""
        chosen = self.prepare(password, current=current)
        self.new.retire(ACCOUNT, current, self.clock())
        self.clock.advance(timedelta(days=1))
        return chosen


def test_what_comes_out_is_the_hash_of_that_account() -> None:
    gate = Gate()
    hashed = gate.prepare()
    gate.passwords.verify(hashed, PASSWORD, account_id=ACCOUNT)
    with pytest.raises(Denied):
        gate.passwords.verify(hashed, PASSWORD, account_id="account-2")
    assert gate.events == []


def test_the_policy_comes_first_and_nothing_else_is_asked_then() -> None:
    source = Listed(PASSWORD)
    gate = Gate(source)
    assert gate.refused("short") == ["too_short"]
    assert gate.refused("Zorbina!1984") == ["personal"]
    assert gate.refused("iloveyou") == ["common"]
    assert (source.asked, gate.verified) == ([], 0)


def test_every_source_is_asked_local_ones_first_and_in_nfc() -> None:
    order: list[str] = []

    class Noted(Listed):
        def contains(self, password: str) -> bool:
            order.append(self.name)
            return super().contains(password)

    far, near, last = (
        Noted(name="range", local=False),
        Noted(name="bundled"),
        Noted(OTHER_PASSWORD, name="own", local=False),
    )
    gate = Gate(far, near, last)
    gate.prepare("cafe\u0301 velvet cactus orbit")
    assert order == ["bundled", "range", "own"]
    assert near.asked == far.asked == ["caf\u00e9 velvet cactus orbit"]
    assert gate.refused(OTHER_PASSWORD) == ["breached"]


@pytest.mark.parametrize("unreachable", ["accept", "refuse"])
@pytest.mark.parametrize("local", [True, False])
def test_atk_41_a_source_that_cannot_say_is_recorded_whatever_the_policy(
    unreachable: str, local: bool
) -> None:
    down, other = (
        Listed(name="range", local=local, down=True),
        Listed(OTHER_PASSWORD, name="other", local=False),
    )
    gate = Gate(down, other, unreachable=unreachable)
    if unreachable == "accept":
        gate.prepare()
        assert gate.refused(OTHER_PASSWORD) == ["breached"]  # the others are asked all the same
        del gate.events[1:]
    else:
        assert gate.refused() == ["unchecked_refused"]
    [event] = gate.events
    assert (event.name, event.outcome) == (Event.SYSTEM_CONTROL_FAILED, Outcome.ERROR)
    assert event.details == {"control": "passwords.range", "went_on": unreachable == "accept"}
    assert event.resource is not None
    assert (event.resource.type, event.resource.id, event.source) == ("account", ACCOUNT, SOURCE)


def test_where_it_cannot_be_recorded_no_password_is_taken() -> None:
    def full(event: SecurityEvent) -> None:
        raise AuditUnavailable("the disk is full")

    gate = Gate(Listed(down=True), emit=full)
    with pytest.raises(AuditUnavailable):
        gate.prepare()


def test_an_error_that_is_no_outage_is_no_answer() -> None:
    class Broken(Listed):
        def contains(self, password: str) -> bool:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Gate(Broken()).prepare()


def test_the_present_password_is_no_new_one() -> None:
    gate = Gate()
    current = gate.prepare()
    assert gate.refused(PASSWORD, current=current) == ["same"]
    gate.prepare(OTHER_PASSWORD, current=current)


def test_the_last_n_passwords_do_not_come_back() -> None:
    gate = Gate(keep=2)
    names = [f"lantern orbit velvet {word}" for word in ("cactus", "saturn", "mitten", "pickle")]
    current = None
    for name in names:
        current = gate.use(name, current)
    assert gate.refused(names[3], current=current) == ["same"]
    assert gate.refused(names[2], current=current) == ["reused"]
    assert gate.refused(names[1], current=current) == ["reused"]
    gate.prepare(names[0], current=current)  # two back and the present one: this is the fourth


def test_without_a_history_the_one_before_the_last_may_come_back_unless_it_was_compromised() -> None:
    gate = Gate()
    first = gate.prepare()
    second = gate.use(OTHER_PASSWORD, first)
    assert len(gate.history.of_account(ACCOUNT)) == 0
    gate.prepare(PASSWORD, current=second)
    gate.new.retire(ACCOUNT, first, gate.clock(), compromised=True)
    assert gate.refused(PASSWORD, current=second) == ["reused"]
    gate.use("marmalade uprising of 1702", second)
    assert gate.refused(PASSWORD) == ["reused"]  # an ordinary change forgets none of those


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_a_compromised_password_comes_back_after_no_number_of_ordinary_changes(keep: int) -> None:
    gate = Gate(keep=keep)
    stolen = gate.prepare()
    gate.new.retire(ACCOUNT, stolen, gate.clock(), compromised=True)
    current = gate.prepare(OTHER_PASSWORD)
    for number in range(keep + 6):
        current = gate.use(f"marmalade uprising of 17{number:02}", current)
    assert gate.refused(PASSWORD, current=current) == ["reused"]


def test_no_hash_is_retired_where_there_is_none() -> None:
    gate = Gate(keep=3)
    gate.new.retire(ACCOUNT, None, gate.clock())
    gate.new.retire(ACCOUNT, "", gate.clock(), compromised=True)
    assert len(gate.history.of_account(ACCOUNT)) == 0


def test_the_work_of_the_history_is_bounded() -> None:
    gate = Gate(keep=MAX_HISTORY)
    for number in range(MAX_HISTORY + 10):  # a store that kept more than it was told to
        gate.history.add(ACCOUNT, gate.hash(f"{OTHER_PASSWORD} {number}"), at=gate.clock(), keep=1000)
        gate.clock.advance(timedelta(seconds=1))
    current = gate.hash(OTHER_PASSWORD)
    gate.verified = 0
    gate.prepare(current=current)
    assert gate.verified == MAX_HISTORY + 5 + 1  # five compromised ones at most
    for keep in (-1, MAX_HISTORY + 1):
        with pytest.raises(ConfigurationError, match="keep"):
            Gate(keep=keep)


def test_the_policys_history_holds_where_no_other_is_given() -> None:
    from dataclasses import replace

    assert Gate(policy=replace(PasswordPolicy.NIST_800_63B_4, history=4)).new.keep == 4
    assert Gate().new.keep == 0


def test_an_earlier_hash_that_cannot_be_read_is_recorded_and_keeps_nobody_from_a_new_password() -> None:
    gate = Gate(keep=3)
    gate.history.add(ACCOUNT, "$argon2id$damaged", at=gate.clock(), keep=3)
    gate.prepare(current="$argon2id$damaged too")
    assert [event.details["control"] for event in gate.events] == ["passwords.history"] * 2


def test_a_history_that_cannot_be_read_stops_the_change() -> None:
    class Down:
        def of_account(self, account_id: str) -> Any:
            raise StoreError("down")

    gate = Gate(keep=3)
    gate.new = NewPasswords(
        policy=gate.new.policy,
        sources=(),
        passwords=gate.passwords,
        history=Down(),
        emit=gate.events,
        keep=3,  # type: ignore[arg-type]
    )
    with pytest.raises(StoreError):
        gate.prepare()


def test_policies_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="unreachable"):
        Gate(unreachable="ignore")


# -- the meter --------------------------------------------------------------------------------------------------


def test_the_meter_asks_local_sources_only_and_records_nothing() -> None:
    near, far = Listed(OTHER_PASSWORD, name="bundled"), Listed(PASSWORD, name="range", local=False)
    gate = Gate(near, far)
    assert gate.new.report(PASSWORD, with_second_factor=True).problems == ()
    report = gate.new.report(OTHER_PASSWORD, with_second_factor=True)
    assert ([problem.id for problem in report.problems], report.score) == (["breached"], 1)
    assert (far.asked, gate.verified, gate.events) == ([], 0, [])


def test_the_meter_says_that_it_could_not_look() -> None:
    gate = Gate(Listed(down=True))
    report = gate.new.report(PASSWORD, with_second_factor=True)
    assert (report.problems, "unchecked" in [each.id for each in report.advice]) == ((), True)
    assert gate.events == []


def test_the_meter_agrees_with_the_gate() -> None:
    gate = Gate(Listed("harbour pickle saturn mitten"))
    for password in (
        "short",
        "iloveyou",
        "zorbina-1984",
        OTHER_PASSWORD,
        PASSWORD,
        "\N{CACTUS}" * 8,
        "x" * 300,
        "a\tbcdefghij",
    ):
        report = gate.new.report(password, about=("zorbina",), with_second_factor=True)
        expected = [] if not report.problems else gate.refused(password)
        assert [problem.id for problem in report.problems] == expected
        assert bool(report.problems) is (expected != [])


# -- limits and secrets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    ["x" * 10_000_000, "x" * 1025, "\u0301\u0323" * 20_000, "é" * 513, "", None, 7, b"bytes", "\ud800" * 9],
)
def test_atk_30_pwd_05_what_is_over_the_limit_costs_no_work(
    password: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("work was done")

    source = Listed()
    gate = Gate(source, keep=3)
    gate.history.add(ACCOUNT, gate.hash(PASSWORD), at=gate.clock(), keep=3)
    monkeypatch.setattr(_input, "unicodedata", SimpleNamespace(normalize=never))
    monkeypatch.setattr(strength, "_score", never)
    monkeypatch.setattr(strength, "is_common", never)
    monkeypatch.setattr(passwords_module.low_level, "hash_secret_raw", never, raising=False)
    monkeypatch.setattr(passwords_module.low_level, "hash_secret", never)
    monkeypatch.setattr(passwords_module.low_level, "verify_secret", never)
    for ask in (gate.prepare, lambda given: gate.new.report(given, with_second_factor=True)):
        with pytest.raises(Denied) as refusal:
            ask(password)
        assert refusal.value.reason is Reason.MALFORMED
    assert (source.asked, gate.verified) == ([], 0)


@pytest.mark.parametrize("down", [False, True])
def test_pwd_11_atk_40_no_password_in_errors_events_or_tracebacks(down: bool) -> None:
    secret = "Zorbina marmalade uprising 1702"
    gate = Gate(Listed(secret, down=down), unreachable="refuse")
    with pytest.raises(PasswordRefused) as refusal:
        gate.prepare(secret)
    shown = (
        "".join(traceback.format_exception(refusal.value)) + repr(gate.events) + repr(refusal.value.problems)
    )
    assert refusal.value.__context__ is None
    assert secret not in shown
    assert "marmalade" not in repr(vars(gate.new)) + str(refusal.value)
    report = gate.new.report(secret, about=("zorbina",), with_second_factor=True)
    assert "marmalade" not in repr(report)


# -- no path past it --------------------------------------------------------------------------------------------

# Where a password may be hashed, and a hash may be put together: function by function.
_MAY_HASH = {
    ("auth/new_password.py", "prepare"),
    ("auth/_first_factor.py", "_rehash"),
}
_HASHERS = ("auth/passwords.py", "auth/legacy_hashes.py", "auth/legacy_outer.py", "auth/calibrate.py")
_NO_PASSWORDS_OF_PEOPLE = {"crypto/stretch.py"}  # keys from the passphrase of a key file


def _calls(verb: str) -> set[tuple[str, str]]:
    """File and function of every call of this verb on something called passwords."""
    found = set()
    package = ROOT / "src" / "portalsec"
    for path in package.rglob("*.py"):
        name = path.relative_to(package).as_posix()
        if name in _HASHERS or name.startswith("testing/"):
            continue
        text = path.read_text("utf-8")
        if f".{verb}(" not in text:
            continue
        for function in ast.walk(ast.parse(text)):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == verb
                    and ast.unparse(node.func.value).rpartition(".")[2].strip("_")
                    in {"passwords", "hasher", "hashing"}
                ):
                    found.add((name, function.name))
    return found


def test_pwd_08_no_path_to_a_new_password_but_through_the_gate() -> None:
    assert _calls("hash") == _MAY_HASH
    # Wrapping the hash of another system chooses no password.
    assert {file for file, _ in _calls("wrap")} <= {
        "cli/passwords.py",
        "django/management/commands/portalsec_wrap_passwords.py",
    }


def test_pwd_08_nobody_else_calls_the_hash_function() -> None:
    package = ROOT / "src" / "portalsec"
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if ("argon2" in (text := path.read_text("utf-8")) or "bcrypt" in text)
        and {"argon2", "bcrypt"}
        & {
            (alias.name if isinstance(node, ast.Import) else node.module or "").partition(".")[0]
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
    }
    assert users - _NO_PASSWORDS_OF_PEOPLE <= set(_HASHERS)
