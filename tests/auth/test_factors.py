"""The owner's authenticators: who may change them, what a change ends, and what is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.account_pages.authenticators import _view
from portalsec.auth.endings import Why
from portalsec.auth.factors import WITHIN
from portalsec.auth.notices import NoticeKind
from portalsec.auth.proof import Factor
from portalsec.auth.step_up import StepUpRequired
from portalsec.auth.totp import RESTORABLE
from portalsec.auth.trust import TrustPolicy
from portalsec.errors import AuditUnavailable, Denied, Reason, StoreError
from portalsec.events import Actor, Event, Outcome
from tests.auth.factoring import Factoring, passkey
from tests.auth.mailing import PASSWORD, SOURCE
from tests.auth.world import code_of, together


def refused(work: Any, *args: Any, **kwargs: Any) -> Reason:
    with pytest.raises(Denied) as caught:
        work(*args, **kwargs, source=SOURCE)
    return caught.value.reason


def test_an_account_with_nothing_is_shown_nothing() -> None:
    with Factoring() as m:
        m.person()
        shown = m.factors.overview(m.active(m.open()))
        assert (shown.held, shown.removed, shown.codes_left, shown.trusted) == ((), (), 0, ())
        assert shown.codes_made_at is None and not shown.few_codes


def test_a_first_one_counts_from_its_first_code_on_and_brings_recovery_codes() -> None:
    with Factoring() as m:
        robin = m.person()
        here, there = m.open(), m.open()
        added = m.add_totp(here)
        assert m.alive(added.session) and not m.alive(here) and not m.alive(there)
        assert len(added.codes.codes) == 10
        (held,) = m.factors.overview(m.active(added.session)).held
        assert (held.id, held.factor, held.label) == (added.authenticator_id, Factor.TOTP, "Phone")
        assert m.kinds(robin)[-1] == NoticeKind.FACTOR_ADDED
        (event,) = m.events.named(Event.AUTH_MFA_ENROLLED)
        assert (event.actor.id, event.details["device"]) == (robin.id, added.authenticator_id)
        assert m.portal.sign_in.start("robin", "lantern orbit velvet cactus", source=SOURCE).session is None


def test_a_second_one_leaves_the_codes_as_they_are() -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.add_totp(m.open())
        second = m.add_totp(first.session, "Tablet")
        assert second.codes is None and len(m.ids(robin)) == 2
        third = m.add_passkey(second.session)
        shown = m.factors.overview(m.active(third.session))
        assert [each.label for each in shown.held] == ["Phone", "Tablet", "Key"]
        assert [each.factor for each in shown.held] == [Factor.TOTP, Factor.TOTP, Factor.PASSKEY]
        assert shown.codes_left == 10


def test_nothing_of_the_list_could_be_used() -> None:
    with Factoring() as m:
        robin = m.person()
        session = m.add_totp(m.open()).session
        shown = repr(m.factors.overview(m.active(session)))
        (device,) = m.portal.stores.totp.devices(robin.id)
        assert m.seeds[robin.id] not in shown and repr(device.sealed_secret) not in shown
        assert "sealed" not in shown and "credential" not in shown


CHANGES = (
    "begin_totp",
    "import_totp",
    "begin_import",
    "begin_passkey",
    "rename",
    "remove",
    "restore",
    "new_recovery_codes",
)


def change(m: Factoring, name: str, session: Any, authenticator_id: str) -> Any:
    work = getattr(m.factors, name)
    more = {
        "import_totp": ("otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",),
        "begin_import": ("otpauth://totp/x?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",),
        "rename": (authenticator_id, "New"),
        "remove": (authenticator_id,),
        "restore": (authenticator_id,),
    }.get(name, ())
    return work(session, *more, source=SOURCE)


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_asks_for_a_step_up_and_changes_nothing_without(name: str) -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.add_totp(m.open())
        before = m.portal.stores.totp.devices(robin.id)
        codes = m.portal.stores.recovery_codes.of_account(robin.id)
        m.gate.asked.clear()
        m.gate.open = False
        with pytest.raises(Denied) as caught:
            change(m, name, m.active(first.session), first.authenticator_id)
        assert caught.value.reason is Reason.STEP_UP_REQUIRED
        assert m.gate.asked == [(timedelta(minutes=5), True)] == [(WITHIN, True)]
        assert m.portal.stores.totp.devices(robin.id) == before
        assert m.portal.stores.recovery_codes.of_account(robin.id) == codes
        assert m.alive(first.session)


def test_behind_the_real_step_up_a_session_or_a_password_changes_no_factor_and_a_factor_does() -> None:
    with Factoring(gated=False) as m:
        robin, p = m.person(), m.portal
        totp = m.enrolled_with(robin)
        mine, other = m.active(m.open()), m.open()
        m.clock.advance(timedelta(seconds=60))
        before = p.stores.totp.devices(robin.id)

        def each_is_refused(session: Any, *next: str) -> None:
            for name in CHANGES:
                with pytest.raises(StepUpRequired) as caught:
                    change(m, name, session, totp)
                assert caught.value.next == next, name

        each_is_refused(mine, "totp")
        mine = m.active(p.step_up.submit_password(mine, PASSWORD, source=SOURCE))
        each_is_refused(mine, "totp")
        assert p.stores.totp.devices(robin.id) == before and m.alive(other)
        added = m.add_passkey(p.step_up.submit_totp(mine, m.code(robin), source=SOURCE))
        assert not m.alive(other) and m.kinds(robin)
        gone = m.factors.remove(m.active(added.session), totp, source=SOURCE)  # the passkey is fresh, too
        assert gone.session is not None and m.ids(robin) == [added.authenticator_id]
        m.clock.advance(WITHIN)
        mine = m.active(p.step_up.submit_password(m.active(gone.session), PASSWORD, source=SOURCE))
        each_is_refused(mine, "passkey", "recovery_code")
        mine = m.active(p.step_up.submit_recovery_code(mine, added.codes.codes[0].reveal(), source=SOURCE))
        assert m.alive(m.factors.restore(mine, totp, source=SOURCE))
        assert len(m.ids(robin)) == 2


def test_one_is_renamed() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        m.factors.rename(
            session, added.authenticator_id, "  My \u202e old\nphone " + "x" * 100, source=SOURCE
        )
        (held,) = m.factors.overview(session).held
        assert held.label.startswith("My old phone xxx") and len(held.label) == 64
        assert m.events.last.name == Event.AUTH_MFA_RENAMED
        assert "phone" not in repr(m.events.last)
        (_, notice) = m.kinds(robin)[-2:]
        assert notice == NoticeKind.FACTOR_RENAMED
        assert "phone" not in m.mail_of("has another name").text


def test_no_other_name_without_its_owner_being_told(monkeypatch: Any) -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        before = m.kinds(robin)
        assert refused(m.factors.rename, session, "another's", "New") is Reason.FACTOR_NOT_ENROLLED
        assert m.kinds(robin) == before
        monkeypatch.setattr(m.portal.stores.notices, "put", lambda _: False)
        with pytest.raises(StoreError):
            m.factors.rename(session, added.authenticator_id, "New", source=SOURCE)
        assert m.factors.overview(session).held[0].label == "Phone"


@pytest.mark.parametrize("label", ["", "   ", None, 7, "\u200b", "\n\t"])
def test_no_name_is_no_name(label: Any) -> None:
    with Factoring() as m:
        m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        assert refused(m.factors.rename, session, added.authenticator_id, label) is Reason.MALFORMED
        assert m.factors.overview(session).held[0].label == "Phone"


def test_one_is_removed_and_can_be_put_back_for_a_day() -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.add_totp(m.open())
        second = m.add_totp(first.session, "Tablet")
        there = m.open()
        done = m.factors.remove(m.active(second.session), second.authenticator_id, source=SOURCE)
        assert not done.last and m.alive(done.session)
        assert not m.alive(second.session) and not m.alive(there)
        assert m.ids(robin) == [first.authenticator_id]
        assert m.kinds(robin)[-1] == NoticeKind.FACTOR_REMOVED
        (gone,) = m.factors.overview(m.active(done.session)).removed
        assert gone.id == second.authenticator_id
        back = m.factors.restore(m.active(done.session), gone.id, source=SOURCE)
        assert m.alive(back) and not m.alive(done.session)
        assert m.ids(robin) == [first.authenticator_id, second.authenticator_id]
        assert m.kinds(robin)[-1] == NoticeKind.FACTOR_RESTORED


def test_after_a_day_it_is_gone() -> None:
    with Factoring() as m:
        m.person()
        first = m.add_totp(m.open())
        second = m.add_totp(first.session, "Tablet")
        m.factors.remove(m.active(second.session), second.authenticator_id, source=SOURCE)
        m.clock.advance(RESTORABLE)
        session = m.active(m.open())
        assert m.factors.overview(session).removed == ()
        assert refused(m.factors.restore, session, second.authenticator_id) is Reason.FACTOR_NOT_ENROLLED


def test_the_last_one_takes_codes_and_trust_along() -> None:
    with Factoring(trust=TrustPolicy(enabled=True)) as m:
        robin = m.person()
        added = m.add_totp(m.open())
        account = m.portal.stores.accounts.get(robin.id)
        device = m.portal.devices.remember(robin.id, None, source=SOURCE).device
        assert m.portal.trust.trust(account, device, source=SOURCE)
        assert len(m.factors.overview(m.active(added.session)).trusted) == 1
        done = m.factors.remove(m.active(added.session), added.authenticator_id, source=SOURCE)
        assert done.last
        assert m.portal.recovery_codes.left(robin.id) == 0
        assert m.portal.stores.recovery_codes.of_account(robin.id) == ()
        assert all(each.trusted_until is None for each in m.portal.stores.devices.of_account(robin.id))
        assert done.session is None and not m.alive(added.session)
        m.factors.restore(m.active(m.open()), added.authenticator_id, source=SOURCE)
        assert m.portal.recovery_codes.left(robin.id) == 0, "what went stays gone"


def test_where_one_is_asked_for_the_last_one_stays() -> None:
    with Factoring(required=True) as m:
        robin = m.person()
        first = m.add_totp(m.open())
        session = m.active(first.session)
        assert refused(m.factors.remove, session, first.authenticator_id) is Reason.FACTOR_REQUIRED
        assert m.ids(robin) and m.portal.recovery_codes.left(robin.id) == 10 and m.alive(first.session)
        second = m.add_totp(first.session, "Tablet")
        m.factors.remove(m.active(second.session), first.authenticator_id, source=SOURCE)
        assert m.ids(robin) == [second.authenticator_id]


def test_where_one_is_asked_for_the_last_one_that_works_stays_beside_a_dead_one() -> None:
    with Factoring(required=True) as m:
        robin = m.person()
        dead = m.add_totp(m.open())
        works = m.add_passkey(dead.session)
        for _ in range(100):
            assert m.portal.stores.totp.try_(robin.id, dead.authenticator_id, cap=100)
        session = m.active(works.session)
        assert refused(m.factors.remove, session, works.authenticator_id) is Reason.FACTOR_REQUIRED
        done = m.factors.remove(session, dead.authenticator_id, source=SOURCE)
        assert (
            refused(m.factors.remove, m.active(done.session), works.authenticator_id)
            is Reason.FACTOR_REQUIRED
        )
        assert m.ids(robin) == [works.authenticator_id]


def test_two_removals_at_once_leave_one_where_one_is_asked_for() -> None:
    with Factoring(required=True) as m:
        robin = m.person()
        first = m.add_totp(m.open())
        second = m.add_totp(first.session, "Tablet")
        real, raced = m.authenticators.remove, []

        def remove(account_id: str, authenticator_id: object, **at: Any) -> bool:
            if not raced:
                raced.append(True)  # another request, which saw both too, is faster by a moment
                assert real(account_id, first.authenticator_id, at=m.clock())
            return real(account_id, authenticator_id, **at)

        m.authenticators.remove = remove  # type: ignore[method-assign]
        session = m.active(second.session)
        assert refused(m.factors.remove, session, second.authenticator_id) is Reason.FACTOR_REQUIRED
        assert m.ids(robin) == [second.authenticator_id]


def test_two_removals_at_once_that_leave_none_take_the_codes_along() -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.add_totp(m.open())
        second = m.add_totp(first.session, "Tablet")
        real = m.authenticators.remove

        def remove(account_id: str, authenticator_id: object, **at: Any) -> bool:
            real(account_id, first.authenticator_id, at=m.clock())
            return real(account_id, authenticator_id, **at)

        m.authenticators.remove = remove  # type: ignore[method-assign]
        assert m.factors.remove(m.active(second.session), second.authenticator_id, source=SOURCE).last
        assert m.ids(robin) == [] and m.portal.recovery_codes.left(robin.id) == 0


def test_of_many_removals_at_once_at_most_one_wins_and_tells_of_it() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        results = together(8, lambda _: m.factors.remove(session, added.authenticator_id, source=SOURCE))
        won = [each for each in results if not isinstance(each, Exception)]
        assert all(isinstance(each, Denied) for each in results if each not in won)
        # None wins where each ended the session of another: its holder signs in and asks again.
        assert len(won) <= 1
        assert m.kinds(robin).count(NoticeKind.FACTOR_REMOVED) == len(won)
        assert len(m.ids(robin)) == 1 - len(won)


@pytest.mark.parametrize("what", ["emit", "notice", "sessions"])
def test_one_that_cannot_be_recorded_told_or_followed_up_is_void(what: str, monkeypatch: Any) -> None:
    with Factoring() as m:
        robin = m.person()
        session = m.active(m.open())
        m.clock.advance(timedelta(seconds=60))
        enrolment = m.factors.begin_totp(session, source=SOURCE)
        code = code_of(enrolment.secret.reveal(), m.clock())

        def fails(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        if what == "emit":
            m.emit_failing = AuditUnavailable("no log")
        elif what == "notice":
            monkeypatch.setattr(m.portal.stores.notices, "put", fails)
        else:
            monkeypatch.setattr(m.portal.stores.sessions, "end_all", fails)
        with pytest.raises(StoreError):
            m.factors.confirm_totp(session, code, source=SOURCE)
        assert m.ids(robin) == [] and m.portal.stores.totp.devices(robin.id) == ()
        monkeypatch.undo()
        assert NoticeKind.FACTOR_ADDED not in m.kinds(robin)


def test_a_session_that_was_ended_meanwhile_adds_and_removes_nothing() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        stolen = m.active(added.session)
        enrolment = m.factors.begin_totp(stolen, source=SOURCE)
        code = code_of(enrolment.secret.reveal(), m.clock())
        owner = Actor(type="user", id=robin.id)
        m.portal.endings.apply(robin.id, Why.SIGNED_OUT_EVERYWHERE, actor=owner, source=SOURCE)
        assert refused(m.factors.confirm_totp, stolen, code) is Reason.FLOW_UNKNOWN
        assert refused(m.factors.remove, stolen, added.authenticator_id) is Reason.SESSION_REVOKED
        assert m.ids(robin) == [added.authenticator_id]
        assert NoticeKind.FACTOR_REMOVED not in m.kinds(robin)


def test_an_enrolment_is_its_session_s_and_its_password_s() -> None:
    with Factoring() as m:
        robin = m.person()
        here, there = m.active(m.open()), m.active(m.open())
        enrolment = m.factors.begin_totp(here, source=SOURCE)
        code = code_of(enrolment.secret.reveal(), m.clock())
        assert refused(m.factors.confirm_totp, there, code) is Reason.FLOW_UNKNOWN
        account = m.portal.stores.accounts.get(robin.id)
        m.portal.stores.accounts.set_password(robin.id, "$another", expected=account.password_hash)
        assert refused(m.factors.confirm_totp, here, code) is Reason.FLOW_UNKNOWN
        assert m.ids(robin) == []


def test_it_is_over_after_ten_minutes() -> None:
    with Factoring() as m:
        m.person()
        here = m.active(m.open())
        enrolment = m.factors.begin_totp(here, source=SOURCE)
        m.clock.advance(timedelta(minutes=10))
        code = code_of(enrolment.secret.reveal(), m.clock())
        assert refused(m.factors.confirm_totp, here, code) is Reason.FLOW_UNKNOWN


def test_beginning_again_voids_the_one_before() -> None:
    with Factoring() as m:
        m.person()
        here = m.active(m.open())
        first = m.factors.begin_totp(here, source=SOURCE)
        second = m.factors.begin_totp(here, source=SOURCE)
        old, new = (code_of(each.secret.reveal(), m.clock()) for each in (first, second))
        if old != new:
            assert refused(m.factors.confirm_totp, here, old) is Reason.WRONG_CODE
        assert m.factors.confirm_totp(here, new, source=SOURCE).authenticator_id == second.device_id


def test_a_dead_one_is_shown_as_dead_and_can_be_removed() -> None:
    with Factoring() as m:
        robin = m.person()
        first = m.add_totp(m.open())
        for _ in range(100):
            assert m.portal.stores.totp.try_(robin.id, first.authenticator_id, cap=100)
        session = m.active(first.session)
        assert [each.dead for each in m.factors.overview(session).held] == [True]
        m.factors.remove(session, first.authenticator_id, source=SOURCE)
        m.factors.restore(m.active(m.open()), first.authenticator_id, source=SOURCE)
        assert [each.dead for each in m.authenticators.of_account(robin.id)] == [True]


def test_new_codes_take_the_place_of_the_old_ones_and_are_told() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        fresh = m.factors.new_recovery_codes(session, source=SOURCE)
        old = added.codes.codes[0].reveal()
        with pytest.raises(Denied):
            m.portal.recovery_codes.verify(robin.id, old)
        assert m.portal.recovery_codes.verify(robin.id, fresh.codes[0].reveal())
        assert m.kinds(robin)[-1] == NoticeKind.RECOVERY_CODES_MADE
        assert not any(code.reveal() in repr(list(m.events)) for code in fresh.codes)


def test_codes_that_stand_in_for_nothing_are_not_made() -> None:
    with Factoring() as m:
        robin = m.person()
        assert refused(m.factors.new_recovery_codes, m.active(m.open())) is Reason.FACTOR_NOT_ENROLLED
        assert m.portal.recovery_codes.made_at(robin.id) is None


def test_few_codes_are_said_so_and_told() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_totp(m.open())
        session = m.active(added.session)
        for number, code in enumerate(added.codes.codes, start=1):
            left = 10 - number
            m.clock.advance(timedelta(minutes=1))
            new = m.portal.step_up.submit_recovery_code(session, code.reveal(), source=SOURCE)
            session = m.active(new)
            assert m.factors.overview(session).few_codes is (left <= 3)
            assert m.kinds(robin).count(NoticeKind.RECOVERY_CODE_USED) == number
            assert m.kinds(robin).count(NoticeKind.RECOVERY_CODES_FEW) == max(0, 4 - left)


def test_passkeys_are_removed_renamed_and_put_back_alike() -> None:
    with Factoring() as m:
        robin = m.person()
        added = m.add_passkey(m.add_totp(m.open()).session)
        session = m.active(added.session)
        m.factors.rename(session, added.authenticator_id, "Blue key", source=SOURCE)
        assert m.factors.overview(session).held[-1].label == "Blue key"
        done = m.factors.remove(session, added.authenticator_id, source=SOURCE)
        assert added.authenticator_id not in m.ids(robin)
        m.factors.restore(m.active(done.session), added.authenticator_id, source=SOURCE)
        assert added.authenticator_id in m.ids(robin)


def test_putting_back_is_held_to_the_number_that_there_may_be() -> None:
    with Factoring() as m:
        robin = m.person()
        session = m.add_totp(m.open()).session
        for number in range(4):
            session = m.add_totp(session, f"App {number}").session
        gone = m.ids(robin)[0]
        session = m.factors.remove(m.active(session), gone, source=SOURCE).session
        session = m.add_totp(session, "Another").session
        assert refused(m.factors.restore, m.active(session), gone) is Reason.FACTOR_NOT_ENROLLED
        assert len(m.ids(robin)) == 5


def test_a_browser_trusted_before_one_was_added_is_not_trusted_anew_when_that_is_removed() -> None:
    with Factoring(trust=TrustPolicy(enabled=True)) as m:
        robin = m.person()
        first = m.add_totp(m.open())
        account = m.portal.stores.accounts.get(robin.id)
        device = m.portal.devices.remember(robin.id, None, source=SOURCE).device
        assert m.portal.trust.trust(account, device, source=SOURCE)
        second = m.add_totp(first.session, "Tablet")
        assert m.portal.trust.of_account(account) == ()
        m.factors.remove(m.active(second.session), second.authenticator_id, source=SOURCE)
        assert m.portal.trust.of_account(account) == ()


def test_a_trusted_browser_is_distrusted_from_the_list() -> None:
    with Factoring(trust=TrustPolicy(enabled=True)) as m:
        robin, sam = m.person(), m.person("sam")
        added = m.add_totp(m.open())
        account = m.portal.stores.accounts.get(robin.id)
        device = m.portal.devices.remember(robin.id, None, source=SOURCE).device
        m.portal.trust.trust(account, device, source=SOURCE)
        m.gate.open = False
        others = m.active(m.open("sam"))
        assert refused(m.factors.distrust, others, device.id) is Reason.TOKEN_INVALID
        m.factors.distrust(others, "all", source=SOURCE)
        session = m.active(added.session)
        assert len(m.factors.overview(session).trusted) == 1
        m.factors.distrust(session, device.id, source=SOURCE)
        assert m.factors.overview(session).trusted == () and sam


def test_refusals_are_recorded_with_their_reason() -> None:
    with Factoring() as m:
        m.person()
        session = m.active(m.open())
        refused(m.factors.remove, session, "nothing")
        event = m.events.last
        assert (event.name, event.outcome, event.reason) == (
            Event.AUTH_MFA_REMOVED, Outcome.DENIED, Reason.FACTOR_NOT_ENROLLED,
        )  # fmt: skip


def test_a_portal_without_passkeys_adds_none() -> None:
    with Factoring() as m:
        m.person()
        m.factors._passkeys = None
        session = m.active(m.open())
        assert refused(m.factors.begin_passkey, session) is Reason.FACTOR_NOT_ENROLLED
        assert refused(m.factors.confirm_passkey, session, "{}") is Reason.FACTOR_NOT_ENROLLED


@pytest.mark.parametrize(
    ("flags", "copies"), [((False, False), ""), ((True, False), "possible"), ((True, True), "made")]
)
def test_a_passkey_is_shown_with_its_make_and_whether_it_is_copied(
    flags: tuple[bool, bool], copies: str
) -> None:
    with Factoring(gated=False) as m:
        robin = m.person()
        held = replace(
            passkey(robin, m.clock()),
            label="My telephone",
            aaguid="fbfc3007-154e-4ecc-8c0b-6e020557d7bd",
            backup_eligible=flags[0],
            backed_up=flags[1],
        )
        m.portal.stores.passkeys.add(held, at_most=5)
        (shown,) = m.portal.factors._authenticators.of_account(robin.id)
        assert (shown.label, shown.make) == ("My telephone", "iCloud Keychain")
        assert (shown.backup_eligible, shown.backed_up) == flags
        assert (_view(shown).make, _view(shown).copies) == ("iCloud Keychain", copies)
