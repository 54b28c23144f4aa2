"""docs/how-to/django.md, word for word, in a project fresh from ``django-admin startproject``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PAGE = ROOT / "docs" / "how-to" / "django.md"

WALK = """
import pyotp, re
from datetime import timedelta
from django.test import Client
from portalsec.django.conf import get_portal

exec(open("scripts/first_account.py").read())
exec(open("anywhere").read())
browser = Client(headers={"host": "portal.example"})
asked = browser.get("/admin/", secure=True)
assert browser.get(asked["Location"], secure=True)["Location"] == "/sign-in?next=/admin/"
browser.post("/sign-in", {"login": "doctor", "password": "lantern orbit velvet cactus"}, secure=True)
page = browser.post("/sign-in/set-up", secure=True).content.decode()
seed = re.search(r'class="secret">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
code = pyotp.TOTP(seed).at(portal.clock())
assert browser.post("/sign-in/set-up/confirm", {"code": code}, secure=True).status_code == 303
assert browser.get("/records/p1", secure=True).status_code == 403

import config.portal
config.portal.Relations.holds = lambda self, relation, subject, resource: resource.id == "p1"
assert browser.get("/records/p1", secure=True).content == b"The record of p1"
assert browser.get("/records/p2", secure=True).status_code == 403

from django.contrib.auth import get_user_model
from portalsec.audit.reports import who_has_seen
from portalsec.rbac.model import Resource
class Patient:
    def portalsec_resource(self):
        return Resource(type="record", id="p1", attributes={"patient_id": "p1"})
assert may_read(get_user_model().objects.get(), Patient())
print([line.action for line in who_has_seen(portal.audit, "p1")])
portal.audit_writer.close()
"""


def test_the_page_makes_a_portal(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "django", "startproject", "config", ".")
    settings = tmp_path / "config" / "settings.py"
    started = settings.read_text(encoding="utf-8").replace(
        "ALLOWED_HOSTS = []", "ALLOWED_HOSTS = ['portal.example']"
    )
    (tmp_path / "scripts").mkdir()
    for code in re.findall(r"```py\n(.*?)```", text, re.DOTALL):
        name = re.match(r"# (\S+)\n", code)
        assert name is not None
        (tmp_path / name[1]).write_text(code, encoding="utf-8")
    settings.write_text(started + "\n" + settings.read_text(encoding="utf-8"), encoding="utf-8")
    main, policy = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "portalsec.toml").write_text(main, encoding="utf-8")
    (tmp_path / "policy.toml").write_text(policy, encoding="utf-8")

    (shell,) = [
        block for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) if "manage.py" in block
    ]
    commands = [line.removeprefix("$ python ") for line in shell.splitlines()]
    assert len(commands) == 5
    for command in commands:
        if command.startswith("-c "):
            run("-c", command.removeprefix('-c "').removesuffix('"'))
        else:
            run(*command.split())
    assert (tmp_path / "keys" / "mac.json").stat().st_mode & 0o777 == 0o600
    assert "no issues" in run("manage.py", "check")
    said = run("manage.py", "shell", "-c", WALK)
    assert said.strip().splitlines()[-1] == "['record.read', 'access.denied']"
