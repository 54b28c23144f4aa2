"""The account's second keys: the list, and all that changes it. Each change asks for a fresh step-up first.

A seed, its picture and recovery codes are in the answer to one POST and at no address: nothing that a browser keeps of
where it was leads back to them, and no GET ever has them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import quote

from portalsec.account_pages.exchange import Asked, Reply, Route, Trouble, leads_to, refused, trouble
from portalsec.account_pages.shortfall import step_up_page
from portalsec.account_pages.views import Drawing
from portalsec.auth.authenticators import RESTORABLE, Held
from portalsec.auth.factors import WITHIN, Added, Overview
from portalsec.auth.qr import qr_svg
from portalsec.auth.recovery_codes import RecoveryCodeSet
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.auth.step_up import StepUpRequired
from portalsec.auth.totp import Enrolment
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import SESSION_COOKIE, clear_cookie, set_cookie

__all__ = [
    "LIST",
    "AuthenticatorPages",
    "HeldView",
    "TrustedView",
    "added_reply",
    "form_again",
    "short_of",
    "to_step_up",
]

LIST = "/account/factors"
_DONE = frozenset({"added", "removed", "last", "restored", "renamed", "distrusted"})
_WORDS = {
    Reason.FACTOR_NOT_ENROLLED: ("", "no_such_factor"),
    Reason.FACTOR_REQUIRED: ("", "factor_required"),
    Reason.FACTOR_LIMIT: ("", "factor_limit"),
    Reason.PASSKEY_REFUSED: ("", "factor_limit"),
    Reason.MALFORMED: ("label", "missing_label"),
    Reason.TOKEN_INVALID: ("", "no_such_factor"),
}
_CODE = frozenset({Reason.WRONG_CODE, Reason.CODE_REPLAYED, Reason.MALFORMED, Reason.THROTTLED})
_AGAIN = frozenset(
    {
        Reason.FLOW_UNKNOWN,
        Reason.FACTOR_NOT_ENROLLED,
        Reason.FACTOR_ALREADY_ENROLLED,
        Reason.FACTOR_LIMIT,
        Reason.FACTOR_DISABLED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldView:
    """A second key on the list.

    Attributes:
        factor: "totp" or "passkey".
        dead: it opens nothing any more.
        make: of a passkey, as "iCloud Keychain", or "".
        copies: of a passkey: "made" (it is on other devices of its owner's too), "possible", or "".
        until: of a removed one, until when it can be put back.
    """

    id: str
    factor: str
    label: str
    created_at: datetime
    used_at: datetime | None
    dead: bool
    make: str = ""
    copies: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedView:
    """A browser that is trusted."""

    id: str
    label: str
    used_at: datetime
    until: datetime | None


class AuthenticatorPages:
    """Operations of a live session. Without one they raise `Denied`, as every closed page of the portal does."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        get, post = "GET", "POST"
        pages = (
            Route(method=get, path=LIST, operation=self.factors),
            Route(method=post, path=LIST, operation=self.change),
            Route(method=get, path=f"{LIST}/totp", operation=self.new_totp),
            Route(method=post, path=f"{LIST}/totp", operation=self.begin_totp),
            Route(method=post, path=f"{LIST}/totp/confirm", operation=self.confirm_totp),
            Route(method=get, path=f"{LIST}/totp/confirm", operation=leads_to(f"{LIST}/totp", self._session)),
            Route(method=get, path=f"{LIST}/codes", operation=self.codes),
            Route(method=post, path=f"{LIST}/codes", operation=self.make_codes),
        )
        if self._portal.passkeys is None:
            return pages
        return (*pages, Route(method=get, path=f"{LIST}/passkey", operation=self.new_passkey))

    # -- the list ---------------------------------------------------------------------------------------------------

    def factors(self, asked: Asked) -> Reply:
        """``remove`` or ``rename`` of an id asks for more. Shows: held, removed (`HeldView`), codes_left, codes_made_at,
        few_codes, trusted (`TrustedView`), removing, renaming (`HeldView` or None), passkeys (whether there are any),
        signal (JSON for the browser), done ("added", "removed", "last", "restored", "renamed", "distrusted" or "")."""
        session = self._session(asked)
        done = asked.text("done")
        if (asked.text("remove") or asked.text("rename")) and (short := short_of(self._portal, session)):
            name = "remove" if asked.text("remove") else "rename"
            return to_step_up(f"{LIST}?{name}={quote(asked.text(name)[:128])}", short)
        return self._list(asked, session, done=done if done in _DONE else "")

    def change(self, asked: Asked) -> Reply:
        """``do``: "rename" with ``label``, "remove", "restore", each with ``id``; "distrust" with ``device`` or "all"."""
        session, factors, source = self._session(asked), self._portal.factors, asked.source
        do, id = asked.text("do"), asked.text("id")
        try:
            if do == "rename":
                factors.rename(session, id, asked.text("label"), source=source)
                return Reply(redirect=f"{LIST}?done=renamed")
            if do == "distrust":
                factors.distrust(session, asked.text("device"), source=source)
                return Reply(redirect=f"{LIST}?done=distrusted")
            if do == "restore":
                return _under(factors.restore(session, id, source=source), f"{LIST}?done=restored")
            if do != "remove":
                raise Denied(Reason.MALFORMED)
            gone = factors.remove(session, id, source=source)
            done = f"{LIST}?done={'last' if gone.last else 'removed'}"
            if gone.session is None:  # it ended with the last one: a sign-in first, and then the list
                return Reply(redirect=done, cookies=(clear_cookie(SESSION_COOKIE),))
            return _under(gone.session, done)
        except Denied as denied:
            if denied.reason is Reason.STEP_UP_REQUIRED:
                more = f"?{do}={quote(id[:128])}" if do in ("remove", "rename") else ""
                return to_step_up(LIST + more, denied)
            if denied.reason not in _WORDS:
                raise
            field, words = _WORDS[denied.reason]
            told = (trouble(field, words, asked.language),)
            return self._list(asked, session, denied=denied, errors=told)

    def _list(
        self,
        asked: Asked,
        session: ActiveSession,
        *,
        done: str = "",
        denied: Denied | None = None,
        errors: tuple[Trouble, ...] = (),
    ) -> Reply:
        shown = self._portal.factors.overview(session)
        held = tuple(map(_view, shown.held))
        asked_for = asked.text("id") if asked.text("do") == "rename" else asked.text("rename")
        passkeys = self._portal.passkeys
        values = {
            "session": session,
            "held": held,
            "removed": tuple(map(_view, shown.removed)),
            "codes_left": shown.codes_left,
            "codes_made_at": shown.codes_made_at,
            "few_codes": shown.few_codes,
            "trusted": _trusted(shown),
            "removing": next((each for each in held if each.id == asked.text("remove")), None),
            "renaming": next((each for each in held if each.id == asked_for), None),
            "passkeys": passkeys is not None,
            "signal": "" if passkeys is None else passkeys.signal(session.account_id).json,
            "done": done,
            "errors": errors,
        }
        return (
            Reply(page="factors", values=values) if denied is None else form_again(denied, "factors", values)
        )

    # -- an authenticator app ---------------------------------------------------------------------------------------

    def new_totp(self, asked: Asked) -> Reply:
        """Asks for a name. Shows: errors."""
        session = self._session(asked)
        if short := short_of(self._portal, session):
            return to_step_up(f"{LIST}/totp", short)
        return Reply(page="factor_new", values={"session": session, "errors": ()})

    def begin_totp(self, asked: Asked) -> Reply:
        """``label``. Shows a new authenticator once, in ``factor_confirm``: qr, key, errors."""
        session, label = self._session(asked), asked.text("label").strip() or "Authenticator app"
        try:
            enrolment = self._portal.factors.begin_totp(session, label=label, source=asked.source)
        except Denied as denied:
            if denied.reason is Reason.STEP_UP_REQUIRED:
                return to_step_up(f"{LIST}/totp", denied)
            if denied.reason not in _WORDS:
                raise
            field, words = _WORDS[denied.reason]
            told = (trouble(field, words, asked.language),)
            return form_again(denied, "factor_new", {"session": session, "errors": told})
        return Reply(page="factor_confirm", values=_shown_once(session, enrolment))

    def confirm_totp(self, asked: Asked) -> Reply:
        """``code``: the first one of the new authenticator. This session goes on under a new id; all others end. Shows
        recovery codes where the account had none left."""
        session = self._session(asked)
        try:
            added = self._portal.factors.confirm_totp(session, asked.text("code"), source=asked.source)
        except Denied as denied:
            if denied.reason in _CODE:
                told = (trouble("code", "wrong_code", asked.language),)
                return form_again(denied, "factor_confirm", _shown_once(session, None, told))
            if denied.reason in _AGAIN:
                told = (trouble("", "begin_again", asked.language),)
                return form_again(denied, "factor_new", {"session": session, "errors": told})
            raise
        return added_reply(self._portal, asked, added)

    # -- a passkey --------------------------------------------------------------------------------------------------

    def new_passkey(self, asked: Asked) -> Reply:
        """A button that passkeys.js knows, and a name; `StepUpPages` answers what it asks. Shows: errors."""
        session = self._session(asked)
        if short := short_of(self._portal, session):
            return to_step_up(f"{LIST}/passkey", short)
        return Reply(page="passkey_new", values={"session": session, "errors": ()})

    # -- recovery codes ---------------------------------------------------------------------------------------------

    def codes(self, asked: Asked) -> Reply:
        """Asks once more. Shows: codes_left, errors."""
        session = self._session(asked)
        if short := short_of(self._portal, session):
            return to_step_up(f"{LIST}/codes", short)
        left = self._portal.factors.overview(session).codes_left
        return Reply(page="codes_new", values={"session": session, "codes_left": left, "errors": ()})

    def make_codes(self, asked: Asked) -> Reply:
        """Shows ten new codes once, in ``recovery_codes``."""
        session = self._session(asked)
        try:
            codes = self._portal.factors.new_recovery_codes(session, source=asked.source)
        except Denied as denied:
            if denied.reason is Reason.STEP_UP_REQUIRED:
                return to_step_up(f"{LIST}/codes", denied)
            if denied.reason not in _WORDS:
                raise
            field, words = _WORDS[denied.reason]
            told = (trouble(field, words, asked.language),)
            return self._list(asked, session, denied=denied, errors=told)
        return Reply(page="recovery_codes", values=_sheet(session, codes, self._portal.name))

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()  # support that acts in the owner's name sees no factors
        return session


def short_of(portal: Portal, session: ActiveSession) -> StepUpRequired | None:
    """What is missing where no factor was shown for this so recently that factors may be changed; else None."""
    try:
        portal.step_up.require(session, within=WITHIN, explicit=True)
    except StepUpRequired as short:
        return short
    return None


def added_reply(portal: Portal, asked: Asked, added: Added, *, onward: str = "") -> Reply:
    """After one was added: on to the list, or to ``onward``; with recovery codes, these come first."""
    cookies = (_cookie(added.session),)
    if added.codes is None:
        go = f"{onward or LIST}?done=added"
        return Reply(redirect=go, cookies=cookies, session=added.session)
    # The page is shown by the session that the cookie of this answer opens.
    session = portal.sessions.check(added.session.token.reveal(), source=asked.source)
    values = _sheet(session, added.codes, portal.name, onward=onward or LIST)
    return Reply(page="recovery_codes", values=values, cookies=cookies, session=added.session)


def _cookie(new: NewSession) -> str:
    return set_cookie(SESSION_COOKIE, new.token.reveal())


def _under(new: NewSession, redirect: str) -> Reply:
    return Reply(redirect=redirect, cookies=(_cookie(new),), session=new)


def form_again(denied: Denied, page: str, values: dict[str, object]) -> Reply:
    """A form once more: what is wrong with it is no missing session (401) and no closed page (403)."""
    reply = refused(denied, page, **values)
    return replace(reply, status=400) if reply.status in (401, 403) else reply


def to_step_up(back: str, denied: Denied) -> Reply:
    """To the page that asks for a factor, and from there back to a path of this portal."""
    return Reply(redirect=step_up_page(back, denied))


def _view(held: Held) -> HeldView:
    return HeldView(
        id=held.id,
        factor=held.factor.value,
        label=held.label,
        created_at=held.created_at,
        used_at=held.used_at,
        dead=held.dead,
        make=held.make or "",
        copies="made" if held.backed_up else "possible" if held.backup_eligible else "",
        until=None if held.removed_at is None else held.removed_at + RESTORABLE,
    )


def _trusted(shown: Overview) -> tuple[TrustedView, ...]:
    return tuple(
        TrustedView(id=each.id, label=each.label, used_at=each.used_at, until=each.trusted_until)
        for each in shown.trusted
    )


def _shown_once(
    session: ActiveSession, enrolment: Enrolment | None, errors: tuple[Trouble, ...] = ()
) -> dict[str, object]:
    qr, key = Drawing(""), ""
    if enrolment is not None:
        secret = enrolment.secret.reveal()
        qr = Drawing(qr_svg(enrolment.uri))
        key = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return {"session": session, "qr": qr, "key": key, "errors": errors}


def _sheet(
    session: ActiveSession, codes: RecoveryCodeSet, portal: str, *, onward: str = LIST
) -> dict[str, object]:
    """What ``recovery_codes`` shows: codes, made_at, onward (where to go then), and download: the same as a file, inside the page itself."""
    text = f"{portal}, {codes.created_at:%Y-%m-%d}\n\n{codes.sheet().reveal()}"
    data = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return {
        "session": session,
        "codes": tuple(code.reveal() for code in codes.codes),
        "made_at": codes.created_at,
        "onward": onward,
        # A data address is fetched from nowhere, so the file is never at an address of ours that could be asked again.
        "download": f"data:text/plain;charset=utf-8;base64,{data}",
        "errors": (),
    }
