"""Accounts that nobody uses: told in time, then disabled, and nobody who came back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.dormancy import Dormancy, DormancyPolicy, State
from portalsec.errors import ConfigurationError, StoreError
from portalsec.events import SYSTEM, Event
from tests.auth.mailing import Mailing, aged

DAY = timedelta(days=1)


def states(m: Mailing, **options: Any) -> dict[str, State]:
    return {found.account_id: found.state for found in m.portal.dormancy.run(**options)}


def disabled(m: Mailing, account_id: str) -> bool:
    account = m.portal.stores.accounts.get(account_id)
    assert account is not None
    return account.disabled


def test_an_owner_is_told_a_month_ahead_and_then_the_account_is_disabled() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(334 * DAY)
        assert states(m) == {robin.id: State.ACTIVE}
        m.clock.advance(DAY)
        assert states(m) == {robin.id: State.NOTIFY}
        (mail,) = m.deliver()
        assert mail.subject.startswith("Your account will be disabled soon")
        assert states(m) == {robin.id: State.WAITING} and m.deliver() == []
        m.clock.advance(30 * DAY - timedelta(seconds=1))
        assert states(m) == {robin.id: State.WAITING}
        m.clock.advance(timedelta(seconds=1))
        assert states(m) == {robin.id: State.DISABLE}
        assert disabled(m, robin.id) and states(m) == {robin.id: State.DISABLED}
        assert len(m.deliver()) == 1
        assert m.events.named(Event.ACCOUNT_DISABLED)[0].actor == SYSTEM
        assert m.events.named(Event.ACCOUNT_DORMANT)[0].details == {"why": "dormant"}


def test_nobody_is_disabled_who_was_not_told_in_time_however_long_it_was() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(3000 * DAY)
        assert states(m) == {robin.id: State.NOTIFY}
        m.clock.advance(29 * DAY)
        assert states(m) == {robin.id: State.WAITING}
        m.clock.advance(DAY)
        assert states(m) == {robin.id: State.DISABLE}


def test_who_comes_back_starts_anew() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(350 * DAY)
        assert states(m) == {robin.id: State.NOTIFY}
        m.clock.advance(20 * DAY)
        m.portal.stores.accounts.signed_in(robin.id, at=m.clock())
        m.clock.advance(20 * DAY)
        assert states(m) == {robin.id: State.ACTIVE}
        m.clock.advance(340 * DAY)
        assert states(m) == {robin.id: State.NOTIFY}  # the mail of the year before does not count


def test_who_comes_back_while_it_runs_is_left_alone() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(350 * DAY)
        states(m)
        m.clock.advance(40 * DAY)
        found = m.portal.dormancy._look(m.portal.stores.accounts.get(robin.id))  # type: ignore[arg-type]
        assert found.state is State.DISABLE
        m.portal.stores.accounts.signed_in(robin.id, at=m.clock())
        m.portal.dormancy._act(found)
        assert not disabled(m, robin.id)


def test_a_dry_run_says_the_same_and_does_nothing() -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(350 * DAY)
        m.events.clear()
        for _ in range(2):
            assert states(m, dry_run=True) == {robin.id: State.NOTIFY}
        assert m.deliver() == [] and m.events == []


def test_some_accounts_are_meant_to_lie_unused() -> None:
    with Mailing() as m:
        robin, spare = m.person(), m.person("break-glass")
        m.clock.advance(350 * DAY)
        assert states(m, exempt=lambda account: account.login == "break-glass") == {robin.id: State.NOTIFY}
        assert spare.id not in {n.account_id for n in m.portal.notices.of_account(spare.id)}


def test_an_account_of_which_nothing_is_known_is_shown_and_left() -> None:
    with Mailing() as m:
        robin = m.person()
        unknown = aged(robin, signed_in_at=None, created_at=None)
        assert m.portal.dormancy._look(unknown).state is State.UNKNOWN


def test_every_account_is_looked_at_once_over_several_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    from portalsec.auth import dormancy

    monkeypatch.setattr(dormancy, "_PAGE", 2)
    with Mailing() as m:
        people = [m.person(f"person{number}") for number in range(5)]
        m.clock.advance(350 * DAY)
        found = [each.account_id for each in m.portal.dormancy.run()]
        assert sorted(found) == sorted(person.id for person in people)


def test_what_failed_goes_on_at_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mailing() as m:
        robin = m.person()
        m.clock.advance(350 * DAY)
        states(m)
        m.clock.advance(40 * DAY)

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.accounts, "set_disabled", fails)
            with pytest.raises(StoreError):
                states(m)
        assert states(m) == {robin.id: State.DISABLE} and disabled(m, robin.id)


@pytest.mark.parametrize(
    "changes", [{"notice": timedelta(0)}, {"after": DAY, "notice": DAY}, {"after": -DAY}]
)
def test_a_policy_that_exists_is_valid(changes: dict[str, timedelta]) -> None:
    with pytest.raises(ConfigurationError, match="DormancyPolicy"):
        DormancyPolicy(**changes)


def test_other_times_can_be_chosen() -> None:
    with Mailing(dormancy=DormancyPolicy(after=90 * DAY, notice=7 * DAY)) as m:
        robin = m.person()
        m.clock.advance(84 * DAY)
        assert isinstance(m.portal.dormancy, Dormancy)
        assert states(m) == {robin.id: State.NOTIFY}
