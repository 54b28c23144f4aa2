"""A local keyset as a key-encryption key keeps the contract that the services keep."""

from __future__ import annotations

import pytest

from portalsec.crypto.keyset import Keyset
from portalsec.crypto.ports import Aead
from portalsec.testing.contracts import KeyEncryptionContract


class TestLocalKeyset(KeyEncryptionContract):
    @pytest.fixture
    def kek(self) -> Aead:
        return Keyset.generate("XAES_256_GCM").aead()

    @pytest.fixture
    def other_kek(self) -> Aead:
        return Keyset.generate("XAES_256_GCM").aead()
