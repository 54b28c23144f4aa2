"""`Guard`: what a request needs - session, decision, audit - as one operation, so that it costs one hop."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from portalsec.auth.holder import Holder
from portalsec.auth.sessions import ActiveSession, Sessions
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason
from portalsec.events import Event, Outcome, Purpose, ResourceRef, SecurityEvent, Source
from portalsec.rbac.model import Context, Decision, Resource, Subject
from portalsec.rbac.pdp import PDP
from portalsec.rbac.ports import AssignmentStore
from portalsec.typing import Emit

__all__ = ["Access", "Guard"]

_log = logging.getLogger("portalsec.guard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A request that may go on: its event, if the policy names one, is durable already."""

    session: ActiveSession
    subject: Subject
    resource: Resource
    decision: Decision
    source: Source


class Guard:
    """Checks the session, decides, and records; raises before anything is shown.

    Safe for concurrent use; every call asks the stores anew, so a role, relation or session that ended is gone at
    the next request.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        assignments: AssignmentStore,
        pdp: PDP,
        emit: Emit,
        clock: Clock,
        obligations: Mapping[str, Callable[[Access], None]] = MappingProxyType({}),
    ) -> None:
        """``obligations`` says how each obligation that the policy names is met; one that is not here refuses."""
        self._sessions = sessions
        self._assignments = assignments
        self._pdp = pdp
        self._emit = emit
        self._clock = clock
        self._obligations = dict(obligations)

    def session(
        self, token: object, *, source: Source, passive: bool = False, holder: Holder | None = None
    ) -> ActiveSession:
        """The live session of ``token``. ``passive`` requests (a page asking how long is left) do not keep it alive.

        ``holder``: the key that an API client proved (`portalsec.auth.dpop`); None for a cookie.

        Raises:
            Denied: SESSION_*; StoreError: a store failed.
        """
        return self._sessions.check(token, source=source, passive=passive, holder=holder)

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
        passive: bool = False,
    ) -> Access:
        """Let the request through or raise.

        Args:
            token: the session id from the cookie.
            permission: ``type:action``, as the policy declares it.
            resource: what it is about; without one, the type as a whole (a list).
            source: where the request came from.
            purpose: why; needed where the action touches a person's record.
            attributes: more facts for conditions (``context.*``).
            passive: a script asks in the background: it is no activity, and keeps no session alive.

        Raises:
            Denied: no session, or refused (recorded as ``access.denied``).
            AuditUnavailable: the access could not be recorded, so it must not happen.
        """
        session = self._sessions.check(token, source=source, passive=passive)
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
        target = resource if resource is not None else Resource(type=permission.partition(":")[0] or "?")
        subject = self.subject(session)
        facts = {
            **(attributes or {}),
            **session.attributes(),
        }  # what the server knows is not for a caller to change
        context = Context(purpose=purpose, now=self._clock(), attributes=facts)
        decision = self._pdp.decide(subject, permission, target, context)
        access = Access(session=session, subject=subject, resource=target, decision=decision, source=source)
        refused = decision.reason
        if refused is None and decision.event and decision.subjects is None:
            refused = (
                Reason.CONDITION_ERROR
            )  # whose data it is was not told, so it could not be in their report
        refused = refused or self._unmet(access)
        if refused or decision.event:
            # Durable before the caller shows anything: if this raises, nothing is shown.
            self._emit(self._event(access, permission, purpose, refused))
        if refused:
            raise Denied(refused)
        return access

    def _unmet(self, access: Access) -> Reason | None:
        """Meet the obligations of the decision; one that nobody can meet, or that fails, refuses (XACML 7.18)."""
        if not self._obligations.keys() >= set(access.decision.obligations):
            return Reason.OBLIGATION_UNMET  # before any is met: half of them would be a trace of nothing
        for obligation in access.decision.obligations:
            try:
                self._obligations[obligation](access)
            except Exception as error:  # noqa: BLE001 - whatever it is, the obligation was not met
                _log.error("the obligation %r failed (%s): refused", obligation, type(error).__name__)
                return Reason.OBLIGATION_UNMET
        return None

    @staticmethod
    def _event(
        access: Access, permission: str, purpose: Purpose | None, refused: Reason | None
    ) -> SecurityEvent:
        decision = access.decision
        subjects = decision.subjects or ()
        return SecurityEvent(
            name=Event.ACCESS_DENIED if refused else decision.event or Event.ACCESS_DENIED,
            outcome=Outcome.DENIED if refused else Outcome.SUCCESS,
            actor=replace(access.session.actor, role=",".join(sorted(access.subject.roles)) or None),
            subjects=subjects,
            resource=ResourceRef(
                type=access.resource.type,
                id=access.resource.id,
                # A list has no id of its own: it names its people, and says so when there were none.
                count=len(subjects) if access.resource.id is None else None,
            ),
            purpose=purpose,
            reason=refused,
            rule=decision.rule,
            policy_version=decision.policy_version,
            source=access.source,
            session=access.session.reference,
            details={"permission": permission} if refused else {},
        )
