"""What can happen in the world of `tests.auth.exploration`: to a browser, to an account, to the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from portalsec.auth._door import DOOR
from portalsec.auth.endings import ENDS, What, Why
from portalsec.auth.signin import Step
from portalsec.errors import Denied
from portalsec.events import SYSTEM
from tests.auth.exploration_models import code_of
from tests.auth.exploration_policies import ACCOUNTS, BROWSERS, SOURCE, F, enough
from tests.auth.exploration_sessions import Hole, SentCodes

__all__ = ["Events"]


class Events:
    """The part of the world that lists them and does them; each may raise `Denied`, or `Hole`."""

    def events(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for number in BROWSERS:
            yield from self.events_of(number)
        for name in ACCOUNTS:
            yield from self.events_to(name)
        yield "six minutes pass", lambda: self.wait(timedelta(minutes=6))
        yield "eleven minutes pass", lambda: self.wait(timedelta(minutes=11))
        yield "a day passes", lambda: self.wait(timedelta(days=1))

    def events_to(self, name: str) -> Iterator[tuple[str, Callable[[], None]]]:
        """What an administrator, a script or the owner elsewhere does to an account."""
        model, account = self.model, self.account(name)
        if account.disabled:
            yield f"enable {name}", lambda: self.change(name, disabled=False)
        else:
            yield f"disable {name}", lambda: self.change(name, disabled=True)
        if account.must_change is None:
            yield f"require change {name}", lambda: self.change(name, must_change="admin")
        yield f"end all of {name}", lambda: self.end_all(name, Why.SIGNED_OUT_EVERYWHERE)
        yield f"reset of {name}", lambda: self.reset(name)
        yield f"a script sets the password of {name}", lambda: self.past(name)
        if name in model.totp:
            yield f"{name} loses the authenticator", lambda: model.totp.pop(name)
        else:
            yield f"{name} gets an authenticator", lambda: model.totp.update({name: 0})
        if name in model.passkeys:
            yield f"{name} loses the passkey", lambda: model.passkeys.pop(name)
        else:
            yield (
                f"{name} gets a passkey",
                lambda: model.passkeys.update({name: f"passkey-{model.made()}"}),
            )
        if not model.codes[name]:
            yield f"{name} gets a recovery code", lambda: model.codes.update({name: 1})
        if self.policy == "roles":
            staff = model.staff.get(name, False)
            yield f"{name} is staff: {not staff}", lambda: self.appoint(name, not staff)

    def events_of(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        browser = self.browsers[number]
        for name in ACCOUNTS:
            yield f"{number}: password of {name}", lambda n=name: self.start(number, n)
            if self.trusting:
                yield (
                    f"{number}: password of {name}, trust this browser",
                    lambda n=name: self.start(number, n, trust=True),
                )
            yield f"{number}: passkey first, as {name}", lambda n=name: self.begin_first(number, n)
        yield f"{number}: passkey first", lambda: self.begin_first(number, None)
        for which, token in (("pending", browser.pending), ("stale", browser.stale)):
            if token is None:
                continue
            yield from self.events_with(f"{number}: {which}: ", number, token)
        if browser.pending is not None:
            yield f"{number}: abort", lambda: self.leave(number, lambda: self.sign_in.abort(browser.pending))
        if browser.pending is not None or browser.session is not None:
            yield (
                f"{number}: sign out",
                lambda: self.leave(
                    number,
                    lambda: self.sign_in.logout(browser.session, source=SOURCE, pending=browser.pending),
                ),
            )
        yield from self.open.events(number)

    def events_with(self, says: str, number: int, token: str) -> Iterator[tuple[str, Callable[[], None]]]:
        door, cookie = self.sign_in, self.browsers[number].cookie
        for name in ACCOUNTS:
            yield (
                f"{says}code of {name}",
                lambda n=name: self.show(
                    number,
                    token,
                    n,
                    "totp",
                    lambda: door.submit_totp(token, self.next_code(n), source=SOURCE, device=cookie),
                ),
            )
            yield (
                f"{says}recovery code of {name}",
                lambda n=name: self.show(
                    number,
                    token,
                    n,
                    "recovery_code",
                    lambda: door.submit_recovery_code(token, n, source=SOURCE, device=cookie),
                ),
            )
            for verified in (False, True):
                yield (
                    f"{says}passkey of {name}, verified: {verified}",
                    lambda n=name, v=verified: self.show(
                        number,
                        token,
                        n,
                        "verified" if v else "passkey",
                        lambda: door.submit_passkey(token, (n, v), source=SOURCE, device=cookie),
                    ),
                )
        if self.mails:
            yield f"{says}mail a code", lambda: door.send_code(token, F.EMAIL_CODE, source=SOURCE)
        for _, (whose, made) in self.newest_codes():
            yield (
                f"{says}code {made}, mailed to {whose}",
                lambda w=whose, m=made: self.show(
                    number,
                    token,
                    w,
                    "email_code",
                    lambda: door.submit_sent_code(token, SentCodes.code(w, m), source=SOURCE, device=cookie),
                ),
            )
        yield f"{says}used code", lambda: self.used_code(number, token)
        yield f"{says}begin passkey", lambda: door.begin_passkey(token, source=SOURCE)
        yield f"{says}begin enrolment", lambda: door.begin_totp_enrolment(token, source=SOURCE)
        yield f"{says}begin passkey enrolment", lambda: door.begin_passkey_enrolment(token, source=SOURCE)
        yield f"{says}confirm enrolment", lambda: self.confirm(number, token)
        yield f"{says}confirm passkey", lambda: self.confirm_passkey(number, token)
        yield f"{says}new password", lambda: self.choose(number, token)

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

    def confirm_passkey(self, number: int, token: str) -> None:
        found = self.flow(token)
        whose = "" if found is None else str(found[0].account_id)
        had = {each: self.has_second(each) for each in ACCOUNTS}
        step = self.sign_in.confirm_passkey_enrolment(
            token, True, source=SOURCE, device=self.browsers[number].cookie
        )
        self.added(token, whose, had)
        self.arrived(number, token, step, whose, "verified", had=had)

    def added(self, token: str, whose: str, had: dict[str, bool]) -> None:
        """A factor was set up at the door: never beside another one by a password alone."""
        shown = {what for name, what in self.shown[token] if name == whose}
        policy = "mailed" if self.mails else "required"
        if had[whose] and not enough(policy, frozenset(shown), True):
            raise Hole(f"a factor was added beside {whose}'s own, with {sorted(shown)}")

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
            record = None if browser.session is None else self.record(browser.session)
            if record is not None and record.account_id == name:
                raise Hole(f"a session of {name} is there still")

    def ended(self, name: str, *, devices: bool = False) -> None:
        """The ghost: no sign-in of this account that is under way may lead to a session any more."""
        for token, shown in self.shown.items():
            if any(whose == name for whose, _ in shown):
                self.shown[token] = shown | {(name, "ended")}
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
        for token, shown in self.shown.items():
            if (name, "password") in shown:
                self.shown[token] = shown - {(name, "password")} | {(name, "old password")}

    def appoint(self, name: str, staff: bool) -> None:
        self.model.staff[name] = staff
        if not staff:
            self.end_all(name, Why.ROLE_LOST)

    def wait(self, time: timedelta) -> None:
        self.now += time
