"""What the events of `tests.auth.exploration` do; each may raise `Denied`, or `Hole`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from portalsec.auth._door import DOOR
from portalsec.auth.endings import ENDS, What, Why
from portalsec.auth.signin import Step
from portalsec.errors import Denied
from portalsec.events import SYSTEM
from tests.auth.exploration_models import code_of
from tests.auth.exploration_policies import ACCOUNTS, ELSEWHERE, SOURCE, enough
from tests.auth.exploration_sessions import Hole

__all__ = ["Doings"]


class Doings:
    """The part of the world that does them."""

    def start(self, number: int, name: str, *, trust: bool = False) -> None:
        browser = self.browsers[number]
        old = browser.pending
        try:
            step = self.sign_in.start(
                name,
                self.account(name).password_hash,
                source=SOURCE,
                replaces=old,
                device=browser.cookie,
                trust=trust,
            )
        finally:
            browser.pending, browser.stale = None, old
        self.arrived(number, None, step, name, "password", asks=trust)

    def begin_first(self, number: int, name: str | None) -> None:
        browser = self.browsers[number]
        old = browser.pending
        _, token = self.sign_in.begin_passkey(source=SOURCE, login=name, replaces=old)
        browser.pending, browser.stale = token.reveal(), old
        self.shown[token.reveal()] = frozenset()

    def show(self, number: int, token: str, name: str, what: str, work: Callable[[], Step]) -> None:
        had = {each: self.has_second(each) for each in ACCOUNTS}
        self.arrived(number, token, work(), name, what, had=had)

    def used_code(self, number: int, token: str) -> None:
        for name in ACCOUNTS:
            step = None
            try:
                step = self.sign_in.submit_totp(
                    token, code_of(name, self.model.totp.get(name, 0)), source=SOURCE
                )
            except Denied:
                continue
            raise Hole(f"a used code of {name} was taken: {step.next}")

    def confirm(self, number: int, token: str) -> None:
        found = self.flow(token)
        device = None if found is None else found[1].device_id
        whose = "" if found is None else str(found[0].account_id)
        had = {each: self.has_second(each) for each in ACCOUNTS}
        step = self.sign_in.confirm_totp_enrolment(
            token, code_of(device), source=SOURCE, device=self.browsers[number].cookie
        )
        self.added(token, whose, had)
        self.arrived(number, token, step, whose, "totp", had=had)

    def confirm_passkey(self, number: int, token: str, *, hard: bool = False) -> None:
        found = self.flow(token)
        whose = "" if found is None else str(found[0].account_id)
        had = {each: self.has_second(each) for each in ACCOUNTS}
        step = self.sign_in.confirm_passkey_enrolment(
            token, "hard" if hard else "synced", source=SOURCE, device=self.browsers[number].cookie
        )
        self.added(token, whose, had)
        self.arrived(number, token, step, whose, "hard" if hard else "verified", had=had)

    def added(self, token: str, whose: str, had: dict[str, bool]) -> None:
        """A factor was set up at the door: never beside another one by a password alone; nor by somebody who would get
        in without, from where they usually are."""
        shown = {what for name, what in self.shown[token] if name == whose}
        staff = self.model.staff.get(whose, False)
        policy = "mailed" if self.mails and not (staff and self.policy == "unmailed") else "required"
        if had[whose] and not enough(policy, frozenset(shown), True):
            raise Hole(f"a factor was added beside {whose}'s own, with {sorted(shown)}")
        if self.policy in ELSEWHERE and not staff:
            raise Hole(f"{whose} set a factor up for where they are")

    def choose(self, number: int, token: str) -> None:
        door = self.sign_in
        flow, state, account = door.change_under_way(DOOR, token, source=SOURCE)
        door.take_change(DOOR, flow, source=SOURCE)
        new = f"{account.id} {self.model.made()}"
        if not self.accounts.set_password(
            account.id, new, expected=account.password_hash, changed_at=self.now
        ):
            raise Hole("a password could not be set")
        self.accounts._by_id[account.id] = replace(self.account(account.id), must_change=None)
        self.endings.apply(account.id, Why.PASSWORD_CHANGED, actor=SYSTEM, source=SOURCE)
        shown = self.shown[token]
        self.ended(account.id)
        self.shown[token] = shown  # this one goes on
        step = door.after_change(
            DOOR, self.account(account.id), state, epoch=state.epoch + 1, at=self.now, source=SOURCE
        )
        self.arrived(number, token, step, account.id, "")

    def leave(self, number: int, work: Callable[[], None]) -> None:
        browser = self.browsers[number]
        pending, held = browser.pending, browser.session
        work()
        if pending is not None and self.flow(pending) is not None:
            raise Hole("a sign-in that was left is there still")
        if work.__name__ == "<lambda>" and held is not None and browser.session is held:
            browser.session = held if self.lives(held) else None
        browser.pending, browser.stale = None, pending

    def change(self, name: str, **what: Any) -> None:
        self.accounts._by_id[name] = replace(self.account(name), **what)

    def end_all(self, name: str, why: Why) -> None:
        self.endings.apply(name, why, actor=SYSTEM, source=SOURCE)
        self.ended(name, devices=What.DEVICES in ENDS[why])
        for browser in self.browsers:
            for token in (browser.session, browser.acting):
                record = None if token is None else self.record(token)
                if record is not None and record.account_id == name:
                    raise Hole(f"a session of {name} is there still")

    def ended(self, name: str, *, devices: bool = False) -> None:
        """The ghost: no sign-in of this account that is under way may lead to a session any more."""
        for token, shown in self.shown.items():
            if any(whose == name for whose, _ in shown):
                self.shown[token] = shown | {(name, "ended")}
        if self.links is not None:
            self.links.die(name)
        for browser in self.browsers if devices else ():
            browser.trusts = frozenset(each for each in browser.trusts if each[0] != name)

    def reset(self, name: str) -> None:
        """By mail, say; the service itself is another's test."""
        self.past(name)
        self.change(name, must_change=None)
        self.end_all(name, Why.PASSWORD_RESET)

    def past(self, name: str) -> None:
        """The password is another one, and nobody told the portal."""
        self.change(name, password_hash=f"{name} {self.model.made()}")
        if self.links is not None:
            self.links.die(name)
        for token, shown in self.shown.items():
            if (name, "password") in shown:
                self.shown[token] = shown - {(name, "password")} | {(name, "old password")}

    def appoint(self, name: str, staff: bool) -> None:
        self.model.staff[name] = staff
        if not staff:
            self.end_all(name, Why.ROLE_LOST)

    def lose(self, name: str) -> None:
        del self.model.totp[name]
        self.model.dead.pop(name, None)

    def wait(self, time: timedelta) -> None:
        self.now += time
