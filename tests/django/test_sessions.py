"""The session engine and the middleware: limits, fixation, replay, and what the database holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client

from portalsec._encoding import new_token
from portalsec.django import models
from portalsec.django.sessions import SessionStore
from portalsec.errors import StoreError
from portalsec.web import PENDING_COOKIE, SESSION_COOKIE
from tests.django.browser import cookie, signed_in, someone, who
from tests.django.project import World
from tests.docs.pages import block

HOST = {"host": "portal.example"}


def another(token: str) -> Client:
    browser = Client(headers=HOST)
    browser.cookies[SESSION_COOKIE] = token
    return browser


def everything_stored() -> bytes:
    """Every value of every row of both databases."""
    found: list[Any] = []
    for alias in ("default", "portalsec"):
        with connections[alias].cursor() as cursor:
            for table in connections[alias].introspection.table_names(cursor):
                cursor.execute(f'SELECT * FROM "{table}"')
                found += [value for row in cursor.fetchall() for value in row]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in found)


def test_the_database_holds_no_session_key_and_no_session_data(client: Client, world: World) -> None:
    key = signed_in(client, someone(world))
    client.get("/keep?value=a-private-thing")
    visitor = Client(headers=HOST)
    visitor.get("/keep?value=another-private-thing")
    stored = everything_stored()
    assert b"olivia" in stored  # the search sees what is there
    assert hashlib.sha256(key.encode()).hexdigest().encode() in stored
    for secret in (key, cookie(visitor), "private-thing"):
        assert secret.encode() not in stored
        assert secret.encode().hex().encode() not in stored


def test_session_data_is_kept_for_visitors_and_for_the_signed_in(client: Client, world: World) -> None:
    client.get("/keep?value=visitor")
    assert client.get("/whoami").json() == {"user": "", "kept": {"kept": "visitor"}}
    signed_in(client, someone(world))
    client.get("/keep?value=person")
    assert client.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "person"}}


def test_atk_11_a_planted_session_key_is_never_adopted(client: Client, world: World) -> None:
    planted = new_token()
    client.cookies[SESSION_COOKIE] = planted
    client.get("/keep?value=x")
    assert world.events.last.name == "auth.session_refused"
    assert cookie(client) not in ("", planted)
    client.cookies[SESSION_COOKIE] = planted
    assert signed_in(client, someone(world)) != planted
    assert who(another(planted)) == ""
    assert not SessionStore().exists(planted)


def test_async_code_changes_keys_by_the_same_rules(client: Client, world: World) -> None:
    from asgiref.sync import async_to_sync

    key = signed_in(client, someone(world))
    store = SessionStore(key)
    async_to_sync(store.acycle_key)()
    assert who(another(key)) == ""
    assert who(another(store.session_key or "")) == ""
    visitor = SessionStore()
    visitor["kept"] = 1
    visitor.create()
    async_to_sync(visitor.aflush)()
    assert visitor.session_key is None


@pytest.mark.parametrize("seconds_before", [1, 0, -1])
def test_atk_15_idle_ends_exactly_at_its_limit(client: Client, world: World, seconds_before: int) -> None:
    key = signed_in(client, someone(world))
    client.get("/keep?value=private")
    world.later(minutes=15, seconds=-seconds_before)
    answer = client.get("/whoami").json()
    if seconds_before > 0:
        assert answer == {"user": "olivia", "kept": {"kept": "private"}}
    else:
        # the session's data is out of reach with it, not only the name
        assert answer == {"user": "", "kept": {}}
        assert world.events.last.name == "auth.session_ended"
        assert world.events.last.reason == "session_idle"
        assert cookie(client) == key  # which opens nothing; one factor goes on with it (test_resume.py)
        assert who(another(key)) == ""


def test_atk_15_activity_keeps_a_session_alive_until_the_absolute_limit(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    for _ in range(71):  # 11 h 50 min in steps of ten minutes
        world.later(minutes=10)
        assert who(client) == "olivia"
    world.later(minutes=9, seconds=59)
    assert who(client) == "olivia"
    world.later(seconds=1)
    assert who(client) == ""
    assert world.events.last.reason == "session_expired"


def test_atk_15_asking_how_long_is_left_is_not_activity(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    world.later(minutes=14)
    said = client.get("/session/left").json()
    assert {name: said[name] for name in ("signed_in", "left", "idle", "can_stay", "warn", "shared")} == {
        "signed_in": True,
        "left": 60,
        "idle": 60,
        "can_stay": True,
        "warn": 120,
        "shared": False,
    }
    world.later(seconds=59)
    assert client.get("/session/left").json()["left"] == 1
    assert client.post("/session/stay").json()["left"] == 900
    world.later(minutes=15)
    gone = client.get("/session/left")
    assert (gone.status_code, gone.json()) == (401, {"signed_in": False})


def test_atk_15_a_clock_that_was_set_back_ends_the_session(client: Client, world: World) -> None:
    signed_in(client, someone(world))
    world.later(hours=-1)
    assert who(client) == ""
    assert world.events.last.reason == "session_clock"


def test_byp_05_django_auth_login_is_no_evidence(client: Client, world: World) -> None:
    get_user_model().objects.create_superuser("root", password="lantern orbit velvet cactus")
    # not in the request that calls it, nor in the next one, nor in the admin
    assert client.get("/django-logs-in?name=root").json() == {"user": ""}
    assert who(client) == ""
    assert client.get("/admin/").status_code == 302
    assert not any(name.startswith("_auth") for name in client.get("/whoami").json()["kept"])


def test_byp_05_the_admins_own_form_signs_nobody_in(client: Client, world: World, settings: Any) -> None:
    # even where somebody left Django's password backend in place
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    get_user_model().objects.create_superuser("root", password="lantern orbit velvet cactus")
    assert client.login(username="root", password="lantern orbit velvet cactus")  # Django is satisfied ...
    client.post("/admin/login/?next=/admin/", {"username": "root", "password": "lantern orbit velvet cactus"})
    assert client.get("/admin/").status_code == 302  # ... portalsec is not
    assert who(client) == ""


def test_the_admin_opens_to_staff_with_both_factors(client: Client, world: World) -> None:
    person = someone(world, "root")
    get_user_model().objects.filter(username="root").update(is_staff=True, is_superuser=True)
    signed_in(client, person)
    assert client.get("/admin/").status_code == 200
    # signing out through the admin ends portalsec's session too
    key = cookie(client)
    assert "Clear-Site-Data" not in client.get("/admin/").headers
    out = client.post("/admin/logout/")
    assert (out.status_code, out.headers["Clear-Site-Data"]) == (200, '"cache", "storage"')
    assert who(another(key)) == ""
    assert "auth.logout" in world.events.names


def test_the_admins_pages_have_the_guard_and_the_warning_that_the_how_to_gives_them(
    client: Client, world: World, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "admin").mkdir()
    template = block("django", "{# templates/admin/base_site.html #}")
    (tmp_path / "admin" / "base_site.html").write_text(template, encoding="utf-8")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    person = someone(world, "root")
    get_user_model().objects.filter(username="root").update(is_staff=True, is_superuser=True)
    signed_in(client, person)
    page = client.get("/admin/").content.decode()
    assert "Site administration" in page
    for name in ("guard", "session"):
        assert f'src="/portalsec/{name}.js"' in page
    assert page.index("data-who=") < page.index("</head>") < page.index("<dialog data-session")


def test_django_login_over_a_session_ends_it(client: Client, world: World) -> None:
    key = signed_in(client, someone(world))
    get_user_model().objects.create_superuser("root", password="x")
    assert client.get("/django-logs-in?name=root").json() == {"user": ""}
    assert who(client) == ""
    assert who(another(key)) == ""


def test_cycling_a_sign_ins_key_ends_it_and_a_visitors_keeps_its_data(client: Client, world: World) -> None:
    client.get("/keep?value=visitor")
    before = cookie(client)
    client.get("/cycle")
    assert cookie(client) != before
    assert client.get("/whoami").json()["kept"] == {"kept": "visitor"}
    assert another(before).get("/whoami").json()["kept"] == {}
    key = signed_in(client, someone(world))
    client.get("/cycle")
    assert who(client) == ""
    assert who(another(key)) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.update(is_active=False),
        lambda user: user.update(password="argon2$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"),
        lambda user: user.delete(),
    ],
    ids=["disabled", "password changed", "deleted"],
)
def test_ses_01_a_change_behind_portalsecs_back_ends_the_session(
    client: Client, world: World, change: Callable[[Any], Any]
) -> None:
    person = someone(world, "olivia", "clinician")
    world.relations.facts.add(("care_team", person.id, "p1"))
    key = signed_in(client, person)
    assert client.get("/records/p1").status_code == 200
    change(get_user_model().objects.filter(username="olivia"))
    assert client.get("/records/p1").status_code == 401
    assert who(another(key)) == ""
    assert world.portal.stores.sessions.of_account(person.id) == ()


def test_atk_14_ending_all_sessions_is_seen_by_the_next_request(client: Client, world: World) -> None:
    from portalsec.events import SYSTEM, Source

    person = someone(world)
    signed_in(client, person)
    world.portal.sessions.end_all(person.id, source=Source(), actor=SYSTEM)
    assert who(client) == ""


def test_atk_37_a_session_cookie_that_comes_twice_is_not_used(client: Client, world: World) -> None:
    key = signed_in(client, someone(world, "olivia", "clinician"))
    twice = Client(headers={**HOST, "cookie": f"{SESSION_COOKIE}={key}; {SESSION_COOKIE}={new_token()}"})
    assert who(twice) == ""
    assert world.events.last.reason == "session_duplicate_cookie"
    assert twice.get("/records/p1").status_code == 401
    assert who(client) == "olivia"


# As WSGI hands them over: the bytes of the wire, read as Latin-1. Django's own reader strips what they are as UTF-8.
SHADOWS = [
    "\xa0{}",
    "\x85{}",
    "\u2000{}".encode().decode("latin-1"),
    "\xa0{}".encode().decode("latin-1"),
    "__host-{rest}",
]


@pytest.mark.parametrize("shadow", SHADOWS)
def test_atk_37_a_tossed_look_alike_signs_nobody_in_and_ends_nobodys_session(
    client: Client, world: World, shadow: str
) -> None:
    victim = signed_in(client, someone(world, "olivia"))
    client.get("/keep?value=the-victims")
    attacker = Client(headers=HOST)
    tossed = signed_in(attacker, someone(world, "mallory"))
    name = shadow.format(SESSION_COOKIE, rest=SESSION_COOKIE.removeprefix("__Host-"))
    for header in (
        f"{name}={tossed}",
        f"{SESSION_COOKIE}={victim}; {name}={tossed}",
        f"{name}={tossed}; {SESSION_COOKIE}={victim}",
    ):
        world.events.clear()
        response = Client(headers=HOST).get("/whoami", HTTP_COOKIE=header)
        assert response.json() == {"user": "", "kept": {}}
        # nor is the victim's own cookie taken away, which would leave the tossed one alone
        assert SESSION_COOKIE not in response.cookies
        assert [(event.name, event.reason) for event in world.events] == [
            ("auth.session_refused", "session_duplicate_cookie")
        ]
        assert Client(headers=HOST).get("/records/p1", HTTP_COOKIE=header).status_code == 401
    assert client.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "the-victims"}}
    assert who(attacker) == "mallory"


@pytest.mark.parametrize("shadow", SHADOWS)
def test_atk_37_a_tossed_visitors_session_is_not_adopted(client: Client, world: World, shadow: str) -> None:
    planter = Client(headers=HOST)
    planter.get("/keep?value=planted")
    name = shadow.format(SESSION_COOKIE, rest=SESSION_COOKIE.removeprefix("__Host-"))
    response = client.get("/whoami", HTTP_COOKIE=f"{name}={cookie(planter)}")
    assert response.json() == {"user": "", "kept": {}}
    # what is kept from here on is kept under a key of its own
    response = client.get("/keep?value=mine", HTTP_COOKIE=f"{name}={cookie(planter)}")
    assert response.cookies[SESSION_COOKIE].value not in ("", cookie(planter))
    assert planter.get("/whoami").json()["kept"] == {"kept": "planted"}


def test_there_is_one_reader_of_the_cookie(client: Client, world: World) -> None:
    """Django's reader takes quotes away and the last of two; what it finds is not used where portalsec finds another."""
    key = signed_in(client, someone(world))
    client.get("/keep?value=mine")
    for header in (f'{SESSION_COOKIE}="{key}"', f'{SESSION_COOKIE}="\\{ord(key[0]):03o}{key[1:]}"'):
        assert Client(headers=HOST).get("/whoami", HTTP_COOKIE=header).json() == {"user": "", "kept": {}}
        assert world.events.last.reason == "session_unknown"
    assert client.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "mine"}}


def test_atk_37_a_tossed_pending_cookie_is_refused_and_recorded(client: Client, world: World) -> None:
    for method, path in (
        ("GET", "/sign-in/code"),
        ("POST", "/sign-in/code"),
        ("POST", "/sign-in/set-up"),
        ("POST", "/sign-in"),
        ("POST", "/sign-out"),
    ):
        world.events.clear()
        header = f"{PENDING_COOKIE}=a; \xa0{PENDING_COOKIE}=b"
        assert client.generic(method, path, HTTP_COOKIE=header).status_code == 401
        assert [(event.name, event.reason) for event in world.events] == [
            ("auth.session_refused", "session_duplicate_cookie")
        ]


def test_a_row_that_was_edited_or_moved_opens_nothing(client: Client, world: World) -> None:
    key = signed_in(client, someone(world))
    client.get("/keep?value=mine")
    visitor = Client(headers=HOST)
    visitor.get("/keep?value=theirs")
    theirs = models.SessionData.objects.exclude(digest=hashlib.sha256(key.encode()).hexdigest()).get()
    models.SessionData.objects.exclude(pk=theirs.pk).update(data=theirs.data)
    # what does not open in its own row ends the session: nobody can say any more what it was
    assert client.get("/whoami").json() == {"user": "", "kept": {}}
    assert who(another(key)) == ""


def test_a_session_without_its_row_ends(client: Client, world: World) -> None:
    key = signed_in(client, someone(world))
    models.SessionData.objects.all().delete()
    assert who(client) == ""
    assert who(another(key)) == ""


def test_clearsessions_removes_what_is_over(client: Client, world: World) -> None:
    client.get("/keep?value=x")
    SessionStore.clear_expired()
    assert models.SessionData.objects.count() == 1
    world.later(days=15)
    SessionStore.clear_expired()
    assert models.SessionData.objects.count() == 0


def test_purge_removes_what_is_over_and_nothing_else(
    client: Client, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    from django.core.management import call_command

    signed_in(client, someone(world))
    call_command("portalsec_purge")
    assert (
        "0 sessions, 0 flows, 0 devices, 0 notices, 0 authenticators and 0 counters"
        in capsys.readouterr().out
    )
    assert who(client) == "olivia"
    world.later(hours=12)
    call_command("portalsec_purge")
    assert "Removed 1 sessions" in capsys.readouterr().out
    assert not models.Session.objects.exists()
    world.later(days=40)  # some counters escalate, and are remembered for longer than they count
    call_command("portalsec_purge")
    assert not models.Throttle.objects.exists()


def test_a_view_that_signs_out_is_anonymous_from_there(client: Client, world: World) -> None:
    signed_in(client, someone(world, "officer", "officer"))
    assert client.get("/signs-out-and-goes-on").status_code == 401
    assert "audit.queried" not in world.events.names


def test_a_session_that_ended_meanwhile_is_not_brought_back_by_a_late_save(
    client: Client, world: World
) -> None:
    key = signed_in(client, someone(world))
    late = SessionStore(key)
    late["kept"] = "late"
    client.post("/sign-out")
    from django.contrib.sessions.backends.base import UpdateError

    with pytest.raises(UpdateError):
        late.save()
    assert not models.SessionData.objects.filter(digest=hashlib.sha256(key.encode()).hexdigest()).exists()


def test_atk_41_a_store_that_fails_is_a_503_and_nobody_is_let_in(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in(client, someone(world, "olivia", "clinician"))

    def fail(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    assert client.get("/store-fails").status_code == 503
    with monkeypatch.context() as broken:
        broken.setattr(world.portal.stores.sessions, "load", fail)
        for path in ("/whoami", "/records/p1", "/admin/"):
            response = client.get(path)
            assert response.status_code == 503
            assert response["Retry-After"] == "30"
            assert b"down" not in response.content
    assert who(client) == "olivia"  # an outage is not a sign-out


def test_a_save_that_fails_is_a_503(client: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    monkeypatch.setattr(SessionStore, "save", fail)
    assert client.get("/keep").status_code == 503


def test_every_answer_has_the_security_headers(client: Client, world: World) -> None:
    client.raise_request_exception = False
    answers = [
        client.get(path) for path in ("/whoami", "/sign-in", "/records/p1", "/no-such-page", "/store-fails")
    ]
    # Django's own answers, given before portalsec's middleware is reached
    answers.append(client.get("/admin"))  # APPEND_SLASH
    answers.append(client.get("/whoami", headers={"host": "evil.example"}))  # DisallowedHost
    answers.append(client.get("/whoami?" + "x=1&" * 1001))
    assert [answer.status_code for answer in answers] == [200, 200, 401, 404, 503, 301, 400, 200]
    for answer in answers:
        has_headers(answer)


def has_headers(response: Any) -> None:
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert response["Cache-Control"] == "no-store"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize("error", ["StoreError", "Denied", "ZeroDivisionError"])
@pytest.mark.parametrize("place", ["outside", "inside"])
def test_an_error_in_another_middleware_has_the_headers_and_inside_ours_the_page(
    world: World, settings: Any, place: str, error: str
) -> None:
    ours = settings.MIDDLEWARE.index("portalsec.django.middleware.PortalsecMiddleware")
    failing = [f"tests.django.project.raises_{error}"]
    at = ours + 1 if place == "inside" else 1
    settings.MIDDLEWARE = settings.MIDDLEWARE[:at] + failing + settings.MIDDLEWARE[at:]
    browser = Client(headers=HOST, raise_request_exception=False)
    response = browser.get("/whoami")
    has_headers(response)
    expected = {"StoreError": 503, "Denied": 403}.get(error, 500) if place == "inside" else 500
    assert response.status_code == expected
    if expected == 503:
        assert response["Retry-After"] == "30"
        assert b"Reference" in response.content or b"help desk" in response.content
    assert b"on fire" not in response.content


def test_atk_41_an_outage_that_only_an_inner_middleware_meets_is_a_503_and_no_sign_out(
    client: Client, world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = signed_in(client, someone(world))

    def fail(*args: object, **kwargs: object) -> None:
        raise StoreError("down")

    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.django.project.greets"]
    browser = another(key)
    browser.raise_request_exception = False
    with monkeypatch.context() as broken:
        broken.setattr(world.portal.stores.sessions, "load", fail)
        response = browser.get("/whoami")
        assert (response.status_code, response["Retry-After"]) == (503, "30")
        assert SESSION_COOKIE not in response.cookies
    assert who(browser) == "olivia"
