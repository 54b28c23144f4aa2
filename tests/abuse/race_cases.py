"""What one process of `tests.abuse.racing` does in each case: ``case(door, number, job)`` makes ready and gives the attempt.

An attempt's result pickles: "won" where it is what one of them may have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portalsec.auth._door import DOOR
from portalsec.auth._last_factor import LastFactor
from portalsec.auth.authenticators import Authenticators
from portalsec.auth.demands import Demand
from portalsec.auth.dpop import Dpop, DpopPolicy
from portalsec.auth.endings import Why
from portalsec.auth.factors import Factors
from portalsec.auth.impersonation import Impersonation, ImpersonationPolicy
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.undo import Undo
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import Denied, Reason
from portalsec.events import Actor
from tests.auth import world
from tests.auth.door import Door
from tests.auth.world import OTHER_PASSWORD, PASSWORD, SOURCE

__all__ = ["URI", "dpop_of", "factors_of", "undo_of"]

Attempt = Callable[[], Any]
WON = "won"
URI = "https://portal.example/api/records"


def totp(door: Door, number: int, job: Any) -> Attempt:
    """One code, in a sign-in of its own."""
    tokens, code = job
    return lambda: door.sign_in.submit_totp(tokens[number], code, source=SOURCE).session and WON


def recovery_code(door: Door, number: int, job: Any) -> Attempt:
    """One code, in a sign-in of its own."""
    tokens, code = job
    return lambda: door.sign_in.submit_recovery_code(tokens[number], code, source=SOURCE).session and WON


def passkey(door: Door, number: int, job: Any) -> Attempt:
    """Answers of a passkey: one for all, or one for each with its own challenge."""
    pending, answers = job
    mine = (pending[number % len(pending)], answers[number % len(answers)])
    return lambda: door.sign_in.submit_passkey(*mine, source=SOURCE).session and WON


def one_pending(door: Door, number: int, job: Any) -> Attempt:
    """One pending sign-in, to which each shows something else that is right."""
    pending, shown = job
    verb, what = shown[number]
    return lambda: getattr(door.sign_in, verb)(pending, what, source=SOURCE).session and WON


def guesses(door: Door, number: int, job: Any) -> Attempt:
    """A wrong code in one pending sign-in."""
    pending, wrong = job
    return lambda: door.sign_in.submit_totp(pending, wrong, source=SOURCE)


def step_up(door: Door, number: int, job: Any) -> Attempt:
    """One code, in a session of its own."""
    texts, code = job
    session = door.sessions.check(texts[number], source=SOURCE)
    return lambda: door.step_up.submit_totp(session, code, source=SOURCE) and WON


def password_step_up(door: Door, number: int, text: str) -> Attempt:
    """The right password in one session: whose id changes once."""
    session = door.sessions.check(text, source=SOURCE)
    return lambda: door.step_up.submit_password(session, PASSWORD, source=SOURCE) and WON


def rotate(door: Door, number: int, text: str) -> Attempt:
    """A new id for one session."""
    session = door.sessions.check(text, source=SOURCE)
    return lambda: door.sessions.rotate_through(DOOR, session, source=SOURCE).token.reveal()


def rotate_or_end(door: Door, number: int, text: str) -> Attempt:
    """The first ends all sessions of the account, the others give theirs a new id."""
    session = door.sessions.check(text, source=SOURCE)
    if number == 0:
        actor = Actor(type="user", id=session.account_id)
        return lambda: door.sessions.end_all(session.account_id, source=SOURCE, actor=actor) and None
    return lambda: door.sessions.rotate_through(DOOR, session, source=SOURCE).token.reveal()


def open_two(door: Door, number: int, account_id: str) -> Attempt:
    """Two more sessions of an account; None for one that was pushed out before it was there."""
    epoch = door.sessions.epoch(account_id)
    proofs = [Proof(factor=factor, at=door.clock()) for factor in (Factor.PASSWORD, Factor.TOTP)]

    def opened() -> str | None:
        try:
            return door.sessions.open_through(
                DOOR, account_id=account_id, epoch=epoch, proofs=proofs, source=SOURCE
            ).token.reveal()
        except Denied as denied:
            assert denied.reason is Reason.SESSION_REVOKED
            return None

    return lambda: [opened(), opened()]


def trusted_device(door: Door, number: int, job: Any) -> Attempt:
    """One trusted browser's cookie: each sign-in with it that ends well gives it a new secret."""
    account_id, cookie = job
    known = door.devices.find(cookie, account_id, source=SOURCE)
    assert known is not None

    def attempt() -> tuple[bool, str]:
        kept = door.devices.remember(account_id, known.digest, source=SOURCE, cookie=cookie)
        account = door.account_store.get(account_id)
        return door.trust.holds(account, kept.device, door.clock()), kept.cookie.reveal()

    return attempt


def undo(door: Door, number: int, token: str) -> Attempt:
    """The link that takes a new factor back."""
    undoing = undo_of(door)
    return lambda: undoing.confirm(token, source=SOURCE) and WON


def undo_of(door: Door) -> Undo:
    """Wired as the portal's is."""
    return Undo(
        store=door.notice_store,
        notices=door.notices,
        accounts=door.account_store,
        authenticators=Authenticators(totp=door.totp_store, passkeys=door.passkey_store),
        codes=door.recovery_codes,
        last=LastFactor(codes=door.recovery_codes, trust=door.trust, required=lambda _: False),
        used=door.link_store,
        endings=door.endings,
        disavowed=lambda _: (),
        mac=door.mac,
        emit=door.events,
        clock=door.clock,
    )


def factors_of(door: Door, *, required: bool = False) -> Factors:
    """Wired as the portal's are.

    Args:
        required: whether policy asks the accounts for a second factor.
    """
    return Factors(
        authenticators=Authenticators(totp=door.totp_store, passkeys=door.passkey_store),
        totp=door.totp,
        passkeys=door.passkeys,
        codes=door.recovery_codes,
        trust=door.trust,
        last=LastFactor(codes=door.recovery_codes, trust=door.trust, required=lambda _: required),
        accounts=door.account_store,
        flows=door.flow_store,
        step_up=door.step_up,
        throttle=door.throttle,
        endings=door.endings,
        notices=door.notices,
        sealer=FieldSealer(world._FIELDS),
        mac=door.mac,
        emit=door.events,
        clock=door.clock,
    )


def enrol(door: Door, number: int, job: Any) -> Attempt:
    """A first passkey, set up at the door in a sign-in of its own."""
    tokens, made = job
    return lambda: (
        door.sign_in.confirm_passkey_enrolment(tokens[number], made[number], "key", source=SOURCE).session
        and WON
    )


def remove(door: Door, number: int, job: Any) -> Attempt:
    """One of an account's two authenticators, in a session of its own."""
    texts, held, required = job
    factors = factors_of(door, required=required)
    session = door.sessions.check(texts[number], source=SOURCE)
    return lambda: factors.remove(session, held[number % 2], source=SOURCE) and WON


def undo_both(door: Door, number: int, links: Any) -> Attempt:
    """The links of both: the first two processes at one of them, the others at the other."""
    undoing = undo_of(door)
    return lambda: undoing.confirm(links[number % 2], source=SOURCE) and WON


def undo_or_remove(door: Door, number: int, job: Any) -> Attempt:
    """The link of one, and the other one is removed in a session; of two accounts at once."""
    links, texts, held, required = (each[number // 2] for each in job)
    if number % 2:
        return undo(door, number, links[0])
    return remove(door, 0, ((texts,), (held[1],), required))


def confirm(door: Door, number: int, links: Any) -> Attempt:
    """A mailed link that confirms an address."""
    return lambda: door.contacts.confirm(links[number % len(links)], source=SOURCE) or WON


def change_or_rotate(door: Door, number: int, texts: Any) -> Attempt:
    """The first changes the password in its session, the others give theirs a new id."""
    if number:
        return rotate(door, number, texts[number])
    session = door.sessions.check(texts[0], source=SOURCE)
    return lambda: door.password_change.change(
        session, current=PASSWORD, new=OTHER_PASSWORD, source=SOURCE
    ).token.reveal()


def register(door: Door, number: int, job: Any) -> Attempt:
    """What a browser made of one credential id: for an account of its own each, or all for the same."""
    places, accounts, made = (each[number % len(each)] for each in job)
    assert door.passkeys is not None
    registering = door.passkeys
    return lambda: registering.complete_registration(places, accounts, made, source=SOURCE) and WON


def send(door: Door, number: int, account_id: str) -> Attempt:
    """Five codes by mail, each in a sign-in of its own: the reason of each that was not sent."""
    account, sender = door.account_store.get(account_id), door.out_of_band

    def one(turn: int) -> Any:
        try:
            sender.send(bytes([number, turn]) * 16, account, Factor.EMAIL_CODE, source=SOURCE)
        except Denied as denied:
            return denied.reason
        return WON

    return lambda: [one(turn) for turn in range(5)]


def impersonate_or_end(door: Door, number: int, job: Any) -> Attempt:
    """Staff act in an owner's name; where they shall end, the first process disables that member of staff."""
    text, owner, ends = job
    staff = door.sessions.check(text, source=SOURCE)
    if ends and not number:
        end, actor = door.endings.apply, Actor(type="user", id="admin")
        return lambda: end(staff.account_id, Why.DISABLED, actor=actor, source=SOURCE) and None
    desk = Impersonation(
        sessions=door.sessions,
        accounts=door.account_store,
        notices=door.notices,
        policy=ImpersonationPolicy(),
        allowed=lambda *_: True,
        demand_of=lambda _: Demand(),
        roles_of=lambda _: frozenset(),
        emit=door.events,
    )
    return lambda: desk.start(staff, owner, reason="ticket-4711", source=SOURCE).token.reveal()


def dpop(door: Door, number: int, job: Any) -> Attempt:
    """One proof of an API client, shown with its token."""
    token, text = job
    service = dpop_of(door)
    proof = service.read([text], method="GET", uri=URI, source=SOURCE, token=token)
    holder = service.holder(proof, source=SOURCE)
    return lambda: door.sessions.check(token, source=SOURCE, holder=holder) and WON


def dpop_of(door: Door) -> Dpop:
    """Wired as the portal's is, without nonces."""
    return Dpop(
        sessions=door.sessions,
        flows=door.backing.flows,
        mac=door.mac,
        clock=door.clock,
        emit=door.events,
        policy=DpopPolicy(nonce=False),
    )
