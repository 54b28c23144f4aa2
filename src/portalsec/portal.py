"""`Portal`: the parts of one portal, and the one function that wires them. Read it as a table of contents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import MappingProxyType

from portalsec._encoding import uuid7
from portalsec.audit.anchor import FileAnchor
from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.audit.log import AuditLog
from portalsec.audit.ports import AuditStore
from portalsec.audit.vault import KeyedVault
from portalsec.audit.writer import AuditWriter
from portalsec.auth._creating import Creating
from portalsec.auth._current import CurrentPassword
from portalsec.auth._hardware import proves_makes, require_reachable
from portalsec.auth._last_factor import LastFactor, needs_authenticator
from portalsec.auth._mail_requests import MailRequests
from portalsec.auth._own_words import About, OwnWords
from portalsec.auth._reauthentication import Reauthentication
from portalsec.auth._replacing import Replacing
from portalsec.auth._retiring import Retiring
from portalsec.auth.account import Accounts
from portalsec.auth.adding_factor import AddingFactor
from portalsec.auth.attempt import RiskOf
from portalsec.auth.authenticators import Authenticators
from portalsec.auth.breached import Bundled
from portalsec.auth.break_glass import BreakGlassNotices
from portalsec.auth.closing import Closing
from portalsec.auth.contacts import Contacts
from portalsec.auth.courier import Courier
from portalsec.auth.demands import Demand, Facts
from portalsec.auth.devices import DEVICE_LIFETIME, KnownDevices
from portalsec.auth.disavowal import Disavowal, disavow_token
from portalsec.auth.dormancy import Dormancy, DormancyPolicy
from portalsec.auth.endings import Endings
from portalsec.auth.factors import WITHIN, Factors
from portalsec.auth.hash_costs import Argon2Parameters, Cost
from portalsec.auth.impersonation import Impersonation, ImpersonationPolicy, MayImpersonate
from portalsec.auth.incidents import Incidents
from portalsec.auth.invitations import Invitations
from portalsec.auth.links import Links, RecoveryPolicy
from portalsec.auth.meter import Meter
from portalsec.auth.new_password import NewPasswords, Unreachable
from portalsec.auth.notice_mail import MailWriter
from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.notice_words import CATALOGUES, Catalogue
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.out_of_band import OutOfBand, OutOfBandPolicy
from portalsec.auth.passkeys import PasskeyPolicy, Passkeys
from portalsec.auth.password_change import PasswordChange
from portalsec.auth.password_policy import PasswordPolicy
from portalsec.auth.passwords import Passwords
from portalsec.auth.ports import (
    AccountStore,
    BreachSource,
    CodeSender,
    ContactStore,
    DeviceStore,
    FlowStore,
    IncidentStore,
    NoticeStore,
    Notifier,
    PasskeyStore,
    PasswordHistoryStore,
    RecoveryCodeStore,
    SessionStore,
    ThrottleStore,
    TotpStore,
)
from portalsec.auth.proof import Factor
from portalsec.auth.recovery_codes import RecoveryCodes
from portalsec.auth.registration import Registration
from portalsec.auth.reset import PasswordReset
from portalsec.auth.sessions import SessionPolicy, Sessions
from portalsec.auth.sign_in_link import SignInLinks
from portalsec.auth.signin import SignIn, SignInPolicy
from portalsec.auth.signin_notices import SignInNotices
from portalsec.auth.step_up import StepUp
from portalsec.auth.support import SupportDesk
from portalsec.auth.throttle import Throttle, ThrottlePolicy
from portalsec.auth.totp import RESTORABLE, Totp, TotpParameters, TotpPolicy
from portalsec.auth.trust import Trust, TrustPolicy
from portalsec.auth.undo import Undo
from portalsec.auth.unlock import Unlock
from portalsec.clock import Clock, system_clock
from portalsec.crypto.keyring import AnyKeyset, Keyring
from portalsec.crypto.ports import SubjectKeyStore
from portalsec.crypto.prf import KeyedHash, KeysetPepper
from portalsec.crypto.seal import FieldSealer
from portalsec.crypto.subjects import SubjectKeys
from portalsec.errors import ConfigurationError
from portalsec.events import Source, Vocabulary
from portalsec.guard import Access, Guard
from portalsec.incident_log import seen_in_log
from portalsec.rbac.pdp import PDP
from portalsec.rbac.policy import Policy
from portalsec.rbac.ports import AssignmentStore, RelationSource
from portalsec.roles import Roles
from portalsec.typing import Emit, NewId

__all__ = [
    "Keys",
    "Policies",
    "Portal",
    "Purged",
    "Stores",
    "build_portal",
    "close_portal",
    "purge",
]


def _nothing_to_close() -> None:
    """What stores without connections of their own do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One store for each port.

    Pending sign-ins (``flows``) may live in Redis. Invitations live for two weeks and must be used once even after
    a failover, so they have a durable store of their own. ``close`` ends the connections that they hold.
    """

    accounts: AccountStore
    throttle: ThrottleStore
    flows: FlowStore
    invitations: FlowStore
    totp: TotpStore
    recovery_codes: RecoveryCodeStore
    passkeys: PasskeyStore
    sessions: SessionStore
    assignments: AssignmentStore
    audit: AuditStore
    subjects: SubjectKeyStore
    password_history: PasswordHistoryStore
    contacts: ContactStore
    devices: DeviceStore
    notices: NoticeStore
    incidents: IncidentStore
    close: Callable[[], None] = _nothing_to_close


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The portal's keys. None of them shows itself.

    Attributes:
        fields: encrypts fields.
        mac: keyed hashes: sign-in names, counters, subjects of the audit log. What was stored under any enabled key
            is found; disable one only after `portalsec.sqlalchemy.account_cells` has run, and while nobody needs to
            find people in what the log wrote under it. Recovery codes that were made under a disabled key are void.
        index: blind indexes.
        audit: signs the audit log's checkpoints.
        pepper: goes into every password hash; None for none. Hashes under any enabled key verify, and are made anew
            under the one that writes at the next sign-in; whoever has one under a disabled key signs in no more.
        ring: where the keysets are names of a keyring, that ring; `reload` asks it.
    """

    fields: AnyKeyset
    mac: AnyKeyset
    index: AnyKeyset
    audit: Ed25519Signer
    pepper: AnyKeyset | None = None
    ring: Keyring | None = None

    def reload(self) -> None:
        """Read the keysets again and use them from now on, in every part, while requests are served.

        All or nothing: where one cannot be read, or is not what it was, this raises and the old keys stay in use.
        New keys read before the first of them writes. The audit key is not read again.

        Raises:
            ConfigurationError: a keyset is missing, damaged, of another purpose; or these keys have no source.
            KeyServiceUnavailable: the key service does not answer, or refuses.
        """
        if self.ring is None:
            raise ConfigurationError(
                "these keys cannot be reloaded: they were given as keysets, not as names of a Keyring"
            )
        self.ring.reload()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """What each part is told to do. Everything but the access policy has a safe default."""

    access: Policy
    passwords: PasswordPolicy = field(default_factory=lambda: PasswordPolicy.NIST_800_63B_4)
    unreachable: Unreachable = "accept"
    check_at_sign_in: bool = True
    hashing: Argon2Parameters = field(default_factory=lambda: Argon2Parameters.RFC_9106_LOW_MEMORY)
    hashing_concurrency: int | None = None
    hashing_older: Sequence[Cost] = ()
    require_pepper: bool = False
    throttle: ThrottlePolicy = field(default_factory=ThrottlePolicy)
    sign_in: SignInPolicy = field(default_factory=SignInPolicy)
    codes: TotpParameters = field(default_factory=TotpParameters)
    authenticators: TotpPolicy = field(default_factory=TotpPolicy)
    passkeys: PasskeyPolicy | None = None  # of the portal's own address, where it can have any
    sessions: SessionPolicy = field(default_factory=lambda: SessionPolicy.HIPAA_CLINIC)
    recovery: RecoveryPolicy = field(default_factory=RecoveryPolicy)
    notices: NoticePolicy = field(default_factory=NoticePolicy)
    dormancy: DormancyPolicy = field(default_factory=DormancyPolicy)
    out_of_band: OutOfBandPolicy = field(default_factory=OutOfBandPolicy)
    trust: TrustPolicy = field(default_factory=TrustPolicy)
    support_by_two: bool = True
    impersonation: ImpersonationPolicy = field(default_factory=ImpersonationPolicy)
    events: Mapping[str, str] = field(default_factory=dict)
    checkpoint_interval: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portal:
    """The parts of one portal. It has no behaviour of its own; two portals can live in one process."""

    name: str
    base_url: str
    proxy_hops: int
    clock: Clock
    emit: Emit
    vocabulary: Vocabulary
    keys: Keys
    policies: Policies
    stores: Stores
    passwords: Passwords
    new_passwords: NewPasswords
    meter: Meter
    totp: Totp
    recovery_codes: RecoveryCodes
    passkeys: Passkeys | None
    throttle: Throttle
    sessions: Sessions
    endings: Endings
    links: Links
    notices: Notices
    devices: KnownDevices
    trust: Trust
    out_of_band: OutOfBand
    sign_in: SignIn
    sign_in_links: SignInLinks
    step_up: StepUp
    factors: Factors
    accounts: Accounts
    roles: Roles
    contacts: Contacts
    reset: PasswordReset
    password_change: PasswordChange
    adding_factor: AddingFactor
    registration: Registration
    unlock: Unlock
    courier: Courier
    incidents: Incidents
    undo: Undo
    disavowal: Disavowal
    support: SupportDesk
    impersonation: Impersonation
    closing: Closing
    dormancy: Dormancy
    audit: AuditLog
    audit_writer: AuditWriter
    pdp: PDP
    guard: Guard
    subjects: SubjectKeys


def build_portal(
    *,
    name: str,
    base_url: str,
    keys: Keys,
    stores: Stores,
    policies: Policies,
    relations: RelationSource,
    origin: str,
    anchors: Sequence[FileAnchor] = (),
    breach_sources: Sequence[BreachSource] | None = None,
    proxy_hops: int = 0,
    clock: Clock = system_clock,
    new_id: NewId = uuid7,
    obligations: Mapping[str, Callable[[Access], None]] = MappingProxyType({}),
    wrap_emit: Callable[[Emit], Emit] | None = None,
    about: About | None = None,
    notifier: Notifier | None = None,
    code_sender: CodeSender | None = None,
    words: Mapping[str, Catalogue] = CATALOGUES,
    language_of: Callable[[str], str | None] | None = None,
    accounts_of: Callable[[str], Sequence[str]] | None = None,
    may_impersonate: MayImpersonate | None = None,
    facts_of: Callable[[str], Facts] | None = None,
    risk_of: RiskOf | None = None,
    place_of: Callable[[Source], str | None] | None = None,
) -> Portal:
    """Wire the parts.

    Args:
        name: shown in authenticator apps.
        base_url: the portal's one origin.
        relations: the application's answer to who stands in which relation to what.
        origin: the audit log's name; the audit key's own name must equal it.
        anchors: where each checkpoint is put outside the store.
        breach_sources: lists of passwords that attackers have; by default the one that comes with portalsec.
        obligations: how each obligation that the access policy names is met.
        about: a person's own words (name, birth date, address) by their account, which a new password must not be made
            of. Asked at every sign-up, change and reset, of an account that is just being made too, and by the meter.
        notifier: hands mails over (`portalsec.auth.notifiers`); without one none is sent, and notices are listed only.
        code_sender: sends codes by SMS, where ``policies.out_of_band`` has them.
        words: of mails, by language.
        language_of: an account's language, for its mails.
        accounts_of: the accounts of a subject that events name: whose record was opened in an emergency is told so.
        may_impersonate: whether the holder of a session may act as an account, for a limited time and in its owner's sight
            (`portalsec.auth.impersonation`). Without it nobody may.
        facts_of: roles, permissions, tenants and risk of an account, for ``policies.sign_in.rules`` and for limits of
            sessions by role. Where it raises, nobody is let in.
        risk_of: labels of one sign-in by its address, browser and device (`portalsec.auth.attempt`), for rules of
            ``policies.sign_in`` that name some. Where it raises, nobody is let in.
        place_of: a coarse place of an address, for the owner's list of sessions.
        wrap_emit: applied to the emitter that every part gets, for an application that listens to events too.

    Raises:
        ConfigurationError: parts that do not fit together.
    """
    vocabulary = Vocabulary(policies.events)
    for event in sorted(policies.access.event_names):
        if event not in vocabulary:
            raise ConfigurationError(
                f"the access policy names the event {event!r}, which is not in the vocabulary: "
                "use a name of portalsec.events.Event, or declare it in [portal] events"
            )
    if unmet := policies.access.obligations - obligations.keys():
        raise ConfigurationError(
            f"the access policy names the obligations {sorted(unmet)}, which nothing meets: "
            "pass obligations={...} with a function for each, or take them out of the policy"
        )
    if keys.audit.name != origin:
        raise ConfigurationError(
            f"[audit] origin is {origin!r}, but the audit key was made for {keys.audit.name!r}: "
            "name the same origin, or make a key for the new one"
        )
    passkey_policy = policies.passkeys or _passkeys_of(base_url, name)
    require_reachable(policies.sign_in, policies.impersonation, passkey_policy)
    mac = KeyedHash(keys.mac)
    sealer = FieldSealer(keys.fields)

    audit = AuditLog(
        store=stores.audit,
        vocabulary=vocabulary,
        vault=KeyedVault(mac),
        clock=clock,
        new_id=new_id,
        origin=origin,
        signer=keys.audit,
        anchors=anchors,
    )
    writer = AuditWriter(audit, checkpoint_interval=policies.checkpoint_interval)
    emit = wrap_emit(writer.emit) if wrap_emit else writer.emit

    passwords = Passwords(
        parameters=policies.hashing,
        concurrency=policies.hashing_concurrency,
        pepper=None if keys.pepper is None else KeysetPepper(keys.pepper),
        older=policies.hashing_older,
        require_pepper=policies.require_pepper,
    )
    new_passwords = NewPasswords(
        policy=policies.passwords,
        sources=(Bundled(),) if breach_sources is None else breach_sources,
        unreachable=policies.unreachable,
        passwords=passwords,
        history=stores.password_history,
        emit=emit,
    )
    totp = Totp(
        store=stores.totp,
        sealer=sealer,
        issuer=name,
        clock=clock,
        new_id=new_id,
        parameters=policies.codes,
        policy=policies.authenticators,
    )
    recovery_codes = RecoveryCodes(
        store=stores.recovery_codes, mac=KeysetPepper(keys.mac), clock=clock, emit=emit
    )
    passkeys = (
        None
        if passkey_policy is None
        else Passkeys(
            store=stores.passkeys,
            flows=stores.flows,
            policy=passkey_policy,
            mac=mac,
            sealer=sealer,
            clock=clock,
            new_id=new_id,
            emit=emit,
        )
    )
    throttle = Throttle(store=stores.throttle, policy=policies.throttle, mac=mac, clock=clock, emit=emit)
    sessions = Sessions(
        store=stores.sessions,
        policy=policies.sessions,
        required=policies.sign_in.floor,
        clock=clock,
        mac=mac,
        emit=emit,
        place_of=place_of,
    )
    endings = Endings(
        sessions=sessions, devices=stores.devices, flows=stores.flows, links=stores.invitations, emit=emit
    )
    notices = Notices(store=stores.notices, sealer=sealer, clock=clock, new_id=new_id)
    links = Links(
        links=stores.invitations,
        flows=stores.flows,
        accounts=stores.accounts,
        contacts=stores.contacts,
        sealer=sealer,
        mac=mac,
        clock=clock,
        policy=policies.recovery,
    )
    devices = KnownDevices(store=stores.devices, clock=clock, new_id=new_id, emit=emit)
    trust = Trust(
        devices=stores.devices,
        totp=totp,
        passkeys=stores.passkeys,
        notices=notices,
        mac=mac,
        policy=policies.trust,
        emit=emit,
        clock=clock,
        codes=recovery_codes,
        contacts=stores.contacts,
        sender=code_sender if Factor.SMS_CODE in policies.out_of_band.factors else None,
    )
    out_of_band = OutOfBand(
        contacts=stores.contacts,
        sender=code_sender,
        flows=stores.flows,
        notices=notices,
        throttle=throttle,
        mac=mac,
        policy=policies.out_of_band,
        portal=name,
        base_url=base_url,
        emit=emit,
        clock=clock,
    )
    authenticators = Authenticators(
        totp=stores.totp,
        passkeys=stores.passkeys,
        cap=totp.policy.cap,
        max_totp=totp.policy.max_devices,
        make_of=(lambda _: None) if passkeys is None else passkeys.make_of,
    )

    def demand_of(account_id: str) -> Demand:
        return policies.sign_in.demand(Facts() if facts_of is None else facts_of(account_id), clock())

    last_factor = LastFactor(
        codes=recovery_codes,
        trust=trust,
        required=lambda account_id: needs_authenticator(demand_of(account_id)),
    )
    watch = SignInNotices(
        notices=notices, budgets=stores.throttle, policy=policies.notices, mac=mac, clock=clock
    )
    sign_in = SignIn(
        accounts=stores.accounts,
        passwords=passwords,
        totp=totp,
        throttle=throttle,
        sessions=sessions,
        flows=stores.flows,
        endings=endings,
        devices=devices,
        watch=watch,
        notices=notices,
        max_age=policies.passwords.max_age,
        listed=new_passwords.listed_here if policies.check_at_sign_in else None,
        min_length=policies.passwords.min_length,
        passkeys=passkeys,
        passkey_store=stores.passkeys,
        recovery_codes=recovery_codes,
        sent_codes=out_of_band,
        trust=trust,
        facts_of=facts_of,
        risk_of=risk_of,
        policy=policies.sign_in,
        emit=emit,
        clock=clock,
        mac=mac,
    )
    with_second_factor = policies.sign_in.second_factor == "required"
    own_words = OwnWords(contacts=stores.contacts, about=about)
    creating = Creating(
        accounts=stores.accounts,
        contacts=stores.contacts,
        new_passwords=new_passwords,
        with_second_factor=with_second_factor,
        own_words=own_words,
        emit=emit,
        clock=clock,
        new_id=new_id,
    )
    accounts = Accounts(
        accounts=stores.accounts,
        creating=creating,
        invitations=Invitations(
            store=stores.invitations,
            creating=creating,
            throttle=throttle,
            sign_in=sign_in,
            sessions=sessions,
            emit=emit,
            clock=clock,
            mac=mac,
        ),
        endings=endings,
        notices=notices,
        emit=emit,
    )
    current = CurrentPassword(accounts=stores.accounts, passwords=passwords, throttle=throttle, emit=emit)
    step_up = StepUp(
        accounts=stores.accounts,
        current=current,
        totp=totp,
        sessions=sessions,
        throttle=throttle,
        passkeys=passkeys,
        passkey_store=stores.passkeys,
        recovery_codes=recovery_codes,
        facts_of=facts_of,
        asked_here=sign_in.asked_here,
        notices=notices,
        hardware=proves_makes(passkey_policy),
        emit=emit,
        clock=clock,
    )
    factors = Factors(
        authenticators=authenticators,
        totp=totp,
        passkeys=passkeys,
        codes=recovery_codes,
        trust=trust,
        last=last_factor,
        accounts=stores.accounts,
        flows=stores.flows,
        step_up=step_up,
        throttle=throttle,
        endings=endings,
        notices=notices,
        sealer=sealer,
        mac=mac,
        emit=emit,
        clock=clock,
    )
    owner = Reauthentication(current=current, step_up=step_up)
    replacing = Replacing(
        accounts=stores.accounts,
        new_passwords=new_passwords,
        endings=endings,
        notices=notices,
        with_second_factor=with_second_factor,
        own_words=own_words,
        emit=emit,
        clock=clock,
    )
    meter = Meter(
        new_passwords=new_passwords,
        own_words=own_words,
        accounts=stores.accounts,
        sessions=sessions,
        links=links,
        sign_in=sign_in,
        throttle=throttle,
        with_second_factor=with_second_factor,
    )
    requests = MailRequests(
        accounts=stores.accounts,
        contacts=stores.contacts,
        notices=notices,
        throttle=throttle,
        devices=devices,
        emit=emit,
        mac=mac,
    )
    contacts = Contacts(
        store=stores.contacts,
        accounts=stores.accounts,
        links=links,
        requests=requests,
        notices=notices,
        owner=owner,
        throttle=throttle,
        endings=endings,
        sessions=sessions,
        emit=emit,
        clock=clock,
        new_id=new_id,
    )
    reset = PasswordReset(
        requests=requests,
        links=links,
        contacts=stores.contacts,
        replacing=replacing,
        notices=notices,
        sign_in=sign_in,
        sessions=sessions,
        throttle=throttle,
        emit=emit,
    )
    sign_in_links = SignInLinks(
        requests=requests,
        links=links,
        contacts=stores.contacts,
        notices=notices,
        sign_in=sign_in,
        sessions=sessions,
        emit=emit,
        clock=clock,
    )
    password_change = PasswordChange(
        accounts=stores.accounts,
        owner=owner,
        replacing=replacing,
        notices=notices,
        sign_in=sign_in,
        emit=emit,
        clock=clock,
    )
    registration = Registration(
        requests=requests,
        links=links,
        creating=creating,
        accounts=stores.accounts,
        contacts=stores.contacts,
        notices=notices,
        sign_in=sign_in,
        sessions=sessions,
        emit=emit,
        clock=clock,
        new_id=new_id,
    )
    unlock = Unlock(requests=requests, links=links, notices=notices, throttle=throttle, emit=emit)
    incidents = Incidents(
        store=stores.incidents,
        notices=notices,
        sealer=sealer,
        seen=seen_in_log(audit, stores.accounts),
        emit=emit,
        clock=clock,
        new_id=new_id,
    )
    retiring = Retiring(accounts=stores.accounts, new_passwords=new_passwords, clock=clock)
    undo = Undo(
        store=stores.notices,
        notices=notices,
        accounts=stores.accounts,
        authenticators=authenticators,
        codes=recovery_codes,
        last=last_factor,
        used=stores.invitations,
        endings=endings,
        disavowed=incidents.of_account,
        mac=mac,
        emit=emit,
        clock=clock,
    )
    disavowal = Disavowal(
        store=stores.notices,
        notices=notices,
        accounts=stores.accounts,
        contacts=stores.contacts,
        undo=undo.disavowed,
        retiring=retiring,
        endings=endings,
        incidents=incidents,
        links=links,
        owner=owner,
        fresh=partial(step_up.require, within=WITHIN, explicit=False),
        turns=stores.invitations,
        policy=policies.notices,
        mac=mac,
        emit=emit,
        clock=clock,
    )
    courier = Courier(
        store=stores.notices,
        notices=notices,
        contacts=stores.contacts,
        notifier=notifier,
        writer=MailWriter(
            base_url=base_url,
            portal=name,
            language=policies.notices.language,
            links=policies.notices.links,
            catalogues=words,
        ),
        policy=policies.notices,
        disavowal=lambda notice_id: disavow_token(mac, notice_id),
        emit=emit,
        clock=clock,
        requests={
            NoticeKind.REQUEST_RESET: reset.letters,
            NoticeKind.REQUEST_VERIFY: contacts.letters,
            NoticeKind.REQUEST_UNLOCK: unlock.letters,
            NoticeKind.REQUEST_REGISTER: registration.letters,
            NoticeKind.REQUEST_CODE: out_of_band.letters,
            NoticeKind.REQUEST_SIGN_IN: sign_in_links.letters,
        },
        language_of=language_of,
        undo=undo.token,
    )
    support = SupportDesk(
        store=stores.incidents,
        accounts=stores.accounts,
        contacts=stores.contacts,
        factors=authenticators,
        last=last_factor,
        retiring=retiring,
        endings=endings,
        notices=notices,
        sealer=sealer,
        emit=emit,
        clock=clock,
        new_id=new_id,
        two_people=policies.support_by_two,
    )
    impersonation = Impersonation(
        sessions=sessions,
        accounts=stores.accounts,
        notices=notices,
        policy=policies.impersonation,
        allowed=may_impersonate,
        demand_of=demand_of,
        roles_of=lambda account_id: (Facts() if facts_of is None else facts_of(account_id)).roles,
        asked_here=sign_in.asked_here,
        emit=emit,
    )
    closing = Closing(
        accounts=stores.accounts,
        owner=owner,
        new_passwords=new_passwords,
        endings=endings,
        notices=notices,
        emit=emit,
        clock=clock,
    )
    dormancy = Dormancy(
        accounts=stores.accounts,
        notices=notices,
        endings=endings,
        emit=emit,
        clock=clock,
        policy=policies.dormancy,
    )
    if accounts_of is not None:
        emit = BreakGlassNotices(emit=emit, notices=notices, accounts_of=accounts_of)
    pdp = PDP(policies.access, relations=relations)
    guard = Guard(
        sessions=sessions,
        assignments=stores.assignments,
        pdp=pdp,
        emit=emit,
        clock=clock,
        obligations=obligations,
    )
    subjects = SubjectKeys(stores.subjects, keys=keys.fields, clock=clock, emit=emit)
    return Portal(
        name=name,
        base_url=base_url,
        proxy_hops=proxy_hops,
        clock=clock,
        emit=emit,
        vocabulary=vocabulary,
        keys=keys,
        policies=policies,
        stores=stores,
        passwords=passwords,
        new_passwords=new_passwords,
        meter=meter,
        totp=totp,
        recovery_codes=recovery_codes,
        passkeys=passkeys,
        throttle=throttle,
        sessions=sessions,
        endings=endings,
        links=links,
        notices=notices,
        devices=devices,
        trust=trust,
        out_of_band=out_of_band,
        sign_in=sign_in,
        sign_in_links=sign_in_links,
        step_up=step_up,
        factors=factors,
        accounts=accounts,
        roles=Roles(
            accounts=stores.accounts,
            assignments=stores.assignments,
            policy=policies.access,
            endings=endings,
            sessions=sessions,
            markers=stores.invitations,
            emit=emit,
            clock=clock,
        ),
        contacts=contacts,
        reset=reset,
        password_change=password_change,
        adding_factor=AddingFactor(current=current, sign_in=sign_in),
        registration=registration,
        unlock=unlock,
        courier=courier,
        incidents=incidents,
        undo=undo,
        disavowal=disavowal,
        support=support,
        impersonation=impersonation,
        closing=closing,
        dormancy=dormancy,
        audit=audit,
        audit_writer=writer,
        pdp=pdp,
        guard=guard,
        subjects=subjects,
    )


def _passkeys_of(base_url: str, name: str) -> PasskeyPolicy | None:
    """None at an address where browsers have no passkeys (an IP address, http elsewhere than on localhost)."""
    try:
        return PasskeyPolicy.for_page(base_url, rp_name=name)
    except ConfigurationError:
        return None


def close_portal(portal: Portal) -> None:
    """Write what waits for the audit log, sign a last checkpoint, and end the stores' connections.

    Raises:
        StoreError, Tampered: the last checkpoint could not be signed; the connections are closed all the same.
    """
    try:
        portal.audit_writer.close()
    finally:
        portal.stores.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What a `purge` removed."""

    sessions: int
    flows: int
    devices: int
    notices: int
    authenticators: int


def purge(portal: Portal) -> Purged:
    """Remove what is over; run it once a day.

    That is sessions past their absolute limit, expired pending sign-ins, invitations and links in mails, devices that
    nobody signed in with for as long as their cookie lasts, notices past their keep, and authenticators and passkeys whose
    removal cannot be undone any more. Incidents are kept.

    Housekeeping only: what has expired opens nothing, whether it was removed or not. It keeps the addresses and
    browsers of old sessions, devices and notices from staying for ever.
    """
    now = portal.clock()
    stores, policies = portal.stores, portal.policies
    return Purged(
        sessions=stores.sessions.purge(created_until=now - policies.sessions.absolute),
        flows=stores.flows.purge(now=now) + stores.invitations.purge(now=now),
        devices=stores.devices.purge(used_until=now - DEVICE_LIFETIME),
        notices=stores.notices.purge(until=now - policies.notices.keep),
        authenticators=stores.totp.purge_removed(until=now - RESTORABLE)
        + stores.passkeys.purge_removed(until=now - RESTORABLE),
    )
