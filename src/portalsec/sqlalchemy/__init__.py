"""Every port over SQLAlchemy: an SQLite file by default, PostgreSQL by URL.

Open an engine, create the tables once, hand the engine to the stores::

    engine = open_engine("sqlite:////var/lib/portal/security.sqlite")
    create_schema(engine, "security")
    throttle = SqlThrottle(engine)

Security state and the audit log lie in files of their own on SQLite, apart from each other and from the
application's data: one SQLite file has one writer at a time, so a store that shared the application's file would
wait for the very request that is waiting for it.
"""

from portalsec.errors import MissingExtra

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401 - only to say what is missing
except ModuleNotFoundError as error:
    raise MissingExtra("sqlalchemy", package="sqlalchemy") from error

from portalsec.sqlalchemy.account_cells import account_cells, contact_cells
from portalsec.sqlalchemy.accounts import SqlAccounts
from portalsec.sqlalchemy.assignments import SqlAssignments
from portalsec.sqlalchemy.audit import SqlAudit
from portalsec.sqlalchemy.contacts import SqlContacts
from portalsec.sqlalchemy.devices import SqlDevices
from portalsec.sqlalchemy.engine import open_engine
from portalsec.sqlalchemy.flows import SqlFlows
from portalsec.sqlalchemy.incidents import SqlIncidents
from portalsec.sqlalchemy.notice_cells import incident_cells, notice_cells
from portalsec.sqlalchemy.notices import SqlNotices
from portalsec.sqlalchemy.passkey_cells import passkey_cells
from portalsec.sqlalchemy.passkeys import SqlPasskeys
from portalsec.sqlalchemy.password_history import SqlPasswordHistory
from portalsec.sqlalchemy.recovery_codes import SqlRecoveryCodes
from portalsec.sqlalchemy.schema import check_schema, create_schema
from portalsec.sqlalchemy.sessions import SqlSessions
from portalsec.sqlalchemy.subject_keys import SqlSubjectKeys
from portalsec.sqlalchemy.throttle import SqlThrottle
from portalsec.sqlalchemy.totp import SqlTotp
from portalsec.sqlalchemy.totp_cells import totp_cells

__all__ = [
    "SqlAccounts",
    "SqlAssignments",
    "SqlAudit",
    "SqlContacts",
    "SqlDevices",
    "SqlFlows",
    "SqlIncidents",
    "SqlNotices",
    "SqlPasskeys",
    "SqlPasswordHistory",
    "SqlRecoveryCodes",
    "SqlSessions",
    "SqlSubjectKeys",
    "SqlThrottle",
    "SqlTotp",
    "account_cells",
    "check_schema",
    "contact_cells",
    "create_schema",
    "incident_cells",
    "notice_cells",
    "open_engine",
    "passkey_cells",
    "totp_cells",
]
