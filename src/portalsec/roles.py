"""`Roles`: an account gets a role or loses it, recorded, and no session stands through either.

A session id must not outlive a change of what it is worth. One that a thief fixed or copied while it was worth little would
be worth more by the grant, and the rules of the new role (`portalsec.auth.signin_policy.SignInPolicy.rules`, limits by role)
are asked at the door alone. So the account's sessions end, the owner's present one too, and the next sign-in is
measured by what holds then.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from portalsec.auth.endings import Endings, Why
from portalsec.auth.ports import Account, AccountStore, Flow, FlowStore
from portalsec.auth.sessions import Sessions
from portalsec.clock import Clock
from portalsec.errors import ConfigurationError, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome, ResourceRef, SecurityEvent, Source
from portalsec.rbac.policy import Policy
from portalsec.rbac.ports import AssignmentStore
from portalsec.typing import Emit

__all__ = ["Roles"]

_UNFINISHED = "role.grant"
_REMEMBERED = timedelta(days=365)


class Roles:
    """Grants and revokes roles. Who may do so is the application's access policy to say, before it calls.

    Safe for concurrent use, and safe to repeat after a failure.

    Args:
        markers: where a grant that is under way is marked, so that a repeated one ends what the first could not.
    """

    def __init__(
        self,
        *,
        accounts: AccountStore,
        assignments: AssignmentStore,
        policy: Policy,
        endings: Endings,
        sessions: Sessions,
        markers: FlowStore,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._assignments = assignments
        self._policy = policy
        self._endings = endings
        self._sessions = sessions
        self._markers = markers
        self._emit = emit
        self._clock = clock

    def grant(self, account_id: str, role: str, *, actor: Actor, source: Source) -> None:
        """Give an account a role, and end its sessions and sign-ins under way. One that it has stays, and nothing ends.

        Of an account that never signed in nothing ends: a sign-up that gives its first role goes on, and the door asks
        for what that role asks.

        Raises:
            ConfigurationError: the access policy has no such role.
            Denied: UNKNOWN_ACCOUNT.
            StoreError: it could not be recorded, not be stored, or what it ends could not be ended; then it is taken
                back, which is recorded too. Sessions may have ended. Repeat it: where even that failed, and the role
                stands, the repeated call ends what is left.
        """
        if role not in self._policy.roles:
            raise ConfigurationError(
                f"there is no role {role!r}: the access policy has {', '.join(sorted(self._policy.roles))}"
            )
        account = self._known(account_id)
        marker = self._marker(account_id, role)
        if role in self._assignments.roles_of(account_id):
            unfinished = self._markers.attempt(marker.digest, _UNFINISHED, limit=2**31 - 1, now=self._clock())
            if unfinished is not None:
                self._end(account, actor, source)
                self._markers.consume(marker.digest, _UNFINISHED, now=self._clock())
            return
        granted = self._event(Event.ACCESS_ROLE_GRANTED, account_id, role, actor, source, changed=True)
        # The record first: nobody has a power that the log does not know of.
        self._emit(granted)
        self._end(account, actor, source)
        self._markers.put(marker)
        try:
            self._assignments.assign(account_id, role)
            # Once more: whatever the door opened meanwhile was measured by the roles of before.
            self._end(self._known(account_id), actor, source)
        except BaseException:
            with suppress(StoreError):
                self._assignments.revoke(account_id, role)
            with suppress(StoreError):  # a second record, which says that the first came to nothing
                self._emit(replace(granted, outcome=Outcome.ERROR))
            raise
        with suppress(StoreError):
            self._markers.consume(marker.digest, _UNFINISHED, now=self._clock())

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
        try:
            self._endings.apply(account_id, Why.ROLE_LOST, actor=actor, source=source)
        finally:
            self._emit(
                self._event(Event.ACCESS_ROLE_REVOKED, account_id, role, actor, source, changed=changed)
            )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _known(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None:
            raise Denied(Reason.UNKNOWN_ACCOUNT)
        return account

    def _end(self, account: Account, actor: Actor, source: Source) -> None:
        # A session is there before its sign-in is noted, so one of the two tells of any.
        if account.signed_in_at is not None or self._sessions.of_account(account.id):
            self._endings.apply(account.id, Why.ROLE_GAINED, actor=actor, source=source)

    def _marker(self, account_id: str, role: str) -> Flow:
        """That a grant is under way. It is no account's: nothing that ends an account's flows removes it."""
        named = hashlib.sha256(f"{_UNFINISHED}:{account_id}".encode()).digest() + role.encode()
        digest = hashlib.sha256(named).digest()
        expires_at = self._clock() + _REMEMBERED
        return Flow(digest=digest, purpose=_UNFINISHED, account_id=None, data=b"", expires_at=expires_at)

    @staticmethod
    def _event(
        name: str, account_id: str, role: str, actor: Actor, source: Source, *, changed: bool
    ) -> SecurityEvent:
        return SecurityEvent(
            name=name,
            actor=actor,
            resource=ResourceRef(type="account", id=account_id),
            source=source,
            changed=("roles",) if changed else (),
            details={"role": role},
        )
