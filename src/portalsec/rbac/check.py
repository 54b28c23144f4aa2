"""What is wrong with a policy: every mistake at once, each with its place and the nearest known name.

A rule that names a role or action that does not exist would only ever fail silently, and a deny that is misspelt fails
open. So a policy with any mistake is refused as a whole and none of it takes effect.
"""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from portalsec.errors import ConfigurationError
from portalsec.rbac.conditions import (
    ATTRIBUTE_TYPES,
    BUILT_IN,
    Condition,
    NotACondition,
    Scope,
    parse_condition,
)
from portalsec.rbac.model import NO_EVENT, Deny, Grant, Relation, ResourceType, Role

__all__ = [
    "Parts",
    "PolicyError",
    "PolicyProblem",
    "check_policy",
    "expand",
    "nearest",
    "read_conditions",
    "seniors",
]


@dataclass(frozen=True, slots=True)
class PolicyProblem:
    """One mistake: ``where`` (the rule or key) and ``text`` (what, and where possible the remedy)."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class PolicyError(ConfigurationError):
    """A policy was refused; ``problems`` has every mistake that was found, ``source`` the name of the file."""

    def __init__(self, source: str, problems: Iterable[PolicyProblem]) -> None:
        self.source = source
        self.problems = tuple(dict.fromkeys(problems))
        lines = [f"{source}: {problem}" for problem in self.problems]
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        super().__init__("\n  ".join([f"the access policy has {count} and was not loaded:", *lines]))

    def __reduce__(self) -> tuple[type[PolicyError], tuple[str, tuple[PolicyProblem, ...]]]:
        return type(self), (self.source, self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A policy's rules before they are known to fit together."""

    resources: tuple[ResourceType, ...] = ()
    relations: tuple[Relation, ...] = ()
    roles: tuple[Role, ...] = ()
    grants: tuple[Grant, ...] = ()
    denies: tuple[Deny, ...] = ()
    subject_attributes: Mapping[str, str | None] = field(default_factory=dict)
    context_attributes: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[Grant | Deny, ...]:
        return (*self.grants, *self.denies)


_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RULE_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PERMISSION = re.compile(r"([a-z][a-z0-9_]{0,62}):([a-z][a-z0-9_]{0,62}|\*)")
_OBLIGATION = re.compile(r"[a-z][a-z0-9_.:-]{0,62}")


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest of ``known``, else the known names where they are few, else nothing."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name[:64], names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f" (known: {', '.join(names)})" if 0 < len(names) <= 12 else ""


def expand(permission: str, resources: Mapping[str, ResourceType]) -> tuple[tuple[str, str], ...]:
    """``record:read`` as ((record, read),), ``record:*`` as every action that the resource declares."""
    kind, _, action = permission.partition(":")
    return tuple((kind, name) for name in (resources[kind].actions if action == "*" else (action,)))


def seniors(roles: Iterable[Role]) -> dict[str, frozenset[str]]:
    """For each role the roles that have its permissions: itself and all that inherit it, at any distance.

    Walks breadth-first with a visited set, so it also ends on a cycle (which `check_policy` refuses).
    """
    roles = tuple(roles)
    above: dict[str, list[str]] = {role.name: [] for role in roles}
    for role in roles:
        for junior in role.inherits:
            above.setdefault(junior, []).append(role.name)
    closed = {}
    for role in roles:
        seen, todo = {role.name}, [role.name]
        while todo:
            fresh = [name for name in above[todo.pop()] if name not in seen]
            seen.update(fresh)
            todo.extend(fresh)
        closed[role.name] = frozenset(seen)
    return closed


def check_policy(parts: Parts) -> tuple[PolicyProblem, ...]:
    """Every mistake in ``parts``; empty when they make a policy."""
    problems: list[PolicyProblem] = []

    def say(where: str, text: str) -> None:
        problems.append(PolicyProblem(where, text))

    resources = {resource.name: resource for resource in parts.resources}
    roles = {role.name: role for role in parts.roles}
    if not resources:
        say("resource", "there is none: declare what is protected as [resource.NAME] with its actions")
    _unique("resource", (resource.name for resource in parts.resources), say)
    _unique("relation", (relation.name for relation in parts.relations), say)
    _unique("role", (role.name for role in parts.roles), say)
    for root, names in (("subject", parts.subject_attributes), ("context", parts.context_attributes)):
        _check_attributes(root, root, names, say)
    for resource in parts.resources:
        _check_resource(resource, say)
    for relation in parts.relations:
        _check_relation(relation, resources, say)
    for role in parts.roles:
        _check_role(role, roles, say)
    _check_cycles(parts.roles, say)
    seen: set[str] = set()
    for rule in parts.rules:
        where = _where(rule)
        if not _RULE_ID.fullmatch(rule.id):
            say(where, "an id is 1 to 63 of a-z 0-9 _ . - and starts with a letter or digit")
        if rule.id in seen:
            say(where, "the id is used twice: a decision names its rule, so each has its own")
        seen.add(rule.id)
        _check_rule(rule, where, resources, roles, say)
    problems.extend(_condition_problems(parts))
    return tuple(problems)


_Say = Callable[[str, str], None]


def _where(rule: Grant | Deny) -> str:
    return f"{'grant' if isinstance(rule, Grant) else 'deny'} {rule.id!r}"


def _unique(what: str, names: Iterable[str], say: _Say) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            say(f"{what}.{name}", "is declared twice")
        seen.add(name)
        if not _NAME.fullmatch(name):
            say(f"{what}.{name}", "a name is 1 to 63 of a-z 0-9 _ and starts with a letter")


def _check_attributes(where: str, root: str, attributes: Mapping[str, str | None], say: _Say) -> None:
    for name, kind in attributes.items():
        if not _NAME.fullmatch(name) or keyword.iskeyword(name):
            say(f"{where}.attributes", f"{name!r} is not a name: use a-z 0-9 _, and no keyword of Python")
        if name in BUILT_IN[root]:
            say(f"{where}.attributes", f"{root}.{name} is always there: leave it out")
        if kind is not None and kind not in ATTRIBUTE_TYPES:
            say(f"{where}.attributes.{name}", f"{kind!r} is not a type{nearest(kind, ATTRIBUTE_TYPES)}")


def _check_resource(resource: ResourceType, say: _Say) -> None:
    where = f"resource.{resource.name}"
    if not resource.actions:
        say(f"{where}.actions", "has no action, so nothing could ever be allowed")
    for action in resource.actions:
        if not _NAME.fullmatch(action):
            say(f"{where}.actions", f"{action!r} is not a name: use 1 to 63 of a-z 0-9 _")
    _check_attributes(where, "resource", resource.attributes, say)
    known = {*resource.attributes, "id"}
    if resource.subject is not None and resource.subject not in known:
        say(f"{where}.subject", f"{resource.subject!r} is not an attribute{nearest(resource.subject, known)}")
    if resource.subject is not None:
        # Forgetting it here would let people be looked at without a trace; leaving it out has to be said.
        for action in resource.actions:
            if action not in resource.events:
                say(
                    f"{where}.events",
                    f"{action!r} is missing: name its audit event, or write {action} = {NO_EVENT!r}",
                )
    for action, event in resource.events.items():
        if action not in resource.actions:
            say(f"{where}.events", f"{action!r} is not an action{nearest(action, resource.actions)}")
        if event != NO_EVENT and not _EVENT.fullmatch(event):
            say(f"{where}.events.{action}", f"{event!r} is not the name of an event, such as 'record.read'")


def _check_relation(relation: Relation, resources: Mapping[str, ResourceType], say: _Say) -> None:
    where = f"relation.{relation.name}"
    if relation.name in BUILT_IN or keyword.iskeyword(relation.name):
        say(where, "the name means something else in a condition: choose another")
    if not relation.of:
        say(f"{where}.of", "says no resource that it is a relation of")
    for name in relation.of:
        if name not in resources:
            say(f"{where}.of", f"{name!r} is not a resource{nearest(name, resources)}")


def _check_role(role: Role, roles: Mapping[str, Role], say: _Say) -> None:
    for junior in role.inherits:
        if junior not in roles:
            say(f"role.{role.name}.inherits", f"{junior!r} is not a role{nearest(junior, roles)}")


def _check_cycles(roles: Iterable[Role], say: _Say) -> None:
    """A cycle would make all its roles one; INCITS 359 has a partial order, so it is a mistake."""
    roles = tuple(roles)
    above = seniors(roles)
    for role in roles:
        through = [junior for junior in role.inherits if junior in above.get(role.name, ())]
        if through:
            say(
                f"role.{role.name}.inherits",
                f"goes round in a circle through {through[0]!r}: remove one step",
            )


def _check_rule(
    rule: Grant | Deny,
    where: str,
    resources: Mapping[str, ResourceType],
    roles: Mapping[str, Role],
    say: _Say,
) -> None:
    if isinstance(rule, Grant):
        if not rule.roles:
            say(where, 'names no role: write role = "NAME"')
        for obligation in rule.obligations:
            if not _OBLIGATION.fullmatch(obligation):
                say(where, f"{obligation!r} is not an obligation: use a-z 0-9 _ . : -, such as 'audit:phi'")
    for role in rule.roles:
        if role not in roles:
            say(where, f"{role!r} is not a role{nearest(role, roles)}")
    if not rule.to:
        say(where, 'names no permission: write to = "TYPE:ACTION"')
    for permission in rule.to:
        match = _PERMISSION.fullmatch(permission)
        if match is None:
            say(where, f"{permission!r} is not a permission: write TYPE:ACTION or TYPE:*")
        elif match[1] not in resources:
            say(where, f"{permission!r}: {match[1]!r} is not a resource{nearest(match[1], resources)}")
        elif match[2] != "*" and match[2] not in resources[match[1]].actions:
            known = resources[match[1]].actions
            say(
                where,
                f"{permission!r}: {match[2]!r} is not an action of {match[1]!r}{nearest(match[2], known)}",
            )


def _kinds(rule: Grant | Deny, parts: Parts) -> list[ResourceType]:
    named = {permission.partition(":")[0] for permission in rule.to}
    return [resource for resource in parts.resources if resource.name in named]


def _scope(resource: ResourceType, parts: Parts) -> Scope:
    return Scope(
        relations=frozenset(relation.name for relation in parts.relations if resource.name in relation.of),
        attributes={
            "subject": parts.subject_attributes,
            "resource": resource.attributes,
            "context": parts.context_attributes,
        },
    )


def _condition_problems(parts: Parts) -> Iterable[PolicyProblem]:
    for rule in parts.rules:
        if rule.when is None:
            continue
        for resource in _kinds(rule, parts):
            try:
                parse_condition(rule.when, _scope(resource, parts))
            except NotACondition as error:
                hint = nearest(error.name, error.known) if error.name else ""
                at = f" (for {resource.name!r})" if len(rule.to) > 1 else ""
                yield PolicyProblem(f"{_where(rule)} when", f"{error}{hint}{at}")


def read_conditions(rule: Grant | Deny, parts: Parts) -> dict[str, Condition | None]:
    """The rule's condition for each resource type that it is about; ``parts`` were checked."""
    return {
        resource.name: None if rule.when is None else parse_condition(rule.when, _scope(resource, parts))
        for resource in _kinds(rule, parts)
    }
