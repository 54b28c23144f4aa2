"""Rows KEY-03 to KEY-08 of the abuse cases, on every store: what was refused is recorded, and changed nothing.

Each step by itself is in ``tests/auth/passkeys``; KEY-01, KEY-02 and KEY-10 are in ``test_passkeys.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

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


@pytest.fixture
def room(backing: Backing) -> Room:
    return Room(backing)


def test_key_03_a_registration_at_the_sign_in_and_the_reverse(room: Room) -> None:
    made = SoftAuthenticator().create(room.creation(), origin=ORIGIN)
    room.request()
    room.nothing_came_of(made, (MALFORMED, "A-shape"))
    before = room.held()
    answer = json.loads(room.hers.get(room.request(), origin=ORIGIN))
    room.creation()
    for because in (MALFORMED, UNKNOWN):  # and the challenge is used up
        with pytest.raises(Denied) as denied:
            room.service.complete_registration(PLACE, MARIA.id, answer, source=SOURCE)
        assert denied.value.reason is because
    assert room.held() == before


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


@pytest.mark.parametrize(
    "hostile",
    [
        {"origin": "https://portal.example.attacker.example"},
        {"origin": "https://login.portal.example"},
        {"origin": "http://portal.example"},
        {"origin": "https://portal.example:8443"},
    ],
    ids=lambda it: it["origin"],
)
@pytest.mark.parametrize("purpose", [SIGN_IN, SECOND, STEP_UP])
def test_key_07_another_origin(room: Room, hostile: dict[str, str], purpose: str) -> None:
    account = None if purpose == SIGN_IN else MARIA
    answer = room.hers.get(room.request(account, purpose=purpose), **hostile)
    room.nothing_came_of(answer, (REFUSED, "A-origin"), account=account, purpose=purpose)
    options = room.creation()
    before = room.held()
    with pytest.raises(Denied) as denied:
        room.service.complete_registration(
            PLACE, MARIA.id, SoftAuthenticator().create(options, **hostile), source=SOURCE
        )
    assert denied.value.reason is REFUSED
    assert room.held() == before


@pytest.mark.parametrize("rp_id", ["attacker.example", "login.portal.example", "example"])
def test_key_07_another_rp_id(room: Room, rp_id: str) -> None:
    answer = room.hers.get(room.request(), origin=ORIGIN, rp_id=rp_id)
    room.nothing_came_of(answer, (REFUSED, "A-rpid"))


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


def test_key_08_a_credential_id_that_is_somebodys(room: Room) -> None:
    (hers,) = room.store.of_account(MARIA.id)
    before, thief = room.held(), SoftAuthenticator()
    for account in (ROBIN, MARIA):
        options = room.creation(account, exclude=False)
        response = thief.create(options, origin=ORIGIN, credential_id=hers.credential_id, force=True)
        with pytest.raises(Denied) as denied:
            room.service.complete_registration(PLACE, account.id, response, source=SOURCE)
        assert denied.value.reason is Reason.PASSKEY_TAKEN
    assert room.held() == before
    assert room.store.by_credential_id(hers.credential_id) == hers
    assert room.answer_refused(thief)[0] is REFUSED
    assert room.answer(room.hers).account_id == MARIA.id
