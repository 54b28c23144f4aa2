"""The mailed link that takes back one change to second keys."""

from __future__ import annotations

from portalsec.account_pages.exchange import PRIVATE, Asked, Reply, Route
from portalsec.account_pages.views import undoable_view
from portalsec.auth.notice_mail import UNDO_PATH
from portalsec.errors import Denied, Reason
from portalsec.portal import Portal

__all__ = ["UndoPages"]


class UndoPages:
    """Operations of whoever has the link; no session is needed, and none is opened."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(method="GET", path=UNDO_PATH, operation=self.undo),
            Route(method="POST", path=UNDO_PATH, operation=self.confirm),
        )

    def undo(self, asked: Asked) -> Reply:
        """``token``, from a mail. Shows: notice (`NoticeView`), adds, renames, token. Nothing changes until the button is
        pressed."""
        token = asked.text("token")
        try:
            found = self._portal.undo.look(token, source=asked.source)
        except Denied as denied:
            return _dead(denied)
        view = undoable_view(self._portal, found, asked.language)
        values = {"token": token, "notice": view, "adds": found.adds, "renames": found.renames, "errors": ()}
        return Reply(page="undo", values=values, headers=PRIVATE)

    def confirm(self, asked: Asked) -> Reply:
        """``token``. Takes it back; every session of the account ends. Shows: adds, renames."""
        try:
            done = self._portal.undo.confirm(asked.form.get("token"), source=asked.source)
        except Denied as denied:
            return _dead(denied)
        return Reply(
            page="undone", values={"adds": done.adds, "renames": done.renames, "errors": ()}, headers=PRIVATE
        )


def _dead(denied: Denied) -> Reply:
    if denied.reason is not Reason.TOKEN_INVALID:
        raise denied
    return Reply(status=400, page="link_dead", values={"what": "undo"}, headers=PRIVATE)
