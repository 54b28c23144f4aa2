"""Serves the Django example: makes its data folder, migrates, seeds, and listens on 127.0.0.1.

``serve.py --data DIR --port N [--fhir DIR|FILE] [--codes]``. Ctrl-C ends it; SIGHUP has it load its keys anew.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import logging
import os
import secrets
import shutil
import signal
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

if __name__ == "__main__":
    # The project's own packages (config, clinic), and the repository's root for the people of the other example.
    sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]

import pyotp
from django.core.servers.basehttp import WSGIServer

from portalsec.clock import system_clock, unix_seconds
from portalsec.config import create_keys, read_private
from portalsec.config.keys import write_new
from portalsec.errors import ConfigurationError, PortalsecError, Tampered
from portalsec.events import SYSTEM, Event, SecurityEvent
from portalsec.secret import Secret

HERE = Path(__file__).resolve().parent
_ORIGIN = "demo-django.portalsec.example/audit"
_UNFINISHED = ".portalsec-demo-unfinished"
_DATABASES = ("app.db", "security.db", "audit.db", "subjects.db")
_SETTINGS = f"""\
# Settings of the Django example. docs/reference/settings.md has every key. [stores] is not read: Django's own
# DATABASES say where things lie (config/settings.py).

[portal]
name = "Riverside Clinic"
base_url = "{{base_url}}"

[passwords]
words = ["riverside", "clinic"]

[audit]
origin = "{_ORIGIN}"
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 after Ctrl-C, 2 with one sentence on stderr where it cannot start."""
    options = _options(arguments)
    try:
        if options.codes:
            _print_codes(options.data)
            return 0
        # The port first: a folder that was filled for nothing is a surprise.
        with _listen(options.port) as server:
            return _serve(options, server)
    except (PortalsecError, _CannotStart) as error:
        print(f"The demo cannot start: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped before the portal was ready.", file=sys.stderr)
        return 130


class _CannotStart(Exception):
    """One sentence for the terminal."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Mail:
    """Due mail, while it serves. A real portal runs ``manage.py portalsec_courier`` beside its workers."""

    def __enter__(self) -> None:
        from portalsec.django.courier import deliver_until

        self._stop = threading.Event()
        every = timedelta(seconds=2)
        self._thread = threading.Thread(target=deliver_until, args=(self._stop,), kwargs={"every": every})
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: addresses of pages name patients' rows."""


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".demo-django"), metavar="DIR")
    parser.add_argument("--port", type=int, default=8000, metavar="N")
    parser.add_argument("--fhir", type=Path, metavar="PATH", help="fill a new folder from FHIR R4 bundles")
    parser.add_argument("--codes", action="store_true", help="print the accounts' present TOTP codes and end")
    options = parser.parse_args(arguments)
    if not 1 <= options.port <= 65535:
        parser.error(f"{options.port} is not a port: write a number from 1 to 65535")
    return options


def _listen(port: int) -> _Server:
    try:
        return _Server(("127.0.0.1", port), _Quiet, ipv6=False)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise _CannotStart(f"port {port} {why}: name another (PORT={port % 65535 + 1})") from None


def _serve(options: argparse.Namespace, server: _Server) -> int:
    data: Path = options.data
    base_url = f"http://localhost:{options.port}"
    try:
        is_new = not (data / "portalsec.toml").is_file() or (data / _UNFINISHED).exists()
    except OSError as error:
        raise _CannotStart(
            f"the data folder {data} cannot be read ({error.strerror}): change its owner or mode, or name another (DATA=)"
        ) from None
    if is_new:
        print(f"Making a new portal in {data} ...", flush=True)
        _prepare(data, base_url)
    else:
        _require_whole(data)
        if options.fhir:
            if not options.fhir.exists():
                raise _CannotStart(f"{options.fhir} does not exist: name a folder of FHIR R4 bundles (FHIR=)")
            print(
                f"\n  NOTE: {options.fhir} was not read, since {data} is filled already: make demo-reset empties it.\n"
            )
    os.environ["PORTAL_DATA"] = str(data)
    os.environ.setdefault("PORTALSEC__PORTAL__BASE_URL", base_url)  # PORT= may differ from the first start's
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    try:
        application = _start(options.fhir)
    except BaseException:
        if is_new:
            _empty(data)
        raise
    (data / _UNFINISHED).unlink(missing_ok=True)
    from portalsec.django.conf import get_portal
    from portalsec.portal import close_portal

    portal = get_portal()
    try:
        try:
            portal.audit.resume()
        except Tampered as error:
            # It serves all the same: the audit page shows what is wrong, and nothing more is signed.
            print(f"WARNING: {error} Sign in as privacy and open {portal.base_url}/audit", file=sys.stderr)
        portal.emit(SecurityEvent(name=Event.SYSTEM_STARTED, actor=SYSTEM))
        server.set_app(_one_host(application, portal.base_url))
        mail = _Mail()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        _reload_on_hangup(portal.keys.reload)
        with contextlib.suppress(KeyboardInterrupt), mail:
            _announce(data, portal.name, portal.base_url)
            server.serve_forever()
        portal.emit(SecurityEvent(name=Event.SYSTEM_STOPPED, actor=SYSTEM))
    finally:
        close_portal(portal)  # writes what is waiting and signs the last checkpoint
    print("\nThe portal has stopped. Its data is kept; the same command serves it again.")
    return 0


def _prepare(data: Path, base_url: str) -> None:
    """Keys, settings and policy of a new data folder; what an interrupted start left is removed first."""
    if (data / _UNFINISHED).exists():
        _empty(data)
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise _CannotStart(
            f"{data} holds something that is not this demo's data: name an empty folder (DATA=)"
        )
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data / _UNFINISHED).touch()
        (data / "anchor").mkdir(mode=0o700)
        create_keys(data / "keys", origin=_ORIGIN)
        write_new(data / "keys" / "django.key", Secret(secrets.token_urlsafe(48) + "\n"))
        shutil.copyfile(HERE.parent / "policy.toml", data / "policy.toml")
        settings = data / "portalsec.toml"
        settings.touch(mode=0o600)  # one that others can write is refused
        settings.write_text(_SETTINGS.format(base_url=base_url), encoding="utf-8")
        for name in _DATABASES:
            # Made here, empty: Django would make them readable by others, and SQLite's -wal files take their mode.
            os.close(os.open(data / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise _CannotStart(
            f"the data folder {data} cannot be written ({error.strerror}): name another (DATA=)"
        ) from None


def _require_whole(data: Path) -> None:
    """A file that was lost is not begun anew: with it every account, or the whole log, would be gone unsaid."""
    if not (data / "subjects.db").exists() and not (data / "keys" / "index.json").exists():
        raise _CannotStart(
            f"{data} was made by an older version of this demo, which kept its columns otherwise: make demo-reset makes a new one"
        )
    for name in _DATABASES:
        if not (data / name).exists():
            raise _CannotStart(
                f"the database {data / name} is missing: restore it from a backup, or start anew with make demo-reset"
            )
    if not (data / "accounts.txt").exists():
        raise _CannotStart(f"{data / 'accounts.txt'} is missing: make demo-reset makes a new portal")


def _empty(data: Path) -> None:
    for path in data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _start(fhir: Path | None) -> Callable[..., Iterable[bytes]]:
    """Load Django, check, migrate, seed."""
    import django
    from django.core.management import CommandError, call_command
    from django.core.management.base import SystemCheckError

    django.setup()
    logging.getLogger("django.server").setLevel(logging.ERROR)
    from django.contrib.staticfiles.handlers import StaticFilesHandler
    from django.core.wsgi import get_wsgi_application
    from django.db import Error, connections

    try:
        call_command("check", verbosity=0, stdout=io.StringIO())
        for alias in connections:
            call_command("migrate", database=alias, verbosity=0)
        call_command("seed", fhir=fhir, verbosity=0, stdout=io.StringIO())
    except (CommandError, SystemCheckError) as error:
        raise _CannotStart(str(error)) from None
    except Error as error:
        raise _CannotStart(
            f"a database of the data folder is damaged or cannot be written ({error})"
        ) from None
    handler: Callable[..., Iterable[bytes]] = StaticFilesHandler(get_wsgi_application())
    return handler


def _reload_on_hangup(reload: Callable[[], None]) -> None:
    """SIGHUP: the keys are loaded anew, in a thread of their own, while requests are served."""
    if not hasattr(signal, "SIGHUP"):
        return
    began_with_one = _has_terminal()

    def load() -> None:
        try:
            reload()
            print("The keys were loaded anew.", flush=True)
        except PortalsecError as error:
            print(f"The keys were not loaded anew, and the old ones stay in use: {error}", flush=True)

    def hangup(number: int, frame: object) -> None:
        if began_with_one and not _has_terminal():
            raise KeyboardInterrupt  # its window was closed: what SIGHUP means for a program in a terminal
        threading.Thread(target=load, daemon=True).start()

    signal.signal(signal.SIGHUP, hangup)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _one_host(application: Callable[..., Iterable[bytes]], base_url: str) -> Callable[..., Iterable[bytes]]:
    """Sends other names of this machine to the portal's own: cookies and links know one host."""
    host = base_url.partition("://")[2]

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") == host or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return application(environ, start_response)
        path = environ.get("RAW_URI") or environ.get("PATH_INFO", "/")
        if not (path.isascii() and path.isprintable() and path.startswith("/") and " " not in path):
            path = "/"
        start_response("307 Temporary Redirect", [("Location", base_url + path), ("Content-Length", "0")])
        return [b""]

    return app


def _announce(data: Path, name: str, base_url: str) -> None:
    script = os.path.relpath(__file__)
    print(f"\n  {name} is open at {base_url}   (Ctrl-C closes it)\n")
    print(f"  {'Sign in as':<12}{'Password':<22}Role")
    for login, password, _, role in _accounts(data):
        print(f"  {login:<12}{password:<22}{role}")
    print(f"\n  TOTP codes:  {os.path.relpath(sys.executable)} {script} --data {data} --codes")
    print(f"  or scan the otpauth URIs in {data / 'accounts.txt'} with an authenticator app.")
    print(f"\n  Mail that the portal sends is written to {data / 'mail'}, a file for each.")
    print(f"\n  Data: {data.resolve()}  (keys, databases, checkpoint, settings, accounts.txt)")
    print(
        "  Browsers: Chrome, Edge and other Chromium browsers, and Firefox, keep the portal's Secure cookies on"
    )
    print(
        "  http://localhost. Safari does not, so it cannot sign in here; over https every browser can.\n",
        flush=True,
    )


def _accounts(data: Path) -> list[list[str]]:
    lines = read_private(data / "accounts.txt").reveal().splitlines()
    return [line.split("\t") for line in lines if line.count("\t") == 3]


def _print_codes(data: Path) -> None:
    if not (data / "accounts.txt").is_file():
        raise ConfigurationError(f"{data} holds no demo: start it first (make demo-django)")
    now = system_clock()
    print(f"Codes for the next {30 - unix_seconds(now) % 30} seconds (each works once):")
    for login, _, uri, _ in _accounts(data):
        totp = pyotp.parse_uri(uri)
        print(f"  {login:<12}{totp.at(now)}")  # type: ignore[call-arg, arg-type]


if __name__ == "__main__":
    sys.exit(main())
