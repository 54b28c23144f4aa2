"""The first factor where it is a link that was mailed: asked for by one browser, and followed in no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from portalsec._encoding import new_token
from portalsec.auth._door_kit import Kit
from portalsec.auth._opening import Opening
from portalsec.auth._pending import Browser, Pending, password_digest
from portalsec.auth._pending_flows import LINK, PendingSignIns, token_digest
from portalsec.auth._standing import Standing
from portalsec.auth.evidence import Evidence
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor
from portalsec.auth.step import Step
from portalsec.errors import Reason, StoreError
from portalsec.events import Event, Source
from portalsec.secret import Secret

__all__ = ["LINK_LIFETIME", "LinkFirst"]

LINK_LIFETIME: Final = timedelta(minutes=10)
"""From the asking on, however late the mail is: what is mailed to sign in lives no longer (SP 800-63B-4, 3.1.3.2)."""


class LinkFirst:
    """The door's half of `portalsec.auth.sign_in_link`. Safe for concurrent use: the store lets one use through."""

    def __init__(self, kit: Kit, pending: PendingSignIns, standing: Standing, opening: Opening) -> None:
        self._kit = kit
        self._pending = pending
        self._standing = standing
        self._opening = opening

    def begin(
        self, *, source: Source, replaces: object, shared: bool, trust: bool
    ) -> tuple[Secret[str], bytes]:
        """`SignIn.begin_link`."""
        left = tuple(self._pending.abort(replaces))
        token = new_token()
        digest = token_digest(token)
        if digest is None:
            raise StoreError("a pending token could not be made")
        browser = Browser(shared=shared, trust=trust and not shared, left=left, jkt=source.jkt)
        # Of nobody in the store: whether there is such an account is found out by the courier.
        state = Pending(epoch=0, proofs=(), password="", browser=browser)
        self._pending.put(digest, LINK, None, state, expires_at=self._kit.clock() + LINK_LIFETIME)
        return Secret(token), digest

    def after(
        self, pending: object, account: Account, proven: Evidence, *, source: Source, device: object
    ) -> Step:
        """`SignIn.after_link`."""
        kit, digest = self._kit, token_digest(pending)
        # One use, whatever comes of it.
        flow = digest and kit.flows.consume(digest, LINK, now=kit.clock())
        begun = self._pending.under_its_key(flow, source) if flow else None
        reason = None
        if not flow:
            reason = Reason.FLOW_UNKNOWN
        elif proven.account_id != account.id or proven.epoch is None:
            reason = Reason.EVIDENCE_MIXED
        elif self._standing.must_change(account) is not None:
            # A password that is asked for anew is not chosen by whoever reads the mail: that is what a reset is for.
            reason = Reason.CHANGE_REQUIRED
        elif not self._leads_on(account, proven, source):
            reason = Reason.EVIDENCE_MISSING
        if reason is not None or begun is None or proven.epoch is None:
            kit.refuse(
                Event.AUTH_LOGIN_FAILED,
                reason or Reason.FLOW_UNKNOWN,
                source=source,
                account_id=account.id,
            )
        known = kit.known_device(device, account.id, source)
        browser = replace(
            begun.browser,
            device=None if known is None else known.digest.hex(),
            family=None if known is None else kit.devices.family(device, known),
            folded=tuple(notice for whose, notice in begun.browser.left if whose == account.id),
            left=(),
        )
        state = Pending(
            epoch=proven.epoch,
            proofs=(proven.proof,),
            password=password_digest(kit.mac, account.password_hash),
            browser=browser,
        )
        return self._opening.go_on(account, state, source=source, device=device)

    def _leads_on(self, account: Account, proven: Evidence, source: Source) -> bool:
        """Whether something beside a password does: a password comes first at this door, and never behind a link. Nor is
        anything set up behind a link that is not enough, where the account has a password that nobody showed."""
        where = self._standing.next(account, [proven.proof], source=source, browser=Browser())
        bare = account.password_hash is None
        return where.done or (bare and bool(where.enrol)) or bool(where.show - {Factor.PASSWORD})
