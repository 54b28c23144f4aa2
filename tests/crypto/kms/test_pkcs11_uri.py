"""PKCS #11 URIs as RFC 7512 writes them, and nothing that could be overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto.kms import Pkcs11Uri
from portalsec.errors import ConfigurationError

LIBRARY = "?module-path=/usr/lib/softhsm/libsofthsm2.so"


def test_the_parts_are_read() -> None:
    uri = Pkcs11Uri.parse(
        f"pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;serial=0a1b;object=kek;id=%69%95%3e;type=secret-key{LIBRARY}"
        "&pin-source=file:/etc/token_pin"
    )
    assert uri == Pkcs11Uri(
        module=Path("/usr/lib/softhsm/libsofthsm2.so"),
        token="The Software PKCS#11 Softtoken",
        serial="0a1b",
        object="kek",
        id=b"\x69\x95\x3e",
        pin_source="file:/etc/token_pin",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a PKCS #11 URI"),
        ("pkcs11", "not a PKCS #11 URI"),
        ("PKCS11:token=t;object=o" + LIBRARY, "not a PKCS #11 URI"),
        (f"pkcs11:object=kek{LIBRARY}", "token="),
        (f"pkcs11:token=t{LIBRARY}", "object="),
        ("pkcs11:token=t;object=o", "module-path="),
        (f"pkcs11:token=t;object=o;type=private{LIBRARY}", "secret-key"),
        (f"pkcs11:token=t;object=o;object=p{LIBRARY}", "twice"),
        (f"pkcs11:token=t;object={LIBRARY}", "empty"),
        (f"pkcs11:token=t;object=a b{LIBRARY}", "percent"),
        (f"pkcs11:token=t;object=%2{LIBRARY}", "percent"),
        (f"pkcs11:token=t;object=%ff{LIBRARY}", "UTF-8"),
        (f"pkcs11:token=t;object=o;manufacturer=m{LIBRARY}", "not used here"),
        (f"pkcs11:token=t;object=o{LIBRARY}&module-name=softhsm2", "not used here"),
        (f"pkcs11:token=t;object=o{LIBRARY}&pin-value=hunter2", "no place"),
        (f"pkcs11:token=t;object=o;pin-value=hunter2{LIBRARY}", "no place"),
    ],
)
def test_what_is_not_read_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Pkcs11Uri.parse(text)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for each in (text, f"pkcs11:{text}", f"pkcs11:token=t;object={text}{LIBRARY}"):
        try:
            Pkcs11Uri.parse(each)
        except ConfigurationError:
            continue
