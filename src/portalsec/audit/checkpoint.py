"""Checkpoints: a C2SP tlog-checkpoint inside a C2SP signed note, with Ed25519.

A checkpoint is three lines of text (origin, number of entries, base64 of the tree's root); a signed note is that
text, an empty line, and one line for each signature::

    portal.example/audit
    600
    Riuj6ZAji1i6goFpWDweynfeD0ubPXn77yfeWtdJhT0=

    — portal.example/audit pMTOnHYbR61w...

Keys are text in the formats of Go's ``sumdb/note``: ``PRIVATE+KEY+name+id+base64`` for the signer and
``name+id+base64`` for the verifier, so other tools read our logs and we read theirs.

The parsers accept exactly what is written here: a form with a second spelling (loose base64, leading zeros, extra
lines) would let two different stored texts both be "the" checkpoint. Sources: c2sp.org/signed-note@v1.0.0,
c2sp.org/tlog-checkpoint@v1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from portalsec.audit.ports import Signer
from portalsec.errors import ConfigurationError, Tampered
from portalsec.secret import Secret

__all__ = ["Checkpoint", "Ed25519Signer", "Verifier", "parse_checkpoint", "sign_checkpoint"]

_ED25519 = b"\x01"  # signature type of the signed-note specification
_MAX_NOTE = 64 * 1024
_MAX_SIGNATURES = 16
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_PRIVATE_PREFIX = "PRIVATE+KEY+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log commits to.

    Attributes:
        origin: the log's name, one line.
        size: number of entries that the root covers.
        root: RFC 6962 root over them, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not _is_name(self.origin):
            raise ConfigurationError(_BAD_NAME.format(self.origin))
        if not 0 <= self.size < 2**63 or len(self.root) != 32:
            raise ConfigurationError(
                "a checkpoint has a size from 0 to 2**63-1 and a root of 32 bytes; got something else"
            )

    def text(self) -> str:
        """The bytes that are signed, as text."""
        return f"{self.origin}\n{self.size}\n{_b64(self.root)}\n"


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a signed note's checkpoint WITHOUT looking at its signatures (see `Verifier.verify` for that).

    Raises:
        Tampered: the text is not a checkpoint, strictly.
    """
    return _parse_text(_split_note(note)[0])


class Verifier:
    """Checks checkpoints with a public key. Everything that verification needs; holds no secret."""

    __slots__ = ("_key", "_key_id", "_name")

    def __init__(self, *, name: str, public_key: bytes) -> None:
        if not _is_name(name):
            raise ConfigurationError(_BAD_NAME.format(name))
        if len(public_key) != 32:
            raise ConfigurationError("an Ed25519 public key has 32 bytes")
        self._name = name
        self._key = public_key
        self._key_id = _key_id(name, public_key)

    @classmethod
    def from_text(cls, text: str) -> Verifier:
        """Read ``name+id+base64``. Raises `ConfigurationError` where it is anything else."""
        problem = "this is not a verifier key: write name+id+base64 on one line, as the signer's verifier_text gives it"
        if text.startswith(_PRIVATE_PREFIX):
            raise ConfigurationError(
                "this is a private key where the public verifier key belongs: "
                "replace it, and make a new key if anyone else could read this place"
            )
        name, key_id, data = _split_key(text, problem)
        verifier = cls(name=name, public_key=data)
        if not hmac.compare_digest(verifier._key_id.hex(), key_id):
            raise ConfigurationError(
                f"the verifier key of {name!r} has an id that is not its own: copy it again"
            )
        return verifier

    @property
    def name(self) -> str:
        """The log's origin."""
        return self._name

    @property
    def key_id(self) -> bytes:
        return self._key_id

    def to_text(self) -> str:
        """The inverse of `from_text`."""
        return f"{self._name}+{self._key_id.hex()}+{_b64(_ED25519 + self._key)}"

    def verify(self, note: str) -> Checkpoint:
        """The checkpoint that this key signed, of the origin that this key speaks for.

        Signature lines of other keys (a witness's, say) are passed over, as the specification asks; a wrong
        signature of this key is an error even beside a right one.

        Raises:
            Tampered: the note is malformed, of another log, or not signed by this key.
        """
        text, signatures = _split_note(note)
        checkpoint = _parse_text(text)
        if checkpoint.origin != self._name:
            raise Tampered("The checkpoint is of another log.")
        ours = [sig for name, key_id, sig in signatures if name == self._name and key_id == self._key_id]
        if not ours:
            raise Tampered("The checkpoint is not signed by this log's key.")
        key = Ed25519PublicKey.from_public_bytes(self._key)
        for signature in ours:
            try:
                key.verify(signature, text.encode())
            except InvalidSignature:
                raise Tampered("The checkpoint's signature is wrong.") from None
        return checkpoint

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Verifier):
            return NotImplemented
        return (self._name, self._key) == (other._name, other._key)

    def __hash__(self) -> int:
        return hash((self._name, self._key))

    def __repr__(self) -> str:
        return f"Verifier({self.to_text()!r})"


class Ed25519Signer:
    """Signs checkpoints with a key held in memory. Never prints, pickles or compares its key."""

    __slots__ = ("_key", "_verifier")

    def __init__(self, *, name: str, seed: Secret[bytes]) -> None:
        if len(seed.reveal()) != 32:
            raise ConfigurationError("an Ed25519 private key has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self._verifier = Verifier(name=name, public_key=self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, origin: str) -> Ed25519Signer:
        """A fresh key for the log ``origin`` (no whitespace, no plus sign; a domain and a path by custom)."""
        return cls(name=origin, seed=Secret(Ed25519PrivateKey.generate().private_bytes_raw()))

    @classmethod
    def from_text(cls, text: Secret[str] | str) -> Ed25519Signer:
        """Read ``PRIVATE+KEY+name+id+base64``. Raises `ConfigurationError`, which never quotes the text."""
        secret = Secret(text) if isinstance(text, str) else text
        del text  # no frame of what is raised below shows the key
        found = _split_signer(secret)
        if found is None:
            raise ConfigurationError(
                "this is not a signer key: it starts with PRIVATE+KEY+ and is one line, as Ed25519Signer.to_text gives "
                "it; only Ed25519 keys (type 1) are known"
            )
        name, key_id, seed = found
        signer = cls(name=name, seed=seed)
        # The id is a hash of the public key: it catches a key that was damaged while it was copied.
        if not hmac.compare_digest(signer.key_id.hex(), key_id):
            raise ConfigurationError(
                "the signer key has an id that is not its own: it was damaged, copy it again"
            )
        return signer

    def to_text(self) -> Secret[str]:
        """The inverse of `from_text`, for a file of mode 0600."""
        seed = _b64(_ED25519 + self._key.private_bytes_raw())
        return Secret(f"{_PRIVATE_PREFIX}{self.name}+{self.key_id.hex()}+{seed}")

    @property
    def name(self) -> str:
        return self._verifier.name

    @property
    def key_id(self) -> bytes:
        return self._verifier.key_id

    @property
    def verifier_text(self) -> str:
        """The public key, to be kept where the log is not."""
        return self._verifier.to_text()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Ed25519Signer(name={self.name!r}, key hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer cannot be pickled or copied; pass it by reference")


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """The signed note over ``checkpoint``. Raises `ConfigurationError` where the signer is another log's."""
    if signer.name != checkpoint.origin:
        raise ConfigurationError(
            f"the signer is of {signer.name!r}, the log of {checkpoint.origin!r}: use its own key"
        )
    text = checkpoint.text()
    return f"{text}\n— {signer.name} {_b64(signer.key_id + signer.sign(text.encode()))}\n"


# -- the strict parsers -------------------------------------------------------------------------------------------


_BAD_NAME = "the log's origin is {0!r}: give it at least one character, and no whitespace, control character or plus sign"


def _is_name(name: str) -> bool:
    # U+FFFD and lone surrogates have no single spelling in UTF-8.
    return bool(name) and not any(c.isspace() or c in "+\ufffd" or not c.isprintable() for c in name)


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _split_signer(secret: Secret[str]) -> tuple[str, str, Secret[bytes]] | None:
    """(name, key id in hex, seed), or None: nothing is raised from where the text is."""
    text = secret.reveal().strip()
    if not text.startswith(_PRIVATE_PREFIX):
        return None
    try:
        name, key_id, seed = _split_key(text.removeprefix(_PRIVATE_PREFIX), "")
    except ConfigurationError:
        return None
    return name, key_id, Secret(seed)


def _split_key(text: str, problem: str) -> tuple[str, str, bytes]:
    """(name, id in hex, 32 key bytes); `ConfigurationError` without any of the text."""
    parts = text.strip("\n").split("+", 2)  # base64 may hold a plus sign, names may not
    if len(parts) != 3 or not _is_name(parts[0]):
        raise ConfigurationError(problem)
    try:
        data = _unb64(parts[2])
    except ValueError:
        raise ConfigurationError(problem) from None
    if len(data) != 33 or data[:1] != _ED25519:
        raise ConfigurationError(f"{problem}; only Ed25519 keys (type 1) are known")
    return parts[0], parts[1], data[1:]


def _split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The signed text with its newline, and (name, key id, signature) of each signature line."""
    if len(note) > _MAX_NOTE:
        raise Tampered("The checkpoint is too long.")
    if any(c != "\n" and (c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff") for c in note):
        raise Tampered("The checkpoint holds a control character.")
    text, separator, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not separator or lines.pop() != "" or not 0 < len(lines) <= _MAX_SIGNATURES:
        raise Tampered("The checkpoint is not a signed note.")
    signatures = []
    for line in lines:
        dash, _, rest = line.partition(" ")
        name, space, encoded = rest.partition(" ")
        if dash != "—" or not space or not _is_name(name):
            raise Tampered("The checkpoint has a malformed signature line.")
        try:
            data = _unb64(encoded)
        except ValueError:
            raise Tampered("The checkpoint has a malformed signature line.") from None
        if len(data) < 5:
            raise Tampered("The checkpoint has a malformed signature line.")
        signatures.append((name, data[:4], data[4:]))
    return text + "\n", signatures


def _parse_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    # Extension lines are allowed by the specification and never written by us: a line that nobody reads is a place
    # to hide in, so it is refused.
    if len(lines) != 4 or lines[3] != "" or not _is_name(lines[0]) or not _SIZE.fullmatch(lines[1]):
        raise Tampered("The checkpoint is not three lines of origin, size and root.")
    size = int(lines[1])
    try:
        root = _unb64(lines[2])
    except ValueError:
        root = b""
    if len(root) != 32 or size >= 2**63:
        raise Tampered("The checkpoint's size or root is malformed.")
    return Checkpoint(origin=lines[0], size=size, root=root)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    """Canonical base64 only: other spellings of the same bytes are ``ValueError``."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise ValueError("not base64") from error
    if _b64(data) != text:
        raise ValueError("not canonical base64")
    return data
