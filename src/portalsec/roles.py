"""`Roles`: an account gets a role or loses it, recorded, and with a lost one goes what was opened with it."""

from __future__ import annotations

from portalsec.auth.endings import Endings, Why
from portalsec.auth.ports import AccountStore
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Actor, Event, ResourceRef, SecurityEvent, Source
from portalsec.rbac.policy import Policy
from portalsec.rbac.ports import AssignmentStore
from portalsec.typing import Emit

__all__ = ["Roles"]


class Roles:
    """Grants and revokes roles. Who may do so is the application's access policy to say, before it calls.

    Safe for concurrent use, and safe to repeat after a failure.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        assignments: AssignmentStore,
        policy: Policy,
        endings: Endings,
        emit: Emit,
    ) -> None:
        self._accounts = accounts
        self._assignments = assignments
        self._policy = policy
        self._endings = endings
        self._emit = emit

    def grant(self, account_id: str, role: str, *, actor: Actor, source: Source) -> None:
        """Give an account a role; it counts from the next request on. One that it has stays, and nothing is recorded.

        Raises:
            ConfigurationError: the access policy has no such role.
            Denied: UNKNOWN_ACCOUNT.
            StoreError: it could not be recorded, or not be stored.
        """
        if role not in self._policy.roles:
            raise ConfigurationError(
                f"there is no role {role!r}: the access policy has {', '.join(sorted(self._policy.roles))}"
            )
        self._known(account_id)
        if role in self._assignments.roles_of(account_id):
            return
        # The record first: nobody has a power that the log does not know of.
        self._record(Event.ACCESS_ROLE_GRANTED, account_id, role, actor, source, changed=True)
        self._assignments.assign(account_id, role)

    def revoke(self, account_id: str, role: str, *, actor: Actor, source: Source) -> None:
        """Take a role from an account, and end what `ENDS` says of a lost one: its sessions, sign-ins and links.

        Roles are read anew at each request, so the power is gone at once. What ends besides is what was opened with
        it: pages that stand on a screen, downloads under way.

        Args:
            role: also one that the access policy has no more.

        Raises:
            Denied: UNKNOWN_ACCOUNT.
            StoreError: something failed; what could be taken or ended was. Repeat it.
        """
        self._known(account_id)
        changed = self._assignments.revoke(account_id, role)
        self._endings.apply(account_id, Why.ROLE_LOST, actor=actor, source=source)
        self._record(Event.ACCESS_ROLE_REVOKED, account_id, role, actor, source, changed=changed)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _known(self, account_id: str) -> None:
        if self._accounts.get(account_id) is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)

    def _record(
        self, name: str, account_id: str, role: str, actor: Actor, source: Source, *, changed: bool
    ) -> None:
        self._emit(
            SecurityEvent(
                name=name,
                actor=actor,
                resource=ResourceRef(type="account", id=account_id),
                source=source,
                changed=("roles",) if changed else (),
                details={"role": role},
            )
        )
