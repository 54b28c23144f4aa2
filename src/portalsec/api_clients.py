"""What both adapters do for API clients: from the headers of a request to a session that is bound to the client's key.

An API client holds no cookie. At its sign-in it proves a key (`ApiClients.proof`), and the session that the door opens is
bound to that key (`ApiClients.bind`): its id is the access token. Every later request brings the token and a fresh proof
(RFC 9449). Such a request is never decided by a cookie, so nothing that another site makes a browser send is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from portalsec.auth._input import token_text
from portalsec.auth.dpop import Dpop, DpopPolicy, DpopProof, DpopRefused
from portalsec.auth.dpop.jwk import ALGORITHMS
from portalsec.auth.factor_demand import FactorDemand
from portalsec.auth.holder import Holder
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import ConfigurationError, Denied, Reason
from portalsec.events import Source
from portalsec.portal import Portal
from portalsec.web import retry_after_seconds, status_of

__all__ = ["ApiAnswer", "ApiClients", "ApiRequest", "Held"]

_ALGORITHMS = f'algs="{" ".join(ALGORITHMS)}"'
_OF_TOKENS = frozenset(  # what a client mends with a new sign-in
    {
        Reason.SESSION_UNKNOWN,
        Reason.SESSION_IDLE,
        Reason.SESSION_EXPIRED,
        Reason.SESSION_CLOCK,
        Reason.SESSION_REVOKED,
        Reason.EVIDENCE_MISSING,
        Reason.DPOP_REFUSED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """What counts of a request.

    Attributes:
        method: as it was sent.
        path: as it was sent, still escaped.
        authorization, proofs: every Authorization and every DPoP header of it.
        source: where it came from.
    """

    method: str
    path: str
    authorization: Sequence[str] = field(repr=False)
    proofs: Sequence[str] = field(repr=False)
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A token and the key that was proven with it, for `Guard` and `Sessions.check`."""

    token: str = field(repr=False)
    holder: Holder
    proof: DpopProof


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """The answer to a refusal: it says what a client can mend, and nothing of why."""

    status: int
    headers: Mapping[str, str]


class ApiClients:
    """One portal's API clients. Safe for concurrent use. Every method but `answer` may ask a store."""

    def __init__(self, portal: Portal, *, policy: DpopPolicy | None = None) -> None:
        self._portal = portal
        self.dpop = Dpop(
            sessions=portal.sessions,
            flows=portal.stores.flows,
            mac=KeyedHash(portal.keys.mac),
            clock=portal.clock,
            emit=portal.emit,
            policy=policy,
        )

    def proof(self, asked: ApiRequest) -> DpopProof:
        """The proof of a request at a sign-in, before anything else of it is looked at.

        Raises:
            Denied: DPOP_REFUSED; the client is asked for another, where that would do.
        """
        return self._read(asked, None)

    def bind(self, session: NewSession, proof: DpopProof, *, source: Source) -> NewSession:
        """The session that the door opened, for the holder of the proven key alone. See `Dpop.bind`."""
        return self.dpop.bind(session, proof, source=source)

    def held(self, asked: ApiRequest) -> Held:
        """The token that a request presents, and its proof, which is not taken yet.

        Raises:
            Denied: SESSION_MISSING (none, or under another scheme), MALFORMED (two of them), DPOP_REFUSED.
        """
        if len(asked.authorization) > 1:
            raise Denied(Reason.MALFORMED)
        scheme, _, token = (asked.authorization[0] if asked.authorization else "").partition(" ")
        if scheme.lower() != "dpop":  # RFC 9110 section 11.1: in any case
            raise Denied(Reason.SESSION_MISSING)
        if token_text(token) is None:
            raise Denied(Reason.SESSION_UNKNOWN)
        proof = self._read(asked, token)
        return Held(token=token, holder=self.dpop.holder(proof, source=asked.source), proof=proof)

    def session(
        self,
        held: Held,
        *,
        source: Source,
        stepping_up: bool = False,
        factor: FactorDemand | None = None,
        passive: bool = False,
    ) -> ActiveSession:
        """The live session of a request, for a route that has no permission to ask for.

        Args:
            held: what `held` found of it.
            stepping_up: the request shows a factor, or asks how to.
            factor: what it must have shown lately.
            passive: the client asks in the background, which is no activity.

        Raises:
            Denied: as `Sessions.check`; STEP_UP_REQUIRED, where ``factor`` was not shown.
        """
        session = self._portal.sessions.check(
            held.token, source=source, passive=passive, stepping_up=stepping_up, holder=held.holder
        )
        if factor is not None:
            self._portal.step_up.ask(session, factor)
        return session

    def sign_out(self, asked: ApiRequest) -> None:
        """End the session of a request, for whoever holds its key.

        Raises:
            Denied: as `session`, but for STEP_UP_REQUIRED: a strange session may end.
        """
        held = self.held(asked)
        self._portal.sessions.check(
            held.token, source=asked.source, passive=True, stepping_up=True, holder=held.holder
        )
        self._portal.sign_in.logout(held.token, source=asked.source, jkt=held.proof.jkt)

    def granted(self, session: NewSession) -> dict[str, object]:
        """The body of the answer that gives a client its token (RFC 6749 section 5.1, RFC 9449 section 5).

        Raises:
            ConfigurationError: ``session`` was not bound to a key, so its token would open it for whoever holds it.
        """
        if session.jkt is None:
            raise ConfigurationError(
                "ApiClients.granted: the session is bound to no key; pass what bind returned"
            )
        left = session.absolute_until - self._portal.clock()
        return {
            "access_token": session.token.reveal(),
            "token_type": "DPoP",
            "expires_in": max(0, int(left.total_seconds())),
        }

    def answer(self, denied: Denied) -> ApiAnswer:
        """Status and headers of a refusal (RFC 9449 section 7.1, RFC 6750 section 3, RFC 9470 section 3)."""
        status, error = status_of(denied), "invalid_token" if denied.reason in _OF_TOKENS else ""
        headers: dict[str, str] = {}
        if (wait := retry_after_seconds(denied.retry_after)) is not None:
            headers["Retry-After"] = wait
        if isinstance(denied, DpopRefused):
            error = denied.error
            if error == "use_dpop_nonce":
                headers["DPoP-Nonce"] = self.dpop.nonce()
        elif denied.reason is Reason.STEP_UP_REQUIRED:
            status, error = 401, "insufficient_user_authentication"
        if status == 401:
            headers["WWW-Authenticate"] = f"DPoP {_ALGORITHMS}" + (f', error="{error}"' if error else "")
        return ApiAnswer(status=status, headers=headers)

    def _read(self, asked: ApiRequest, token: str | None) -> DpopProof:
        return self.dpop.read(
            asked.proofs,
            method=asked.method,
            uri=self._portal.base_url + asked.path,
            source=asked.source,
            token=token,
        )
