"""One request of somebody who is signed in with a second factor, on Django: portalsec beside Django's sessions and django-otp.

Both ask SQLite files in WAL: the peer one for session, user and authenticator, portalsec its own for the session
and one for the user. The peer saves its session with each request, without which Django has no idle limit. portalsec
writes when somebody was last seen once a second: the first row is a page's requests, nearly all of which only read; in
``apart`` each comes two seconds after the last, as one hand's clicks do, and both sides write each time.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bench.harness import Row

__all__ = ["portal", "rows", "urlpatterns"]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bench.django_settings")

_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"
_PASSWORD = "lantern orbit velvet cactus"
_ABSOLUTE = 12 * 60 * 60
_TURNS = 10
_SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
_AUTH = "django.contrib.auth.middleware.AuthenticationMiddleware"
_APART = timedelta(seconds=2)


class _Clock:
    """The portal's: the system's, and what was skipped."""

    skipped = timedelta()

    def __call__(self) -> datetime:
        from portalsec.clock import system_clock

        return system_clock() + self.skipped

    def skip(self) -> None:
        self.skipped += _APART


_clock = _Clock()


def _ours(request: Any) -> Any:
    from django.http import HttpResponse

    from portalsec.django.request import live_session

    return HttpResponse(live_session(request).account_id + request.user.get_username())


def _theirs(request: Any) -> Any:
    from django.http import HttpResponse

    if not request.user.is_verified() or time.time() - request.session["opened"] > _ABSOLUTE:
        return HttpResponse(status=401)
    request.session.modified = True
    return HttpResponse(request.user.get_username())


def _urls() -> list[Any]:
    from django.urls import path

    return [path("ours", _ours), path("theirs", _theirs)]


urlpatterns = _urls()


@cache
def portal() -> Any:
    """What the settings name."""
    from portalsec.django.stores import django_stores
    from portalsec.testing.portal import fresh_keys, memory_portal

    keys = fresh_keys()
    access = {"schema": 1, "resource": {"record": {"actions": ["read"]}}, "role": {"clinician": {}}}
    return memory_portal(access, stores=django_stores(keys), keys=keys, clock=_clock)


def rows() -> Iterator[Row]:
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    with tempfile.TemporaryDirectory(prefix="portalsec-") as folder:
        for alias in ("default", "portalsec"):  # files: the audit log's writer is another thread
            connections[alias].settings_dict["NAME"] = str(Path(folder) / f"{alias}.sqlite3")
            call_command("migrate", database=alias, verbosity=0)
        try:
            token, theirs = _portalsec(), _otp()
            note = "Django's sessions in its database, saved with each request, and django-otp; SQLite files for both"
            id, ours = "auth.request.vs_django_otp", _portalsec_requests(token)
            yield Row(id, ours, theirs, 1, subject_does=_TURNS, baseline_does=_TURNS, note=note)
            id, ours = f"{id}.apart", _portalsec_requests(token, before=_clock.skip)
            yield Row(id, ours, theirs, 1, subject_does=_TURNS, baseline_does=_TURNS, note=note)
        finally:
            portal().audit_writer.close()
            connections.close_all()


def _requests(
    path: str, token: str, middleware: list[str], engine: str, before: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    """So many requests one after the other, each of which must be let in."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import RequestFactory, override_settings

    with override_settings(MIDDLEWARE=middleware, SESSION_ENGINE=engine):
        handler = WSGIHandler()
    factory = RequestFactory(headers={"user-agent": _AGENT})
    factory.cookies["__Host-portalsec"] = token

    def many() -> None:
        for _ in range(_TURNS):
            before()
            request = factory.get(path, secure=True, SERVER_NAME="portal.example", REMOTE_ADDR="192.0.2.1")
            response = handler.get_response(request)
            if response.status_code != 200:
                raise AssertionError(f"not let in: {response.status_code}")
            response.close()

    return many


def _portalsec() -> str:
    """The token of somebody who showed password and authenticator."""
    from django.contrib.auth import get_user_model

    from portalsec.django.sessions import SessionStore
    from portalsec.events import Source
    from portalsec.testing import current_totp

    ps = portal()
    account = ps.accounts.create(login="ada", password=_PASSWORD)
    enrolment = ps.totp.begin(account.id, account_name="ada")
    ps.totp.confirm(account.id, enrolment.device_id, current_totp(enrolment, _clock(), steps=-1))
    source = Source(address="192.0.2.1", user_agent=_AGENT)
    step = ps.sign_in.start("ada", _PASSWORD, source=source)
    step = ps.sign_in.submit_totp(step.pending.reveal(), current_totp(enrolment, _clock()), source=source)
    user = get_user_model()._base_manager.get(portalsec_account__account_id=account.id)
    SessionStore().bind(step.session, user)  # as the sign-in's view does
    return str(step.session.token.reveal())


def _portalsec_requests(token: str, before: Callable[[], None] = lambda: None) -> Callable[[], None]:
    layers = [_SESSIONS, _AUTH, "portalsec.django.middleware.PortalsecMiddleware"]
    return _requests("/ours", token, layers, "portalsec.django.sessions", before)


def _otp() -> Callable[[], None]:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
    from django.contrib.sessions.backends.db import SessionStore
    from django_otp import DEVICE_ID_SESSION_KEY
    from django_otp.plugins.otp_totp.models import TOTPDevice

    user = get_user_model()(username="grace")
    user.set_unusable_password()
    user.save()
    device = TOTPDevice.objects.create(user=user, name="phone", confirmed=True)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session[DEVICE_ID_SESSION_KEY], session["opened"] = device.persistent_id, time.time()
    session.save()
    layers = [_SESSIONS, _AUTH, "django_otp.middleware.OTPMiddleware"]
    return _requests("/theirs", str(session.session_key), layers, "django.contrib.sessions.backends.db")
