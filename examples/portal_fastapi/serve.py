"""Serves the example portal: ``serve.py --data DIR --port N [--fhir DIR|FILE] [--reset]``, or prints its codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Started as a file: the package it belongs to is found from the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import pyotp
import uvicorn

from examples.portal_fastapi.app import create_app
from examples.portal_fastapi.datafolder import (
    Opening,
    Site,
    close_site,
    create,
    is_complete,
    open_site,
    read_accounts,
    remove,
)
from examples.portal_fastapi.domain import People
from examples.portal_fastapi.fhir import NotFhir, bundle_files, read_bundles
from examples.portal_fastapi.people import synthetic_people
from examples.portal_fastapi.reloading import reloading
from examples.portal_fastapi.seed import Login
from portalsec.clock import system_clock, unix_seconds
from portalsec.errors import ConfigurationError, StoreError, Tampered
from portalsec.events import SYSTEM, Event, SecurityEvent
from portalsec.fastapi import courier
from portalsec.portal import purge

__all__ = ["main"]

_MAIL_EVERY = timedelta(seconds=2)

_BROWSERS = """\
  Browsers: Chrome, Edge and other Chromium browsers, and Firefox, keep the portal's Secure cookies on
  http://localhost. Safari does not, so it cannot sign in here; over https every browser can."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code is 0 after Ctrl-C, 2 with one sentence on stderr where it cannot start."""
    options = _options(arguments)
    try:
        if options.codes:
            _print_codes(options.data)
            return 0
        # The port first: a folder that was filled for nothing is a surprise.
        with _listen(options.port) as listening:
            return _serve(options, listening)
    except (ConfigurationError, StoreError, Tampered, NotFhir) as error:
        print(f"The demo cannot start: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped before the portal was ready; nothing half-made is left.", file=sys.stderr)
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="serve.py", description="Serve the example portal on http://localhost."
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".demo"), metavar="DIR", help="its data folder (.demo)"
    )
    parser.add_argument("--port", type=_port, default=8000, metavar="N", help="its port (8000)")
    parser.add_argument("--fhir", type=Path, metavar="PATH", help="fill a new folder from FHIR R4 bundles")
    parser.add_argument("--reset", action="store_true", help="delete the data folder first")
    parser.add_argument("--codes", action="store_true", help="print the accounts' present TOTP codes and end")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write a number from 1 to 65535")
    return int(text)


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port that was ours a moment ago may be taken again; one that somebody listens on still may not.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} is in use: name another (PORT={port % 65535 + 1})"
            ) from None
        raise ConfigurationError(
            f"port {port} cannot be opened ({error.strerror}): name another (PORT=)"
        ) from None
    return listening


def _serve(options: argparse.Namespace, listening: socket.socket) -> int:
    data: Path = options.data
    how = Opening(base_url=f"http://localhost:{options.port}")
    if options.reset:
        remove(data)
    if is_complete(data):
        if options.fhir:
            if not options.fhir.exists():
                raise NotFhir(f"{options.fhir} does not exist: name a folder of FHIR R4 bundles (FHIR=).")
            print(
                f"\n  NOTE: {options.fhir} was not read, since {data} is filled already: make demo-reset empties it.\n"
            )
    else:
        print(f"Making a new portal in {data} ...", flush=True)
        create(data, lambda: _people(options.fhir), how)
    accounts = read_accounts(data)  # before a portal is open that would have to be closed
    site = open_site(data, how)
    try:
        site.portal.audit.resume()
    except Tampered as error:
        # It serves all the same: the privacy officer's page shows what is wrong, and nothing more is signed.
        print(f"WARNING: {error}", file=sys.stderr)
    try:
        with reloading(site.portal, data):
            site.portal.emit(SecurityEvent(name=Event.SYSTEM_STARTED, actor=SYSTEM))
            purge(site.portal)
            if finished := site.erasure.finish():
                print(f"Finished {finished} erasure(s) that had been interrupted.")
            server = _server(site)
            _announce(data, site, *accounts)
            with courier(site.portal, every=_MAIL_EVERY):
                server.run(sockets=[listening])
    except BaseException:
        close_site(site)
        raise
    try:
        site.portal.emit(SecurityEvent(name=Event.SYSTEM_STOPPED, actor=SYSTEM))
        close_site(site)  # writes what is waiting and signs the last checkpoint
    except (StoreError, Tampered) as error:
        print(f"The portal has stopped, but the log could not be signed: {error}", file=sys.stderr)
        return 2
    print("\nThe portal has stopped. Its data is kept; the same command serves it again.")
    return 0


def _server(site: Site) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(site),
        log_level="warning",
        access_log=False,  # addresses of pages name patients' rows
        server_header=False,
        proxy_headers=False,  # the portal resolves X-Forwarded-For itself, by its own declared hops
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)

    def end(*_: object) -> None:
        server.should_exit = True

    # While it serves, uvicorn has handlers of its own, and at its end it raises the signal again for whoever else
    # waits for it. These are in place before it begins and after it ended, so that both mean the orderly end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    return server


def _people(source: Path | None) -> People:
    if source is None:
        return synthetic_people()
    from rich.progress import Progress

    files = bundle_files(source)
    with Progress(transient=True) as bar:
        task = bar.add_task("Reading bundles", total=len(files))
        return read_bundles(files, done=lambda: bar.advance(task))


def _announce(data: Path, site: Site, logins: Sequence[Login], code: str | None) -> None:
    script = os.path.relpath(__file__)
    print(f"\n  {site.portal.name} is open at {site.portal.base_url}   (Ctrl-C closes it)\n")
    print(f"  {'Sign in as':<12}{'Password':<22}Role")
    for each in logins:
        print(f"  {each.login:<12}{each.password:<22}{each.role}")
    print(f"\n  TOTP codes:  {_command()} {script} --data {data} --codes")
    print(f"  or scan the otpauth URIs in {data / 'accounts.txt'} with an authenticator app.")
    if code:
        print(f"\n  To sign up as a new patient, open {site.portal.base_url}/activate with the code {code}")
    print(f"\n  Mail that the portal sends is written to {data / 'mail'}, a file for each.")
    print(f"\n  Data: {data.resolve()}  (keys, databases, checkpoint, settings, accounts.txt)")
    print(_BROWSERS + "\n", flush=True)


def _print_codes(data: Path) -> None:
    if not is_complete(data):
        raise ConfigurationError(f"{data} holds no demo: start it first (make demo)")
    now = system_clock()
    left = 30 - unix_seconds(now) % 30
    print(f"Codes for the next {left} seconds (each works once):")
    for each in read_accounts(data)[0]:
        totp = pyotp.parse_uri(each.uri)
        assert isinstance(totp, pyotp.TOTP)  # noqa: S101 - the demo writes no other kind
        print(f"  {each.login:<12}{totp.at(now)}")


def _command() -> str:
    python = Path(sys.executable)
    return os.path.relpath(python) if python.is_relative_to(Path.cwd()) else str(python)


if __name__ == "__main__":
    sys.exit(main())
