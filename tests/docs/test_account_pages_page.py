"""The table of docs/how-to/account-pages.md has every form that the routes take, and says which of them hash."""

from __future__ import annotations

import re

from portalsec.account_pages import Lane
from tests.support import ROOT
from tests.test_account_pages import every_route

PAGE = (ROOT / "docs/how-to/account-pages.md").read_text(encoding="utf-8")


def test_the_page_says_what_each_form_sends() -> None:
    table = PAGE.split("## What each form sends\n", 1)[1].strip().split("\n\n", 1)[0]
    written = {}
    for row in table.splitlines()[2:]:
        addresses, fields, hashes = (cell.strip() for cell in row.strip("|").split("|"))
        assert fields and hashes in ("", "yes"), row
        for address in re.findall(r"`(/[^`]*)`", addresses):
            assert address not in written
            written[address] = hashes == "yes"
    posted = [route for route in every_route() if route.method == "POST" and not route.asks_json]
    assert written == {route.path: route.lane is not Lane.STORES for route in posted}
