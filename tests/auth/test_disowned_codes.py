"""Recovery codes that "this wasn't me" takes along: their owner hears of it, on stores of every kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Account
from portalsec.errors import StoreError
from portalsec.events import Event
from portalsec.portal import Stores
from tests.abuse.doors import stores
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE, THIEF

__all__ = ["stores"]

MINUTE = timedelta(minutes=1)


def kinds(m: Factoring, account: Account) -> list[str]:
    return [each.kind for each in m.portal.notices.of_account(account.id)]


def test_atk_47_the_owner_is_told_that_codes_made_since_open_nothing(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        added = m.add_totp(m.open())
        m.clock.advance(MINUTE)
        seen = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(MINUTE)
        m.factors.new_recovery_codes(m.active(added.session), source=SOURCE)
        m.deliver()
        m.disavow(seen)
        assert m.portal.recovery_codes.left(robin.id) == 0
        assert kinds(m, robin).count(NoticeKind.RECOVERY_CODES_REMOVED) == 1
        mail = m.mail_of("recovery codes open nothing")
        assert mail.to == "robin@mail.example" and "make new ones" in mail.text
        # "This wasn't me" is over, and would do nothing.
        assert "?token=" not in mail.text + (mail.html or "")
        removed = [each.details for each in m.events.named(Event.AUTH_MFA_REMOVED)]
        assert [(each["factor"], each["by"]) for each in removed] == [("recovery_code", "disavowal")]


def test_the_mail_on_authenticators_that_this_wasnt_me_took_has_no_dead_link() -> None:
    with Factoring() as m:
        robin = m.person()
        seen = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(MINUTE)
        m.add_totp(m.open())
        assert "?token=" in m.deliver()[-1].text
        m.disavow(seen)
        mails = [mail for mail in m.deliver() if "removed" in mail.subject]
        assert len(mails) == 1 and "?token=" not in mails[0].text + (mails[0].html or "")


def test_codes_from_before_stay_and_nothing_is_said_of_them(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        m.add_totp(m.open())
        m.clock.advance(MINUTE)
        m.disavow(m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF))
        assert m.portal.recovery_codes.left(robin.id) == 10
        assert NoticeKind.RECOVERY_CODES_REMOVED not in kinds(m, robin)


def test_a_mailbox_s_old_links_do_not_take_codes_of_more_than_a_day(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        seen = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(MINUTE)
        m.add_totp(m.open())
        m.clock.advance(timedelta(days=2))
        m.disavow(seen)
        assert m.portal.recovery_codes.left(robin.id) == 10
        assert NoticeKind.RECOVERY_CODES_REMOVED not in kinds(m, robin)


@pytest.mark.parametrize("days", [0, 10])
def test_the_notice_of_codes_takes_those_whenever_it_is_used(stores: Stores, days: int) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        added = m.add_totp(m.open())
        m.clock.advance(MINUTE)
        m.factors.new_recovery_codes(m.active(added.session), source=SOURCE)
        told = m.portal.notices.of_account(robin.id)
        made = next(each for each in told if each.kind == NoticeKind.RECOVERY_CODES_MADE)
        m.clock.advance(timedelta(days=days))
        m.disavow(made)
        assert m.portal.recovery_codes.left(robin.id) == 0


@pytest.mark.parametrize("lost", [False, True], ids=["before", "after"])
def test_atk_41_no_codes_go_untold_where_their_store_fails(
    stores: Stores, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Factoring(stores=stores) as m:
        robin = m.person()
        seen = m.portal.notices.tell(robin.id, NoticeKind.NEW_DEVICE, source=THIEF)
        m.clock.advance(MINUTE)
        m.add_totp(m.open())
        removing = m.portal.stores.recovery_codes.remove

        def remove(account_id: str) -> Any:
            if lost:
                removing(account_id)
            raise StoreError("down")

        with monkeypatch.context() as patch:
            patch.setattr(m.portal.stores.recovery_codes, "remove", remove)
            with pytest.raises(StoreError):
                m.disavow(seen)
        assert NoticeKind.RECOVERY_CODES_REMOVED in kinds(m, robin)
        m.disavow(seen)
        assert m.portal.recovery_codes.left(robin.id) == 0
