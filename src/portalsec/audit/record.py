"""From a security event to its leaf bytes, and strictly back.

A record is one line of JSON in printable ASCII: what is not ASCII is written as an escape. So no character of a
visitor's can end a line, move a terminal's cursor, turn the reading direction or look like another one, and a
record is the same bytes in every encoding. There is no canonical form and none is needed: what was written is
kept, and what is kept is hashed. ``docs/reference/audit-record.md`` is the table of keys.

What comes from strangers (an address, an identifier in a URL) is cut to a length rather than refused: a long
value must not be a way to act without a record.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeVar

from portalsec.clock import require_utc
from portalsec.errors import ConfigurationError, Tampered
from portalsec.events import (
    Actor,
    EventClass,
    Outcome,
    ResourceRef,
    SecurityEvent,
    Vocabulary,
)
from portalsec.typing import JSONValue

__all__ = ["MAX_BYTES", "MAX_SUBJECTS", "AddressPolicy", "Record", "decode", "encode"]

VERSION = 1
MAX_BYTES = 16 * 1024
"""No record is longer."""
MAX_SUBJECTS = 256
"""No record is about more people; a longer list becomes several records."""

# Chosen so that the largest record of visitors' values (256 subjects, every text at its limit) fits MAX_BYTES.
_LONGEST_ADDRESS = 64
_MAX_TEXT = 200  # bytes of one value as it is written, escapes included
_MAX_CHANGED = 64
_MAX_DETAILS = 12
_ACTOR_TYPES = frozenset({"user", "patient", "service", "system", "anonymous"})
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+", re.ASCII)
_CODE = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_dump = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
_PRINTABLE = re.compile(rb"[\x20-\x7e]+")


class AddressPolicy(StrEnum):
    """How much of a visitor's network address a record keeps."""

    FULL = "full"
    NETWORK = "network"  # /24 of IPv4, /48 of IPv6
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the log, read back.

    Subjects, ``actor.on_behalf_of`` and a resource that is itself a subject are pseudonyms here. ``purpose`` and
    ``reason`` are codes as text, since a newer version may have written one that this version does not know.
    """

    id: str
    at: datetime
    name: str
    outcome: Outcome
    actor: Actor
    subjects: tuple[str, ...] = ()
    resource: ResourceRef | None = None
    purpose: str | None = None
    reason: str | None = None
    address: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    rule: str | None = None
    policy_version: str | None = None
    session: str | None = None
    changed: tuple[str, ...] = ()
    details: Mapping[str, str | int | bool | None] = field(default_factory=dict)


# -- writing ------------------------------------------------------------------------------------------------------


def encode(
    event: SecurityEvent,
    *,
    id: str,
    at: datetime,
    vocabulary: Vocabulary,
    pseudonym: Callable[[str], str],
    address: AddressPolicy = AddressPolicy.NETWORK,
) -> bytes:
    """The leaf bytes of ``event``: printable ASCII, at most `MAX_BYTES`.

    Args:
        id: the record's unique id; a UUIDv7 keeps the hash of a record unguessable.
        at: time of recording, aware UTC.
        pseudonym: from a subject's id to what the log holds in its place (see `SubjectVault`).

    Raises:
        ConfigurationError: the event breaks a rule of the vocabulary, which is the calling code's to mend: an
            unknown name, a successful access to a person's data without whose or why, a value that is not a scalar.
    """
    _check(event, vocabulary)
    people = {subject: pseudonym(subject) for subject in dict.fromkeys(event.subjects)}
    body: dict[str, JSONValue] = {
        "v": VERSION,
        "id": _text(id),
        "t": require_utc(at).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z",
        "act": event.name,
        "out": event.outcome.value,
        "who": _who(event.actor, pseudonym),
    }
    if people:
        body["subj"] = list(people.values())
    if event.resource is not None:
        # The subject's own id beside its pseudonym would undo the pseudonym, here and in every other record.
        resource_id = event.resource.id
        if resource_id is not None:
            resource_id = people.get(resource_id) or _text(resource_id)
        body["res"] = _present(type=_text(event.resource.type), id=resource_id, n=event.resource.count)
    why = _present(
        use=event.purpose.value if event.purpose else None,
        reason=event.reason.value if event.reason else None,
    )
    if why:
        body["why"] = why
    source = _present(ip=_address(event.source.address, address), ua=_agent(event.source.user_agent))
    if source:
        body["src"] = source
    if event.source.request_id is not None:
        body["req"] = _text(event.source.request_id)
    if event.rule is not None or event.policy_version is not None:
        body["rule"] = _present(
            id=None if event.rule is None else _text(event.rule),
            ver=None if event.policy_version is None else _text(event.policy_version),
        )
    if event.session is not None:
        body["sess"] = _text(event.session)
    if event.changed:
        body["chg"] = list(event.changed)
    if event.details:
        body["x"] = {key: _text(v) if isinstance(v, str) else v for key, v in event.details.items()}
    line = (
        _dump(body).replace("\x7f", "\\u007f").encode("ascii")
    )  # DEL is the one control character that JSON leaves bare
    if len(line) > MAX_BYTES:
        raise ConfigurationError(
            f"an event {event.name!r} makes a record of {len(line)} bytes, and {MAX_BYTES} is the limit: "
            "give fewer details or changed fields"
        )
    return line


def _check(event: SecurityEvent, vocabulary: Vocabulary) -> None:
    phi = vocabulary.event_class(event.name) is EventClass.PHI
    if event.outcome is Outcome.SUCCESS and phi:
        # An empty list is a list: it showed nobody's data.
        listed_nobody = event.resource is not None and event.resource.count == 0
        if not event.subjects and not listed_nobody:
            raise ConfigurationError(
                f"an event {event.name!r} that succeeded must name its subjects: whose data was it?"
            )
        if event.purpose is None and event.name.startswith("record."):
            raise ConfigurationError(
                f"an event {event.name!r} that succeeded must have a purpose: why was it done?"
            )
    if len(event.subjects) > MAX_SUBJECTS:
        raise ConfigurationError(
            f"one record has at most {MAX_SUBJECTS} subjects: use AuditLog, which makes several"
        )
    if event.actor.type not in _ACTOR_TYPES:
        raise ConfigurationError(f"an actor's type is one of {', '.join(sorted(_ACTOR_TYPES))}")
    if len(event.changed) > _MAX_CHANGED or not all(_LABEL.fullmatch(name) for name in event.changed):
        raise ConfigurationError(
            f"changed fields of {event.name!r}: at most {_MAX_CHANGED} names, never values"
        )
    if len(event.details) > _MAX_DETAILS or not all(_LABEL.fullmatch(key) for key in event.details):
        raise ConfigurationError(f"details of {event.name!r}: at most {_MAX_DETAILS}, under plain names")
    if not all(value is None or type(value) in (str, int, bool) for value in event.details.values()):
        # The value stays out of the message: a Secret or a model that came here by mistake is why this check exists.
        raise ConfigurationError(f"details of {event.name!r} must be text, whole numbers, booleans or None")


def _present(**values: JSONValue) -> dict[str, JSONValue]:
    return {key: value for key, value in values.items() if value is not None}


def _who(actor: Actor, pseudonym: Callable[[str], str]) -> dict[str, JSONValue]:
    return _present(
        type=actor.type,
        id=None if actor.id is None else _text(actor.id),
        role=None if actor.role is None else _text(actor.role),
        # "for" is a person whose data it is: a subject like any other.
        **{"for": None if actor.on_behalf_of is None else pseudonym(actor.on_behalf_of)},
    )


def _text(value: str) -> str:
    """``value`` within the limit. What is cut off is replaced by its hash, so that two long ids stay two ids."""
    length = len(value)
    # One character becomes at most 12 bytes, and a printable one of ASCII 2.
    if length * 12 <= _MAX_TEXT or (length * 2 <= _MAX_TEXT and value.isascii() and value.isprintable()):
        return value
    if _written(value) <= _MAX_TEXT:
        return value
    mark = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    kept = value[: _MAX_TEXT - 17]
    while _written(kept) > _MAX_TEXT - 17:
        kept = kept[:-1]
    return f"{kept}~{mark}"


def _written(value: str) -> int:
    if len(value) > _MAX_TEXT:
        return len(value)  # at least that many; spares escaping a megabyte to learn that it is too long
    return len(json.dumps(value)) - 2


def _address(address: str | None, policy: AddressPolicy) -> str | None:
    if address is None or policy is AddressPolicy.NONE:
        return None
    if len(address) > _LONGEST_ADDRESS:  # with a scope id as long as a stranger likes: not worth keeping
        return _shortened.__wrapped__(address, policy)
    return _shortened(address, policy)


@lru_cache(maxsize=1024)  # a person's address comes with each of their requests
def _shortened(address: str, policy: AddressPolicy) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unreadable"  # never a stranger's free text in a field that looks like an address
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ipaddress.IPv6Address(int(ip))  # without a scope id, which is free text too
    if policy is AddressPolicy.FULL:
        return str(ip)
    kept = 24 if ip.version == 4 else 48
    unkept = ip.max_prefixlen - kept
    return f"{type(ip)(int(ip) >> unkept << unkept)}/{kept}"


def _agent(user_agent: str | None) -> str | None:
    """Enough to see that two requests came from one kind of browser, without keeping a stranger's text."""
    if user_agent is None:
        return None
    return hashlib.sha256(user_agent.encode("utf-8", "surrogatepass")).hexdigest()[:16]


# -- reading ------------------------------------------------------------------------------------------------------

T = TypeVar("T")


def decode(body: bytes) -> Record:
    """Read leaf bytes back, strictly: an unknown key, a second spelling or a wrong type is an error.

    Raises:
        Tampered: these bytes are not a record of this version. The text says which key, never what it holds.
    """
    if len(body) > MAX_BYTES or not _PRINTABLE.fullmatch(body):
        raise Tampered("An audit record is not one line of printable ASCII.")
    try:
        parsed = json.loads(
            body, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_no_constant
        )
    except (ValueError, RecursionError):
        raise Tampered("An audit record is not one JSON object with each key once.") from None
    top = _Fields(parsed, "")
    if top.take("v", int) != VERSION:
        raise Tampered("An audit record is of an unknown version.")
    who = top.object("who")
    resource = top.object("res", optional=True)
    why = top.object("why", optional=True)
    source = top.object("src", optional=True)
    rule = top.object("rule", optional=True)
    record = Record(
        id=top.text("id"),
        at=top.time("t"),
        name=top.matching("act", _NAME),
        outcome=top.outcome("out"),
        subjects=top.texts("subj"),
        request_id=top.maybe("req", str),
        session=top.maybe("sess", str),
        changed=top.texts("chg"),
        details=top.details("x"),
        actor=Actor(
            type=who.text("type"),
            id=who.maybe("id", str),
            role=who.maybe("role", str),
            on_behalf_of=who.maybe("for", str),
        ),
        resource=None
        if resource.absent
        else ResourceRef(
            type=resource.text("type"), id=resource.maybe("id", str), count=resource.maybe("n", int)
        ),
        purpose=why.code("use"),
        reason=why.code("reason"),
        address=source.maybe("ip", str),
        user_agent=source.maybe("ua", str),
        rule=rule.maybe("id", str),
        policy_version=rule.maybe("ver", str),
    )
    for fields in (top, who, resource, why, source, rule):
        fields.finish()
    if record.actor.type not in _ACTOR_TYPES:
        raise Tampered("An audit record has an unknown type of actor.")
    return record


def _unique(pairs: list[tuple[str, JSONValue]]) -> dict[str, JSONValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key twice")  # readers differ in which one they believe
    return result


def _no_constant(text: str) -> JSONValue:
    raise ValueError("not a number that we write")


class _Fields:
    """Takes the known keys out of one JSON object; what is left at the end is unknown."""

    __slots__ = ("_left", "_path", "absent")

    def __init__(self, value: JSONValue, path: str, *, absent: bool = False) -> None:
        if not isinstance(value, dict):
            raise self._wrong(path.rstrip(".") or "its whole")
        self._left = dict(value)
        self._path = path
        self.absent = absent

    @staticmethod
    def _wrong(key: str) -> Tampered:
        return Tampered(f"An audit record is malformed at {key!r}.")

    def maybe(self, key: str, kind: type[T]) -> T | None:
        if key not in self._left:
            return None
        value = self._left.pop(key)
        if type(value) is not kind:  # exactly: True is an int to isinstance
            raise self._wrong(self._path + key)
        return value

    def take(self, key: str, kind: type[T]) -> T:
        value = self.maybe(key, kind)
        if value is None:
            raise self._wrong(self._path + key)
        return value

    def text(self, key: str) -> str:
        value = self.take(key, str)
        if not value:
            raise self._wrong(self._path + key)
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value = self.take(key, str)
        if not pattern.fullmatch(value):
            raise self._wrong(self._path + key)
        return value

    def code(self, key: str) -> str | None:
        return self.matching(key, _CODE) if key in self._left else None

    def outcome(self, key: str) -> Outcome:
        try:
            return Outcome(self.take(key, str))
        except ValueError:
            raise self._wrong(self._path + key) from None

    def time(self, key: str) -> datetime:
        text = self.matching(key, _TIME)
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise self._wrong(self._path + key) from None

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.maybe(key, list) if key in self._left else []
        if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
            raise self._wrong(self._path + key)
        if len(set(values)) != len(values):
            raise self._wrong(self._path + key)
        return tuple(values)

    def details(self, key: str) -> dict[str, str | int | bool | None]:
        values = self.maybe(key, dict) if key in self._left else {}
        if not isinstance(values, dict) or not all(
            v is None or type(v) in (str, int, bool) for v in values.values()
        ):
            raise self._wrong(self._path + key)
        return dict(values)

    def object(self, key: str, *, optional: bool = False) -> _Fields:
        if optional and key not in self._left:
            return _Fields({}, f"{key}.", absent=True)
        return _Fields(self._left.pop(key, None), f"{key}.")

    def finish(self) -> None:
        if self._left:
            raise Tampered("An audit record has a key that this version does not know.")
