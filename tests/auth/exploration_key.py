"""Which two worlds of `tests.auth.exploration` are the same: exactly, without a hash that could mistake one for another.

Merged is what cannot matter: the bytes of tokens and ids, which browser is which, how long ago something happened once it
is past every limit, and tokens that nobody holds. What is kept of each thing is what the door, or the ghost, may ever
look at: also ages to the minute, tries, whether a proof's authenticator and a browser's secret are the current ones.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from portalsec.auth.proof import Proof
from tests.auth.exploration_sessions import LIMITS, WITHIN

if TYPE_CHECKING:
    from tests.auth.exploration_world import Browser, World

__all__ = ["Fingerprint", "digest"]

NONE = timedelta(0)


class Fingerprint:
    """From a world to a value that is equal for worlds from which the same is possible; parts of it are counted through.

    It does not tell apart: how many ceremonies a sign-in has begun (10 are the end, further than an exhaustive search
    goes), nor how far a session is from its absolute limit, or a trust from its end, as long as there is time left (days
    make the difference, and one event passes a whole one).
    """

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}

    def __call__(self, world: World) -> tuple[int, ...]:
        names, model = world.names, world.model
        asked: dict[bytes, list[Any]] = {}
        for (place, purpose), whose in model.challenges.items():
            asked.setdefault(place, []).append((purpose, whose))
        held = []
        for number, browser in enumerate(world.browsers):
            mailed = self._mailed(world, number) if model.sent else ()
            linked = world.links.told(number) if world.links is not None else ()
            acting = world.desk.told(browser.acting) if world.desk is not None else None
            held.append(self._number((*self._browser(world, browser, asked), mailed, linked, acting)))
        people = tuple(
            (
                (account := world.accounts.get(name)) and account.disabled,
                account and account.must_change,
                name in model.totp,
                name in model.passkeys,
                name in model.keys,
                model.codes[name],
                model.staff.get(name, False),
                model.abroad.get(name, False),
                name in model.dead,
            )
            for name in names
        )
        # Which browser is which is no matter.
        return (self._number((people, world.late)), *sorted(held))

    def _number(self, part: Any) -> int:
        return self._numbers.setdefault(part, len(self._numbers))

    def _browser(self, world: World, browser: Browser, asked: dict[bytes, list[Any]]) -> tuple[Any, ...]:
        trusts = frozenset(
            (whose, *(had == now for had, now in zip(guards, world.guards(whose), strict=True)))
            for whose, guards, until in browser.trusts
            if world.now < until
        )
        return (
            self._pending(world, browser.pending, asked),
            self._pending(world, browser.stale, asked),
            self._session(world, browser.session, asked),
            browser.before is not None and world.lives(browser.before) is not None,
            self._devices(world, browser.cookie),
            trusts,
        )

    @staticmethod
    def _mailed(world: World, own: int) -> tuple[Any, ...]:
        """Of the codes that may be typed anywhere: whose they are, and for which place, as one browser sees it."""
        places = {
            digest(token): (number, which)
            for number, browser in enumerate(world.browsers)
            for which, token in (("pending", browser.pending), ("stale", browser.stale))
            if token is not None
        }
        told = []
        for place, (whose, _) in world.newest_codes():
            number, which = places.get(place, (-1, ""))
            told.append((whose, which if number == own else "other" if number >= 0 else "gone"))
        return tuple(told)

    def _pending(self, world: World, token: str | None, asked: dict[bytes, list[Any]]) -> Any:
        found = None if token is None else world.flow(token)
        if token is None or found is None:
            return None
        flow, state = found
        name, current, device = flow.account_id, None, None
        if name is not None:
            current = (
                world.sessions.epoch(name) == state.epoch,
                world.still(name, state),
            )
        if state.device_id is not None:
            device = state.device_id == world.model.begun.get(name)
        return (
            flow.purpose,
            name,
            current,
            flow.attempts,
            flow.expires_at - world.now,
            world.now - world.since.get(token, world.now),
            tuple([self._proof(world, name, proof) for proof in state.proofs]),
            device,
            state.named,
            state.begun > 0,
            state.sent,
            state.browser.trust,
            state.browser.device is not None and self._known(world, bytes.fromhex(state.browser.device)),
            frozenset(asked.get(flow.digest, ())),
            world.model.sent.get(flow.digest, (None,))[0],
            world.shown.get(token),
        )

    def _session(self, world: World, token: str | None, asked: dict[bytes, list[Any]]) -> Any:
        record = None if token is None else world.lives(token)
        if token is None or record is None:
            return None
        return (
            record.account_id,
            tuple([self._proof(world, record.account_id, proof) for proof in record.proofs]),
            max(LIMITS.idle - (world.now - record.last_seen_at), NONE),
            record.rested_at is not None,
            world.ghosts[token].opened,
            frozenset(
                (what, world.now - at) for what, at in world.ghosts[token].stepped if world.now - at < WITHIN
            ),
            frozenset(asked.get(record.digest, ())),
        )

    def _proof(self, world: World, name: str | None, proof: Proof) -> Any:
        """A passkey's removal is looked at for as long as it counts."""
        model, whose = world.model, name or ""
        mine = (model.passkeys.get(whose), model.keys.get(whose))
        there = proof.factor != "passkey" or proof.authenticator in mine
        return (
            proof.factor.value,
            proof.user_verified,
            proof.device_bound,
            there,
            min(world.now - proof.at, WITHIN),
        )

    def _devices(self, world: World, cookie: str | None) -> Any:
        return (
            None
            if cookie is None
            else tuple([self._known(world, digest(each)) for each in cookie.split(".")])
        )

    def _known(self, world: World, secret: bytes) -> Any:
        device = world.devices.find(secret)
        if device is None:
            return None
        trusted = device.trusted_until is not None and device.trusted_until > world.now
        return (device.account_id, device.digest == secret, trusted)


@lru_cache(10_000)
def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("ascii")).digest()
