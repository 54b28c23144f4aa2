from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.auth._stored_hash import Inner, Outer, StoredHash, message, parse
from portalsec.auth.legacy_hashes import LegacyCost
from portalsec.errors import Tampered

PHC = "$argon2id$v=19$m=65536,t=3,p=4$" + "A" * 22 + "$" + "A" * 43
INNERS = [
    LegacyCost("pbkdf2_sha256", (870_000,)),
    LegacyCost("scrypt", (16384, 8, 5)),
    LegacyCost("bcrypt", (12,)),
    LegacyCost("md5"),
    LegacyCost("phc_argon2id", (19, 102400, 2, 8, 32)),
]

held = st.builds(
    StoredHash,
    outer=st.builds(Outer, st.integers(512, 2**20), st.integers(1, 64), st.integers(1, 64)),
    salt=st.binary(min_size=16, max_size=64),
    tag=st.binary(min_size=16, max_size=64),
    pepper=st.none() | st.integers(1, 2**32 - 1),
)
inner = st.builds(Inner, st.sampled_from(INNERS), st.binary(max_size=64))


@given(held)
def test_what_is_written_is_read(stored: StoredHash) -> None:
    assert parse(stored.text()) == stored
    assert stored.text().isascii()


@given(held, inner, st.sampled_from(["raw", "nfc", "nfkc"]))
def test_what_is_written_of_a_wrapped_hash_is_read(stored: StoredHash, inside: Inner, form: str) -> None:
    wrapped = replace(stored, inner=inside, form=form)
    assert parse(wrapped.text()) == wrapped


def test_the_texts_are_as_they_are_written_down() -> None:
    outer = Outer(65536, 3, 4)
    plain = StoredHash(outer=outer, salt=bytes(16), tag=bytes(32))
    assert plain.text() == "$ps1$nfc,b" + PHC
    peppered = StoredHash(outer=outer, salt=bytes(16), tag=bytes(32), pepper=0x1A2B3C4D)
    assert peppered.text() == "$ps1$nfc,1a2b3c4d,b" + PHC
    wrapped = StoredHash(
        outer=outer, salt=bytes(16), tag=bytes(32), form="raw", inner=Inner(INNERS[0], b"seasalt")
    )
    assert wrapped.text() == "$ps1$raw,b,w$pbkdf2_sha256:i=870000$c2Vhc2FsdA" + PHC


def test_no_repr_shows_what_could_be_guessed_at() -> None:
    shown = repr(parse("$ps1$raw,b,w$pbkdf2_sha256:i=870000$c2Vhc2FsdA" + PHC))
    assert "seasalt" not in shown
    assert "tag" not in shown
    assert "salt=" not in shown


@pytest.mark.parametrize(
    "stored",
    [
        "",
        " ",
        "!",
        "$",
        "$ps1$",
        "$ps1$nfc,b",
        "$ps1$nfc" + PHC,  # not bound
        "$ps1$raw,b" + PHC,  # portalsec itself hashes NFC
        "$ps1$nfkc,b" + PHC,
        "$ps1$nfd,b" + PHC,
        "$ps1$b,nfc" + PHC,
        "$ps1$nfc,1A2B3C4D,b" + PHC,
        "$ps1$nfc,1a2b3c,b" + PHC,
        "$ps1$nfc,1a2b3c4d,1a2b3c4d,b" + PHC,
        "$ps1$nfc,b,w" + PHC,
        "$ps1$nfc,b,w$rot13$AA" + PHC,
        "$ps1$nfc,b,w$pbkdf2_sha256:i=0$AA" + PHC,
        "$ps1$nfc,b,w$pbkdf2_sha256:i=99999999999$AA" + PHC,
        "$ps1$nfc,b,w$md5$AB" + PHC,  # loose end bits
        "$ps2$nfc,b" + PHC,
        "$ps1$nfc,b$ps1$nfc,b" + PHC,
        "$ps1$nfc,b" + PHC.replace("argon2id", "argon2i"),
        "$ps1$nfc,b" + PHC.replace("v=19", "v=16"),
        "$ps1$nfc,b" + PHC.replace("m=65536", "m=8"),
        "$ps1$nfc,b" + PHC.replace("m=65536", "m=4294967295"),
        "$ps1$nfc,b" + PHC.replace("t=3", "t=65"),
        "$ps1$nfc,b" + PHC.replace("t=3", "t=٣"),
        "$ps1$nfc,b" + PHC.replace("A" * 22, ""),  # no salt
        "$ps1$nfc,b" + PHC.replace("A" * 22, "AAAA"),
        "$ps1$nfc,b" + PHC.replace("A" * 43, ""),  # no tag: nothing would equal nothing
        "$ps1$nfc,b" + PHC[:-1] + "B",
        "$ps1$nfc,b" + PHC + "\n",
        PHC,  # another system's
        " " + PHC,
        "argon2" + PHC,
    ],
)
def test_anything_else_is_tampering(stored: str) -> None:
    with pytest.raises(Tampered) as error:
        parse(stored)
    assert "AAAA" not in str(error.value)


@given(st.text(max_size=200))
def test_any_text_is_read_or_tampering(stored: str) -> None:
    with contextlib.suppress(Tampered):
        assert parse(stored).text() == stored


@given(
    st.lists(
        st.tuples(st.binary(), st.text(st.characters(codec="utf-8")), st.binary()), min_size=2, max_size=2
    )
)
def test_what_is_hashed_is_injective(parts: list[tuple[bytes, str, bytes]]) -> None:
    one, other = parts
    assert (message(*one) == message(*other)) is (one == other)
