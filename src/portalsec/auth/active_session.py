"""What a caller holds of a session: one that was just opened, and one that was just checked. Values."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from portalsec.auth.ports import SessionRecord
from portalsec.auth.proof import Proof
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from portalsec.secret import Secret

__all__ = ["ActiveSession", "NewSession", "holder_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session that was just opened; the token goes into the browser's cookie and nowhere else.

    With ``jkt`` it is bound to the key of an API client, which gets the token and must prove the key with it.
    """

    token: Secret[str]
    account_id: str
    reference: str
    absolute_until: datetime
    shared: bool = False
    jkt: str | None = None

    @property
    def digest(self) -> bytes:
        """The store's key."""
        return hashlib.sha256(self.token.reveal().encode("ascii")).digest()


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class ActiveSession:
    """A live session.

    Attributes:
        record: the session as the store holds it.
        idle_left: time left without activity, as of this check.
        absolute_left: time left in any case, as of this check.
    """

    # Few fields and the rest on demand: this is made for every request.
    record: SessionRecord
    idle_left: timedelta
    absolute_left: timedelta
    _refer: Callable[[bytes], str] = field(compare=False)

    def __init__(
        self,
        *,
        record: SessionRecord,
        idle_left: timedelta,
        absolute_left: timedelta,
        _refer: Callable[[bytes], str],
    ) -> None:
        # What the dataclass would do, in two thirds of its time.
        _set_record(self, record)
        _set_idle_left(self, idle_left)
        _set_absolute_left(self, absolute_left)
        _set_refer(self, _refer)

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self.record.account_id

    @property
    def factors(self) -> tuple[str, ...]:
        """Kinds of factor that were proven, in order."""
        return self.record.factors

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """What was shown, oldest first."""
        return self.record.proofs

    @property
    def level(self) -> int:
        """Assurance level of the proofs (SP 800-63B-4)."""
        return self.record.level

    @property
    def shared(self) -> bool:
        """Its user said that others use the computer."""
        return self.record.shared

    @property
    def impersonator(self) -> str | None:
        """The account of who acts here in the owner's name, or None."""
        return self.record.impersonator

    @property
    def actor(self) -> Actor:
        """Who acts, for events: the owner, or support on the owner's behalf."""
        return holder_of(self.record)

    def attributes(self) -> dict[str, object]:
        """For conditions of the access policy, as ``context.session_level`` and so on.

        ``session_level`` (0 to 3), ``session_phishing_resistant``, ``session_shared``, ``impersonated``, and what an app
        said about its device (`DevicePosture.attributes`), which is advisory: a condition on it keeps honest people's old
        telephones out, and no liar.
        """
        record = self.record
        facts: dict[str, object] = {
            "session_level": record.level,
            "session_phishing_resistant": record.phishing_resistant,
            "session_shared": record.shared,
            "impersonated": record.impersonator is not None,
        }
        if record.posture is not None:
            facts.update(record.posture.attributes())
        return facts

    def require_owner(self) -> None:
        """Before anything about factors, passwords, addresses or the account itself.

        Raises:
            Denied: IMPERSONATED, where support acts in the owner's name.
        """
        if self.record.impersonator is not None:
            raise Denied(Reason.IMPERSONATED)

    @property
    def digest(self) -> bytes:
        """The store's key."""
        return self.record.digest

    @property
    def created_at(self) -> datetime:
        """When it was opened."""
        return self.record.created_at

    @property
    def proven_at(self) -> datetime:
        """When the newest factor was proven."""
        return self.record.proven_at

    @property
    def reference(self) -> str:
        """A keyed reference for logs and pages; the id cannot be found from it. Made when asked for."""
        return self._refer(self.record.digest)

    def __repr__(self) -> str:
        # Without the address and the browser, which the record has.
        return f"ActiveSession(account_id={self.account_id!r}, factors={self.factors!r}, idle_left={self.idle_left!r})"


_set_record, _set_idle_left, _set_absolute_left, _set_refer = (
    getattr(ActiveSession, name).__set__ for name in ("record", "idle_left", "absolute_left", "_refer")
)


def holder_of(record: SessionRecord) -> Actor:
    """Who acts in a session, for events: the owner, or support on the owner's behalf."""
    if record.impersonator is None:
        return Actor(type="user", id=record.account_id)
    return Actor(type="user", id=record.impersonator, on_behalf_of=record.account_id)
