"""The application: ``"portalsec.django"`` in INSTALLED_APPS."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["PortalsecConfig"]


class PortalsecConfig(AppConfig):
    name = "portalsec.django"
    label = "portalsec"
    verbose_name = "Portal security"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from portalsec.django import checks, signals  # noqa: F401 - importing them registers them
