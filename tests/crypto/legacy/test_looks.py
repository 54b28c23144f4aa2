"""What may be a ciphertext is none of plaintext's business, however damaged; what people write is."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from datetime import date
from random import Random

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyring import Keyring
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.legacy import FernetReader, Plaintext
from portalsec.crypto.legacy._looks import may_be_sealed
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.testing import FrozenClock
from tests.crypto.support import gcm_key, keyset

KEYS = keyset(gcm_key(0x5CA1AB1E), primary=0x5CA1AB1E)
TEXTS: dict[str, Callable[[str], str]] = {
    "a space behind": lambda cell: cell + " ",
    "a line break behind": lambda cell: cell + "\n",
    "padding": lambda cell: cell + "=",
    "the standard alphabet": lambda cell: cell.replace("-", "+").replace("_", "/") + "=" * (-len(cell) % 4),
    "wrapped": lambda cell: "\n".join(textwrap.wrap(cell, 40)),
    "a form's plus": lambda cell: cell.replace("-", " "),
    "another first character": lambda cell: "Q" + cell[1:],
    "no first character": lambda cell: cell[1:],
    "a character in front": lambda cell: "x" + cell,
    "a stranger inside": lambda cell: cell[:30] + "*" + cell[31:],
    "JSON": lambda cell: f'"{cell}"',
    "repr of bytes": lambda cell: repr(cell.encode()),
    "hex": lambda cell: base64.urlsafe_b64decode(cell + "=" * (-len(cell) % 4)).hex(),
    "hex of PostgreSQL": lambda cell: "\\x" + base64.urlsafe_b64decode(cell + "=" * (-len(cell) % 4)).hex(),
    "upper case hex": lambda cell: base64.urlsafe_b64decode(cell + "=" * (-len(cell) % 4)).hex().upper(),
    "Latin-1": lambda cell: base64.urlsafe_b64decode(cell + "=" * (-len(cell) % 4)).decode("latin-1"),
}
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "another first byte": lambda cell: b"\x00" + cell[1:],
    "another key's": lambda cell: cell[:1] + bytes(4) + cell[5:],
    "no first byte": lambda cell: cell[1:],
    "a byte in front": lambda cell: b"\n" + cell,
    "no prefix": lambda cell: cell[5:],
    "hex": lambda cell: cell.hex().encode(),
    "hex of PostgreSQL": lambda cell: b"\\x" + cell.hex().encode(),
    "base64": lambda cell: base64.b64encode(cell),
    "lines of base64": lambda cell: base64.encodebytes(cell),
}


@pytest.fixture(autouse=True)
def same_nonces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is told by its statistics: of 33 bytes in base64, with another first character, one in thousands is not."""
    drawn = Random(7)
    monkeypatch.setattr("portalsec.crypto.aead.urandom", drawn.randbytes)
    monkeypatch.setattr("portalsec.crypto._hot.urandom", drawn.randbytes)


def until() -> Plaintext:
    return Plaintext(until=date(2099, 1, 1), clock=FrozenClock())


@pytest.mark.parametrize("value", ["", "secret value", "a longer text, of two lines\nor so. " * 3])
@pytest.mark.parametrize("damage", TEXTS.values(), ids=TEXTS)
def test_a_damaged_text_cell_is_never_the_value(value: str, damage: Callable[[str], str]) -> None:
    field = EncryptedField(KEYS, table="t", column="c", text=True, legacy=[until()])
    for row in range(20):
        cell = field.encrypt(value, row=row)
        stored = damage(cell)
        if stored != cell:  # not every cell has what is damaged
            for use in (field.decrypt, field.reencrypt):
                with pytest.raises(DecryptionError):
                    use(stored, row=row)


@pytest.mark.parametrize("value", [b"", b"secret value", bytes(300)])
@pytest.mark.parametrize("damage", BYTES.values(), ids=BYTES)
def test_a_damaged_cell_of_bytes_is_never_the_value(value: bytes, damage: Callable[[bytes], bytes]) -> None:
    field = EncryptedField(KEYS, table="t", column="c", type=bytes, legacy=[until()])
    for row in range(20):
        stored = damage(field.encrypt(value, row=row))
        for use in (field.decrypt, field.reencrypt):
            with pytest.raises(DecryptionError):
                use(stored, row=row)


@given(st.binary(min_size=45, max_size=400))
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    noise = bytes(byte | 0x80 for byte in data)
    assert may_be_sealed(noise)
    assert may_be_sealed(data.hex()) or data.hex().isdecimal()


def test_a_cell_of_a_key_that_marks_with_another_byte_is_refused() -> None:
    field = EncryptedField(KEYS, table="t", column="c", text=True, legacy=[until()])
    for prefix in ("CRUNCHY", "LEGACY"):
        cell = EncryptedField(
            keyset(gcm_key(7, prefix=prefix), primary=7), table="t", column="c", text=True
        ).encrypt("x", row=1)
        with pytest.raises(DecryptionError):
            field.decrypt(cell, row=1)


@pytest.mark.parametrize(
    "keys",
    [
        keyset(gcm_key(7, prefix="RAW"), primary=7),
        keyset(gcm_key(1), gcm_key(2, prefix="RAW"), primary=1).disable(2),
    ],
)
def test_raw_keys_and_plaintext_do_not_go_together(keys: Keyset) -> None:
    def declared(of: object) -> object:
        return EncryptedField(of, table="t", column="c", type=bytes, legacy=[until()])  # type: ignore[call-overload]

    with pytest.raises(ConfigurationError, match="is RAW"):
        declared(keys)
    ring = Keyring()
    later = declared(ring["phi"])
    with pytest.raises(ConfigurationError, match="is RAW"):
        ring.load(lambda: {"phi": keys})
    assert later is not None
    ring = Keyring(lambda: {"phi": keys})
    with pytest.raises(ConfigurationError, match="is RAW"):
        declared(ring["phi"])
    EncryptedField(keys, table="t", column="c", legacy=[FernetReader(Fernet.generate_key())])
    with pytest.raises(ConfigurationError, match="is RAW"):
        declared(keyset(gcm_key(7, prefix="RAW"), primary=7).aead())


def test_a_token_with_something_around_it_is_the_fernet_readers() -> None:
    key = Fernet.generate_key()
    token = Fernet(key).encrypt(b"value").decode()
    text = EncryptedField(KEYS, table="t", column="c", text=True, legacy=[FernetReader(key), until()])
    for stored in (token + "\n", " " + token, repr(token.encode())):
        assert text.decrypt(stored, row=1) == "value"
        for damaged in (stored.replace("gAAAA", "gAAAB"), stored.replace(token[40:44], "AAAA")):
            with pytest.raises(DecryptionError):
                text.decrypt(damaged, row=1)


WRITTEN = """\
note
Allergic to penicillin.
Dr. med. Anna-Maria Müller-Lüdenscheidt
Donaudampfschifffahrtsgesellschaftskapitänswitwe
AnnaMariaSophieMüllerLüdenscheidtVonUndZu
Rechtsschutzversicherungsgesellschaften
Abdominalschmerzen unbekannter Ursache
ALLERGISCH GEGEN PENICILLIN UND SULFONAMIDE
https://portal.example.org/patients/12345/notes/2024-03-15?tab=labs#section2
550e8400-e29b-41d4-a716-446655440000
550e8400e29b41d4a716446655440000
urn:uuid:550e8400-e29b-41d4-a716-446655440000
Patient/550e8400-e29b-41d4-a716-446655440000
CH93 0076 2011 6238 5295 7
CH9300762011623852957
RR 120/80 P 72 T 36.8 SpO2 98 BMI 24 HbA1c 6.1%
J45.9, E11.9, I10.90, Z86.7, F32.1, K21.0, M54.5
{"pos": 1.0, "name": "Ada", "allergies": ["latex", "penicillin"]}
+41 79 123 45 67 / 0041 44 123 45 67 (work)
anna.maria.mueller-luedenscheidt+clinic@very-long-hospital-name.example
2024-03-15T12:34:56.123456+00:00
Decimal('1234567890.12345678901234567890')
123456789012345678901234567890123456789012345678901234567890
παρακαλώ να μην χορηγηθεί πενικιλίνη
患者は青霉素に対してアレルギーがあります。注意してください。
Ибупрофен 400 мг три раза в день после еды
/var/data/2024/01/scan-0001-xray-of-the-left-knee.dcm
img_20240315_123456_left_knee_lateral_view_final_v2.jpeg
patient-visit-2024-03-15-summary-of-the-examination
Amoxicillin/Clavulansäure 875/125mg 1-0-1 für 7d, Ibuprofen 400mg b.Bed.
HLA-A*02:01,HLA-B*07:02,HLA-C*07:02,HLA-DRB1*15:01
-----------------------------------------"""


@pytest.mark.parametrize("written", [*WRITTEN.splitlines(), WRITTEN, "", "Zoë", WRITTEN * 100])
def test_what_people_write_is_taken(written: str) -> None:
    assert until().read(written) == written
    assert until().read(written.encode()) == written.encode()


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x02\x03 in the clear", bytes(16)])
def test_what_is_shorter_than_a_ciphertext_is_taken(data: bytes) -> None:
    assert until().read(data) == data


@pytest.mark.parametrize(
    "noise",
    [
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
    ],
)
def test_noise_that_was_meant_is_refused_too(noise: bytes | str) -> None:
    with pytest.raises(DecryptionError) as caught:
        until().read(noise)
    assert caught.value.reason == "may_be_ciphertext"
