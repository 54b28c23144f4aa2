"""Other ways past the second step of a sign-in: a recovery code, a code by mail or SMS, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from portalsec.account_pages.exchange import (
    CHOOSE_WAY,
    Asked,
    Reply,
    Route,
    Trouble,
    others_of,
    refused,
    step_cookies,
    step_page,
    trouble,
    way_page,
)
from portalsec.account_pages.way_back import signed_over
from portalsec.auth.demands import Facts, meets
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.signin import Step
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import PENDING_COOKIE, clear_cookie, safe_next

__all__ = ["OtherWayPages", "WayView", "other_page", "trust_offered"]

_SENT = (Factor.EMAIL_CODE, Factor.SMS_CODE)
_TO_SET_UP = "_enrolment"
_MISTAKES = frozenset(
    {
        Reason.WRONG_CODE,
        Reason.MALFORMED,
        Reason.THROTTLED,
        Reason.FACTOR_NOT_ENROLLED,
        Reason.FACTOR_DISABLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayView:
    """A way past the second step.

    Attributes:
        kind: "passkey", "totp", "recovery_code", "email_code" or "sms_code".
        page: where it is shown; "" for a code that is sent first: a button posts its ``kind`` as ``factor``.
    """

    kind: str
    page: str


class OtherWayPages:
    """Operations of a sign-in that waits for a second factor. Safe for concurrent use.

    What a page's ``or`` says only chooses links: what counts is what the door takes.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        get, post = "GET", "POST"
        own = (
            Route(method=get, path=CHOOSE_WAY, operation=self.choose),
            Route(method=get, path="/sign-in/recovery-code", operation=self.recovery_code),
            Route(method=post, path="/sign-in/recovery-code", operation=self.submit_recovery_code),
        )
        if not self._portal.policies.out_of_band.factors:
            return own  # no address at which one could ask for what is never sent
        return (
            *own,
            Route(method=post, path=CHOOSE_WAY, operation=self.send),
            Route(method=get, path="/sign-in/sent-code", operation=self.sent_code),
            Route(method=post, path="/sign-in/sent-code", operation=self.submit_sent_code),
        )

    # -- the choice -------------------------------------------------------------------------------------------------

    def choose(self, asked: Asked) -> Reply:
        """``next``, ``or`` (kinds; none: all that the portal has). Shows: next, ors, ways (`WayView`)."""
        if asked.pending is None:
            return Reply(redirect="/sign-in")
        return Reply(page="other_ways", values=self._choice(asked))

    def send(self, asked: Asked) -> Reply:
        """``factor`` ("email_code" or "sms_code"), ``next``, ``or``. Sends a code and shows where to type it.

        A code goes out by POST alone, and the pending sign-in bounds how many.
        """
        factor = next((each for each in _SENT if each == asked.text("factor")), None)
        if factor is None:
            raise Denied(Reason.MALFORMED)
        try:
            sent = self._portal.sign_in.send_code(
                asked.pending, factor, source=asked.source, language=asked.language
            )
        except Denied as denied:
            mistake = denied
        else:
            return Reply(page="sent_code", values=self._typing(asked, factor.value, to=sent.to))
        if mistake.reason not in _MISTAKES:
            return self._over(asked, mistake)
        errors = (trouble("", "way_not_yours", asked.language),)
        return refused(mistake, "other_ways", **{**self._choice(asked), "errors": errors})

    # -- a code that was sent ---------------------------------------------------------------------------------------

    def sent_code(self, asked: Asked) -> Reply:
        """The form for a code that is on its way. ``factor``, ``next``, ``or``. Shows: next, ors, factor, to (""), other."""
        if asked.pending is None:
            return Reply(redirect="/sign-in")
        return Reply(page="sent_code", values=self._typing(asked, asked.text("factor")))

    def submit_sent_code(self, asked: Asked) -> Reply:
        """``code``, ``factor`` (for the page's words), ``next``, ``or``."""
        return self._submit(
            asked,
            lambda: self._portal.sign_in.submit_sent_code(
                asked.pending, asked.text("code"), source=asked.source, device=asked.device
            ),
            "sent_code",
            self._typing(asked, asked.text("factor")),
            wrong="wrong_sent_code",
        )

    # -- a recovery code --------------------------------------------------------------------------------------------

    def recovery_code(self, asked: Asked) -> Reply:
        """The form for a recovery code. Shows: next, ors, other."""
        if asked.pending is None:
            return Reply(redirect="/sign-in")
        return Reply(page="recovery_code", values=self._of(asked, "recovery_code"))

    def submit_recovery_code(self, asked: Asked) -> Reply:
        """``code``, ``next``, ``or``. The code is spent by it."""
        return self._submit(
            asked,
            lambda: self._portal.sign_in.submit_recovery_code(
                asked.pending, asked.text("code"), source=asked.source, device=asked.device
            ),
            "recovery_code",
            self._of(asked, "recovery_code"),
            wrong="wrong_recovery_code",
        )

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _submit(
        self, asked: Asked, verify: Callable[[], Step], page: str, values: dict[str, object], *, wrong: str
    ) -> Reply:
        if not asked.text("code").strip():
            errors: tuple[Trouble, ...] = (trouble("code", "missing_code", asked.language),)
            return Reply(status=400, page=page, values={**values, "errors": errors})
        try:
            step = verify()
        except Denied as denied:
            mistake = denied
        else:
            return self._onward(asked, step)
        words = wrong
        if page == "sent_code" and mistake.reason is Reason.FLOW_UNKNOWN:
            # The code is over; whether the sign-in is too, asking for another one tells.
            words = "sent_code_over"
        elif mistake.reason not in _MISTAKES:
            return self._over(asked, mistake)
        return refused(mistake, page, **{**values, "errors": (trouble("code", words, asked.language),)})

    def _onward(self, asked: Asked, step: Step) -> Reply:
        over = () if step.session is None else signed_over(self._portal, asked)
        next = safe_next(asked.form.get("next"))
        go = next if step.session is not None else step_page(step, next=next)
        return Reply(redirect=go, cookies=(*over, *step_cookies(step)), session=step.session)

    def _over(self, asked: Asked, denied: Denied) -> Reply:
        """The sign-in is dead: too old, out of tries, or ended elsewhere. Nothing is left to go on with."""
        reply = refused(denied, "sign_in_over", next=safe_next(asked.form.get("next")), errors=())
        return replace(reply, cookies=(clear_cookie(PENDING_COOKIE),))

    def _choice(self, asked: Asked) -> dict[str, object]:
        next, kinds = safe_next(asked.form.get("next")), others_of(asked.text("or"))
        ways = tuple(
            WayView(
                kind=kind,
                page=""
                if kind in _SENT
                else way_page(kind, next=next, others=[each for each in kinds if each != kind]),
            )
            for kind in self._kinds()
            if not kinds or kind in kinds
        )
        return {"next": next, "ors": " ".join(kinds), "ways": ways, "errors": ()}

    def _kinds(self) -> tuple[str, ...]:
        """What this portal takes as a second factor, the strongest first: not what an account has."""
        sent = self._portal.policies.out_of_band.factors
        return (
            *(() if self._portal.passkeys is None else ("passkey",)),
            "totp",
            *(each.value for each in _SENT if each in sent),
            "recovery_code",
        )

    def _typing(self, asked: Asked, factor: str, *, to: str = "") -> dict[str, object]:
        kind = factor if factor in _SENT else Factor.EMAIL_CODE.value
        return {**self._of(asked, kind), "factor": kind, "to": to}

    def _of(self, asked: Asked, kind: str) -> dict[str, object]:
        next, kinds = safe_next(asked.form.get("next")), others_of(asked.text("or"))
        return {"next": next, "ors": " ".join(kinds), "other": other_page(kind, kinds, next), "errors": ()}


def trust_offered(portal: Portal) -> timedelta | None:
    """How long a browser would be trusted whose owner asks for that at sign-in; None where a page has no box for it.

    That is where the settings trust none, and where the policy asks everybody for more than a password: a box that
    spares nobody anything would be a promise that is not kept.
    """
    trust, now = portal.policies.trust, portal.clock()
    password = Proof(factor=Factor.PASSWORD, at=now)
    spares = trust.enabled and meets([password], portal.sign_in.policy.demand(Facts(), now))
    return trust.lifetime if spares else None


def other_page(kind: str, others: tuple[str, ...], next: str) -> str:
    """Where the page of ``kind`` leads whoever would use another way: the choice, or the only other one itself; "" where
    there is none. Beside something to set up, only something else to set up."""
    rest = [each for each in others if each != kind]
    if kind.endswith(_TO_SET_UP):
        rest = [each for each in rest if each.endswith(_TO_SET_UP)]
    if not rest:
        return ""
    if len(rest) == 1 and rest[0] not in _SENT:
        return way_page(rest[0], next=next, others=[kind])
    return way_page("", next=next, others=[kind, *rest])
