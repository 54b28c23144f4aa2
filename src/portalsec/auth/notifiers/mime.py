"""From a `Message` to the bytes of a mail: plain text and HTML as alternatives, headers that nobody can add to."""

from __future__ import annotations

from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from portalsec.auth.ports import Message
from portalsec.errors import ConfigurationError

__all__ = ["as_mail", "sender_address"]


def sender_address(name: str, address: str) -> Address:
    """What stands in From.

    Raises:
        ConfigurationError: no printable name, or no address in ASCII.
    """
    try:
        sender = Address(display_name=name, addr_spec=address)
        good = name.isprintable() and address.isascii() and bool(sender.domain) and address.isprintable()
    except (ValueError, IndexError):
        good = False
    if not good:
        raise ConfigurationError("the sender of mails is a name and an address: write notices@portal.example")
    return Address(display_name=name, addr_spec=address)


def as_mail(message: Message, *, sender: Address) -> EmailMessage:
    """The mail. `Message` has made sure that no value ends a header line; the policy refuses one that does."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = Address(addr_spec=message.to)  # an address object: never parsed into two
    mail["Subject"] = message.subject
    mail["Message-ID"] = message.message_id
    mail["Content-Language"] = message.language
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    return mail
