"""``portalsec keys``: the keysets of a portal, or a keyset file by its path.

A rotation has two steps, since a key must be read everywhere before anybody writes under it: ``rotate`` adds the next
key, and ``rotate --promote`` makes it the one that writes once every process has loaded it. Files are replaced whole
and at once, under a lock; no command ever takes a key away but ``destroy``. Where the keyset is one of
``portalsec.toml``, each change is told to the portal's audit log before it is made, and is not made where the log does
not acknowledge. Exit codes: 0 done, 2 could not.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portalsec.errors import ConfigurationError, MissingExtra, PortalsecError, StoreError
from portalsec.events import SYSTEM, Event, Outcome, ResourceRef, SecurityEvent

try:
    import click
    from rich.console import Console
    from rich.table import Table
except ImportError as error:
    raise MissingExtra("cli", package=(error.name or "click").partition(".")[0]) from None

if TYPE_CHECKING:
    from portalsec.audit.log import AuditLog
    from portalsec.audit.ports import AuditStore
    from portalsec.config.settings import Settings
    from portalsec.crypto.keyset import Keyset

__all__ = ["Host", "keys", "opened_log"]

COULD_NOT = 2

_DJANGO_LOG = "portalsec_auditentry"  # the table of `portalsec.django.models.AuditEntry`
_LOADED = "Every process must have loaded this file before it is promoted: what it writes, all must read."


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What the commands run in, where the portal's stores are not those of ``[stores]``; click's ``obj``.

    Attributes:
        audit: the store of the audit log.
        cells_under: given a keyset's name and the id of a key, how many cells of each table are under it.
        keys, reencrypt, status: how these commands, re-encryption and its counting are called there.
    """

    audit: AuditStore
    cells_under: Callable[[str, int], Mapping[str, int]]
    keys: str
    reencrypt: str
    status: str


def _host() -> Host | None:
    return click.get_current_context().find_object(Host)


def _next(text: str) -> None:
    """Say it, with commands as the host calls them."""
    host = _host()
    if host is not None:
        text = text.replace("portalsec keys", host.keys).replace("portalsec fields reencrypt", host.reencrypt)
        text = text.replace("portalsec fields status TARGET", host.status)
    click.echo(text)


# -- where a keyset is --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """A keyset file: ``portalsec.toml``'s, by name, or any by its path."""

    name: str
    path: Path
    read: Callable[[], Keyset]
    write: Callable[[Keyset], None]
    create: Callable[[Keyset], None]
    template: str | None
    settings: Settings | None

    def change(self, event: Event, change: Callable[[Keyset], tuple[Keyset, int]]) -> tuple[Keyset, int]:
        """Read, change, tell the log, replace; one at a time. The keyset that stands now, and the key it is about."""
        with _locked(self.path):
            fresh, key_id = change(self.read())
            with _told(self.settings, event, f"{self.name}/{key_id}"):
                self.write(fresh)
        return fresh, key_id


def _place(name: str, config: Path) -> _Place:
    from portalsec.config.keysets import KEYSETS

    if name in KEYSETS:
        return _named(name, config)
    if not {".", "/", os.sep} & set(name):
        # A slip of the finger is no path: it would make a keyset that no portal reads.
        raise ConfigurationError(
            f"{name!r} is no keyset of a portal ({', '.join(KEYSETS)}), and no path: write a file as ./{name}.json"
        )
    return _by_path(Path(name))


def _of(config: Path) -> tuple[str, ...]:
    from portalsec.config.keysets import keyset_names
    from portalsec.config.settings import load_settings

    return keyset_names(load_settings(config))


def _named(name: str, config: Path) -> _Place:
    from portalsec.config.kek import open_kek
    from portalsec.config.keys import write_new
    from portalsec.config.keysets import KEYSETS, KeysetFiles, audit_origin, keyset_context, keyset_text
    from portalsec.config.settings import load_settings

    settings = load_settings(config)
    files = KeysetFiles(settings)
    kind, _, path = files.reference(name).partition(":")
    if kind != "file":
        raise ConfigurationError(
            f"{settings.source}: [keys] {name} is not a file: change the keyset where it comes from, as a file"
        )
    target = settings.base / path

    def create(keyset: Keyset) -> None:
        kek = settings["keys", "kek"]
        cipher = kek and open_kek(
            kek, key=f"{settings.source}: [keys] kek", base=settings.base, env=os.environ
        )
        context = keyset_context(audit_origin(settings), name)
        write_new(target, keyset_text(keyset, kek=cipher, context=context))

    return _Place(
        name=name,
        path=target,
        read=lambda: files.read(name),
        write=lambda keyset: files.replace(name, keyset),
        create=create,
        template=KEYSETS[name][1],
        settings=settings,
    )


def _by_path(path: Path) -> _Place:
    from portalsec.config.keys import read_private, replace_private, write_new
    from portalsec.crypto.insecure import keyset_to_json  # writing a key file is the one need for it
    from portalsec.crypto.keyset import Keyset
    from portalsec.secret import Secret

    def read() -> Keyset:
        text = read_private(path)
        try:
            return Keyset.from_json(text)
        except ConfigurationError as error:
            problem = str(error)
        raise ConfigurationError(f"key file {path}: {problem}")

    return _Place(
        name=path.name,
        path=path,
        read=read,
        write=lambda keyset: replace_private(path, Secret(keyset_to_json(keyset))),
        create=lambda keyset: write_new(path, Secret(keyset_to_json(keyset))),
        template=None,
        settings=None,
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One change of the folder's keys at a time: of two that read the same file, one key would be lost.

    Not on Windows, where a folder cannot be locked: there, one change at a time is the task of whoever changes keys.
    """
    if os.name != "posix":
        yield
        return
    import fcntl

    there = path.resolve().parent  # where a link leads, since that is what is replaced
    try:
        folder = os.open(there, os.O_RDONLY)
    except FileNotFoundError:
        raise ConfigurationError(
            f"key file {path} has no folder to be in: make it with  mkdir -p -m 700 {there}"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"the folder of key file {path} cannot be read ({error.strerror})"
        ) from error
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another command is changing the keys beside {path}: wait for it and try again"
            ) from None
        yield
    finally:
        os.close(folder)  # and with it goes the lock, however this process ends


@contextlib.contextmanager
def _told(settings: Settings | None, event: Event, key: str) -> Iterator[None]:
    """The audit log acknowledges what is about to happen, and is told where it then did not."""
    if settings is None:
        yield
        return
    with opened_log(settings) as log:
        what = SecurityEvent(name=event, actor=SYSTEM, resource=ResourceRef(type="key", id=key))
        log.record(what)
        try:
            yield
        except BaseException:
            log.record(SecurityEvent(name=event, actor=SYSTEM, resource=what.resource, outcome=Outcome.ERROR))
            raise


@contextlib.contextmanager
def opened_log(settings: Settings) -> Iterator[AuditLog]:
    """The portal's audit log, for events about no person."""
    from portalsec._encoding import uuid7
    from portalsec.audit.log import AuditLog
    from portalsec.clock import system_clock
    from portalsec.config.keysets import audit_origin
    from portalsec.events import Vocabulary

    with _audit_store(settings) as store:
        log = AuditLog(
            store=store,
            vocabulary=Vocabulary(settings["portal", "events"]),
            vault=_Nobody(),
            clock=system_clock,
            new_id=uuid7,
            origin=audit_origin(settings),
        )
        try:
            yield log
        finally:
            # In its place, so that `portalsec audit show` has it; the portal signs it, or places it where this fails.
            with contextlib.suppress(StoreError):
                log.integrate()


@contextlib.contextmanager
def _audit_store(settings: Settings) -> Iterator[AuditStore]:
    host = _host()
    if host is not None:
        yield host.audit
        return
    from sqlalchemy import inspect

    from portalsec.sqlalchemy import SqlAudit, create_schema, open_engine
    from portalsec.sqlalchemy.transaction import reading

    engine = open_engine(settings.url("stores", "audit"))
    try:
        with reading(engine) as connection:
            of_django = inspect(connection).has_table(_DJANGO_LOG)
        if of_django:
            # A second log beside it, which nobody reads or signs, would be told.
            raise ConfigurationError(
                f"{settings.source}: [stores] audit is the database of a Django portal, whose log is Django's: "
                "run  python manage.py portalsec_keys  with the same arguments"
            )
        create_schema(engine, "audit")
        yield SqlAudit(engine)
    finally:
        engine.dispose()


class _Nobody:
    """A vault for events about keys, which are about no person."""

    def pseudonym(self, subject_id: str) -> str:
        raise ConfigurationError("an event about a key names no person")

    def pseudonyms(self, subject_id: str) -> tuple[str, ...]:
        raise ConfigurationError("an event about a key names no person")


# -- the commands -------------------------------------------------------------------------------------------------

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=Path("portalsec.toml"),
    show_default=True,
    help="The portal's settings file.",
)
_json = click.option("--json", "wants_json", is_flag=True, help="The answer as JSON.")
_keyset = click.argument("keyset")
_key_id = click.argument("key_id", type=click.IntRange(1, 2**32 - 1))
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group()
def keys() -> None:
    """Make, list and rotate keysets.

    KEYSET is a name of [keys] in portalsec.toml (fields, mac, index, pepper) or the path of a keyset file.
    """


@keys.command("new")
@_keyset
@_config
@click.option("--template", help="What kind of key, such as XAES_256_GCM or HMAC_SHA256_PRF.")
def new_command(keyset: str, config: Path, template: str | None) -> None:
    """Make a keyset of one new key. A file that exists is kept."""
    from portalsec.crypto.keyset import Keyset

    with _sentences():
        place = _place(keyset, config)
        made = Keyset.generate(template or place.template or "XAES_256_GCM")
        if place.path.exists():
            raise ConfigurationError(
                f"key file {place.path} exists already: it is kept; rotate adds a key to it"
            )
        with _locked(place.path), _told(place.settings, Event.KEY_CREATED, f"{place.name}/{made.primary_id}"):
            place.create(made)
        click.echo(
            f"{place.path}: a new keyset, key {made.primary_id} writes. Keep a copy where the backups are not."
        )


@keys.command("list")
@click.argument("keysets", nargs=-1, metavar="[KEYSET]...")
@_config
@_json
def list_command(keysets: tuple[str, ...], config: Path, wants_json: bool) -> None:
    """What may be shown of the keys; all of portalsec.toml by default."""
    with _sentences():
        found = {name: _place(name, config).read() for name in keysets or _of(config)}
        if wants_json:
            click.echo(json.dumps({name: _public(keyset) for name, keyset in found.items()}, indent=1))
            return
        table = Table("keyset", "key", "type", "status", "", box=None)
        for name, keyset in found.items():
            waiting = _waiting(keyset)
            for info in keyset.info():
                note = "writes" if info.primary else "waits to be promoted" if info.id == waiting else ""
                table.add_row(name, str(info.id), info.type or "", info.status.lower(), note)
        console = Console()
        if not console.is_terminal:
            console = Console(width=200)
        console.print(table)


@keys.command("rotate")
@_keyset
@_config
@click.option("--template", help="What kind the new key is; like the one that writes, by default.")
@click.option("--promote", is_flag=True, help="The second step: the newest key writes from now on.")
@click.option("--now", is_flag=True, help="Both steps at once, for a single process that is restarted now.")
def rotate_command(keyset: str, config: Path, template: str | None, promote: bool, now: bool) -> None:
    """Add the next key, or (--promote) let it write."""
    if promote and (now or template):
        raise click.UsageError(
            "--promote is the second step alone: it goes with neither --now nor --template"
        )
    with _sentences():
        place = _place(keyset, config)
        if promote:
            _, key_id = place.change(Event.KEY_ROTATED, _promoted)
            click.echo(f"{place.path}: key {key_id} writes. Older keys still read.")
            _next(f"Next: reload every process, then  {_afterwards(place)}")
            return
        _, key_id = place.change(Event.KEY_CREATED, lambda old: _added(old, template))
        if not now:
            click.echo(f"{place.path}: key {key_id} was added and reads. {_LOADED}")
            _next(f"Next: reload every process, then  portalsec keys rotate {keyset} --promote")
            return
        place.change(Event.KEY_ROTATED, _promoted)
        click.echo(
            f"{place.path}: key {key_id} was added and writes. A process that runs with the old file cannot read it."
        )
        _next(f"Next: restart now, then  {_afterwards(place)}")


def _afterwards(place: _Place) -> str:
    if place.name == "pepper" and place.settings is not None:
        return "portalsec passwords report  (each hash is made anew at the next sign-in of its account)"
    return "portalsec fields reencrypt"


@keys.command("disable")
@_keyset
@_key_id
@_config
@_yes
@click.option("--force", is_flag=True, help="Even where the portal's own tables still need the key.")
def disable_command(keyset: str, key_id: int, config: Path, yes: bool, force: bool) -> None:
    """A key that reads no more; enable undoes it.

    The key that writes is refused, and one that something of the portal's own is still under (see --force). Tables of an
    application cannot be looked into from here: portalsec fields status TARGET.
    """
    with _sentences():
        place = _place(keyset, config)
        place.read().disable(key_id)  # what is refused is refused before anything is asked
        _check_the_portal(place, key_id, force=force)
        if not yes:
            _next(
                f"What is still under key {key_id} will not open. Whether tables of an application have any cannot be told "
                "from here: portalsec fields status TARGET  counts the cells of a database."
            )
            click.confirm(f"Disable key {key_id}?", abort=True)
        place.change(Event.KEY_DISABLED, lambda old: (old.disable(key_id), key_id))
        click.echo(f"{place.path}: key {key_id} is disabled. Reload every process.")


@keys.command("enable")
@_keyset
@_key_id
@_config
def enable_command(keyset: str, key_id: int, config: Path) -> None:
    """A disabled key reads again."""
    with _sentences():
        place = _place(keyset, config)
        place.change(Event.KEY_ENABLED, lambda old: (old.enable(key_id), key_id))
        click.echo(f"{place.path}: key {key_id} is enabled. Reload every process.")


@keys.command("destroy")
@_keyset
@_key_id
@_config
@_yes
def destroy_command(keyset: str, key_id: int, config: Path, yes: bool) -> None:
    """A disabled key is gone for good, and with it what is under it and nowhere else."""
    with _sentences():
        place = _place(keyset, config)
        place.read().destroy(key_id)
        if not yes:
            click.echo(f"What is under key {key_id}, backups among it, will never open again.")
            if click.prompt("Write the id of the key", type=str) != str(key_id):
                raise ConfigurationError("that is another id: nothing was destroyed")
        place.change(Event.KEY_DESTROYED, lambda old: _destroyed(old, key_id))
        click.echo(f"{place.path}: key {key_id} is destroyed. Copies of the old file still have it.")


@keys.command("export-public-info")
@click.argument("keysets", nargs=-1, metavar="[KEYSET]...")
@_config
def export_command(keysets: tuple[str, ...], config: Path) -> None:
    """All that may be known of the keys, as JSON, for an auditor or an inventory; with the log's public key."""
    with _sentences():
        answer: dict[str, Any] = {
            "keysets": {name: _public(_place(name, config).read()) for name in keysets or _of(config)}
        }
        if not keysets:
            answer["audit"] = {"verifier": _verifier(config)}
        click.echo(json.dumps(answer, indent=1))


def _check_the_portal(place: _Place, key_id: int, *, force: bool) -> None:
    """Whether the portal itself still needs the key. `ConfigurationError` if it does; a warning if it cannot be known."""
    if place.settings is None or place.name not in ("fields", "mac", "pepper"):
        return
    if place.name == "mac":
        click.echo(
            "The audit log is never written anew: its reports about a person leave out what was recorded under this key.",
            err=True,
        )
    from portalsec.auth.recovery_codes import RECOVERY_CODES

    try:
        under = _cells_under(place.settings, place.name, key_id)
    except PortalsecError as error:
        click.echo(
            f"Whether the portal's own tables have anything under key {key_id} is not known ({error}). "
            "People whose sign-in name or authenticator is under it could not sign in.",
            err=True,
        )
        return
    if not under:
        click.echo(f"Nothing in the portal's own tables is under key {key_id}.")
        return
    where = ", ".join(f"{name}: {count:,}" for name, count in under.items())
    if not force and place.name == "pepper":
        raise ConfigurationError(
            f"passwords are hashed under key {key_id} ({where}), and nobody could sign in with them without it: each is "
            "hashed anew at its account's next sign-in, and those in a history, which may not come back, never; --force disables "
            "the key: those people reset their passwords, and whatever the history kept from coming back may"
        )
    if not force and set(under) == {RECOVERY_CODES}:
        raise ConfigurationError(
            f"unspent recovery codes are hashed under key {key_id} ({where}), and are void without it: nothing can write them "
            "anew, their owners make new ones; --force disables the key"
        )
    if not force:
        raise ConfigurationError(
            f"the portal's own tables have cells under key {key_id} ({where}), and people could not sign in without it: "
            "run  portalsec fields reencrypt  first, with every process reloaded"
        )
    click.echo(f"These will not open: {where}.", err=True)


def _cells_under(settings: Settings, name: str, key_id: int) -> Mapping[str, int]:
    host = _host()
    if host is not None:
        return host.cells_under(name, key_id)
    if name == "pepper":
        from portalsec.config.hashes import hashes_under

        return hashes_under(settings, key_id)
    from portalsec.config.rotation import portal_cells_under

    return portal_cells_under(settings, name, key_id)


# -- what they do to a keyset -------------------------------------------------------------------------------------


def _added(old: Keyset, template: str | None) -> tuple[Keyset, int]:
    waiting = _waiting(old)
    if waiting is not None:
        raise ConfigurationError(
            f"key {waiting} waits to be promoted: do that (--promote), or disable it, before the next is added"
        )
    kind = next(info.type for info in old.info() if info.primary)
    fresh = old.add(template or str(kind))
    return fresh, fresh.info()[-1].id


def _promoted(old: Keyset) -> tuple[Keyset, int]:
    waiting = _waiting(old)
    if waiting is None:
        raise ConfigurationError("no key waits to be promoted: add one first (rotate, without --promote)")
    return old.promote(waiting), waiting


def _destroyed(old: Keyset, key_id: int) -> tuple[Keyset, int]:
    if any(info.id == key_id and info.status == "ENABLED" for info in old.info()):
        raise ConfigurationError(
            f"key {key_id} still reads: disable it first, and see that nothing is missing"
        )
    return old.destroy(key_id), key_id


def _waiting(keyset: Keyset) -> int | None:
    """The newest key, where it is enabled and another one writes."""
    newest = keyset.info()[-1]
    return newest.id if newest.status == "ENABLED" and not newest.primary else None


def _public(keyset: Keyset) -> dict[str, Any]:
    return {
        "purpose": keyset.primitive,
        "primary": keyset.primary_id,
        "keys": [
            {
                "id": info.id,
                "type": info.type,
                "status": info.status,
                "prefix": info.prefix,
                "primary": info.primary,
            }
            for info in keyset.info()
        ],
    }


def _verifier(config: Path) -> str | None:
    from portalsec.audit.checkpoint import Ed25519Signer
    from portalsec.config.keys import resolve_reference
    from portalsec.config.settings import load_settings

    settings = load_settings(config)
    text = resolve_reference(
        settings["keys", "audit"], key=f"{settings.source}: [keys] audit", base=settings.base, env=os.environ
    )
    return Ed25519Signer.from_text(text.reveal().strip()).verifier_text


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Whatever stands in the way is one sentence and exit code 2, never a traceback."""
    try:
        yield
    except PortalsecError as error:
        message = str(error)
    else:
        return
    click.echo(f"COULD NOT: {message}", err=True)
    raise SystemExit(COULD_NOT)
