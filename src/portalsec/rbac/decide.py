"""`decide`: a pure function from a policy and a complete request to a decision.

Four properties, whatever the rules are: nothing is allowed that no grant allows (default deny); a deny wins over every
grant; the order of the rules says nothing; what cannot be told denies: a grant applies only where its condition is
true, a deny is passed only where its condition is false. The decision has an explanation for the auditor.
"""

from __future__ import annotations

from portalsec.errors import Reason
from portalsec.rbac.check import nearest
from portalsec.rbac.conditions import Truth, evaluate
from portalsec.rbac.model import Decision, Request, Resource
from portalsec.rbac.policy import Entry, Policy, Rule

__all__ = ["decide", "needed_relations"]


def needed_relations(policy: Policy, request: Request) -> frozenset[str]:
    """The relations that the rules for this subject's roles ask about; every other one need not be looked up."""
    entry = _find(policy, request)
    if entry is None:
        return frozenset()
    denies, grants = entry.rules_for(request.subject.roles)
    return frozenset(name for rule in (*denies, *grants) for name in rule.relations)


def decide(policy: Policy, request: Request, /) -> Decision:
    """Whether ``request`` is allowed by ``policy``, and why. Pure, and raises nothing for any request."""
    entry = _find(policy, request)
    if entry is None:
        return _unknown(policy, request)
    denies, grants = entry.rules_for(request.subject.roles)
    lines: list[str] = []
    denied = [(rule, truth) for rule in denies if (truth := _weigh(rule, request, lines)) is not Truth.FALSE]
    for wanted, reason in ((True, Reason.EXPLICIT_DENY), (False, Reason.CONDITION_ERROR)):
        for rule, truth in denied:
            if (truth is Truth.TRUE) == wanted:
                return _refuse(policy, request, reason, rule.id, lines)
    weighed = [(rule, _weigh(rule, request, lines)) for rule in grants]
    applied = [rule for rule, truth in weighed if truth is Truth.TRUE]
    if applied:
        return Decision(
            allowed=True,
            reason=None,
            rule=applied[0].id,
            explanation=(f"allowed by {applied[0].title}", *lines),
            # Of all that apply, not of the first: another grant must not be a way round an obligation.
            obligations=tuple(sorted({name for rule in applied for name in rule.obligations})),
            event=entry.event,
            subjects=_people(entry, request.resource),
            policy_version=policy.version,
        )
    for rule, truth in weighed:
        if truth is Truth.ERROR:
            return _refuse(policy, request, Reason.CONDITION_ERROR, rule.id, lines)
    if not grants:
        lines.append(f"no role of the subject has a grant of {request.resource.type}:{_bare(request)}")
        lines += [
            f"role {role[:64]!r} is not in the policy{nearest(role, policy.roles)}"
            for role in sorted(request.subject.roles - policy.roles)[:8]
        ]
    return _refuse(policy, request, Reason.NO_GRANT, None, lines)


def _find(policy: Policy, request: Request) -> Entry | None:
    actions = policy.table.get(request.resource.type)
    if actions is None or not isinstance(request.action, str):
        return None
    return actions.get(request.action)


def _bare(request: Request) -> str:
    return request.action.rpartition(":")[2]


def _weigh(rule: Rule, request: Request, lines: list[str]) -> Truth:
    if rule.condition is None:
        lines.append(f"{rule.title}: applies")
        return Truth.TRUE
    notes: list[str] = []
    truth = evaluate(rule.condition, request, notes)
    verdict = {
        Truth.TRUE: "applies",
        Truth.FALSE: "does not apply",
        Truth.MISSING: "cannot be told, as something is missing",
        Truth.ERROR: "could not be evaluated",
    }[truth]
    lines.append(f"{rule.title}: {verdict} ({'; '.join(dict.fromkeys(notes))})")
    return truth


def _refuse(policy: Policy, request: Request, reason: Reason, rule: str | None, lines: list[str]) -> Decision:
    entry = policy.table[request.resource.type][request.action]
    first = {
        Reason.EXPLICIT_DENY: f"refused by deny {rule}",
        Reason.CONDITION_ERROR: f"refused because {rule} could not be told",
        Reason.NO_GRANT: "refused because no grant applies",
    }[reason]
    return Decision(
        allowed=False,
        reason=reason,
        rule=rule,
        explanation=(first, *lines),
        event=entry.event,
        subjects=_people(entry, request.resource),
        policy_version=policy.version,
    )


def _unknown(policy: Policy, request: Request) -> Decision:
    # The action may come from outside: bounded and quoted, so that it cannot forge lines of a log.
    action, kind = str(request.action)[:64], request.resource.type[:64]
    asked = f"{kind}:{action.rpartition(':')[2]}"
    if request.resource.type in policy.table and ":" in action and action in policy.permissions:
        text = f"the action {action!r} does not fit a resource of type {kind!r}"
    else:
        text = f"the policy has no permission {asked!r}{nearest(asked, policy.permissions)}"
    return Decision(
        allowed=False,
        reason=Reason.UNKNOWN_PERMISSION,
        rule=None,
        explanation=(text,),
        policy_version=policy.version,
    )


def _people(entry: Entry, resource: Resource) -> tuple[str, ...] | None:
    """Whose data it is, for the accounting of disclosures: one id, or several where the attribute is a list.

    None where that cannot be told: the attribute is missing, or it or a member of it is not an id. Leaving such a
    member out would leave a person out of their own report.
    """
    if entry.subject is None:
        return ()
    value = resource.id if entry.subject == "id" else resource.attributes.get(entry.subject)
    values = value if isinstance(value, list | tuple | set | frozenset) else (value,)
    if not all(isinstance(v, str | int) and not isinstance(v, bool) and v != "" for v in values):
        return None
    return tuple(sorted({str(v) for v in values}))
