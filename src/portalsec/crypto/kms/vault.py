"""`VaultTransitAead`: a key of the Transit engine of HashiCorp Vault or OpenBao as an `Aead`, over its HTTP API.

``POST /v1/<mount>/encrypt/<name>`` and ``.../decrypt/<name>`` with base64 ``plaintext`` and ``associated_data``; the
ciphertext is Transit's text ``vault:v1:...`` as ASCII bytes. The key's type is one that authenticates
(``aes256-gcm96``, the default, or ``chacha20-poly1305``) and it is not derived.

Standard library only: no proxy of the environment, no redirect, and nothing of a response goes into a message, since
a wrong server may echo what it was sent.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import json
import re
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from portalsec.crypto._hidden import Hidden
from portalsec.crypto.kms._arguments import ciphertext_bytes, require_bytes
from portalsec.crypto.kms._failure import unavailable
from portalsec.errors import ConfigurationError, DecryptionError, PortalsecError
from portalsec.secret import Secret

__all__ = ["VaultTransitAead"]

_CIPHERTEXT = re.compile(r"vault:v[1-9][0-9]{0,8}:([A-Za-z0-9+/]+={0,2})")
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_./-]{1,256}")
_ADDRESS = "the address of Vault is written as https://vault.example:8200"
_HOST = re.compile(
    r"[A-Za-z0-9._:%-]{1,255}"
)  # a name or an address; urlsplit took the brackets off an IPv6 one
_SEGMENT = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_MOST = 1 << 20  # bytes of a response; a keyset is far from it
_WRONG = re.compile(r"message authentication failed|invalid ciphertext|failed to decrypt", re.IGNORECASE)
# What an operator needs to know, in our words; the server's own are not repeated.
_WHY = (
    (re.compile(r"permission denied", re.IGNORECASE), "the token may not do this"),
    (re.compile(r"encryption key not found", re.IGNORECASE), "there is no such key"),
    (re.compile(r"too old|disallowed by policy", re.IGNORECASE), "the key's version is no longer allowed"),
    (re.compile(r"sealed", re.IGNORECASE), "it is sealed"),
)


class VaultTransitAead(Hidden):
    """Asks Transit for every call, on a connection of its own. Safe to share between threads and across a fork."""

    __slots__ = ("_host", "_mount", "_name", "_namespace", "_patience", "_port", "_tls", "_token", "_where")

    def __init__(
        self,
        address: str,
        name: str,
        *,
        token: Callable[[], Secret[str]],
        mount: str = "transit",
        namespace: str | None = None,
        ca_file: Path | None = None,
        patience: timedelta = timedelta(seconds=5),
    ) -> None:
        """
        Args:
            address: ``https://vault.example:8200``; ``http://`` only for a loopback address (an agent beside).
            name: of the Transit key.
            token: gives the token, asked before each call, so that one which an agent renews is the newest.
            mount: where the engine is mounted.
            namespace: of Vault Enterprise or OpenBao.
            ca_file: PEM of the authority that signed the server's certificate; the system's, by default.
            patience: bounds each wait.

        Raises:
            ConfigurationError: an address, name or file that is none; plain http to another machine.
        """
        try:
            parts = urlsplit(address)
            port = parts.port
        except ValueError:
            raise ConfigurationError(_ADDRESS) from None
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
        host = parts.hostname or ""
        if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host) or extra:
            raise ConfigurationError(_ADDRESS)
        if parts.scheme == "http" and not _is_loopback(host):
            raise ConfigurationError(
                f"Vault at {host} is named with plain http, which shows the token and the keys to the network: "
                "write https://"
            )
        segments = [*mount.split("/"), name]
        if not all(_SEGMENT.fullmatch(part) and set(part) != {"."} for part in segments):
            raise ConfigurationError(
                "a Transit key is named as <mount>/keys/<name>, in letters, digits, - _ and ."
            )
        if namespace is not None and not _NAMESPACE.fullmatch(namespace):
            raise ConfigurationError("the namespace of Vault is a path, as team-a/portal")
        self._host, self._port = host, port
        self._mount, self._name = mount, name
        self._namespace = namespace
        self._token = token
        self._patience = patience.total_seconds()
        self._tls = _tls(ca_file) if parts.scheme == "https" else None
        self._where = f"Vault at {host} ({mount}/keys/{name})"

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Wrap. Raises `KeyServiceUnavailable` where there is no answer, or a refusal."""
        require_bytes(plaintext=plaintext, associated_data=associated_data)
        text, failure = self._ask("encrypt", "ciphertext", {"plaintext": _b64(plaintext)}, associated_data)
        del plaintext
        if failure is not None:
            raise failure
        if not _CIPHERTEXT.fullmatch(text):
            raise unavailable(f"{self._where} gave something that is no ciphertext of Transit")
        return text.encode("ascii")

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Raises `DecryptionError` for what this key did not wrap, `KeyServiceUnavailable` for all else."""
        require_bytes(associated_data=associated_data)
        text = ciphertext_bytes(ciphertext).decode("latin-1")
        match = _CIPHERTEXT.fullmatch(text)
        # The server reads base64 loosely, so that two texts would stand for one ciphertext; here there is one.
        if match is None or _unb64(match[1]) is None:
            raise DecryptionError("not_authentic")
        answer, failure = self._ask("decrypt", "plaintext", {"ciphertext": text}, associated_data)
        if failure is not None:
            raise failure
        plaintext = _unb64(answer)
        del answer
        if plaintext is None:
            raise unavailable(f"{self._where} gave something that is no plaintext of Transit")
        return plaintext

    # -- HTTP -------------------------------------------------------------------------------------------------

    def _ask(
        self, verb: str, answer: str, body: dict[str, str], associated_data: bytes
    ) -> tuple[str, PortalsecError | None]:
        """The answer, or the error to raise: not from here, where the plaintext and the token are."""
        if associated_data:
            body["associated_data"] = _b64(associated_data)
        try:
            status, document = self._post(f"/v1/{quote(self._mount)}/{verb}/{quote(self._name)}", body)
        except (OSError, http.client.HTTPException) as error:
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            kind = "its certificate is not trusted" if untrusted else type(error).__name__
            message = f"{self._where} does not answer ({kind}): see that it runs and can be reached from here"
            return "", unavailable(message, error)
        except ConfigurationError as error:
            return "", error.with_traceback(None)
        if status == 200:
            data = document.get("data")
            text = data.get(answer) if isinstance(data, dict) else None
            if isinstance(text, str):
                return text, None
            return "", unavailable(f"{self._where} answered without a {answer}")
        errors = document.get("errors")
        said = " ".join(line for line in errors if isinstance(line, str)) if isinstance(errors, list) else ""
        if verb == "decrypt" and status == 400 and _WRONG.search(said):
            return "", DecryptionError("not_authentic")
        why = next((ours for theirs, ours in _WHY if theirs.search(said)), "see its own log")
        return "", unavailable(f"{self._where} did not {verb} (status {status}): {why}")

    def _post(self, path: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        headers = {"X-Vault-Token": self._checked_token(), "X-Vault-Request": "true"}
        if self._namespace is not None:
            headers["X-Vault-Namespace"] = self._namespace
        headers |= {"Content-Type": "application/json", "Connection": "close"}
        connection = self._connection()
        try:
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            status, data = response.status, response.read(_MOST + 1)
        finally:
            connection.close()
        try:
            document = json.loads(data) if len(data) <= _MOST else None
        except (ValueError, RecursionError):
            document = None
        return status, document if isinstance(document, dict) else {}

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._patience)
        return http.client.HTTPSConnection(self._host, self._port, timeout=self._patience, context=self._tls)

    def _checked_token(self) -> str:
        token = self._token().reveal().strip()
        if not _TOKEN.fullmatch(token):  # http.client's own complaint would print it
            raise ConfigurationError(f"the token for {self._where} is not one line of printable characters")
        return token


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:
        raise ConfigurationError(
            f"the certificates in {ca_file} cannot be read ({error.strerror or 'not PEM'})"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes | None:
    """Canonical base64 only; None for anything else."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return data if _b64(data) == text else None
