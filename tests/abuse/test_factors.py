"""Abuse of an account's authenticators: by strangers, by thieves of sessions and mailboxes, and over the owner's shoulder.

On every store: what is found under whose id, what goes with what, what ends, and what a step-up asks for. The rule that a
factor is never just approved is read from the package.
"""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import portalsec
from portalsec.auth.assurance import count, level
from portalsec.auth.factors import WITHIN
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.notices import NoticeKind
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.signin import SignInPolicy
from portalsec.auth.step_up import StepUp, StepUpRequired
from portalsec.auth.trust import TrustPolicy
from portalsec.errors import Denied, Reason
from portalsec.events import Event, Source
from portalsec.portal import Stores
from portalsec.testing.authenticator import SoftAuthenticator
from tests.abuse.doors import stores
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE, THIEF, token_of
from tests.auth.world import code_of

__all__ = ["stores"]

SHORT = "tower9 elm"  # long enough beside a second factor, too short to stand alone


def refused(work: Any, *args: Any, **kwargs: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        work(*args, **{"source": SOURCE, **kwargs})
    return caught.value.reason


def wrong(seed: str, m: Factoring) -> str:
    right = {code_of(seed, m.clock() + timedelta(seconds=30 * step)) for step in range(-3, 4)}
    return next(text for text in (f"{number:06}" for number in range(20)) if text not in right)


def with_step_up(m: Factoring) -> StepUp:
    """Factors behind the real gate."""
    p = m.portal
    step_up = StepUp(
        accounts=p.stores.accounts,
        current=p.disavowal._owner._current,
        totp=p.totp,
        sessions=p.sessions,
        throttle=p.throttle,
        emit=p.emit,
        clock=p.clock,
        passkeys=p.passkeys,
        passkey_store=p.stores.passkeys,
        recovery_codes=p.recovery_codes,
    )
    m.factors._step_up = step_up
    return step_up


def test_mfa_08_guessing_the_first_code_of_a_new_one_is_limited(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        tested = 0
        for _ in range(20):
            session = m.active(m.open())
            enrolment = m.factors.begin_totp(session, source=SOURCE)
            for _ in range(10):
                code = wrong(enrolment.secret.reveal(), m)
                tested += refused(m.factors.confirm_totp, session, code) is Reason.WRONG_CODE
        assert tested == 5, "beginning again, or in another session, gives no more"
        assert m.ids(robin) == []


def test_mfa_08_guessing_at_the_step_up_before_removing_or_regenerating_is_limited(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        added = m.add_totp(m.open())
        step_up, tested = with_step_up(m), 0
        for _ in range(60):
            session = m.active(added.session)
            reason = refused(step_up.submit_totp, session, wrong(m.seeds[robin.id], m))
            tested += reason is Reason.WRONG_CODE
            assert refused(m.factors.remove, session, added.authenticator_id) is Reason.STEP_UP_REQUIRED
            assert refused(m.factors.new_recovery_codes, session) is Reason.STEP_UP_REQUIRED
        assert tested == 5 and m.ids(robin) == [added.authenticator_id]


def test_mfa_14_one_mailed_code_counts_once(stores: Stores) -> None:
    with Factoring(stores=stores, out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE}))) as m:
        robin, place = m.person(), b"p" * 32
        m.portal.out_of_band.send(place, robin, Factor.EMAIL_CODE, source=SOURCE)
        (mail,) = m.deliver()
        code = re.findall(r"^Code: (\d+)$", mail.text, re.MULTILINE)[0]
        proof = m.portal.out_of_band.verify(place, robin.id, code).proof
        for again in (place, b"q" * 32):
            with pytest.raises(Denied):
                m.portal.out_of_band.verify(again, robin.id, code)
        assert count([proof, proof]) == 1 and level([proof, proof]) == 1
        other = Proof(factor=Factor.SMS_CODE, at=m.clock())
        assert count([proof, other]) == 1, "mail and SMS are one kind"


def test_mfa_16_with_the_last_one_go_recovery_codes_and_trusted_browsers(stores: Stores) -> None:
    with Factoring(stores=stores, trust=TrustPolicy(enabled=True)) as m:
        robin = m.person()
        added = m.add_passkey(m.add_totp(m.open()).session)
        account = m.portal.stores.accounts.get(robin.id)
        device = m.portal.devices.remember(robin.id, None, source=SOURCE).device
        assert m.portal.trust.trust(account, device, source=SOURCE)
        session = added.session
        codes = m.factors.new_recovery_codes(m.active(session), source=SOURCE)
        first, second = m.ids(robin)
        session = m.factors.remove(m.active(session), first, source=SOURCE).session
        assert m.portal.recovery_codes.left(robin.id) == 10, "one is left that they stand in for"
        m.factors.remove(m.active(session), second, source=SOURCE)
        assert m.portal.stores.recovery_codes.of_account(robin.id) == ()
        with pytest.raises(Denied):
            m.portal.recovery_codes.verify(robin.id, codes.codes[0].reveal())
        (known,) = [each for each in m.portal.stores.devices.of_account(robin.id) if each.id == device.id]
        assert known.trusted_until is None and known.trusted_setup is None


@pytest.mark.parametrize("verb", ["rename", "remove", "restore"])
def test_mfa_17_another_account_s_is_answered_as_one_that_does_not_exist(stores: Stores, verb: str) -> None:
    with Factoring(stores=stores) as m:
        robin, _sam = m.person(), m.person("sam")
        theirs = m.add_passkey(m.add_totp(m.open()).session)
        if verb == "restore":
            for id in m.ids(robin):
                m.authenticators.remove(robin.id, id, at=m.clock())
        targets = [each.id for each in m.portal.stores.totp.removed(robin.id)] or m.ids(robin)
        session = m.active(m.add_totp(m.open("sam")).session)
        more = ("Mine now",) if verb == "rename" else ()
        before = m.portal.stores.totp.devices(robin.id), m.portal.stores.passkeys.of_account(robin.id)
        answers = []
        for id in (*targets, theirs.authenticator_id, "no-such-id", "", "\0", "x" * 10_000, None, 7):
            m.events.clear()
            with pytest.raises(Denied) as caught:
                getattr(m.factors, verb)(session, id, *more, source=SOURCE)
            answers.append((caught.value.reason, str(caught.value), [repr(e.details) for e in m.events]))
        assert len({repr(each) for each in answers}) == 1 and answers[0][0] is Reason.FACTOR_NOT_ENROLLED
        after = m.portal.stores.totp.devices(robin.id), m.portal.stores.passkeys.of_account(robin.id)
        assert before == after


def test_mfa_18_a_seed_is_shown_once_and_nothing_reads_it_again(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        session = m.active(m.open())
        enrolment = m.factors.begin_totp(session, source=SOURCE)
        seed = enrolment.secret.reveal()
        assert seed not in repr(enrolment) and seed not in repr(m.factors.overview(session))
        m.factors.confirm_totp(session, code_of(seed, m.clock()), source=SOURCE)
        assert seed not in repr(m.portal.stores.totp.devices(robin.id))
        # Whatever begins again begins with another seed.
        again = m.factors.begin_totp(m.active(m.open_after(robin, seed)), source=SOURCE)
        assert again.secret.reveal() != seed


def test_key_09_who_registers_the_victim_s_address_first_leaves_them_nothing(stores: Stores) -> None:
    with Factoring(stores=stores, recovery=RecoveryPolicy(open_registration=True)) as m:
        thief = m.person("mallory", "mallory@mail.example")
        m.add_passkey(m.open("mallory"))
        # The address is added and never confirmed: its mail goes to its owner.
        m.contact(thief, "victim@mail.example", verified=False)
        m.portal.registration.request("victim@mail.example", source=SOURCE)
        mail = [each for each in m.deliver() if each.to == "victim@mail.example"][-1]
        browser = m.portal.registration.exchange(token_of(mail), source=SOURCE)
        m.portal.registration.complete(
            browser.reveal(), login="victim", password="harbour pickle saturn mitten", source=SOURCE
        )
        victim = m.portal.stores.accounts.by_login("victim")
        assert victim is not None and victim.id != thief.id
        assert m.ids(victim) == [] and m.portal.recovery_codes.left(victim.id) == 0


def test_key_09_a_stranger_s_passkey_does_not_survive_the_owner_s_this_was_not_me(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        device = SoftAuthenticator()
        m.add_passkey(m.open(), device)
        notice = next(
            each for each in m.portal.notices.of_account(robin.id) if each.kind == NoticeKind.FACTOR_ADDED
        )
        m.disavow(notice)
        assert m.ids(robin) == [] and m.portal.passkeys is not None
        assert not m.portal.passkeys.enrolled(robin.id)


@pytest.mark.parametrize("how", ["totp", "passkey"])
def test_byp_10_sessions_that_knew_no_factor_end_when_the_first_is_added(stores: Stores, how: str) -> None:
    with Factoring(stores=stores) as m:
        m.person()
        here, thief = m.open(), m.open()
        half = m.portal.sign_in.start("robin", PASSWORD, source=THIEF)
        assert half.session is not None
        added = m.add_totp(here) if how == "totp" else m.add_passkey(here)
        assert m.alive(added.session), "the one that was proven in goes on"
        for old in (here, thief, half.session):
            assert not m.alive(old)


def test_atk_10_codes_stop_after_three_that_nobody_typed_and_nothing_can_just_be_approved(
    stores: Stores,
) -> None:
    with Factoring(stores=stores, out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE}))) as m:
        robin, sent = m.person(), 0
        for number in range(50):
            m.clock.advance(timedelta(seconds=12))
            with suppress(Denied):
                m.portal.out_of_band.send(str(number).encode() * 32, robin, Factor.EMAIL_CODE, source=THIEF)
                sent += 1
        assert sent == 3 == len(m.deliver())
        assert {each.details["pattern"] for each in m.events.named(Event.AUTH_ATTACK_SUSPECTED)} == {
            "mfa_fatigue"
        }


def test_atk_10_there_is_no_way_to_approve_without_typing_a_number() -> None:
    package = Path(portalsec.__file__).parent
    names = {
        node.name
        for path in (package / "auth").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    }
    # `SupportDesk.approve` is a second member of staff who agrees to a reset, and nobody's factor.
    assert {name for name in names if re.search(r"approv|push", name, re.IGNORECASE)} <= {"approve"}
    assert set(Factor) == {
        Factor.PASSWORD, Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY_CODE, Factor.EMAIL_CODE, Factor.SMS_CODE,
    }  # fmt: skip


def test_atk_44_a_short_password_is_replaced_once_it_stands_alone(stores: Stores) -> None:
    with Factoring(stores=stores, sign_in=SignInPolicy(second_factor="optional")) as m:
        robin = m.person()
        account = m.portal.stores.accounts.get(robin.id)
        short = m.portal.passwords.hash(SHORT, account_id=robin.id)  # from when two were asked for
        assert m.portal.stores.accounts.set_password(robin.id, short, expected=account.password_hash)
        added = m.enrolled_with(robin)
        step = m.portal.sign_in.start("robin", SHORT, source=SOURCE)
        assert "totp" in step.next, "beside a second factor it is long enough"
        session = m.open(password=SHORT)
        done = m.factors.remove(m.active(session), added, source=SOURCE)
        assert done.last and done.session is None
        assert not m.portal.sessions.of_account(robin.id), "nor does an open session go on with it"
        step = m.portal.sign_in.start("robin", SHORT, source=SOURCE)
        assert step.next == ("new_password",) and step.session is None
        assert m.portal.stores.accounts.get(robin.id).must_change == "too_short"
        pending = step.pending.reveal()
        with pytest.raises(Denied):
            m.portal.password_change.submit_forced(pending, "short tower 7", source=SOURCE)
        step = m.portal.password_change.submit_forced(pending, "harbour pickle saturn mitten", source=SOURCE)
        assert step.session is not None


def test_atk_44_where_policy_asks_for_a_second_factor_the_last_one_stays(stores: Stores) -> None:
    with Factoring(stores=stores, required=True) as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        assert refused(m.factors.remove, session, added.authenticator_id) is Reason.FACTOR_REQUIRED
        assert m.ids(robin) == [added.authenticator_id]


@pytest.mark.parametrize("work", ["begin_totp", "begin_passkey", "new_recovery_codes"])
def test_atk_47_a_stolen_session_adds_nothing_without_a_fresh_step_up(stores: Stores, work: str) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        first = m.add_totp(m.open())
        step_up = with_step_up(m)
        stolen = m.active(first.session)
        with pytest.raises(StepUpRequired) as caught:
            getattr(m.factors, work)(stolen, source=SOURCE)
        assert "totp" in caught.value.next and "password" not in caught.value.next
        # The password alone, which a thief may have, is not enough beside a second factor.
        session = step_up.submit_password(stolen, PASSWORD, source=SOURCE)
        with pytest.raises(StepUpRequired):
            getattr(m.factors, work)(m.active(session), source=SOURCE)
        m.clock.advance(timedelta(seconds=60))
        session = step_up.submit_totp(m.active(session), m.code(robin), source=SOURCE)
        getattr(m.factors, work)(m.active(session), source=SOURCE)
        m.clock.advance(WITHIN)
        with pytest.raises(StepUpRequired):
            getattr(m.factors, work)(m.active(session), source=SOURCE)


def test_atk_47_what_was_shown_on_the_way_in_does_not_count(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        m.person()
        m.add_totp(m.open())
        with_step_up(m)
        fresh = m.active(m.open())
        with pytest.raises(StepUpRequired):
            m.factors.begin_passkey(fresh, source=THIEF)


def test_atk_47_the_owner_is_told_and_takes_it_back_within_a_day(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        m.add_passkey(m.open())
        mail = m.mail_of("second step was added")
        assert mail.to == "robin@mail.example"
        token = re.findall(r"/undo\?token=([A-Za-z0-9_-]{43})", mail.text)[0]
        m.clock.advance(timedelta(hours=23))
        m.portal.undo.confirm(token, source=Source(address="198.51.100.7"))
        assert m.ids(robin) == []


def test_atk_48_a_stolen_device_cookie_is_no_factor_and_dies_with_its_first_reuse(stores: Stores) -> None:
    with Factoring(stores=stores, trust=TrustPolicy(enabled=True)) as m:
        robin, sam = m.person(), m.person("sam")
        m.add_totp(m.open())
        account = m.portal.stores.accounts.get(robin.id)
        remembered = m.portal.devices.remember(robin.id, None, source=SOURCE)
        stolen = remembered.cookie.reveal()
        assert m.portal.trust.trust(account, remembered.device, source=SOURCE)
        # The cookie alone: no session, whatever is typed beside it but the password and what policy asks for.
        with pytest.raises(Denied):
            m.portal.sign_in.start("robin", "not the password", source=THIEF, device=stolen)
        assert m.portal.devices.find(stolen, sam.id, source=THIEF) is None, "bound to its account"
        known = m.portal.devices.find(stolen, robin.id, source=SOURCE)
        assert m.portal.trust.holds(account, known, m.clock())
        fresh = m.portal.devices.remember(robin.id, known.digest, source=SOURCE, cookie=stolen)
        assert m.portal.devices.find(fresh.cookie.reveal(), robin.id, source=SOURCE)
        assert m.portal.devices.find(stolen, robin.id, source=THIEF) is None
        assert m.events.named(Event.AUTH_DEVICE_REUSED)
        assert m.portal.devices.find(fresh.cookie.reveal(), robin.id, source=SOURCE) is None
        assert m.portal.trust.of_account(account) == ()
