"""What the races for an account's last authenticators share: an account with two of them, and what is promised of it.

The promise (MFA-16, ATK-44): whoever wins, a password that is too short to stand alone opens no session by itself, and
without an authenticator there are no recovery codes, no trusted browser and no session.
"""

from __future__ import annotations

from dataclasses import dataclass

from portalsec.auth._door import DOOR
from portalsec.auth.authenticators import Authenticators
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from tests.abuse.race_cases import undo_of
from tests.auth.door import Door
from tests.auth.world import SOURCE, token

__all__ = ["SHORT", "Owner", "owner_of_two", "promised", "shown_short", "stepped_up"]

SHORT = "tower9 elm"  # long enough beside a second factor, too short to stand alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """An account with an authenticator and a passkey, ten recovery codes and a trusted browser.

    Attributes:
        held: ids of the two.
        links: one for each, which takes its setting up back.
    """

    account: Account
    held: tuple[str, str]
    links: tuple[str, str]


def owner_of_two(door: Door, login: str) -> Owner:
    account = door.person(login, password=SHORT)
    door.with_passkey(account)
    door.with_codes(account)
    device = door.devices.remember(account.id, None, source=SOURCE).device
    assert door.trust.trust(account, device, source=SOURCE)
    (totp,), (passkey,) = door.totp.devices(account.id), door.passkey_store.of_account(account.id)
    held = (totp.id, passkey.id)
    links = [_link(door, account, factor, id) for factor, id in zip(("totp", "passkey"), held, strict=True)]
    return Owner(account=account, held=held, links=(links[0], links[1]))


def _link(door: Door, account: Account, factor: str, id: str) -> str:
    details = {"factor": factor, "device": id}
    notice = door.notices.tell(account.id, NoticeKind.FACTOR_ADDED, source=SOURCE, details=details)
    return token(undo_of(door).token(notice, details))


def stepped_up(door: Door, owner: Owner) -> str:
    """A session in which a factor was just shown for this: make it when no clock goes on any more."""
    proofs = [
        Proof(factor=factor, at=door.clock(), explicit=True) for factor in (Factor.PASSWORD, Factor.TOTP)
    ]
    return door.sessions.open_through(
        DOOR,
        account_id=owner.account.id,
        epoch=door.sessions.epoch(owner.account.id),
        proofs=proofs,
        source=SOURCE,
    ).token.reveal()


def shown_short(door: Door, owner: Owner) -> bool:
    """A sign-in with the short password: whether it opened a session by itself."""
    return door.sign_in.start(owner.account.login, SHORT, source=SOURCE).session is not None


def promised(door: Door, owner: Owner) -> int:
    """How many authenticators are left. Fails where the promise is broken."""
    account = door.account_store.get(owner.account.id)
    left = len(Authenticators(totp=door.totp_store, passkeys=door.passkey_store).of_account(account.id))
    if left < len(owner.held):
        assert door.trust.of_account(account) == ()
    if not left:
        assert door.recovery_code_store.of_account(account.id) == ()
        assert door.sessions.of_account(account.id) == ()
    step = door.sign_in.start(account.login, SHORT, source=SOURCE)
    assert step.session is None
    assert ("new_password" in step.next) is (not left), step.next
    return left
