"""What the account pages look like: one template for each name of `portalsec.account_pages`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from portalsec.account_pages import Trouble
from portalsec.auth.sessions import ActiveSession
from portalsec.fastapi import Portalsec

from .directory import Directory
from .pages import Pages, Viewer, seconds_in_words, viewer

__all__ = ["ClinicAccountViews"]


class ClinicAccountViews:
    """Satisfies `portalsec.fastapi.AccountViews`."""

    def __init__(self, ps: Portalsec, directory: Directory, pages: Pages) -> None:
        self._ps = ps
        self._directory = directory
        self._pages = pages

    def account_page(self, request: Request, name: str, *, status: int, **values: object) -> Response:
        """In a worker thread, so it may ask who somebody is, for the menu."""
        session = values.pop("session", None)
        wait = values.pop("wait", None)
        troubles = values.pop("errors", ())
        assert isinstance(troubles, tuple)  # noqa: S101
        errors = [(trouble.field, trouble.text) for trouble in troubles if isinstance(trouble, Trouble)]
        if isinstance(wait, int):
            errors = [("", f"Too many tries. Please wait {seconds_in_words(wait)} and try again.")]
        return self._pages.render(
            request,
            f"account/{name}.html",
            status=status,
            viewer=self._viewer(session) if isinstance(session, ActiveSession) else None,
            errors=errors,
            **values,
        )

    def _viewer(self, session: ActiveSession) -> Viewer:
        roles = self._ps.portal.guard.subject(session).roles
        return viewer(self._directory, session.account_id, roles)
