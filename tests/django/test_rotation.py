"""A portal over Django's stores and a rotation of ``fields``: the command reaches all of it, and the old key can go."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.auth.ports import Contact, RecoveryCode
from portalsec.crypto import EncryptedField, Keyset
from portalsec.crypto.subjects import SubjectKeys
from portalsec.django import models
from portalsec.django.keys import forget_keys
from portalsec.events import SYSTEM, Source
from portalsec.portal import Keys
from portalsec.testing.contracts.base import NOW
from tests.config.registered import Registered
from tests.django import project
from tests.django.browser import Someone, signed_in, someone, who
from tests.django.clinic import keys as clinic_keys
from tests.django.clinic.models import Letter
from tests.django.test_sessions import HOST, everything_stored

SSN = "078-05-1120"
ADDRESS = "olivia@example.org"


class Site:
    """A portal over databases, and the keyset that a test rotates under it."""

    def __init__(self) -> None:
        self.keys = Keys(
            fields=Keyset.generate(),
            mac=Keyset.generate("HMAC_SHA256_PRF"),
            index=Keyset.generate("HMAC_SHA256_PRF"),
            audit=Ed25519Signer.generate("portal.example/audit"),
        )
        self.old = self.fields.primary_id
        self.world = project.current = project.World(keys=self.keys)
        self.person = someone(self.world)
        self.browser, self.visitor = Client(headers=HOST), Client(headers=HOST)
        signed_in(self.browser, self.person)
        self.browser.get("/keep?value=person")
        self.visitor.get("/keep?value=visitor")
        self.cell = self.field().encrypt(SSN, row="r1", subject="patient-1")
        notes = SubjectKeys(
            self.world.portal.stores.subjects,
            keys=self.fields,
            clock=self.world.clock,
            emit=self.world.events,
            purpose="notes",
        )
        notes.writing("patient-1")
        portal = self.world.portal
        self.passkey = Registered(portal, self.person.id)
        contact = Contact(
            id="c1", account_id=self.person.id, address=ADDRESS, verified_at=NOW, created_at=NOW
        )
        assert portal.stores.contacts.add(contact)
        (told,) = portal.notices.of_account(self.person.id)  # of the sign-in
        assert portal.incidents.open_for(told, actor=SYSTEM, source=Source())

    @property
    def fields(self) -> Keyset:
        assert isinstance(self.keys.fields, Keyset)
        return self.keys.fields

    def field(self) -> EncryptedField[str]:
        return EncryptedField(self.world.portal.subjects, table="patients", column="ssn")

    def start_again(self, fields: Keyset) -> None:
        """The process ends, and another one begins with this keyset."""
        self.keys = replace(self.keys, fields=fields)
        self.world = project.current = project.World(keys=self.keys, clock=self.world.clock)
        self.person = Someone(self.world, self.person.id, self.person.login, self.person.seed)
        forget_keys()

    def rotate(self) -> None:
        added = self.fields.add("XAES_256_GCM")
        self.start_again(added.promote(added.info()[-1].id))

    def works(self) -> None:
        """Sessions go on, the person signs in by both factors elsewhere, and the patient's cell opens."""
        assert self.browser.get("/whoami").json() == {"user": "olivia", "kept": {"kept": "person"}}
        assert self.visitor.get("/whoami").json() == {"user": "", "kept": {"kept": "visitor"}}
        self.world.later(seconds=30)
        other = Client(headers=HOST)
        signed_in(other, self.person)
        assert who(other) == "olivia"
        portal = self.world.portal
        self.passkey.works(portal)
        assert [each.address for each in portal.stores.contacts.by_address(ADDRESS)] == [ADDRESS]
        for told in portal.notices.of_account(self.person.id):
            assert portal.notices.details(told) is not None
        (incident,) = portal.incidents.of_account(self.person.id)
        assert portal.incidents.summary(incident)
        assert self.field().decrypt(self.cell, row="r1", subject="patient-1") == SSN

    def under_the_old_key(self) -> int:
        """How often a cell of the old key begins anywhere in the databases."""
        return everything_stored().count(b"\x01" + self.old.to_bytes(4, "big"))


@pytest.fixture
def site(database: None) -> Iterator[Site]:
    yield Site()
    project.current = None
    forget_keys()


def run(*arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    try:
        call_command("portalsec_reencrypt", *arguments, stdout=out, stderr=err)
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    return code, out.getvalue() + err.getvalue()


OWN = [
    ("portalsec.TotpDevice", "sealed_secret", 1),
    ("portalsec.Passkey", "seal", 1),
    ("portalsec.SessionData", "data", 2),
    ("portalsec.Notice", "data", 1),
    ("portalsec.Incident", "data", 1),
    ("portalsec.Contact", "address_sealed", 1),
    ("subject keys of the portal", "wrapped", 1),
    ("subject keys of the portal (notes)", "wrapped", 1),
]


def test_the_command_reaches_all_that_the_portal_seals_and_the_old_key_can_go(site: Site) -> None:
    assert run("--status")[0] == 0
    site.rotate()
    site.works()
    # The person's second sign-in is of the new key.
    assert site.under_the_old_key() == 9
    code, said = run("--status")
    assert code == 1 and "9 cells" in said
    for name, column, count in OWN:
        assert f"{name}, {column}: " in said and f", {count} under key {site.old}" in said
    code, said = run("--dry-run")
    assert code == 0 and site.under_the_old_key() == 9
    code, said = run()
    assert code == 0, said
    for name, _, count in OWN:
        (line,) = [line for line in said.splitlines() if line.startswith(f"{name}: ")]
        assert f"{count} written" in line and "0 failed" in line
    code, said = run("--status")
    assert code == 0 and "Nothing is left." in said
    assert site.under_the_old_key() == 0
    site.start_again(site.fields.disable(site.old))
    site.works()
    site.start_again(site.fields.destroy(site.old))
    site.works()


def test_hashes_of_addresses_are_brought_under_the_new_mac_key_and_the_old_one_can_go(site: Site) -> None:
    from portalsec.django.management.commands.portalsec_keys import _cells_under

    assert isinstance(site.keys.mac, Keyset)
    old = site.keys.mac.primary_id

    def start_again(mac: Keyset) -> None:
        site.keys = replace(site.keys, mac=mac)
        site.start_again(site.fields)

    added = site.keys.mac.add("HMAC_SHA256_PRF")
    start_again(added.promote(added.info()[-1].id))
    code = RecoveryCode(account_id=site.person.id, digest=b"1", key_id=old, created_at=NOW)
    codes = site.world.portal.stores.recovery_codes
    codes.replace(site.person.id, [code, replace(code, digest=b"2")])
    assert codes.spend(site.person.id, [b"2"], at=NOW)
    assert _cells_under("mac", old) == {"portalsec.Contact": 1, "recovery codes": 1}
    assert codes.spend(site.person.id, [b"1"], at=NOW)
    assert _cells_under("mac", old) == {"portalsec.Contact": 1}
    assert _cells_under("fields", site.fields.primary_id) == {}
    code, said = run("--status")
    assert code == 1 and "portalsec.Contact, address_mac: " in said and f"1 under key {old}" in said
    assert run()[0] == 0
    assert _cells_under("mac", old) == {}
    assert run("--status")[0] == 0
    assert isinstance(site.keys.mac, Keyset)
    start_again(site.keys.mac.disable(old))
    site.works()


def test_without_the_command_the_old_key_is_needed(site: Site) -> None:
    site.rotate()
    site.start_again(site.fields.disable(site.old))
    assert who(site.browser) == ""
    with pytest.raises(AssertionError):
        site.works()
    assert run("--status")[0] == 1
    assert run()[0] == 1, "what does not open is listed, and left as it was"
    site.start_again(site.fields.enable(site.old))
    site.world.later(minutes=1)
    assert run()[0] == 0
    assert site.under_the_old_key() == 0


def test_a_session_and_a_seed_that_change_meanwhile_are_kept(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portalsec.django.cells import DjangoCells

    site.rotate()
    swap = DjangoCells.swap

    def slow(self: Any, changes: Any) -> Any:
        if changes and changes[0].row.key[0] in digests:
            monkeypatch.undo()
            site.visitor.get("/keep?value=meanwhile")
        return swap(self, changes)

    digests = set(models.SessionData.objects.using("portalsec").values_list("digest", flat=True))
    monkeypatch.setattr(DjangoCells, "swap", slow)
    assert run()[0] == 0
    assert site.visitor.get("/whoami").json()["kept"] == {"kept": "meanwhile"}
    assert site.under_the_old_key() == 0


def test_a_removed_authenticator_is_restored_under_the_new_key(site: Site) -> None:
    totp, now = site.world.portal.stores.totp, site.world.clock()
    (device,) = totp.devices(site.person.id)
    assert totp.remove(site.person.id, device.id, at=now)
    site.rotate()
    assert run()[0] == 0
    assert site.under_the_old_key() == 0
    site.start_again(site.fields.disable(site.old))
    assert totp.restore(site.person.id, device.id, since=now - timedelta(hours=1))
    site.works()


def test_of_named_models_only_those_are_done(site: Site) -> None:
    Letter.objects.create(site="north", text="dear")
    site.rotate()
    code, said = run("clinic.Letter")
    assert code == 0 and "portalsec." not in said and "subject keys" not in said
    code, said = run("clinic.Letter", "--status")
    assert code == 0 and "portalsec." not in said
    code, said = run("--rebuild-index")
    assert code == 0 and "portalsec." not in said
    assert site.under_the_old_key() == 9
    Letter.objects.all().delete()


def test_a_project_with_fields_alone_has_nothing_of_the_portal_s(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    names = {
        name: settings.PORTALSEC[name]
        for name in ("DATABASE", "KEYRING", "SUBJECT_KEYS")
        if name in settings.PORTALSEC
    }
    monkeypatch.setattr(settings, "PORTALSEC", names)
    forget_keys()
    assert clinic_keys.subjects
    code, said = run("--status")
    assert (
        code == 0
        and "portalsec." not in said
        and "of the portal" not in said
        and "subject keys, wrapped" in said
    )
