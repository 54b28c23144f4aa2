"""Against a server that speaks SMTP: encrypted or not at all, and nothing of the letter in an error."""

from __future__ import annotations

import email
import email.policy
import ssl
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from portalsec.auth.notifiers.smtp import SmtpNotifier
from portalsec.auth.ports import Message
from portalsec.errors import ConfigurationError, MailRefused, StoreError
from portalsec.secret import Secret
from portalsec.testing import FrozenClock
from tests.mailserver import SmtpServer

MESSAGE = Message(
    to="robin@mail.example",
    subject="Nuevo inicio de sesión [K7QF-29XM]",
    text="¿Fue usted?\n\n.\nhttps://portal.example/not-me?token=" + "t" * 43 + "\n",
    html="<p>¿Fue usted?</p>",
    message_id="<abc@portal.example>",
    language="es",
)


def notifier(server: SmtpServer, **changes: Any) -> SmtpNotifier:
    options: dict[str, Any] = {
        "host": "localhost",
        "port": server.port,
        "sender": "notices@portal.example",
        "sender_name": "Hill Clinic",
        "security": server.tls,
        "context": server.trusting(),
        "clock": FrozenClock(),
        "timeout": timedelta(seconds=5),
    }
    return SmtpNotifier(**{**options, **changes})


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_mail_arrives_encrypted_and_whole(tmp_path: Path, tls: str) -> None:
    with SmtpServer(tmp_path, tls=tls) as server:
        notifier(server).send(MESSAGE)
        (got,) = server.received
    assert (got.sender, got.to, got.encrypted) == ("notices@portal.example", ["robin@mail.example"], True)
    mail = email.message_from_bytes(got.data, policy=email.policy.default)
    assert mail["Subject"] == MESSAGE.subject and mail["To"] == "robin@mail.example"
    assert mail["From"] == "Hill Clinic <notices@portal.example>"
    assert mail["Message-ID"] == MESSAGE.message_id and mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"] == "Mon, 02 Mar 2026 09:00:00 +0000"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and html is not None
    assert text.get_content().replace("\r\n", "\n") == MESSAGE.text
    assert html.get_content().strip() == MESSAGE.html
    assert got.data.isascii()


def test_a_server_without_starttls_gets_no_mail(tmp_path: Path) -> None:
    with SmtpServer(tmp_path, tls="none") as server:
        with pytest.raises(StoreError):
            notifier(server, security="starttls").send(MESSAGE)
        assert not any(line.startswith(("MAIL", "AUTH")) for line in server.lines)


def test_localhost_may_do_without(tmp_path: Path) -> None:
    with SmtpServer(tmp_path, tls="none") as server:
        notifier(server).send(MESSAGE)
        assert len(server.received) == 1 and not server.received[0].encrypted


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_server_whose_certificate_nobody_vouches_for_gets_no_mail(tmp_path: Path, tls: str) -> None:
    with SmtpServer(tmp_path, tls=tls) as server:
        with pytest.raises(StoreError):
            notifier(server, context=ssl.create_default_context()).send(MESSAGE)
        assert server.received == []


def test_a_certificate_of_another_name_is_no_good(tmp_path: Path) -> None:
    with SmtpServer(tmp_path, names=("mail.other.example",)) as server:
        with pytest.raises(StoreError):
            notifier(server).send(MESSAGE)
        assert server.received == []


def test_a_password_goes_over_tls_and_shows_nowhere(tmp_path: Path) -> None:
    with SmtpServer(tmp_path, password=("portal", "s3cret-of-mail")) as server:
        good = notifier(server, username="portal", password=Secret("s3cret-of-mail"))
        good.send(MESSAGE)
        assert len(server.received) == 1
        before = [line for line in server.lines[: server.lines.index("STARTTLS")] if "AUTH" in line]
        assert before == [] and "s3cret" not in repr(good)
        wrong = notifier(server, username="portal", password=Secret("other-s3cret"))
        with pytest.raises(StoreError) as caught:
            wrong.send(MESSAGE)
        assert not isinstance(caught.value, MailRefused)  # ours to mend: the mail is not given up
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("verb", "answer", "permanent"),
    [
        ("RCPT", "550 5.1.1 <robin@mail.example> no such user", True),
        ("RCPT", "450 4.2.1 <robin@mail.example> greylisted", False),
        ("DATA", "554 5.7.1 robin@mail.example refused", True),
        ("DATA", "451 4.3.0 robin@mail.example later", False),
        ("END", "552 too big", True),
        ("END", "452 full", False),
        ("MAIL", "550 who are you", False),
        ("EHLO", "421 busy", False),
    ],
)
def test_pwd_11_what_a_server_says_no_with_is_told_without_the_address(
    tmp_path: Path, verb: str, answer: str, permanent: bool
) -> None:
    with SmtpServer(tmp_path, answers={verb: answer}) as server, pytest.raises(StoreError) as caught:
        notifier(server).send(MESSAGE)
    assert isinstance(caught.value, MailRefused) is permanent
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
    assert "robin" not in told and "mail.example" not in told and "tttt" not in told
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_server_that_says_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with SmtpServer(tmp_path, silent=True) as server, pytest.raises(StoreError):
        notifier(server, timeout=timedelta(seconds=1)).send(MESSAGE)


def test_a_server_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with SmtpServer(tmp_path) as server:
        gone = notifier(server)
    with pytest.raises(StoreError):
        gone.send(MESSAGE)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "mail.example", "security": "none"},
        {"security": "ssl"},
        {"username": "x"},
        {"password": Secret("x")},
        {"security": "none", "username": "x", "password": Secret("x")},
        {"timeout": timedelta(0)},
        {"timeout": timedelta(hours=1)},
        {"sender": "no address"},
        {"sender": "a@b.example\r\nBcc: x@evil.example"},
        {"sender_name": "Clinic\r\nBcc: x@evil.example"},
        {"context": ssl._create_unverified_context()},
    ],
)
def test_a_notifier_that_would_be_unsafe_is_not_built(changes: dict[str, Any]) -> None:
    options: dict[str, Any] = {"host": "localhost", "sender": "notices@portal.example"}
    with pytest.raises(ConfigurationError) as caught:
        SmtpNotifier(**{**options, **changes})
    assert "evil" not in str(caught.value)


def test_ports_are_those_of_the_standards() -> None:
    for security, port in (("starttls", 587), ("tls", 465), ("none", 25)):
        built = SmtpNotifier(host="localhost", sender="a@b.example", security=security)  # type: ignore[arg-type]
        assert repr(built) == f"SmtpNotifier(localhost:{port}, {security})"
