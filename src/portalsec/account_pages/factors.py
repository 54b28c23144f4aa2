"""Adding a second factor, signed in: a part of the walk "Secure my account"."""

from __future__ import annotations

from dataclasses import replace

from portalsec.account_pages.exchange import Asked, Lane, Reply, Route, Trouble, leads_to, refused, trouble
from portalsec.account_pages.views import Drawing
from portalsec.auth.qr import qr_svg
from portalsec.auth.sessions import ActiveSession
from portalsec.auth.totp import Enrolment
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal
from portalsec.web import SESSION_COOKIE, set_cookie

__all__ = ["FactorPages"]

_CURRENT = frozenset({Reason.WRONG_PASSWORD, Reason.MALFORMED, Reason.THROTTLED, Reason.ACCOUNT_LOCKED})
_CODE = frozenset({Reason.WRONG_CODE, Reason.CODE_REPLAYED, Reason.MALFORMED, Reason.THROTTLED})
_AGAIN = frozenset({Reason.FLOW_UNKNOWN, Reason.FLOW_EXHAUSTED, Reason.FACTOR_NOT_ENROLLED})


class FactorPages:
    """Operations of a live session. Without one they raise `Denied`, as every closed page of the portal does."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(method="GET", path="/account/factor", operation=self.factor),
            Route(method="POST", path="/account/factor", operation=self.begin, lane=Lane.HASHING),
            Route(method="POST", path="/account/factor/confirm", operation=self.confirm),
            Route(
                method="GET",
                path="/account/factor/confirm",
                operation=leads_to("/account/factor", self._session),
            ),
        )

    def factor(self, asked: Asked) -> Reply:
        """Asks for the password. Shows: factors (labels; with any, it says so instead), errors."""
        return self._factor(self._session(asked))

    def begin(self, asked: Asked) -> Reply:
        """``current``: the password. Shows a new authenticator once, in ``factor_code``: qr, key, errors."""
        session = self._session(asked)
        if not asked.text("current"):
            missing = (trouble("current", "missing_current", asked.language),)
            return replace(self._factor(session, errors=missing), status=400)
        try:
            enrolment = self._portal.adding_factor.begin(session, asked.text("current"), source=asked.source)
        except Denied as denied:
            if denied.reason is Reason.FACTOR_ALREADY_ENROLLED:
                return self._factor(session, denied, (trouble("", "factor_there", asked.language),))
            if denied.reason not in _CURRENT:
                raise
            return self._factor(session, denied, (trouble("current", "wrong_current", asked.language),))
        return _code(session, enrolment)

    def confirm(self, asked: Asked) -> Reply:
        """``code``: the first one of the new authenticator. This session goes on under a new id; all others end."""
        session = self._session(asked)
        try:
            new = self._portal.adding_factor.confirm(session, asked.text("code"), source=asked.source)
        except Denied as denied:
            if denied.reason in _CODE:
                return _mistake(
                    _code(session, None, denied, (trouble("code", "wrong_code", asked.language),))
                )
            if denied.reason is Reason.FACTOR_ALREADY_ENROLLED:
                return self._factor(session, denied, (trouble("", "factor_there", asked.language),))
            if denied.reason in _AGAIN:
                return self._factor(session, denied, (trouble("", "begin_again", asked.language),))
            raise
        cookie = set_cookie(SESSION_COOKIE, new.token.reveal())
        return Reply(redirect="/account/secure?done=factor", cookies=(cookie,), session=new)

    # -- parts of the above -----------------------------------------------------------------------------------------

    def _session(self, asked: Asked) -> ActiveSession:
        session = self._portal.guard.session(asked.session, source=asked.source)
        session.require_owner()  # support that acts in the owner's name sees no factors
        return session

    def _factor(
        self, session: ActiveSession, denied: Denied | None = None, errors: tuple[Trouble, ...] = ()
    ) -> Reply:
        devices = self._portal.stores.totp.devices(session.account_id)
        factors = tuple(device.label for device in devices if device.confirmed)
        values = {"session": session, "factors": factors, "errors": errors}
        if denied is None:
            return Reply(page="factor", values=values)
        return _mistake(refused(denied, "factor", **values))


def _code(
    session: ActiveSession,
    enrolment: Enrolment | None,
    denied: Denied | None = None,
    errors: tuple[Trouble, ...] = (),
) -> Reply:
    """The new authenticator, where it was just made: it is shown once."""
    qr, key = Drawing(""), ""
    if enrolment is not None:
        secret = enrolment.secret.reveal()
        qr = Drawing(qr_svg(enrolment.uri))
        key = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    values = {"session": session, "qr": qr, "key": key, "errors": errors}
    return (
        Reply(page="factor_code", values=values)
        if denied is None
        else refused(denied, "factor_code", **values)
    )


def _mistake(reply: Reply) -> Reply:
    """A wrong password or code of somebody who is signed in is a mistake on a form, and no missing session (401)."""
    return replace(reply, status=400) if reply.status == 401 else reply
