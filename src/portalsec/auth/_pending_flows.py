"""Sign-ins that are under way, in the store of flows: put, tried, used up, aborted.

A pending token is good for one step. The store sees its digest only, and what it holds is authenticated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import NoReturn

from portalsec._encoding import new_token
from portalsec.auth._door_kit import NOBODY, Kit
from portalsec.auth._input import token_text
from portalsec.auth._pending import Pending, is_password, open_data, seal_data
from portalsec.auth.ports import Account, Flow
from portalsec.errors import Denied, Reason, StoreError, Tampered
from portalsec.events import Event, Source
from portalsec.secret import Secret

__all__ = ["ENROLMENT", "FACTOR", "FIRST", "LINK", "NEW_PASSWORD", "PendingSignIns", "token_digest"]

FACTOR = "sign-in.factor"
ENROLMENT = "sign-in.enrolment"
NEW_PASSWORD = "sign-in.new-password"  # noqa: S105 - a flow's purpose
FIRST = "sign-in.passkey-first"
LINK = "sign-in.link"
_LOOK = "sign-in.new-password.look"
_LOOKS = 1_000_000
_MAX_BEGUN = 10
_MAX_FOLDED = 10  # notices of sign-ins that were left for another; older ones are mailed


class PendingSignIns:
    """Safe for concurrent use: the store decides who uses a token, and how many tries there were."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def open(
        self, purpose: str, account_id: str | None, state: Pending, *, expires_at: datetime
    ) -> Secret[str]:
        """Put a sign-in under a new token."""
        token = new_token()
        self.put(_digest(token), purpose, account_id, state, expires_at=expires_at)
        if purpose == NEW_PASSWORD:
            # A flow has one count, and what the meter asks while somebody types is no try.
            self.put(_look_digest(token), _LOOK, account_id, state, expires_at=expires_at)
        return Secret(token)

    def put(
        self,
        digest: bytes,
        purpose: str,
        account_id: str | None,
        state: Pending,
        *,
        expires_at: datetime,
        attempts: int = 0,
    ) -> None:
        """Put a sign-in where nothing may lie yet; `StoreError` otherwise."""
        data = seal_data(self._kit.mac, state.encode(), digest=digest, purpose=purpose, account_id=account_id)
        flow = Flow(
            digest=digest,
            purpose=purpose,
            account_id=account_id,
            data=data,
            expires_at=expires_at,
            attempts=attempts,
        )
        if not self._kit.flows.put(flow):
            raise StoreError("a pending sign-in could not be stored")

    def tried(
        self, digest: bytes | None, purpose: str, source: Source, *, limit: int | None = None
    ) -> tuple[Flow, Pending]:
        """A sign-in that stands in the store, with this try counted; FLOW_UNKNOWN otherwise."""
        kit = self._kit
        kit.posture(source)  # nonsense costs no try
        most = limit or kit.policy.pending_attempts
        flow = digest and kit.flows.attempt(digest, purpose, limit=most, now=kit.clock())
        if not flow:
            kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        return flow, self.under_its_key(flow, source)

    def begun(
        self,
        pending: object,
        purpose: str,
        source: Source,
        *,
        most: int = _MAX_BEGUN,
        of: Callable[[Pending], int] = lambda state: state.begun,
    ) -> tuple[Flow, Pending, Account]:
        """A sign-in that begins one more ceremony, taken out of the store: whatever fails before `put` ends it.

        ``of`` is what there may be ``most`` of.
        """
        kit = self._kit
        kit.posture(source)
        digest = token_digest(pending)
        flow = digest and kit.flows.consume(digest, purpose, now=kit.clock())
        if not flow:
            kit.refuse(Event.AUTH_MFA_CHALLENGE_FAILED, Reason.FLOW_UNKNOWN, source=source)
        state = self.under_its_key(flow, source)
        account = self.holder(flow, state, source)
        if of(state) >= most:
            kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FLOW_EXHAUSTED,
                source=source,
                account_id=account.id,
            )
        return flow, state, account

    def put_back(self, flow: Flow, state: Pending) -> None:
        """What `begun` took out, as it is now; its time and its tries go on."""
        self.put(
            flow.digest,
            flow.purpose,
            flow.account_id,
            state,
            expires_at=flow.expires_at,
            attempts=flow.attempts,
        )

    def state(self, flow: Flow) -> Pending:
        """What a flow holds; `Tampered` where we did not write it."""
        return Pending.decode(open_data(self._kit.mac, flow))

    def under_its_key(self, flow: Flow, source: Source) -> Pending:
        """The same, for who goes on under the key that it was begun with, or without any where there was none. Of any other
        it ends here: it was taken from its client on the way, and must not open a session that is bound to the thief's key.
        """
        state, kit = self.state(flow), self._kit
        if state.browser.jkt != source.jkt:
            kit.flows.consume(flow.digest, flow.purpose, now=kit.clock())
            kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.DPOP_REFUSED,
                source=source,
                account_id=flow.account_id,
            )
        return state

    def holder(self, flow: Flow, state: Pending, source: Source) -> Account:
        """The account of a pending sign-in, which ends here if the account is disabled or has another password now.

        A password can be changed past portalsec (an administration page, a script); the store's hash is what tells.
        """
        kit = self._kit
        account = kit.accounts.get(flow.account_id or NOBODY)
        if account is None or account.disabled or not self.still(account, state.password):
            kit.flows.consume(flow.digest, flow.purpose, now=kit.clock())
            gone = account is None or account.disabled
            kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.ACCOUNT_DISABLED if gone else Reason.FLOW_UNKNOWN,
                source=source,
                account_id=flow.account_id,
                details={} if gone else {"ended_by": "password_changed"},
            )
        return account

    def still(self, account: Account, password: str | None) -> bool:
        """Whether the account's password is the one that it had; None where nobody looked."""
        return password is None or is_password(self._kit.mac, password, account.password_hash)

    def consume(self, flow: Flow, source: Source) -> None:
        """Use a sign-in up: one of several requests gets past this."""
        kit = self._kit
        if kit.flows.consume(flow.digest, flow.purpose, now=kit.clock()) is None:
            # Another request used, aborted or outlived it between our attempt and now.
            kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FLOW_UNKNOWN,
                source=source,
                account_id=flow.account_id,
            )

    def failed(
        self, flow: Flow, reason: Reason, source: Source, *, recorded: Reason | None = None
    ) -> NoReturn:
        """Refuse a try. ``recorded``: why it was not even looked at, which the log says and the answer does not."""
        kit, cause = self._kit, recorded or reason
        if flow.attempts >= kit.policy.pending_attempts:
            # The last attempt takes the pending sign-in with it: a guesser must find the first factor again.
            kit.flows.consume(flow.digest, flow.purpose, now=kit.clock())
            kit.refuse(
                Event.AUTH_MFA_CHALLENGE_FAILED,
                Reason.FLOW_EXHAUSTED,
                source=source,
                account_id=flow.account_id,
                details={"last": cause.value},
            )
        kit.refuse(
            Event.AUTH_MFA_CHALLENGE_FAILED, cause, source=source, account_id=flow.account_id, shown=reason
        )

    @contextmanager
    def ended_by_errors(self, pending: object) -> Iterator[None]:
        """One step. What is no refusal ends the sign-in: of a step that broke half way nobody knows what it did, so none
        goes on from there. Where the store of flows is what failed, its own time ends it."""
        try:
            yield
        except Denied:
            raise
        except BaseException:
            with suppress(StoreError):
                self.abort(pending)
            raise

    def abort(self, pending: object) -> list[tuple[str, str]]:
        """Drop a sign-in; whose it was, with each notice that is due unless it, or what takes its place, is completed."""
        kit = self._kit
        digest, now = token_digest(pending), kit.clock()
        found: list[tuple[str, str]] = []
        if digest is None:
            return found
        for purpose in (FACTOR, ENROLMENT, NEW_PASSWORD, FIRST, LINK):
            flow = kit.flows.consume(digest, purpose, now=now)
            if flow is None:
                continue
            with suppress(Tampered):  # it is gone, whatever was in it
                browser = self.state(flow).browser
                own = [*browser.folded, *([] if browser.notice is None else [browser.notice])]
                found += [(flow.account_id or NOBODY, notice) for notice in own]
                found += browser.left
            if purpose == NEW_PASSWORD:
                kit.flows.consume(
                    _look_digest(str(pending)), _LOOK, now=now
                )  # nothing of it is left to look at
        return found[-_MAX_FOLDED:]

    def looked_at(self, pending: object) -> tuple[Flow, Pending] | None:
        """The sign-in that waits for a new password, costing none of its tries; None for any other token."""
        text, kit = token_text(pending), self._kit
        flow = text and kit.flows.attempt(_look_digest(text), _LOOK, limit=_LOOKS, now=kit.clock())
        return (flow, self.state(flow)) if flow else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()


def _look_digest(token: str) -> bytes:
    return hashlib.sha256(b"look:" + token.encode("ascii")).digest()


def token_digest(token: object) -> bytes | None:
    """The store's key of a pending token; None for what can be none."""
    text = token_text(token)
    return None if text is None else _digest(text)
