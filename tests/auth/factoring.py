"""A whole portal in memory with a person who manages their authenticators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from portalsec.auth._last_factor import LastFactor
from portalsec.auth.authenticators import Authenticators
from portalsec.auth.evidence import Evidence
from portalsec.auth.factors import Factors
from portalsec.auth.ports import Account, Message, Passkey
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.testing.authenticator import SoftAuthenticator
from tests.auth.mailing import PASSWORD, SOURCE, Mailing
from tests.auth.world import code_of

__all__ = ["Factoring", "Gate", "passkey"]


class Gate:
    """A `StepUpGate` that is open until it is shut, and writes down what it was asked."""

    def __init__(self) -> None:
        self.open = True
        self.asked: list[tuple[timedelta, bool]] = []

    def require(self, session: ActiveSession, *, within: timedelta, explicit: bool = True) -> None:
        self.asked.append((within, explicit))
        if not self.open:
            raise Denied(Reason.STEP_UP_REQUIRED)

    def by_new_factor(self, new: NewSession, proven: Evidence, *, source: Source) -> NewSession:
        return new


class Factoring(Mailing):
    """`Mailing` with `factors` whose step-up is a `Gate`; or, not ``gated``, the portal's own with the real one."""

    def __init__(self, *, required: bool = False, gated: bool = True, **options: Any) -> None:
        super().__init__(**options)
        p = self.portal
        self.gate, self.required = Gate(), required
        self.authenticators = Authenticators(totp=p.stores.totp, passkeys=p.stores.passkeys)
        self.last = LastFactor(
            codes=p.recovery_codes, trust=p.trust, required=lambda account_id: self.required
        )
        self.factors = Factors(
            authenticators=self.authenticators,
            totp=p.totp,
            passkeys=p.passkeys,
            codes=p.recovery_codes,
            trust=p.trust,
            last=self.last,
            accounts=p.stores.accounts,
            flows=p.stores.flows,
            step_up=self.gate,
            throttle=p.throttle,
            endings=p.endings,
            notices=p.notices,
            sealer=p.totp._sealer,
            mac=p.disavowal._mac,
            emit=p.emit,
            clock=p.clock,
        )
        if not gated:
            self.factors = p.factors
        self.seeds: dict[str, str] = {}

    def active(self, token: str | NewSession) -> ActiveSession:
        text = token if isinstance(token, str) else token.token.reveal()
        return self.portal.sessions.check(text, source=SOURCE)

    def alive(self, token: str | NewSession) -> bool:
        try:
            return bool(self.active(token))
        except Denied:
            return False

    def open(self, login: str = "robin", *, password: str = PASSWORD) -> str:
        """A session, with whatever the account has to show."""
        step = self.portal.sign_in.start(login, password, source=SOURCE)
        if step.session is None:
            account = self.portal.stores.accounts.by_login(login)
            assert account is not None and step.pending is not None
            self.clock.advance(timedelta(seconds=60))
            step = self.portal.sign_in.submit_totp(step.pending.reveal(), self.code(account), source=SOURCE)
        assert step.session is not None
        return step.session.token.reveal()

    def add_totp(self, session: str | NewSession, label: str = "Phone") -> Any:
        """Add one in a session: what `Factors.confirm_totp` returns."""
        self.clock.advance(timedelta(seconds=60))
        active = self.active(session)
        enrolment = self.factors.begin_totp(active, label=label, source=SOURCE)
        seed = enrolment.secret.reveal()
        self.seeds[active.account_id] = self.seeds.get(active.account_id, seed)
        return self.factors.confirm_totp(active, code_of(seed, self.clock()), source=SOURCE)

    def open_after(self, account: Account, seed: str) -> str:
        """A session of an account whose authenticator has this seed."""
        self.seeds[account.id] = seed
        return self.open(account.login)

    def enrolled_with(self, account: Account) -> str:
        """An authenticator that was there before: its id."""
        enrolment = self.portal.totp.begin(account.id, account.login)
        seed = self.seeds[account.id] = enrolment.secret.reveal()
        self.portal.totp.confirm(account.id, enrolment.device_id, code_of(seed, self.clock()))
        return enrolment.device_id

    def add_passkey(self, session: str | NewSession, device: SoftAuthenticator | None = None) -> Any:
        active = self.active(session)
        options = self.factors.begin_passkey(active, source=SOURCE)
        device = device or SoftAuthenticator()
        response = device.create(options.json, origin="https://portal.example")
        return self.factors.confirm_passkey(active, response, label="Key", source=SOURCE)

    def code(self, account: Account) -> str:
        """Of the first authenticator that was added."""
        return code_of(self.seeds[account.id], self.clock())

    def ids(self, account: Account) -> list[str]:
        return [each.id for each in self.authenticators.of_account(account.id)]

    def kinds(self, account: Account) -> list[str]:
        """Notices in the order in which they were told: on a frozen clock no time says it."""
        rows: Any = self.portal.stores.notices
        return [each.kind for each in rows._notices.values() if each.account_id == account.id]

    def mail_of(self, subject: str) -> Message:
        """The newest mail with such a subject."""
        self.deliver()
        return [each for each in self.mail if subject in each.subject][-1]


def passkey(account: Account, at: Any, id: str = "pk") -> Passkey:
    """A row as a store has it."""
    return Passkey(
        id=id,
        account_id=account.id,
        credential_id=f"{account.id} {id}".encode(),
        user_handle=b"handle",
        public_key=b"key",
        algorithm=-7,
        sign_count=0,
        label="Phone",
        aaguid="00000000-0000-0000-0000-000000000000",
        transports=(),
        backup_eligible=True,
        backed_up=True,
        user_verified=True,
        attested=False,
        discoverable=None,
        created_at=at,
    )
