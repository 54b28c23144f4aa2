"""Errors, by whose fault it is.

::

    PortalsecError
    ├── ConfigurationError      the developer: raised only while a portal is being built
    │   └── MissingExtra        ... an optional dependency is not installed (also an ImportError)
    ├── Denied                  the visitor: a closed `Reason` for the log, a blank face for the visitor
    ├── Tampered                the data: stored bytes are not what portalsec wrote
    │   └── DecryptionError     ... a ciphertext did not open in its place
    ├── SubjectErased           the data is gone on purpose: the subject's key was shredded
    └── StoreError              the plumbing: a database, Redis or disk failed; the cause is attached
        ├── AuditUnavailable    ... the audit log could not acknowledge, so nothing may be shown
        ├── BreachSourceUnavailable  ... whether a password was leaked could not be asked
        ├── KeyServiceUnavailable  ... a key service does not answer, refuses or has disabled the key
        └── MailRefused         ... a mail server will never take this mail

Messages of `ConfigurationError` are sentences that name file, key and remedy. `str(Denied)` is the same text
for every reason, so that an exception handler which prints it tells a stranger nothing. No error of this
module ever carries a password, code, token, key or plaintext.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

__all__ = [
    "AuditUnavailable",
    "BreachSourceUnavailable",
    "ConfigurationError",
    "DecryptionError",
    "Denied",
    "KeyServiceUnavailable",
    "MailRefused",
    "MissingExtra",
    "PortalsecError",
    "Reason",
    "StoreError",
    "SubjectErased",
    "Tampered",
]


class Reason(StrEnum):
    """Why a visitor was refused: the closed list, for the log and never for the visitor."""

    # what was sent
    MALFORMED = "malformed"  # wrong type, too long, not text
    CROSS_SITE = "cross_site"  # Origin or Sec-Fetch-Site says the request came from another site
    # guessing
    THROTTLED = "throttled"  # the budget was used up before the secret was looked at
    # first factor
    UNKNOWN_ACCOUNT = "unknown_account"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105
    ACCOUNT_DISABLED = "account_disabled"
    ACCOUNT_LOCKED = "account_locked"  # the name's budget was used up: the password was not looked at
    PASSWORD_SPRAYED = "password_sprayed"  # noqa: S105 - tried on many accounts: it was not looked at
    CHANGE_REQUIRED = "change_required"  # a new password must be chosen first
    # second factor
    WRONG_CODE = "wrong_code"
    CODE_REPLAYED = "code_replayed"  # a step that was used, or one older than a used one (RFC 6238 5.2)
    FACTOR_NOT_ENROLLED = "factor_not_enrolled"
    FACTOR_ALREADY_ENROLLED = "factor_already_enrolled"
    FACTOR_DISABLED = (
        "factor_disabled"  # too many wrong codes in a row were tested: nothing is looked at any more
    )
    FACTOR_LIMIT = "factor_limit"  # the account has as many of this kind as it may have
    FACTOR_REQUIRED = "factor_required"  # the last one of an account whose policy asks for one
    PASSKEY_REFUSED = "passkey_refused"  # a step of the relying party; the event's `check` says which
    PASSKEY_TAKEN = "passkey_taken"  # this credential is registered already, to this account or another
    EVIDENCE_MISSING = "evidence_missing"  # the policy asks for a factor that was not proven
    EVIDENCE_MIXED = "evidence_mixed"  # evidence of two accounts, or one kind twice
    EVIDENCE_STALE = "evidence_stale"
    # the pending sign-in
    FLOW_UNKNOWN = "flow_unknown"  # no such pending state, expired, already used, or another purpose
    FLOW_EXHAUSTED = "flow_exhausted"  # its attempts are used up
    # sessions
    SESSION_MISSING = "session_missing"
    SESSION_UNKNOWN = "session_unknown"
    SESSION_DUPLICATE_COOKIE = "session_duplicate_cookie"
    SESSION_IDLE = "session_idle"
    SESSION_EXPIRED = "session_expired"  # the absolute limit
    SESSION_CLOCK = "session_clock"  # times missing, in the future or running backwards
    SESSION_REVOKED = "session_revoked"  # the account's epoch moved on
    SESSION_LIMIT = "session_limit"  # the account has as many sessions as it may
    DPOP_REFUSED = "dpop_refused"  # no proof of the key that a token is bound to
    IMPERSONATED = "impersonated"  # what support may not do in an owner's name, or may not begin
    STEP_UP_REQUIRED = "step_up_required"  # a factor must be shown before this session goes on
    # links that were mailed
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - unknown, used, expired, or what it was made for has changed since
    ADDRESS_REFUSED = "address_refused"  # no e-mail address that mail is sent to
    # sign-up
    INVITATION_INVALID = "invitation_invalid"
    LOGIN_TAKEN = "login_taken"
    PASSWORD_REFUSED = "password_refused"  # noqa: S105
    SAME_PERSON = "same_person"  # two people must agree, and the second is the first
    # access
    NO_GRANT = "no_grant"
    EXPLICIT_DENY = "explicit_deny"
    UNKNOWN_PERMISSION = "unknown_permission"
    CONDITION_ERROR = "condition_error"  # a condition could not be evaluated: errors deny
    OBLIGATION_UNMET = "obligation_unmet"


class PortalsecError(Exception):
    """The root: catch it to catch everything portalsec raises on purpose."""


class ConfigurationError(PortalsecError):
    """The developer's to mend, raised only while a portal is built. The text names file, key and remedy."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional dependency is missing; the text has the exact ``pip install``."""

    def __init__(self, extra: str, *, package: str) -> None:
        super().__init__(
            f"this part of portalsec needs the package {package!r}, which is not installed: "
            f'run  pip install "portalsec[{extra}]"'
        )
        self.extra = extra
        self.package = package


class Denied(PortalsecError):
    """The visitor was refused.

    Attributes:
        reason: from the closed list, for the log only.
        retry_after: how long to wait, where waiting helps; the one thing besides the refusal itself
            that an adapter may show.
    """

    def __init__(self, reason: Reason, *, retry_after: timedelta | None = None) -> None:
        # `args` is what a copy or a pickle is rebuilt from; the rest comes with its __dict__.
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after

    def __str__(self) -> str:
        # One face for every reason: whoever prints the exception leaks nothing.
        return "The request was refused."

    def __repr__(self) -> str:
        return f"Denied({self.reason.name})"


class Tampered(PortalsecError):
    """Stored bytes are not what portalsec wrote. The text names the place, never the content."""


class DecryptionError(Tampered):
    """A ciphertext did not open. One error for every cause; ``reason`` is non-secret and for the log only.

    Attributes:
        reason: one word, such as "not_authentic" or "unknown_key".
        position: of the value, from 0, where many were decrypted at once.
    """

    def __init__(self, reason: str, position: int | None = None) -> None:
        # `args` is what a copy or a pickle is rebuilt from; the rest comes with its __dict__.
        super().__init__(reason)
        self.reason = reason
        self.position = position

    def __str__(self) -> str:
        return (
            "Decryption failed."
            if self.position is None
            else f"Decryption failed at position {self.position}."
        )

    def __repr__(self) -> str:
        return f"DecryptionError({self.reason!r})"


class SubjectErased(PortalsecError):
    """The subject's data was erased on purpose; erased stays erased."""


class StoreError(PortalsecError):
    """A store failed; the driver's error, without the row that it quotes, is the ``__cause__``. Stores fail closed."""


class AuditUnavailable(StoreError):
    """The audit log could not acknowledge an event, so the action that needed it must not happen."""


class BreachSourceUnavailable(StoreError):
    """Whether a password was leaked could not be asked: the service is down, or its file is gone or damaged.

    What then happens to a new password is a policy (``[passwords] unreachable``), and is recorded either way. The text
    names the source, never the password or a part of its hash.
    """


class KeyServiceUnavailable(StoreError):
    """A key service (KMS, Vault, token) does not answer, refuses, or has disabled the key.

    Never raised for a ciphertext that is wrong: that is `DecryptionError`. The text names the service and the key,
    never a token, PIN or key.
    """


class MailRefused(StoreError):
    """A mail server refused a mail for good (5yz of RFC 5321): another try is of no use.

    The text names the server's code, never the address or the mail.
    """
