from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.audit.ports import StoredEntry
from portalsec.audit.record import decode
from portalsec.auth.devices import DEVICE_LIFETIME
from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import KnownDevice, Passkey, TotpDevice
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError, Denied, Reason, SubjectErased
from portalsec.events import Actor, Source
from portalsec.portal import Keys, Policies, Portal, build_portal, close_portal, purge
from portalsec.rbac.load import load_policy
from portalsec.testing.hashing import CHEAP_ARGON2
from portalsec.testing.portal import RelationTable, memory_portal, memory_stores
from tests.test_guard import PASSWORD, POLICY, SOURCE, World

EMPTY: dict[str, Any] = {
    "schema": 1,
    "resource": {"record": {"actions": ["read"]}},
    "role": {"clinician": {}},
}


def test_two_portals_in_one_process_share_nothing() -> None:
    one, two = World(), World()
    token, _ = one.sign_in()
    with pytest.raises(Denied) as caught:
        two.portal.guard.session(token, source=Source())
    assert caught.value.reason is Reason.SESSION_UNKNOWN
    with pytest.raises(Denied):
        two.portal.sign_in.start("doctor", PASSWORD, source=Source())
    for world in (one, two):
        world.portal.audit_writer.close()


def test_an_event_that_the_vocabulary_does_not_know_is_refused_when_the_portal_is_built() -> None:
    policy = {**EMPTY, "resource": {"record": {"actions": ["read"], "events": {"read": "record.red"}}}}
    with pytest.raises(ConfigurationError, match=r"record\.red"):
        memory_portal(policy)
    declared = {**EMPTY, "resource": {"record": {"actions": ["read"], "events": {"read": "lab.released"}}}}
    with pytest.raises(TypeError, match="no argument 'passkey': did you mean passkeys"):
        memory_portal(policy, passkey=None)
    assert "lab.released" in memory_portal(declared, events={"lab.released": "record.read"}).vocabulary


def test_an_audit_key_of_another_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="origin"):
        build_portal(
            name="Test",
            base_url="https://portal.example",
            keys=Keys(
                fields=Keyset.generate("AES256_GCM"),
                mac=Keyset.generate("HMAC_SHA256_PRF"),
                index=Keyset.generate("HMAC_SHA256_PRF"),
                audit=Ed25519Signer.generate("other.example/audit"),
            ),
            stores=memory_stores(),
            policies=Policies(access=load_policy(POLICY, source="policy"), hashing=CHEAP_ARGON2),
            relations=RelationTable(),
            origin="portal.example/audit",
            obligations={"stamp": lambda access: None},
        )


def test_keys_of_the_wrong_kind_are_refused() -> None:
    mac = Keyset.generate("HMAC_SHA256_PRF")
    with pytest.raises(ConfigurationError):
        build_portal(
            name="Test",
            base_url="https://portal.example",
            keys=Keys(fields=mac, mac=mac, index=mac, audit=Ed25519Signer.generate("o")),
            stores=memory_stores(),
            policies=Policies(access=load_policy(EMPTY, source="policy"), hashing=CHEAP_ARGON2),
            relations=RelationTable(),
            origin="o",
        )


def test_a_portals_repr_shows_no_key() -> None:
    fields = Keyset.generate("AES256_GCM")
    from portalsec.crypto.insecure import keyset_to_json

    world = World()
    text = repr(world.portal) + repr(fields)
    material = keyset_to_json(world.portal.keys.fields)
    assert (material if isinstance(material, str) else material.reveal())[80:120] not in text
    world.portal.audit_writer.close()


def test_a_purge_removes_what_is_over_and_nothing_else() -> None:
    world = World()
    token, _ = world.sign_in()
    world.portal.accounts.create(login="late", password=PASSWORD)
    world.portal.sign_in.start("late", PASSWORD, source=Source())
    removed = purge(world.portal)
    assert (removed.sessions, removed.flows) == (0, 0)
    assert world.portal.guard.session(token, source=SOURCE)
    world.clock.advance(world.portal.policies.sessions.absolute)
    removed = purge(world.portal)
    assert (removed.sessions, removed.flows) == (1, 1)
    close_portal(world.portal)


def test_a_purge_forgets_devices_that_nobody_uses_and_old_notices() -> None:
    world = World()
    stores, clock = world.portal.stores, world.clock
    account = world.portal.accounts.create(login="somebody", password=PASSWORD)
    began = clock()

    def told_and_remembered(number: int) -> None:
        world.portal.notices.tell(
            account.id, NoticeKind.PASSWORD_CHANGED, source=Source(), details={}, mail=False
        )
        device = KnownDevice(
            id=f"device-{number}",
            account_id=account.id,
            digest=bytes([number]) * 32,
            previous=None,
            label="Firefox",
            created_at=clock(),
            used_at=clock(),
        )
        assert stores.devices.add(device)

    told_and_remembered(1)
    clock.advance(timedelta(days=1))
    told_and_remembered(2)
    removed = purge(world.portal)
    assert (removed.devices, removed.notices) == (0, 0)
    clock.advance(began + max(DEVICE_LIFETIME, world.portal.policies.notices.keep) - clock())
    removed = purge(world.portal)
    assert (removed.devices, removed.notices) == (1, 1)
    assert [device.id for device in stores.devices.of_account(account.id)] == ["device-2"]
    assert len(stores.notices.of_account(account.id, limit=9)) == 1
    close_portal(world.portal)


def test_a_purge_forgets_removed_authenticators_once_nobody_can_bring_them_back() -> None:
    world = World()
    stores, clock = world.portal.stores, world.clock
    account = world.portal.accounts.create(login="somebody", password=PASSWORD)
    device = TotpDevice(
        id="1",
        account_id=account.id,
        label="",
        sealed_secret=b"",
        confirmed=True,
        last_step=0,
        created_at=clock(),
    )
    passkey = Passkey(
        id="1",
        account_id=account.id,
        credential_id=b"1",
        user_handle=b"1",
        public_key=b"1",
        algorithm=-7,
        sign_count=0,
        label="",
        aaguid="00000000-0000-0000-0000-000000000000",
        transports=(),
        backup_eligible=False,
        backed_up=False,
        user_verified=False,
        attested=False,
        discoverable=None,
        created_at=clock(),
    )
    for number in ("1", "2"):
        stores.totp.add(replace(device, id=number))
        stores.passkeys.add(replace(passkey, id=number, credential_id=number.encode()), at_most=9)
    stores.totp.remove(account.id, "1", at=clock())
    stores.passkeys.remove(account.id, "1", at=clock())
    clock.advance(timedelta(hours=24) - timedelta.resolution)
    assert purge(world.portal).authenticators == 0
    assert len(stores.totp.removed(account.id)) == len(stores.passkeys.removed(account.id)) == 1
    clock.advance(timedelta.resolution)
    assert purge(world.portal).authenticators == 2
    assert not stores.totp.removed(account.id) and not stores.passkeys.removed(account.id)
    assert len(stores.totp.devices(account.id)) == len(stores.passkeys.of_account(account.id)) == 1
    close_portal(world.portal)


def test_closing_signs_a_last_checkpoint_and_ends_the_connections() -> None:
    ended: list[str] = []
    stores = replace(memory_stores(), close=lambda: ended.append("closed"))
    portal = memory_portal(EMPTY, stores=stores)
    portal.accounts.create(login="somebody", password=PASSWORD)
    close_portal(portal)
    assert ended == ["closed"]
    assert portal.stores.audit.checkpoints()[-1].size == portal.stores.audit.size() == 1


def test_a_person_is_shredded_and_the_audit_log_keeps_the_receipt() -> None:
    portal = memory_portal(EMPTY)
    cell = portal.subjects.writing("patient-7").encrypt(b"value", b"place")
    receipt = portal.subjects.shred("patient-7", actor=Actor(type="user", id="account-3"))
    with pytest.raises(SubjectErased):
        portal.subjects.reading("patient-7").decrypt(cell, b"place")
    records = [decode(entry.body) for entry in reversed(_logged(portal))]
    assert [record.name for record in records][-2:] == ["subject.erasure_begun", "subject.erased"]
    assert records[-1].details["fingerprint"] == receipt.fingerprint
    assert records[-1].details["key_id"] == receipt.key_id
    assert b"patient-7" not in b"".join(entry.body for entry in _logged(portal))
    close_portal(portal)


def _logged(portal: Portal) -> Sequence[StoredEntry]:
    portal.stores.audit.integrate()
    return portal.stores.audit.newest(limit=100)
