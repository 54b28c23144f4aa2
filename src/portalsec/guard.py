"""`Guard`: what a request needs - session, decision, audit - as one operation, so that it costs one hop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from portalsec.auth.sessions import ActiveSession, Sessions
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason
from portalsec.events import Actor, Event, Outcome, Purpose, ResourceRef, SecurityEvent, Source
from portalsec.rbac.model import Context, Decision, Resource, Subject
from portalsec.rbac.pdp import PDP
from portalsec.rbac.ports import AssignmentStore
from portalsec.typing import Emit

__all__ = ["Access", "Guard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A request that may go on: its event, if the policy names one, is durable already."""

    session: ActiveSession
    subject: Subject
    resource: Resource
    decision: Decision


class Guard:
    """Checks the session, decides, and records; raises before anything is shown.

    Safe for concurrent use; every call asks the stores anew, so a role, relation or session that ended is gone at
    the next request.
    """

    def __init__(
        self, *, sessions: Sessions, assignments: AssignmentStore, pdp: PDP, emit: Emit, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._assignments = assignments
        self._pdp = pdp
        self._emit = emit
        self._clock = clock

    def session(self, token: object, *, source: Source, passive: bool = False) -> ActiveSession:
        """The live session of ``token``. ``passive`` requests (a page asking how long is left) do not keep it alive.

        Raises:
            Denied: SESSION_*; StoreError: a store failed.
        """
        return self._sessions.check(token, source=source, passive=passive)

    def subject(self, session: ActiveSession) -> Subject:
        """Who is asking, with the roles assigned now."""
        return Subject(id=session.account_id, roles=self._assignments.roles_of(session.account_id))

    def __call__(
        self,
        token: object,
        permission: str,
        resource: Resource | None = None,
        *,
        source: Source,
        purpose: Purpose | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Access:
        """Let the request through or raise.

        Args:
            token: the session id from the cookie.
            permission: ``type:action``, as the policy declares it.
            resource: what it is about; without one, the type as a whole (a list).
            source: where the request came from.
            purpose: why; needed where the action touches a person's record.
            attributes: more facts for conditions (``context.*``).

        Raises:
            Denied: no session, or refused (recorded as ``access.denied``).
            AuditUnavailable: the access could not be recorded, so it must not happen.
        """
        session = self._sessions.check(token, source=source)
        return self.authorise(
            session, permission, resource, source=source, purpose=purpose, attributes=attributes
        )

    def authorise(
        self,
        session: ActiveSession,
        permission: str,
        resource: Resource | None = None,
        *,
        source: Source,
        purpose: Purpose | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Access:
        """The second half of `__call__`, for a session that was checked in this request already."""
        kind, _, action = permission.partition(":")
        target = resource if resource is not None else Resource(type=kind)
        subject = self.subject(session)
        context = Context(purpose=purpose, now=self._clock(), attributes=dict(attributes or {}))
        # A resource of another type than the permission names is a mistake in the route: it denies like any other.
        decision = self._pdp.decide(subject, action if target.type == kind else "", target, context)
        if decision.allowed and decision.event is None:
            return Access(session=session, subject=subject, resource=target, decision=decision)
        self._emit(
            SecurityEvent(
                name=(decision.event if decision.allowed else None) or Event.ACCESS_DENIED,
                outcome=Outcome.SUCCESS if decision.allowed else Outcome.DENIED,
                actor=Actor(type="user", id=session.account_id, role=",".join(sorted(subject.roles)) or None),
                subjects=decision.subjects,
                resource=ResourceRef(type=target.type, id=target.id),
                purpose=purpose,
                reason=decision.reason,
                rule=decision.rule,
                policy_version=decision.policy_version,
                source=source,
                session=session.reference,
                details={} if decision.allowed else {"permission": permission},
            )
        )
        if not decision.allowed:
            raise Denied(decision.reason or Reason.NO_GRANT)
        return Access(session=session, subject=subject, resource=target, decision=decision)
