"""Where the demo's mails go: a file each, which only its owner may read, since a link in it is as good as a password."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.mail.backends.filebased import EmailBackend


class PrivateFolder(EmailBackend):
    """Django's mails in files, with modes of their own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Path(self.file_path).chmod(0o700)

    def open(self) -> bool:
        if self.stream is None:
            file = os.open(self._get_filename(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self.stream = os.fdopen(file, "ab")
            return True
        return False

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        return super().send_messages(email_messages) or 0
