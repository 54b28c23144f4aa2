"""The tables. Only the stores and the session engine write them; times are microseconds since 1970, digests hex.

Every table but `AccountLink` lives in portalsec's own database (see `portalsec.django.router`). `AccountLink` is
about a row of the project's user table and lives beside it.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models

__all__ = [
    "AccountEpoch",
    "AccountLink",
    "AuditCheckpoint",
    "AuditEntry",
    "AuditLock",
    "AuditSubject",
    "Contact",
    "Flow",
    "Incident",
    "KnownDevice",
    "Notice",
    "Passkey",
    "PasswordHistory",
    "RecoveryCode",
    "RoleAssignment",
    "Session",
    "SessionData",
    "SubjectKey",
    "Throttle",
    "TotpDevice",
]


class AccountLink(models.Model):
    """What portalsec knows of a user beside its row. Users made by other means have none until they need one.

    ``password_hash`` counts only while the user's password column holds the pointer to it; see
    `portalsec.django.stores.accounts`.
    """

    account_id = models.CharField(max_length=64, primary_key=True)
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="portalsec_account"
    )
    reference = models.CharField(max_length=255, null=True)  # None and "" are different answers
    password_hash = models.TextField(null=True)
    must_change = models.CharField(max_length=64, null=True)
    password_changed_at = models.BigIntegerField(null=True)
    password_mailed = models.BooleanField(default=False, db_default=False)
    signed_in_at = models.BigIntegerField(null=True)
    created_at = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = "account link"

    def __str__(self) -> str:
        return self.account_id


class AccountEpoch(models.Model):
    """One row an account that ever had a session; sessions of an older epoch are dead."""

    account_id = models.CharField(max_length=64, primary_key=True)
    epoch = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.account_id}: {self.epoch}"


class Session(models.Model):
    """A signed-in session by the SHA-256 of its id."""

    digest = models.CharField(max_length=64, primary_key=True)
    account = models.ForeignKey(AccountEpoch, on_delete=models.CASCADE, related_name="sessions")
    epoch = models.BigIntegerField()
    created_at = models.BigIntegerField()
    last_seen_at = models.BigIntegerField()
    factors = models.CharField(max_length=200)
    proven_at = models.BigIntegerField()
    address = models.CharField(max_length=64, null=True)
    user_agent = models.CharField(max_length=256, null=True)
    # Null where a worker of the version before opened it.
    proofs = models.TextField(null=True)
    level = models.SmallIntegerField(null=True)
    phishing_resistant = models.BooleanField(null=True)
    idle = models.BigIntegerField(null=True)
    absolute = models.BigIntegerField(null=True)
    shared = models.BooleanField(null=True)
    rested_at = models.BigIntegerField(null=True)
    anomaly = models.CharField(max_length=64, null=True)
    impersonator = models.CharField(max_length=64, null=True)
    behind = models.CharField(max_length=64, null=True)
    posture = models.TextField(null=True)
    jkt = models.CharField(max_length=64, null=True)
    place = models.CharField(max_length=128, null=True)
    networks = models.CharField(max_length=128, null=True)

    def __str__(self) -> str:
        return f"session of {self.account_id}"


class SessionData(models.Model):
    """What Django keeps in ``request.session``, sealed, by the SHA-256 of the session key."""

    digest = models.CharField(max_length=64, primary_key=True)
    data = models.BinaryField()
    # Django's hash over the user's password as of the sign-in; null for a visitor. With it, the row is worthless
    # without its `Session`.
    user_hash = models.CharField(max_length=128, null=True)
    expires_at = models.BigIntegerField(db_index=True)

    def __str__(self) -> str:
        return "session data"


class TotpDevice(models.Model):
    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64, db_index=True)
    label = models.CharField(max_length=255)
    sealed_secret = models.BinaryField()
    confirmed = models.BooleanField()
    last_step = models.BigIntegerField()
    created_at = models.BigIntegerField()
    algorithm = models.CharField(max_length=16, default="SHA1", db_default="SHA1")
    digits = models.IntegerField(default=6, db_default=6)
    period = models.IntegerField(default=30, db_default=30)
    drift = models.IntegerField(default=0, db_default=0)
    failures = models.IntegerField(default=0, db_default=0)
    used_at = models.BigIntegerField(null=True)
    removed_at = models.BigIntegerField(null=True)  # never set where it is unconfirmed

    class Meta:
        constraints = (
            # Two enrolments begun at once leave one device, not two secrets of which either would do.
            models.UniqueConstraint(
                fields=["account_id"],
                condition=models.Q(confirmed=False),
                name="portalsec_one_unconfirmed",
            ),
        )

    def __str__(self) -> str:
        return f"TOTP device of {self.account_id}"


class RecoveryCode(models.Model):
    """A recovery code by its keyed hash."""

    n = models.BigAutoField(primary_key=True)
    account_id = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    key_id = models.BigIntegerField()
    created_at = models.BigIntegerField()
    used_at = models.BigIntegerField(null=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["account_id", "digest"], name="portalsec_one_recovery_code"),
        )

    def __str__(self) -> str:
        return f"recovery code of {self.account_id}"


class Passkey(models.Model):
    """A public-key credential; nothing of it is a secret. See `portalsec.auth.ports.Passkey`."""

    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64, db_index=True)
    credential_id = models.BinaryField(max_length=1023, unique=True)
    user_handle = models.BinaryField(max_length=64)
    public_key = models.BinaryField()
    algorithm = models.IntegerField()
    sign_count = models.BigIntegerField()
    label = models.CharField(max_length=255)
    aaguid = models.CharField(max_length=36)
    transports = models.JSONField(default=list)
    backup_eligible = models.BooleanField()
    backed_up = models.BooleanField()
    user_verified = models.BooleanField()
    attested = models.BooleanField()
    discoverable = models.BooleanField(null=True)
    created_at = models.BigIntegerField()
    used_at = models.BigIntegerField(null=True)
    suspect_at = models.BigIntegerField(null=True)
    disabled_at = models.BigIntegerField(null=True)
    removed_at = models.BigIntegerField(null=True)
    seal = models.BinaryField(null=True)

    def __str__(self) -> str:
        return f"passkey of {self.account_id}"


class Throttle(models.Model):
    key = models.CharField(max_length=255, primary_key=True)
    started_at = models.BigIntegerField()
    ends_at = models.BigIntegerField(db_index=True)
    used = models.IntegerField()
    level = models.IntegerField(default=0, db_default=0)
    kept_until = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return "throttle counter"


class Flow(models.Model):
    digest = models.CharField(max_length=64, primary_key=True)
    purpose = models.CharField(max_length=64)
    account_id = models.CharField(max_length=64, null=True, db_index=True)
    data = models.BinaryField()
    expires_at = models.BigIntegerField(db_index=True)
    attempts = models.IntegerField(default=0)

    def __str__(self) -> str:
        return f"flow: {self.purpose}"


class PasswordHistory(models.Model):
    """Hashes of former passwords. Of two that were retired at one moment, the greater ``n`` is the newer.

    Compromised ones are trimmed apart, so that ordinary changes never push them out.
    """

    n = models.BigAutoField(primary_key=True)
    account_id = models.CharField(max_length=64, db_index=True)
    password_hash = models.TextField()
    retired_at = models.BigIntegerField()
    compromised = models.BooleanField(default=False)

    class Meta:
        verbose_name_plural = "password history"

    def __str__(self) -> str:
        return f"former password of {self.account_id}"


class Contact(models.Model):
    """An e-mail address: found by a keyed hash, readable only with the field key. Two accounts may have one."""

    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64)
    address_mac = models.BinaryField(max_length=32, db_index=True)
    address_sealed = models.BinaryField()
    verified_at = models.BigIntegerField(null=True)
    created_at = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["account_id", "address_mac"], name="portalsec_one_address"),
        )

    def __str__(self) -> str:
        return f"address of {self.account_id}"


class KnownDevice(models.Model):
    """A browser that its owner signed in with before, by the SHA-256 of the secret in its cookie."""

    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64, db_index=True)
    digest = models.CharField(max_length=64, unique=True)
    previous = models.CharField(max_length=64, null=True, db_index=True)
    label = models.CharField(max_length=255)
    created_at = models.BigIntegerField()
    used_at = models.BigIntegerField(db_index=True)
    address = models.CharField(max_length=64, null=True)
    trusted_until = models.BigIntegerField(null=True)
    trusted_setup = models.BinaryField(max_length=64, null=True)

    def __str__(self) -> str:
        return f"device of {self.account_id}"


class Notice(models.Model):
    """What happened to an account, or a request for mail. ``data`` is sealed."""

    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64, null=True)
    kind = models.CharField(max_length=64)
    at = models.BigIntegerField(db_index=True)
    code = models.CharField(max_length=32)
    data = models.BinaryField()
    due_at = models.BigIntegerField(null=True)
    mailed_at = models.BigIntegerField(null=True)
    attempts = models.IntegerField(default=0)
    disavowed_at = models.BigIntegerField(null=True)

    class Meta:
        indexes = (
            models.Index(fields=["account_id", "at"], name="portalsec_notice_of_account"),
            models.Index(
                fields=["due_at"], condition=models.Q(due_at__isnull=False), name="portalsec_notice_due"
            ),
        )

    def __str__(self) -> str:
        return f"notice: {self.kind}"


class Incident(models.Model):
    """What somebody looks into. ``data`` is sealed."""

    id = models.CharField(max_length=64, primary_key=True)
    account_id = models.CharField(max_length=64, db_index=True)
    notice_id = models.CharField(max_length=64, null=True, unique=True)
    since = models.BigIntegerField()
    opened_at = models.BigIntegerField()
    closed_at = models.BigIntegerField(null=True)
    data = models.BinaryField()

    class Meta:
        indexes = (
            models.Index(
                fields=["opened_at"],
                condition=models.Q(closed_at__isnull=True),
                name="portalsec_incident_unclosed",
            ),
        )

    def __str__(self) -> str:
        return f"incident of {self.account_id}"


class RoleAssignment(models.Model):
    subject_id = models.CharField(max_length=64)
    role = models.CharField(max_length=128)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["subject_id", "role"], name="portalsec_one_assignment"),
        )

    def __str__(self) -> str:
        return f"{self.subject_id}: {self.role}"


class SubjectKey(models.Model):
    """A person's wrapped data key, or the tombstone of one; see `portalsec.crypto.ports.SubjectKeyStore`."""

    purpose = models.CharField(max_length=64)
    subject = models.CharField(max_length=255)
    key_id = models.BigIntegerField(null=True)
    commitment = models.BinaryField(null=True)
    wrapped = models.BinaryField(null=True)
    created_at = models.BigIntegerField()
    erased_at = models.BigIntegerField(null=True)

    class Meta:
        constraints = (
            # Two keys of one subject would each open half of what was written; a second row beside a tombstone would
            # bring an erased subject back.
            models.UniqueConstraint(fields=["purpose", "subject"], name="portalsec_one_subject_key"),
            models.CheckConstraint(
                condition=models.Q(erased_at__isnull=True, wrapped__isnull=False)
                | models.Q(erased_at__isnull=False, wrapped__isnull=True),
                name="portalsec_subject_key_lives",
            ),
        )

    def __str__(self) -> str:
        return f"{self.purpose} key of {self.subject}"


class AuditEntry(models.Model):
    """One event. ``index`` is null while it is only staged; it is set once and never changes."""

    seq = models.BigAutoField(primary_key=True)
    entry_id = models.CharField(max_length=64, unique=True)
    body = models.BinaryField()
    leaf = models.BinaryField()
    subjects = models.JSONField(default=list)
    index = models.BigIntegerField(null=True, unique=True)

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(index__isnull=True) | models.Q(index__gte=0),
                name="portalsec_entry_counts_from_0",
            ),
        )

    def __str__(self) -> str:
        return self.entry_id


class AuditSubject(models.Model):
    """Which placed entries are about which pseudonym."""

    subject = models.CharField(max_length=128)
    index = models.BigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["subject", "index"], name="portalsec_one_subject_index"),
            models.CheckConstraint(condition=models.Q(index__gte=0), name="portalsec_subject_counts_from_0"),
        )
        indexes = (models.Index(fields=["index"], name="portalsec_subject_index"),)

    def __str__(self) -> str:
        return f"{self.subject}: {self.index}"


class AuditCheckpoint(models.Model):
    size = models.BigIntegerField(primary_key=True)
    note = models.TextField()

    def __str__(self) -> str:
        return f"checkpoint over {self.size}"


class AuditLock(models.Model):
    """One row: whoever updates it in a transaction places entries alone."""

    id = models.SmallIntegerField(primary_key=True)
    holds = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return "audit lock"
