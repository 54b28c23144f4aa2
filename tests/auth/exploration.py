"""Every path through `SignIn` in a small world: two accounts, two browsers, every event, breadth first.

`SignIn`, `Sessions`, `Endings` and the stores of accounts, flows and sessions are the real ones. What looks at a factor
is a model that can be copied and put back (the real ones have tests of their own), there are no budgets, and time moves
only where an event says so. Besides the tokens that a browser holds, each browser remembers its last pending token, as a
tab or a thief would, and every event is tried with either. Sessions are stepped up, rest and are resumed
(`tests.auth.exploration_sessions`); codes are mailed; browsers are trusted, with the real `KnownDevices` and `Trust`.

Beside the world runs a ghost: which secrets were really shown on the way to which token. It knows nothing of `Proof`,
`Demand` or `Next`; `enough` says by itself, in one line a policy, what a session needs.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

from portalsec.auth._door import DOOR
from portalsec.auth._pending import Pending
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings, Why
from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn, SignInPolicy, Step
from portalsec.auth.trust import Trust, TrustPolicy
from portalsec.errors import Denied, Reason
from portalsec.events import SYSTEM, Source
from portalsec.stores.memory import MemoryAccounts, MemoryDevices, MemoryFlows, MemorySessions
from tests.auth.exploration_sessions import LIMITS, Ghost, Hole, OpenSessions, SentCodes

__all__ = ["POLICIES", "STARTS", "Explored", "Hole", "explore", "wander"]

F = Factor
SOURCE = Source()
ACCOUNTS = ("robin", "kim")
BROWSERS = (0, 1)
START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GRACE = START + timedelta(days=1)
SECONDS = frozenset({F.TOTP, F.PASSKEY, F.RECOVERY_CODE})
SECRETS = {"password", "totp", "recovery_code", "email_code"}
WHATS = SECRETS | {"passkey", "verified"}

POLICIES = {
    "optional": SignInPolicy(second_factor="optional"),
    "required": SignInPolicy(),
    "resistant": SignInPolicy(phishing_resistant="required"),
    "grace": SignInPolicy(enrol_by=GRACE),
    "passkeys": SignInPolicy(factors=frozenset({F.PASSKEY, F.PASSWORD})),
    "mailed": SignInPolicy(factors=SECONDS | {F.PASSWORD, F.EMAIL_CODE}),
    "trusting": SignInPolicy(second_factor="optional"),
}
TRUSTS = {
    "mailed",
    "trusting",
    "resistant",
}  # where browsers are trusted: it must spare nothing that policy asks for
TRUST = TrustPolicy(enabled=True, lifetime=timedelta(hours=6))
STARTS = ("bare", "factors", "session")


def enough(policy: str, shown: frozenset[str], had_second: bool) -> bool:
    """What a session needs, in words of this test: ``shown`` are the secrets of its account that were really shown."""
    held = shown & {"totp", "passkey", "verified", "recovery_code"}
    if policy == "mailed":
        held |= shown & {"email_code"}
    two = "verified" in shown or ("password" in shown and bool(held))
    key = bool(shown & {"passkey", "verified"})
    return {
        "optional": two or ("password" in shown and not had_second),
        "required": two,
        "resistant": two and key,
        "grace": two or ("password" in shown and not had_second),
        "passkeys": "verified" in shown or ("password" in shown and "passkey" in shown),
        "mailed": two,
        "trusting": two or ("password" in shown and not had_second),
    }[policy]


# -- models of what looks at a factor ---------------------------------------------------------------------------------


def mac(label: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=label.encode()[:64], digest_size=32).digest()


MAC: Any = type("Mac", (), {"__call__": staticmethod(mac), "all": staticmethod(lambda a, b: (mac(a, b),))})()


@dataclass
class Model:
    """Every account's factors: what the models below read and write."""

    totp: dict[str, int] = field(default_factory=dict)  # confirmed: the newest code that was used
    begun: dict[str, str] = field(default_factory=dict)  # the enrolment that is not confirmed
    passkeys: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    challenges: dict[tuple[bytes, str], str | None] = field(default_factory=dict)
    sent: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    made: list[int] = field(default_factory=lambda: [0])


class Totp:
    def __init__(self, world: World) -> None:
        self.world = world

    def enrolled(self, account_id: str) -> bool:
        return account_id in self.world.model.totp

    usable = enrolled

    def devices(self, account_id: str) -> list[Any]:
        return [SimpleNamespace(id="app", confirmed=True, dead=False)] if self.enrolled(account_id) else []

    def begin(self, account_id: str, account_name: str) -> Any:
        self.world.model.made[0] += 1
        self.world.model.begun[account_id] = device = f"device-{self.world.model.made[0]}"
        return SimpleNamespace(device_id=device)

    def confirm(self, account_id: str, device_id: str, code: str) -> Evidence:
        if self.world.model.begun.get(account_id) != device_id:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        if code != code_of(device_id):
            raise Denied(Reason.WRONG_CODE)
        del self.world.model.begun[account_id]
        self.world.model.totp[account_id] = 0
        return mint(Proof(factor=F.TOTP, at=self.world.now, authenticator=device_id), account_id)

    def undo(self, account_id: str, device_id: str) -> None:
        self.world.model.totp.pop(account_id, None)

    def verify(self, account_id: str, code: str) -> Evidence:
        used = self.world.model.totp.get(account_id)
        if used is None or code != code_of(account_id, used + 1):
            raise Denied(Reason.WRONG_CODE)
        self.world.model.totp[account_id] = used + 1
        return mint(F.TOTP, account_id, self.world.now)


def code_of(*parts: object) -> str:
    """Six digits that differ by account, device and use."""
    return f"{int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], 'big') % 10**6:06d}"


class Passkeys:
    """Also the store: ``of_account`` and ``remove``. A response is ``(whose, verified, challenge's place)``."""

    def __init__(self, world: World) -> None:
        self.world = world

    def of_account(self, account_id: str) -> list[Any]:
        mine = self.world.model.passkeys.get(account_id)
        return [] if mine is None else [SimpleNamespace(id=mine, disabled_at=None)]

    def remove(self, account_id: str, passkey_id: str) -> bool:
        return self.world.model.passkeys.pop(account_id, None) is not None

    def begin_sign_in(self, place: bytes, *, login: Any, account: Account | None, purpose: str) -> Any:
        self.world.model.challenges[place, purpose] = None if account is None else account.id

    def begin_registration(self, place: bytes, account: Account, *, user_verification: str) -> Any:
        self.world.model.challenges[place, "register"] = account.id

    def complete_sign_in(
        self, place: bytes, purpose: str, response: Any, *, account_id: str | None, **kwargs: Any
    ) -> Evidence:
        whose, verified = response
        missing = object()
        asked: Any = self.world.model.challenges.pop((place, purpose), missing)
        if asked is missing or (account_id is not None and asked != account_id):
            raise Denied(Reason.FLOW_UNKNOWN)
        mine = self.world.model.passkeys.get(whose)
        if (
            mine is None
            or asked not in (None, whose)
            or (kwargs["require_user_verification"] and not verified)
        ):
            raise Denied(Reason.PASSKEY_REFUSED)
        proof = Proof(factor=F.PASSKEY, at=self.world.now, authenticator=mine, user_verified=verified)
        return mint(proof, whose)

    def complete_registration(self, place: bytes, account_id: str, response: Any, **kwargs: Any) -> Any:
        if self.world.model.challenges.pop((place, "register"), None) != account_id:
            raise Denied(Reason.FLOW_UNKNOWN)
        self.world.model.made[0] += 1
        self.world.model.passkeys[account_id] = made = f"passkey-{self.world.model.made[0]}"
        return SimpleNamespace(id=made, user_verified=response, backup_eligible=True, attested=False)


class Codes:
    def __init__(self, world: World) -> None:
        self.world = world

    def left(self, account_id: str) -> int:
        return self.world.model.codes.get(account_id, 0)

    def verify(self, account_id: str, typed: object, *, source: Source) -> Evidence:
        if typed != account_id or not self.left(account_id):
            raise Denied(Reason.WRONG_CODE)
        self.world.model.codes[account_id] -= 1
        return mint(F.RECOVERY_CODE, account_id, self.world.now)


class Passwords:
    def verify(self, stored: str | None, typed: object, *, account_id: str | None) -> Any:
        if stored is None or stored != typed:
            raise Denied(Reason.WRONG_PASSWORD)
        return SimpleNamespace(rehash_due=False)


class Attempt:
    """No budgets here."""

    locked, used_up, device_used_up = None, False, False

    def failed(self, *, source: Any = None) -> None: ...
    def succeeded(self) -> None: ...
    def not_tested(self) -> None: ...
    def hold(self) -> tuple[()]:
        return ()


class Anything:
    """A service that the door tells things and that never answers with anything that counts."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: _ANSWERS.get(name)


_ANSWERS: dict[str, Any] = {
    "admit": Attempt(),
    "narrow": Attempt(),
    "reserve": Attempt(),
    "tell": SimpleNamespace(id="notice"),
}


# -- the world ------------------------------------------------------------------------------------------------------


@dataclass
class Browser:
    """What one browser holds: tokens; with the one that it held before."""

    pending: str | None = None
    stale: str | None = None
    session: str | None = None
    before: str | None = None  # the id that the session had before
    cookie: str | None = None  # of known devices
    trusts: frozenset[tuple[str, Any, datetime]] = (
        frozenset()
    )  # the ghost: who trusted it, how guarded, until when


class World:
    names = ACCOUNTS

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.now = START
        self.model = Model(codes=dict.fromkeys(ACCOUNTS, 0))
        self.accounts, self.flows, self.session_store = MemoryAccounts(), MemoryFlows(), MemorySessions()
        self.devices = MemoryDevices()
        self.stores = (self.accounts, self.flows, self.session_store, self.devices)
        anything: Any = Anything()
        self.sessions = Sessions(
            store=self.session_store,
            policy=LIMITS,
            clock=lambda: self.now,
            mac=MAC,
            emit=anything.emit,
        )
        self.endings = Endings(
            sessions=self.sessions,
            devices=self.devices,
            flows=self.flows,
            links=MemoryFlows(),
            emit=anything.emit,
        )
        passkeys: Any = Passkeys(self)
        parts: dict[str, Any] = {
            "passwords": Passwords(),
            "totp": Totp(self),
            "passkeys": passkeys,
            "passkey_store": passkeys,
            "recovery_codes": Codes(self),
            "throttle": anything,
        }
        known = KnownDevices(
            store=self.devices, clock=lambda: self.now, new_id=lambda: "", emit=anything.emit
        )
        self.trust = Trust(
            devices=self.devices,
            totp=parts["totp"],
            passkeys=passkeys,
            notices=anything,
            mac=MAC,
            policy=TRUST,
            emit=anything.emit,
            clock=lambda: self.now,
        )
        self.mails = F.EMAIL_CODE in POLICIES[policy].factors
        self.trusting = policy in TRUSTS
        self.sign_in = SignIn(
            accounts=self.accounts,
            sessions=self.sessions,
            flows=self.flows,
            endings=self.endings,
            devices=known,
            sent_codes=SentCodes(self) if self.mails else None,  # type: ignore[arg-type]
            trust=self.trust if self.trusting else None,
            watch=anything,
            notices=anything,
            policy=POLICIES[policy],
            emit=anything.emit,
            clock=lambda: self.now,
            mac=MAC,
            **parts,
        )
        for name in ACCOUNTS:
            self.accounts.create(Account(id=name, login=name, password_hash=f"{name} 0"), now=START)
        self.browsers = [Browser() for _ in BROWSERS]
        self.shown: dict[str, frozenset[tuple[str, str]]] = {}  # the ghost: token -> (whose, what)
        self.ghosts: dict[str, Ghost] = {}  # the same of sessions
        self.open = OpenSessions(self, parts)

    # -- copies -----------------------------------------------------------------------------------------------------

    def save(self) -> Any:
        return (
            self.now,
            _copied(vars(self.model)),
            [_copied(vars(store)) for store in self.stores],
            [replace(browser) for browser in self.browsers],
            dict(self.shown),
            dict(self.ghosts),
        )

    def load(self, saved: Any) -> None:
        self.now, model, stores, browsers, shown, ghosts = saved
        vars(self.model).update(_copied(model))
        for store, values in zip(self.stores, stores, strict=True):
            vars(store).update(_copied(values))
        self.browsers = [replace(browser) for browser in browsers]
        self.shown, self.ghosts = dict(shown), dict(ghosts)

    def key(self) -> Any:
        """What two worlds have in common from which the same is possible."""
        people = []
        for name in ACCOUNTS:
            account = self.account(name)
            people.append(
                (
                    account.disabled,
                    account.must_change,
                    name in self.model.totp,
                    name in self.model.passkeys,
                    self.model.codes[name],
                )
            )
        held = tuple(
            (
                self.told(each.pending),
                self.told(each.stale),
                self.told_session(each.session),
                self.told_session(each.before) is not None,
                frozenset(name for name in ACCOUNTS if self.trusted(each, name)),
            )
            for each in self.browsers
        )
        return (
            self.now >= GRACE,
            tuple(people),
            *sorted(held, key=repr),
        )  # which browser is which is no matter

    def told(self, token: str | None) -> Any:
        found = None if token is None else self.flow(token)
        if token is None or found is None:
            return None
        flow, state = found
        current = None if flow.account_id is None else self.sessions.epoch(flow.account_id) == state.epoch
        asked = tuple(
            (purpose, whose)
            for (place, purpose), whose in sorted(self.model.challenges.items(), key=repr)
            if place == flow.digest
        )
        ours = flow.account_id is not None and state.device_id == self.model.begun.get(flow.account_id)
        proofs = tuple((proof.factor, proof.user_verified) for proof in state.proofs)
        seen = (state.browser.trust, state.browser.device is not None, flow.digest in self.model.sent)
        rest = (flow.attempts, state.begun > 0, ours and state.device_id is not None, state.named, seen)
        return (flow.purpose, flow.account_id, current, proofs, asked, rest, self.shown.get(token))

    def told_session(self, token: str | None) -> Any:
        record = None if token is None else self.record(token)
        if token is None or record is None or self.now - record.created_at >= LIMITS.absolute:
            return None
        asked = tuple(purpose for place, purpose in self.model.challenges if place == _digest(token))
        fresh = frozenset(self.open.fresh(token))
        idle = self.now - record.last_seen_at >= LIMITS.idle
        return (record.account_id, record.factors, self.ghosts[token].opened, idle, fresh, asked)

    def record(self, token: str) -> Any:
        """Of a session that nobody ended."""
        loaded = self.session_store.load(_digest(token))
        return None if loaded is None or loaded.record.epoch != loaded.current_epoch else loaded.record

    def enough(self, shown: frozenset[str], name: str) -> bool:
        """Whether this would be enough now."""
        policy = "required" if self.policy == "grace" and self.now >= GRACE else self.policy
        return enough(policy, shown, self.has_second(name))

    def guards(self, name: str) -> Any:
        return (self.account(name).password_hash, name in self.model.totp, self.model.passkeys.get(name))

    def trusted(self, browser: Browser, name: str) -> bool:
        """The ghost's word: its owner trusted it after two factors, a while ago, and nothing has changed since."""
        guards = self.guards(name)
        return any(
            whose == name and had == guards and self.now < until for whose, had, until in browser.trusts
        )

    def flow(self, token: str) -> tuple[Any, Pending] | None:
        flow = self.flows._flows.get(_digest(token))
        if flow is None or flow.expires_at <= self.now:
            return None
        return flow, Pending.decode(flow.data[16:])

    def account(self, name: str) -> Account:
        account = self.accounts.get(name)
        assert account is not None
        return account

    def has_second(self, name: str) -> bool:
        return bool(self.seconds(name))

    def seconds(self, name: str) -> set[str]:
        held = {"totp": self.model.totp, "passkey": self.model.passkeys}
        return {kind for kind, whose in held.items() if name in whose} | (
            {"recovery_code"} if self.model.codes[name] else set()
        )

    def next_code(self, name: str) -> str:
        return code_of(name, self.model.totp.get(name, 0) + 1)

    # -- events -----------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[tuple[str, Callable[[], None]]]:
        for number in BROWSERS:
            yield from self.events_of(number)
        for name in ACCOUNTS:
            yield f"disable {name}", lambda n=name: self.change(n, disabled=True)
            yield f"require change {name}", lambda n=name: self.change(n, must_change="admin")
            yield f"end all of {name}", lambda n=name: self.end_all(n)
            yield f"{name} gets an authenticator", lambda n=name: self.model.totp.setdefault(n, 0)
            yield f"{name} gets a passkey", lambda n=name: self.model.passkeys.setdefault(n, f"key of {n}")
            yield f"{name} gets a recovery code", lambda n=name: self.model.codes.update({n: 1})
            yield f"{name} loses the passkey", lambda n=name: self.model.passkeys.pop(n, None)
        yield "eleven minutes pass", lambda: self.wait(timedelta(minutes=11))
        yield "two days pass", lambda: self.wait(timedelta(days=1))

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
        for whose, made in sorted(self.model.sent.values(), key=lambda sent: sent[1])[-2:]:
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
        new = f"{account.id} {self.model.made[0] + 1}"
        self.model.made[0] += 1
        if not self.accounts.set_password(
            account.id, new, expected=account.password_hash, changed_at=self.now
        ):
            raise Hole("a password could not be set")
        self.accounts._by_id[account.id] = replace(self.account(account.id), must_change=None)
        self.endings.apply(account.id, Why.PASSWORD_CHANGED, actor=SYSTEM, source=SOURCE)
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
            browser.session = held if self.told_session(held) else None
        browser.pending, browser.stale = None, pending

    def change(self, name: str, **what: Any) -> None:
        self.accounts._by_id[name] = replace(self.account(name), **what)

    def end_all(self, name: str) -> None:
        self.endings.apply(name, Why.SIGNED_OUT_EVERYWHERE, actor=SYSTEM, source=SOURCE)
        for browser in self.browsers:
            browser.trusts = frozenset(each for each in browser.trusts if each[0] != name)
            record = None if browser.session is None else self.record(browser.session)
            if record is not None and record.account_id == name:
                raise Hole(f"a session of {name} is there still")

    def wait(self, time: timedelta) -> None:
        if self.now < GRACE:
            self.now += time

    # -- what must hold -----------------------------------------------------------------------------------------------

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
            browser.pending, browser.stale = new, token or browser.stale
            self.can_go_on(step, new)
            return
        assert step.session is not None
        whose = step.session.account_id
        mine = frozenset(each for owner, each in shown if owner == whose)
        if any(owner != whose for owner, _ in shown):
            raise Hole(f"evidence of another account led to a session of {whose}: {sorted(shown)}")
        account = self.account(whose)
        second = (had or {each: self.has_second(each) for each in ACCOUNTS})[whose]
        policy = "required" if self.policy == "grace" and self.now >= GRACE else self.policy
        spared = self.policy == "trusting" and "password" in mine and self.trusted(browser, whose)
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
            "totp": name in self.model.totp,
            "passkey": name in self.model.passkeys,
            "recovery_code": self.model.codes[name] > 0,
            "email_code": self.mails,
            "totp_enrolment": name not in self.model.totp,
            "passkey_enrolment": True,
            "new_password": self.account(name).must_change is not None,
        }
        if not all(has.get(kind, False) for kind in step.next):
            raise Hole(f"{step.next} is offered to {name}")


@dataclass(frozen=True)
class Explored:
    """How far it went."""

    states: int
    transitions: int
    depth: int
    sessions: int


def begin(policy: str, start: str) -> World:
    """Where it begins: two accounts without a second factor ("bare"), or one with an authenticator and a recovery code and
    one with a passkey ("factors"), or the first has a passkey too and is signed in with it ("session")."""
    world = World(policy)
    if start != "bare":
        world.model.totp["robin"], world.model.codes["robin"] = 0, 1
        world.model.passkeys["kim"] = "key of kim"
    if start == "session":
        world.model.passkeys["robin"] = "key of robin"
        world.begin_first(0, None)
        token = world.browsers[0].pending or ""
        world.show(
            0,
            token,
            "robin",
            "verified",
            lambda: world.sign_in.submit_passkey(token, ("robin", True), source=SOURCE),
        )
    return world


def wander(policy: str, start: str, *, seed: int, steps: int) -> int:
    """One long path at random, where breadth does not reach; how many sessions it opened on its way."""
    random, world, opened, path = Random(seed), begin(policy, start), 0, []
    for _ in range(steps):
        events = list(world.events())
        about = random.choice(
            ("", ": pending: ", ": in the session: ")
        )  # or few walks would come past a door
        name, event = random.choice([each for each in events if about in each[0]] or events)
        path.append(name)
        was = [browser.session for browser in world.browsers]
        try:
            event()
        except Denied:
            continue
        except Hole as hole:
            raise Hole(f"{hole} after: {' / '.join(path[-12:])} (seed {seed})") from None
        opened += was != [browser.session for browser in world.browsers]
        if random.random() < 0.02:
            for each in ACCOUNTS:  # or both end as disabled and nothing moves any more
                world.change(each, disabled=False, must_change=None)
    return opened


def explore(policy: str, start: str, *, depth: int, limit: int) -> Explored:
    """Breadth first, to a depth or until so many transitions were made; `Hole` with its path where one is found."""
    world = begin(policy, start)
    seen = {world.key()}
    waiting = deque([(world.save(), ())])
    transitions = sessions = deepest = 0
    while waiting and transitions < limit:
        saved, path = waiting.popleft()
        if len(path) >= depth:
            break
        world.load(saved)
        for index in range(len(list(world.events()))):
            world.load(saved)
            name, event = list(world.events())[index]
            was = [browser.session for browser in world.browsers]
            try:
                event()
            except Denied:
                pass
            except Hole as hole:
                raise Hole(f"{hole} after: {' / '.join((*path, name))}") from None
            transitions += 1
            sessions += was != [browser.session for browser in world.browsers]
            key = world.key()
            if key not in seen:
                seen.add(key)
                deepest = max(deepest, len(path) + 1)
                waiting.append((world.save(), (*path, name)))
    return Explored(states=len(seen), transitions=transitions, depth=deepest, sessions=sessions)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, set):
        return set(value)
    return value


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
