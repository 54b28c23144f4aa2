"""What can happen in the world of `tests.auth.exploration`: to a browser, to an account, to the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from portalsec.auth.endings import Why
from tests.auth.exploration_doings import Doings
from tests.auth.exploration_policies import ACCOUNTS, BROWSERS, ELSEWHERE, GUESSED, OF_STAFF, SOURCE, F
from tests.auth.exploration_sessions import SentCodes

__all__ = ["Events"]


class Events(Doings):
    """The part of the world that lists them; each may raise `Denied`, or `Hole`."""

    def events(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for number in BROWSERS:
            yield from self.events_of(number)
        for name in filter(self.here, ACCOUNTS):
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
            yield f"{name} loses the authenticator", lambda: self.lose(name)
            if self.policy in GUESSED and name not in model.dead:
                yield (
                    f"the authenticator of {name} is guessed to death",
                    lambda: model.dead.update({name: True}),
                )
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
        if self.hardware and name in model.keys:
            yield f"{name} loses the hardware key", lambda: model.keys.pop(name)
        elif self.hardware:
            yield f"{name} gets a hardware key", lambda: model.keys.update({name: f"passkey-{model.made()}"})
        if self.policy in OF_STAFF:
            staff = model.staff.get(name, False)
            yield f"{name} is staff: {not staff}", lambda: self.appoint(name, not staff)
        if self.policy in ELSEWHERE:
            abroad = model.abroad.get(name, False)
            yield f"{name} is abroad: {not abroad}", lambda: model.abroad.update({name: not abroad})

    def events_of(self, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
        browser = self.browsers[number]
        for name in filter(self.here, ACCOUNTS):
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
        for way in self.ways:
            yield from way.events(number)

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
                if self.hardware:
                    yield (
                        f"{says}hardware key of {name}, verified: {verified}",
                        lambda n=name, v=verified: self.show(
                            number,
                            token,
                            n,
                            "hard" if v else "touched",
                            lambda: door.submit_passkey(token, (n, v, True), source=SOURCE, device=cookie),
                        ),
                    )
        if self.links is not None:
            yield from self.links.events_with(says, number, token)
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
        if self.hardware:
            yield f"{says}confirm hardware key", lambda: self.confirm_passkey(number, token, hard=True)
        yield f"{says}new password", lambda: self.choose(number, token)
