-- The security tables as version 1 made them on SQLite. On PostgreSQL BLOB is BYTEA, and the rest is the same.
CREATE TABLE portalsec_account (
    id TEXT NOT NULL,
    login_mac BLOB NOT NULL,
    login_sealed BLOB NOT NULL,
    password_hash TEXT,
    disabled SMALLINT NOT NULL,
    reference TEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (login_mac)
);
CREATE TABLE portalsec_assignment (
    subject_id TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (subject_id, role)
);
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
INSERT INTO portalsec_schema (part, version) VALUES ('security', 1);
