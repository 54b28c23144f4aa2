"""Rotates the keys of a demo, beside the process that serves it: ``rotate.py --data DIR``, or ``make demo-rotate``.

Newest writes, all read: nobody who uses the portal notices. Each step is a command that one could type; it waits until
the serving process has the new keys before the next. It may be stopped anywhere and run again.

`clinic` is a target of ``portalsec fields reencrypt`` and ``status``, and reads the keys of the folder that PORTALSEC_DEMO
names (.demo).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__" and not __package__:
    # Started as a file: the package it belongs to is found from the repository's root.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from examples.portal_fastapi import tables
from examples.portal_fastapi.cells import clinic_cells
from examples.portal_fastapi.datafolder import is_complete
from examples.portal_fastapi.reloading import key_ids, serving
from portalsec.clock import system_clock
from portalsec.config import load_settings
from portalsec.config.opening import open_keys
from portalsec.config.settings import Settings
from portalsec.crypto import SubjectKeys
from portalsec.crypto.tasks import RebuildIndex, Reencrypt
from portalsec.errors import ConfigurationError, PortalsecError
from portalsec.events import SecurityEvent
from portalsec.portal import Keys
from portalsec.sqlalchemy import SqlSubjectKeys, open_engine
from portalsec.sqlalchemy.cells import EncryptedTable

__all__ = ["clinic", "main"]

KEYSETS = ("fields", "index")
_PATIENCE = 30.0  # seconds for the serving process to load its keys
_ROOT = Path(__file__).resolve().parents[2]


# -- what is written anew -------------------------------------------------------------------------------------------


def clinic() -> list[EncryptedTable]:
    """Staff and guardians, whose cells are under the portal's field keys, and the tags of patients, under the index keys.

    The cells of patients stay as they are: they are under keys of their own, which ``portalsec fields reencrypt`` without
    a target wraps anew, with all else that is the portal's.
    """
    settings = _settings()
    cells = clinic_cells(_keys(settings), _subjects(settings))
    numbers = (("phone", cells.phone), ("mrn", cells.mrn))
    return [
        *(
            EncryptedTable(
                table=table,
                tasks=[Reencrypt(field=field, column=name) for name, field in sealed.fields.items()],
            )
            for table, sealed in ((tables.staff, cells.staff), (tables.guardian, cells.guardian))
        ),
        EncryptedTable(
            table=tables.patient,
            subject="id",
            tasks=[
                RebuildIndex(field=cells.patient.fields[name], column=name, tags={f"{name}_tag": index})
                for name, index in numbers
            ],
        ),
    ]


def _settings() -> Settings:
    return load_settings(Path(os.environ.get("PORTALSEC_DEMO", ".demo")) / "portalsec.toml")


def _keys(settings: Settings) -> Keys:
    return open_keys(settings)


def _subjects(settings: Settings) -> SubjectKeys:
    def nothing_is_erased_here(event: SecurityEvent) -> None:
        raise ConfigurationError(f"a rotation has no log for {event.name}")

    return SubjectKeys(
        SqlSubjectKeys(open_engine(settings.url("stores", "subjects"))),
        keys=_keys(settings).fields,
        clock=system_clock,
        emit=nothing_is_erased_here,
    )


# -- the round ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; the exit code is 0 when the old keys are out of use, 2 with one sentence on stderr otherwise."""
    parser = argparse.ArgumentParser(
        prog="rotate.py", description="Rotate the keys of a demo while it serves."
    )
    parser.add_argument(
        "--data", type=Path, default=Path(".demo"), metavar="DIR", help="its data folder (.demo)"
    )
    folder: Path = parser.parse_args(arguments).data
    try:
        if not is_complete(folder):
            raise ConfigurationError(f"{folder} holds no demo: start it first (make demo)")
        os.environ["PORTALSEC_DEMO"] = str(folder)
        _round(folder)
    except PortalsecError as error:
        print(f"The keys could not be rotated: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Nothing is lost; run it again to go on.", file=sys.stderr)
        return 130
    return 0


def _round(folder: Path) -> None:
    settings = _settings()
    config = ("--config", str(folder / "portalsec.toml"))

    _say("1. A new key is added to each keyset. It reads, and does not write yet.")
    for name in KEYSETS:
        if len(_reads(name, settings)) == 1:  # else a round was stopped, and this one goes on with its key
            _portalsec("keys", "rotate", name, *config)
    _load(folder, settings)

    _say("2. The new keys write from now on. The old ones still read.")
    for name in KEYSETS:
        if _waits(name, settings):
            _portalsec("keys", "rotate", name, "--promote", *config)
    _load(folder, settings)

    _say("3. What is under the old keys is written under the new ones, beside whoever uses the portal.")
    target = ("examples.portal_fastapi.rotate:clinic", "--database", f"sqlite:///{folder / 'app.db'}")
    _portalsec("fields", "reencrypt", *target)
    _portalsec("fields", "reencrypt", *config)

    _say("4. Nothing is left under the old keys, so they go out of use.")
    _portalsec("fields", "status", *target)
    _portalsec("fields", "status", *config)
    for name in KEYSETS:
        for key in _reads(name, settings)[:-1]:
            _portalsec("keys", "disable", name, str(key), "--yes", *config)
    _load(folder, settings)
    _say(
        "Done. The old keys are disabled and not destroyed: backups may need them (portalsec keys enable, destroy)."
    )


def _reads(name: str, settings: Settings) -> list[int]:
    """The ids of the enabled keys, the newest last."""
    infos = getattr(_keys(settings), name).keyset.info()
    return [info.id for info in infos if info.status == "ENABLED"]


def _waits(name: str, settings: Settings) -> bool:
    return _reads(name, settings)[-1] != getattr(_keys(settings), name).keyset.primary_id


def _load(folder: Path, settings: Settings) -> None:
    """SIGHUP, and wait until the process that serves says that it uses the keys that are in the files now."""
    process = serving(folder)
    if process is None:
        print("   (Nobody serves this folder at the moment: its next start reads the new keys.)")
        return
    print(f"   $ kill -HUP {process.pid}")
    reloads = process.reloads
    os.kill(process.pid, signal.SIGHUP)
    wanted = key_ids(_keys(settings))

    def loaded() -> bool:
        now = serving(folder)
        if now is None:
            return True  # it ended meanwhile
        if now.reloads > reloads and now.problem:
            raise ConfigurationError(f"the process that serves could not load the new keys: {now.problem}")
        return now.keys == wanted

    _wait(loaded)


def _wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE
    while not until():
        if time.monotonic() > end:
            raise ConfigurationError("the process that serves has not loaded the new keys: run this again")
        time.sleep(0.05)


def _portalsec(*words: str) -> None:
    """One command of portalsec, shown and run."""
    print(f"   $ portalsec {' '.join(words)}", flush=True)
    done = subprocess.run(  # noqa: S603 - our own command line, without a shell
        [sys.executable, "-c", "from portalsec.cli import main; main()", *words],
        cwd=Path.cwd(),
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.strip() and not line.startswith("Next:"):
            print(f"     {line}", flush=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"portalsec {words[0]} {words[1]} found something amiss"]
        raise ConfigurationError(said[-1].removeprefix("COULD NOT: "))


def _say(text: str) -> None:
    print(f"\n{text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
