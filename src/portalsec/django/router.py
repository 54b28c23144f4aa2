"""Sends portalsec's tables to portalsec's own database, so that a request's rollback cannot take them along."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, models

from portalsec.django.conf import audit_database, security_database, subject_database

__all__ = ["PortalsecRouter"]

_LABEL = "portalsec"
_AUDIT = frozenset({"auditentry", "auditsubject", "auditcheckpoint", "auditlock"})
_SUBJECTS = frozenset({"subjectkey"})
_BESIDE_USERS = frozenset({"accountlink"})


def _home(app_label: str, model_name: str | None) -> str | None:
    """The alias where a model of portalsec lives; None for everything else and for what follows the user table."""
    if app_label != _LABEL or model_name is None or model_name in _BESIDE_USERS:
        return None
    if model_name in _SUBJECTS:
        return subject_database()
    return audit_database() if model_name in _AUDIT else security_database()


class PortalsecRouter:
    """``DATABASE_ROUTERS = ["portalsec.django.router.PortalsecRouter"]``."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return _home(model._meta.app_label, model._meta.model_name)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        return _home(model._meta.app_label, model._meta.model_name)

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        if app_label != _LABEL:
            # portalsec's own databases hold nothing of the project's.
            own = {security_database(), audit_database(), subject_database()} - {
                DEFAULT_DB_ALIAS,
                self._users(),
            }
            return False if db in own else None
        if model_name in _BESIDE_USERS:
            return db == self._users()
        home = _home(app_label, model_name)
        return None if home is None else db == home

    @staticmethod
    def _users() -> str:
        from django.apps import apps
        from django.db import router

        return router.db_for_write(apps.get_model(settings.AUTH_USER_MODEL, require_ready=False))
