"""Where the demo's mails go: a file each, which only its owner may read, since a link in it is as good as a password."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.mail.backends.filebased import EmailBackend


class PrivateFolder(EmailBackend):
    """Django's mails in files, with modes of their own.

    A name is one that no file has: Django's own is of the second and an object's address in memory, which the next
    object may have too, and two mails in one file are one that nobody finds.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Path(self.file_path).chmod(0o700)

    def open(self) -> bool:
        if self.stream is None:
            made = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-")
            file, _ = tempfile.mkstemp(prefix=made, suffix=".log", dir=self.file_path)  # mode 600
            self.stream = os.fdopen(file, "wb")
            return True
        return False

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        return super().send_messages(email_messages) or 0
