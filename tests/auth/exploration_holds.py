"""What must hold in the world of `tests.auth.exploration` wherever a step of a sign-in leads."""

from __future__ import annotations

from portalsec.auth.signin import Step
from tests.auth.exploration_policies import (
    ACCOUNTS,
    PENDING,
    SECRETS,
    TRUST,
    WHATS,
    enough,
)
from tests.auth.exploration_sessions import Ghost, Hole

__all__ = ["Holds"]


class Holds:
    """The part of the world that looks at each step, with the ghost's knowledge alone."""

    def arrived(
        self,
        number: int,
        token: str | None,
        step: Step,
        name: str,
        what: str,
        had: dict[str, bool] | None = None,
        *,
        asks: bool = False,
    ) -> None:
        before = frozenset() if token is None else self.shown[token]
        shown = before | ({(name, what)} if what else set()) | ({(name, "asks for trust")} if asks else set())
        browser = self.browsers[number]
        if step.pending is not None:
            new = step.pending.reveal()
            self.shown[new] = shown
            self.since[new] = self.since.get(token or "", self.now)
            browser.pending, browser.stale = new, token or browser.stale
            self.can_go_on(step, new)
            return
        assert step.session is not None
        whose = step.session.account_id
        mine = frozenset(each for owner, each in shown if owner == whose)
        if any(owner != whose for owner, _ in shown):
            raise Hole(f"evidence of another account led to a session of {whose}: {sorted(shown)}")
        if "ended" in mine:
            raise Hole(f"a sign-in of {whose} went on after all was ended: {sorted(mine)}")
        if self.now - self.since.get(token or "", self.now) >= PENDING:
            raise Hole(f"a session of {whose} on what was shown too long ago")
        account = self.account(whose)
        second = (had or {each: self.has_second(each) for each in ACCOUNTS})[whose]
        policy = self.asked(whose)
        # Where the policy leaves it open, a trusted browser spares whoever has shown the password.
        open_ = self.asked(whose) in {"trusting", "linked", "labels"}
        spared = open_ and "password" in mine and self.trusted(browser, whose)
        if account.disabled or account.must_change or not (spared or enough(policy, mine, second)):
            raise Hole(f"a session of {whose} with {sorted(mine)} under {policy!r}: {account.must_change}")
        record = self.session_store.load(step.session.digest)
        claimed = SECRETS & set(record.record.factors if record else ())
        if record is None or not claimed <= mine:
            raise Hole(f"a session claims {sorted(claimed)} and was shown {sorted(mine)}")
        browser.session, browser.pending, browser.stale = step.session.token.reveal(), None, token
        browser.before, self.ghosts[browser.session] = None, Ghost(mine & WHATS)
        if step.device is not None:
            browser.cookie = step.device.reveal()
        if "asks for trust" in mine and enough("mailed", mine, True):
            until = self.now + TRUST.lifetime
            browser.trusts |= {(whose, self.guards(whose), until)}

    def can_go_on(self, step: Step, token: str) -> None:
        """Each kind that is offered is one that the account has, or one that may be set up; and there is some."""
        found = self.flow(token)
        if found is None or not step.next:
            raise Hole("a sign-in that leads nowhere")
        name = str(found[0].account_id)
        has = {
            "password": True,
            "totp": name in self.model.totp and name not in self.model.dead,
            "passkey": name in self.model.passkeys or name in self.model.keys,
            "recovery_code": self.model.codes[name] > 0,
            "email_code": self.mails,
            "totp_enrolment": name not in self.model.totp,
            "passkey_enrolment": True,
            "new_password": self.account(name).must_change is not None,
        }
        if not all(has.get(kind, False) for kind in step.next):
            raise Hole(f"{step.next} is offered to {name}")
