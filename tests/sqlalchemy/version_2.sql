-- The security tables as version 2 made them on SQLite. On PostgreSQL BLOB is BYTEA, the number counts by BIGSERIAL, and the rest
-- is the same.
CREATE TABLE portalsec_account (
    id TEXT NOT NULL,
    login_mac BLOB NOT NULL,
    login_sealed BLOB NOT NULL,
    password_hash TEXT,
    disabled SMALLINT NOT NULL,
    reference TEXT,
    created_at BIGINT NOT NULL,
    must_change TEXT,
    password_changed_at BIGINT,
    signed_in_at BIGINT,
    PRIMARY KEY (id),
    UNIQUE (login_mac)
);
CREATE TABLE portalsec_assignment (
    subject_id TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (subject_id, role)
);
CREATE TABLE portalsec_contact (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    address_mac BLOB NOT NULL,
    address_sealed BLOB NOT NULL,
    verified_at BIGINT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (account_id, address_mac)
);
CREATE INDEX ix_portalsec_contact_address_mac ON portalsec_contact (address_mac);
CREATE TABLE portalsec_flow (
    digest BLOB NOT NULL,
    purpose TEXT NOT NULL,
    account_id TEXT,
    data BLOB NOT NULL,
    expires_at BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (digest)
);
CREATE INDEX ix_portalsec_flow_account_id ON portalsec_flow (account_id);
CREATE INDEX ix_portalsec_flow_expires_at ON portalsec_flow (expires_at);
CREATE TABLE portalsec_incident (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    notice_id TEXT,
    since BIGINT NOT NULL,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT,
    data BLOB NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (notice_id)
);
CREATE INDEX ix_portalsec_incident_account_id ON portalsec_incident (account_id);
CREATE INDEX portalsec_incident_unclosed ON portalsec_incident (opened_at) WHERE closed_at IS NULL;
CREATE TABLE portalsec_known_device (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    previous BLOB,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    address TEXT,
    PRIMARY KEY (id),
    UNIQUE (digest)
);
CREATE INDEX ix_portalsec_known_device_account_id ON portalsec_known_device (account_id);
CREATE INDEX ix_portalsec_known_device_previous ON portalsec_known_device (previous);
CREATE INDEX ix_portalsec_known_device_used_at ON portalsec_known_device (used_at);
CREATE TABLE portalsec_notice (
    id TEXT NOT NULL,
    account_id TEXT,
    kind TEXT NOT NULL,
    at BIGINT NOT NULL,
    code TEXT NOT NULL,
    data BLOB NOT NULL,
    due_at BIGINT,
    mailed_at BIGINT,
    attempts INTEGER NOT NULL,
    disavowed_at BIGINT,
    PRIMARY KEY (id)
);
CREATE INDEX ix_portalsec_notice_at ON portalsec_notice (at);
CREATE INDEX portalsec_notice_due ON portalsec_notice (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX portalsec_notice_of_account ON portalsec_notice (account_id, at);
CREATE TABLE portalsec_password_history (
    n INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    account_id TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    retired_at BIGINT NOT NULL,
    compromised SMALLINT DEFAULT '0' NOT NULL,
    UNIQUE (account_id, password_hash)
);
CREATE TABLE portalsec_schema (
    part TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (part)
);
CREATE TABLE portalsec_session (
    digest BLOB NOT NULL,
    account_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    factors TEXT NOT NULL,
    proven_at BIGINT NOT NULL,
    address TEXT,
    user_agent TEXT,
    PRIMARY KEY (digest)
);
CREATE INDEX ix_portalsec_session_account_id ON portalsec_session (account_id);
CREATE TABLE portalsec_session_epoch (
    account_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (account_id)
);
CREATE TABLE portalsec_throttle (
    "key" TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    used INTEGER NOT NULL,
    level INTEGER DEFAULT 0 NOT NULL,
    kept_until BIGINT DEFAULT 0 NOT NULL,
    PRIMARY KEY ("key")
);
CREATE INDEX ix_portalsec_throttle_window_end ON portalsec_throttle (window_end);
CREATE TABLE portalsec_totp_device (
    id TEXT NOT NULL,
    account_id TEXT NOT NULL,
    label TEXT NOT NULL,
    sealed_secret BLOB NOT NULL,
    confirmed SMALLINT NOT NULL,
    last_step BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX ix_portalsec_totp_device_account_id ON portalsec_totp_device (account_id);
CREATE UNIQUE INDEX portalsec_totp_device_one_unconfirmed ON portalsec_totp_device (account_id) WHERE confirmed = 0;
INSERT INTO portalsec_schema (part, version) VALUES ('security', 2);
