"""`DjangoNotifier`: mail through Django's mail settings (``MAILERS``, or ``EMAIL_*`` before Django 6.1), and its outbox."""

from __future__ import annotations

import smtplib
from typing import Any

from django.core.mail import EmailMultiAlternatives

from portalsec.auth.ports import Message
from portalsec.errors import MailRefused, StoreError

__all__ = ["DjangoNotifier"]


class DjangoNotifier:
    """`portalsec.auth.ports.Notifier`. Safe for concurrent use: each mail has a connection of its own.

    Django's own settings say how mail travels: have them use TLS, and end a wait.

    Args:
        sender: the address in From; ``DEFAULT_FROM_EMAIL`` where None.
        using: another alias of ``MAILERS`` than "default" (Django 6.1 and newer).
    """

    def __init__(self, *, sender: str | None = None, using: str | None = None) -> None:
        self._sender = sender
        # Older Djangos have no such argument.
        self._options: dict[str, Any] = {} if using is None else {"using": using}

    def send(self, message: Message) -> None:
        """Hand over one mail.

        Raises:
            MailRefused: the server refused the recipient or the mail for good (5yz).
            StoreError: anything else that the backend raised.
        """
        mail = EmailMultiAlternatives(
            subject=message.subject,
            body=message.text,
            from_email=self._sender,
            to=[message.to],
            headers={
                "Message-ID": message.message_id,
                "Content-Language": message.language,
                "Auto-Submitted": "auto-generated",
                "X-Auto-Response-Suppress": "All",
            },
        )
        mail.attach_alternative(message.html, "text/html")
        failure: StoreError
        try:
            sent = mail.send(**self._options)
        except smtplib.SMTPRecipientsRefused as refused:
            codes = {code for code, _ in refused.recipients.values()}
            permanent = bool(codes) and all(500 <= code <= 599 for code in codes)
            failure = (
                MailRefused("the mail server refused the recipient")
                if permanent
                else StoreError("the mail server asked to try again")
            )
        except smtplib.SMTPDataError as refused:
            permanent = 500 <= refused.smtp_code <= 599
            failure = (
                MailRefused("the mail server refused the mail")
                if permanent
                else StoreError("the mail server asked to try again")
            )
        except Exception as error:  # noqa: BLE001 - a backend of the project's own
            failure = StoreError(f"Django's mail backend failed ({type(error).__name__})")
        else:
            if sent == 1:
                return
            failure = StoreError("Django's mail backend did not send the mail")
        # Outside the handlers and without a cause: these errors quote the recipient.
        raise failure
