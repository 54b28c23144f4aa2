"""The link in the notice of an authenticator's other name: it gives the old one back, for a day, once, on stores of every kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.notices import NoticeKind
from portalsec.errors import AuditUnavailable, StoreError
from portalsec.events import Event, Outcome
from portalsec.portal import Stores
from tests.abuse.doors import stores
from tests.auth.factoring import Factoring
from tests.auth.mailing import SOURCE, THIEF
from tests.auth.test_undo import UNDO, refused, undo_of
from tests.test_factor_pages import Visit

__all__ = ["stores"]

MINUTE = timedelta(minutes=1)
MAIL = "has another name"


def labels(m: Factoring, account_id: str) -> list[str]:
    return [each.label for each in m.portal.factors._authenticators.of_account(account_id)]


def renamed(m: Factoring, *, key: bool = False) -> tuple[Any, Any, str]:
    """A thief renamed the owner's authenticator: the account, what was added, and the link's token."""
    robin = m.person()
    added = m.add_passkey(m.open()) if key else m.add_totp(m.open())
    m.clock.advance(MINUTE)
    m.factors.rename(m.active(added.session), added.authenticator_id, "Old key, remove me", source=THIEF)
    return robin, added, undo_of(m.mail_of(MAIL))


@pytest.mark.parametrize("key", [False, True], ids=["totp", "passkey"])
def test_atk_47_another_name_is_taken_back_and_every_session_ends(stores: Stores, key: bool) -> None:
    with Factoring(stores=stores) as m:
        robin, added, token = renamed(m, key=key)
        before = "Key" if key else "Phone"
        assert labels(m, robin.id) == ["Old key, remove me"]
        found = m.portal.undo.look(token, source=SOURCE)
        assert (found.adds, found.renames) == (False, True) and set(found.details) <= {"browser", "place"}
        assert labels(m, robin.id) == ["Old key, remove me"] and m.alive(added.session), (
            "a look changes nothing"
        )
        m.portal.undo.confirm(token, source=SOURCE)
        assert labels(m, robin.id) == [before] and not m.alive(added.session)
        last = m.events.named(Event.AUTH_MFA_RENAMED)[-1]
        assert (last.details["by"], last.changed, last.outcome) == ("undo", ("label",), Outcome.SUCCESS)
        # Once; and what it tells has no such link.
        refused(m.portal.undo.confirm, token)
        assert not UNDO.findall(m.mail_of(MAIL).text)


def test_this_wasnt_me_gives_the_old_name_back_too(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin, _added, _token = renamed(m)
        told = next(
            each for each in m.portal.notices.of_account(robin.id) if each.kind == NoticeKind.FACTOR_RENAMED
        )
        m.disavow(told)
        assert labels(m, robin.id) == ["Phone"]
        last = m.events.named(Event.AUTH_MFA_RENAMED)[-1]
        assert (last.details["by"], last.changed, last.outcome) == ("disavowal", ("label",), Outcome.SUCCESS)


def test_no_mail_and_no_record_has_either_name(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin, _, token = renamed(m)
        m.portal.undo.confirm(token, source=SOURCE)
        m.deliver()
        said = "".join(mail.subject + mail.text + mail.html for mail in m.mail) + repr(list(m.events))
        assert "Phone" not in said and "remove me" not in said
        assert "Phone" not in repr(m.portal.notices.of_account(robin.id))


def test_it_works_for_a_day_and_of_one_that_is_there(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin, added, token = renamed(m)
        session = m.factors.remove(
            m.active(m.add_totp(added.session).session), added.authenticator_id, source=THIEF
        ).session
        refused(m.portal.undo.confirm, token)
        m.factors.restore(m.active(session), added.authenticator_id, source=SOURCE)
        m.clock.advance(timedelta(hours=24) - 3 * MINUTE)
        m.portal.undo.look(token, source=SOURCE)
        m.clock.advance(3 * MINUTE)
        refused(m.portal.undo.confirm, token)
        assert "Old key, remove me" in labels(m, robin.id)


def test_of_two_names_each_link_gives_back_the_one_before(stores: Stores) -> None:
    with Factoring(stores=stores) as m:
        robin, added, first = renamed(m)
        m.clock.advance(MINUTE)
        m.factors.rename(m.active(added.session), added.authenticator_id, "Third", source=THIEF)
        second = undo_of(m.mail_of(MAIL))
        m.portal.undo.confirm(second, source=SOURCE)
        assert labels(m, robin.id) == ["Old key, remove me"]
        m.portal.undo.confirm(first, source=SOURCE)
        assert labels(m, robin.id) == ["Phone"]


@pytest.mark.parametrize(
    "fails", ["totp.rename", "notices.put", "invitations.put", "sessions.end_all", "log"]
)
def test_atk_41_whatever_fails_it_was_told_and_the_link_leads_on(
    stores: Stores, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Factoring(stores=stores) as m:
        robin, _, token = renamed(m)

        def count() -> int:
            told = [each.kind for each in m.portal.notices.of_account(robin.id)]
            return told.count(NoticeKind.FACTOR_RENAMED)

        before = count()

        def down(*_: Any, **__: Any) -> Any:
            raise StoreError("down")

        with monkeypatch.context() as patch:
            if fails == "log":
                m.emit_failing = AuditUnavailable("down")
            else:
                store, verb = fails.split(".")
                patch.setattr(getattr(m.portal.stores, store), verb, down)
            with pytest.raises(StoreError):
                m.portal.undo.confirm(token, source=SOURCE)
            m.emit_failing = None
        assert labels(m, robin.id) == ["Old key, remove me"] or count() > before
        m.clock.advance(2 * MINUTE)
        m.portal.undo.confirm(token, source=SOURCE)
        assert labels(m, robin.id) == ["Phone"] and count() > before


def test_its_pages_say_that_it_is_about_a_name() -> None:
    with Factoring() as m:
        *_, token = renamed(m)
        visit = Visit(m)
        page = visit.get("/undo", token=token)
        assert (page.page, page.values["adds"], page.values["renames"]) == ("undo", False, True)
        done = visit.post("/undo", token=token)
        assert (done.page, done.values["adds"], done.values["renames"]) == ("undone", False, True)
