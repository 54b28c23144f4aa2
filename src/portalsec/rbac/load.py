"""From a mapping (a TOML file's content) to a `Policy`: shape first, then meaning, all mistakes in one error.

Unknown keys are refused, never skipped: a misspelt ``when`` that was skipped would turn a condition into an
unconditional grant, and a key of a later version may restrict what this one would allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from portalsec.rbac.check import Parts, PolicyError, PolicyProblem, check_policy, nearest
from portalsec.rbac.model import Deny, Grant, Relation, ResourceType, Role
from portalsec.rbac.policy import Policy

__all__ = ["load_policy"]

SCHEMA = 1


def load_policy(mapping: Mapping[str, object], *, source: str = "policy") -> Policy:
    """Build the policy that ``mapping`` describes; ``source`` names it in messages (a file name).

    Raises:
        PolicyError: a `ConfigurationError` that lists every mistake with its source, its place (grant id or key) and
            the nearest known name.
    """
    reader = _Reader()
    parts = reader.parts(mapping)
    problems = [*reader.problems, *check_policy(parts)]
    if problems:
        raise PolicyError(source, problems)
    return Policy(parts, source=source)


class _Reader:
    """Reads tables leniently and notes what does not fit, so that one run finds everything."""

    def __init__(self) -> None:
        self.problems: list[PolicyProblem] = []

    def parts(self, data: object) -> Parts:
        top = self.table(
            "policy", data, ("schema", "subject", "context", "resource", "relation", "role", "grant", "deny")
        )
        schema = top.get("schema")
        if schema is None:
            self.say("schema", f"is missing: write schema = {SCHEMA}")
        elif isinstance(schema, bool) or schema != SCHEMA:
            self.say(
                "schema", f"{schema!r} is not a version that this portalsec reads: write schema = {SCHEMA}"
            )
        return Parts(
            resources=tuple(self.resource(name, body) for name, body in self.named("resource", top)),
            relations=tuple(self.relation(name, body) for name, body in self.named("relation", top)),
            roles=tuple(self.role(name, body) for name, body in self.named("role", top)),
            grants=tuple(self.grant(i, body) for i, body in self.listed("grant", top)),
            denies=tuple(self.deny(i, body) for i, body in self.listed("deny", top)),
            subject_attributes=self.only_attributes("subject", top),
            context_attributes=self.only_attributes("context", top),
        )

    def resource(self, name: str, body: object) -> ResourceType:
        where = f"resource.{name}"
        table = self.table(where, body, ("actions", "attributes", "subject", "events", "description"))
        self.text(f"{where}.description", table.get("description"))
        return ResourceType(
            name=name,
            actions=self.texts(f"{where}.actions", table.get("actions")),
            attributes=self.attributes(f"{where}.attributes", table.get("attributes")),
            subject=self.text(f"{where}.subject", table.get("subject")),
            events=self.text_table(f"{where}.events", table.get("events")),
        )

    def relation(self, name: str, body: object) -> Relation:
        where = f"relation.{name}"
        table = self.table(where, body, ("of", "description"))
        self.text(f"{where}.description", table.get("description"))
        return Relation(name=name, of=self.texts(f"{where}.of", table.get("of")))

    def role(self, name: str, body: object) -> Role:
        where = f"role.{name}"
        table = self.table(where, body, ("inherits", "description"))
        self.text(f"{where}.description", table.get("description"))
        return Role(name=name, inherits=self.texts(f"{where}.inherits", table.get("inherits")))

    def grant(self, index: int, body: object) -> Grant:
        where, id_, table = self.rule(
            "grant", index, body, ("id", "role", "to", "when", "obligations", "description")
        )
        return Grant(
            id=id_,
            roles=self.texts(f"{where} role", table.get("role")),
            to=self.texts(f"{where} to", table.get("to")),
            when=self.text(f"{where} when", table.get("when")),
            obligations=self.texts(f"{where} obligations", table.get("obligations")),
        )

    def deny(self, index: int, body: object) -> Deny:
        where, id_, table = self.rule("deny", index, body, ("id", "role", "to", "when", "description"))
        if table.get("role") == []:
            # No role means everyone, so an empty list would say the opposite of what it looks like.
            self.say(f"{where} role", "is empty: leave it out to refuse everyone, or name a role")
        return Deny(
            id=id_,
            roles=self.texts(f"{where} role", table.get("role")),
            to=self.texts(f"{where} to", table.get("to")),
            when=self.text(f"{where} when", table.get("when")),
        )

    def rule(
        self, kind: str, index: int, body: object, keys: tuple[str, ...]
    ) -> tuple[str, str, Mapping[str, object]]:
        id_ = body.get("id") if isinstance(body, Mapping) else None
        if isinstance(id_, str) and id_:
            where = f"{kind} {id_!r}"
        else:
            where, id_ = f"{kind} number {index}", f"{kind}-{index}"
            self.say(where, "has no id: decisions and the audit log name the rule by it")
        table = self.table(where, body, keys)
        self.text(f"{where} description", table.get("description"))
        return where, id_, table

    # shapes

    def say(self, where: str, text: str) -> None:
        self.problems.append(PolicyProblem(where, text))

    def table(self, where: str, value: object, keys: tuple[str, ...]) -> Mapping[str, object]:
        if not _is_table(value):
            self.say(where, f"is {_shape(value)}, and should be a table")
            return {}
        for key in value:
            if key not in keys:
                self.say(where, f"{key!r} is not a key here{nearest(key, keys)}")
            elif value[key] is None:
                # JSON's null: a condition that came out as nothing must not become "no condition".
                self.say(where, f"{key!r} is null: leave the key out, or give it a value")
        return value

    def named(self, key: str, top: Mapping[str, object]) -> list[tuple[str, object]]:
        value = top.get(key, {})
        if _is_table(value):
            return list(value.items())
        self.say(key, f"is {_shape(value)}: write [{key}.NAME]")
        return []

    def listed(self, key: str, top: Mapping[str, object]) -> list[tuple[int, object]]:
        value = top.get(key, [])
        if isinstance(value, list | tuple):
            return list(enumerate(value, 1))
        self.say(key, f"is {_shape(value)}: write [[{key}]], once for each rule")
        return []

    def only_attributes(self, key: str, top: Mapping[str, object]) -> Mapping[str, str | None]:
        if key not in top:
            return {}
        return self.attributes(
            f"{key}.attributes", self.table(key, top[key], ("attributes",)).get("attributes")
        )

    def attributes(self, where: str, value: object) -> Mapping[str, str | None]:
        if value is None:
            return {}
        if isinstance(value, list | tuple):
            return dict.fromkeys(self.texts(where, value))
        return dict(self.text_table(where, value))

    def text_table(self, where: str, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if not _is_table(value):
            self.say(where, f"is {_shape(value)}, and should be a table")
            return {}
        texts = {key: self.text(f"{where}.{key}", item) for key, item in value.items()}
        return {key: text for key, text in texts.items() if text is not None}

    def texts(self, where: str, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            self.say(where, f"is {_shape(value)}, and should be text or a list of texts")
            return ()
        return tuple(value)

    def text(self, where: str, value: object) -> str | None:
        if value is None or isinstance(value, str):
            return value
        self.say(where, f"is {_shape(value)}, and should be text")
        return None


def _is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _shape(value: object) -> str:
    names = {str: "text", bool: "a bool", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), f"a {type(value).__name__}")
