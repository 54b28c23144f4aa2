"""Plaintext is taken until a date, and never where it looks like a cell."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.keyset import Keyset
from portalsec.crypto.legacy import Plaintext
from portalsec.errors import ConfigurationError, DecryptionError
from portalsec.testing import FrozenClock


@pytest.mark.parametrize(
    ("until", "last"),
    [
        (date(2026, 3, 31), datetime(2026, 3, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        (
            datetime(2026, 3, 31, 2, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 3, 30, 23, 59, 59, 999999, tzinfo=UTC),
        ),
    ],
)
def test_it_ends(until: date | datetime, last: datetime) -> None:
    now = [last]
    reader = Plaintext(until=until, clock=lambda: now[0])
    assert reader.read("value") == "value"
    assert reader.read(b"value") == b"value"
    now[0] += timedelta(microseconds=1)
    with pytest.raises(DecryptionError) as caught:
        reader.read("value")
    assert caught.value.reason == "plaintext_expired"


@pytest.mark.parametrize("until", [datetime(2026, 3, 31), "2026-03-31", None])
def test_until_is_an_instant(until: object) -> None:
    with pytest.raises(ConfigurationError, match="until"):
        Plaintext(until=until)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [False, True])
def test_a_cell_whose_key_is_gone_is_never_taken_as_the_value(text: bool) -> None:
    other = EncryptedField(Keyset.generate(), table="t", column="c", type=bytes, text=text)
    field = EncryptedField(
        Keyset.generate(),
        table="t",
        column="c",
        type=bytes,
        text=text,
        legacy=[Plaintext(until=date(2099, 1, 1), clock=FrozenClock())],
    )
    for size in (0, 1, 50):
        cell = other.encrypt(bytes(size), row=1)
        with pytest.raises(DecryptionError):
            field.decrypt(cell, row=1)
        with pytest.raises(DecryptionError):
            field.reencrypt(cell, row=1)
    assert field.decrypt("note" if text else b"note", row=1) == b"note"  # type: ignore[arg-type]
