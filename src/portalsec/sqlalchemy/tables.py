"""The tables: security state and audit apart, times as whole microseconds, a schema version in each.

A column that a table gets after it was released stands in `portalsec.sqlalchemy.schema.UPGRADES` too.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from portalsec.audit.catalogue import CATALOGUES, foreign

__all__ = [
    "METADATA",
    "SCHEMAS",
    "UNCONFIRMED",
    "Which",
    "account",
    "assignment",
    "audit_checkpoint",
    "audit_event",
    "audit_metadata",
    "audit_stage",
    "audit_subject",
    "contact",
    "flow",
    "foreign_to_audit",
    "incident",
    "known_device",
    "notice",
    "passkey",
    "password_history",
    "recovery_code",
    "security_metadata",
    "session",
    "session_epoch",
    "subject_key",
    "subjects_metadata",
    "throttle",
    "totp_device",
]

Which = Literal["security", "audit", "subjects"]

# On SQLite the name INTEGER makes the key the row's own number, and lets nothing but a whole number into it.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

security_metadata = MetaData()
audit_metadata = MetaData()
# Apart from security state, so that it may live in a database whose backups are kept for a shorter time: what is
# erased here stays readable as long as an older copy of this table does.
subjects_metadata = MetaData()


def _schema_table(metadata: MetaData) -> Table:
    return Table(
        "portalsec_schema",
        metadata,
        Column("part", Text, primary_key=True),
        Column("version", Integer, nullable=False),
    )


SCHEMAS = {
    "security": _schema_table(security_metadata),
    "audit": _schema_table(audit_metadata),
    "subjects": _schema_table(subjects_metadata),
}
METADATA = {"security": security_metadata, "audit": audit_metadata, "subjects": subjects_metadata}

account = Table(
    "portalsec_account",
    security_metadata,
    Column("id", Text, primary_key=True),
    # A login is often an e-mail address: it is found by a keyed hash and readable only with the field key.
    Column("login_mac", LargeBinary, nullable=False, unique=True),
    Column("login_sealed", LargeBinary, nullable=False),
    Column("password_hash", Text),
    Column("disabled", SmallInteger, nullable=False),
    Column("reference", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("must_change", Text),
    Column("password_changed_at", BigInteger),
    Column("password_mailed", SmallInteger, nullable=False, server_default="0"),
    Column("signed_in_at", BigInteger),
)

password_history = Table(
    "portalsec_password_history",
    security_metadata,
    # Of two passwords that were retired at one moment, the one that came later is the newer.
    Column("n", _NUMBER, primary_key=True, autoincrement=True),
    Column("account_id", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("retired_at", BigInteger, nullable=False),
    Column("compromised", SmallInteger, nullable=False, server_default="0"),
    UniqueConstraint("account_id", "password_hash"),
    sqlite_autoincrement=True,
)

contact = Table(
    "portalsec_contact",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False),
    # Not unique alone: a mother and her child may have one address.
    Column("address_mac", LargeBinary, nullable=False, index=True),
    Column("address_sealed", LargeBinary, nullable=False),
    Column("verified_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("account_id", "address_mac"),
)

known_device = Table(
    "portalsec_known_device",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("previous", LargeBinary, index=True),
    Column("label", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, nullable=False, index=True),
    Column("address", Text),
    Column("trusted_until", BigInteger),
    Column("trusted_setup", LargeBinary),
)

notice = Table(
    "portalsec_notice",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("due_at", BigInteger),
    Column("mailed_at", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("disavowed_at", BigInteger),
    Index("portalsec_notice_of_account", "account_id", "at"),
)
_DUE = text("due_at IS NOT NULL")
Index("portalsec_notice_due", notice.c.due_at, sqlite_where=_DUE, postgresql_where=_DUE)

incident = Table(
    "portalsec_incident",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    Column("notice_id", Text, unique=True),
    Column("since", BigInteger, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("closed_at", BigInteger),
    Column("data", LargeBinary, nullable=False),
)
_UNCLOSED = text("closed_at IS NULL")
Index("portalsec_incident_unclosed", incident.c.opened_at, sqlite_where=_UNCLOSED, postgresql_where=_UNCLOSED)

throttle = Table(
    "portalsec_throttle",
    security_metadata,
    Column("key", Text, primary_key=True),
    Column("window_start", BigInteger, nullable=False),
    Column("window_end", BigInteger, nullable=False, index=True),
    Column("used", Integer, nullable=False),
    Column("level", Integer, nullable=False, server_default=text("0")),
    # Past its end a counter of a budget that escalates still says how long the next window is.
    Column("kept_until", BigInteger, nullable=False, server_default=text("0")),
)

flow = Table(
    "portalsec_flow",
    security_metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("account_id", Text, index=True),
    Column("data", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
)

totp_device = Table(
    "portalsec_totp_device",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    Column("label", Text, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False),
    Column("confirmed", SmallInteger, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("algorithm", Text, nullable=False, server_default="SHA1"),
    Column("digits", Integer, nullable=False, server_default=text("6")),
    Column("period", Integer, nullable=False, server_default=text("30")),
    Column("drift", Integer, nullable=False, server_default=text("0")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("used_at", BigInteger),
    Column("removed_at", BigInteger),  # never set where it is unconfirmed
)
UNCONFIRMED = text("confirmed = 0")
# The index, not a DELETE before the INSERT, is what keeps two enrolments at once from both staying.
Index(
    "portalsec_totp_device_one_unconfirmed",
    totp_device.c.account_id,
    unique=True,
    sqlite_where=UNCONFIRMED,
    postgresql_where=UNCONFIRMED,
)

recovery_code = Table(
    "portalsec_recovery_code",
    security_metadata,
    Column("account_id", Text, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
)

passkey = Table(
    "portalsec_passkey",
    security_metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    # Nothing here is a secret: whoever reads the table learns which credential is whose, and can sign with none. The
    # seal keeps who writes to it from signing in with a key of their own.
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("user_handle", LargeBinary, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("algorithm", Integer, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("aaguid", Text, nullable=False),
    Column("transports", Text, nullable=False),  # JSON list
    Column("backup_eligible", SmallInteger, nullable=False),
    Column("backed_up", SmallInteger, nullable=False),
    Column("user_verified", SmallInteger, nullable=False),
    Column("attested", SmallInteger, nullable=False),
    Column("discoverable", SmallInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    Column("suspect_at", BigInteger),
    Column("disabled_at", BigInteger),
    Column("removed_at", BigInteger),
    Column("seal", LargeBinary),  # see portalsec.auth.passkeys.records
)

session = Table(
    "portalsec_session",
    security_metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("account_id", Text, nullable=False, index=True),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("factors", Text, nullable=False),  # JSON list
    Column("proven_at", BigInteger, nullable=False),
    Column("address", Text),
    Column("user_agent", Text),
    Column("proofs", Text),  # JSON; NULL where a worker of version 2 opened it
    Column("level", SmallInteger),
    Column("phishing_resistant", SmallInteger),
    Column("idle", BigInteger),
    Column("absolute", BigInteger),
    Column("shared", SmallInteger),
    Column("rested_at", BigInteger),
    Column("anomaly", Text),
    Column("impersonator", Text),
    Column("behind", LargeBinary),
    Column("posture", Text),
    Column("jkt", Text),
    Column("place", Text),
    Column("networks", Text),
)

session_epoch = Table(
    "portalsec_session_epoch",
    security_metadata,
    Column("account_id", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
)

assignment = Table(
    "portalsec_assignment",
    security_metadata,
    Column("subject_id", Text, primary_key=True),
    Column("role", Text, primary_key=True),
)

subject_key = Table(
    "portalsec_subject_key",
    subjects_metadata,
    Column("purpose", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("key_id", BigInteger),
    Column("commitment", LargeBinary),
    Column("wrapped", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("erased_at", BigInteger),
    # Whoever edits the table by hand cannot put a key beside its tombstone either.
    CheckConstraint(
        "(erased_at IS NULL) = (wrapped IS NOT NULL)", name="portalsec_subject_key_lives_or_is_erased"
    ),
)

audit_stage = Table(
    "portalsec_audit_stage",
    audit_metadata,
    Column("n", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("subjects", Text, nullable=False),  # JSON list
    UniqueConstraint("id"),
    # Numbers of moved rows are never given again, so "staged before" keeps its meaning.
    sqlite_autoincrement=True,
)

audit_event = Table(
    "portalsec_audit_event",
    audit_metadata,
    Column("seq", _NUMBER, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    CheckConstraint("seq >= 0", name="portalsec_audit_event_counts_from_0"),
)

audit_subject = Table(
    "portalsec_audit_subject",
    audit_metadata,
    Column("subject", Text, primary_key=True),
    Column("seq", BigInteger, ForeignKey(audit_event.c.seq), primary_key=True, index=True),
    CheckConstraint("seq >= 0", name="portalsec_audit_subject_counts_from_0"),
)

audit_checkpoint = Table(
    "portalsec_audit_checkpoint",
    audit_metadata,
    Column("size", _NUMBER, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    CheckConstraint("size >= 0", name="portalsec_audit_checkpoint_counts_from_0"),
)


def foreign_to_audit(connection: Connection) -> tuple[str, ...]:
    """See `portalsec.audit.ports.AuditStore.intrusions`."""
    rows = connection.exec_driver_sql(CATALOGUES[connection.dialect.name]).all()
    return foreign(rows, [table.name for table in audit_metadata.sorted_tables])
