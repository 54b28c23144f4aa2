"""The command of `portalsec.django`, for a project that uses the fields alone."""

from portalsec.django.management.commands.portalsec_reencrypt import Command

__all__ = ["Command"]
