"""`SmtpNotifier`: mail over SMTP, encrypted on the way to the server, or not at all."""

from __future__ import annotations

import smtplib
import ssl
from datetime import timedelta
from email.utils import format_datetime
from typing import Literal

from portalsec.auth.notifiers.mime import as_mail, sender_address
from portalsec.auth.ports import Message
from portalsec.clock import Clock, system_clock
from portalsec.errors import ConfigurationError, MailRefused, StoreError
from portalsec.secret import Secret

__all__ = ["SmtpNotifier"]

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class SmtpNotifier:
    """`portalsec.auth.ports.Notifier`. Safe for concurrent use: each mail has a connection of its own.

    Args:
        host: the mail server's name, as its certificate has it.
        port: 587 with STARTTLS and 465 with TLS, where None.
        sender: the address in From and of the envelope.
        sender_name: what stands before it.
        username, password: where the server asks for them; sent over TLS alone.
        security: "starttls" (RFC 3207; a server that does not offer it gets no mail), "tls" (RFC 8314 section 3.3), or
            "none", which is for a server on this machine alone.
        timeout: of each step of the conversation.
        context: other trust than the system's.

    Raises:
        ConfigurationError: no encryption on the way to another machine, or a password without encryption.
    """

    def __init__(
        self,
        *,
        host: str,
        sender: str,
        sender_name: str = "",
        port: int | None = None,
        username: str | None = None,
        password: Secret[str] | None = None,
        security: Literal["starttls", "tls", "none"] = "starttls",
        timeout: timedelta = timedelta(seconds=10),
        context: ssl.SSLContext | None = None,
        clock: Clock = system_clock,
    ) -> None:
        if security not in {"starttls", "tls", "none"}:
            raise ConfigurationError('SmtpNotifier: security is "starttls", "tls" or "none"')
        if security == "none" and host not in _LOCAL:
            raise ConfigurationError(
                f'SmtpNotifier: mail to {host} would travel unencrypted: write security="starttls" or "tls"; '
                '"none" is for localhost'
            )
        if (username is None) != (password is None):
            raise ConfigurationError("SmtpNotifier: give username and password together, or neither")
        if username is not None and security == "none":
            raise ConfigurationError("SmtpNotifier: a password goes over TLS alone")
        if not timedelta(seconds=1) <= timeout <= timedelta(minutes=2):
            raise ConfigurationError("SmtpNotifier: timeout goes from one second to two minutes")
        self._host = host
        self._port = port if port is not None else {"starttls": 587, "tls": 465, "none": 25}[security]
        self._sender = sender_address(sender_name, sender)
        self._username = username
        self._password = password
        self._security = security
        self._timeout = timeout.total_seconds()
        self._context = context if context is not None else _strict_context()
        if security != "none" and (
            self._context.verify_mode is not ssl.CERT_REQUIRED or not self._context.check_hostname
        ):
            raise ConfigurationError("SmtpNotifier: context must check the server's certificate and its name")
        self._clock = clock

    def __repr__(self) -> str:
        return f"SmtpNotifier({self._host}:{self._port}, {self._security})"

    def send(self, message: Message) -> None:
        """Hand over one mail.

        Raises:
            MailRefused: the server refused the recipient or the mail for good (5yz).
            StoreError: it was not reached, was not trusted, or asked to try again.
        """
        mail = as_mail(message, sender=self._sender)
        mail["Date"] = format_datetime(self._clock())
        error: BaseException
        try:
            with self._connected() as server:
                server.send_message(mail, from_addr=self._sender.addr_spec, to_addrs=[message.to])
        except (OSError, smtplib.SMTPException, ValueError) as raised:  # ssl's errors are OSErrors
            error = raised
        else:
            return
        # Outside the handler and without a cause: smtplib's errors quote the recipient, and some quote the password.
        failure = _failure(error)
        del error
        raise failure

    def _connected(self) -> smtplib.SMTP:
        if self._security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout, context=self._context
            )
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=self._timeout)
        try:
            if self._security == "starttls":
                server.starttls(context=self._context)  # raises where the server does not offer it
            if self._username is not None and self._password is not None:
                server.login(self._username, self._password.reveal())
        except BaseException:
            server.close()
            raise
        return server


def _strict_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _failure(error: BaseException) -> StoreError:
    """What the courier is told: the kind of failure and the server's code."""
    kind = type(error).__name__
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = {code for code, _ in error.recipients.values()}
        permanent = bool(codes) and all(500 <= code <= 599 for code in codes)
        text = f"the mail server refused the recipient ({', '.join(map(str, sorted(codes)))})"
        return MailRefused(text) if permanent else StoreError(text)
    if isinstance(error, smtplib.SMTPDataError):
        text = f"the mail server refused the mail ({error.smtp_code})"
        return MailRefused(text) if 500 <= error.smtp_code <= 599 else StoreError(text)
    if isinstance(error, smtplib.SMTPResponseException):
        return StoreError(
            f"the mail server answered {error.smtp_code} ({kind})"
        )  # sender, password: ours to mend
    return StoreError(f"the mail server could not be used ({kind})")
