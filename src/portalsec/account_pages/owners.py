"""Pages for the owner of an account, signed in: password, addresses, messages, activity, devices, closing."""

from __future__ import annotations

from datetime import datetime

from portalsec.account_pages.exchange import (
    Asked,
    Lane,
    Reply,
    Route,
    Trouble,
    refused,
    trouble,
    troubles_of,
)
from portalsec.account_pages.views import ContactView, DeviceView, incident_views, notice_views
from portalsec.auth.endings import Why
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.sessions import ActiveSession, NewSession
from portalsec.clock import from_unix_microseconds, unix_microseconds
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from portalsec.portal import Portal
from portalsec.web import SESSION_COOKIE, clear_cookie, logout_headers, set_cookie

__all__ = ["OwnerPages"]

_PAGE = 30


class OwnerPages:
    """Operations of a live session. Without one they raise `Denied`, as every closed page of the portal does."""

    def __init__(self, portal: Portal, *, least: int) -> None:
        self._portal = portal
        self._least = least

    def routes(self) -> tuple[Route, ...]:
        get, post, hashing = "GET", "POST", Lane.HASHING
        return (
            Route(method=get, path="/account/password", operation=self.password),
            Route(method=post, path="/account/password", operation=self.change_password, lane=hashing),
            Route(method=get, path="/account/email", operation=self.email),
            Route(method=post, path="/account/email", operation=self.change_email),
            Route(method=get, path="/account/messages", operation=self.messages),
            Route(method=get, path="/account/activity", operation=self.activity),
            Route(method=get, path="/account/devices", operation=self.devices),
            Route(method=post, path="/account/devices", operation=self.forget_device),
            Route(method=get, path="/account/secure", operation=self.secure),
            Route(method=post, path="/account/secure", operation=self.sign_out_elsewhere),
            Route(method=get, path="/account/close", operation=self.close),
            Route(method=post, path="/account/close", operation=self.close_account, lane=hashing),
        )

    def _session(self, asked: Asked) -> ActiveSession:
        return self._portal.guard.session(asked.session, source=asked.source)

    # -- password ---------------------------------------------------------------------------------------------------

    def password(self, asked: Asked) -> Reply:
        """Shows: least, changed (after a change), errors."""
        session = self._session(asked)
        return self._password(session, changed=asked.text("changed") == "yes")

    def change_password(self, asked: Asked) -> Reply:
        """``current``, ``password``. Every other session ends; this one goes on under a new id."""
        session = self._session(asked)
        missing = tuple(
            trouble(field, f"missing_{field}", asked.language)
            for field in ("current", "password")
            if not asked.text(field)
        )
        if missing:
            return self._password(session, status=400, errors=missing)
        try:
            new = self._portal.password_change.change(
                session, asked.text("current"), asked.text("password"), source=asked.source
            )
        except PasswordRefused as denied:
            return self._password(session, status=400, errors=troubles_of(denied, asked.language))
        except Denied as denied:
            if denied.reason not in _CURRENT:
                raise
            return self._password(session, denied=denied, errors=_wrong(denied, asked.language))
        return Reply(redirect="/account/password?changed=yes", cookies=(_session_cookie(new),))

    def _password(
        self,
        session: ActiveSession,
        *,
        changed: bool = False,
        errors: tuple[Trouble, ...] = (),
        status: int = 200,
        denied: Denied | None = None,
    ) -> Reply:
        values = {"session": session, "least": self._least, "changed": changed, "errors": errors}
        if denied is not None:
            return refused(denied, "password", **values)
        return Reply(status=status, page="password", values=values)

    # -- addresses --------------------------------------------------------------------------------------------------

    def email(self, asked: Asked) -> Reply:
        """Shows: contacts (`ContactView`), email (what was typed), done ("sent", "removed" or ""), errors."""
        done = asked.text("done")
        return self._email(self._session(asked), done=done if done in ("sent", "removed") else "")

    def change_email(self, asked: Asked) -> Reply:
        """``do=add`` with ``email``, or ``do=remove`` with ``contact``."""
        session = self._session(asked)
        contacts = self._portal.contacts
        if asked.text("do") == "remove":
            contacts.remove(session, asked.text("contact"), source=asked.source)
            return Reply(redirect="/account/email?done=removed")
        typed = asked.text("email").strip()
        if not typed:
            missing = (trouble("email", "missing_email", asked.language),)
            return self._email(session, status=400, errors=missing)
        try:
            contacts.add(session, typed, source=asked.source)
        except Denied as denied:
            if denied.reason not in (Reason.ADDRESS_REFUSED, Reason.MALFORMED, Reason.THROTTLED):
                raise
            errors = (trouble("email", "email_refused", asked.language),)
            return self._email(session, denied=denied, email=typed[:254], errors=errors)
        return Reply(redirect="/account/email?done=sent")

    def _email(
        self,
        session: ActiveSession,
        *,
        done: str = "",
        email: str = "",
        errors: tuple[Trouble, ...] = (),
        status: int = 200,
        denied: Denied | None = None,
    ) -> Reply:
        contacts = tuple(
            ContactView(id=each.id, address=each.address, verified=each.verified_at is not None)
            for each in self._portal.contacts.of_account(session.account_id)
        )
        values = {"session": session, "contacts": contacts, "done": done, "email": email, "errors": errors}
        if denied is not None:
            return refused(denied, "email", **values)
        return Reply(status=status, page="email", values=values)

    # -- what happened ----------------------------------------------------------------------------------------------

    def messages(self, asked: Asked) -> Reply:
        """Mails of this account. Shows: notices (`NoticeView`), older (for ``?before=``, or "")."""
        return self._notices(asked, "messages")

    def activity(self, asked: Asked) -> Reply:
        """Everything that happened to this account. Shows as `messages`."""
        return self._notices(asked, "activity")

    def _notices(self, asked: Asked, page: str) -> Reply:
        session = self._session(asked)
        found = self._portal.notices.of_account(
            session.account_id, limit=_PAGE, before=_moment(asked.text("before"))
        )
        shown = [n for n in found if page == "activity" or n.mailed_at is not None or n.due_at is not None]
        older = str(unix_microseconds(found[-1].at)) if len(found) == _PAGE else ""
        views = notice_views(self._portal, shown, asked.language)
        return Reply(page=page, values={"session": session, "notices": views, "older": older, "errors": ()})

    # -- devices ----------------------------------------------------------------------------------------------------

    def devices(self, asked: Asked) -> Reply:
        """Shows: devices (`DeviceView`), removed."""
        session = self._session(asked)
        here = self._portal.devices.find(asked.device, session.account_id) if asked.device else None
        devices = tuple(
            DeviceView(
                id=each.id,
                label=each.label,
                address=each.address,
                used_at=each.used_at,
                here=here is not None and here.id == each.id,
            )
            for each in self._portal.devices.of_account(session.account_id)
        )
        removed = asked.text("removed") == "yes"
        return Reply(
            page="devices",
            values={"session": session, "devices": devices, "removed": removed, "errors": ()},
        )

    def forget_device(self, asked: Asked) -> Reply:
        """``device``: an id, or "all"."""
        session = self._session(asked)
        which, known = asked.text("device"), self._portal.devices
        if which == "all":
            known.revoke_all(session.account_id, source=asked.source)
        else:
            known.revoke(session.account_id, which, source=asked.source)
        return Reply(redirect="/account/devices?removed=yes")

    # -- secure my account ------------------------------------------------------------------------------------------

    def secure(self, asked: Asked) -> Reply:
        """The walk. Shows: signed_out, password_changed_at, factors (labels), incidents (`IncidentView`)."""
        session = self._session(asked)
        portal = self._portal
        account = portal.stores.accounts.get(session.account_id)
        factors = tuple(d.label for d in portal.stores.totp.devices(session.account_id) if d.confirmed)
        return Reply(
            page="secure",
            values={
                "session": session,
                "signed_out": asked.text("done") == "signed-out",
                "password_changed_at": account.password_changed_at if account else None,
                "factors": factors,
                "incidents": incident_views(portal, session.account_id, asked.language),
                "errors": (),
            },
        )

    def sign_out_elsewhere(self, asked: Asked) -> Reply:
        """Ends every other session, forgets devices and links; this session goes on under a new id."""
        session = self._session(asked)
        new = self._portal.endings.apply(
            session.account_id,
            Why.SIGNED_OUT_EVERYWHERE,
            actor=Actor(type="user", id=session.account_id),
            source=asked.source,
            keep=session.digest,
        )
        if new is None:
            raise Denied(Reason.SESSION_REVOKED)
        return Reply(redirect="/account/secure?done=signed-out", cookies=(_session_cookie(new),))

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self, asked: Asked) -> Reply:
        """Asks once more. Shows: errors."""
        return Reply(page="close", values={"session": self._session(asked), "errors": ()})

    def close_account(self, asked: Asked) -> Reply:
        """``current``: the password. Then the account is closed and everything of it ends."""
        session = self._session(asked)
        values = {"session": session}
        if not asked.text("current"):
            missing = (trouble("current", "missing_current", asked.language),)
            return Reply(status=400, page="close", values={**values, "errors": missing})
        try:
            self._portal.closing.close(session, asked.text("current"), source=asked.source)
        except Denied as denied:
            if denied.reason not in _CURRENT:
                raise
            return refused(denied, "close", **values, errors=_wrong(denied, asked.language))
        return Reply(page="closed", cookies=(clear_cookie(SESSION_COOKIE),), headers=logout_headers())


_CURRENT = frozenset({Reason.WRONG_PASSWORD, Reason.MALFORMED, Reason.THROTTLED, Reason.ACCOUNT_LOCKED})


def _wrong(denied: Denied, language: str) -> tuple[Trouble, ...]:
    return (trouble("current", "wrong_current", language),)


def _session_cookie(new: NewSession) -> str:
    return set_cookie(SESSION_COOKIE, new.token.reveal())


def _moment(text: str) -> datetime | None:
    """``?before=`` of a page: microseconds since 1970; anything else is the newest page."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return from_unix_microseconds(int(text))
