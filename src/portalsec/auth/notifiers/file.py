"""`FileNotifier`: mails as files in a folder, for a demo, for tests, and for a mail system that collects them there."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from email.utils import format_datetime
from pathlib import Path

from portalsec.auth.notifiers.mime import as_mail, sender_address
from portalsec.auth.ports import Message
from portalsec.clock import Clock, system_clock
from portalsec.errors import StoreError

__all__ = ["FileNotifier"]


class FileNotifier:
    """`portalsec.auth.ports.Notifier`: each mail is one ``.eml`` file that is there whole or not at all.

    Files can be read by their owner alone: links in mails are as good as passwords. Names sort in the order of the
    mails and say nothing about them. Safe for concurrent use by several processes.

    Args:
        folder: made where it is missing.
        sender, sender_name: what stands in From.
    """

    def __init__(
        self, folder: Path, *, sender: str, sender_name: str = "", clock: Clock = system_clock
    ) -> None:
        self._folder = folder
        self._sender = sender_address(sender_name, sender)
        self._clock = clock

    def send(self, message: Message) -> None:
        """Write one mail.

        Raises:
            StoreError: the folder cannot be written to.
        """
        now = self._clock()
        mail = as_mail(message, sender=self._sender)
        mail["Date"] = format_datetime(now)
        name = f"{now:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(4)}"
        part = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(mail.as_bytes())
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / f"{name}.eml")
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise StoreError("a mail could not be written to its folder") from error
