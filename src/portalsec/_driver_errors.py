"""A driver's error without what it quotes: `StoreError` has it as its cause, and a cause is printed and logged.

PostgreSQL says ``DETAIL: Failing row contains (...)``, which is every column of the row; SQLAlchemy says the statement
and its parameters. What an operator needs of it is the class, the SQLSTATE and the first line.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["raise_alone", "without_rows"]

_CODES = ("sqlite_errorcode", "sqlite_errorname")
_QUOTES = " with text "
"""SQLite: "Could not decode to UTF-8 column 'name' with text '...'"."""


def without_rows(error: BaseException) -> Exception | None:
    """A new error of the driver's class, with neither rows, parameters nor a traceback; None where it cannot be made.

    PostgreSQL's own sentence is kept (``duplicate key value violates unique constraint "patient_pkey"``), except of the
    class 22, which quotes the value itself (``invalid input syntax for type date: "..."``).
    """
    kind = type(error)
    state: str | None = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is not None:
        said = getattr(getattr(error, "diag", None), "message_primary", None) or kind.__name__
        said = kind.__name__ if state.startswith("22") else str(said).splitlines()[0]
        message = f"{said} (SQLSTATE {state})"
    else:
        lines = str(error).splitlines()
        message = lines[0].partition(_QUOTES)[0] if lines else kind.__name__
    try:
        made: object = kind(message)
    except Exception:  # noqa: BLE001 - a class with arguments of its own
        return None
    if not isinstance(made, Exception):
        return None
    names = {"sqlstate": state, **{name: getattr(error, name, None) for name in _CODES}}
    for name, held in names.items():
        if held is not None and getattr(made, name, None) != held:
            setattr(made, name, held)
    return made


def raise_alone(failure: Exception, cause: BaseException | None) -> NoReturn:
    """Raises with this cause and no context: a context manager works while the driver's error is being handled."""
    try:
        raise failure from cause
    except type(failure):
        failure.__context__ = None
        raise
