"""Addresses, notices and incidents under rotated keys: all is written anew, counted before, and the old keys can go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update

from portalsec.auth.incidents import incident_place
from portalsec.auth.notices import notice_place
from portalsec.auth.ports import Contact, Incident, Notice
from portalsec.crypto.prf import KeyedHash
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import DecryptionError
from portalsec.sqlalchemy import (
    SqlContacts,
    SqlIncidents,
    SqlNotices,
    contact_cells,
    create_schema,
    incident_cells,
    notice_cells,
    open_engine,
)
from portalsec.sqlalchemy.tables import contact as table
from tests.sqlalchemy.test_account_cells import NOW, Keys


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'security.db'}")
    create_schema(engine, "security")
    yield engine
    engine.dispose()


@pytest.fixture
def keys() -> Keys:
    return Keys()


def contacts_of(engine: Engine, keys: Keys) -> SqlContacts:
    return SqlContacts(engine, mac=KeyedHash(keys.ring["mac"]), sealer=FieldSealer(keys.ring["fields"]))


def contact(number: int) -> Contact:
    return Contact(
        id=f"contact-{number}",
        account_id="account-1",
        address=f"zoë{number}@example.org",
        verified_at=NOW,
        created_at=NOW,
    )


def rotation(engine: Engine, keys: Keys):
    return contact_cells(fields=keys.ring["fields"], mac=keys.ring["mac"]).over(engine, batch=7)


def test_every_address_is_written_anew_and_the_old_keys_can_go(engine: Engine, keys: Keys) -> None:
    contacts = contacts_of(engine, keys)
    everyone = [contact(number) for number in range(30)]
    for one in everyone[:20]:
        assert contacts.add(one)
    keys.rotate()
    for one in everyone[20:]:
        assert contacts.add(one)
    old = keys.old
    assert {
        each.column: (each.current, dict(each.older), each.unknown)
        for each in rotation(engine, keys).remaining()
    } == {"address_sealed": (10, {old["fields"]: 20}, 0), "address_mac": (10, {old["mac"]: 20}, 0)}
    last = list(rotation(engine, keys).run())[-1]
    assert (last.done, last.changed, last.failed) == (30, 20, 0)
    assert all(each.left == 0 for each in rotation(engine, keys).remaining())
    keys.disable_old()
    assert [list(contacts.by_address(one.address)) for one in everyone] == [[one] for one in everyone]
    assert not any(contacts.add(replace(one, id="x")) for one in everyone)


def test_an_address_that_was_moved_to_another_row_is_left_alone(engine: Engine, keys: Keys) -> None:
    contacts = contacts_of(engine, keys)
    for number in range(3):
        contacts.add(contact(number))
    with engine.begin() as connection:
        sealed = connection.scalar(select(table.c.address_sealed).where(table.c.id == "contact-1"))
        connection.execute(update(table).where(table.c.id == "contact-2").values(address_sealed=sealed))
    with pytest.raises(DecryptionError):
        contacts.by_address(contact(2).address)
    keys.rotate()
    last = list(rotation(engine, keys).run())[-1]
    assert (last.changed, last.failed) == (2, 1)
    assert [list(contacts.by_address(contact(n).address)) for n in (0, 1)] == [[contact(0)], [contact(1)]]


@pytest.mark.parametrize("kind", ["notice", "incident"])
def test_details_are_written_anew_and_the_old_key_can_go(engine: Engine, keys: Keys, kind: str) -> None:
    sealer = FieldSealer(keys.ring["fields"])
    place, cells = (notice_place, notice_cells) if kind == "notice" else (incident_place, incident_cells)

    def put(number: int) -> None:
        data = sealer.seal(b"details of %d" % number, **place(f"row-{number}"))
        if kind == "notice":
            notice = Notice(
                id=f"row-{number}", account_id=None, kind="k", at=NOW, code="c", data=data, due_at=NOW
            )
            assert SqlNotices(engine).put(notice)
        else:
            incident = Incident(
                id=f"row-{number}", account_id="a", notice_id=None, since=NOW, opened_at=NOW, data=data
            )
            assert SqlIncidents(engine).open(incident)

    def opened(number: int) -> bytes:
        store = SqlNotices(engine) if kind == "notice" else SqlIncidents(engine)
        row = store.get(f"row-{number}")
        assert row is not None
        return sealer.open(row.data, **place(row.id))

    for number in range(20):
        put(number)
    keys.rotate()
    for number in range(20, 30):
        put(number)
    run = cells(fields=keys.ring["fields"]).over(engine, batch=7)
    (status,) = run.remaining()
    assert (status.current, dict(status.older)) == (10, {keys.old["fields"]: 20})
    last = list(run.run())[-1]
    assert (last.done, last.changed, last.failed) == (30, 20, 0)
    keys.disable_old()
    assert [opened(number) for number in range(30)] == [b"details of %d" % number for number in range(30)]
