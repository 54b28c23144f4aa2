"""What passkeys.js asks: options for the browser, and what became of its answer."""

from __future__ import annotations

import json
from dataclasses import replace

from portalsec.account_pages.exchange import (
    Asked,
    Reply,
    Route,
    others_of,
    refused,
    step_cookies,
    step_page,
    trouble,
)
from portalsec.account_pages.other_ways import other_page
from portalsec.account_pages.way_back import signed_over
from portalsec.auth.passkeys.options import PasskeyOptions
from portalsec.auth.passkeys.rp_id import related_origins_document
from portalsec.auth.signin import Step
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import PASSKEY_COOKIE, PENDING_COOKIE, clear_cookie, safe_next, set_cookie

__all__ = ["PasskeyPages", "passkey_options", "passkey_refused"]

# The last two: the passkey was right, and something ended the account's sign-ins in that moment.
_START_AGAIN = frozenset(
    {Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED, Reason.SESSION_REVOKED, Reason.EVIDENCE_STALE}
)
_SENTENCE = {
    **dict.fromkeys(_START_AGAIN, "begin_again"),
    Reason.THROTTLED: "wait",
    Reason.PASSKEY_TAKEN: "passkey_taken",
}


class PasskeyPages:
    """Passkeys at the door: as the first factor, as the second, and set up because the policy asks for one.

    Every POST is JSON both ways. What goes well answers ``{"options": ...}`` for the browser, or ``{"go": path}``; what is
    refused ``{"words": ...}``, one sentence in the visitor's language that says no more than a form's would.
    """

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        if self._portal.passkeys is None:
            return ()  # an address at which browsers have none
        at = "/sign-in/passkey"
        listed = Route(method="GET", path="/.well-known/webauthn", operation=self.related_origins)
        return (
            *((listed,) if self._portal.passkeys.policy.related_origins else ()),
            Route(method="GET", path=at, operation=self.second),
            Route(method="POST", path=f"{at}/begin", operation=self.begin, asks_json=True),
            Route(method="POST", path=at, operation=self.submit, asks_json=True),
            Route(method="GET", path=f"{at}/set-up", operation=self.set_up),
            Route(method="POST", path=f"{at}/set-up/begin", operation=self.begin_set_up, asks_json=True),
            Route(method="POST", path=f"{at}/set-up", operation=self.confirm_set_up, asks_json=True),
        )

    def related_origins(self, asked: Asked) -> Reply:
        """Which pages of other domains may use this portal's passkeys (WebAuthn Level 3 section 5.11.1); for browsers."""
        passkeys = self._portal.passkeys
        return Reply(
            json=json.loads(related_origins_document(passkeys.policy.related_origins if passkeys else ()))
        )

    # -- signing in -------------------------------------------------------------------------------------------------

    def second(self, asked: Asked) -> Reply:
        """The page of a passkey as second factor. Shows: next, others (what would do instead: "totp", ...), other."""
        return self._page(asked, "passkey")

    def begin(self, asked: Asked) -> Reply:
        """``second=yes`` goes on with the sign-in under way; without it a new one begins: ``login`` (empty: whichever
        passkey the visitor has), ``shared``, ``trust``. ``autofill=yes``: the page asks by itself, and a sign-in that is
        under way in another tab goes on.

        What a first passkey's question is bound to has a cookie of its own (`portalsec.web.PASSKEY_COOKIE`).
        """
        try:
            if asked.text("second"):
                options, token = self._portal.sign_in.begin_passkey(asked.pending or "", source=asked.source)
                cookie = set_cookie(PENDING_COOKIE, token.reveal())
            else:
                options, token = self._portal.sign_in.begin_passkey(
                    source=asked.source,
                    login=asked.text("login").strip() or None,
                    replaces=asked.passkey if asked.text("autofill") else asked.pending,
                    shared="shared" in asked.form,
                    trust="trust" in asked.form and "shared" not in asked.form,
                )
                cookie = set_cookie(PASSKEY_COOKIE, token.reveal())
        except Denied as denied:
            return passkey_refused(denied, asked.language, cookie=_cookie_of(asked))
        return passkey_options(options, cookie)

    def submit(self, asked: Asked) -> Reply:
        """``response``: the credential's JSON as a text; ``second`` as it began; ``next``."""
        first = not asked.text("second")
        try:
            step = self._portal.sign_in.submit_passkey(
                asked.passkey if first else asked.pending,
                asked.form.get("response"),
                source=asked.source,
                device=asked.device,
                replaces=asked.pending if first else None,  # whatever was under way in this browser
            )
        except Denied as denied:
            return passkey_refused(denied, asked.language, cookie=_cookie_of(asked))
        reply = self._onward(asked, step)
        if not first:
            return reply
        return replace(reply, cookies=(*reply.cookies, clear_cookie(PASSKEY_COOKIE)))

    # -- setting one up at the door ---------------------------------------------------------------------------------

    def set_up(self, asked: Asked) -> Reply:
        """The page where the policy asks for a passkey. Shows: next, others ("totp_enrolment"), other."""
        return self._page(asked, "passkey_set_up")

    def begin_set_up(self, asked: Asked) -> Reply:
        """Options for a new passkey; once, as the answer to a POST."""
        try:
            options = self._portal.sign_in.begin_passkey_enrolment(asked.pending, source=asked.source)
        except Denied as denied:
            return passkey_refused(denied, asked.language)
        return passkey_options(options)

    def confirm_set_up(self, asked: Asked) -> Reply:
        """``response``, ``label``, ``next``."""
        try:
            step = self._portal.sign_in.confirm_passkey_enrolment(
                asked.pending,
                asked.form.get("response"),
                asked.text("label"),
                source=asked.source,
                device=asked.device,
            )
        except Denied as denied:
            return passkey_refused(denied, asked.language)
        return self._onward(asked, step)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _page(self, asked: Asked, page: str) -> Reply:
        if asked.pending is None:
            return Reply(redirect="/sign-in")
        next, others = safe_next(asked.form.get("next")), others_of(asked.text("or"))
        other = other_page("passkey" if page == "passkey" else "passkey_enrolment", others, next)
        values = {"next": next, "others": others, "other": other, "errors": ()}
        return Reply(page=page, values=values)

    def _onward(self, asked: Asked, step: Step) -> Reply:
        over = () if step.session is None else signed_over(self._portal, asked)
        next = safe_next(asked.form.get("next"))
        go = next if step.session is not None else step_page(step, next=next)
        return Reply(json={"go": go}, cookies=(*over, *step_cookies(step)), session=step.session)


def passkey_options(options: PasskeyOptions, *cookies: str) -> Reply:
    """The answer to "begin"."""
    return Reply(json={"options": json.loads(options.json)}, cookies=cookies)


def _cookie_of(asked: Asked) -> str:
    return PENDING_COOKIE if asked.text("second") else PASSKEY_COOKIE


def passkey_refused(denied: Denied, language: str, *, cookie: str = PENDING_COOKIE) -> Reply:
    """One face for whatever was wrong with a passkey: whose it is, whether it is known, which check failed.

    ``cookie``: of what it belonged to, which is cleared where that is dead.
    """
    reply = refused(denied, "")
    words = trouble("", _SENTENCE.get(denied.reason, "passkey_refused"), language).text
    cookies = (clear_cookie(cookie),) if denied.reason in _START_AGAIN else ()
    return Reply(status=reply.status, json={"words": words}, headers=reply.headers, cookies=cookies)
