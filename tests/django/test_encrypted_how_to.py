"""docs/how-to/encrypt-columns-with-django.md, word for word, in a project fresh from ``django-admin startproject``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT

PAGE = ROOT / "docs" / "how-to" / "encrypt-columns-with-django.md"

WALK = """
from pathlib import Path
exec(Path("anywhere").read_text())
from clinic.models import Visit
from django.contrib import admin
visit = Visit.objects.create(patient=ada, note="n")
assert Visit.objects.get(pk=visit.pk, patient__ssn="078-05-1120").note == "n"
assert admin.site.is_registered(Patient)
print("walked")
"""


def test_the_page_makes_a_project(tmp_path: Path) -> None:
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
        return done.stdout + done.stderr

    run("-m", "django", "startproject", "config", ".")
    settings = tmp_path / "config" / "settings.py"
    started = settings.read_text(encoding="utf-8")
    (tmp_path / "clinic").mkdir()
    (tmp_path / "clinic" / "__init__.py").touch()
    for code in re.findall(r"```py\n(.*?)```", text, re.DOTALL):
        name = re.match(r"# (\S+)\n", code)
        assert name is not None
        (tmp_path / name[1]).write_text(code, encoding="utf-8")
    settings.write_text(started + "\n" + settings.read_text(encoding="utf-8"), encoding="utf-8")

    consoles = [
        line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    assert "$ mkdir -m 700 keys" in consoles
    (tmp_path / "keys").mkdir(mode=0o700)
    keys = [line.removeprefix("$ portalsec ") for line in consoles if line.startswith("$ portalsec keys new")]
    assert len(keys) == 2
    for command in keys:
        run("-c", "from portalsec.cli import main; main()", *command.split())
    assert (tmp_path / "keys" / "index.json").stat().st_mode & 0o777 == 0o600

    assert "no issues" in run("manage.py", "check")
    run("manage.py", "makemigrations", "clinic")
    run("manage.py", "migrate")
    assert run("manage.py", "shell", "-c", WALK).strip().splitlines()[-1] == "walked"
    commands = [line.removeprefix("$ python ") for line in consoles if line.startswith("$ python manage.py")]
    assert len(commands) == 3
    for command in commands:
        said = run(*command.split())
        assert "clinic.Patient(id): 1 rows, 0 " in said and "0 failed" in said
    assert "Nothing is left." in run("manage.py", "portalsec_reencrypt", "--status")
    # A field without its keys, and a key of the database's, are errors before anything is written.
    models = tmp_path / "clinic" / "models.py"
    models.write_text(models.read_text(encoding="utf-8").replace(', row="uid"', ""), encoding="utf-8")
    (tmp_path / "keys" / "fields.json").unlink()
    done = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "portalsec.E024" in done.stderr and "portalsec.E027" in done.stderr, done.stderr
