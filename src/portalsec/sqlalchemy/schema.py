"""Creating the tables, and bringing those of an older version up to date, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from sqlalchemy import Connection, Engine, inspect, select, text, update

from portalsec.errors import ConfigurationError, Tampered
from portalsec.sqlalchemy.tables import METADATA, SCHEMAS, Which, foreign_to_audit
from portalsec.sqlalchemy.transaction import insert_into, reading, require_opened, writing

__all__ = ["UPGRADES", "check_schema", "create_schema"]

_SCHEMA_LOCK = 0x70736563_00000001  # "psec": PostgreSQL's advisory locks share one space of numbers

UPGRADES: Mapping[Which, Sequence[Sequence[tuple[str, str]]]] = MappingProxyType(
    {
        "security": (
            (  # version 1 to 2
                ("portalsec_account", "must_change TEXT"),
                ("portalsec_account", "password_changed_at BIGINT"),
                ("portalsec_account", "signed_in_at BIGINT"),
                ("portalsec_throttle", "level INTEGER DEFAULT 0 NOT NULL"),
                ("portalsec_throttle", "kept_until BIGINT DEFAULT 0 NOT NULL"),
            ),
            (  # version 2 to 3
                ("portalsec_account", "password_mailed SMALLINT DEFAULT 0 NOT NULL"),
                ("portalsec_session", "proofs TEXT"),
                ("portalsec_session", "level SMALLINT"),
                ("portalsec_session", "phishing_resistant SMALLINT"),
                ("portalsec_session", "idle BIGINT"),
                ("portalsec_session", "absolute BIGINT"),
                ("portalsec_session", "shared SMALLINT"),
                ("portalsec_session", "rested_at BIGINT"),
                ("portalsec_session", "anomaly TEXT"),
                ("portalsec_session", "impersonator TEXT"),
                ("portalsec_session", "behind BLOB"),
                ("portalsec_session", "posture TEXT"),
                ("portalsec_session", "jkt TEXT"),
                ("portalsec_session", "place TEXT"),
                ("portalsec_session", "networks TEXT"),
                ("portalsec_totp_device", "algorithm TEXT DEFAULT 'SHA1' NOT NULL"),
                ("portalsec_totp_device", "digits INTEGER DEFAULT 6 NOT NULL"),
                ("portalsec_totp_device", "period INTEGER DEFAULT 30 NOT NULL"),
                ("portalsec_totp_device", "drift INTEGER DEFAULT 0 NOT NULL"),
                ("portalsec_totp_device", "failures INTEGER DEFAULT 0 NOT NULL"),
                ("portalsec_totp_device", "used_at BIGINT"),
                ("portalsec_totp_device", "removed_at BIGINT"),
                ("portalsec_known_device", "trusted_until BIGINT"),
                ("portalsec_known_device", "trusted_setup BLOB"),
            ),
        ),
        "audit": (),
        "subjects": (),
    }
)
"""For each version of a part and the next: which tables get which columns. New tables are made whole, and not listed.

A worker of the version before may still be writing: so a new column is nullable or has a default. BLOB is BYTEA on
PostgreSQL.
"""


def _version(which: Which) -> int:
    return len(UPGRADES[which]) + 1


def create_schema(engine: Engine, which: Which) -> None:
    """Create the tables of one part where they are absent, upgrade older ones, then `check_schema`.

    Any worker may call it at start: one transaction under a lock, so it happens once and whole, or not at all.

    Raises:
        ConfigurationError: the tables are of a newer version of portalsec.
        StoreError: the database could not answer.
    """
    table = SCHEMAS[which]
    with writing(require_opened(engine)) as connection:
        if connection.dialect.name == "postgresql":
            # CREATE TABLE IF NOT EXISTS of two workers at once still collides on PostgreSQL.
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
        there = inspect(connection).get_table_names()
        version = None
        if table.name in there:
            version = connection.scalar(select(table.c.version).where(table.c.part == which))
        if version is None or 1 <= version <= _version(which):  # what is strange is left alone
            _add_columns(connection, which, version, there)
            METADATA[which].create_all(connection)
            _record(connection, which)
    check_schema(engine, which)


def _add_columns(connection: Connection, which: Which, version: int | None, there: Collection[str]) -> None:
    if version is None:
        return
    binary = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    for step in UPGRADES[which][version - 1 :]:
        for name, column in step:
            if name in there:  # else it is made whole
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {column.replace('BLOB', binary)}")


def _record(connection: Connection, which: Which) -> None:
    table, current = SCHEMAS[which], _version(which)
    connection.execute(
        insert_into(connection, table).values(part=which, version=current).on_conflict_do_nothing()
    )
    connection.execute(
        update(table).where(table.c.part == which, table.c.version < current).values(version=current)
    )


def check_schema(engine: Engine, which: Which) -> None:
    """Read-only: the tables are there and of this version; else `ConfigurationError` with the remedy.

    `Tampered` where an audit table has a trigger, a rule or the like, which could swallow events.
    """
    table = SCHEMAS[which]
    place = engine.url.render_as_string(hide_password=True)
    with reading(require_opened(engine)) as connection:
        known = inspect(connection).has_table(table.name)
        version = connection.scalar(select(table.c.version).where(table.c.part == which)) if known else None
        strange = foreign_to_audit(connection) if which == "audit" else ()
    if version is None:
        raise ConfigurationError(
            f"the database {place} has no {which} tables of portalsec: check the URL, "
            f'or create them with portalsec.sqlalchemy.create_schema(engine, "{which}")'
        )
    if version != _version(which):
        remedy = (
            f'upgrade them with portalsec.sqlalchemy.create_schema(engine, "{which}"), as the portal does at its start'
            if 1 <= version < _version(which)
            else "install the portalsec that wrote them"
        )
        raise ConfigurationError(
            f"the {which} tables in {place} are of version {version} and this portalsec reads version "
            f"{_version(which)}: {remedy}"
        )
    if strange:
        raise Tampered(f"{' '.join(strange)} Find out who made it, and drop it.")
