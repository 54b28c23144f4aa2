"""Fields over keyrings that are loaded later and reloaded under load, and over readers of older data."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime

import pytest
from cryptography.fernet import Fernet

from portalsec.crypto import EncryptedField, FieldSealer, Keyring, Keyset
from portalsec.crypto.legacy import FernetReader, Plaintext
from portalsec.errors import ConfigurationError, DecryptionError
from tests.crypto.support import gcm_key, keyset, siv_key, xaes_key
from tests.crypto.test_fields import Plain, refused

OTHER = bytes(range(32))


def field(keys, **more):
    return EncryptedField(keys, **({"table": "t", "column": "c"} | more))


# -- a ring that is loaded later --------------------------------------------------------------------------------


def test_a_field_is_declared_before_keys_are_loaded():
    ring = Keyring()
    declared = field(ring["phi"])
    encrypt, decrypt, sealer = declared.encrypt, declared.decrypt, FieldSealer(ring["phi"])
    uses = [
        lambda: declared.encrypt("value", row=1),
        lambda: declared.decrypt(bytes(50), row=1),
        lambda: declared.encrypt_many(["value"], [1]),
        lambda: declared.decrypt_many([bytes(50)], [1]),
        lambda: declared.needs_reencrypt(bytes(50)),
        lambda: declared.current_prefix,
        lambda: field(ring["phi"], legacy=[Plaintext(until=date(2999, 1, 1))]).decrypt(b"value", row=1),
        lambda: sealer.seal(b"", table="t", column="c", row="r"),
        lambda: sealer.open(bytes(50), table="t", column="c", row="r"),
        lambda: ring["phi"].aead(nonce="message").encrypt(b"", b""),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match=r"'phi' is not loaded: call load\(\)"):
            use()
    keys = keyset(xaes_key())
    ring.load(lambda: {"phi": keys})
    cell = encrypt("value", row=1)
    assert (
        decrypt(cell, row=1) == "value" == declared.decrypt(cell, row=1) == field(keys).decrypt(cell, row=1)
    )
    assert ring["phi"].aead() is ring["phi"].aead()
    assert (
        sealer.open(sealer.seal(b"s", table="t", column="c", row="r"), table="t", column="c", row="r") == b"s"
    )


def test_keys_for_hashing_are_refused_at_the_load():
    ring = Keyring()
    declared = field(ring["phi"])
    with pytest.raises(ConfigurationError, match="needs one of the kind"):
        ring.load(lambda: {"phi": Keyset.generate("HMAC_SHA256_PRF")})
    with pytest.raises(ConfigurationError, match="not loaded"):
        declared.encrypt("value", row=1)
    with pytest.raises(ConfigurationError):
        field(Keyring(lambda: {"index": Keyset.generate("HMAC_SHA256_PRF")})["index"])


@pytest.mark.parametrize("kept", [True, False], ids=["the method was kept", "looked up each time"])
def test_a_reload_to_another_kind_of_key(kept):
    """AES-GCM, XAES, AES-GCM-SIV, RAW and back: old cells open, new ones are of the new key."""
    entries = [gcm_key(1), xaes_key(2, OTHER), siv_key(3), gcm_key(4, OTHER, prefix="RAW")]
    now = 1
    ring = Keyring(lambda: {"phi": keyset(*entries, primary=now)})
    declared = field(ring["phi"])
    encrypt, decrypt = declared.encrypt, declared.decrypt
    cells = []
    for now in (1, 2, 3, 4, 2, 1):
        ring.reload()
        cell = encrypt("value", row=1) if kept else declared.encrypt("value", row=1)
        assert cell.startswith(b"" if now == 4 else b"\x01\x00\x00\x00%c" % now)
        assert len(cell) == 5 + {1: 33, 2: 45, 3: 33, 4: 28}[now]
        cells.append(cell)
        for each in cells * 2:
            assert (decrypt(each, row=1) if kept else declared.decrypt(each, row=1)) == "value"
        assert declared.decrypt_many(cells, [1] * len(cells)) == ["value"] * len(cells)


def test_a_key_that_is_disabled_no_longer_opens_after_the_reload():
    keys = keyset(gcm_key(1), xaes_key(2), primary=1)
    ring = Keyring(lambda: {"phi": keys})
    declared = field(ring["phi"])
    old = declared.encrypt("value", row=1)
    keys = keys.promote(2).disable(1)
    assert declared.decrypt(old, row=1) == "value"
    ring.reload()
    assert refused(declared, old, row=1) == "unknown_key"


@pytest.mark.parametrize("template", ["XAES_256_GCM", "AES256_GCM"])
def test_a_rotation_under_load(template, monkeypatch):
    """Eight threads go on while keys are added, promoted and disabled: no error, and every cell opens."""
    monkeypatch.setattr("portalsec.crypto.aead._SESSION", 300)  # salts change under load, too
    keys = Keyset.generate("AES256_GCM")
    ring = Keyring(lambda: {"phi": keys})
    declared = field(ring["phi"])
    encrypt, every, problems = declared.encrypt, [{} for _ in range(8)], []
    news, epoch, reached = threading.Condition(), 0, [0] * 8

    def work(number, cells):
        try:
            for turn in range(100_000):
                now = epoch
                if now < 0:
                    return
                if reached[number] != now:  # as the re-encryption does, before the old key is disabled
                    cells |= {row: declared.reencrypt(cell, row=row) for row, cell in cells.items()}
                    with news:
                        reached[number] = now
                        news.notify_all()
                rows = [1000 * number + (turn + step) % 100 for step in range(6)]
                cells[rows[0]] = encrypt("value", row=rows[0])
                cells[rows[1]] = declared.encrypt("value", row=rows[1])
                cells |= zip(rows[2:], declared.encrypt_many(["value"] * 4, rows[2:]), strict=True)
                read = [declared.decrypt(cells[row], row=row) for row in rows]
                read += declared.decrypt_many([cells[row] for row in rows], rows)
                if set(read) != {"value"}:
                    problems.append(read)
        except Exception as error:
            problems.append(error)
            with news:
                news.notify_all()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(every)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        old, keys = keys.primary_id, keys.add(template)
        ring.reload()
        keys = keys.promote(keys.info()[-1].id)
        ring.reload()
        with news:
            epoch += 1
            news.wait_for(lambda now=epoch: problems or set(reached) == {now}, timeout=60)
        keys = keys.disable(old)
        ring.reload()
    epoch = -1
    for thread in threads:
        thread.join()
    assert problems == []
    fresh, opened = field(keys), 0
    for cells in every:
        for row, cell in cells.items():
            assert fresh.decrypt(cell, row=row) == "value"
            assert not fresh.needs_reencrypt(cell)
            opened += 1
    assert opened > 8 * 6


# -- legacy readers ---------------------------------------------------------------------------------------------


class Reader:
    """Data that begin with its mark are its own."""

    def __init__(self, name="marked", mark="old:"):
        self.name, self.mark, self.asked = name, mark, []

    def read(self, data):
        self.asked.append(data)
        text = data if isinstance(data, str) else data.decode("latin-1")
        if not text.startswith(self.mark):
            return None
        if text.endswith("?"):
            raise DecryptionError("not_authentic")
        return text.removeprefix(self.mark)


@pytest.mark.parametrize("text", [False, True])
def test_readers_are_asked_in_their_order_and_counted(text):
    first, last = Reader(), Reader("all", "")
    declared = field(keyset(xaes_key()), text=text, legacy=[first, last])
    column = (lambda data: data) if text else str.encode
    assert declared.legacy_counts == {"marked": 0, "all": 0}
    assert declared.decrypt(column("old:value"), row=1) == "value" and last.asked == []
    assert declared.decrypt(column("other"), row=1) == "other"
    assert declared.decrypt_many([column("old:a"), None, declared.encrypt("b", row=3)], [1, 2, 3]) == [
        "a",
        None,
        "b",
    ]
    assert declared.legacy_counts == {"marked": 2, "all": 1}
    assert refused(declared, column("old:?"), row=1) == "not_authentic", "its own, and not handed on"
    cell = declared.reencrypt(column("old:value"), row=1)
    assert declared.needs_reencrypt(column("old:value")) and not declared.needs_reencrypt(cell)
    assert declared.decrypt(cell, row=1) == "value"
    assert declared.legacy_counts == {"marked": 3, "all": 1}
    assert declared.decrypt(declared.rebind(column("old:value"), row=1, to_row=2), row=2) == "value"


def test_what_is_ours_is_never_handed_to_a_reader():
    """Another place, an edit, a disabled and a destroyed key: none of it may open as plaintext."""
    keys = keyset(xaes_key(1), gcm_key(2), siv_key(3, prefix="CRUNCHY"), gcm_key(4), primary=1)
    cells = [field(keys.promote(each)).encrypt("value", row=1) for each in (1, 2, 3, 4)]
    catch = Reader("all", "")
    declared = field(keys.disable(2).destroy(4), legacy=[catch])
    for cell in cells:
        refused(declared, cell, row=2)
        refused(declared, cell[:-1] + b"?", row=1)
        refused(declared, cell[:5], row=1)
        refused(declared, bytearray(cell[:-1]), row=1)
    assert refused(declared, cells[1], row=1) == "unknown_key"
    assert refused(declared, cells[3], row=1) == "unknown_key"
    assert catch.asked == []
    assert declared.decrypt(cells[0], row=1) == declared.decrypt(cells[2], row=1) == "value"
    assert declared.decrypt(b"\x01\x00\x00\x00\x09 junk", row=1) == "\x01\x00\x00\x00\x09 junk"
    assert refused(declared, 5, row=1) == "not_bytes"


def test_what_a_reader_opens_is_converted_to_the_type():
    born = field(keyset(xaes_key()), type=date, pad=16, legacy=[Reader()])
    assert born.decrypt(b"old:1815-12-10", row=1) == date(1815, 12, 10)
    assert refused(born, b"old:yesterday", row=1) == "not_convertible"
    assert born.legacy_counts == {"marked": 1}
    assert born.decrypt(born.reencrypt(b"old:1815-12-10", row=1), row=1) == date(1815, 12, 10)


def test_fernet_columns_and_plaintext_until_a_date():
    key = Fernet.generate_key()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    declared = field(
        keyset(xaes_key()),
        legacy=[FernetReader([key]), Plaintext(until=date(2026, 1, 31), clock=lambda: now)],
    )
    token = Fernet(key).encrypt(b"value")
    assert declared.decrypt(token, row=1) == "value" and declared.decrypt(b"plain", row=1) == "plain"
    now = datetime(2026, 2, 1, tzinfo=UTC)
    assert declared.decrypt(token, row=1) == "value"
    assert refused(declared, b"plain", row=1) == "plaintext_expired"


def test_counts_of_many_threads_add_up():
    declared = field(keyset(xaes_key()), legacy=[Reader()])
    threads = [
        threading.Thread(target=lambda: [declared.decrypt(b"old:value", row=1) for _ in range(200)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert declared.legacy_counts == {"marked": 1600}


@pytest.mark.parametrize(
    ("keys", "legacy", "words"),
    [
        (keyset(xaes_key()), [Reader(), Reader()], "two legacy readers of t.c are named 'marked'"),
        (keyset(xaes_key()), [object()], "holds a object, which is no reader"),
        (keyset(xaes_key()), [Plaintext(until=date(2999, 1, 1)), Reader()], "takes anything: list it last"),
        (Plain(keyset(xaes_key())), [Reader()], "cannot say which ciphertexts are its own"),
    ],
)
def test_readers_that_are_declared_wrong_are_refused(keys, legacy, words):
    with pytest.raises(ConfigurationError, match=words):
        field(keys, legacy=legacy)
