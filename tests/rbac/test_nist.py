"""The functional specification of INCITS 359, core and hierarchical, as far as policy-as-data expresses it.

The sequences change the model step by step. Here roles, permissions and inheritance are a policy's parts, so a step is
accepted when the parts that it gives still make a policy; sessions and assignments are data of the portal, which the
small model below keeps. Every answer about access comes from `decide`.
"""

from __future__ import annotations

import json
from typing import Any

from portalsec.errors import PortalsecError
from portalsec.rbac import Grant, Parts, Policy, Request, Resource, ResourceType, Role, Subject, decide
from portalsec.rbac.check import seniors
from tests.support import shared


class Refused(Exception):
    """The model refuses the step: what the sequences call an error."""


def _require(condition: bool) -> None:
    if not condition:
        raise Refused


class Model:
    """Administrative state; a `Policy` is built from it for every question."""

    def __init__(self) -> None:
        self.users: dict[str, set[str]] = {}
        self.roles: dict[str, list[str]] = {}
        self.grants: set[tuple[str, str, str]] = set()
        self.sessions: dict[str, tuple[str, set[str]]] = {}

    def parts(self, roles: dict[str, list[str]] | None = None) -> Parts:
        objects: dict[str, set[str]] = {"nothing": {"none"}}
        for operation, thing, _ in self.grants:
            objects.setdefault(thing.lower(), set()).add(operation)
        return Parts(
            resources=tuple(
                ResourceType(name=name, actions=tuple(sorted(does))) for name, does in objects.items()
            ),
            roles=tuple(
                Role(name=name.lower(), inherits=tuple(junior.lower() for junior in juniors))
                for name, juniors in (self.roles if roles is None else roles).items()
            ),
            grants=tuple(
                Grant(
                    id=f"{role}.{thing}.{operation}".lower(),
                    roles=(role.lower(),),
                    to=(f"{thing}:{operation}".lower(),),
                )
                for operation, thing, role in self.grants
            ),
        )

    def may(self, roles: set[str], operation: str, thing: str) -> bool:
        return decide(
            Policy(self.parts()),
            Request(
                subject=Subject(id="user", roles=frozenset(role.lower() for role in roles)),
                action=operation,
                resource=Resource(type=thing.lower()),
            ),
        ).allowed

    def permissions(self, roles: set[str]) -> list[list[str]]:
        asked = {(operation, thing) for operation, thing, _ in self.grants}
        return sorted([operation, thing] for operation, thing in asked if self.may(roles, operation, thing))

    def juniors(self, assigned: set[str]) -> list[str]:
        closed = seniors(Role(name=name, inherits=tuple(below)) for name, below in self.roles.items())
        return sorted(name for name in self.roles if closed[name] & assigned)

    # the operations of the standard, under its names

    def AddUser(self, user: str) -> None:
        _require(user not in self.users)
        self.users[user] = set()

    def DeleteUser(self, user: str) -> None:
        _require(user in self.users)
        del self.users[user]

    def AddRole(self, role: str) -> None:
        _require(role not in self.roles)
        self.roles[role] = []

    def DeleteRole(self, role: str) -> None:
        _require(role in self.roles)
        del self.roles[role]
        self.grants = {grant for grant in self.grants if grant[2] != role}
        for assigned in self.users.values():
            assigned.discard(role)

    def AssignUser(self, user: str, role: str) -> None:
        _require(user in self.users and role in self.roles and role not in self.users[user])
        self.users[user].add(role)

    def DeassignUser(self, user: str, role: str) -> None:
        _require(user in self.users and role in self.users[user])
        self.users[user].remove(role)

    def GrantPermission(self, operation: str, thing: str, role: str) -> None:
        _require(role in self.roles and (operation, thing, role) not in self.grants)
        self.grants.add((operation, thing, role))

    def RevokePermission(self, operation: str, thing: str, role: str) -> None:
        _require((operation, thing, role) in self.grants)
        self.grants.remove((operation, thing, role))

    def AddInheritance(self, senior: str, junior: str) -> None:
        _require(senior in self.roles and junior not in self.roles[senior])
        # The library decides whether the new hierarchy is one: unknown roles and cycles are its to refuse.
        wanted = {**self.roles, senior: [*self.roles[senior], junior]}
        Policy(self.parts(wanted))
        self.roles = wanted

    def DeleteInheritance(self, senior: str, junior: str) -> None:
        _require(junior in self.roles.get(senior, []))
        self.roles[senior].remove(junior)

    def CreateSession(self, user: str, session: str, active: list[str]) -> None:
        _require(set(active) <= set(self.juniors(self.users[user])))
        self.sessions[session] = (user, set(active))

    def DeleteSession(self, user: str, session: str) -> None:
        _require(self.sessions.get(session, ("",))[0] == user)
        del self.sessions[session]

    def AddActiveRole(self, user: str, session: str, role: str) -> None:
        owner, active = self.sessions[session]
        _require(owner == user and role in self.juniors(self.users[user]) and role not in active)
        active.add(role)

    def DropActiveRole(self, user: str, session: str, role: str) -> None:
        owner, active = self.sessions[session]
        _require(owner == user and role in active)
        active.remove(role)

    def CheckAccess(self, session: str, operation: str, thing: str) -> bool:
        _require(session in self.sessions)
        return self.may(self.sessions[session][1], operation, thing)

    def SessionRoles(self, session: str) -> list[str]:
        return sorted(self.sessions[session][1])

    def SessionPermissions(self, session: str) -> list[list[str]]:
        return self.permissions(self.sessions[session][1])

    def UserPermissions(self, user: str) -> list[list[str]]:
        return self.permissions(self.users[user])

    def RolePermissions(self, role: str) -> list[list[str]]:
        return self.permissions({role})

    def AssignedUsers(self, role: str) -> list[str]:
        return sorted(user for user, roles in self.users.items() if role in roles)

    def AssignedRoles(self, user: str) -> list[str]:
        _require(user in self.users)
        return sorted(self.users[user])

    def AuthorizedUsers(self, role: str) -> list[str]:
        return sorted(user for user, roles in self.users.items() if role in self.juniors(roles))

    def AuthorizedRoles(self, user: str) -> list[str]:
        return self.juniors(self.users[user])


def _sequences() -> list[dict[str, Any]]:
    path = shared("vectors", "rbac", "nist", "incits359_sequences.json")
    return [
        item for item in json.loads(path.read_text("utf-8")) if item["component"] in ("core", "hierarchical")
    ]


def test_the_core_and_hierarchical_sequences() -> None:
    sequences = _sequences()
    assert len(sequences) == 6  # separation of duty is not part of this form of the policy
    checked = 0
    for sequence in sequences:
        model = Model()
        for number, step in enumerate(sequence["steps"]):
            try:
                answer = getattr(model, step["op"])(*step["args"])
                result = "ok" if answer is None else answer
            except (Refused, PortalsecError):
                result = "error"
            assert result == step["expect"], (sequence["name"], number, step)
            checked += 1
    assert checked == 156
