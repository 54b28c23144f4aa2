"""Access decisions: ``can()`` on a policy of 1000 grants, beside the least that any check could do, a set look-up."""

from __future__ import annotations

import random
from collections.abc import Iterator

from bench.harness import Row
from portalsec.rbac import PDP, Policy, Resource, Subject, load_policy

ROLES, TYPES, ACTIONS, GRANTS, QUESTIONS = 50, 50, 10, 1000, 1000


class _NoRelations:
    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        raise AssertionError("the workload has no relation")


def workload(seed: int = 1) -> tuple[Policy, dict[str, set[str]], list[tuple[str, str, str]]]:
    """A policy of 1000 grants without conditions, the same as permission sets, and questions of (role, type, action).

    Half of the questions are allowed, half are not, in random order.
    """
    draw = random.Random(seed)  # not a secret: the same workload every day
    every = [(f"type{t}", f"action{a}") for t in range(TYPES) for a in range(ACTIONS)]
    pairs = draw.sample([(f"role{r}", kind, action) for r in range(ROLES) for kind, action in every], GRANTS)
    policy = load_policy(
        {
            "schema": 1,
            "resource": {
                f"type{t}": {"actions": [f"action{a}" for a in range(ACTIONS)]} for t in range(TYPES)
            },
            "role": {f"role{r}": {} for r in range(ROLES)},
            "grant": [
                {"id": f"g{i}", "role": role, "to": f"{kind}:{action}"}
                for i, (role, kind, action) in enumerate(pairs)
            ],
        }
    )
    sets: dict[str, set[str]] = {f"role{r}": set() for r in range(ROLES)}
    for role, kind, action in pairs:
        sets[role].add(f"{kind}:{action}")
    allowed = draw.choices(pairs, k=QUESTIONS // 2)
    refused: list[tuple[str, str, str]] = []
    while len(refused) < QUESTIONS // 2:
        role, (kind, action) = f"role{draw.randrange(ROLES)}", draw.choice(every)
        if f"{kind}:{action}" not in sets[role]:
            refused.append((role, kind, action))
    questions = allowed + refused
    draw.shuffle(questions)
    return policy, sets, questions


def rows() -> Iterator[Row]:
    policy, perms_by_role, questions = workload()
    can = PDP(policy, relations=_NoRelations()).can
    subjects = {role: Subject(id=f"u-{role}", roles=frozenset({role})) for role in perms_by_role}
    asked = [(subjects[role], action, Resource(type=kind, id="x")) for role, kind, action in questions]
    looked_up = [(role, f"{kind}:{action}") for role, kind, action in questions]
    for (subject, action, resource), (role, perm) in zip(asked, looked_up, strict=True):
        assert can(subject, action, resource) == (perm in perms_by_role[role])

    def ours() -> None:
        for subject, action, resource in asked:
            can(subject, action, resource)

    def baseline() -> None:
        for role, perm in looked_up:
            perm in perms_by_role[role]  # noqa: B015 - the answer is not needed, the work is

    yield Row(
        id="rbac.can",
        subject=ours,
        baseline=baseline,
        number=20,
        unit="ns",
        subject_does=QUESTIONS,
        baseline_does=QUESTIONS,
    )
