"""A project with its own user model: sign-in by e-mail address, UUID keys, no ``username``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

MODELS = """
import uuid
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

class People(BaseUserManager):
    pass

class Person(AbstractBaseUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    nickname = models.CharField(max_length=20, default="")
    USERNAME_FIELD = "email"
    objects = People()

class Bare(AbstractBaseUser):
    email = models.EmailField(unique=True)
    USERNAME_FIELD = "email"
    objects = People()
"""

SCRIPT = """
import sys
from datetime import UTC, datetime
import django
from django.conf import settings
from django.core.management import call_command

def sqlite(name):
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}

settings.configure(
    SECRET_KEY="x", USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "people", "portalsec.django"],
    AUTH_USER_MODEL="people.Person", DATABASES={"default": sqlite("app.db"), "portalsec": sqlite("security.db")},
    DATABASE_ROUTERS=["portalsec.django.router.PortalsecRouter"], PORTALSEC={"PORTAL": "none"},
)
django.setup()
from people.models import Person
from portalsec.auth.ports import Account
from portalsec.django.stores import DjangoAccounts
from portalsec.errors import ConfigurationError

call_command("makemigrations", "people", verbosity=0)
call_command("migrate", verbosity=0, skip_checks=True)
call_command("migrate", verbosity=0, database="portalsec", skip_checks=True)

NOW = datetime.now(UTC)
store = DjangoAccounts()
account = Account(id="0190-a", login="olivia@example.org", password_hash="$ps1$x", reference="p1", created_at=NOW)
assert store.create(account, now=NOW)
assert not store.create(account, now=NOW)
assert not store.create(Account(id="0190-b", login="olivia@example.org", password_hash=None), now=NOW)
assert store.get("0190-a") == store.by_login("olivia@example.org") == account
assert store.set_password("0190-a", "$ps1$y", expected="$ps1$x")
assert store.set_disabled("0190-a", True)

made = Person.objects.create(email="theo@example.org")
found = store.by_login("theo@example.org")
assert found is not None and found.id == str(made.pk) and store.get(str(made.pk)) == found
assert store.get(made.pk.hex) is None  # one spelling of an id
assert store.set_disabled(str(made.pk), True)
assert store.user(str(made.pk)) == made
linked = store.user("0190-a")
assert linked == Person.objects.get(email="olivia@example.org") and linked.portalsec_account.reference == "p1"
assert store.require_change(str(made.pk), "expired") and store.get(str(made.pk)).must_change == "expired"
assert store.set_password(str(made.pk), "$ps1$z" * 100, expected=None)
assert store.get(str(made.pk)).password_hash == "$ps1$z" * 100
assert sorted(each.id for each in store.page(after=None, limit=9)) == sorted([str(made.pk), "0190-a"])

settings.AUTH_USER_MODEL = "people.Bare"
try:
    store.by_login("x@example.org")
except ConfigurationError as error:
    assert "is_active" in str(error), error
else:
    raise AssertionError
print("done")
"""


def test_a_user_model_of_the_projects_own(tmp_path: Path) -> None:
    people = tmp_path / "people"
    (people / "migrations").mkdir(parents=True)
    for file, text in (("__init__.py", ""), ("migrations/__init__.py", ""), ("models.py", MODELS)):
        (people / file).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
