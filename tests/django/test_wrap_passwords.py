"""``manage.py portalsec_wrap_passwords``: hashes of Django's own hashers, made by the real ones, are taken over."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import (
    BCryptSHA256PasswordHasher,
    PBKDF2PasswordHasher,
    ScryptPasswordHasher,
)
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client

from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.django.management.commands import portalsec_wrap_passwords as command
from portalsec.django.models import AccountLink
from portalsec.django.stores import DjangoAccounts
from tests.django import project
from tests.django.browser import PASSWORD

SALT = "saltsaltsaltsaltsaltsa"
PBKDF2 = PBKDF2PasswordHasher().encode(PASSWORD, SALT, iterations=1000)
SCRYPT = ScryptPasswordHasher().encode(PASSWORD, SALT, n=1024)
OLDER = (LegacyCost("pbkdf2_sha256", (1000,)), LegacyCost("scrypt", (1024, 8, 5)))


class _CheapBcrypt(BCryptSHA256PasswordHasher):
    rounds = 4


@pytest.fixture
def world(database: None) -> Iterator[project.World]:
    project.current = project.World(hashing_older=OLDER)
    yield project.current
    project.current = None


def run(*arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("portalsec_wrap_passwords", *arguments, stdout=out, stderr=err)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    except CommandError as error:
        code = error.returncode
        err.write(str(error))
    return code, out.getvalue() + err.getvalue()


def people(**columns: str) -> dict[str, Any]:
    users = get_user_model().objects
    return {name: users.create(username=name, password=column) for name, column in columns.items()}


def signs_in(name: str) -> bool:
    answer = Client(headers={"host": "portal.example"}).post(
        "/sign-in", {"login": name, "password": PASSWORD}
    )
    return answer.status_code == 303


def test_an_account_that_never_came_back_is_wrapped_and_signs_in_with_its_own_password(
    world: project.World,
) -> None:
    users = people(ana=PBKDF2, ben=SCRYPT)
    assert not signs_in("ana"), "a raw hash of another system verifies for nobody"
    world.later(hours=1)
    code, said = run("--status")
    assert code == 1 and "1 pbkdf2_sha256:i=1000: not wrapped, verifies for nobody" in said
    assert "2 hashes are to be wrapped." in said

    code, said = run()
    assert code == 0 and "2 of 2 hashes were wrapped, 0 changed meanwhile." in said
    for name, user in users.items():
        before = user.password
        user.refresh_from_db()
        assert user.password.startswith("portalsec$+")
        held = AccountLink.objects.get(user=user).password_hash
        assert held is not None and held.startswith("$ps1$raw,b,w$")
        assert before.rsplit("$", 1)[1] not in held, "the digest of the old hash is not kept"
        account = DjangoAccounts().by_login(name)
        assert account is not None and account.id == str(user.pk)
        assert account.password_changed_at is None
        assert signs_in(name)
        made_anew = DjangoAccounts().by_login(name)
        assert made_anew is not None and str(made_anew.password_hash).startswith("$ps1$nfc,b$argon2id$")
    code, said = run("--status")
    assert code == 0 and "pbkdf2" not in said
    assert len(world.events.named("auth.password_rehashed")) == 4


def test_a_cost_that_is_not_listed_stops_it_before_anything_is_written(world: project.World) -> None:
    weak = _CheapBcrypt().encode(PASSWORD, _CheapBcrypt().salt())
    users = people(ana=PBKDF2, ben=weak)
    code, said = run()
    assert code == 2 and "[passwords] older" in said and '"bcrypt_sha256:r=4"' in said
    for user in users.values():
        before = user.password
        user.refresh_from_db()
        assert user.password == before


def test_what_is_of_no_known_kind_is_listed_and_left_alone(world: project.World) -> None:
    users = people(ana=PBKDF2, ben="rot13$cnffjbeq", cleo="!", dan="")
    code, said = run()
    assert code == 1 and "1 of 1 hashes were wrapped" in said
    assert f"account {users['ben'].pk}" in said and "cnffjbeq" not in said
    for name in ("ben", "cleo", "dan"):
        before = users[name].password
        users[name].refresh_from_db()
        assert users[name].password == before
    assert run()[0] == 1, "done again, it comes to the same"


def test_what_is_the_portals_is_not_touched(world: project.World) -> None:
    world.portal.accounts.create(login="olivia", password=PASSWORD)
    before = get_user_model().objects.get(username="olivia").password
    code, said = run()
    assert code == 0 and "0 of 0" in said
    assert get_user_model().objects.get(username="olivia").password == before


def test_pwd_08_what_was_set_past_the_portal_is_listed_and_taken_over_only_when_asked(
    world: project.World,
) -> None:
    account = world.portal.accounts.create(login="olivia", password=PASSWORD)
    user = get_user_model().objects.get(username="olivia")
    user.password = PBKDF2
    user.save()
    people(ana=PBKDF2)
    code, said = run("--status")
    assert (
        code == 1 and "1 passwords were set past the portal" in said and "1 hashes are to be wrapped" in said
    )
    assert f"account {account.id}" in said
    code, said = run()
    assert code == 1 and "1 of 1 hashes were wrapped" in said and f"account {account.id}" in said
    user.refresh_from_db()
    assert user.password == PBKDF2
    code, said = run("--set-elsewhere")
    assert code == 0 and "1 of 1 hashes were wrapped" in said
    assert run("--status")[0] == 0


def test_stopped_half_way_the_same_command_goes_on(
    world: project.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(**{f"person-{number}": PBKDF2 for number in range(12)})
    monkeypatch.setattr(command, "_PAGE", 4)
    replace = DjangoAccounts.replace_column
    done: list[str] = []

    def stopping(self: DjangoAccounts, account_id: str, *arguments: Any, **more: Any) -> bool:
        if len(done) == 6:
            raise KeyboardInterrupt
        done.append(account_id)
        return replace(self, account_id, *arguments, **more)

    monkeypatch.setattr(DjangoAccounts, "replace_column", stopping)
    code, said = run()
    assert code == 130 and "goes on" in said
    monkeypatch.setattr(DjangoAccounts, "replace_column", replace)
    assert len(DjangoAccounts().foreign(limit=100)) == 6
    code, said = run()
    assert code == 0 and "6 of 6 hashes were wrapped" in said
    assert not DjangoAccounts().foreign(limit=100)


def test_a_password_that_changes_meanwhile_is_kept(
    world: project.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = people(ana=PBKDF2)
    wrap = type(world.portal.passwords).wrap
    account_id = str(users["ana"].pk)
    fresh = world.portal.passwords.hash("harbour pickle saturn mitten", account_id=account_id)

    def slow(self: Any, *arguments: Any, **more: Any) -> str:
        try:
            assert DjangoAccounts().set_password(account_id, fresh, expected=None)
        finally:
            connections.close_all()  # this runs in a thread of the command's own
        return wrap(self, *arguments, **more)

    monkeypatch.setattr(type(world.portal.passwords), "wrap", slow)
    monkeypatch.setattr(world.portal.passwords, "concurrency", 1)
    code, said = run()
    assert code == 0 and "0 of 1 hashes were wrapped, 1 changed meanwhile." in said
    account = DjangoAccounts().get(account_id)
    assert account is not None and account.password_hash == fresh
