"""The pepper, the costs and the parameters of password hashes, from settings to a sign-in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from portalsec.auth.hash_costs import Argon2Parameters, OlderArgon2
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.auth.ports import Account
from portalsec.config.keys import write_new
from portalsec.config.keysets import KeysetFiles
from portalsec.config.opening import open_policies
from portalsec.config.settings import load_settings
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError, Denied
from portalsec.portal import close_portal
from portalsec.secret import Secret
from tests.config.test_opening import PASSWORD, SOURCE, folder, opened  # noqa: F401 - folder is a fixture

PEPPER = '\n[keys]\npepper = "file:keys/pepper.json"\n'


def write(folder: Path, more: str) -> None:  # noqa: F811
    path = folder / "portalsec.toml"
    path.write_text(path.read_text() + more)


def peppered(folder: Path) -> Keyset:  # noqa: F811
    keys = Keyset.generate("HMAC_SHA256_PRF")
    write(folder, PEPPER)
    write_new(folder / "keys" / "pepper.json", Secret(keyset_to_json(keys)))
    return keys


def stored(portal: object, account_id: str) -> str:
    account = portal.stores.accounts.get(account_id)  # type: ignore[attr-defined]
    assert account is not None
    return str(account.password_hash)


def test_without_a_pepper_none_is_used(folder: Path) -> None:  # noqa: F811
    portal = opened(folder)
    account = portal.accounts.create(login="ana@example.org", password=PASSWORD)
    assert stored(portal, account.id).startswith("$ps1$nfc,b$argon2id$")
    assert portal.keys.pepper is None
    close_portal(portal)


def test_a_pepper_comes_with_the_next_sign_in_and_a_reload_rotates_it(folder: Path) -> None:  # noqa: F811
    portal = opened(folder)
    account = portal.accounts.create(login="ana@example.org", password=PASSWORD)
    close_portal(portal)
    first = peppered(folder)
    portal = opened(folder)
    portal.sign_in.start("ana@example.org", PASSWORD, source=SOURCE)
    assert f"nfc,{first.primary_id:08x},b$" in stored(portal, account.id)
    files = KeysetFiles(load_settings(folder / "portalsec.toml", env={}), env={})
    more = first.add("HMAC_SHA256_PRF")
    more = more.promote(more.info()[-1].id)
    files.replace("pepper", more)
    portal.keys.reload()
    portal.sign_in.start("ana@example.org", PASSWORD, source=SOURCE)
    assert f"nfc,{more.primary_id:08x},b$" in stored(portal, account.id)
    close_portal(portal)


def test_a_pepper_that_is_set_and_missing_opens_no_portal(folder: Path) -> None:  # noqa: F811
    write(folder, PEPPER)
    with pytest.raises(ConfigurationError, match="portalsec keys new pepper"):
        opened(folder)


def test_a_keyset_for_encryption_is_no_pepper(folder: Path) -> None:  # noqa: F811
    write(folder, '\n[keys]\npepper = "file:keys/fields.json"\n')
    with pytest.raises(ConfigurationError, match="HMAC_SHA256_PRF"):
        opened(folder)


def test_older_costs_reach_the_sign_in(folder: Path) -> None:  # noqa: F811
    write(folder, '\n[passwords]\nolder = ["md5"]\n')
    portal = opened(folder)
    raw = "md5$salt$" + hashlib.md5(b"salt" + PASSWORD.encode()).hexdigest()
    wrapped = portal.passwords.wrap(raw, account_id="old-1")
    portal.stores.accounts.create(
        Account(id="old-1", login="wren", password_hash=wrapped), now=portal.clock()
    )
    portal.sign_in.start("wren", PASSWORD, source=SOURCE)
    assert stored(portal, "old-1").startswith("$ps1$nfc,b$argon2id$")
    close_portal(portal)


def test_parameters_and_costs_as_text(folder: Path) -> None:  # noqa: F811
    costs = '["argon2id:m=8,t=1,p=1", "pbkdf2_sha256:i=870000"]'
    write(folder, f'\n[passwords]\nhashing = "m=98304,t=3,p=1"\nolder = {costs}\n')
    settings = load_settings(folder / "portalsec.toml", env={})
    policies = open_policies(settings)
    assert policies.hashing == Argon2Parameters(memory_kib=98304, time_cost=3, parallelism=1)
    assert policies.hashing_older == (
        OlderArgon2(memory_kib=8, time_cost=1, parallelism=1), LegacyCost("pbkdf2_sha256", (870_000,)),
    )  # fmt: skip
    from_environment = load_settings(
        folder / "portalsec.toml", env={"PORTALSEC__PASSWORDS__OLDER": "md5 argon2id:m=8,t=1,p=1"}
    )
    assert len(from_environment["passwords", "older"]) == 2


@pytest.mark.parametrize(
    "wrong",
    ['hashing = "m=8,t=1,p=1"', 'hashing = "md5"', 'older = "rot13"', 'older = ["argon2id"]', "older = [1]",
     "older = 1", 'older = ["$2b$12$abc"]'],
)  # fmt: skip
def test_what_is_below_the_floor_or_no_cost_is_refused_by_name(folder: Path, wrong: str) -> None:  # noqa: F811
    write(folder, f"\n[passwords]\n{wrong}\n")
    with pytest.raises(ConfigurationError, match=rf"\[passwords\] {wrong.split(' ', maxsplit=1)[0]}"):
        load_settings(folder / "portalsec.toml", env={})


def test_a_required_pepper_is_needed_to_open_and_then_what_has_none_opens_nothing(folder: Path) -> None:  # noqa: F811
    portal = opened(folder)
    portal.accounts.create(login="ana@example.org", password=PASSWORD)
    close_portal(portal)
    before = (folder / "portalsec.toml").read_text()
    write(folder, "\n[passwords]\nrequire_pepper = true\n")
    with pytest.raises(ConfigurationError, match="require_pepper needs a pepper"):
        opened(folder)
    (folder / "portalsec.toml").write_text(before)
    peppered(folder)
    write(folder, "\n[passwords]\nrequire_pepper = true\n")
    portal = opened(folder)
    with pytest.raises(Denied):
        portal.sign_in.start("ana@example.org", PASSWORD, source=SOURCE)
    portal.accounts.create(login="ben@example.org", password=PASSWORD)
    portal.sign_in.start("ben@example.org", PASSWORD, source=SOURCE)
    close_portal(portal)
