"""One mail after a sign-in, at the right time or not at all, and never a flood."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from portalsec.auth.notice_policy import NoticePolicy
from portalsec.auth.ports import Account
from portalsec.auth.signin_notices import SignInNotices
from portalsec.auth.throttle import Lane
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.prf import KeyedHash
from portalsec.errors import ConfigurationError, StoreError
from tests.auth.mailing import SOURCE, THIEF, Mailing
from tests.auth.world import Recorder, together

FIVE = timedelta(minutes=5)


def watch(m: Mailing, **policy: object) -> SignInNotices:
    m_calls: list[str] = []
    m.budgets = Recorder("throttle", m.portal.stores.throttle, m_calls)  # type: ignore[attr-defined]
    m.calls = m_calls  # type: ignore[attr-defined]
    return SignInNotices(
        notices=m.portal.notices,
        budgets=m.budgets,  # type: ignore[attr-defined]
        policy=NoticePolicy(**policy),  # type: ignore[arg-type]
        mac=KeyedHash(Keyset.generate("HMAC_SHA256_PRF")),
        clock=m.clock,
    )


def kinds(m: Mailing, account: Account) -> list[str]:
    return [notice.kind for notice in m.portal.notices.of_account(account.id)]


def test_a_full_sign_in_from_a_new_device_is_told_at_once_and_once() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        notice = told.pending(robin, source=THIEF)
        told.completed(robin, source=THIEF, new_device=True, notice=notice)
        (mail,) = m.deliver()
        assert mail.subject.startswith("New sign-in to your account")
        m.clock.advance(FIVE * 2)
        assert m.deliver() == []
        assert kinds(m, robin) == ["new_device"]


def test_a_right_password_that_nothing_follows_is_told_five_minutes_later() -> None:
    with Mailing() as m:
        robin = m.person()
        watch(m).pending(robin, source=THIEF)
        m.clock.advance(FIVE - timedelta(seconds=1))
        assert m.deliver() == []
        m.clock.advance(timedelta(seconds=1))
        (mail,) = m.deliver()
        assert mail.subject.startswith("Somebody knows your password")
        assert "203.0.113.0/24" in mail.text
        assert m.deliver() == []


def test_a_known_device_gets_no_mail_and_is_listed() -> None:
    with Mailing() as m:
        robin = m.person()
        watch(m).completed(robin, source=SOURCE, new_device=False, notice=None)
        m.clock.advance(FIVE)
        assert m.deliver() == []
        assert kinds(m, robin) == ["signed_in"]


def test_completing_one_sign_in_leaves_another_one_s_mail() -> None:
    """The thief's half-finished sign-in must be told although the owner signs in meanwhile."""
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        told.pending(robin, source=THIEF)
        own = told.pending(robin, source=SOURCE)
        told.completed(robin, source=SOURCE, new_device=False, notice=own)
        m.clock.advance(FIVE)
        (mail,) = m.deliver()
        assert "203.0.113.0/24" in mail.text


def test_loc_13_sign_ins_cannot_bomb_a_mailbox() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        for _ in range(40):
            told.pending(robin, source=THIEF)
            told.completed(robin, source=THIEF, new_device=True, notice=None)
            told.locked(robin, source=THIEF)
        m.clock.advance(FIVE)
        while m.deliver():
            pass
        subjects = [mail.subject.partition(" [")[0] for mail in m.mail]
        assert len(subjects) == 5 + 5 + 1
        assert len(set(subjects)) == 3
        # Nothing is lost: all of it is listed.
        assert len(m.portal.notices.of_account(robin.id, limit=500)) == 120


def test_one_kind_s_flood_does_not_silence_another_kind() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        for _ in range(40):
            told.pending(robin, source=THIEF)
        told.completed(robin, source=THIEF, new_device=True, notice=None)
        assert any(mail.subject.startswith("New sign-in") for mail in m.deliver())


def test_one_account_s_flood_does_not_silence_another_account() -> None:
    with Mailing() as m:
        robin, sam = m.person(), m.person("sam")
        told = watch(m)
        for _ in range(10):
            told.completed(robin, source=THIEF, new_device=True, notice=None)
        told.completed(sam, source=THIEF, new_device=True, notice=None)
        m.deliver()
        assert len(m.mail.to("sam@mail.example")) == 1


def test_a_notice_over_the_budget_is_withdrawn_too() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m, sign_in_mails=Lane(name="few", limit=1, window=timedelta(days=1)))
        told.pending(robin, source=THIEF)
        over = told.pending(robin, source=SOURCE)
        told.completed(robin, source=SOURCE, new_device=False, notice=over)
        assert sorted(kinds(m, robin)) == ["signed_in", "unfinished_sign_in"]
        assert over not in [notice.id for notice in m.portal.notices.of_account(robin.id)]


def test_counters_that_cannot_be_asked_silence_nobody() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        m.budgets.failing["take"] = StoreError("down")  # type: ignore[attr-defined]
        told.completed(robin, source=THIEF, new_device=True, notice=None)
        assert len(m.deliver()) == 1


def test_pwd_02_a_lock_of_nobody_costs_the_same_reads_and_writes() -> None:
    with Mailing() as m:
        robin = m.person()
        told = watch(m)
        store = Recorder("notices", m.portal.stores.notices, m.calls)  # type: ignore[attr-defined]
        m.portal.notices._store = store
        told.locked(robin, source=THIEF)
        known = list(m.calls)  # type: ignore[attr-defined]
        m.calls.clear()  # type: ignore[attr-defined]
        told.locked(None, source=THIEF)
        assert m.calls == known == ["throttle.take", "notices.put"]  # type: ignore[attr-defined]
        m.clock.advance(FIVE)
        assert len(m.deliver()) == 1  # robin's


def test_completing_races_the_courier_and_the_owner_hears_of_it_once() -> None:
    """Whoever is first wins: withdrawn and never sent, or sent and never withdrawn."""
    with Mailing() as m:
        robin = m.person()
        told = watch(m, sign_in_mails=Lane(name="many", limit=1000, window=timedelta(days=1)))
        for _ in range(30):
            notice = told.pending(robin, source=SOURCE)
            assert notice is not None
            m.clock.advance(FIVE)
            before = len(m.mail)
            work = [partial(m.portal.notices.withdraw, notice), m.portal.courier.deliver]
            withdrawn, _ = together(2, lambda n, work=work: work[n]())
            assert len(m.mail) - before == (0 if withdrawn else 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"unfinished_after": timedelta(0)},
        {"disavow_for": timedelta(minutes=1)},
        {"keep": timedelta(days=1)},
        {"attempts": 0},
        {"retry_after": timedelta(0)},
        {"lease": timedelta(seconds=1)},
    ],
)
def test_a_policy_that_exists_is_valid(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="NoticePolicy"):
        NoticePolicy(**changes)  # type: ignore[arg-type]


def test_pauses_grow_and_end() -> None:
    policy = NoticePolicy()
    assert [policy.pause(n) for n in (1, 2, 3, 4)] == [timedelta(minutes=n) for n in (2, 8, 32, 128)]
    assert policy.pause(20) == timedelta(days=1)
