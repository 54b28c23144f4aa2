"""A signal (SIGHUP) makes the serving process read its keys again, and a file says which ones it has.

The file ``serving`` in the data folder names the process, what its keysets read and write with, and what the last reload
failed with: ids of keys, which are no secret. It is locked for as long as the process lives, so that a number that was
left behind is never taken for a process. Whoever rotates keys waits there until the new ones are loaded, since a key
must be read everywhere before anybody writes under it.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from portalsec.crypto import Keyset, LiveKeyset
from portalsec.errors import ConfigurationError, PortalsecError
from portalsec.events import SYSTEM, Event, Outcome, ResourceRef, SecurityEvent
from portalsec.portal import Keys, Portal

try:
    import fcntl
except ImportError:  # Windows has neither this nor SIGHUP: there, keys are read at the start
    fcntl = None  # type: ignore[assignment]

__all__ = ["Serving", "key_ids", "reloading", "serving"]

_NAME = "serving"
_TRIES = 50

KeyIds = Mapping[str, Mapping[str, object]]  # keyset -> {"reads": ids, "writes": id}


@dataclass(frozen=True, slots=True)
class Serving:
    """What the process that serves a folder says of itself."""

    pid: int
    keys: KeyIds
    reloads: int  # that were asked for since it began
    problem: str  # of the last one; empty where it succeeded


def key_ids(keys: Keys) -> KeyIds:
    """Which keys are in use, by their ids."""

    def of(each: Keyset | LiveKeyset) -> Mapping[str, object]:
        keyset = each.keyset if isinstance(each, LiveKeyset) else each
        reads = sorted(info.id for info in keyset.info() if info.status == "ENABLED")
        return {"reads": reads, "writes": keyset.primary_id}

    return {"fields": of(keys.fields), "mac": of(keys.mac), "index": of(keys.index)}


def serving(folder: Path) -> Serving | None:
    """The process that serves this folder now, or None."""
    for _ in range(_TRIES):
        try:
            with (folder / _NAME).open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return Serving(**json.loads(file.read()))
                return None
        except FileNotFoundError:
            return None
        except ValueError:
            time.sleep(0.02)  # it is being written at this moment
    raise ConfigurationError(
        f"{folder / _NAME} cannot be read: end the process that serves, and start it again"
    )


@contextmanager
def reloading(portal: Portal, folder: Path) -> Iterator[None]:
    """Within it, SIGHUP reloads the portal's keys while requests are served.

    A reload that fails changes nothing: the old keys stay in use, stderr and the audit log are told, and so is the file.

    Raises:
        ConfigurationError: another process serves this folder.
    """
    if fcntl is None:
        yield
        return
    path = folder / _NAME
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigurationError(
            f"another process serves {folder} already: end it, or name another folder (DATA=)"
        ) from None
    # A signal may come in the midst of anything, a lock held: its handler only puts a word into a queue that may be
    # interrupted by itself, and a thread does the work.
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    reloads, problem = 0, ""

    def tell() -> None:
        said = {"pid": os.getpid(), "keys": key_ids(portal.keys), "reloads": reloads, "problem": problem}
        data = json.dumps(said).encode() + b"\n"
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), data, 0)

    def work() -> None:
        nonlocal reloads, problem
        while asked.get():
            problem = _reload(portal)
            reloads += 1
            tell()

    tell()
    before = signal.signal(signal.SIGHUP, lambda *_: asked.put(True))
    worker = threading.Thread(target=work, name="reload keys")
    worker.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
        asked.put(False)
        worker.join()
        path.unlink(missing_ok=True)
        file.close()


def _reload(portal: Portal) -> str:
    """Why it failed, in one sentence; empty where it did not."""
    about = ResourceRef(type="keys")
    try:
        portal.keys.reload()
        portal.emit(SecurityEvent(name=Event.SYSTEM_CONFIG_CHANGED, actor=SYSTEM, resource=about))
    except Exception as error:  # noqa: BLE001 - whatever it is, the portal goes on with the keys that it has
        problem = str(error) if isinstance(error, PortalsecError) else type(error).__name__
    else:
        return ""
    print(
        f"WARNING: the keys were not reloaded, the old ones stay in use: {problem}",
        file=sys.stderr,
        flush=True,
    )
    try:
        portal.emit(
            SecurityEvent(
                name=Event.SYSTEM_CONTROL_FAILED, outcome=Outcome.ERROR, actor=SYSTEM, resource=about
            )
        )
    except PortalsecError as error:
        print(f"WARNING: nor could the audit log be told: {error}", file=sys.stderr, flush=True)
    return problem
