"""A sign-in of an API client that was taken from it on the way (RFC 9449 binds tokens; these are none yet): whoever got hold of
its pending token goes on with no key of their own, and without one neither; and then nobody does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from portalsec.auth._door import DOOR
from portalsec.auth.evidence import mint
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.signin import SignInPolicy
from portalsec.errors import Reason
from portalsec.events import SYSTEM, Event, Source
from portalsec.testing import SoftAuthenticator
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import with_address
from tests.auth.world import ORIGIN, OTHER_PASSWORD, PASSWORD, SOURCE, code_of, token

__all__ = ["backing", "make"]

OURS, THEIRS = replace(SOURCE, jkt="a" * 43), replace(SOURCE, jkt="b" * 43)
Finish = Callable[[Source], object]


def started(door: Door, source: Source) -> str:
    return begun(door.sign_in.start("robin", PASSWORD, source=source))


def totp(door: Door, source: Source) -> Finish:
    robin, pending = door.person(), started(door, source)
    return lambda by: door.sign_in.submit_totp(pending, door.code(robin), source=by)


def recovery_code(door: Door, source: Source) -> Finish:
    codes, pending = door.with_codes(door.person()), started(door, source)
    return lambda by: door.sign_in.submit_recovery_code(pending, codes[0], source=by)


def mailed_code(door: Door, source: Source) -> Finish:
    robin = door.person(enrolled=False)
    with_address(door, robin)
    pending = started(door, source)
    return lambda by: door.sign_in.send_code(pending, Factor.EMAIL_CODE, source=by)


def passkey_asked(door: Door, source: Source) -> Finish:
    door.with_passkey(door.person(enrolled=False))
    pending = started(door, source)
    return lambda by: door.sign_in.begin_passkey(pending, source=by)


def passkey_second(door: Door, source: Source) -> Finish:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    pending = started(door, source)
    options, _ = door.sign_in.begin_passkey(pending, source=source)
    answer = door.answer(robin, options)
    return lambda by: door.sign_in.submit_passkey(pending, answer, source=by)


def passkey_first(door: Door, source: Source) -> Finish:
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    options, pending = door.sign_in.begin_passkey(source=source)
    answer = door.answer(robin, options)
    return lambda by: door.sign_in.submit_passkey(token(pending), answer, source=by)


def totp_begun(door: Door, source: Source) -> Finish:
    door.person(enrolled=False)
    pending = started(door, source)
    return lambda by: door.sign_in.begin_totp_enrolment(pending, source=by)


def totp_set_up(door: Door, source: Source) -> Finish:
    door.person(enrolled=False)
    pending = started(door, source)
    seed = door.sign_in.begin_totp_enrolment(pending, source=source).secret.reveal()
    code = code_of(seed, door.clock())
    return lambda by: door.sign_in.confirm_totp_enrolment(pending, code, source=by)


def passkey_set_up(door: Door, source: Source) -> Finish:
    door.person(enrolled=False)
    pending = started(door, source)
    options = door.sign_in.begin_passkey_enrolment(pending, source=source)
    made = SoftAuthenticator().create(options.json, origin=ORIGIN)
    return lambda by: door.sign_in.confirm_passkey_enrolment(pending, made, "key", source=by)


def new_password(door: Door, source: Source) -> Finish:
    robin = door.person()
    door.password_change.require(robin.id, "breached", actor=SYSTEM, source=SOURCE)
    pending = started(door, source)
    pending = begun(door.sign_in.submit_totp(pending, door.code(robin), source=source))
    return lambda by: door.password_change.submit_forced(pending, OTHER_PASSWORD, source=by)


def link(door: Door, source: Source) -> Finish:
    robin = door.person(enrolled=False)
    pending, _ = door.sign_in.begin_link(DOOR, source=source, replaces=None, shared=False, trust=False)
    proven = mint(
        Proof(factor=Factor.EMAIL_CODE, at=door.clock()), robin.id, epoch=door.sessions.epoch(robin.id)
    )
    return lambda by: door.sign_in.after_link(DOOR, pending.reveal(), robin, proven, source=by)


WAYS = [
    totp, recovery_code, mailed_code, passkey_asked, passkey_second, passkey_first, totp_begun, totp_set_up,
    passkey_set_up, new_password, link,
]  # fmt: skip


def door_for(make: MakeDoor, way: Callable[[Door, Source], Finish]) -> Door:
    if way is link:
        return make(SignInPolicy(second_factor="optional", factors=MAIL, mail_link=True))
    return make(SignInPolicy(factors=MAIL) if way is mailed_code else None)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(OURS, THEIRS), (OURS, SOURCE), (SOURCE, THEIRS)],
    ids=["another key", "no key", "a key where there was none"],
)
@pytest.mark.parametrize("way", WAYS)
def test_no_step_goes_on_under_another_key(
    make: MakeDoor, way: Callable[[Door, Source], Finish], ours: Source, theirs: Source
) -> None:
    door = door_for(make, way)
    finish = way(door, ours)
    assert refused(lambda: finish(theirs)) is Reason.DPOP_REFUSED
    robin = door.account_store.by_login("robin")
    assert robin is not None and door.sessions.of_account(robin.id) == ()
    assert any(
        event.reason is Reason.DPOP_REFUSED for event in door.events.named(Event.AUTH_MFA_CHALLENGE_FAILED)
    )
    # It was stolen, so it is over for its client, too.
    assert refused(lambda: finish(ours)) is Reason.FLOW_UNKNOWN


@pytest.mark.parametrize("way", WAYS)
def test_every_step_goes_on_under_the_key_of_the_first(
    make: MakeDoor, way: Callable[[Door, Source], Finish]
) -> None:
    assert way(door_for(make, way), OURS)(OURS)
