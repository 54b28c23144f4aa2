"""Rows on what proofs are worth and what is offered: each test is named by the row's id."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

from portalsec.auth.assurance import level
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import NewSession
from portalsec.auth.signin import SignInPolicy
from portalsec.config import load_settings
from portalsec.config.policies import open_policies
from portalsec.errors import ConfigurationError, Reason
from portalsec.stores.memory import MemoryPasskeys
from tests.auth.door import MAIL, Door, begun, refused
from tests.auth.mail import with_address
from tests.auth.world import SOURCE, session
from tests.config.test_policies import POLICY, SETTINGS
from tests.support import ROOT

F = Factor


@pytest.fixture
def door() -> Door:
    return Door()


def second(door: Door, factor: Factor, way: object) -> NewSession:
    """A session by the password and this way of showing a second factor; ``way`` is what `shown` returned."""
    pending = begun(door.start())
    if factor is F.TOTP:
        return session(door.sign_in.submit_totp(pending, way, source=SOURCE))
    if factor is F.RECOVERY_CODE:
        return session(door.sign_in.submit_recovery_code(pending, way, source=SOURCE))
    door.sign_in.begin_passkey(pending, source=SOURCE)
    return session(door.sign_in.submit_passkey(pending, way, source=SOURCE))


# -- NIST SP 800-63B-4, section 2 -----------------------------------------------------------------------------------


def test_2_2_pii_two_factors_are_asked_for_where_nobody_says_otherwise(tmp_path: Path) -> None:
    door = Door(SignInPolicy())
    robin = door.person(enrolled=False)
    step = door.start()
    assert (step.session, step.next) == (None, ("totp_enrolment", "passkey_enrolment"))
    opened = session(door.enrol_totp(begun(step)))
    assert (door.active(opened).account_id, door.active(opened).record.level) == (robin.id, 2)
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "portalsec.toml").write_text(SETTINGS)
    assert open_policies(load_settings(tmp_path / "portalsec.toml", env={})).sign_in == SignInPolicy()


@pytest.mark.parametrize("factor", [F.TOTP, F.RECOVERY_CODE, F.PASSKEY])
def test_2_2_2_a_what_was_shown_once_opens_nothing_again(factor: Factor) -> None:
    door = Door()
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    if factor is F.PASSKEY:
        pending = begun(door.start())
        options, _ = door.sign_in.begin_passkey(pending, source=SOURCE)
        way: object = door.answer(robin, options)
        session(door.sign_in.submit_passkey(pending, way, source=SOURCE))
    else:
        way = door.code(robin) if factor is F.TOTP else codes[0]
        second(door, factor, way)
    assert refused(lambda: second(door, factor, way)) in (
        Reason.CODE_REPLAYED,
        Reason.WRONG_CODE,
        Reason.PASSKEY_REFUSED,
    )


def test_2_2_2_b_a_passkey_is_offered_to_who_sets_one_up_and_to_who_has_one(door: Door) -> None:
    robin = door.person(enrolled=False)
    step = door.start()
    assert "passkey_enrolment" in step.next
    opened = session(door.enrol_passkey(robin, begun(step)))
    assert door.active(opened).record.phishing_resistant
    assert "passkey" in door.start().next


def test_5_1_b_no_session_is_worth_more_than_what_was_shown() -> None:
    door = Door(SignInPolicy(second_factor="optional", factors=MAIL))
    plain = door.person("kim", enrolled=False)
    robin = door.person()
    door.with_passkey(robin)
    codes = door.with_codes(robin)
    opened = {
        1: [session(door.start("kim"))],
        2: [
            second(door, F.TOTP, door.code(robin)),
            second(door, F.RECOVERY_CODE, codes[0]),
            session(door.first(robin)),
        ],
    }
    door.with_passkey(plain, backup_eligible=True, backed_up=True)
    opened[2].append(session(door.first(plain)))
    for reached, sessions in opened.items():
        for each in sessions:
            record = door.active(each).record
            assert (record.level, level(record.proofs)) == (reached, reached)


def test_5_1_c_a_browser_that_is_remembered_is_no_factor() -> None:
    door = Door(SignInPolicy(second_factor="optional"))
    robin = door.person()
    done = door.sign_in.submit_totp(begun(door.start(trust=True)), door.code(robin), source=SOURCE)
    assert done.device is not None
    spared = door.active(session(door.start(device=done.device.reveal()))).record
    assert (spared.level, [proof.factor for proof in spared.proofs]) == (1, [F.PASSWORD])
    asks = Door(SignInPolicy(), backing=door.backing)
    assert asks.start(device=done.device.reveal()).session is None


# -- section 3: single authenticators -------------------------------------------------------------------------------


def test_3_1_2_2_c_recovery_codes_have_a_budget(door: Door) -> None:
    robin = door.person()
    codes = door.with_codes(robin)
    wrong = "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"
    reasons = []
    for _ in range(2):
        pending = begun(door.start())
        for _ in range(4):
            reasons.append(refused(lambda: door.sign_in.submit_recovery_code(pending, wrong, source=SOURCE)))  # noqa: B023
    assert reasons.count(Reason.WRONG_CODE) == 5
    assert reasons[-1] is Reason.THROTTLED
    assert (
        refused(lambda: door.sign_in.submit_recovery_code(begun(door.start()), codes[0], source=SOURCE))
        is Reason.THROTTLED
    )


def test_3_1_3_2_b_another_code_brings_no_tries_back() -> None:
    door = Door(SignInPolicy(factors=MAIL))
    robin = door.person(enrolled=False)
    with_address(door, robin)
    reasons = []
    for _ in range(3):
        pending = begun(door.start())
        door.sign_in.send_code(pending, F.EMAIL_CODE, source=SOURCE)
        for wrong in (
            "000000",
            "111111",
            "222222",
        ):  # at most one of them is right by chance, once in 10^5 runs
            reasons.append(refused(lambda: door.sign_in.submit_sent_code(pending, wrong, source=SOURCE)))  # noqa: B023
    assert reasons.count(Reason.WRONG_CODE) == 5
    assert reasons[-1] is Reason.THROTTLED


def test_3_1_6_2_a_a_public_key_that_is_stored_is_never_another_one(door: Door) -> None:
    """No verb of the store changes it, and what somebody writes to the database past portalsec signs nobody in."""
    robin = door.person(enrolled=False)
    door.with_passkey(robin)
    (kept,) = door.passkey_store.of_account(robin.id)
    store, at = door.backing.passkeys, door.clock()
    assert isinstance(store, MemoryPasskeys)
    for forged in (replace(kept, public_key=b"x"), replace(kept, public_key=b"x", id="another")):
        assert not store.add(forged, at_most=20)
    assert not store.add(replace(kept, public_key=b"x", id="third", account_id="kim"), at_most=20)
    store.suspect(robin.id, kept.id, at=at, disable=False)
    store.advance(
        robin.id, kept.id, expected=kept.sign_count, sign_count=kept.sign_count + 1, backed_up=True,
        user_verified=True, at=at,
    )  # fmt: skip
    store.rename(robin.id, kept.id, "other")
    store.remove(robin.id, kept.id, at=at)
    assert not store.add(replace(kept, public_key=b"x"), at_most=20)
    store.restore(robin.id, kept.id, since=at.replace(year=2000))
    (now,) = store.of_account(robin.id)
    assert (now.label, now.public_key, now.algorithm) == ("other", kept.public_key, kept.algorithm)
    kim = door.person("kim", enrolled=False)
    door.with_passkey(kim)
    (own,) = store.of_account(kim.id)
    swapped = replace(
        now, public_key=own.public_key, credential_id=own.credential_id, user_handle=own.user_handle
    )
    for forged in (swapped, replace(swapped, seal=own.seal), replace(own, account_id=robin.id)):
        store._passkeys = {forged.id: forged}
        assert refused(lambda: door.first(kim)) is Reason.PASSKEY_REFUSED
        assert [event.details.get("check") for event in door.events][-2:] == ["A-record", None]
    store._passkeys = {own.id: own}
    assert door.active(session(door.first(kim))).account_id == kim.id


def test_3_2_9_who_is_offered_sms_is_offered_what_is_not_restricted() -> None:
    for only in ({F.PASSWORD, F.SMS_CODE}, {F.PASSWORD, F.SMS_CODE, F.EMAIL_CODE, F.RECOVERY_CODE}):
        with pytest.raises(ConfigurationError, match="SMS"):
            SignInPolicy(factors=frozenset(only))
    for other in (F.TOTP, F.PASSKEY):
        assert SignInPolicy(factors=frozenset({F.PASSWORD, F.SMS_CODE, other})).factors
    page = (ROOT / "docs" / "explanation" / "second-factors.md").read_text("utf-8")
    assert re.search(r"SMS .*restricted", page)
    assert "weakest" in page


def test_3_2_12_randomness_is_the_operating_systems() -> None:
    """`secrets`, `os.urandom` and `uuid4`, which are it; `random` is predictable and in no module."""
    wrong = []
    for path in sorted((ROOT / "src" / "portalsec").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] in ("random", "numpy") or name == "uuid1" for name in names):
                wrong.append(str(path))
    assert wrong == []


# -- OWASP ASVS 5.0 -------------------------------------------------------------------------------------------------


def test_v6_3_3_two_factors_or_where_policy_says_so_a_key_that_no_other_site_can_use() -> None:
    door = Door(SignInPolicy(phishing_resistant="required"))
    robin = door.person()
    step = door.sign_in.submit_totp(begun(door.start()), door.code(robin), source=SOURCE)
    assert (step.session, step.next) == (None, ("passkey_enrolment",))
    opened = session(door.enrol_passkey(robin, begun(step)))
    assert door.active(opened).record.phishing_resistant
    untouched = refused(lambda: door.first(robin, user_present=False))  # its owner's intent
    assert untouched is Reason.PASSKEY_REFUSED


def test_v6_3_4_whatever_opens_a_session_is_on_the_page_of_ways_in() -> None:
    """`test_evidence.py` holds that nothing else does, and `test_exploration.py` that none of them is weaker."""
    from portalsec.auth.signin import SignIn

    opens = {
        name
        for name, verb in vars(SignIn).items()
        if callable(verb)
        and not name.startswith("_")
        and str(getattr(verb, "__annotations__", {}).get("return")) in ("NewSession", "Step")
    }
    assert opens == {
        "start", "after_password", "after_link", "submit_passkey", "submit_totp", "submit_recovery_code", "submit_sent_code",
        "confirm_totp_enrolment", "confirm_passkey_enrolment", "confirm_totp_within", "after_change", "login",
        "resume", "resume_passkey",
    }  # fmt: skip
    page = (ROOT / "docs" / "explanation" / "second-factors.md").read_text("utf-8")
    ways = re.search(r"\| way in \|.*?\n\n", page, re.DOTALL)
    assert ways
    for way in (
        "sign-in", "passkey first", "link by mail", "reset", "invitation", "trusted", "resume", "impersonation",
        "administration", "token",
    ):  # fmt: skip
        assert way in ways[0]
