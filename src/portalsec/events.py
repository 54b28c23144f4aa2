"""What happened: one frozen event type and the closed vocabulary of its names.

Audit records, notices and exports only map from this vocabulary. An application's own events are declared
when its portal is built (`Vocabulary.declare`); after that the set is closed and an unknown name is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from portalsec.errors import ConfigurationError, Reason

__all__ = [
    "ANONYMOUS",
    "SYSTEM",
    "Actor",
    "Event",
    "EventClass",
    "Outcome",
    "Purpose",
    "ResourceRef",
    "SecurityEvent",
    "Source",
    "Vocabulary",
]


class EventClass(StrEnum):
    """What the audit log must do when it cannot acknowledge: see `Vocabulary.event_class`."""

    PHI = "phi"  # touches a person's record: closed (nothing is shown unless the event is durable)
    CRITICAL = "critical"  # roles, keys, the log itself: closed
    SECURITY = "security"  # sign-ins and factors: closed in this version (a second sink may take them later)
    INFO = "info"


class Outcome(StrEnum):
    SUCCESS = "success"
    DENIED = "denied"
    FAILURE = "failure"
    ERROR = "error"


class Purpose(StrEnum):
    """HL7 v3 PurposeOfUse codes (code system ``http://terminology.hl7.org/CodeSystem/v3-ActReason``)."""

    TREAT = "TREAT"  # treatment
    ETREAT = "ETREAT"  # emergency treatment
    HPAYMT = "HPAYMT"  # healthcare payment
    HOPERAT = "HOPERAT"  # healthcare operations
    PATRQT = "PATRQT"  # the patient asked
    FAMRQT = "FAMRQT"  # a family member asked
    PUBHLTH = "PUBHLTH"  # public health
    HRESCH = "HRESCH"  # research
    PATADMIN = "PATADMIN"  # patient administration
    BTG = "BTG"  # break the glass


class Event(StrEnum):
    """The closed vocabulary. Names are ``area.what``; the area fixes the class (see `Vocabulary`)."""

    AUTH_LOGIN = "auth.login"
    AUTH_LOGIN_FAILED = "auth.login_failed"
    AUTH_LOGOUT = "auth.logout"
    AUTH_PASSWORD_VERIFIED = "auth.password_verified"  # noqa: S105 - right password, second factor pending
    AUTH_MFA_CHALLENGE_FAILED = "auth.mfa_challenge_failed"
    AUTH_MFA_ENROLLED = "auth.mfa_enrolled"
    AUTH_MFA_REMOVED = "auth.mfa_removed"
    AUTH_FACTOR_DISABLED = "auth.factor_disabled"  # 100 wrong codes in a row: never usable again
    AUTH_RECOVERY_CODES_MADE = "auth.recovery_codes_made"  # the set before, if any, is void
    AUTH_RECOVERY_CODE_USED = "auth.recovery_code_used"
    AUTH_MFA_RESTORED = "auth.mfa_restored"  # one that was removed within the last day is a factor again
    AUTH_MFA_RENAMED = "auth.mfa_renamed"
    AUTH_CODE_SENT = "auth.code_sent"  # by mail or SMS, at a sign-in that is under way
    AUTH_PASSKEY_REFUSED = "auth.passkey_refused"  # details: `check`, the step that refused
    AUTH_PASSKEY_CLONE_SUSPECTED = "auth.passkey_clone_suspected"  # its counter went backwards
    AUTH_PASSWORD_CHANGED = "auth.password_changed"  # noqa: S105
    AUTH_PASSWORD_REHASHED = "auth.password_rehashed"  # noqa: S105
    AUTH_PASSWORD_RESET = "auth.password_reset"  # noqa: S105
    AUTH_PASSWORD_CHANGE_REQUIRED = "auth.password_change_required"  # noqa: S105
    AUTH_RESET_REQUESTED = "auth.reset_requested"
    AUTH_LINK_REQUESTED = "auth.link_requested"
    AUTH_THROTTLED = "auth.throttled"
    AUTH_ATTACK_SUSPECTED = (
        "auth.attack_suspected"  # spraying, stuffing, impossible numbers: details say which
    )
    AUTH_DEVICE_ADDED = "auth.device_added"
    AUTH_DEVICE_REMOVED = "auth.device_removed"
    AUTH_DEVICE_TRUSTED = "auth.device_trusted"
    AUTH_DEVICE_DISTRUSTED = "auth.device_distrusted"
    AUTH_DEVICE_REUSED = "auth.device_reused"  # an old copy of a device's cookie was shown
    AUTH_UNLOCK_REQUESTED = "auth.unlock_requested"
    AUTH_UNLOCKED = "auth.unlocked"
    AUTH_SESSION_ENDED = "auth.session_ended"  # idle, absolute limit, clock
    AUTH_SESSION_REVOKED = "auth.session_revoked"
    AUTH_SESSION_REFUSED = "auth.session_refused"  # unknown id, duplicate cookie
    AUTH_SESSION_ANOMALY = "auth.session_anomaly"  # it suddenly comes from another browser or network
    AUTH_SESSION_RESUMED = "auth.session_resumed"  # after an idle end, by one factor
    AUTH_SESSION_BOUND = "auth.session_bound"  # to the key of an API client (RFC 9449), under another id
    AUTH_STEP_UP = "auth.step_up"
    AUTH_IMPERSONATION_STARTED = "auth.impersonation_started"
    AUTH_IMPERSONATION_ENDED = "auth.impersonation_ended"

    ACCOUNT_INVITED = "account.invited"
    ACCOUNT_CREATED = "account.created"
    ACCOUNT_CREATE_REFUSED = "account.create_refused"
    ACCOUNT_UPDATED = "account.updated"
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ENABLED = "account.enabled"
    ACCOUNT_DELETED = "account.deleted"
    ACCOUNT_RECOVERED = "account.recovered"
    ACCOUNT_CLOSED = "account.closed"
    ACCOUNT_REGISTRATION_REQUESTED = "account.registration_requested"
    ACCOUNT_CONTACT_ADDED = "account.contact_added"
    ACCOUNT_CONTACT_VERIFIED = "account.contact_verified"
    ACCOUNT_CONTACT_REMOVED = "account.contact_removed"
    ACCOUNT_NOTICE_SENT = "account.notice_sent"
    ACCOUNT_NOTICE_FAILED = "account.notice_failed"
    ACCOUNT_DISAVOWED = "account.disavowed"  # "this wasn't me"
    ACCOUNT_INCIDENT_OPENED = "account.incident_opened"
    ACCOUNT_INCIDENT_CLOSED = "account.incident_closed"
    ACCOUNT_SUPPORT_REQUESTED = "account.support_requested"  # a lost factor's reset waits for a second person
    ACCOUNT_DORMANT = "account.dormant"

    ACCESS_DENIED = "access.denied"
    ACCESS_ROLE_GRANTED = "access.role_granted"
    ACCESS_ROLE_REVOKED = "access.role_revoked"
    ACCESS_POLICY_CHANGED = "access.policy_changed"
    ACCESS_BREAK_GLASS = "access.break_glass"

    CONSENT_GIVEN = "consent.given"
    CONSENT_WITHDRAWN = "consent.withdrawn"

    RECORD_READ = "record.read"
    RECORD_LISTED = "record.listed"
    RECORD_SEARCHED = "record.searched"
    RECORD_CREATED = "record.created"
    RECORD_UPDATED = "record.updated"
    RECORD_DELETED = "record.deleted"
    RECORD_PRINTED = "record.printed"
    RECORD_EXPORTED = "record.exported"
    RECORD_DOWNLOADED = "record.downloaded"

    DISCLOSURE_MADE = "disclosure.made"

    SUBJECT_REPORT_VIEWED = "subject.report_viewed"  # someone read "who has seen my record"
    SUBJECT_ERASURE_BEGUN = (
        "subject.erasure_begun"  # nothing is destroyed yet: see `crypto.SubjectKeys.shred`
    )
    SUBJECT_ERASED = "subject.erased"

    AUDIT_QUERIED = "audit.queried"
    AUDIT_EXPORTED = "audit.exported"
    AUDIT_VERIFIED = "audit.verified"
    AUDIT_GAP = "audit.gap"
    AUDIT_KEY_ROTATED = "audit.key_rotated"
    AUDIT_PRUNED = "audit.pruned"

    KEY_CREATED = "key.created"
    KEY_ROTATED = "key.rotated"
    KEY_DISABLED = "key.disabled"
    KEY_ENABLED = "key.enabled"
    KEY_DESTROYED = "key.destroyed"

    SYSTEM_STARTED = "system.started"
    SYSTEM_STOPPED = "system.stopped"
    SYSTEM_CONFIG_CHANGED = "system.config_changed"
    SYSTEM_CONTROL_FAILED = (
        "system.control_failed"  # a store or check failed; refused, unless a policy says otherwise
    )
    SYSTEM_REQUEST_REFUSED = "system.request_refused"  # cross-site or malformed before any account was known


_CLASS_OF_AREA = {
    "auth": EventClass.SECURITY,
    "account": EventClass.SECURITY,
    "access": EventClass.CRITICAL,
    "consent": EventClass.PHI,
    "record": EventClass.PHI,
    "disclosure": EventClass.PHI,
    "subject": EventClass.PHI,
    "audit": EventClass.CRITICAL,
    "key": EventClass.CRITICAL,
    "system": EventClass.SECURITY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did it. ``id`` is opaque (an account id), never a name or an address."""

    type: str = "anonymous"  # user, patient, service, system, anonymous
    id: str | None = None
    role: str | None = None
    on_behalf_of: str | None = None  # the person a proxy or parent acts for


ANONYMOUS = Actor()
SYSTEM = Actor(type="system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a request came from, as the adapter determined it."""

    address: str | None = None  # textual IP address, already resolved through the declared proxy hops
    user_agent: str | None = None
    request_id: str | None = None
    # What an app says of its device, as it was sent and not yet read (`portalsec.auth.posture`); no log has it.
    posture: str | None = field(default=None, repr=False)
    # Thumbprint of the key that an API client proved with this request of a sign-in; no log has it.
    jkt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRef:
    """What it was done to: a type and an opaque id; ``count`` for lists."""

    type: str
    id: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvent:
    """One thing that happened. Values are opaque ids and closed codes, never names, contents or secrets.

    Attributes:
        name: from `Event`, or a name that the application declared.
        subjects: opaque ids of the people whose data it is; required for ``record.*`` and ``disclosure.*``.
        purpose: why, required for ``record.*`` successes.
        reason: why it was refused.
        rule: id of the access rule that decided, with the policy's version.
        session: keyed reference of the session, never its id.
        changed: names of changed fields, never values.
        details: declared extra fields; scalar values only.
    """

    name: str
    outcome: Outcome = Outcome.SUCCESS
    actor: Actor = field(default_factory=Actor)
    subjects: tuple[str, ...] = ()
    resource: ResourceRef | None = None
    purpose: Purpose | None = None
    reason: Reason | None = None
    rule: str | None = None
    policy_version: str | None = None
    source: Source = field(default_factory=Source)
    session: str | None = None
    changed: tuple[str, ...] = ()
    details: Mapping[str, str | int | bool | None] = field(default_factory=dict)


class Vocabulary:
    """The closed set of event names and the class of each."""

    __slots__ = ("_classes",)

    def __init__(self, declared: Mapping[str, str] = MappingProxyType({})) -> None:
        """``declared`` maps an application's own event name to the known event it is like.

        Raises:
            ConfigurationError: a name that is taken, malformed, or like an unknown one.
        """
        classes = {event.value: _CLASS_OF_AREA[event.value.partition(".")[0]] for event in Event}
        for name, like in declared.items():
            area, dot, rest = name.partition(".")
            if not (dot and area.isidentifier() and rest.replace(".", "_").isidentifier()):
                raise ConfigurationError(
                    f"event name {name!r}: write area.what, in letters, digits and underscores"
                )
            if name in classes:
                raise ConfigurationError(f"event name {name!r} is taken: choose another")
            if like not in classes:
                raise ConfigurationError(
                    f"event {name!r} is declared like {like!r}, which is not a known event"
                )
            classes[name] = classes[like]
        self._classes = classes

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def event_class(self, name: str) -> EventClass:
        """The class of ``name``. Raises `ConfigurationError` for a name that was never declared."""
        try:
            return self._classes[name]
        except KeyError:
            raise ConfigurationError(
                f"event {name!r} is not in the vocabulary: declare it when the portal is built (events={{...}})"
            ) from None

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._classes)
