"""A pytest plugin: key services to test against. A SoftHSM token, moto's AWS KMS, and a stub of Vault's Transit.

The token and moto are the real thing and its usual stand-in. Of HashiCorp Vault no server can be had here: the stub
follows the documented HTTP API, and says 400, 403 or 503 as the documentation says that Vault does.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.require import skip_for_want_of

_MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


# -- PKCS #11 ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A SoftHSM token of this test run alone."""

    module: Path
    label: str
    pin: str

    def uri(self, key: str = "kek", *, pin_source: str | None = None, token: str | None = None) -> str:
        source = f"&pin-source={pin_source}" if pin_source else ""
        return (
            f"pkcs11:token={quote(token or self.label)};object={quote(key)}?module-path={self.module}{source}"
        )

    def make_key(self, label: str, **template: bool) -> Any:
        """A new AES-256 key in the token; ``extractable=True`` lets a test see it."""
        import pkcs11
        from pkcs11 import Attribute, KeyType

        session = self._session()
        return session.generate_key(
            KeyType.AES,
            256,
            label=label,
            store=True,
            template={
                Attribute.SENSITIVE: not template.get("extractable", False),
                Attribute.EXTRACTABLE: template.get("extractable", False),
                Attribute.ENCRYPT: True,
                Attribute.DECRYPT: template.get("decrypt", True),
            },
            capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
        )

    def _session(self) -> Any:
        import pkcs11

        token = pkcs11.lib(str(self.module)).get_token(token_label=self.label)
        try:
            return token.open(rw=True, user_pin=self.pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)


@pytest.fixture(scope="session")
def softhsm(tmp_path_factory: pytest.TempPathFactory) -> Token:
    """A token with the AES-256 keys "kek" and "other", neither extractable; skips where there is no SoftHSM."""
    pytest.importorskip("pkcs11", reason="wants softhsm: the package python-pkcs11 is not installed")
    program = shutil.which("softhsm2-util")
    module = next((Path(path) for path in _MODULES if Path(path).exists()), None)
    if program is None or module is None:
        skip_for_want_of("softhsm", "softhsm2-util or its library is not installed (Debian: softhsm2)")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    # The library reads it once, when it is loaded, which is in this process and once.
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    token = Token(module=module, label="portal", pin="4711-0815")
    command = [program, "--init-token", "--free", "--label", token.label, "--pin", token.pin]
    subprocess.run([*command, "--so-pin", "1234-5678"], check=True, capture_output=True)
    token.make_key("kek")
    token.make_key("other")
    return token


# -- AWS KMS ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kms:
    """moto's AWS KMS on the loopback address."""

    url: str
    region: str = "eu-central-1"

    def client(self) -> Any:
        import boto3

        return boto3.client(
            "kms",
            region_name=self.region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def key(self) -> str:
        """The ARN of a new key."""
        return str(self.client().create_key()["KeyMetadata"]["Arn"])


@pytest.fixture(scope="session")
def kms() -> Iterator[Kms]:
    """A KMS with no keys yet."""
    pytest.importorskip("boto3")
    server_module = pytest.importorskip("moto.server")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Kms(url=f"http://{host}:{port}")
    finally:
        server.stop()


# -- Vault Transit ----------------------------------------------------------------------------------------------


@dataclass
class Transit:
    """A stub of Vault's Transit engine with the keys "kek" and "other"."""

    url: str = ""
    token: str = "hvs.CAESIJ-stub-token"
    namespace: str | None = None
    sealed: bool = False
    answers: list[tuple[int, bytes]] = field(default_factory=list)  # given instead, one a request
    seen: list[dict[str, str]] = field(default_factory=list)
    keys: dict[str, bytes] = field(default_factory=lambda: {"kek": bytes(32), "other": bytes([1] * 32)})

    def answer(self, path: str, headers: dict[str, str], body: dict[str, str]) -> tuple[int, Any]:
        self.seen.append(headers)
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if headers.get("x-vault-token") != self.token or headers.get("x-vault-namespace") != self.namespace:
            return 403, {"errors": ["permission denied"]}
        match = re.fullmatch(r"/v1/transit/(encrypt|decrypt)/([\w.-]+)", path)
        if match is None:
            return 404, {"errors": ["no handler for route"]}
        if match[2] not in self.keys:
            return 400, {"errors": ["encryption key not found"]}
        cipher = AESGCM(self.keys[match[2]])
        associated_data = base64.b64decode(body.get("associated_data", ""))
        if match[1] == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + cipher.encrypt(nonce, base64.b64decode(body["plaintext"]), associated_data)
            return 200, {"data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode()}}
        prefix, _, text = body["ciphertext"].partition(":v1:")
        if prefix != "vault":
            return 400, {"errors": ["ciphertext or signature version is disallowed by policy (too old)"]}
        sealed = base64.b64decode(text)  # loosely, as Go's decoder does
        try:
            plaintext = cipher.decrypt(sealed[:12], sealed[12:], associated_data)
        except (InvalidTag, ValueError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plaintext).decode()}}


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        transit: Transit = self.server.transit  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if transit.answers:
            status, data = transit.answers.pop(0)
        else:
            status, document = transit.answer(self.path, headers, body)
            data = json.dumps(document).encode()
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/v1/transit/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Nothing on the terminal."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *arguments: object) -> None:
        """Clients that break off are what the tests are about."""


@contextlib.contextmanager
def run_transit(context: Any = None) -> Iterator[Transit]:
    """The stub on the loopback address; with an `ssl.SSLContext`, over TLS."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if context is None else "https"
    transit = Transit(url=f"{scheme}://127.0.0.1:{server.server_address[1]}")
    server.transit = transit  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield transit
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def transit() -> Iterator[Transit]:
    with run_transit() as stub:
        yield stub
