from __future__ import annotations

import pytest

from portalsec.audit.vault import KeyedVault
from portalsec.errors import ConfigurationError
from tests.audit.support import TestMac, mac


def test_pseudonyms_are_the_mac_under_their_own_purpose() -> None:
    vault = KeyedVault(mac)
    assert vault.pseudonym("patient-1") == mac("audit.subject", b"patient-1")[:16].hex()
    assert vault.pseudonym("patient-1") == KeyedVault(mac).pseudonym("patient-1")
    assert vault.pseudonym("patient-1") != vault.pseudonym("patient-2")


def test_another_key_gives_unrelated_pseudonyms() -> None:
    other = KeyedVault(TestMac(b"other"))
    assert other.pseudonym("patient-1") != KeyedVault(mac).pseudonym("patient-1")


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        KeyedVault(mac).pseudonym("")
    with pytest.raises(ConfigurationError):
        KeyedVault(mac).pseudonyms("")


def test_a_person_is_known_under_every_key_that_is_read_the_current_one_first() -> None:
    old, new = KeyedVault(TestMac(b"old")), KeyedVault(TestMac(b"new"))
    both = KeyedVault(TestMac(b"new", b"old"))
    assert both.pseudonyms("ann") == (new.pseudonym("ann"), old.pseudonym("ann"))
    assert both.pseudonym("ann") == new.pseudonym("ann")
    assert old.pseudonyms("ann") == (old.pseudonym("ann"),)


def test_atk_40_the_vault_does_not_show_its_key() -> None:
    assert repr(KeyedVault(mac)) == "KeyedVault(key hidden)"
