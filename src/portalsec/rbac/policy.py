"""`Policy`: rules that were checked and compiled, so that a decision costs the same for ten rules and for ten thousand.

Compiling closes the role hierarchy once: under each permission, each role that has it, by itself or through a junior,
finds its rules in one dict. A decision is then two look-ups (type, action) and one `isdisjoint`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portalsec.rbac.check import Parts, PolicyError, check_policy, expand, read_conditions, seniors
from portalsec.rbac.conditions import Condition, relations_in
from portalsec.rbac.model import NO_EVENT, Deny, Grant, ResourceType

__all__ = ["Entry", "Policy", "Rule"]


@dataclass(frozen=True, slots=True)
class Rule:
    """A grant or deny as it stands under one permission: its condition read, its relations listed."""

    id: str
    denies: bool
    condition: Condition | None
    relations: frozenset[str]
    obligations: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{'deny' if self.denies else 'grant'} {self.id}"


@dataclass(frozen=True, slots=True)
class Entry:
    """Everything the policy says about one permission.

    Attributes:
        holders: the roles with a grant of any kind; whoever has none of them is refused, whatever else there is.
        open: the roles with a grant that has no condition.
        plain: no deny of any kind, so that a role in ``open`` is enough.
        grants, denies: for each role (closed by the hierarchy) its rules, sorted by id.
        denies_all: the denies that name no role.
        event, subject: of the resource's declaration.
    """

    holders: frozenset[str]
    open: frozenset[str]
    plain: bool
    grants: Mapping[str, tuple[Rule, ...]]
    denies: Mapping[str, tuple[Rule, ...]]
    denies_all: tuple[Rule, ...]
    event: str | None
    subject: str | None

    def rules_for(self, roles: Iterable[str]) -> tuple[list[Rule], list[Rule]]:
        """The (denies, grants) that these roles bring in, each once, sorted by id: the file's order says nothing."""
        denies = {rule.id: rule for rule in self.denies_all}
        grants: dict[str, Rule] = {}
        for role in roles:
            denies |= {rule.id: rule for rule in self.denies.get(role, ())}
            grants |= {rule.id: rule for rule in self.grants.get(role, ())}
        return [denies[key] for key in sorted(denies)], [grants[key] for key in sorted(grants)]


class Policy:
    """An immutable policy: it exists only if every rule in it was found right.

    Attributes:
        version: 32 hex digits of SHA-256 over the canonical form; rules in another order, comments and spacing do
            not change it, any change of meaning does.
        roles, permissions, relations, obligations, event_names: the names that it knows.
        table: type -> action -> `Entry`; an action is found as ``read`` and as ``record:read``.
    """

    __slots__ = (
        "event_names",
        "obligations",
        "parts",
        "permissions",
        "relations",
        "roles",
        "source",
        "table",
        "version",
    )

    def __init__(self, parts: Parts, *, source: str = "policy") -> None:
        """Raises `PolicyError` (a `ConfigurationError`) with every mistake in ``parts``."""
        problems = check_policy(parts)
        if problems:
            raise PolicyError(source, problems)
        set_ = super().__setattr__
        set_("parts", parts)
        set_("source", source)
        set_("roles", frozenset(role.name for role in parts.roles))
        set_("relations", frozenset(relation.name for relation in parts.relations))
        set_("permissions", frozenset(f"{r.name}:{action}" for r in parts.resources for action in r.actions))
        set_(
            "event_names",
            frozenset(name for r in parts.resources for name in r.events.values() if name != NO_EVENT),
        )
        set_("obligations", frozenset(name for grant in parts.grants for name in grant.obligations))
        set_("table", _compile(parts))
        set_("version", _version(parts))

    parts: Parts
    source: str
    roles: frozenset[str]
    relations: frozenset[str]
    permissions: frozenset[str]
    event_names: frozenset[str]
    obligations: frozenset[str]
    table: Mapping[str, Mapping[str, Entry]]
    version: str

    def __setattr__(self, name: str, value: object) -> None:
        # A worker's threads share it; a policy is replaced as a whole, never changed.
        raise AttributeError("a Policy does not change: build another")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a Policy does not change: build another")

    def __repr__(self) -> str:
        return f"Policy({self.source!r}, version={self.version!r})"


def _compile(parts: Parts) -> Mapping[str, Mapping[str, Entry]]:
    resources = {resource.name: resource for resource in parts.resources}
    above = seniors(parts.roles)
    rules: dict[tuple[str, str], list[tuple[Rule, frozenset[str] | None]]] = {
        (resource.name, action): [] for resource in parts.resources for action in resource.actions
    }
    for source in parts.rules:
        denies = isinstance(source, Deny)
        obligations = tuple(sorted(set(source.obligations))) if isinstance(source, Grant) else ()
        conditions = read_conditions(source, parts)
        holders = frozenset(senior for role in source.roles for senior in above[role])
        everyone = denies and not source.roles
        for kind, action in dict.fromkeys(pair for text in source.to for pair in expand(text, resources)):
            condition = conditions[kind]
            rule = Rule(source.id, denies, condition, relations_in(condition), obligations)
            rules[kind, action].append((rule, None if everyone else holders))
    table: dict[str, Mapping[str, Entry]] = {}
    for resource in parts.resources:
        entries: dict[str, Entry] = {}
        for action in resource.actions:
            entry = _entry(rules[resource.name, action], resource, action)
            entries[action] = entries[f"{resource.name}:{action}"] = entry
        table[resource.name] = MappingProxyType(entries)
    return MappingProxyType(table)


def _entry(rules: Iterable[tuple[Rule, frozenset[str] | None]], resource: ResourceType, action: str) -> Entry:
    grants: dict[str, list[Rule]] = {}
    denies: dict[str, list[Rule]] = {}
    denies_all: list[Rule] = []
    for rule, holders in sorted(rules, key=lambda pair: pair[0].id):
        if holders is None:
            denies_all.append(rule)
            continue
        for role in holders:
            (denies if rule.denies else grants).setdefault(role, []).append(rule)
    return Entry(
        holders=frozenset(grants),
        open=frozenset(role for role, own in grants.items() if any(rule.condition is None for rule in own)),
        plain=not denies and not denies_all,
        grants=MappingProxyType({role: tuple(own) for role, own in grants.items()}),
        denies=MappingProxyType({role: tuple(own) for role, own in denies.items()}),
        denies_all=tuple(denies_all),
        event=None if (event := resource.events.get(action)) == NO_EVENT else event,
        subject=resource.subject,
    )


def _version(parts: Parts) -> str:
    """128 bits, so that nobody finds two policies that share one: a decision in the audit log names its policy by it."""

    def rule(source: Grant | Deny) -> list[object]:
        conditions = {
            kind: str(tree) for kind, tree in read_conditions(source, parts).items() if tree is not None
        }
        obligations = sorted(set(source.obligations)) if isinstance(source, Grant) else []
        return [source.id, sorted(set(source.roles)), sorted(set(source.to)), conditions, obligations]

    canonical = {
        "schema": 1,
        "subject": dict(parts.subject_attributes),
        "context": dict(parts.context_attributes),
        "resources": sorted(
            [r.name, sorted(set(r.actions)), dict(r.attributes), r.subject or "", dict(r.events)]
            for r in parts.resources
        ),
        "relations": sorted([r.name, sorted(set(r.of))] for r in parts.relations),
        "roles": sorted([r.name, sorted(set(r.inherits))] for r in parts.roles),
        "grants": sorted((rule(grant) for grant in parts.grants), key=lambda line: str(line[0])),
        "denies": sorted((rule(deny) for deny in parts.denies), key=lambda line: str(line[0])),
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]
