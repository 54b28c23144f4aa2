"""A link by mail as the first factor (`portalsec.auth.sign_in_link`), where the policy has it: asked for, and followed."""

from __future__ import annotations

from portalsec.account_pages.exchange import (
    PRIVATE,
    Asked,
    Reply,
    Route,
    refused,
    step_cookies,
    step_page,
    trouble,
)
from portalsec.account_pages.way_back import signed_over
from portalsec.auth._link_first import LINK_LIFETIME
from portalsec.errors import Denied
from portalsec.portal import Portal
from portalsec.web import PENDING_COOKIE, set_cookie

__all__ = ["MailLinkPages"]


class MailLinkPages:
    """Operations without a session. Known and unknown names get the same answer, byte for byte. Safe for concurrent use."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        if not self._portal.sign_in_links.offered:
            return ()
        return (
            Route(method="GET", path="/sign-in/mail", operation=self.form),
            Route(method="POST", path="/sign-in/mail", operation=self.ask),
            Route(method="GET", path="/sign-in/link", operation=self.link),
            Route(method="POST", path="/sign-in/link", operation=self.follow),
        )

    def form(self, asked: Asked) -> Reply:
        """Shows: typed, errors."""
        return Reply(page="mail_link", values={"typed": "", "errors": ()})

    def ask(self, asked: Asked) -> Reply:
        """``name``, ``shared``. The same answer for everybody. Shows, when it is done: lives."""
        typed = asked.text("name").strip()
        if not typed:
            errors = (trouble("name", "missing_name", asked.language),)
            return Reply(status=400, page="mail_link", values={"typed": "", "errors": errors})
        try:
            pending = self._portal.sign_in_links.ask(
                typed,
                source=asked.source,
                device=asked.device,
                replaces=asked.pending,
                shared="shared" in asked.form,
            )
        except Denied as denied:
            errors = (trouble("name", "refused", asked.language),)
            return refused(denied, "mail_link", typed=typed[:254], errors=errors)
        cookie = set_cookie(PENDING_COOKIE, pending.reveal())
        return Reply(page="mail_link_sent", values={"lives": LINK_LIFETIME}, cookies=(cookie,))

    def link(self, asked: Asked) -> Reply:
        """``token``, from a mail. Asks for a press of a button: opening it alone changes nothing."""
        return Reply(page="sign_in_link", values={"token": asked.text("token")[:256]}, headers=PRIVATE)

    def follow(self, asked: Asked) -> Reply:
        """``token``; it works in the browser that asked for it, and is used up there."""
        try:
            step = self._portal.sign_in_links.follow(
                asked.pending, asked.form.get("token"), source=asked.source, device=asked.device
            )
        except Denied as denied:
            # One face: whatever it was, another link or the password is what helps. The cookie stays, for the right link.
            reply = refused(denied, "link_dead", what="sign_in")
            return Reply(
                status=400, page=reply.page, values=reply.values, headers={**reply.headers, **PRIVATE}
            )
        over = () if step.session is None else signed_over(self._portal, asked)
        return Reply(
            redirect=step_page(step),
            cookies=(*over, *step_cookies(step)),
            session=step.session,
            headers=PRIVATE,
        )
