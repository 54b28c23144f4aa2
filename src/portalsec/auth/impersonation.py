"""`Impersonation`: support acts in an owner's name, with a reason, for a short time, in the owner's sight.

What happens in such a session is recorded as the staff's, on the owner's behalf. It has no proofs, so nothing that asks
for a factor lets it through; passwords, factors, addresses and the account itself are out of reach (`ActiveSession.
require_owner`). It ends by its limit, with the staff's own session, with everything else that ends the owner's sessions,
and when the owner ends it in the list. It takes none of the owner's places under a cap of sessions.

Who acts in an owner's name has what the owner's roles open, so they must have proven, themselves, what the policy asks of
that owner: an administrator's account is not acted in by somebody who showed less than an administrator must.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from portalsec.auth._door import DOOR
from portalsec.auth.assurance import level
from portalsec.auth.demands import Demand, meets
from portalsec.auth.notices import NoticeKind, Notices
from portalsec.auth.ports import AccountStore
from portalsec.auth.sessions import ActiveSession, NewSession, Sessions
from portalsec.auth.step_up import AskedHere
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Impersonation", "ImpersonationPolicy", "MayImpersonate"]

MayImpersonate = Callable[[ActiveSession, str], bool]
"""Whether the holder of a session may act as this account: the application's rules, asked at every start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpersonationPolicy:
    """How it is bounded.

    Attributes:
        lasting: how long one goes on at most, whatever is asked for.
        min_level: the assurance that the staff's own session must have (SP 800-63B-4).
        tell: whether the owner is told by mail too. The owner's list and activity show it either way.
    """

    lasting: timedelta = timedelta(minutes=30)
    min_level: int = 2
    tell: bool = True

    def __post_init__(self) -> None:
        if not timedelta(minutes=1) <= self.lasting <= timedelta(hours=4):
            raise ConfigurationError("ImpersonationPolicy: lasting goes from one minute to 4 hours")
        if not 1 <= self.min_level <= 3:
            raise ConfigurationError("ImpersonationPolicy: min_level goes from 1 to 3")


class Impersonation:
    """Starts and stops sessions in which staff acts in an owner's name.

    Safe for concurrent use.

    Args:
        allowed: who may act as whom. Without one nobody may, ever.
        demand_of: what a session of this account must have proven (`SignInPolicy.demand`); the staff's own proofs are
            measured by it. Where it raises, nothing begins.
        roles_of: the account's roles, for limits of sessions by role.
        asked_here: `SignIn.asked_here`: what the policy asks because of the request that begins it; nothing where None.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        accounts: AccountStore,
        notices: Notices,
        policy: ImpersonationPolicy,
        allowed: MayImpersonate | None,
        demand_of: Callable[[str], Demand],
        roles_of: Callable[[str], Iterable[str]],
        emit: Emit,
        asked_here: AskedHere | None = None,
    ) -> None:
        self._asked_here = asked_here
        self._sessions = sessions
        self._accounts = accounts
        self._notices = notices
        self._policy = policy
        self._allowed = allowed
        self._demand_of = demand_of
        self._roles_of = roles_of
        self._emit = emit

    @property
    def offered(self) -> bool:
        """Whether the application has rules for it; without them there is no page and no link."""
        return self._allowed is not None

    def start(
        self,
        staff: ActiveSession,
        account_id: str | None,
        *,
        reason: object,
        source: Source,
        lasting: timedelta | None = None,
    ) -> NewSession:
        """A session of ``account_id`` in which the holder of ``staff`` acts. Their own session stays; it is needed.

        Args:
            account_id: None where nobody has the name that was typed; refused like whom one may not act as.
            reason: a reference that an auditor finds the case by ("ticket-4711"): 3 to 64 letters, digits and
                ``-_./:#``, since it stands in the audit log, which holds no free text about people.
            lasting: shorter than the policy's, or None.

        Raises:
            Denied: MALFORMED (no such reason), IMPERSONATED (``staff`` is itself such a session, or it is their own
                account), EVIDENCE_MISSING (their session is too weak, or weaker than the owner's must
                be), NO_GRANT, UNKNOWN_ACCOUNT, ACCOUNT_DISABLED.
            StoreError: it could not be recorded, or the owner not be told, so it did not begin.
        """
        # Before anything is looked at, as for every session.
        epoch = 0 if account_id is None else self._sessions.epoch(account_id)
        why = self._refusal(staff, account_id, reason, source)
        if why is not None or account_id is None:
            self._emit(self._event(staff, account_id, source, outcome=Outcome.DENIED, refused=why))
            raise Denied(why or Reason.UNKNOWN_ACCOUNT)
        limit = (
            self._policy.lasting
            if lasting is None
            else min(max(lasting, timedelta(seconds=1)), self._policy.lasting)
        )
        session = self._sessions.impersonate_through(
            DOOR,
            staff,
            account_id,
            epoch=epoch,
            lasting=limit,
            source=source,
            roles=self._roles_of(account_id),
        )
        try:
            # Once more, now that there is a session to be ended: a role that came meanwhile asks for more.
            if not self._enough(staff, account_id, source):
                why = Reason.EVIDENCE_MISSING
                self._emit(self._event(staff, account_id, source, outcome=Outcome.DENIED, refused=why))
                raise Denied(why)
            self._emit(self._event(staff, account_id, source, session=session, why=str(reason)))
            # Without the source: where staff sits is not for a mail.
            self._notices.tell(account_id, NoticeKind.IMPERSONATED, source=Source(), mail=self._policy.tell)
        except BaseException:
            self._sessions.discard(session)  # unseen is unbegun; the token was given to nobody yet
            raise
        return session

    def stop(self, session: ActiveSession, *, source: Source) -> None:
        """End it; whoever holds it may. Their own session goes on.

        Raises:
            Denied: FLOW_UNKNOWN, where ``session`` is nobody's but its owner's.
        """
        if session.impersonator is None:
            raise Denied(Reason.FLOW_UNKNOWN)
        if self._sessions.end_impersonated(session):
            self._emit(
                SecurityEvent(
                    name=Event.AUTH_IMPERSONATION_ENDED,
                    actor=session.actor,
                    resource=ResourceRef(type="account", id=session.account_id),
                    source=source,
                    session=session.reference,
                )
            )

    def leave(self, session: ActiveSession, *, source: Source) -> None:
        """End it and the staff's own session behind it: who signs out while acting means to be signed out.

        Raises:
            Denied: as `stop`.
        """
        self.stop(session, source=source)
        self._sessions.end_behind(session, source=source)

    def _enough(self, staff: ActiveSession, account_id: str, source: Source) -> bool:
        """Whether staff has shown what is asked of the owner, and of this very request."""
        if not meets(staff.proofs, self._demand_of(account_id)):
            return False
        return self._asked_here is None or meets(staff.proofs, self._asked_here(staff, source=source))

    def _refusal(
        self, staff: ActiveSession, account_id: str | None, reason: object, source: Source
    ) -> Reason | None:
        if not isinstance(reason, str) or not _is_reference(reason):
            return Reason.MALFORMED
        if staff.impersonator is not None or staff.account_id == account_id:
            return Reason.IMPERSONATED
        if level(staff.proofs) < self._policy.min_level:
            return Reason.EVIDENCE_MISSING
        if account_id is None:
            return Reason.UNKNOWN_ACCOUNT
        if self._allowed is None or self._allowed(staff, account_id) is not True:
            return Reason.NO_GRANT
        account = self._accounts.get(account_id)
        if account is None:
            return Reason.UNKNOWN_ACCOUNT
        if account.disabled:
            return Reason.ACCOUNT_DISABLED
        return None if self._enough(staff, account_id, source) else Reason.EVIDENCE_MISSING

    @staticmethod
    def _event(
        staff: ActiveSession,
        account_id: str | None,
        source: Source,
        *,
        session: NewSession | None = None,
        outcome: Outcome = Outcome.SUCCESS,
        refused: Reason | None = None,
        why: str | None = None,
    ) -> SecurityEvent:
        return SecurityEvent(
            name=Event.AUTH_IMPERSONATION_STARTED,
            outcome=outcome,
            actor=Actor(type="user", id=staff.actor.id, on_behalf_of=account_id),
            resource=None if account_id is None else ResourceRef(type="account", id=account_id),
            reason=refused,
            source=source,
            session=staff.reference if session is None else session.reference,
            details={} if why is None else {"why": why},
        )


def _is_reference(text: str) -> bool:
    return (
        3 <= len(text) <= 64 and text.isascii() and all(sign.isalnum() or sign in "-_./:#" for sign in text)
    )
