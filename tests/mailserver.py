"""A small SMTP server (RFC 5321) for tests: STARTTLS, TLS from the start, AUTH PLAIN, and answers that a test chooses."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass
class Received:
    sender: str
    to: list[str]
    data: bytes
    encrypted: bool


@dataclass
class SmtpServer:
    """Use it as a context manager; ``port`` is known inside.

    Attributes:
        answers: by verb ("RCPT", "DATA", "MAIL", "EHLO", "AUTH"), what is said instead of yes.
        tls: "starttls", "tls" or "none".
        silent: it takes connections and says nothing.
    """

    folder: Path
    tls: str = "starttls"
    answers: dict[str, str] = field(default_factory=dict)
    password: tuple[str, str] | None = None
    silent: bool = False
    names: tuple[str, ...] = ("localhost",)
    received: list[Received] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> SmtpServer:
        self.certificate, key = certificate(self.folder, self.names)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._done = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):  # gone, or it did not like our certificate
                    _Conversation(outer, self).run()

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts this server's certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))


class _Conversation:
    def __init__(self, server: SmtpServer, handler: socketserver.StreamRequestHandler) -> None:
        self.server = server
        self.socket = handler.request
        self.encrypted = False

    def run(self) -> None:
        if self.server.silent:
            self.server._done.wait()
            return
        try:
            if self.server.tls == "tls":
                self._wrap()
            self._files()
            self._say("220 test ESMTP")
            while line := self.reader.readline():
                if not self._line(line.decode("utf-8", "replace").rstrip("\r\n")):
                    break
        finally:
            self.socket.close()

    def _files(self) -> None:
        self.reader = self.socket.makefile("rb")

    def _wrap(self) -> None:
        self.socket = self.server._context.wrap_socket(self.socket, server_side=True)
        self.encrypted = True

    def _say(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def _line(self, line: str) -> bool:
        self.server.lines.append(line)
        verb = line[:8].partition(" ")[0].partition(":")[0].upper()
        if verb in self.server.answers:
            self._say(self.server.answers[verb])
            return True
        if verb == "EHLO":
            offers = ["250-test"]
            if self.server.tls == "starttls" and not self.encrypted:
                offers.append("250-STARTTLS")
            if self.server.password:
                offers.append("250-AUTH PLAIN")
            self._say(*offers, "250 8BITMIME")
        elif verb == "STARTTLS" and self.server.tls == "starttls":
            self._say("220 go")
            self.reader.close()
            self._wrap()
            self._files()
        elif verb == "AUTH":
            given = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
            right = self.server.password is not None and tuple(given) == self.server.password
            self._say("235 yes" if right else "535 no")
        elif verb == "MAIL":
            self.sender, self.to = _address(line), []
            self._say("250 ok")
        elif verb == "RCPT":
            self.to.append(_address(line))
            self._say("250 ok")
        elif verb == "DATA":
            self._say("354 go")
            data = b""
            while (part := self.reader.readline()) != b".\r\n":
                if not part:
                    return False
                data += part.removeprefix(b".") if part.startswith(b"..") else part
            self.server.received.append(Received(self.sender, self.to, data, self.encrypted))
            self._say(self.server.answers.get("END", "250 taken"))
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 ok" if verb in {"RSET", "NOOP"} else "502 what")
        return True


def _address(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]


def certificate(folder: Path, names: tuple[str, ...]) -> tuple[Path, Path]:
    """A certificate of its own making for these names, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [*map(x509.DNSName, names), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            )
            if "localhost" in names
            else x509.SubjectAlternativeName([*map(x509.DNSName, names)]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "mail.pem", folder / "mail.key"
    certificate_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file
