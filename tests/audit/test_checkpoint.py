from __future__ import annotations

import base64
import copy
import pickle
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portalsec.audit.checkpoint import Checkpoint, Ed25519Signer, Verifier, parse_checkpoint, sign_checkpoint
from portalsec.errors import ConfigurationError, Tampered
from portalsec.secret import Secret
from tests.audit.support import ORIGIN, SIGNER, VERIFIER
from tests.support import shared

CHECKPOINT = Checkpoint(origin=ORIGIN, size=600, root=bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)


def golden_verifier() -> Verifier:
    return Verifier.from_text(shared("vectors", "audit", "golden", "vkeys.txt").read_text().split("\n")[0])


@pytest.mark.parametrize(
    ("file", "size", "root"),
    [
        (("checkpoint.600",), 600, "Riuj6ZAji1i6goFpWDweynfeD0ubPXn77yfeWtdJhT0="),
        (
            ("tlog", "checkpoint"),
            1000,
            "xIsy0l0+oPlo+V1eKVYzoZtHUE90W2x2iiDSvc92dsE=",
        ),  # with a witness's line
    ],
)
def test_golden_checkpoints(file: tuple[str, ...], size: int, root: str) -> None:
    note = shared("vectors", "audit", "golden", *file).read_text()
    checkpoint = golden_verifier().verify(note)
    assert (checkpoint.origin, checkpoint.size) == ("portal.example/audit/2026", size)
    assert base64.b64encode(checkpoint.root).decode() == root


def test_golden_verifier_text_is_ours() -> None:
    text = shared("vectors", "audit", "golden", "vkeys.txt").read_text().split("\n")[0]
    assert Verifier.from_text(text).to_text() == text


def test_a_go_key_pair() -> None:
    """The pair of the documentation of golang.org/x/mod/sumdb/note."""
    signer = Ed25519Signer.from_text(
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
    )
    assert signer.verifier_text == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_sign_and_verify() -> None:
    assert VERIFIER.verify(NOTE) == CHECKPOINT
    assert parse_checkpoint(NOTE) == CHECKPOINT


def test_keys_survive_their_text() -> None:
    again = Ed25519Signer.from_text(SIGNER.to_text())
    assert sign_checkpoint(CHECKPOINT, again) == NOTE
    assert Ed25519Signer.from_text(SIGNER.to_text().reveal() + "\n").verifier_text == SIGNER.verifier_text
    assert Verifier.from_text(VERIFIER.to_text() + "\n") == VERIFIER


def test_every_changed_byte_of_a_note_is_found() -> None:
    raw = NOTE.encode()
    for place in range(len(raw)):
        for bit in (0x01, 0x02, 0x20, 0x80):
            changed = bytearray(raw)
            changed[place] ^= bit
            with pytest.raises(Tampered):
                VERIFIER.verify(changed.decode("utf-8", "backslashreplace"))
                pytest.fail(f"byte {place} with bit {bit:#x}")


@given(st.text(max_size=400))
@example("")
@example("\n\n")
@example("— a b\n")
@example("a\n1\nx\n\n— a AAAA\n")
@example("\ud800")
def test_any_text_is_refused_in_one_way(text: str) -> None:
    with pytest.raises(Tampered):
        VERIFIER.verify(text)


@given(st.data())
def test_a_note_that_was_cut_and_spliced_is_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(NOTE)))
    stop = data.draw(st.integers(start, len(NOTE)))
    inserted = data.draw(st.text(alphabet="\n —+=0123456789AZaz/.\t\r", max_size=30))
    changed = NOTE[:start] + inserted + NOTE[stop:]
    if changed != NOTE:
        try:
            assert VERIFIER.verify(changed) == CHECKPOINT  # another key's line may be added, as to any note
        except Tampered:
            return
        assert changed.startswith(CHECKPOINT.text() + "\n")


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n0600\n{ROOT}\n",  # a second spelling of a number
        f"{ORIGIN}\n+6\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n٦\n{ROOT}\n",
        f"{ORIGIN}\n9999999999999999999\n{ROOT}\n",
        f"{ORIGIN}\n6\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n6\n{ROOT[:-2]}B=\n",  # loose bits at the end of base64
        f"{ORIGIN}\n6\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n6\n{ROOT}\nextension\n",
        f"{ORIGIN}\n6\n",
        f"\n6\n{ROOT}\n",
        f"other.test/audit\n6\n{ROOT}\n",
    ],
)
def test_only_one_spelling_is_accepted_even_signed(text: str) -> None:
    signature = base64.b64encode(SIGNER.key_id + SIGNER.sign(text.encode())).decode()
    with pytest.raises(Tampered):
        VERIFIER.verify(f"{text}\n— {ORIGIN} {signature}\n")


def test_a_wrong_signature_beside_a_right_one_is_refused() -> None:
    other = base64.b64encode(SIGNER.key_id + bytes(64)).decode()
    with pytest.raises(Tampered, match="signature is wrong"):
        VERIFIER.verify(f"{NOTE}— {ORIGIN} {other}\n")


def test_a_stranger_key_of_the_same_name_is_refused() -> None:
    stranger = Ed25519Signer.generate(ORIGIN)
    with pytest.raises(Tampered, match="not signed by this log's key"):
        VERIFIER.verify(sign_checkpoint(CHECKPOINT, stranger))


def test_another_logs_checkpoint_is_refused() -> None:
    other = Ed25519Signer.generate("other.test/audit")
    note = sign_checkpoint(Checkpoint(origin="other.test/audit", size=1, root=bytes(32)), other)
    with pytest.raises(Tampered, match="another log"):
        VERIFIER.verify(note)
    with pytest.raises(ConfigurationError, match="use its own key"):
        sign_checkpoint(CHECKPOINT, other)


def test_signature_lines_are_bounded() -> None:
    line = NOTE.rpartition("\n\n")[2]
    with pytest.raises(Tampered):
        VERIFIER.verify(NOTE + line * 16)
    with pytest.raises(Tampered, match="too long"):
        VERIFIER.verify(NOTE + line * 10_000)


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "a\u202eb", "a\x1bb", "\ud800"])
def test_origins_that_are_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError):
        Ed25519Signer.generate(origin)
    with pytest.raises(ConfigurationError):
        Checkpoint(origin=origin, size=0, root=bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "PRIVATE+KEY+",
        "PRIVATE+KEY+a+b+c",
        "a+00000000+AAAA",
        VERIFIER.to_text(),
        "PRIVATE+KEY+a b+00+A",
    ],
    ids=count(),
)
def test_signer_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Ed25519Signer.from_text(Secret(text))


def test_atk_40_a_damaged_key_is_refused_without_being_shown() -> None:
    text = SIGNER.to_text().reveal()
    seed = text.rpartition("+")[2] if text.count("+") == 4 else text.split("+", 4)[4]
    for place in range(len("PRIVATE+KEY+"), len(text)):
        damaged = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(ConfigurationError) as caught:
            Ed25519Signer.from_text(damaged)
        assert seed[:12] not in str(caught.value)
        assert seed[-12:] not in str(caught.value)


def test_atk_40_a_signer_never_shows_its_key() -> None:
    seed = SIGNER.to_text().reveal().split("+", 4)[4]
    assert seed not in repr(SIGNER)
    assert seed not in str(SIGNER)
    assert seed not in repr(SIGNER.to_text())
    for action in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            action(SIGNER)


def test_a_private_key_in_the_verifiers_place_is_named_and_not_shown() -> None:
    text = SIGNER.to_text().reveal()
    with pytest.raises(ConfigurationError, match="private key where the public") as caught:
        Verifier.from_text(text)
    assert text.split("+", 4)[4] not in str(caught.value)


@pytest.mark.parametrize("text", ["", "a", "a+b", "a+00000000+!!!!", "a+00000000+AAAA"])
def test_verifier_texts_that_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Verifier.from_text(text)


def test_a_verifier_with_anothers_id_is_refused() -> None:
    name, _, data = VERIFIER.to_text().split("+", 2)
    with pytest.raises(ConfigurationError, match="id that is not its own"):
        Verifier.from_text(f"{name}+00000000+{data}")


@pytest.mark.parametrize(("size", "root"), [(-1, bytes(32)), (2**63, bytes(32)), (1, bytes(31))])
def test_a_checkpoint_that_exists_is_valid(size: int, root: bytes) -> None:
    with pytest.raises(ConfigurationError):
        Checkpoint(origin=ORIGIN, size=size, root=root)
