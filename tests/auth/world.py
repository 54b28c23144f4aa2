"""A whole auth part on memory stores and a frozen clock, for tests."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from portalsec.auth import totp as totp_module
from portalsec.auth._creating import Creating
from portalsec.auth._current import CurrentPassword
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth._own_words import About, OwnWords
from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth._replacing import Replacing
from portalsec.auth.account import Accounts
from portalsec.auth.adding_factor import AddingFactor
from portalsec.auth.attempt import RiskOf
from portalsec.auth.contacts import Contacts
from portalsec.auth.demands import Facts
from portalsec.auth.devices import KnownDevices
from portalsec.auth.endings import Endings
from portalsec.auth.invitations import Invitations
from portalsec.auth.links import Links, RecoveryPolicy
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.notices import Notices
from portalsec.auth.out_of_band import OutOfBand, OutOfBandPolicy
from portalsec.auth.passkeys import PasskeyPolicy, Passkeys
from portalsec.auth.password_change import PasswordChange
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.passwords import Argon2Parameters, Passwords
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.auth.registration import Registration
from portalsec.auth.reset import PasswordReset
from portalsec.auth.sessions import NewSession, SessionPolicy, Sessions
from portalsec.auth.sign_in_link import SignInLinks
from portalsec.auth.signin import SignIn, SignInPolicy, Step
from portalsec.auth.step_up import StepUp
from portalsec.auth.throttle import Lane, Throttle, ThrottlePolicy
from portalsec.auth.totp import Totp, TotpParameters
from portalsec.auth.trust import Trust, TrustPolicy
from portalsec.auth.unlock import Unlock
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash, KeysetPepper
from portalsec.crypto.seal import FieldSealer
from portalsec.events import Source
from portalsec.secret import Secret
from portalsec.stores.memory import (
    MemoryAccounts,
    MemoryContacts,
    MemoryDevices,
    MemoryFlows,
    MemoryNotices,
    MemoryPasskeys,
    MemoryPasswordHistory,
    MemoryRecoveryCodes,
    MemorySessions,
    MemoryThrottle,
    MemoryTotp,
)
from portalsec.testing import CapturedEvents, FrozenClock, SequentialIds
from portalsec.testing.hashing import CHEAP_ARGON2

PASSWORD = "lantern orbit velvet cactus"
OTHER_PASSWORD = "harbour pickle saturn mitten"
ORIGIN = "https://portal.example.org"
SOURCE = Source(address="192.0.2.10", user_agent="test browser")

_FIELDS = Keyset.generate("AES256_GCM")
_MAC = Keyset.generate("HMAC_SHA256_PRF")


@dataclass
class Watch:
    """A `SignInWatch` that writes down what it is told."""

    told: list[tuple[Any, ...]] = field(default_factory=list)

    def pending(self, account: Account, *, source: Source) -> str | None:
        self.told.append(("pending", account.id))
        return f"notice-{len(self.told)}"

    def completed(
        self,
        account: Account,
        *,
        source: Source,
        new_device: bool,
        notice: str | None,
        folded: Sequence[str] = (),
    ) -> None:
        self.told.append(("completed", account.id, new_device, notice, *folded))

    def locked(self, account: Account | None, *, source: Source) -> None:
        self.told.append(("locked", account and account.id))


class Recorder:
    """Wraps a store and writes down the verbs that were called, and can be told to fail at one of them."""

    def __init__(self, name: str, store: Any, calls: list[str]) -> None:
        self._name, self._store, self._calls = name, store, calls
        self.failing: dict[str, Exception] = {}

    def __getattr__(self, verb: str) -> Any:
        real = getattr(self._store, verb)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.append(f"{self._name}.{verb}")
            if verb in self.failing:
                raise self.failing[verb]
            return real(*args, **kwargs)

        return call


@dataclass
class Backing:
    """The stores of auth; memory unless others are given."""

    accounts: Any = field(default_factory=MemoryAccounts)
    flows: Any = field(default_factory=MemoryFlows)
    sessions: Any = field(default_factory=MemorySessions)
    throttle: Any = field(default_factory=MemoryThrottle)
    totp: Any = field(default_factory=MemoryTotp)
    recovery_codes: Any = field(default_factory=MemoryRecoveryCodes)
    passkeys: Any = field(default_factory=MemoryPasskeys)
    links: Any = field(default_factory=MemoryFlows)
    devices: Any = field(default_factory=MemoryDevices)
    contacts: Any = field(default_factory=MemoryContacts)
    notices: Any = field(default_factory=MemoryNotices)
    history: Any = field(default_factory=MemoryPasswordHistory)


@dataclass
class World:
    """Everything wired by hand; attributes are replaced before the first use of `wire`."""

    second_factor: Any = "required"
    pending_attempts: int = 5
    lanes: ThrottlePolicy = field(default_factory=ThrottlePolicy)
    session_policy: SessionPolicy = field(default_factory=lambda: SessionPolicy.HIPAA_CLINIC)
    parameters: Argon2Parameters = field(default_factory=lambda: CHEAP_ARGON2)
    pepper: Any = None
    older: tuple[Any, ...] = ()
    password_policy: PasswordPolicy = field(default_factory=lambda: PasswordPolicy.NIST_800_63B_4)
    recovery: RecoveryPolicy = field(default_factory=lambda: RecoveryPolicy(open_registration=True))
    about: About | None = None
    sources: tuple[Any, ...] = ()
    check_at_sign_in: bool = True
    emit: Callable[[Any], None] | None = None
    sign_in_policy: SignInPolicy | None = None  # in place of `second_factor` and `pending_attempts`
    apps: tuple[str, ...] = ()  # origins of apps that may use passkeys besides the page
    every_factor: bool = False  # passkeys, recovery codes, trusted devices and codes by mail, too
    facts_of: Callable[[str], Facts] | None = None
    risk_of: RiskOf | None = None
    places: dict[str | None, object] = field(default_factory=dict)
    backing: Backing = field(default_factory=Backing)

    def __post_init__(self) -> None:
        self.clock = FrozenClock()
        self.events = CapturedEvents()
        self.calls: list[str] = []
        self.account_store: Any = Recorder("accounts", self.backing.accounts, self.calls)
        self.flow_store: Any = Recorder("flows", self.backing.flows, self.calls)
        self.session_store: Any = Recorder("sessions", self.backing.sessions, self.calls)
        self.throttle_store: Any = Recorder("throttle", self.backing.throttle, self.calls)
        self.totp_store: Any = Recorder("totp", self.backing.totp, self.calls)
        self.passkey_store: Any = Recorder("passkeys", self.backing.passkeys, self.calls)
        self.recovery_code_store: Any = Recorder("recovery_codes", self.backing.recovery_codes, self.calls)
        self.link_store: Any = Recorder("links", self.backing.links, self.calls)
        self.device_store: Any = Recorder("devices", self.backing.devices, self.calls)
        self.contact_store: Any = Recorder("contacts", self.backing.contacts, self.calls)
        self.notice_store: Any = Recorder("notices", self.backing.notices, self.calls)
        self.history_store: Any = Recorder("history", self.backing.history, self.calls)
        self.seeds: dict[str, str] = {}
        self.watch = Watch()
        self.wire()

    def wire(self) -> None:
        """Build the services anew over the same stores, as a restart would."""
        emit = self.emit or self.events
        new_id = SequentialIds(start=1 + 1000 * len(self.seeds))
        self.mac = KeyedHash(_MAC)
        self.passwords = Passwords(
            parameters=self.parameters, concurrency=8, pepper=self.pepper, older=self.older
        )
        self.totp = Totp(
            store=self.totp_store,
            sealer=FieldSealer(_FIELDS),
            issuer="Hill Clinic",
            clock=self.clock,
            new_id=new_id,
        )
        self.throttle = Throttle(
            store=self.throttle_store, policy=self.lanes, mac=self.mac, clock=self.clock, emit=emit
        )
        policy = self.sign_in_policy or SignInPolicy(
            second_factor=self.second_factor, pending_attempts=self.pending_attempts
        )
        self.sessions = Sessions(
            store=self.session_store,
            policy=self.session_policy,
            required=policy.floor,
            clock=self.clock,
            mac=self.mac,
            emit=emit,
            place_of=lambda source: self.places.get(source.address),  # type: ignore[arg-type,return-value]
        )
        self.endings = Endings(
            sessions=self.sessions,
            devices=self.device_store,
            flows=self.flow_store,
            links=self.link_store,
            emit=emit,
        )
        self.notices = Notices(
            store=self.notice_store, sealer=FieldSealer(_FIELDS), clock=self.clock, new_id=new_id
        )
        self.devices = KnownDevices(store=self.device_store, clock=self.clock, new_id=new_id, emit=emit)
        self.new_passwords = NewPasswords(
            policy=self.password_policy,
            sources=self.sources,
            passwords=self.passwords,
            history=self.history_store,
            emit=emit,
        )
        self.wire_factors(emit, new_id)
        self.sign_in = SignIn(
            passkeys=self.passkeys,
            passkey_store=self.passkey_store if self.every_factor else None,
            recovery_codes=self.recovery_codes if self.every_factor else None,
            sent_codes=self.out_of_band if self.every_factor else None,
            trust=self.trust if self.every_factor else None,
            facts_of=self.facts_of,
            risk_of=self.risk_of,
            accounts=self.account_store,
            passwords=self.passwords,
            totp=self.totp,
            throttle=self.throttle,
            sessions=self.sessions,
            flows=self.flow_store,
            endings=self.endings,
            devices=self.devices,
            watch=self.watch,
            notices=self.notices,
            max_age=self.password_policy.max_age,
            listed=self.new_passwords.listed_here if self.check_at_sign_in else None,
            min_length=self.password_policy.min_length,
            policy=policy,
            emit=emit,
            clock=self.clock,
            mac=self.mac,
        )
        self.wire_accounts(emit, new_id)

    def wire_factors(self, emit: Callable[[Any], None], new_id: SequentialIds) -> None:
        self.passkeys = (
            Passkeys(
                store=self.passkey_store,
                flows=self.flow_store,
                policy=replace(PasskeyPolicy.for_page(ORIGIN), origins=(ORIGIN, *self.apps)),
                mac=self.mac,
                sealer=FieldSealer(_FIELDS),
                clock=self.clock,
                new_id=new_id,
                emit=emit,
            )
            if self.every_factor
            else None
        )
        self.recovery_codes = RecoveryCodes(
            store=self.recovery_code_store, mac=KeysetPepper(_MAC), clock=self.clock, emit=emit
        )
        self.trust = Trust(
            devices=self.device_store,
            totp=self.totp,
            passkeys=self.passkey_store,
            notices=self.notices,
            mac=self.mac,
            policy=TrustPolicy(enabled=True),
            emit=emit,
            clock=self.clock,
        )
        self.out_of_band = OutOfBand(
            contacts=self.contact_store,
            sender=None,
            flows=self.flow_store,
            notices=self.notices,
            throttle=self.throttle,
            mac=self.mac,
            policy=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
            portal="Hill Clinic",
            base_url=ORIGIN,
            emit=emit,
            clock=self.clock,
        )

    def wire_accounts(self, emit: Callable[[Any], None], new_id: SequentialIds) -> None:
        with_second_factor = self.second_factor == "required"
        self.own_words = OwnWords(contacts=self.contact_store, about=self.about)
        self.creating = Creating(
            accounts=self.account_store,
            contacts=self.contact_store,
            new_passwords=self.new_passwords,
            with_second_factor=with_second_factor,
            own_words=self.own_words,
            emit=emit,
            clock=self.clock,
            new_id=new_id,
        )
        self.accounts = Accounts(
            accounts=self.account_store,
            creating=self.creating,
            invitations=Invitations(
                store=self.flow_store,
                creating=self.creating,
                throttle=self.throttle,
                sign_in=self.sign_in,
                sessions=self.sessions,
                emit=emit,
                clock=self.clock,
                mac=self.mac,
            ),
            endings=self.endings,
            notices=self.notices,
            emit=emit,
        )
        self.current = CurrentPassword(
            accounts=self.account_store, passwords=self.passwords, throttle=self.throttle, emit=emit
        )
        self.adding_factor = AddingFactor(current=self.current, sign_in=self.sign_in)
        self.step_up = StepUp(
            accounts=self.account_store,
            current=self.current,
            totp=self.totp,
            sessions=self.sessions,
            throttle=self.throttle,
            passkeys=self.passkeys,
            passkey_store=self.passkey_store if self.every_factor else None,
            recovery_codes=self.recovery_codes if self.every_factor else None,
            asked_here=self.sign_in.asked_here,
            emit=emit,
            clock=self.clock,
        )
        self.owner = Reauthentication(current=self.current, step_up=self.step_up)
        self.replacing = Replacing(
            accounts=self.account_store,
            new_passwords=self.new_passwords,
            endings=self.endings,
            notices=self.notices,
            with_second_factor=with_second_factor,
            own_words=self.own_words,
            emit=emit,
            clock=self.clock,
        )
        self.requests = MailRequests(
            accounts=self.account_store,
            contacts=self.contact_store,
            notices=self.notices,
            throttle=self.throttle,
            devices=self.devices,
            emit=emit,
            mac=self.mac,
        )
        self.links = Links(
            links=self.link_store,
            flows=self.flow_store,
            accounts=self.account_store,
            contacts=self.contact_store,
            sealer=FieldSealer(_FIELDS),
            mac=self.mac,
            clock=self.clock,
            policy=self.recovery,
        )
        self.contacts = Contacts(
            store=self.contact_store,
            accounts=self.account_store,
            links=self.links,
            requests=self.requests,
            notices=self.notices,
            owner=self.owner,
            throttle=self.throttle,
            endings=self.endings,
            sessions=self.sessions,
            emit=emit,
            clock=self.clock,
            new_id=new_id,
        )
        self.reset = PasswordReset(
            requests=self.requests,
            links=self.links,
            contacts=self.contact_store,
            replacing=self.replacing,
            notices=self.notices,
            sign_in=self.sign_in,
            sessions=self.sessions,
            throttle=self.throttle,
            emit=emit,
        )
        self.sign_in_links = SignInLinks(
            requests=self.requests,
            links=self.links,
            contacts=self.contact_store,
            notices=self.notices,
            sign_in=self.sign_in,
            sessions=self.sessions,
            emit=emit,
            clock=self.clock,
        )
        self.password_change = PasswordChange(
            accounts=self.account_store,
            owner=self.owner,
            replacing=self.replacing,
            notices=self.notices,
            sign_in=self.sign_in,
            emit=emit,
            clock=self.clock,
        )
        self.registration = Registration(
            requests=self.requests,
            links=self.links,
            creating=self.creating,
            accounts=self.account_store,
            contacts=self.contact_store,
            notices=self.notices,
            sign_in=self.sign_in,
            sessions=self.sessions,
            emit=emit,
            clock=self.clock,
            new_id=new_id,
        )
        self.unlock = Unlock(
            requests=self.requests,
            links=self.links,
            notices=self.notices,
            throttle=self.throttle,
            emit=emit,
        )

    # -- people ---------------------------------------------------------------------------------------------------

    def person(self, login: str = "robin", *, password: str = PASSWORD, enrolled: bool = True) -> Account:
        """An account, by default with an authenticator, whose enrolment code lies in the past."""
        account = self.accounts.create(login=login, password=password)
        if enrolled:
            self.enrol(account)
        return account

    def enrol(self, account: Account) -> None:
        enrolment = self.totp.begin(account.id, account_name=account.login)
        self.seeds[account.id] = enrolment.secret.reveal()
        self.totp.confirm(account.id, enrolment.device_id, self.code(account))
        self.clock.advance(timedelta(seconds=60))

    def code(self, account: Account | str, *, steps: int = 0) -> str:
        """The right code now, or so many steps later."""
        account_id = account if isinstance(account, str) else account.id
        return code_of(self.seeds[account_id], self.clock() + timedelta(seconds=30 * steps))

    def wrong_code(self, account: Account) -> str:
        right = {self.code(account, steps=step) for step in range(-3, 4)}
        return next(code for code in (f"{number:06d}" for number in range(20)) if code not in right)

    # -- ways in --------------------------------------------------------------------------------------------------

    def pending(self, login: str = "robin", *, password: str = PASSWORD) -> str:
        step = self.sign_in.start(login, password, source=SOURCE)
        return token(step.pending)

    def session(self, account: Account, *, password: str = PASSWORD) -> NewSession:
        step = self.sign_in.submit_totp(
            self.pending(account.login, password=password), self.code(account), source=SOURCE
        )
        return session(step)


def code_of(seed: str, moment: datetime, parameters: TotpParameters | None = None) -> str:
    parameters = parameters or TotpParameters()
    step = int(moment.timestamp()) // parameters.period
    return totp_module.code_at(base64.b32decode(seed), step, parameters)


def token(secret: Secret[str] | None) -> str:
    assert secret is not None
    return secret.reveal()


def session(step: Step) -> NewSession:
    assert step.session is not None
    return step.session


def tight(**limits: int) -> ThrottlePolicy:
    """Lanes with other limits and generous defaults; none of them escalates."""
    chosen = {
        **dict.fromkeys(("account", "account_address", "address", "device", "candidate"), 1000),
        **dict.fromkeys(("second_factor", "invitation"), 1000),
        **limits,
    }
    return ThrottlePolicy(
        **{name: Lane(name=name, limit=limit, window=timedelta(minutes=15)) for name, limit in chosen.items()}
    )


# What each thread of `together` does at its end: Django's connections are a thread's own, to be closed there.
AT_THREAD_END: list[Callable[[], None]] = []


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run ``work(n)`` in so many threads at the same instant; results or exceptions in order."""
    barrier = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error
        finally:
            for release in AT_THREAD_END:
                release()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
