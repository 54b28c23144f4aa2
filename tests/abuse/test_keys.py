"""Rows KEY-03 to KEY-08 of the abuse cases, on every store: what was refused is recorded, and changed nothing.

Each step by itself is in ``tests/auth/passkeys``; KEY-01, KEY-02 and KEY-10 are in ``test_passkeys.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from portalsec.auth.ports import Account
from portalsec.errors import Denied, Reason
from portalsec.testing import SoftAuthenticator
from tests.abuse.doors import backing
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, ROBIN, SECOND, SIGN_IN, SOURCE, STEP_UP, Setting
from tests.auth.world import Backing

__all__ = ["backing"]

REFUSED, MALFORMED, UNKNOWN = Reason.PASSKEY_REFUSED, Reason.MALFORMED, Reason.FLOW_UNKNOWN


class Room(Setting):
    """Maria and Robin with a passkey each, over the stores of a kind."""

    def __init__(self, backing: Backing) -> None:
        super().__init__()
        self.store, self.flows = backing.passkeys, backing.flows  # type: ignore[assignment]
        self.service = self.with_policy()
        self.hers, self.his = SoftAuthenticator(), SoftAuthenticator()
        self.register(self.hers, MARIA)
        self.register(self.his, ROBIN)

    def held(self) -> dict[str, Any]:
        """What the stores have of both, read anew."""
        return {each.id: self.store.of_account(each.id) for each in (MARIA, ROBIN)}

    def nothing_came_of(self, response: object, because: tuple[Reason, str], **asked: Any) -> None:
        """Of an answer to what was just asked: refused for this, recorded, its challenge used up, nothing else changed."""
        before = self.held()
        assert self.completion_refused(response, **asked) == because
        assert self.held() == before
        with pytest.raises(Denied) as late:
            self.complete(response, **asked)
        assert late.value.reason is UNKNOWN

    def nothing_was_registered(
        self, response: object, because: tuple[Reason, str], account: Account = MARIA
    ) -> None:
        """Likewise, of a response to a registration."""
        before = self.held()

        def complete() -> None:
            self.service.complete_registration(PLACE, account.id, response, source=SOURCE)

        assert self._refused(complete) == because
        assert self.held() == before
        with pytest.raises(Denied) as late:
            complete()
        assert late.value.reason is UNKNOWN


@pytest.fixture
def room(backing: Backing) -> Room:
    return Room(backing)


def test_key_03_a_registration_at_the_sign_in_and_the_reverse(room: Room) -> None:
    made = SoftAuthenticator().create(room.creation(), origin=ORIGIN)
    room.request()
    room.nothing_came_of(made, (MALFORMED, "A-shape"))
    answer = json.loads(room.hers.get(room.request(), origin=ORIGIN))
    room.creation()
    room.nothing_was_registered(answer, (MALFORMED, "R-shape"))


@pytest.mark.parametrize(
    ("spoil", "because"),
    [
        (lambda it: None, (MALFORMED, "A-shape")),
        (lambda it: {}, (MALFORMED, "A-shape")),
        (lambda it: it | {"response": {}}, (MALFORMED, "A-shape")),
        (lambda it: it | {"response": it["response"] | {"signature": ""}}, (REFUSED, "A-sig")),
        (lambda it: it | {"response": without(it["response"], "signature")}, (MALFORMED, "A-shape")),
    ],
    ids=["missing", "empty", "of nothing", "empty signature", "unsigned"],
)
def test_key_04_no_answer_an_empty_or_an_unsigned_one(
    room: Room, spoil: Callable[[Any], object], because: tuple[Reason, str]
) -> None:
    answer = json.loads(room.hers.get(room.request(), origin=ORIGIN))
    room.nothing_came_of(spoil(answer), because)
    assert room.answer(room.hers).account_id == MARIA.id


def without(members: dict[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in members.items() if each != name}


def test_key_05_without_user_verification_it_is_no_only_factor(room: Room) -> None:
    room.hers.user_verification = False
    asked = room.request() | {"userVerification": "discouraged"}  # a page that was changed
    room.nothing_came_of(room.hers.get(asked, origin=ORIGIN), (REFUSED, "A-uv"))
    # Beside a password it is one, and says of itself what it is.
    assert room.answer(room.hers, MARIA, purpose=SECOND).proof.user_verified is False


@pytest.mark.parametrize(
    ("clone", "disabled", "taken"),
    [("step_up", False, False), ("disable", True, False), ("record", False, True)],
)
def test_key_06_a_counter_that_goes_back_is_recorded_and_the_policy_applied(
    room: Room, clone: Any, disabled: bool, taken: bool
) -> None:
    room.service = room.with_policy(clone=clone)
    twin = room.hers.clone()
    for _ in range(3):
        room.answer(room.hers)
    if taken:
        assert room.answer(twin).account_id == MARIA.id
    else:
        assert room.answer_refused(twin) == (REFUSED, "A-count")
    (event,) = room.events.named("auth.passkey_clone_suspected")
    (held,) = room.store.of_account(MARIA.id)
    assert event.details["passkey"] == held.id
    assert (held.sign_count, held.suspect_at) == (3, room.clock())
    assert held.disabled_at == (room.clock() if disabled else None)
    if disabled:
        assert room.answer_refused(room.hers) == (REFUSED, "A-disabled")
    else:
        assert room.answer(room.hers).account_id == MARIA.id  # hers goes on where it was


STRANGE = (
    "https://portal.example.attacker.example",
    "https://login.portal.example",
    "http://portal.example",
    "https://portal.example:8443",
)


@pytest.mark.parametrize("purpose", [SIGN_IN, SECOND, STEP_UP])
def test_key_07_an_answer_from_another_origin_or_for_another_rp_id(room: Room, purpose: str) -> None:
    account = None if purpose == SIGN_IN else MARIA
    for origin in STRANGE:
        answer = room.hers.get(room.request(account, purpose=purpose), origin=origin)
        room.nothing_came_of(answer, (REFUSED, "A-origin"), account=account, purpose=purpose)
    for rp_id in ("attacker.example", "login.portal.example", "example"):
        answer = room.hers.get(room.request(account, purpose=purpose), origin=ORIGIN, rp_id=rp_id)
        room.nothing_came_of(answer, (REFUSED, "A-rpid"), account=account, purpose=purpose)


def test_key_07_a_registration_from_another_origin_or_for_another_rp_id(room: Room) -> None:
    for origin in STRANGE:
        response = SoftAuthenticator().create(room.creation(), origin=origin)
        room.nothing_was_registered(response, (REFUSED, "R-origin"))
    for rp_id in ("attacker.example", "login.portal.example", "example"):
        response = SoftAuthenticator().create(room.creation(), origin=ORIGIN, rp_id=rp_id)
        room.nothing_was_registered(response, (REFUSED, "R-rpid"))


@pytest.mark.parametrize("purpose", [SECOND, STEP_UP])
def test_key_08_another_persons_right_answer(room: Room, purpose: str) -> None:
    asked = room.request(MARIA, purpose=purpose) | {"allowCredentials": []}
    room.nothing_came_of(
        room.his.get(asked, origin=ORIGIN), (REFUSED, "A-allow"), account=MARIA, purpose=purpose
    )
    # Nor where it is on the list: the list is who may answer, not whose it is.
    (his,) = room.store.of_account(ROBIN.id)
    challenge = room.request(MARIA, purpose=SECOND)["challenge"]
    room.plant_request(challenge, replace(his, account_id=MARIA.id))
    answer = room.his.get({"challenge": challenge, "rpId": "portal.example"}, origin=ORIGIN)
    room.nothing_came_of(answer, (REFUSED, "A-user"), account=MARIA, purpose=SECOND)


def test_key_08_her_credential_under_his_user_handle(room: Room) -> None:
    (his,) = room.store.of_account(ROBIN.id)
    for account, purpose in ((None, SIGN_IN), (MARIA, SECOND), (MARIA, STEP_UP)):
        asked = room.request(account, purpose=purpose)
        answer = room.hers.get(asked, origin=ORIGIN, user_handle=his.user_handle)
        room.nothing_came_of(answer, (REFUSED, "A-user"), account=account, purpose=purpose)


@pytest.mark.parametrize("eligible", [False, True])
def test_key_08_another_authenticator_shows_by_the_flag_that_never_changes(
    room: Room, eligible: bool
) -> None:
    (hers,) = room.store.of_account(MARIA.id)
    room.keep(hers, backup_eligible=eligible)
    answer = room.hers.get(room.request(), origin=ORIGIN, backup_eligible=not eligible)
    room.nothing_came_of(answer, (REFUSED, "A-be"))


def test_key_08_a_credential_id_that_is_somebodys(room: Room) -> None:
    (hers,) = room.store.of_account(MARIA.id)
    thief = SoftAuthenticator()
    for account in (ROBIN, MARIA):
        options = room.creation(account, exclude=False)
        response = thief.create(options, origin=ORIGIN, credential_id=hers.credential_id, force=True)
        room.nothing_was_registered(response, (Reason.PASSKEY_TAKEN, "R-dup"), account)
    assert room.store.by_credential_id(hers.credential_id) == hers
    assert room.answer_refused(thief)[0] is REFUSED
    assert room.answer(room.hers).account_id == MARIA.id
