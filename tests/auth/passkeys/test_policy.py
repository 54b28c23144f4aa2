"""`PasskeyPolicy`: an object that exists is valid."""

from __future__ import annotations

from datetime import timedelta

import pytest

from portalsec.auth.passkeys import PasskeyPolicy
from portalsec.auth.passkeys.cose import mldsa_available
from portalsec.auth.passkeys.policy import DEFAULT_ALGORITHMS
from portalsec.errors import ConfigurationError

ORIGIN = "https://portal.example"
GOOD = {"rp_id": "portal.example", "origins": (ORIGIN,)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rp_id": "co.uk", "origins": ("https://co.uk",)}, "public suffix"),
        ({"rp_id": "192.0.2.1"}, "rp_id"),
        ({"rp_id": ""}, "rp_id"),
        ({"origins": ()}, "origins"),
        ({"origins": ("https://evil.example",)}, "origins"),
        ({"origins": ("http://portal.example",)}, "origins"),
        ({"origins": (ORIGIN + "/",)}, "origins"),
        ({"related_origins": ("http://other.example",)}, "origins"),
        (
            {"top_origins": ("hospital.example",)},
            "top_origins: 'hospital.example' is no origin: write it with its scheme",
        ),
        ({"top_origins": "https://hospital.example"}, "top_origins: several are expected"),
        ({"origins": "https://portal.example"}, "origins: several are expected"),
        ({"top_origins": ("https://hospital.example/",)}, "top_origins"),
        ({"top_origins": ("http://hospital.example",)}, "top_origins"),
        ({"top_origins": ("*",)}, "top_origins"),
        ({"top_origins": ("https://[",)}, "top_origins"),
        ({"algorithms": ()}, "algorithms"),
        ({"algorithms": (-7, -7)}, "algorithms"),
        ({"algorithms": (-65535,)}, "algorithms"),
        ({"clone": "ignore"}, "clone"),
        ({"resident_key": "never"}, "resident_key"),
        ({"challenge_lifetime": timedelta(seconds=5)}, "challenge_lifetime"),
        ({"challenge_lifetime": timedelta(hours=1)}, "challenge_lifetime"),
        ({"timeout": timedelta(seconds=1)}, "timeout"),
        ({"timeout": timedelta(minutes=6)}, "timeout"),
        ({"max_passkeys": 0}, "max_passkeys"),
        ({"max_passkeys": 51}, "max_passkeys"),
    ],
    ids=str,
)
def test_what_could_not_work_cannot_be_built(changed, said):
    with pytest.raises(ConfigurationError, match=f"PasskeyPolicy: {said}|{said}"):
        PasskeyPolicy(**GOOD | changed)


def test_framing_pages_are_origins():
    for top in ("https://hospital.example", "https://a.hospital.example:8443", "http://localhost:3000"):
        assert PasskeyPolicy(**GOOD, top_origins=(top,)).top_origins == (top,)


def test_a_page_with_one_address():
    assert PasskeyPolicy.for_page("https://portal.example:8443").rp_id == "portal.example"
    assert PasskeyPolicy.for_page("http://localhost:8000").origins == ("http://localhost:8000",)
    for page in (
        "https://192.0.2.1",
        "http://portal.example",
        "https://[2001:db8::1]",
        "http://127.0.0.1:8000",
    ):
        with pytest.raises(ConfigurationError):
            PasskeyPolicy.for_page(page)


def test_what_every_authenticator_has_one_of_comes_first():
    assert DEFAULT_ALGORITHMS[:3] == (-7, -8, -257)
    assert (-48 in DEFAULT_ALGORITHMS) is mldsa_available()
