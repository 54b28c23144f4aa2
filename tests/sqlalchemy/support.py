"""What tests of two transactions at once share."""

from __future__ import annotations

from sqlalchemy import Engine, text

from tests.servers import wait_until


def wait_for_a_lock(engine: Engine) -> None:
    """Return when a connection to this PostgreSQL database waits for a lock that another one holds."""
    statement = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with engine.connect() as watch:

        def somebody_waits() -> bool:
            watch.rollback()  # or the same snapshot would be looked at for ever
            return bool(watch.scalar(statement))

        wait_until(somebody_waits)
