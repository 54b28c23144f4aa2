"""A portal of ``portalsec.toml`` for its operator: opened for one command, with what the operator says in each record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from portalsec.clock import Clock, system_clock
from portalsec.config.opening import open_portal
from portalsec.config.settings import Settings
from portalsec.errors import ConfigurationError
from portalsec.events import SecurityEvent
from portalsec.portal import Portal, close_portal
from portalsec.rbac.model import Resource, Subject
from portalsec.sqlalchemy import check_schema, open_engine
from portalsec.typing import Emit

__all__ = ["open_for_operator"]

_NOTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}\Z", re.ASCII)


class _NoRelations:
    """An operator's command asks the access policy nothing."""

    def holds(self, relation: str, subject: Subject, resource: Resource) -> bool:
        return False


@contextmanager
def open_for_operator(
    settings: Settings,
    *,
    note: str | None = None,
    clock: Clock = system_clock,
    env: Mapping[str, str] | None = None,
) -> Iterator[Portal]:
    """The portal, beside those that serve; no table is created. It is closed with the block.

    Args:
        note: a code or a ticket's number, which every record of the block bears. Names and stories have no place there.

    Raises:
        ConfigurationError: a setting, key or policy is wrong, the note is none, or the databases are not a portal's.
        StoreError: a database does not answer.
    """
    if note is not None and not _NOTE.match(note):
        raise ConfigurationError(
            "the note is a code or a ticket's number: 1 to 64 letters, digits and ._/#-, for the log bears no stories"
        )
    _require_tables(settings)
    with_note = None if note is None else _noting(note)
    portal = open_portal(
        settings, relations=lambda stores: _NoRelations(), wrap_emit=with_note, clock=clock, env=env
    )
    try:
        yield portal
    finally:
        close_portal(portal)


def _noting(note: str) -> Callable[[Emit], Emit]:
    def wrap(emit: Emit) -> Emit:
        def noted(event: SecurityEvent) -> None:
            emit(replace(event, details={**event.details, "note": note}))

        return noted

    return wrap


def _require_tables(settings: Settings) -> None:
    for which in ("security", "audit"):
        url = settings.url("stores", which)
        scheme, _, path = url.partition(":///")
        if scheme.startswith("sqlite") and not Path(path).is_file():
            raise ConfigurationError(
                f"{settings.source}: [stores] {which}: there is no database at {path}. Where the portal's stores are "
                "Django's, use the commands of  python manage.py"
            )
        engine = open_engine(url)
        try:
            check_schema(engine, which)
        finally:
            engine.dispose()
