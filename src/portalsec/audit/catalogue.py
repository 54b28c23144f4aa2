"""What a database can hold beside the log's rows that changes what its tables do.

A trigger can drop a chosen event on its way in and let the statement succeed; a rule, a policy on rows or a view in a
table's place can do the same. None of it is in any entry, so no signature speaks about it. The stores over SQL ask
their database's catalogue with these statements; portalsec makes none of these things.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

__all__ = ["CATALOGUES", "foreign"]

CATALOGUES = {
    "sqlite": "SELECT type, name, tbl_name FROM sqlite_master WHERE type IN ('trigger', 'view')",
    "postgresql": (
        "SELECT 'trigger', tgname::text, relname::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE NOT tgisinternal AND pg_table_is_visible(pg_class.oid) "
        "UNION ALL "
        "SELECT 'rule', rulename::text, relname::text FROM pg_rewrite JOIN pg_class ON pg_class.oid = ev_class "
        "WHERE relkind NOT IN ('v', 'm') AND pg_table_is_visible(pg_class.oid) "
        "UNION ALL "
        "SELECT 'row policy', relname::text, relname::text FROM pg_class "
        "WHERE relrowsecurity AND pg_table_is_visible(oid) "
        "UNION ALL "
        "SELECT 'view', relname::text, relname::text FROM pg_class "
        "WHERE relkind NOT IN ('r', 'p', 'i', 'S') AND pg_table_is_visible(oid)"
    ),
}
"""By dialect: the statement that lists (kind, name, table) of everything there is, the application's own too."""


def foreign(rows: Iterable[Iterable[object]], tables: Collection[str]) -> tuple[str, ...]:
    """A sentence for each row of a catalogue that is about one of ``tables``."""
    ours = {table.lower() for table in tables}  # SQLite finds a table by its name in any case
    sentences = []
    for kind, name, table in rows:
        if str(table).lower() in ours:
            sentences.append(
                f"The audit table {ascii(table)[1:-1]} has a {kind} that is not portalsec's ({ascii(name)[1:-1][:80]}): "
                "it can change or drop events on their way in."
            )
    return tuple(sentences)
