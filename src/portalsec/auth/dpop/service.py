"""`Dpop`: proofs that are taken once, nonces, and the binding of a session to a key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NoReturn

from portalsec._encoding import b64url, length_prefixed, unb64url
from portalsec.auth._door import DOOR
from portalsec.auth.dpop.policy import DpopPolicy
from portalsec.auth.dpop.proof import DpopCheck, DpopProof, ProofRefused, read_proof
from portalsec.auth.holder import Holder
from portalsec.auth.ports import Flow, FlowStore, Mac
from portalsec.auth.sessions import NewSession, Sessions
from portalsec.clock import Clock
from portalsec.errors import Denied, Reason
from portalsec.events import ANONYMOUS, Event, Outcome, SecurityEvent, Source
from portalsec.typing import Emit

__all__ = ["Dpop", "DpopRefused"]

_PURPOSE: Final = "dpop"
_NONCE: Final = "dpop.nonce"
_TAG: Final = 16  # bytes of a nonce's keyed hash
_SECONDS: Final = 8
_SECOND: Final = timedelta(seconds=1)


class DpopRefused(Denied):
    """A proof was refused.

    Attributes:
        error: what the client is told (RFC 9449 section 7.1): ``use_dpop_nonce`` where another proof, with the nonce that
            comes along, will do; else ``invalid_dpop_proof``.
    """

    def __init__(
        self,
        reason: Reason = Reason.DPOP_REFUSED,
        *,
        error: Literal["invalid_dpop_proof", "use_dpop_nonce"] = "invalid_dpop_proof",
    ) -> None:
        super().__init__(reason)
        self.error = error


class Dpop:
    """Checks proofs and takes each once. Safe for concurrent use.

    A used proof is one row of the flow store, for little more than the proof's own life; so its promises hold here: of any
    number of requests with one proof, on any worker, one goes through. Where the store forgets (Redis after a failover), a
    proof of the last minute may be used again, by whoever has the token too.

    Nonces are made, not stored: the time and a keyed hash of it.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        flows: FlowStore,
        mac: Mac,
        clock: Clock,
        emit: Emit,
        policy: DpopPolicy | None = None,
    ) -> None:
        self._sessions = sessions
        self._flows = flows
        self._mac = mac
        self._clock = clock
        self._emit = emit
        self.policy = policy or DpopPolicy()

    def nonce(self) -> str:
        """A value for clients to put into their proofs, good for ``policy.nonce_lifetime`` on every worker."""
        seconds = (self._clock() - datetime.fromtimestamp(0, UTC)) // _SECOND
        told = seconds.to_bytes(_SECONDS, "big")
        return b64url(told + self._mac(_NONCE, told)[:_TAG])

    def read(
        self, headers: Sequence[str], *, method: str, uri: str, source: Source, token: str | None = None
    ) -> DpopProof:
        """The proof of a request; see `read_proof`. It is not taken yet: `bind` does that, or `Sessions.check`.

        Args:
            token: that the request presents; None at a sign-in.

        Raises:
            DpopRefused: recorded with the check that it failed; that a nonce is missing or old is an ordinary course of
                things, and not.
        """
        failed: DpopCheck | None = None
        now = self._clock()
        try:
            proof = read_proof(headers, method=method, uri=uri, now=now, policy=self.policy, token=token)
        except ProofRefused as refusal:
            failed = refusal.check
        if failed is not None:
            self._refuse(failed, source)
        if self.policy.nonce and self._age(proof.nonce, now) is None:
            raise DpopRefused(error="use_dpop_nonce")
        return proof

    def next_nonce(self, proof: DpopProof) -> str | None:
        """A new nonce where the proof's is past half of its life (RFC 9449 section 8.2), so that no request is lost."""
        age = self._age(proof.nonce, self._clock()) if self.policy.nonce else None
        return self.nonce() if age is not None and age * 2 > self.policy.nonce_lifetime else None

    def holder(self, proof: DpopProof, *, source: Source) -> Holder:
        """For `Sessions.check`, which takes the proof when all else holds."""
        return Holder(proof.jkt, spend=lambda: self._spend(proof, source))

    def bind(self, session: NewSession, proof: DpopProof, *, source: Source) -> NewSession:
        """A session that was just opened, from here on for the holder of the proof's key alone.

        Returns:
            The session under another id, which is the client's access token; the one of before opens nothing.

        Raises:
            DpopRefused: the proof was used before. Denied: SESSION_UNKNOWN. In every case of failure the session is over.
        """
        try:
            self._spend(proof, source)
        except BaseException:
            self._sessions.discard(session)
            raise
        return self._sessions.bind_through(DOOR, session, proof.jkt, source=source)

    def _spend(self, proof: DpopProof, source: Source) -> None:
        # Under its key: nobody burns another client's names. Not under the account: to end its flows would free them.
        named = length_prefixed(
            b"dpop", proof.jkt.encode("ascii"), proof.jti.encode("utf-8", "surrogatepass")
        )
        used = Flow(
            digest=hashlib.sha256(named).digest(),
            purpose=_PURPOSE,
            account_id=None,
            data=b"",
            # It is good until `window` after its own time, which is at most `skew` ahead; and workers' clocks differ.
            expires_at=self._clock() + self.policy.window + 2 * self.policy.skew + _SECOND,
        )
        if not self._flows.put(used):
            self._refuse(DpopCheck.JTI, source)

    def _age(self, nonce: str | None, now: datetime) -> timedelta | None:
        """How old a nonce of ours is; None where it is not ours, or too old, or from the future."""
        try:
            raw = unb64url(nonce or "")
        except ValueError:
            return None
        told, tag = raw[:_SECONDS], raw[_SECONDS:]
        known = [hmac.compare_digest(tag, each[:_TAG]) for each in self._mac.all(_NONCE, told)]
        if not any(known):  # nor is one that is shorter
            return None
        # In seconds: whoever has a key of ours could name any time, and none may overflow.
        age = (now - datetime.fromtimestamp(0, UTC)) // _SECOND - int.from_bytes(told, "big")
        if not -self.policy.skew // _SECOND <= age < self.policy.nonce_lifetime // _SECOND:
            return None
        return timedelta(seconds=age)

    def _refuse(self, check: DpopCheck, source: Source) -> NoReturn:
        self._emit(
            SecurityEvent(
                name=Event.AUTH_SESSION_REFUSED,
                outcome=Outcome.DENIED,
                actor=ANONYMOUS,
                reason=Reason.DPOP_REFUSED,
                source=source,
                details={"check": check.value},
            )
        )
        raise DpopRefused
