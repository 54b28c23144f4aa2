"""What codes mean to a reader: roles, purposes of use, and reasons of a refusal."""

from __future__ import annotations

from portalsec.errors import Reason
from portalsec.events import Event, Purpose

__all__ = ["ACTION_WORDS", "PURPOSE_WORDS", "REASON_WORDS", "ROLE_WORDS"]

ROLE_WORDS = {
    "patient": "Patient",
    "proxy": "Parent or guardian",
    "clinician": "Clinician",
    "front_desk": "Front desk",
    "privacy_officer": "Privacy officer",
    "patient_support": "Patient support",
}

PURPOSE_WORDS: dict[str, str] = {
    Purpose.TREAT: "for treatment",
    Purpose.ETREAT: "in an emergency",
    Purpose.PATRQT: "on the patient’s own request",
    Purpose.FAMRQT: "for the family",
    Purpose.PATADMIN: "for the clinic’s paperwork",
    Purpose.HOPERAT: "to run the clinic",
    Purpose.HPAYMT: "for payment",
    Purpose.PUBHLTH: "for public health",
    Purpose.HRESCH: "for research",
    Purpose.BTG: "by breaking the glass",
}

REASON_WORDS: dict[str, str] = {
    Reason.MALFORMED: "not in a form that is accepted",
    Reason.CROSS_SITE: "sent from another site",
    Reason.THROTTLED: "too many tries",
    Reason.UNKNOWN_ACCOUNT: "no such account",
    Reason.WRONG_PASSWORD: "wrong password",
    Reason.ACCOUNT_DISABLED: "the account is disabled",
    Reason.ACCOUNT_LOCKED: "too many wrong passwords for this name: not looked at",
    Reason.PASSWORD_SPRAYED: "a password that was tried on many accounts: not looked at",
    Reason.CHANGE_REQUIRED: "a new password must be chosen first",
    Reason.WRONG_CODE: "wrong code",
    Reason.CODE_REPLAYED: "a code that was used already",
    Reason.FACTOR_NOT_ENROLLED: "no authenticator is set up",
    Reason.FACTOR_ALREADY_ENROLLED: "an authenticator is set up already",
    Reason.EVIDENCE_MISSING: "a step of signing in is missing",
    Reason.EVIDENCE_MIXED: "steps of signing in that do not belong together",
    Reason.EVIDENCE_STALE: "a step of signing in is too old",
    Reason.FLOW_UNKNOWN: "the sign-in took too long, or is over",
    Reason.FLOW_EXHAUSTED: "the sign-in had too many tries",
    Reason.SESSION_MISSING: "not signed in",
    Reason.SESSION_UNKNOWN: "the session is over",
    Reason.SESSION_DUPLICATE_COOKIE: "two session cookies at once",
    Reason.SESSION_IDLE: "not used for too long",
    Reason.SESSION_EXPIRED: "the session reached its limit",
    Reason.SESSION_CLOCK: "the session’s times are wrong",
    Reason.SESSION_REVOKED: "the session was ended",
    Reason.TOKEN_INVALID: "a mailed link that is used up, too old or void",
    Reason.ADDRESS_REFUSED: "not an e-mail address that mail is sent to",
    Reason.INVITATION_INVALID: "the activation code opens nothing",
    Reason.LOGIN_TAKEN: "the user name is taken",
    Reason.PASSWORD_REFUSED: "the new password is too weak",
    Reason.SAME_PERSON: "the same person twice, where two must agree",
    Reason.NO_GRANT: "no rule allows it",
    Reason.EXPLICIT_DENY: "a rule forbids it",
    Reason.UNKNOWN_PERMISSION: "the policy does not know it",
    Reason.CONDITION_ERROR: "a rule could not be answered",
    Reason.OBLIGATION_UNMET: "a duty that goes with it was not met",
    Reason.FACTOR_DISABLED: "too many wrong codes switched this key off",
    Reason.FACTOR_LIMIT: "the account has as many keys as it may have",
    Reason.FACTOR_REQUIRED: "the account must keep a second key",
    Reason.PASSKEY_REFUSED: "the passkey was not accepted",
    Reason.PASSKEY_TAKEN: "the passkey belongs to an account already",
    Reason.SESSION_LIMIT: "signed in as often as the account may be",
    Reason.IMPERSONATED: "support may not do this in the owner’s name",
    Reason.STEP_UP_REQUIRED: "a key had to be shown again first",
    Reason.DPOP_REFUSED: "the proof of an app’s key was not accepted",
}

# What was done, of the lines that an incident shows; anything else is shown as the log calls it.
ACTION_WORDS: dict[str, str] = {
    Event.RECORD_READ: "Read a health record",
    Event.RECORD_LISTED: "Looked at a list of records",
    Event.RECORD_SEARCHED: "Searched for people",
    Event.SUBJECT_REPORT_VIEWED: "Looked at who has seen the record",
    Event.AUTH_LOGIN: "Signed in",
    Event.AUTH_LOGIN_FAILED: "Tried to sign in",
    Event.AUTH_LOGOUT: "Signed out",
    Event.AUTH_PASSWORD_VERIFIED: "Typed the right password",
    Event.AUTH_PASSWORD_CHANGED: "Changed the password",
    Event.AUTH_PASSWORD_RESET: "Chose a new password by mail",
    Event.AUTH_MFA_ENROLLED: "Set up a second key",
    Event.AUTH_MFA_CHALLENGE_FAILED: "Typed a wrong code",
    Event.AUTH_DEVICE_ADDED: "Signed in with a new browser",
    Event.AUTH_DEVICE_REMOVED: "Forgot browsers",
    Event.AUTH_SESSION_REVOKED: "Ended all sessions",
    Event.AUTH_IMPERSONATION_STARTED: "Began to act in the owner’s name",
    Event.AUTH_IMPERSONATION_ENDED: "Stopped acting in the owner’s name",
    Event.ACCOUNT_CREATED: "The account was made",
    Event.ACCESS_ROLE_GRANTED: "The account got its role",
    Event.ACCOUNT_CONTACT_ADDED: "Added an e-mail address",
    Event.ACCOUNT_CONTACT_VERIFIED: "Confirmed an e-mail address",
    Event.ACCOUNT_CONTACT_REMOVED: "Removed an e-mail address",
    Event.ACCOUNT_DISAVOWED: "Said: this was not me",
    Event.ACCOUNT_INCIDENT_OPENED: "Had this incident opened",
    Event.ACCOUNT_NOTICE_SENT: "Got a mail from us",
    Event.ACCESS_DENIED: "Tried to open something that is not theirs",
    Event.AUDIT_QUERIED: "Looked into the log",
}
