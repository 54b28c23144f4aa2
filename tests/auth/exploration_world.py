"""The world of `tests.auth.exploration`: what is in it, its copies, its ghost, and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from portalsec.auth._pending import Pending, password_digest
from portalsec.auth.attempt import SignInAttempt
from portalsec.auth.demands import Facts
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings
from portalsec.auth.ports import Account
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn
from portalsec.auth.trust import Trust
from portalsec.stores.memory import MemoryAccounts, MemoryDevices, MemoryFlows, MemorySessions
from tests.auth.exploration_copies import Copies
from tests.auth.exploration_events import Events
from tests.auth.exploration_holds import Holds
from tests.auth.exploration_invitations import INVITED, Letters
from tests.auth.exploration_key import digest
from tests.auth.exploration_links import MailedLinks
from tests.auth.exploration_models import MAC, Anything, Codes, Model, Passkeys, Passwords, Totp, code_of
from tests.auth.exploration_policies import (
    ACCOUNTS,
    AS_STAFF,
    BROWSERS,
    ELSEWHERE,
    GRACE,
    NOBODY,
    OF_STAFF,
    POLICIES,
    START,
    TRUST,
    TRUSTS,
    F,
    enough,
)
from tests.auth.exploration_sessions import LIMITS, Ghost, OpenSessions, SentCodes
from tests.auth.exploration_support import Desk

__all__ = ["Browser", "World"]


@dataclass
class Browser:
    """What one browser holds: tokens; with the one that it held before."""

    pending: str | None = None
    stale: str | None = None
    session: str | None = None
    before: str | None = None  # the id that the session had before
    cookie: str | None = None  # of known devices
    acting: str | None = None  # the session in which support acts, beside its own
    trusts: frozenset[tuple[str, Any, datetime]] = (
        frozenset()
    )  # the ghost: who trusted it, how guarded, until when


class World(Events, Holds, Copies):
    names = ACCOUNTS

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.now = START
        self.model = Model(codes=dict.fromkeys(ACCOUNTS, 0))
        self.accounts, self.flows, self.session_store = MemoryAccounts(), MemoryFlows(), MemorySessions()
        self.devices, self.mailed = MemoryDevices(), MemoryFlows()
        self.stores = (self.accounts, self.flows, self.session_store, self.devices, self.mailed)
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
            links=self.mailed,
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
            facts_of=self.facts,
            risk_of=self.labels if policy in ELSEWHERE else None,
            watch=anything,
            notices=anything,
            policy=POLICIES[policy],
            emit=anything.emit,
            clock=lambda: self.now,
            mac=MAC,
            **parts,
        )
        self.hardware = policy == "hardware"
        for name in ACCOUNTS:
            if policy != "invited" or name != INVITED:
                self.accounts.create(Account(id=name, login=name, password_hash=f"{name} 0"), now=START)
        self.browsers = [Browser() for _ in BROWSERS]
        self.shown: dict[str, frozenset[tuple[str, str]]] = {}  # the ghost: token -> (whose, what)
        self.since: dict[str, datetime] = {}  # token -> when the first of it was shown
        self.ghosts: dict[str, Ghost] = {}  # the same of sessions
        self.open = OpenSessions(self, parts)
        self.links = MailedLinks(self) if policy == "linked" else None
        self.letters = Letters(self) if policy == "invited" else None
        self.desk = Desk(self) if policy == "support" else None
        self.ways = tuple(each for each in (self.links, self.letters, self.desk) if each is not None)
        places = (self, self.model, *self.stores, *self.ways)
        self.places = [  # every dict of the world; what they hold is never changed in place
            (vars(place), name)
            for place in places
            for name, held in vars(place).items()
            if isinstance(held, dict)
        ]

    # -- what the ghost knows ---------------------------------------------------------------------------------------

    def facts(self, name: str) -> Facts:
        return AS_STAFF if self.model.staff.get(name) else NOBODY

    def labels(self, attempt: SignInAttempt) -> frozenset[str]:
        return frozenset({"abroad"} if self.model.abroad.get(attempt.account_id) else ())

    def asked(self, name: str) -> str:
        """The policy that is asked of this account now."""
        if self.model.abroad.get(name):
            return ELSEWHERE[self.policy]
        late = self.policy == "grace" and self.late
        if late:
            return "required"
        return OF_STAFF.get(self.policy, self.policy) if self.model.staff.get(name) else self.policy

    def record(self, token: str) -> Any:
        """Of a session that nobody ended; or None."""
        store = self.session_store
        record = store._sessions.get(digest(token))
        if record is None or record.epoch != store._epochs.get(record.account_id, 0):
            return None
        return record

    def lives(self, token: str) -> Any:
        """The record of a session that goes on, or could be resumed; or None."""
        record = self.record(token)
        return None if record is None or self.now - record.created_at >= LIMITS.absolute else record

    @property
    def late(self) -> bool:
        """After the time of grace."""
        return self.now >= GRACE

    def still(self, name: str, state: Pending) -> bool:
        """Whether the password is the one that a sign-in saw."""
        return state.password == password_digest(MAC, self.account(name).password_hash)

    def enough(self, shown: frozenset[str], name: str) -> bool:
        """Whether this would be enough now."""
        return enough(self.asked(name), shown, self.has_second(name))

    def guards(self, name: str) -> Any:
        account, model = self.accounts.get(name), self.model
        return (
            None if account is None else account.password_hash,
            name in model.totp,
            model.passkeys.get(name),
            model.keys.get(name),
            name in model.dead,
        )

    def trusted(self, browser: Browser, name: str) -> bool:
        """The ghost's word: its owner trusted it after two factors, a while ago, and nothing has changed since."""
        guards = self.guards(name)
        return any(
            whose == name and had == guards and self.now < until for whose, had, until in browser.trusts
        )

    def flow(self, token: str) -> tuple[Any, Pending] | None:
        flow = self.flows._flows.get(digest(token))
        if flow is None or flow.expires_at <= self.now:
            return None
        return flow, _pending(flow.data[16:])

    def here(self, name: str) -> bool:
        """Whether there is such an account; one that was invited comes later."""
        return name in self.accounts._by_id

    def account(self, name: str) -> Account:
        account = self.accounts.get(name)
        assert account is not None
        return account

    def has_second(self, name: str) -> bool:
        return bool(self.seconds(name))

    def seconds(self, name: str) -> set[str]:
        model = self.model
        held = {"totp": model.totp, "passkey": model.passkeys | model.keys}
        return {kind for kind, whose in held.items() if name in whose} | (
            {"recovery_code"} if self.model.codes[name] else set()
        )

    def newest_codes(self) -> list[tuple[bytes, tuple[str, int]]]:
        """Mailed codes that are tried, at whatever place: its place, whose it is, its number."""
        return sorted(self.model.sent.items(), key=lambda sent: sent[1][1])[-2:]

    def next_code(self, name: str) -> str:
        return code_of(name, self.model.totp.get(name, 0) + 1)


@lru_cache(10_000)
def _pending(data: bytes) -> Pending:
    return Pending.decode(data)
