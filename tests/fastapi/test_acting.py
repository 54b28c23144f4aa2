"""Support acts in an owner's name: the page, the way back, and what stays out of reach (AUZ-04)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from portalsec.auth.impersonation import ImpersonationPolicy
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.passkeys.attestation import AttestationPolicy
from portalsec.auth.proof import Factor
from portalsec.auth.sessions import ActiveSession
from portalsec.events import SYSTEM, Actor, Event, Outcome, Source
from portalsec.fastapi import Portalsec, account_router, session_router, sign_in_router
from portalsec.testing import SentMail
from portalsec.testing.attestation import SoftMaker
from portalsec.testing.portal import memory_portal
from portalsec.web import PENDING_COOKIE, SESSION_COOKIE, STAFF_COOKIE
from tests.fastapi.account_site import NEW, AccountSite, Views, account_site
from tests.fastapi.asgi import Answer, Browser
from tests.fastapi.support import PASSWORD, POLICY, Pages

MINUTE = timedelta(minutes=1)
HERE = Source()


@dataclass
class Desk:
    """Kim of the support desk, signed in, and Robin, who needs help. Sam is nobody's to act for."""

    site: AccountSite
    robin: str
    kim: str
    sam: str
    browser: Browser

    def act(self, **change: str) -> Answer:
        fields = {"login": "robin", "reason": "ticket-4711", "minutes": "30", "next": "/whoami"}
        return self.browser.post("/act-as", {**fields, **change})

    def acting(self) -> Desk:
        answer = self.act()
        assert (answer.status_code, answer.headers["location"]) == (303, "/whoami"), answer.text
        return self

    def whoami(self) -> str:
        return self.browser.get("/whoami").text

    def advance(self, minutes: float) -> None:
        self.site.site.clock.advance(minutes * MINUTE)

    def alive(self, account_id: str) -> int:
        return len(self.site.portal.sessions.listed(account_id))


def shown(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


@pytest.fixture
def desk() -> Iterator[Desk]:
    with opened() as made:
        yield made


@pytest.fixture(scope="module")
def acting() -> Iterator[Desk]:
    """One for the walk over all addresses, each of which leaves it as it was."""
    with opened() as made:
        made.site.signed_in("robin")
        yield made.acting()


@contextmanager
def opened() -> Iterator[Desk]:
    made: list[Desk] = []

    def allowed(staff: ActiveSession, account_id: str) -> bool:
        return bool(made) and (staff.account_id, account_id) == (made[0].kim, made[0].robin)

    with account_site(may_impersonate=allowed) as site:
        people = {login: site.person(login) for login in ("robin", "kim", "sam")}
        made.append(Desk(site=site, browser=site.signed_in("kim"), **people))
        yield made[0]


# -- there and back -----------------------------------------------------------------------------------------------------


def test_support_begins_acts_and_is_back_in_its_own_session(desk: Desk) -> None:
    page = shown(desk.browser.get("/act-as?login=robin&next=/records/p1"))
    assert page["page"] == "act_as"
    assert (page["login"], page["minutes"], page["chosen"], page["next"]) == (
        "robin",
        [5, 10, 15, 30],
        30,
        "/records/p1",
    )
    own = desk.browser.cookies[SESSION_COOKIE]
    answer = desk.act()
    cookies = answer.set_cookies()
    assert set(cookies) == {SESSION_COOKIE, STAFF_COOKIE}
    for line in cookies.values():
        assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert desk.whoami() == desk.robin
    (started,) = desk.site.site.events.named(Event.AUTH_IMPERSONATION_STARTED)
    assert started.actor == Actor(type="user", id=desk.kim, on_behalf_of=desk.robin)
    assert started.details == {"why": "ticket-4711"}
    back = desk.browser.post("/act-as/end")
    assert (back.status_code, back.headers["location"]) == (303, "/act-as?ended=yes")
    assert desk.browser.cookies[SESSION_COOKIE] == own and STAFF_COOKIE not in desk.browser.cookies
    assert desk.whoami() == desk.kim
    assert shown(desk.browser.get(back.headers["location"]))["ended"] is True
    assert desk.alive(desk.robin) == 0
    assert len(desk.site.site.events.named(Event.AUTH_IMPERSONATION_ENDED)) == 1


def test_the_application_may_name_the_account_by_its_id(desk: Desk) -> None:
    assert desk.act(login="", account=desk.robin).status_code == 303
    assert desk.whoami() == desk.robin


@pytest.mark.parametrize(("minutes", "ends"), [("5", 5), ("30", 30)])
def test_it_ends_by_the_limit_that_was_chosen_and_a_clear_page_leads_back(
    desk: Desk, minutes: str, ends: int
) -> None:
    desk.act(minutes=minutes)
    for _ in range(ends - 1):
        desk.advance(1)
        assert desk.whoami() == desk.robin
    desk.advance(1)
    over = desk.browser.get("/whoami")
    assert (over.status_code, over.headers["location"]) == (303, "/act-as/over")
    page = shown(desk.browser.get("/act-as/over"))
    assert (page["page"], page["lives"], page["back"]) == ("act_over", False, True)
    back = desk.browser.post("/act-as/end")
    # Nobody used their own session meanwhile: one factor, as after every idle end.
    idle = ends > 15
    assert back.headers["location"] == (
        "/sign-in/resume?next=/act-as?ended=yes" if idle else "/act-as?ended=yes"
    )
    if idle:
        assert (
            desk.browser.post("/sign-in/resume", {"current": PASSWORD, "next": "/whoami"}).status_code == 303
        )
    assert desk.whoami() == desk.kim


def test_after_the_owner_ends_it_the_next_request_lands_on_the_page_that_leads_back(desk: Desk) -> None:
    desk.acting()
    portal = desk.site.portal
    (row,) = portal.sessions.listed(desk.robin)
    portal.sessions.end_one(desk.robin, row.reference, source=HERE, actor=Actor(type="user", id=desk.robin))
    for answer in (desk.browser.get("/records/p1"), desk.browser.post("/account/close", {"close": "yes"})):
        assert (answer.status_code, answer.headers["location"]) == (303, "/act-as/over")
    assert desk.browser.get("/session/left").status_code == 401
    assert desk.browser.post("/act-as/end", {"next": "/whoami"}).headers["location"] == "/whoami"
    assert desk.whoami() == desk.kim


def test_it_ends_with_their_own_session_and_there_is_no_way_back(desk: Desk) -> None:
    desk.acting()
    desk.site.portal.sessions.end_all(desk.kim, source=HERE, actor=SYSTEM)
    assert desk.browser.get("/whoami").headers["location"] == "/act-as/over"
    assert shown(desk.browser.get("/act-as/over"))["back"] is False
    out = desk.browser.post("/act-as/end")
    assert out.headers["location"] == "/act-as/over"
    assert SESSION_COOKIE not in desk.browser.cookies and STAFF_COOKIE not in desk.browser.cookies
    assert desk.browser.get("/whoami").status_code == 401


def test_after_a_jump_elsewhere_it_only_leads_back_and_their_own_session_asks_for_a_factor(
    desk: Desk,
) -> None:
    desk.acting()
    desk.browser._address = "203.0.113.9"
    assert desk.browser.get("/whoami").headers["location"] == "/act-as/over"
    assert shown(desk.browser.get("/act-as/over"))["lives"] is True
    # Nothing of what the owner could show; by now what is strange about their own session has ended this one.
    assert desk.browser.get("/account/step-up").headers["location"] == "/act-as/over"
    assert desk.browser.post("/act-as/end", {"next": "/whoami"}).headers["location"] == "/whoami"
    assert desk.browser.get("/whoami").headers["location"] == "/account/step-up?next=/whoami"
    assert desk.alive(desk.robin) == 0


def test_a_tab_that_ends_it_a_second_time_is_back_already(desk: Desk) -> None:
    desk.acting().browser.post("/act-as/end")
    again = desk.browser.post("/act-as/end", {"next": "/whoami"})
    assert again.headers["location"] == "/whoami"
    assert desk.browser.get("/act-as/over").status_code == 303
    assert desk.whoami() == desk.kim


def test_signing_out_ends_both_sessions(desk: Desk) -> None:
    desk.acting()
    answer = desk.browser.post("/sign-out")
    assert answer.status_code == 200
    assert SESSION_COOKIE not in desk.browser.cookies and STAFF_COOKIE not in desk.browser.cookies
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)
    (ended,) = desk.site.site.events.named(Event.AUTH_IMPERSONATION_ENDED)
    (logout,) = desk.site.site.events.named(Event.AUTH_LOGOUT)
    assert (ended.actor.id, ended.actor.on_behalf_of, logout.actor.id) == (desk.kim, desk.robin, desk.kim)


def test_whoever_signs_in_over_it_ends_both_sessions(desk: Desk) -> None:
    desk.acting()
    first = desk.browser.post("/sign-in", {"login": "sam", "password": PASSWORD})
    assert first.status_code == 303
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)


def by_reset(desk: Desk) -> str:
    desk.browser.post("/password/forgot", {"name": "sam@mail.example"})
    desk.browser.post("/password/link", {"token": desk.site.token("sam@mail.example")})
    return str(desk.browser.post("/password/new", {"password": NEW}).headers["location"])


def by_forced_password(desk: Desk) -> str:
    """Begun before, in this browser, and finished over the session in which staff acts."""
    desk.site.portal.password_change.require(desk.sam, "leaked", source=HERE, actor=SYSTEM)
    sam = desk.site.client()
    sam.post("/sign-in", {"login": "sam", "password": PASSWORD})
    to = sam.post("/sign-in/code", {"code": desk.site.site.code("sam")}).headers["location"]
    assert to == "/sign-in/new-password"
    desk.browser.cookies[PENDING_COOKIE] = sam.cookies[PENDING_COOKIE]
    return str(desk.browser.post(to, {"password": NEW}).headers["location"])


def by_registration(desk: Desk) -> str:
    desk.browser.post("/register", {"email": "new@mail.example"})
    desk.browser.post("/register/link", {"token": desk.site.token("new@mail.example")})
    made = desk.browser.post("/register/new", {"login": "newcomer", "password": NEW})
    return str(made.headers["location"])


def by_code(desk: Desk) -> str:
    sam = desk.site.client()
    sam.post("/sign-in", {"login": "sam", "password": PASSWORD})
    desk.browser.cookies[PENDING_COOKIE] = sam.cookies[PENDING_COOKIE]
    done = desk.browser.post("/sign-in/code", {"code": desk.site.site.code("sam")})
    return str(done.headers["location"])


OVER = (by_reset, by_forced_password, by_registration, by_code)


@pytest.mark.parametrize("way", OVER, ids=[way.__name__ for way in OVER])
def test_auz_04_whoever_comes_in_over_it_finds_neither_session_nor_cookie_of_the_staff(
    desk: Desk, way: Callable[[Desk], str]
) -> None:
    assert way(desk.acting()).startswith("/")
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)
    assert STAFF_COOKIE not in desk.browser.cookies


def test_auz_04_this_was_not_me_signs_the_browser_out_of_both_sessions(desk: Desk) -> None:
    sam = desk.site.signed_in("sam")
    sam.post("/account/password", {"current": PASSWORD, "password": NEW})
    token = desk.site.token("sam@mail.example")
    assert desk.acting().browser.post("/not-me", {"token": token}).status_code == 200
    assert not {SESSION_COOKIE, STAFF_COOKIE} & set(desk.browser.cookies)
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_auz_04_the_staffs_cookie_alone_ends_both_sessions(desk: Desk, path: str) -> None:
    acting = desk.acting().browser.cookies.pop(SESSION_COOKIE)
    assert desk.browser.post(path, {"login": "sam", "password": PASSWORD}).status_code in (200, 303)
    assert STAFF_COOKIE not in desk.browser.cookies and desk.alive(desk.kim) == 0
    desk.browser.cookies[SESSION_COOKIE] = acting
    assert desk.browser.get("/whoami").status_code == 401  # over with the one behind it


# -- forged and tossed cookies ------------------------------------------------------------------------------------------


def forged(desk: Desk) -> dict[str, str]:
    """What somebody could put in place of the second cookie, who cannot make the keyed hash."""
    staff = desk.browser.cookies[STAFF_COOKIE]
    own, _, tag = staff.partition(".")
    sam = desk.site.signed_in("sam").cookies[SESSION_COOKIE]
    other = desk.site.signed_in("kim")
    other.post(
        "/act-as", {"login": "robin", "reason": "ticket-1", "minutes": "5"}
    )  # a true one, of another browser
    return {
        "another's session": f"{sam}.{tag}",
        "only a session": sam,
        "own, without a hash": own,
        "a hash of nothing": f"{own}.{'A' * 43}",
        "of another browser": other.cookies[STAFF_COOKIE],
        "nothing": "x",
        "long": "x" * 9000,
        "not ascii": f"{own}.\u00e9",
    }


FORGERIES = (
    "another's session",
    "only a session",
    "own, without a hash",
    "a hash of nothing",
    "of another browser",
    "nothing",
    "long",
    "not ascii",
)


@pytest.mark.parametrize("over", [False, True], ids=["lives", "over"])
@pytest.mark.parametrize("what", FORGERIES)
def test_auz_04_a_forged_way_back_signs_out_and_opens_nobodys_session(
    desk: Desk, what: str, over: bool
) -> None:
    desk.acting()
    forgeries = forged(desk)
    assert set(forgeries) == set(FORGERIES)
    desk.browser.cookies[STAFF_COOKIE] = forgeries[what]
    if over:
        desk.advance(14)
        desk.whoami()
        desk.advance(16)
        assert desk.browser.get("/whoami").status_code == 401  # nothing leads back
    out = desk.browser.post("/act-as/end")
    assert out.headers["location"] == "/act-as/over"
    assert SESSION_COOKIE not in desk.browser.cookies and STAFF_COOKIE not in desk.browser.cookies
    assert desk.browser.get("/whoami").status_code == 401


def test_auz_04_without_its_cookie_the_session_behind_it_ends_too(desk: Desk) -> None:
    del desk.acting().browser.cookies[STAFF_COOKIE]
    assert desk.browser.post("/act-as/end").headers["location"] == "/act-as/over"
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)


def test_auz_04_a_second_cookie_that_was_tossed_in_is_recorded_and_is_no_way_back(desk: Desk) -> None:
    desk.acting()
    own = "; ".join(f"{k}={v}" for k, v in desk.browser.cookies.items())
    for more in (f"{STAFF_COOKIE}=x", f"{STAFF_COOKIE.lower()}=x"):
        page = shown(desk.browser.get("/act-as/over", headers={"cookie": f"{own}; {more}"}))
        assert (page["lives"], page["back"]) == (True, False)
    refused = desk.site.site.events.named(Event.AUTH_SESSION_REFUSED)
    assert {event.outcome for event in refused} == {Outcome.DENIED}
    out = desk.browser.post("/act-as/end", headers={"cookie": f"{own}; {STAFF_COOKIE}=x"})
    assert out.headers["location"] == "/act-as/over"
    assert (desk.alive(desk.robin), desk.alive(desk.kim)) == (0, 0)


def test_auz_04_a_way_back_outlives_no_later_sign_in(desk: Desk) -> None:
    staff = desk.acting().browser.cookies[STAFF_COOKIE]
    sam = desk.site.signed_in("sam")
    sam.cookies[STAFF_COOKIE] = staff
    assert sam.post("/act-as/end").status_code == 303
    assert sam.get("/whoami").text == desk.sam


# -- refusals -----------------------------------------------------------------------------------------------------------


def test_a_refusal_says_no_more_of_an_account_than_the_rule_does(desk: Desk) -> None:
    answers = [desk.act(login=login) for login in ("sam", "nobody", "x", "a\u200bb c")]
    answers.append(desk.act(login="", account="no-such-account"))
    desk.site.portal.accounts.disable(desk.robin, actor=SYSTEM, source=HERE)
    answers.append(desk.act())
    assert {answer.status_code for answer in answers} == {403}
    assert {tuple(shown(answer)["errors"]) for answer in answers} == {("not_for_you",)}
    events = desk.site.site.events.named(Event.AUTH_IMPERSONATION_STARTED)
    assert len(events) == len(answers) and {event.outcome for event in events} == {Outcome.DENIED}
    assert desk.whoami() == desk.kim


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": ""}, "no_reference"),
        ({"reason": "Robin rang us"}, "no_reference"),
        ({"login": ""}, "missing_target"),
        ({"login": "KIM "}, "that_is_you"),
        ({"minutes": "31"}, "no_such_limit"),
        ({"minutes": "\u0663\u0660"}, "no_such_limit"),
        ({"minutes": ""}, "no_such_limit"),
    ],
    ids=["none", "prose", "nobody", "oneself", "longer", "digits", "no-limit"],
)
def test_what_is_missing_is_said(desk: Desk, change: dict[str, str], error: str) -> None:
    answer = desk.act(**change)
    assert (answer.status_code, shown(answer)["errors"]) == (400, [error])
    assert desk.whoami() == desk.kim


def test_whoever_showed_too_little_is_told_what_to_do() -> None:
    policy = ImpersonationPolicy(min_level=3, lasting=7 * MINUTE)
    proven = PasskeyPolicy(
        rp_id="portal.example",
        origins=("https://portal.example",),
        attestation=AttestationPolicy(roots=(SoftMaker("packed").root,)),
    )
    with account_site(
        may_impersonate=lambda staff, account: True, impersonation=policy, passkeys=proven
    ) as site:
        site.person("robin")
        site.person("kim")
        browser = site.signed_in("kim")
        assert shown(browser.get("/act-as"))["minutes"] == [5, 7]
        answer = browser.post("/act-as", {"login": "robin", "reason": "ticket-1", "minutes": "7"})
        page = shown(answer)
        assert (answer.status_code, page["errors"]) == (403, ["too_weak"])
        assert page["stronger"] == "/account/step-up?next=/act-as"
        assert browser.get(page["stronger"]).status_code == 200


def test_what_the_pages_warning_asks_is_of_the_session_in_which_one_acts(desk: Desk) -> None:
    own = shown(desk.browser.get("/session/left"))
    desk.act(minutes="5")
    left = shown(desk.browser.get("/session/left"))
    assert left["who"] != own["who"] and left["shared"] and "key" not in left
    assert (left["absolute"], left["warn_absolute"]) == (300, left["warn"]) and own["warn_absolute"] == 300


def test_only_a_form_of_the_portal_begins_or_ends_it(desk: Desk) -> None:
    fields = {"login": "robin", "reason": "ticket-4711", "minutes": "5"}
    assert desk.browser.post("/act-as", fields, form_token=False).status_code == 403
    assert desk.browser.post("/act-as", fields, same_site=False).status_code == 403
    assert desk.browser.get("/act-as?login=robin&reason=ticket-4711&minutes=5").status_code == 200
    assert desk.alive(desk.robin) == 0
    desk.acting()
    assert desk.browser.post("/act-as/end", form_token=False).status_code == 403
    looked = desk.browser.get("/act-as/end")
    assert (looked.status_code, looked.headers["location"]) == (303, "/act-as/over")
    assert desk.whoami() == desk.robin


def test_without_a_rule_there_is_no_such_page() -> None:
    with account_site() as site:
        site.person("kim")
        browser = site.signed_in("kim")
        for method, path in (
            ("GET", "/act-as"),
            ("POST", "/act-as"),
            ("POST", "/act-as/end"),
            ("GET", "/act-as/over"),
        ):
            assert browser.request(method, path, same_site=True).status_code == 404


def test_what_every_page_says_of_it(desk: Desk) -> None:
    seen: list[Any] = []
    ps: Portalsec = desk.site.site.ps

    class Banner(Views):
        def account_page(self, request: Any, name: str, *, status: int, **values: object) -> Any:
            seen.append(ps.acting(request))
            return super().account_page(request, name, status=status, **values)

    desk.site.site.app.router.routes[:0] = account_router(ps, Banner()).routes
    desk.browser.get("/act-as")
    desk.acting()
    desk.browser.get("/password/forgot")
    desk.browser.post("/act-as/end")
    desk.browser.get("/password/forgot")
    before, view, after = seen
    assert before is None and after is None
    assert (view.account_id, view.name, view.end) == (desk.robin, "robin", "/act-as/end")
    assert view.until == desk.site.site.clock() + 30 * MINUTE


# -- AUZ-04 over every address ------------------------------------------------------------------------------------------


def every_route() -> list[tuple[str, str]]:
    """What the adapter's own routers serve, with everything on that adds to it."""
    portal = memory_portal(
        POLICY,
        notifier=SentMail(),
        may_impersonate=lambda staff, account: True,
        recovery=RecoveryPolicy(open_registration=True),
        out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
    )
    ps = Portalsec(portal)
    routers: list[APIRouter] = [account_router(ps, Views()), sign_in_router(ps, Pages()), session_router(ps)]
    found = [
        (method, route.path)
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods)
    ]
    portal.audit_writer.close()
    return found


# Whoever acts may use these as any visitor may, who is not signed in: they go by a mailed link, by a sign-in that is under way, or
# by what is typed, and by nothing of the session. All others are refused.
VISITORS = frozenset(
    {
        "/.well-known/webauthn",
        "/not-me",
        "/password/forgot",
        "/password/link",
        "/password/new",
        "/password/strength",
        "/register",
        "/register/link",
        "/register/new",
        "/sign-in",
        "/sign-in/code",
        "/sign-in/link",
        "/sign-in/mail",
        "/sign-in/new-password",
        "/sign-in/other",
        "/sign-in/passkey",
        "/sign-in/passkey/begin",
        "/sign-in/passkey/set-up",
        "/sign-in/passkey/set-up/begin",
        "/sign-in/recovery-code",
        "/sign-in/resume",
        "/sign-in/resume/begin",
        "/sign-in/resume/passkey",
        "/sign-in/sent-code",
        "/sign-in/set-up",
        "/sign-in/set-up/confirm",
        "/account/email/link",
        "/undo",
        "/unlock",
        "/unlock/link",
    }
)
# These are for whoever acts.
OWN = frozenset({"/act-as/end", "/act-as/over", "/session/left", "/session/stay", "/sign-out", "/signed-out"})
EVERY = [
    (method, path)
    for method, path in every_route()
    if path not in OWN and not path.startswith("/portalsec/")  # those are scripts
]


def typed(desk: Desk) -> dict[str, str]:
    """Fields of every form at once, right as far as somebody at the desk could know them."""
    return {
        "login": "robin",
        "name": "robin",
        "password": "a new harbour violin 42",
        "current": PASSWORD,
        "new": "a new harbour violin 42",
        "code": "123456",
        "recovery_code": "A" * 24,
        "email": "kim@mail.example",
        "do": "remove",
        "id": desk.site.portal.totp.devices(desk.robin)[0].id,
        "contact": desk.site.portal.stores.contacts.of_account(desk.robin)[0].id,
        "label": "mine",
        "session": "others",
        "close": "yes",
        "confirm": "yes",
        "reason": "ticket-1",
        "minutes": "5",
        "token": "x" * 43,
        "response": "{}",
        "device": "x",
        "notice": "x",
        "factor": "email_code",
        "next": "/",
    }


def guarded(desk: Desk) -> object:
    """All that guards the owner's account, as the stores hold it."""
    portal = desk.site.portal
    stores = portal.stores
    return (
        stores.accounts.get(desk.robin),
        portal.totp.devices(desk.robin),
        stores.contacts.of_account(desk.robin),
        stores.passkeys.of_account(desk.robin),
        portal.recovery_codes.left(desk.robin),
        stores.devices.of_account(desk.robin),
        portal.sessions.epoch(desk.robin),
        [each.reference for each in portal.sessions.listed(desk.robin) if not each.impersonated],
    )


@pytest.mark.parametrize(("method", "path"), EVERY, ids=[f"{m}-{p}" for m, p in EVERY])
def test_auz_04_who_acts_in_an_owners_name_reaches_nothing_that_guards_the_account(
    acting: Desk, method: str, path: str
) -> None:
    desk, own = acting, acting.browser.cookies[STAFF_COOKIE]
    before, fields = guarded(desk), typed(desk)
    if method == "GET":
        answer = desk.browser.get(path)
    else:
        answer = desk.browser.post(path, fields)
        if answer.status_code == 400:  # one that a script asks
            answer = desk.browser.request(
                "POST",
                path,
                content=json.dumps(fields).encode(),
                headers={"content-type": "application/json"},
                same_site=True,
            )
    assert guarded(desk) == before
    if path not in VISITORS:
        assert answer.status_code == 403, answer.text
        assert not answer.set_cookies()
    assert desk.whoami() == desk.robin and desk.browser.cookies[STAFF_COOKIE] == own


def test_auz_04_nobody_acts_from_within_anothers_session(desk: Desk) -> None:
    desk.acting()
    before = desk.browser.cookies.copy()
    for change in ({"login": "sam"}, {"login": "kim"}, {"login": "", "account": desk.sam}, {"minutes": ""}):
        assert desk.act(**change).status_code == 403
    assert desk.browser.get("/act-as").status_code == 403
    assert desk.browser.cookies == before


def test_auz_04_the_meter_says_nothing_of_whom_one_acts_for(desk: Desk) -> None:
    def words(browser: Browser) -> object:
        answer = browser.request(
            "POST",
            "/password/strength",
            content=json.dumps({"password": "robin robin robin robin", "page": "/account/password"}).encode(),
            headers={"content-type": "application/json"},
            same_site=True,
        )
        return shown(answer)["problems"]

    owners = words(desk.site.signed_in("robin"))
    desk.acting()
    assert words(desk.browser) != owners
