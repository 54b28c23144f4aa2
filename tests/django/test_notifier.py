"""Mail through Django's backends."""

from __future__ import annotations

import smtplib
import traceback
from pathlib import Path
from typing import Any

import django
import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.test import override_settings

from portalsec.auth.ports import Message
from portalsec.django.notifier import DjangoNotifier
from portalsec.errors import MailRefused, StoreError
from tests.mailserver import SmtpServer

MESSAGE = Message(
    to="robin@mail.example",
    subject="Your password was changed [K7QF-29XM]",
    text="one\n",
    html="<p>one</p>",
    message_id="<abc@portal.example>",
    language="en",
)
LOCMEM = "django.core.mail.backends.locmem.EmailBackend"


class Failing(BaseEmailBackend):
    error: Exception | None = None

    def send_messages(self, email_messages: Any) -> int:
        if Failing.error is not None:
            raise Failing.error
        return 0


def mail_through(backend: str, **options: Any) -> Any:
    """Django 6.1's setting, or the older ones."""
    if django.VERSION >= (6, 1):
        return override_settings(MAILERS={"default": {"BACKEND": backend, "OPTIONS": options}})
    return override_settings(
        EMAIL_BACKEND=backend, **{f"EMAIL_{key.upper()}": options[key] for key in options}
    )


@override_settings(DEFAULT_FROM_EMAIL="notices@portal.example")
@mail_through(LOCMEM)
def test_a_mail_goes_through_django() -> None:
    mail.outbox = []
    DjangoNotifier().send(MESSAGE)
    (sent,) = mail.outbox
    assert sent.to == ["robin@mail.example"] and sent.from_email == "notices@portal.example"
    assert sent.subject == MESSAGE.subject and sent.body == "one\n"
    made = sent.message()
    assert made["Message-ID"] == "<abc@portal.example>" and made["Auto-Submitted"] == "auto-generated"
    assert [kind for _, kind in sent.alternatives] == ["text/html"]
    mail.outbox = []


def test_a_mail_arrives_at_a_real_server(tmp_path: Path) -> None:
    with (
        SmtpServer(tmp_path, tls="none") as server,
        mail_through(
            "django.core.mail.backends.smtp.EmailBackend", host="localhost", port=server.port, timeout=5
        ),
    ):
        DjangoNotifier(sender="notices@portal.example").send(MESSAGE)
        assert server.received[0].to == ["robin@mail.example"]
        server.answers["RCPT"] = "550 <robin@mail.example> unknown"
        with pytest.raises(MailRefused):
            DjangoNotifier(sender="notices@portal.example").send(MESSAGE)
        server.answers["RCPT"] = "450 <robin@mail.example> later"
        with pytest.raises(StoreError) as caught:
            DjangoNotifier(sender="notices@portal.example").send(MESSAGE)
        assert not isinstance(caught.value, MailRefused)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (smtplib.SMTPRecipientsRefused({"robin@mail.example": (550, b"no")}), True),
        (smtplib.SMTPRecipientsRefused({"robin@mail.example": (451, b"later")}), False),
        (smtplib.SMTPDataError(554, b"robin@mail.example"), True),
        (smtplib.SMTPDataError(452, b"robin@mail.example"), False),
        (ConnectionRefusedError("robin@mail.example"), False),
        (KeyError("robin@mail.example"), False),
        (None, False),
    ],
)
def test_pwd_11_what_a_backend_raises_is_told_without_the_address(
    error: Exception | None, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Failing, "error", error)
    with mail_through(f"{__name__}.Failing"), pytest.raises(StoreError) as caught:
        DjangoNotifier(sender="a@b.example").send(MESSAGE)
    assert isinstance(caught.value, MailRefused) is refused
    assert "robin" not in "".join(traceback.format_exception(caught.value))
