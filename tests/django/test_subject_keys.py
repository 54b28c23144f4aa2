"""Subject keys through Django: which database, and what is left of an erased key on the disk."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from portalsec.crypto.ports import SubjectKey
from portalsec.django import models
from portalsec.django.conf import subject_database
from portalsec.django.router import PortalsecRouter
from portalsec.django.stores import DjangoSubjectKeys, django_stores
from portalsec.testing.portal import fresh_keys

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def secret(number: int) -> bytes:
    """As long as a wrapped key, and like no other."""
    return hashlib.shake_128(b"%d" % number).digest(156)


def remains(secret: bytes, data: bytes) -> bool:
    """Whether a part of it does: the rest may have been written over by chance."""
    return any(secret[at : at + 8] in data for at in range(0, len(secret) - 7, 8))


def key(number: int) -> SubjectKey:
    return SubjectKey(
        purpose="subject",
        subject=f"patient-{number:03}",
        key_id=number + 1,
        commitment=bytes(32),
        wrapped=secret(number),
        created_at=NOW,
    )


def test_erased_keys_are_nowhere_in_the_files(database: Any) -> None:
    store = DjangoSubjectKeys("portalsec")
    file = Path(connections["portalsec"].settings_dict["NAME"])

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))

    with connections["portalsec"].cursor() as cursor:
        cursor.execute(
            "PRAGMA secure_delete = OFF"
        )  # Debian's SQLite has it on by default; elsewhere it is off
    for number in range(100):
        store.get_or_create(key(number))
    assert secret(77) in on_disk()
    numbers = list(range(100))
    Random(4).shuffle(numbers)
    for number in numbers[:90]:
        store.erase("subject", key(number).subject, now=NOW)
    left = on_disk()
    assert not [number for number in numbers[:90] if remains(secret(number), left)]
    assert all(secret(number) in left for number in numbers[90:])


def test_the_keys_lie_with_the_security_state_or_where_the_setting_says() -> None:
    router = PortalsecRouter()
    assert subject_database() == "portalsec"
    assert router.db_for_write(models.SubjectKey) == "portalsec"
    with override_settings(PORTALSEC={"DATABASE": "portalsec", "SUBJECT_DATABASE": "subjects"}):
        assert router.db_for_read(models.SubjectKey) == router.db_for_write(models.SubjectKey) == "subjects"
        assert router.allow_migrate("subjects", "portalsec", "subjectkey")
        assert not router.allow_migrate("portalsec", "portalsec", "subjectkey")
        assert not router.allow_migrate("subjects", "portalsec", "session")
        assert router.allow_migrate("subjects", "auth", "user") is False
        assert django_stores(fresh_keys()).subjects._using == "subjects"  # type: ignore[attr-defined]


@pytest.mark.parametrize("alias", ["subjects"])
def test_a_database_that_is_not_configured_is_a_check_s_error(alias: str) -> None:
    from portalsec.django.checks import check_settings

    with override_settings(
        PORTALSEC={
            "PORTAL": "tests.django.project.portal",
            "DATABASE": "portalsec",
            "SUBJECT_DATABASE": alias,
        }
    ):
        assert [message.id for message in check_settings(None) if alias in message.msg] == ["portalsec.E002"]
