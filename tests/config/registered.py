"""A passkey of a person that tests of rotation registered past the door, and that goes on working."""

from __future__ import annotations

from portalsec.portal import Portal
from portalsec.testing import SoftAuthenticator

_PLACE = b"digest of a pending token"


class Registered:
    """One passkey of an account."""

    def __init__(self, portal: Portal, account_id: str) -> None:
        self._account_id, self._browser = account_id, SoftAuthenticator(algorithms=(-7,))
        account = portal.stores.accounts.get(account_id)
        assert portal.passkeys is not None and account is not None
        asked = portal.passkeys.begin_registration(_PLACE, account)
        made = self._browser.create(asked.json, origin=portal.base_url)
        portal.passkeys.complete_registration(_PLACE, account_id, made)

    def works(self, portal: Portal) -> None:
        """It answers for its account."""
        service = portal.passkeys
        account = portal.stores.accounts.get(self._account_id)
        assert service is not None
        asked = service.begin_sign_in(_PLACE, login=None, account=account, purpose="passkey.second")
        answer = self._browser.get(asked.json, origin=portal.base_url)
        proven = service.complete_sign_in(
            _PLACE, "passkey.second", answer, account_id=self._account_id, require_user_verification=False
        )
        assert proven.account_id == self._account_id
