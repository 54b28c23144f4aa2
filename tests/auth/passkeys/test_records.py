"""What vouches for a stored passkey: a row that somebody wrote to signs nobody in."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from portalsec.auth.passkeys.assertion import NOBODY
from portalsec.auth.passkeys.records import Records
from portalsec.auth.ports import Passkey
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.seal import FieldSealer
from portalsec.errors import Reason
from portalsec.events import Outcome
from portalsec.testing import SoftAuthenticator
from tests.auth.passkeys.setting import MARIA, ROBIN, SECOND, Setting

FORGED = (Reason.PASSKEY_REFUSED, "A-record")
FOR_GOOD: dict[str, Any] = {
    "id": "another",
    "account_id": ROBIN.id,
    "credential_id": b"another",
    "user_handle": b"another",
    "public_key": b"another",
    "algorithm": -8,
    "aaguid": "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4",
    "backup_eligible": True,
    "attested": True,
}


@pytest.fixture
def s() -> Setting:
    return Setting()


def written(s: Setting, passkey: Passkey, **changed: Any) -> None:
    """As somebody writes to the database past portalsec."""
    s.store._passkeys[passkey.id] = replace(passkey, **changed)


def test_a_key_that_was_swapped_in_signs_nobody_in_and_is_recorded(s):
    browser, intruder = SoftAuthenticator(algorithms=(-7,)), SoftAuthenticator(algorithms=(-7,))
    held, other = s.register(browser), s.register(intruder, ROBIN)
    assert s.answer(browser) and s.answer(intruder)
    # Robin's key, and his authenticator's id and handle, in Maria's row.
    s.store.remove(ROBIN.id, other.id)
    mine = {name: getattr(other, name) for name in ("credential_id", "public_key", "user_handle")}
    for seal in (held.seal, other.seal):
        written(s, held, **mine, seal=seal)
        assert s.answer_refused(intruder) == FORGED
        assert s.answer_refused(intruder, MARIA, purpose=SECOND) == FORGED
    (event,) = s.events
    assert (event.name, event.outcome, event.actor.id) == (
        "auth.passkey_refused",
        Outcome.DENIED,
        MARIA.id,
    )
    # Its own row, moved to her account.
    del s.store._passkeys[held.id]
    written(s, other, account_id=MARIA.id)
    assert s.answer_refused(intruder) == FORGED
    written(s, other)
    assert s.answer(intruder).account_id == ROBIN.id


def test_a_row_without_a_seal_signs_nobody_in(s):
    browser = SoftAuthenticator()
    held = s.register(browser)
    for seal in (None, b"", held.seal[:-1], held.seal + b"\0"):
        written(s, held, seal=seal)
        assert s.answer_refused(browser) == FORGED
    s.keep(held)  # an operator who vouches for it
    assert s.answer(browser).account_id == MARIA.id


def test_a_flag_alone_does_not_make_a_key_worth_more(s):
    browser = SoftAuthenticator()
    written(s, s.register(browser), attested=True)
    assert s.answer_refused(browser) == FORGED


def test_a_seal_holds_for_one_record_and_survives_what_changes():
    records = Records(FieldSealer(Keyset.generate()))
    now = NOBODY.created_at + timedelta(days=1)
    held = records.sealed(NOBODY)
    assert records.holds(held)
    changes: dict[str, Any] = {
        "sign_count": 7,
        "label": "named",
        "transports": ("usb",),
        "backed_up": True,
        "user_verified": True,
        "discoverable": True,
        "created_at": now,
        "used_at": now,
        "suspect_at": now,
        "disabled_at": now,
        "removed_at": now,
    }
    assert {each.name for each in fields(Passkey)} == FOR_GOOD.keys() | changes.keys() | {"seal"}
    assert records.holds(replace(held, **changes))
    for name, value in FOR_GOOD.items():
        assert not records.holds(replace(held, **{name: value})), name


def test_no_two_records_have_one_seal():
    records = Records(FieldSealer(Keyset.generate()))
    held = records.sealed(
        replace(NOBODY, account_id="a 1", aaguid="b", credential_id=b"cd", user_handle=b"e")
    )
    for moved in (
        {"account_id": "a ", "aaguid": "1b"},
        {"account_id": "a 1b", "aaguid": ""},
        {"credential_id": b"c", "user_handle": b"de"},
        {"aaguid": "bc", "credential_id": b"d"},
        {"user_handle": b"e" + held.public_key[:1], "public_key": held.public_key[1:]},
    ):
        assert not records.holds(replace(held, **moved))


def test_an_unknown_credential_costs_what_a_known_one_does(s):
    """One seal is opened for either, also after the key of the invented one is gone."""
    keyset = Keyset.generate()
    ring = Keyring(lambda: {"fields": keyset})
    opened: list[int] = []

    class Counting(FieldSealer):
        def open(self, ciphertext: bytes, **place: str) -> bytes:
            opened.append(1)
            return super().open(ciphertext, **place)

    s.sealer = Counting(ring["fields"])
    s.service = s.with_policy()
    browser, stranger = SoftAuthenticator(algorithms=(-7,)), SoftAuthenticator(algorithms=(-7,))
    held, gone = s.register(browser), s.register(stranger, ROBIN)
    s.store.remove(ROBIN.id, gone.id)

    def costs() -> tuple[int, int]:
        opened.clear()
        assert s.answer_refused(stranger)[1] == "A-allow"
        unknown = len(opened)
        s.answer(browser)
        return unknown, len(opened) - unknown

    s.answer_refused(stranger)  # makes the invented one
    assert costs() == (1, 1)
    added = keyset.add("XAES_256_GCM")
    keyset = added.promote(added.info()[-1].id)
    ring.reload()
    s.keep(held)  # what the rotation does
    keyset = keyset.disable(keyset.info()[0].id)
    ring.reload()
    s.answer_refused(stranger)
    assert costs() == (1, 1)
