"""The stored password hashes of a portal of ``portalsec.toml``, for reports and for wrapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from portalsec.auth.hash_costs import parameters_of_text
from portalsec.auth.passwords import Passwords
from portalsec.config.keysets import KeysetFiles
from portalsec.config.rotation import _opened
from portalsec.config.settings import Settings
from portalsec.crypto.prf import KeyedHash, KeysetPepper
from portalsec.crypto.seal import FieldSealer
from portalsec.sqlalchemy import SqlAccounts, SqlPasswordHistory, check_schema

if TYPE_CHECKING:
    from portalsec.auth.ports import Account, AccountStore

__all__ = ["all_accounts", "hashes_under", "open_hashes"]

_PAGE = 500


@contextmanager
def open_hashes(
    settings: Settings, *, env: Mapping[str, str] | None = None
) -> Iterator[tuple[AccountStore, Passwords]]:
    """The accounts and what hashes their passwords; nothing is created. The connections end with the block.

    Raises:
        ConfigurationError: a keyset, the database or its tables are missing, or of another version.
        KeyServiceUnavailable: the service of ``[keys] kek`` does not answer, or refuses.
        StoreError: the database does not answer.
    """
    files = KeysetFiles(settings, env=env)
    peppered = settings["keys", "pepper"] is not None
    passwords = Passwords(
        parameters=parameters_of_text(settings["passwords", "hashing"]),
        concurrency=settings["passwords", "concurrency"],
        pepper=KeysetPepper(files.read("pepper")) if peppered else None,
        older=settings["passwords", "older"],
        require_pepper=settings["passwords", "require_pepper"],
    )
    mac, sealer = KeyedHash(files.read("mac")), FieldSealer(files.read("fields"))
    with _opened(settings, "security") as security:
        check_schema(security, "security")
        yield SqlAccounts(security, mac=mac, sealer=sealer), passwords


def all_accounts(store: AccountStore) -> Iterator[Account]:
    """Every account, a page at a time."""
    after: str | None = None
    while page := store.page(after=after, limit=_PAGE):
        yield from page
        after = page[-1].id


def hashes_under(settings: Settings, key_id: int) -> Mapping[str, int]:
    """How many hashes are under a key of the pepper, by table; empty for none. Raises as `open_hashes`.

    Earlier passwords count as well: without the key, one that somebody else knows could come back.
    """
    with open_hashes(settings) as (store, passwords):
        count = sum(
            passwords.describe(account.password_hash).pepper == f"{key_id:08x}"
            for account in all_accounts(store)
            if account.password_hash is not None
        )
    with _opened(settings, "security") as security:
        earlier = SqlPasswordHistory(security).under(key_id)
    counts = {"account": count, "password_history": earlier}
    return {table: number for table, number in counts.items() if number}
