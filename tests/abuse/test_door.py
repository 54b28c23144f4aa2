"""Ways round the door: cases MFA, BYP and ATK of the abuse cases, with every factor.

On every store where one decides: what is counted, used up, ended, or found under another's id. In memory alone is what is
decided before a store is asked, or whatever it answers: evidence that is handed in, and policies. What races is in ``test_door_races.py`` and ``test_door_processes.py``, on every
store too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from portalsec._encoding import new_token
from portalsec.auth.demands import Demand, DemandRule, Facts
from portalsec.auth.evidence import mint
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUpRequired
from portalsec.errors import AuditUnavailable, ConfigurationError, Denied, PortalsecError, Reason, StoreError
from portalsec.events import Actor, Event, SecurityEvent
from tests.abuse.doors import MakeDoor, backing, make
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import browser_token, with_address
from tests.auth.world import ORIGIN, OTHER_PASSWORD, PASSWORD, SOURCE, session, tight

__all__ = ["backing", "make"]

F = Factor
ADMIN = Actor(type="user", id="admin")
FIVE = timedelta(minutes=5)


@pytest.fixture
def door(make: MakeDoor) -> Door:
    return make()


@pytest.fixture
def in_memory() -> Door:
    return Door()


def sessions_of(door: Door, account_id: str) -> int:
    return len(door.backing.sessions.of_account(account_id))


# -- second factors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["enrolment", "sign-in", "step-up"])
def test_mfa_08_guessing_is_bounded_wherever_a_code_is_asked_for(make: MakeDoor, where: str) -> None:
    door = make()
    robin = door.person(enrolled=where != "enrolment")
    wrong, reasons = "000000", []
    held = door.active(door.session(robin)) if where == "step-up" else None
    for _ in range(2):
        pending = None if held else begun(door.start())
        if where == "enrolment":
            door.sign_in.begin_totp_enrolment(pending, source=SOURCE)
        for _ in range(5):
            with pytest.raises(Denied) as refusal:
                if held is not None:
                    door.step_up.submit_totp(held, wrong, source=SOURCE)
                elif where == "enrolment":
                    door.sign_in.confirm_totp_enrolment(pending, wrong, source=SOURCE)
                else:
                    door.sign_in.submit_totp(pending, wrong, source=SOURCE)
            reasons.append(refusal.value.reason)
    assert reasons.count(Reason.WRONG_CODE) + reasons.count(Reason.FLOW_EXHAUSTED) <= 5
    assert reasons[-1] is Reason.THROTTLED


@pytest.mark.parametrize("factor", ["totp", "passkey", "recovery_code"])
def test_mfa_10_the_limit_kills_the_pending_sign_in(make: MakeDoor, factor: str) -> None:
    door = make(lanes=tight(recovery_code=1000, passkey=1000))
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    pending = begun(door.start())
    for _ in range(5):
        with pytest.raises(Denied):
            if factor == "totp":
                door.sign_in.submit_totp(pending, door.wrong_code(robin), source=SOURCE)
            elif factor == "recovery_code":
                door.sign_in.submit_recovery_code(pending, "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA", source=SOURCE)
            else:
                door.sign_in.begin_passkey(pending, source=SOURCE)
                door.sign_in.submit_passkey(pending, "{}", source=SOURCE)
    for work in (
        lambda: door.sign_in.submit_totp(pending, door.code(robin), source=SOURCE),
        lambda: door.sign_in.submit_recovery_code(pending, codes[0], source=SOURCE),
        lambda: door.second(robin, pending),
    ):
        assert refused(work) is Reason.FLOW_UNKNOWN
    assert door.recovery_codes.left(robin.id) == 10


def test_mfa_12_a_second_factor_without_a_first_is_nothing(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    for pending in (robin.id, "robin", new_token(), None, 7, ""):
        for work in (
            lambda p=pending: door.sign_in.submit_totp(p, door.code(robin), source=SOURCE),
            lambda p=pending: door.sign_in.submit_recovery_code(p, codes[0], source=SOURCE),
            lambda p=pending: door.sign_in.submit_passkey(p, "{}", source=SOURCE),
            lambda p=pending: door.sign_in.submit_sent_code(p, "123456", source=SOURCE),
            lambda p=pending: door.sign_in.send_code(p, F.EMAIL_CODE, source=SOURCE),
            lambda p=pending: door.sign_in.begin_totp_enrolment(p, source=SOURCE),
            lambda p=pending: door.sign_in.confirm_passkey_enrolment(p, "{}", source=SOURCE),
        ):
            assert refused(work) is Reason.FLOW_UNKNOWN
    assert "sessions.create" not in door.calls
    assert door.recovery_codes.left(robin.id) == 10


def test_mfa_13_one_persons_challenge_is_not_finished_with_anothers_factor(door: Door) -> None:
    robin, kim = door.person(), door.person("kim")
    door.with_passkey(robin)
    theirs = door.with_passkey(kim)
    codes = door.with_codes(kim)
    door.with_codes(robin)
    pending = begun(door.start())
    assert (
        refused(lambda: door.sign_in.submit_totp(pending, door.code(kim), source=SOURCE)) is Reason.WRONG_CODE
    )
    assert (
        refused(lambda: door.sign_in.submit_recovery_code(pending, codes[0], source=SOURCE))
        is Reason.WRONG_CODE
    )
    # Kim's passkey answers the very challenge of robin's sign-in.
    options, _ = door.sign_in.begin_passkey(pending, source=SOURCE)
    asked = {**json.loads(options.json), "allowCredentials": []}  # an authenticator that keeps to no list
    answer = theirs.get(asked, origin=ORIGIN)
    assert (
        refused(lambda: door.sign_in.submit_passkey(pending, answer, source=SOURCE)) is Reason.PASSKEY_REFUSED
    )
    # An answer that kim gave at their own sign-in is none at robin's.
    other, _ = door.sign_in.begin_passkey(source=SOURCE)
    answer = theirs.get(other.json, origin=ORIGIN)
    door.sign_in.begin_passkey(pending, source=SOURCE)
    assert (
        refused(lambda: door.sign_in.submit_passkey(pending, answer, source=SOURCE)) is Reason.PASSKEY_REFUSED
    )
    assert (sessions_of(door, robin.id), sessions_of(door, kim.id)) == (0, 0)
    assert door.recovery_codes.left(kim.id) == 10


def test_mfa_13_evidence_of_two_people_opens_nothing(door: Door) -> None:
    robin, kim = door.person(), door.person("kim")
    now = door.clock()
    evidence = [mint(F.PASSWORD, robin.id, now, epoch=0), mint(F.TOTP, kim.id, now)]
    for whose in (robin, kim):
        assert (
            refused(lambda w=whose: door.sign_in.login(w.id, evidence, source=SOURCE))
            is Reason.EVIDENCE_MIXED
        )


def test_mfa_14_what_is_one_factor_counts_once(door: Door) -> None:
    robin = door.person(enrolled=False)
    now = door.clock()

    def piece(factor: Factor, **kwargs: Any) -> Any:
        return mint(Proof(factor=factor, at=now, **kwargs), robin.id, epoch=0)

    for evidence in (
        [piece(F.EMAIL_CODE), piece(F.SMS_CODE)],
        [piece(F.PASSWORD, through=F.EMAIL_CODE), piece(F.EMAIL_CODE)],
        [piece(F.TOTP, authenticator="a"), piece(F.TOTP, authenticator="b")],
        [piece(F.TOTP), piece(F.RECOVERY_CODE)],
    ):
        assert (
            refused(lambda e=evidence: door.sign_in.login(robin.id, e, source=SOURCE))
            is Reason.EVIDENCE_MISSING
        )
    for evidence in ([piece(F.EMAIL_CODE), piece(F.EMAIL_CODE)], [piece(F.PASSWORD), piece(F.PASSWORD)]):
        assert (
            refused(lambda e=evidence: door.sign_in.login(robin.id, e, source=SOURCE))
            is Reason.EVIDENCE_MIXED
        )


def test_mfa_19_a_strangers_passkeys_use_up_nothing_of_the_owners(make: MakeDoor) -> None:
    door = make(lanes=tight(passkey=4, second_factor=3))
    robin = door.person()
    door.with_passkey(robin)
    for _ in range(5):
        with pytest.raises(Denied):
            _, token = door.sign_in.begin_passkey(source=SOURCE, login="robin")
            door.sign_in.submit_passkey(token.reveal(), "{}", source=SOURCE)
    # Also where the stranger has the password: codes and passkeys have budgets apart.
    pending = begun(door.start())
    for _ in range(5):
        with pytest.raises(Denied):
            door.sign_in.submit_passkey(pending, "{}", source=SOURCE)
    assert door.sign_in.submit_totp(begun(door.start()), door.code(robin), source=SOURCE).session


# -- ways round ---------------------------------------------------------------------------------------------------


def test_byp_01_06_a_pending_token_is_no_session_and_no_session_is_there_before_the_end(door: Door) -> None:
    robin = door.person()
    pending = begun(door.start())
    _, first = door.sign_in.begin_passkey(source=SOURCE)
    for token in (pending, first.reveal(), hashlib.sha256(pending.encode()).hexdigest()):
        assert refused(lambda t=token: door.sessions.check(t, source=SOURCE)) is Reason.SESSION_UNKNOWN
    assert sessions_of(door, robin.id) == 0


def ways_in(door: Door, login: str = "robin") -> dict[str, Callable[[], object]]:
    robin = door.person(login)
    door.with_passkey(robin)
    codes = door.with_codes(robin)

    def first() -> object:
        options, token = door.sign_in.begin_passkey(source=SOURCE)
        return door.sign_in.submit_passkey(token.reveal(), door.answer(robin, options), source=SOURCE)

    return {
        "totp": lambda: door.sign_in.submit_totp(begun(door.start(login)), door.code(robin), source=SOURCE),
        "recovery code": lambda: door.sign_in.submit_recovery_code(
            begun(door.start(login)), codes[0], source=SOURCE
        ),
        "passkey second": lambda: door.second(robin, begun(door.start(login))),
        "passkey first": first,
    }


@pytest.mark.parametrize("way", ["totp", "recovery code", "passkey second", "passkey first"])
def test_byp_02_atk_41_whatever_fails_on_the_way_in_leaves_nobody_signed_in(make: MakeDoor, way: str) -> None:
    probe = make()
    work = ways_in(probe)[way]
    probe.calls.clear()
    work()
    verbs = sorted({call for call in probe.calls if not call.startswith("notices.")})
    assert "sessions.create" in verbs
    stores = {
        "accounts": "account_store",
        "flows": "flow_store",
        "sessions": "session_store",
        "throttle": "throttle_store",
        "totp": "totp_store",
        "devices": "device_store",
        "passkeys": "passkey_store",
        "recovery_codes": "recovery_code_store",
        "contacts": "contact_store",
    }
    for number, call in enumerate(verbs):
        door, login = make(), f"robin{number}"
        work = ways_in(door, login)[way]
        name, _, verb = call.partition(".")
        getattr(door, stores[name]).failing[verb] = StoreError("down")
        with pytest.raises((StoreError, Denied)):
            work()
        account = door.backing.accounts.by_login(login)
        assert sessions_of(door, account.id) == 0, call
    door = make()
    work = ways_in(door, "last")[way]

    def emit(event: SecurityEvent) -> None:
        if event.name == Event.AUTH_LOGIN:
            raise AuditUnavailable("down")

    door.emit = emit
    door.wire()
    with pytest.raises(PortalsecError):
        work()
    assert sessions_of(door, door.backing.accounts.by_login("last").id) == 0


@pytest.mark.parametrize("kind", ["totp", "passkey", "recovery_code"])
@pytest.mark.parametrize("second_factor", ["optional", "required"])
def test_byp_03_whichever_kind_an_account_has_it_is_asked_for(
    make: MakeDoor, kind: str, second_factor: Any
) -> None:
    door = make(SignInPolicy(second_factor=second_factor))
    robin = door.person(enrolled=kind == "totp")
    if kind == "passkey":
        door.with_passkey(robin)
    if kind == "recovery_code":
        door.with_codes(robin)
    assert door.start().next == (kind,)


@pytest.mark.parametrize(
    "policy", [None, SignInPolicy(second_factor="optional", factors=MAIL)], ids=["required", "mail"]
)
def test_byp_04_atk_36_a_reset_is_no_second_factor(make: MakeDoor, policy: SignInPolicy | None) -> None:
    door = make(policy)
    robin = door.person()
    door.with_passkey(robin)
    with_address(door, robin)
    step = door.reset.choose(browser_token(door), OTHER_PASSWORD, source=SOURCE)
    assert step.session is None
    assert {"totp", "passkey"} <= set(step.next) <= {"totp", "passkey"}
    assert sessions_of(door, robin.id) == 0


@pytest.mark.parametrize("inactive", [False, True])
def test_byp_07_nothing_of_one_persons_sign_in_carries_over_to_the_next(
    make: MakeDoor, inactive: bool
) -> None:
    door = make()
    robin, kim = door.person(), door.person("kim")
    door.with_passkey(kim)
    left = begun(door.start())
    if inactive:
        door.accounts.disable(robin.id, actor=ADMIN, source=SOURCE)
    step = door.start("kim", replaces=left)
    assert refused(lambda: door.sign_in.submit_totp(left, door.code(robin), source=SOURCE)) is (
        Reason.FLOW_UNKNOWN
    )
    assert (
        refused(lambda: door.sign_in.submit_totp(begun(step), door.code(robin), source=SOURCE))
        is Reason.WRONG_CODE
    )
    options, first = door.sign_in.begin_passkey(source=SOURCE, replaces=begun(step))
    done = door.sign_in.submit_passkey(first.reveal(), door.answer(kim, options), source=SOURCE)
    active = door.active(session(done))
    assert (active.account_id, active.factors) == (kim.id, ("passkey",))


def test_byp_08_half_a_sign_in_does_not_outlive_a_sign_out(door: Door) -> None:
    robin = door.person()
    door.with_passkey(robin)
    opened, pending = door.session(robin), begun(door.start())
    options, _ = door.sign_in.begin_passkey(pending, source=SOURCE)
    answer = door.answer(robin, options)
    door.sign_in.logout(opened.token.reveal(), source=SOURCE, pending=pending)
    assert refused(lambda: door.sign_in.submit_passkey(pending, answer, source=SOURCE)) is Reason.FLOW_UNKNOWN


def test_byp_09_no_password_is_kept_between_the_steps(in_memory: Door) -> None:
    door = in_memory
    door.person()
    begun(door.start())
    kept = b"".join(flow.data for flow in door.backing.flows._flows.values())
    for form in (PASSWORD, PASSWORD.encode().hex(), hashlib.sha256(PASSWORD.encode()).hexdigest()):
        assert form.encode() not in kept


def test_byp_10_sessions_of_one_factor_end_with_the_first_second_factor(make: MakeDoor) -> None:
    door = make(SignInPolicy(second_factor="optional"))
    robin = door.person(enrolled=False)
    alone = session(door.start())
    # The session that the owner acts in goes on, every other one ends.
    acting = door.active(session(door.start()))
    seed = door.adding_factor.begin(acting, PASSWORD, source=SOURCE).secret.reveal()
    from tests.auth.world import code_of

    kept = door.adding_factor.confirm(acting, code_of(seed, door.clock()), source=SOURCE)
    assert refused(lambda: door.active(alone)) in (Reason.SESSION_UNKNOWN, Reason.SESSION_REVOKED)
    assert door.active(kept).account_id == robin.id


def test_byp_11_a_policy_that_cannot_be_computed_lets_nobody_in() -> None:
    clash = (
        DemandRule(demand=Demand(allowed=frozenset({F.PASSKEY})), roles=frozenset({"a"})),
        DemandRule(demand=Demand(allowed=frozenset({F.TOTP})), roles=frozenset({"b"})),
    )
    answers: dict[str, Any] = {"now": Facts(roles=frozenset({"a", "b"}))}
    door = Door(
        SignInPolicy(second_factor="optional", rules=clash), facts_of=lambda account_id: answers["now"]
    )
    robin = door.person(enrolled=False)
    for wrong, error in (
        (answers["now"], ConfigurationError),
        (None, TypeError),
        ({"roles": "a"}, TypeError),
    ):
        answers["now"] = wrong
        with pytest.raises(error):
            door.start()
    assert sessions_of(door, robin.id) == 0


def test_byp_14_15_freshness_counts_from_the_proof_and_a_sign_in_is_no_proof_on_demand(door: Door) -> None:
    robin = door.person()
    opened = door.session(robin)
    with pytest.raises(StepUpRequired):
        door.step_up.require(door.active(opened), within=FIVE)
    for _ in range(5):
        door.clock.advance(timedelta(minutes=1))
        door.active(opened)  # activity, which is no proof
    with pytest.raises(StepUpRequired) as required:
        door.step_up.require(door.active(opened), within=FIVE, explicit=False)
    assert required.value.next == ("totp",)


def test_byp_16_who_has_nothing_to_show_is_sent_to_set_something_up(make: MakeDoor) -> None:
    door = make(SignInPolicy(second_factor="optional"))
    robin = door.person(enrolled=False)
    held = door.active(session(door.start()))
    account = door.account_store.get(robin.id)
    assert door.account_store.set_password(robin.id, None, expected=account.password_hash)
    with pytest.raises(StepUpRequired) as required:
        door.step_up.require(held, within=FIVE)
    assert required.value.next == ()
