"""What looks at a factor in `tests.auth.exploration`: models that can be copied and put back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any

from portalsec.auth.evidence import Evidence, mint
from portalsec.auth.ports import Account
from portalsec.auth.proof import Factor, Proof
from portalsec.errors import Denied, Reason
from portalsec.events import Source

F = Factor


def mac(label: str, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=label.encode(), digest_size=32).digest()


MAC: Any = type("Mac", (), {"__call__": staticmethod(mac), "all": staticmethod(lambda a, b: (mac(a, b),))})()


@dataclass
class Model:
    """Every account's factors: what the models below read and write."""

    totp: dict[str, int] = field(default_factory=dict)  # confirmed: the newest code that was used
    begun: dict[str, str] = field(default_factory=dict)  # the enrolment that is not confirmed
    passkeys: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(
        default_factory=dict
    )  # that cannot leave their device, of a make that is proved
    codes: dict[str, int] = field(default_factory=dict)
    challenges: dict[tuple[bytes, str], str | None] = field(default_factory=dict)
    sent: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    staff: dict[str, bool] = field(default_factory=dict)
    abroad: dict[str, bool] = field(default_factory=dict)
    dead: dict[str, bool] = field(default_factory=dict)  # authenticators that were guessed to death
    count: dict[str, int] = field(default_factory=dict)

    def made(self) -> int:
        """A number that was never used before: no id comes back."""
        self.count["made"] = number = self.count.get("made", 0) + 1
        return number


class Totp:
    def __init__(self, world: Any) -> None:
        self.world = world

    def enrolled(self, account_id: str) -> bool:
        return account_id in self.world.model.totp

    def usable(self, account_id: str) -> bool:
        return self.enrolled(account_id) and account_id not in self.world.model.dead

    def devices(self, account_id: str) -> list[Any]:
        if not self.enrolled(account_id):
            return []
        return [SimpleNamespace(id="app", dead=account_id in self.world.model.dead)]

    def begin(self, account_id: str, account_name: str) -> Any:
        self.world.model.begun[account_id] = device = f"device-{self.world.model.made()}"
        return SimpleNamespace(device_id=device)

    def confirm(self, account_id: str, device_id: str, code: str) -> Evidence:
        if self.world.model.begun.get(account_id) != device_id:
            raise Denied(Reason.FACTOR_NOT_ENROLLED)
        if code != code_of(device_id):
            raise Denied(Reason.WRONG_CODE)
        del self.world.model.begun[account_id]
        self.world.model.totp[account_id] = 0
        self.world.model.dead.pop(account_id, None)
        return mint(Proof(factor=F.TOTP, at=self.world.now, authenticator=device_id), account_id)

    def undo(self, account_id: str, device_id: str) -> None:
        self.world.model.totp.pop(account_id, None)

    def verify(self, account_id: str, code: str) -> Evidence:
        used = self.world.model.totp.get(account_id)
        if account_id in self.world.model.dead:
            raise Denied(Reason.FACTOR_DISABLED)
        if used is None or code != code_of(account_id, used + 1):
            raise Denied(Reason.WRONG_CODE)
        self.world.model.totp[account_id] = used + 1
        return mint(F.TOTP, account_id, self.world.now)


@cache
def code_of(*parts: object) -> str:
    """Six digits that differ by account, device and use."""
    return f"{int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], 'big') % 10**6:06d}"


class Passkeys:
    """Also the store: ``of_account`` and ``remove``. A response is ``(whose, verified, whether of a hardware key)``; the
    last is left out of a synced passkey's. Each account has one of either kind at most."""

    def __init__(self, world: Any) -> None:
        self.world = world

    def of_account(self, account_id: str) -> list[Any]:
        model = self.world.model
        mine = ((model.passkeys.get(account_id), True), (model.keys.get(account_id), False))
        return [_stored(each, syncs) for each, syncs in mine if each is not None]

    def remove(self, account_id: str, passkey_id: str) -> bool:
        model = self.world.model
        held = model.keys if model.keys.get(account_id) == passkey_id else model.passkeys
        return held.pop(account_id, None) is not None

    def begin_sign_in(
        self, place: bytes, *, login: Any, account: Account | None, purpose: str, **kwargs: Any
    ) -> Any:
        self.world.model.challenges[place, purpose] = None if account is None else account.id

    def begin_registration(self, place: bytes, account: Account, *, user_verification: str) -> Any:
        self.world.model.challenges[place, "register"] = account.id

    def complete_sign_in(
        self, place: bytes, purpose: str, response: Any, *, account_id: str | None, **kwargs: Any
    ) -> Evidence:
        whose, verified, *hard = response
        missing = object()
        asked: Any = self.world.model.challenges.pop((place, purpose), missing)
        if asked is missing or (account_id is not None and asked != account_id):
            raise Denied(Reason.FLOW_UNKNOWN)
        mine = (self.world.model.keys if hard else self.world.model.passkeys).get(whose)
        if (
            mine is None
            or asked not in (None, whose)
            or (kwargs["require_user_verification"] and not verified)
        ):
            raise Denied(Reason.PASSKEY_REFUSED)
        proof = Proof(
            factor=F.PASSKEY,
            at=self.world.now,
            authenticator=mine,
            user_verified=verified,
            device_bound=bool(hard),
            attested=True,  # of some make that syncs, which is not enough
        )
        return mint(proof, whose)

    def complete_registration(self, place: bytes, account_id: str, response: Any, **kwargs: Any) -> Any:
        if self.world.model.challenges.pop((place, "register"), None) != account_id:
            raise Denied(Reason.FLOW_UNKNOWN)
        hard = response == "hard"
        held = self.world.model.keys if hard else self.world.model.passkeys
        held[account_id] = made = f"passkey-{self.world.model.made()}"
        return SimpleNamespace(id=made, user_verified=True, backup_eligible=not hard, attested=True)


@cache
def _stored(id: str, syncs: bool) -> Any:
    return SimpleNamespace(id=id, disabled_at=None, attested=True, backup_eligible=syncs)


class Codes:
    def __init__(self, world: Any) -> None:
        self.world = world

    def left(self, account_id: str) -> int:
        return self.world.model.codes.get(account_id, 0)

    def verify(self, account_id: str, typed: object, *, source: Source) -> Evidence:
        if typed != account_id or not self.left(account_id):
            raise Denied(Reason.WRONG_CODE)
        self.world.model.codes[account_id] -= 1
        return mint(F.RECOVERY_CODE, account_id, self.world.now)


class Passwords:
    def verify(self, stored: str | None, typed: object, *, account_id: str | None) -> Any:
        if stored is None or stored != typed:
            raise Denied(Reason.WRONG_PASSWORD)
        return SimpleNamespace(rehash_due=False)


class Attempt:
    """No budgets here."""

    locked, used_up, device_used_up = None, False, False

    def failed(self, *, source: Any = None) -> None: ...
    def succeeded(self) -> None: ...
    def not_tested(self) -> None: ...
    def hold(self) -> tuple[()]:
        return ()


class Anything:
    """A service that the door tells things and that never answers with anything that counts."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: _ANSWERS.get(name)


_ANSWERS: dict[str, Any] = {
    "admit": Attempt(),
    "narrow": Attempt(),
    "reserve": Attempt(),
    "tell": SimpleNamespace(id="notice"),
}
