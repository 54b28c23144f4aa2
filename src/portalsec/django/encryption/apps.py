from __future__ import annotations

from django.apps import AppConfig

__all__ = ["EncryptionConfig"]


class EncryptionConfig(AppConfig):
    name = "portalsec.django.encryption"
    label = "portalsec_encryption"
    verbose_name = "Encrypted fields"

    def ready(self) -> None:
        from portalsec.django import fields  # noqa: F401 - importing it registers its checks
