from __future__ import annotations

import pytest

from portalsec.audit.vault import KeyedVault
from portalsec.errors import ConfigurationError
from tests.audit.support import mac


def test_pseudonyms_are_the_mac_under_their_own_purpose() -> None:
    vault = KeyedVault(mac)
    assert vault.pseudonym("patient-1") == mac("audit.subject", b"patient-1")[:16].hex()
    assert vault.pseudonym("patient-1") == KeyedVault(mac).pseudonym("patient-1")
    assert vault.pseudonym("patient-1") != vault.pseudonym("patient-2")


def test_another_key_gives_unrelated_pseudonyms() -> None:
    other = KeyedVault(lambda purpose, data: mac("other" + purpose, data))
    assert other.pseudonym("patient-1") != KeyedVault(mac).pseudonym("patient-1")


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        KeyedVault(mac).pseudonym("")


def test_atk_40_the_vault_does_not_show_its_key() -> None:
    assert repr(KeyedVault(mac)) == "KeyedVault(key hidden)"
