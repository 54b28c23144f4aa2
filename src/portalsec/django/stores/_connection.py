"""A verb's own short transaction: it commits before the verb returns, whatever the caller holds open.

A view under ATOMIC_REQUESTS that refuses its visitor rolls back. Had the counted attempt been part of that
transaction, guessing would be free. So a verb never joins a transaction: where the caller holds one on the same
database, the verb takes a second connection for its moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import django.db
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from portalsec._driver_errors import raise_alone, without_rows
from portalsec.errors import StoreError

__all__ = ["Conflict", "own_transaction", "reading"]


class Conflict(StoreError):
    """A constraint refused the row: most verbs answer False; where none is expected it is a failure like any other."""


@contextmanager
def own_transaction(alias: str) -> Iterator[None]:
    """The body's statements commit together, on their own.

    Raises:
        StoreError: the database failed; the driver's error, without the row that it quotes, is the cause.
        Conflict: a constraint refused.
    """
    with _translated(alias), _own_connection(alias), transaction.atomic(using=alias):
        yield


@contextmanager
def reading(alias: str, *, join: bool = False) -> Iterator[None]:
    """The body is one SELECT. It sees what every worker has committed, never the snapshot of the caller's transaction.

    ``join`` reads on the caller's connection instead: for rows that the caller may just have made.
    """
    with _translated(alias), nullcontext() if join else _own_connection(alias):
        yield


@contextmanager
def _translated(alias: str) -> Iterator[None]:
    failure: StoreError
    try:
        yield
        return
    except django.db.IntegrityError as error:
        failure = Conflict(f"the database {alias!r} refused a row that does not fit")
        cause = without_rows(error.__cause__ or error)
    except django.db.Error as error:
        failure = StoreError(f"the database {alias!r} did not answer")
        cause = without_rows(error.__cause__ or error)
    raise_alone(failure, cause)


@contextmanager
def _own_connection(alias: str) -> Iterator[None]:
    outer = connections[alias]
    if not _caller_holds(outer):
        if outer.errors_occurred:
            # Outside of a request (the audit writer's thread) nothing else replaces a connection that broke.
            outer.close_if_unusable_or_obsolete()
        yield
        return
    inner = connections.create_connection(alias)
    connections[alias] = inner  # of this thread only
    try:
        yield
    finally:
        connections[alias] = outer
        inner.close()


def _caller_holds(connection: BaseDatabaseWrapper) -> bool:
    if not connection.in_atomic_block:
        # `set_autocommit(False)`: everything is part of a transaction that somebody else ends.
        return connection.connection is not None and not connection.autocommit
    # django.test.TestCase wraps each test in a transaction of its own, which is not the caller's: join it.
    blocks = getattr(connection, "atomic_blocks", [])
    return not all(getattr(block, "_from_testcase", False) for block in blocks)
