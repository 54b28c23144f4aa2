"""The words of access control: who asks for what, what the rules say, and what was decided.

Terms follow INCITS 359 (role, permission, senior and junior roles) and XACML (effect, obligation, decision).
All are frozen values; the policy that binds the rules together is in `policy.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NoReturn

from portalsec.errors import Reason

__all__ = [
    "Context",
    "Decision",
    "Deny",
    "Grant",
    "Relation",
    "Request",
    "Resource",
    "ResourceType",
    "Role",
    "Subject",
]

_NOTHING: Mapping[str, object] = MappingProxyType({})


def _require_text(what: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what} is text that is not empty")


def _require_mapping(what: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} is a mapping of names to values")


def _names(what: str, value: Iterable[str]) -> frozenset[str]:
    if isinstance(value, frozenset | set | tuple | list):
        names = frozenset(value)
        if all(isinstance(name, str) for name in names):
            return names
    raise TypeError(f"{what} is a set of names")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who asks: an opaque id, the roles assigned to it now, and attributes for conditions.

    Raises `TypeError` where an argument is not of its type: ``roles="ab"`` would otherwise be the roles a and b.
    """

    id: str
    roles: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=lambda: _NOTHING, repr=False)

    def __post_init__(self) -> None:
        _require_text("Subject.id", self.id)
        object.__setattr__(self, "roles", _names("Subject.roles", self.roles))
        _require_mapping("Subject.attributes", self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """What is asked for: its type, its id (None for a collection), and attributes for conditions."""

    type: str
    id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=lambda: _NOTHING, repr=False)

    def __post_init__(self) -> None:
        _require_text("Resource.type", self.type)
        if self.id is not None:
            _require_text("Resource.id", self.id)
        _require_mapping("Resource.attributes", self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The circumstances: purpose of use (`portalsec.events.Purpose`), the time (aware), and other attributes."""

    purpose: str | None = None
    now: datetime | None = None
    attributes: Mapping[str, object] = field(default_factory=lambda: _NOTHING, repr=False)

    def __post_init__(self) -> None:
        if self.purpose is not None:
            _require_text("Context.purpose", self.purpose)
        if self.now is not None and self.now.utcoffset() is None:
            raise TypeError("Context.now is an aware datetime")
        _require_mapping("Context.attributes", self.attributes)


NO_CONTEXT = Context()
NO_EVENT = "none"
"""In a policy's events: this action is not recorded by the guard (the application does it, or nobody need)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to the policy, complete: nothing is looked up while it is decided.

    Attributes:
        action: ``read``, or with its type ``record:read``; a type that is not the resource's is refused.
        relations: the relations that hold between subject and resource; every other one does not hold.
        unresolved: relations that could not be looked up: neither true nor false.
    """

    subject: Subject
    action: str
    resource: Resource
    context: Context = NO_CONTEXT
    relations: frozenset[str] = frozenset()
    unresolved: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "relations", _names("Request.relations", self.relations))
        object.__setattr__(self, "unresolved", _names("Request.unresolved", self.unresolved))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer, and why.

    Attributes:
        allowed: whether the action may go ahead, provided that the obligations are met.
        reason: why not; None exactly when ``allowed``.
        rule: id of the grant or deny that decided; None where no rule did.
        explanation: lines for the auditor, never for the visitor (they may disclose that something exists).
            They hold rule ids, the policy's own text and truth values, never the value of an attribute.
        obligations: what the caller must do, or else refuse; of every grant that applied, sorted.
        event: the audit event's name that the policy gives to this action, if any.
        subjects: opaque ids of the people whose data the resource is; None where the policy says that it has some and
            the request did not tell. Whoever records the access must then refuse.
        policy_version: the digest of the policy that decided.
    """

    allowed: bool
    reason: Reason | None
    rule: str | None
    explanation: tuple[str, ...]
    obligations: tuple[str, ...] = ()
    event: str | None = None
    subjects: tuple[str, ...] | None = ()
    policy_version: str

    def __post_init__(self) -> None:
        if self.allowed != (self.reason is None):
            raise ValueError("a decision is either allowed or has a reason")

    def __bool__(self) -> NoReturn:
        # Every object is true, so `if pdp.decide(...):` would let everyone in.
        raise TypeError("a Decision is not a bool: ask for .allowed")


# What a policy is made of ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """A kind of thing and what may be done with it.

    Attributes:
        attributes: names that conditions may use, each with its type (None: not declared).
        subject: the attribute that names the person whose data it is (``id``: the resource is that person).
        events: for an action the name of the audit event that it is, or `NO_EVENT`; all actions where there is a
            ``subject``.
    """

    name: str
    actions: tuple[str, ...]
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    subject: str | None = None
    events: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A name for how a subject may stand to a resource; the application answers whether it holds."""

    name: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role; it has every permission of the (junior) roles that it inherits, and is met by their denies too."""

    name: str
    inherits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """These roles may do these things, if ``when`` holds."""

    id: str
    roles: tuple[str, ...]
    to: tuple[str, ...]
    when: str | None = None
    obligations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Nobody (or nobody with these roles) may do these things, unless ``when`` is known to be false."""

    id: str
    to: tuple[str, ...]
    roles: tuple[str, ...] = ()
    when: str | None = None
