"""Names of makes, and that a passkey without a name of its owner's gets its make's."""

from __future__ import annotations

from uuid import UUID

import pytest

from portalsec.auth.passkeys.makes import PROVIDERS, make_name
from portalsec.testing import SoftAuthenticator
from tests.auth.passkeys.setting import MARIA, ORIGIN, PLACE, Setting

GOOGLE = "ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4"


class Known:
    def name_of(self, aaguid: str) -> str | None:
        return "Listed Key" if aaguid == GOOGLE else None


def test_makes_are_uuids_in_lower_case_and_names_fit_a_label():
    for aaguid, name in PROVIDERS.items():
        assert str(UUID(aaguid)) == aaguid
        assert 1 <= len(name) <= 64


def test_metadata_is_asked_first():
    assert make_name(GOOGLE) == "Google Password Manager"
    assert make_name(GOOGLE, Known()) == "Listed Key"
    assert make_name(str(UUID(int=0)), Known()) is None


@pytest.mark.parametrize(
    ("aaguid", "label", "shown"),
    [
        (GOOGLE, "", "Google Password Manager"),
        (GOOGLE, "  ", "Google Password Manager"),
        (GOOGLE, None, "Google Password Manager"),
        (GOOGLE, "Maria's phone", "Maria's phone"),
        (str(UUID(int=0)), "", "Passkey"),
    ],
)
def test_a_passkey_without_a_name_gets_its_make_s(aaguid: str, label: object, shown: str):
    setting, browser = Setting(), SoftAuthenticator(aaguid=aaguid)
    response = browser.create(setting.creation(), origin=ORIGIN)
    assert setting.service.complete_registration(PLACE, MARIA.id, response, label=label).label == shown
