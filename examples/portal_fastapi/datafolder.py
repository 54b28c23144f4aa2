"""The demo's data folder: made whole or not at all, and opened again as it was left.

::

    portalsec.toml      the settings; written last, so that a folder which has it is complete
    policy.toml         who may do what, a copy to play with
    keys/               fields.json, mac.json, index.json, audit.key: mode 0600, in a folder of mode 0700
    security.db         accounts, factors, sessions, counters
    subjects.db         each patient's own key, wrapped; by itself, so that its backups can be kept for a short time
    audit.db            the audit log
    app.db              the clinic's own data, sealed field by field
    anchor/checkpoint   the newest signed checkpoint, outside the log that it speaks about
    mail/               mails that the portal "sent", a file each: open the newest, as a mail program would
    accounts.txt        how to sign in, mode 0600: a demo only
    serving             while it serves: which process, and the ids of the keys that it has loaded (reloading.py)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import make_url

from portalsec.account_pages import who
from portalsec.auth.notifiers.file import FileNotifier
from portalsec.auth.passwords import Argon2Parameters
from portalsec.auth.ports import Account
from portalsec.clock import Clock, system_clock
from portalsec.config import create_keys, load_settings, open_portal, read_private
from portalsec.config.keys import write_new
from portalsec.config.opening import open_keys
from portalsec.config.settings import Settings
from portalsec.errors import ConfigurationError, SubjectErased
from portalsec.portal import Portal, close_portal
from portalsec.secret import Secret
from portalsec.sqlalchemy import open_engine

from .cells import clinic_cells
from .clinic import Clinic
from .directory import ClinicRelations, Directory
from .domain import People
from .erasure import Erasure
from .seed import Cast, Login, cast, make_accounts
from .support import patient_support
from .ties import Ties

__all__ = ["Opening", "Site", "close_site", "create", "is_complete", "open_site", "read_accounts", "remove"]

_UNFINISHED = ".portalsec-demo-unfinished"
_POLICY = Path(__file__).resolve().parents[1] / "policy.toml"
_SENDER = "noreply@riverside.example"
_ORIGIN = "demo.portalsec.example/audit"  # not from the address: the port may change, the log's name may not

_SETTINGS = f"""\
# Settings of the demo portal. docs/reference/settings.md has every key; this file names the few that it needs.

[portal]
name = "Riverside Clinic"
base_url = "{{base_url}}"

[stores]
subjects = "sqlite:///subjects.db"

[passwords]
words = ["riverside", "clinic"]

[audit]
origin = "{_ORIGIN}"
checkpoint_interval = "1s"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A portal and the clinic behind it."""

    portal: Portal
    clinic: Clinic
    ties: Ties
    directory: Directory
    erasure: Erasure
    anchor: Path


@contextmanager
def _looking_into(folder: Path) -> Iterator[None]:
    """A folder that this user may not look into is said in one sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be read ({error.strerror}): change its owner or mode, or name another (DATA=)"
        ) from error


def is_complete(folder: Path) -> bool:
    """Whether a start has filled the folder to its end.

    Raises:
        ConfigurationError: the folder cannot be looked into.
    """
    with _looking_into(folder):
        return (folder / "portalsec.toml").is_file() and not (folder / _UNFINISHED).exists()


def remove(folder: Path) -> None:
    """Delete a demo's data, and nothing that is not a demo's.

    Raises:
        ConfigurationError: the folder is something else, or cannot be deleted.
    """
    with _looking_into(folder):
        if not folder.exists():
            return
        ours = (folder / "portalsec.toml").is_file() or (folder / _UNFINISHED).is_file()
    if not ours:
        raise ConfigurationError(
            f"{folder} is not the data folder of a demo (it holds no portalsec.toml): delete it by hand if you mean it"
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be deleted ({error.strerror})") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How to open a folder; tests put a clock and cheap hashing here."""

    base_url: str
    clock: Clock = system_clock
    hashing: Argon2Parameters | None = None
    env: Mapping[str, str] | None = None


def create(folder: Path, people: Callable[[], People], how: Opening) -> None:
    """Make a new data folder. ``people`` is called before anything is written.

    What an interrupted start left is removed first; what this start wrote is removed where it fails.

    Raises:
        ConfigurationError: the folder holds something else or cannot be written; whatever ``people`` raises.
    """
    with _looking_into(folder):
        if (folder / _UNFINISHED).is_file():
            remove(folder)
        existed = folder.exists()
        taken = existed and (not folder.is_dir() or any(folder.iterdir()))
    if taken:
        raise ConfigurationError(
            f"{folder} holds something that is not a demo's data: name an empty folder or a new one (DATA=)"
        )
    everyone, roles = cast(people(), today=how.clock().date())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _UNFINISHED).touch()
        (folder / "anchor").mkdir(mode=0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the data folder {folder} cannot be written ({error.strerror}): name another (DATA=)"
        ) from error
    try:
        _fill(folder, everyone, roles, how)
    except BaseException:
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not existed:
            folder.rmdir()
        raise


def _fill(folder: Path, people: People, roles: Cast, how: Opening) -> None:
    create_keys(folder / "keys", origin=_ORIGIN)
    shutil.copyfile(_POLICY, folder / "policy.toml")
    settings = folder / "portalsec.toml"
    settings.touch(mode=0o600)  # one that others can write is refused
    settings.write_text(_SETTINGS.format(base_url=how.base_url), encoding="utf-8")
    site = open_site(folder, how)
    try:
        site.clinic.create_tables()
        site.clinic.write(people)
        logins, code = make_accounts(site.portal, site.ties, roles)
    finally:
        close_site(site)
    write_new(folder / "accounts.txt", Secret(_accounts(logins, code, roles)))
    (folder / _UNFINISHED).unlink()


def open_site(folder: Path, how: Opening) -> Site:
    """Open a data folder that `create` made.

    Raises:
        ConfigurationError: a setting, key or file is not as it should be; the text says which.
        StoreError: a database is damaged.
    """
    env = dict(os.environ if how.env is None else how.env)
    env.setdefault("PORTALSEC__PORTAL__BASE_URL", how.base_url)  # PORT= may differ from the first start's
    settings = load_settings(folder / "portalsec.toml", env=env)
    app = (folder / "app.db").absolute()
    if is_complete(folder):  # before anything is opened, since opening makes a file that is not there
        _require_databases(settings, app)
    keys = open_keys(settings, env=env)
    engine = open_engine(f"sqlite:///{app}")
    ties = Ties(engine)
    clinics: list[
        Clinic
    ] = []  # it is sealed under the portal's keys, so it comes after the portal that asks it

    def own_words(account: Account) -> Sequence[str]:
        """What a stranger who knows this patient would try first as a password."""
        patient_id = account.reference or ""
        patient = clinics[0].patient(patient_id) if patient_id else None
        if patient is not None and patient.erased:  # since an activation code was handed out
            raise SubjectErased("This patient was erased.")
        return clinics[0].own_words(patient_id)

    portals: list[Portal] = []
    portal = open_portal(
        settings,
        relations=lambda stores: ClinicRelations(stores.accounts, ties),
        hashing=how.hashing,
        clock=how.clock,
        env=env,
        keys=keys,
        notifier=FileNotifier(
            folder / "mail", sender=_SENDER, sender_name="Riverside Clinic", clock=how.clock
        ),
        about=own_words,
        may_impersonate=patient_support(lambda: portals[0]),
    )
    portals.append(portal)
    clinic = Clinic(engine, clinic_cells(keys, portal.subjects))
    clinics.append(clinic)
    try:
        clinic.check()
    except BaseException:
        clinic.close()
        portal.stores.close()
        raise
    return Site(
        portal=portal,
        clinic=clinic,
        ties=ties,
        directory=Directory(portal.stores.accounts, clinic, who=partial(who, portal)),
        erasure=Erasure(portal, clinic, ties),
        anchor=settings.path("audit", "anchor"),
    )


def close_site(site: Site) -> None:
    """Close the clinic's database and the portal. Raises as `close_portal` does; everything is closed all the same."""
    site.clinic.close()
    close_portal(site.portal)


def _require_databases(settings: Settings, app: Path) -> None:
    """A database that was lost is not begun anew: with it every account, or the whole log, would be gone unsaid."""
    urls = [make_url(settings.url("stores", key)) for key in ("security", "audit", "subjects")]
    files = [Path(url.database) for url in urls if url.get_backend_name() == "sqlite" and url.database]
    for path in (*files, app):
        with _looking_into(app.parent):
            there = path.exists()
        if not there:
            raise ConfigurationError(
                f"the database {path} is missing: restore it from a backup, or start anew with make demo-reset"
            )


# -- accounts.txt ---------------------------------------------------------------------------------------------------


def _accounts(logins: Sequence[Login], code: str | None, roles: Cast) -> str:
    lines = [
        "# How to sign in to this demo. A real portal has no such file.",
        "# login, password, otpauth URI (for an authenticator app), role",
        *(f"{each.login}\t{each.password}\t{each.uri}\t{each.role}" for each in logins),
    ]
    if code and roles.newcomer:
        lines += ["# an activation code for a patient who has no account yet", f"activation\t{code}"]
    return "\n".join(lines) + "\n"


def read_accounts(folder: Path) -> tuple[list[Login], str | None]:
    """What `create` wrote: the logins, and the activation code if there was one.

    Raises:
        ConfigurationError: the file is missing, cannot be read, or can be read by others.
    """
    path = folder / "accounts.txt"
    with _looking_into(folder):
        if not path.exists():
            raise ConfigurationError(f"{path} is missing: make demo-reset makes a new portal")
    logins, code = [], None
    for line in read_private(path).reveal().splitlines():
        fields = line.split("\t")
        if len(fields) == 4:
            login, password, uri, role = fields
            logins.append(Login(login=login, role=role, password=password, uri=uri))
        elif fields[0] == "activation" and len(fields) == 2:
            code = fields[1]
    return logins, code
