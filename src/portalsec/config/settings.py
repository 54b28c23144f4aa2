"""Settings: one ``portalsec.toml``, the same as a mapping, or single keys from the environment.

Every key is listed once, below, with its parser and default. What is not listed is refused with the nearest
known name; all problems are reported at once. An environment variable ``PORTALSEC__SESSIONS__IDLE=10m``
overrides ``idle`` of ``[sessions]``.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from portalsec.auth.device_rules import DeviceRule
from portalsec.auth.hash_costs import Cost, cost_of_text, parameters_of_text
from portalsec.auth.password_policy import MAX_HISTORY
from portalsec.auth.proof import Factor
from portalsec.errors import ConfigurationError
from portalsec.web import origin_of

__all__ = ["KEYS", "Key", "Settings", "load_settings"]


_ENV_PREFIX = "PORTALSEC__"
_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its parser (raises `ValueError` with the remedy), its default and what it is for."""

    parse: Callable[[object], object]
    default: Any
    about: str


# -- parsers: each takes a TOML value or the text of an environment variable -------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write text in quotes")
    return value


def _origin(value: object) -> str:
    try:
        origin = origin_of(_text(value))
    except ConfigurationError as error:
        raise ValueError('write the portal\'s address, as "https://portal.example"') from error
    if origin.startswith("http:") and urlsplit(origin).hostname != "localhost":
        # Browsers keep Secure cookies on plain http for localhost alone, and everybody on the way could read along.
        raise ValueError("only localhost goes without encryption: write https://")
    return origin


_DURATION = re.compile(r"([0-9]{1,9})\s*(s|m|h|d)\Z")
_LONGEST = timedelta(days=3650)
_UNIT = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> timedelta:
    match = _DURATION.match(value) if isinstance(value, str) else None
    if not match or match[1].strip("0") == "":
        raise ValueError('write a duration such as "15m" (s, m, h or d)')
    duration = timedelta(**{_UNIT[match[2]]: int(match[1])})
    if duration >= _LONGEST:  # now + duration must stay a date
        raise ValueError("the duration is ten years or longer: write a shorter one")
    return duration


def _rate(value: object) -> tuple[int, timedelta]:
    count, slash, window = value.partition("/") if isinstance(value, str) else ("", "", "")
    count = count.strip()
    if not slash or not (count.isascii() and count.isdigit()) or len(count) > 5 or int(count) < 1:
        raise ValueError('write a budget such as "10/15m" (ten tries in fifteen minutes)')
    return int(count), _duration(window.strip())


def _count(low: int, high: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return value

    return parse


def _choice(*known: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value in known:
            return str(value)
        near = difflib.get_close_matches(str(value), known, n=1, cutoff=0.0)
        raise ValueError(f"choose one of {', '.join(known)}; nearest is {near[0]!r}")

    return parse


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise ValueError('write a list of words, as ["riverside", "clinic"]')
    return tuple(value)


def _places(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(place, str) and place for place in value):
        raise ValueError('write a list, as ["leaked.breach", "https://api.pwnedpasswords.com/range/"]')
    return tuple(value)


def _pages(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(page, str) and page for page in value):
        raise ValueError('write a list of origins, as ["https://portal.example"]')
    return tuple(value)


def _switch(value: object) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in known:
        return known[value]
    raise ValueError("write true or false, without quotes")


def _moment(value: object) -> datetime:
    if isinstance(value, str):  # from the environment
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError("write a moment with its time zone, without quotes, as 2027-01-31T00:00:00Z")
    return value


def _factors(value: object) -> frozenset[Factor]:
    names = [str(factor) for factor in Factor]
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not value or not all(each in names for each in value):
        raise ValueError(f"write a list of {', '.join(names)}")
    return frozenset(Factor(each) for each in value)


_Parsers = Mapping[str, Callable[[object], Any]]


def _tables(parsers: _Parsers, example: str) -> Callable[[object], tuple[Mapping[str, Any], ...]]:
    """A list of tables: rules."""

    def parse(value: object) -> tuple[Mapping[str, Any], ...]:
        if not isinstance(value, list) or not all(isinstance(rule, dict) for rule in value):
            raise ValueError(f"write a list of rules, as {example}")
        rules = []
        for rule in value:
            if unknown := sorted(set(rule) - set(parsers)):
                raise ValueError(f"{unknown[0]!r} is none of {', '.join(parsers)}")
            rules.append(MappingProxyType({name: _of_rule(parsers, name, rule[name]) for name in rule}))
        return tuple(rules)

    return parse


def _of_rule(parsers: _Parsers, name: str, given: object) -> Any:
    try:
        return parsers[name](given)
    except ValueError as error:
        problem = str(error)
    raise ValueError(f"{name}: {problem}")


_DEVICE = {
    "platforms": _words,
    "rooted": _switch,
    "unattested": _switch,
    "unlocked": _switch,
    "app_below": _text,
    "os_below": _text,
    "untold": _switch,
}


def _device_rule(value: object) -> DeviceRule:
    if not isinstance(value, dict):
        raise ValueError("write a table, as { rooted = true }")
    [given] = _tables(_DEVICE, "")([value])
    named = {"platforms": frozenset(given["platforms"])} if "platforms" in given else {}
    try:
        return DeviceRule(**{**given, **named})
    except ConfigurationError as error:
        problem = str(error).removeprefix("DeviceRule: ")
    raise ValueError(problem)


_session_rules = _tables(
    {
        "roles": _words,
        "min_level": _count(0, 3),
        "max_level": _count(0, 3),
        "shared": _switch,
        "idle": _duration,
        "absolute": _duration,
    },
    '[{ roles = ["admin"], idle = "10m" }]',
)
_demand_rules = _tables(
    {
        "roles": _words,
        "permissions": _words,
        "tenants": _words,
        "risk": _count(0, 1000),
        "labels": _words,
        "device": _device_rule,
        "since": _moment,
        "level": _count(1, 3),
        "second_factor": _switch,
        "phishing_resistant": _switch,
        "factors": _factors,
        "allowed": _factors,
    },
    '[{ roles = ["admin"], phishing_resistant = true }]',
)


def _hashing(value: object) -> str:
    try:
        parameters_of_text(_text(value))
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return str(value)


def _older(value: object) -> tuple[Cost, ...]:
    if isinstance(value, str):
        value = value.split()  # from the environment
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('write a list of costs, as ["argon2id:m=65536,t=3,p=4", "pbkdf2_sha256:i=870000"]')
    try:
        return tuple(cost_of_text(each) for each in value)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


def _event_map(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise ValueError('write a table of your events, as { "portal.lab_released" = "record.updated" }')
    return MappingProxyType(dict(value))


KEYS: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {
        "portal": {
            "name": Key(_text, _REQUIRED, "what the portal calls itself, in authenticator apps and on pages"),
            "base_url": Key(_origin, _REQUIRED, "its one address; links and origin checks use nothing else"),
            "proxy_hops": Key(_count(0, 10), 0, "how many trusted proxies stand before it"),
            "events": Key(
                _event_map, MappingProxyType({}), "the application's own event names, each like a known one"
            ),
        },
        "stores": {
            "security": Key(_text, "sqlite:///security.db", "accounts, factors, sessions: an SQLAlchemy URL"),
            "audit": Key(
                _text,
                "sqlite:///audit.db",
                "the audit log: an SQLAlchemy URL, never the application's own file",
            ),
            "subjects": Key(
                _text,
                None,
                "the subjects' own keys: an SQLAlchemy URL, whose backups are kept for a short time; "
                "else [stores] security",
            ),
            "short_lived": Key(
                _text, None, "redis:// URL for throttle and pending sign-ins; else [stores] security"
            ),
        },
        "keys": {
            "fields": Key(_text, "file:keys/fields.json", "reference to the keyset that seals fields"),
            "mac": Key(_text, "file:keys/mac.json", "reference to the keyset of keyed hashes"),
            "index": Key(_text, "file:keys/index.json", "reference to the keyset of blind indexes"),
            "audit": Key(_text, "file:keys/audit.key", "reference to the key that signs checkpoints"),
            "pepper": Key(
                _text, None, "reference to the keyset that password hashes are peppered with; none by default"
            ),
            "kek": Key(
                _text,
                None,
                "the key that the keyset files are encrypted under: file:, env:, aws-kms://, hcvault:// or pkcs11:",
            ),
        },
        "passwords": {
            "policy": Key(
                _choice("NIST_800_63B_4", "OWASP_ASVS_5_0", "PATIENT_ADVICE_12"),
                "NIST_800_63B_4",
                "password rules, named after their source",
            ),
            "hashing": Key(
                _hashing,
                "RFC_9106_LOW_MEMORY",
                "argon2id parameters: RFC_9106_LOW_MEMORY, RFC_9106_HIGH_MEMORY, OWASP_2025 (named after their source), "
                'or `"m=65536,t=3,p=4"`, as `portalsec passwords calibrate` prints them',
            ),
            "older": Key(
                _older,
                (),
                "other costs that stored hashes still have, as `portalsec passwords report` shows them: every sign-in "
                "does each of them, so that no account's age shows",
            ),
            "require_pepper": Key(
                _switch,
                False,
                "once every hash has a pepper: one without it verifies no more, so that whoever can write the table "
                "cannot make one",
            ),
            "concurrency": Key(_count(1, 64), None, "how many hashes at once; else one less than the cores"),
            "words": Key(_words, (), "words that a stranger would try first here, such as the clinic's name"),
            "history": Key(
                _count(0, MAX_HISTORY),
                None,
                "how many earlier passwords may not come back; else the policy's",
            ),
            "max_age": Key(
                _duration, None, "a new password is asked for after this long, where an auditor demands that"
            ),
            "breached": Key(
                _places,
                (),
                "lists of leaked passwords beside the one that comes with portalsec: files of `portalsec breached build`, "
                "and addresses of servers such as Have I Been Pwned's",
            ),
            "unreachable": Key(
                _choice("accept", "refuse"),
                "accept",
                "a new password, when nobody can say whether it was leaked; recorded either way",
            ),
            "check_at_sign_in": Key(
                _switch,
                True,
                "whether the lists on this machine are asked at each sign-in too: whoever has a listed password "
                "chooses another one before the session",
            ),
        },
        "sign_in": {
            "second_factor": Key(
                _choice("required", "optional"), "required", "whether a session needs two factors"
            ),
            "pending_lifetime": Key(_duration, timedelta(minutes=10), "time from the password to the code"),
            "pending_attempts": Key(_count(1, 20), 5, "codes to try in one sign-in"),
            "phishing_resistant": Key(
                _choice("required", "optional"), "optional", "whether one of the proofs must be a passkey's"
            ),
            "factors": Key(
                _factors,
                None,
                "kinds that count: `password`, `totp`, `passkey`, `recovery_code`; listed here, `email_code` and "
                "`sms_code` are sent too, which are no match for phishing",
            ),
            "mail_link": Key(
                _switch, False, "whether a link by mail is a first factor; `factors` must list `email_code`"
            ),
            "enrol_by": Key(
                _moment,
                None,
                "until then, as `2027-01-31T00:00:00Z`, who has no second factor gets in without; none by default",
            ),
            "rules": Key(
                _demand_rules,
                (),
                'more of some: a list as `[{ roles = ["admin"], phishing_resistant = true }]`. Of whom: `roles`, '
                "`permissions`, `tenants`, `risk`, `labels` of the sign-in, `device` by its app's word, `since` a moment; "
                "what: `level`, `second_factor`, "
                "`phishing_resistant`, one of `factors`, none but `allowed`",
            ),
            "trust_browsers": Key(
                _duration,
                None,
                "how long a browser is trusted whose owner asks for that; without it none is, and where a factor is "
                "asked for, none is spared",
            ),
        },
        "passkeys": {
            "rp_id": Key(
                _text, None, "the domain that passkeys belong to, for good; else the host of base_url"
            ),
            "origins": Key(
                _pages, None, "pages and apps that may use them, as browsers send them; else base_url"
            ),
            "clone": Key(
                _choice("step_up", "disable", "record"),
                "step_up",
                "what follows where a copy of one is suspected: another factor is asked for, it ends, or a record alone",
            ),
            "related_origins": Key(
                _pages,
                (),
                "pages on other domains that may use them too; their list is at `/.well-known/webauthn` of `rp_id`",
            ),
            "top_origins": Key(
                _pages,
                (),
                "pages that may frame a page of yours which asks for a passkey; portalsec's own are never framed",
            ),
            "attestation": Key(
                _choice("optional", "required"),
                "optional",
                "whether a new one must prove its make, by `roots` or `metadata`",
            ),
            "makes": Key(_words, None, "the only makes, by AAGUID; any by default"),
            "roots": Key(
                _places, (), "files of makers' certificates (PEM or DER), for any make they vouch for"
            ),
            "metadata": Key(
                _text, None, "the file of FIDO's metadata (its BLOB), which you fetch every month"
            ),
            "metadata_root": Key(
                _text,
                None,
                "the file of the certificate that it must be signed under: GlobalSign Root CA - R3",
            ),
        },
        "totp": {
            "algorithm": Key(
                _choice("SHA1", "SHA256", "SHA512"),
                "SHA1",
                "of new authenticators; SHA1 is the one that every app knows. Those that are there keep theirs",
            ),
            "digits": Key(_count(6, 8), 6, "digits of a new authenticator's codes, 6 to 8"),
            "period": Key(_duration, timedelta(seconds=30), "how long a new authenticator shows one code"),
            "cap": Key(
                _count(1, 100),
                100,
                "wrong codes in a row that are tested before an authenticator is dead for good (SP 800-63B-4, 3.2.2)",
            ),
            "devices": Key(_count(1, 20), 5, "authenticators that one account may have"),
        },
        "throttle": {
            "account": Key(_rate, (20, timedelta(minutes=15)), "password tries by strangers at one name"),
            "account_address": Key(
                _rate, (10, timedelta(minutes=15)), "of these, those from one address prefix"
            ),
            "longest": Key(
                _duration,
                timedelta(hours=1),
                "where a budget of a name is used up again and again, its window doubles up to this",
            ),
            "address": Key(_rate, (100, timedelta(hours=1)), "password tries from one address prefix"),
            "device": Key(
                _rate, (10, timedelta(minutes=15)), "password tries from a device that its owner used before"
            ),
            "cap": Key(
                _count(3, 100),
                100,
                "consecutive failures of one password until it is unlocked (SP 800-63B-4, 3.2.2)",
            ),
            "candidate": Key(_rate, (25, timedelta(hours=1)), "names that one password may be tried at"),
            "second_factor": Key(_rate, (5, timedelta(minutes=15)), "code tries for one account"),
            "request": Key(
                _rate,
                (5, timedelta(hours=1)),
                "mails asked for under one name: a reset, an unlock, a sign-up",
            ),
            "mail": Key(_rate, (5, timedelta(hours=1)), "mails to one account that a stranger can cause"),
            "invitation": Key(_rate, (20, timedelta(hours=1)), "activation codes from one address prefix"),
            "portal": Key(
                _rate,
                None,
                "password tries in the whole portal, past which everybody waits; without it nobody does, and "
                "`suspect_failures` tells",
            ),
            "suspect_accounts": Key(
                _rate,
                (20, timedelta(hours=1)),
                "names that failed from one address prefix, from which on the log speaks of an attack",
            ),
            "suspect_password": Key(
                _count(2, 99999),
                None,
                "the same for names that one password was tried at in the window of `candidate`; 10, or the limit of "
                "`candidate` where that is less",
            ),
            "suspect_failures": Key(
                _rate, (1000, timedelta(minutes=10)), "the same for failed passwords in the whole portal"
            ),
            "store_down": Key(
                _choice("refuse", "allow"), "refuse", "what a try gets when the counters cannot be reached"
            ),
        },
        "sessions": {
            "policy": Key(
                _choice("NIST_AAL1", "NIST_AAL2", "NIST_AAL3", "HIPAA_CLINIC", "KIOSK"),
                "HIPAA_CLINIC",
                "limits, named after their source",
            ),
            "idle": Key(_duration, None, "ends after this long without activity; else the policy's"),
            "absolute": Key(_duration, None, "ends after this long in any case; else the policy's"),
            "warn_before": Key(
                _duration, None, "how long before either end the page warns; else the policy's"
            ),
            "shared_idle": Key(_duration, timedelta(minutes=5), "`idle` on a computer that others use too"),
            "shared_absolute": Key(
                _duration, timedelta(hours=1), "`absolute` on a computer that others use too"
            ),
            "rules": Key(
                _session_rules,
                (),
                'tighter limits for some: a list as `[{ roles = ["admin"], min_level = 2, idle = "10m" }]`',
            ),
            "resume": Key(
                _switch, None, "whether one factor resumes a session that idleness ended; else the policy's"
            ),
            "max": Key(
                _count(1, 1000), None, "sessions that one account may have at once; no limit by default"
            ),
            "at_most": Key(
                _choice("end_oldest", "refuse"),
                "end_oldest",
                "what one more does: ends the one unused the longest, or does not open",
            ),
            "browser_changed": Key(
                _choice("step_up", "record", "ignore"),
                "step_up",
                "a session that suddenly comes from another browser or operating system",
            ),
            "address_changed": Key(
                _choice("jump", "step_up", "record", "ignore"),
                "jump",
                "a session that comes from another address (IPv4 /24, IPv6 /64): jump asks where it is another provider's "
                "network (/16, /32) too, once for each, and records the rest",
            ),
            "store": Key(
                _choice("security", "short_lived"),
                "security",
                "which of [stores] keeps them: in short_lived (Redis) a check is one GET, and a crash of Redis may bring "
                "back a session that was just ended",
            ),
        },
        "recovery": {
            "reset": Key(
                _duration, timedelta(minutes=30), "how long a mailed link to a new password is good"
            ),
            "verify": Key(_duration, timedelta(hours=24), "how long a link that confirms an address is good"),
            "unlock": Key(_duration, timedelta(hours=24), "how long a link that lifts a lock is good"),
            "registration": Key(_duration, timedelta(hours=24), "how long a link to a new account is good"),
            "browser": Key(
                _duration, timedelta(minutes=15), "how long a browser may take after it opened a link"
            ),
            "contacts": Key(_count(1, 20), 5, "e-mail addresses that one account may have"),
            "open_registration": Key(
                _switch, False, "whether whoever reads mail at an address may open an account"
            ),
        },
        "notices": {
            "links": Key(
                _switch,
                True,
                'whether notices have a "this wasn\'t me" link, or say to open the portal as usual',
            ),
            "language": Key(
                _choice("en", "es"), "en", "of mails to those whose language the application does not tell"
            ),
            "keep": Key(_duration, timedelta(days=400), "how long notices are listed"),
            "unfinished_after": Key(
                _duration,
                timedelta(minutes=5),
                "how long after a right password that no second factor followed its owner is written to",
            ),
            "disavow_for": Key(_duration, timedelta(days=30), "how long the link of a notice works"),
        },
        "mail": {
            "server": Key(
                _text,
                None,
                '`"smtp://HOST:587"` (STARTTLS), `"smtps://HOST:465"`, or `"file:FOLDER"`; without one no mail is sent',
            ),
            "sender": Key(_text, None, "the address that mails come from"),
            "username": Key(_text, None, "where the mail server asks for one"),
            "password": Key(_text, None, "reference to the mail server's password"),
        },
        "accounts": {
            "dormant_after": Key(
                _duration,
                timedelta(days=365),
                "an account that nobody signed in to for this long is disabled",
            ),
            "dormant_notice": Key(
                _duration, timedelta(days=30), "how long before that its owner is written to"
            ),
            "support_by_two": Key(
                _switch, True, "whether two people must agree to the reset of a lost second factor"
            ),
        },
        "audit": {
            "origin": Key(_text, None, "name of the log in its checkpoints; else host/audit of base_url"),
            "anchor": Key(
                _text, "anchor/checkpoint", "file outside the store that keeps the newest checkpoint"
            ),
            "verifier": Key(
                _text, None, "the log's public key (vkey text), to verify without the signing key"
            ),
            "checkpoint_interval": Key(
                _duration, timedelta(seconds=10), "at most one checkpoint in this time"
            ),
        },
        "access": {
            "policy": Key(_text, "policy.toml", "the file of roles and grants"),
        },
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Valid settings. ``settings["sessions", "idle"]`` reads one; ``base`` is what relative paths start from."""

    values: Mapping[tuple[str, str], Any] = field(repr=False)
    base: Path
    source: str

    def __getitem__(self, key: tuple[str, str]) -> Any:
        return self.values[key]

    def path(self, table: str, key: str) -> Path:
        """The setting as a path, relative to the settings file's folder."""
        return self.base / str(self.values[table, key])

    def url(self, table: str, key: str) -> str:
        """The setting as a database URL; a relative SQLite path is relative to the settings file's folder."""
        text = str(self.values[table, key])
        scheme, mark, rest = text.partition(":///")
        if mark and scheme.startswith("sqlite") and rest and not rest.startswith(("/", ":memory:", "file:")):
            return f"{scheme}:///{(self.base / rest).absolute()}"
        return text


def load_settings(
    source: Path | str | Mapping[str, object],
    *,
    base: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Read settings from a TOML file or a mapping of tables, then from the environment.

    On POSIX a file that its group or others can write is refused, and one in a folder that everybody can write.

    Args:
        source: path of ``portalsec.toml``, or its content as a mapping.
        base: folder that relative paths start from; the file's own folder, or the present one, by default.
        env: the environment; `os.environ` by default.

    Raises:
        ConfigurationError: all problems in one text, a line each, naming file, table, key and remedy.
    """
    env = os.environ if env is None else env
    if isinstance(source, Mapping):
        name, tables = "settings", source
    else:
        path = Path(source)
        name, tables = str(path), _read_toml(path)
        base = path.parent if base is None else base
    problems: list[str] = []
    given = _flatten(tables, name, problems) | _from_env(env, problems)
    values: dict[tuple[str, str], Any] = {}
    for table, keys in KEYS.items():
        for key, spec in keys.items():
            where, raw = given.get((table, key), (name, _REQUIRED))
            if raw is not _REQUIRED:
                try:
                    values[table, key] = spec.parse(raw)
                except ValueError as error:
                    problems.append(f"{where}: [{table}] {key}: {error}")
            elif spec.default is _REQUIRED:
                problems.append(f"{name}: [{table}] {key} is missing: it is {spec.about}")
            else:
                values[table, key] = spec.default
    idle, absolute, warn = (values.get(("sessions", key)) for key in ("idle", "absolute", "warn_before"))
    if not problems and idle and absolute and idle > absolute:
        problems.append(f"{name}: [sessions] idle is longer than absolute: shorten idle or lengthen absolute")
    if not problems and idle and warn and warn >= idle:
        problems.append(f"{name}: [sessions] warn_before must be shorter than idle")
    if not problems and "sqlite" in values["stores", "audit"]:
        problems += [
            f"{name}: [stores] audit is the same SQLite file as {other}: give each its own"
            for other in ("security", "subjects")
            if values["stores", other] == values["stores", "audit"]
        ]
    if not problems:
        problems += _throttle_problems(values, name) + _mail_problems(values, name)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Settings(values=MappingProxyType(values), base=base or Path(), source=name)


def _throttle_problems(values: Mapping[tuple[str, str], Any], name: str) -> list[str]:
    """What no single key of ``[throttle]`` can say of itself."""
    throttle = {key: value for (table, key), value in values.items() if table == "throttle"}
    problems = [
        f"{name}: [throttle] longest is shorter than the window of {key}: lengthen longest"
        for key in ("account", "account_address", "device")
        if throttle["longest"] < throttle[key][1]
    ]
    if throttle["account"][0] < throttle["account_address"][0]:
        problems.append(
            f"{name}: [throttle] account allows fewer tries than account_address, so that one stranger uses up all of "
            "them: raise account, or lower account_address"
        )
    if throttle["candidate"][0] < 2:
        problems.append(
            f"{name}: [throttle] candidate allows one name only: people share passwords, allow two"
        )
    elif throttle["candidate"][0] < (throttle["suspect_password"] or 0):
        problems.append(
            f"{name}: [throttle] suspect_password is more than candidate allows, past which nothing is counted: "
            "lower suspect_password"
        )
    return problems


def _mail_problems(values: Mapping[tuple[str, str], Any], name: str) -> list[str]:
    """Without a server no mail is sent, and who wrote a sender thinks that it is."""
    if values["mail", "server"] is not None:
        return []
    return [
        f"{name}: [mail] {key} is set and server is not, so that no mail is sent: "
        f'write server = "smtps://HOST:465", or take {key} out'
        for key in ("sender", "username", "password")
        if values["mail", key] is not None
    ]


def _read_toml(path: Path) -> Mapping[str, object]:
    try:
        with path.open("rb") as file:
            _refuse_other_writers(path, file.fileno())
            return tomllib.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"settings file {path} is missing: create it, or name another") from None
    except OSError as error:
        raise ConfigurationError(f"settings file {path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"settings file {path} is not TOML: {error}") from error


def _refuse_other_writers(path: Path, file: int) -> None:
    """Whoever can write the settings chooses the keys, and the audit log that is told of it."""
    if os.name != "posix":
        return
    mode = stat.S_IMODE(os.fstat(file).st_mode)  # the open file is asked: what is checked is what is read
    if mode & 0o022:
        raise ConfigurationError(
            f"settings file {path} can be written by others (mode {mode:04o}): run  chmod go-w {path}"
        )
    for folder in {path.absolute().parent, path.resolve().parent}:  # where a link is, and where it leads
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IWOTH or mode & stat.S_ISVTX:
            continue
        # Mounts of settings in a container are often open to everybody, and read-only.
        if not os.statvfs(folder).f_flag & os.ST_RDONLY:
            raise ConfigurationError(
                f"settings file {path} is in a folder where everybody can replace it (mode {mode:04o}): "
                f"run  chmod o-w {folder}"
            )


def _flatten(
    tables: Mapping[str, object], name: str, problems: list[str]
) -> dict[tuple[str, str], tuple[str, object]]:
    found: dict[tuple[str, str], tuple[str, object]] = {}
    for table, content in tables.items():
        if table not in KEYS:
            problems.append(f"{name}: unknown table [{table}]{_nearest(table, KEYS)}")
        elif not isinstance(content, Mapping):
            problems.append(f"{name}: [{table}] is not a table: write its keys under a [{table}] line")
        else:
            for key, value in content.items():
                if key in KEYS[table]:
                    found[table, key] = (name, value)
                else:
                    problems.append(f"{name}: [{table}] unknown key {key!r}{_nearest(key, KEYS[table])}")
    return found


def _from_env(env: Mapping[str, str], problems: list[str]) -> dict[tuple[str, str], tuple[str, object]]:
    found: dict[tuple[str, str], tuple[str, object]] = {}
    names = {f"{_ENV_PREFIX}{t}__{k}".upper(): (t, k) for t, keys in KEYS.items() for k in keys}
    squeezed = {_squeezed(name): name for name in names}
    for variable, value in env.items():
        if variable in names:
            found[names[variable]] = (f"environment variable {variable}", value)
        elif variable.startswith(_ENV_PREFIX):
            problems.append(f"unknown environment variable {variable}{_nearest(variable, names)}")
        elif (meant := _squeezed(variable)) in squeezed:
            # One underscore too few or lower case: it would be ignored in silence, and the default would hold.
            problems.append(f"unknown environment variable {variable}: did you mean {squeezed[meant]!r}?")
    return found


def _squeezed(name: str) -> str:
    return re.sub("_+", "_", name).upper()


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]!r}?" if near else f": known are {', '.join(sorted(known))}"
