"""Keyset files in the clear and under a key-encryption key: read, written, replaced, wrapped."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portalsec.audit.checkpoint import Ed25519Signer
from portalsec.config import KeysetFiles, create_keys, load_settings, open_kek, wrap_keys
from portalsec.config.keysets import keyset_context, keyset_names
from portalsec.config.opening import open_keys
from portalsec.config.settings import Settings
from portalsec.crypto.fields import EncryptedField
from portalsec.crypto.insecure import keyset_to_json
from portalsec.crypto.keyset import Keyset
from portalsec.errors import ConfigurationError, DecryptionError, KeyServiceUnavailable
from portalsec.portal import Keys
from tests.keyservices import Token, Transit
from tests.support import ROOT

ORIGIN = "portal.example/audit"
PORTAL = {"name": "Riverside", "base_url": "https://portal.example"}


def settings_of(folder: Path, kek: str | None = None, **keys: str) -> Settings:
    given_keys = dict(keys) if kek is None else {"kek": kek, **keys}
    return load_settings({"portal": PORTAL, "keys": given_keys}, base=folder, env={})


def local_kek(folder: Path, name: str = "kek.json") -> str:
    (folder / name).touch(mode=0o600)
    (folder / name).write_text(keyset_to_json(Keyset.generate("XAES_256_GCM")))
    return f"file:{name}"


def problem(settings: Settings, **env: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_keys(settings, env=env)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys", origin=ORIGIN)
    return tmp_path


@pytest.fixture
def wrapped(tmp_path: Path) -> Settings:
    """A portal's keys under a local key-encryption key."""
    reference = local_kek(tmp_path)
    kek = open_kek(reference, key="kek", base=tmp_path, env={})
    create_keys(tmp_path / "keys", origin=ORIGIN, kek=kek)
    return settings_of(tmp_path, reference)


# -- the place of a file ----------------------------------------------------------------------------------------


@given(st.text(), st.text(), st.text(), st.text())
def test_the_context_of_a_file_is_injective(a: str, b: str, c: str, d: str) -> None:
    if all(not any("\ud800" <= ch <= "\udfff" for ch in text) for text in (a, b, c, d)):
        assert (keyset_context(a, b) == keyset_context(c, d)) == ((a, b) == (c, d))


def test_the_context_is_as_it_is_written_down() -> None:
    assert keyset_context(ORIGIN, "fields").hex() == (
        "70736531" + "00000014" + ORIGIN.encode().hex() + "00000006" + b"fields".hex()
    )


# -- under a key-encryption key ---------------------------------------------------------------------------------


def test_encrypted_files_open_and_hold_no_key(wrapped: Settings) -> None:
    keys = open_keys(wrapped, env={})
    cell = EncryptedField(keys.fields, table="t", column="c").encrypt("value", row="1")
    again = open_keys(wrapped, env={})
    assert EncryptedField(again.fields, table="t", column="c").decrypt(cell, row="1") == "value"
    for name in keyset_names(wrapped):
        path = wrapped.base / "keys" / f"{name}.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        document = json.loads(path.read_text())
        assert set(document) == {"encryptedKeyset", "keysetInfo"}
        with pytest.raises(ConfigurationError):
            Keyset.from_json(path.read_text())


def test_a_file_opens_in_its_own_place_only(wrapped: Settings) -> None:
    mac, index = (wrapped.base / "keys" / f"{name}.json" for name in ("mac", "index"))
    kept = mac.read_text()
    mac.write_text(index.read_text())
    assert "[keys] mac" in problem(wrapped)
    assert "does not open under [keys] kek" in problem(wrapped)
    mac.write_text(kept)
    elsewhere = load_settings(
        {"portal": {**PORTAL, "base_url": "https://other.example"}, "keys": {"kek": "file:kek.json"}},
        base=wrapped.base,
        env={},
    )
    assert "another [audit] origin" in problem(elsewhere)


def test_another_key_encryption_key_does_not_open_them(wrapped: Settings) -> None:
    other = settings_of(wrapped.base, local_kek(wrapped.base, "other.json"))
    assert "does not open under [keys] kek" in problem(other)


def test_what_is_in_the_clear_is_refused_where_it_should_be_encrypted_and_the_reverse(folder: Path) -> None:
    settings = settings_of(folder, local_kek(folder))
    said = problem(settings)
    assert "in the clear" in said
    assert "wrap_keys" in said
    wrap_keys(settings, env={})
    assert "set [keys] kek" in problem(settings_of(folder))


def test_a_service_that_is_away_is_one_sentence_and_no_start(tmp_path: Path, transit: Transit) -> None:
    env = {"TOKEN": transit.token}
    query = "/transit/keys/kek?token-source=env:TOKEN"
    kek = open_kek(transit.url.replace("http", "hcvault+http", 1) + query, key="kek", base=tmp_path, env=env)
    create_keys(tmp_path / "keys", origin=ORIGIN, kek=kek)
    with pytest.raises(KeyServiceUnavailable) as caught:
        open_keys(settings_of(tmp_path, "hcvault+http://127.0.0.1:9" + query), env=env)
    assert "does not answer" in str(caught.value)
    assert transit.token not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_in_the_environment_may_be_encrypted_too(wrapped: Settings) -> None:
    text = (wrapped.base / "keys" / "fields.json").read_text()
    settings = settings_of(wrapped.base, "file:kek.json", fields="env:FIELDS")
    keys = open_keys(settings, env={"FIELDS": text})
    assert isinstance(keys, Keys)
    with pytest.raises(ConfigurationError, match="is not a file"):
        KeysetFiles(settings, env={"FIELDS": text}).replace("fields", Keyset.generate("XAES_256_GCM"))


@pytest.mark.parametrize("service", ["pkcs11", "vault"])
def test_a_whole_portals_keys_in_a_service(
    service: str, tmp_path: Path, softhsm: Token, transit: Transit
) -> None:
    reference = {
        "pkcs11": softhsm.uri(pin_source="env:SECRET"),
        "vault": transit.url.replace("http", "hcvault+http", 1) + "/transit/keys/kek?token-source=env:SECRET",
    }[service]
    env = {"SECRET": softhsm.pin if service == "pkcs11" else transit.token}
    kek = open_kek(reference, key="kek", base=tmp_path, env=env)
    create_keys(tmp_path / "keys", origin=ORIGIN, kek=kek)
    keys = open_keys(settings_of(tmp_path, reference), env=env)
    field = EncryptedField(keys.fields, table="t", column="c")
    assert field.decrypt(field.encrypt("value", row=1), row=1) == "value"


# -- wrap_keys --------------------------------------------------------------------------------------------------


def cell_of(settings: Settings) -> bytes:
    return EncryptedField(open_keys(settings, env={}).fields, table="t", column="c").encrypt("value", row=1)


def reads(settings: Settings, cell: bytes) -> bool:
    field = EncryptedField(open_keys(settings, env={}).fields, table="t", column="c")
    return field.decrypt(cell, row=1) == "value"


def test_keys_in_the_clear_are_wrapped_and_then_under_another_key(folder: Path) -> None:
    cell = cell_of(settings_of(folder))
    first = settings_of(folder, local_kek(folder))
    wrap_keys(first, env={})
    before = {path.name: path.read_bytes() for path in (folder / "keys").iterdir()}
    assert set(before) == {"fields.json", "mac.json", "index.json", "audit.key"}
    wrap_keys(first, env={})  # again: nothing to do
    assert {path.name: path.read_bytes() for path in (folder / "keys").iterdir()} == before
    assert reads(first, cell)

    second = settings_of(folder, local_kek(folder, "second.json"))
    with pytest.raises(ConfigurationError, match="does not open"):
        wrap_keys(second, env={})
    wrap_keys(second, old_kek="file:kek.json", env={})
    wrap_keys(second, old_kek="file:kek.json", env={})
    assert reads(second, cell)
    assert "does not open" in problem(first)
    with pytest.raises(ConfigurationError, match="kek is not set"):
        wrap_keys(settings_of(folder), env={})


def test_a_wrapping_that_stopped_half_way_is_finished_by_the_next(folder: Path) -> None:
    settings = settings_of(folder, local_kek(folder))
    mac = folder / "keys" / "mac.json"
    kept = mac.read_text()
    mac.write_text("damaged")
    with pytest.raises(ConfigurationError, match=r"\[keys\] mac"):
        wrap_keys(settings, env={})
    mac.write_text(kept)
    wrap_keys(settings, env={})
    open_keys(settings, env={})


# -- replace ----------------------------------------------------------------------------------------------------


def test_a_keyset_is_replaced_whole(wrapped: Settings) -> None:
    files = KeysetFiles(wrapped, env={})
    rotated = files.read("fields").add("XAES_256_GCM")
    files.replace("fields", rotated)
    assert files.read("fields").info() == rotated.info()
    assert sorted(path.name for path in (wrapped.base / "keys").iterdir()) == [
        "audit.key",
        "fields.json",
        "index.json",
        "mac.json",
    ]
    with pytest.raises(ConfigurationError, match="aead"):
        files.replace("mac", rotated)
    assert repr(files) == "KeysetFiles(hidden)"


def test_a_failing_service_leaves_the_old_file(wrapped: Settings) -> None:
    gone = settings_of(wrapped.base, "hcvault+http://127.0.0.1:9/transit/keys/kek?token-source=env:TOKEN")
    before = (wrapped.base / "keys" / "fields.json").read_bytes()
    with pytest.raises(KeyServiceUnavailable):
        KeysetFiles(gone, env={"TOKEN": "t"}).replace("fields", Keyset.generate("XAES_256_GCM"))
    assert (wrapped.base / "keys" / "fields.json").read_bytes() == before


# -- an older data folder ---------------------------------------------------------------------------------------


def test_a_folder_without_an_index_keyset_says_how_to_make_it(folder: Path) -> None:
    (folder / "keys" / "index.json").unlink()
    said = problem(settings_of(folder))
    assert "index.json is missing" in said
    assert "create_keys(" in said
    assert repr(ORIGIN) in said
    create_keys(folder / "keys", origin=ORIGIN)
    open_keys(settings_of(folder), env={})


def test_a_keyset_of_another_purpose_is_refused_by_name(folder: Path) -> None:
    (folder / "keys" / "index.json").write_text(keyset_to_json(Keyset.generate("XAES_256_GCM")))
    assert "[keys] index" in problem(settings_of(folder))


# -- reload -----------------------------------------------------------------------------------------------------


def test_reloaded_keys_are_in_use_everywhere_and_a_failing_reload_changes_nothing(folder: Path) -> None:
    settings = settings_of(folder)
    keys = open_keys(settings, env={})
    field = EncryptedField(keys.fields, table="t", column="c")
    old = field.encrypt("old", row=1)
    files = KeysetFiles(settings, env={})
    added = files.read("fields").add("XAES_256_GCM")
    files.replace("fields", added.promote(added.info()[-1].id))
    assert field.encrypt("x", row=1)[:5] == old[:5]  # not read again yet
    keys.reload()
    new = field.encrypt("new", row=1)
    assert new[:5] != old[:5]
    assert [field.decrypt(cell, row=1) for cell in (old, new)] == ["old", "new"]

    (folder / "keys" / "index.json").write_text("damaged")
    files.replace("fields", Keyset.generate("XAES_256_GCM"))  # would have lost every cell
    with pytest.raises(ConfigurationError, match=r"\[keys\] index"):
        keys.reload()
    assert [field.decrypt(cell, row=1) for cell in (old, new)] == ["old", "new"]
    assert field.encrypt("x", row=1)[:5] == new[:5]


def test_keys_are_swapped_while_eight_threads_read_and_write(folder: Path) -> None:
    settings = settings_of(folder)
    keys = open_keys(settings, env={})
    field = EncryptedField(keys.fields, table="t", column="c")
    files = KeysetFiles(settings, env={})
    enough = threading.Event()
    failures: list[BaseException] = []
    begun = threading.Barrier(9)

    def serve(number: int) -> None:
        try:
            begun.wait(60)
            while not enough.is_set():
                cell = field.encrypt(f"{number}", row=number)
                assert field.decrypt(cell, row=number) == f"{number}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    try:
        for _ in range(10):
            keyset = files.read("fields").add("XAES_256_GCM")
            files.replace("fields", keyset)
            keys.reload()
            files.replace("fields", keyset.promote(keyset.info()[-1].id))
            keys.reload()
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_keys_without_a_source_say_that_they_cannot_be_reloaded() -> None:
    mac = Keyset.generate("HMAC_SHA256_PRF")
    keys = Keys(fields=Keyset.generate(), mac=mac, index=mac, audit=Ed25519Signer.generate(ORIGIN))
    with pytest.raises(ConfigurationError, match="cannot be reloaded"):
        keys.reload()


def test_a_cell_that_was_written_under_a_lost_keyset_stays_closed(folder: Path) -> None:
    keys = open_keys(settings_of(folder), env={})
    cell = EncryptedField(Keyset.generate("XAES_256_GCM"), table="t", column="c").encrypt("x", row=1)
    with pytest.raises(DecryptionError):
        EncryptedField(keys.fields, table="t", column="c").decrypt(cell, row=1)


def test_the_real_tink_opens_the_file_that_the_formats_page_shows() -> None:
    tink = pytest.importorskip("tink")
    from tink import aead, json_proto_keyset_format, secret_key_access

    aead.register()
    page = (ROOT / "docs" / "reference" / "crypto-formats.md").read_text("utf-8")
    (vector,) = (json.loads(line) for line in page.splitlines() if line.startswith('{"kek":'))
    context = keyset_context(vector["origin"], vector["name"])
    assert context.hex() == vector["pse1"]
    kek = json_proto_keyset_format.parse(json.dumps(vector["kek"]), secret_key_access.TOKEN).primitive(
        aead.Aead
    )
    handle = json_proto_keyset_format.parse_encrypted(json.dumps(vector["file"]), kek, context)
    ours = Keyset.from_encrypted_json(
        json.dumps(vector["file"]), Keyset.from_json(json.dumps(vector["kek"])).aead(), context
    )
    for cipher in (handle.primitive(aead.Aead), ours.aead()):
        opened = cipher.decrypt(bytes.fromhex(vector["ciphertext"]), bytes.fromhex(vector["associated_data"]))
        assert opened.hex() == vector["plaintext"]
    assert tink
