"""The relying party's id and origins at start. ATK-22's half at the constructor."""

from __future__ import annotations

import json

import pytest

from portalsec.auth.passkeys.rp_id import check_origins, check_rp_id, related_origins_document
from portalsec.errors import ConfigurationError

ANDROID = "android:apk-key-hash:" + "A" * 43


@pytest.mark.parametrize(
    "rp_id",
    [
        "portal.example",
        "login.portal.example",
        "localhost",
        "app.localhost",
        "clinic.github.io",
        "xn--mnchen-3ya.de",
        "0xbeef.cafe",
        "1.2.3.portal.example",
    ],
)
def test_domains_of_one_owner_pass(rp_id: str):
    check_rp_id(rp_id)


@pytest.mark.parametrize(
    "rp_id", ["com", "co.uk", "github.io", "any.ck", "s3.amazonaws.com", "intranet", "xn--p1ai"]
)
def test_atk_22_a_public_suffix_as_rp_id_is_an_error_at_start(rp_id: str):
    with pytest.raises(ConfigurationError, match=r"^passkeys\.rp_id: .*public suffix"):
        check_rp_id(rp_id, place="passkeys.rp_id")


@pytest.mark.parametrize(
    ("rp_id", "words"),
    [
        ("127.0.0.1", "addresses"), ("::1", "addresses"), ("[::1]", "addresses"), ("127.1", "addresses"),
        ("2130706433", "addresses"), ("0x7f.1", "addresses"), ("127.0x1", "addresses"), ("portal.0x7f", "addresses"),
        ("portal.0x", "addresses"), ("portal.123", "addresses"), ("", "not a domain"), ("Portal.example", "not a domain"),
        ("portal.example.", "not a domain"), (".portal.example", "not a domain"), ("https://portal.example", "not a domain"),
        ("portal.example:443", "not a domain"), ("portal.example/x", "not a domain"), ("a..example", "not a domain"),
        ("münchen.de", "not a domain"), ("-a.example", "not a domain"), ("a" * 64 + ".example", "not a domain"),
        ("a." * 126 + "example", "not a domain"), ("portal.example\n", "not a domain"), ("*.example", "not a domain"),
        ("a_b.example", "not a domain"),
    ],
)  # fmt: skip
def test_what_is_no_domain_is_an_error(rp_id: str, words: str):
    with pytest.raises(ConfigurationError, match=words):
        check_rp_id(rp_id)


def test_origins_on_the_id_and_under_it_and_apps_pass():
    check_origins(
        "portal.example",
        [
            "https://portal.example",
            "https://www.portal.example:8443",
            ANDROID,
            "ios:bundle-id:example.portal.app",
        ],
        related=["https://portal.test", "https://portal.co.uk"],
    )
    check_origins("localhost", ["http://localhost:8000", "https://app.localhost", "http://app.localhost:1"])


@pytest.mark.parametrize(
    "origin",
    [
        "http://portal.example", "https://portal.example/", "https://portal.example:443", "HTTPS://portal.example",
        "https://Portal.example", "https://portal.example.", "https://user@portal.example", "https://portal.example?x",
        "https://portal.example#", "https://portal.example:", "https://portal.example:0443", "https://other.example",
        "https://evilportal.example", "https://example", "portal.example", "null", "", " https://portal.example",
        "https://portal.example ", "https://portal.example:99999", "https://[::1", "https://[::1]", "https://127.0.0.1",
        "ftp://portal.example", "android:apk-key-hash:", ANDROID + "A", ANDROID[:-1] + "B", "ios:bundle-id:", "https://*.portal.example",
        "https://portal.example\n", "http://localhost",
    ],
)  # fmt: skip
def test_atk_21_an_origin_that_no_browser_sends_or_of_another_is_an_error(origin: str):
    with pytest.raises(ConfigurationError, match=r"^passkeys\.origins: "):
        check_origins("portal.example", [origin], place="passkeys.origins")


def test_no_origin_at_all_is_an_error():
    with pytest.raises(ConfigurationError, match="at least one"):
        check_origins("portal.example", [])


@pytest.mark.parametrize(
    "related",
    ["https://co.uk", "https://www.portal.example", "http://portal.test", ANDROID, "https://portal.test/"],
)
def test_a_related_origin_is_a_web_origin_of_another_owner(related: str):
    with pytest.raises(ConfigurationError):
        check_origins("portal.example", ["https://portal.example"], related=[related])


def test_browsers_follow_five_names_and_ends_of_one_name_count_once():
    ends = [f"https://portal.{end}" for end in ("de", "fr", "it", "es", "pt", "co.uk", "at")]
    check_origins("portal.example", ["https://portal.example"], related=ends)
    names = [f"https://portal{n}.de" for n in range(6)]
    check_origins("portal.example", ["https://portal.example"], related=names[:5])
    with pytest.raises(ConfigurationError, match="6 different names"):
        check_origins("portal.example", ["https://portal.example"], related=names)


def test_the_document_of_related_origins():
    text = related_origins_document(["https://portal.de", "https://portal.fr"])
    assert json.loads(text) == {"origins": ["https://portal.de", "https://portal.fr"]}
