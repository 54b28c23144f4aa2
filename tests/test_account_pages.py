"""portalsec.account_pages without any framework: what an adapter may rely on."""

from __future__ import annotations

import ast
import gzip
import pkgutil
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.html import conditional_escape
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

import portalsec.account_pages
from portalsec.account_pages import (
    AccountPages,
    Asked,
    Drawing,
    Lane,
    Reply,
    Route,
    language_of,
    step_cookies,
    step_page,
)
from portalsec.account_pages.exchange import _SENTENCES, refused, trouble
from portalsec.account_pages.scripts import script
from portalsec.account_pages.views import masked
from portalsec.auth.links import RecoveryPolicy
from portalsec.auth.out_of_band import OutOfBandPolicy
from portalsec.auth.password_change import SignInAgain
from portalsec.auth.ports import Contact
from portalsec.auth.proof import Factor
from portalsec.auth.signin import Step
from portalsec.auth.signin_policy import SignInPolicy
from portalsec.errors import Denied, Reason
from portalsec.events import Source
from portalsec.portal import Portal
from portalsec.secret import Secret
from portalsec.testing import SentMail
from portalsec.testing.portal import memory_portal

ACCESS = {
    "schema": 1,
    "resource": {"record": {"actions": ["read"], "events": {"read": "record.read"}}},
    "role": {},
}
HERE = Source(address="198.51.100.7")


@pytest.fixture
def portal() -> Iterator[Portal]:
    made = memory_portal(ACCESS, notifier=SentMail(), recovery=RecoveryPolicy(open_registration=True))
    yield made
    made.audit_writer.close()


def routes(portal: Portal) -> tuple[Route, ...]:
    return AccountPages(portal).routes()


def ask(**form: str) -> Asked:
    return Asked(form=form, source=HERE)


def test_no_file_of_it_knows_a_framework() -> None:
    for module in pkgutil.iter_modules(portalsec.account_pages.__path__):
        text = Path(portalsec.account_pages.__path__[0], f"{module.name}.py").read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {
                "starlette",
                "fastapi",
                "django",
                "anyio",
            }


def test_every_address_is_there_once_and_what_hashes_has_its_own_lane(portal: Portal) -> None:
    found = [(route.method, route.path) for route in routes(portal)]
    assert len(set(found)) == len(found)
    hashing = {route.path for route in routes(portal) if route.lane is Lane.HASHING}
    choosing = {route.path for route in routes(portal) if route.lane is Lane.CHOOSING}
    # A new password may wait for a service that knows leaked ones: nobody's sign-in waits with it.
    assert choosing == {"/password/new", "/sign-in/new-password", "/register/new", "/account/password"}
    assert hashing == {
        "/account/email",
        "/account/close",
        "/account/factor",
        "/account/not-me",
        "/account/step-up",
        "/sign-in/resume",
    }
    assert all(route.method == "POST" for route in routes(portal) if route.lane is not Lane.STORES)


def test_registration_is_there_only_where_the_portal_is_open() -> None:
    closed = memory_portal(ACCESS)
    try:
        assert not [route for route in routes(closed) if route.path.startswith("/register")]
    finally:
        closed.audit_writer.close()


def test_every_page_that_an_operation_shows_is_documented() -> None:
    documented = {
        name
        for line in re.findall(r"^([a-z_, ]+?)  +\S", portalsec.account_pages.__doc__ or "", re.MULTILINE)
        for name in line.split(", ")
    }
    shown: set[str] = set()
    for module in (
        "visitors", "owners", "factors", "exchange", "authenticators", "undo", "step_up", "passkeys",
    ):  # fmt: skip
        text = Path(portalsec.account_pages.__path__[0], f"{module}.py").read_text("utf-8")
        shown |= set(re.findall(r'page="([a-z_]+)"', text))
    assert shown <= documented
    assert {"messages", "activity", "reset_link", "email_link", "forgot_sent"} <= documented


def test_what_a_get_does_not_do(portal: Portal) -> None:
    """A GET without a session reads at most; no cookie is set and no token is looked at."""
    for route in routes(portal):
        if route.method != "GET" or not route.path.endswith("/link"):
            continue
        reply = route.operation(ask(token="x" * 43))
        assert reply.cookies == ()
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.values["token"] == "x" * 43


def test_the_owners_pages_need_a_session(portal: Portal) -> None:
    for route in routes(portal):
        if route.path.startswith("/account/") and not route.path.endswith("/link"):
            if route.asks_json:  # a script is told in words
                reply = route.operation(ask())
                assert (reply.status, reply.cookies) == (401, ()) and set(reply.json or ()) == {"words"}
                continue
            with pytest.raises(Denied) as refusal:
                route.operation(ask())
            assert refusal.value.reason is Reason.SESSION_MISSING


@given(token=st.text(max_size=400), link=st.none() | st.text(max_size=80))
def test_whatever_token_is_shown_it_is_a_dead_link(token: str, link: str | None) -> None:
    pages = _PAGES
    for route in pages.routes():
        if route.method == "POST" and (route.path.endswith("/link") or route.path == "/not-me"):
            reply = route.operation(Asked(form={"token": token}, source=HERE, link=link))
            assert (reply.status, reply.page) in {(400, "link_dead"), (429, "link_dead")}


_PORTAL = memory_portal(ACCESS, recovery=RecoveryPolicy(open_registration=True))
_PAGES = AccountPages(_PORTAL)


def every_route() -> tuple[Route, ...]:
    """Of a portal that has all there is."""
    everything = memory_portal(
        ACCESS,
        notifier=SentMail(),
        may_impersonate=lambda *_: True,
        recovery=RecoveryPolicy(open_registration=True),
        sign_in=SignInPolicy(mail_link=True, factors=frozenset(Factor) - {Factor.SMS_CODE}),
        out_of_band=OutOfBandPolicy(factors=frozenset({Factor.EMAIL_CODE})),
    )
    with closing(everything.audit_writer):
        return routes(everything)


def test_where_a_form_is_posted_a_browser_that_asks_again_finds_a_page() -> None:
    # After a resume or a new sign-in, and behind the back button's guard, a browser GETs the address it was at.
    looked_at = {route.path for route in every_route() if route.method == "GET"}
    posted = {route.path for route in every_route() if route.method == "POST" and not route.asks_json}
    assert len(posted) > 30
    assert posted <= looked_at


def test_nothing_of_a_request_or_a_reply_shows_itself() -> None:
    asked = Asked(
        form={"password": "s3cret"},
        source=HERE,
        session="s3cret",
        pending="s3cret",
        device="s3cret",
        link="s3cret",
    )
    assert "s3cret" not in repr(asked)
    assert "s3cret" not in repr(Reply(page="x", values={"token": "s3cret"}, cookies=("s3cret",)))


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"), ("", "en"), ("es", "es"), ("es-MX,es;q=0.9,en;q=0.8", "es"), ("en;q=0.4, es;q=0.5", "es"),
        ("de, fr;q=0.9", "en"), ("es;q=0", "en"), ("es;q=nan", "en"), ("es;q=inf", "en"), ("es;q=2", "en"),
        ("*", "en"), ("ES", "es"), ("es;q=", "en"), (",;=" * 1000, "en"),
    ],
)  # fmt: skip
def test_the_language_of_a_visitor(header: str | None, language: str) -> None:
    assert language_of(header) == language


@given(header=st.text(max_size=300))
def test_any_header_has_a_language(header: str) -> None:
    assert language_of(header) in ("en", "es")


def test_every_sentence_is_in_both_languages() -> None:
    for id, (english, spanish) in _SENTENCES.items():
        assert english != spanish
        assert trouble("x", id, "es").text == spanish
        assert trouble("x", id, "en").text == english
        assert trouble("x", id, "de").text == english


def test_a_step_leads_on_and_leaves_its_cookie() -> None:
    for kind, path in (("totp", "/sign-in/code"), ("totp_enrolment", "/sign-in/set-up"), ("new_password", "/sign-in/new-password")):  # fmt: skip
        step = Step(next=(kind,), pending=Secret("A" * 43))
        assert step_page(step) == path
        assert [cookie.partition("=")[0] for cookie in step_cookies(step)] == ["__Host-portalsec-pending"]


def test_a_forced_change_that_took_too_long_is_no_error(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*args: object, **kwargs: object) -> Step:
        raise SignInAgain

    monkeypatch.setattr(type(portal.password_change), "submit_forced", too_late)
    (operation,) = (
        each.operation
        for each in routes(portal)
        if (each.method, each.path) == ("POST", "/sign-in/new-password")
    )
    reply = operation(Asked(form={"password": "x", "next": "/records/1"}, source=HERE, pending="A" * 43))
    assert (reply.status, reply.page) == (200, "forced_password")
    assert reply.values["changed"] is True and reply.values["next"] == "/records/1"
    assert [cookie.partition(";")[0] for cookie in reply.cookies] == ["__Host-portalsec-pending="]


def test_a_refusal_says_how_long_to_wait_and_nothing_else() -> None:
    reply = refused(Denied(Reason.THROTTLED, retry_after=timedelta(seconds=90.5)), "forgot", typed="x")
    assert (reply.status, reply.headers["Retry-After"], reply.values["wait"]) == (429, "91", 91)
    plain = refused(Denied(Reason.WRONG_PASSWORD), "close")
    assert (plain.status, dict(plain.headers), plain.values["wait"]) == (401, {}, None)


def test_atk_40_no_reply_holds_what_was_typed_as_a_password(portal: Portal) -> None:
    typed = "s3cret-that-is-typed"
    for route in routes(portal):
        if route.method != "POST":
            continue
        asked: Any = Asked(
            form={"password": typed, "current": typed, "name": "robin", "login": "robin", "email": "x"},
            source=HERE,
        )
        try:
            reply = route.operation(asked)
        except Denied as denied:
            assert typed not in repr(denied)
            continue
        assert typed not in repr((reply.values, reply.json, reply.headers, reply.cookies, reply.redirect))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("robin@mail.example", "r…@mail.example"),
        ("r@mail.example", "r…@mail.example"),
        ("o'neill@xn--bcher-kva.example", "o…@xn--bcher-kva.example"),
    ],
)
def test_an_address_that_a_stranger_may_read_is_not_shown_in_full(address: str, shown: str) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    view = masked(Contact(id="c", account_id="a", address=address, verified_at=None, created_at=now))
    assert (view.address, view.verified) == (shown, False)


def test_a_drawing_is_markup_for_templates_and_text_for_everybody_else() -> None:
    drawing = Drawing("<svg/>")
    assert escape(drawing) == "<svg/>"
    assert conditional_escape(drawing) == drawing == "<svg/>"
    assert conditional_escape("<svg/>") == "&lt;svg/&gt;"


@pytest.mark.parametrize(("path", "page"), [("/password/forgot", "forgot_sent"), ("/unlock", "unlock_sent")])
def test_a_known_device_asks_for_mail_where_its_neighbours_used_up_the_requests(
    portal: Portal, path: str, page: str
) -> None:
    account = portal.accounts.create(
        login="robin", password="lantern orbit velvet cactus", email="robin@mail.example"
    )
    device = portal.devices.remember(account.id, None, source=HERE).cookie.reveal()
    route = next(each for each in routes(portal) if (each.method, each.path) == ("POST", path))
    replies = [route.operation(ask(name=f"name{number}")) for number in range(21)]
    assert replies[-1].status == 429
    assert route.operation(ask(name="robin")).status == 429
    shown = route.operation(Asked(form={"name": "robin"}, source=HERE, device=device))
    assert (shown.status, shown.page) == (200, page)
    sent = portal.courier.deliver()
    assert sent.sent == 1


@pytest.mark.parametrize(
    ("name", "most", "compressed"),
    [("passkeys.js", 10_240, 3_840), ("session.js", 10_240, 3_840), ("guard.js", 2_560, 1_280)],
)
def test_scripts_are_as_small_as_the_page_on_them_says(name: str, most: int, compressed: int) -> None:

    text = script(name)
    assert len(text) <= most and len(gzip.compress(text, 9)) <= compressed
