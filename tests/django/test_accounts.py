"""`DjangoAccounts` over the project's own user table: Django's hashes, existing users, a caller that has written."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password
from django.contrib.auth.models import Group
from django.db import connections, transaction

from portalsec.auth.ports import Account
from portalsec.django.conf import security_database
from portalsec.django.models import AccountLink
from portalsec.django.stores import DjangoAccounts, account_id_of
from portalsec.django.stores.accounts import hashes_under, set_elsewhere
from portalsec.django.stores.password_history import DjangoPasswordHistory
from portalsec.errors import Denied, StoreError
from portalsec.events import Source
from portalsec.testing.contracts.base import NOW
from tests.django.browser import PASSWORD, password_step, signed_in, someone, who
from tests.django.project import World

pytestmark = pytest.mark.usefixtures("database")


def users() -> object:
    return get_user_model().objects


def test_pwd_08_a_password_that_django_set_past_the_gate_opens_nothing_and_ours_nothing_there(
    world: World,
) -> None:
    account = world.portal.accounts.create(login="olivia", password=PASSWORD)
    user = get_user_model().objects.get(username="olivia")
    held = AccountLink.objects.get(user=user).password_hash
    assert held is not None and held.startswith("$ps1$nfc,b$argon2id$v=19$")
    assert user.password == f"portalsec$+{hashlib.sha256(held.encode()).hexdigest()}"
    assert not check_password(PASSWORD, user.password)

    user.set_password("short")  # Django's own argon2 hasher, and what it asks of a password: nothing
    user.save()
    stored = DjangoAccounts().get(account.id)
    assert stored is not None and stored.password_hash is None
    assert list(DjangoAccounts().foreign(limit=9)) == [user] and set_elsewhere(user)
    assert "argon2$argon2id$" in user.password
    for password in (PASSWORD, "short"):
        with pytest.raises(Denied):
            world.portal.sign_in.start("olivia", password, source=Source(address="192.0.2.7"))


def test_a_user_that_django_made_has_no_password_until_it_is_wrapped(world: World) -> None:
    from django.test import Client

    user = get_user_model().objects.create_user("olivia", password=PASSWORD)
    before = user.password
    browser = Client(headers={"host": "portal.example"})
    assert browser.post("/sign-in", {"login": "olivia", "password": PASSWORD}).status_code == 401
    user.refresh_from_db()
    assert user.password == before and before.startswith("argon2$argon2id$")
    stored = DjangoAccounts().get(account_id_of(user))
    assert stored is not None and stored.password_hash is None
    assert list(DjangoAccounts().foreign(limit=9)) == [user] and not set_elsewhere(user)


def test_another_hashers_password_is_none_that_portalsec_can_verify(world: World) -> None:
    from django.test import Client

    user = get_user_model().objects.create_user("olivia")
    user.password = PBKDF2PasswordHasher().encode(PASSWORD, "saltsaltsaltsaltsaltsalt")
    user.save()
    account = DjangoAccounts().by_login("olivia")
    assert account is not None
    assert account.password_hash is None
    browser = Client(headers={"host": "portal.example"})
    assert browser.post("/sign-in", {"login": "olivia", "password": PASSWORD}).status_code == 401
    # it can be given one: the expected state is "none"
    assert DjangoAccounts().set_password(
        account.id, world.portal.passwords.hash(PASSWORD, account_id=account.id), expected=None
    )
    assert browser.post("/sign-in", {"login": "olivia", "password": PASSWORD}).status_code == 303


@pytest.mark.parametrize(
    "column",
    [
        "argon2$argon2i$v=19$m=512,t=2,p=2$c29tZXNhbHQxMjM0NTY$" + "A" * 43,  # Django before 3.2
        "argon2$argon2id$m=102400,t=2,p=8$c29tZXNhbHQxMjM0NTY$" + "A" * 43,  # no version, which means 16
        "argon2$argon2id$v=16$m=102400,t=2,p=8$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "argon2$argon2d$v=19$m=102400,t=2,p=8$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "argon2$",
        "argon2",
        "argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQxMjM0NTY$" + "A" * 43,
        "argon2x",
        "",
    ],
)
def test_any_other_content_of_the_column_is_an_account_without_a_password(world: World, column: str) -> None:
    from django.test import Client

    get_user_model().objects.create(username="legacy", password=column)
    account = DjangoAccounts().by_login("legacy")
    assert account is not None
    assert account.password_hash is None
    browser = Client(headers={"host": "portal.example"})
    known = browser.post("/sign-in", {"login": "legacy", "password": PASSWORD})
    unknown = browser.post("/sign-in", {"login": "nobody-at-all", "password": PASSWORD})
    assert (known.status_code, unknown.status_code) == (401, 401)
    assert DjangoAccounts().set_password(
        account.id, world.portal.passwords.hash(PASSWORD, account_id=account.id), expected=None
    )
    assert browser.post("/sign-in", {"login": "legacy", "password": PASSWORD}).status_code == 303


def test_a_user_without_a_link_has_its_primary_key_as_id_and_keeps_it(world: World) -> None:
    store = DjangoAccounts()
    user = get_user_model().objects.create_user("olivia")
    account = store.by_login("olivia")
    assert account is not None
    assert account.id == account_id_of(user) == str(user.pk)
    assert store.get(account.id) == account
    assert store.get("0" + account.id) is None
    assert store.get(f" {account.id}") is None
    # ... which nobody else can take
    assert not store.create(Account(id=account.id, login="other", password_hash=None), now=NOW)
    AccountLink.objects.create(account_id=account.id, user=user, reference="patient-1")
    linked = store.get(account.id)
    assert linked is not None
    assert linked.reference == "patient-1"


def test_a_linked_user_is_not_found_by_its_primary_key(world: World) -> None:
    account = world.portal.accounts.create(login="olivia", password=PASSWORD)
    user = get_user_model().objects.get(username="olivia")
    assert account.id != str(user.pk)
    assert DjangoAccounts().get(str(user.pk)) is None
    assert not DjangoAccounts().set_disabled(str(user.pk), True)


@pytest.mark.parametrize(
    "account_id", ["", "-", "9" * 40, "-9223372036854775809", "1e3", "٣", "None", "x" * 500]
)
def test_an_id_that_is_none_finds_nobody(account_id: str) -> None:
    get_user_model().objects.create_user("olivia")
    assert DjangoAccounts().get(account_id) is None
    assert not DjangoAccounts().set_disabled(account_id, True)


def test_loc_02_a_name_stored_in_capitals_is_found_and_cannot_be_taken_twice(world: World) -> None:
    store = DjangoAccounts()
    user = get_user_model().objects.create_user("Olivia")
    found = store.by_login("olivia")
    assert found is not None
    assert found.id == str(user.pk)
    assert store.by_login("OLIVIA") is None  # logins come in canonical form
    assert not store.create(Account(id="new", login="olivia", password_hash=None), now=NOW)
    assert not AccountLink.objects.exists()
    get_user_model().objects.create_user("OLIVIA")
    assert store.by_login("olivia") is None  # two differ only in that: neither is guessed at


def test_a_name_that_the_column_cannot_hold_is_as_a_taken_one() -> None:
    assert not DjangoAccounts().create(Account(id="new", login="a" * 151, password_hash=None), now=NOW)
    assert not get_user_model().objects.exists()


def test_is_active_is_not_disabled(world: World) -> None:
    from django.test import Client

    person = someone(world)
    browser = Client(headers={"host": "portal.example"})
    get_user_model().objects.update(is_active=False)
    assert password_step(browser, person).status_code == 401
    get_user_model().objects.update(is_active=True)
    signed_in(browser, person)
    assert who(browser) == "olivia"


def test_a_change_waits_for_nobody_on_sqlite_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """One SQLite file has one writer: the caller that holds it is told, and nothing is half done."""
    store = DjangoAccounts()
    store.create(Account(id="a", login="olivia", password_hash=None), now=NOW)
    monkeypatch.setitem(connections["default"].settings_dict["OPTIONS"], "timeout", 0.05)
    with transaction.atomic():
        Group.objects.create(name="the application's")
        with pytest.raises(StoreError):
            store.set_disabled("a", True)
    account = store.get("a")
    assert account is not None
    assert not account.disabled
    assert Group.objects.exists()  # the caller's own work goes on


def test_a_user_made_in_the_callers_transaction_is_seen_in_it() -> None:
    with transaction.atomic():
        get_user_model().objects.create_user("olivia")
        assert DjangoAccounts().by_login("olivia") is not None
        transaction.set_rollback(True)
    assert DjangoAccounts().by_login("olivia") is None


LONG = "$ps1$raw,1a2b3c4d,b,w$pbkdf2_sha256:i=870000$" + "c" * 400


def test_a_long_hash_lies_beside_the_user_and_counts_while_the_column_points_at_it() -> None:
    store = DjangoAccounts()
    store.create(Account(id="a", login="olivia", password_hash=LONG), now=NOW)
    user = get_user_model().objects.get(username="olivia")
    assert len(user.password) <= 128 and user.has_usable_password()
    session_hash = user.get_session_auth_hash()

    assert store.set_password("a", LONG + "d", expected=LONG)
    user.refresh_from_db()
    assert user.get_session_auth_hash() != session_hash, "a new password ends Django's own sessions"

    old = get_user_model().objects.get(username="olivia")
    user.set_password("harbour pickle saturn mitten")
    user.save()
    found = store.get("a")
    assert found is not None and found.password_hash is None, "what Django wrote is none of the portal's"
    assert not store.set_password("a", "x", expected=LONG + "d")

    assert store.set_password("a", LONG, expected=None)
    old.save()  # writes back what the column held before
    found = store.get("a")
    assert found is not None and found.password_hash is None, "a pointer to nothing is no password"
    assert store.set_password("a", LONG, expected=None)


def test_a_key_of_the_pepper_counts_what_it_protects_earlier_passwords_included() -> None:
    store = DjangoAccounts()
    store.create(Account(id="a", login="olivia", password_hash=LONG), now=NOW)
    DjangoPasswordHistory(security_database()).add("a", LONG + "e", at=NOW, keep=5, compromised=True)
    DjangoPasswordHistory(security_database()).add("a", "$ps1$nfc,b$argon2id$", at=NOW, keep=5)
    assert set(hashes_under(0x1A2B3C4D).values()) == {1} and len(hashes_under(0x1A2B3C4D)) == 2
    assert hashes_under(0x1A2B3C4E) == {}


def test_what_lies_beside_the_user_alone_is_no_password(world: World) -> None:
    """Whoever can write the link, and not the user, cannot give an account a password."""
    account = world.portal.accounts.create(login="olivia", password=PASSWORD)
    stranger = world.portal.passwords.hash("the stranger's own password", account_id=account.id)
    AccountLink.objects.update(password_hash=stranger)
    found = DjangoAccounts().get(account.id)
    assert found is not None and found.password_hash is None


def test_a_user_without_a_link_gets_one_when_it_is_needed_and_keeps_its_id(world: World) -> None:
    store = DjangoAccounts()
    users = [get_user_model().objects.create_user(f"person-{number}") for number in range(3)]
    first, second, third = (str(user.pk) for user in users)
    assert not AccountLink.objects.exists()
    assert store.require_change(first, "expired")
    assert store.signed_in(second, at=NOW)
    assert store.set_password(third, LONG, expected=None, changed_at=NOW)
    assert {link.account_id: link.user_id for link in AccountLink.objects.all()} == {
        str(user.pk): user.pk for user in users
    }
    assert [store.get(first).must_change, store.get(second).signed_in_at] == [
        "expired",
        NOW,
    ]
    changed = store.get(third)
    assert changed is not None
    assert (changed.password_hash, changed.password_changed_at) == (LONG, NOW)
    assert not store.require_change("999999", "expired")
    assert AccountLink.objects.count() == 3


def test_pages_hold_users_that_other_means_made() -> None:
    store = DjangoAccounts()
    store.create(Account(id="0190-a", login="olivia", password_hash=None), now=NOW)
    made = [get_user_model().objects.create_user(f"person-{number}") for number in range(5)]
    seen: list[str] = []
    while page := store.page(after=seen[-1] if seen else None, limit=2):
        seen += [account.id for account in page]
    assert seen == sorted(["0190-a", *(str(user.pk) for user in made)])


def test_what_django_knows_of_a_user_of_before_counts() -> None:
    """So that nobody is taken for dormant on the day that portalsec comes."""
    joined, used = NOW - timedelta(days=900), NOW - timedelta(days=3)
    user = get_user_model().objects.create_user("olivia", date_joined=joined, last_login=used)
    store = DjangoAccounts()
    account = store.get(str(user.pk))
    assert account is not None
    assert (account.created_at, account.signed_in_at) == (joined, used)
    assert store.signed_in(account.id, at=NOW)
    account = store.get(account.id)
    assert account is not None
    assert (account.created_at, account.signed_in_at) == (joined, NOW)
