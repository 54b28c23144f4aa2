"""`PDP`, the decision point: one policy and one source of relations, asked in a request's own words."""

from __future__ import annotations

import logging

from portalsec.rbac.decide import decide, needed_relations
from portalsec.rbac.model import NO_CONTEXT, Context, Decision, Request, Resource, Subject
from portalsec.rbac.policy import Entry, Policy
from portalsec.rbac.ports import RelationSource

__all__ = ["PDP"]

_log = logging.getLogger("portalsec.rbac")


class PDP:
    """Decides by ``policy``; asks ``relations`` only what the rules for the subject's roles need.

    Holds no state besides these two, so threads may share one. Relations are never kept from one decision to the next:
    a member removed from a care team loses access at once.
    """

    __slots__ = ("_relations", "_table", "policy")

    def __init__(self, policy: Policy, *, relations: RelationSource) -> None:
        self.policy = policy
        self._relations = relations
        # Plain dicts: a look-up through a read-only view costs as much again.
        self._table: dict[str, dict[str, Entry]] = {kind: dict(own) for kind, own in policy.table.items()}

    def decide(
        self, subject: Subject, action: str, resource: Resource, context: Context = NO_CONTEXT
    ) -> Decision:
        """The decision and why. ``action`` is ``read`` or ``record:read``.

        A source that raises, or answers with anything but a bool, denies with `Reason.CONDITION_ERROR` unless the
        rules allow without that relation.
        """
        request = Request(subject=subject, action=action, resource=resource, context=context)
        needed = needed_relations(self.policy, request)
        if not needed:
            return decide(self.policy, request)
        hold, unresolved = set(), set()
        for name in sorted(needed):
            answer = self._ask(name, subject, resource)
            if answer is None:
                unresolved.add(name)
            elif answer:
                hold.add(name)
        return decide(
            self.policy,
            Request(
                subject=subject,
                action=action,
                resource=resource,
                context=context,
                relations=frozenset(hold),
                unresolved=frozenset(unresolved),
            ),
        )

    def can(self, subject: Subject, action: str, resource: Resource, context: Context = NO_CONTEXT) -> bool:
        """``decide(...).allowed``, without the explanation; for menus and buttons.

        Whoever shows data asks the portal's guard instead, which also writes the audit record.
        """
        try:
            entry = self._table[resource.type][action]
        except (KeyError, TypeError):  # TypeError: an action that is no text
            return False
        if entry.holders.isdisjoint(subject.roles):
            return False
        if entry.plain and not entry.open.isdisjoint(subject.roles):
            return True
        return self.decide(subject, action, resource, context).allowed

    def _ask(self, name: str, subject: Subject, resource: Resource) -> bool | None:
        try:
            answer: object = self._relations.holds(name, subject, resource)
        except Exception as error:  # noqa: BLE001 - errors deny, whatever they are
            # The class only: a driver's message may hold the values of the query.
            _log.error("relation %r could not be looked up (%s): refused", name, type(error).__name__)
            return None
        if isinstance(answer, bool):
            return answer
        # An `async def holds` gives a coroutine, which is true: taken as an answer it would let everyone in.
        close = getattr(answer, "close", None)
        if callable(close) and hasattr(answer, "cr_frame"):
            close()
        _log.error("relation %r was answered with a %s, not a bool: refused", name, type(answer).__name__)
        return None
