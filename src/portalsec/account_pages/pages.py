"""`AccountPages`: every operation of the account's pages, and the addresses that they answer."""

from __future__ import annotations

from portalsec.account_pages.acting import ActingPages
from portalsec.account_pages.authenticators import AuthenticatorPages
from portalsec.account_pages.exchange import Route
from portalsec.account_pages.factors import FactorPages
from portalsec.account_pages.importing import ImportPages
from portalsec.account_pages.mail_link import MailLinkPages
from portalsec.account_pages.other_ways import OtherWayPages
from portalsec.account_pages.owners import OwnerPages
from portalsec.account_pages.passkeys import PasskeyPages
from portalsec.account_pages.resume import ResumePages
from portalsec.account_pages.sessions import SessionPages
from portalsec.account_pages.step_up import StepUpPages
from portalsec.account_pages.undo import UndoPages
from portalsec.account_pages.visitors import VisitorPages
from portalsec.auth.words import LANGUAGES
from portalsec.errors import ConfigurationError
from portalsec.portal import Portal

__all__ = ["AccountPages"]


class AccountPages:
    """The account's pages of one portal. Safe for concurrent use: it holds nothing of a request."""

    def __init__(self, portal: Portal, *, languages: tuple[str, ...] = LANGUAGES) -> None:
        """``languages``: those that the application's own pages are in, the usual one first; an adapter asks
        `language_of` for one of them. A page in one language with sentences of another serves nobody."""
        if not languages or not set(languages) <= set(LANGUAGES):
            raise ConfigurationError(f"AccountPages: languages are one or more of {', '.join(LANGUAGES)}")
        self.languages = languages
        self.visitors = VisitorPages(portal)
        self.owners = OwnerPages(portal, least=self.visitors.least)
        self.factors = FactorPages(portal)
        self.sessions = SessionPages(portal)
        self.passkeys = PasskeyPages(portal)
        self.other_ways = OtherWayPages(portal)
        self.mail_link = MailLinkPages(portal)
        self.resume = ResumePages(portal)
        self.step_up = StepUpPages(portal)
        self.authenticators = AuthenticatorPages(portal)
        self.importing = ImportPages(portal)
        self.undo = UndoPages(portal)
        self.acting = ActingPages(portal)

    def routes(self) -> tuple[Route, ...]:
        """What an adapter serves."""
        parts = (
            self.visitors,
            self.owners,
            self.factors,
            self.sessions,
            self.passkeys,
            self.other_ways,
            self.mail_link,
            self.resume,
            self.step_up,
            self.authenticators,
            self.importing,
            self.undo,
            self.acting,
        )
        return tuple(route for part in parts for route in part.routes())
