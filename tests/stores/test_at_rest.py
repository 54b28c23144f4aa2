"""What lies in the databases of a portal tells nobody's address, sign-in name, seed or codes, or what happened to them."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text

from portalsec.auth.notices import NoticeKind
from portalsec.auth.ports import Contact
from portalsec.events import SYSTEM, Source
from portalsec.portal import close_portal
from portalsec.sqlalchemy import open_engine
from portalsec.testing import FrozenClock
from tests.config.test_opening import PASSWORD, folder, opened  # noqa: F401 - folder is a fixture

LOGIN = "ana.marquez@clinic.example"
ADDRESS = "ana.at.home@mailbox.example"
DETAIL = "a-detail-of-the-notice"
TYPED = "whoever.typed.this@elsewhere.example"
NEEDLES = ["ana.marquez", "ana.at.home", "mailbox.example", DETAIL, "whoever.typed"]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(
    request: pytest.FixtureRequest,
    folder: Path,  # noqa: F811
    postgres_database: Callable[[], AbstractContextManager[str]],
) -> Iterator[str]:
    """The URL of the security database, which the settings name."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder}/security.db"
        return
    with postgres_database() as url:
        settings = folder / "portalsec.toml"
        settings.write_text(settings.read_text() + f'\n[stores]\nsecurity = "{url}"\n')
        yield url


def every_cell(engine: Engine) -> bytes:
    with engine.connect() as connection:
        rows = [
            row
            for table in inspect(engine).get_table_names()
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).all()
        ]
    assert len(rows) > 5
    return b"\n".join(
        bytes(cell) if isinstance(cell, (bytes, memoryview)) else str(cell).encode()
        for row in rows
        for cell in row
    )


def test_no_address_and_no_detail_is_readable_at_rest(folder: Path, database: str) -> None:  # noqa: F811
    portal = opened(folder, FrozenClock())
    source = Source(address="203.0.113.9")
    try:
        account = portal.accounts.create(login=LOGIN, password=PASSWORD)
        now = portal.clock()
        contact = Contact(id="c1", account_id=account.id, address=ADDRESS, verified_at=now, created_at=now)
        assert portal.stores.contacts.add(contact)
        told = portal.notices.tell(
            account.id, NoticeKind.PASSWORD_CHANGED, source=source, details={"by": DETAIL}
        )
        portal.notices.request(NoticeKind.REQUEST_RESET, source=source, details={"name": TYPED})
        assert portal.incidents.open_for(told, actor=SYSTEM, source=source)
        assert [each.address for each in portal.stores.contacts.by_address(ADDRESS)] == [ADDRESS]
        assert portal.notices.details(told)["by"] == DETAIL
        codes = [code.reveal() for code in portal.recovery_codes.make(account.id).codes]
        seed = portal.totp.begin(account.id, account_name=LOGIN).secret.reveal()
    finally:
        close_portal(portal)

    engine = open_engine(database)
    try:
        held = every_cell(engine)
    finally:
        engine.dispose()
    files = [path for path in folder.glob("*.db*") if path.is_file()]
    assert files
    held += b"".join(path.read_bytes() for path in files)
    assert account.id.encode() in held, "the search looks at what was written"
    written = [spelled for code in codes for spelled in (code, code.replace("-", ""), code[:9])]
    for needle in [*NEEDLES, *written, seed]:
        for spelled in (needle.encode(), needle.encode().hex().encode(), needle.encode("utf-16-le")):
            assert spelled not in held, "a secret is readable"
    assert base64.b32decode(seed) not in held
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: a code is 120 bits
    for code in codes:
        value = functools.reduce(lambda sum_, char: sum_ * 32 + digits.index(char), code.replace("-", ""), 0)
        assert value.to_bytes(15, "big") not in held
