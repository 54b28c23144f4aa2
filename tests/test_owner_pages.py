"""Pages of an account's owner without a framework: what a session alone does there, and what takes a factor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from portalsec.account_pages import Asked
from portalsec.auth._door import DOOR
from portalsec.auth.factors import WITHIN
from portalsec.auth.notices import NoticeKind
from portalsec.auth.proof import Factor, Proof
from portalsec.auth.step_up import StepUpRequired
from tests.auth.factoring import Factoring
from tests.auth.mailing import PASSWORD, SOURCE
from tests.test_factor_pages import MINUTE, Visit


class AtHome(Visit):
    """A browser that shows the devices' cookie, too."""

    device: str | None = None

    def asked(self, **given: Any) -> Asked:
        return super().asked(device=self.device, **given)


@pytest.fixture
def m() -> Iterator[Factoring]:
    with Factoring() as made:
        made.person()
        yield made


def devices(m: Factoring, account_id: str) -> list[str]:
    return [each.id for each in m.portal.devices.of_account(account_id)]


@pytest.mark.parametrize(
    ("address", "form"), [("/account/secure", {}), ("/account/devices", {"device": "all"})]
)
def test_what_throws_everyone_else_out_takes_a_factor_that_was_shown_lately(
    m: Factoring, address: str, form: dict[str, str]
) -> None:
    owner = m.open()
    account_id = m.active(owner).account_id
    m.clock.advance(MINUTE)
    thief = Visit(m)  # a copy of the cookie; how it came about does not matter here
    m.portal.devices.remember(account_id, None, source=SOURCE)
    m.clock.advance(WITHIN)
    known = devices(m, account_id)
    assert known
    with pytest.raises(StepUpRequired) as short:
        thief.post(address, **form)
    assert short.value.next == ("password",)  # there is always a page that leads on
    assert devices(m, account_id) == known and m.alive(owner) and m.alive(thief.session)
    # Whoever proves a factor secures the account: of these two that is its owner.
    here = Visit(m)
    here.session = owner
    here.step_up()
    done = here.post(address, **form)
    assert done.redirect is not None and done.redirect.startswith(f"{address}?")
    assert devices(m, account_id) == []
    assert m.alive(here.session)
    assert m.alive(thief.session) is (address == "/account/devices")


def test_a_sign_in_a_moment_ago_is_proof_enough_to_secure_the_account(m: Factoring) -> None:
    other, visit = m.open(), Visit(m)
    m.clock.advance(WITHIN - timedelta(seconds=1))
    assert visit.post("/account/secure").redirect == "/account/secure?done=signed-out"
    assert m.alive(visit.session) and not m.alive(other)


def test_another_device_is_forgotten_with_a_factor_and_this_one_with_the_session_alone(m: Factoring) -> None:
    visit, known = AtHome(m), m.portal.devices
    account_id = m.active(visit.session).account_id
    mine, other = (known.remember(account_id, None, source=SOURCE) for _ in range(2))
    assert mine.cookie is not None and other.cookie is not None
    visit.device = mine.cookie.reveal()
    m.clock.advance(WITHIN)
    thief = AtHome(m)  # a copy of the session's cookie, with no device's, with nobody's, or with two of them
    thief.session = visit.session
    for shown in (None, "A" * 43, f"{'A' * 43}.{'B' * 43}"):
        thief.device = shown
        for which in (mine.device.id, other.device.id, "all", "no-such-one", ""):
            m.clock.advance(WITHIN)
            with pytest.raises(StepUpRequired):
                thief.post("/account/devices", device=which)
    with pytest.raises(StepUpRequired) as short:
        visit.post("/account/devices", device=other.device.id)
    assert short.value.next == ("password",)
    assert {mine.device.id, other.device.id} <= set(devices(m, account_id))
    assert visit.post("/account/devices", device=mine.device.id).redirect == "/account/devices?removed=yes"
    assert mine.device.id not in devices(m, account_id) and other.device.id in devices(m, account_id)
    visit.step_up()
    assert visit.post("/account/devices", device=other.device.id).redirect == "/account/devices?removed=yes"
    assert other.device.id not in devices(m, account_id)


def test_atk_48_the_page_of_devices_tells_of_an_old_copy_of_a_cookie_once(m: Factoring) -> None:
    visit, known = AtHome(m), m.portal.devices
    account_id = m.active(visit.session).account_id
    account = m.portal.stores.accounts.get(account_id)
    assert account is not None
    old = known.remember(account_id, None, source=SOURCE).cookie
    assert old is not None
    copy = old.reveal()
    device = known.find(copy, account_id, source=SOURCE)
    assert device is not None
    family = known.family(copy, device)
    now = known.remember(account_id, device.digest, source=SOURCE, cookie=copy, family=family).cookie
    assert now is not None and known.find(now.reveal(), account_id, source=SOURCE)
    visit.device = now.reveal()
    visit.get("/account/devices")
    assert NoticeKind.DEVICE_REUSED not in m.kinds(account)
    visit.device = copy
    for _ in range(2):
        shown = visit.get("/account/devices").values["devices"]
        assert device.id not in [each.id for each in shown]
        assert m.kinds(account).count(NoticeKind.DEVICE_REUSED) == 1
    assert device.id not in devices(m, account_id)


def test_ses_12_a_browser_whose_link_lost_a_race_stays_signed_in(
    m: Factoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = Visit(m)
    active = m.active(visit.session)
    m.portal.contacts.add(active, "new@mail.example", current=PASSWORD, source=SOURCE)
    m.deliver()
    # The owner is told in the same moment, and mails of one moment go out in any order.
    (mail,) = [each for each in m.mail if each.to == "new@mail.example"]
    token = mail.text.partition("?token=")[2][:43]
    # As where the address was removed between the look at the link and this.
    monkeypatch.setattr(m.portal.stores.contacts, "verify", lambda *args, **kwargs: False)
    held = visit.session
    lost = visit.post("/account/email/link", token=token)
    assert (lost.status, lost.page) == (400, "link_dead")
    assert visit.session != held and not m.alive(held)
    assert m.alive(visit.session)


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/account/secure", {}),
        ("/account/devices", {"device": "all"}),
        ("/account/sessions", {"session": "others"}),
    ],
)
def test_an_account_that_has_nothing_to_show_secures_itself_after_a_fresh_sign_in(
    m: Factoring, address: str, form: dict[str, str]
) -> None:
    visit = Visit(m)
    account = m.portal.stores.accounts.get(m.active(visit.session).account_id)
    assert account is not None
    m.portal.stores.accounts.set_password(account.id, None, expected=account.password_hash)
    m.clock.advance(WITHIN)
    with pytest.raises(StepUpRequired) as short:
        visit.post(address, **form)
    assert short.value.next == ()
    # Signed in a moment ago by a link, which no step-up takes.
    fresh = m.portal.sessions.open_through(
        DOOR,
        account_id=account.id,
        epoch=m.portal.sessions.epoch(account.id),
        proofs=[Proof(factor=Factor.EMAIL_CODE, at=m.clock())],
        source=SOURCE,
    )
    visit.session = fresh.token.reveal()
    m.clock.advance(WITHIN - timedelta(seconds=1))
    assert visit.post(address, **form).redirect


@pytest.mark.parametrize("page", ["/account/password", "/account/email", "/account/close"])
def test_a_page_that_takes_the_password_asks_for_the_second_factor_before_anybody_types(
    m: Factoring, page: str
) -> None:
    account = m.portal.stores.accounts.by_login("robin")
    assert account is not None
    m.enrolled_with(account)
    visit = Visit(m)
    assert visit.get(page).status == 200
    m.clock.advance(WITHIN)
    for ask in (visit.get, visit.post):
        with pytest.raises(StepUpRequired) as short:
            ask(page)
        assert short.value.next == ("totp",)
    visit.step_up()
    assert visit.get(page).status == 200
    assert visit.post(page).status == 400  # only what was to be typed is missing


def test_to_say_this_wasnt_me_in_a_session_takes_the_second_factor_before_the_password(m: Factoring) -> None:
    account = m.portal.stores.accounts.by_login("robin")
    assert account is not None
    m.enrolled_with(account)
    told = m.portal.notices.tell(account.id, NoticeKind.NEW_DEVICE, source=SOURCE)
    visit, page = Visit(m), f"/account/activity?notice={told.id}"
    before = m.portal.stores.accounts.get(account.id)
    m.clock.advance(WITHIN)
    assert visit.get("/account/activity").status == 200  # what happened is shown without
    for ask in (
        lambda: visit.get(page),
        lambda: visit.post("/account/not-me", notice=told.id, current=PASSWORD),
    ):
        with pytest.raises(StepUpRequired) as short:
            ask()
        assert short.value.next == ("totp",)
    assert m.portal.stores.accounts.get(account.id) == before
    visit.step_up()
    assert visit.get(page).status == 200
    assert visit.post("/account/not-me", notice=told.id, current=PASSWORD).page == "disavowed"
