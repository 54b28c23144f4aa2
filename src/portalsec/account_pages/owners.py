"""Pages for the owner of an account, signed in: password, addresses, messages, activity, devices, closing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from portalsec.account_pages._lately import require_lately
from portalsec.account_pages.exchange import (
    Asked,
    Lane,
    Reply,
    Route,
    Trouble,
    disavowed,
    leads_to,
    refused,
    trouble,
    troubles_of,
)
from portalsec.account_pages.views import (
    ContactView,
    DeviceView,
    NoticeView,
    incident_view,
    notice_views,
)
from portalsec.auth.endings import Why
from portalsec.auth.factors import WITHIN
from portalsec.auth.notices import NoticeKind
from portalsec.auth.password_policy import PasswordRefused
from portalsec.auth.ports import KnownDevice
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
            Route(method=post, path="/account/password", operation=self.change_password, lane=Lane.CHOOSING),
            Route(method=get, path="/account/email", operation=self.email),
            Route(method=post, path="/account/email", operation=self.change_email, lane=hashing),
            Route(method=get, path="/account/messages", operation=self.messages),
            Route(method=get, path="/account/activity", operation=self.activity),
            Route(method=get, path="/account/devices", operation=self.devices),
            Route(method=post, path="/account/devices", operation=self.forget_device),
            Route(method=post, path="/account/not-me", operation=self.disavow, lane=hashing),
            Route(method=get, path="/account/not-me", operation=leads_to("/account/activity", self._session)),
            Route(method=get, path="/account/incident", operation=self.incident),
            Route(method=get, path="/account/secure", operation=self.secure),
            Route(method=post, path="/account/secure", operation=self.sign_out_elsewhere),
            Route(method=get, path="/account/close", operation=self.close),
            Route(method=post, path="/account/close", operation=self.close_account, lane=hashing),
        )

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()  # support that acts in the owner's name sees none of these pages
        return session

    def _shown_all_but_the_password(self, asked: Asked) -> ActiveSession:
        """Of pages that ask for the password (`portalsec.auth._reauthentication`): a second factor comes first, before
        anything is typed that would be lost. Without one: `Denied`, STEP_UP_REQUIRED."""
        session = self._session(asked)
        self._portal.step_up.require_second(session, within=WITHIN)
        return session

    # -- password ---------------------------------------------------------------------------------------------------

    def password(self, asked: Asked) -> Reply:
        """Shows: least, changed (after a change), errors."""
        session = self._shown_all_but_the_password(asked)
        return self._password(session, changed=asked.text("changed") == "yes")

    def change_password(self, asked: Asked) -> Reply:
        """``current``, ``password``. Every other session ends; this one goes on under a new id."""
        session = self._shown_all_but_the_password(asked)
        missing = tuple(
            trouble(field, f"missing_{field}", asked.language)
            for field in ("current", "password")
            if not asked.text(field)
        )
        if missing:
            return self._password(session, status=400, errors=missing)
        try:
            new = self._portal.password_change.change(
                session, current=asked.text("current"), new=asked.text("password"), source=asked.source
            )
        except PasswordRefused as denied:
            return self._password(session, status=400, errors=troubles_of(denied, asked.language))
        except Denied as denied:
            if denied.reason not in _CURRENT:
                raise
            return self._password(session, denied=denied, errors=_wrong(asked.language))
        return _under_new_id(new, "/account/password?changed=yes")

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
        return _again(denied, "password", status=status, **values)

    # -- addresses --------------------------------------------------------------------------------------------------

    def email(self, asked: Asked) -> Reply:
        """``remove`` of a contact's id asks once more. Shows: contacts, removing (`ContactView` or None), email (what
        was typed), done ("sent", "removed" or ""), errors."""
        done = asked.text("done")
        session = self._shown_all_but_the_password(asked)
        return self._email(asked, session, done=done if done in ("sent", "removed") else "")

    def change_email(self, asked: Asked) -> Reply:
        """``do=add`` with ``email``, or ``do=remove`` with ``contact``; ``current``, the password, with both."""
        session, removing = self._shown_all_but_the_password(asked), asked.text("do") == "remove"
        typed = asked.text("email").strip()
        missing = [] if removing or typed else ["email"]
        missing += [] if asked.text("current") else ["current"]
        if missing:
            errors = tuple(trouble(field, f"missing_{field}", asked.language) for field in missing)
            return self._email(asked, session, status=400, email=typed[:254], errors=errors)
        contacts, current = self._portal.contacts, asked.text("current")
        try:
            if removing:
                new = contacts.remove(session, asked.text("contact"), current=current, source=asked.source)
                return _under_new_id(new, "/account/email?done=removed")
            contacts.add(session, typed, current=current, source=asked.source)
        except Denied as denied:
            if denied.reason is Reason.ADDRESS_REFUSED:
                told = trouble("contact" if removing else "email", _REFUSED[removing], asked.language)
            elif denied.reason in _CURRENT:
                told = trouble("current", "wrong_current", asked.language)
            else:
                raise
            return self._email(asked, session, denied=denied, email=typed[:254], errors=(told,))
        return Reply(redirect="/account/email?done=sent")

    def _email(
        self,
        asked: Asked,
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
        asked_for = asked.text("remove") or (asked.text("contact") if asked.text("do") == "remove" else "")
        values = {
            "session": session,
            "contacts": contacts,
            "removing": next((each for each in contacts if each.id == asked_for), None),
            "done": done,
            "email": email,
            "errors": errors,
        }
        return _again(denied, "email", status=status, **values)

    # -- what happened ----------------------------------------------------------------------------------------------

    def messages(self, asked: Asked) -> Reply:
        """Mails of this account. Shows: notices (`NoticeView`), older (for ``?before=``, or "")."""
        return self._notices(asked, "messages")

    def activity(self, asked: Asked) -> Reply:
        """Everything that happened to this account. Shows as `messages`, and disavowing: the one of ``?notice=``."""
        return self._notices(asked, "activity")

    def _notices(
        self, asked: Asked, page: str, *, denied: Denied | None = None, errors: tuple[Trouble, ...] = ()
    ) -> Reply:
        session = self._session(asked)
        found = self._portal.notices.of_account(
            session.account_id, limit=_PAGE, before=_moment(asked.text("before"))
        )
        shown = [n for n in found if page == "activity" or n.mailed_at is not None or n.due_at is not None]
        older = str(unix_microseconds(found[-1].at)) if len(found) == _PAGE else ""
        views = notice_views(self._portal, shown, asked.language)
        values: dict[str, object] = {"session": session, "notices": views, "older": older, "errors": errors}
        if page == "activity":
            values["disavowing"] = disavowing = self._disavowing(session, asked)
            if disavowing is not None:
                self._portal.step_up.require_second(session, within=WITHIN)  # before the password is typed
        return _again(denied, page, status=400 if errors else 200, **values)

    def _disavowing(self, session: ActiveSession, asked: Asked) -> NoticeView | None:
        """The notice that the form is about; None where it is nobody's, another's, or disavowed."""
        notice = self._portal.stores.notices.get(asked.text("notice"))
        if notice is None or notice.account_id != session.account_id or notice.disavowed_at is not None:
            return None
        return next(iter(notice_views(self._portal, [notice], asked.language)), None)

    def disavow(self, asked: Asked) -> Reply:
        """``notice``, an id of the activity page, and ``current``: as the mailed link, for who is signed in. This
        session ends too. The password, since what follows chooses a new one and a session left open must not.
        """
        session = self._shown_all_but_the_password(asked)
        if not asked.text("current"):
            missing = (trouble("current", "missing_current", asked.language),)
            return self._notices(asked, "activity", errors=missing)
        try:
            done = self._portal.disavowal.confirm_signed_in(
                session, asked.text("notice"), current=asked.text("current"), source=asked.source
            )
        except Denied as denied:
            if denied.reason not in _CURRENT:
                raise
            return self._notices(asked, "activity", denied=denied, errors=_wrong(asked.language))
        return disavowed(done)

    def incident(self, asked: Asked) -> Reply:
        """``id``. What was done in the owner's name. Shows: incident, lines (`SeenLine`), before (for the next page)."""
        session, incidents = self._session(asked), self._portal.incidents
        found = incidents.get(asked.text("id"))
        if found is None or found.account_id != session.account_id:
            raise Denied(Reason.NO_GRANT)
        owner = Actor(type="user", id=session.account_id)
        page = incidents.seen(found, actor=owner, source=asked.source, before=_index(asked.text("before")))
        values = {
            "session": session,
            "incident": incident_view(self._portal, found, asked.language),
            "lines": tuple(page.lines),
            "before": page.before,
            "errors": (),
        }
        return Reply(page="incident", values=values)

    # -- devices ----------------------------------------------------------------------------------------------------

    def devices(self, asked: Asked) -> Reply:
        """Shows: devices (`DeviceView`), removed, distrusted. Of an old copy of a device's cookie the owner is told, as at the
        door."""
        session = self._session(asked)
        account = self._portal.stores.accounts.get(session.account_id)
        trusted = (
            {} if account is None else {each.id: each for each in self._portal.trust.of_account(account)}
        )

        here = self._here(session, asked)
        devices = tuple(
            DeviceView(
                id=each.id,
                label=each.label,
                address=each.address,
                used_at=each.used_at,
                here=here is not None and here.id == each.id,
                trusted_until=trusted[each.id].trusted_until if each.id in trusted else None,
            )
            for each in self._portal.devices.of_account(session.account_id)
        )
        values = {
            "session": session,
            "devices": devices,
            "removed": asked.text("removed") == "yes",
            "distrusted": asked.text("distrusted") == "yes",
            "errors": (),
        }
        return Reply(page="devices", values=values)

    def forget_device(self, asked: Asked) -> Reply:
        """``device``: an id, or "all"; ``do=distrust``: it stays known and is trusted no longer.

        For this very browser the session is enough, and so it is to trust one no longer, which costs nobody more than a
        code. Any other, and "all", takes a factor that was shown lately, as `sign_out_elsewhere` does: whoever copied this
        session's cookie must neither wipe their own browser off the list, nor take from the owner's what keeps strangers'
        guesses from locking them out. Without one: `Denied`, STEP_UP_REQUIRED.
        """
        session = self._session(asked)
        which, known = asked.text("device"), self._portal.devices
        if asked.text("do") == "distrust":
            with suppress(Denied):  # gone already, or never this account's: the page shows what is left
                self._portal.factors.distrust(session, which, source=asked.source)
            return Reply(redirect="/account/devices?distrusted=yes")
        owner, here = Actor(type="user", id=session.account_id), self._here(session, asked)
        if here is None or here.id != which:
            require_lately(self._portal, session)
        if which == "all":
            known.revoke_all(session.account_id, actor=owner, source=asked.source)
        else:
            with suppress(Denied):  # it is gone already: the page shows what is left
                known.revoke(session.account_id, which, actor=owner, source=asked.source)
        return Reply(redirect="/account/devices?removed=yes")

    def _here(self, session: ActiveSession, asked: Asked) -> KnownDevice | None:
        """The device that this browser is; the owner is told of an old copy of its cookie."""

        def copied(device: KnownDevice) -> None:
            self._portal.notices.tell(device.account_id, NoticeKind.DEVICE_REUSED, source=asked.source)

        return self._portal.devices.find(asked.device, session.account_id, source=asked.source, reused=copied)

    # -- secure my account ------------------------------------------------------------------------------------------

    def secure(self, asked: Asked) -> Reply:
        """The walk. Shows: signed_out, password_changed_at, factors (labels), factor_added, incidents (`IncidentView`)."""
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
                "factor_added": asked.text("done") == "factor",
                "incidents": tuple(
                    incident_view(portal, incident, asked.language)
                    for incident in portal.incidents.of_account(session.account_id)
                    if incident.notice_id is not None
                ),
                "errors": (),
            },
        )

    def sign_out_elsewhere(self, asked: Asked) -> Reply:
        """Ends every other session, forgets devices and links; this session goes on under a new id.

        It takes a factor that was shown lately, on the way in or since (ASVS 5.0, V7.5.2): whoever copied this session's
        cookie must not throw the owner out with it, who can show one. Without one: `Denied`, STEP_UP_REQUIRED.
        """
        session = self._session(asked)
        require_lately(self._portal, session)
        new = self._portal.endings.apply(
            session.account_id,
            Why.SIGNED_OUT_EVERYWHERE,
            actor=Actor(type="user", id=session.account_id),
            source=asked.source,
            keep=session.digest,
        )
        if new is None:
            raise Denied(Reason.SESSION_REVOKED)
        return _under_new_id(new, "/account/secure?done=signed-out")

    # -- the end ----------------------------------------------------------------------------------------------------

    def close(self, asked: Asked) -> Reply:
        """Asks once more. Shows: errors."""
        session = self._shown_all_but_the_password(asked)
        return Reply(page="close", values={"session": session, "errors": ()})

    def close_account(self, asked: Asked) -> Reply:
        """``current``: the password. Then the account is closed and everything of it ends."""
        session = self._shown_all_but_the_password(asked)
        if not asked.text("current"):
            missing = (trouble("current", "missing_current", asked.language),)
            return Reply(status=400, page="close", values={"session": session, "errors": missing})
        try:
            self._portal.closing.close(session, current=asked.text("current"), source=asked.source)
        except Denied as denied:
            if denied.reason not in _CURRENT:
                raise
            return _again(denied, "close", session=session, errors=_wrong(asked.language))
        return Reply(page="closed", cookies=(clear_cookie(SESSION_COOKIE),), headers=logout_headers())


_CURRENT = frozenset({Reason.WRONG_PASSWORD, Reason.MALFORMED, Reason.THROTTLED, Reason.ACCOUNT_LOCKED})


_REFUSED = {True: "address_kept", False: "email_refused"}


def _again(denied: Denied | None, page: str, *, status: int = 200, **values: object) -> Reply:
    """A form of a signed-in page once more. A wrong password is a mistake on it, and no missing session (401)."""
    if denied is None:
        return Reply(status=status, page=page, values=values)
    reply = refused(denied, page, **values)
    return replace(reply, status=400) if reply.status == 401 else reply


def _wrong(language: str) -> tuple[Trouble, ...]:
    return (trouble("current", "wrong_current", language),)


def _under_new_id(new: NewSession, page: str) -> Reply:
    return Reply(redirect=page, cookies=(set_cookie(SESSION_COOKIE, new.token.reveal()),), session=new)


def _moment(text: str) -> datetime | None:
    """``?before=`` of a page: microseconds since 1970; anything else is the newest page."""
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return None
    return from_unix_microseconds(int(text))


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
