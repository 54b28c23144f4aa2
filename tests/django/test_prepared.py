"""What runs as text for every request says what the ORM says, and asks no more than three times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connections
from django.db.models import Manager, Model, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext, isolate_apps

from portalsec.auth.ports import SessionRecord
from portalsec.auth.posture import DevicePosture
from portalsec.auth.proof import Factor, Proof
from portalsec.django.models import AccountEpoch, AccountLink, Session
from portalsec.django.stores import DjangoAccounts, DjangoSessions, account_id_of
from portalsec.django.stores._prepared import row_of
from portalsec.django.stores.accounts import _of_link
from portalsec.django.stores.sessions import _read
from portalsec.testing.contracts.base import NOW
from tests.django.browser import PASSWORD, signed_in, someone, who
from tests.django.project import World

pytestmark = pytest.mark.usefixtures("database")

_PLAIN = SessionRecord(
    digest=b"\x01" * 32,
    account_id="ada",
    epoch=0,
    created_at=NOW,
    last_seen_at=NOW + timedelta(seconds=3),
    proofs=(Proof(factor=Factor.PASSWORD, at=NOW),),
    level=1,
)
_FULL = replace(
    _PLAIN,
    proofs=(*_PLAIN.proofs, Proof(factor=Factor.TOTP, at=NOW, authenticator="phone")),
    level=2,
    phishing_resistant=True,
    idle=timedelta(minutes=2),
    absolute=timedelta(hours=1),
    shared=True,
    anomaly="network",
    impersonator="grace",
    behind=b"\x02" * 32,
    posture=DevicePosture(platform="ios", os_version="19.1", at=NOW),
    place="Oslo, Norway",
    address="192.0.2.1",
    networks=("192.0.2.0/24",),
    user_agent='Mozilla/5.0 "%s" 100 % é',
)


def fields_of(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@pytest.mark.parametrize("record", [_PLAIN, _FULL], ids=["plain", "full"])
@pytest.mark.parametrize("rests", [False, True], ids=["awake", "resting"])
def test_a_session_is_what_the_orm_reads(record: SessionRecord, rests: bool) -> None:
    store = DjangoSessions("portalsec")
    assert store.create(record).opened
    if rests:
        store.rest(record.digest, at=NOW + timedelta(minutes=5))
    AccountEpoch.objects.filter(account_id="ada").update(epoch=7)
    loaded = store.load(record.digest)
    row = Session.objects.select_related("account").get()
    assert loaded is not None
    assert loaded.record == _read(row)
    assert loaded.current_epoch == row.account.epoch == 7
    assert store.load(b"\x03" * 32) is None


def test_a_session_written_by_the_version_before_is_read_the_same_way() -> None:
    store = DjangoSessions("portalsec")
    store.create(_FULL)
    Session.objects.update(proofs=None, level=None, phishing_resistant=None, shared=None, networks=None)
    loaded = store.load(_FULL.digest)
    assert loaded is not None
    assert loaded.record == _read(Session.objects.get())
    assert (loaded.record.level, loaded.record.shared) == (2, False)


def test_a_touch_moves_only_a_session_that_is_awake_and_only_forward() -> None:
    store = DjangoSessions("portalsec")
    other = replace(_PLAIN, digest=b"\x02" * 32)
    assert store.create(_PLAIN).opened
    assert store.create(other).opened
    later = _PLAIN.last_seen_at + timedelta(seconds=1)
    assert store.touch(_PLAIN.digest, last_seen_at=later)
    assert not store.touch(_PLAIN.digest, last_seen_at=later)
    assert not store.touch(b"\x03" * 32, last_seen_at=later)
    store.rest(_PLAIN.digest, at=later)
    assert not store.touch(_PLAIN.digest, last_seen_at=later + timedelta(seconds=1))
    found, untouched = store.load(_PLAIN.digest), store.load(other.digest)
    assert found is not None
    assert untouched is not None
    assert (found.record.last_seen_at, untouched.record.last_seen_at) == (later, other.last_seen_at)


def test_a_user_is_what_the_orm_reads_linked_or_not(world: World) -> None:
    linked = world.portal.accounts.create(login="olivia", password=PASSWORD)
    get_user_model().objects.create(username="theo", first_name="T", is_staff=True)
    for username in ("olivia", "theo"):
        held = get_user_model().objects.get(username=username)
        found = DjangoAccounts().user(account_id_of(held))
        assert found is not None
        assert type(found) is type(held)
        assert fields_of(found) == fields_of(held)
        assert found._state.db == held._state.db
        assert not found._state.adding
    assert DjangoAccounts().user("nobody") is None
    user = DjangoAccounts().user(linked.id)
    with CaptureQueriesContext(connections["default"]) as asked:
        assert account_id_of(user) == linked.id
    assert not asked.captured_queries
    # The rest of the link is there for whoever asks.
    assert fields_of(user.portalsec_account) == fields_of(AccountLink.objects.get())  # type: ignore[union-attr]


def test_a_signed_in_request_asks_three_times(world: World, client: Client) -> None:
    signed_in(client, someone(world))
    assert who(client)
    with (
        CaptureQueriesContext(connections["default"]) as users,
        CaptureQueriesContext(connections["portalsec"]) as own,
    ):
        assert who(client)
    assert (len(users), len(own)) == (1, 2)


@isolate_apps("tests.django.clinic")
def test_a_model_whose_rows_are_not_plainly_its_own_is_read_by_the_orm() -> None:
    class Hiding(Manager[User]):
        def get_queryset(self) -> QuerySet[User]:
            return super().get_queryset().filter(first_name="of this request")

    class Of(User):  # type: ignore[django-manager-missing]
        class Meta:
            app_label = "clinic"
            base_manager_name = "everyone"

        everyone = Hiding()

    class Child(User):
        class Meta:
            app_label = "clinic"

    assert _of_link(get_user_model()) is not None
    assert _of_link(Of) is None
    assert _of_link(Child) is None


def _two_values(using: str, asked: str) -> QuerySet[Any, Any]:
    return Session.objects.using(using).filter(digest=asked, epoch=1).values_list("digest")


def test_a_statement_with_a_value_of_its_own_is_refused() -> None:
    with pytest.raises(TypeError, match="_two_values"):
        row_of(_two_values, "portalsec", "x")
