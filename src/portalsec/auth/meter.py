"""`Meter`: what a page may say of a new password while somebody types it. It says what the server will say."""

from __future__ import annotations

from portalsec.auth._input import canonical_login
from portalsec.auth._own_words import OwnWords
from portalsec.auth.links import LinkPurpose, Links
from portalsec.auth.new_password import NewPasswords
from portalsec.auth.password_policy import PasswordReport
from portalsec.auth.ports import Account, AccountStore
from portalsec.auth.sessions import Sessions
from portalsec.auth.signin import SignIn
from portalsec.auth.throttle import Throttle
from portalsec.errors import Denied
from portalsec.events import Source

__all__ = ["Meter"]


class Meter:
    """Measures under a budget of its own. Nothing of the password is kept, recorded or sent anywhere.

    It takes the words that the password must not be made of from where the password will be stored: the account of the
    session, of the link's cookie or of the half-finished sign-in. Safe for concurrent use.

    Args:
        with_second_factor: whether every sign-in asks for a second factor too.
    """

    def __init__(
        self,
        *,
        new_passwords: NewPasswords,
        own_words: OwnWords,
        accounts: AccountStore,
        sessions: Sessions,
        links: Links,
        sign_in: SignIn,
        throttle: Throttle,
        with_second_factor: bool,
    ) -> None:
        self._new_passwords = new_passwords
        self._own_words = own_words
        self._accounts = accounts
        self._sessions = sessions
        self._links = links
        self._sign_in = sign_in
        self._throttle = throttle
        self._with_second_factor = with_second_factor

    def report(
        self,
        password: object,
        *,
        source: Source,
        session: object = None,
        link: object = None,
        pending: object = None,
        login: str = "",
        typed: tuple[str, ...] = (),
    ) -> PasswordReport:
        """What is to be said.

        Args:
            session, link, pending: what the browser holds, as far as it belongs to the form: a session's token, what it
                got for a mailed link, a sign-in that waits for a new password. The first that is good counts.
            login: the sign-in name on a form that makes an account.
            typed: what such a form says of its writer besides, where nothing else is known of them.

        Raises:
            Denied: THROTTLED; MALFORMED.
            StoreError: nothing can be said.
        """
        # Every question counts; there is nothing to guess here, and nothing to give back.
        self._throttle.reserve("meter", account=None, address=source.address)
        words = self._of_session(session, source) or self._of_link(link, login) or self._of_pending(pending)
        return self._new_passwords.report(
            password,
            about=words or (*filter(None, (login,)), *typed),
            with_second_factor=self._with_second_factor,
        )

    def _of_session(self, token: object, source: Source) -> tuple[str, ...]:
        if not token:
            return ()
        try:
            session = self._sessions.check(token, source=source, passive=True)
        except Denied:
            return ()
        if session.impersonator is not None:
            return ()  # what somebody's password must not have in it says who they are and where they write from
        return self._words(self._accounts.get(session.account_id))

    def _of_link(self, token: object, login: str) -> tuple[str, ...]:
        if not token:
            return ()
        if (held := self._links.looked_at(token, LinkPurpose.RESET)) is not None:
            return self._words(held.account)
        held = self._links.looked_at(token, LinkPurpose.REGISTER)
        if held is None or held.address is None:
            return ()
        try:
            name = canonical_login(login)
        except Denied:
            name = ""  # not typed yet
        return self._own_words.of(Account(id="", login=name, password_hash=None), held.address)

    def _of_pending(self, token: object) -> tuple[str, ...]:
        return self._words(self._sign_in.chooser(token)) if token else ()

    def _words(self, account: Account | None) -> tuple[str, ...]:
        return () if account is None else self._own_words.of(account)
